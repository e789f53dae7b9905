"""Small images in one PNG, of which the page shows tiles: an image takes 200 bytes, and follows the page's colors."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

COLUMNS = 40  # tiles beside each other
LEVELS = 16  # gray levels, at half the bytes of 256


@dataclass(frozen=True)
class Tile:
    """An image on a sheet: the sheet's name, the corner and side in pixels, the lines below it, and words for it."""

    sheet: str
    x: int
    y: int
    side: int
    lines: tuple[str, ...]
    alt: str


class Sheet:
    """Images of one size, of which those that are shown end up in one PNG.

    Args:
        name: identifies the sheet on the page.
        images: uint8 (n, side, side).
    """

    def __init__(self, name: str, images: np.ndarray):
        self.name, self.images = name, images
        self.side = int(images.shape[1])
        self.numbers: dict[int, int] = {}  # by index, in the order of the first use

    def tile(self, index: int, lines: tuple[str, ...] = (), alt: str = "") -> Tile:
        """Show an image: `lines` are written below it, `alt` describes it."""
        number = self.numbers.setdefault(int(index), len(self.numbers))
        x, y = number % COLUMNS * self.side, number // COLUMNS * self.side
        return Tile(self.name, x, y, self.side, lines, alt or " ".join(lines))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the PNG in pixels."""
        shown = len(self.numbers)
        return min(shown, COLUMNS) * self.side, -(-shown // COLUMNS) * self.side

    @property
    def src(self) -> str:
        """The PNG of all images that are shown, as a data URL."""
        from PIL import Image

        width, height = self.size
        pixels = np.zeros((height, width), np.uint8)
        for index, number in self.numbers.items():
            x, y = number % COLUMNS * self.side, number // COLUMNS * self.side
            pixels[y : y + self.side, x : x + self.side] = self.images[index]
        step = 255 // (LEVELS - 1)
        picture = Image.fromarray(np.rint(pixels / step).astype(np.uint8), "P")
        picture.putpalette([level * step for level in range(LEVELS) for _ in range(3)])
        file = io.BytesIO()
        picture.save(file, "png", bits=4, optimize=True)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
