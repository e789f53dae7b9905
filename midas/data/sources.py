"""What lies in a data set, whatever it is wrapped in: one stream of entries from zip, tar, folder, npz or IDX.

Nothing is ever unpacked to disk. Archives that try to reach outside themselves or that unpack beyond `MAX_TOTAL` are
refused before anything is read from them.
"""

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from midas.data.memmap import Stored, blocks, is_large
from midas.data.preprocessing import UnreadableImage, decode, to_grey
from midas.errors import MidasError, cannot, printable

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_MEMBER = 2**28  # bytes one image file may unpack to
MAX_TOTAL = 2**33  # bytes a whole archive may unpack to
MAX_IDX = 2**31  # bytes an IDX file may unpack to
DEEPEST = 256  # folders in each other
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "t10k")}
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")
IDX_IMAGES = re.compile(r"images([-.])idx3-ubyte(\.gz)?$")
# What the standard library makes of damaged files. RuntimeError: an unknown compression, a password.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, RuntimeError, OSError),
)


@dataclass(frozen=True)
class Entry:
    """One image of a data set, not read yet.

    Attributes:
        name: its path inside the data set.
        folder: the name of the folder it is filed in, or of its class; None where it is in none.
        read: decodes it to a uint8 array (height, width); raises `UnreadableImage`.
    """

    name: str
    folder: str | None
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Source:
    """A data set as it lies on disk.

    Attributes:
        path: where.
        folders: the class folders in it, empty ones too; () where the images carry labels or none.
        digest: of the content, so that a change is noticed.
        entries: starts a new pass over the images.
        count: how many entries a pass gives.
        is_sample: whether it is the embedded sample, whose numbers are not the task's.
    """

    path: str
    folders: tuple[str, ...]
    digest: str
    entries: Callable[[], Iterator[Entry]]
    count: int
    is_sample: bool = False


def open_source(path: str | Path, split: str | None = None) -> Source:
    """Find out what a path holds.

    Args:
        path: a zip or tar archive, a folder of images in class folders, a single image, an npz, an IDX file of images
            (its labels beside it), or a folder of IDX files.
        split: "train" or "test", where the data set has both; None takes everything.

    Raises:
        MidasError: there is nothing there, it is none of these, or it is not safe to read.
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


def _digest(path: Path, *chosen: str) -> str:
    """Fingerprint a file, and what was chosen from it."""
    digest = hashlib.sha256("\0".join(chosen).encode(errors="backslashreplace"))
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return printable(text if len(text) <= 100 else f"{text[:99]}…")


# ---- trees of files: folder, zip, tar


def _open_folder(root: Path, split) -> Source:
    files, nodes = [], []

    def refuse(error):
        raise error

    for place, folders, names in os.walk(root, onerror=refuse):
        inside = Path(place).relative_to(root).as_posix()
        _refuse_deep(root, inside)
        nodes += [_clean(f"{inside}/{name}") for name in folders]
        files += [_clean(f"{inside}/{name}") for name in names if Path(place, name).is_file()]
    images, folders = _tree(root, files, nodes, split)
    stats = {name: (root / name).stat() for name in images}
    state = [f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}" for name, stat in stats.items()]
    digest = hashlib.sha256("\n".join([*state, *folders]).encode(errors="backslashreplace")).hexdigest()

    def entries():
        return (_file_entry(root / name, name, folder) for name, folder in images.items())

    return Source(str(root), folders, digest, entries, len(images))


def _file_entry(path: Path, name: str, folder: str | None) -> Entry:
    def read():
        try:
            if path.stat().st_size > MAX_MEMBER:
                raise UnreadableImage(f"larger than {MAX_MEMBER >> 20} MiB")
            return decode(path.read_bytes())
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error

    return Entry(printable(name), folder, read)


def _open_zip(path: Path, split) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: not a zip archive, or a damaged one ({_reason(error)}); get it again") from error
    infos = archive.infolist()
    if locked := next((info.filename for info in infos if info.flag_bits & 1), None):
        raise MidasError(f"{path}: {locked!r} is encrypted; pack the archive again without a password")
    files, nodes = _members(path, map(_zip_member, infos))
    images, folders = _tree(path, files, nodes, split)

    def entries():
        for name, folder in images.items():

            def read(info=files[name]):
                try:
                    data = archive.read(info)
                except DAMAGED as error:
                    raise UnreadableImage(f"damaged in the archive ({_reason(error)})") from error
                return decode(data)

            yield Entry(printable(name), folder, read)

    return Source(str(path), folders, _digest(path, *images, *folders), entries, len(images))


def _zip_member(info: zipfile.ZipInfo) -> "_Member":
    name = info.filename.replace("\\", "/")
    return _Member(name, info.file_size, not name.endswith("/"), info.external_attr >> 28 == 0xA, info)


def _open_tar(path: Path, split) -> Source:
    try:
        with tarfile.open(path) as archive:
            members = (_Member(i.name, i.size, i.isfile(), i.issym() or i.islnk(), i) for i in archive)
            files, nodes = _members(path, members)
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("cut short, or damaged in the middle")  # tarfile would stop without a word
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: not a tar archive, or a damaged one ({_reason(error)}); get it again") from error
    images, folders = _tree(path, files, nodes, split)

    def entries():
        # A compressed tar can only be read from front to back, so the bytes are taken in that order.
        try:
            with tarfile.open(path) as archive:
                for info in archive:
                    name = _clean(info.name)
                    if name in images and info.isfile():
                        data = archive.extractfile(info).read()
                        yield Entry(printable(name), images[name], lambda data=data: decode(data))
        except DAMAGED as error:
            raise MidasError(f"{path}: the archive is damaged ({_reason(error)}); get it again") from error

    return Source(str(path), folders, _digest(path, *images, *folders), entries, len(images))


class _Member(NamedTuple):
    """What an archive says of one of its members; `info` is the member itself."""

    name: str
    size: int
    is_file: bool
    is_link: bool
    info: object


def _members(path: Path, members: Iterable[_Member], most: int = MAX_MEMBER) -> tuple[dict, list[str]]:
    """Go through the members of an archive, as far as it is safe.

    Returns:
        The files by their clean names, and the clean names of everything else.

    Raises:
        MidasError: one leads out of the archive, is a link, is there twice or unpacks to more than `most` bytes.
    """
    files, nodes, total = {}, [], 0
    for name, size, is_file, is_link, info in members:
        slashed = name.replace("\\", "/")
        _refuse_deep(path, slashed)
        if is_link or ".." in slashed.split("/") or re.match("/|[A-Za-z]:/", slashed):
            what = "is a link" if is_link else "leads out of the archive"
            raise MidasError(f"{path}: not safe to read: {name!r} {what}; pack plain files under relative names")
        total += size
        if size > most or total > MAX_TOTAL:
            limits = f"{most >> 20:,} MiB a file, {MAX_TOTAL >> 20:,} MiB in all"
            raise MidasError(f"{path}: {name!r} unpacks beyond the limit ({limits}); leave it out, or unpack it all")
        if not is_file:
            nodes.append(_clean(name))
        elif _clean(name) in files:
            raise MidasError(f"{path}: holds {name!r} twice; pack the archive again")
        else:
            files[_clean(name)] = info
    return files, nodes


def _refuse_deep(path: Path, name: str) -> None:
    if name.count("/") > DEEPEST:
        raise MidasError(f"{path}: {name[:40]!r}… lies in more than {DEEPEST} folders; give one further in, or fewer")


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _above(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _upwards(name: str) -> Iterator[str]:
    while name:
        yield name
        name = _above(name)


def _tree(path, files: Iterable[str], nodes: Iterable[str], split) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Find the images of a tree and the class folders, passing over whatever wraps them.

    Args:
        path: of the tree, to name it in errors.
        files: the names of the files in it, with slashes.
        nodes: the names of the folders in it, as far as they are listed by themselves.
        split: which of several places to take.

    Returns:
        The folder of each image by its name, None for an image beside the class folders rather than in one; and the
        class folders, empty ones too.
    """
    files = [name for name in files if not HIDDEN.search(name)]
    places = {name: _above(name) for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES)}
    if not places:
        raise MidasError(f"{path}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
    outer = {"", *(folder for parent in set(places.values()) for folder in _upwards(_above(parent)))}
    wrappers = {_above(parent) for parent in places.values() if parent not in outer}
    if len(wrappers) > 1 and split:
        chosen = {wrapper for wrapper in wrappers if set(wrapper.lower().split("/")) & set(SPLITS[split])}
        if len(chosen) != 1:
            found = _some(printable(wrapper) or "." for wrapper in wrappers)
            raise MidasError(f"{path}: class folders in several places ({found}); give just one of them, unpacked")
        wrappers = chosen
        places = {name: parent for name, parent in places.items() if _above(parent) in wrappers}
    images = {name: None if parent in outer else printable(_last(parent)) for name, parent in places.items()}
    listed = {name for name in nodes if not HIDDEN.search(name)} | {_above(name) for name in files}
    inner = {node for name in listed for node in _upwards(name) if _above(node) in wrappers}
    return images, tuple(sorted({printable(_last(node)) for node in inner}))


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# ---- arrays: npz, IDX


def _array_source(path: Path, images: np.ndarray | Stored, labels, names, digest: str) -> Source:
    if images.dtype.kind not in "buif" or not (images.ndim == 3 or (images.ndim == 4 and 1 <= images.shape[3] <= 4)):
        raise MidasError(
            f"{path}: {images.dtype} {images.shape} is not an array of images; expected numbers (n, height, width)"
        )
    if labels is not None:
        labels = _class_labels(path, labels, len(images))
    if names is not None and names.shape != images.shape[:1]:
        raise MidasError(f"{path}: {names.shape} names for {len(images)} images; expected one for each")
    is_binary = images.dtype == np.uint8 and all(block.max(initial=0) <= 1 for block in blocks(images))

    def entries():
        parts = (block.astype(bool) if is_binary else block for block in blocks(images))
        for index, image in enumerate(itertools.chain.from_iterable(parts)):
            name = f"{path.name}[{index}]" if names is None else printable(str(names[index]))
            yield Entry(name, None if labels is None else labels[index], lambda image=image: to_grey(image))

    return Source(str(path), (), digest, entries, len(images))


def _class_labels(path: Path, labels: np.ndarray, count: int) -> list[str]:
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        what = f"{labels.dtype} {labels.shape} are no labels for {count} images"
        raise MidasError(f"{path}: {what}; expected a number or name for each")
    return [printable(str(label)) for label in labels.tolist()]


def _joined(path: Path, sources: list[Source]) -> Source:
    digest = hashlib.sha256("".join(source.digest for source in sources).encode()).hexdigest()

    def entries():
        return itertools.chain.from_iterable(source.entries() for source in sources)

    return Source(str(path), (), digest, entries, sum(source.count for source in sources))


def _open_npz(path: Path, split) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            _members(path, map(_zip_member, archive.infolist()), MAX_TOTAL)
        with np.load(path, allow_pickle=False) as arrays:
            parts = [(f"x_{part}", f"y_{part}") for part in SPLITS if split in (None, part)]
            chosen = [pair for pair in parts if pair[0] in arrays]
            chosen = chosen or [pair for pair in (("images", "labels"), ("x", "y")) if pair[0] in arrays][:1]
            if not chosen:
                expected = f"images and labels, x and y, or x_{split or 'train'} and y_{split or 'train'}"
                raise MidasError(f"{path}: holds {_some(arrays.files) or 'nothing'}; expected {expected}")
            return _joined(path, [_npz_part(path, arrays, images, labels) for images, labels in chosen])
    except (MidasError, OSError):
        raise
    except Exception as error:  # whatever NumPy and zipfile make of a damaged or hostile file
        raise MidasError(f"{path}: not a readable .npz of plain arrays ({_reason(error)}); save it again") from error


def _npz_part(path: Path, arrays, images: str, labels: str) -> Source:
    labels = arrays.get(labels)
    if labels is not None and "class_names" in arrays:
        if labels.min(initial=0) < 0:
            raise ValueError("a label below 0")
        labels = arrays["class_names"][labels]
    return _array_source(path, arrays[images], labels, arrays.get("names"), _digest(path, images))


def _open_idx_folder(folder: Path, files: list[Path], split) -> Source:
    files = {file.name.removesuffix(".gz"): file for file in sorted(files)}
    chosen = [file for name, file in files.items() if not split or any(word in name for word in SPLITS[split])]
    if not chosen or (split and len(chosen) > 1):
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
        raise MidasError(f"{path}: its labels are missing, expected {stem} or {stem}.gz beside it")
    return _array_source(
        path, read_idx(path), np.asarray(read_idx(label_file)), None, _digest(path) + _digest(label_file)
    )


def read_idx(path: Path) -> np.ndarray | Stored:
    """Read an IDX file of bytes, gzipped or not (the format is described at the foot of LeCun's MNIST page).

    What is too large to be held in memory, and not gzipped, stays in the file.

    Raises:
        MidasError: it is not one, it is cut short, or it unpacks beyond `MAX_IDX`.
    """
    try:
        with path.open("rb") as raw, gzip.open(raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\0\0\x08" or not 1 <= start[3] <= 4:
                raise MidasError(f"{path}: not an IDX file of bytes; get it again")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            size = math.prod(shape)
            if size > MAX_IDX:
                raise MidasError(f"{path}: unpacks beyond the limit ({MAX_IDX >> 20:,} MiB)")
            if file is raw and is_large(shape) and path.stat().st_size == file.tell() + size:
                return Stored(path, shape, file.tell())
            data = file.read(size + 1)
    except (EOFError, zlib.error, struct.error, OSError) as error:
        raise MidasError(f"{path}: cannot be read: {_reason(error)}; get it again") from error
    if len(data) != size:
        much = "more" if len(data) > size else f"{len(data):,} bytes"
        raise MidasError(f"{path}: holds {much} where its header says {'x'.join(map(str, shape))}; get it again")
    if not size:
        raise MidasError(f"{path}: is empty; get it again")
    return np.frombuffer(data, np.uint8).reshape(shape)
