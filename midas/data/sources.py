"""Data sets as they lie on disk: one stream of entries from a zip, tar, folder, npz, IDX or image file.

Nothing is unpacked to disk. Archives with members outside themselves, or that decompress to more than `MAX_TOTAL`
bytes, are refused before anything is read from them.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import lzma
import math
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from midas.data.images import UnreadableImage, decode, to_grayscale
from midas.data.memmap import ImageFile, blocks, is_large
from midas.data.trees import (
    IMAGE_SUFFIXES,
    MAX_MEMBER,
    MAX_TOTAL,
    SPLITS,
    Member,
    check_depth,
    check_members,
    find_images,
    normalize_name,
    some,
)
from midas.errors import MidasError, cannot, printable

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_IDX = 2**31  # bytes of an IDX file after decompression
IDX_IMAGES = re.compile(r"images([-.])idx3-ubyte(\.gz)?$")
# What the standard library raises for damaged files; RuntimeError for an unknown compression or a password.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, RuntimeError, OSError),
)


@dataclass(frozen=True)
class Entry:
    """One image of a data set, not read yet.

    Attributes:
        name: its path in the data set.
        label: the name of its class folder, or of its class in an array; None if it has none.
        read: decodes it to a uint8 array (height, width); raises `UnreadableImage`.
    """

    name: str
    label: str | None
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk.

    Attributes:
        path: where it is.
        class_folders: their names, empty folders included; () if the labels are in an array, or there are none.
        digest: changes with the content.
        entries: starts a new pass over the images.
        count: number of entries in a pass.
        is_sample: whether it is the embedded sample.
    """

    path: str
    class_folders: tuple[str, ...]
    digest: str
    entries: Callable[[], Iterator[Entry]]
    count: int
    is_sample: bool = False


def open_source(path: str | os.PathLike, split: str | None = None) -> Source:
    """Open a data set in any of the supported forms.

    Args:
        path: a zip or tar archive or a folder of images in class folders, a single image, an `.npz` file, an IDX file
            of images with its labels beside it, or a folder of IDX files.
        split: "train" or "test", for data sets that have both; None takes everything.

    Raises:
        MidasError: it does not exist, has none of these forms, or is not safe to read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            idx_files = [file for file in path.iterdir() if IDX_IMAGES.search(file.name) and file.is_file()]
            return _open_idx_folder(path, idx_files, split) if idx_files else _open_folder(path, split)
        if not path.exists():
            raise MidasError(f"{path}: no such file or folder; check the name")
        if path.suffix.lower() == ".zip":
            return _open_zip(path, split)
        if path.name.lower().endswith(TAR_SUFFIXES):
            return _open_tar(path, split)
        if path.suffix.lower() == ".npz":
            return _open_npz(path, split)
        if re.search("[-.]idx[0-9]", path.name):
            return _open_idx(path)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return Source(str(path), (), _digest(path), lambda: iter([_file_entry(path, path.name, None)]), 1)
    except OSError as error:
        raise cannot("be read", path, error) from error
    raise MidasError(
        f"{path}: not a data set; give a zip, a tar, a folder of class folders, an .npz, IDX or image file"
    )


def source_of_bytes(data: bytes, name: str = "-") -> Source:
    """Make a source of one encoded image.

    Args:
        data: content of an image file.
        name: to call it; "-" stands for stdin.

    Raises:
        MidasError: there are no bytes.

    >>> source_of_bytes(b"")
    Traceback (most recent call last):
    midas.errors.MidasError: -: is empty; pipe an image into it
    """
    if not data:
        raise MidasError(f"{name}: is empty; pipe an image into it")
    return Source(name, (), "", lambda: iter([Entry(name, None, partial(decode, data))]), 1)


def _digest(path: Path, *selection: str) -> str:
    """Digest of a file and of what was selected from it."""
    digest = hashlib.sha256("\0".join(selection).encode(errors="backslashreplace"))
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    """Shorten the message of a library to part of a line."""
    text = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return printable(text if len(text) <= 100 else f"{text[:99]}…")


# ---- trees of files: folder, zip, tar


def _open_folder(root: Path, split: str | None) -> Source:
    files, folders = [], []

    def refuse(error: OSError) -> None:
        raise error

    for place, folder_names, file_names in os.walk(root, onerror=refuse):
        inside = Path(place).relative_to(root).as_posix()
        check_depth(root, inside)
        folders += [normalize_name(f"{inside}/{name}") for name in folder_names]
        files += [normalize_name(f"{inside}/{name}") for name in file_names if Path(place, name).is_file()]
    labels, class_folders = find_images(root, files, folders, split)
    stats = {name: (root / name).stat() for name in labels}
    state = [f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}" for name, stat in stats.items()]
    digest = hashlib.sha256("\n".join([*state, *class_folders]).encode(errors="backslashreplace")).hexdigest()

    def entries() -> Iterator[Entry]:
        return (_file_entry(root / name, name, label) for name, label in labels.items())

    return Source(str(root), class_folders, digest, entries, len(labels))


def _file_entry(path: Path, name: str, label: str | None) -> Entry:
    def read() -> np.ndarray:
        try:
            if path.stat().st_size > MAX_MEMBER:
                raise UnreadableImage(f"larger than {MAX_MEMBER >> 20} MiB")
            return decode(path.read_bytes())
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error

    return Entry(printable(name), label, read)


def _open_zip(path: Path, split: str | None) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged, or not a zip archive ({_reason(error)}); get it again") from error
    infos = archive.infolist()
    if encrypted := next((info.filename for info in infos if info.flag_bits & 1), None):
        raise MidasError(f"{path}: {encrypted!r} is encrypted; pack the archive again without a password")
    files, folders = check_members(path, map(_zip_member, infos))
    labels, class_folders = find_images(path, files, folders, split)

    def read(info: zipfile.ZipInfo) -> np.ndarray:
        try:
            data = archive.read(info)
        except DAMAGED as error:
            raise UnreadableImage(f"damaged in the archive ({_reason(error)})") from error
        return decode(data)

    def entries() -> Iterator[Entry]:
        for name, label in labels.items():
            yield Entry(printable(name), label, partial(read, files[name]))

    return Source(str(path), class_folders, _digest(path, *labels, *class_folders), entries, len(labels))


def _zip_member(info: zipfile.ZipInfo) -> Member[zipfile.ZipInfo]:
    name = info.filename.replace("\\", "/")
    return Member(name, info.file_size, not name.endswith("/"), info.external_attr >> 28 == 0xA, info)


def _open_tar(path: Path, split: str | None) -> Source:
    try:
        with tarfile.open(path) as archive:
            members = (Member(i.name, i.size, i.isfile(), i.issym() or i.islnk(), i) for i in archive)
            files, folders = check_members(path, members)
            file = cast(IO[bytes], archive.fileobj)
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("truncated, or damaged in the middle")  # tarfile would stop silently
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged, or not a tar archive ({_reason(error)}); get it again") from error
    labels, class_folders = find_images(path, files, folders, split)

    def entries() -> Iterator[Entry]:
        # A compressed tar can only be read from front to back, so its images come in that order.
        try:
            with tarfile.open(path) as archive:
                for info in archive:
                    name = normalize_name(info.name)
                    if name in labels and info.isfile():
                        data = cast(IO[bytes], archive.extractfile(info)).read()
                        yield Entry(printable(name), labels[name], partial(decode, data))
        except DAMAGED as error:
            raise MidasError(f"{path}: the archive is damaged ({_reason(error)}); get it again") from error

    return Source(str(path), class_folders, _digest(path, *labels, *class_folders), entries, len(labels))


# ---- arrays: npz, IDX


def _array_source(
    path: Path, images: np.ndarray | ImageFile, labels: np.ndarray | None, names: np.ndarray | None, digest: str
) -> Source:
    if images.dtype.kind not in "buif" or not (images.ndim == 3 or (images.ndim == 4 and 1 <= images.shape[3] <= 4)):
        raise MidasError(
            f"{path}: {images.dtype} {images.shape} is not an array of images; expected numbers (n, height, width)"
        )
    given = None if labels is None else _label_names(path, labels, len(images))
    if names is not None and names.shape != images.shape[:1]:
        raise MidasError(f"{path}: {names.shape} names for {len(images)} images; expected one for each")
    is_binary = images.dtype == np.uint8 and all(block.max(initial=0) <= 1 for block in blocks(images))

    def entries() -> Iterator[Entry]:
        parts = (block.astype(bool) if is_binary else block for block in blocks(images))
        for index, image in enumerate(itertools.chain.from_iterable(parts)):
            name = f"{path.name}[{index}]" if names is None else printable(str(names[index]))
            label = None if given is None else given[index]
            yield Entry(name, label, partial(to_grayscale, image))

    return Source(str(path), (), digest, entries, len(images))


def _label_names(path: Path, labels: np.ndarray, count: int) -> list[str]:
    """Convert an array of labels, numbers or text, to one string per image."""
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        what = f"{labels.dtype} {labels.shape} are not labels of {count} images"
        raise MidasError(f"{path}: {what}; expected a number or name for each")
    return [printable(str(label)) for label in labels.tolist()]


def _joined(path: Path, sources: list[Source]) -> Source:
    digest = hashlib.sha256("".join(source.digest for source in sources).encode()).hexdigest()

    def entries() -> Iterator[Entry]:
        return itertools.chain.from_iterable(source.entries() for source in sources)

    return Source(str(path), (), digest, entries, sum(source.count for source in sources))


def _open_npz(path: Path, split: str | None) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, map(_zip_member, archive.infolist()), MAX_TOTAL)
        with np.load(path, allow_pickle=False) as arrays:
            parts = [(f"x_{part}", f"y_{part}") for part in SPLITS if split in (None, part)]
            chosen = [pair for pair in parts if pair[0] in arrays]
            chosen = chosen or [pair for pair in (("images", "labels"), ("x", "y")) if pair[0] in arrays][:1]
            if not chosen:
                expected = f"images and labels, x and y, or x_{split or 'train'} and y_{split or 'train'}"
                raise MidasError(f"{path}: contains {some(arrays.files) or 'nothing'}; expected {expected}")
            return _joined(path, [_npz_part(path, arrays, images, labels) for images, labels in chosen])
    except (MidasError, OSError):
        raise
    except Exception as error:  # whatever NumPy and zipfile raise for a damaged or hostile file
        raise MidasError(f"{path}: not a readable .npz of plain arrays ({_reason(error)}); save it again") from error


def _npz_part(path: Path, arrays: Any, images: str, labels: str) -> Source:
    given = arrays.get(labels)
    if given is not None and "class_names" in arrays:
        if given.min(initial=0) < 0:
            raise ValueError("a label below 0")
        given = arrays["class_names"][given]
    return _array_source(path, arrays[images], given, arrays.get("names"), _digest(path, images))


def _open_idx_folder(folder: Path, files: list[Path], split: str | None) -> Source:
    by_name = {file.name.removesuffix(".gz"): file for file in sorted(files)}
    chosen = [file for name, file in by_name.items() if not split or any(word in name for word in SPLITS[split])]
    if split and len(chosen) != 1:
        raise MidasError(
            f"{folder}: {'several IDX files' if chosen else 'no IDX file'} of {split} images; "
            f"expected {SPLITS[split][-1]}-images-idx3-ubyte, or give one file"
        )
    return _joined(folder, [_open_idx(file) for file in chosen])


def _open_idx(path: Path) -> Source:
    if not IDX_IMAGES.search(path.name):
        raise MidasError(f"{path}: not an IDX file of images; give the one named …-images-idx3-ubyte")
    stem = IDX_IMAGES.sub(r"labels\1idx1-ubyte", path.name)
    label_file = next((path.with_name(n) for n in (stem, f"{stem}.gz") if path.with_name(n).exists()), None)
    if label_file is None:
        raise MidasError(f"{path}: its labels are missing; expected {stem} or {stem}.gz beside it")
    return _array_source(
        path, read_idx(path), np.asarray(read_idx(label_file)), None, _digest(path) + _digest(label_file)
    )


def read_idx(path: Path) -> np.ndarray | ImageFile:
    """Read an IDX file of bytes, compressed with gzip or not (the format is described on LeCun's page of MNIST).

    Returns:
        uint8 array of 1 to 4 dimensions; what is large, and not compressed, stays in the file.

    Raises:
        MidasError: it is not an IDX file of bytes, truncated, or larger than `MAX_IDX` after decompression.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\0\0\x08" or not 1 <= start[3] <= 4:
                raise MidasError(f"{path}: not an IDX file of bytes; get it again")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            size = math.prod(shape)
            if size > MAX_IDX:
                raise MidasError(f"{path}: exceeds the limit when unpacked ({MAX_IDX >> 20:,} MiB); split it")
            if file is raw and is_large(shape) and path.stat().st_size == file.tell() + size:
                return ImageFile(path, shape, file.tell())
            data = file.read(size + 1)
    except (EOFError, zlib.error, struct.error, OSError) as error:
        raise MidasError(f"{path}: cannot be read: {_reason(error)}; get it again") from error
    if len(data) != size:
        length = "more" if len(data) > size else f"{len(data):,} bytes"
        raise MidasError(f"{path}: contains {length} but its header says {'x'.join(map(str, shape))}; get it again")
    if not size:
        raise MidasError(f"{path}: is empty; get it again")
    return np.frombuffer(data, np.uint8).reshape(shape)
