"""Decoding and normalizing the images of a source on all cores, a few at a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from midas.data.entries import Entry, Source
from midas.data.glyphs import Glyph
from midas.data.images import Page
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize
from midas.data.segmentation import shows_several
from midas.errors import MidasError

Progress = Callable[[int, int], None]  # called with (done, total) now and then

CHUNK = 32  # images per task of a thread
CHUNKS_AHEAD = 16  # of small images, which are read while a network predicts for those before them
SMALL_PAGE = 2**14  # pixels; two threads normalize fewer images of this size per second than one


@dataclass(frozen=True)
class StreamItem:
    """A page of an entry of a source, read.

    Attributes:
        entry: what was read; if it has several pages, under the name of the page.
        glyph: None if the image cannot be used.
        page: size of the image before preprocessing as "WIDTHxHEIGHT"; empty if the image cannot be used.
        reason: why the image cannot be used; None if it can.
        several: whether it seems to show several characters, if that was asked for.
    """

    entry: Entry
    glyph: Glyph | None
    page: str
    reason: str | None
    several: bool = False


def stream(source: Source, size: int, progress: Progress | None = None, count: bool = False) -> Iterator[StreamItem]:
    """Decode and normalize the images of a source on all cores, in order, with only a few of them in memory.

    Args:
        source: what to read.
        size: side of the normalized images in pixels.
        progress: called with (done, total) images now and then.
        count: look for several characters in an image.
    """
    workers = os.cpu_count() or 1
    entries = source.entries()
    chunks = iter(lambda: list(itertools.islice(entries, CHUNK)), [])
    waiting: deque[tuple[int, Future[tuple[list[StreamItem], bool]]]] = deque()
    done, ahead, turn = 0, 2 * workers, threading.Lock()
    with ThreadPoolExecutor(workers) as pool:
        for chunk in itertools.chain(chunks, [None]):
            if chunk:
                waiting.append((len(chunk), pool.submit(_read_chunk, chunk, size, count, turn)))
            while len(waiting) > (ahead if chunk else 0):
                length, chunk_read = waiting.popleft()
                items, are_small = chunk_read.result()
                ahead = max(2 * workers, CHUNKS_AHEAD) if are_small else 2 * workers
                done += length
                if progress:
                    progress(done, source.count)
                yield from items


def _read_chunk(entries: list[Entry], size: int, count: bool, turn: threading.Lock) -> tuple[list[StreamItem], bool]:
    """Read entries, and tell whether one of them is small; from that one on, no other thread reads at the same time.

    OpenCV needs so little time for a small image that several threads would spend theirs on passing Python's global
    lock around: two need twice as long as one.
    """
    items, are_small = [], False
    with contextlib.ExitStack() as stack:
        for entry in entries:
            for name, page in entry.pages():
                named = entry if name == entry.name else replace(entry, name=name)
                items.append(_read_page(named, page, size, count))
                if not are_small and isinstance(page, np.ndarray) and page.size < SMALL_PAGE:
                    stack.enter_context(turn)
                    are_small = True
    return items, are_small


def _read_page(entry: Entry, page: Page, size: int, count: bool) -> StreamItem:
    try:
        if isinstance(page, UnreadableImage):
            raise page
        glyph = normalize(page, size)
        return StreamItem(entry, glyph, f"{page.shape[1]}x{page.shape[0]}", None, count and shows_several(page))
    except UnreadableImage as error:
        return StreamItem(entry, None, "", str(error))


def pages(sources: Iterable[Source], skip: Callable[[str, str], None]) -> Iterator[tuple[str, np.ndarray]]:
    """Decode the images of sources one by one, without normalizing them.

    Args:
        sources: what to read.
        skip: called with the name of each image, or source, that cannot be read, and the reason.

    Yields:
        The name and the gray levels of each page of an image.
    """
    for source in sources:
        try:
            for name, page in (named for entry in source.entries() for named in entry.pages()):
                if isinstance(page, UnreadableImage):
                    skip(source.locate(name), str(page))
                else:
                    yield source.locate(name), page
        except MidasError as error:  # such as a damaged archive
            skip(source.path, str(error).removeprefix(f"{source.path}: "))
