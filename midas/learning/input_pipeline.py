"""From a data set to augmented batches: the split, the order of the images, and TensorFlow's pipeline."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.model_selection import train_test_split

from midas.data.augmentation import augment_glyphs
from midas.data.datasets import Dataset
from midas.errors import MidasError, counted, some
from midas.experiments import Experiment
from midas.learning import models
from midas.learning.losses import VIEWS


def split(data: Dataset, experiment: Experiment) -> tuple[Dataset, Dataset]:
    """Split off the validation set: stratified, by the experiment's seed.

    Returns:
        The training set and the validation set, which is empty if `val_fraction` is 0.

    Raises:
        MidasError: a class has too few images.
    """
    chosen = _limited(data.labels, experiment)
    if not experiment.val_fraction:
        return data.take(np.sort(chosen)), data.take(chosen[:0])
    try:
        training, validation = train_test_split(
            chosen,
            test_size=experiment.val_fraction,
            stratify=data.labels[chosen],
            random_state=experiment.seed,
        )
    except ValueError as error:
        counts = np.bincount(data.labels[chosen], minlength=len(data.class_names))
        if rare := [repr(data.class_names[label]) for label in np.flatnonzero(counts == 1)]:
            raise MidasError(
                f"{experiment.data}: only one image each of {some(rare)}, too few for a training and a validation set; "
                "add images, remove the class, or train without a validation set (--all-data)"
            ) from error
        images, classes = counted(len(chosen), "image"), counted(len(data.class_names), "class")
        raise MidasError(
            f"{experiment.data}: too few for a validation set of {100 * experiment.val_fraction:g} %: {images} of "
            f"{classes}; use more images, a larger --val-fraction, or --all-data"
        ) from error
    return data.take(np.sort(training)), data.take(np.sort(validation))


def _limited(labels: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Choose the images to use at all, as evenly over the classes as the limit allows."""
    if not experiment.limit:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(experiment.seed).permutation(len(labels))
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        rank[members] = np.arange(len(members))
    return shuffled[np.argsort(rank[shuffled], kind="stable")][: experiment.limit]


def steps_per_epoch(training: Dataset, experiment: Experiment) -> int:
    """Count the batches of an epoch, an incomplete last one included."""
    return math.ceil(len(training) / experiment.batch_size)


def batches(
    training: Dataset, experiment: Experiment, model: keras.Model, first_epoch: int = 0
) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield shuffled, augmented batches without end; each epoch depends on the seed and its own number alone.

    That makes a resumed run equal to one that was never interrupted.

    Args:
        training: training set.
        experiment: has the batch size, the augmentation, the loss and the seed.
        model: takes the inputs.
        first_epoch: epochs to skip.

    Yields:
        (inputs, targets): what `models.inputs` makes of the glyphs, and int64 labels (b,). With the loss "progressive"
        there are two augmented copies of each image, and targets (2 b, 2) as `losses.ProgressiveIdentification` takes.
    """
    for epoch in itertools.count(first_epoch):
        rng = np.random.default_rng([experiment.seed, epoch])
        order = rng.permutation(len(training))
        for start in range(0, len(training), experiment.batch_size):
            chosen = order[start : start + experiment.batch_size]
            if experiment.loss == "progressive":
                chosen = np.tile(chosen, VIEWS)
            glyphs = training.glyphs[chosen]
            if experiment.augmentation:
                glyphs = augment_glyphs(glyphs, experiment.augmentation, rng, models.takes_places(model))
            yield models.inputs(model, glyphs), _targets(training, experiment, chosen)


def _targets(training: Dataset, experiment: Experiment, chosen: np.ndarray) -> np.ndarray:
    labels = training.labels[chosen]
    return np.stack([chosen, labels], axis=1) if experiment.loss == "progressive" else labels


class ValidationBatches(keras.utils.PyDataset):
    """The batches of a validation set, in memory or in a file; Keras would copy arrays as a whole.

    To be closed after the training: TensorFlow keeps this object forever, and would keep the network and the data.
    """

    def __init__(self, validation: Dataset, model: keras.Model, size: int) -> None:
        super().__init__()
        self.validation, self.model, self.size = validation, model, size

    def __len__(self) -> int:
        return math.ceil(len(self.validation) / self.size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        chosen = slice(index * self.size, (index + 1) * self.size)
        return models.inputs(self.model, self.validation.glyphs[chosen]), self.validation.labels[chosen]

    def close(self) -> None:
        """Let go of the validation set and the network."""
        del self.validation, self.model


@contextlib.contextmanager
def feed(
    training: Dataset, experiment: Experiment, model: keras.Model, first_epoch: int = 0
) -> Iterator[tf.data.Dataset]:
    """Give `batches` to TensorFlow as a `tf.data.Dataset` in a `with` block; the next batch is made while it computes.

    Keras would wrap a generator in `from_generator`, which has a patch for Python 3.11 that makes malloc return every
    large array to the system at once: augmentation would spend three quarters of its time on page faults. Every
    iterator begins anew: with several devices, Keras takes a batch for itself before it trains.
    """
    sources = [lambda: batches(training, experiment, model, first_epoch)]
    streams, failures = list[Iterator](), list[Exception]()
    none = np.arange(0)
    example = models.inputs(model, training.glyphs[none]), _targets(training, experiment, none)
    specs = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in tf.nest.flatten(example)]

    def begin() -> np.ndarray:
        streams.append(sources[0]())
        return np.array(len(streams) - 1)

    def read(number: np.ndarray) -> list[np.ndarray]:
        try:
            return tf.nest.flatten(next(streams[number]))
        except Exception as error:
            failures.append(error)
            raise

    def next_batch(number: Any) -> Any:
        arrays = tf.numpy_function(read, [number], [spec.dtype for spec in specs])
        arrays = [tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, specs, strict=True)]
        return tf.nest.pack_sequence_as(example, arrays)

    try:
        number = tf.data.Dataset.range(1).map(lambda _: tf.numpy_function(begin, [], tf.int64))
        yield number.flat_map(lambda one: tf.data.Dataset.from_tensors(one).repeat().map(next_batch)).prefetch(1)
    except tf.errors.OpError:
        if failures:
            raise failures.pop() from None  # instead of TensorFlow's account of it
        raise
    finally:
        sources.clear()
        streams.clear()  # TensorFlow never releases a function, which would keep network and data forever
