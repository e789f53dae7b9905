"""Images that stay in their file: what is too much to be held is read from disk when it is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

HELD = 2**27  # bytes; more images than this, 171,196 of 28x28, are streamed from disk instead of being held in memory
BLOCK = 4096  # images that are read at once where all are gone through


@dataclass(frozen=True, eq=False)
class Stored:
    """Some of the images in a file, to be indexed like an array.

    Attributes:
        path: the file.
        whole: the shape of what is in it, bytes (n, ...).
        offset: where in the file that begins.
        chosen: int array, which of the n images these are, in this order; None for all.
    """

    path: Path
    whole: tuple[int, ...]
    offset: int = 0
    chosen: np.ndarray | None = None
    dtype = np.dtype(np.uint8)

    @cached_property
    def rows(self) -> np.ndarray:
        return np.arange(self.whole[0]) if self.chosen is None else self.chosen

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.rows), *self.whole[1:]

    @property
    def ndim(self) -> int:
        return len(self.whole)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index) -> np.ndarray:
        # Opened anew each time: with the mapping, the pages of the file that it has touched are given back.
        return np.asarray(np.memmap(self.path, np.uint8, "r", self.offset, self.whole)).take(self.rows[index], axis=0)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, indices: np.ndarray) -> "np.ndarray | Stored":
        """Give the images at these indices: in memory if there they may be held, else where they are."""
        fewer = replace(self, chosen=self.rows[indices])
        return fewer if is_large(fewer.shape) else fewer[:]


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether so many bytes are to stay on disk."""
    return int(np.prod(shape, dtype=np.int64)) > HELD


def blocks(images: "np.ndarray | Stored") -> Iterator[np.ndarray]:
    """Go through images, a block of them in memory at a time.

    >>> [len(block) for block in blocks(np.zeros((5000, 2, 2), np.uint8))]
    [4096, 904]
    """
    return (images[start : start + BLOCK] for start in range(0, len(images), BLOCK))
