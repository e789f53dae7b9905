"""Pen adaptation: glyphs drawn with a finer pen than those of the training set are thickened.

A network fails at strokes that are finer than those it has seen, as those of a ballpoint, which fade to a pixel or
less. Augmentation with other pens helps, but not as far; the width of a stroke says nothing about the class, so it can
be changed. The glyphs of a training set tell which widths its network knows, and a finer glyph is dilated to one of the
finer of these. Other glyphs, such as nearly all of the training set itself, stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from midas.data import pens
from midas.data.pens import INK, SCALE
from midas.records import PenStatistics

if TYPE_CHECKING:
    from midas.data.memmap import ImageFile

MEASURED = 5_000  # glyphs of a training set, or up to twice as many, evenly spaced
FINEST, FINE = 0.001, 0.1  # quantiles of the widths: the finest that is known, apart from outliers, and a fine one
FAINTEST = 32  # gray level of ink that counts for the size of a glyph


def pen_statistics(images: np.ndarray | ImageFile) -> PenStatistics | None:
    """Measure the pens of a training set.

    Args:
        images: uint8 (n, side, side), light ink on black, in memory or in a file.

    Returns:
        The statistics; None if there is no image with ink.
    """
    chosen = np.arange(0, len(images), max(1, len(images) // MEASURED))
    measured = images[chosen] if isinstance(images, np.ndarray) else images.take(chosen)  # which may stay in the file
    widths = [width for width in pens.widths(measured) if width]
    return PenStatistics(*np.quantile(widths, (FINEST, FINE)).tolist()) if widths else None


def adapt(images: np.ndarray, known: PenStatistics) -> np.ndarray:
    """Thicken the glyphs that are finer than the finest known one.

    Args:
        images: uint8 (n, side, side), light ink on black.
        known: of the training set of the network that they are for.

    Returns:
        uint8 (n, side, side), the same array if there is nothing to thicken.
    """
    widths = pens.widths(images)
    finer = np.flatnonzero((widths > 0) & (widths < known.finest))
    if not len(finer):
        return images
    adapted = images.copy()
    for index in finer:
        adapted[index] = thicken(images[index], known.fine - float(widths[index]))
    return adapted


def thicken(image: np.ndarray, pixels: float) -> np.ndarray:
    """Draw a glyph with a pen that is this much thicker, and as large as before.

    Args:
        image: uint8 (side, side), light ink on black, not without ink.
        pixels: what to add to the width of its strokes.
    """
    side = len(image)
    box = max(cv2.boundingRect((image > FAINTEST).view(np.uint8))[2:])
    scale = SCALE * box / (box + pixels)  # the thicker strokes take up room on both sides
    start = (side - 1) / 2 - (SCALE * side - 1) / 2 / scale  # the middle stays where it is
    map_back = np.array([[1 / scale, 0, start], [0, 1 / scale, start]])
    shape = (SCALE * side, SCALE * side)
    large = cv2.warpAffine(image, map_back, shape, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
    diameter = 2 * round(SCALE * pixels / 2) + 1
    thick = cv2.dilate(large, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)))
    # Strokes finer than a pixel are faint.
    return cv2.resize(cv2.convertScaleAbs(thick, alpha=255 / INK), (side, side), interpolation=cv2.INTER_AREA)
