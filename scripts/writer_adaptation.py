"""Measure what it helps to know that several characters are by one person.

    python scripts/writer_adaptation.py --cross-validation RUN --data data/trainPart1.zip

The drawings of one person (the number in a drawing's file name, which is used for nothing else) are put together to
sets, and composed to lines, of 5, 10, 20 and 45. Each drawing is read by the network of its fold, which was not trained
on it. Printed is the share of drawings read correctly one by one and with writer adaptation; for lines also the share
of drawings that were found as one character, and of spaces between words that were found, and how many were found
within words.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from endings import errors_in_one_line

from midas.data import datasets
from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.data.segmentation import find_characters
from midas.data.sources import open_source
from midas.learning.backend import start_tensorflow
from midas.learning.classifier import Classifier
from midas.learning.writer_adaptation import adapt, on_lines, on_pages, place_statistics
from midas.records import PlaceStatistics
from midas.runs import Run

SIZES = (2, 5, 10, 20, 45)
HEIGHT = 150  # pixels of a page in a line
WORD = 5  # characters
LETTER_GAP, WORD_GAP = (0.04, 0.14), (0.35, 0.6)  # of the height of a page


class Folds:
    """The networks of a cross-validation, and which drawing belongs to which."""

    def __init__(self, path: Path, data: Dataset) -> None:
        """Load the networks of the first repeat, and measure the places of their training sets."""
        runs = [Run(found.parent) for found in sorted(path.glob("*-fold/repeat-0/fold-*/seed-*/result.json"))]
        if not runs:
            raise SystemExit(f"{path}: no finished cross-validation")
        temperature = Run(path).cross_validation.scores[0].temperature
        loaded = [Classifier.load(run.path) for run in runs]
        self.networks = [replace(each, card=replace(each.card, temperature=temperature)) for each in loaded]
        positions = {name: index for index, name in enumerate(data.names.tolist())}
        self.of = np.full(len(data), -1)
        for number, run in enumerate(runs):
            self.of[[positions[name] for name in run.predictions().names.tolist()]] = number
        self.statistics = [self._statistics(data, number) for number in range(len(runs))]

    def _statistics(self, data: Dataset, number: int) -> PlaceStatistics:
        training = self.of != number
        found = place_statistics(data.glyphs.places[training], data.labels[training], len(data.class_names))
        if found is None:
            raise SystemExit("the places of the drawings are unknown: these are not pages of the drawing tool")
        return found

    def probabilities(self, glyphs: Glyphs, drawings: np.ndarray) -> np.ndarray:
        """Read glyphs, each by the network of its drawing's fold."""
        found = np.zeros((len(glyphs), len(self.networks[0].class_names)), np.float32)
        for number, network in enumerate(self.networks):
            chosen = np.flatnonzero(self.of[drawings] == number)
            found[chosen] = network.probabilities(glyphs.take(chosen))
        return found


def groups(writers: np.ndarray, size: int, repeats: int) -> Iterator[np.ndarray]:
    """Divide the drawings of each person at random into groups of a size, `repeats` times; what is left over is out."""
    rng = np.random.default_rng(size)
    for _ in range(repeats):
        for writer in np.unique(writers):
            drawings = rng.permutation(np.flatnonzero(writers == writer))
            count = max(len(drawings) // size, 1)
            yield from np.split(drawings[: count * size], range(size, count * size, size))


def compose(pages: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write drawings on a line, on the height that each has on its page.

    Returns:
        uint8 array (HEIGHT, width); int array (n, 2) of the first and last column of each; and whether each starts a
        word.
    """
    starts = np.arange(len(pages)) % WORD == 0
    parts, columns, width = [], [], 0
    for page, is_start in zip(pages, starts, strict=True):
        gap = round(HEIGHT * rng.uniform(*(WORD_GAP if is_start else LETTER_GAP)))
        x, _, glyph, _ = cv2.boundingRect((page < 128).view(np.uint8))
        parts += [np.full((HEIGHT, gap), 255, np.uint8), page[:, x : x + glyph]]
        columns.append((width + gap, width + gap + glyph))
        width += gap + glyph
    return np.hstack([*parts, parts[0]]), np.array(columns), starts


def read_lines(
    folds: Folds, pages: list[np.ndarray], group: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Compose a line and read it.

    Returns:
        The class of each drawing read one by one and adapted, -1 where it was not found as one character; and the
        number of drawings found, of spaces, of spaces found, and of spaces found in words.
    """
    line, columns, starts = compose([pages[index] for index in group], rng)
    found = [each for row in find_characters(line, folds.networks[0].size).lines for each in row]
    middles = np.array([(each.box[0] + each.box[2]) / 2 for each in found])
    inside = (middles[:, None] >= columns[:, 0]) & (middles[:, None] <= columns[:, 1])
    match = [int(np.flatnonzero(column)[0]) if column.sum() == 1 else -1 for column in inside.T]
    drawings = np.array([index for index, each in enumerate(match) if each >= 0], int)
    chosen = [found[match[index]] for index in drawings]
    glyphs = Glyphs.stack(each.glyph for each in chosen)
    alone = folds.probabilities(glyphs, group[drawings])
    boxes = np.array([each.box for each in chosen], np.float64)
    together = adapt(alone, on_lines(boxes, np.zeros(len(boxes), int), alone, folds.statistics[0]))
    answers = np.full((2, len(group)), -1)
    answers[:, drawings] = alone.argmax(axis=1), together.argmax(axis=1)
    spaces = np.array([each.after_space for each in chosen])
    expected = starts[drawings] & (drawings > 0)
    counts = (len(drawings), int(expected.sum()), int((expected & spaces).sum()), int((~expected & spaces).sum()))
    return answers[0], answers[1], counts


@errors_in_one_line()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cross-validation", type=Path, required=True, help="directory of a cross-validation")
    parser.add_argument("--data", required=True, help="the drawings of Part 1")
    parser.add_argument("--repeats", type=int, default=3, help="random divisions of each person's drawings")
    parser.add_argument("--cache-dir", type=Path)
    options = parser.parse_args()
    start_tensorflow()
    network_size = Run(options.cross_validation).card.size
    source = open_source(options.data, "train")
    data = datasets.cached(source, network_size, options.cache_dir)
    matches = [re.search(r"-(\d+)\.\w+$", name) for name in data.names.tolist()]
    writers = np.array([int(match[1]) if match else 0 for match in matches])
    folds = Folds(options.cross_validation, data)
    places = data.glyphs.places
    alone = folds.probabilities(data.glyphs, np.arange(len(data)))
    width = round(HEIGHT * 4 / 3)
    kept = set(data.names.tolist())
    pages = [
        cv2.resize(entry.read(), (width, HEIGHT), interpolation=cv2.INTER_AREA)
        for entry in source.entries()
        if entry.name in kept
    ]
    print(
        "| characters | one by one | same hand | on a line, one by one | on a line, same hand | found | spaces found |"
    )
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        every, lines, counts, total = [], [], np.zeros(4, int), 0
        for group in groups(writers, size, 1 if size == max(SIZES) else options.repeats):
            labels = data.labels[group]
            known = places[group, 0] > 0
            together = alone[group].copy()
            together[known] = _adapt_sets(folds, alone[group][known], places[group][known], group[known])
            every.append([alone[group].argmax(axis=1) == labels, together.argmax(axis=1) == labels])
            *answers, found = read_lines(folds, pages, group, np.random.default_rng(group[0]))
            lines.append([answer == labels for answer in answers])
            counts += found
            total += len(group)
        shares = [np.mean(np.hstack(part), axis=1) for part in (every, lines)]
        numbers = [f"{100 * share:.2f} %" for share in np.concatenate(shares)]
        spaces = f"{counts[2]:,} of {counts[1]:,}, and {counts[3]:,} within words"
        print(f"| {size} | {' | '.join(numbers)} | {100 * counts[0] / total:.2f} % | {spaces} |", flush=True)


def _adapt_sets(folds: Folds, alone: np.ndarray, places: np.ndarray, drawings: np.ndarray) -> np.ndarray:
    """Adapt drawings that were read by networks of different folds."""
    writing = on_pages(places, folds.statistics[0])
    means = np.array([folds.statistics[number].means for number in folds.of[drawings]])
    writing.deviations[:] = places[:, None, 1:] - means
    return adapt(alone, writing)


if __name__ == "__main__":
    main()
