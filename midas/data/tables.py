"""Tables of file names and labels beside images: CSV, as Kaggle has them, tab-separated text, and JSON.

The column of the images is recognized by its values, which name files, and that of the labels by its title; the only
other column needs no title.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from midas.data.archives import Tree
from midas.data.entries import Entry, Source
from midas.data.images import Page, UnreadableImage, decode_pages
from midas.data.labels import clean
from midas.data.trees import IMAGE_SUFFIXES, Images, choose_part, part_of
from midas.errors import MidasError, printable, some

SUFFIXES = re.compile(r"\.(csv|tsv|txt|json|jsonl)(\.gz)?$", re.IGNORECASE)
MAX_TABLE = 2**27  # bytes
MAX_TABLES = 20  # in a tree; more are files of single images, such as their annotations
LABEL_TITLES = (
    *("label", "labels", "class", "target", "category", "character", "char", "letter", "digit", "symbol", "class_name"),
    *("label_name", "classname", "class name", "name", "text", "transcription", "ground_truth", "gt", "word", "y"),
    *("identity", "value", "latex", "class_id", "label_id", "symbol_id"),
)
SPLIT_TITLES = ("split", "usage", "subset", "set", "partition", "part")
EXAMPLE = re.compile(r"sample.?submission", re.IGNORECASE)  # of answers in a competition: its labels are none


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        image: the name of the image in the tree; None if there is no such file.
        given: its name as the table has it.
        label: its label; None if it has none.
        part: the part of the data set that the table puts it into; None if it does not.
    """

    image: str | None
    given: str
    label: str | None
    part: str | None


def find_rows(tree: Tree, images: list[str], only: str | None = None) -> tuple[list[Row], list[str]]:
    """Find the tables that label the images of a tree.

    Args:
        tree: where the tables are.
        images: names of its images.
        only: take this table only.

    Returns:
        The lines of all of them, and their names.

    Raises:
        MidasError: two tables give an image different labels.
    """
    names = [only] if only else [name for name in tree.names if SUFFIXES.search(name) and not EXAMPLE.search(name)]
    rows, used = list[Row](), []
    if names and images and len(names) <= MAX_TABLES:
        index = _index(images)
        for name in names:
            if found := _match(_cells(tree, name), name, index):
                rows += found
                used.append(name)
    labels: dict[str, str | None] = {}
    for row in rows:
        if row.image and labels.setdefault(row.image, row.label) != row.label:
            raise MidasError(
                f"{tree.path}: {' and '.join(used)}: two labels for {row.image} "
                f"({labels[row.image]!r} and {row.label!r}); give each image one label"
            )
    return rows, used


def open_rows(tree: Tree, found: Images, rows: list[Row], used: list[str], split: str | None) -> Source:
    """Make a source of images with the labels of tables.

    Images that no table names have the label of their class folder, if they are in one. What a table names and is
    missing is an entry that cannot be read.

    Raises:
        MidasError: the tables, or the folders of the images, are of other parts only.
    """
    listed = {row.image: row for row in rows if row.image}
    parts = {name: (listed[name].part if name in listed else None) or part_of(name) for name in found.labels}
    chosen, notes = choose_part(tree.path, {parts[name] or "" for name, row in listed.items() if row.label}, split)
    labels = {name: listed[name].label if name in listed else label for name, label in found.labels.items()}
    labels = {name: label for name, label in labels.items() if not split or (parts[name] or "") in chosen}
    missing = {row.given: row for row in rows if not row.image and (row.part or "") in (*chosen, "")}
    note = f"{tree.path}: labels are those of {some(used)}"

    def entries() -> Iterator[Entry]:
        yield from tree_entries(tree, labels)
        for name, row in missing.items():
            yield Entry(printable(name), row.label, _refuse_missing)

    digest = tree.digest([*labels, *used])
    count = len(labels) + len(missing)
    return Source(str(tree.path), (), digest, entries, count, notes=(*tree.notes, *notes, note))


def tree_entries(tree: Tree, labels: dict[str, str | None]) -> Iterator[Entry]:
    """Yield the images of a tree with their labels."""
    for name, read in tree.stream(labels):
        yield Entry(printable(name), labels[name], partial(_decode, read), read)


def _decode(read: Callable[[], bytes]) -> Iterator[Page]:
    return decode_pages(read())


def _refuse_missing() -> np.ndarray:
    raise UnreadableImage("in the table of labels, but no such file")


# ---- which file a value names


def _index(images: list[str]) -> dict[str, list[str]]:
    """List images by the last part of their names, with and without suffix."""
    index: dict[str, list[str]] = {}
    for name in images:
        last = clean(name.rpartition("/")[2])
        for key in {last, _stem(last)}:
            index.setdefault(key.lower(), []).append(name)
    return index


def _stem(name: str) -> str:
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name


def _resolve(value: str, place: str, index: dict[str, list[str]]) -> str | None:
    """Find the image that a value names: relative to the table, absolute on some computer, or a bare name."""
    parts = [part for part in clean(value.strip()).replace("\\", "/").split("/") if part not in ("", ".", "..")]
    found = index.get(parts[-1].lower(), []) if parts else []
    if len(found) < 2:
        return found[0] if found else None
    shared = {name: _shared(parts, name.split("/")) for name in found}
    best = [name for name in found if shared[name] == max(shared.values())]
    near = [name for name in best if name.startswith(f"{place}/")] if place and len(best) > 1 else best
    return near[0] if len(near) == 1 else None


def _shared(parts: list[str], others: list[str]) -> int:
    """Count the folders that two names share at their ends."""
    pairs = zip(reversed(parts[:-1]), reversed(others[:-1]), strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != clean(other)), min(len(parts), len(others)) - 1)


# ---- reading tables


def _match(cells: list[list[str]], table: str, index: dict[str, list[str]]) -> list[Row]:
    """Find the columns of images and labels; [] if the table does not label images."""
    width = Counter(map(len, cells)).most_common(1)[0][0] if cells else 0  # others are comments, or damaged
    cells = [row for row in cells if len(row) == width]
    if width < 2:
        return []
    place = table.rpartition("/")[0]
    sample = cells[:: max(1, len(cells) // 200)]
    shares = [sum(_resolve(row[i], place, index) is not None for row in sample) / len(sample) for i in range(width)]
    image = int(np.argmax(shares))
    if shares[image] < 0.4:
        return []
    has_titles = _resolve(cells[0][image], place, index) is None
    titles = [cell.strip().lower() for cell in cells[0]] if has_titles else []
    are_numbers = all(row[image].strip().isdigit() for row in cells[has_titles:][:200])  # which may count anything
    label = _label_column(titles, width, image, not are_numbers)
    if label is None:
        return []
    part = next((titles.index(title) for title in SPLIT_TITLES if title in titles), None)
    rows = cells[has_titles:]
    whole = all(re.fullmatch(r"-?\d+\.0+", row[label].strip()) for row in rows)
    of_table = part_of(table.rpartition("/")[2])
    return [
        Row(
            _resolve(row[image], place, index),
            row[image].strip(),
            clean(row[label].strip().partition(".")[0] if whole else row[label].strip()) or None,
            (part_of(row[part]) if part is not None else None) or of_table,
        )
        for row in rows
    ]


def _label_column(titles: list[str], width: int, image: int, any_title: bool) -> int | None:
    for title in LABEL_TITLES:
        if title in titles and titles.index(title) != image:
            return titles.index(title)
    return 1 - image if width == 2 and any_title else None


def _cells(tree: Tree, name: str) -> list[list[str]]:
    """Read a table of any of the forms; [] if it is none."""
    try:
        with tree.files[name].open() as file:
            data = file.read(MAX_TABLE + 1)
        if len(data) > MAX_TABLE or (b"\0" in data[:1000] and data[:2] not in (b"\xff\xfe", b"\xfe\xff")):
            return []
        text = _text(data)
        suffix = SUFFIXES.search(name)
        if suffix and suffix[1].lower().startswith("json"):
            return _from_json(text, suffix[1].lower())
        lines = [line for line in text.splitlines() if line.strip()]
        first = lines[0] if lines else ""
        delimiter = next((each for each in ("\t", ",", ";", "|") if each in first), None)
        if delimiter is None:
            return [line.split(maxsplit=1) for line in lines]
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except Exception:  # a file that only looks like a table; images without a label are reported
        return []


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _from_json(text: str, suffix: str) -> list[list[str]]:
    """Read {"file": "label"}, or a list or lines of objects with the same keys."""
    value = [json.loads(line) for line in text.splitlines() if line.strip()] if suffix == "jsonl" else json.loads(text)
    if isinstance(value, dict):
        return [[str(key), str(label)] for key, label in value.items() if isinstance(label, str | int)]
    titles = list(value[0])
    return [titles, *([str(row[title]) for title in titles] for row in value)]
