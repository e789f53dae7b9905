"""CSV files with an image per line, as Kaggle has MNIST and EMNIST, UCI its digits, and `midas preprocess` writes them.

A line has the pixels row by row and, before or after them, a label. The file may have a line of titles, further columns
and any common delimiter. Pixels are parsed when the images are read, a block of lines at a time.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from midas.data.archives import DAMAGED, File, Tree, reason
from midas.data.arrays import MIN_SIDE, array_source
from midas.data.entries import Entry, Source, join
from midas.data.idx import MAX_IDX, emnist
from midas.data.levels import UnreadableImage
from midas.data.trees import choose_part
from midas.errors import MidasError, some

SUFFIXES = re.compile(r"\.(csv|tsv|txt|data|tra|tes)(\.(gz|bz2|xz))?$", re.IGNORECASE)
HEAD = 2**16  # bytes in which a table of pixels is recognized
BLOCK = 2**22  # bytes that are parsed together
SAMPLES = 64  # lines of each block, by which the column of the labels is found
LABEL_TITLES = ("label", "class", "target", "category", "character", "char", "letter", "digit", "symbol", "labels", "y")
HOW_TO_LABEL = "add a column titled label"
_NUMBER = re.compile(rb"\s*-?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
_PIXEL = re.compile(r"(pixel|pix|px|p|x|v|f|col|feature|attr(ibute)?)?[-_ ]?\d+(([x_,]|c)\d+)?|r\d+c\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How the columns of a table of pixels are arranged.

    Attributes:
        delimiter: between columns; b" " stands for any white space.
        has_titles: whether the first line is one of titles.
        columns: number of columns.
        first: the first column of pixels.
        side: of the images in pixels.
        label: column of the label; None if there is none, or it is not known yet which of `candidates` it is.
        candidates: columns that may be that of the label.
        one_hot: whether the columns after the pixels are the label, one per class.
    """

    delimiter: bytes
    has_titles: bool
    columns: int
    first: int
    side: int
    label: int | None
    candidates: tuple[int, ...] = ()
    one_hot: bool = False


def find_layout(file: File) -> Layout | None:
    """Recognize a table of pixels by its first lines; None if it is none."""
    lines = [line for line in file.head(HEAD).removeprefix(b"\xef\xbb\xbf").split(b"\n")[:3] if line.strip()]
    if not lines:
        return None
    delimiter = next((each for each in (b",", b";", b"\t") if each in lines[0]), b" ")
    first, second = (_cells(lines[min(index, len(lines) - 1)], delimiter) for index in (0, 1))
    has_titles = len(lines) > 1 and _are_titles(first, second)
    columns = len(second)
    if columns < MIN_SIDE**2 or (has_titles and len(first) != columns):
        return None
    if sum(bool(_NUMBER.fullmatch(cell)) for cell in second) < columns - 3:
        return None
    titles = [cell.decode("utf-8", "replace").strip().lower() for cell in first] if has_titles else []
    return _from_titles(delimiter, titles, columns) or _from_count(delimiter, has_titles, columns)


def _cells(line: bytes, delimiter: bytes) -> list[bytes]:
    text = line.rstrip(b"\r").decode("latin-1")
    if delimiter == b" ":
        return [cell.encode("latin-1") for cell in text.split()]
    try:
        return [cell.encode("latin-1") for cell in next(csv.reader([text], delimiter=delimiter.decode()), [])]
    except csv.Error:  # no table
        return []


def _are_titles(first: list[bytes], second: list[bytes]) -> bool:
    """Whether the first line has titles: texts, numbers in order, or those that pandas made distinct (0, 0.1)."""
    numbers = [float(cell) for cell in first if _NUMBER.fullmatch(cell)]
    if len(numbers) < MIN_SIDE**2:
        return sum(bool(_NUMBER.fullmatch(cell)) for cell in second) > len(numbers)
    in_order = all(after - before == 1 for before, after in itertools.pairwise(numbers[1:]))
    fractions = [sum(b"." in cell for cell in cells) for cells in (first, second)]
    return in_order or (fractions[0] > len(first) // 2 and not fractions[1])


def _from_titles(delimiter: bytes, titles: list[str], columns: int) -> Layout | None:
    labels = [titles.index(title) for title in LABEL_TITLES if title in titles]
    pixels = [index for index, title in enumerate(titles) if _PIXEL.fullmatch(title) and index not in labels[:1]]
    side = math.isqrt(len(pixels))
    contiguous = bool(pixels) and pixels[-1] - pixels[0] + 1 == len(pixels)
    if side < MIN_SIDE or side**2 != len(pixels) or not contiguous:
        return None
    return Layout(delimiter, True, columns, pixels[0], side, labels[0] if labels else None)


def _from_count(delimiter: bytes, has_titles: bool, columns: int) -> Layout | None:
    side = math.isqrt(columns)
    more = columns - side**2
    if more == 0:
        return Layout(delimiter, has_titles, columns, 0, side, None)
    if more == 1:
        return Layout(delimiter, has_titles, columns, 1, side, None, (0, columns - 1))
    side = next((s for s in (side, side - 1) if 2 < columns - s**2 == 10 and s >= MIN_SIDE), 0)  # Semeion
    return Layout(delimiter, has_titles, columns, 0, side, None, one_hot=True) if side else None


# ---- opening


def open_in(tree: Tree, split: str | None) -> Source | None:
    """Open the tables of pixels of a tree; None if there are none.

    Raises:
        MidasError: none of the split has labels; or as `open_file`.
    """
    layouts = {name: find_layout(tree.files[name]) for name in tree.names if SUFFIXES.search(name)}
    found = {name: layout for name, layout in layouts.items() if layout}
    copies = {(name.rpartition("/")[2], tree.files[name].head(HEAD)): name for name in reversed(found)}
    found = {name: layout for name, layout in found.items() if name in copies.values()}
    labeled = [name for name, layout in found.items() if _has_label(layout)]
    chosen, notes = choose_part(tree.path, labeled or found, split)
    if left_out := [name for name in found if labeled and name not in labeled]:
        notes = (*notes, f"{tree.path}: without labels, so left out: {some(left_out)}")
    return join(tree.path, [open_file(tree, name) for name in chosen], notes) if found else None


def _has_label(layout: Layout) -> bool:
    return layout.label is not None or bool(layout.candidates) or layout.one_hot


def open_file(tree: Tree, name: str) -> Source:
    """Open a table of pixels, which `find_layout` recognizes.

    Raises:
        MidasError: the table is too large.
    """
    where = tree.locate(name)
    file, layout = tree.files[name], find_layout(tree.files[name])
    if layout is None:
        raise MidasError(f"{where}: not a table of pixels; expected label,pixel0,pixel1,… with an image per line")
    count, samples = _scan(file, layout, where)
    if layout.candidates:
        layout = _choose_label(layout, samples)
    if count * layout.side**2 > MAX_IDX:
        raise MidasError(f"{where}: exceeds the limit of {MAX_IDX >> 20:,} MiB of pixels; split it")
    digest = f"{tree.digest([name])} {layout}"

    def entries() -> Iterator[Entry]:
        images, labels, bad = _parse(file, layout, count, where)
        given = np.array(labels) if labels else None
        for index, entry in enumerate(array_source(where, images, given, None, digest).entries()):
            yield replace(entry, load=partial(_refuse, bad[index])) if index in bad else entry

    return emnist(Source(str(where), (), digest, entries, count, how_to_label=HOW_TO_LABEL), tree, name)


def _refuse(reason: str) -> np.ndarray:
    raise UnreadableImage(reason)


def _blocks(file: File, where: Path) -> Iterator[bytes]:
    """Yield complete lines, some megabytes of them at a time, each ending with a line feed."""
    rest = b""
    try:
        with file.open() as opened:
            while data := opened.read(BLOCK):
                data = (rest + data).replace(b"\r\n", b"\n")
                end = data.rfind(b"\n") + 1
                rest = data[end:]
                if len(rest) > 2 * BLOCK:
                    raise MidasError(f"{where}: has lines that are too long; not a table of pixels")
                if end:
                    yield data[:end]
    except DAMAGED as error:
        raise MidasError(f"{where}: cannot be read: {reason(error)}; get it again") from error
    if rest.strip():
        yield rest + b"\n"


def _body(file: File, layout: Layout, where: Path) -> Iterator[bytes]:
    """Yield the blocks without titles and empty lines."""
    for number, block in enumerate(_blocks(file, where)):
        if number == 0:
            block = block.removeprefix(b"\xef\xbb\xbf")
            block = block.partition(b"\n")[2] if layout.has_titles else block
        if b"\n\n" in block or block.startswith(b"\n"):
            block = b"".join(line for line in block.splitlines(keepends=True) if line.strip())
        if block:
            yield block


def _scan(file: File, layout: Layout, where: Path) -> tuple[int, list[list[bytes]]]:
    """Count the lines, and collect some from all over the file."""
    count, samples = 0, list[list[bytes]]()
    for block in _body(file, layout, where):
        lines = block.count(b"\n")
        count += lines
        if layout.candidates:
            some_lines = block[: 2**18].split(b"\n")[:lines]
            some_lines = some_lines[: -1 if len(some_lines) > SAMPLES else None][:: max(1, len(some_lines) // SAMPLES)]
            samples += (
                [cells[0], cells[-1]] for cells in (_cells(line, layout.delimiter) for line in some_lines) if cells
            )
    return count, samples


def _choose_label(layout: Layout, samples: list[list[bytes]]) -> Layout:
    """Take the first column for the label or, if its values vary less, the last: corners of images are mostly paper."""
    first, last = (max(Counter(column).values()) / len(column) for column in zip(*samples, strict=True))
    if last < first:
        return replace(layout, first=0, label=layout.columns - 1)
    return replace(layout, first=1, label=0)


# ---- parsing


def _parse(file: File, layout: Layout, count: int, where: Path) -> tuple[np.ndarray, list[str], dict[int, str]]:
    """Parse a table: images, of bytes unless there are other numbers, labels as text, and what is wrong with which."""
    images = np.empty((count, layout.side**2), np.uint8)
    labels, bad, done = list[str](), dict[int, str](), 0
    for block in _body(file, layout, where):
        pixels, of_block, wrong = _parse_block(block, layout)
        if done + len(pixels) > count:
            raise MidasError(f"{where}: changed while it was read")
        if images.dtype == np.uint8 and pixels.dtype != np.uint8:
            images = images.astype(np.float32)
        images[done : done + len(pixels)] = pixels
        labels += of_block
        first = done + 1 + layout.has_titles  # line of the file, from 1
        bad |= {done + row: f"line {first + row} {what}" for row, what in wrong.items()}
        done += len(pixels)
    return images.reshape(count, layout.side, layout.side), _plain_numbers(labels), bad


def _plain_numbers(labels: list[str]) -> list[str]:
    """Write labels such as 3.0 and 3.000000000e+00 as 3."""
    if all(re.fullmatch(r"-?\d+\.0*(e\+00)?", label) for label in set(labels) - {""}):
        return [label.partition(".")[0] for label in labels]
    return labels


def _parse_block(block: bytes, layout: Layout) -> tuple[np.ndarray, list[str], dict[int, str]]:
    end, labels = layout.first + layout.side**2, list[str]()
    values = _parse_numbers(block, layout)
    if values is None:
        return _parse_cells(block, layout)
    if layout.label is not None:
        labels = list(map(str, values[:, layout.label].tolist()))
    elif layout.one_hot:
        labels = list(map(str, values[:, end:].argmax(axis=1).tolist()))
    pixels = values[:, layout.first : end]
    return pixels.astype(np.uint8 if pixels.max() < 256 else np.float32), labels, {}


def _parse_numbers(block: bytes, layout: Layout) -> np.ndarray | None:
    """Parse lines of whole numbers, six times as fast as any others; None if there is anything else."""
    delimiter = None if layout.delimiter == b" " else layout.delimiter.decode()
    options: dict[str, Any] = {"comments": None, "delimiter": delimiter, "quotechar": '"', "ndmin": 2}
    try:
        values = np.loadtxt(io.BytesIO(block), np.uint16, **options)
    except ValueError:
        return None
    return values if values.shape[1] == layout.columns else None


def _parse_cells(block: bytes, layout: Layout) -> tuple[np.ndarray, list[str], dict[int, str]]:
    """Parse lines of any numbers, with labels of any text; black images stand for lines in which something is wrong."""
    text = block.decode("utf-8", "replace")
    lines = text.split("\n")[:-1]
    end = layout.first + layout.side**2
    values, labels, wrong = np.zeros((len(lines), layout.side**2), np.float32), list[str](), dict[int, str]()
    for row, line in enumerate(lines):
        label = ""
        try:
            cells = (
                line.split()
                if layout.delimiter == b" "
                else next(csv.reader([line], delimiter=layout.delimiter.decode()))
            )
            if len(cells) != layout.columns:
                wrong[row] = f"has {len(cells)} columns instead of {layout.columns}"
            else:
                values[row] = cells[layout.first : end]
                label = (
                    str(np.array(cells[end:], np.float32).argmax())
                    if layout.one_hot
                    else cells[layout.label or 0].strip()
                )
        except (ValueError, csv.Error) as error:
            wrong[row] = f"is not one of pixels ({reason(error)})"
        labels += [label] if _has_label(layout) else []
    is_bytes = ((values >= 0) & (values <= 255) & (values == np.floor(values))).all()
    return values.astype(np.uint8) if is_bytes else values, labels, wrong
