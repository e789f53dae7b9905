"""Images that stay in their file: more than fits in memory is read from disk when it is needed."""

from __future__ import annotations

import atexit
import errno
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from midas.errors import cannot, printable
from midas.files import make_directory

MAX_IN_MEMORY = 2**27  # bytes, 171,196 images of 28x28; more are read from disk in blocks
BLOCK = 4096  # images per block


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


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a uint8 array of this shape is larger than `MAX_IN_MEMORY`."""
    return int(np.prod(shape, dtype=np.int64)) > MAX_IN_MEMORY


def file_for(path: Path, shape: tuple[int, ...]) -> Path:
    """Choose the file for images of a shape: in a temporary folder if they are large and do not fit at `path`.

    The folder is deleted when the process ends.
    """
    if not is_large(shape):
        return path
    try:
        make_directory(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if shutil.disk_usage(path.parent).free < math.prod(shape):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="midas-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        reason = printable(str(cannot("be written", path.parent, error)))
        logging.getLogger(__name__).warning("%s; continuing without the cache, in %s", reason, folder)
        return folder / path.name
    return path


def blocks(images: np.ndarray | ImageFile) -> Iterator[np.ndarray]:
    """Iterate over images with one block of them in memory at a time.

    >>> [len(block) for block in blocks(np.zeros((5000, 2, 2), np.uint8))]
    [4096, 904]
    """
    return (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
