"""Arrays of any range, depth and number of channels to gray levels of 8 bits."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

BYTES = (0.0, 255.0)
FAINT = 0.1  # of a range: what uses less of it would count as blank, so it is taken to have a range of its own
NATURAL_WHITE = {"uint8": (255,), "uint16": (65535,)}
OTHER_WHITE = (1, 255, 65535)
HOT = 2  # times as high as all others are pixels of a broken sensor, or of a division by nearly zero
MAX_HOT, PIXELS_PER_HOT = 4, 500  # at most so many pixels of an image are, one in 500
PART = 2**22  # values that are examined at a time
NOISE = 0.85  # of the variance, by which neighbors differ: 1 in noise, 0.73 in a ring one pixel wide
OPAQUE = 0.9  # of the strongest opacity: less is a soft edge or a shadow
CONTRAST = 64  # gray levels between ink and paper, where the opaque part of an image shows both
SOLID = 0.7  # of its convex hull: a page covers more, even if it is rotated, and most characters less
RIM = 0.025  # of the longer side of a page: how far its edge reaches inwards
CONVEX = 0.985  # of its convex hull: a blank page covers more, even with round corners, and a stencil less
BLANK = "blank: nothing stands out from the paper"  # why an image shows no character
BLANK_AREA, BLANK_ASPECT = 0.5, 2  # a blank page covers more of the image, and is less elongated than a single stroke


class UnreadableImage(ValueError):
    """The bytes are not an image, or the image shows no character; the message is the reason."""


def to_grayscale(image: np.ndarray, span: tuple[float, float] | None = None) -> np.ndarray:
    """Reduce an image of any range, depth and number of channels to gray levels.

    Color is reduced to luminance. Transparent pixels become paper.

    Args:
        image: array (height, width) or (height, width, channels) of numbers: gray, gray and alpha, BGR or BGRA, in
            OpenCV's order.
        span: the values of black and white, as `value_range` finds them in a whole data set; None finds them in the
            image.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the image uses little of the range of its type, and in its own range it would be noise.

    >>> to_grayscale(np.full((2, 2, 4), 0, np.uint8)).tolist()  # fully transparent: paper
    [[255, 255], [255, 255]]
    >>> page = np.full((9, 12), 4095, np.uint16); page[3:6, 4:8] = 0  # 12 bits stored in 16
    >>> np.unique(to_grayscale(page)).tolist()
    [0, 255]
    """
    if image.ndim == 2 or image.shape[2] not in (2, 4):
        return _levels(image, span)
    alpha = np.nan_to_num(image[:, :, -1].astype(np.float32), posinf=0, neginf=0)
    opacity = np.clip(alpha / np.float32(_white(float(alpha.max(initial=0)))), 0, 1)
    return lay_on_paper(_levels(image[:, :, :-1], span), opacity)


def value_range(images: Iterable[np.ndarray]) -> tuple[float, float]:
    """Find the values of black and white in images that belong together.

    Black is 0, or the lowest value if that is negative. White is 1, 255 or 2^n - 1, the smallest of these that is not
    below the highest value, or the highest value itself if it is not a tenth of that. If black is negative, white is
    the median of the images' highest values, as pixels that were standardized one by one have outliers. Single pixels
    far beyond all others, as broken sensors have them, and those that are no numbers do not count.

    Args:
        images: arrays (n, height, width) or (n, height, width, channels), the channels as in `to_grayscale`.

    >>> value_range([np.array([[[0.0, 16.0]]])]), value_range([np.array([[[-1, 3]]])])
    ((0.0, 16.0), (-1.0, 3.0))
    """
    return find_range(images)[0]


def find_range(images: Iterable[np.ndarray]) -> tuple[tuple[float, float], list[int]]:
    """Find black and white as `value_range` does, and the indices of the images with pixels that do not count."""
    found = [np.zeros((0, 6))]
    for block in images:
        colors = block[..., :-1] if block.ndim == 4 and block.shape[3] in (2, 4) else block
        values = colors.reshape(len(colors), -1)
        bright = np.count_nonzero(values.max(axis=1, initial=0) > FAINT * 255)
        if values.dtype == np.uint8 and 2 * bright > len(values):
            return BYTES, []
        rows = max(1, PART // max(values.shape[1], 1))
        found += [_extremes(values[start : start + rows]) for start in range(0, len(values), rows)]
    lowest, low, top, highest, is_odd, is_even = np.concatenate(found).T
    shows = (is_even == 0) | is_even.all()  # images of a single value only count if there are no others
    black, high = float(low.min(where=shows, initial=0)), float(top.max(where=shows, initial=0))
    white = high if 0 < high <= FAINT * _white(high) else _white(high)
    if black < 0:
        middle = float(np.median(top[shows]))
        white = middle if middle > 0 else high
    is_beyond = (highest > np.maximum(top, white)) | (lowest < np.minimum(low, black))
    return (black, white), np.flatnonzero(is_beyond | (is_odd > 0)).tolist()


def _extremes(values: np.ndarray) -> np.ndarray:
    """Measure the lowest value of each image, that of the pixels that count, the highest of these, and the highest.

    Args:
        values: numbers (n, pixels).

    Returns:
        float array (n, 6); the last two columns tell whether there are pixels that are not finite, and whether all are
        alike. Lowest values are at most 0, highest ones at least 0.
    """
    values = values.astype(np.float64)
    is_finite = np.isfinite(values)
    values[~is_finite] = 0
    few = min(MAX_HOT, values.shape[1] // PIXELS_PER_HOT)
    top, highest = _highest(values, few)
    low, lowest = _highest(-values, few)
    is_even = values.max(axis=1, initial=-np.inf) <= values.min(axis=1, initial=np.inf)
    return np.stack([-lowest, -low, top, highest, ~is_finite.all(axis=1), is_even], axis=1)


def _highest(values: np.ndarray, few: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the highest value of each image, at least 0: without a few far beyond all others, and with them."""
    highest = values.max(axis=1, initial=0)
    has_hot = (highest > 0) & (np.count_nonzero(values > highest[:, None] / HOT, axis=1) <= few)
    top = highest.copy()
    if has_hot.any():
        top[has_hot] = np.partition(values[has_hot], -1 - few, axis=1)[:, -1 - few].clip(0)
    return top, highest


def _white(highest: float) -> float:
    """Find the white of images whose highest value this is: 1, 255 or 2^n - 1."""
    if highest <= 255:
        return 1.0 if highest <= 1 else 255.0
    return 2.0 ** math.ceil(math.log2(highest + 1)) - 1


def _levels(image: np.ndarray, span: tuple[float, float] | None) -> np.ndarray:
    """Reduce an image without transparency to gray levels."""
    if not image.size:
        return np.zeros(image.shape[:2], np.uint8)
    if image.dtype == np.uint8 and (span == BYTES or (span is None and image.max() > FAINT * 255)):
        return _luminance(image)
    black, white = span or value_range([image[None]])
    with np.errstate(all="ignore"):
        gray = _luminance(np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0))
        scaled = np.nan_to_num((gray - np.float32(black)) * np.float32(255 / (white - black)))
    levels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    is_natural = black == 0 and white in NATURAL_WHITE.get(image.dtype.name, OTHER_WHITE)
    if span is None and not is_natural and _is_noise(levels):
        raise UnreadableImage(f"blank: values from {image.min():g} to {image.max():g}, without a shape")
    return levels


def _luminance(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image
    return image[:, :, 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _is_noise(levels: np.ndarray) -> bool:
    """Whether neighbors differ nearly as much as any two pixels do, in every direction."""
    pixels = levels.astype(np.float32)
    pairs = (
        *((pixels[:, 1:], pixels[:, :-1]), (pixels[1:], pixels[:-1])),
        *((pixels[1:, 1:], pixels[:-1, :-1]), (pixels[1:, :-1], pixels[:-1, 1:])),
    )
    differences = [np.mean((one - other) ** 2) for one, other in pairs if one.size]
    return bool(min(differences, default=0) > 2 * NOISE * pixels.var())


# ---- transparency


def lay_on_paper(gray: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Lay a partly transparent image on paper that suits what its opaque part shows.

    A page, which shows ink and paper, continues beyond its edge, and its shadow is left out. Ink is laid on white paper
    if it is dark, on black paper if it is light.

    Args:
        gray: uint8 array (height, width).
        opacity: float32 array (height, width) in 0-1.

    Returns:
        uint8 array (height, width).

    >>> lay_on_paper(np.full((1, 2), 250, np.uint8), np.array([[0, 1]], np.float32)).tolist()
    [[0, 250]]
    """
    strongest = opacity.max(initial=0)
    if opacity.min(initial=1) == 1 or strongest == 0:
        return gray if strongest else np.full_like(gray, 255)
    opaque = opacity >= OPAQUE * strongest
    tones = gray[opaque]
    solidity, area, longer, aspect = _shape(opaque)
    if _has_contrast(tones):
        depth = max(1, round(RIM * longer)) if solidity > SOLID else 1
        is_page, paper = solidity > SOLID, np.median(gray[_rim(opaque, depth)])
    else:
        is_page = solidity > CONVEX and area > BLANK_AREA * gray.size and aspect <= BLANK_ASPECT
        paper = np.median(tones) if is_page else 255 if tones.mean() < 128 else 0
    if is_page:
        return np.where(opaque, gray, paper).astype(np.uint8)
    return np.rint(gray * opacity + paper * (1 - opacity)).astype(np.uint8)


def _has_contrast(tones: np.ndarray) -> bool:
    """Whether gray levels fall into two groups, ink and paper."""
    threshold, _ = cv2.threshold(tones, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light, dark = tones[tones > threshold], tones[tones <= threshold]
    return bool(len(light) and len(dark) and light.mean() - dark.mean() >= CONTRAST)


def _shape(opaque: np.ndarray) -> tuple[float, float, float, float]:
    """Measure a region: the share of its convex hull that it covers, area, longer side, and aspect ratio."""
    points = cv2.findNonZero(opaque.view(np.uint8))
    (_, sides, _), area = cv2.minAreaRect(points), len(points)
    longer, shorter = max(sides) + 1, min(sides) + 1  # between the centers of pixels
    hull = cv2.contourArea(cv2.convexHull(points))
    return min(1.0, area / max(hull, 1)), area, longer, longer / shorter


def _rim(opaque: np.ndarray, depth: int) -> np.ndarray:
    """Select the outermost pixels of a region, up to this depth."""
    kernel = np.ones((2 * depth + 1, 2 * depth + 1), np.uint8)
    inner = cv2.erode(opaque.view(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return opaque & (inner == 0)
