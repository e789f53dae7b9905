"""Predictions as tables: line by line as they come, the characters of a page, and the rows of a CSV file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from midas.errors import printable
from midas.predictions import Alternative, PageReading, Prediction
from midas.report.tables import GAP, Column, percent, text_table

CHARACTERS = (
    Column("line", "line"),
    Column("label", "label", text=True),
    Column("probability %", "probability", percent),
    Column("next", "others", text=True),
    Column("box", "box", text=True),
)
GUESSES = ("label", "probability", "second", "second_probability", "third", "third_probability")


@dataclass(frozen=True)
class PredictionTable:
    """A table of predictions that is printed line by line as they come.

    Attributes:
        label_width: of the longest class name.
        width: of the terminal, to which the images' names are shortened; None leaves them as they are.
    """

    label_width: int
    width: int | None = None

    @property
    def header(self) -> str:
        """The headings."""
        return self._line("label", "  prob.", ["next guesses", ""], "file")

    def line(self, prediction: Prediction) -> str:
        """Write one prediction."""
        guesses = [self._guess(each) for each in prediction.alternatives[:2]]
        probability = f"{100 * prediction.probability:5.1f} %"
        return self._line(prediction.label, probability, guesses, printable(prediction.source))

    def _guess(self, guess: Alternative) -> str:
        return f"{guess.label:<{self.label_width}} {100 * guess.probability:5.1f} %"

    def _line(self, label: str, probability: str, guesses: Sequence[str], name: str) -> str:
        cell = self.label_width + 8
        cells = [f"{label:<{max(5, self.label_width)}}", probability, *(f"{guess:<{cell}}" for guess in guesses)]
        if guesses and not guesses[-1]:  # a heading above both guesses
            cells[2:] = [f"{guesses[0]:<{2 * cell + 2}}"]
        start = "  ".join(cells)
        room = self.width - len(start) - GAP if self.width else len(name)
        shown = name if len(name) <= max(room, 12) else f"…{name[1 - max(room, 12) :]}"
        return f"{start}  {shown}"


def character_table(reading: PageReading) -> str:
    """Render the characters of a page, in reading order."""
    records = [
        {
            "line": line,
            "label": each.label,
            "probability": each.probability,
            "others": _others(each),
            "box": " ".join(map(str, box)),
        }
        for each, line, box in zip(reading.characters, reading.lines, reading.boxes, strict=True)
    ]
    return text_table(CHARACTERS, records)


def prediction_rows(predictions: Iterable[Prediction]) -> Iterator[list[Any]]:
    """Give predictions as the rows of a CSV file."""
    yield ["file", *GUESSES]
    for each in predictions:
        yield [each.source, *_guess_cells(each)]


def character_rows(readings: Iterable[PageReading]) -> Iterator[list[Any]]:
    """Give the characters of pages as the rows of a CSV file."""
    yield ["file", "line", "left", "top", "right", "bottom", *GUESSES]
    for page in readings:
        for each, line, box in zip(page.characters, page.lines, page.boxes, strict=True):
            yield [page.source, line, *box, *_guess_cells(each)]


def _guess_cells(prediction: Prediction) -> list[Any]:
    guesses = [(prediction.label, prediction.probability)]
    guesses += [(each.label, each.probability) for each in prediction.alternatives]
    return [cell for label, probability in guesses[:3] for cell in (label, round(probability, 4))]


def _others(prediction: Prediction) -> str:
    return ", ".join(f"{each.label} {100 * each.probability:5.1f} %" for each in prediction.alternatives)
