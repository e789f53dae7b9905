"""Measure how well a network reads photographs, scans and crops of drawings, and other pens, inks and papers.

    python scripts/robustness.py --checkpoint checkpoints/part1/compact/seed-0 --data data/trainPart1.zip --held-out
    python scripts/robustness.py --data data/trainPart1.zip --preview kinds.png
    python scripts/robustness.py --blank

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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from endings import errors_in_one_line

from midas.data.glyphs import UNKNOWN_PLACE, Glyph, Glyphs
from midas.data.labels import name_classes
from midas.data.levels import UnreadableImage, to_grayscale
from midas.data.preprocessing import normalize
from midas.data.sources import open_source
from midas.files import plain
from midas.metrics import classification
from midas.runs import Run

if TYPE_CHECKING:
    from midas.learning.classifier import Classifier

INK = 40  # gray level of dark ink in an image that was not made by a computer
PAPER = 225
BLANK_PAGES = 25
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
    """Crop to the drawing, or the middle of a blank page, with a margin, a fraction of the drawing's longer side."""
    box = cv2.boundingRect((image < 128).view(np.uint8))
    rows, columns = image.shape
    left, top, width, height = box if any(box) else (columns // 3, rows // 3, columns // 3, rows // 3)
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


def scan_edges(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scan a page that is smaller than the glass and lies askew: wedges of black on two or three sides, JPEG."""
    height, width = image.shape
    page = recolor(image, INK, 245)
    for side in rng.permutation(4)[: rng.integers(2, 4)]:
        near, far = rng.uniform(0.005, 0.05, 2) * height
        wedge = np.array([[0, 0], [width, 0], [width, far], [0, near]])
        if side % 2:
            wedge = wedge[:, ::-1] * [1, height / width]
        if side > 1:
            wedge = np.array([width, height]) - wedge
        cv2.fillPoly(page, [np.rint(wedge).astype(np.int32)], int(rng.integers(5, 30)), cv2.LINE_AA)
    return jpeg(noise(page, rng, 4), rng, 60)


def lay(image: np.ndarray, table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay a drawing, scaled and turned, on a table of its own size; the sheet casts a narrow shadow."""
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-10, 10), rng.uniform(0.55, 0.75))
    turn[:, 2] += rng.uniform(-0.05, 0.05, 2) * height
    sheet = cv2.warpAffine(np.full_like(image, 255), turn, (width, height)).astype(np.float32) / 255
    page = cv2.warpAffine(recolor(image, INK, PAPER), turn, (width, height), flags=cv2.INTER_AREA)
    shade = 1 - 0.4 * cv2.GaussianBlur(np.roll(sheet, (8, 8), (0, 1)), (0, 0), 6)
    return _uint8(page * sheet + table * shade * (1 - sheet))


def checkered(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make a checkered tablecloth."""
    y, x = np.indices(image.shape) // int(rng.integers(60, 140))
    return noise(np.array([60, 90, 130], np.uint8)[y % 2 + x % 2], rng, 8).astype(np.float32)


def planks(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make a wooden table: dark seams between boards, each with a grain."""
    height, width = image.shape
    board, grain = height // 5, cv2.resize(rng.standard_normal((height, 12)), (width, height))
    levels = 100 + 12 * grain + 10 * rng.standard_normal((height // board + 1, 1))[np.arange(height) // board]
    levels[np.arange(height) % board < 5] = 45
    return levels.astype(np.float32)


def framed(image: np.ndarray, thickness: float, gap: float, margin: float, level: int) -> np.ndarray:
    """Crop to a drawing and print a box around it; all lengths are fractions of the drawing's longer side."""
    cut = crop(image, gap)
    side = max(cut.shape)
    low, high = (side - np.array(cut.shape)) // 2, side - np.array(cut.shape) - (side - np.array(cut.shape)) // 2
    cut = cv2.copyMakeBorder(cut, low[0], high[0], low[1], high[1], cv2.BORDER_CONSTANT, value=255)
    for width, value in ((thickness, level), (margin, 255)):
        around = round(width * side / (1 + 2 * gap))
        cut = cv2.copyMakeBorder(cut, *[around] * 4, cv2.BORDER_CONSTANT, value=value)
    return cut


def cell(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut the cell of a form out with its printed box, 44 pixels wide."""
    box = framed(image, rng.uniform(0.06, 0.11), 0.3, rng.choice([0, 0.08]), int(rng.integers(20, 120)))
    return noise(recolor(cv2.resize(box, (44, 44), interpolation=cv2.INTER_AREA), INK, 240), rng, 3)


def double_frame(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw within a thick frame and a thin one, on a page with wide margins."""
    thin = framed(image, 0.012, 0.25, 0.05, 60)
    thick = cv2.copyMakeBorder(thin, *[round(0.04 * len(thin))] * 4, cv2.BORDER_CONSTANT, value=60)
    return noise(
        recolor(cv2.copyMakeBorder(thick, 90, 150, 200, 120, cv2.BORDER_CONSTANT, value=255), INK, 235), rng, 4
    )


def cells(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw in the middle cell of a table, of whose neighbors a part is visible; the scan is turned a little."""
    page = framed(image, 0, 0.3, 0.2, 255)
    size, width = len(page), max(2, round(rng.uniform(0.012, 0.03) * len(page)))
    for start in (round(size * 0.13), round(size * 0.85)):
        page[start : start + width] = page[:, start : start + width] = 70
    return noise(recolor(rotate(page, rng, rng.uniform(0, 1.5)), INK, 240), rng, 4)


def crossed_box(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw across one side of a thin printed box."""
    page = crop(image, 0.25)
    height, width = page.shape
    around = (np.array([0.06, 0.06, 0.94, 0.94]) * [width, height, width, height]).astype(int)
    inner, side = cv2.boundingRect((page < 128).view(np.uint8)), rng.integers(4)
    around[side] = (inner[side % 2] + (side > 1) * inner[2 + side % 2]) + (1 - 2 * (side > 1)) * 0.08 * max(inner[2:])
    box = cv2.rectangle(np.full_like(page, 255), around[:2].tolist(), around[2:].tolist(), 90, max(2, height // 100))
    return noise(recolor(np.minimum(page, box), INK, 240), rng, 4)


def punched(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Punch two or four holes into the left or the right margin; the dark underside shows through."""
    page, count = recolor(image, INK, 240), int(rng.choice([2, 4]))
    height, width = image.shape
    x, radius = int(rng.choice([0.04, 0.96]) * width), round(rng.uniform(0.02, 0.03) * height)
    for y in np.linspace(0.2, 0.8, count) * height:
        cv2.circle(page, (x, int(y)), radius, int(rng.integers(40, 110)), -1, cv2.LINE_AA)
    return noise(page, rng, 4)


def book(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph the page of an open book: it darkens toward the gutter, and beyond the edge lies the next page."""
    page = recolor(image, INK, PAPER).astype(np.float32)
    x = np.linspace(0, 1, image.shape[1], dtype=np.float32)
    light = 1 - 0.8 * np.exp(-((x / rng.uniform(0.05, 0.12)) ** 1.3)) - 0.15 * np.sin(np.pi * x) ** 2
    is_left, beyond = rng.random() < 0.5, image.shape[1] // 25
    page *= light if is_left else light[::-1]
    next_page = 0.9 * PAPER * light[:beyond] * np.ones((image.shape[0], 1))
    page = np.hstack([next_page[:, ::-1], page] if is_left else [page, next_page])
    return jpeg(noise(page, rng, 5), rng, 60)


def board_frame(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photograph a blackboard with its wooden frame on three sides."""
    board = recolor(image, 205, 45)
    top, left, right = rng.integers(20, 70, 3).tolist()
    return photo_crop(cv2.copyMakeBorder(board, top, 0, left, right, cv2.BORDER_CONSTANT, value=150), rng)


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
    "scan with dark edges": scan_edges,
    "sheet on a checkered cloth": lambda image, rng: lay(image, checkered(image, rng), rng),
    "photo, sheet on a wooden table": lambda image, rng: photo(lay(image, planks(image, rng), rng), rng),
    "printed box, gray": lambda image, rng: noise(recolor(framed(image, 0.03, 0.2, 0.3, 140), INK, 240), rng, 4),
    "cell of a form, 44x44": cell,
    "double frame": double_frame,
    "cell of a table": cells,
    "punched holes": punched,
    "book gutter": book,
    "blackboard with its frame": board_frame,
    "across the side of a box": crossed_box,
}
SURROUNDED = [*KINDS][-11:]  # those that show more than the character: without a character they are blank


def degrade(
    image: np.ndarray, seed: int, size: int = 28, kinds: Sequence[str] = tuple(KINDS)
) -> list[tuple[np.ndarray, Glyph | None]]:
    """Degrade a drawing in several ways: for each kind the gray image, and its glyph or None if rejected as blank."""
    found: list[tuple[np.ndarray, Glyph | None]] = []
    for kind in kinds:
        degraded = to_grayscale(KINDS[kind](image, np.random.default_rng((seed, [*KINDS].index(kind)))))
        try:
            found.append((degraded, normalize(degraded, size)))
        except UnreadableImage:
            found.append((degraded, None))
    return found


def measure(
    network: Classifier,
    drawings: Sequence[tuple[Callable[[], np.ndarray], str]],
    seed: int,
    kinds: Sequence[str] = tuple(KINDS),
) -> dict[str, dict[str, Any]]:
    """Score a network on every kind of degradation.

    Args:
        network: to score.
        drawings: functions that read an image, and names of their classes.
        seed: random seed.
        kinds: of degradation.

    Returns:
        For each kind the fields of `classification.Scores`, and the number of images rejected as blank.
    """

    def glyphs(index: int) -> list[Glyph | None]:
        return [glyph for _, glyph in degrade(drawings[index][0](), seed + index, network.size, kinds)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(glyphs, range(len(drawings))))
    labels = np.array([network.class_names.index(name) for _, name in drawings])
    blank = Glyph(np.zeros((network.size, network.size), np.uint8), UNKNOWN_PLACE)
    scores = {}
    for kind, column in zip(kinds, zip(*rows, strict=True), strict=True):
        rejected = np.array([glyph is None for glyph in column])
        probabilities = network.probabilities(Glyphs.stack(glyph or blank for glyph in column))
        probabilities[rejected] = np.eye(len(network.class_names))[labels[rejected] - 1]  # an error in any case
        scored = classification.score(probabilities, labels, network.class_names)
        scores[kind] = {**plain(scored), "rejected": int(rejected.sum())}
    return scores


def count_refused(seed: int, number: int = BLANK_PAGES) -> dict[str, int]:
    """Count how many of so many pages without a character are rejected as blank, for each kind of surroundings."""
    page = np.full((900, 1200), 255, np.uint8)
    rows = [[glyph is None for _, glyph in degrade(page, seed + index, 28, SURROUNDED)] for index in range(number)]
    return dict(zip(SURROUNDED, np.sum(rows, axis=0).tolist(), strict=True))


def preview(images: Sequence[np.ndarray], seed: int, path: Path, kinds: Sequence[str] = tuple(KINDS)) -> None:
    """Draw every kind of degradation of each drawing, in gray, with the glyph below."""
    from midas.report import plot_images

    pages, glyphs = [], []
    for index, image in enumerate(images):
        for page, glyph in degrade(image, seed + index, 28, kinds):
            pages.append(page)
            glyphs.append(glyph.image if glyph else np.zeros((28, 28), np.uint8))
    plot_images.samples(pages, np.stack(glyphs), [*kinds] * len(images), min(14, len(kinds))).savefig(path)


@errors_in_one_line()
def main() -> None:
    """Measure and print, or draw."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a run directory, or without --held-out a .keras file")
    parser.add_argument("--data", help="drawings in class folders: an archive or a folder")
    parser.add_argument("--held-out", action="store_true", help="only the drawings that the run itself was scored on")
    parser.add_argument("--limit", type=int, help="number of drawings, spread over all")
    parser.add_argument("--surrounded", action="store_true", help="only boxes, tables, edges and the like, and clean")
    parser.add_argument("--kind", action="append", choices=KINDS, metavar="KIND", help="only this one; may be repeated")
    parser.add_argument("--blank", action="store_true", help="count how many pages without a character are refused")
    parser.add_argument("--no-pen-adaptation", action="store_true", help="read strokes of fine pens as they are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="draw images and glyphs instead of scoring")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.blank:
        for kind, refused in count_refused(options.seed).items():
            print(f"| {kind} | {refused} of {BLANK_PAGES} |")
        return
    kinds = options.kind or (["clean", *SURROUNDED] if options.surrounded else [*KINDS])
    if not options.checkpoint and (options.held_out or not options.preview):
        parser.error("--checkpoint is missing")
    if not options.data:
        parser.error("--data is missing")
    entries = list(open_source(options.data, "train").entries())
    class_names, labels = name_classes([str(entry.label) for entry in entries])
    chosen = np.arange(len(entries))
    if options.held_out:
        chosen = np.flatnonzero(np.isin([entry.name for entry in entries], Run(options.checkpoint).predictions().names))
    if options.limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(options.limit, len(chosen))).astype(int)]
    if options.preview:
        preview([entries[index].read() for index in chosen], options.seed, options.preview, kinds)
        return
    from midas.learning.classifier import Classifier

    drawings = [(entries[index].read, class_names[labels[index]]) for index in chosen]
    network = Classifier.load(options.checkpoint)
    if options.no_pen_adaptation:
        network = replace(network, card=replace(network.card, pen=None))
    scores = measure(network, drawings, options.seed, kinds)
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
