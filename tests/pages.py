"""Pages with one drawn character, of any size and in any gray levels."""

from functools import cache

import cv2
import numpy as np

from midas.data import sample


@cache
def _drawing(character):
    return sample.draw(character, 3)[:, 150:1050]


def drawn(character, height=200, width=200, ink=0, paper=255):
    """Draw a character in the middle of a page; the pen is a fourteenth of the page wide."""
    side = min(height, width)
    share = 1 - cv2.resize(_drawing(character), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    page = np.full((height, width), paper, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    page[top : top + side, left : left + side] = np.rint(paper + share * (ink - paper))
    return page
