"""The data of Part 3: complementary labels, drawn uniformly, and an archive like the original."""

import zipfile

import cv2
import numpy as np
import pytest

from midas.data.complementary_mnist import complementary_labels, write_archive
from midas.errors import MidasError

# Seeded differently from the complementary labels, which would otherwise not be independent of them.
LABELS = np.random.default_rng(2024).integers(0, 10, 20_000).astype(np.uint8)


@pytest.mark.parametrize("count", [0, 1, 6])
def test_the_given_number_per_class_keeps_its_label(count):
    changed = complementary_labels(LABELS, seed=0, correct_per_class=count)
    assert changed.shape == LABELS.shape and changed.dtype == np.int64
    assert np.bincount(LABELS[changed == LABELS], minlength=10).tolist() == [count] * 10


def test_complementary_labels_are_uniform_over_the_other_classes():
    changed = complementary_labels(LABELS, seed=0)
    table = np.zeros((10, 10))
    np.add.at(table, (LABELS, changed), 1)
    expected = (table.sum(axis=1, keepdims=True) - 6) / 9
    chi_square = ((table - expected) ** 2 / expected)[~np.eye(10, dtype=bool)].sum()
    assert 46.5 < chi_square < 124.8  # 80 degrees of freedom: one draw in a thousand falls beyond either end


def test_another_seed_gives_other_labels():
    first = complementary_labels(LABELS, seed=3)
    np.testing.assert_array_equal(first, complementary_labels(LABELS, seed=3))
    assert (first != complementary_labels(LABELS, seed=4)).mean() == pytest.approx(8 / 9, abs=0.01)


def test_two_classes_are_swapped():
    labels = np.array([0, 1, 1, 0, 1])
    np.testing.assert_array_equal(complementary_labels(labels, seed=0, correct_per_class=0, classes=2), 1 - labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(10).repeat(5), "class 0 has 5 images"),
        (np.arange(9).repeat(6), "class 9 has 0 images"),
        (np.arange(11).repeat(6), "label 10"),
    ],
)
def test_too_few_or_unexpected_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        complementary_labels(labels, seed=0)


@pytest.fixture
def drawings() -> np.ndarray:
    """A hundred smooth blobs, which JPEG changes little."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 4) for image in noise])


def test_archive_round_trip(tmp_path, drawings):
    labels = complementary_labels(np.arange(10).repeat(10), seed=0)
    path = tmp_path / "new" / "mnistTask3.zip"
    write_archive(path, drawings, labels)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        decoded = {name: cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), -1) for name in names}
    assert names == sorted(f"mnistTask/{label}/image_{index:06d}.jpg" for index, label in enumerate(labels))
    for index, label in enumerate(labels):
        image = decoded[f"mnistTask/{label}/image_{index:06d}.jpg"]
        assert image.shape == (28, 28)
        assert np.abs(image.astype(int) - drawings[index]).mean() < 3
    assert list(path.parent.iterdir()) == [path]


def test_equal_seeds_give_equal_bytes(tmp_path, drawings):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_archive(tmp_path / name, drawings, complementary_labels(np.arange(10).repeat(10), seed))
    first, second, third = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == second != third


def test_an_archive_that_cannot_be_written_is_an_error(tmp_path, drawings):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(MidasError, match=r"^[^\n]*mnistTask3\.zip: cannot be written: [^\n]*$"):
        write_archive(tmp_path / "file" / "mnistTask3.zip", drawings, np.zeros(100, int))
    with pytest.raises(ValueError, match="100 images, but 99 labels"):
        write_archive(tmp_path / "mnistTask3.zip", drawings, np.zeros(99, int))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_while_writing_keeps_the_old_archive(tmp_path, drawings):
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
