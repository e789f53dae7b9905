"""Parquet files with an encoded image and a label per row, as Hugging Face has data sets."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from midas.data.archives import Tree
from midas.data.entries import Entry, Source, join
from midas.data.images import Page, UnreadableImage, decode_pages, to_grayscale
from midas.data.labels import clean
from midas.data.trees import choose_part
from midas.errors import MidasError, cannot, printable, some

IMAGE_TITLES = ("image", "img", "images", "png", "jpg", "picture", "pixels", "bytes")
LABEL_TITLES = (
    *("label", "labels", "class", "target", "category", "character", "char", "letter", "digit", "symbol", "y", "text"),
)
HOW_TO_LABEL = "add a column titled label"
ROWS = 256  # that are read together
SUFFIX = re.compile(r"\.parquet$", re.IGNORECASE)


def open_in(tree: Tree, split: str | None) -> Source | None:
    """Open the Parquet files of a tree; None if there are none.

    Raises:
        MidasError: pyarrow is missing, or as `open_file`.
    """
    files = [name for name in tree.names if SUFFIX.search(name)]
    if not files:
        return None
    chosen, notes = choose_part(tree.path, files, split)
    return join(tree.path, [open_file(tree, name) for name in chosen], notes)


def open_file(tree: Tree, name: str) -> Source:
    """Open a Parquet file with a column of images and, if there is one, a column of labels.

    Images are encoded files, as bytes or as Hugging Face's struct of bytes and path, or nested lists of gray levels.

    Raises:
        MidasError: pyarrow is missing, the file is damaged, or has no column of images.
    """
    where = tree.locate(name)
    if not importlib.util.find_spec("pyarrow"):
        raise MidasError(f"{where}: Parquet files need the package pyarrow: pip install pyarrow")
    parquet = _open(tree, name, where)
    names = parquet.schema_arrow.names
    image = _column(names, IMAGE_TITLES) or _binary(parquet.schema_arrow)
    if image is None:
        raise MidasError(f"{where}: has no column of images, but {some(names)}; expected image and label")
    label = _column([each for each in names if each != image], LABEL_TITLES)
    titles = _class_names(parquet.schema_arrow.metadata or {}, label)

    def entries() -> Iterator[Entry]:
        for index, row in enumerate(_rows(_open(tree, name, where), [image, *([label] if label else [])], where)):
            value, given = row[image], row.get(label or "")
            whole = isinstance(given, float) and given.is_integer()  # pandas makes numbers with gaps of whole ones
            text = None if given is None or given != given else clean(str(int(given) if whole else given))
            path = value.get("path") if isinstance(value, dict) else None
            shown = printable(f"{where.name}[{index}]" if not path else f"{path}[{index}]")
            yield Entry(shown, text, partial(_read, value))

    digest, count = tree.digest([name]), parquet.metadata.num_rows
    return Source(str(where), (), digest, entries, count, class_names=titles, how_to_label=HOW_TO_LABEL)


def _open(tree: Tree, name: str, where: Path) -> Any:
    import pyarrow.parquet

    file = tree.files[name]
    try:
        return pyarrow.parquet.ParquetFile(file.path or io.BytesIO(file.read()))
    except OSError as error:
        raise cannot("be read", where, error) if error.errno else _damaged(where, error) from error
    except Exception as error:  # whatever Arrow raises for a damaged file
        raise _damaged(where, error) from error


def _damaged(where: Path, error: Exception) -> MidasError:
    return MidasError(f"{where}: not a readable Parquet file ({printable(str(error))[:100]}); get it again")


def _rows(parquet: Any, columns: list[str], where: Path) -> Iterator[dict[str, Any]]:
    try:
        for batch in parquet.iter_batches(ROWS, columns=columns):
            yield from batch.to_pylist()
    except Exception as error:  # as above
        raise _damaged(where, error) from error


def _column(names: list[str], titles: tuple[str, ...]) -> str | None:
    by_title = {name.lower(): name for name in names}
    return next((by_title[title] for title in titles if title in by_title), None)


def _binary(schema: Any) -> str | None:
    return next((field.name for field in schema if "binary" in str(field.type)), None)


def _class_names(metadata: dict[bytes, bytes], label: str | None) -> dict[str, str] | None:
    """Find the names of the classes that Hugging Face keeps in the file; None if there are none."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {str(index): clean(str(name)) for index, name in enumerate(features[label]["names"])}
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _read(value: Any) -> np.ndarray | Iterator[Page]:
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return decode_pages(data)
    try:
        if data is None:
            raise ValueError
        pixels = np.array(data, np.float64)
        side = round(pixels.size**0.5)
        pixels = pixels.reshape(side, side) if pixels.ndim == 1 else pixels
        return to_grayscale(pixels)
    except (ValueError, TypeError) as error:
        raise UnreadableImage("no bytes of an image in the file") from error
