"""Uneven light and paper: what makes an image a photograph, and how its ink is found."""

from __future__ import annotations

import cv2
import numpy as np

from midas.data.ink import DUST_AREA, INK, MIN_CONTRAST, PLAIN_BORDER, SPECK_AREA, border_pixels, ink_levels
from midas.data.levels import BLANK, UnreadableImage

# What makes an image a photograph, or a page uneven: ink on more of the border, or faint gray on more of the page, than
# in the 2,480 drawings (0.016 and 0.007) or in 12,000 images of MNIST and Part 3 (0.036; too small to be pages).
PHOTO_BORDER = 0.05
PHOTO_PAGE = 0.02
PHOTO_MIDTONES = 0.05  # of all pixels: neither paper nor ink; 0.045 in clean drawings cropped tightly, 0.07 in photos
MIN_SIDE = 8  # pixels; a narrower strip is mostly border
CROP = 64  # pixels; a smaller image is cropped from a larger one, often so that strokes touch its border
WINDOWS = (3, 5)  # the longer side of a photograph, in sides of a square that always contains some paper
PAGE_SIDE = 640  # pixels of the copy of a page of characters, in which its paper is estimated
PAGE_WINDOWS = 8  # the longer side of a page of characters, in sides of a square that always contains some paper
TIGHT_BORDER = 0.62  # of the border with ink nearby: 95 % of tight crops have more, a blank page in a shadow has 0.61
DARK = 32  # gray levels added to the light before dividing by it: in near darkness the quotient would be noise
LIGHT_SIDE = 320  # pixels of the copy in which the light is told from paper and ink
STEEP = 0.16  # change of the logarithm from pixel to pixel of that copy: where it is less, that of the light
NOISY = 0.4  # of that copy: if more is steep, it is by noise; edges of ink, paper and tables take up to a quarter
FAINTEST = 4  # gray levels added before taking the logarithm, or else the noise of black would be steep
BRIGHT = 220  # gray level of the lightest paper when the light is evened out
MIN_SEPARATION = 4  # between ink and paper, in standard deviations of the paper; thresholded noise reaches 2.7


def is_photo(gray: np.ndarray, depths: np.ndarray, is_page: bool) -> bool:
    """Decide whether uneven light or paper is visible: dark areas along the border, or faint gray all over a page.

    Args:
        gray: uint8 array (height, width).
        depths: float array (256,), the position of each gray level between paper (0) and ink (255).
        is_page: whether the image is larger than those of MNIST, in which the soft edges of strokes cover much.
    """
    if min(gray.shape) < MIN_SIDE:
        return False
    border = depths[border_pixels(gray)]
    shares = cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel() / gray.size
    if np.count_nonzero(border > INK) > PHOTO_BORDER * border.size:  # or a tight crop, which has few midtones
        plain = np.minimum(np.abs(depths), np.abs(depths - 255)) <= INK / 2
        return bool(shares[~plain].sum() > PHOTO_MIDTONES)
    return is_page and bool(shares[(depths > INK / 2) & (depths < 128)].sum() > PHOTO_PAGE)


def even_light(gray: np.ndarray) -> np.ndarray:
    """Divide out the light of a photograph, even where a shadow crosses the edge of a sheet.

    Light changes gradually; paper, table and ink change at once. So only the steep gradients of the logarithm are kept,
    and the image that has these gradients is found by solving Poisson's equation (Horn 1974).

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.

    Returns:
        uint8 array of the same shape; the image itself if it is as noisy as near darkness.

    >>> light = np.linspace(0.4, 1, 120) * np.ones((90, 1))
    >>> page = np.full((90, 120), 220.0); page[30:60, 50:60] = 40
    >>> evened = even_light((page * light).astype(np.uint8))
    >>> bool(np.ptp(evened[:20]) < 8), bool(np.ptp(evened[35:55, 52:58]) < 8)
    (True, True)
    """
    shrink = -(-max(gray.shape) // LIGHT_SIDE)
    height, width = (max(2, 2 * round(n / shrink / 2)) for n in gray.shape)  # the transform needs even numbers
    small = cv2.medianBlur(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), 3)
    log = np.log(small.astype(np.float32) + FAINTEST)
    divergence = np.zeros_like(log)
    for axis in (0, 1):
        steps = np.diff(np.pad(log, [(int(axis == n),) * 2 for n in (0, 1)], "edge"), axis=axis)
        # Both flanks of a line and the soft tails of an edge count, or else the levels on its sides would not agree.
        steep = cv2.dilate((np.abs(steps) >= STEEP).view(np.uint8), np.ones((5, 5), np.uint8))
        if steep.mean() > NOISY:
            return gray
        divergence += np.diff(steps * steep, axis=axis)
    eigenvalues = np.add.outer(*(2 * np.cos(np.pi * np.arange(n) / n) - 2 for n in log.shape))
    eigenvalues[0, 0] = 1  # the mean is free
    evened = cv2.idct(cv2.dct(divergence) / eigenvalues)
    gain = BRIGHT * np.exp(evened - np.percentile(evened, 98) - log)
    gain = cv2.resize(gain, gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(cv2.convertScaleAbs(gray, beta=FAINTEST), gain, dtype=cv2.CV_8U)


def is_uneven(gray: np.ndarray) -> bool:
    """Whether the paper of a page of characters, uint8 (height, width), is not equally light all over the image."""
    return max(gray.shape) >= CROP and bool(np.ptp(_page_papers(gray)[1]) >= MIN_CONTRAST)


def page_ink(gray: np.ndarray) -> np.ndarray:
    """Turn a page of characters into light ink on black, with the light evened out if it is uneven.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the page is blank.
    """
    is_light, papers = _page_papers(gray)
    if np.ptp(papers) < MIN_CONTRAST:
        paper, ink = ink_levels(_page_copy(gray))
        depths = (np.arange(256) - paper) * (255 / (ink - paper))
        return cv2.LUT(gray, np.clip(depths, 0, 255).round().astype(np.uint8))
    gray = gray if is_light else 255 - gray
    evened, inked = _even_light(gray, cv2.resize(papers, gray.shape[::-1]), is_light)
    return np.rint(cv2.dilate(inked, np.ones((3, 3), np.uint8)) * evened.clip(0, 255)).astype(np.uint8)


def _page_copy(gray: np.ndarray) -> np.ndarray:
    shrink = max(1.0, max(gray.shape) / PAGE_SIDE)
    return cv2.resize(gray, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)


def _page_papers(gray: np.ndarray) -> tuple[bool, np.ndarray]:
    """Decide whether the paper of a page is lighter than its ink, and estimate its levels in a small copy."""
    soft = cv2.GaussianBlur(_page_copy(gray), (3, 3), 0)
    side = max(soft.shape) // PAGE_WINDOWS | 1
    is_light, _ = _polarity(soft, side)
    return is_light, _paper_levels(soft if is_light else 255 - soft, side)


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
    ink, inked, is_tight = _evened(gray)
    near = cv2.dilate(_glyph_mask(inked, is_tight), np.ones((3, 3), np.uint8))
    return np.rint(near * ink.clip(0, 255)).astype(np.uint8)


def photo_ink(gray: np.ndarray) -> np.ndarray:
    """Find the ink in a photograph, lines and dust included, but not what is dark because of the light.

    What the border cuts is no character, and left out unless it touches what may be one.

    Args:
        gray: uint8 array (height, width) of up to a few hundred pixels per side.

    Returns:
        uint8 array (height, width), light ink on black.

    Raises:
        UnreadableImage: nothing stands out from the noise.
    """
    ink, inked, _ = _evened(gray)
    parts, _, cut, main = _pieces(inked)
    cut[main] = False
    return np.rint(np.concatenate([[False], ~cut])[parts] * ink.clip(0, 255)).astype(np.uint8)


def _evened(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Even out the light: what `_even_light` returns, and whether there is ink along most of the border."""
    soft = cv2.GaussianBlur(gray, (3, 3), 0)
    for divisor in WINDOWS:
        side = max(gray.shape) // divisor | 1
        is_light, is_tight = _polarity(soft, side)
        if is_tight:  # the smaller square follows the light more closely, but fits into the strokes of such a glyph
            break
    is_tight |= max(gray.shape) < CROP
    if not is_light:
        gray, soft = 255 - gray, 255 - soft
    return *_even_light(gray, _paper_levels(soft, side), is_light), is_tight


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
        raise UnreadableImage(BLANK)
    zero, full = np.median(depth[inked == 0]), np.median(depth[inked > 0])
    noise = 1.4826 * np.median(np.abs(depth[inked == 0] - zero))  # estimates the standard deviation of normal noise
    if full - zero < MIN_SEPARATION * noise:
        raise UnreadableImage(BLANK)
    return ((paper - gray) / light - zero) * (255 / (full - zero)), inked


def _glyph_mask(inked: np.ndarray, is_tight: bool) -> np.ndarray:
    """Select the glyph, without dust and without what the border cuts, such as lines, unless it cuts the glyph."""
    parts, area, cut, main = _pieces(inked)
    if cut[main] and not is_tight:
        raise UnreadableImage("blank, or cut off at the border")
    kept = (area >= DUST_AREA * area[main]) & (cut <= cut[main])
    return np.concatenate([[False], kept])[parts].astype(np.uint8)


def _pieces(inked: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Label the pieces of ink from 1; return their areas, whether the border cuts them, and which is the glyph."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8)
    left, top, width, height, area = stats[1:].T
    cut = (left == 0) | (top == 0) | (left + width == inked.shape[1]) | (top + height == inked.shape[0])
    return parts, area, cut, int((area * np.where(cut, SPECK_AREA, 1)).argmax())


def _polarity(gray: np.ndarray, side: int) -> tuple[bool, bool]:
    """Decide whether the paper is lighter than the ink, and whether there is ink along most of the border.

    Only pixels in areas of high contrast count, light or dark: there is ink, and around it there is more paper.
    """
    kernel = np.ones((side, side), np.uint8)
    low, high = (change(gray, kernel).astype(np.float32) for change in (cv2.erode, cv2.dilate))
    contrasted, light = high - low >= (high - low).max() / 2, gray > (low + high) / 2
    border = border_pixels(contrasted)
    is_tight = bool(border.mean() > TIGHT_BORDER)
    share = border_pixels(light)[border].mean() if is_tight else 0.5
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
