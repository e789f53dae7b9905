"""What an audit of labels has found, in words, as a table and as files."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from midas.data.datasets import Dataset
from midas.metrics.label_noise import (
    CLEAN_VERDICT,
    COMPLEMENTARY,
    EVEN,
    SIGNIFICANCE,
    SUSPECTED,
    UNDECIDED,
    Audit,
)
from midas.runs import atomic, write_json


def describe(found: Audit, dataset: Dataset, most: int) -> dict:
    """Name everything that was found, as plain values for JSON.

    Args:
        found: what `audit` gave for these data.
        dataset: the images, their folders and names.
        most: list no more suspects than this, if so many are not suspected.

    Returns:
        verdict and sentence; shares in 0-1, None where the witness cannot tell; and `suspects`, the images most
        probably misfiled, or where nearly all labels are wrong those most probably filed right, the surest first.
    """
    names, share = dataset.class_names, found.share
    chosen = suspects(found, most)
    return {
        "images": len(dataset),
        "class_names": list(names),
        "verdict": found.verdict,
        "sentence": sentence(found, names),
        "share_wrong": 1 - share.right if found.told else None,
        "share_wrong_interval": [1 - share.interval[1], 1 - share.interval[0]] if found.told else None,
        # Where nearly all are wrong, a witness that were always mistaken would explain it too: no test of anything.
        "all_right_p": share.all_right_p if found.verdict != COMPLEMENTARY else None,
        "none_right_p": share.none_right_p,
        "read_by": "smallest" if found.answers.smallest else "largest",
        "agreeing": found.answers.agreeing,
        "agreeing_by_chance": found.answers.chance,
        "agreeing_p": found.answers.p_value,
        "uneven_p": found.uneven_p,
        "uneven_effect": found.uneven_effect,
        "pairs": [
            {"class": names[row], "folder": names[column], "share_of_wrong": part} for row, column, part in found.pairs
        ],
        "per_class": [
            {
                "class": name,
                "images": of.images if of else 0,
                "right": of.right if of and found.told else None,
                "right_interval": list(of.interval) if of and found.told else None,
                "all_right_p": of.all_right_p if of and found.told else None,
            }
            for name, of in zip(names, found.by_class, strict=True)
        ],
        "transition": found.transition.round(6).tolist(),
        "suspected": int((found.filed_right < SUSPECTED).sum()) if found.told else 0,
        "suspects": [
            {
                "file": str(dataset.names[index]),
                "folder": names[dataset.labels[index]],
                "looks_like": names[found.posterior[index].argmax()],
                "probability": float(found.posterior[index].max()),
                "filed_right": float(found.filed_right[index]),
            }
            for index in chosen
        ],
    }


def suspects(found: Audit, most: int) -> np.ndarray:
    """Choose the images most probably misfiled, or filed right where nearly all labels are wrong: indices, in order.

    At least `most`, as far as there are so many; and all that are rather so than not. None if nothing is told.
    """
    if not found.told:
        return np.zeros(0, int)
    key, rather = found.filed_right, found.filed_right < SUSPECTED
    if found.verdict == COMPLEMENTARY:
        key, rather = -key, ~rather
    # Among equals those first that the witness is surest of.
    return np.lexsort((found.answers.rank, key))[: max(most, int(rather.sum()))]


def sentence(found: Audit, names: tuple[str, ...]) -> str:
    """Put the verdict into words."""
    share, answers = found.share, found.answers
    low, high = (_percent(1 - bound) for bound in reversed(share.interval))
    if not found.told:
        return (
            f"undecided: the witness's answers have nothing to do with the labels ({_percent(answers.agreeing)} agree, "
            f"{_percent(answers.chance)} would by chance): it knows too little, or the labels are random"
        )
    if found.verdict == CLEAN_VERDICT:
        return f"clean: at most {high} of the labels are wrong"
    if found.verdict == UNDECIDED:
        return (
            f"undecided: up to {high} of the labels may be wrong"
            + (f", and at least {low}" if share.interval[1] < 1 else "")
            + "; more images, more --epochs or a --checkpoint that reads them better would tell"
        )
    if found.verdict == COMPLEMENTARY:
        right = " to ".join(_percent(bound) for bound in share.interval)
        chance = _percent(1 / len(names))
        return (
            f"complementary: nearly every label is wrong, {right} are right, where {chance} would be by chance; "
            f"{_spread(found, names)}"
        )
    text = f"noisy: {_percent(1 - share.right)} of the labels are wrong (95 % interval {low} to {high})"
    if share.all_right_p >= SIGNIFICANCE:
        text += f", for certain in {_some([names[label] for label in found.wrong_classes])}"
    return f"{text}; {_spread(found, names)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _some(words: list[str]) -> str:
    return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


def _spread(found: Audit, names: tuple[str, ...]) -> str:
    """Say how the wrong labels are spread over the folders."""
    if found.in_pairs >= 0.5:
        some = _some([f"{names[row]} in {names[column]}" for row, column, _ in found.pairs])
        return f"the wrong ones lie mostly in one folder a class: {some}"
    if found.uneven_effect is None:
        return "the wrong ones are too few to say how they are spread"
    if found.uneven_effect <= EVEN or found.uneven_p >= SIGNIFICANCE:
        return "the wrong ones lie evenly over the other folders"
    return "the wrong ones lie unevenly over the other folders"


def table(summary: Mapping, most: int) -> str:
    """Lay out what `describe` returned as text, with at most so many of the suspects."""
    lines = [summary["sentence"]]
    if summary["share_wrong"] is not None:
        lines += ["", *_numbers(summary)]
    if "cleanlab" in summary:
        theirs, ours = summary["cleanlab"], summary["share_wrong"]
        counts = summary["suspected"], theirs["suspected"], theirs["both"]
        lines += [
            "",
            "suspected labels   midas {:,}, cleanlab {:,}, both {:,}".format(*counts),
            f"share wrong        midas {'-' if ours is None else _percent(ours)}, "
            f"cleanlab {_percent(theirs['share_wrong'])}",
        ]
    shown = summary["suspects"][:most]
    if shown:
        what = "filed right" if summary["verdict"] == COMPLEMENTARY else "misfiled"
        files = max(len("file"), *(len(row["file"]) for row in shown))
        lines += ["", f"most probably {what}:", f"{'file':<{files}}  filed as    looks like  probability  filed right"]
        lines += [
            f"{row['file']:<{files}}  {row['folder']:<10}  {row['looks_like']:<10}  {100 * row['probability']:9.1f} %"
            f"  {100 * row['filed_right']:9.1f} %"
            for row in shown
        ]
    return "\n".join(lines)


def _numbers(summary: Mapping) -> list[str]:
    """Lay out the shares by class and the tests."""
    width = max(5, *(len(name) for name in summary["class_names"]))
    lines = [f"{'class':<{width}}  images  filed right  95 % interval"]
    for row in summary["per_class"]:
        line = f"{row['class']:<{width}}  {row['images']:>6,}"
        if row["images"]:
            low, high = (100 * bound for bound in row["right_interval"])
            line += f"  {100 * row['right']:>9.1f} %  {low:.1f}-{high:.1f} %"
        lines.append(line)
    even = "too few wrong labels to tell"
    if summary["uneven_p"] is not None:
        even = f"{_p(summary['uneven_p'])}, Cramer's V {summary['uneven_effect']:.2f}"
    lines += [
        "",
        *(
            []
            if summary["all_right_p"] is None
            else [f"could every label be right?       {_p(summary['all_right_p'])}"]
        ),
        f"could every label be wrong?       {_p(summary['none_right_p'])}",
        f"could the wrong ones lie evenly?  {even}",
    ]
    for pair in summary["pairs"][:10]:
        lines.append(f"  {pair['class']} in {pair['folder']}: {_percent(pair['share_of_wrong'])} of its wrong labels")
    return lines


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}"


def write(found: Audit, dataset: Dataset, summary: dict, most: int, out: Path) -> dict:
    """Write audit.json, labels.csv, audit.png (the suspects) and transition.png, and name them in the summary returned.

    Where the witness knows nothing there is audit.json alone.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plots

    if not found.told:
        summary = {**summary, "files": ["audit.json"]}
        write_json(out / "audit.json", summary)
        return summary
    names, shown = dataset.class_names, suspects(found, most)[:most]
    looks = found.posterior.argmax(axis=1)
    what = "filed right" if found.verdict == COMPLEMENTARY else "misfiled"
    figures = {
        "audit.png": plots.suspects(
            dataset.images[shown],
            [names[label] for label in dataset.labels[shown]],
            [names[label] for label in looks[shown]],
            found.posterior[shown].max(axis=1),
            dataset.names[shown],
            f"the {len(shown)} of {len(dataset):,} images that are most probably {what}",
        ),
        "transition.png": plots.transition(found.transition, list(names)),
    }
    for name, figure in figures.items():
        with atomic(out / name) as temporary:
            figure.savefig(temporary, dpi=120)
    with atomic(out / "labels.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "folder", "suggested", "probability", "changed"])
        columns = dataset.names, dataset.labels, looks, found.posterior.max(axis=1)
        for name, label, look, probability in zip(*columns, strict=True):
            writer.writerow([name, names[label], names[look], f"{probability:.4f}", "yes" if look != label else "no"])
    summary = {**summary, "files": ["audit.json", "labels.csv", *figures]}
    write_json(out / "audit.json", summary)
    return summary
