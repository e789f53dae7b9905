"""Exports: pixels as CSV, augmented copies whose names never collide, and the data of Part 3."""

import csv

import numpy as np
import pytest
import tiny
from formats import npz

from midas.data import datasets, export
from midas.data.complementary_mnist import complementary_labels
from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.data.labels import name_classes
from midas.data.sources import open_source
from midas.errors import MidasError
from midas.experiments import Augmentation

GENTLE = Augmentation(shift=0, scale=0, elastic=0)


def dataset(class_names, names, seed=0):
    """Upright bars of random width, one for each name, with the classes in turn."""
    rng = np.random.default_rng(seed)
    images = np.zeros((len(names), 28, 28), np.uint8)
    for image in images:
        image[4:24, 12 : 12 + rng.integers(2, 5)] = 255
    labels = np.arange(len(names)) % len(class_names)
    glyphs = Glyphs.without_places(images)
    return Dataset(glyphs, labels.astype(np.int64), tuple(class_names), np.array(names))


@pytest.mark.parametrize(
    "class_names",
    [
        list("0123456789"),
        ["7", "A", "Z", "a", "z"],
        ["Sample001", "Sample100"],
        ["a", "a-1", "ab"],
        ["capital A", "x.y", "é", "文"],
        ["class 2", "class 10"],
    ],
)
def test_classes_survive_a_round_trip(class_names, tmp_path):
    written = dataset(class_names, [f"{index}.png" for index in range(2 * len(class_names))])
    folders = export.write_copies(written, tmp_path / "out", 2, True, GENTLE, 0)
    back = datasets.read(open_source(tmp_path / "out", "train"), strict=True)
    assert back.class_names == tuple(class_names) == name_classes(class_names)[0]
    assert len(back) == 6 * len(class_names)
    assert len({folder.lower() for folder in folders.values()}) == len(class_names)


@pytest.mark.parametrize("class_names", [["Cat", "cat"], ["../up", "a/b", "a\\b", "a:b"], [".", "..", "", "__MACOSX"]])
def test_names_that_cannot_be_folders_are_made_safe_and_stay_distinct(class_names, tmp_path):
    written = dataset(class_names, [f"{index}.png" for index in range(len(class_names))])
    folders = export.write_copies(written, tmp_path / "out", 1, True, GENTLE, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(folders.values())
    assert len(datasets.read(open_source(tmp_path / "out"), strict=True).class_names) == len(class_names)


@pytest.mark.parametrize(
    "names",
    [
        ["x/a.png", "y/a.png", "A.jpg", "a_2.png"],
        ["a.png", "a-1.png", "a-1-1.png", "a-1_2.png"],
        ["b_2-1.png", "b.png", "B.png", "b-2.png"],
        ["x.npz[0]", "x.npz[1]", "x.npz[10]"],
        [f"{'long' * 60}{index}.png" for index in range(4)],
        ["same.png"] * 50,
        [".hidden.png", "..png", ".png", "a?.png", "a*.png", "ends..png"],
    ],
)
@pytest.mark.parametrize("step", [1, -1])
def test_no_file_overwrites_another(names, step, tmp_path):
    written = dataset(["ö"], names[::step])
    export.write_copies(written, tmp_path / "out", 3, True, GENTLE, 0)
    assert len({path.name.lower() for path in (tmp_path / "out" / "ö").iterdir()}) == 4 * len(names)
    assert len(datasets.read(open_source(tmp_path / "out"), strict=True)) == 4 * len(names)


def test_the_same_seed_writes_the_same_files_whatever_the_number_of_copies(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.export.BATCH", 4)
    written = dataset(["one", "two"], [f"{index}.png" for index in range(10)])

    def files(name, repetitions, originals, seed):
        export.write_copies(written, tmp_path / name, repetitions, originals, Augmentation(), seed)
        return {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).glob("*/*")}

    three, two, other = files("three", 3, True, 0), files("two", 2, False, 0), files("other", 2, False, 1)
    assert len(three) == 40 and len(two) == 20 and two.items() <= three.items()
    assert not two.items() & other.items()


def test_originals_are_the_unchanged_glyphs(tmp_path):
    written = dataset(list("ab"), [f"{index}.png" for index in range(4)])
    export.write_copies(written, tmp_path, 1, True, Augmentation(), 0)
    entries = {entry.name: entry.read() for entry in open_source(tmp_path).entries()}
    for index, image in enumerate(written.images):
        assert np.array_equal(entries[f"Sample{37 + index % 2:03d}/{index}.png"], image)


def test_progress_reaches_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.export.BATCH", 4)
    calls = []
    written = dataset(["one"], [f"{index}.png" for index in range(10)])
    export.write_copies(written, tmp_path, 2, True, Augmentation(), 0, lambda *numbers: calls.append(numbers))
    assert calls[-1] == (30, 30) and len(calls) == 9


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing_incomplete(tmp_path):
    (tmp_path / "Sample001").write_text("in the way")
    with pytest.raises(MidasError, match="Sample001: another process has written it"):
        export.write_copies(dataset(["0"], ["a.png"]), tmp_path, 1, True, Augmentation(), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["Sample001"]


def test_entries_of_an_npz_give_their_names_to_files(tmp_path):
    images = dataset(["x"], list("abc")).images
    (tmp_path / "set.npz").write_bytes(npz(images=images, labels=np.array([3, 3, 5])))
    read = datasets.read(open_source(tmp_path / "set.npz"))
    export.write_copies(read, tmp_path / "out", 1, False, GENTLE, 0)
    assert sorted(path.name for path in (tmp_path / "out" / "Sample004").iterdir()) == [
        "set.npz[0]-1.png",
        "set.npz[1]-1.png",
    ]
    assert datasets.read(open_source(tmp_path / "out")).class_names == ("3", "5")


def test_augmented_copies_of_a_batch_do_not_depend_on_other_batches(monkeypatch):
    monkeypatch.setattr("midas.data.export.BATCH", 4)
    images = dataset(["one"], [f"{index}.png" for index in range(10)]).images
    copy = export.augmented_copy(images, 4, 2, Augmentation(), 0)
    assert copy.shape == (4, 28, 28) and np.array_equal(
        copy, export.augmented_copy(images[:8], 4, 2, Augmentation(), 0)
    )
    assert np.array_equal(export.augmented_copy(images, 8, 0, Augmentation(), 0), images[8:])


def test_csv_has_the_class_name_and_the_pixels_of_each_image(tmp_path):
    written = dataset(["a,b", "é"], list("xyz"))
    export.write_csv(written, tmp_path / "new" / "pixels.csv")
    with (tmp_path / "new" / "pixels.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["label", *(f"pixel{index}" for index in range(784))]
    assert [row[0] for row in rows] == ["a,b", "é", "a,b"]
    assert np.array_equal(np.array([row[1:] for row in rows], np.uint8), written.images.reshape(3, -1))


def test_make_part3_writes_mnist_with_complementary_labels(tmp_path):
    tiny.write_mnist(tmp_path)
    assert export.make_part3(tmp_path, tmp_path / "new.zip", seed=3) == 100
    made = datasets.read(open_source(tmp_path / "new.zip"), strict=True)
    expected = complementary_labels(np.arange(10).repeat(10), seed=3)
    order = np.argsort([name.rpartition("/")[2] for name in made.names])
    assert [int(made.class_names[label]) for label in made.labels[order]] == expected.tolist()


def test_make_part3_refuses_missing_and_too_few_images(tmp_path):
    with pytest.raises(MidasError, match=r"mnist: no such data set; get it with 'midas download mnist'$"):
        export.make_part3(tmp_path, tmp_path / "new.zip", seed=0)
    tiny.write_mnist(tmp_path, drawings=5)
    with pytest.raises(MidasError, match=r"mnist\.npz: no complementary labels: class 0 has 5 images"):
        export.make_part3(tmp_path, tmp_path / "new.zip", seed=0)
    assert not (tmp_path / "new.zip").exists()
