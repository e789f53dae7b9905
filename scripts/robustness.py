"""Measure how well a network reads photographs, scans and crops of drawings, and other pens, inks and papers.

    python scripts/robustness.py --checkpoint checkpoints/part1/compact/seed-0 --data data/trainPart1.zip --held-out
    python scripts/robustness.py --data data/trainPart1.zip --preview kinds.png

Every drawing (dark on white, one character) is degraded in every way of `KINDS`, normalized and predicted. Accuracy is
in percent, with its 95 % interval; next to it the accuracy if case is ignored, and how many images were rejected as
blank, which count as errors.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from midas.data.glyphs import UNKNOWN_PLACE, Glyph, Glyphs
from midas.data.images import UnreadableImage, to_grayscale
from midas.data.labels import name_classes
from midas.data.preprocessing import normalize
from midas.data.sources import open_source
from midas.files import plain
from midas.metrics import classification
from midas.runs import Run

if TYPE_CHECKING:
    from midas.learning.classifier import Classifier

INK = 40  # gray level of dark ink in an image that was not made by a computer
PAPER = 225
Levels = float | tuple[int, int, int] | np.ndarray
Degradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def recolor(image: np.ndarray, ink: Levels, paper: Levels) -> np.ndarray:
    """Give a drawing, dark on white, other levels: numbers, arrays (height, width, 1) or colors (blue, green, red)."""
    share = 1 - image[:, :, None].astype(np.float32) / 255
    return _uint8(np.squeeze(paper + share * (np.float32(ink) - paper)))  # type: ignore[arg-type]


def uneven_light(image: np.ndarray, rng: np.random.Generator, darkest: float = 0.4) -> np.ndarray:
    """Dim the light across the page, down to `darkest` of its strength, and toward the corners."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2]), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return _lit(image, (1 + darkest + (1 - darkest) * ramp) / 2 * (1 - 0.15 * (x**2 + y**2)))


def shadow(image: np.ndarray, rng: np.random.Generator, strength: float = 0.5) -> np.ndarray:
    """Cast a shadow with a straight edge over about half of the page."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - width / 2) + np.sin(angle) * (y - height / 2)
    edge, softness = rng.uniform(-0.2, 0.2) * height, rng.uniform(0.01, 0.05) * height
    return _lit(image, 1 - strength / (1 + np.exp(np.clip((edge - across) / softness, -50, 50))))


def noise(image: np.ndarray, rng: np.random.Generator, deviation: float = 20) -> np.ndarray:
    """Add sensor noise of this standard deviation in gray levels."""
    return _uint8(image + deviation * rng.standard_normal(image.shape, np.float32))


def jpeg(image: np.ndarray, rng: np.random.Generator, quality: int = 10) -> np.ndarray:
    """Compress as JPEG and decode again."""
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))


def blur(image: np.ndarray, rng: np.random.Generator, deviation: float = 0.013) -> np.ndarray:
    """Blur by a Gaussian of this standard deviation, a fraction of the height."""
    return cv2.GaussianBlur(image, (0, 0), deviation * image.shape[0])


def rotate(image: np.ndarray, rng: np.random.Generator, degrees: float = 5) -> np.ndarray:
    """Rotate clockwise or counterclockwise."""
    height, width = image.shape[:2]
    rotation = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * rng.choice([-1, 1]), 1)
    return cv2.warpAffine(image, rotation, (width, height), borderMode=cv2.BORDER_REPLICATE)


def tilt(image: np.ndarray, rng: np.random.Generator, largest: float = 0.06) -> np.ndarray:
    """Change the perspective: each corner is displaced by up to `largest` of the height."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + rng.uniform(-largest, largest, (4, 2)).astype(np.float32) * height
    perspective = cv2.getPerspectiveTransform(moved, corners)
    return cv2.warpPerspective(image, perspective, (width, height), borderMode=cv2.BORDER_REPLICATE)


def pencil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw in soft gray, with little contrast and the grain of the paper in the strokes."""
    grain = cv2.GaussianBlur(rng.standard_normal(image.shape, np.float32), (0, 0), 2)
    return recolor(image, 150 + 80 * grain[:, :, None], PAPER)


def ruled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw on bluish paper with lines or squares."""
    page = np.full((*image.shape, 3), PAPER, np.uint8)
    step, first = image.shape[0] // 7, int(rng.integers(10, 100))
    color, width = (210, 175, 150), max(1, image.shape[0] // 200)
    page[np.arange(image.shape[0]) % step < width] = color
    if rng.random() < 0.5:
        page[:, (np.arange(image.shape[1]) + first) % step < width] = color
    return recolor(image, (90, 40, 40), np.roll(page, first, axis=0))


def fine_pen(image: np.ndarray, rng: np.random.Generator, thinner: float = 0.055) -> np.ndarray:
    """Draw with a pen that is thinner by this fraction of the height; that of the real drawings is 0.073 wide."""
    side = round(thinner * image.shape[0])
    return cv2.dilate(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def crop(image: np.ndarray, margin: float) -> np.ndarray:
    """Crop to the drawing with a margin, a fraction of its longer side."""
    left, top, width, height = cv2.boundingRect((image < 128).view(np.uint8))
    around = round(margin * max(width, height))
    page = cv2.copyMakeBorder(image, around, around, around, around, cv2.BORDER_CONSTANT, value=255)
    return page[top : top + height + 2 * around, left : left + width + 2 * around]


def small_crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crop to a square around the drawing, scaled to 30 pixels."""
    cut = crop(image, 0.1)
    missing = max(cut.shape) - np.array(cut.shape)
    (top, left), (bottom, right) = (missing // 2).tolist(), (missing - missing // 2).tolist()
    square = cv2.copyMakeBorder(cut, top, bottom, left, right, cv2.BORDER_CONSTANT, value=255)
    return cv2.resize(square, (30, 30), interpolation=cv2.INTER_AREA)


def scan(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scan: 3,000 pixels wide, off-white, a little noise, some dust, JPEG."""
    page = recolor(cv2.resize(image, (3000, 3000 * image.shape[0] // image.shape[1])), INK, 245)
    for x, y in rng.integers(0, page.shape[::-1], (20, 2)).tolist():
        cv2.circle(page, (x, y), int(rng.integers(2, 7)), 90, -1)
    return jpeg(noise(page, rng, 6), rng, 85)


def shrink(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw at a quarter of the size, somewhere on a page of the same size."""
    height, width = image.shape
    page = np.full_like(image, 255)
    top, left = int(rng.integers(0, height * 3 // 4)), int(rng.integers(0, width * 3 // 4))
    smaller = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    page[top : top + height // 4, left : left + width // 4] = smaller
    return page


def photo(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph with a phone: in perspective, in uneven light, slightly blurred and noisy, as JPEG."""
    page = tilt(rotate(page, rng, rng.uniform(0, 5)), rng)
    page = uneven_light(shadow(page, rng, 0.35) if rng.random() < 0.5 else page, rng, 0.5)
    return jpeg(noise(blur(page, rng, 0.003), rng, 10), rng, 50)


def photo_crop(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make an image look cropped from a photograph: slightly uneven light, noise, JPEG."""
    return jpeg(noise(uneven_light(page, rng, 0.7), rng, 10), rng, 50)


def _lit(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    return _uint8(image * (light if image.ndim == 2 else light[:, :, None]))


def _uint8(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


# Each takes a drawing, uint8 (height, width), dark on white, and a random generator, and returns an image of any size,
# gray or BGR. None changes its input.
KINDS: dict[str, Degradation] = {
    "clean": lambda image, rng: image,
    "uneven light": lambda image, rng: uneven_light(recolor(image, INK, PAPER), rng),
    "shadow": lambda image, rng: shadow(recolor(image, INK, PAPER), rng),
    "sensor noise": lambda image, rng: noise(recolor(image, INK, PAPER), rng),
    "JPEG, quality 10": jpeg,
    "blur": blur,
    "white on black": lambda image, rng: 255 - image,
    "blue ink": lambda image, rng: recolor(image, (160, 60, 30), (250, 250, 250)),
    "red ink": lambda image, rng: recolor(image, (50, 40, 210), (250, 250, 250)),
    "light green ink": lambda image, rng: recolor(image, (140, 225, 150), (250, 250, 250)),
    "blue ink on yellow paper": lambda image, rng: recolor(image, (160, 60, 30), (130, 230, 245)),
    "gray pencil": pencil,
    "ruled paper": ruled,
    "30x30 crop": small_crop,
    "tight crop": lambda image, rng: crop(image, 0),
    "3,000-pixel scan": scan,
    "small on the page": shrink,
    "rotated by 5 degrees": rotate,
    "fine pen": fine_pen,
    "phone photo": lambda image, rng: photo(recolor(image, INK, PAPER), rng),
    "photo, fine pen": lambda image, rng: photo(recolor(fine_pen(image, rng), INK, PAPER), rng),
    "photo, blue ink, yellow paper": lambda image, rng: photo(recolor(image, (150, 70, 50), (130, 210, 225)), rng),
    "photo, gray pencil": lambda image, rng: photo(pencil(image, rng), rng),
    "photo, small on the page": lambda image, rng: photo(recolor(shrink(image, rng), INK, PAPER), rng),
    "photo, ruled paper": lambda image, rng: photo(ruled(image, rng), rng),
    "photo, tight crop": lambda image, rng: photo_crop(recolor(crop(image, 0.02), INK, PAPER), rng),
    "photo, 30x30 crop": lambda image, rng: photo_crop(recolor(small_crop(image, rng), INK, PAPER), rng),
    "photo of a blackboard": lambda image, rng: photo(recolor(image, PAPER, 50), rng),
}


def degrade(image: np.ndarray, seed: int, size: int = 28) -> list[tuple[np.ndarray, Glyph | None]]:
    """Degrade a drawing in every way: for each kind the gray image, and its glyph or None if rejected as blank."""
    found: list[tuple[np.ndarray, Glyph | None]] = []
    for number, kind in enumerate(KINDS.values()):
        degraded = to_grayscale(kind(image, np.random.default_rng((seed, number))))
        try:
            found.append((degraded, normalize(degraded, size)))
        except UnreadableImage:
            found.append((degraded, None))
    return found


def measure(
    network: Classifier, drawings: Sequence[tuple[Callable[[], np.ndarray], str]], seed: int
) -> dict[str, dict[str, Any]]:
    """Score a network on every kind of degradation.

    Args:
        network: to score.
        drawings: functions that read an image, and names of their classes.
        seed: random seed.

    Returns:
        For each kind the fields of `classification.Scores`, and the number of images rejected as blank.
    """

    def glyphs(index: int) -> list[Glyph | None]:
        return [glyph for _, glyph in degrade(drawings[index][0](), seed + index, network.size)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(glyphs, range(len(drawings))))
    labels = np.array([network.class_names.index(name) for _, name in drawings])
    blank = Glyph(np.zeros((network.size, network.size), np.uint8), UNKNOWN_PLACE)
    scores = {}
    for kind, column in zip(KINDS, zip(*rows, strict=True), strict=True):
        rejected = np.array([glyph is None for glyph in column])
        probabilities = network.probabilities(Glyphs.stack(glyph or blank for glyph in column))
        probabilities[rejected] = np.eye(len(network.class_names))[labels[rejected] - 1]  # an error in any case
        scored = classification.score(probabilities, labels, network.class_names)
        scores[kind] = {**plain(scored), "rejected": int(rejected.sum())}
    return scores


def preview(images: Sequence[np.ndarray], seed: int, path: Path) -> None:
    """Draw every kind of degradation of each drawing, in gray, with the glyph below."""
    from midas.report import plot_images

    pages, glyphs = [], []
    for index, image in enumerate(images):
        for page, glyph in degrade(image, seed + index):
            pages.append(page)
            glyphs.append(glyph.image if glyph else np.zeros((28, 28), np.uint8))
    plot_images.samples(pages, np.stack(glyphs), [*KINDS] * len(images), 14).savefig(path)


def main() -> None:
    """Measure and print, or draw."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a run directory, or without --held-out a .keras file")
    parser.add_argument("--data", required=True, help="drawings in class folders: an archive or a folder")
    parser.add_argument("--held-out", action="store_true", help="only the drawings that the run itself was scored on")
    parser.add_argument("--limit", type=int, help="number of drawings, spread over all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="draw images and glyphs instead of scoring")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.checkpoint and (options.held_out or not options.preview):
        parser.error("--checkpoint is missing")
    entries = list(open_source(options.data, "train").entries())
    class_names, labels = name_classes([str(entry.label) for entry in entries])
    chosen = np.arange(len(entries))
    if options.held_out:
        chosen = np.flatnonzero(np.isin([entry.name for entry in entries], Run(options.checkpoint).predictions().names))
    if options.limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(options.limit, len(chosen))).astype(int)]
    if options.preview:
        preview([entries[index].read() for index in chosen], options.seed, options.preview)
        return
    from midas.learning.classifier import Classifier

    drawings = [(entries[index].read, class_names[labels[index]]) for index in chosen]
    scores = measure(Classifier.load(options.checkpoint), drawings, options.seed)
    if options.json:
        print(json.dumps(scores, indent=1))
        return
    print("| image | accuracy, 95 % interval | case ignored | rejected as blank |\n|---|---|---|---|")
    for kind, score in scores.items():
        low, high = (100 * bound for bound in score["accuracy_interval"])
        merged = f"{100 * score['case_merged_accuracy']:.1f} %" if score["case_merged_accuracy"] is not None else ""
        print(f"| {kind} | {100 * score['accuracy']:.1f} % ({low:.1f}-{high:.1f}) | {merged} | {score['rejected']} |")


if __name__ == "__main__":
    main()
