"""Arrays of images and labels: their names, their shapes, and files of NumPy that hold them."""

from pathlib import Path

import numpy as np
import pytest
from formats import npz, pack, page

from midas.data.arrays import Pair, array_source, find_pairs, label_texts
from midas.data.sources import open_source
from midas.errors import MidasError

DIGITS = np.stack([255 - page(width=28, height=28, pen=pen) for pen in (2, 3, 4, 3)])
LABELS = np.array([1, 0, 2, 1])
TEXTS = ["1", "0", "2", "1"]


def npy(array):
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def labels_of(source):
    return [entry.label for entry in source.entries()]


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["X", "y"], ("X", "y")),
        (["trainX", "trainY"], ("trainX", "trainY")),
        (["train_images", "train_labels"], ("train_images", "train_labels")),
        (["x_val", "y_val"], ("x_val", "y_val")),
        (["features", "labels"], ("features", "labels")),
        (["a/X", "a/Y"], ("a/X", "a/Y")),
        (["data", "target", "target_names", "feature_names", "images"], ("images", "target")),
        (["images", "labels", "class_names", "names", "places", "notes"], ("images", "labels")),
        (["k49-test-imgs", "k49-test-labels"], ("k49-test-imgs", "k49-test-labels")),
        (["data/X", "data/y"], ("data/X", "data/y")),
        (["images/train", "labels/train"], ("images/train", "labels/train")),
        (["x"], ("x", None)),
    ],
)
def test_pairs_are_found_by_their_names(names, pair):
    assert find_pairs(names) == [Pair(*pair)] and find_pairs(names[::-1]) == [Pair(*pair)]


@pytest.mark.parametrize(
    "images",
    [
        DIGITS.reshape(4, 784),
        DIGITS[:, None],
        DIGITS[:, None].repeat(3, 1),
        np.moveaxis(DIGITS, 0, -1),
        np.moveaxis(DIGITS, 0, -1).reshape(784, 4),
        np.moveaxis(DIGITS[..., None].repeat(3, 3), 0, -1),
    ],
)
def test_images_of_any_arrangement(images):
    source = array_source(Path("x"), images, LABELS, None, "")
    assert source.count == 4
    assert all((entry.read() == digit).all() for entry, digit in zip(source.entries(), DIGITS, strict=True))


@pytest.mark.parametrize(
    "labels", [LABELS[None], np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS], np.eye(3, dtype=np.uint8)[LABELS]]
)
def test_labels_of_any_arrangement(labels):
    assert label_texts(Path("x"), labels, 4) == TEXTS


@pytest.mark.parametrize("labels", [np.eye(3)[LABELS] * 2, np.zeros((4, 3)), np.ones((4, 1, 1)), LABELS[:3]])
def test_other_arrays_are_no_labels(labels):
    with pytest.raises(MidasError, match="are not labels of 4 images"):
        label_texts(Path("x"), labels, 4)


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("names", [("X", "y"), ("images", "labels"), ("deep/train_images", "deep/train_labels")])
def test_npy_pairs(names, form, tmp_path):
    files = {f"{names[0]}.npy": npy(DIGITS), f"{names[1]}.npy": npy(np.eye(3)[LABELS])}
    source = open_source(pack(tmp_path / "data", form, files))
    assert labels_of(source) == TEXTS and (next(source.entries()).read() == DIGITS[0]).all()


def test_an_npy_file_finds_its_labels_beside_it(tmp_path):
    pack(tmp_path, "folder", {"X.npy": npy(DIGITS), "y.npy": npy(LABELS), "other.npy": npy(DIGITS)})
    assert labels_of(open_source(tmp_path / "X.npy")) == TEXTS
    assert labels_of(open_source(tmp_path / "other.npy")) == [None] * 4
    with pytest.raises(MidasError, match=r"y\.npy: these are labels; give the file of the images"):
        open_source(tmp_path / "y.npy")


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_class_names_lie_beside_the_images(form, tmp_path):
    arrays = {"X": DIGITS, "y": LABELS, "class_names": np.array(["zero", "one", "two"])}
    path = pack(tmp_path / "z", form, {f"in/{name}.npy": npy(array) for name, array in arrays.items()})
    for data in (path, path / "in/X.npy"):
        assert labels_of(open_source(data)) == ["one", "zero", "two", "one"]


@pytest.mark.parametrize("labels", [LABELS.astype(str), LABELS + 1, LABELS - 1, LABELS + 0.5])
def test_labels_that_are_no_numbers_of_class_names_are_refused(labels, tmp_path):
    arrays = {"X": DIGITS, "y": labels, "class_names": np.array(["zero", "one", "two"])}
    path = pack(tmp_path / "z", "folder", {f"{name}.npy": npy(array) for name, array in arrays.items()})
    for data in (path, path / "X.npy"):
        with pytest.raises(MidasError, match="not every label is the number of a name in class_names"):
            open_source(data)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_one_of_several_npz_files_is_given_by_its_name_or_chosen_by_its_part(form, tmp_path):
    files = {"train.npz": npz(x=DIGITS, y=LABELS), "test.npz": npz(x=DIGITS[:2], y=LABELS[:2])}
    path = pack(tmp_path / "parts", form, files)
    assert [open_source(path, split).count for split in ("train", "test", None)] == [4, 2, 6]
    path = pack(tmp_path / "sets", form, {f"{name}/x.npz": npz(x=DIGITS, y=LABELS) for name in "ab"})
    with pytest.raises(MidasError, match=r"contains several data sets \(a/x.npz, b/x.npz\); give one of them") as error:
        open_source(path)
    assert labels_of(open_source(str(error.value).rpartition("as ")[2])) == TEXTS


def test_npz_files_of_one_array_belong_together(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        (tmp_path / f"kmnist-{part}-imgs.npz").write_bytes(npz(arr_0=DIGITS[:count]))
        (tmp_path / f"kmnist-{part}-labels.npz").write_bytes(npz(arr_0=LABELS[:count]))
    assert [open_source(tmp_path, split).count for split in ("train", "test", None)] == [4, 2, 6]
    assert labels_of(open_source(tmp_path / "kmnist-train-imgs.npz")) == TEXTS


@pytest.mark.parametrize(
    "arrays",
    [
        {"arr_0": DIGITS, "arr_1": LABELS},
        {"a": LABELS, "b": DIGITS},
        {"arr_0": np.eye(3)[LABELS], "arr_1": DIGITS.reshape(4, -1)},
        {"train_images": DIGITS, "train_labels": LABELS[:, None], "test_images": DIGITS[:1], "test_labels": LABELS[:1]},
        {"data": DIGITS.reshape(4, -1), "target": LABELS, "target_names": np.arange(3)},
        {"X": DIGITS, "y": LABELS, "description": np.array("text")},
    ],
)
def test_npz_files_of_other_programs(arrays, tmp_path):
    (tmp_path / "x.npz").write_bytes(npz(**arrays))
    assert labels_of(open_source(tmp_path / "x.npz", "train")) == TEXTS
    assert labels_of(open_source(pack(tmp_path / "z", "zip", {"in/x.npz": npz(**arrays)}), "train")) == TEXTS


def test_the_validation_part_stands_in_for_a_test_part_but_is_not_for_training(tmp_path):
    parts = {"x_train": DIGITS, "y_train": LABELS, "x_val": DIGITS[:2], "y_val": LABELS[:2]}
    (tmp_path / "x.npz").write_bytes(npz(**parts))
    assert [open_source(tmp_path / "x.npz", split).count for split in ("train", "test", None)] == [4, 2, 6]
    assert "has no test part; its validation part is taken" in open_source(tmp_path / "x.npz", "test").notes[0]


def test_images_without_labels_beside_others_are_left_out_and_named(tmp_path):
    (tmp_path / "x.npz").write_bytes(npz(x_train=DIGITS, y_train=LABELS, x_test=DIGITS))
    source = open_source(tmp_path / "x.npz")
    assert source.count == 4 and "without labels, so left out: x_test" in source.notes[0]


def test_python_objects_are_refused_in_words(tmp_path):
    (tmp_path / "x.npz").write_bytes(npz(x=DIGITS, y=np.array([{}] * 4, object)))
    (tmp_path / "X.npy").write_bytes(npy(np.array([{}] * 4, object)))
    for name in ("x.npz", "X.npy"):
        with pytest.raises(MidasError, match=f"{name}: .*holds Python objects, which may contain code"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (30, 44), (40, 60, 3), (40, 60, 4)])
def test_an_array_without_labels_may_be_a_single_image(shape, tmp_path):
    np.save(tmp_path / "drawing.npy", np.zeros(shape, np.uint8))
    (entry,) = open_source(tmp_path / "drawing.npy").entries()
    assert entry.read().shape == shape[:2]


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_files_in_folders_named_by_characters_are_images_of_these_classes(form, tmp_path):
    files = {"A/0.npy": npy(DIGITS[0]), "A/1.npy": npy(DIGITS[1:3] / 255), "b/0.npy": npy(DIGITS[3])}
    path = pack(tmp_path / "data", form, files | {"b/1.npy": b"x" * 9, "b/2.npy": npy(np.zeros(3))})
    source = open_source(path)
    pages = [(entry.label, page) for entry in source.entries() for page in entry.pages()]
    assert source.class_folders == ("A", "b") and [(label, name) for label, (name, _) in pages] == [
        *(("A", "A/0.npy"), ("A", "A/1.npy[1]"), ("A", "A/1.npy[2]")),
        *(("b", "b/0.npy"), ("b", "b/1.npy"), ("b", "b/2.npy")),
    ]
    assert all(np.array_equal(page, digit) for (_, (_, page)), digit in zip(pages, DIGITS, strict=False))
    reasons = [str(page) for _, (_, page) in pages[4:]]
    path = pack(tmp_path / "pair", form, {"X/train.npy": npy(DIGITS), "Y/train.npy": npy(LABELS)})
    assert labels_of(open_source(path)) == TEXTS
    assert reasons[0].startswith("not a readable array") and reasons[1].startswith("float64 (3,) is not an array")


def test_images_with_pixels_beyond_the_range_are_named():
    images = DIGITS / 255
    images[2, 0, 0] = 1e6
    source = array_source(Path("x.npz"), images, LABELS, None, "")
    (note,) = source.notes
    assert note.startswith("x.npz: 1 image with pixels that are not finite or far beyond") and note.endswith(
        " x.npz[2]"
    )
    assert [(entry.read()[1:] == digit[1:]).all() for entry, digit in zip(source.entries(), DIGITS, strict=True)]


@pytest.mark.parametrize("labels", [np.array([1, np.nan, 2, 1]), np.array(["1", "", "2", "1"])])
def test_an_image_without_a_label_does_not_lose_the_others(labels):
    entries = list(array_source(Path("x.npz"), DIGITS, labels, None, "").entries())
    assert [(entry.label, entry.no_label) for entry in entries] == [("1", ""), (None, "no label"), ("2", ""), ("1", "")]


def test_arrays_of_images_without_any_labels_are_classes_by_their_names(tmp_path):
    files = {f"full_numpy_bitmap_{name}.npy": npy(DIGITS.reshape(4, -1)) for name in ("cat", "car", "palm_tree")}
    (tmp_path / "data.npz").write_bytes(npz(cat=DIGITS, car=DIGITS[:1], palm_tree=DIGITS))
    for path in (
        pack(tmp_path / "draw", "folder", files),
        pack(tmp_path / "draw", "zip", files),
        tmp_path / "data.npz",
    ):
        source = open_source(path)
        assert set(labels_of(source)) == {"cat", "car", "palm_tree"} and labels_of(source).count("cat") == 4
        assert source.notes == (f"{path}: each array is taken for a class: car, cat, palm_tree",)
    for arrays in (
        {"train": DIGITS, "test": DIGITS},
        {"arr_0": DIGITS, "arr_1": DIGITS},
        {"a": DIGITS, "b": DIGITS[:, :20]},
    ):
        (tmp_path / "other.npz").write_bytes(npz(**arrays))
        with pytest.raises(MidasError, match="expected images and labels"):
            open_source(tmp_path / "other.npz")
