import numpy as np
import pytest
from images import npz

from midas.data import datasets
from midas.data import export as copies
from midas.data.datasets import Dataset
from midas.data.sources import open_source
from midas.errors import MidasError
from midas.experiments import Augmentation

GENTLE = Augmentation(shift=0, scale=0, elastic=0)


def dataset(class_names, names, seed=0):
    """Upright bars of random width, one for each name, the classes by turns."""
    rng = np.random.default_rng(seed)
    images = np.zeros((len(names), 28, 28), np.uint8)
    for image in images:
        image[4:24, 12 : 12 + rng.integers(2, 5)] = 255
    labels = np.arange(len(names)) % len(class_names)
    places = np.zeros((len(names), 5), np.float32)
    return Dataset(images, labels.astype(np.int64), tuple(class_names), np.array(names), places)


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
def test_classes_read_back_as_they_were(class_names, tmp_path):
    written = dataset(class_names, [f"{index}.png" for index in range(2 * len(class_names))])
    folders = copies.write(written, tmp_path / "out", 2, True, GENTLE, 0)
    back = datasets.read(open_source(tmp_path / "out", "train"), strict=True)
    assert back.class_names == tuple(class_names) == datasets.name_classes(class_names)[0]
    assert len(back) == 6 * len(class_names)
    assert len({folder.lower() for folder in folders.values()}) == len(class_names)


@pytest.mark.parametrize("class_names", [["Cat", "cat"], ["../up", "a/b", "a\\b", "a:b"], [".", "..", "", "__MACOSX"]])
def test_names_that_cannot_be_folders_are_made_safe_and_kept_apart(class_names, tmp_path):
    written = dataset(class_names, [f"{index}.png" for index in range(len(class_names))])
    folders = copies.write(written, tmp_path / "out", 1, True, GENTLE, 0)
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
@pytest.mark.parametrize("turn", [1, -1])
def test_no_file_overwrites_another(names, turn, tmp_path):
    written = dataset(["only"], names[::turn])
    copies.write(written, tmp_path / "out", 3, True, GENTLE, 0)
    assert len({path.name.lower() for path in (tmp_path / "out" / "only").iterdir()}) == 4 * len(names)
    assert len(datasets.read(open_source(tmp_path / "out"), strict=True)) == 4 * len(names)


def test_the_same_seed_writes_the_same_files_whatever_the_number_of_copies(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.export.BATCH", 4)
    written = dataset(["one", "two"], [f"{index}.png" for index in range(10)])

    def files(name, repetitions, originals, seed):
        copies.write(written, tmp_path / name, repetitions, originals, Augmentation(), seed)
        return {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).glob("*/*")}

    three, two, other = files("three", 3, True, 0), files("two", 2, False, 0), files("other", 2, False, 1)
    assert len(three) == 40 and len(two) == 20 and two.items() <= three.items()
    assert not two.items() & other.items()


def test_originals_are_the_glyphs_themselves(tmp_path):
    written = dataset(list("ab"), [f"{index}.png" for index in range(4)])
    copies.write(written, tmp_path, 1, True, Augmentation(), 0)
    entries = {entry.name: entry.read() for entry in open_source(tmp_path).entries()}
    for index, image in enumerate(written.images):
        assert np.array_equal(entries[f"Sample{37 + index % 2:03d}/{index}.png"], image)


def test_progress_reaches_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.export.BATCH", 4)
    told = []
    written = dataset(["one"], [f"{index}.png" for index in range(10)])
    copies.write(written, tmp_path, 2, True, Augmentation(), 0, lambda *numbers: told.append(numbers))
    assert told[-1] == (30, 30) and len(told) == 9


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing_half(tmp_path):
    (tmp_path / "Sample001").write_text("in the way")
    with pytest.raises(MidasError, match="cannot be written"):
        copies.write(dataset(["0"], ["a.png"]), tmp_path, 1, True, Augmentation(), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["Sample001"]


def test_names_of_an_npz_serve_as_file_names(tmp_path):
    images = dataset(["x"], list("abc")).images
    (tmp_path / "set.npz").write_bytes(npz(images=images, labels=np.array([3, 3, 5])))
    read = datasets.read(open_source(tmp_path / "set.npz"))
    copies.write(read, tmp_path / "out", 1, False, GENTLE, 0)
    assert sorted(path.name for path in (tmp_path / "out" / "Sample004").iterdir()) == [
        "set.npz[0]-1.png",
        "set.npz[1]-1.png",
    ]
    assert datasets.read(open_source(tmp_path / "out")).class_names == ("3", "5")
