"""Normalized characters, each with its size and position on the page it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from midas.data.memmap import ImageFile

UNKNOWN_PLACE = np.zeros(5, np.float32)
LOG_SIZE = 0.35  # unit of sizes, as natural logarithms
POSITION = 1 / 9  # unit of positions, in page heights


def place_on_page(boxes: np.ndarray, page: tuple[float, float]) -> np.ndarray:
    """Describe the size and position of glyphs on their page, scaled so that most values are between -2 and 2.

    Args:
        boxes: array (..., 4) of (left, top, right, bottom).
        page: (height, width) of the page, in the unit of the boxes.

    Returns:
        float32 array (..., 5): 1, the logarithms of a glyph's height and width, and how far its center lies to the
        right of and below that of the page.

    >>> place_on_page(np.array([45, 20, 75, 65]), (90, 120)).round(2).tolist()
    [1.0, 0.0, 0.0, 0.0, -0.25]
    """
    left, top, right, bottom = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    height, width = page
    sizes = [np.log(2 * (bottom - top) / height) / LOG_SIZE, np.log(3 * (right - left) / height) / LOG_SIZE]
    centers = [(left + right - width) / 2, (top + bottom - height) / 2]
    positions = [center / height / POSITION for center in centers]
    return np.stack([np.ones_like(left), *sizes, *positions], axis=-1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Glyph:
    """One character.

    Attributes:
        image: uint8 array (size, size), light ink on black.
        place: float32 array (5,), size and position on the page, as `place_on_page` gives them; zeros where they are
            unknown.
    """

    image: np.ndarray
    place: np.ndarray


@dataclass(frozen=True, eq=False)
class Glyphs:
    """Several characters of one size, to be indexed like an array.

    Attributes:
        images: uint8 array (n, size, size), in memory or in a file.
        places: float32 array (n, 5).
    """

    images: np.ndarray | ImageFile
    places: np.ndarray

    @classmethod
    def stack(cls, glyphs: Iterable[Glyph]) -> Glyphs:
        """Put single glyphs together; at least one."""
        images, places = zip(*((glyph.image, glyph.place) for glyph in glyphs), strict=True)
        return cls(np.stack(images), np.stack(places))

    @classmethod
    def without_places(cls, images: np.ndarray) -> Glyphs:
        """Make glyphs of normalized images (n, size, size) whose place on the page is unknown."""
        return cls(images, np.broadcast_to(UNKNOWN_PLACE, (len(images), len(UNKNOWN_PLACE))))

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: np.ndarray | slice) -> Glyphs:
        """Read the glyphs at these indices into memory."""
        return Glyphs(self.images[index], self.places[index])

    def take(self, indices: np.ndarray) -> Glyphs:
        """Select the glyphs at these indices; large selections of images in a file stay there."""
        images = self.images[indices] if isinstance(self.images, np.ndarray) else self.images.take(indices)
        return Glyphs(images, self.places[indices])

    def batches(self, size: int) -> Iterator[Glyphs]:
        """Iterate over the glyphs in memory, `size` at a time.

        >>> glyphs = Glyphs.without_places(np.zeros((5, 28, 28), np.uint8))
        >>> [len(batch) for batch in glyphs.batches(2)]
        [2, 2, 1]
        """
        return (self[start : start + size] for start in range(0, len(self), size))
