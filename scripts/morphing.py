"""Draw pairs of drawings of a class, and the drawings between them: same-class morphing, tried as an augmentation.

    python scripts/morphing.py --data-dir sample morphing.png

Two drawings are registered by dense optical flow (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search")
between blurred copies, and the flow is smoothed. A drawing between them is the mean of both, each moved its part of the
way. How it did is in checkpoints/README.md; no recipe uses it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from endings import errors_in_one_line

from midas.data import datasets
from midas.errors import MidasError
from midas.files import atomic

SIDE = 36  # pixels of a glyph
SCALE = 2  # to which glyphs are enlarged for the registration
BLUR, SMOOTH = 3, 4  # standard deviations in enlarged pixels, of the copies and of the flow
STEPS = 9  # drawings in a row, the two drawings included
SHOWN = "2348ABGMaegt"


def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Find where each pixel of a glyph lies in another one.

    Args:
        first: uint8 (side, side), light ink on black.
        second: the same.

    Returns:
        float32 (side, side, 2), how far to the right and down, in pixels.
    """
    copies = [
        cv2.GaussianBlur(cv2.resize(each, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_LINEAR), (0, 0), BLUR)
        for each in (first, second)
    ]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    found = cv2.GaussianBlur(search.calc(*copies, None), (0, 0), SMOOTH)
    return cv2.resize(found, first.shape[::-1], interpolation=cv2.INTER_AREA) / SCALE


def between(first: np.ndarray, second: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """Make the glyphs, uint8 (side, side), that are these shares of the way from one glyph to another.

    >>> glyph = np.zeros((36, 36), np.uint8); glyph[8:28, 12:16] = 255
    >>> bool(np.array_equal(between(glyph, glyph, [0.5])[0], glyph))
    True
    """
    there, back = flow(first, second), flow(second, first)
    grid = np.stack(np.meshgrid(*[np.arange(len(first), dtype=np.float32)] * 2), axis=-1)
    found = []
    for share in shares:
        from_first = cv2.remap(first, grid - share * there, None, cv2.INTER_LINEAR)
        from_second = cv2.remap(second, grid - (1 - share) * back, None, cv2.INTER_LINEAR)
        found.append(cv2.addWeighted(from_first, 1 - share, from_second, share, 0))
    return found


def rows(glyphs: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
    """Lay out a row for each class of `SHOWN` that has two glyphs, uint8 (height, width), dark ink on white."""
    rng, found = np.random.default_rng(0), []
    for name in SHOWN:
        of_class = np.flatnonzero(labels == class_names.index(name)) if name in class_names else []
        if len(of_class) > 1:
            first, second = glyphs[rng.choice(of_class, 2, replace=False)]
            found.append(np.hstack(between(first, second, np.linspace(0, 1, STEPS).tolist())))
    if not found:
        raise MidasError(f"no two drawings of any of {', '.join(SHOWN)}; give the data of Part 1")
    return 255 - np.kron(np.vstack(found), np.ones((2, 2), np.uint8))


@errors_in_one_line()
def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    options = parser.parse_args()
    data = datasets.load("part1", options.data_dir, SIDE, None)
    for each in data.skipped:
        print(f"skipped {each.name}: {each.reason}", file=sys.stderr)
    _, content = cv2.imencode(".png", rows(np.asarray(data.glyphs.images), data.labels, data.class_names))
    with atomic(options.picture) as path:
        path.write_bytes(content.tobytes())


if __name__ == "__main__":
    main()
