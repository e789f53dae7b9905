"""Small drawn pages, encoded in every format and packed in every form of data set."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

FORMS = ("folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def page(character: str = "L", width: int = 120, height: int = 90, ink: int = 0, paper: int = 255, pen: int = 6):
    """Draw an L, an H, or an i with its dot, in the middle of a page: uint8 (height, width)."""
    strokes = {
        "L": [((0, 0), (0, 4)), ((0, 4), (2, 4))],
        "H": [((0, 0), (0, 4)), ((2, 0), (2, 4)), ((0, 2), (2, 2))],
        "i": [((1, 2), (1, 4)), ((1, 0), (1, 0))],
    }
    unit = min(width, height) // 8
    image = np.full((height, width), paper, np.uint8)
    for stroke in strokes[character]:
        points = [(width // 2 + (x - 1) * unit, height // 2 + (y - 2) * unit) for x, y in stroke]
        cv2.line(image, *points, ink, pen)
    return image


def encode(image: np.ndarray, format: str = "PNG", mode: str | None = None, **options) -> bytes:
    """Encode gray levels as a file of any format and, where given, Pillow mode."""
    picture = Image.fromarray(image)
    return save(picture.convert(mode) if mode else picture, format, **options)


def save(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def bmp(pixels: np.ndarray) -> bytes:
    """Encode BGRA as a BMP of 32 bits with a mask for transparency, which neither Pillow nor OpenCV 4 writes."""
    height, width, _ = pixels.shape
    header = struct.pack("<2sI4xI", b"BM", 122 + pixels.size, 122)
    header += struct.pack("<IiiHHII16x", 108, width, height, 1, 32, 3, pixels.size)
    header += struct.pack("<4I52x", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return header + pixels[::-1].tobytes()


def tree(*folders: str, images: int = 2) -> dict[str, bytes]:
    """Name and content of the files of a data set with these class folders."""
    drawings = [encode(page(pen=pen)) for pen in range(4, 9)]
    return {f"{folder}/{index}.png": drawings[index % 5] for folder in folders for index in range(images)}


def pack(path: Path, form: str, files: dict[str, bytes | None]) -> Path:
    """Write files as a folder or archive at `path` plus suffix; None stands for an empty folder."""
    path = path if form == "folder" else path.with_name(f"{path.name}.{form}")
    {"folder": _folder, "zip": _zip}.get(form, _tar)(path, files)
    return path


def _folder(path: Path, files) -> None:
    for name, data in files.items():
        if data is None:
            (path / name).mkdir(parents=True, exist_ok=True)
        else:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)


def _zip(path: Path, files) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{name}/" if data is None else name, data or b"")


def _tar(path: Path, files) -> None:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            archive.addfile(info, io.BytesIO(data or b""))


def idx(array: np.ndarray, zipped: bool = False) -> bytes:
    """Encode an array as an IDX file of bytes."""
    data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    return gzip.compress(data, mtime=0) if zipped else data


def npy(array: np.ndarray) -> bytes:
    """Encode an array as an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays) -> bytes:
    """Encode arrays as an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def mutated(data: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    """Set bytes at relative positions and cut off the end; positions and `keep` are in 0-1."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[int(position * (len(damaged) - 1))] = value
    return bytes(damaged[: int(keep * len(damaged))])
