"""Tables of file names and labels beside images: CSV, as Kaggle has them, tab-separated text, and JSON.

The column of the images is recognized by its values, which name files, and that of the labels by its title; the only
other column needs no title. Instead, a table may have a column of 0 and 1 for each class, as those of Roboflow have.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from midas.data.archives import Tree
from midas.data.entries import Entry, Source
from midas.data.images import Page, UnreadableImage, decode_pages
from midas.data.labels import clean, plain_numbers
from midas.data.trees import IMAGE_SUFFIXES, PART_TITLES, Images, choose_part, part_of
from midas.errors import printable, some

SUFFIXES = re.compile(r"\.(csv|tsv|txt|json|jsonl)(\.gz)?$", re.IGNORECASE)
MAX_TABLE = 2**27  # bytes
MAX_TABLES = 20  # in a tree; more are files of single images, such as their annotations
LABEL_TITLES = (
    *("label", "labels", "class", "target", "category", "character", "char", "letter", "digit", "symbol", "class_name"),
    *("label_name", "classname", "class name", "name", "text", "transcription", "ground_truth", "gt", "word", "y"),
    *("identity", "value", "latex", "class_id", "label_id", "symbol_id", "choice", "truth", "annotation", "tag"),
)
# Those that are no characters: a class in a table of 0 and 1 may well be called "y", "digit" or "letter".
SURE_TITLES = ("label", "labels", "class", "target", "category", "class_name", "label_name", "class_id", "label_id")
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
INDEX_TITLE = re.compile(r"(unnamed: \d+)?")  # as pandas writes the numbers of lines
_COMMENT = re.compile("#|sep=")  # Excel writes the delimiter as sep=;
EXAMPLE = re.compile(r"sample.?submission", re.IGNORECASE)  # of answers in a competition: its labels are none


@dataclass(frozen=True)
class Row:
    """A line of a table, or those of one image together.

    Attributes:
        image: the name of the image in the tree; None if there is no such file.
        given: its name as the table has it.
        labels: its labels, each once; a usable image has exactly one.
        part: the part of the data set that the table puts it into; None if it does not.
        tables: names of the tables that list it.
    """

    image: str | None
    given: str
    labels: tuple[str, ...]
    part: str | None
    tables: tuple[str, ...]

    @property
    def label(self) -> str | None:
        """Its label; None if it has none, or several."""
        return self.labels[0] if len(self.labels) == 1 else None


def find_rows(tree: Tree, images: list[str], only: str | None = None) -> tuple[list[Row], list[str], list[str]]:
    """Find the tables that label the images of a tree.

    Args:
        tree: where the tables are.
        images: names of its images.
        only: take this table only.

    Returns:
        The lines of all of them, each image in one line only, their names, and the names of tables that list images,
        too, but in which it is not clear what the labels are.
    """
    names = [only] if only else [name for name in tree.names if SUFFIXES.search(name) and not EXAMPLE.search(name)]
    rows, used, unclear = list[Row](), [], []
    if names and images and len(names) <= MAX_TABLES:
        index = _index(images)
        for name in names:
            found = _match(_cells(tree, name), name, index)
            rows += found or []
            used += [name] if found else []
            unclear += [name] if found is None else []
    lines: dict[str, Row] = {}
    for row in rows:
        first = lines.setdefault(row.image or row.given, row)
        labels, listing = dict.fromkeys(first.labels + row.labels), dict.fromkeys(first.tables + row.tables)
        lines[row.image or row.given] = replace(first, labels=tuple(labels), tables=tuple(listing))
    return list(lines.values()), used, unclear


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
    if split and "" not in chosen and (lost := [name for name in labels if not parts[name]]):
        notes += (f"{tree.path}: in no part of the data set, so left out: {some(map(printable, lost))}",)
    labels = {name: label for name, label in labels.items() if not split or (parts[name] or "") in chosen}
    no_label = {name: _not_one(row) for name, row in listed.items() if row.label is None}
    missing = {row.given: row for row in rows if not row.image and (row.part or "") in (*chosen, "")}
    note = f"{tree.path}: labels are those of {some(used)}"

    def entries() -> Iterator[Entry]:
        yield from tree_entries(tree, labels, no_label)
        for name, row in missing.items():
            yield Entry(printable(name), row.label, _refuse_missing)

    digest = tree.digest([*labels, *used])
    count = len(labels) + len(missing)
    return Source(str(tree.path), (), digest, entries, count, notes=(*tree.notes, *notes, note))


def _not_one(row: Row) -> str:
    """Say that an image has several labels, or none."""
    found = f"{len(row.labels)} labels ({some(row.labels)})" if row.labels else "no label"
    return f"{found} in {some(row.tables)}; give it one"


def tree_entries(
    tree: Tree, labels: dict[str, str | None], no_label: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Entry]:
    """Yield the images of a tree with their labels, or the reasons why they have none."""
    for name, read in tree.stream(labels):
        yield Entry(printable(name), labels[name], partial(_decode, read), read, no_label.get(name, ""))


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
    exact = [name for name in best if clean(name.rpartition("/")[2]).startswith(parts[-1])]  # A.png, not a.png
    best = exact or best
    near = [name for name in best if name.startswith(f"{place}/")] if place and len(best) > 1 else best
    return near[0] if len(near) == 1 else None


def _shared(parts: list[str], others: list[str]) -> int:
    """Count the folders that two names share at their ends."""
    pairs = zip(reversed(parts[:-1]), reversed(others[:-1]), strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != clean(other)), min(len(parts), len(others)) - 1)


# ---- reading tables


def _match(cells: list[list[str]], table: str, index: dict[str, list[str]]) -> list[Row] | None:
    """Find the columns of images and labels; [] if the table does not list images, None if the labels are not clear."""
    width = Counter(map(len, cells)).most_common(1)[0][0] if cells else 0  # others are comments, or damaged
    cells = [row for row in cells if len(row) == width]
    if width < 2:
        return []
    folder, _, file_name = table.rpartition("/")
    resolve = partial(_resolve, place=folder, index=index)
    image = _image_column(cells, resolve, index)
    if image is None:
        return []
    while _COMMENT.match(cells[0][0]) and not any(resolve(row[image]) for row in cells[:2]):
        del cells[0]  # what follows are titles, or another comment
    has_titles = resolve(cells[0][image]) is None
    titles = [clean(cell.strip()) for cell in cells[0]] if has_titles else []
    rows = cells[has_titles:]
    labels = _labels(rows, titles, image)
    if labels is None:
        return None
    lower, of_table = [title.lower() for title in titles], part_of(file_name)
    part = next((lower.index(title) for title in PART_TITLES if title in lower), None)
    return [
        Row(
            resolve(row[image]),
            row[image].strip(),
            tuple(given),
            of_table if part is None else part_of(row[part]) or of_table,
            (table,),
        )
        for row, given in zip(rows, labels, strict=True)
    ]


def _image_column(
    cells: list[list[str]], resolve: Callable[[str], str | None], index: dict[str, list[str]]
) -> int | None:
    """Find the column whose values name images; None if there is none.

    Most values may name no file, if those that do name most of the images.
    """
    columns = list(zip(*cells[:: max(1, len(cells) // 200)], strict=True))
    shares = [float(np.mean([resolve(value) is not None for value in column])) for column in columns]
    # A label may be the name of a file, too, as 5 is of 5.png; it has no suffix.
    image = max(range(len(columns)), key=lambda i: (shares[i], sum(_stem(value) != value for value in columns[i])))
    if shares[image] >= 0.4:
        return image
    values = [row[image].strip() for row in cells]
    listed = {resolve(value) for value in values if _stem(value) != value} - {None}
    count = len({name for names in index.values() for name in names})
    return image if len(listed) > 1 and 2 * len(listed) >= count else None


def _labels(rows: list[list[str]], titles: list[str], image: int) -> list[list[str]] | None:
    """Find the labels of each line, in a column of them or a column for each class; None if they are not clear."""
    flags = [
        i
        for i, title in enumerate(titles)
        if i != image and title and all(row[i].strip().lower() in FLAGS for row in rows)
    ]
    of_classes = [[titles[i] for i in flags if FLAGS[row[i].strip().lower()]] for row in rows]
    lower = [title.lower() for title in titles]
    label = _label_column(rows, lower, image)
    if label is None or (len(flags) > 1 and label in flags and lower[label] not in SURE_TITLES):
        most_have_one = 2 * sum(len(each) == 1 for each in of_classes) >= len(rows)
        return of_classes if len(flags) > 1 and most_have_one else None
    texts = plain_numbers([row[label].strip() for row in rows])
    return [[clean(text)] if text else [] for text in texts]


def _label_column(rows: list[list[str]], titles: list[str], image: int) -> int | None:
    """Find the column of the labels by its title, or as the only one beside names of images that are no numbers."""
    for title in LABEL_TITLES:
        if title in titles and titles.index(title) != image:
            return titles.index(title)
    others = [i for i in range(len(rows[0])) if i != image and not (titles and INDEX_TITLE.fullmatch(titles[i]))]
    may_count_anything = all(row[image].strip().isdigit() for row in rows[:200])
    return others[0] if len(others) == 1 and not may_count_anything else None


def _cells(tree: Tree, name: str) -> list[list[str]]:
    """Read a table of any of the forms; [] if it is none."""
    try:
        with tree.files[name].open() as file:
            data = file.read(MAX_TABLE + 1)
        text = _text(data)
        if len(data) > MAX_TABLE or "\0" in text[:1000]:
            return []
        suffix = SUFFIXES.search(name)
        if suffix and suffix[1].lower().startswith("json"):
            return _from_json(text, suffix[1].lower())
        return _from_lines(text)
    except Exception:  # a file that only looks like a table; images without a label are reported
        return []


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _from_lines(text: str) -> list[list[str]]:
    """Split lines at the delimiter that most of them have or, if there is none, at the first blank."""
    lines = [line for line in text.splitlines() if line.strip()]
    delimiters = [each for each in "\t,;|" if 2 * sum(each in line for line in lines) > len(lines)]
    if not delimiters:
        words = [line.split() for line in lines]
        have_boxes = [sum(map(str.isdecimal, row[1:])) > 1 for row in words]  # words.txt of IAM
        return words if 2 * sum(have_boxes) > len(words) else [line.split(maxsplit=1) for line in lines]
    delimiter = next((each for each in delimiters if each in lines[0]), delimiters[0])
    read = partial(csv.reader, delimiter=delimiter, skipinitialspace=True)
    cells = list(read(io.StringIO(text, newline="")))
    if any("\n" in cell for row in cells for cell in row):  # a label that is a quotation mark joins lines
        cells = [next(read([line], quoting=csv.QUOTE_NONE if line.count('"') % 2 else 0)) for line in lines]
    return cells


def _from_json(text: str, suffix: str) -> list[list[str]]:
    """Read the forms of JSON in which programs write labels; an object per image may lack some keys."""
    value = [json.loads(line) for line in text.splitlines() if line.strip()] if suffix == "jsonl" else json.loads(text)
    if isinstance(value, dict):
        if {"images", "annotations", "categories"} <= value.keys():
            return _from_coco(value)
        records = _records(value)
        if records is None:
            return _pairs(value)
        value = records
    titles = list(dict.fromkeys(title for row in value for title in row))
    return [titles, *(["" if row.get(title) is None else str(row[title]) for title in titles] for row in value)]


def _from_coco(value: dict[str, Any]) -> list[list[str]]:
    """Pair the files of a COCO data set with the names of their categories."""
    files, names = ({each["id"]: each for each in value[key]} for key in ("images", "categories"))
    return [
        [str(files[each["image_id"]]["file_name"]), str(names[each["category_id"]]["name"])]
        for each in value["annotations"]
    ]


def _records(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """List the objects, one per image, that an object holds as columns, by file or under a key; None if it does not."""
    members = list(value.values())
    are_columns = any(str(key).lower() in SURE_TITLES for key in value)
    if are_columns and all(isinstance(each, dict | list) for each in members):
        columns = [list(each.values()) if isinstance(each, dict) else each for each in members]
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if members and all(isinstance(each, dict) for each in members):
        return [{"": name, **row} for name, row in value.items()]
    return next((each for each in members if _are_records(each)), None)


def _pairs(value: dict[str, Any]) -> list[list[str]]:
    """Pair files with labels, from {"label": ["file", …]} or {"file": "label"}."""
    if value and all(isinstance(each, list) for each in value.values()):
        return [[str(name), label] for label, names in value.items() for name in names]
    return [[str(key), str(label)] for key, label in value.items() if isinstance(label, str | int)]


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
