"""Make Part 3's data from MNIST: every drawing filed under a digit that it does not show, but for a few."""

import os
import zipfile
from pathlib import Path

import cv2
import numpy as np

from midas.runs import atomic

QUALITY = 75  # the original's: MNIST encoded so is the same to the byte in all of its 60,000 entries (OpenCV 5)


def wrong_folders(labels: np.ndarray, seed: int, right_per_class: int = 6, classes: int = 10) -> np.ndarray:
    """Choose the folder each image is misfiled in.

    Args:
        labels: integer array (images,) of true classes, 0 to `classes` - 1.
        seed: of the choice.
        right_per_class: images of each class that stay in their own folder, as the original has six.
        classes: number of classes.

    Returns:
        int64 array (images,): one of the other classes, each as likely, for all but those that stay.

    Raises:
        ValueError: a class has fewer images than are to stay, or a label is out of range.

    >>> labels = np.arange(10).repeat(50)
    >>> np.bincount(labels[wrong_folders(labels, seed=0) == labels])
    array([6, 6, 6, 6, 6, 6, 6, 6, 6, 6])
    """
    counts = np.bincount(labels, minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"label {labels.max()} is not below {classes}")
    if counts.min() < right_per_class:
        raise ValueError(f"class {counts.argmin()} has {counts.min()} images, fewer than {right_per_class}")
    generator = np.random.default_rng(seed)
    folders = (labels + generator.integers(1, classes, len(labels))) % classes
    for label in range(classes):
        staying = generator.choice(np.flatnonzero(labels == label), right_per_class, replace=False)
        folders[staying] = label
    return folders


def write_archive(path: str | os.PathLike, images: np.ndarray, folders: np.ndarray, quality: int = QUALITY) -> None:
    """Write images as `mnistTask/<folder>/image_<index>.jpg` into a zip file, laid out like the original.

    Equal arguments give equal bytes. An existing file is replaced, once the new one is complete.

    Args:
        path: the zip file.
        images: uint8 array (images, height, width).
        folders: integer array (images,).
        quality: of the JPEG files, 0-100.

    Raises:
        MidasError: the file cannot be written.
        ValueError: there is not one folder an image.
    """
    if len(images) != len(folders):
        raise ValueError(f"{len(images)} images, but {len(folders)} folders")
    with atomic(Path(path)) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for index in np.argsort(folders, kind="stable"):  # stored: deflating a JPEG gains nothing
            _, encoded = cv2.imencode(".jpg", images[index], [cv2.IMWRITE_JPEG_QUALITY, quality])
            archive.writestr(_entry(f"mnistTask/{folders[index]}/image_{index:06d}.jpg"), encoded.tobytes())


def _entry(name: str) -> zipfile.ZipInfo:
    """Describe an entry by nothing that differs from one run, user or operating system to the next."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, whose permissions follow
    entry.external_attr = 0o644 << 16
    return entry
