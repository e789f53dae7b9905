"""Tiny data sets and experiments that train in seconds, from the embedded sample's glyphs."""

import dataclasses
import functools
from pathlib import Path

import cv2
import numpy as np

from midas.data import sample
from midas.data.datasets import Dataset
from midas.data.preprocessing import glyph_and_place
from midas.experiments import PARTS, Experiment
from midas.learning import trainer as training
from midas.runs import Run

CHARACTERS = "0123456789ABab"
DRAWINGS = 10


@functools.cache
def glyphs(characters: str = CHARACTERS, drawings: int = DRAWINGS) -> Dataset:
    """A labelled set with `drawings` images of each character."""
    pages = [sample.draw(character, writer) for character in characters for writer in range(drawings)]
    images, places = zip(*map(glyph_and_place, pages), strict=True)
    labels = np.repeat(np.arange(len(characters)), drawings)
    names = np.array([f"{characters[label]}/{index}.png" for index, label in enumerate(labels)])
    return Dataset(np.stack(images), labels, tuple(characters), names, np.stack(places), is_sample=True)


def experiment(part: str = "part1", **changes) -> Experiment:
    """The part's experiment, small enough for a test."""
    return dataclasses.replace(PARTS[part], **{"epochs": 4, "batch_size": 16, "patience": 1, **changes})


def train_and_score(
    experiment: Experiment, run: Run, data: Dataset, test: Dataset | None = None, source: Path | None = None, **options
) -> dict:
    """Do all that a training command does once its data are read."""
    training.train(experiment, run, data, source, **options)
    return training.score(experiment, run, data, test, source)


def timeless(run: Run) -> list[dict]:
    """What a run recorded of its epochs, but for how long anything took."""
    records = [{key: value for key, value in record.items() if key != "epoch_seconds"} for record in run.metrics()]
    for record in records:
        for probe in record.get("probes", ()):
            del probe["seconds"]
    return records


def write_drawings(folder: Path, characters: str = CHARACTERS, drawings: int = DRAWINGS) -> Path:
    """Write the pages as Part 1 has them, at a quarter of the size: trainPart1/train/Sample001/img001-001.png."""
    for character in characters:
        number = sample.CHARACTERS.index(character) + 1
        place = folder / "trainPart1" / "train" / f"Sample{number:03d}"
        place.mkdir(parents=True)
        for writer in range(drawings):
            page = cv2.resize(sample.draw(character, writer), (300, 225), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(place / f"img{number:03d}-{writer + 1:03d}.png"), page)
    return folder


def write_mnist(folder: Path, drawings: int = DRAWINGS) -> Path:
    """Write digits as mnist.npz, and misfiled as mnistTask3.npz."""
    digits = glyphs("0123456789", drawings)
    arrays = {"x_train": digits.images, "y_train": digits.labels, "x_test": digits.images, "y_test": digits.labels}
    np.savez(folder / "mnist.npz", **arrays)
    np.savez(
        folder / "mnistTask3.npz", images=digits.images, labels=(digits.labels + 1 + np.arange(len(digits)) % 9) % 10
    )
    return folder
