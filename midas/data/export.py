"""Augmented copies of a data set: a folder of image files that every command reads, and a picture of some of them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from midas.data.augmentation import augment
from midas.data.datasets import Dataset
from midas.data.sample import CHARACTERS
from midas.data.sources import HIDDEN, IMAGE_SUFFIXES
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.report import plots
from midas.runs import atomic

BATCH = 1024  # images augmented, and held, at once
LONGEST = 60  # characters of a file's name that are kept, so that no file system finds it too long
ROWS, COLUMNS = 12, 10  # classes in a preview, and copies of each


def version(images: np.ndarray, start: int, copy: int, strength: Augmentation, seed: int) -> np.ndarray:
    """Give one version of a batch of images, which depends on nothing but these arguments.

    Args:
        images: uint8 array (n, side, side), all of a data set.
        start: where the batch begins; a multiple of `BATCH`.
        copy: number of the copy from 1, or 0 for the images as they are.
        strength: of the augmentation.
        seed: of everything random.

    Returns:
        uint8 array (at most BATCH, side, side).
    """
    batch = images[start : start + BATCH]
    return augment(batch, strength, np.random.default_rng([seed, copy, start])) if copy else batch


def refuse_filled(out: Path) -> None:
    """Refuse to mix copies with what a folder already holds.

    Raises:
        MidasError: the folder is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise MidasError(f"{out}: is there already, and not empty; choose another --out, or empty it")


def write(
    dataset: Dataset,
    out: Path,
    repetitions: int,
    originals: bool,
    strength: Augmentation,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Write augmented copies as CLASS FOLDER/STEM-k.png, k from 1, and the images as they are as CLASS FOLDER/STEM.png.

    Args:
        dataset: normalised images.
        out: the folder, which should be empty or not there.
        repetitions: copies of each image.
        originals: write the images as they are, too.
        strength: of the augmentation.
        seed: of everything random.
        progress: called with (done, total) now and then.

    Returns:
        The name of each class's folder.

    Raises:
        MidasError: a file cannot be written.
    """
    folders = folder_names(dataset.class_names)
    stems = np.empty(len(dataset), object)
    for label in range(len(folders)):
        members = np.flatnonzero(dataset.labels == label)
        stems[members] = file_stems(dataset.names[members].tolist())
    total, done = len(dataset) * (repetitions + originals), 0
    for start in range(0, len(dataset), BATCH):
        for copy in range(0 if originals else 1, repetitions + 1):
            images = version(dataset.images, start, copy, strength, seed)
            for index, image in enumerate(images, start):
                name = f"{stems[index]}-{copy}.png" if copy else f"{stems[index]}.png"
                with atomic(out / folders[dataset.labels[index]] / name) as temporary:
                    temporary.write_bytes(cv2.imencode(".png", image)[1])
            done += len(images)
            if progress:
                progress(done, total)
    return dict(zip(dataset.class_names, folders, strict=True))


def folder_names(class_names: Iterable[str]) -> list[str]:
    """Name a folder for each class, so that `datasets.name_classes` gives the classes back wherever that is possible.

    Characters among 0-9, A-Z, a-z get numbers: "a" and "A" are the same folder where case is ignored.

    >>> folder_names(["0", "A", "a"]), folder_names(["cat", "Cat", "a/b"])
    (['Sample001', 'Sample011', 'Sample037'], ['cat', 'Cat_2', 'a_b'])
    """
    class_names = list(class_names)
    if all(len(name) == 1 and name in CHARACTERS for name in class_names):
        return [f"Sample{CHARACTERS.index(name) + 1:03d}" for name in class_names]
    return _distinct(map(_safe, class_names))


def file_stems(names: Iterable[str]) -> list[str]:
    """Name the files of one class after those they were made from, so that neither they nor their copies collide.

    >>> file_stems(["x/img.png", "y/IMG.jpg", "img-1.png", "img-01.png", "x.npz[7]"])
    ['img', 'IMG_2', 'img-1_2', 'img-01', 'x.npz[7]']
    """
    ending = re.compile(f"({'|'.join(map(re.escape, IMAGE_SUFFIXES))})$", re.IGNORECASE)
    stems = (ending.sub("", name.rpartition("/")[2]) for name in names)
    return _distinct((_safe(stem[:LONGEST]) for stem in stems), re.compile("-[1-9][0-9]*$"))


def _safe(name: str) -> str:
    """Replace what a file system or `archives` would not take for a plain name."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).rstrip(". ")
    return f"_{name}" if not name or HIDDEN.match(name) else name


def _distinct(names: Iterable[str], appended: re.Pattern | None = None) -> list[str]:
    """Number names that are the same but for case, or that are another with an `appended` ending."""
    taken, roots, tries, found = set(), set(), Counter(), []
    for name in names:
        free = name
        while True:
            key = free.casefold()
            root = appended.sub("", key) if appended else key
            if key not in taken and key not in roots and root not in taken:
                break
            tries[name] += 1
            free = f"{name}_{tries[name] + 1}"
        taken.add(key)
        if root != key:
            roots.add(root)
        found.append(free)
    return found


def write_preview(dataset: Dataset, path: Path, repetitions: int, strength: Augmentation, seed: int) -> None:
    """Draw the first image of some classes beside the first of its copies, the same ones that `write` writes."""
    classes = np.unique(np.linspace(0, len(dataset.class_names) - 1, ROWS).round().astype(int))
    chosen = np.array([np.flatnonzero(dataset.labels == label)[0] for label in classes])
    shown = np.empty((len(chosen), 1 + min(repetitions, COLUMNS), *dataset.images.shape[1:]), np.uint8)
    for start in np.unique(chosen - chosen % BATCH).tolist():
        here = (chosen >= start) & (chosen < start + BATCH)
        for copy in range(shown.shape[1]):
            shown[here, copy] = version(dataset.images, start, copy, strength, seed)[chosen[here] - start]
    figure = plots.copies(shown, [dataset.class_names[label] for label in classes])
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
