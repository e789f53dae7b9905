"""Matrices of classes by classes to figures. Like `plots`, without a display or pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from midas.report.plots import FEW_CLASSES, GRAY

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LUMA = (0.299, 0.587, 0.114)  # brightness of red, green and blue (ITU-R BT.601)


def confusion_matrix(
    counts: csr_array, names: Sequence[str], normalized: bool, chosen: Sequence[int] | None = None
) -> Figure:
    """Draw a confusion matrix: correct predictions on a blue scale, errors on an orange one.

    Args:
        counts: sparse int array (k, k), true classes in rows, as `classification.confusion_matrix` gives it.
        names: of the k classes.
        normalized: write percentages of the true class instead of counts into the cells.
        chosen: indices of the classes to draw; None draws all.
    """
    chosen = list(range(len(names)) if chosen is None else chosen)
    class_names = [names[index] for index in chosen]
    k, matrix, total = len(chosen), counts[chosen][:, chosen].toarray(), counts.sum(axis=1)[chosen, None]
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    diagonal = np.eye(k, dtype=bool)
    figure, axes = _matrix_axes(class_names)
    shown = share if normalized else matrix
    largest = max(shown[~diagonal].max(initial=0), 0.01 if normalized else 1)
    # The square root makes rare errors visible: most occur once or twice.
    errors = axes.imshow(
        np.ma.masked_array(shown, diagonal | (matrix == 0)), cmap="Oranges", norm=PowerNorm(0.5, 0, 1.4 * largest)
    )
    correct = axes.imshow(np.ma.masked_array(share, ~diagonal | (matrix == 0)), cmap="Blues", vmin=0, vmax=1.4)
    size = 12 if k <= FEW_CLASSES else 7
    for row, column in zip(*np.nonzero(matrix), strict=True):
        text = _cell_percent(share[row, column], k <= FEW_CLASSES) if normalized else str(matrix[row, column])
        picture, value = (correct, share) if row == column else (errors, shown)
        color = _text_color(picture, value[row, column])
        shrunk = size * min(1, 3.2 / len(text))
        axes.text(column, row, text, ha="center", va="center", fontsize=shrunk, color=color, clip_on=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(k + 1) - 0.5, minor=True)
    axes.tick_params(which="major", right=True, labelright=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    for index, (before, after) in enumerate(pairwise(class_names)):
        if _character_kind(before) != _character_kind(after):
            axes.axhline(index + 0.5, color=GRAY, linewidth=0.8)
            axes.axvline(index + 0.5, color=GRAY, linewidth=0.8)
    axes.set(xlabel="predicted class", ylabel="true class")
    unit = "percent of the true class" if normalized else "number of images"
    correct_ones = f"{counts.trace():,} of {counts.sum():,} correct (blue diagonal)"
    if k < len(names):
        correct_ones += f"; the {k} classes confused most of {len(names):,}"
    axes.set_title(f"{correct_ones}\nin the cells: {unit}", pad=12)
    return figure


def _text_color(picture: AxesImage, value: Any) -> str:
    """Choose black or white, by the brightness of a cell."""
    return "black" if np.dot(picture.cmap(picture.norm(value))[:3], LUMA) > 0.55 else "white"


def _cell_percent(share: float, decimals: bool) -> str:
    text = f"{100 * share:.{int(decimals)}f}"
    return "<1" if text == "0" else "<.1" if text == "0.0" else text


def _character_kind(name: str) -> tuple[bool, bool]:
    return name.isdigit(), name.isupper()


def transition_matrix(matrix: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw which labels the images of each class are given, as percentages of the class.

    Args:
        matrix: float array (k, k), true classes in rows that sum to 1.
        class_names: the k names.
    """
    k = len(class_names)
    figure, axes = _matrix_axes(class_names)
    # The square root makes rare labels visible, as in the confusion matrix.
    picture = axes.imshow(matrix, cmap="Blues", norm=PowerNorm(0.5, 0, 1.4))
    for row, column in zip(*np.nonzero(matrix >= (0.0005 if k <= FEW_CLASSES else 0.02)), strict=True):
        text = f"{100 * matrix[row, column]:.{int(k <= FEW_CLASSES)}f}"
        size, color = 10 if k <= FEW_CLASSES else 7, _text_color(picture, matrix[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
    axes.set(xlabel="given label", ylabel="true class, as estimated")
    axes.set_title("labels given to the images of each class, in percent", pad=12)
    return figure


def _matrix_axes(class_names: Sequence[str]) -> tuple[Figure, Axes]:
    size = 12 if len(class_names) <= FEW_CLASSES else 9
    side = max(5.5, 0.24 * len(class_names) + 1.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(len(class_names)), class_names, fontsize=size, parse_math=False)
    axes.tick_params(length=0, top=True, labeltop=True)
    axes.tick_params(axis="x", labelrotation=90 if max(map(len, class_names)) > 2 else 0)
    return figure, axes
