"""CSV files with an image per line, as Kaggle has MNIST and EMNIST, UCI its digits, and `midas preprocess` writes them.

A line has the pixels row by row and, before or after them, a label; or all pixels in one column, separated by spaces,
as FER-2013 has them. The file may start with comments and a line of titles, have further columns, such as one of parts
(train or test), any common delimiter and line end, and be in UTF-16 with a byte order mark, as Excel saves it. Pixels
are parsed when the images are read, a block of lines at a time.
"""

from __future__ import annotations

import codecs
import contextlib
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
from typing import IO, Any, cast

import numpy as np

from midas.data.archives import DAMAGED, File, Tree, reason
from midas.data.arrays import MIN_SIDE, array_source
from midas.data.entries import Entry, Source, join, text_digest
from midas.data.idx import MAX_IDX, emnist
from midas.data.labels import plain_numbers
from midas.data.levels import UnreadableImage
from midas.data.trees import PART_TITLES, choose_part, part_of
from midas.errors import MidasError, counted, some

SUFFIXES = re.compile(r"\.(csv|tsv|txt|data|tra|tes)(\.(gz|bz2|xz))?$", re.IGNORECASE)
HEAD = 2**16  # bytes in which a table of pixels is recognized, unless its lines are longer
LINES = 32  # bytes per pixel of an image: titles, and several lines, by which copies of a file are found
BLOCK = 2**22  # bytes that are parsed together; of longer lines, a table is not recognized
SAMPLES = 64  # lines of each block, by which the column of the labels is found
LABEL_TITLES = ("label", "class", "target", "category", "character", "char", "letter", "digit", "symbol", "labels", "y")
HOW_TO_LABEL = "add a column titled label"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_COMMENT = re.compile(rb"\s*(#|sep=|$)")  # or an empty line; Excel writes the delimiter as sep=;
_PLAIN = bytes.maketrans(b"[],", b"   ")  # pixels in one column may be written as a list of Python
_NUMBER = re.compile(rb"\s*-?\d+(\.\d*)?([eE][-+]?\d+)?\s*")
_PIXEL = re.compile(r"(pixel|pix|px|p|x|v|f|col|feature|attr(ibute)?)?[-_ ]?\d+(([x_,]|c)\d+)?|r\d+c\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How the columns of a table of pixels are arranged.

    Attributes:
        delimiter: between columns; b" " stands for any white space.
        start: number of lines before the first image: comments and titles.
        columns: number of columns.
        first: the first column of pixels.
        side: of the images in pixels.
        label: column of the label; None if there is none, or it is not known yet which of `candidates` it is.
        candidates: columns that may be that of the label.
        one_hot: whether the columns after the pixels are the label, one per class.
        part: column that says which part of the data set an image belongs to; None if there is none.
        is_packed: whether all pixels are in one column, `first`, separated by spaces or as a list.
    """

    delimiter: bytes
    start: int
    columns: int
    first: int
    side: int
    label: int | None
    candidates: tuple[int, ...] = ()
    one_hot: bool = False
    part: int | None = None
    is_packed: bool = False


def find_layout(file: File) -> Layout | None:
    """Recognize a table of pixels by its first lines; None if it is none."""
    start, lines = _first_lines(file)
    if not lines:
        return None
    found = next((each for each in (b",", b";", b"\t") if each in lines[0]), None)
    delimiter = found or b" "
    first, second = _cells(lines[0], delimiter), _cells(lines[-1], delimiter)
    has_titles = len(lines) > 1 and _are_titles(first, second)
    columns = len(second)
    if columns < MIN_SIDE**2:
        return _packed(lines, start, found or b",")
    if has_titles and len(first) != columns:
        return _packed(lines, start, b",") if found is None else None
    if sum(bool(_NUMBER.fullmatch(cell)) for cell in second) < columns - 3:
        return None
    titles = _titles(first) if has_titles else []
    start += has_titles
    return _from_titles(delimiter, titles, start, columns) or _from_count(delimiter, start, columns)


def _first_lines(file: File) -> tuple[int, list[bytes]]:
    """Give the number of comments at the start of a file, and up to two complete lines after them."""
    size = HEAD
    while True:
        head = file.head(size)
        lines = _plain_lines(_decoded(head))
        start = next((index for index, line in enumerate(lines) if not _is_comment(line)), len(lines))
        is_whole, has_more = len(head) < size, start < len(lines)
        found = [line for line in lines[start : None if is_whole else -1][:3] if line.strip()][:2]
        if len(found) == 2 or is_whole or not has_more or size >= BLOCK:
            return start, found
        size *= 2


def _decoded(head: bytes) -> bytes:
    """Convert the start of a file to UTF-8 without byte order mark, if it has one."""
    if head[:2] in UTF_16:
        return head.decode("utf-16", "ignore").encode()
    return head.removeprefix(codecs.BOM_UTF8)


def _plain_lines(text: bytes) -> list[bytes]:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _is_comment(line: bytes) -> bool:
    """Whether a line at the start is a comment, and not one of titles that numpy.savetxt put after a #."""
    return bool(_COMMENT.match(line)) and len(re.split(rb"[\s,;]+", line, maxsplit=MIN_SIDE**2)) < MIN_SIDE**2


def _titles(cells: list[bytes]) -> list[str]:
    return [cell.decode("utf-8", "replace").lstrip("#").strip().lower() for cell in cells]


def _cells(line: bytes, delimiter: bytes) -> list[bytes]:
    try:
        return [cell.encode("latin-1") for cell in _split(line.decode("latin-1"), delimiter)]
    except csv.Error:  # no table
        return []


def _split(line: str, delimiter: bytes) -> list[str]:
    return line.split() if delimiter == b" " else next(csv.reader([line], delimiter=delimiter.decode()), [])


def _are_titles(first: list[bytes], second: list[bytes]) -> bool:
    """Whether the first line has titles: texts, numbers in order, or those that pandas made distinct (0, 0.1)."""
    numbers = [float(cell) for cell in first if _NUMBER.fullmatch(cell)]
    if len(numbers) < MIN_SIDE**2:
        return sum(bool(_NUMBER.fullmatch(cell)) for cell in second) > len(numbers)
    in_order = all(after - before == 1 for before, after in itertools.pairwise(numbers[1:]))
    fractions = [sum(b"." in cell for cell in cells) for cells in (first, second)]
    return in_order or (fractions[0] > len(first) // 2 and not fractions[1])


def _packed(lines: list[bytes], start: int, delimiter: bytes) -> Layout | None:
    """Recognize a table that has all pixels in one column; the label is titled, or the only other column."""
    first, second = _cells(lines[0], delimiter), _cells(lines[-1], delimiter)
    numbers = [cell.translate(_PLAIN).split() for cell in second]
    pixels = next((index for index, each in enumerate(numbers) if len(each) >= MIN_SIDE**2), None)
    if pixels is None or len(first) != len(second) or not all(map(_NUMBER.fullmatch, numbers[pixels])):
        return None
    side = math.isqrt(len(numbers[pixels]))
    if side**2 != len(numbers[pixels]):
        return None
    has_titles = not any(map(_NUMBER.fullmatch, first[pixels].translate(_PLAIN).split()))
    titles = _titles(first) if has_titles else []
    part = _column(titles, PART_TITLES)
    others = [i for i in range(len(second)) if i not in (pixels, part) and not (titles and not titles[i])]
    label = _column(titles, LABEL_TITLES)
    if label is None and len(others) == 1:
        label = others[0]
    start += has_titles
    return Layout(delimiter, start, len(second), pixels, side, label, part=part, is_packed=True)


def _column(titles: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((titles.index(title) for title in wanted if title in titles), None)


def _from_titles(delimiter: bytes, titles: list[str], start: int, columns: int) -> Layout | None:
    label = _column(titles, LABEL_TITLES)
    pixels = [index for index, title in enumerate(titles) if _PIXEL.fullmatch(title) and index != label]
    side = math.isqrt(len(pixels))
    contiguous = bool(pixels) and pixels[-1] - pixels[0] + 1 == len(pixels)
    if side < MIN_SIDE or side**2 != len(pixels) or not contiguous:
        return None
    return Layout(delimiter, start, columns, pixels[0], side, label, part=_column(titles, PART_TITLES))


def _from_count(delimiter: bytes, start: int, columns: int) -> Layout | None:
    side = math.isqrt(columns)
    more = columns - side**2
    if more == 0:
        return Layout(delimiter, start, columns, 0, side, None)
    if more == 1:
        return Layout(delimiter, start, columns, 1, side, None, (0, columns - 1))
    side = next((s for s in (side, side - 1) if 2 < columns - s**2 == 10 and s >= MIN_SIDE), 0)  # Semeion
    return Layout(delimiter, start, columns, 0, side, None, one_hot=True) if side else None


# ---- opening


def open_in(tree: Tree, split: str | None) -> Source | None:
    """Open the tables of pixels of a tree; None if there are none.

    Raises:
        MidasError: none of the split has labels; or as `open_file`.
    """
    layouts = {name: find_layout(tree.files[name]) for name in tree.names if SUFFIXES.search(name)}
    found = {name: layout for name, layout in layouts.items() if layout}
    heads = {name: hash(tree.files[name].head(max(HEAD, LINES * layout.side**2))) for name, layout in found.items()}
    copies = {(name.rpartition("/")[2], heads[name]): name for name in reversed(found)}
    found = {name: layout for name, layout in found.items() if name in copies.values()}
    labeled = [name for name, layout in found.items() if _has_label(layout)]
    chosen, notes = choose_part(tree.path, labeled or found, split)
    if left_out := [name for name in found if labeled and name not in labeled]:
        notes = (*notes, f"{tree.path}: without labels, so left out: {some(left_out)}")
    return join(tree.path, [open_file(tree, name, split) for name in chosen], notes) if found else None


def _has_label(layout: Layout) -> bool:
    return layout.label is not None or bool(layout.candidates) or layout.one_hot


def open_file(tree: Tree, name: str, split: str | None = None) -> Source:
    """Open a table of pixels, which `find_layout` recognizes.

    Args:
        tree: where it is.
        name: of the file in the tree.
        split: "train" or "test", for a table with a column of parts; other tables are taken whole.

    Raises:
        MidasError: the table is too large, or has other parts only.
    """
    where = tree.locate(name)
    file, layout = tree.files[name], find_layout(tree.files[name])
    if layout is None:
        raise MidasError(f"{where}: not a table of pixels; expected label,pixel0,pixel1,… with an image per line")
    count, samples, parts = _scan(file, layout, where)
    if layout.candidates:
        layout = _choose_label(layout, samples)
    if count * layout.side**2 > MAX_IDX:
        raise MidasError(f"{where}: exceeds the limit of {MAX_IDX >> 20:,} MiB of pixels; split it")
    chosen, notes = choose_part(where, dict.fromkeys(parts), split)
    if len(chosen) < len(set(parts)) and (lost := sum(part_of(part) is None for part in parts)):
        notes += (f"{where}: {counted(lost, 'line')} in no part of the data set, so left out",)
    wanted = set(chosen)
    kept = {index for index, part in enumerate(parts) if part in wanted} if parts else range(count)
    digest = text_digest([tree.digest([name]), str(layout), *(chosen if parts else ())])

    def entries() -> Iterator[Entry]:
        images, labels, bad = _parse(file, layout, count, where)
        given = np.array(labels) if labels else None
        for index, entry in enumerate(array_source(where, images, given, None, digest).entries()):
            if index in kept:
                yield replace(entry, load=partial(_refuse, bad[index])) if index in bad else entry

    source = Source(str(where), (), digest, entries, len(kept), notes=notes, how_to_label=HOW_TO_LABEL)
    return emnist(source, tree, name)


def _refuse(reason: str) -> np.ndarray:
    raise UnreadableImage(reason)


@contextlib.contextmanager
def _open_text(file: File) -> Iterator[IO[bytes]]:
    """Open a file as UTF-8, or whatever else it is in if it is not in UTF-16."""
    with file.open() as opened:
        is_utf_16 = opened.read(2) in UTF_16
        opened.seek(0)
        yield cast(IO[bytes], codecs.EncodedFile(opened, "utf-8", "utf-16")) if is_utf_16 else opened


def _blocks(file: File, where: Path) -> Iterator[bytes]:
    """Yield complete lines, some megabytes of them at a time, each ending with a line feed."""
    rest = b""
    try:
        with _open_text(file) as opened:
            while data := opened.read(BLOCK):
                data = (rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
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
    """Yield the blocks without comments, titles and empty lines."""
    for number, block in enumerate(_blocks(file, where)):
        if number == 0:
            block = block.removeprefix(codecs.BOM_UTF8)
            block = block.split(b"\n", layout.start)[layout.start]
        if b"\n\n" in block or block.startswith(b"\n"):
            block = b"".join(line for line in block.splitlines(keepends=True) if line.strip())
        if block:
            yield block


def _scan(file: File, layout: Layout, where: Path) -> tuple[int, list[list[bytes]], list[str]]:
    """Count the lines, collect some from all over the file, and the part of each line if there is a column of parts."""
    count, samples, parts = 0, list[list[bytes]](), list[str]()
    for block in _body(file, layout, where):
        lines = block.split(b"\n")[:-1]
        count += len(lines)
        if layout.part is not None:
            rows = (_cells(line, layout.delimiter) for line in lines)
            parts += [row[layout.part].decode("utf-8", "replace") if len(row) > layout.part else "" for row in rows]
        if layout.candidates:
            rows = (_cells(line, layout.delimiter) for line in lines[:: max(1, len(lines) // SAMPLES)])
            samples += [[row[0], row[-1]] for row in rows if row]
    return count, samples, parts


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
        first = done + 1 + layout.start  # line of the file, from 1
        bad |= {done + row: f"line {first + row} {what}" for row, what in wrong.items()}
        done += len(pixels)
    return images.reshape(count, layout.side, layout.side), plain_numbers(labels), bad


def _spread(block: bytes, layout: Layout) -> tuple[bytes, Layout]:
    """Give each pixel a column of its own, after that of the label; lines that lack a column stay as they are."""
    lines = []
    for line in block.split(b"\n")[:-1]:
        cells = _cells(line, layout.delimiter)
        if len(cells) == layout.columns:
            label = b"0" if layout.label is None else cells[layout.label].strip().replace(b'"', b'""')
            pixels = b",".join(cells[layout.first].translate(_PLAIN).split())
            line = b'"%s",%s' % (label, pixels)
        lines.append(line + b"\n")
    label_column = None if layout.label is None else 0
    return b"".join(lines), Layout(b",", layout.start, layout.side**2 + 1, 1, layout.side, label_column)


def _parse_block(block: bytes, layout: Layout) -> tuple[np.ndarray, list[str], dict[int, str]]:
    if layout.is_packed:
        block, layout = _spread(block, layout)
    values = _parse_numbers(block, layout)
    if values is None:
        return _parse_cells(block, layout)
    end, labels = layout.first + layout.side**2, list[str]()
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
    lines = block.decode("utf-8", "replace").split("\n")[:-1]
    end = layout.first + layout.side**2
    values, wrong = np.zeros((len(lines), layout.side**2), np.float32), dict[int, str]()
    labels = [""] * len(lines) if _has_label(layout) else []
    for row, line in enumerate(lines):
        try:
            cells = _split(line, layout.delimiter)
            if len(cells) != layout.columns:
                wrong[row] = f"has {len(cells)} values instead of {layout.columns}"
                continue
            values[row] = cells[layout.first : end]
            if layout.one_hot:
                labels[row] = str(np.array(cells[end:], np.float32).argmax())
            elif layout.label is not None:
                labels[row] = cells[layout.label].strip()
        except (ValueError, csv.Error) as error:
            wrong[row] = f"is not one of pixels ({reason(error)})"
    is_bytes = ((values >= 0) & (values <= 255) & (values == np.floor(values))).all()
    return values.astype(np.uint8) if is_bytes else values, labels, wrong
