"""Tiny data sets and experiments that train in seconds, from the drawings of the embedded sample."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from midas.data import sample
from midas.data.complementary_mnist import complementary_labels, write_archive
from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.data.memmap import ImageFile
from midas.data.preprocessing import normalize
from midas.experiments import Experiment
from midas.learning import trainer
from midas.recipes import PARTS
from midas.records import EpochRecord, Result
from midas.runs import Run

CHARACTERS = "0123456789ABab"
DRAWINGS = 10


@functools.cache
def dataset(characters: str = CHARACTERS, drawings: int = DRAWINGS) -> Dataset:
    """Make a data set with `drawings` images of each character."""
    pages = [sample.draw(character, writer) for character in characters for writer in range(drawings)]
    labels = np.repeat(np.arange(len(characters)), drawings)
    names = np.array([f"{characters[label]}/{index}.png" for index, label in enumerate(labels)])
    return Dataset(Glyphs.stack(map(normalize, pages)), labels, tuple(characters), names, is_sample=True)


def on_disk(data: Dataset, file: Path) -> Dataset:
    """Move the images of a data set to a file."""
    data.images.tofile(file)
    return dataclasses.replace(data, glyphs=Glyphs(ImageFile(file, data.images.shape), data.glyphs.places))


def experiment(part: str = "part1", **changes) -> Experiment:
    """Make the experiment of a part small enough for a test, with the network whose training starts soonest."""
    small = {"model": "baseline", "epochs": 4, "batch_size": 16, "patience": 1}
    return dataclasses.replace(PARTS[part], **{**small, **changes})


def train_and_score(
    experiment: Experiment,
    run: Run,
    data: Dataset,
    test: Dataset | None = None,
    init_checkpoint: Path | None = None,
    **options,
) -> Result:
    """Do what a training command does once its data are loaded; `options` are those of `trainer.train`."""
    return trainer.score(trainer.train(experiment, run, data, init_checkpoint, **options), test)


class Stop(Exception):
    """Interrupts a training."""


def stop_after(epoch: int) -> Callable[[EpochRecord, int], None]:
    """Make a report that interrupts a training once an epoch is recorded, before its last.keras is written."""

    def stop(record: EpochRecord, epochs: int) -> None:
        if record.epoch == epoch:
            raise Stop

    return stop


def timeless(run: Run) -> list[EpochRecord]:
    """Return what a run recorded of its epochs, with all times set to 0."""
    return [
        dataclasses.replace(
            record,
            epoch_seconds=0.0,
            probes=tuple(dataclasses.replace(probe, seconds=0.0) for probe in record.probes),
        )
        for record in run.epochs()
    ]


def write_drawings(folder: Path, characters: str = CHARACTERS, drawings: int = DRAWINGS) -> Path:
    """Write pages like those of Part 1, at a quarter of the size: trainPart1/train/Sample001/img001-001.png."""
    for character in characters:
        number = sample.CHARACTERS.index(character) + 1
        class_folder = folder / "trainPart1" / "train" / f"Sample{number:03d}"
        class_folder.mkdir(parents=True)
        for writer in range(drawings):
            page = cv2.resize(sample.draw(character, writer), (300, 225), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(class_folder / f"img{number:03d}-{writer + 1:03d}.png"), page)
    return folder


def write_mnist(folder: Path, drawings: int = DRAWINGS) -> Path:
    """Write digits as mnist.npz, and with complementary labels as mnistTask3.npz."""
    digits = dataset("0123456789", drawings)
    arrays = {"x_train": digits.images, "y_train": digits.labels, "x_test": digits.images, "y_test": digits.labels}
    np.savez(folder / "mnist.npz", **arrays)
    np.savez(
        folder / "mnistTask3.npz", images=digits.images, labels=(digits.labels + 1 + np.arange(len(digits)) % 9) % 10
    )
    return folder


def write_part3(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write digits as mnist.npz, and as the JPEG files of mnistTask3.zip with two correct labels per class.

    Returns:
        The images, their true labels, and those that they are given.
    """
    images, labels = (array[:count] for array in sample.digits("train"))
    given_labels = complementary_labels(labels, seed=1, correct_per_class=2)
    np.savez(folder / "mnist.npz", images=images, labels=labels)
    write_archive(folder / "mnistTask3.zip", images, given_labels)
    return images, labels, given_labels
