"""Data sets written for other programs: pixels as CSV, augmented copies as image files, and the data of Part 3."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from midas.data import datasets
from midas.data.augmentation import augment_glyphs
from midas.data.complementary_mnist import complementary_labels, write_archive
from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.data.images import to_png
from midas.data.memmap import ImageFile, blocks
from midas.data.reading import Progress
from midas.data.sample import CHARACTERS
from midas.data.trees import HIDDEN, IMAGE_SUFFIXES
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.files import atomic, atomic_directory, writing

BATCH = 1024  # images that are augmented together
MAX_STEM = 60  # characters of a file name before the number of the copy, so that no file system finds it too long


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write one line per image: its class name, then its pixels row by row, 0-255.

    Raises:
        MidasError: the file cannot be written.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"pixel{i}" for i in range(math.prod(dataset.images.shape[1:])))])
        rows = (row for block in blocks(dataset.images) for row in block.reshape(len(block), -1).tolist())
        for label, row in zip(dataset.labels.tolist(), rows, strict=True):
            writer.writerow([dataset.class_names[label], *row])


def make_part3(data_dir: str | os.PathLike, path: Path, seed: int) -> int:
    """Write the training images of MNIST with complementary labels, the data of Part 3.

    Args:
        data_dir: the folder of the data sets, with MNIST in it.
        path: the zip file to write.
        seed: random seed of the labels.

    Returns:
        The number of images.

    Raises:
        MidasError: MNIST is missing, cannot be read or has too few images; or the file cannot be written.
    """
    where = datasets.find_path("mnist", data_dir)
    if where is None:
        raise MidasError(f"{Path(data_dir) / 'mnist'}: no such data set; get it with 'midas download mnist'")
    images, labels = datasets.read_digits(data_dir)
    try:
        write_archive(path, images, complementary_labels(labels, seed))
    except ValueError as error:
        raise MidasError(f"{where}: no complementary labels: {error}; download MNIST again") from error
    return len(labels)


# ---- augmented copies


def augmented_copy(
    images: np.ndarray | ImageFile, start: int, copy: int, strengths: Augmentation, seed: int
) -> np.ndarray:
    """Augment one batch of a data set; the result depends on these arguments alone.

    Args:
        images: uint8 array (n, side, side), the whole data set.
        start: index of the first image of the batch, a multiple of `BATCH`.
        copy: number of the copy from 1, or 0 for the images themselves.
        strengths: of the augmentation.
        seed: random seed.

    Returns:
        uint8 array of up to `BATCH` images.
    """
    batch = images[start : start + BATCH]
    if not copy:
        return batch
    rng = np.random.default_rng([seed, copy, start])
    return np.asarray(augment_glyphs(Glyphs.without_places(batch), strengths, rng).images)


def write_copies(
    dataset: Dataset,
    out: Path,
    repetitions: int,
    originals: bool,
    strengths: Augmentation,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Write augmented copies as CLASS FOLDER/STEM-NUMBER.png, and the images themselves as CLASS FOLDER/STEM.png.

    Args:
        dataset: normalized images.
        out: the folder, empty or new.
        repetitions: copies of each image, which are numbered from 1.
        originals: whether to write the images themselves.
        strengths: of the augmentation.
        seed: random seed.
        progress: called with (done, total) images now and then.

    Returns:
        The folder name of each class.

    Raises:
        MidasError: a file cannot be written, or another process has written to the folder meanwhile. Nothing is left
            of the copies then.
    """
    folders = folder_names(dataset.class_names)
    stems = np.empty(len(dataset), object)
    for label in range(len(folders)):
        members = np.flatnonzero(dataset.labels == label)
        stems[members] = file_stems(dataset.names[members].tolist())
    total, done = len(dataset) * (repetitions + originals), 0
    with atomic_directory(out) as temporary, writing(out):
        for folder in folders:
            (temporary / folder).mkdir()
        for start in range(0, len(dataset), BATCH):
            for copy in range(0 if originals else 1, repetitions + 1):
                images = augmented_copy(dataset.images, start, copy, strengths, seed)
                for index, image in enumerate(images, start):
                    name = f"{stems[index]}-{copy}.png" if copy else f"{stems[index]}.png"
                    (temporary / folders[dataset.labels[index]] / name).write_bytes(to_png(image))
                done += len(images)
                if progress:
                    progress(done, total)
    return dict(zip(dataset.class_names, folders, strict=True))


def folder_names(class_names: Iterable[str]) -> list[str]:
    """Name a folder for each class, so that `labels.name_classes` recovers the classes wherever that is possible.

    Characters among 0-9, A-Z, a-z get numbers, as "a" and "A" are the same folder on file systems that ignore case.

    >>> folder_names(["0", "A", "a"]), folder_names(["cat", "Cat", "a/b"])
    (['Sample001', 'Sample011', 'Sample037'], ['cat', 'Cat_2', 'a_b'])
    """
    class_names = list(class_names)
    if all(len(name) == 1 and name in CHARACTERS for name in class_names):
        return [f"Sample{CHARACTERS.index(name) + 1:03d}" for name in class_names]
    return _distinct(map(safe_name, class_names))


def file_stems(names: Iterable[str]) -> list[str]:
    """Name the files of one class after their originals, so that neither they nor their numbered copies collide.

    >>> file_stems(["x/img.png", "y/IMG.jpg", "img-1.png", "img-01.png", "x.npz[7]"])
    ['img', 'IMG_2', 'img-1_2', 'img-01', 'x.npz[7]']
    """
    suffix = re.compile(f"({'|'.join(map(re.escape, IMAGE_SUFFIXES))})$", re.IGNORECASE)
    stems = (suffix.sub("", name.rpartition("/")[2]) for name in names)
    return _distinct((safe_name(stem[:MAX_STEM]) for stem in stems), re.compile("-[1-9][0-9]*$"))


def safe_name(name: str) -> str:
    """Replace what file systems do not allow in a name, and what would make a file hidden."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).rstrip(". ")
    return f"_{name}" if not name or HIDDEN.match(name) else name


def _distinct(names: Iterable[str], numbering: re.Pattern | None = None) -> list[str]:
    """Number names that differ only in case from another one, or only by an ending that `numbering` matches."""
    taken: set[str] = set()
    roots: set[str] = set()  # of the names that end in a number
    tries: Counter[str] = Counter()
    found = []
    for name in names:
        free = name
        while True:
            key = free.casefold()
            root = numbering.sub("", key) if numbering else key
            if key not in taken and key not in roots and root not in taken:
                break
            tries[name] += 1
            free = f"{name}_{tries[name] + 1}"
        taken.add(key)
        if root != key:
            roots.add(root)
        found.append(free)
    return found
