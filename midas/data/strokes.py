"""Strokes of a pen to pages like those of Part 1's drawing tool: a round black pen on white paper, without grays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

HEIGHT, WIDTH = 900, 1200  # pixels of a page
PEN = 66  # pixels; nearly all real drawings have exactly this pen width
FRACTION_BITS = 4  # of the coordinates, which OpenCV takes as fixed-point numbers


def draw_strokes(strokes: Sequence[np.ndarray], pen: int = PEN) -> np.ndarray:
    """Draw strokes on a page.

    Args:
        strokes: each a float array (points, 2) of x and y in pixels, y downward; one point is a dot. What lies beyond
            the page is cut off.
        pen: diameter in pixels.

    Returns:
        uint8 array (900, 1200): 0 where there is ink, 255 elsewhere.

    >>> page = draw_strokes([np.array([[600, 450]])])
    >>> page.shape, np.unique(page).tolist(), cv2.boundingRect(255 - page)[2:]
    ((900, 1200), [0, 255], (67, 67))
    """
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    points = [np.rint(_line(stroke) * 2**FRACTION_BITS).astype(np.int32) for stroke in strokes]
    cv2.polylines(page, points, False, 0, pen, cv2.LINE_8, FRACTION_BITS)
    return page


def _line(stroke: np.ndarray) -> np.ndarray:
    """Make a dot a line without length, as OpenCV draws nothing for a single point."""
    return np.repeat(stroke, 2, axis=0) if len(stroke) == 1 else stroke
