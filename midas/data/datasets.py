"""One reader for all data: any source becomes one `Dataset` of normalised glyphs, cached by its content."""

import contextlib
import hashlib
import itertools
import json
import logging
import math
import os
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from midas.data import preprocessing, sample
from midas.data import sources as archives
from midas.data.complementary_mnist import wrong_folders
from midas.data.memmap import Stored, blocks, is_large
from midas.data.sources import Entry, Source, open_source
from midas.errors import MidasError, printable
from midas.runs import atomic

SAMPLE = "sample"
SMALL = 2**14  # pixels; of images this small, two threads normalise fewer a second than one
AHEAD = 16  # chunks of small images that are read while a network answers for those before them
DIGITS = tuple("0123456789")
# The data sets the experiments name: the names they may have in the data folder, and the split where there are two.
LOCATIONS = {
    "part1": (("trainPart1",), "train"),
    "mnist": (("mnist",), "train"),
    "mnist-test": (("mnist",), "test"),
    "part3": (("mnistTask3", "mnistTask"), None),
}


@dataclass(frozen=True)
class Dataset:
    """Glyphs with labels.

    Attributes:
        images: uint8 array (n, size, size), light ink on black; left on disk where that is large.
        labels: int64 array (n,), indices into `class_names`.
        class_names: one name a class.
        names: str array (n,), where each image came from.
        places: float32 array (n, 5), size and place on the page, as `preprocessing.place` gives them.
        skipped: (name, reason) of each image that could not be used.
        page_sizes: how many images had which size before preprocessing, by "WIDTHxHEIGHT".
        is_sample: whether it is the embedded sample, whose numbers are not the task's.
    """

    images: np.ndarray | Stored
    labels: np.ndarray
    class_names: tuple[str, ...]
    names: np.ndarray
    places: np.ndarray
    skipped: tuple[tuple[str, str], ...] = ()
    page_sizes: tuple[tuple[str, int], ...] = ()
    is_sample: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Dataset":
        """Give the images at these indices, in this order."""
        images = self.images.take(indices) if isinstance(self.images, Stored) else self.images[indices]
        arrays = {name: getattr(self, name)[indices] for name in ("labels", "names", "places")}
        return replace(self, images=images, **arrays)

    def predictions(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        """Pair what a network answered with what was asked, as predictions.npz keeps it."""
        return {"probabilities": probabilities, "labels": self.labels, "names": self.names, "images": self.images}

    def only(self, class_names: tuple[str, ...]) -> "Dataset":
        """Give the images of these classes, with labels counted in this order.

        Raises:
            MidasError: one of the classes is not in the data.
        """
        missing = set(class_names) - set(self.class_names)
        if missing:
            raise MidasError(f"the data has no class {', '.join(sorted(missing))}; its classes: {self.class_names}")
        places = {self.class_names.index(name): place for place, name in enumerate(class_names)}
        kept = self.take(np.flatnonzero(np.isin(self.labels, list(places))))
        labels = np.array([places[label] for label in kept.labels], np.int64)
        return replace(kept, labels=labels, class_names=tuple(class_names))

    @cached_property
    def digest(self) -> str:
        """A fingerprint of images, labels and class names: 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for block in blocks(self.images):
            digest.update(np.ascontiguousarray(block))
        digest.update(np.ascontiguousarray(self.places))
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8"))
        return digest.hexdigest()[:16]

    def summary(self) -> dict:
        """Count what is in it, as plain values."""
        per_class = np.bincount(self.labels, minlength=len(self.class_names))
        return {
            "images": len(self),
            "classes": len(self.class_names),
            "images_per_class": dict(zip(self.class_names, per_class.tolist(), strict=True)),
            "smallest_class": int(per_class.min()),
            "largest_class": int(per_class.max()),
            "page_sizes": dict(self.page_sizes),
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "mean_ink": sum(int(block.sum()) for block in blocks(self.images)) / math.prod(self.images.shape) / 255,
            "digest": self.digest,
            "is_sample": self.is_sample,
        }


def find(name: str, data_dir: str | Path) -> Source:
    """Open one of the data sets the experiments name.

    Args:
        name: a key of `LOCATIONS`.
        data_dir: the folder they lie in, or "sample" for the embedded one.

    Raises:
        MidasError: it is not there, with what to do about it.
    """
    if str(data_dir) == SAMPLE:
        return _sample_source(name)
    return open_source(find_path(name, data_dir), LOCATIONS[name][1])


def find_path(name: str, data_dir: str | Path) -> Path:
    """Find where one of the named data sets lies, in whichever form."""
    stems, _ = LOCATIONS[name]
    for stem in stems:
        for suffix in ("", ".zip", ".npz", *archives.TAR_SUFFIXES):
            path = Path(data_dir) / f"{stem}{suffix}"
            if path.exists():
                return path
    raise MidasError(
        f"{Path(data_dir) / stems[0]}: no such data (.zip, .tar, .npz or folder); "
        "fetch it with 'midas download', or try everything with --data-dir sample"
    )


def find_all(data_dir: str | Path) -> dict[str, Source]:
    """Open those of the named data sets that are there.

    Raises:
        MidasError: not one of them is.
    """
    found, missing = {}, None
    for name in LOCATIONS:
        try:
            if str(data_dir) != SAMPLE:
                find_path(name, data_dir)
        except MidasError as error:
            missing = missing or error
        else:
            found[name] = find(name, data_dir)
    if not found:
        raise missing
    return found


def load(
    name: str,
    data_dir: str | Path,
    size: int = 28,
    cache_dir: str | Path | None = None,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Load one of the data sets the experiments name, from the cache where it is there.

    Args:
        name: a key of `LOCATIONS`, or "part1-digits" for the ten digits of Part 1.
        data_dir, size, strict, progress, cache_dir: see `find`, `read` and `cached`.
    """
    if name == "part1-digits":
        return load("part1", data_dir, size, cache_dir, strict, progress).only(DIGITS)
    return cached(find(name, data_dir), size, cache_dir, strict, progress)


def cached(source: Source, size, cache_dir, strict=False, progress=None) -> Dataset:
    """Read a source through a cache; a file's name is the digest of source, settings and the code that reads.

    A damaged file in the cache is replaced; where nothing can be written, a warning is logged and nothing is kept.
    Where the glyphs are too many to be held, they have a file of their own there, and stay in it.

    Raises:
        MidasError: as `read`, or glyphs that are too many to be held cannot be written.
    """
    if cache_dir is None:
        return read(source, size, strict, progress)
    key = hashlib.sha256(json.dumps([source.digest, size, _code_digest()]).encode()).hexdigest()[:24]
    path = Path(cache_dir) / f"{key}.npz"
    try:
        dataset = replace(_load_prepared(path, size), is_sample=source.is_sample)
    except Exception:  # not there, or whatever NumPy, zipfile and json make of a damaged file
        dataset = read(source, size, strict, progress, path.with_suffix(".glyphs"))
        try:
            save(dataset, path)
        except MidasError as error:
            logging.getLogger(__name__).warning("%s; going on without the cache", printable(str(error)))
    if strict:
        _refuse_skipped(source, dataset.skipped)
    return dataset


def _code_digest() -> str:
    files = (__file__, archives.__file__, preprocessing.__file__)
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set as an .npz that `archives.open_source` reads too, unless its images stay in their own file."""
    images = {} if isinstance(dataset.images, Stored) else {"images": dataset.images}
    notes = json.dumps({"skipped": dataset.skipped, "page_sizes": dataset.page_sizes})
    with atomic(path) as temporary:
        np.savez(
            temporary,
            **images,
            labels=dataset.labels,
            class_names=np.array(dataset.class_names),
            names=dataset.names,
            places=dataset.places,
            notes=np.array(notes),
        )


def _load_prepared(path: Path, size: int) -> Dataset:
    with np.load(path, allow_pickle=False) as arrays:
        notes, labels = json.loads(str(arrays["notes"])), arrays["labels"]
        return Dataset(
            images=arrays["images"] if "images" in arrays else _stored(path, len(labels), size),
            labels=labels,
            class_names=tuple(arrays["class_names"].tolist()),
            names=arrays["names"],
            places=arrays["places"],
            skipped=tuple((name, reason) for name, reason in notes["skipped"]),
            page_sizes=tuple((text, count) for text, count in notes["page_sizes"]),
        )


def _stored(path: Path, count: int, size: int) -> Stored:
    glyphs = path.with_suffix(".glyphs")
    if glyphs.stat().st_size != count * size**2:
        raise ValueError("cut short")
    return Stored(glyphs, (count, size, size))


def read(source: Source, size: int = 28, strict: bool = False, progress=None, large: Path | None = None) -> Dataset:
    """Read, decode and normalise every labelled image of a source, on all cores.

    Args:
        source: from `open_source` or `find`.
        size: side of the normalised images in pixels.
        strict: make an image that cannot be used an error.
        progress: called with (done, total) now and then.
        large: file for the images, which then stay in it, if they are too many to be held; None holds them anyhow.

    Raises:
        MidasError: images without a class, a class without images, or with `strict` an unusable image.
    """
    images, places, folders, names, skipped, pages = [], [], [], [], [], Counter()
    large = large if is_large((source.count, size, size)) else None
    with contextlib.ExitStack() as files:
        keep = files.enter_context(files.enter_context(atomic(large)).open("wb")).write if large else images.append
        for entry, glyph, place, page in stream(source, size, progress):
            if entry.folder is None:
                skipped.append((entry.name, "neither a label nor a class folder"))
            elif isinstance(glyph, str):
                skipped.append((entry.name, glyph))
            else:
                pages[page] += 1
                keep(glyph)
                places.append(place)
                folders.append(entry.folder)
                names.append(entry.name)
        if strict:
            _refuse_skipped(source, skipped)
        if not names:
            reason = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            raise MidasError(f"{source.path}: no usable image with a label or in a class folder{reason}")
        if empty := set(source.folders) - set(folders):
            what = f"class folder without usable images: {archives._some(empty)}; fill or remove it"
            raise MidasError(f"{source.path}: {what}")
    class_names, labels = name_classes(folders)
    return Dataset(
        images=Stored(large, (len(names), size, size)) if large else np.stack(images),
        labels=labels,
        class_names=class_names,
        names=np.array(names),
        places=np.stack(places),
        skipped=tuple(skipped),
        page_sizes=tuple(pages.most_common()),
        is_sample=source.is_sample,
    )


def _refuse_skipped(source: Source, skipped) -> None:
    if skipped:
        name, reason = skipped[0]
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise MidasError(f"{source.path}: {name}: {reason}{more}; mend or remove it, or leave out --strict")


def stream(source: Source, size: int, progress=None) -> Iterator[tuple[Entry, np.ndarray | str, np.ndarray, str]]:
    """Decode and normalise on all cores, in order, holding only a few images at a time.

    Yields:
        (entry, glyph, place, page): the uint8 array (size, size), or in its stead the reason why there is none, the
        float32 array (5,) of `preprocessing.place`, and the size of the original as "WIDTHxHEIGHT".
    """
    workers = os.cpu_count() or 1
    entries = source.entries()
    chunks = iter(lambda: list(itertools.islice(entries, 32)), [])
    waiting: deque = deque()
    done, ahead, turn = 0, 2 * workers, threading.Lock()
    with ThreadPoolExecutor(workers) as pool:
        for chunk in itertools.chain(chunks, [None]):
            if chunk:
                waiting.append(pool.submit(_glyphs, chunk, size, turn))
            while len(waiting) > (ahead if chunk else 0):
                results, are_small = waiting.popleft().result()
                ahead = max(2 * workers, AHEAD) if are_small else 2 * workers
                done += len(results)
                if progress:
                    progress(done, source.count)
                yield from results


def _glyphs(entries: list[Entry], size: int, turn: threading.Lock) -> tuple[list[tuple], bool]:
    """Normalise entries, and say whether one is small; from that on, do it while no other thread does.

    What OpenCV does with a small image takes so little time that several threads would spend theirs on passing
    Python's own lock to and fro: two need twice as long as one.
    """
    results, are_small = [], False
    with contextlib.ExitStack() as alone:
        for entry in entries:
            glyph, place, page = _glyph(entry, size)
            if page and not are_small and math.prod(page) < SMALL:
                alone.enter_context(turn)
                are_small = True
            results.append((entry, glyph, place, "x".join(map(str, reversed(page)))))
    return results, are_small


def _glyph(entry: Entry, size: int) -> tuple[np.ndarray | str, np.ndarray, tuple[int, ...]]:
    try:
        page = entry.read()
        return *preprocessing.glyph_and_place(page, size), page.shape
    except preprocessing.UnreadableImage as error:
        return str(error), preprocessing.NO_PLACE, ()


def name_classes(folders: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Turn folder names into class names and labels.

    Folders Sample001 to Sample062 stand for 0-9, A-Z, a-z. Classes are ordered like these 62 as far as they are among
    them, then naturally.

    Returns:
        The class names, and an int64 array with one label for each given folder.

    >>> name_classes(["Sample011", "Sample001", "Sample011"])
    (('0', 'A'), array([1, 0, 1]))
    """
    distinct = set(folders)
    numbers = {name: re.fullmatch(r"Sample(\d{3})", name) for name in distinct}
    if all(match and 1 <= int(match[1]) <= len(sample.CHARACTERS) for match in numbers.values()):
        titles = {name: sample.CHARACTERS[int(match[1]) - 1] for name, match in numbers.items()}
    else:
        titles = {name: name for name in distinct}

    def order(title):
        place = sample.CHARACTERS.find(title) if len(title) == 1 else -1
        parts = re.split(r"([0-9]+)", title)  # text and digits by turns; longer numbers are larger
        natural = [(len(part.lstrip("0")) if i % 2 else 0, part) for i, part in enumerate(parts)]
        return (place < 0, place, natural)

    class_names = tuple(sorted(titles.values(), key=order))
    places = {title: place for place, title in enumerate(class_names)}
    return class_names, np.array([places[titles[folder]] for folder in folders], np.int64)


def _sample_source(name: str) -> Source:
    """Make one of the named data sets from the embedded sample."""
    digest = hashlib.sha256(Path(sample.__file__).read_bytes() + name.encode()).hexdigest()
    if name == "part1":
        pairs = list(itertools.product(enumerate(sample.CHARACTERS, 1), range(1, sample.WRITERS + 1)))

        def drawings():
            for (number, character), writer in pairs:
                path = f"Sample{number:03d}/img{number:03d}-{writer:03d}"
                yield Entry(path, f"Sample{number:03d}", lambda c=character, w=writer: sample.draw(c, w))

        return Source("sample part1", (), digest, drawings, len(pairs), is_sample=True)
    images, labels = sample.digits("test" if name == "mnist-test" else "train")
    if name == "part3":
        labels = wrong_folders(labels, seed=0)

    def digits():
        for index, label in enumerate(labels):
            yield Entry(f"{name}/{label}/image_{index:06d}", str(label), lambda image=images[index]: image)

    return Source(f"sample {name}", (), digest, digits, len(labels), is_sample=True)


def digits_as_published(data_dir: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read MNIST's training images as they are, without normalising them.

    Returns:
        uint8 images (n, height, width) and int64 labels (n,).

    Raises:
        MidasError: the images cannot be read, differ in size, or are not of digits.
    """
    source = find("mnist", data_dir)
    entries = list(source.entries())
    try:
        return np.stack([entry.read() for entry in entries]), np.array([int(entry.folder) for entry in entries])
    except (preprocessing.UnreadableImage, TypeError, ValueError) as error:
        raise MidasError(f"{source.path}: not a set of digits of one size ({error})") from error
