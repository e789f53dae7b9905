"""Trees of file names, from a directory or an archive: which are safe to read, which are images, and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from midas.errors import MidasError, printable

Info = TypeVar("Info")

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "t10k")}
MAX_MEMBER = 2**28  # bytes of one image file after decompression
MAX_TOTAL = 2**33  # bytes of a whole archive after decompression
MAX_DEPTH = 256  # nested folders


@dataclass(frozen=True)
class Member(Generic[Info]):
    """What an archive says about one of its members.

    Attributes:
        name: path in the archive.
        size: in bytes, after decompression.
        is_file: whether it is a file, not a folder or a device.
        is_link: whether it is a symbolic or hard link.
        info: the archive's own description of it.
    """

    name: str
    size: int
    is_file: bool
    is_link: bool
    info: Info


def check_members(
    path: Path, members: Iterable[Member[Info]], max_size: int = MAX_MEMBER
) -> tuple[dict[str, Info], list[str]]:
    """List the members of an archive, provided that it is safe to read.

    Args:
        path: of the archive, to name it in errors.
        members: all of its members.
        max_size: limit of each, in bytes after decompression.

    Returns:
        The files by their normalized names, and the normalized names of everything else.

    Raises:
        MidasError: a member leads out of the archive, is a link, occurs twice or is too large.
    """
    files: dict[str, Info] = {}
    others, total = [], 0
    for member in members:
        name = member.name
        slashed = name.replace("\\", "/")
        check_depth(path, slashed)
        if member.is_link or ".." in slashed.split("/") or re.match("/|[A-Za-z]:/", slashed):
            what = "is a link" if member.is_link else "leads out of the archive"
            raise MidasError(f"{path}: not safe to read: {name!r} {what}; pack plain files under relative names")
        total += member.size
        if member.size > max_size or total > MAX_TOTAL:
            limits = f"{max_size >> 20:,} MiB per file, {MAX_TOTAL >> 20:,} MiB in total"
            raise MidasError(
                f"{path}: {name!r} exceeds the limit when unpacked ({limits}); remove it, or unpack it all"
            )
        if not member.is_file:
            others.append(normalize_name(name))
        elif normalize_name(name) in files:
            raise MidasError(f"{path}: contains {name!r} twice; pack the archive again")
        else:
            files[normalize_name(name)] = member.info
    return files, others


def check_depth(path: Path, name: str) -> None:
    """Refuse a name with more than `MAX_DEPTH` nested folders, as only damaged or hostile data have them.

    Raises:
        MidasError: it has more.
    """
    if name.count("/") > MAX_DEPTH:
        raise MidasError(f"{path}: {name[:40]!r}… is nested in more than {MAX_DEPTH} folders; give an inner folder")


def normalize_name(name: str) -> str:
    """Remove empty and "." components from a name.

    >>> normalize_name("./0//a.png")
    '0/a.png'
    """
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def find_images(
    path: Path, files: Iterable[str], folders: Iterable[str], split: str | None
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Find the images of a tree and its class folders, whatever folders enclose these.

    Args:
        path: of the tree, to name it in errors.
        files: names of the files in it, with slashes.
        folders: names of the folders in it, as far as they are listed separately.
        split: "train" or "test", to choose one of several places with class folders; None for all.

    Returns:
        The label of each image by its name, sorted; None for an image beside the class folders instead of in one. And
        the labels of all class folders, empty ones included.

    Raises:
        MidasError: there are no images, or not exactly one place that belongs to the split.

    >>> find_images(Path("data.zip"), ["train/A/0.png", "train/b/1.png", "2.png"], [], None)
    ({'2.png': None, 'train/A/0.png': 'A', 'train/b/1.png': 'b'}, ('A', 'b'))
    """
    files = [name for name in files if not HIDDEN.search(name)]
    parents = {name: _parent(name) for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES)}
    if not parents:
        raise MidasError(f"{path}: contains no images ({', '.join(IMAGE_SUFFIXES)})")
    # A folder that encloses another folder with images is not a class folder.
    outer = {"", *(folder for parent in set(parents.values()) for folder in _ancestors(_parent(parent)))}
    roots = {_parent(parent) for parent in parents.values() if parent not in outer}
    if len(roots) > 1 and split:
        chosen = {root for root in roots if set(root.lower().split("/")) & set(SPLITS[split])}
        if len(chosen) != 1:
            found = some(printable(root) or "." for root in roots)
            raise MidasError(f"{path}: class folders in several places ({found}); give just one of them, unpacked")
        roots = chosen
        parents = {name: parent for name, parent in parents.items() if _parent(parent) in roots}
    labels = {name: None if parent in outer else printable(_last(parent)) for name, parent in parents.items()}
    listed = {name for name in folders if not HIDDEN.search(name)} | {_parent(name) for name in files}
    class_folders = {folder for name in listed for folder in _ancestors(name) if _parent(folder) in roots}
    return labels, tuple(sorted({printable(_last(folder)) for folder in class_folders}))


def some(names: Iterable[str]) -> str:
    """Join the first three names for a message.

    >>> some("dcba")
    'a, b, c, …'
    """
    names = sorted(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _ancestors(name: str) -> Iterator[str]:
    """Yield a name and the folders that enclose it, from the inside."""
    while name:
        yield name
        name = _parent(name)
