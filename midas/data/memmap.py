"""Images that stay in their file: more than fits in memory is read, or unpacked, when it is needed."""

from __future__ import annotations

import atexit
import errno
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np

from midas.data.archives import DAMAGED, reason
from midas.errors import MidasError, cannot, printable
from midas.files import make_directory

MAX_IN_MEMORY = 2**27  # bytes, 171,196 images of 28x28; more are read from disk in blocks
BLOCK = 4096  # images per block, and
BLOCK_BYTES = 2**24  # of those that are unpacked


@dataclass(frozen=True, eq=False)
class ImageFile:
    """Images in a file, or a selection of them, to be indexed like an array.

    Attributes:
        path: the file.
        shape_on_disk: shape (n, ...) of all the images in it, which are uint8.
        offset: in bytes, where the images begin.
        chosen: int array, the indices of the selected images in order; None for all.
    """

    path: Path
    shape_on_disk: tuple[int, ...]
    offset: int = 0
    chosen: np.ndarray | None = None
    dtype = np.dtype(np.uint8)

    @cached_property
    def rows(self) -> np.ndarray:
        """Indices of the selected images in the file."""
        return np.arange(self.shape_on_disk[0]) if self.chosen is None else self.chosen

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the selection."""
        return len(self.rows), *self.shape_on_disk[1:]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape_on_disk)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        # Mapped anew each time: closing the mapping frees the pages of the file that were read.
        images = np.asarray(np.memmap(self.path, np.uint8, "r", self.offset, self.shape_on_disk))
        return images.take(self.rows[index], axis=0)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, indices: np.ndarray) -> np.ndarray | ImageFile:
        """Select the images at these indices: in memory if they fit, else in the file."""
        selection = replace(self, chosen=self.rows[indices])
        return selection if is_large(selection.shape) else selection[:]


@dataclass(frozen=True, eq=False)
class PackedArray:
    """A large array in a compressed file, which is only read from front to back.

    Attributes:
        path: of the file, to name it in messages.
        start: opens the file, decompressed.
        offset: in bytes, where the array begins.
        shape_in_file: shape (n, ...) of the array there.
        dtype_in_file: of its elements there, in any byte order.
        arrange: changes the order of the axes of some images, or their shape.
    """

    path: Path
    start: Callable[[], AbstractContextManager[IO[bytes]]]
    offset: int
    shape_in_file: tuple[int, ...]
    dtype_in_file: np.dtype
    arrange: Callable[[np.ndarray], np.ndarray] = np.asarray

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape as it is read."""
        return len(self), *self.arrange(np.empty((1, *self.shape_in_file[1:]), np.uint8)).shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements as they are read."""
        return self.dtype_in_file.newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of dimensions as it is read."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape_in_file[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate(list(self.blocks())).astype(dtype or self.dtype, copy=False)

    def blocks(self) -> Iterator[np.ndarray]:
        """Read one block after another.

        Raises:
            MidasError: the file is damaged, or longer or shorter than the array.
        """
        length = math.prod(self.shape_in_file[1:]) * self.dtype_in_file.itemsize
        rows = max(1, min(BLOCK, BLOCK_BYTES // max(length, 1)))
        try:
            with self.start() as file:
                file.read(self.offset)
                for first in range(0, len(self), rows):
                    count = min(rows, len(self) - first)
                    data = file.read(count * length)
                    if len(data) < count * length:
                        raise self._of_other_length(f"{first * length + len(data):,} bytes")
                    block = np.frombuffer(data, self.dtype_in_file).reshape(count, *self.shape_in_file[1:])
                    yield self.arrange(block.astype(self.dtype, copy=False))
                if file.read(1):
                    raise self._of_other_length("more")
        except DAMAGED as error:
            raise MidasError(f"{self.path}: cannot be read: {reason(error)}; get it again") from error

    def _of_other_length(self, length: str) -> MidasError:
        shape = "x".join(map(str, self.shape_in_file))
        return MidasError(f"{self.path}: contains {length} but its header says {shape}; get it again")


def is_large(shape: tuple[int, ...], dtype: np.dtype = ImageFile.dtype) -> bool:
    """Whether an array of this shape is larger than `MAX_IN_MEMORY`."""
    return math.prod(shape) * dtype.itemsize > MAX_IN_MEMORY


def temporary_file(name: str) -> Path:
    """Choose a file in a temporary folder, which is deleted when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="midas-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / name


def file_for(path: Path, shape: tuple[int, ...]) -> Path:
    """Choose the file for images of a shape: a temporary one if they are large and do not fit at `path`."""
    if not is_large(shape):
        return path
    try:
        make_directory(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if shutil.disk_usage(path.parent).free < math.prod(shape):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        file = temporary_file(path.name)
        problem = printable(str(cannot("be written", path.parent, error)))
        logging.getLogger(__name__).warning("%s; continuing without the cache, in %s", problem, file.parent)
        return file
    return path


def blocks(images: np.ndarray | ImageFile | PackedArray) -> Iterator[np.ndarray]:
    """Iterate over images with one block of them in memory at a time.

    >>> [len(block) for block in blocks(np.zeros((5000, 2, 2), np.uint8))]
    [4096, 904]
    """
    if isinstance(images, PackedArray):
        return images.blocks()
    return (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
