"""Measure what `midas audit-labels` says of labels that are known: clean, evenly wrong, swapped in pairs, all wrong.

    python scripts/audit_verdicts.py --data-dir data --checkpoint checkpoints/part1.keras
    python scripts/audit_verdicts.py --data-dir data --limit 6000

True labels make the wrong ones and score what was found; the audit sees folders only. Prints one Markdown table, with
precision and recall of "misfiled", or of "filed right" where nearly all labels are wrong; and cleanlab's beside them,
where that is installed.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from midas.data import datasets
from midas.data.datasets import Dataset
from midas.metrics import label_noise as label_audit
from midas.report import label_audit as audit_report


def evenly_wrong(labels: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Give a share of the labels, chosen at random, one of the other classes, each as likely."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)


def flipped(labels: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Give a share of the labels, chosen at random, the next class."""
    return np.where(np.random.default_rng(seed).random(len(labels)) < share, (labels + 1) % classes, labels)


KINDS = {
    "clean": lambda labels, classes, seed: labels,
    "5 % evenly wrong": lambda labels, classes, seed: evenly_wrong(labels, 0.05, classes, seed),
    "20 % evenly wrong": lambda labels, classes, seed: evenly_wrong(labels, 0.2, classes, seed),
    "40 % evenly wrong": lambda labels, classes, seed: evenly_wrong(labels, 0.4, classes, seed),
    "20 % in the next class": lambda labels, classes, seed: flipped(labels, 0.2, classes, seed),
    "40 % in the next class": lambda labels, classes, seed: flipped(labels, 0.4, classes, seed),
}


def cases(data_dir: str, size: int, cache_dir: Path, limit: int | None, seed: int):
    """Yield the name of each data set, the data with wrong labels, and the true labels."""
    mnist = datasets.load("mnist", data_dir, size, cache_dir)
    part = mnist.take(label_audit.part(mnist.labels, limit, seed))
    for name, spoil in KINDS.items():
        folders = spoil(part.labels, len(part.class_names), seed)
        yield name, dataclasses.replace(part, labels=folders), part.labels
    misfiled = datasets.load("part3", data_dir, size, cache_dir)
    misfiled = misfiled.take(label_audit.part(misfiled.labels, limit, seed))
    # The number in a misfiled image's name is its place in MNIST.
    places = np.array([int(re.search(r"image_(\d+)", name)[1]) for name in misfiled.names])
    yield "Part 3", misfiled, mnist.labels[places]


def answered(dataset: Dataset, name: str, network, folds: int, epochs: int | None, seed: int) -> np.ndarray:
    """Ask a witness: the network, or without one those of a cross-validation."""
    from midas.studies import out_of_fold as witness

    if network:
        return witness.ask(network, dataset, name)
    epochs = epochs or witness.default_epochs(len(dataset), folds)
    return witness.cross_validate(dataset, name, folds, epochs, seed)


def precision_and_recall(found: np.ndarray, true: np.ndarray) -> list[float | None]:
    """Score bool arrays (n,) of what was found and what is so; None for 0/0."""
    both = int((found & true).sum())
    return [both / int(of.sum()) if of.any() else None for of in (found, true)]


def measured(dataset: Dataset, truth: np.ndarray, probabilities: np.ndarray, independent: bool) -> dict:
    """Audit, and score what was found against the true labels."""
    found = label_audit.audit(probabilities, dataset.labels, independent)
    right = dataset.labels == truth
    nearly_all_wrong = found.verdict == label_audit.COMPLEMENTARY
    suspected = found.filed_right < label_audit.SUSPECTED
    scores = precision_and_recall(~suspected if nearly_all_wrong else suspected, right if nearly_all_wrong else ~right)
    row = {
        "verdict": found.verdict,
        "sentence": audit_report.sentence(found, dataset.class_names),
        "share_wrong": 1 - found.share.right,
        "share_wrong_interval": [1 - found.share.interval[1], 1 - found.share.interval[0]],
        "truly_wrong": float(1 - right.mean()),
        "looked_for": "filed right" if nearly_all_wrong else "misfiled",
        "precision": scores[0],
        "recall": scores[1],
        "suggestions_right": float((found.posterior.argmax(axis=1) == truth).mean()),
    }
    if importlib.util.find_spec("cleanlab"):
        theirs, share = label_audit.cleanlab_issues(probabilities, dataset.labels)
        scores = precision_and_recall(~theirs if nearly_all_wrong else theirs, right if nearly_all_wrong else ~right)
        row["cleanlab"] = {"share_wrong": share, "precision": scores[0], "recall": scores[1]}
    return row


def line(row: dict) -> str:
    """Write a row of the table."""

    def pair(scores: dict | None) -> str:
        values = (scores or {}).get("precision"), (scores or {}).get("recall")
        return " / ".join("-" if value is None else f"{100 * value:.1f} %" for value in values)

    low, high = (100 * bound for bound in row["share_wrong_interval"])
    estimate = f"{100 * row['share_wrong']:.1f} % ({low:.1f}-{high:.1f})"
    cells = [row["data"], row["witness"], row["verdict"], f"{100 * row['truly_wrong']:.1f} %", estimate]
    cells += [row["looked_for"], pair(row), pair(row.get("cleanlab")), f"{row['seconds']:.0f}"]
    return f"| {' | '.join(cells)} |"


COLUMNS = ("data", "witness", "verdict", "truly wrong", "estimate, 95 % interval", "looked for")
COLUMNS += ("precision / recall", "cleanlab", "seconds")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--cache-dir", type=Path, default=os.environ.get("MIDAS_CACHE_DIR"))
    parser.add_argument("--checkpoint", type=Path, help="audit everything a second time with this network as witness")
    parser.add_argument("--only-checkpoint", action="store_true", help="without the cross-validations")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of each training; by default as the command chooses")
    parser.add_argument("--limit", type=int, help="use so many images of each data set only, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers, too")
    options = parser.parse_args()
    if options.only_checkpoint and not options.checkpoint:
        parser.error("--only-checkpoint needs a --checkpoint")
    network = None
    if options.checkpoint:
        from midas.learning.classifier import Classifier

        network = Classifier.load(options.checkpoint)
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    for witness in ([] if options.only_checkpoint else [None]) + ([network] if network else []):
        size = witness.size if witness else 28
        for name, dataset, truth in cases(options.data_dir, size, options.cache_dir, options.limit, options.seed):
            began = time.perf_counter()
            probabilities = answered(dataset, name, witness, options.folds, options.epochs, options.seed)
            row = {"data": name, "witness": str(options.checkpoint) if witness else "cross-validation"}
            row |= measured(dataset, truth, probabilities, witness is not None)
            rows.append({**row, "seconds": round(time.perf_counter() - began, 1)})
            print(line(rows[-1]), flush=True)
            print(row["sentence"], file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
