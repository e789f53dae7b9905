"""Measure what is answered to images that do not show one character of the network.

    python scripts/not_a_character.py --data data/trainPart1.zip

Marks, scribbles and blank pages are drawn with the pen of Part 1's tool; words are composed of its drawings. Printed is
how many are refused as blank, how many are answered "unsure" (`midas predict --reject`), and in how many several
characters are noticed. The last row has the drawings themselves, which the default network was trained on: how often
its own answers are unsure is measured by its cross-validation instead, of which 1 % of the correct ones are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import chain

import cv2
import numpy as np
from endings import errors_in_one_line

import midas
from midas.data.glyphs import Glyph, Glyphs
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize
from midas.data.segmentation import shows_several
from midas.data.sources import open_source

HEIGHT, WIDTH, PEN = 900, 1200, 66  # of the drawing tool
WORDS = 200
Stroke = list[tuple[float, float]]

# Strokes in units of the size of a character, x to the right and y down from the middle of the page.
MARKS: dict[str, list[Stroke]] = {
    ".": [[(0, 0), (0.02, 0.02)]],
    ",": [[(0, 0), (-0.15, 0.35)]],
    "!": [[(0, -1.5), (0, 0.3)], [(0, 1), (0, 1.01)]],
    "?": [[(-0.6, -0.8), (-0.3, -1.3), (0.4, -1.3), (0.6, -0.8), (0, -0.2), (0, 0.3)], [(0, 1), (0, 1.01)]],
    "+": [[(-1, 0), (1, 0)], [(0, -1), (0, 1)]],
    "-": [[(-1, 0), (1, 0)]],
    "=": [[(-1, -0.4), (1, -0.4)], [(-1, 0.4), (1, 0.4)]],
    "/": [[(0.6, -1.3), (-0.6, 1.3)]],
    "(": [[(0.4, -1.3), (-0.2, -0.6), (-0.2, 0.6), (0.4, 1.3)]],
    "#": [[(-0.4, -1), (-0.5, 1)], [(0.5, -1), (0.4, 1)], [(-1, -0.4), (1, -0.4)], [(-1, 0.4), (1, 0.4)]],
    "*": [[(-0.8, -0.5), (0.8, 0.5)], [(-0.8, 0.5), (0.8, -0.5)], [(0, -0.9), (0, 0.9)]],
    "%": [[(0.8, -1.2), (-0.8, 1.2)], [(-0.7, -0.8), (-0.6, -0.9)], [(0.7, 0.8), (0.6, 0.9)]],
    "&": [[(0.9, 1), (-0.5, -0.7), (-0.2, -1.3), (0.3, -1), (-0.6, 0.2), (-0.6, 0.9), (0, 1.1), (0.8, 0.2)]],
    "check mark": [[(-0.6, 0), (-0.1, 0.7), (1, -1)]],
    "zigzag": [[(-1.3 + 0.29 * i, -0.8 if i % 2 else 0.8) for i in range(10)]],
    "spiral": [[(t / 14 * np.cos(t), t / 14 * np.sin(t)) for t in np.linspace(0, 18, 60)]],
}
Generator = np.random.Generator


def draw(strokes: list[Stroke], rng: Generator) -> np.ndarray:
    """Draw strokes in a size, place and with inaccuracies that differ: uint8 (HEIGHT, WIDTH), black on white."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    middle, size = rng.normal((600, 460), (60, 40)), rng.uniform(120, 220)
    for stroke in strokes:
        points = middle + size * np.array(stroke) + rng.normal(0, 8, (len(stroke), 2))
        cv2.polylines(page, [np.rint(points).astype(np.int32)], False, 0, PEN)
    return page


def scribble(rng: Generator) -> np.ndarray:
    """Draw a line through many points."""
    return draw([[tuple(point) for point in rng.uniform(-1.3, 1.3, (rng.integers(12, 30), 2))]], rng)


def blot(rng: Generator) -> np.ndarray:
    """Draw a blot of ink."""
    page, axes = np.full((HEIGHT, WIDTH), 255, np.uint8), rng.integers(60, 220, 2).tolist()
    return cv2.ellipse(page, (600, 450), axes, float(rng.uniform(0, 180)), 0, 360, 0, -1)


def specks(rng: Generator) -> np.ndarray:
    """Scatter dots."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for x, y, radius in rng.integers((0, 0, 5), (WIDTH, HEIGHT, 25), (40, 3)).tolist():
        cv2.circle(page, (x, y), radius, 0, -1)
    return page


def paper(rng: Generator) -> np.ndarray:
    """Scan a blank page."""
    return np.clip(rng.normal(rng.uniform(200, 245), 4, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8)


def noise(rng: Generator) -> np.ndarray:
    """Give every pixel a random level."""
    return rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)


KINDS: dict[str, Callable[[Generator], np.ndarray]] = {
    **{name: lambda rng, strokes=strokes: draw(strokes, rng) for name, strokes in MARKS.items()},
    "scribble": scribble,
    "blot": blot,
    "specks": specks,
    "blank page": paper,
    "noise": noise,
}


def words(drawings: list[np.ndarray], rng: Generator) -> Iterator[np.ndarray]:
    """Compose words of two to five drawings each, with a small gap between their boxes."""
    for _ in range(WORDS):
        parts = []
        for index in rng.integers(len(drawings), size=rng.integers(2, 6)):
            x, _, width, _ = cv2.boundingRect((drawings[index] < 128).view(np.uint8))
            gap = int(rng.uniform(0.03, 0.2) * HEIGHT)
            parts += [np.full((HEIGHT, gap), 255, np.uint8), drawings[index][:, x : x + width]]
        yield np.hstack([*parts, parts[0]])


def _images(kind: Callable[[Generator], np.ndarray], number: int, count: int) -> Iterator[np.ndarray]:
    return (kind(np.random.default_rng((number, index))) for index in range(count))


def measure(reader: midas.Classifier, images: Iterator[np.ndarray]) -> tuple[int, int, int, int]:
    """Count images, and those refused as blank, answered "unsure", and noticed as several characters."""
    glyphs = list[Glyph]()
    total = several = 0
    for total, image in enumerate(images, 1):  # noqa: B007
        try:
            glyphs.append(normalize(image, reader.size))
        except UnreadableImage:
            continue
        several += shows_several(image)
    unsure = 0
    if glyphs:
        confidence = reader.probabilities(Glyphs.stack(glyphs)).max(axis=1)
        unsure = int((confidence < reader.answers(reject=True).reject_below).sum())
    return total, total - len(glyphs), unsure, several


@errors_in_one_line()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", required=True, help="the drawings of Part 1")
    parser.add_argument("--images", type=int, default=50, help="of each kind")
    options = parser.parse_args()
    reader = midas.load()
    entries = list(open_source(options.data, "train").entries())
    drawings = [entry.read() for entry in entries[:: max(1, len(entries) // 500)]]
    kinds = {name: _images(kind, number, options.images) for number, (name, kind) in enumerate(KINDS.items())}
    every = {
        **kinds,
        "words of the drawings": words(drawings, np.random.default_rng(0)),
        "the drawings": (entry.read() for entry in entries),
    }
    print("| image | number | refused as blank | unsure | several characters noticed |\n|---|---|---|---|---|")
    counts = {name: measure(reader, images) for name, images in every.items()}
    marks = np.array([counts[name] for name in KINDS])
    for name, row in chain(counts.items(), [("everything that is not a character", marks.sum(axis=0).tolist())]):
        print(f"| {name} | {row[0]:,} | {row[1]:,} | {100 * row[2] / row[0]:.1f} % | {100 * row[3] / row[0]:.1f} % |")


if __name__ == "__main__":
    main()
