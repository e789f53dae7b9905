"""What says, of every image of a data set, which class it shows, without having learnt from that image's own label."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
from sklearn.model_selection import StratifiedKFold

from midas.data.datasets import Dataset
from midas.errors import MidasError
from midas.experiments import PARTS, Experiment, with_recipe
from midas.learning import models
from midas.learning import trainer as training
from midas.learning.classifier import Classifier, card_file, checkpoint_files
from midas.learning.reading import outputs_of
from midas.runs import read_json

# Two epochs of forty thousand images teach a digit; sets of a few dozen drawings a class need thirty.
IMAGES_SHOWN = 80_000
FEWEST_EPOCHS, MOST_EPOCHS = 2, 30
LARGE = 10_000  # images, from which on batches are large: they are quicker, and there are steps enough


def ask(network: Classifier, dataset: Dataset, data: str) -> np.ndarray:
    """Let a trained network answer with the classes of the data: float32 (n, K), in the order of the data's classes.

    Raises:
        MidasError: the network does not know one of the classes.
    """
    outputs = outputs_of(network, dataset, data)
    return network.probabilities(dataset.images, dataset.places, outputs)[:, outputs]


def learnt_from(checkpoints: Iterable[Path]) -> set[str]:
    """Collect the digests of the data that networks were trained on, as far as their cards tell."""
    cards = (read_json(card_file(file)) for path in checkpoints for file in checkpoint_files(path))
    return {card["data_digest"] for card in cards if "data_digest" in card}


def default_epochs(images: int, folds: int) -> int:
    """Choose how often a network sees the images that it is trained on, which are all but a fold.

    >>> default_epochs(60_000, 3), default_epochs(2_480, 3)
    (2, 30)
    """
    return min(max(math.ceil(IMAGES_SHOWN * folds / (folds - 1) / images), FEWEST_EPOCHS), MOST_EPOCHS)


def cross_validate(
    dataset: Dataset,
    data: str,
    folds: int,
    epochs: int,
    seed: int = 0,
    report: Callable[[dict, int], None] = lambda record, epochs: None,
) -> np.ndarray:
    """Train on the labels as they are, and let every image be answered by a network that did not see it.

    Args:
        dataset: images and labels of any kind.
        data: its name, for messages.
        folds: parts the images are split into, stratified.
        epochs: of each training.
        seed: of the split and the trainings.
        report: called after each epoch with its record and the number of epochs, counted over all folds.

    Returns:
        float32 (n, K): the probabilities of the labels that an image is found under, not of what it shows.

    Raises:
        MidasError: a class has fewer images than there are folds.
    """
    fewest = int(np.bincount(dataset.labels, minlength=len(dataset.class_names)).argmin())
    count = int((dataset.labels == fewest).sum())
    if count < folds:
        raise MidasError(
            f"{data}: class {dataset.class_names[fewest]!r} has {count} of the images, too few for {folds} folds; "
            "use fewer --folds or more images, or give a --checkpoint"
        )
    probabilities = np.zeros((len(dataset), len(dataset.class_names)), np.float32)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed).split(dataset.labels, dataset.labels)
    for fold, (ours, theirs) in enumerate(split):
        part = dataset.take(ours)
        experiment = dataclasses.replace(
            with_recipe(PARTS["part1"], "cosine"),
            size=dataset.images.shape[1],
            batch_size=256 if len(part) > LARGE else 64,
            epochs=epochs,
            seed=seed + fold,
        )
        told = _Told(report, fold * experiment.epochs, folds * experiment.epochs, data)
        network = _train(part, experiment, told)
        probabilities[theirs] = network.probabilities(dataset.images[theirs], dataset.places[theirs])
    return probabilities


def _train(part: Dataset, experiment: Experiment, told: keras.callbacks.Callback) -> Classifier:
    training.prepare_keras(experiment.seed)
    model = models.build(experiment.model, experiment.size, len(part.class_names))
    steps = math.ceil(len(part) / experiment.batch_size)
    training.compile_model(model, experiment, steps)
    with training.feed(part, experiment, model) as images:
        model.fit(images, steps_per_epoch=steps, epochs=experiment.epochs, shuffle=False, callbacks=[told], verbose=0)
    return Classifier((model,), part.class_names, experiment.size)


class _Told(keras.callbacks.Callback):
    """Tell the user of each epoch, and stop where nothing is left to be learnt."""

    def __init__(self, report, done: int, total: int, data: str):
        super().__init__()
        self.tell, self.done, self.total, self.data = report, done, total, data

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise MidasError(f"{self.data}: the loss is no longer a number; try other --epochs or another --seed")
        record = {"epoch": self.done + epoch + 1, "loss": float(logs["loss"])}
        self.tell({**record, "epoch_seconds": time.perf_counter() - self.began}, self.total)
