"""What lies in a data set, whatever it is wrapped in: one stream of entries from zip, tar, folder, npz or IDX.

Nothing is ever unpacked to disk. Archives that try to reach outside themselves or that unpack beyond `MAX_TOTAL` are
refused before anything is read from them.
"""

import gzip
import hashlib
import itertools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from midas.errors import MidasError
from midas.preprocessing import UnreadableImage, decode, to_grey

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_MEMBER = 2**28  # bytes one image file may unpack to
MAX_TOTAL = 2**33  # bytes a whole archive may unpack to
SPLITS = {"train": ("train", "training"), "test": ("test", "testing", "t10k")}


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
    """

    path: str
    folders: tuple[str, ...]
    digest: str
    entries: Callable[[], Iterator[Entry]]
    count: int


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
            return _open_idx_folder(path, split) if list(path.glob("*-idx3-ubyte*")) else _open_folder(path, split)
        if not path.exists():
            raise MidasError(f"{path}: no such file or folder")
        if path.suffix.lower() == ".zip":
            return _open_zip(path, split)
        if path.name.lower().endswith(TAR_SUFFIXES):
            return _open_tar(path, split)
        if path.suffix.lower() == ".npz":
            return _open_npz(path, split)
        if "-idx" in path.name:
            return _open_idx(path)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return Source(str(path), (), _digest(path), lambda: iter([_file_entry(path, path.name, None)]), 1)
    except OSError as error:
        raise MidasError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise MidasError(
        f"{path}: not a data set; give a zip, a tar, a folder of class folders, an .npz, IDX or image file"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)


def _sha256(file) -> str:
    digest = hashlib.sha256()  # hashlib.file_digest came with Python 3.11
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


# ---- trees of files: folder, zip, tar


def _open_folder(root: Path, split) -> Source:
    names = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file() or path.is_dir()}
    images, folders = _tree({name for name in names if names[name].is_file()}, names, root, split)
    state = "".join(f"{n}\0{(stat := names[n].stat()).st_size}\0{stat.st_mtime_ns}\n" for n in images)

    def entries():
        return (_file_entry(names[name], name, folder) for name, folder in images.items())

    return Source(str(root), folders, hashlib.sha256(state.encode()).hexdigest(), entries, len(images))


def _file_entry(path: Path, name: str, folder: str | None) -> Entry:
    def read():
        try:
            if path.stat().st_size > MAX_MEMBER:
                raise UnreadableImage(f"larger than {MAX_MEMBER >> 20} MiB")
            return decode(path.read_bytes())
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error

    return Entry(name, folder, read)


def _open_zip(path: Path, split) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise MidasError(f"{path}: not a zip archive, or a damaged one ({error})") from error
    members = {info.filename.rstrip("/"): info for info in archive.infolist()}
    _refuse_unsafe(path, ((i.filename, i.file_size, i.external_attr >> 28 == 0xA) for i in members.values()))
    images, folders = _tree({name for name, info in members.items() if not info.is_dir()}, members, path, split)

    def entries():
        for name, folder in images.items():

            def read(info=members[name]):
                try:
                    return decode(archive.read(info))
                except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
                    raise UnreadableImage(f"damaged in the archive ({error})") from error

            yield Entry(name, folder, read)

    return Source(str(path), folders, _digest(path), entries, len(images))


def _open_tar(path: Path, split) -> Source:
    damaged = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)
    try:
        with tarfile.open(path) as archive:
            members = {info.name.removeprefix("./"): info for info in archive}
    except damaged as error:
        raise MidasError(f"{path}: not a tar archive, or a damaged one ({error})") from error
    _refuse_unsafe(path, ((i.name, i.size, i.issym() or i.islnk()) for i in members.values()))
    images, folders = _tree({name for name, info in members.items() if info.isfile()}, members, path, split)

    def entries():
        # A compressed tar can only be read from front to back, so the bytes are taken in that order.
        try:
            with tarfile.open(path) as archive:
                for info in archive:
                    name = info.name.removeprefix("./")
                    if name in images:
                        data = archive.extractfile(info).read()
                        yield Entry(name, images[name], lambda data=data: decode(data))
        except damaged as error:
            raise MidasError(f"{path}: the archive is damaged ({error})") from error

    return Source(str(path), folders, _digest(path), entries, len(images))


def _refuse_unsafe(path: Path, members, most: int = MAX_MEMBER) -> None:
    total = 0
    for name, size, link in members:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if link or ".." in parts or name.startswith(("/", "\\")) or (parts and parts[0].endswith(":")):
            raise MidasError(
                f"{path}: not safe to read: {name!r} {'is a link' if link else 'leads out of the archive'}"
            )
        total += size
        if size > most or total > MAX_TOTAL:
            limits = f"{most >> 20:,} MiB a file, {MAX_TOTAL >> 20:,} MiB in all"
            raise MidasError(f"{path}: {name!r} unpacks beyond the limit ({limits})")


def _tree(files, everything, path, split) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Find the images of a tree and the class folders, passing over whatever wraps them.

    Returns:
        The folder of each image by its name, None for an image beside the class folders rather than in one; and the
        class folders, empty ones too.
    """

    def hidden(name):
        return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)

    places = {PurePosixPath(name): PurePosixPath(name).parent for name in files if not hidden(name)}
    places = {name: parent for name, parent in places.items() if name.suffix.lower() in IMAGE_SUFFIXES}
    outer = {ancestor for parent in set(places.values()) for ancestor in parent.parents} | {PurePosixPath(".")}
    wrappers = {parent.parent for parent in places.values() if parent not in outer}
    if len(wrappers) > 1 and split:
        chosen = {wrapper for wrapper in wrappers if {part.lower() for part in wrapper.parts} & set(SPLITS[split])}
        if len(chosen) != 1:
            raise MidasError(f"{path}: class folders in several places ({_some(map(str, wrappers))}); name one of them")
        wrappers = chosen
        places = {name: parent for name, parent in places.items() if parent.parent in wrappers}
    if not places:
        raise MidasError(f"{path}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    images = {str(name): None if parent in outer else parent.name for name, parent in sorted(places.items())}
    visible = [PurePosixPath(name) for name in everything if not hidden(name)]
    nodes = {node for name in visible for node in (name, *name.parents)}
    folders = {node.name for node in nodes if node.name and node.parent in wrappers and str(node) not in files}
    return images, tuple(sorted(folders))


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


# ---- arrays: npz, IDX


def _array_source(path, images: np.ndarray, labels, names, digest) -> Source:
    if images.ndim not in (3, 4) or (labels is not None and len(labels) != len(images)):
        raise MidasError(f"{path}: {images.shape} is not an array of images with a label each")
    names = itertools.repeat(None) if names is None else names

    def entries():
        for index, (image, name) in enumerate(zip(images, names, strict=False)):
            folder = None if labels is None else str(labels[index])
            yield Entry(str(name or f"{Path(path).name}[{index}]"), folder, lambda image=image: to_grey(image))

    return Source(str(path), (), digest, entries, len(images))


def _open_npz(path: Path, split) -> Source:
    suffix = "" if split is None else f"_{split}"
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe(path, ((i.filename, i.file_size, False) for i in archive.infolist()), MAX_TOTAL)
        with np.load(path, allow_pickle=False) as arrays:
            for images, labels in ((f"x{suffix}", f"y{suffix}"), ("images", "labels"), ("x", "y")):
                if images in arrays:
                    labels = arrays.get(labels)
                    if labels is not None and "class_names" in arrays:
                        labels = arrays["class_names"][labels]
                    names = arrays.get("names")
                    return _array_source(path, arrays[images], labels, names, _digest(path))
            raise MidasError(f"{path}: holds {_some(arrays.files)}; expected images and labels (or x and y)")
    except (zipfile.BadZipFile, ValueError, IndexError, KeyError, EOFError) as error:
        raise MidasError(f"{path}: not a readable .npz of plain arrays ({error})") from error


def _open_idx_folder(folder: Path, split) -> Source:
    for image_file in sorted(folder.glob("*-images-idx3-ubyte*")):
        if split is None or image_file.name.startswith(SPLITS[split]):
            return _open_idx(image_file)
    raise MidasError(
        f"{folder}: no IDX file of {split or 'any'} images ({SPLITS[split or 'train'][0]}-images-idx3-ubyte)"
    )


def _open_idx(path: Path) -> Source:
    images = read_idx(path)
    stem = path.name.replace("-images-idx3", "-labels-idx1").removesuffix(".gz")
    label_file = next((path.with_name(n) for n in (stem, f"{stem}.gz") if path.with_name(n).exists()), None)
    if label_file is None or stem == path.name.removesuffix(".gz"):
        raise MidasError(f"{path}: its labels are missing, expected {stem} or {stem}.gz beside it")
    return _array_source(path, images, read_idx(label_file), None, _digest(path) + _digest(label_file))


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes, gzipped or not (the format is described at the foot of LeCun's MNIST page).

    Raises:
        MidasError: it is not one, or it is cut short.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(2**31)
    except (OSError, EOFError, zlib.error) as error:
        raise MidasError(f"{path}: cannot be read: {error}; download it again") from error
    if len(data) < 4 or data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise MidasError(f"{path}: not an IDX file of bytes")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if values.size != np.prod(shape, dtype=object):
        raise MidasError(f"{path}: holds {values.size:,} bytes where its header says {'x'.join(map(str, shape))}")
    return values.reshape(shape)
