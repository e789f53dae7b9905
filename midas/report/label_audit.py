"""Label audits as JSON, in words, as tables and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midas.data.corrections import RELABEL
from midas.errors import counted
from midas.files import write_csv, write_json, writing
from midas.metrics.label_noise import (
    CLEAN,
    COMPLEMENTARY,
    SIGNIFICANCE_LEVEL,
    SMALL_V,
    UNDECIDED,
    Audit,
)
from midas.metrics.noise_transition import LabelPair
from midas.report.tables import Column, first_of, folded, text_table

if TYPE_CHECKING:
    from midas.data.datasets import Dataset

MORE = "try more images or a better network (more --epochs, or --checkpoint)"
MAX_PAIRS = 10  # shown in the table
MAX_NAMED = 4  # classes or pairs named in a sentence


def describe(found: Audit, dataset: Dataset) -> dict[str, Any]:
    """Collect all findings as plain values for JSON.

    Args:
        found: what `label_noise.audit` returned for this data set.
        dataset: the images with their given labels and names.

    Returns:
        The verdict, what to do, a sentence, the numbers (shares in 0-1; None where the audit is inconclusive) and the
        suspects: the labels that are rather wrong than correct or, where nearly all are wrong, those that are rather
        correct, the likeliest first; and the share of the suspects that is expected to be just that.
    """
    names, share, predictions = dataset.class_names, found.share, found.predictions
    listed = suspects(found)
    per_class = []
    for name, of_class in zip(names, found.by_class, strict=True):
        shown = of_class if found.conclusive else None
        per_class.append(
            {
                "class": name,
                "images": of_class.images if of_class else 0,
                "correct": shown.estimate if shown else None,
                "correct_interval": list(shown.interval) if shown else None,
                "all_correct_p": shown.all_correct_p if shown else None,
            }
        )
    return {
        "images": len(dataset),
        "class_names": list(names),
        "verdict": found.verdict,
        "action": action(found),
        "sentence": sentence(found, names),
        "share_mislabeled": 1 - share.estimate if found.conclusive else None,
        "share_mislabeled_interval": [1 - bound for bound in reversed(share.interval)] if found.conclusive else None,
        # Untestable for complementary labels: a network that is always wrong would explain every disagreement.
        "all_correct_p": share.all_correct_p if found.verdict != COMPLEMENTARY else None,
        "none_correct_p": share.none_correct_p,
        "read_by": "smallest" if predictions.from_smallest else "largest",
        "agreement": predictions.agreement,
        "agreement_by_chance": predictions.chance,
        "agreement_p": predictions.p_value,
        "uneven_p": found.uneven_p,
        "uneven_effect": found.uneven_effect,
        "pairs": [{"class": names[pair.true], "label": names[pair.given], "share": pair.share} for pair in found.pairs],
        "per_class": per_class,
        "transition": found.transition.round(6).tolist(),
        "suspected": int(found.suspected.sum()) if found.conclusive else 0,
        "expected_precision": expected_precision(found),
        "suspects": [
            {
                "file": str(dataset.names[index]),
                "label": names[dataset.labels[index]],
                "looks_like": names[found.posterior[index].argmax()],
                "probability": float(found.posterior[index].max()),
                "label_correct": float(found.p_correct[index]),
            }
            for index in listed
        ],
    }


def suspects(found: Audit) -> np.ndarray:
    """Select the labels that are rather wrong or, among complementary labels, correct: int indices, likeliest first.

    There are none if the audit is inconclusive.
    """
    if not found.conclusive:
        return np.zeros(0, int)
    is_complementary = found.verdict == COMPLEMENTARY
    return _in_order(found, ~found.suspected if is_complementary else found.suspected, descending=is_complementary)


def _in_order(found: Audit, members: np.ndarray, descending: bool = False) -> np.ndarray:
    """Order labels by their probability of being correct, and ties by the confidence of the predictions."""
    key = -found.p_correct if descending else found.p_correct
    order = np.lexsort((found.predictions.rank, key))
    return order[members[order]]


def expected_precision(found: Audit) -> float | None:
    """Give the share of the suspects that is expected to be wrong (complementary: correct); None without suspects."""
    p_correct = found.p_correct[suspects(found)]
    if not len(p_correct):
        return None
    return float(p_correct.mean() if found.verdict == COMPLEMENTARY else 1 - p_correct.mean())


# ---- in words


def action(found: Audit) -> str:
    """Say what to do, in a sentence."""
    if not found.conclusive:
        return f"Nothing can be said about these labels; {MORE}."
    if found.verdict == COMPLEMENTARY:
        return "Do not train on these labels as if they were correct: take them as complementary labels."
    count = int(found.suspected.sum())
    if not count:
        return "No image to check."
    return f"{counted(count, 'image')} to check, expected precision {_percent(expected_precision(found) or 0)}."


def sentence(found: Audit, names: Sequence[str]) -> str:
    """Put the verdict into words."""
    share, predictions = found.share, found.predictions
    low, high = (_percent(1 - bound) for bound in reversed(share.interval))
    if not found.conclusive:
        return (
            f"undecided: the predictions do not depend on the labels ({_percent(predictions.agreement)} agree, "
            f"{_percent(predictions.chance)} by chance); the network is too weak, or the labels are random"
        )
    if found.verdict == CLEAN:
        return f"clean: up to {high} of the labels are wrong"
    if found.verdict == UNDECIDED:
        bounds = f"{low} to {high}" if share.interval[1] < 1 else f"up to {high}"
        return f"undecided: {bounds} of the labels may be wrong; {MORE}"
    if found.verdict == COMPLEMENTARY:
        correct = " to ".join(_percent(bound) for bound in share.interval)
        return (
            f"complementary: nearly every label is wrong; {correct} are correct "
            f"({_percent(1 / len(names))} by chance); {_distribution(found, names)}"
        )
    text = f"noisy: {_percent(1 - share.estimate)} of the labels are wrong (95 % interval {low} to {high})"
    if share.all_correct_p >= SIGNIFICANCE_LEVEL:
        text += f", significantly in {first_of([names[label] for label in found.noisy_classes], MAX_NAMED)}"
    return f"{text}; {_distribution(found, names)}"


def _distribution(found: Audit, names: Sequence[str]) -> str:
    """Say how the wrong labels are distributed over the other classes."""
    if found.share_in_pairs >= 0.5:
        pairs = first_of([_pair(pair, names) for pair in found.pairs], MAX_NAMED)
        return f"most wrong labels are in pairs of classes: {pairs}"
    if found.uneven_p is None or found.uneven_effect is None:
        return "there are too few images to test how the wrong labels are distributed"
    if found.uneven_p >= SIGNIFICANCE_LEVEL:
        return "the wrong labels do not differ significantly from uniform ones over the other classes"
    if found.uneven_effect <= SMALL_V:
        return "the wrong labels are nearly uniform over the other classes"
    return "the wrong labels are not uniform over the other classes"


def _pair(pair: LabelPair, names: Sequence[str]) -> str:
    return f"{names[pair.true]} labeled {names[pair.given]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f} %"


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


# ---- tables

PER_CLASS = (
    Column("class", "class", text=True),
    Column("images", "images", "{:,}".format),
    Column("correct labels", "correct", _percent),
    Column("95 % interval", "correct_interval", _interval),
)
TESTS = (Column("hypothesis", "hypothesis", text=True), Column("p-value", "p", _p))
PAIRS = (
    Column("class", "class", text=True),
    Column("labeled", "label", text=True),
    Column("share of its wrong labels", "share", _percent),
)
SUSPECTS = (
    Column("file", "file", text=True),
    Column("label", "label", text=True),
    Column("looks like", "looks_like", text=True),
    Column("probability", "probability", _percent),
    Column("label correct", "label_correct", _percent),
)
CLEANLAB = (
    Column("", "quantity", text=True),
    Column("midas", "midas"),
    Column("cleanlab", "cleanlab"),
    Column("both", "both"),
)


def table(summary: Mapping[str, Any], max_suspects: int, width: int | None = None) -> str:
    """Format what `describe` returned as text, with up to `max_suspects` suspects, for a terminal of some width."""
    parts = [f"{folded(summary['action'], width)}\n{folded(summary['sentence'], width)}"]
    if summary.get("left_out"):
        parts.append(folded(left_out(summary["left_out"]), width))
    if summary["share_mislabeled"] is not None:
        parts += [text_table(PER_CLASS, summary["per_class"]), text_table(TESTS, _tests(summary), keep_empty=True)]
        if summary["pairs"]:
            parts.append(text_table(PAIRS, summary["pairs"][:MAX_PAIRS]))
    if "cleanlab" in summary:
        parts.append(text_table(CLEANLAB, _against_cleanlab(summary)))
    if summary["suspects"]:
        heading = f"Labels that are probably {_looked_for(summary['verdict'])}, the likeliest first:"
        parts.append(f"{heading}\n{text_table(SUSPECTS, summary['suspects'][:max_suspects], width=width)}")
    return "\n\n".join(parts)


def left_out(classes: Mapping[str, int]) -> str:
    """Name the classes that an audit left out, with their numbers of images.

    >>> left_out({"D": 1, "E": 2})
    'Left out, with fewer images than there are folds: D (1), E (2)'
    """
    named = first_of([f"{name} ({images})" for name, images in classes.items()], MAX_NAMED)
    return f"Left out, with fewer images than there are folds: {named}"


def _tests(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    uniform = "label noise is uniform"
    if summary["uneven_effect"] is not None:
        uniform += f" (Cramer's V {summary['uneven_effect']:.2f})"
    return [
        {"hypothesis": "all labels are correct", "p": summary["all_correct_p"]},
        {"hypothesis": "all labels are wrong", "p": summary["none_correct_p"]},
        {"hypothesis": uniform, "p": summary["uneven_p"]},
    ]


def _against_cleanlab(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    theirs, ours = summary["cleanlab"], summary["share_mislabeled"]
    return [
        {
            "quantity": "suspected labels",
            "midas": f"{summary['suspected']:,}",
            "cleanlab": f"{theirs['suspected']:,}",
            "both": f"{theirs['both']:,}",
        },
        {
            "quantity": "share of wrong labels",
            "midas": None if ours is None else _percent(ours),
            "cleanlab": _percent(theirs["share_mislabeled"]),
            "both": None,
        },
    ]


def _looked_for(verdict: str) -> str:
    return "correct" if verdict == COMPLEMENTARY else "wrong"


# ---- files


def write(found: Audit, dataset: Dataset, summary: dict[str, Any], max_suspects: int, out: Path) -> dict[str, Any]:
    """Write the audit's files to a folder.

    They are audit.json, labels.csv (probably wrong labels, corrected), audit.png (the suspects) and transition.png;
    audit.json alone if the audit is inconclusive, and then those of an earlier audit are deleted.

    Returns:
        The summary with the names of the files.

    Raises:
        MidasError: a file cannot be written.
    """
    files = ["audit.json"]
    if found.conclusive:
        _write_labels(found, dataset, out / "labels.csv")
        files += ["labels.csv", *_write_figures(found, dataset, max_suspects, out)]
    elif (out / "audit.json").exists():
        for name in ("labels.csv", "audit.png", "transition.png"):
            with writing(out / name):
                (out / name).unlink(missing_ok=True)
    summary = {**summary, "files": files}
    write_json(out / "audit.json", summary)
    return summary


def _write_labels(found: Audit, dataset: Dataset, path: Path) -> None:
    """List the images whose label is probably wrong, the likeliest first, each with a corrected label.

    `data.corrections` reads it.
    """
    names = dataset.class_names
    rows = [("file", "label", "suggested", "decision", "probability", "label_correct")]
    for index in _in_order(found, found.suspected):
        suggested, p_correct = found.posterior[index].argmax(), found.p_correct[index]
        cells = dataset.names[index], names[dataset.labels[index]], names[suggested], RELABEL
        rows.append((*cells, f"{found.posterior[index, suggested]:.4f}", f"{p_correct:.4f}"))
    write_csv(path, rows)


def _write_figures(found: Audit, dataset: Dataset, max_suspects: int, out: Path) -> list[str]:
    from midas.report import plot_images, plot_matrices, plots

    names, listed = dataset.class_names, suspects(found)
    shown = listed[:max_suspects]
    looks_like = found.posterior[shown].argmax(axis=1)
    figures = {
        "audit.png": plot_images.suspects(
            dataset.images[shown],
            [names[label] for label in dataset.labels[shown]],
            [names[label] for label in looks_like],
            found.posterior[shown].max(axis=1),
            dataset.names[shown],
            f"Probably {_looked_for(found.verdict)}: {len(shown):,} of {counted(len(listed), 'label')}",
        ),
        "transition.png": plot_matrices.transition_matrix(found.transition, list(names)),
    }
    for name, figure in figures.items():
        plots.save(figure, out / name)
    return list(figures)
