"""The public functions of the package; TensorFlow is imported by the first call that needs it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.learning.classifier import Classifier
    from midas.records import EpochRecord
    from midas.runs import Run
    from midas.studies.custom import TrainedRun


def load(checkpoint: str | os.PathLike | Run | None = None, *, tta: int | None = None) -> Classifier:
    """Load a network.

    Args:
        checkpoint: a run, a run directory, a `.keras` file, a folder of several (an ensemble), or the name of a network
            that ships with midas: "part1" (0-9, A-Z, a-z), "part2-best", "part3-random", "part3-pretrained" or
            "part3-best" (digits). None loads "part1".
        tta: average probabilities over this many augmented copies of each image, the image itself included; None for
            what the network's card says.

    Raises:
        MidasError: there is no such network, or it cannot be read.

    >>> reader = load("part2-best")
    >>> "".join(reader.class_names)
    '0123456789'
    """
    import dataclasses

    from midas.learning import backend

    backend.start_tensorflow()
    from midas.learning.checkpoints import find_checkpoint
    from midas.learning.classifier import Classifier
    from midas.runs import Run

    path = checkpoint.path if isinstance(checkpoint, Run) else checkpoint
    network = Classifier.load(find_checkpoint(path))
    return dataclasses.replace(network, tta=tta) if tta else network


def load_dataset(
    path: str | os.PathLike,
    *,
    size: int = 28,
    split: str | None = None,
    class_names: str | os.PathLike | None = None,
    transpose: bool | None = None,
    cache_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Read labeled images into normalized glyphs.

    Args:
        path: a data set in any of the forms that midas/data/README.md lists, or "sample" for the drawings of the
            embedded sample.
        size: side of the glyphs in pixels.
        split: "train" or "test", for data sets that have such a part; None reads everything.
        class_names: a file that says what the labels stand for, with lines of label,name or in JSON; None takes the
            labels as they are, or the names that the data set has.
        transpose: whether to swap rows and columns of each image; None does so where the form says that they are
            swapped, as those of EMNIST.
        cache_dir: where to cache the glyphs; None caches nothing.

    Raises:
        MidasError: it cannot be read, or has no labels.

    >>> import tempfile, numpy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = numpy.zeros((4, 28, 28), numpy.uint8)
    ...     images[:, 4:24, 13:15] = 255
    ...     numpy.savez(f"{folder}/ones.npz", images=images, labels=[1, 1, 7, 7])
    ...     data = load_dataset(f"{folder}/ones.npz")
    >>> len(data), data.class_names, data.images.shape
    (4, ('1', '7'), (4, 28, 28))
    """
    from midas.data import datasets

    source = datasets.open_any(path, split, class_names, transpose)
    for note in source.notes:
        logging.getLogger(__name__).warning("%s", note)
    return datasets.cached(source, size, cache_dir)


def train(
    data: Dataset | str | os.PathLike,
    test: Dataset | str | os.PathLike | None = None,
    *,
    name: str | None = None,
    recipe: str = "default",
    runs_dir: str | os.PathLike = "checkpoints",
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[EpochRecord, int], None] = lambda record, epochs: None,
    **settings: Any,
) -> TrainedRun:
    """Train a network on labeled images of any classes.

    Epochs, batch size and how the accuracy is measured suit the size of the data, unless settings say otherwise.
    Calling it again with the same settings and data returns the finished run.

    Args:
        data: training set, or a path as `load_dataset` takes it.
        test: test set, scored once at the end, or its path. None takes the test part of the data, if a path is given
            and it has one; otherwise the accuracy is measured on a validation set or, for small data, by
            cross-validation.
        name: of the run; by default made from the data's path and the settings.
        recipe: "default", "quick" (in a fourth of the time) or "best" (the most accurate).
        runs_dir: root of the run directories; the run is written to `custom/NAME/seed-SEED` below it.
        resume: continue an interrupted run.
        overwrite: train again.
        report: called after each epoch with its record and the number of epochs.
        **settings: any setting of `Experiment`, such as `epochs`, `model`, `batch_size` or `seed`; with
            `init="pretrained"`, `init_checkpoint` is a path or the name of a network that ships with midas.

    Returns:
        The run: `run.result` has the scores, `run.classifier()` loads the network.

    Raises:
        MidasError: the data cannot be read or split, a setting is not allowed, or the run directory holds another run.

    >>> import tempfile, numpy
    >>> images = numpy.zeros((20, 28, 28), numpy.uint8)
    >>> images[:10, 4:24, 13:15], images[10:, 13:15, 4:24] = 255, 255  # bars, upright and lying
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numpy.savez(f"{folder}/bars.npz", images=images, labels=["up"] * 10 + ["flat"] * 10)
    ...     run = train(f"{folder}/bars.npz", epochs=1, folds=2, runs_dir=folder)
    ...     run.result.scored, run.result.n, run.classifier().class_names
    ('2-fold cross-validation', 20, ('flat', 'up'))
    """
    from midas.studies import custom

    return custom.train(
        data,
        test,
        name=name,
        recipe=recipe,
        runs_dir=Path(runs_dir),
        resume=resume,
        overwrite=overwrite,
        report=report,
        **settings,
    )
