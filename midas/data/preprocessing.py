"""Pixels to glyphs: a character that was drawn, scanned or photographed becomes light ink on black in a small square.

All functions depend on the pixels alone. The format is that of MNIST (LeCun et al. 1998): the glyph keeps its aspect
ratio, fits into 20/28 of the square and is centered at its center of mass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from midas.data.glyphs import UNKNOWN_PLACE, Glyph, place_on_page
from midas.data.ink import INK, border_pixels, box_of_components, components, glyph_box, ink_levels, pen_width
from midas.data.levels import BLANK, UnreadableImage
from midas.data.photographs import clean_photo, is_photo
from midas.data.surroundings import may_be_surrounded, without_surroundings

BOX_FRACTION = 20 / 28  # MNIST fits its digits into 20x20 of 28x28 pixels
WORKING_SIDE = 320  # pixels; the glyph is located in a copy whose longer side has about this length
PAGE_ASPECT = (1.3, 1.37)  # ratio of width to height of a page of Part 1's drawing tool, which is 4:3
PAGE_PEN = (0.05, 0.11)  # width of that tool's pen in page heights
AVERAGED = 2  # sides of a glyph, to which noisy ones are averaged before the noise is cut off at the level of the paper
TINY = 16  # pixels; a smaller image is enlarged, as its strokes are one or two pixels wide
BLACK_ON_WHITE = np.arange(256, dtype=np.uint8)[::-1]  # from gray levels to ink, where neither is gray
DEPTH = 4  # sheets, boxes and sets of lines round one character, such as a box on a form on a table


def normalize(gray: np.ndarray, size: int = 28) -> Glyph:
    """Turn an image of one character into light ink on black, cropped, scaled and centered as in MNIST.

    Args:
        gray: uint8 array (height, width) of any size, dark on light or light on dark.
        size: side of the result in pixels.

    Returns:
        The glyph: 0 is paper and 255 the strongest ink. Its place is known if the image is a page of Part 1's drawing
        tool (see `measure_place`).

    Raises:
        UnreadableImage: the image is blank.

    >>> page = np.full((90, 120), 255, np.uint8); page[30:60, 50:60] = 0
    >>> glyph = normalize(page)
    >>> glyph.image.shape, cv2.boundingRect(glyph.image), glyph.place[0].item()
    ((28, 28), (11, 4, 7, 20), 1.0)
    """
    if not gray.size:
        raise UnreadableImage(BLANK)
    if max(gray.shape) <= TINY:
        gray = _enlarged(gray)
    page = gray
    gray, view = _bare(page)
    if view.is_photo:
        cleaned = clean_photo(view.small)
        left, top, right, bottom = glyph_box(cleaned)
        glyph = _scale(cleaned[top:bottom, left:right], round(size * BOX_FRACTION))
        return Glyph(_center(glyph, size), UNKNOWN_PLACE)  # a photograph shows part of a page, from any distance
    left, top, right, bottom = box_of_components(view.components, view.ink.size)
    shrink = gray.size > view.small.size
    if shrink:  # one pixel of slack for what the small copy blurred, which is cropped again in the full image
        across, down = gray.shape[1] / view.small.shape[1], gray.shape[0] / view.small.shape[0]
        left, top = max(int((left - 1) * across), 0), max(int((top - 1) * down), 0)
        right, bottom = math.ceil((right + 1) * across), math.ceil((bottom + 1) * down)
    glyph = _ink(gray[top:bottom, left:right], view.levels)
    if shrink:
        x, y, width, height = cv2.boundingRect((glyph > INK).view(np.uint8))
        glyph = glyph[y : y + height, x : x + width]
        left, top = left + x, top + y
    box = (left, top, left + glyph.shape[1], top + glyph.shape[0])
    side = round(size * BOX_FRACTION)
    if shrink and _is_noisy(gray):
        glyph = _ink(_averaged(gray[top : box[3], left : box[2]], AVERAGED * side), view.levels)
    place = measure_place(view.ink, box, gray.shape) if gray is page else UNKNOWN_PLACE
    return Glyph(_center(_scale(glyph, side), size), place)


def bare_image(gray: np.ndarray) -> np.ndarray:
    """Take away what surrounds a character: the table, dark edges, boxes, ruling, holes.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.

    Returns:
        uint8 array, the same or a smaller image.

    Raises:
        UnreadableImage: the image is blank.
    """
    return _bare(gray)[0]


@dataclass(frozen=True, eq=False)
class View:
    """What is seen of an image at first sight.

    Attributes:
        small: uint8 array, a copy whose longer side has at most about `WORKING_SIDE` pixels.
        levels: uint8 array (256,), from gray levels to ink.
        ink: uint8 array, the copy as light ink on black.
        components: int array (n, 5), of the ink.
        is_photo: whether the light, or the paper, is uneven.
    """

    small: np.ndarray
    levels: np.ndarray
    ink: np.ndarray
    components: np.ndarray
    is_photo: bool


def _bare(gray: np.ndarray) -> tuple[np.ndarray, View]:
    """Take away up to `DEPTH` sheets, boxes and sets of lines around a character."""
    view = look_at(gray)
    for _ in range(DEPTH):
        if not (view.is_photo or may_be_surrounded(view.ink, view.components)):
            break
        inner = without_surroundings(gray, view.small, view.ink, view.is_photo)
        if inner is None:
            break
        gray, view = inner, look_at(inner)
    return gray, view


def look_at(gray: np.ndarray) -> View:
    """Find the ink of an image that is not blank, in a small copy."""
    shrink = -(-max(gray.shape) // WORKING_SIDE)  # an integer: OpenCV is then three times as fast
    small = _shrunk(gray, shrink) if shrink > 1 else gray
    paper, strongest = ink_levels(small)
    depths = (np.arange(256) - paper) * (255 / (strongest - paper))
    levels = np.clip(depths, 0, 255).round().astype(np.uint8)
    ink = _ink(small, levels)
    return View(small, levels, ink, components(ink), is_photo(small, depths, is_page=shrink > 1))


def _shrunk(gray: np.ndarray, factor: int) -> np.ndarray:
    """Shrink an image by averaging; of a white page only what is not white, which takes half the time."""
    height, width = (max(1, round(n / factor)) for n in gray.shape)
    if gray[0, 0] < 255 or gray.shape != (height * factor, width * factor):
        return cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    small = np.full((height, width), 255, np.uint8)
    left, top, across, down = cv2.boundingRect(cv2.bitwise_not(gray))
    if across:
        right, bottom = -(-(left + across) // factor), -(-(top + down) // factor)
        left, top = left // factor, top // factor
        inked = gray[top * factor : bottom * factor, left * factor : right * factor]
        small[top:bottom, left:right] = cv2.resize(inked, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return small


def _is_noisy(gray: np.ndarray) -> bool:
    """Whether most pixels along the border differ from their median: no paper is as even as that of a drawing tool."""
    border = border_pixels(gray)
    return bool(np.count_nonzero(border == np.median(border)) < border.size / 2)


def _averaged(gray: np.ndarray, side: int) -> np.ndarray:
    """Shrink an image until its longer side is no longer than this, so that noise averages out."""
    if max(gray.shape) <= side:
        return gray
    height, width = (max(1, round(n * side / max(gray.shape))) for n in gray.shape)
    return cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)


def _ink(gray: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Look up the ink of gray levels; OpenCV inverts an image in a fraction of the time."""
    return cv2.bitwise_not(gray) if np.array_equal(levels, BLACK_ON_WHITE) else cv2.LUT(gray, levels)


def frame_glyph(ink: np.ndarray, size: int) -> np.ndarray:
    """Crop ink to what it shows, scale it to `BOX_FRACTION` of a square and center it.

    Args:
        ink: uint8 array (height, width), light ink on black.
        size: side of the square in pixels.

    Returns:
        uint8 array (size, size).
    """
    x, y, width, height = cv2.boundingRect((ink > INK).view(np.uint8))
    return _center(_scale(ink[y : y + height, x : x + width], round(size * BOX_FRACTION)), size)


def _enlarged(gray: np.ndarray) -> np.ndarray:
    """Enlarge an image in which pixels are as wide as strokes, and put paper around it.

    In scikit-learn's digits, 8x8 pixels, a network of MNIST reads 97 % instead of 52 %.
    """
    paper = round(ink_levels(gray)[0])
    height, width = gray.shape
    large = cv2.resize(gray, (4 * width, 4 * height), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=paper)


def measure_place(ink: np.ndarray, box: tuple[int, int, int, int], page: tuple[int, ...]) -> np.ndarray:
    """Measure the size and position of a glyph on its page, if the page is one of Part 1's drawing tool.

    Cropping makes c and C alike, but most people draw them in different sizes. On other pages size and position say
    nothing, so a page must have the aspect ratio and the pen width of the tool.

    Args:
        ink: uint8 array, the page at any scale, light ink on black.
        box: (left, top, right, bottom) of the glyph on the page, in pixels.
        page: (height, width) of the page, in pixels.

    Returns:
        float32 array (5,): 1, the logarithms of the glyph's height and width, and how far its center lies to the right
        of and below that of the page, scaled so that most values are between -2 and 2; zeros on other pages.

    >>> page = np.zeros((90, 120), np.uint8); page[20:65, 45:75] = 255; page[27:65, 52:75] = 0
    >>> measure_place(page, (45, 20, 75, 65), page.shape).round(2).tolist()
    [1.0, 0.0, 0.0, 0.0, -0.25]
    >>> measure_place(page[:, 20:], (25, 20, 55, 65), (90, 100)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    height, width = page
    if not PAGE_ASPECT[0] <= width / height <= PAGE_ASPECT[1] or not _has_tool_pen(ink):
        return UNKNOWN_PLACE
    return place_on_page(np.array(box), (height, width))


def _has_tool_pen(ink: np.ndarray) -> bool:
    """Whether strokes are as wide as those of Part 1's tool."""
    inked = (ink > 127).view(np.uint8)
    left, top, width, height = cv2.boundingRect(inked)
    if not width:
        return False
    inked = inked[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]  # with the nearest paper
    return PAGE_PEN[0] <= pen_width(inked) / len(ink) <= PAGE_PEN[1]


def _scale(glyph: np.ndarray, side: int) -> np.ndarray:
    longest = max(glyph.shape)
    if side - 2 <= longest <= side:  # already in MNIST's format: resampling would only blur it
        return glyph
    height, width = (max(1, round(n * side / longest)) for n in glyph.shape)
    interpolation = cv2.INTER_AREA if longest > side else cv2.INTER_LINEAR
    scaled = cv2.resize(glyph, (width, height), interpolation=interpolation)
    if scaled.max() < 255:  # strokes of a fine pen fade, and may round to nothing, unless they are scaled as floats
        fractions = cv2.resize(glyph.astype(np.float32), (width, height), interpolation=interpolation)
        cv2.normalize(fractions, scaled, 255, 0, cv2.NORM_INF, cv2.CV_8U)
    return scaled


def _center(glyph: np.ndarray, size: int) -> np.ndarray:
    """Put the center of mass on pixel size/2, as MNIST does, as far as the glyph then fits into the square."""
    moments = cv2.moments(glyph)
    height, width = glyph.shape
    left = round(size / 2 - moments["m10"] / moments["m00"])
    top = round(size / 2 - moments["m01"] / moments["m00"])
    left, top = min(max(left, 0), size - width), min(max(top, 0), size - height)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = glyph
    return square
