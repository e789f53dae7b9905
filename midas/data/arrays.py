"""NumPy files: npz, and pairs of npy files, with the names that Keras, MedMNIST, KMNIST and scikit-learn give them."""

from __future__ import annotations

import io
import itertools
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np

from midas.data.archives import File, Tree, reason, zip_member
from midas.data.entries import Entry, Source, join
from midas.data.images import Page
from midas.data.labels import clean, convention, is_character
from midas.data.levels import UnreadableImage, find_range, to_grayscale
from midas.data.memmap import ImageFile, PackedArray, blocks, is_large
from midas.data.trees import MAX_TOTAL, MissingPartError, check_members, choose_part, part_of
from midas.errors import MidasError, counted, printable, some

IMAGE_WORDS = ("images", "image", "imgs", "img", "x", "data", "pixels", "features", "inputs", "digits", "samples")
LABEL_WORDS = ("labels", "label", "targets", "target", "y", "classes", "class", "outputs")
NAME_WORDS = ("class_names", "target_names", "label_names")
HOW_TO_LABEL = "save them together, as x and y or images and labels in an .npz, or as images.npy and labels.npy"
MIN_SIDE = 8  # of an image whose pixels lie in one row
SUFFIX = re.compile(r"\.np[yz]$", re.IGNORECASE)
Array = np.ndarray | ImageFile | PackedArray
Load = Callable[[], np.ndarray | PackedArray]


@dataclass(frozen=True)
class Pair:
    """Arrays that belong together, by their names.

    Attributes:
        images: name of the images.
        labels: name of their labels; None if there are none.
    """

    images: str
    labels: str | None


# ---- arrays to sources


def array_source(path: Path, images: Array, labels: np.ndarray | None, names: np.ndarray | None, digest: str) -> Source:
    """Make a source of an array.

    Args:
        path: where it is, to name it in messages.
        images: numbers (n, height, width), also with 1 to 4 channels at the end or as second axis, with the images
            along the last axis, or flat (n, pixels) if square.
        labels: numbers or text (n,) or (n, 1), or one-hot (n, classes); None if there are none.
        names: str array (n,), names of the images; None numbers them.
        digest: of the content.

    Raises:
        MidasError: the arrays are none of these.
    """
    images = _arranged(images, None if labels is None else max(labels.shape, default=0))
    if images.dtype.kind not in "buif" or not (images.ndim == 3 or (images.ndim == 4 and 1 <= images.shape[3] <= 4)):
        raise MidasError(
            f"{path}: {images.dtype} {images.shape} is not an array of images; expected numbers (n, height, width)"
        )
    given = None if labels is None else label_texts(path, labels, len(images))
    if names is not None and names.shape != images.shape[:1]:
        raise MidasError(f"{path}: {names.shape} names for {counted(len(images), 'image')}; expected one for each")

    def name_of(index: int) -> str:
        return f"{path.name}[{index}]" if names is None else printable(str(names[index]))

    span, odd = find_range(blocks(images))

    def entries() -> Iterator[Entry]:
        for index, image in enumerate(itertools.chain.from_iterable(blocks(images))):
            label = None if given is None else given[index] or None
            missing = "no label" if given is not None and not label else ""
            yield Entry(name_of(index), label, partial(to_grayscale, image, span), no_label=missing)

    what = f"{path}: {counted(len(odd), 'image')} with pixels that are not finite or far beyond all others, and do not"
    notes = (f"{what} count for black and white: {some(map(name_of, odd[:4]))}",) if odd else ()
    return Source(str(path), (), digest, entries, len(images), notes=notes)


def _arranged(images: Array, count: int | None) -> Array:
    """Bring the axes of images into the order (n, height, width) or (n, height, width, channels)."""
    if isinstance(images, ImageFile):
        return images
    if count is None and isinstance(images, np.ndarray) and _is_single(images.shape):
        images = images[None]
    if images.ndim in (2, 3, 4) and count and len(images) != count == images.shape[-1]:
        images = np.moveaxis(np.asarray(images), -1, 0)  # MATLAB's order
    return replace(images, arrange=_in_order) if isinstance(images, PackedArray) else _in_order(images)


def _is_single(shape: tuple[int, ...]) -> bool:
    """Whether an array without labels is one image, gray or in color; flat images are longer than they are many."""
    if len(shape) == 2:
        return min(shape) >= MIN_SIDE and (shape[0] == shape[1] or math.isqrt(shape[1]) ** 2 != shape[1])
    return len(shape) == 3 and min(shape[:2]) >= MIN_SIDE and shape[2] <= 4


def _in_order(images: np.ndarray) -> np.ndarray:
    """Bring the axes of each image into that order."""
    if images.ndim == 4 and 1 <= images.shape[1] <= 4 < images.shape[3]:
        images = np.moveaxis(images, 1, 3)
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    return images.reshape(-1, side, side) if side >= MIN_SIDE and side**2 == images.shape[1] else images


def label_texts(path: Path, labels: np.ndarray, count: int) -> list[str]:
    """Convert an array of labels, as `array_source` takes them, to one string per image; empty where there is none."""
    if labels.shape in ((count, 1), (1, count)):
        labels = labels.reshape(count)
    if labels.ndim == 2 and labels.dtype.kind in "buif" and _is_one_hot(labels):
        labels = labels.argmax(axis=1)
    if labels.dtype.kind == "f" and np.isnan(labels).any() and not np.isnan(labels).all():
        whole = label_texts(path, np.nan_to_num(labels), count)  # pandas' way to say that some have none
        return ["" if is_missing else text for text, is_missing in zip(whole, np.isnan(labels).ravel(), strict=True)]
    if labels.dtype.kind == "b" or (
        labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == labels.round()).all()
    ):
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        what = f"{labels.dtype} {labels.shape} are not labels of {counted(count, 'image')}"
        raise MidasError(f"{path}: {what}; expected a number or name for each")
    values = labels.tolist()
    texts = {value: clean(str(value)) for value in set(values)}  # each once in memory
    return [texts[value] for value in values]


def _is_one_hot(labels: np.ndarray) -> bool:
    return labels.shape[1] > 1 and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


# ---- names to pairs


def find_pairs(names: list[str]) -> list[Pair]:
    """Find arrays of images and their labels by their names.

    >>> find_pairs(["X_train", "y_train", "X_test"])
    [Pair(images='X_train', labels='y_train'), Pair(images='X_test', labels=None)]
    >>> find_pairs(["data", "target", "images", "DESCR"])  # scikit-learn has the images twice
    [Pair(images='images', labels='target')]
    >>> find_pairs(["kmnist-train-imgs", "kmnist-train-labels"])
    [Pair(images='kmnist-train-imgs', labels='kmnist-train-labels')]
    """
    found: dict[tuple[bool, str], tuple[int, str]] = {}
    for name in names:
        if role := _role(name):
            is_label, rank, stem = role
            found[is_label, stem] = min(found.get((is_label, stem), (rank, name)), (rank, name))
    labels = {stem: name for (is_label, stem), (_, name) in found.items() if is_label}
    return [Pair(name, labels.get(stem)) for (is_label, stem), (_, name) in found.items() if not is_label]


def _role(name: str) -> tuple[bool, int, str] | None:
    """Find the last word of a name, or else of its folder, that says what it is.

    Returns:
        Whether it stands for labels, its rank among such words, and the name without it; None if there is none.
    """
    folders, _, last = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower().rpartition("/")
    parts = [[part for part in re.split(r"[-_. /]+", text) if part] for text in (folders, last)]
    if last.endswith(("names", "name")):
        return None
    for place in (1, 0):
        for index in reversed(range(len(parts[place]))):
            word = parts[place][index]
            for words in (LABEL_WORDS, IMAGE_WORDS):
                if word in words:
                    del parts[place][index]
                    return words is LABEL_WORDS, words.index(word), "-".join(parts[0] + parts[1])
    return None


def open_arrays(path: Path, arrays: Mapping[str, Load], split: str | None, digest: str) -> Source | None:
    """Open those of some arrays that are images and their labels; None if there are no images.

    Args:
        path: where they are, to name it in messages.
        arrays: functions that load an array, by its name.
        split: "train" or "test"; None for all.
        digest: of the content.

    Raises:
        MidasError: they are not images, labels do not fit, or there are only other parts.
    """
    pairs = {pair.images: pair for pair in find_pairs(list(arrays))}
    if not pairs and len(arrays) in (1, 2):
        pairs = _unnamed(arrays)
    if not pairs:
        return _open_classes(path, arrays, digest)
    labeled = {name: pair for name, pair in pairs.items() if pair.labels}
    chosen, notes = choose_part(path, labeled or pairs, split)
    if labeled and len(labeled) < len(pairs):
        notes += (f"{path}: without labels, so left out: {some(set(pairs) - set(labeled))}",)
    sources = [_open_pair(path, arrays, pairs[name], f"{digest} {name}") for name in chosen]
    return join(path, sources, notes)


def _unnamed(arrays: Mapping[str, Load]) -> dict[str, Pair]:
    """Tell images from labels by their shape where their names do not: arr_0 and arr_1."""
    shapes = {name: load().shape for name, load in arrays.items()}
    if {len(shape) for shape in shapes.values()} == {2}:  # flat images, and perhaps one-hot labels, which are narrower
        shapes = {name: shape if shape[1] >= MIN_SIDE**2 else shape[:1] for name, shape in shapes.items()}
    most = max(map(len, shapes.values()))
    images = [name for name, shape in shapes.items() if 1 < len(shape) == most]
    labels = next((name for name, shape in shapes.items() if len(shape) < most), None)
    return {images[0]: Pair(images[0], labels)} if len(images) == 1 else {}


def _open_classes(path: Path, arrays: Mapping[str, Load], digest: str) -> Source | None:
    """Open arrays of images that are all alike in shape as a class each, by their names; None if they are not."""
    if len(arrays) < 2 or any(part_of(name) or re.fullmatch(r"arr_\d+", name) for name in arrays):
        return None
    shapes = {np.shape(load())[1:] for load in arrays.values()}
    if len(shapes) > 1 or math.prod(shape := shapes.pop()) < MIN_SIDE**2:
        return None
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 != shape[0]:
        return None
    words = {name: re.split(r"(?<=[\W_])", name.rpartition("/")[2]) for name in arrays}  # full_numpy_bitmap_cat
    shared = next((i for i, each in enumerate(zip(*words.values(), strict=False)) if len(set(each)) > 1), 0)
    titles = {name: "".join(parts[shared:]) for name, parts in words.items()}
    sources = []
    for name, title in titles.items():
        images = arrays[name]()
        sources.append(array_source(path / name, images, np.full(len(images), title), None, f"{digest} {name}"))
    return join(path, sources, (f"{path}: each array is taken for a class: {some(titles.values())}",))


def _open_pair(path: Path, arrays: Mapping[str, Load], pair: Pair, digest: str) -> Source:
    labels = np.asarray(arrays[pair.labels]()) if pair.labels else None
    titles, classes, entries = (_beside(pair.images, arrays, words) for words in (NAME_WORDS, ("classes",), ("names",)))
    if labels is not None and (titles or classes):
        named = _named(labels, np.asarray(arrays[titles or classes or ""]()), is_certain=bool(titles))
        if named is None and titles:
            raise MidasError(f"{path}: not every label is the number of a name in {titles}, counted from 0; add names")
        labels = labels if named is None else named
    names = np.asarray(arrays[entries]()) if entries else None
    where = path / pair.images if path.is_dir() else path
    source = array_source(where, arrays[pair.images](), labels, names, digest)
    others = [name for name in arrays if name != pair.images]
    beside = f" (besides the images there is {some(others)})" if others else ""
    return source if pair.labels else replace(source, how_to_label=HOW_TO_LABEL + beside)


def _beside(images: str, arrays: Iterable[str], words: tuple[str, ...]) -> str | None:
    """Find the array in the folder of the images that has one of these names."""
    folder = images[: images.rfind("/") + 1]
    return next((folder + word for word in words if folder + word in arrays), None)


def _named(labels: np.ndarray, titles: np.ndarray, is_certain: bool) -> np.ndarray | None:
    """Replace the indices of class names by these; None if one is no index, or if perhaps they are no class names."""
    if not is_certain and (titles.ndim != 1 or titles.dtype.kind not in "US" or len(np.unique(titles)) < len(titles)):
        return None
    indices = labels.argmax(axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.ravel()
    if indices.dtype.kind not in "iuf" or not np.isin(indices, np.arange(len(titles))).all():
        return None
    return titles.astype(str)[indices.astype(np.int64)]


# ---- files


def open_npz(path: Path, split: str | None, file: File | None = None, digest: str = "") -> Source:
    """Open an .npz file.

    Args:
        path: to name it in messages.
        split: "train" or "test"; None for all.
        file: the file, if it is not on disk.
        digest: of its content.

    Raises:
        MidasError: it is damaged or unsafe, or has no arrays of images.
    """
    expected = f"expected images and labels, x and y, or x_{split or 'train'} and y_{split or 'train'}"
    file = file or File.on_disk(path)
    try:
        with file.open() as opened, np.load(opened, allow_pickle=False) as arrays:
            infos = arrays.zip.infolist()
            check_members(path, (zip_member(info, info.filename) for info in infos), MAX_TOTAL)
            loaders = {name: partial(_load_member, path, file, arrays, name) for name in arrays.files}
            if source := open_arrays(path, loaders, split, digest):
                return source
            raise MidasError(f"{path}: contains {some(arrays.files) or 'nothing'}; {expected}")
    except MissingPartError as error:
        raise MissingPartError(f"{str(error).split(';')[0]}; {expected}") from error
    except (MidasError, OSError):
        raise
    except Exception as error:  # whatever NumPy and zipfile raise for a damaged or hostile file
        raise MidasError(f"{path}: not a readable .npz of plain arrays ({_reason(error)}); save it again") from error


def open_in(tree: Tree, split: str | None) -> Source | None:
    """Open the NumPy files of a tree; None if there are none.

    An .npz file of several arrays is opened as `open_npz` does; of the others, and of .npy files, each holds images or
    labels. Where all lie in folders named by characters, they hold images of these classes.

    Raises:
        MidasError: they cannot be read, or have no arrays of images.
    """
    files = [name for name in tree.names if SUFFIX.search(name)]
    if not files:
        return None
    if any(_holds_several(tree, name) for name in files):
        chosen, notes = choose_part(tree.path, files, split)
        if len({part_of(name) for name in chosen}) < len(chosen):
            way_out = f"give one of them, as {tree.path}/{chosen[0]}"
            raise MidasError(f"{tree.path}: contains several data sets ({some(chosen)}); {way_out}")
        return join(tree.path, [open_file(tree, name, split) for name in chosen], notes)
    folders = {Path(name).parent.name for name in files}
    if len(folders) > 1 and all(map(is_character, folders)) and {each.lower() for each in folders} != {"x", "y"}:
        return _open_folders(tree, files, split)
    digest = tree.digest(files)
    loaders = {SUFFIX.sub("", name): partial(_load, tree, name) for name in files}
    if source := open_arrays(tree.path, loaders, split, digest):
        return source
    raise MidasError(f"{tree.path}: contains {some(files)}; expected X.npy and y.npy, or images.npy and labels.npy")


def _open_folders(tree: Tree, files: list[str], split: str | None) -> Source:
    """Open files that hold an image or several, with the folders they lie in as classes."""
    chosen, notes = choose_part(tree.path, files, split)
    classes = {name: clean(Path(name).parent.name) for name in chosen}
    class_folders = tuple(sorted(set(classes.values())))

    def entries() -> Iterator[Entry]:
        for name, label in classes.items():
            yield Entry(printable(name), label, partial(_pages, tree, name))

    return Source(
        str(tree.path),
        class_folders,
        tree.digest(chosen),
        entries,
        len(chosen),
        notes=notes,
        class_names=convention(class_folders)[1],
    )


def _pages(tree: Tree, name: str) -> Iterator[Page]:
    """Yield the images of a file, or why it cannot be read."""
    try:
        source = array_source(tree.locate(name), _load(tree, name), None, None, "")
    except MidasError as error:
        raise UnreadableImage(str(error).removeprefix(f"{tree.locate(name)}: ")) from error
    return (page for entry in source.entries() for _, page in entry.pages())


def open_file(tree: Tree, name: str, split: str | None = None) -> Source:
    """Open an .npz file as `open_npz` does, or an .npy file or .npz file of a single array with the labels beside it.

    Raises:
        MidasError: it cannot be read, or is not an array of images.
    """
    if _holds_several(tree, name):
        return open_npz(tree.locate(name), split, tree.files[name], tree.digest([name]))
    stems = {SUFFIX.sub("", each): each for each in tree.names if SUFFIX.search(each)}
    files = {"images": name}
    for pair in find_pairs(list(stems)):
        labels = stems[pair.labels] if pair.labels else None
        if labels == name:
            raise MidasError(f"{tree.path}: these are labels; give the file of the images")
        if stems[pair.images] == name and labels:
            files["labels"] = labels
    for word in (*NAME_WORDS, "classes", "names"):
        beside = stems.get(_beside(name, stems, (word,)) or "")
        if beside and beside not in files.values() and not _holds_several(tree, beside):
            files[word] = beside
    loaders = {role: partial(_load, tree, file) for role, file in files.items()}
    source = open_arrays(tree.path, loaders, None, tree.digest(list(files.values())))
    if source is None:
        raise MidasError(f"{tree.path}: not an array of images")
    return source


def _holds_several(tree: Tree, name: str) -> bool:
    """Whether a file is an .npz file of several arrays."""
    try:
        with tree.files[name].open() as opened, zipfile.ZipFile(opened) as archive:
            return len(archive.namelist()) > 1
    except zipfile.BadZipFile:  # .npy, or damaged
        return False


def _load_member(path: Path, file: File, arrays: np.lib.npyio.NpzFile, name: str) -> np.ndarray | PackedArray:
    """Load an array of an .npz file; a large one stays in the file."""
    member = next(each for each in cast(zipfile.ZipFile, arrays.zip).namelist() if each.removesuffix(".npy") == name)

    @contextmanager
    def start() -> Iterator[IO[bytes]]:
        with file.open() as opened, zipfile.ZipFile(opened) as archive, archive.open(member) as unpacked:
            yield unpacked

    return _packed(path, start) or arrays[name]


def _packed(path: Path, start: Callable[[], AbstractContextManager[IO[bytes]]]) -> PackedArray | None:
    """Leave an array in its compressed file if it is large and its images lie there one after another."""
    with start() as file:
        is_old = np.lib.format.read_magic(file) == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if is_old else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        if is_fortran or dtype.hasobject or not is_large(shape, dtype):
            return None
        if math.prod(shape) * dtype.itemsize > MAX_TOTAL:
            raise MidasError(f"{path}: exceeds the limit when unpacked ({MAX_TOTAL >> 20:,} MiB); split it")
        return PackedArray(path, start, file.tell(), shape, dtype)


def _load(tree: Tree, name: str) -> np.ndarray | PackedArray:
    path, file = tree.locate(name), tree.files[name]
    try:
        if file.path and name.lower().endswith(".npy"):
            return np.load(file.path, mmap_mode="r", allow_pickle=False)
        if file.head(2) != b"PK" and (packed := _packed(path, file.open)):
            return packed
        with file.open() as opened:
            loaded = np.load(io.BytesIO(opened.read(MAX_TOTAL)), allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            if len(loaded.files) != 1:
                raise MidasError(f"{path}: holds {some(loaded.files) or 'nothing'}; expected one array")
            return _load_member(path, file, loaded, loaded.files[0])
    except MidasError:
        raise
    except Exception as error:  # whatever NumPy and zipfile raise for a damaged or hostile file
        raise MidasError(f"{path}: not a readable array of numbers ({_reason(error)}); save it again") from error


def _reason(error: Exception) -> str:
    is_object = any(word in str(error) for word in ("pickle", "Python objects"))
    return "holds Python objects, which may contain code" if is_object else reason(error)
