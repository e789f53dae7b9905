"""Data sets: labeled glyphs from any source, cached by content, and the data sets that experiments name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from midas.data import archives, sample
from midas.data.entries import Source
from midas.data.glyphs import Glyphs
from midas.data.labels import clean, may_hold_label, name_classes, read_class_names
from midas.data.memmap import ImageFile, blocks, file_for, is_large, temporary_file
from midas.data.reading import Progress, stream
from midas.data.sources import open_source
from midas.data.trees import MissingPartError, part_of
from midas.errors import MidasError, printable, some
from midas.files import atomic, parse, to_json
from midas.records import DatasetSummary, Predictions, Skipped

SAMPLE = "sample"
NO_LABEL = "no label"
NOT_IN_CLASS = f"{NO_LABEL}, and not in a class folder"
DIGITS = tuple("0123456789")
# The data sets that experiments name: the file names they may have in the data folder, and the split to use.
LOCATIONS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "part1": (("trainPart1",), "train"),
    "mnist": (("mnist",), "train"),
    "mnist-test": (("mnist",), "test"),
    "part3": (("mnistTask3", "mnistTask"), None),
}


@dataclass(frozen=True, eq=False)
class Dataset:
    """Glyphs with labels.

    Attributes:
        glyphs: n glyphs of one size; large sets stay in a file.
        labels: int64 array (n,), indices into `class_names`.
        class_names: one per class.
        names: str array (n,), where each image came from.
        skipped: images that could not be used.
        pages: str array (n,), size of each image before preprocessing, "WIDTHxHEIGHT"; empty if unknown.
        is_sample: whether it is the embedded sample.
    """

    glyphs: Glyphs
    labels: np.ndarray
    class_names: tuple[str, ...]
    names: np.ndarray
    skipped: tuple[Skipped, ...] = ()
    pages: np.ndarray = field(default_factory=lambda: np.zeros(0, str))
    is_sample: bool = False

    @property
    def images(self) -> np.ndarray | ImageFile:
        """The images of the glyphs, uint8 (n, size, size), light ink on black."""
        return self.glyphs.images

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Dataset:
        """Select the images at these indices, in this order."""
        pages = self.pages[indices] if self.pages.size else self.pages
        glyphs, labels, names = self.glyphs.take(indices), self.labels[indices], self.names[indices]
        return replace(self, glyphs=glyphs, labels=labels, names=names, pages=pages)

    def only(self, class_names: str | tuple[str, ...]) -> Dataset:
        """Select the images of these classes, with labels that index them in this order.

        Args:
            class_names: a tuple of names, or a string if each name is a single character.

        Raises:
            MidasError: one of the classes is not in the data.
        """
        missing = set(class_names) - set(self.class_names)
        if missing:
            raise MidasError(f"the data has no class {', '.join(sorted(missing))}; its classes: {self.class_names}")
        positions = {self.class_names.index(name): position for position, name in enumerate(class_names)}
        kept = self.take(np.flatnonzero(np.isin(self.labels, list(positions))))
        labels = np.array([positions[label] for label in kept.labels], np.int64)
        return replace(kept, labels=labels, class_names=tuple(class_names))

    def with_classes(self, class_names: tuple[str, ...], data: str, others: str) -> Dataset:
        """Let labels count these classes, of which some may not occur.

        Args:
            class_names: of another data set.
            data: the name of this data set, for messages.
            others: the name of the other one.

        Raises:
            MidasError: there is an image of another class.
        """
        if unknown := sorted(set(self.class_names) - set(class_names)):
            classes, them = ("class", "it") if len(unknown) == 1 else ("classes", "them")
            raise MidasError(
                f"{data}: has the {classes} {some(map(repr, unknown))}, which {others} has no images of; "
                f"remove {them}, or add images of {them}"
            )
        positions = np.array([class_names.index(name) for name in self.class_names], np.int64)
        return replace(self, labels=positions[self.labels], class_names=class_names)

    @cached_property
    def digest(self) -> str:
        """Digest of glyphs, labels and class names: 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for block in blocks(self.images):
            digest.update(np.ascontiguousarray(block).data)
        digest.update(np.ascontiguousarray(self.glyphs.places).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()[:16]

    def summary(self) -> DatasetSummary:
        """Count what is in it."""
        per_class = np.bincount(self.labels, minlength=len(self.class_names))
        return DatasetSummary(
            images=len(self),
            classes=len(self.class_names),
            images_per_class=dict(zip(self.class_names, per_class.tolist(), strict=True)),
            smallest_class=int(per_class.min()),
            largest_class=int(per_class.max()),
            page_sizes=dict(Counter(self.pages.tolist()).most_common()),
            skipped=self.skipped,
            mean_ink=sum(int(block.sum()) for block in blocks(self.images)) / math.prod(self.images.shape) / 255,
            digest=self.digest,
            is_sample=self.is_sample,
        )

    def predictions(
        self, probabilities: np.ndarray, embedded: np.ndarray | None = None, features: np.ndarray | None = None
    ) -> Predictions:
        """Join predictions with what was predicted, as predictions.npz keeps it.

        Args:
            probabilities: float32 array (n, k).
            embedded: int64 array (m,), indices of the images whose features are kept.
            features: float16 array (m, d) of these.
        """
        images = cast(np.ndarray, self.images)  # or an `ImageFile`, which is indexed in the same way
        return Predictions(probabilities, self.labels, self.names, images, embedded, features)


# ---- opening data sets by name


def open_any(
    data: str | os.PathLike,
    split: str | None,
    class_names: str | os.PathLike | None = None,
    transpose: bool | None = None,
) -> Source:
    """Open the data set at a path, or the drawings of the embedded sample.

    Args:
        data: a path that `sources.open_source` takes, or "sample" (a folder of that name is "./sample"), for which
            `class_names` and `transpose` change nothing.
        split: "train" or "test", for data sets that have such a part; None takes everything.
        class_names: a file that `labels.read_class_names` reads; None for the names that the data set has.
        transpose: whether to swap rows and columns of each image; None for what the form says.

    Raises:
        MidasError: the data set cannot be opened, or the class names cannot be read.
    """
    names = None if class_names is None else read_class_names(Path(class_names))
    if data == SAMPLE:
        source = sample.source("part1")
        unused = (
            "sample: its classes have names and its images lie upright; --class-names and --transpose change nothing"
        )
        return source if (names, transpose) == (None, None) else replace(source, notes=(*source.notes, unused))
    try:
        return open_source(data, split, names, transpose)
    except MissingPartError:
        source = open_source(data, None, names, transpose)
        part = "training" if split == "train" else split
        return replace(source, notes=(*source.notes, f"{data}: has no {part} part; all that it has is taken"))


def open_test_part(
    data: str | os.PathLike,
    training: Source,
    class_names: str | os.PathLike | None = None,
    transpose: bool | None = None,
) -> Source | None:
    """Open the test part of a data set, or else its validation part; None if it has neither.

    Args:
        data: as in `open_any`.
        training: its training part, or all that it has.
        class_names: as in `open_any`.
        transpose: as in `open_any`.

    Raises:
        MidasError: as `open_any`.
    """
    if data == SAMPLE:
        return None
    names = None if class_names is None else read_class_names(Path(class_names))
    try:
        source = open_source(data, "test", names, transpose)
    except MissingPartError:
        return None
    return source if source.digest != training.digest else None  # the same where everything is taken


def open_named(name: str, data_dir: str | os.PathLike) -> Source:
    """Open one of the data sets that experiments name.

    Args:
        name: a key of `LOCATIONS`.
        data_dir: the folder of the data sets, or "sample" for the embedded sample.

    Raises:
        MidasError: there is none of this name, it is missing, or cannot be opened.
    """
    if name not in LOCATIONS:
        raise MidasError(f"no data set {name[:80]!r}; those with names are {', '.join(LOCATIONS)}")
    if data_dir == SAMPLE:
        return sample.source(name)
    stems, split = LOCATIONS[name]
    path = find_path(name, data_dir)
    if path is None:
        raise MidasError(
            f"{Path(data_dir) / stems[0]}: no such data set (.zip, .tar, .npz or folder); "
            "download it with 'midas download', or use the embedded sample with --data-dir sample"
        )
    return open_source(path, split)


def find_path(name: str, data_dir: str | os.PathLike) -> Path | None:
    """Find one of the named data sets in the data folder, in any form; None if it is missing."""
    stems, _ = LOCATIONS[name]
    suffixes = ("", ".zip", ".npz", *archives.TAR_SUFFIXES)
    paths = (Path(data_dir) / f"{stem}{suffix}" for stem in stems for suffix in suffixes)
    return next((path for path in paths if path.exists()), None)


def open_all(data_dir: str | os.PathLike) -> dict[str, Source]:
    """Open those of the named data sets that exist.

    Raises:
        MidasError: none of them exists, or one cannot be opened.
    """
    existing = [name for name in LOCATIONS if data_dir == SAMPLE or find_path(name, data_dir)]
    return {name: open_named(name, data_dir) for name in existing or LOCATIONS}  # which says that the first is missing


def load(
    name: str,
    data_dir: str | os.PathLike,
    size: int = 28,
    cache_dir: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Load one of the data sets that experiments name.

    Args:
        name: a key of `LOCATIONS`, or "part1-digits" for the ten digits of Part 1.
        data_dir: as in `open_named`.
        size: as in `read`.
        cache_dir: as in `cached`.
        progress: as in `read`.

    Raises:
        MidasError: it is missing, or cannot be read.
    """
    if name == "part1-digits":
        return load("part1", data_dir, size, cache_dir, progress).only(DIGITS)
    return cached(open_named(name, data_dir), size, cache_dir, progress=progress)


def read_digits(data_dir: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read MNIST's training images without normalizing them.

    Returns:
        uint8 images (n, height, width) and int64 labels (n,).

    Raises:
        MidasError: the images cannot be read, differ in size, or do not have digits as labels.
    """
    source = open_named("mnist", data_dir)
    entries = list(source.entries())
    try:
        return np.stack([entry.read() for entry in entries]), np.array([int(str(entry.label)) for entry in entries])
    except ValueError as error:  # UnreadableImage is one, too
        raise MidasError(f"{source.path}: not digits of one size ({error}); download MNIST again") from error


# ---- reading


def cached(
    source: Source,
    size: int,
    cache_dir: str | os.PathLike | None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Read a source through a cache, in which a file is named after the content, the settings and the reading code.

    A damaged file in the cache is replaced. If the cache cannot be written, a warning is logged. Glyphs that are too
    many to be held in memory stay in a file of the cache, or in a temporary folder that is deleted at the end.

    Args:
        source: what to read.
        size: as in `read`.
        cache_dir: the folder; None reads without a cache.
        strict: as in `read`.
        progress: as in `read`.

    Raises:
        MidasError: as `read`, or glyphs that are too many to be held in memory cannot be written.
    """
    if cache_dir is None:
        return read(source, size, strict, progress)
    key = hashlib.sha256(json.dumps([source.digest, size, _code_digest()]).encode()).hexdigest()[:24]
    path = Path(cache_dir) / f"{key}.npz"
    try:
        dataset = replace(_load_saved(path, size), is_sample=source.is_sample)
    except Exception:  # missing, or whatever NumPy, zipfile and json raise for a damaged file
        large = file_for(path.with_suffix(".glyphs"), (source.count, size, size))
        dataset = read(source, size, strict, progress, large)
        try:
            if large.parent == path.parent:
                save(dataset, path)
        except MidasError as error:
            logging.getLogger(__name__).warning("%s; continuing without the cache", printable(str(error)))
    if strict:
        _refuse_skipped(source, dataset.skipped)
    return dataset


def _code_digest() -> str:
    """Digest of the code that determines glyphs and labels: all of `midas.data`, as far as it reads."""
    others = ("augmentation.py", "complementary_mnist.py", "corrections.py", "download.py", "export.py")
    modules = sorted(path for path in Path(__file__).parent.glob("*.py") if path.name not in others)
    return hashlib.sha256(b"".join(path.read_bytes() for path in modules)).hexdigest()


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set as an .npz that `open_source` reads, too, unless its images are in a file of their own.

    Raises:
        MidasError: the file cannot be written.
    """
    notes = to_json({"skipped": dataset.skipped}, indent=None)
    arrays: dict[str, Any] = {
        "labels": dataset.labels,
        "class_names": np.array(dataset.class_names),
        "names": dataset.names,
        "pages": dataset.pages,
        "places": dataset.glyphs.places,
        "notes": np.array(notes),
    }
    if isinstance(dataset.images, np.ndarray):
        arrays["images"] = dataset.images
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def _load_saved(path: Path, size: int) -> Dataset:
    with np.load(path, allow_pickle=False) as arrays:
        notes, labels = json.loads(str(arrays["notes"])), arrays["labels"]
        saved = arrays["images"] if "images" in arrays else _image_file(path, len(labels), size)
        return Dataset(
            glyphs=Glyphs(saved, arrays["places"]),
            labels=labels,
            class_names=tuple(arrays["class_names"].tolist()),
            names=arrays["names"],
            skipped=tuple(parse(Skipped, each) for each in notes["skipped"]),
            pages=arrays["pages"],
        )


def _image_file(path: Path, count: int, size: int) -> ImageFile:
    file = path.with_suffix(".glyphs")
    if file.stat().st_size != count * size**2:
        raise ValueError("truncated")
    return ImageFile(file, (count, size, size))


def read(
    source: Source, size: int = 28, strict: bool = False, progress: Progress | None = None, large: Path | None = None
) -> Dataset:
    """Read, decode and normalize every labeled image of a source, on all cores.

    Args:
        source: what to read.
        size: side of the normalized images in pixels.
        strict: refuse a source with an image that cannot be used.
        progress: called with (done, total) images now and then.
        large: file for the images if they are too many to be held in memory, in which they stay; None for a temporary
            file, which is deleted when the process ends.

    Raises:
        MidasError: there are no images with labels, a class folder has none, it is not clear which folders are the
            classes, or with `strict` an image is unusable.
    """
    if source.unclear:
        raise MidasError(source.unclear)
    kept, places = list[np.ndarray](), bytearray()
    labels, names, skipped, pages = [], [], [], []
    large = (large or temporary_file("glyphs")) if is_large((source.count, size, size)) else None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(stack.enter_context(atomic(large)).open("wb")) if large else None
        for item in stream(source, size, progress):
            if item.glyph is None:
                skipped.append(Skipped(item.entry.name, str(item.reason)))
            elif item.entry.label is None:
                reason = item.entry.no_label or (NO_LABEL if source.how_to_label else NOT_IN_CLASS)
                skipped.append(Skipped(item.entry.name, reason))
            else:
                pages.append(sys.intern(item.page))
                if file:
                    file.write(item.glyph.image.tobytes())
                else:
                    kept.append(item.glyph.image)
                places += item.glyph.place.tobytes()
                labels.append(item.entry.label)
                names.append(item.entry.name)
        if strict:
            _refuse_skipped(source, tuple(skipped))
        if not names:
            raise _without_labels(source, skipped)
        if empty := set(source.class_folders) - set(labels):
            raise _without_images(source, empty, names)
    class_names, indices = name_classes(labels, source.class_names)
    images = ImageFile(large, (len(names), size, size)) if large else np.stack(kept)
    return Dataset(
        Glyphs(images, np.frombuffer(places, np.float32).reshape(len(names), -1)),
        indices,
        class_names,
        np.array(names),
        tuple(skipped),
        np.array(pages),
        source.is_sample,
    )


def _without_images(source: Source, empty: set[str], names: list[str]) -> MidasError:
    """Say which class folder has no usable image, or has its images in a folder of its own."""
    for folder in sorted({name.rpartition("/")[0] for name in names}):
        outer = next((part for part in folder.split("/")[:-1] if clean(part) in empty), None)
        if outer:
            what = f"class folder {outer} has a folder with images in it, {folder}"
            return MidasError(f"{source.path}: {what}; move the images into {outer}, or the folder beside it")
    return MidasError(f"{source.path}: class folder without usable images: {some(empty)}; fill or remove it")


def _without_labels(source: Source, skipped: list[Skipped]) -> MidasError:
    """Say why there is no usable image with a label, and how to give labels."""
    if source.how_to_label and all(each.reason == NO_LABEL for each in skipped):
        return MidasError(f"{source.path}: the images have no labels; {source.how_to_label}")
    reason = f" ({skipped[0].name}: {skipped[0].reason})" if skipped else ""
    folders = {name.rpartition("/")[0] for name in (each.name for each in skipped)} - {""}
    if len(folders) == 1 and all(each.reason == NOT_IN_CLASS for each in skipped):
        reason += f"; {folders.pop()!r} is the only folder with images, so it is not taken as a class"
    elif inner := next((each for each in sorted(folders) if each.rpartition("/")[0] in folders), None):
        outer = inner.rpartition("/")[0]
        reason += f"; {outer!r} has the folder {inner!r} with images in it, so it is not taken as a class"
    elif folders and all(map(part_of, folders)):
        reason += f"; {some(folders)} are parts of a data set, not classes"
    way_out = "put images into class folders, or beside them a CSV file with their names and labels (image,label)"
    if named := next((each.name for each in skipped if may_hold_label(each.name)), None):
        way_out += f"; it can list the labels that file names such as {named.rpartition('/')[2]} seem to hold"
    return MidasError(f"{source.path}: no usable image with a label{reason}; {way_out}")


def _refuse_skipped(source: Source, skipped: tuple[Skipped, ...]) -> None:
    if skipped:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        what = f"{skipped[0].name}: {skipped[0].reason}{more}"
        raise MidasError(f"{source.path}: {what}; repair or remove it, or omit --strict")
