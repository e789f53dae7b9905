"""What surrounds a character and is none: a table, dark edges of a scan, boxes, ruling, punched holes, dark corners.

Most images show nothing of the kind, which a look at the components of ink tells; only the others are searched.
"""

from __future__ import annotations

from functools import reduce

import cv2
import numpy as np

from midas.data.ink import INK, border_pixels
from midas.data.levels import UnreadableImage
from midas.data.paper import even_vignette, find_sheet, paint_over
from midas.data.photographs import CROP, even_light, photo_ink
from midas.data.ruling import find_circles, find_holes, find_ruling

FAR = 0.8  # of the image: MNIST's digits reach over 20/28 of it, a printed box or a ruled line over more
CUT = 0.05  # of the border with ink on it: few drawings and no image of MNIST or Part 3 have more
PAGE = 64  # pixels; in a smaller image, such as the cell of a form, what surrounds the character reaches far
SOLID = (0.15, 0.5)  # of the image, and of its own box: a component that covers more may be a sheet
HOLLOW = 0.15  # of the image, for the box of a component that may be an empty frame
BAND = 0.06  # of a frame's longer side, in which its sides lie
FRAMED = 0.6  # of the length of each of the sides
LIGHT = 128  # gray level: the paper of a sheet is lighter, a blackboard is not
STRONG = 128  # of 255: in photographs only such ink is searched for lines
SKEWED = 3  # dark corners, at least, of a scan that was turned
CONVEX = 0.97  # of its convex hull: the paper between such corners covers more
SHEET = 0.5  # of the image, at least
SPECK = 0.1  # of the image: if all ink is smaller, it may be holes
SEVERAL = 3  # components, besides dust: more than a letter and its dot
DASHES = 12  # components of any size: as many as the dashes of a box


def may_be_surrounded(ink: np.ndarray, components: np.ndarray) -> bool:
    """Tell quickly whether there may be more than a character.

    Args:
        ink: uint8 array (height, width), light ink on black.
        components: int array (n, 5), left, top, width, height and area of each component of ink.
    """
    rows, columns = ink.shape
    left, top, width, height, area = components.T
    border = border_pixels(ink)
    if (
        np.count_nonzero(border > INK) > CUT * border.size
        or (width >= FAR * columns).any()
        or (height >= FAR * rows).any()
    ):
        return True
    if min(rows, columns) <= PAGE or not len(components):
        return False
    box = width * height
    if width.max() < SPECK * columns and height.max() < SPECK * rows:
        return True
    if ((area > SOLID[1] * box) & (box > SOLID[0] * ink.size)).any():
        return True
    if np.count_nonzero(area > area.max() / 50) >= SEVERAL or len(components) >= DASHES:
        return True
    main = components[box.argmax()]
    x, y, across, down, _ = main
    inside = (left > x) & (top > y) & (left + width < x + across) & (top + height < y + down)
    return bool(inside.any()) or (
        across * down > HOLLOW * ink.size and has_four_sides(ink[y : y + down, x : x + across] > INK)
    )


def has_four_sides(inked: np.ndarray) -> bool:
    """Whether the ink in its bounding box, a bool array (height, width), has straight sides all round."""
    band = max(2, round(BAND * max(inked.shape)))
    sides = (inked[:band].any(0), inked[-band:].any(0), inked[:, :band].any(1), inked[:, -band:].any(1))
    return min(float(side.mean()) for side in sides) >= FRAMED


def without_surroundings(gray: np.ndarray, small: np.ndarray, ink: np.ndarray, is_photo: bool) -> np.ndarray | None:
    """Take away one layer of what surrounds a character.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.
        small: uint8 array, the same at any scale.
        ink: uint8 array, that as light ink on black.
        is_photo: whether its light may be uneven.

    Returns:
        uint8 array, the sheet or the cell, or the image without lines, holes, dark corners or a vignette; None if it
        has none.

    Raises:
        UnreadableImage: it is an empty sheet, cell or form.
    """
    corners = find_dark_corners(ink)
    if corners is not None:
        return paint_over(gray, corners)
    sheet = find_sheet(gray, cells=True)
    if is_photo and (sheet.is_empty or sheet.image is gray):
        hidden = _sheet_in_shadow(gray)
        if hidden is not None:
            return hidden
    if sheet.is_empty:
        raise UnreadableImage("blank: an empty sheet or box")
    if sheet.image is not gray:
        return sheet.image
    evened = even_vignette(gray) if is_photo else gray
    if evened is not gray:
        return evened
    if is_photo:  # faint ruling goes with the uneven light
        ink = photo_ink(small)
        ink = np.where(ink >= STRONG, ink, np.uint8(0))
    found = [mask for mask in (find_ruling(ink), find_holes(ink), find_circles(ink)) if mask is not None]
    if not found:
        return None
    printed, inked = np.logical_or.reduce(found), ink > INK
    if printed[inked].all():
        raise UnreadableImage("blank: ruling, but no character")
    edges = cv2.dilate(printed.view(np.uint8), np.ones((3, 3), np.uint8))
    return paint_over(gray, edges * ~(inked & ~printed))


def _sheet_in_shadow(gray: np.ndarray) -> np.ndarray | None:
    """Cut out a light sheet whose edge a shadow hides, with its light evened out; None if there is none."""
    if max(gray.shape) < CROP:  # the edges of strokes are not steep there
        return None
    evened = even_light(gray)
    sheet = find_sheet(evened, cells=True)
    is_sheet = sheet.image is not evened and not sheet.is_empty and np.median(sheet.image) > LIGHT
    return sheet.image if is_sheet else None


def find_dark_corners(ink: np.ndarray) -> np.ndarray | None:
    """Find the dark wedges along the border of a scan that was turned: around them the paper is convex.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        uint8 array, 1 at the wedges and at their soft edges; None if there are none, or no other ink.

    >>> ink = cv2.fillConvexPoly(np.full((90, 90), 255, np.uint8), np.array([[9, 0], [89, 9], [80, 89], [0, 80]]), 0)
    >>> ink[40:60, 45] = 255
    >>> mask = find_dark_corners(ink)
    >>> int(mask[0, 0]), int(mask[50, 45])
    (1, 0)
    """
    inked = (ink > INK).view(np.uint8)
    if max(ink.shape) < CROP or np.count_nonzero(inked[[0, 0, -1, -1], [0, -1, 0, -1]]) < SKEWED:
        return None
    parts = cv2.connectedComponents(inked, connectivity=8)[1]
    sides = (parts[0], parts[-1], parts[:, 0], parts[:, -1])
    if reduce(np.intersect1d, sides).any():  # a frame, which has four sides
        return None
    outer = np.isin(parts, np.setdiff1d(border_pixels(parts), 0)).view(np.uint8)
    paper = 1 - outer
    area = np.count_nonzero(paper)
    if not (inked & paper).any() or area < SHEET * paper.size:
        return None
    hull = cv2.convexHull(cv2.findNonZero(paper))
    if area < CONVEX * np.count_nonzero(cv2.fillConvexPoly(np.zeros_like(paper), hull, 1)):
        return None
    return cv2.dilate(outer, np.ones((5, 5), np.uint8))
