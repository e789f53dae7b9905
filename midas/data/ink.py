"""Ink and paper of an image: their gray levels, and which ink is the glyph."""

from __future__ import annotations

import cv2
import numpy as np

from midas.data.levels import BLANK, UnreadableImage

MIN_CONTRAST = 24  # gray levels between paper and ink; an image with less is blank
INK = 32  # of 255, with the paper at 0: fainter pixels do not widen the glyph
PLAIN_BORDER = 0.75  # of the border pixels: if fewer agree, the glyph was cropped so tightly that it fills the border
SPECK_AREA = 0.15  # of the largest component: anything larger belongs to the glyph, wherever it is
# Smaller components belong to the glyph if they are near it. Limits in diagonals of the largest component; the dots of
# i and j in the 2,480 drawings of Part 1 are closer.
SPECK_GAP_BESIDE = 0.25
SPECK_GAP_ABOVE = 0.5  # above or below
DUST_AREA = 0.02  # of the largest component: smaller components are dust if they also have less than `DUST_SHARE`
DUST_SHARE = 1e-4  # of the image: less than a pixel in MNIST, seven pixels in the working copy of a page


def ink_levels(gray: np.ndarray) -> tuple[float, float]:
    """Find the gray levels of paper and ink, for dark ink on light paper as well as for the opposite.

    The paper is what most of the border of the image shows, or most of the whole image if the border is undecided. The
    ink is the end of the range on the other side of Otsu's threshold (Otsu 1979).

    Args:
        gray: uint8 array (height, width).

    Returns:
        The levels (paper, ink) in 0-255.

    Raises:
        UnreadableImage: the contrast is below `MIN_CONTRAST`.

    >>> page = np.full((9, 9), 240, np.uint8); page[3:6, 4] = 20
    >>> ink_levels(page)
    (240.0, 20.0)
    """
    low, high = (float(value) for value in cv2.minMaxLoc(gray)[:2])
    if high - low < MIN_CONTRAST:
        raise UnreadableImage(BLANK)
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    border = border_pixels(gray)
    bright = border > threshold
    share = np.count_nonzero(bright) / bright.size
    if 1 - PLAIN_BORDER < share < PLAIN_BORDER:
        share = np.count_nonzero(gray > threshold) / gray.size
    is_light = share >= 0.5
    paper = border[bright == is_light]
    return float(np.median(paper)), low if is_light else high


def glyph_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Find the rectangle around the glyph, without distant specks but with the dots of i and j.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        (left, top, right, bottom) in pixels, right and bottom exclusive.

    Raises:
        UnreadableImage: there is no ink.

    >>> page = np.zeros((90, 120), np.uint8); page[30:60, 50:54] = 255; page[0:3, 117:120] = 255
    >>> glyph_box(page)
    (50, 30, 54, 60)
    """
    return box_of_components(components(ink), ink.size)


def components(ink: np.ndarray) -> np.ndarray:
    """Describe the connected components of ink: int array (n, 5) of left, top, width, height and area."""
    inked = (ink > INK).view(np.uint8)
    left, top, width, height = cv2.boundingRect(inked)
    if not width:
        return np.zeros((0, 5), np.int32)
    start = left // 2 * 2, top // 2 * 2  # OpenCV looks at 2x2 pixels at a time, by which it numbers the components
    inked = inked[start[1] : top + height, start[0] : left + width]
    found = cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_16U)[2][1:]
    found[:, :2] += start
    return found


def box_of_components(found: np.ndarray, page: int) -> tuple[int, int, int, int]:
    """Find the box of the glyph, as `glyph_box` does.

    Args:
        found: int array (n, 5), what `components` finds.
        page: number of pixels of the image.

    Returns:
        (left, top, right, bottom) in pixels, right and bottom exclusive.

    Raises:
        UnreadableImage: there is no ink.
    """
    if not len(found):
        raise UnreadableImage(BLANK)
    if len(found) == 1:  # one component, as in nearly all digits of MNIST: a shortcut
        left, top, width, height, _ = found[0].tolist()
        return left, top, left + width, top + height
    left, top, width, height, area = found.T
    right, bottom = left + width, top + height
    main = area.argmax()
    beside = np.maximum(np.maximum(left[main] - right, left - right[main]), 0)
    above = np.maximum(np.maximum(top[main] - bottom, top - bottom[main]), 0)
    middle = left + width / 2
    over = (middle >= left[main]) & (middle <= right[main])
    reach = np.hypot(width[main], height[main]) * np.where(over, SPECK_GAP_ABOVE, SPECK_GAP_BESIDE)
    kept = (area >= SPECK_AREA * area[main]) | (np.hypot(beside, above) <= reach)
    kept &= area >= min(DUST_AREA * area[main], DUST_SHARE * page)
    return int(left[kept].min()), int(top[kept].min()), int(right[kept].max()), int(bottom[kept].max())


def border_pixels(image: np.ndarray) -> np.ndarray:
    """Give the outermost pixels of an image, the corners twice."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def pen_width(inked: np.ndarray) -> float:
    """Measure the width of strokes in pixels: twice the 90th percentile of the distance to their edge.

    Args:
        inked: uint8 array (height, width), 0 where there is no ink; without any, the width is 0.
    """
    depth = cv2.distanceTransform(inked, cv2.DIST_L2, 3)[inked > 0]
    return 2 * float(np.percentile(depth, 90)) if len(depth) else 0.0
