"""Random, label-preserving changes to glyphs: the whole batch in one resampling, never a flip.

Affine map and elastic deformation (Simard, Steinkraus and Platt 2003) are added into one displacement field, so every
pixel is interpolated once. The batch is laid out as one tall image, so that OpenCV is called once a batch, not once an
image.
"""

import cv2
import numpy as np

GRID = 5  # control points a side of the elastic field
PAD = 2  # black rows between stacked images, so that no glyph bleeds into its neighbour
TALLEST = 32_000  # rows of a stacked image; cv2.remap counts them in 16 bits


def augment(images: np.ndarray, strength, rng: np.random.Generator) -> np.ndarray:
    """Deform every image by its own random draw.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        strength: an `experiments.Augmentation`.
        rng: the source of randomness.

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
        return np.concatenate([augment(images[i : i + most], strength, rng) for i in range(0, count, most)])
    stacked = np.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD)))
    if strength.stroke:
        stacked = _vary_stroke(stacked, strength.stroke, rng)
    across, down = _fields(count, side, strength, rng)
    # Clipping into the image's own frame of black keeps the neighbours in the stack out of sight.
    np.clip(across + PAD, 0, side + 2 * PAD - 1, out=across)
    np.clip(down + PAD, 0, side + 2 * PAD - 1, out=down)
    down += (np.arange(count, dtype=np.float32) * (side + 2 * PAD))[:, None, None]
    tall = stacked.reshape(-1, side + 2 * PAD)
    warped = cv2.remap(tall, across.reshape(-1, side), down.reshape(-1, side), cv2.INTER_LINEAR)
    return warped.reshape(count, side, side)


def augment_places(places: np.ndarray, strength, rng: np.random.Generator) -> np.ndarray:
    """Move and resize glyphs on their pages a little, and hide the place of some, for networks that are told it.

    Args:
        places: float32 array (n, 5) of `preprocessing.place`.
        strength: an `experiments.Augmentation`.
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


def _vary_stroke(stacked: np.ndarray, limit: float, rng) -> np.ndarray:
    """Thicken or thin each pen stroke by up to `limit` of a one-pixel dilation or erosion."""
    count, side = stacked.shape[:2]
    tall = stacked.reshape(-1, side)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    thick, thin = cv2.dilate(tall, cross).reshape(stacked.shape), cv2.erode(tall, cross).reshape(stacked.shape)
    amount = rng.uniform(-limit, limit, count).astype(np.float32)[:, None, None]
    other = np.where(amount > 0, thick, thin)
    share = np.abs(amount)
    return np.rint(stacked * (1 - share) + other * share).astype(np.uint8)
