"""Out-of-fold predictions: every image is predicted by a network that was not trained on its label."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from midas.data.datasets import Dataset
from midas.errors import MidasError
from midas.experiments import Experiment
from midas.recipes import PARTS
from midas.records import EpochRecord
from midas.runs import Run
from midas.studies.cross_validation import stratified_folds

# Two epochs of forty thousand images teach a digit; sets of a few dozen drawings per class need thirty.
IMAGES_SHOWN = 80_000
MIN_EPOCHS, MAX_EPOCHS = 2, 30
LARGE = 10_000  # images above which batches are large: they are faster, and there are enough steps


def default_epochs(images: int, folds: int) -> int:
    """Choose the number of epochs of each network, which is trained on all folds but one.

    >>> default_epochs(60_000, 3), default_epochs(2_480, 3)
    (2, 30)
    """
    return min(max(math.ceil(IMAGES_SHOWN * folds / (folds - 1) / images), MIN_EPOCHS), MAX_EPOCHS)


def split_off_rare(dataset: Dataset, folds: int) -> tuple[Dataset, dict[str, int]]:
    """Leave out the classes with fewer images than there are folds, which cannot be predicted out of fold.

    Returns:
        The images of the other classes, and the number of images of each class left out.
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names)).tolist()
    rare = {name: count for name, count in zip(dataset.class_names, counts, strict=True) if count < folds}
    return (dataset.only(tuple(name for name in dataset.class_names if name not in rare)) if rare else dataset), rare


def predict(
    dataset: Dataset,
    data: str,
    folds: int,
    epochs: int,
    seed: int = 0,
    report: Callable[[EpochRecord, int], None] = lambda record, epochs: None,
    stage: Callable[[str], None] = lambda title: None,
    moment: Callable[[EpochRecord, int, float], None] = lambda record, epochs, share: None,
) -> np.ndarray:
    """Train on the given labels, right or wrong, and predict each image with a network that was not trained on it.

    Args:
        dataset: labeled images.
        data: its name, for messages.
        folds: stratified parts of the data.
        epochs: of each training.
        seed: random seed of the split and the trainings.
        report: called after each epoch with its record and the number of epochs.
        stage: called with the fold that comes next, such as "fold 1 of 3".
        moment: called within epochs, as `callbacks.EpochRecorder` says.

    Returns:
        float32 (n, K): the probabilities of the labels that an image is given, not of what it shows.

    Raises:
        MidasError: a class has fewer images than there are folds, or a training diverged.
    """
    from midas.learning.classifier import Classifier
    from midas.learning.trainer import train

    probabilities = np.zeros((len(dataset), len(dataset.class_names)), np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        for fold, (others, held_out) in enumerate(stratified_folds(dataset, data, folds, seed)):
            part, run = dataset.take(others), Run(Path(scratch) / f"fold-{fold}")
            experiment = dataclasses.replace(_experiment(dataset, len(part)), epochs=epochs, seed=seed + fold)
            stage(f"fold {fold + 1} of {folds}")
            try:
                train(experiment, run, part, report=report, moment=moment)
            except MidasError as error:
                reason = str(error).removeprefix(f"{run.path}: ").split(";")[0]
                raise MidasError(f"{data}: {reason}; try other --epochs or another --seed") from error
            network = Classifier.load(run.path)
            probabilities[held_out] = network.probabilities(dataset.glyphs.take(held_out))
    return probabilities


def _experiment(dataset: Dataset, images: int) -> Experiment:
    return dataclasses.replace(
        PARTS["custom"],
        size=dataset.glyphs.size,
        batch_size=256 if images > LARGE else 64,
        val_fraction=0.0,
    )
