"""Pictures of data sets, and the samples of its training data that a run keeps for the report."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import cast

import numpy as np

from midas.data.augmentation import augment_glyphs
from midas.data.datasets import Dataset
from midas.data.entries import Source
from midas.data.export import BATCH, augmented_copy
from midas.data.levels import UnreadableImage
from midas.errors import MidasError, printable
from midas.experiments import Augmentation, Experiment
from midas.metrics.classification import MANY_CLASSES
from midas.records import DataRecord, Samples
from midas.runs import Run

PREVIEW_IMAGES = 2  # images of each class in a preview
PREVIEW_CLASSES, PREVIEW_COPIES = 12, 10  # classes in a preview of augmented copies, and copies of each
SAMPLE_IMAGES = 120  # training images that a run keeps, evenly over the classes
MAX_PAIRED_CLASSES = 31  # up to this many classes, two pages of each class are kept; of more classes, one
SAMPLE_AUGMENTED, SAMPLE_COPIES = 10, 9  # images of which a run keeps augmented copies, and copies of each


def write_preview(dataset: Dataset, source: Source, path: Path) -> None:
    """Draw images of every class before and after preprocessing, as a PNG.

    Raises:
        MidasError: the file cannot be written.
    """
    from midas.report import plot_images, plots

    chosen = _first_of_each_class(dataset, PREVIEW_IMAGES)
    titles = [dataset.class_names[label] for label in dataset.labels[chosen]]
    figure = plot_images.samples(_pages(dataset, source, chosen), dataset.images[chosen], titles)
    plots.save(figure, path, dpi=100)


def write_copies_preview(dataset: Dataset, path: Path, copies: int, strengths: Augmentation, seed: int) -> None:
    """Draw the first image of some classes beside its first augmented copies, as a PNG.

    Args:
        dataset: normalized images.
        path: the file.
        copies: of each image, of which up to `PREVIEW_COPIES` are drawn.
        strengths: of the augmentation.
        seed: random seed; with the same seed, `export.write_copies` writes the same copies.

    Raises:
        MidasError: the file cannot be written.
    """
    from midas.report import plot_images, plots

    classes = _evenly(len(dataset.class_names), PREVIEW_CLASSES)
    chosen = np.array([np.flatnonzero(dataset.labels == label)[0] for label in classes])
    shown = np.empty((len(chosen), 1 + min(copies, PREVIEW_COPIES), *dataset.images.shape[1:]), np.uint8)
    for start in np.unique(chosen - chosen % BATCH).tolist():
        here = (chosen >= start) & (chosen < start + BATCH)
        for copy in range(shown.shape[1]):
            shown[here, copy] = augmented_copy(dataset.images, start, copy, strengths, seed)[chosen[here] - start]
    figure = plot_images.augmented_copies(shown, [dataset.class_names[label] for label in classes])
    plots.save(figure, path, dpi=100)


def keep_samples(
    run: Run, experiment: Experiment, data: Dataset, source: Source | Dataset, test: Dataset | None
) -> None:
    """Write data.json and samples.npz of a run: what its report shows of the data.

    Args:
        run: the run's directory.
        experiment: whose augmentation is shown.
        data: the training set, validation images included.
        source: where its images come from; no samples are kept of a data set in memory.
        test: the test set, if there is one.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report.plot_images import thumbnail

    run.write(DataRecord(data.summary(), test.summary() if test else None))
    if isinstance(source, Dataset):
        return
    classes = len(data.class_names)
    chosen = _first_of_each_class(data, max(SAMPLE_IMAGES // classes, 1))
    paged = _first_of_each_class(data, 2 if classes <= MAX_PAIRED_CLASSES else 1)
    augmented = paged[_evenly(len(paged), SAMPLE_AUGMENTED)]
    originals = data.glyphs[augmented]
    copies = [originals.images]
    if experiment.augmentation:
        rng = np.random.default_rng(experiment.seed)
        copies += [augment_glyphs(originals, experiment.augmentation, rng).images for _ in range(SAMPLE_COPIES)]
    try:
        pages = [thumbnail(page) for page in _pages(data, source, paged)]
    except MidasError as error:  # removed while the run was trained, which is not worth losing it
        logging.getLogger(__name__).warning("%s; no samples are kept for the report", printable(str(error)))
        return
    run.write_samples(
        Samples(
            images=data.images[chosen],
            labels=data.labels[chosen],
            prepared=data.images[paged],
            prepared_labels=data.labels[paged],
            augmented=np.stack(copies, axis=1),
            augmented_labels=data.labels[augmented],
            pages=pages,
        )
    )


def _first_of_each_class(dataset: Dataset, count: int) -> np.ndarray:
    """Find the first images of every class, or of `MANY_CLASSES` of them: their indices, class by class."""
    shown = _evenly(len(dataset.class_names), MANY_CLASSES)
    return np.concatenate([np.flatnonzero(dataset.labels == k)[:count] for k in shown])


def _evenly(n: int, count: int) -> np.ndarray:
    """Choose up to `count` of the numbers below n, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, count).round().astype(int))


def _pages(dataset: Dataset, source: Source, chosen: np.ndarray) -> list[np.ndarray]:
    """Read images again as they were before preprocessing.

    Raises:
        MidasError: one cannot be read any more.
    """
    wanted = {str(dataset.names[index]) for index in chosen}
    files = wanted | {re.sub(r"\[\d+\]$", "", name) for name in wanted}  # of which they may be pages
    entries = (entry for entry in source.entries() if entry.name in files)
    pages = {name: page for entry in entries for name, page in entry.pages() if name in wanted}
    found = {name: pages.get(name, UnreadableImage("missing")) for name in wanted}
    for name, page in sorted(found.items()):
        if isinstance(page, UnreadableImage):
            raise MidasError(f"{source.locate(name)}: {page}, though it was read before; put it back")
    return [cast(np.ndarray, found[str(dataset.names[index])]) for index in chosen]
