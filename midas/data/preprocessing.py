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
from midas.data.levels import UnreadableImage
from midas.data.surroundings import may_be_surrounded, without_surroundings

BOX_FRACTION = 20 / 28  # MNIST fits its digits into 20x20 of 28x28 pixels
MIN_CONTRAST = 24  # gray levels between paper and ink; an image with less is blank
INK = 32  # of 255, with the paper at 0: fainter pixels do not widen the glyph
WORKING_SIDE = 320  # pixels; the glyph is located in a copy whose longer side has about this length
SPECK_AREA = 0.15  # of the largest component: anything larger belongs to the glyph, wherever it is
# Smaller components belong to the glyph if they are near it. Limits in diagonals of the largest component; the dots of
# i and j in the 2,480 drawings of Part 1 are closer.
SPECK_GAP_BESIDE = 0.25
SPECK_GAP_ABOVE = 0.5  # above or below
DUST_AREA = 0.02  # of the largest component: smaller components are dust if they also have less than `DUST_SHARE`
DUST_SHARE = 1e-4  # of the image: less than a pixel in MNIST, seven pixels in the working copy of a page
PAGE_ASPECT = (1.3, 1.37)  # ratio of width to height of a page of Part 1's drawing tool, which is 4:3
PAGE_PEN = (0.05, 0.11)  # width of that tool's pen in page heights
PLAIN_BORDER = 0.75  # of the border pixels: if fewer agree, the glyph was cropped so tightly that it fills the border
# What makes an image a photograph, or a page uneven: ink on more of the border, or faint gray on more of the page, than
# in the 2,480 drawings (0.016 and 0.007) or in 12,000 images of MNIST and Part 3 (0.036; too small to be pages).
PHOTO_BORDER = 0.05
PHOTO_PAGE = 0.02
PHOTO_MIDTONES = 0.05  # of all pixels: neither paper nor ink; 0.045 in clean drawings cropped tightly, 0.07 in photos
TINY = 16  # pixels; a smaller image is enlarged, as its strokes are one or two pixels wide
MIN_SIDE = 8  # pixels; a narrower strip is mostly border
CROP = 64  # pixels; a smaller image is cropped from a larger one, often so that strokes touch its border
WINDOWS = (3, 5)  # the longer side of a photograph, in sides of a square that always contains some paper
PAGE_SIDE = 640  # pixels of the copy of a page of characters, in which its paper is estimated
PAGE_WINDOWS = 8  # the longer side of a page of characters, in sides of a square that always contains some paper
TIGHT_BORDER = 0.62  # of the border with ink nearby: 95 % of tight crops have more, a blank page in a shadow has 0.61
DARK = 32  # gray levels added to the light before dividing by it: in near darkness the quotient would be noise
DEPTH = 4  # sheets, boxes and sets of lines round one character, such as a box on a form on a table
MIN_SEPARATION = 4  # between ink and paper, in standard deviations of the paper; thresholded noise reaches 2.7


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
        raise UnreadableImage("blank")
    if max(gray.shape) <= TINY:
        gray = _enlarged(gray)
    page = gray
    gray, view = _bare(page)
    if view.is_photo:
        cleaned = clean_photo(view.small)
        left, top, right, bottom = glyph_box(cleaned)
        glyph = _scale(cleaned[top:bottom, left:right], round(size * BOX_FRACTION))
        return Glyph(_center(glyph, size), UNKNOWN_PLACE)  # a photograph shows part of a page, from any distance
    left, top, right, bottom = _glyph_box(view.components, view.ink.size)
    shrink = gray.size > view.small.size
    if shrink:  # one pixel of slack for what the small copy blurred, which is cropped again in the full image
        across, down = gray.shape[1] / view.small.shape[1], gray.shape[0] / view.small.shape[0]
        left, top = max(int((left - 1) * across), 0), max(int((top - 1) * down), 0)
        right, bottom = math.ceil((right + 1) * across), math.ceil((bottom + 1) * down)
    glyph = cv2.LUT(gray[top:bottom, left:right], view.levels)
    if shrink:
        x, y, width, height = cv2.boundingRect((glyph > INK).view(np.uint8))
        glyph = glyph[y : y + height, x : x + width]
        left, top = left + x, top + y
    box = (left, top, left + glyph.shape[1], top + glyph.shape[0])
    place = measure_place(view.ink, box, gray.shape) if gray is page else UNKNOWN_PLACE
    return Glyph(_center(_scale(glyph, round(size * BOX_FRACTION)), size), place)


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
class _View:
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


def _bare(gray: np.ndarray) -> tuple[np.ndarray, _View]:
    """Take away up to `DEPTH` sheets, boxes and sets of lines around a character."""
    view = _view(gray)
    for _ in range(DEPTH):
        if not (view.is_photo or may_be_surrounded(view.ink, view.components)):
            break
        inner = without_surroundings(gray, view.ink, view.is_photo)
        if inner is None:
            break
        gray, view = inner, _view(inner)
    return gray, view


def _view(gray: np.ndarray) -> _View:
    shrink = -(-max(gray.shape) // WORKING_SIDE)  # an integer: OpenCV is then three times as fast
    small = gray
    if shrink > 1:
        width, height = (max(1, round(n / shrink)) for n in (gray.shape[1], gray.shape[0]))
        small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    paper, strongest = ink_levels(small)
    depths = (np.arange(256) - paper) * (255 / (strongest - paper))
    levels = np.clip(depths, 0, 255).round().astype(np.uint8)
    ink = cv2.LUT(small, levels)
    return _View(small, levels, ink, _components(ink), _is_photo(small, depths, is_page=shrink > 1))


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


def page_ink(gray: np.ndarray) -> np.ndarray:
    """Turn a page of characters into light ink on black, with the light evened out if it is uneven.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the page is blank.
    """
    shrink = max(1.0, max(gray.shape) / PAGE_SIDE)
    small = cv2.resize(gray, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    paper, ink = ink_levels(small)
    is_light = paper > ink
    soft = cv2.GaussianBlur(small if is_light else 255 - small, (3, 3), 0)
    papers = _paper_levels(soft, max(small.shape) // PAGE_WINDOWS | 1)
    if np.ptp(papers) < MIN_CONTRAST:
        depths = (np.arange(256) - paper) * (255 / (ink - paper))
        return cv2.LUT(gray, np.clip(depths, 0, 255).round().astype(np.uint8))
    gray = gray if is_light else 255 - gray
    evened, inked = _even_light(gray, cv2.resize(papers, gray.shape[::-1]), is_light)
    return np.rint(cv2.dilate(inked, np.ones((3, 3), np.uint8)) * evened.clip(0, 255)).astype(np.uint8)


def _enlarged(gray: np.ndarray) -> np.ndarray:
    """Enlarge an image in which pixels are as wide as strokes, and put paper around it.

    In scikit-learn's digits, 8x8 pixels, a network of MNIST reads 97 % instead of 52 %.
    """
    paper = round(ink_levels(gray)[0])
    height, width = gray.shape
    large = cv2.resize(gray, (4 * width, 4 * height), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(large, 8, 8, 8, 8, cv2.BORDER_CONSTANT, value=paper)


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
        raise UnreadableImage("blank")
    threshold, _ = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    border = _border(gray)
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
    return _glyph_box(_components(ink), ink.size)


def _components(ink: np.ndarray) -> np.ndarray:
    """Describe the connected components of ink: int array (n, 5) of left, top, width, height and area."""
    inked = (ink > INK).view(np.uint8)
    return cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_16U)[2][1:]


def _glyph_box(components: np.ndarray, page: int) -> tuple[int, int, int, int]:
    """Find the box of the glyph among components on a page of so many pixels."""
    if not len(components):
        raise UnreadableImage("blank")
    if len(components) == 1:  # one component, as in nearly all digits of MNIST: a shortcut
        left, top, width, height, _ = components[0].tolist()
        return left, top, left + width, top + height
    left, top, width, height, area = components.T
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
    """Whether strokes are as wide as those of Part 1's tool: twice the 90th percentile of the distance to the edge."""
    inked = (ink > 127).view(np.uint8)
    depth = cv2.distanceTransform(inked, cv2.DIST_L2, 3)[inked > 0]
    if not len(depth):
        return False
    width = 2 * float(np.percentile(depth, 90)) / len(ink)
    return PAGE_PEN[0] <= width <= PAGE_PEN[1]


def _is_photo(gray: np.ndarray, depths: np.ndarray, is_page: bool) -> bool:
    """Whether uneven light or paper is visible: dark areas along the border, or faint gray all over a page.

    Args:
        gray: uint8 array (height, width).
        depths: float array (256,), the position of each gray level between paper (0) and ink (255).
        is_page: whether the image is larger than those of MNIST, in which the soft edges of strokes cover much.
    """
    if min(gray.shape) < MIN_SIDE:
        return False
    border = depths[_border(gray)]
    shares = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel() / gray.size
    if np.count_nonzero(border > INK) > PHOTO_BORDER * border.size:  # or a tight crop, which has few midtones
        plain = np.minimum(np.abs(depths), np.abs(depths - 255)) <= INK / 2
        return bool(shares[~plain].sum() > PHOTO_MIDTONES)
    return is_page and bool(shares[(depths > INK / 2) & (depths < 128)].sum() > PHOTO_PAGE)


def _border(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def clean_photo(gray: np.ndarray) -> np.ndarray:
    """Find the glyph in a photograph: even out the light, and remove dust, lines and whatever the border cuts off.

    Args:
        gray: uint8 array (height, width) of up to a few hundred pixels per side.

    Returns:
        uint8 array (height, width), light ink on black; half of the ink is 255.

    Raises:
        UnreadableImage: nothing stands out from the noise, or only what the border cuts off.

    >>> light = np.linspace(0.4, 1, 120) * np.ones((90, 1))
    >>> page = np.full((90, 120), 220.0); page[30:60, 50:60] = 40
    >>> cv2.boundingRect(clean_photo((page * light).astype(np.uint8)))
    (50, 30, 10, 30)
    """
    soft = cv2.GaussianBlur(gray, (3, 3), 0)
    for divisor in WINDOWS:
        side = max(gray.shape) // divisor | 1
        is_light, is_tight = _polarity(soft, side)
        if is_tight:  # the smaller square follows the light more closely, but fits into the strokes of such a glyph
            break
    is_tight |= max(gray.shape) < CROP
    if not is_light:
        gray, soft = 255 - gray, 255 - soft
    ink, inked = _even_light(gray, _paper_levels(soft, side), is_light)
    near = cv2.dilate(_glyph_mask(inked, is_tight), np.ones((3, 3), np.uint8))
    return np.rint(near * ink.clip(0, 255)).astype(np.uint8)


def _even_light(gray: np.ndarray, paper: np.ndarray, is_light: bool) -> tuple[np.ndarray, np.ndarray]:
    """Divide out the light, of which the levels of the paper tell.

    Args:
        gray: uint8 array (height, width), dark on light.
        paper: float32 array of that shape, the level that the paper would have.
        is_light: whether the image was dark on light from the beginning.

    Returns:
        float32 array, in which the median is 0 in the paper and 255 in the ink; and a uint8 mask of the ink.

    Raises:
        UnreadableImage: nothing stands out from the noise.
    """
    soft = cv2.GaussianBlur(gray, (3, 3), 0)
    light = (paper if is_light else 255 - paper).clip(0) + DARK
    depth = ((paper - soft) / light).clip(0)
    levels = np.zeros(depth.shape, np.uint8)
    cv2.normalize(depth, levels, 255, 0, cv2.NORM_INF, cv2.CV_8U)
    inked = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    if not inked.any() or np.median((paper - soft)[inked > 0]) < MIN_CONTRAST:
        raise UnreadableImage("blank")
    zero, full = np.median(depth[inked == 0]), np.median(depth[inked > 0])
    noise = 1.4826 * np.median(np.abs(depth[inked == 0] - zero))  # estimates the standard deviation of normal noise
    if full - zero < MIN_SEPARATION * noise:
        raise UnreadableImage("blank")
    return ((paper - gray) / light - zero) * (255 / (full - zero)), inked


def _glyph_mask(inked: np.ndarray, is_tight: bool) -> np.ndarray:
    """Select the glyph, without dust and without what the border cuts, such as lines, unless it cuts the glyph."""
    _, components, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8)
    left, top, width, height, area = stats[1:].T
    cut = (left == 0) | (top == 0) | (left + width == inked.shape[1]) | (top + height == inked.shape[0])
    main = (area * np.where(cut, SPECK_AREA, 1)).argmax()
    if cut[main] and not is_tight:
        raise UnreadableImage("blank, or cut off at the border")
    kept = (area >= DUST_AREA * area[main]) & (cut <= cut[main])
    return np.concatenate([[False], kept])[components].astype(np.uint8)


def _polarity(gray: np.ndarray, side: int) -> tuple[bool, bool]:
    """Decide whether the paper is lighter than the ink, and whether there is ink along most of the border.

    Only pixels in areas of high contrast count, light or dark: there is ink, and around it there is more paper.
    """
    kernel = np.ones((side, side), np.uint8)
    low, high = (change(gray, kernel).astype(np.float32) for change in (cv2.erode, cv2.dilate))
    contrasted, light = high - low >= (high - low).max() / 2, gray > (low + high) / 2
    border = _border(contrasted)
    is_tight = bool(border.mean() > TIGHT_BORDER)
    share = _border(light)[border].mean() if is_tight else 0.5
    if 1 - PLAIN_BORDER < share < PLAIN_BORDER:
        share = light[contrasted].mean()
    return bool(share >= 0.5), is_tight


def _paper_levels(gray: np.ndarray, side: int) -> np.ndarray:
    """Estimate the light paper under dark ink, float32 (height, width), by a closing with a square of this side."""
    kernel = np.ones((side, side), np.uint8)
    # The dilated image contains no ink, so beyond its border it can be continued by extrapolation.
    lightest = np.pad(cv2.dilate(gray, kernel).astype(np.float32), side // 2, "reflect", reflect_type="odd")
    height, width = gray.shape
    return cv2.erode(lightest, kernel)[side // 2 :, side // 2 :][:height, :width]


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
