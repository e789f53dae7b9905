"""Measure what `midas audit-labels` finds in data sets whose label noise is known.

    python scripts/audit_verdicts.py --data-dir data --checkpoint checkpoints/part1.keras
    python scripts/audit_verdicts.py --data-dir data --limit 6000

The noise is made from true labels, which also score what was found; the audit sees the given labels only. Prints one
Markdown table with precision and recall of the suspects: the mislabeled images or, where nearly all are, the correctly
labeled ones. Cleanlab is scored on the same predictions where it is installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from endings import errors_in_one_line
from part3_data import mnist_indices

import midas
from midas.data import datasets
from midas.data.datasets import Dataset
from midas.metrics import label_noise
from midas.report import label_audit

if TYPE_CHECKING:
    from midas.learning.classifier import Classifier


def uniform_noise(labels: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Replace a random share of the labels by another class, all others being equally likely."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, classes, len(labels))) % classes, labels)


def pair_flips(labels: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """Replace a random share of the labels by the next class."""
    return np.where(np.random.default_rng(seed).random(len(labels)) < share, (labels + 1) % classes, labels)


Noise = Callable[[np.ndarray, int, int], np.ndarray]  # labels, number of classes, seed -> labels

NOISE: dict[str, Noise] = {
    "clean": lambda labels, classes, seed: labels,
    "5 % uniformly wrong": lambda labels, classes, seed: uniform_noise(labels, 0.05, classes, seed),
    "20 % uniformly wrong": lambda labels, classes, seed: uniform_noise(labels, 0.2, classes, seed),
    "40 % uniformly wrong": lambda labels, classes, seed: uniform_noise(labels, 0.4, classes, seed),
    "20 % labeled as the next class": lambda labels, classes, seed: pair_flips(labels, 0.2, classes, seed),
    "40 % labeled as the next class": lambda labels, classes, seed: pair_flips(labels, 0.4, classes, seed),
}


def cases(
    data_dir: str, size: int, cache_dir: Path | None, limit: int | None, seed: int
) -> Iterator[tuple[str, Dataset, np.ndarray]]:
    """Yield the name of each case, its data set with the given labels, and the true labels."""
    mnist = datasets.load("mnist", data_dir, size, cache_dir)
    part = mnist.take(label_noise.subsample(mnist.labels, limit, seed))
    for name, add_noise in NOISE.items():
        given_labels = add_noise(part.labels, len(part.class_names), seed)
        yield name, dataclasses.replace(part, labels=given_labels), part.labels
    complementary = datasets.load("part3", data_dir, size, cache_dir)
    complementary = complementary.take(label_noise.subsample(complementary.labels, limit, seed))
    yield "Part 3", complementary, mnist.labels[mnist_indices(complementary.names, len(mnist))]


def predict(
    dataset: Dataset, name: str, network: Classifier | None, folds: int, epochs: int | None, seed: int
) -> np.ndarray:
    """Predict with a reference model, or without one out of fold, as the command does."""
    from midas.studies import out_of_fold

    if network:
        outputs = network.outputs_of(dataset.class_names, name)
        return network.probabilities(dataset.glyphs, outputs)[:, outputs]
    epochs = epochs or out_of_fold.default_epochs(len(dataset), folds)
    return out_of_fold.predict(dataset, name, folds, epochs, seed)


def precision_and_recall(found: np.ndarray, true: np.ndarray) -> dict[str, float | None]:
    """Compare bool arrays (n,) of what was found and what is true; None for 0/0."""
    both = int((found & true).sum())
    return {name: both / int(of.sum()) if of.any() else None for name, of in (("precision", found), ("recall", true))}


def measure(dataset: Dataset, truth: np.ndarray, probabilities: np.ndarray, independent: bool) -> dict[str, Any]:
    """Audit the given labels, and score what was found by the true ones."""
    found = label_noise.audit(probabilities, dataset.labels, independent)
    correct = dataset.labels == truth
    is_complementary = found.verdict == label_noise.COMPLEMENTARY

    def score(suspected: np.ndarray) -> dict[str, float | None]:
        return precision_and_recall(*((~suspected, correct) if is_complementary else (suspected, ~correct)))

    row: dict[str, Any] = {
        "verdict": found.verdict,
        "sentence": label_audit.sentence(found, dataset.class_names),
        "share_mislabeled": 1 - found.share.estimate,
        "share_mislabeled_interval": [1 - bound for bound in reversed(found.share.interval)],
        "actually_mislabeled": float(1 - correct.mean()),
        "suspects": "correctly labeled" if is_complementary else "mislabeled",
        **score(found.suspected),
        "suggestions_correct": float((found.posterior.argmax(axis=1) == truth).mean()),
    }
    if importlib.util.find_spec("cleanlab"):
        issues, share = label_noise.cleanlab_issues(probabilities, dataset.labels)
        row["cleanlab"] = {"share_mislabeled": share, **score(issues)}
    return row


COLUMNS = (
    *("data", "predictions", "verdict", "actually wrong", "estimate, 95 % interval"),
    *("suspects", "precision / recall", "cleanlab", "seconds"),
)


def table_row(row: dict[str, Any]) -> str:
    """Format a row of the table."""

    def pair(scores: dict[str, Any]) -> str:
        values = scores.get("precision"), scores.get("recall")
        return " / ".join("-" if value is None else f"{100 * value:.1f} %" for value in values)

    low, high = (100 * bound for bound in row["share_mislabeled_interval"])
    estimate = f"{100 * row['share_mislabeled']:.1f} % ({low:.1f}-{high:.1f})"
    cells = [row["data"], row["predictions"], row["verdict"], f"{100 * row['actually_mislabeled']:.1f} %", estimate]
    cells += [row["suspects"], pair(row), pair(row.get("cleanlab", {})), f"{row['seconds']:.0f}"]
    return f"| {' | '.join(cells)} |"


@errors_in_one_line()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--cache-dir", type=Path, default=os.environ.get("MIDAS_CACHE_DIR"))
    parser.add_argument("--checkpoint", help="repeat all audits with this reference model: a path or a shipped network")
    parser.add_argument("--only-checkpoint", action="store_true", help="no out-of-fold predictions")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of each training; by default as the command chooses them")
    parser.add_argument("--limit", type=int, help="images of each data set, for a quick test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers")
    options = parser.parse_args()
    if options.only_checkpoint and not options.checkpoint:
        parser.error("--only-checkpoint needs a --checkpoint")
    networks: list[Classifier | None] = [] if options.only_checkpoint else [None]
    if options.checkpoint:
        networks.append(midas.load(options.checkpoint))
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    for network in networks:
        size = network.size if network else 28
        for name, dataset, truth in cases(options.data_dir, size, options.cache_dir, options.limit, options.seed):
            start = time.perf_counter()
            probabilities = predict(dataset, name, network, options.folds, options.epochs, options.seed)
            row = {"data": name, "predictions": options.checkpoint if network else "out-of-fold"}
            row |= measure(dataset, truth, probabilities, independent=network is not None)
            rows.append({**row, "seconds": round(time.perf_counter() - start, 1)})
            print(table_row(rows[-1]), flush=True)
            print(row["sentence"], file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
