"""The pen of a glyph: how wide its strokes are, and the same glyph drawn with another pen and scanned less well.

One drawing tool has one pen. A network that is to read ballpoints, brushes and coarse scans needs strokes of every
width. A signed distance field, each pixel's distance to the edge of the ink, inside or outside, gives every width by
another threshold, for whole batches and without a skeleton. A threshold that varies smoothly looks like pressure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from midas.data.memmap import ImageFile

SCALE = 2  # to which glyphs are enlarged, as strokes can be finer than a pixel
INK = 128  # gray level from which a pixel of an enlarged glyph counts as ink
BLOCK = 2**22  # pixels of glyphs whose strokes are measured together
PAD = 3  # black rows between stacked images
WIDTHS = (0.22, 1.35)  # range of a new pen's width, of the present one
PRESSURE = 0.2  # standard deviation of the width along the strokes, of the new width
KNOTS = 4  # of the pressure, per side
SLANT = 20.0  # degrees, in either direction: people slant more than one drawing tool's users
FAINTEST = 40  # gray level of ink that counts for the size of a glyph; one that is fainter everywhere is lost
SCANNED = 0.5  # share of the redrawn glyphs that are scanned less well, and of these, each way of it
COARSEST = 0.5  # of the side in pixels, at which a glyph may have been scanned
BLUR = (0.3, 1.2)  # range of the standard deviation in pixels of 36x36
CONTRAST = (1.0, 3.0)  # range by which ink gets stronger, as in a scan with a threshold


def widths(images: np.ndarray | ImageFile) -> np.ndarray:
    """Measure the width of the strokes of each glyph, in pixels; 0 where there is no ink.

    Across a stroke of width w, the distance to its nearest edge is w / 4 in the mean.

    Args:
        images: uint8 (n, side, side), light ink on black, in memory or in a file.

    Returns:
        float (n,).

    >>> images = np.zeros((1, 28, 28), np.uint8); images[:, 4:24, 12:16] = 255
    >>> widths(images).round(1).tolist()  # less than 4 because of the ends
    [3.5]
    """
    block = max(1, BLOCK // images.shape[1] ** 2)
    starts = range(0, len(images), block)
    return np.concatenate([np.zeros(0), *(_widths(images[start : start + block]) for start in starts)])


def _widths(images: np.ndarray) -> np.ndarray:
    """Do as `widths` does, for at least one glyph in memory."""
    depth = cv2.distanceTransform(_inked(images, 1), cv2.DIST_L2, 3).reshape(len(images), -1)
    ink = np.count_nonzero(depth, axis=1)
    mean = depth.sum(axis=1, dtype=np.float64) / np.maximum(ink, 1)
    # Distances are to the middle of the first pixel without ink, which lies half a pixel beyond the edge.
    return np.where(ink, 4 / SCALE * (mean - 0.5), 0)


def redraw(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Redraw glyphs, each with a random pen, slant and quality of the scan, in the box that they fill.

    Args:
        images: uint8 (n, side, side), light ink on black.
        rng: source of randomness.

    Returns:
        A new uint8 array (n, side, side).

    >>> images = np.zeros((2, 28, 28), np.uint8); images[:, 4:24, 12:16] = 255
    >>> redraw(images, np.random.default_rng(0)).shape
    (2, 28, 28)
    """
    redrawn = images.copy()
    count, side, _ = images.shape
    if not count:
        return redrawn
    before = widths(images)
    width = before * np.exp(rng.uniform(math.log(WIDTHS[0]), math.log(WIDTHS[1]), count))
    wider, half = ((each / 2).astype(np.float32)[:, None, None] for each in (width - before, width))
    threshold = wider + half * _pressure(count, side, rng)
    drawn = np.rint(255 * (_depths(images) + threshold + 0.5).clip(0, 1)).astype(np.uint8)
    slants = np.tan(np.deg2rad(rng.uniform(-SLANT, SLANT, count)))
    middle, center = (side - 1) / 2, (drawn.shape[1] - 1) / 2
    for index, image in enumerate(images):
        if box := max(cv2.boundingRect((image > FAINTEST).view(np.uint8))[2:]):
            # Finer strokes reach less far, and what is left is enlarged to the same box.
            scale = SCALE * max(1 + (width - before)[index] / box, 0.25)
            across, down = np.array([scale, scale * slants[index]]), np.array([0, scale])
            back = np.array([[*across, center - across.sum() * middle], [*down, center - down.sum() * middle]])
            other = cv2.warpAffine(drawn[index], back, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            if other.max() >= FAINTEST:  # otherwise the strokes are lost
                redrawn[index] = other
            if rng.random() < SCANNED:
                redrawn[index] = _scan(redrawn[index], rng)
    return _at_full_strength(redrawn)


def _inked(images: np.ndarray, pad: int) -> np.ndarray:
    """Enlarge glyphs, with a black frame each, and tell where there is ink: uint8, one tall image."""
    tall = np.pad(images, ((0, 0), (pad, pad), (pad, pad))).reshape(-1, images.shape[2] + 2 * pad)
    large = cv2.resize(tall, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    return (large >= INK).view(np.uint8)


def _depths(images: np.ndarray) -> np.ndarray:
    """Compute the signed distance field of the enlarged glyphs, in pixels of the glyphs: positive inside the ink."""
    inked = _inked(images, PAD)
    inside, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (inked, 1 - inked))
    return ((inside - outside) / SCALE).reshape(len(images), -1, inked.shape[1])


def _pressure(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth fields of the relative change of a pen's width, as large as `_depths`."""
    basis = cv2.resize(
        np.eye(KNOTS, dtype=np.float32), (KNOTS, SCALE * (side + 2 * PAD)), interpolation=cv2.INTER_CUBIC
    )
    return basis @ rng.normal(0, PRESSURE, (count, KNOTS, KNOTS)).astype(np.float32) @ basis.T


def _scan(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scan a glyph coarsely, out of focus, or with much contrast; each at random."""
    side = len(image)
    if rng.random() < SCANNED:
        coarse = int(rng.integers(round(COARSEST * side), side + 1))
        small = cv2.resize(image, (coarse, coarse), interpolation=cv2.INTER_AREA)
        smooth = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        image = cv2.resize(small, (side, side), interpolation=smooth)
    if rng.random() < SCANNED:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(*BLUR) * side / 36)
    if rng.random() < SCANNED:
        image = cv2.convertScaleAbs(image, alpha=rng.uniform(*CONTRAST))
    return image


def _at_full_strength(images: np.ndarray) -> np.ndarray:
    strongest = images.max(axis=(1, 2), keepdims=True).astype(np.float32).clip(1)
    return np.rint(images * (255 / strongest)).astype(np.uint8)
