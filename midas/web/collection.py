"""Collections of drawings: class folders of pages like those of Part 1, each complete on disk as soon as it is drawn.

The folder is the state. A hidden file beside the class folders keeps which classes there are and how many drawings of
each are wanted; every command that takes `--data` reads the folder as it is.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midas.data.images import to_png
from midas.data.labels import clean, convention
from midas.data.trees import HIDDEN, part_of
from midas.errors import MidasError
from midas.files import atomic, read_json, write_json, writing

PLAN = ".collection.json"
NAME = re.compile(r"\w[\w -]{0,38}\w|\w")
FORBIDDEN = re.compile(r'[\\/:*?"<>|]|^[. ]|[. ]$')
DRAWING = re.compile(r"[0-9a-z][0-9a-z-]{7,39}")  # what a drawing is called
MAX_CLASSES, MAX_NAME, MAX_WANTED = 500, 40, 1000


@dataclass(frozen=True)
class Collection:
    """A folder of drawings.

    Attributes:
        folder: where they are.
        classes: names of the classes, which are those of the class folders.
        wanted: drawings of each class.
    """

    folder: Path
    classes: tuple[str, ...]
    wanted: int

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name

    def counts(self) -> list[int]:
        """Count the drawings of each class."""
        return [len(list((self.folder / label).glob("[!.]*.png"))) for label in self.classes]

    def save(self, drawing: str, label: str, page: np.ndarray) -> Path:
        """Write a drawing; it is complete on disk, or not there. Saving it again changes nothing.

        Args:
            drawing: its name, chosen by the page, so that an answer that got lost can be asked for again.
            label: its class.
            page: uint8 array (height, width).

        Raises:
            MidasError: it has no such class, the name is not one of a drawing, or it cannot be written.
        """
        path = self._path(drawing, label)
        with atomic(path) as temporary:
            temporary.write_bytes(to_png(page))
        return path

    def remove(self, drawing: str, label: str) -> None:
        """Remove a drawing; one that is gone already is no error.

        Raises:
            MidasError: as `save`.
        """
        path = self._path(drawing, label)
        with writing(path):
            path.unlink(missing_ok=True)
        _remove_empty(path.parent)

    def _path(self, drawing: str, label: str) -> Path:
        if label not in self.classes:
            raise MidasError(f"{self.name}: has no class {label[:MAX_NAME]!r}")
        if not DRAWING.fullmatch(drawing):
            raise MidasError("a drawing is named by 8 to 40 of the characters 0-9, a-z and hyphen")
        return self.folder / label / f"{drawing}.png"

    def state(self, skipped: str | None = None) -> dict[str, Any]:
        """Describe progress, and choose what to draw next: a random one of the missing drawings.

        Args:
            skipped: class that should not come next, unless it is the only one left.
        """
        counts = self.counts()
        missing = [max(self.wanted - count, 0) for count in counts]
        others = [0 if label == skipped else left for label, left in zip(self.classes, missing, strict=True)]
        weights = others if any(others) else missing
        chosen = random.choices(self.classes, weights)[0] if any(weights) else None
        return {
            "name": self.name,
            "folder": str(self.folder),
            "classes": [{"label": label, "drawn": n} for label, n in zip(self.classes, counts, strict=True)],
            "wanted": self.wanted,
            "drawn": sum(counts),
            "missing": sum(missing),
            "next": chosen,
        }


@dataclass(frozen=True)
class Collections:
    """All collections of a folder.

    Attributes:
        root: the folder.
    """

    root: Path

    def names(self) -> list[str]:
        """List them."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and NAME.fullmatch(path.name))

    def open(self, name: str) -> Collection:
        """Open one; a folder without a plan is one, too: its class folders are its classes.

        Raises:
            MidasError: there is none, or its plan is damaged.
        """
        if name not in self.names():
            raise MidasError(f"no collection {name[:MAX_NAME]!r}")
        folder = self.root / name
        if not (folder / PLAN).exists():
            found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not HIDDEN.match(path.name))
            return Collection(folder, tuple(found), 10)
        plan = read_json(folder / PLAN)
        try:
            return Collection(folder, _checked_classes(plan["classes"]), _checked_count(plan["wanted"]))
        except (LookupError, TypeError) as error:
            raise MidasError(f"{folder / PLAN}: damaged; remove it, the drawings stay") from error

    def free_name(self, wish: str) -> Path:
        """Give a folder that does not exist yet, named as is wished or with a number."""
        words = " ".join(re.sub(r"[^\w-]+", " ", wish).split()).lstrip("-")[-30:].strip() or "data"
        names = (f"{words} {number}" if number > 1 else words for number in itertools.count(1))
        return next(self.root / name for name in names if not (self.root / name).exists())

    def create(self, name: str, classes: Sequence[str], wanted: int) -> Collection:
        """Make a collection, or add classes to one and change how many drawings are wanted.

        Raises:
            MidasError: a name is not allowed, or the folder cannot be written.
        """
        if not NAME.fullmatch(name):
            raise MidasError("a collection is named by up to 40 letters, digits, spaces and hyphens")
        before = self.open(name).classes if name in self.names() else ()
        checked = _checked_classes([*before, *classes])
        collection = Collection(self.root / name, checked, _checked_count(wanted))
        folders = [collection.folder / label for label in checked]
        with writing(collection.folder):
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in collection.folder.iterdir()}
        for folder in folders:  # a class without drawings has none, as it would be an error in training
            _remove_empty(folder)
        if lost := [label for label in checked if label not in there]:
            raise MidasError(f"{collection.folder}: this disk takes {lost[0]!r} and another class for the same folder")
        write_json(collection.folder / PLAN, {"classes": list(checked), "wanted": collection.wanted})
        return collection

    def __iter__(self) -> Iterator[Collection]:
        for name in self.names():
            try:
                yield self.open(name)
            except MidasError:  # damaged: opening it by its name says so
                continue


def parse_classes(text: str) -> list[str]:
    """Split what was typed into class names: at commas, spaces or line breaks; ranges such as 0-9 are filled in.

    >>> parse_classes("0-3, plus  A-C a")
    ['0', '1', '2', '3', 'plus', 'A', 'B', 'C', 'a']
    """
    found = list[str]()
    for word in re.split(r"[,\s]+", text.strip()):
        ends = re.fullmatch(r"([0-9])-([0-9])|([A-Z])-([A-Z])|([a-z])-([a-z])", word)
        first, last = [end for end in ends.groups() if end] if ends else (word, word)
        found += map(chr, range(ord(first), ord(last) + 1)) if ends else [word]
    return [word for word in found if word]


def _checked_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Check names of classes, which are also names of folders that are read as they are."""
    classes = tuple(dict.fromkeys(clean(str(name)) for name in names))
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise MidasError(f"name 2 to {MAX_CLASSES} classes")
    for name in classes:
        if not 0 < len(name) <= MAX_NAME or FORBIDDEN.search(name) or part_of(name):
            raise MidasError(
                f"{name[:MAX_NAME]!r} cannot be the name of a class folder; use letters and digits, and a word other "
                "than train, test or validation"
            )
    if (found := convention(classes))[1]:
        raise MidasError(f"folders of these names would be read as {found[0]}; add a letter to one of them")
    return classes


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _checked_count(wanted: int) -> int:
    if not isinstance(wanted, int) or not 1 <= wanted <= MAX_WANTED:
        raise MidasError(f"ask for 1 to {MAX_WANTED} drawings of each class")
    return wanted
