"""What `fuzz.py` starts from: small valid files of every form, files made to do harm, and ways to damage them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

HUGE = (0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**32 - 1)
DEEP = b"[" * 100_000


# ---- valid files


def drawn() -> np.ndarray:
    """Draw an L: uint8 (45, 60)."""
    page = np.full((45, 60), 255, np.uint8)
    page[10:35, 20:24] = page[31:35, 20:40] = 0
    return page


def encoded(suffix: str, pixels: np.ndarray | None = None) -> bytes:
    """Encode an image, or the L."""
    import cv2

    return bytes(cv2.imencode(suffix, drawn() if pixels is None else pixels)[1].tobytes())


def pages(format: str) -> bytes:
    """Encode three pages in one file."""
    from PIL import Image

    file, page = io.BytesIO(), Image.fromarray(drawn())
    page.save(file, format, save_all=True, append_images=[page.rotate(90), page.rotate(180)])
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """Encode arrays as an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    """Encode bytes as an IDX file."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Pack files as a zip archive, always the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # without the time of day
    return file.getvalue()


def tar(files: Mapping[str, bytes], links: Mapping[str, str] | None = None, kind: bytes = tarfile.SYMTYPE) -> bytes:
    """Pack files and links as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return file.getvalue()


def _parquet() -> list[bytes]:
    """Write tables of images, if pyarrow is installed; otherwise only its first bytes."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return [b"PAR1"]
    names = {"label": {"names": list("xyz"), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": names}})}
    images: tuple[list[Any], ...] = (
        [encoded(".png")] * 3,
        [{"bytes": encoded(".png"), "path": "a.png"}] * 3,
        [drawn().tolist()] * 3,
    )
    files = []
    for column in images:
        file = io.BytesIO()
        table = pyarrow.table({"image": column, "label": [0, 1, 2]})
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)
        files.append(file.getvalue())
    return files


def data_files() -> dict[str, list[bytes]]:
    """Make valid and hostile data sets, by the name of the file that they are read from."""
    digits = np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8)
    labels = np.arange(6).astype(np.uint8)
    tree = {f"{label}/{n}.png": encoded(".png") for label in "ab" for n in range(2)}
    bomb = zipped({"a/1.png": bytes(300 * 2**20)})
    out = {"../../out/1.png": encoded(".png"), "/out/2.png": encoded(".png")}
    objects = npz(images=digits, labels=np.array([{"a": 1}] * 6, dtype=object))
    pixels = "\n".join(",".join(map(str, [n, *image.ravel()])) for n, image in enumerate(digits)).encode()
    table = {"labels.csv": b"image,label\n" + b"".join(b"Img/%d.png,%d\n" % (n, n) for n in range(3))}
    arrays = {f"{name}.npy": _npy(array) for name, array in (("X", digits), ("y", labels))}
    emnist = {
        "emnist-letters-test-images-idx3-ubyte.gz": gzip.compress(idx(digits), mtime=0),
        "emnist-letters-test-labels-idx1-ubyte": idx(labels + np.uint8(1)),
        "emnist-letters-mapping.txt": b"".join(b"%d %d\n" % (n, 64 + n) for n in range(1, 27)),
    }
    images = {f"image{s}": [encoded(s)] for s in (".png", ".jpg", ".bmp", ".tif", ".webp", ".jp2", ".pgm")}
    images |= {f"pages.{format}": [pages(format)] for format in ("png", "tiff", "gif", "webp")}
    return {
        **images,
        "digits.csv": [pixels, b"label," + b",".join(b"pixel%d" % n for n in range(784)) + b"\n" + pixels],
        "table.zip": [zipped(table | {f"Img/{n}.png": encoded(".png") for n in range(3)})],
        "arrays.zip": [
            zipped(arrays),
            zipped({"in/data.zip": zipped(tree)}),
            zipped(emnist),
            zipped({"train.csv": pixels}),
        ],
        "set.parquet": _parquet(),
        "data.zip": [zipped(tree), bomb, zipped(out)],
        "data.tar": [
            *(tar(tree), tar(out), tar(tree, links={"a/3.png": "/etc/passwd"})),
            *(tar(tree, {"b/3.png": target}, tarfile.LNKTYPE) for target in ("a/0.png", "b/3.png", "c")),
        ],
        "data.tar.gz": [gzip.compress(tar(tree), mtime=0)],
        "data.npz": [npz(images=digits, labels=labels), objects, npz(x_train=digits, y_train=labels)],
        "train-images-idx3-ubyte": [idx(digits), struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 2)],
        "train-images-idx3-ubyte.gz": [gzip.compress(idx(digits), mtime=0)],
    }


def damaged(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Damage a file in up to four ways."""
    spoiled = bytearray(data)
    for _ in range(rng.integers(0, 5)):
        if not spoiled:
            break
        start = int(rng.integers(len(spoiled)))
        length = int(min(len(spoiled) - start, rng.choice((1, 2, 4, 16, 256))))
        match rng.integers(7):
            case 0:
                spoiled[start] = rng.integers(256)
            case 1:
                del spoiled[start:]
            case 2:
                del spoiled[start : start + length]
            case 3:
                spoiled[start:start] = spoiled[start : start + length] * int(rng.integers(1, 4))
            case 4:
                spoiled[start : start + length] = bytes(length)
            case 5:
                order = rng.choice(("<I", ">I", "<H", ">H"))
                value = int(rng.choice(HUGE)) & (0xFFFFFFFF if order[1] == "I" else 0xFFFF)
                spoiled[start : start + struct.calcsize(order)] = struct.pack(order, value)
            case 6:
                other = others[rng.integers(len(others))]
                spoiled[start:] = other[min(start, len(other)) :]
    return bytes(spoiled)


def retyped(value: Any, rng: np.random.Generator) -> Any:
    """Replace something in JSON by something of another type, or remove it."""
    strange: tuple[Any, ...] = (None, True, -1, 1e308, "", "x" * 50, [], {}, [[1]], {"a": {}}, "\n", 2**70)
    if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return strange[rng.integers(len(strange))]
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key: Any = keys[int(rng.integers(len(keys)))]
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(changed, dict) and rng.random() < 0.2:
        del changed[key]
    else:
        changed[key] = retyped(value[key], rng)
    return changed
