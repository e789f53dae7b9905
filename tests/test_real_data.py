"""The real data sets have the expected counts and come out of preprocessing as expected; MIDAS_DATA is their folder."""

import dataclasses
import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from midas.data import sample
from midas.data.datasets import find_path, load, open_named, read

FOLDER = os.environ.get("MIDAS_DATA", "")
PART3_LABELS = (5980, 5807, 6009, 6037, 5914, 6139, 6037, 5954, 6129, 5994)  # images per label

pytestmark = pytest.mark.skipif(not FOLDER, reason="MIDAS_DATA does not name the folder of the real data sets")


def need(name):
    if not find_path(name, FOLDER):
        pytest.skip(f"{FOLDER} has no {name}")


@pytest.fixture(scope="module")
def part1():
    need("part1")
    return load("part1", FOLDER)


def test_part1_counts_sizes_and_class_order(part1):
    assert part1.class_names == tuple(sample.CHARACTERS) and part1.skipped == ()
    assert np.bincount(part1.labels).tolist() == [40] * 62
    assert set(part1.pages) == {"1200x900"} and part1.only("0123456789").summary().page_sizes == {"1200x900": 400}
    for name, label in zip(part1.names, part1.labels, strict=True):
        assert f"Sample{label + 1:03d}" in Path(name).parts


def test_every_drawing_of_part1_gives_a_glyph_of_the_right_size(part1):
    inked = part1.images > 32
    sides = [max(np.ptp(np.argwhere(glyph), axis=0)) + 1 for glyph in inked]
    assert part1.images.reshape(2480, -1).max(axis=1).min() == 255
    assert min(sides) >= 19 and max(sides) <= 21
    assert inked[:, 0].mean() < 0.001 and inked[:, :, 0].mean() < 0.001  # the border stays free


def test_nearly_every_drawing_of_part1_has_a_known_place(part1):
    places = part1.glyphs.places
    known = places[places[:, 0] == 1]
    assert len(known) >= 0.995 * len(part1)
    assert np.abs(np.median(known[:, 1:], axis=0)).max() < 0.6 and np.abs(known).max() < 5
    height = {name: np.median(places[part1.labels == part1.class_names.index(name), 1]) for name in "CcOoXx"}
    assert all(height[name] > height[name.lower()] + 0.5 for name in "COX")


def test_the_shipped_network_knows_its_training_set():
    from midas.learning.checkpoints import shipped_checkpoint
    from midas.learning.classifier import Classifier

    need("part1")
    source, network = open_named("part1", FOLDER), Classifier.load(shipped_checkpoint())
    entries = list(source.entries())[::8]
    some = read(dataclasses.replace(source, entries=lambda: iter(entries), count=len(entries)), network.size)
    assert (network.probabilities(some.glyphs).argmax(1) == some.labels).mean() > 0.93


@pytest.mark.parametrize(("name", "count"), [("mnist", 60_000), ("mnist-test", 10_000)])
def test_mnist_counts(name, count):
    need(name)
    source = open_named(name, FOLDER)
    classes = Counter(entry.label for entry in source.entries())
    assert source.count == sum(classes.values()) == count and set(classes) == set("0123456789")


def test_mnist_is_hardly_changed():
    need("mnist")
    source = open_named("mnist", FOLDER)
    entries = list(itertools.islice(source.entries(), 2000))
    originals = np.stack([entry.read() for entry in entries])
    first = read(dataclasses.replace(source, entries=lambda: iter(entries), count=2000))
    assert len(first) == 2000 and first.skipped == ()
    assert (first.images == originals).all(axis=(1, 2)).mean() >= 0.7
    assert np.abs(first.images.astype(int) - originals).mean() < 3


def test_part3_counts():
    need("part3")
    source = open_named("part3", FOLDER)
    labels = Counter(entry.label for entry in source.entries())
    assert tuple(labels[digit] for digit in "0123456789") == PART3_LABELS and source.count == 60_000
    assert next(source.entries()).read().shape == (28, 28)
