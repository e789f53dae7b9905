"""Write the files that the examples of the README use, from the embedded sample.

python scripts/readme_examples.py FOLDER

drawing.png   one drawing
page.png      two lines by one writer
my_symbols/   five classes of 40 drawings
scans.zip     ten classes of 40 drawings; 40 of the 400 have a wrong label
"""

import argparse
import zipfile
from pathlib import Path

import cv2
import numpy as np
from writing import write_page

from midas.data import sample

TEXT, WRITER = "Meet me at 7\nin ROOM 42 Bob", 7
SYMBOLS, DIGITS, DRAWINGS, MISLABELED = "AEkRs", "0123456789", 40, 40


def png(character: str, writer: int) -> bytes:
    """Encode a drawing at a quarter of its size."""
    page = cv2.resize(sample.draw(character, writer), (300, 225), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", page)[1].tobytes()


def write(folder: Path) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "drawing.png").write_bytes(png("R", 7))
    cv2.imwrite(str(folder / "page.png"), write_page(TEXT, WRITER))
    for symbol in SYMBOLS:
        (folder / "my_symbols" / symbol).mkdir(parents=True, exist_ok=True)
        for writer in range(DRAWINGS):
            (folder / "my_symbols" / symbol / f"{writer:02d}.png").write_bytes(png(symbol, writer))
    labels = np.repeat(np.arange(len(DIGITS)), DRAWINGS)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(labels), MISLABELED, replace=False)
    given = labels.copy()
    given[wrong] = (labels[wrong] + rng.integers(1, len(DIGITS), MISLABELED)) % len(DIGITS)
    with zipfile.ZipFile(folder / "scans.zip", "w") as archive:
        for index, (label, filed) in enumerate(zip(labels, given, strict=True)):
            archive.writestr(f"{DIGITS[filed]}/scan-{index:03d}.png", png(DIGITS[label], index % DRAWINGS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
