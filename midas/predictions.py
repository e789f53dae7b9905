"""What a network reads: in an image of one character, and on a page of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

UNSURE = "unsure"
UNSURE_IN_TEXT = "?"


@dataclass(frozen=True)
class Alternative:
    """Another guess: a class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a network reads in an image of one character.

    Attributes:
        label: the most probable class, or "unsure".
        probability: of the most probable class, in 0-1.
        alternatives: the next most probable classes; if unsure, the most probable class comes first.
        source: where the image came from: its path, or "array" and its index.
        several: whether the image seems to show several characters.
    """

    label: str
    probability: float
    alternatives: tuple[Alternative, ...]
    source: str
    several: bool = False


@dataclass(frozen=True)
class Shown:
    """An image that is read.

    Attributes:
        source: where it came from.
        several: whether it seems to show several characters.
    """

    source: str
    several: bool = False


@dataclass(frozen=True)
class PageReading:
    """What a network reads on a page.

    Attributes:
        source: where the image came from, as in `Prediction`.
        text: the labels, with spaces between words and line breaks; "?" for "unsure".
        characters: in reading order.
        boxes: for each character (left, top, right, bottom) in pixels, right and bottom exclusive.
        lines: for each character the number of its line, from 1.
        touching: number of boxes that are so wide that they probably hold several characters, which touch.
    """

    source: str
    text: str
    characters: tuple[Prediction, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    lines: tuple[int, ...]
    touching: int


def make_predictions(
    probabilities: np.ndarray,
    class_names: Sequence[str],
    images: Sequence[Shown],
    top: int = 3,
    reject_below: float = 0.0,
) -> list[Prediction]:
    """Turn probabilities into predictions.

    Args:
        probabilities: float array (n, K); classes that are not allowed have 0.
        class_names: K names.
        images: what each row was predicted for.
        top: predictions per image, alternatives included.
        reject_below: probability below which a prediction is "unsure".

    >>> make_predictions(np.array([[0.25, 0.75]]), "ab", [Shown("x.png")], top=1, reject_below=0.9)[0].label
    'unsure'
    """
    ranks = np.argsort(-probabilities, axis=1, kind="stable")[:, : max(top, 1)]
    predictions = []
    for image, row, rank in zip(images, probabilities, ranks, strict=True):
        guesses = [
            Alternative(class_names[index], float(row[index])) for index in rank if row[index] or index == rank[0]
        ]
        first = guesses[0]
        is_unsure = first.probability < reject_below
        label, others = (UNSURE, guesses) if is_unsure else (first.label, guesses[1:])
        predictions.append(Prediction(label, first.probability, tuple(others), image.source, image.several))
    return predictions


def join_text(labels: Sequence[str], lines: Sequence[int], after_space: Sequence[bool]) -> str:
    r"""Write the characters of a page as text.

    >>> join_text(["a", "unsure", "b", "c"], [1, 1, 1, 2], [False, False, True, False])
    'a? b\nc'
    """
    text, line = "", lines[0] if lines else 0
    for label, number, space in zip(labels, lines, after_space, strict=True):
        between = "\n" * (number - line) or (" " if space else "")
        text, line = text + between + (UNSURE_IN_TEXT if label == UNSURE else label), number
    return text


def as_record(found: Prediction | PageReading) -> dict[str, Any]:
    """Describe a prediction, or all of a page, as `midas predict --json` prints it.

    >>> as_record(Prediction("A", 0.96, (), "x.png"))
    {'file': 'x.png', 'label': 'A', 'probability': 0.96, 'alternatives': [], 'several': False}
    """
    if isinstance(found, Prediction):
        return {"file": found.source, **_guesses(found), "several": found.several}
    characters = [
        {**_guesses(each), "line": line, "box": list(box)}
        for each, line, box in zip(found.characters, found.lines, found.boxes, strict=True)
    ]
    return {"file": found.source, "text": found.text, "characters": characters, "touching": found.touching}


def _guesses(prediction: Prediction) -> dict[str, Any]:
    alternatives = [
        {"label": each.label, "probability": round(each.probability, 4)} for each in prediction.alternatives
    ]
    scores = {"label": prediction.label, "probability": round(prediction.probability, 4)}
    return {**scores, "alternatives": alternatives}
