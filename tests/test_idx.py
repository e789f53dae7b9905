"""IDX files anywhere in a tree: their labels, element types, further copies, EMNIST and QMNIST."""

import gzip
import lzma
import struct

import numpy as np
import pytest
from formats import idx, pack, page

from midas.data.datasets import open_any, read
from midas.data.idx import TYPES
from midas.data.sources import open_source
from midas.errors import MidasError

DIGITS = np.stack([255 - page(width=28, height=28, pen=pen) for pen in (2, 3, 4, 3)])
LABELS = np.array([1, 0, 2, 1])
RAW = "MNIST/raw"


def typed(array, kind):
    array = array.astype(TYPES[kind])
    return struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def mnist(folder=RAW, zipped=False):
    ending = ".gz" if zipped else ""
    return {
        f"{folder}/{part}-{what}-idx{array.ndim}-ubyte{ending}": idx(array[:count], zipped)
        for part, count in (("train", 4), ("t10k", 2))
        for what, array in (("images", DIGITS), ("labels", LABELS))
    }


def emnist(kind, labels, folder="gzip", mapping=""):
    images = DIGITS[: len(labels)].transpose(0, 2, 1)
    files = {
        f"{folder}/emnist-{kind}-test-images-idx3-ubyte.gz": idx(images, True),
        f"{folder}/emnist-{kind}-test-labels-idx1-ubyte.gz": idx(np.array(labels), True),
    }
    return {**files, **({f"{folder}/emnist-{kind}-mapping.txt": mapping.encode()} if mapping else {})}


def named(source):
    """Class name and image of every entry."""
    data = read(source)
    return [data.class_names[label] for label in data.labels]


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.gz"])
@pytest.mark.parametrize("zipped", [False, True])
def test_pairs_anywhere_in_a_tree(zipped, form, tmp_path):
    path = pack(tmp_path / "data", form, mnist(zipped=zipped))
    for split, count in (("train", 4), ("test", 2), (None, 6)):
        source = open_source(path, split)
        assert source.count == count and [entry.label for entry in source.entries()][:2] == ["1", "0"]
    assert all(
        (entry.read() == digit).all() for entry, digit in zip(open_source(path, "train").entries(), DIGITS, strict=True)
    )


def test_further_copies_are_read_once(tmp_path):
    files = mnist() | mnist(zipped=True)
    files |= {f"{name.rpartition('/')[2]}/{name.rpartition('/')[2]}": data for name, data in mnist().items()}
    files |= {name.rpartition("/")[2].replace("-idx", ".idx"): data for name, data in mnist().items()}
    assert open_source(pack(tmp_path / "data", "zip", files)).count == 6


def test_several_data_sets_are_an_error_that_names_them(tmp_path):
    files = emnist("digits", [1, 0]) | emnist("letters", [1, 2])
    path = pack(tmp_path / "data", "zip", files)
    for split in (None, "test"):
        with pytest.raises(
            MidasError, match=r"several IDX files.*give some of them, as .*data\.zip/gzip/emnist-digits"
        ):
            open_source(path, split)
    assert named(open_source(path / "gzip/emnist-letters")) == ["A", "B"]
    assert named(open_source(path / "gzip/emnist-letters-test-images-idx3-ubyte.gz")) == ["A", "B"]


@pytest.mark.parametrize("kind", TYPES)
def test_every_element_type(kind, tmp_path):
    labels = np.array([1, 0, 2, 1])
    (tmp_path / "train-images-idx3-x").write_bytes(typed(DIGITS // 3, kind))
    (tmp_path / "train-labels-idx1-x").write_bytes(typed(labels, kind))
    source = open_source(tmp_path)
    assert [entry.label for entry in source.entries()] == ["1", "0", "2", "1"]
    assert next(source.entries()).read().max() > 0


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress), ("", bytes)])
def test_the_first_column_of_qmnist_is_the_class(ending, compress, tmp_path):
    labels = np.zeros((4, 8))
    labels[:, 0], labels[:, 2] = LABELS, range(4)
    (tmp_path / f"qmnist-train-images-idx3-ubyte{ending}").write_bytes(compress(idx(DIGITS)))
    (tmp_path / f"qmnist-train-labels-idx2-int{ending}").write_bytes(compress(typed(labels, 12)))
    assert [entry.label for entry in open_source(tmp_path, "train").entries()] == ["1", "0", "2", "1"]


@pytest.mark.parametrize(
    ("kind", "labels", "names"),
    [
        ("digits", [7, 0], "70"),
        ("mnist", [7, 0], "70"),
        ("byclass", [10, 35, 36, 61], "AZaz"),
        ("balanced", [10, 36, 46], "Aat"),
        ("bymerge", [10, 37, 46], "Abt"),
        ("letters", [1, 26], "AZ"),
    ],
)
def test_emnist_is_upright_and_named_with_its_mapping_or_without(kind, labels, names, tmp_path):
    first = 1 if kind == "letters" else 0
    characters = dict(zip(labels, names, strict=True))
    mapping = "".join(f"{n} {ord(characters.get(n, '~'))} 33\n" for n in range(first, 62))
    for place, text in (("with", mapping), ("without", "")):
        source = open_source(pack(tmp_path / place, "folder", emnist(kind, labels, mapping=text)), "test")
        assert "".join(named(source)) == names
        assert all((entry.read() == digit).all() for entry, digit in zip(source.entries(), DIGITS, strict=False))
        (note,) = source.notes
        assert (
            "EMNIST" in note
            and note.endswith("turned upright")
            and ("capital" in note) == (kind in ("letters", "balanced", "bymerge"))
        )


def test_emnist_can_be_left_as_it_is(tmp_path):
    path = pack(tmp_path / "data", "folder", emnist("digits", [1, 0]))
    kept, other = open_source(path, transpose=False), open_source(path, class_names={"0": "zero", "1": "one"})
    assert (next(kept.entries()).read() == DIGITS[0].T).all() and "upright" not in kept.notes[0]
    assert named(other) == ["one", "zero"] and len({kept.digest, other.digest, open_source(path).digest}) == 3


def test_a_missing_part_is_an_error_or_with_open_any_a_note(tmp_path):
    path = pack(tmp_path / "data", "zip", emnist("digits", [1, 0]))
    with pytest.raises(MidasError, match="no IDX file of train images"):
        open_source(path, "train")
    assert "has no training part; all that it has is taken" in open_any(path, "train").notes[-1]


def test_a_damaged_mapping_is_an_error(tmp_path):
    path = pack(tmp_path / "data", "folder", emnist("digits", [1, 0], mapping="0 a b,\nx"))
    with pytest.raises(MidasError, match=r"emnist-digits-mapping\.txt is not a mapping"):
        open_source(path)
