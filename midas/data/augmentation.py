"""Label-preserving changes to glyphs: the whole batch in one resampling, never a flip.

Pen strokes are brought towards one width and varied at random; affine map and elastic deformation (Simard, Steinkraus
and Platt 2003) are added into one displacement field, so every pixel is interpolated once; at last a rectangle is
blackened (DeVries and Taylor 2017, Zhong et al. 2020). The batch is laid out as one tall image, so that OpenCV is
called once a batch, not once an image.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict

import cv2
import numpy as np

from midas.experiments import Augmentation

GRID = 5  # control points a side of the elastic field
PAD = 2  # black rows between stacked images, so that no glyph bleeds into its neighbour
PEN = 3 / 28  # of the side: the common width of pen strokes, between the medians of Part 1 (3.5 of 28) and MNIST (2.8)
OCCLUDED = 0.5  # of the images, if any
TALLEST = 32_000  # rows of a stacked image; cv2.remap counts them in 16 bits


def augment(images: np.ndarray, strength: Augmentation, rng: np.random.Generator, alike: bool = False) -> np.ndarray:
    """Deform every image by its own random draw.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        strength: limits of the deformations.
        rng: the source of randomness.
        alike: deform all images by the same draw.

    Returns:
        A new uint8 array of the same shape.

    >>> from midas.experiments import Augmentation
    >>> images = np.zeros((3, 28, 28), np.uint8); images[:, 8:20, 12:16] = 255
    >>> augment(images, Augmentation(), np.random.default_rng(0)).shape
    (3, 28, 28)
    """
    count, side = images.shape[0], images.shape[1]
    most = TALLEST // (side + 2 * PAD)
    if count > most:
        parts = (images[i : i + most] for i in range(0, count, most))
        return np.concatenate([augment(part, strength, deepcopy(rng) if alike else rng, alike) for part in parts])
    draws = 1 if alike else count
    stacked = np.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD)))
    if strength.stroke or strength.pen:
        stacked = _change_width(stacked, PEN * side, strength, rng, draws)
    across, down = _fields(draws, side, strength, rng)
    # Clipping into the image's own frame of black keeps the neighbours in the stack out of sight.
    np.clip(across + PAD, 0, side + 2 * PAD - 1, out=across)
    np.clip(down + PAD, 0, side + 2 * PAD - 1, out=down)
    down = down + (np.arange(count, dtype=np.float32) * (side + 2 * PAD))[:, None, None]
    across = np.broadcast_to(across, down.shape)
    tall = stacked.reshape(-1, side + 2 * PAD)
    warped = cv2.remap(tall, across.reshape(-1, side), down.reshape(-1, side), cv2.INTER_LINEAR)
    warped = warped.reshape(count, side, side)
    if strength.occlusion:  # drawn last, so that the same seed deforms alike with and without it
        warped[np.broadcast_to(_rectangles(draws, side, strength.occlusion, rng), warped.shape)] = 0
    return warped


def views(images: np.ndarray, count: int, strength: Augmentation) -> Iterator[np.ndarray]:
    """Give images as they are and count - 1 times deformed half as far as in training, to average answers over them.

    The deformations are always the same, so the answer to an image does not depend on those that are asked with it.

    >>> len(list(views(np.zeros((2, 28, 28), np.uint8), 3, Augmentation())))
    3
    """
    mild = Augmentation(**{name: limit / 2 for name, limit in asdict(strength).items()})
    yield images
    for number in range(1, count):
        yield augment(images, mild, np.random.default_rng(number), alike=True)


def augment_places(places: np.ndarray, strength: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Move and resize glyphs on their pages a little, and hide the place of some, for networks that are told it.

    Args:
        places: float32 array (n, 5) of `preprocessing.place`.
        strength: of which `place` and `unplaced` are used.
        rng: the source of randomness.

    Returns:
        A new float32 array (n, 5).
    """
    noise = rng.normal(0, strength.place, places.shape).astype(np.float32)
    noise[:, 0] = 0
    seen = places[:, :1] * (rng.random((len(places), 1)) >= strength.unplaced)
    return ((places + noise) * seen).astype(np.float32)


def _fields(count, side, strength, rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw where every output pixel is read from: two float32 arrays (count, side, side), across and down."""

    def uniform(limit):
        return rng.uniform(-limit, limit, count).astype(np.float32)

    angle, shear = np.deg2rad(uniform(strength.rotation)), np.tan(np.deg2rad(uniform(strength.shear)))
    wide, high = np.exp(uniform(strength.scale)), np.exp(uniform(strength.scale))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    stretch = np.zeros((count, 2, 2), np.float32)
    stretch[:, 0, 0], stretch[:, 0, 1], stretch[:, 1, 1] = wide, shear * wide, high
    matrix = (rotation @ stretch).astype(np.float32)
    middle = (side - 1) / 2
    axis = np.arange(side, dtype=np.float32) - middle
    knots = rng.normal(0, strength.elastic * side, (2, count, GRID, GRID)).astype(np.float32)
    spread = _spline_basis(side)
    bent = spread @ knots @ spread.T  # (2, count, side, side)
    shift = [uniform(strength.shift * side)[:, None, None] for _ in range(2)]
    fields = []
    for row in range(2):
        across, down = matrix[:, row, 0, None, None], matrix[:, row, 1, None, None]
        fields.append(across * axis[None, None, :] + down * axis[None, :, None] + bent[row] + shift[row] + middle)
    return fields[0], fields[1]


def _spline_basis(side: int) -> np.ndarray:
    """Weights (side, GRID) of the control points at each pixel: cubic interpolation, smooth at the knots."""
    return cv2.resize(np.eye(GRID, dtype=np.float32), (GRID, side), interpolation=cv2.INTER_CUBIC)


def _change_width(stacked: np.ndarray, common: float, strength: Augmentation, rng, draws: int) -> np.ndarray:
    """Thicken or thin each glyph's strokes, at most by a one-pixel dilation or erosion.

    The width is twice the ink over what an erosion takes from it: for a stroke, area over half the outline. On the
    drawings of Part 1, measured before they are shrunk, that is 0.3 pixels too much and otherwise right to 0.2.

    Args:
        stacked: uint8 array (n, side, side), light ink on black.
        common: the width in pixels that `strength.pen` moves to.
        strength: of which `pen` and `stroke` are used.
        rng: the source of randomness.
        draws: the number of images, or 1 to draw once for all.
    """
    count, side = stacked.shape[:2]
    tall = stacked.reshape(-1, side)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    thick, thin = cv2.dilate(tall, cross).reshape(stacked.shape), cv2.erode(tall, cross).reshape(stacked.shape)
    amount = np.zeros(count, np.float32)
    if strength.stroke:
        amount += rng.uniform(-strength.stroke, strength.stroke, draws).astype(np.float32)
    if strength.pen:
        ink, core = (image.reshape(count, -1).sum(axis=1, dtype=np.float32) for image in (stacked, thin))
        width = 2 * ink / np.maximum(ink - core, 1)
        amount = np.clip(amount + strength.pen * np.clip((common - width) / 2, -1, 1), -1, 1)
    amount = amount[:, None, None]
    other = np.where(amount > 0, thick, thin)
    share = np.abs(amount)
    return np.rint(stacked * (1 - share) + other * share).astype(np.uint8)


def _rectangles(count: int, side: int, limit: float, rng) -> np.ndarray:
    """Draw a rectangle in each of a random half of the images: a bool array (count, side, side), true within.

    Its width and height are drawn apart, evenly from 0 to `limit` of the side, and it lies wholly inside the image.
    """
    extent = rng.uniform(0, limit * side, (2, count, 1))
    extent *= rng.random((count, 1)) < OCCLUDED
    start = rng.random((2, count, 1)) * (side - extent)
    middles = np.arange(side) + 0.5
    rows, columns = (start <= middles) & (middles < start + extent)
    return rows[:, :, None] & columns[:, None, :]
