"""From pages to text: the characters of a page, line or form are found, read one by one, and adapted to their writer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from midas.data.glyphs import Glyphs
from midas.data.segmentation import Page, find_characters
from midas.learning.classifier import Answers, Classifier, Prediction
from midas.learning.writer_adaptation import adapt, on_lines


@dataclass(frozen=True)
class PageReading:
    """What a network reads on a page.

    Attributes:
        source: where the image came from.
        text: the labels, with spaces between words and line breaks; `UNSURE` characters are "?".
        characters: in reading order.
        boxes: for each character (left, top, right, bottom) in pixels, right and bottom exclusive.
        lines: for each character the number of its line, from 0.
        touching: number of components that are so wide that they are probably several characters.
    """

    source: str
    text: str
    characters: tuple[Prediction, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    lines: tuple[int, ...]
    touching: int
