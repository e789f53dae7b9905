"""A data set as a stream of entries: what the reader of every form returns."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from midas.data.images import Page
from midas.data.levels import UnreadableImage


@dataclass(frozen=True)
class Entry:
    """One image of a data set, not read yet.

    Attributes:
        name: its path in the data set.
        label: the name of its class folder, or of its class in an array or table; None if it has none.
        load: decodes it to a uint8 array (height, width), or to a stream of its pages; raises `UnreadableImage`.
        read_file: reads the bytes of its file, or raises `UnreadableImage`; None if it has no file of its own.
        no_label: why it has no label; empty if it has one, or if there is nothing to say about it.
    """

    name: str
    label: str | None
    load: Callable[[], np.ndarray | Iterator[Page]]
    read_file: Callable[[], bytes] | None = None
    no_label: str = ""

    def pages(self) -> Iterator[tuple[str, Page]]:
        """Yield the name and the gray levels of each page, or why it cannot be read.

        The pages of several are named `name[1]`, `name[2]` and so on.
        """
        try:
            loaded = self.load()
        except UnreadableImage as error:
            loaded = iter([error])
        if isinstance(loaded, np.ndarray):
            yield self.name, loaded
            return
        first, second = next(loaded), next(loaded, None)
        if second is None:
            yield self.name, first
            return
        for number, page in enumerate(itertools.chain((first, second), loaded), 1):
            yield f"{self.name}[{number}]", page

    def read(self) -> np.ndarray:
        """Decode the first page.

        Raises:
            UnreadableImage: it cannot be read.
        """
        loaded = self.load()
        page = loaded if isinstance(loaded, np.ndarray) else next(loaded)
        if isinstance(page, UnreadableImage):
            raise page
        return page


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
        is_image: whether it is a single file of an image, after whose path the entry is named.
        how_to_label: what to do if no image has a label, for forms other than images in folders.
        unclear: why the labels cannot be used; empty if they can.
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
    is_image: bool = False
    how_to_label: str = ""
    unclear: str = ""

    def locate(self, name: str) -> str:
        """Name an entry, or a page of one, in messages."""
        return name if self.is_image else f"{self.path}/{name}"


def text_digest(parts: Iterable[str]) -> str:
    """Digest of several texts, which may hold bytes of file names that are not text."""
    return hashlib.sha256("\0".join(parts).encode(errors="backslashreplace")).hexdigest()


def image_source(name: str, load: Callable[[], Iterator[Page]], digest: str = "") -> Source:
    """Make a source of a single image without a label; its path is the name of the image."""
    entry = Entry(name, None, load)
    return Source(name, (), digest, lambda: iter([entry]), 1, is_image=True)


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
        how_to_label=sources[0].how_to_label,
    )


def transposed(source: Source) -> Source:
    """Swap rows and columns of each image of a source."""

    def turned(entry: Entry) -> Iterator[Page]:
        pages = (page for _, page in entry.pages())
        return (page if isinstance(page, UnreadableImage) else np.ascontiguousarray(page.T) for page in pages)

    def swapped(entry: Entry) -> Entry:
        return replace(entry, load=partial(turned, entry), read_file=None)

    digest = text_digest([source.digest, "transposed"])
    return replace(source, digest=digest, entries=lambda: map(swapped, source.entries()))


def with_class_names(source: Source, class_names: Mapping[str, str]) -> Source:
    """Let labels stand for these class names."""
    digest = text_digest([source.digest, *(text for pair in class_names.items() for text in pair)])
    return replace(source, digest=digest, class_names=class_names)
