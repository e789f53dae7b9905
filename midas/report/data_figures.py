"""Samples of training data to galleries of the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from midas.errors import MidasError
from midas.report import plots
from midas.report.figures import Figures, Gallery
from midas.report.sheets import Sheet
from midas.runs import Run

PAGE_SIDE = 96  # pixels of a page before preprocessing


def of_data(run: Run, class_names: Sequence[str], title: str, name: str) -> tuple[Figures, list[Sheet]]:
    """Show what a run was trained on: before and after preprocessing, by class, and augmented.

    Args:
        run: whose samples are shown; without samples there are no figures.
        class_names: its classes.
        title: names the data in words.
        name: distinguishes the sheets of its images.

    Raises:
        MidasError: samples.npz is damaged.
    """
    samples = run.samples()
    if samples is None:
        return [], []
    try:
        pages = Sheet(f"{name}-pages", np.stack([_square(page) for page in samples.pages]))
        glyphs = Sheet(f"{name}-glyphs", np.concatenate([samples.prepared, samples.images, *samples.augmented]))
        prepared = [class_names[label] for label in samples.prepared_labels]
        pairs = [
            (label, [pages.tile(index, alt=f"{label}, as it came"), glyphs.tile(index, alt=f"{label}, preprocessed")])
            for index, label in enumerate(prepared)
        ]
        caption = f"{len(pairs)} of {title}: on the left as they came, on the right as the network sees them."
        figures: Figures = [Gallery(pairs, caption)]
        first = len(samples.prepared)
        if len(class_names) <= plots.FEW_CLASSES:
            rows = [
                (label, [glyphs.tile(first + index, alt=label) for index in np.flatnonzero(samples.labels == number)])
                for number, label in enumerate(class_names)
            ]
            figures.append(Gallery(rows, f"The first images of each of the {len(class_names)} labels in {title}."))
        copies, first = samples.augmented.shape[1], first + len(samples.images)
        if copies > 1:
            rows = [
                (class_names[label], [glyphs.tile(first + row * copies + copy) for copy in range(copies)])
                for row, label in enumerate(samples.augmented_labels)
            ]
            caption = f"Some of {title}, each with {copies - 1} augmented copies, as the network sees them in training."
            figures.append(Gallery(rows, caption))
        return figures, [pages, glyphs]
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise MidasError(f"{run / 'samples.npz'}: damaged, not the samples of a run") from error


def _square(page: np.ndarray) -> np.ndarray:
    """Fit a page, uint8 (height, width), into a square of its border's gray level."""
    from PIL import Image, ImageOps

    picture = ImageOps.contain(Image.fromarray(page), (PAGE_SIDE, PAGE_SIDE))
    square = Image.new("L", (PAGE_SIDE, PAGE_SIDE), int(page[0, 0]))
    square.paste(picture, ((PAGE_SIDE - picture.width) // 2, (PAGE_SIDE - picture.height) // 2))
    return np.asarray(square)
