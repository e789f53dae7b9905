"""The embedded sample: drawings made by this module and digits that scikit-learn includes, so nothing is downloaded.

A drawing is a single-stroke glyph, redrawn by a simulated person: each writer has a slant, a size, a pen and habits,
strokes miss their points by a little, and the pen is round. The constants were fitted to the 2,480 drawings of Part 1,
which were made on a tablet on pages of the same size.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from midas.data.complementary_mnist import complementary_labels
from midas.data.entries import Entry, Source
from midas.data.strokes import HEIGHT, PEN, WIDTH, draw_strokes

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
WRITERS = 40
MARGIN = 12  # pixels of white along the border of the page

# Strokes are in font units, y down from the baseline: capitals are 21 high, x is 14, descenders reach 7 below.
CAPITAL = 21
UNIT = 19.2  # pixels per font unit, of the average writer
LOWERCASE = np.array([1.04, 0.97])  # people draw lowercase letters wider and lower than the font
MIDDLE = (590, 476)  # pixels; where people center a capital on the page
ALIGNED = 0.5  # 1: letters stand on a common baseline, 0: each is centered on the page; people are in between
STEP = 0.6  # font units between the points of a stroke
KNOT = 8  # font units between the points at which a stroke is displaced independently

# Other forms of a character that many people write and the fonts lack, each a list of strokes.
VARIANTS: dict[str, tuple[list[list[tuple[int, int]]], ...]] = {
    "1": ([[(8, -21), (8, 0)]], [[(3, -16), (8, -21), (8, 0)], [(2, 0), (14, 0)]]),
    "4": ([[(6, -21), (3, -8), (16, -8)], [(13, -15), (12, 0)]],),
    "7": ([[(3, -21), (16, -21), (8, 0)], [(6, -10), (16, -11)]],),
    "9": ([[(13, -19), (8, -21), (4, -17), (5, -12), (10, -12), (14, -19), (13, 0)]],),
    "I": ([[(8, -21), (8, 0)], [(2, -21), (14, -21)], [(2, 0), (14, 0)]],) * 2,
    "J": ([[(10, -21), (10, -4), (8, 0), (4, 0), (2, -5)], [(4, -21), (17, -21)]],),
    "W": ([[(2, -21), (8, 0), (13, -15), (18, 0), (24, -21)]],) * 2,
    "Z": ([[(3, -21), (16, -21), (3, 0), (17, 0)], [(5, -11), (15, -11)]],),
    "a": (
        [[(3, -12), (8, -14), (11, -11), (11, 0)], [(11, -8), (5, -7), (3, -3), (6, 0), (11, -3)]],
        [[(13, -12), (8, -14), (3, -8), (4, -1), (8, 0), (13, -6), (13, -12), (14, -2), (19, -1)]],
    ),
    "e": ([[(4, -7), (13, -9), (12, -13), (7, -14), (3, -8), (4, -2), (9, 0), (15, -3)]],) * 2,
    "f": ([[(13, -18), (11, -21), (8, -19), (7, 4)], [(2, -10), (13, -10)]],),
    "i": ([[(4, -14), (4, -3), (6, 0), (10, -2)], [(4, -20), (4, -20)]],),
    "l": ([[(4, -21), (4, -3), (6, 0), (10, -2)]],),
    "q": ([[(13, -12), (8, -14), (4, -9), (6, -2), (12, -4), (14, -13), (12, 7), (17, 2)]],),
    "r": ([[(3, -14), (6, -13), (8, -7), (8, 0)], [(8, -7), (10, -13), (15, -14)]],),
    "u": ([[(3, -14), (3, -4), (6, 0), (11, -1), (14, -6), (14, -14), (15, -2), (19, 0)]],),
    "w": ([[(2, -14), (4, -3), (7, 0), (10, -3), (11, -9), (12, -3), (15, 0), (18, -3), (20, -14)]],) * 2,
    "x": ([[(3, -13), (7, -14), (8, -7), (6, 0), (2, -1)], [(15, -13), (11, -14), (8, -7), (11, 0), (15, -1)]],),
    "y": ([[(3, -14), (4, -7), (8, -5), (13, -8), (14, -14), (12, 5), (8, 8), (4, 5)]],),
    "z": ([[(3, -14), (14, -14), (3, 0), (15, 0)], [(4, -7), (13, -7)]],),
}
CURSIVE = "adfghijlmnpqtuvwy"  # lowercase letters that people also draw in their cursive form


@dataclass(frozen=True)
class _Hand:
    """What all drawings of one writer have in common.

    Attributes:
        size: scale factor of everything but the pen.
        aspect: width over height, as a factor.
        slant: horizontal shift per unit of height.
        cursive: probability that a letter of `CURSIVE` is drawn in its cursive form.
        wobble: standard deviation of the displacement of a stroke's knots, in font units.
        corner: standard deviation of the Gaussian that rounds corners, in font units.
        pen: diameter in pixels.
        middle: where capitals are centered on the page, in pixels (across, down).
    """

    size: float
    aspect: float
    slant: float
    cursive: float
    wobble: float
    corner: float
    pen: int
    middle: np.ndarray


def draw(character: str, writer: int, seed: int = 0) -> np.ndarray:
    """Draw a character in the hand of a writer.

    Args:
        character: one of `CHARACTERS`.
        writer: number of the writer; the sample has 0 to `WRITERS` - 1, any other number >= 0 gives another one.
        seed: random seed, >= 0; another seed gives other writers.

    Returns:
        uint8 array (900, 1200) with a black pen (0) on white paper (255) and no levels in between.

    Raises:
        ValueError: `character` is not one of `CHARACTERS`, or `writer` or `seed` is negative.

    >>> page = draw("A", writer=3)
    >>> page.shape, np.unique(page).tolist()
    ((900, 1200), [0, 255])
    """
    if len(character) != 1 or character not in CHARACTERS:
        raise ValueError(f"no such character {character!r}; choose one of {CHARACTERS}")
    if writer < 0 or seed < 0:
        raise ValueError(f"writer and seed must not be negative, not {writer} and {seed}")
    hand = _hand(writer, seed)
    # SeedSequence treats a missing number as 0, hence + 1: the generator of a "0" must not be that of the hand.
    rng = np.random.default_rng((seed, writer, CHARACTERS.index(character) + 1))
    strokes = [_draw_stroke(stroke, hand, rng) for stroke in _form(character, hand, rng)]
    strokes = _on_page(strokes, LOWERCASE if character.islower() else np.ones(2), hand, rng)
    return draw_strokes(strokes, hand.pen)


def _hand(writer: int, seed: int) -> _Hand:
    rng = np.random.default_rng((seed, writer))
    return _Hand(
        size=np.exp(np.clip(rng.normal(0, 0.2), -0.4, 0.4)),
        aspect=np.exp(np.clip(rng.normal(0, 0.08), -0.2, 0.2)),
        slant=np.clip(rng.normal(0.06, 0.12), -0.2, 0.35),
        cursive=rng.random() ** 3,
        wobble=rng.uniform(0.35, 0.8),
        corner=rng.uniform(0.6, 1.6),
        pen=int(rng.integers(PEN + 4, PEN + 20)) if rng.random() < 0.1 else PEN,
        middle=MIDDLE + rng.normal(0, (50, 25)),
    )


def _form(character: str, hand: _Hand, rng: np.random.Generator) -> list[np.ndarray]:
    """Choose how the writer forms the character: strokes, each a float array (points, 2) in font units."""
    if character in CURSIVE and rng.random() < hand.cursive:
        return _font("scripts")[character]
    forms: list[Sequence[Any]] = [_font("futural")[character], *VARIANTS.get(character, ())]
    return [np.array(stroke, float) for stroke in forms[rng.integers(len(forms))]]


@cache
def _font(name: str) -> dict[str, list[np.ndarray]]:
    from HersheyFonts import HersheyFonts

    font = HersheyFonts()
    font.load_default_font(name)
    return {c: [_to_font_units(list(stroke), name) for stroke in font.strokes_for_text(c)] for c in CHARACTERS}


def _to_font_units(stroke: list[tuple[float, float]], font: str) -> np.ndarray:
    """Convert a stroke of a Hershey font to the units of this module."""
    points = np.array(stroke, float) - (0, 9)  # Hershey's baseline
    if np.ptp(points, axis=0).max() < 3:  # the dot of i and j: people draw it as one point, at the height of a capital
        return np.repeat([[points[:, 0].mean(), 1 - CAPITAL]], 2, axis=0)
    if font == "scripts":  # its lowercase letters are so low that a round pen would fill them
        points[:, 0] *= 1.2
        points[:, 1] = np.interp(points[:, 1], (-21, -9, 0, 12), (-21, -14, 0, 9))
    return points


def _draw_stroke(stroke: np.ndarray, hand: _Hand, rng: np.random.Generator) -> np.ndarray:
    """Follow a stroke as a hand does: it misses points, is not quite straight and rounds the corners."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    at = np.linspace(0, length[-1], int(length[-1] / STEP) + 2)
    knots = hand.wobble * np.clip(rng.normal(0, 1, (2, int(length[-1] / KNOT) + 2)), -2, 2)
    displacement = cv2.resize(knots, (len(at), 2), interpolation=cv2.INTER_CUBIC)
    path = [np.interp(at, length, stroke[:, axis]) + displacement[axis] for axis in (0, 1)]
    reach = int(3 * hand.corner / STEP)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP / hand.corner) ** 2)
    bell /= bell.sum()
    # Odd reflection keeps the ends of a stroke in place: a hand rounds corners, but does not stop early.
    padded = np.pad(path, ((0, 0), (reach, reach)), "reflect", reflect_type="odd")
    return np.stack([np.convolve(axis, bell, "valid") for axis in padded], axis=1)


def _on_page(strokes: list[np.ndarray], size: np.ndarray, hand: _Hand, rng: np.random.Generator) -> list[np.ndarray]:
    """Slant, rotate, scale and place strokes: from font units to pixels, inside the margins of the page."""
    across, down = size * UNIT * hand.size * np.exp(np.clip(rng.normal(0, 0.13), -0.3, 0.3))
    wide = np.sqrt(hand.aspect * np.exp(np.clip(rng.normal(0, 0.14), -0.3, 0.3)))
    slant = hand.slant + rng.normal(0, 0.05)
    turn = np.clip(rng.normal(0, 0.05), -0.12, 0.12)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ [[wide * across, -slant * down], [0, down / wide]]
    strokes = [stroke @ matrix.T for stroke in strokes]
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([WIDTH, HEIGHT]) - 2 * MARGIN - hand.pen
    fit = min(1.0, (room / (high - low)).min())
    low, high = low * fit, high * fit
    anchor = (low + high) / 2
    anchor[1] += ALIGNED * (-CAPITAL / 2 * down * fit - anchor[1])
    shift = hand.middle + rng.normal(0, (36, 26)) - anchor
    edge = MARGIN + hand.pen / 2
    shift = np.clip(shift, edge - low, np.array([WIDTH, HEIGHT]) - edge - high)
    return [stroke * fit + shift for stroke in strokes]


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load scikit-learn's 1,797 real digits (UCI Optdigits, 8x8) in MNIST's format.

    The split is fixed and stratified: three quarters are the training set, one quarter is the test set.

    Args:
        split: "train" or "test".

    Returns:
        images: uint8 array (n, 28, 28), light ink on black, the digit in the central 20x20 pixels.
        labels: int64 array (n,), 0-9.

    Raises:
        ValueError: `split` is something else.

    >>> images, labels = digits("test")
    >>> images.shape, images.dtype.name, labels.shape, labels.dtype.name
    ((450, 28, 28), 'uint8', (450,), 'int64')
    """
    if split not in ("train", "test"):
        raise ValueError(f'no such split {split!r}; choose "train" or "test"')
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small, labels = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0)
    chosen = np.sort(train if split == "train" else test)
    images = np.zeros((len(chosen), 28, 28), np.uint8)
    for image, pixels in zip(images, small[chosen].reshape(-1, 8, 8) * (255 / 16), strict=True):
        enlarged = cv2.resize(pixels, (20, 20), interpolation=cv2.INTER_CUBIC)
        image[4:24, 4:24] = np.clip(np.rint(enlarged), 0, 255)
    return images, labels[chosen].astype(np.int64)


def source(name: str) -> Source:
    """Open the sample's substitute for one of the data sets that experiments name.

    Args:
        name: "part1" for the drawings; "mnist", "mnist-test" or "part3" for digits.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes() + name.encode()).hexdigest()
    if name == "part1":
        characters = itertools.product(enumerate(CHARACTERS, 1), range(1, WRITERS + 1))
        drawings = [
            Entry(
                f"Sample{number:03d}/img{number:03d}-{writer:03d}",
                f"Sample{number:03d}",
                partial(draw, character, writer),
            )
            for (number, character), writer in characters
        ]
        return Source("sample part1", (), digest, lambda: iter(drawings), len(drawings), is_sample=True)
    images, labels = digits("test" if name == "mnist-test" else "train")
    if name == "part3":
        # One of these labels would be correct if as many were as in the original, where six of 6,000 are.
        labels = complementary_labels(labels, seed=0, correct_per_class=0)

    def entries() -> Iterator[Entry]:
        for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            yield Entry(f"{name}/{label}/image_{index:06d}", str(label), partial(np.copy, image))

    return Source(f"sample {name}", (), digest, entries, len(labels), is_sample=True)
