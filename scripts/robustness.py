"""Measure how well a network reads what people bring: drawings that are photographed, scanned, cropped, coloured.

    python scripts/robustness.py --checkpoint checkpoints/part1/compact/seed-0 --data data/trainPart1.zip --held-out
    python scripts/robustness.py --data data/trainPart1.zip --preview kinds.png

Every drawing (dark on white, one character) is degraded in every way of `KINDS`, normalised and read. Accuracy is in
percent, with its 95 % interval; beside it the accuracy when case is ignored, and how many were refused as blank, which
count as wrong.
"""

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from midas.data.datasets import name_classes
from midas.data.preprocessing import NO_PLACE, UnreadableImage, glyph_and_place, to_grey
from midas.data.sources import open_source
from midas.metrics import classification as metrics

INK = 40  # grey level of dark ink in a picture that is not made by a computer
PAPER = 225


def painted(image: np.ndarray, ink, paper) -> np.ndarray:
    """Give a drawing, dark on white, other levels: numbers, arrays (height, width, 1) or colours (blue, green, red)."""
    share = 1 - image[:, :, None].astype(np.float32) / 255
    return _uint8(np.squeeze(paper + share * (np.float32(ink) - paper)))


def uneven_light(image: np.ndarray, rng, darkest: float = 0.4) -> np.ndarray:
    """Let the light fall off across the page, to `darkest` of its strength, and towards the corners."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape[:2]), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (np.cos(angle) * x + np.sin(angle) * y) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    return _lit(image, (1 + darkest + (1 - darkest) * ramp) / 2 * (1 - 0.15 * (x**2 + y**2)))


def shadow(image: np.ndarray, rng, strength: float = 0.5) -> np.ndarray:
    """Cast the shadow of something with a straight edge over about half of the page."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (x - width / 2) + np.sin(angle) * (y - height / 2)
    edge, softness = rng.uniform(-0.2, 0.2) * height, rng.uniform(0.01, 0.05) * height
    return _lit(image, 1 - strength / (1 + np.exp(np.clip((edge - across) / softness, -50, 50))))


def noise(image: np.ndarray, rng, deviation: float = 20) -> np.ndarray:
    """Add a sensor's noise, of this standard deviation in grey levels."""
    return _uint8(image + deviation * rng.standard_normal(image.shape, np.float32))


def jpeg(image: np.ndarray, rng, quality: int = 10) -> np.ndarray:
    """Save as JPEG and load again."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)


def blur(image: np.ndarray, rng, deviation: float = 0.013) -> np.ndarray:
    """Bring out of focus: a Gaussian of this standard deviation, in parts of the height."""
    return cv2.GaussianBlur(image, (0, 0), deviation * image.shape[0])


def rotated(image: np.ndarray, rng, degrees: float = 5) -> np.ndarray:
    """Turn one way or the other."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees * rng.choice([-1, 1]), 1)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def tilted(image: np.ndarray, rng, most: float = 0.06) -> np.ndarray:
    """Look from aside: every corner is displaced by up to `most` of the height."""
    height, width = image.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    moved = corners + rng.uniform(-most, most, (4, 2)).astype(np.float32) * height
    return cv2.warpPerspective(
        image, cv2.getPerspectiveTransform(moved, corners), (width, height), borderMode=cv2.BORDER_REPLICATE
    )


def pencil(image: np.ndarray, rng) -> np.ndarray:
    """Draw in soft grey: little contrast, and the grain of the paper in the strokes."""
    grain = cv2.GaussianBlur(rng.standard_normal(image.shape, np.float32), (0, 0), 2)
    return painted(image, 150 + 80 * grain[:, :, None], PAPER)


def ruled(image: np.ndarray, rng) -> np.ndarray:
    """Write on the squared or lined, blueish page of an exercise book."""
    page = np.full((*image.shape, 3), PAPER, np.uint8)
    step, first = image.shape[0] // 7, int(rng.integers(10, 100))
    colour, width = (210, 175, 150), max(1, image.shape[0] // 200)
    page[np.arange(image.shape[0]) % step < width] = colour
    if rng.random() < 0.5:
        page[:, (np.arange(image.shape[1]) + first) % step < width] = colour
    return painted(image, (90, 40, 40), np.roll(page, first, axis=0))


def fine_pen(image: np.ndarray, rng, thinner: float = 0.055) -> np.ndarray:
    """Draw with a pen that is thinner by this part of the height; that of the real drawings is 0.073 wide."""
    side = round(thinner * image.shape[0])
    return cv2.dilate(image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def cropped(image: np.ndarray, margin: float) -> np.ndarray:
    """Cut out the drawing with a margin, in parts of its longer side."""
    left, top, width, height = cv2.boundingRect((image < 128).view(np.uint8))
    around = round(margin * max(width, height))
    page = cv2.copyMakeBorder(image, *[around] * 4, cv2.BORDER_CONSTANT, value=255)
    return page[top : top + height + 2 * around, left : left + width + 2 * around]


def thirty(image: np.ndarray, rng) -> np.ndarray:
    """Cut out a square around the drawing, 30 pixels wide."""
    cut = cropped(image, 0.1)
    missing = max(cut.shape) - np.array(cut.shape)
    (top, left), (bottom, right) = missing // 2, missing - missing // 2
    square = cv2.copyMakeBorder(cut, top, bottom, left, right, cv2.BORDER_CONSTANT, value=255)
    return cv2.resize(square, (30, 30), interpolation=cv2.INTER_AREA)


def scan(image: np.ndarray, rng) -> np.ndarray:
    """Scan: 3,000 pixels wide, off-white, a little noise, some dust, JPEG."""
    page = painted(cv2.resize(image, (3000, 3000 * image.shape[0] // image.shape[1])), INK, 245)
    for x, y in rng.integers(0, page.shape[::-1], (20, 2)).tolist():
        cv2.circle(page, (x, y), int(rng.integers(2, 7)), 90, -1)
    return jpeg(noise(page, rng, 6), rng, 85)


def small(image: np.ndarray, rng) -> np.ndarray:
    """Draw a quarter as large, somewhere on a page of the same size."""
    height, width = image.shape
    page = np.full_like(image, 255)
    top, left = int(rng.integers(0, height * 3 // 4)), int(rng.integers(0, width * 3 // 4))
    page[top : top + height // 4, left : left + width // 4] = cv2.resize(
        image, (width // 4, height // 4), interpolation=cv2.INTER_AREA
    )
    return page


def camera(page: np.ndarray, rng) -> np.ndarray:
    """Photograph with a telephone: from aside, in uneven light, a little blurred and noisy, as JPEG."""
    page = tilted(rotated(page, rng, rng.uniform(0, 5)), rng)
    page = uneven_light(shadow(page, rng, 0.35) if rng.random() < 0.5 else page, rng, 0.5)
    return jpeg(noise(blur(page, rng, 0.003), rng, 10), rng, 50)


def cut_out(page: np.ndarray, rng) -> np.ndarray:
    """Make a picture look cut out of a photograph: light that falls off a little, noise, JPEG."""
    return jpeg(noise(uneven_light(page, rng, 0.7), rng, 10), rng, 50)


# Each takes a drawing, uint8 (height, width), dark on white, and a random generator; and gives a picture of any size,
# grey or BGR. None changes what it is given.
KINDS = {
    "clean": lambda image, rng: image,
    "uneven light": lambda image, rng: uneven_light(painted(image, INK, PAPER), rng),
    "shadow": lambda image, rng: shadow(painted(image, INK, PAPER), rng),
    "sensor noise": lambda image, rng: noise(painted(image, INK, PAPER), rng),
    "JPEG, quality 10": jpeg,
    "blur": blur,
    "white on black": lambda image, rng: 255 - image,
    "blue ink": lambda image, rng: painted(image, (160, 60, 30), (250, 250, 250)),
    "red ink": lambda image, rng: painted(image, (50, 40, 210), (250, 250, 250)),
    "light green ink": lambda image, rng: painted(image, (140, 225, 150), (250, 250, 250)),
    "blue ink on yellow paper": lambda image, rng: painted(image, (160, 60, 30), (130, 230, 245)),
    "grey pencil": pencil,
    "ruled paper": ruled,
    "30x30 crop": thirty,
    "tight crop": lambda image, rng: cropped(image, 0),
    "3,000-pixel scan": scan,
    "small on the page": small,
    "rotated by 5 degrees": rotated,
    "fine pen": fine_pen,
    "phone photo": lambda image, rng: camera(painted(image, INK, PAPER), rng),
    "photo, fine pen": lambda image, rng: camera(painted(fine_pen(image, rng), INK, PAPER), rng),
    "photo, blue ink, yellow paper": lambda image, rng: camera(painted(image, (150, 70, 50), (130, 210, 225)), rng),
    "photo, grey pencil": lambda image, rng: camera(pencil(image, rng), rng),
    "photo, small on the page": lambda image, rng: camera(painted(small(image, rng), INK, PAPER), rng),
    "photo, ruled paper": lambda image, rng: camera(ruled(image, rng), rng),
    "photo, tight crop": lambda image, rng: cut_out(painted(cropped(image, 0.02), INK, PAPER), rng),
    "photo, 30x30 crop": lambda image, rng: cut_out(painted(thirty(image, rng), INK, PAPER), rng),
    "photo of a blackboard": lambda image, rng: camera(painted(image, PAPER, 50), rng),
}


def _lit(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    return _uint8(image * (light if image.ndim == 2 else light[:, :, None]))


def _uint8(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def pictures(image: np.ndarray, seed: int, size: int = 28) -> list[tuple]:
    """Degrade a drawing in every way: each kind's picture, glyph and place, the last two None where it seems blank."""
    found = []
    for number, degrade in enumerate(KINDS.values()):
        picture = to_grey(degrade(image, np.random.default_rng((seed, number))))
        try:
            found.append((picture, *glyph_and_place(picture, size)))
        except UnreadableImage:
            found.append((picture, None, None))
    return found


def measured(network, drawings: list[tuple], seed: int) -> dict[str, dict]:
    """Score a network on every kind of picture of drawings: pairs of what reads one and the name of its class."""

    def answered(index: int) -> list[tuple]:
        return [found[1:] for found in pictures(drawings[index][0](), seed + index, network.size)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(answered, range(len(drawings))))
    labels = np.array([network.class_names.index(name) for _, name in drawings])
    nothing = np.zeros((network.size, network.size), np.uint8), NO_PLACE
    scores = {}
    for kind, column in zip(KINDS, zip(*rows, strict=True), strict=True):
        blank = np.array([glyph is None for glyph, _ in column])
        glyphs, places = zip(*(nothing if glyph is None else (glyph, place) for glyph, place in column), strict=True)
        probabilities = network.probabilities(np.stack(glyphs), np.stack(places))
        probabilities[blank] = np.eye(len(network.class_names))[labels[blank] - 1]  # wrong, whatever it is
        scores[kind] = metrics.summarise(probabilities, labels, network.class_names) | {"refused": int(blank.sum())}
    return scores


def preview(images: list[np.ndarray], seed: int, path: Path) -> None:
    """Draw each drawing in every kind, in grey, and below it its glyph."""
    from midas.report import plots

    found = [pair for index, image in enumerate(images) for pair in pictures(image, seed + index)]
    glyphs = [np.zeros((28, 28), np.uint8) if glyph is None else glyph for _, glyph, _ in found]
    figure = plots.samples([picture for picture, _, _ in found], np.stack(glyphs), [*KINDS] * len(images), 14)
    figure.savefig(path)


def main() -> None:
    """Measure and print, or draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a run directory, or without --held-out a .keras file")
    parser.add_argument("--data", required=True, help="drawings in class folders: an archive or a folder")
    parser.add_argument("--held-out", action="store_true", help="only the drawings that the run itself was scored on")
    parser.add_argument("--limit", type=int, help="use so many drawings only, spread over all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preview", type=Path, metavar="FILE.png", help="draw pictures and glyphs instead of scoring")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.checkpoint and (options.held_out or not options.preview):
        parser.error("--checkpoint is missing")
    entries = list(open_source(options.data, "train").entries())
    class_names, labels = name_classes([entry.folder for entry in entries])
    chosen = np.arange(len(entries))
    if options.held_out:
        with np.load(options.checkpoint / "predictions.npz") as scored:
            chosen = np.flatnonzero(np.isin([entry.name for entry in entries], scored["names"]))
    if options.limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(options.limit, len(chosen))).astype(int)]
    if options.preview:
        preview([entries[place].read() for place in chosen], options.seed, options.preview)
        return
    from midas.learning.classifier import Classifier

    drawings = [(entries[place].read, class_names[labels[place]]) for place in chosen]
    scores = measured(Classifier.load(options.checkpoint), drawings, options.seed)
    if options.json:
        print(json.dumps(scores, indent=1))
        return
    print("| kind | accuracy, 95 % interval | case ignored | refused |\n|---|---|---|---|")
    for kind, score in scores.items():
        low, high = (100 * bound for bound in score["accuracy_interval"])
        merged = f"{100 * score['case_merged_accuracy']:.1f} %" if score["case_merged_accuracy"] is not None else ""
        print(f"| {kind} | {100 * score['accuracy']:.1f} % ({low:.1f}-{high:.1f}) | {merged} | {score['refused']} |")


if __name__ == "__main__":
    main()
