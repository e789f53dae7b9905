"""A data set as a stream of entries: what the reader of every form returns."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Entry:
    """One image of a data set, not read yet.

    Attributes:
        name: its path in the data set.
        label: the name of its class folder, or of its class in an array or table; None if it has none.
        read: decodes it to a uint8 array (height, width); raises `UnreadableImage`.
    """

    name: str
    label: str | None
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk.

    Attributes:
        path: where it is.
        class_folders: their names, empty folders included; () if labels are in an array or table, or missing.
        digest: changes with the content.
        entries: starts a new pass over the images.
        count: number of entries in a pass.
        is_sample: whether it is the embedded sample.
        notes: what a user should know about how it is read, one line each.
        class_names: the name of the class that a label stands for; None where labels are names already.
        is_transposed: whether rows and columns of each image are swapped on disk.
    """

    path: str
    class_folders: tuple[str, ...]
    digest: str
    entries: Callable[[], Iterator[Entry]]
    count: int
    is_sample: bool = False
    notes: tuple[str, ...] = ()
    class_names: Mapping[str, str] | None = None
    is_transposed: bool = False


def text_digest(parts: Iterable[str]) -> str:
    """Digest of several texts, which may hold bytes of file names that are not text."""
    return hashlib.sha256("\0".join(parts).encode(errors="backslashreplace")).hexdigest()


def join(path: str | os.PathLike, sources: list[Source], notes: Iterable[str] = ()) -> Source:
    """Put the parts of a data set together; their notes are kept once."""

    def entries() -> Iterator[Entry]:
        return itertools.chain.from_iterable(source.entries() for source in sources)

    return Source(
        str(path),
        (),
        text_digest(source.digest for source in sources),
        entries,
        sum(source.count for source in sources),
        notes=tuple(dict.fromkeys([*notes, *(note for source in sources for note in source.notes)])),
        class_names=sources[0].class_names,
        is_transposed=sources[0].is_transposed,
    )


def transposed(source: Source) -> Source:
    """Swap rows and columns of each image of a source."""

    def swapped(entry: Entry) -> Entry:
        return replace(entry, read=lambda: np.ascontiguousarray(entry.read().T))

    digest = text_digest([source.digest, "transposed"])
    return replace(source, digest=digest, entries=lambda: map(swapped, source.entries()))


def with_class_names(source: Source, class_names: Mapping[str, str]) -> Source:
    """Let labels stand for these class names."""
    digest = text_digest([source.digest, *(text for pair in class_names.items() for text in pair)])
    return replace(source, digest=digest, class_names=class_names)
