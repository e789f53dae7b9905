"""Pen adaptation: glyphs drawn with a finer pen than those of the training set are thickened.

A network that has only seen the strokes of a thick pen fails at those of a ballpoint, which fade to a pixel or less.
Augmentation does not reach that far; but the width of a stroke says nothing about the class, so it can be changed. The
glyphs of a training set tell which widths its network knows, and a finer glyph is dilated to one of the finer of these.
Other glyphs, such as nearly all of the training set itself, stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from midas.records import PenStatistics

if TYPE_CHECKING:
    from midas.data.memmap import ImageFile

MEASURED = 5_000  # glyphs of a training set, or up to twice as many, evenly spaced
FINEST, FINE = 0.001, 0.1  # quantiles of the widths: the finest that is known, apart from outliers, and a fine one
SCALE = 2  # to which glyphs are enlarged, as strokes can be finer than a pixel
INK = 128  # gray level from which a pixel of an enlarged glyph counts as ink
FAINTEST = 32  # gray level of ink that counts for the size of a glyph


def pen_statistics(images: np.ndarray | ImageFile) -> PenStatistics | None:
    """Measure the pens of a training set.

    Args:
        images: uint8 (n, side, side), light ink on black, in memory or in a file.

    Returns:
        The statistics; None if there is no image with ink.
    """
    chosen = np.arange(0, len(images), max(1, len(images) // MEASURED))
    widths = [width for width in pen_widths(images[chosen]) if width]
    return PenStatistics(*np.quantile(widths, (FINEST, FINE)).tolist()) if widths else None


def adapt(images: np.ndarray, known: PenStatistics) -> np.ndarray:
    """Thicken the glyphs that are finer than the finest known one.

    Args:
        images: uint8 (n, side, side), light ink on black.
        known: of the training set of the network that they are for.

    Returns:
        uint8 (n, side, side), the same array if there is nothing to thicken.
    """
    widths = pen_widths(images)
    finer = np.flatnonzero((widths > 0) & (widths < known.finest))
    if not len(finer):
        return images
    adapted = images.copy()
    for index in finer:
        adapted[index] = thicken(images[index], known.fine - float(widths[index]))
    return adapted


def pen_widths(images: np.ndarray) -> np.ndarray:
    """Measure the width of the strokes of each glyph, in pixels; 0 where there is no ink.

    Across a stroke of width w, the distance to its nearest edge is w / 4 in the mean.

    Args:
        images: uint8 (n, side, side), light ink on black.

    Returns:
        float (n,).

    >>> images = np.zeros((1, 28, 28), np.uint8); images[:, 4:24, 12:16] = 255
    >>> pen_widths(images).round(1).tolist()  # less than 4 because of the ends
    [3.5]
    """
    count, side, _ = images.shape
    if not count:
        return np.zeros(0)
    tall = np.pad(images, ((0, 0), (1, 1), (1, 1))).reshape(-1, side + 2)  # one call for all of them
    large = cv2.resize(tall, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    depth = cv2.distanceTransform((large >= INK).view(np.uint8), cv2.DIST_L2, 3).reshape(count, -1)
    ink = np.count_nonzero(depth, axis=1)
    mean = depth.sum(axis=1, dtype=np.float64) / np.maximum(ink, 1)
    # Distances are to the middle of the first pixel without ink, which lies half a pixel beyond the edge.
    return np.where(ink, 4 / SCALE * (mean - 0.5), 0)


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
