"""The data of Part 3, made from MNIST: nearly every image gets a complementary label, a digit that it does not show."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np

from midas.files import atomic

JPEG_QUALITY = 75  # the original's: MNIST encoded this way equals all of its 60,000 files byte by byte (OpenCV 5)


def complementary_labels(labels: np.ndarray, seed: int, correct_per_class: int = 6, classes: int = 10) -> np.ndarray:
    """Draw complementary labels, uniformly from the other classes, for all but a few images.

    Args:
        labels: integer array (n,) of true labels, 0 to `classes` - 1.
        seed: random seed.
        correct_per_class: images of each class that keep their label; there are six in the original.
        classes: number of classes.

    Returns:
        int64 array (n,) of labels.

    Raises:
        ValueError: a class has fewer than `correct_per_class` images, or a label is out of range.

    >>> labels = np.arange(10).repeat(50)
    >>> np.bincount(labels[complementary_labels(labels, seed=0) == labels])
    array([6, 6, 6, 6, 6, 6, 6, 6, 6, 6])
    """
    counts = np.bincount(labels, minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"label {labels.max()} is not below {classes}")
    if counts.min() < correct_per_class:
        raise ValueError(f"class {counts.argmin()} has {counts.min()} images, fewer than {correct_per_class}")
    generator = np.random.default_rng(seed)
    changed = (labels + generator.integers(1, classes, len(labels))) % classes
    for label in range(classes):
        kept = generator.choice(np.flatnonzero(labels == label), correct_per_class, replace=False)
        changed[kept] = label
    return changed


def write_archive(path: str | os.PathLike, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images as `mnistTask/LABEL/image_INDEX.jpg` into a zip file, with the layout of the original.

    Equal arguments give equal bytes. An existing file is replaced when the new one is complete.

    Args:
        path: the zip file.
        images: uint8 array (n, height, width).
        labels: integer array (n,).

    Raises:
        MidasError: the file cannot be written.
        ValueError: images and labels differ in number.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images, but {len(labels)} labels")
    with atomic(Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for index in np.argsort(labels, kind="stable"):  # uncompressed: deflate does not make a JPEG smaller
            _, encoded = cv2.imencode(".jpg", images[index], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            archive.writestr(_entry(f"mnistTask/{labels[index]}/image_{index:06d}.jpg"), encoded.tobytes())


def _entry(name: str) -> zipfile.ZipInfo:
    """Describe an entry by nothing that depends on the time, the user or the operating system."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, so that the permissions below apply
    entry.external_attr = 0o644 << 16
    return entry
