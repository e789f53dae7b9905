"""Images to figures: sheets of captioned glyphs and pages. Like `plots`, without a display or pyplot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from midas.errors import counted
from midas.metrics import classification
from midas.report.plots import BLUE, GRAY, ORANGE, message

PER_ROW = 10  # images beside each other
THUMBNAIL = 150  # pixels that the shorter side of a thumbnail has at least, where the page has them
MAX_LINE = 26  # characters of a caption's line


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: np.ndarray,
    class_names: Sequence[str],
    limit: int = 60,
) -> Figure:
    """Draw the misclassified images, the most confident errors first, captioned "true → predicted confidence".

    Args:
        images: uint8 array (n, side, side), light ink on black.
        labels: int array (n,).
        probabilities: float array (n, k).
        names: str array (n,), of which the file name is shown.
        class_names: the k names.
        limit: maximum number of images.
    """
    wrong = classification.misclassified(probabilities, labels)
    if len(wrong) == 0:
        return message(f"No errors among {counted(len(labels), 'image')}.")
    shown, cell_width = wrong[:limit], 1.15
    which = "" if len(shown) == len(wrong) else f"the {len(shown)} most confident of "
    what = f"{which}{counted(len(wrong), 'error')} on {counted(len(labels), 'image')}"
    figure, axes, corners = _cells(len(shown), PER_ROW, cell_width, 1.5, what, 5)
    for index, (left, top) in zip(shown, corners, strict=True):
        predicted = probabilities[index].argmax()
        confidence = f"{100 * probabilities[index, predicted]:.0f} %"
        _picture(axes, images[index], left + 0.12, top, cell_width - 0.24)
        caption = f"{class_names[labels[index]]} → {class_names[predicted]}"
        joint = "  " if len(caption) < 7 else "\n"
        middle = left + cell_width / 2
        _caption(axes, middle, top + 0.93, caption + joint + confidence, 10, cell_width)
        below = top + (1.13 if joint == "  " else 1.25)
        _caption(axes, middle, below, _short_name(names[index]), 6.5, cell_width, GRAY)
    return figure


def suspects(
    images: np.ndarray,
    given_labels: Sequence[str],
    looks_like: Sequence[str],
    probabilities: np.ndarray,
    names: np.ndarray,
    title: str,
) -> Figure:
    """Draw images whose label may be wrong, captioned with the label, the most probable class and its probability.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        given_labels: n names of classes.
        looks_like: n names of classes.
        probabilities: float array (n,), of the most probable class.
        names: str array (n,), of which the file name is shown.
        title: a line above all.
    """
    if not len(images):
        return message("There are no suspects.")
    cell_width = 1.35
    figure, axes, corners = _cells(len(images), PER_ROW, cell_width, 1.95, title, 6)
    each = zip(corners, images, given_labels, looks_like, probabilities, names, strict=True)
    for (left, top), image, label, look, probability, name in each:
        middle, width = left + cell_width / 2, cell_width - 0.1
        _picture(axes, image, left + 0.15, top, cell_width - 0.3)
        _caption(axes, middle, top + 1.1, f"labeled {label}", 10, width)
        _caption(axes, middle, top + 1.29, f"looks like {look}", 10, width, BLUE if look == label else ORANGE)
        _caption(axes, middle, top + 1.48, f"{100 * probability:.0f} %", 10, width)
        _caption(axes, middle, top + 1.68, _short_name(name), 6.5, width, GRAY)
    return figure


def samples(pages: Sequence[np.ndarray], glyphs: np.ndarray, titles: Sequence[str], columns: int = 11) -> Figure:
    """Draw what preprocessing does: each page, below it the glyph that the network sees, and the class above.

    Args:
        pages: n uint8 arrays (height, width), of any size.
        glyphs: uint8 array (n, side, side).
        titles: n captions.
        columns: pairs beside each other.
    """
    cell_width = 1.1
    figure, axes, corners = _cells(len(pages), columns, cell_width, 2.2)
    for (left, top), page, glyph, title in zip(corners, pages, glyphs, titles, strict=True):
        _caption(axes, left + cell_width / 2, top + 0.07, title, 11, cell_width)
        _picture(axes, thumbnail(page), left + 0.05, top + 0.28, 1, 0.9)
        _picture(axes, glyph, left + 0.1, top + 1.22, 0.9)
    return figure


def augmented_copies(images: np.ndarray, titles: Sequence[str]) -> Figure:
    """Draw augmented copies: a row for each image, the image itself on the left, its numbered copies beside it.

    Args:
        images: uint8 array (n, 1 + copies, side, side), the originals first.
        titles: n captions, left of the rows.
    """
    rows, columns = images.shape[:2]
    cell, left_margin, gap, head = 0.9, 0.9, 0.2, 0.35
    figure, axes = _sheet(left_margin + columns * cell + gap + 0.1, head + rows * cell + 0.1)
    for column in range(columns):
        left = left_margin + column * cell + (gap if column else 0)
        _caption(axes, left + cell / 2, 0.1, str(column) if column else "original", 10, cell, GRAY)
        for row in range(rows):
            _picture(axes, images[row, column], left + 0.03, head + row * cell + 0.03, cell - 0.06)
    for row, title in enumerate(titles):
        _caption(axes, left_margin / 2, head + row * cell + 0.38, title, 13, left_margin)
    return figure


def thumbnail(page: np.ndarray) -> np.ndarray:
    """Shrink a page, uint8 (height, width), by averaging blocks of pixels: thin strokes grow pale but do not vanish.

    >>> thumbnail(np.zeros((900, 1200), np.uint8)).shape
    (150, 200)
    """
    step = max(1, min(page.shape) // THUMBNAIL)
    height, width = (length // step for length in page.shape)
    blocks = page[: height * step, : width * step].reshape(height, step, width, step)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _cells(
    count: int, columns: int, width: float, height: float, title: str = "", narrowest: float = 0.0
) -> tuple[Figure, Axes, list[tuple[float, float]]]:
    """Make a sheet of up to `columns` cells beside each other, below a title; give the top left corner of each."""
    columns, head = min(columns, count), 0.45 if title else 0.0
    figure, axes = _sheet(max(columns * width, narrowest), -(-count // columns) * height + head)
    axes.text(0.1, 0.25, title, fontsize=11, va="center")
    return figure, axes, [(n % columns * width, n // columns * height + head) for n in range(count)]


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a blank figure whose coordinates are inches from the top left; axes for every image would be slow."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return figure, axes


def _picture(axes: Axes, image: np.ndarray, left: float, top: float, width: float, height: float | None = None) -> None:
    """Fit a gray image into a box of a sheet, centered and undistorted."""
    height = height or width
    scale = min(width / image.shape[1], height / image.shape[0])
    across, down = image.shape[1] * scale, image.shape[0] * scale
    left, top = left + (width - across) / 2, top + (height - down) / 2
    extent = (left, left + across, top + down, top)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")
    axes.add_patch(Rectangle((left, top), across, down, fill=False, edgecolor="#999999", linewidth=0.5))


def _caption(axes: Axes, x: float, y: float, text: str, size: float, width: float, color: str = "black") -> None:
    """Write text below (x, y), shrunk to fit into `width` inches; of very long lines only the end is shown."""
    lines = [line if len(line) <= MAX_LINE else f"…{line[1 - MAX_LINE :]}" for line in text.split("\n")]
    # In Matplotlib's default typeface a letter is up to 0.68 of the font size wide; a point is 1/72 inch.
    size = min(size, 72 * width / (0.68 * max(map(len, lines))))
    style: dict[str, Any] = {"ha": "center", "va": "top", "linespacing": 1.05, "parse_math": False}
    axes.text(x, y, "\n".join(lines), fontsize=size, color=color, **style)


def _short_name(name: str) -> str:
    """Shorten an image's origin to its file name, or to its number in a file of many.

    >>> _short_name("train/Sample001/img001-001.png"), _short_name("mnist/t10k-images-idx3-ubyte.gz[9729]")
    ('img001-001.png', 'no. 9729')
    """
    return re.sub(r".*\[(\d+)\]$", r"no. \1", str(name).rsplit("/", 1)[-1])
