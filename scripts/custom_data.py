"""Measure `midas train` on data of several sizes, with the settings that it chooses itself.

    python scripts/custom_data.py --data-dir data

trains on scikit-learn's digits, on the sample's drawings of five letters (3, 10 and 40 of each), on ten images of each
class of MNIST, and on the 52 letters of Part 1. Printed are the accuracy that each training states itself (by
cross-validation, or of a validation set), the accuracy on test images that it never saw, both as mean and sample
standard deviation over seeds, and the processor time of everything, the cross-validation included.

    python scripts/custom_data.py --data-dir data --choose

compares numbers of steps, batch sizes, strengths of the augmentation and networks, on images of the training sets that
are set aside. The settings were chosen with it (seed 1); it scores no test image.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import cv2
import numpy as np
from endings import errors_in_one_line

from midas.data import datasets, sample
from midas.data.datasets import Dataset
from midas.experiments import Augmentation
from midas.learning.backend import start_tensorflow
from midas.recipes import PARTS, with_recipe
from midas.runs import Run
from midas.studies import custom

SEEDS = (0, 1, 2)
LETTERS = "aegqz"  # of the sample, in five classes
OTHER_WRITERS = range(100, 140)  # of the test images
CHOICE_SEED, SET_ASIDE = 1, 1000
# (data, images per class, steps, batch size, strength of the augmentation, other settings) of each comparison
CHOICES: tuple[tuple[str, int, int, int, float, dict[str, Any]], ...] = (
    *((name, 3, steps, 32, 1.0, {}) for name in ("digits", "letters") for steps in (100, 300, 900)),
    *((name, 10, steps, 64, 1.0, {}) for name in ("letters", "mnist") for steps in (300, 900)),
    *(("mnist", 10, 300, batch, 1.0, {}) for batch in (16, 32)),
    *((name, 10, 300, 64, strength, {}) for name in ("letters", "mnist") for strength in (0.5, 1.5)),
    *((name, 10, 300, 64, 1.0, {"model": model}) for name in ("letters", "mnist") for model in ("fast", "deep")),
)


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    data: str
    images: int
    stated: list[float]
    scored: str
    tested: list[float]
    test_images: int
    seconds: list[float]


@errors_in_one_line()
def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="data", help="folder of Part 1 and MNIST")
    parser.add_argument("--choose", action="store_true", help="compare settings on images that are set aside")
    parser.add_argument("--only", nargs="*", help="some of the data sets only, by the start of their names")
    options = parser.parse_args()
    start_tensorflow()
    if options.choose:
        choose(options.data_dir, options.only)
        return
    print("| data | images | accuracy stated | measured by | test accuracy | test images | processor seconds |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, data, test in data_sets(Path(folder), options.data_dir):
            if not options.only or name.startswith(tuple(options.only)):
                print(line(measure(Path(folder), name, data, test)), flush=True)


# ---- the data


def data_sets(folder: Path, data_dir: str) -> Iterator[tuple[str, Path, Path | None]]:
    """Yield the name of each data set, its path, and that of its test images, all written to a folder."""
    for drawings in (3, 10, 40):
        path = write_drawings(folder / f"sample-{drawings}", range(drawings))
        yield f"sample, 5 letters, {drawings} each", path, write_drawings(folder / "others", OTHER_WRITERS)
    path, test = write_digits(folder)
    yield "scikit-learn's digits", path, test
    mnist, others = (datasets.load(name, data_dir) for name in ("mnist", "mnist-test"))
    yield (
        "MNIST, 10 each",
        save(some_of_each(mnist, 10, 0)[0], folder / "mnist10.npz"),
        save(others, folder / "mnist-test.npz"),
    )
    part1 = datasets.load("part1", data_dir)
    yield "Part 1's letters, 52 classes", save(part1.only(part1.class_names[10:]), folder / "letters.npz"), None


def write_drawings(folder: Path, writers: Sequence[int]) -> Path:
    """Write the sample's drawings of five letters by some writers as class folders."""
    for letter in LETTERS:
        (folder / letter).mkdir(parents=True, exist_ok=True)
        for writer in writers:
            cv2.imwrite(str(folder / letter / f"{writer}.png"), sample.draw(letter, writer))
    return folder


def write_digits(folder: Path) -> tuple[Path, Path]:
    """Write scikit-learn's digits as npz files: four fifths, and the others."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    parts = train_test_split(found.images, found.target, test_size=0.2, stratify=found.target, random_state=0)
    for name, images, labels in (("digits", parts[0], parts[2]), ("digits-test", parts[1], parts[3])):
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    return folder / "digits.npz", folder / "digits-test.npz"


def save(data: Dataset, path: Path) -> Path:
    """Write glyphs as an npz file."""
    np.savez(path, images=np.asarray(data.images[:]), labels=np.array(data.class_names)[data.labels])
    return path


def some_of_each(data: Dataset, count: int, seed: int) -> tuple[Dataset, Dataset]:
    """Draw `count` images of each class; the others, shuffled, are returned, too."""
    order = np.random.default_rng(seed).permutation(len(data))
    chosen = np.concatenate([order[data.labels[order] == label][:count] for label in range(len(data.class_names))])
    return data.take(np.sort(chosen)), data.take(order[~np.isin(order, chosen)])


# ---- measuring


def measure(folder: Path, name: str, data: Path, test: Path | None) -> Measured:
    """Train with each seed, and score the networks on the test images; large data have one seed."""
    stated, tested, seconds, images, scored = [], [], [], 0, ""
    others = datasets.read(datasets.open_any(test, None)) if test else None
    for seed in SEEDS if test else SEEDS[:1]:
        began = time.process_time()
        run = custom.train(data, runs_dir=folder / "runs", seed=seed)
        seconds.append(time.process_time() - began)
        stated.append(run.result.accuracy)
        scored, images = run.result.scored, run.data.data.images if run.data else 0
        if others:
            probabilities = run.classifier().probabilities(others.glyphs)
            known = others.with_classes(run.card.class_names, name, name)
            tested.append(float((probabilities.argmax(axis=1) == known.labels).mean()))
    return Measured(name, images, stated, scored, tested, len(others) if others else 0, seconds)


def line(found: Measured) -> str:
    """Write a line of the table."""
    cells = [found.data, f"{found.images:,}", spread(found.stated), found.scored]
    cells += [spread(found.tested), f"{found.test_images:,}"] if found.tested else ["-", "-"]
    return f"| {' | '.join([*cells, f'{mean(found.seconds):.0f}'])} |"


def spread(values: Sequence[float]) -> str:
    """Write a mean and standard deviation in percent."""
    if len(values) == 1:
        return f"{100 * values[0]:.1f} %"
    return f"{100 * mean(values):.1f} ± {100 * stdev(values):.1f} %"


# ---- choosing


def choose(data_dir: str, only: Sequence[str] | None) -> None:
    """Print the accuracy of each of `CHOICES` on training images that were set aside."""
    from midas.learning.classifier import Classifier
    from midas.learning.trainer import train

    print("| data | images per class | steps | batch | augmentation | other settings | accuracy | processor seconds |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        digits = datasets.read(datasets.open_any(write_digits(Path(scratch))[0], None))
        part1 = datasets.load("part1", data_dir)
        sets = {"digits": digits, "letters": part1.only(part1.class_names[10:])}
        sets["mnist"] = datasets.load("mnist", data_dir)
        for number, (name, per_class, steps, batch, strength, settings) in enumerate(CHOICES):
            if only and not name.startswith(tuple(only)):
                continue
            training, others = some_of_each(sets[name], per_class, CHOICE_SEED)
            others = others.take(np.arange(min(SET_ASIDE, len(others))))
            experiment = replace(
                with_recipe(PARTS["custom"], "default"),
                batch_size=batch,
                epochs=max(1, round(steps / -(-len(training) // batch))),
                augmentation=scaled(strength),
                val_fraction=0.0,
                seed=CHOICE_SEED,
                **settings,
            )
            began, run = time.process_time(), Run(Path(scratch) / str(number))
            train(experiment, run, training)
            seconds = time.process_time() - began
            predicted = Classifier.load(run.path).probabilities(others.glyphs).argmax(axis=1)
            words = ", ".join(f"{key} {value}" for key, value in settings.items()) or "-"
            accuracy = 100 * (predicted == others.labels).mean()
            cells = name, per_class, steps, batch, f"{strength:g}", words, f"{accuracy:.1f} %", f"{seconds:.0f}"
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def scaled(strength: float) -> Augmentation:
    """Scale all deformations of the default augmentation, not what concerns places."""
    usual = Augmentation()
    names = [each.name for each in fields(Augmentation) if not each.name.startswith("place")]
    return replace(usual, **{name: strength * getattr(usual, name) for name in names})


if __name__ == "__main__":
    main()
