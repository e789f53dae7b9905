"""Decoding and normalizing the images of a source on all cores, a few at a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from midas.data.entries import Entry, Source
from midas.data.glyphs import Glyph
from midas.data.images import Page
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize

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
    """

    entry: Entry
    glyph: Glyph | None
    page: str
    reason: str | None


def stream(source: Source, size: int, progress: Progress | None = None) -> Iterator[StreamItem]:
    """Decode and normalize the images of a source on all cores, in order, with only a few of them in memory.

    Args:
        source: what to read.
        size: side of the normalized images in pixels.
        progress: called with (done, total) images now and then.
    """
    workers = os.cpu_count() or 1
    entries = source.entries()
    chunks = iter(lambda: list(itertools.islice(entries, CHUNK)), [])
    waiting: deque[tuple[int, Future[tuple[list[StreamItem], bool]]]] = deque()
    done, ahead, turn = 0, 2 * workers, threading.Lock()
    with ThreadPoolExecutor(workers) as pool:
        for chunk in itertools.chain(chunks, [None]):
            if chunk:
                waiting.append((len(chunk), pool.submit(_read_chunk, chunk, size, turn)))
            while len(waiting) > (ahead if chunk else 0):
                count, chunk_read = waiting.popleft()
                items, are_small = chunk_read.result()
                ahead = max(2 * workers, CHUNKS_AHEAD) if are_small else 2 * workers
                done += count
                if progress:
                    progress(done, source.count)
                yield from items


def _read_chunk(entries: list[Entry], size: int, turn: threading.Lock) -> tuple[list[StreamItem], bool]:
    """Read entries, and tell whether one of them is small; from that one on, no other thread reads at the same time.

    OpenCV needs so little time for a small image that several threads would spend theirs on passing Python's global
    lock around: two need twice as long as one.
    """
    items, are_small = [], False
    with contextlib.ExitStack() as stack:
        for entry in entries:
            for name, page in entry.pages():
                items.append(_read_page(entry if name == entry.name else replace(entry, name=name), page, size))
                if not are_small and isinstance(page, np.ndarray) and page.size < SMALL_PAGE:
                    stack.enter_context(turn)
                    are_small = True
    return items, are_small


def _read_page(entry: Entry, page: Page, size: int) -> StreamItem:
    try:
        if isinstance(page, UnreadableImage):
            raise page
        return StreamItem(entry, normalize(page, size), f"{page.shape[1]}x{page.shape[0]}", None)
    except UnreadableImage as error:
        return StreamItem(entry, None, "", str(error))
