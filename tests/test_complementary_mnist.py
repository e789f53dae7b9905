"""Part 3's data, made again: as wrong as the original, and as even."""

import zipfile

import cv2
import numpy as np
import pytest

from midas.data.complementary_mnist import write_archive, wrong_folders
from midas.errors import MidasError

# Not seeded as the folders are: numbers from one stream on both sides would be anything but independent.
LABELS = np.random.default_rng(2024).integers(0, 10, 20_000).astype(np.uint8)


@pytest.mark.parametrize("right", [0, 1, 6])
def test_exactly_so_many_stay_in_each_class(right):
    folders = wrong_folders(LABELS, seed=0, right_per_class=right)
    assert folders.shape == LABELS.shape
    assert np.bincount(LABELS[folders == LABELS], minlength=10).tolist() == [right] * 10


def test_the_wrong_ones_are_spread_evenly():
    folders = wrong_folders(LABELS, seed=0)
    table = np.zeros((10, 10))
    np.add.at(table, (LABELS, folders), 1)
    expected = (table.sum(axis=1, keepdims=True) - 6) / 9
    chi_square = ((table - expected) ** 2 / expected)[~np.eye(10, dtype=bool)].sum()
    assert 46.5 < chi_square < 124.8  # 80 degrees of freedom: one draw in a thousand falls beyond either end


def test_the_seed_decides():
    first = wrong_folders(LABELS, seed=3)
    np.testing.assert_array_equal(first, wrong_folders(LABELS, seed=3))
    assert (first != wrong_folders(LABELS, seed=4)).mean() == pytest.approx(8 / 9, abs=0.01)


def test_two_classes_swap():
    labels = np.array([0, 1, 1, 0, 1])
    np.testing.assert_array_equal(wrong_folders(labels, seed=0, right_per_class=0, classes=2), 1 - labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(10).repeat(5), "class 0 has 5 images"),
        (np.arange(9).repeat(6), "class 9 has 0 images"),
        (np.arange(11).repeat(6), "label 10"),
    ],
)
def test_refuses_labels_that_do_not_suffice(labels, message):
    with pytest.raises(ValueError, match=message):
        wrong_folders(labels, seed=0)


@pytest.fixture
def drawings() -> np.ndarray:
    """Draw a hundred smooth blobs, which JPEG keeps well."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 4) for image in noise])


def test_archive_round_trip(tmp_path, drawings):
    folders = wrong_folders(np.arange(10).repeat(10), seed=0)
    path = tmp_path / "new" / "mnistTask3.zip"
    write_archive(path, drawings, folders)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        decoded = {name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), -1) for name in names}
    assert names == sorted(f"mnistTask/{folder}/image_{index:06d}.jpg" for index, folder in enumerate(folders))
    for index, folder in enumerate(folders):
        image = decoded[f"mnistTask/{folder}/image_{index:06d}.jpg"]
        assert image.shape == (28, 28)
        assert np.abs(image.astype(int) - drawings[index]).mean() < 3
    assert list(path.parent.iterdir()) == [path]


def test_equal_seeds_give_equal_bytes(tmp_path, drawings):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_archive(tmp_path / name, drawings, wrong_folders(np.arange(10).repeat(10), seed))
    first, second, third = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second != third


def test_what_cannot_be_written(tmp_path, drawings):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(MidasError, match=r"^[^\n]*mnistTask3\.zip: cannot be written: [^\n]*$"):
        write_archive(tmp_path / "file" / "mnistTask3.zip", drawings, np.zeros(100, int))
    with pytest.raises(ValueError, match="100 images, but 99 folders"):
        write_archive(tmp_path / "mnistTask3.zip", drawings, np.zeros(99, int))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_midway_leaves_the_old_archive(tmp_path, drawings):
    path = tmp_path / "mnistTask3.zip"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="midway"):
        write_archive(path, _Failing(drawings), np.zeros(100, int))
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


class _Failing(list):
    def __getitem__(self, index):
        if index == 50:
            raise ValueError("midway")
        return super().__getitem__(index)
