"""Pages with what was read on them: a box around each character and its label."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from midas.errors import printable
from midas.files import atomic
from midas.predictions import UNSURE, UNSURE_IN_TEXT, PageReading

BLUE, ORANGE = (0, 90, 200), (220, 90, 0)  # certain, and less so
CERTAIN = 0.5  # probability
MIN_FONT = 9  # pixels


def write_overlay(gray: np.ndarray, reading: PageReading, path: Path) -> None:
    """Draw the answers on a page; labels are below the boxes, less probable ones in orange.

    Args:
        gray: uint8 array (height, width), the page.
        reading: of this page.
        path: the PNG file to write.

    Raises:
        MidasError: the file cannot be written.
    """
    faded = (255 - (255 - gray.astype(np.float32)) * 0.6).astype(np.uint8)
    picture = Image.fromarray(faded).convert("RGB")
    pen = ImageDraw.Draw(picture)
    heights = [bottom - top for _, top, _, bottom in reading.boxes]
    side = max(MIN_FONT, round(0.45 * float(np.median(heights))))
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", side)
    for (left, top, right, bottom), each in zip(reading.boxes, reading.characters, strict=True):
        color = BLUE if each.probability >= CERTAIN and each.label != UNSURE else ORANGE
        pen.rectangle((left - 1, top - 1, right, bottom), outline=color, width=max(1, side // 12))
        label = UNSURE_IN_TEXT if each.label == UNSURE else printable(each.label)
        pen.text(((left + right) / 2, bottom + 1), label, color, font, "ma")
    with atomic(path) as temporary:
        picture.save(temporary, "PNG")


def numbered(path: Path, number: int) -> Path:
    """Name the overlay of one of several pages.

    >>> numbered(Path("page.png"), 1).name, numbered(Path("page.png"), 2).name
    ('page.png', 'page-2.png')
    """
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
