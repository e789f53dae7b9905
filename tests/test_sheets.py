"""Sheets of small images: each image once, at the place that its tile names."""

import base64
import io

import numpy as np
from PIL import Image

from midas.report.sheets import COLUMNS, Sheet


def test_tiles_show_their_images():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    images[3] = 255
    sheet = Sheet("name", images)
    tiles = {index: sheet.tile(index, ("a", "b")) for index in [3, *range(10, 60), 3]}
    assert sheet.size == (COLUMNS * 8, 16) and tiles[3].alt == "a b" and tiles[3].sheet == "name"
    with Image.open(io.BytesIO(base64.b64decode(sheet.src.split(",")[1]))) as picture:
        assert picture.size == sheet.size
        pixels = np.asarray(picture.convert("L")).astype(int)
    for index, tile in tiles.items():
        shown = pixels[tile.y : tile.y + tile.side, tile.x : tile.x + tile.side]
        assert np.abs(shown - images[index]).max() <= 9  # of 16 gray levels the nearest
    assert (pixels[:8, :8] == 255).all()
