"""IDX files, the format of MNIST, EMNIST, KMNIST and QMNIST: pairs of images and labels anywhere in a tree.

EMNIST stores its images transposed, and numbers instead of characters as labels; both are put right.
"""

from __future__ import annotations

import dataclasses
import math
import re
import struct
from pathlib import Path

import numpy as np

from midas.data.archives import DAMAGED, File, Tree, reason
from midas.data.arrays import array_source
from midas.data.entries import Source, join
from midas.data.labels import parse_class_names
from midas.data.memmap import ImageFile, PackedArray, is_large
from midas.data.sample import CHARACTERS
from midas.data.trees import MissingPartError, choose_part, part_of
from midas.errors import MidasError, some

MAX_IDX = 2**31  # bytes of an IDX file after decompression
TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}  # by the third byte
_PACKED = r"(?:\.(?:gz|bz2|xz))?$"
NAME = re.compile(r"[-._]idx[1-4]", re.IGNORECASE)
IMAGES = re.compile(rf"(?P<stem>.*)images(?P<middle>.*[-._])idx[34](?P<type>[-._]?\w*){_PACKED}", re.IGNORECASE)
LABELS = re.compile(rf"(?P<stem>.*)labels(?P<middle>.*[-._])idx[12](?P<type>[-._]?\w*){_PACKED}", re.IGNORECASE)
EXAMPLES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
EMNIST = re.compile(r"emnist-(balanced|byclass|bymerge|digits|letters|mnist)-", re.IGNORECASE)
MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"  # classes of balanced and bymerge


def open_in(tree: Tree, split: str | None) -> Source | None:
    """Open the IDX files of a tree; None if there are none.

    Raises:
        MidasError: there are several of a part, or none of the split; or as `open_file`.
    """
    found = _distinct(tree, [name for name in tree.names if IMAGES.fullmatch(name.rpartition("/")[2])])
    if not found:
        return None
    try:
        chosen, notes = choose_part(tree.path, found, split)
    except MissingPartError as error:
        raise MissingPartError(
            f"{tree.path}: no IDX file of {split} images; expected {EXAMPLES[str(split)]}, or give one file"
        ) from error
    parts = [part_of(name) for name in chosen]
    if (split and len(chosen) > 1) or len(set(parts)) < len(parts):
        of_split = f" of {split} images" if split else ""
        first = re.sub(r"[-_](train|test|t10k)?[-_]?images.*", "", chosen[0])
        raise MidasError(
            f"{tree.path}: several IDX files{of_split} ({some(chosen)}); give some of them, as {tree.path}/{first}"
        )
    return join(tree.path, [open_file(tree, name) for name in chosen], notes)


def _distinct(tree: Tree, names: list[str]) -> list[str]:
    """Leave out further copies of a file, as some archives have them compressed and plain, or in two folders."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(_key(name, IMAGES), []).append(name)
    chosen = []
    for copies in by_stem.values():
        heads = (
            {tree.files[name].head(2**16): name for name in reversed(copies)} if len(copies) > 1 else {b"": copies[0]}
        )
        chosen += sorted(heads.values())
    return chosen


def _key(name: str, pattern: re.Pattern) -> str:
    match = pattern.fullmatch(name.rpartition("/")[2])
    return re.sub("[-._]", "-", f"{match['stem']}*{match['middle']}".lower()) if match else ""


def open_file(tree: Tree, name: str) -> Source:
    """Open an IDX file of images with its labels, which lie beside it or elsewhere in the tree.

    Raises:
        MidasError: it is not a file of images, its labels are missing, or one of the files cannot be read.
    """
    if not IMAGES.fullmatch(name.rpartition("/")[2]):
        raise MidasError(f"{tree.path}: not an IDX file of images; give the one named …-images-idx3-ubyte")
    wanted, folder = _key(name, IMAGES), name.rpartition("/")[0]
    candidates = [each for each in tree.names if _key(each, LABELS) == wanted]
    label_file = next((each for each in candidates if each.rpartition("/")[0] == folder), next(iter(candidates), None))
    where = tree.locate(name)
    if label_file is None:
        stem = re.sub("idx[34]", "idx1", re.sub("images", "labels", re.sub(_PACKED, "", name)))
        raise MidasError(f"{where}: its labels are missing; expected {stem} or {stem}.gz beside it")
    labels = np.asarray(read_idx(tree.files[label_file], where.with_name(label_file.rpartition("/")[2])))
    if labels.ndim == 2 and labels.shape[1] == 8 and labels.dtype.kind == "i":
        labels = labels[:, 0]  # QMNIST: the other columns tell who wrote it
    images = read_idx(tree.files[name], where)
    source = array_source(where, images, labels, None, tree.digest([name, label_file]))
    return emnist(source, tree, name)


def read_idx(file: File, path: Path) -> np.ndarray | ImageFile | PackedArray:
    """Read an IDX file, compressed or not (the format is described on LeCun's page of MNIST).

    Args:
        file: what to read.
        path: to name it in messages.

    Returns:
        Array of 1 to 4 dimensions; a large one stays in the file.

    Raises:
        MidasError: it is not an IDX file, truncated, or larger than `MAX_IDX` after decompression.
    """
    try:
        with file.open() as opened:
            start = opened.read(4)
            if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or not 1 <= start[3] <= 4:
                raise MidasError(f"{path}: not an IDX file; get it again")
            shape, dtype = struct.unpack(f">{start[3]}I", opened.read(4 * start[3])), np.dtype(TYPES[start[2]])
            size = math.prod(shape) * dtype.itemsize
            if size > MAX_IDX:
                raise MidasError(f"{path}: exceeds the limit when unpacked ({MAX_IDX >> 20:,} MiB); split it")
            if file.path and dtype == np.uint8 and is_large(shape) and file.path.stat().st_size == opened.tell() + size:
                return ImageFile(file.path, shape, opened.tell())
            packed = PackedArray(path, file.open, opened.tell(), shape, dtype)
    except DAMAGED as error:
        raise MidasError(f"{path}: cannot be read: {reason(error)}; get it again") from error
    if not size:
        raise MidasError(f"{path}: is empty; get it again")
    return packed if is_large(shape, dtype) else np.asarray(packed)


# ---- EMNIST


def emnist(source: Source, tree: Tree, name: str) -> Source:
    """Turn the images of a file upright, and name its classes, if its name is one of EMNIST's.

    Raises:
        MidasError: the mapping of the labels beside it cannot be read.
    """
    if not (match := EMNIST.search(name.rpartition("/")[2])):
        return source
    kind = match[1].lower()
    mapping, origin = _mapping(tree, kind)
    note = f"{source.path}: EMNIST, so labels are named by {origin}"
    if kind == "letters":
        note += "; upper and lower case are one class, named by the capital"
    if kind in ("balanced", "bymerge"):
        note += "; letters whose cases look alike are one class, named by the capital"
    return dataclasses.replace(source, class_names=mapping, is_transposed=True, notes=(*source.notes, note))


def _mapping(tree: Tree, kind: str) -> tuple[dict[str, str], str]:
    file = next((each for each in tree.names if each.lower().endswith(f"emnist-{kind}-mapping.txt")), None)
    if file is None:
        characters = {"byclass": CHARACTERS, "letters": CHARACTERS[10:36], "balanced": MERGED, "bymerge": MERGED}
        first = 1 if kind == "letters" else 0
        return {str(n): each for n, each in enumerate(characters.get(kind, "0123456789"), first)}, "its known mapping"
    try:
        return parse_class_names(tree.files[file].read().decode()), file.rpartition("/")[2]
    except ValueError as error:  # UnreadableImage is one, too
        raise MidasError(
            f"{tree.path}: {file} is not a mapping of labels to characters ({error}); get it again"
        ) from error
