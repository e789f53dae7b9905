"""Random deformations that keep the label, a whole batch in one resampling; glyphs are never mirrored.

Pen strokes are moved toward one width and varied at random. An affine map and an elastic deformation (Simard,
Steinkraus and Platt 2003) add up to one displacement field, so every pixel is interpolated once. Finally a rectangle is
blackened (DeVries and Taylor 2017, Zhong et al. 2020). The batch is laid out as one tall image, so that OpenCV is
called once per batch rather than once per image. Before that, some glyphs may be redrawn with other pens.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict

import cv2
import numpy as np

from midas.data import pens
from midas.data.glyphs import UNKNOWN_PLACE, Glyphs
from midas.experiments import Augmentation

GRID = 5  # control points per side of the elastic field
PAD = 2  # black rows between stacked images, so that no glyph bleeds into its neighbor
PEN = 3 / 28  # of the side: the common width of pen strokes, between the medians of Part 1 (3.5 of 28) and MNIST (2.8)
OCCLUDED = 0.5  # fraction of the images with a rectangle, if there are rectangles
MAX_ROWS = 32_000  # of stacked images; cv2.remap has 16 bits for them
STEPS = 32  # per pixel, to which OpenCV 4 rounds positions; a float32 still has them in the last of these rows


def augment_glyphs(glyphs: Glyphs, strengths: Augmentation, rng: np.random.Generator, places: bool = False) -> Glyphs:
    """Augment glyphs in memory, and their places if a network takes them.

    Args:
        glyphs: to augment.
        strengths: of the augmentation; those that are redrawn with another pen have no known place, as it is not that
            of the drawing tool.
        rng: source of randomness.
        places: whether to augment the places, too.

    Returns:
        New glyphs in memory, as many and of the same size.
    """
    images, known = np.asarray(glyphs.images), glyphs.places
    if strengths.other_pens:
        redrawn = rng.random(len(glyphs)) < strengths.other_pens
        images = images.copy()
        images[redrawn] = pens.redraw(images[redrawn], rng)
        known = np.where(redrawn[:, None], UNKNOWN_PLACE, known)
    images = augment(images, strengths, rng)
    return Glyphs(images, augment_places(known, strengths, rng) if places else known)


def augment(images: np.ndarray, strengths: Augmentation, rng: np.random.Generator, same: bool = False) -> np.ndarray:
    """Deform every image at random.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        strengths: limits of the deformations.
        rng: source of randomness.
        same: deform all images by the same random draw, rather than each by its own.

    Returns:
        A new uint8 array (n, side, side).

    >>> from midas.experiments import Augmentation
    >>> images = np.zeros((3, 28, 28), np.uint8); images[:, 8:20, 12:16] = 255
    >>> augment(images, Augmentation(), np.random.default_rng(0)).shape
    (3, 28, 28)
    """
    count, side = images.shape[0], images.shape[1]
    limit = MAX_ROWS // (side + 2 * PAD)
    if count > limit:
        parts = (images[i : i + limit] for i in range(0, count, limit))
        return np.concatenate([augment(part, strengths, deepcopy(rng) if same else rng, same) for part in parts])
    draws = 1 if same else count
    stacked = np.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD)))
    if strengths.stroke or strengths.pen:
        stacked = _change_width(stacked, PEN * side, strengths, rng, draws)
    across, down = _fields(draws, side, strengths, rng)
    if same:  # the same image becomes the same copy wherever it lies in the stack
        across, down = (np.rint(field * STEPS) / STEPS for field in (across, down))
    # Clipping to the image's own frame of black keeps out its neighbors in the stack.
    np.clip(across + PAD, 0, side + 2 * PAD - 1, out=across)
    np.clip(down + PAD, 0, side + 2 * PAD - 1, out=down)
    down = down + (np.arange(count, dtype=np.float32) * (side + 2 * PAD))[:, None, None]
    across = np.broadcast_to(across, down.shape)
    tall = stacked.reshape(-1, side + 2 * PAD)
    warped = cv2.remap(tall, across.reshape(-1, side), down.reshape(-1, side), cv2.INTER_LINEAR)
    warped = warped.reshape(count, side, side)
    if strengths.occlusion:  # drawn last, so that the other deformations of a seed are the same without it
        warped[np.broadcast_to(_rectangles(draws, side, strengths.occlusion, rng), warped.shape)] = 0
    return warped


def tta_copies(images: np.ndarray, count: int, strengths: Augmentation) -> Iterator[np.ndarray]:
    """Yield images and copies of them, to average predictions over (test-time augmentation).

    The copies are deformed half as far as in training. All images of a copy are deformed alike, and the deformations do
    not vary between calls, so the prediction for an image does not depend on the others.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        count: number of arrays, the images themselves included.
        strengths: limits of the deformations in training.

    Yields:
        uint8 arrays (n, side, side), first the images themselves.

    >>> len(list(tta_copies(np.zeros((2, 28, 28), np.uint8), 3, Augmentation())))
    3
    """
    mild = Augmentation(**{name: limit / 2 for name, limit in asdict(strengths).items()})
    yield images
    for number in range(1, count):
        yield augment(images, mild, np.random.default_rng(number), same=True)


def augment_places(places: np.ndarray, strengths: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Move and resize glyphs on their pages a little, and hide the place of some; for networks that use the place.

    Args:
        places: float32 array (n, 5) of `Glyph.place`.
        strengths: of which `place_noise` and `place_dropout` are used.
        rng: source of randomness.

    Returns:
        A new float32 array (n, 5).

    >>> places = np.array([[1, 0.5, 0, 0, 0]], np.float32)
    >>> augment_places(places, Augmentation(place_dropout=1), np.random.default_rng(0)).any().item()
    False
    """
    noise = rng.normal(0, strengths.place_noise, places.shape).astype(np.float32)
    noise[:, 0] = 0
    known = places[:, :1] * (rng.random((len(places), 1)) >= strengths.place_dropout)
    return ((places + noise) * known).astype(np.float32)


def _fields(count: int, side: int, strengths: Augmentation, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw from where every output pixel is read: two float32 arrays (count, side, side), across and down."""

    def uniform(limit: float) -> np.ndarray:
        return rng.uniform(-limit, limit, count).astype(np.float32)

    angle, shear = np.deg2rad(uniform(strengths.rotation)), np.tan(np.deg2rad(uniform(strengths.shear)))
    horizontal, vertical = np.exp(uniform(strengths.scale)), np.exp(uniform(strengths.scale))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    stretch = np.zeros((count, 2, 2), np.float32)
    stretch[:, 0, 0], stretch[:, 0, 1], stretch[:, 1, 1] = horizontal, shear * horizontal, vertical
    matrix = (rotation @ stretch).astype(np.float32)
    middle = (side - 1) / 2
    axis = np.arange(side, dtype=np.float32) - middle
    knots = rng.normal(0, strengths.elastic * side, (2, count, GRID, GRID)).astype(np.float32)
    basis = _spline_basis(side)
    elastic = basis @ knots @ basis.T  # (2, count, side, side)
    shift = [uniform(strengths.shift * side)[:, None, None] for _ in range(2)]
    fields = []
    for row in range(2):
        across, down = matrix[:, row, 0, None, None], matrix[:, row, 1, None, None]
        fields.append(across * axis[None, None, :] + down * axis[None, :, None] + elastic[row] + shift[row] + middle)
    return fields[0], fields[1]


def _spline_basis(side: int) -> np.ndarray:
    """Weights (side, GRID) of the control points at each pixel: cubic interpolation, smooth at the points."""
    return cv2.resize(np.eye(GRID, dtype=np.float32), (GRID, side), interpolation=cv2.INTER_CUBIC)


def _change_width(
    stacked: np.ndarray, common: float, strengths: Augmentation, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Thicken or thin the strokes of each glyph, by up to a dilation or erosion of one pixel.

    The width of a stroke is twice the ink divided by the ink that an erosion removes, which is area over half the
    outline. On the drawings of Part 1, measured before downscaling, this is 0.3 pixels too much, and otherwise exact
    to 0.2.

    Args:
        stacked: uint8 array (n, side, side), light ink on black.
        common: width in pixels that `strengths.pen` moves to.
        strengths: of which `pen` and `stroke` are used.
        rng: source of randomness.
        draws: number of random draws: one per image, or 1 for all together.
    """
    count, side = stacked.shape[:2]
    tall = stacked.reshape(-1, side)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    thick, thin = cv2.dilate(tall, cross).reshape(stacked.shape), cv2.erode(tall, cross).reshape(stacked.shape)
    amount = np.zeros(count, np.float32)
    if strengths.stroke:
        amount += rng.uniform(-strengths.stroke, strengths.stroke, draws).astype(np.float32)
    if strengths.pen:
        ink, core = (image.reshape(count, -1).sum(axis=1, dtype=np.float32) for image in (stacked, thin))
        width = 2 * ink / np.maximum(ink - core, 1)
        amount = np.clip(amount + strengths.pen * np.clip((common - width) / 2, -1, 1), -1, 1)
    amount = amount[:, None, None]
    other = np.where(amount > 0, thick, thin)
    share = np.abs(amount)
    return np.rint(stacked * (1 - share) + other * share).astype(np.uint8)


def _rectangles(count: int, side: int, limit: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a rectangle in each of a random half of the images: a bool array (count, side, side), true inside.

    Width and height are drawn independently and uniformly from 0 to `limit` of the side; the rectangle lies inside the
    image.
    """
    extent = rng.uniform(0, limit * side, (2, count, 1))
    extent *= rng.random((count, 1)) < OCCLUDED
    start = rng.random((2, count, 1)) * (side - extent)
    middles = np.arange(side) + 0.5
    rows, columns = (start <= middles) & (middles < start + extent)
    return rows[:, :, None] & columns[:, None, :]
