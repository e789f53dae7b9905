"""Reading data sets: labels, skipped images, the data sets that experiments name, and a cache that is never stale."""

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from formats import encode, idx, npz, pack, page, tree

from midas.data import sample
from midas.data.datasets import (
    DIGITS,
    LOCATIONS,
    Dataset,
    cached,
    load,
    open_all,
    open_any,
    open_named,
    read,
    read_digits,
    save,
)
from midas.data.export import write_csv
from midas.data.glyphs import Glyphs
from midas.data.labels import name_classes
from midas.data.levels import BLANK
from midas.data.memmap import ImageFile, file_for
from midas.data.preprocessing import normalize
from midas.data.reading import stream
from midas.data.sources import open_source
from midas.errors import MidasError
from midas.files import parse, to_json
from midas.records import DatasetSummary, Skipped

ARRAYS = ("images", "labels", "names", "pages")


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two data sets are equal in everything."""
    arrays = all(map(np.array_equal, *([getattr(each, name) for name in ARRAYS] for each in (one, other))))
    arrays &= (one.glyphs.places == other.glyphs.places).all()
    plain = ("class_names", "skipped", "is_sample")
    return arrays and all(getattr(one, name) == getattr(other, name) for name in plain)


@pytest.fixture
def drawings(tmp_path):
    """A zip of two classes with two drawings each."""
    return pack(tmp_path / "drawings", "zip", tree("train/Sample001", "train/Sample037"))


# ---- reading


def test_reading_gives_glyphs_with_labels(drawings):
    calls = []
    dataset = read(open_source(drawings), progress=lambda *numbers: calls.append(numbers))
    assert dataset.images.shape == (4, 28, 28) and dataset.images.dtype == np.uint8
    assert (dataset.images[[0, 1]] == [normalize(page(pen=4)).image, normalize(page(pen=5)).image]).all()
    assert dataset.labels.tolist() == [0, 0, 1, 1] and dataset.labels.dtype == np.int64
    assert dataset.class_names == ("0", "a") and dataset.names[3] == "train/Sample037/1.png"
    assert dataset.skipped == () and dataset.pages.tolist() == 4 * ["120x90"] and not dataset.is_sample
    assert calls == [(4, 4)]
    assert read(open_source(drawings), 40).images.shape == (4, 40, 40)


def test_the_order_is_that_of_the_source_on_any_number_of_cores(tmp_path):
    source = open_source(pack(tmp_path / "data", "tar", tree("b", "a", images=150)))
    names = [entry.name for entry in source.entries()]
    assert read(source).names.tolist() == names and len(names) == 300
    assert [item.entry.name for item in itertools.islice(stream(source, 28), 5)] == names[:5]


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_bad_images_are_skipped_and_listed_and_strict_refuses(form, tmp_path):
    bad = {"0/blank.png": encode(np.full((9, 9), 255, np.uint8)), "0/empty.png": b"", "1/text.jpg": b"text"}
    files = {**tree("0", "1"), **bad, "0/cut.jpg": encode(page(), "JPEG")[:-50], "stray.png": encode(page())}
    source = open_source(pack(tmp_path / "data", form, files))
    dataset = read(source)
    reasons = {each.name: each.reason for each in dataset.skipped}
    assert len(dataset) == 4 and set(reasons) == {*bad, "0/cut.jpg", "stray.png"}
    assert (reasons["0/blank.png"], reasons["0/empty.png"]) == (BLANK, "empty file")
    assert reasons["stray.png"] == "no label, and not in a class folder"
    assert dataset.summary().skipped == dataset.skipped
    with pytest.raises(MidasError, match=r"data.*: 0/.*: .* \(and 4 more\); repair or remove it, or omit --strict"):
        read(source, strict=True)


@pytest.mark.parametrize("content", [None, b"text"])
def test_a_class_folder_without_images_is_an_error(content, tmp_path):
    files = {**tree("train/0", "train/1"), "train/2" if content is None else "train/2/a.png": content}
    for form in ("folder", "zip", "tar"):
        with pytest.raises(MidasError, match="class folder without usable images: 2; fill or remove it"):
            read(open_source(pack(tmp_path / "data", form, files)))


def test_folders_that_may_or_may_not_be_classes_are_named(tmp_path):
    path = pack(tmp_path / "one", "folder", tree("cat", "cat/more", "dog"))
    with pytest.raises(MidasError, match=r"one: class folder cat has a folder with images in it, cat/more; move"):
        read(open_source(path, "train"))
    path = pack(tmp_path / "all", "folder", tree("cat/Ann", "cat/Bob", "dog/Ann", "dog/Bob"))
    for split in ("train", None):
        source = open_source(path, split)
        assert len(list(source.entries())) == 8
        with pytest.raises(
            MidasError, match=r"several places \(cat, dog\): .* \(Ann, Bob\); give one of them, as .*CSV"
        ):
            read(source)
    path = pack(tmp_path / "lone", "folder", tree("A", "A/more"))
    with pytest.raises(MidasError, match=r"; 'A' has the folder 'A/more' with images in it, so it is not"):
        read(open_source(path))


def test_missing_labels_are_an_error(tmp_path):
    path = pack(tmp_path / "flat", "folder", {"a.png": encode(page())})
    with pytest.raises(MidasError, match=r"no usable image with a label \(.*: no label, and not in a class folder\)"):
        read(open_source(path))


def test_missing_labels_of_arrays_and_tables_are_said_with_the_way_to_give_them(tmp_path):
    digits = np.stack([page(width=28, height=28)] * 3)
    (tmp_path / "digits.npz").write_bytes(npz(x=digits, answers=np.arange(3)))
    np.save(tmp_path / "X.npy", digits)
    np.savetxt(tmp_path / "digits.csv", digits.reshape(3, -1), "%d", ",")
    for name, reason in (
        ("digits.npz", "the images have no labels; save them together, as .* there is answers\\)"),
        ("X.npy", "the images have no labels; save them together, as x and y or images and labels in an .npz, or as"),
        ("digits.csv", "the images have no labels; add a column titled label"),
    ):
        with pytest.raises(MidasError, match=f"{name}: {reason}"):
            read(open_source(tmp_path / name))


def test_a_damaged_zip_member_does_not_affect_the_others(drawings):
    data = bytearray(drawings.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 255
    drawings.write_bytes(data)
    dataset = read(open_source(drawings))
    assert len(dataset) == 3 and dataset.skipped[0].name == "train/Sample001/0.png"
    assert "damaged in the archive" in dataset.skipped[0].reason


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([f"Sample{number:03d}" for number in range(1, 63)], tuple(sample.CHARACTERS)),
        (["Sample062", "Sample010"], ("9", "z")),
        (["Sample001", "Sample063"], ("Sample001", "Sample063")),
        (["b", "A", "1", "a", "0"], ("0", "1", "A", "a", "b")),
        (["item10", "item9", "ä", "item", "7"], ("7", "item", "item9", "item10", "ä")),
        (["²", "٣", "1" * 5000, "12", "012"], ("012", "12", "1" * 5000, "²", "٣")),
    ],
)
def test_classes_are_named_and_ordered(labels, names):
    class_names, indices = name_classes(labels * 2)
    assert class_names == names and indices.dtype == np.int64
    if not labels[0].startswith("Sample0"):
        assert [class_names[index] for index in indices] == labels * 2


# ---- data sets


def test_selections_and_summary(drawings):
    dataset = read(open_source(drawings))
    taken = dataset.take(np.array([3, 0]))
    assert taken.labels.tolist() == [1, 0] and taken.names.tolist() == dataset.names[[3, 0]].tolist()
    letters = dataset.only(("a",))
    assert letters.class_names == ("a",) and letters.labels.tolist() == [0, 0]
    reordered = dataset.only("a0")
    assert reordered.class_names == ("a", "0") and reordered.labels.tolist() == [1, 1, 0, 0]
    assert (reordered.images == dataset.images).all()
    with pytest.raises(MidasError, match="no class b, c"):
        dataset.only(("a", "b", "c"))
    summary = dataset.summary()
    assert summary.images_per_class == {"0": 2, "a": 2} and summary.page_sizes == {"120x90": 4}
    assert letters.summary().page_sizes == {"120x90": 2}  # its own, not those of the whole
    assert (summary.images, summary.classes, summary.smallest_class, summary.largest_class) == (4, 2, 2, 2)
    assert summary.mean_ink == pytest.approx(dataset.images.mean() / 255)
    assert parse(DatasetSummary, json.loads(to_json(summary))) == summary


def test_the_digest_depends_on_glyphs_labels_and_class_names(drawings):
    dataset = read(open_source(drawings))
    others = [
        dataclasses.replace(dataset, glyphs=Glyphs(dataset.images ^ 1, dataset.glyphs.places)),
        dataclasses.replace(dataset, glyphs=Glyphs(dataset.images, dataset.glyphs.places + 1)),
        dataclasses.replace(dataset, labels=1 - dataset.labels),
        dataclasses.replace(dataset, class_names=("0", "b")),
    ]
    assert len({data.digest for data in [dataset, *others]}) == 5 and len(dataset.digest) == 16
    assert dataset.digest == read(open_source(drawings)).digest


def test_predictions_are_joined_with_what_was_predicted(drawings):
    dataset = read(open_source(drawings))
    probabilities = np.full((4, 2), 0.5, np.float32)
    joined = dataset.predictions(probabilities, np.array([1, 3]), np.zeros((2, 8), np.float16))
    assert joined.probabilities is probabilities and joined.labels is dataset.labels and joined.names is dataset.names
    assert joined.images is dataset.images and joined.embedded.tolist() == [1, 3] and joined.features.shape == (2, 8)


def test_a_saved_data_set_is_a_source(drawings, tmp_path):
    dataset = read(open_source(drawings))
    save(dataset, tmp_path / "prepared.npz")
    again = read(open_source(tmp_path / "prepared.npz", "train"))
    assert (again.images == dataset.images).all() and (again.labels == dataset.labels).all()
    assert again.class_names == dataset.class_names and (again.names == dataset.names).all()


# ---- data sets that experiments name


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.xz"])
def test_a_named_data_set_may_have_any_form(form, tmp_path):
    pack(tmp_path / "trainPart1", form, tree("train/Sample001", "train/Sample002"))
    assert open_named("part1", tmp_path).count == 4 and list(open_all(tmp_path)) == ["part1"]


def test_the_splits_of_mnist_are_data_sets_of_their_own(tmp_path):
    images = np.stack([255 - page(width=28, height=28, pen=pen) for pen in (2, 3, 4)])
    (tmp_path / "mnist.npz").write_bytes(npz(x_train=images, y_train=np.arange(3), x_test=images[:1], y_test=[2]))
    cache = tmp_path / "cache"
    assert [len(load(name, tmp_path, cache_dir=cache)) for name in ("mnist", "mnist-test", "mnist")] == [3, 1, 3]
    folder = tmp_path / "mnist"  # a folder takes precedence over a file
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images[:2]))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(2)))
    assert len(load("mnist", tmp_path, cache_dir=cache)) == 2
    with pytest.raises(MidasError, match="no IDX file of test images"):
        load("mnist-test", tmp_path, cache_dir=cache)


def test_a_missing_data_set_is_an_error_that_says_how_to_get_it(tmp_path):
    nowhere = tmp_path / "nowhere"
    for folder in (tmp_path, "sample"):
        with pytest.raises(MidasError, match="no data set 'part4'; those with names are part1, "):
            open_named("part4", folder)
    for attempt in (lambda: open_named("part3", tmp_path), lambda: open_all(tmp_path), lambda: open_all(nowhere)):
        with pytest.raises(MidasError, match="'midas download', or use the embedded sample with --data-dir sample"):
            attempt()


def test_the_sample_has_every_named_data_set():
    sources = open_all("sample")
    assert list(sources) == list(LOCATIONS) and len({source.digest for source in sources.values()}) == 4
    digits = load("mnist-test", "sample")
    assert digits.is_sample and digits.class_names == DIGITS and len(digits) == 450
    given = [entry.label for entry in sources["part3"].entries()]
    true = [entry.label for entry in sources["mnist"].entries()]
    assert all(one != other for one, other in zip(given, true, strict=True))
    first = next(iter(sources["part1"].entries()))
    assert first.label == "Sample001" and first.read().shape == (900, 1200) and sources["part1"].count == 62 * 40


def test_a_path_or_the_sample_can_be_opened(drawings):
    assert open_any(drawings, "train").count == 4 and open_any(str(drawings), None).count == 4
    assert open_any("sample", "test").path == "sample part1"


def test_the_digits_of_mnist_are_read_without_normalizing(tmp_path):
    images = np.stack([page(width=28, height=28, pen=pen) for pen in (2, 3, 4)])
    (tmp_path / "mnist.npz").write_bytes(npz(x_train=images, y_train=np.arange(3)))
    read_images, labels = read_digits(tmp_path)
    assert (read_images == images).all() and labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("labels", [np.array(["a", "b", "c"]), None])
def test_other_labels_than_digits_are_an_error(labels, tmp_path):
    images = np.stack([page(width=28, height=28)] * 3)
    (tmp_path / "mnist.npz").write_bytes(npz(x_train=images, **({} if labels is None else {"y_train": labels})))
    with pytest.raises(MidasError, match=r"mnist\.npz: not digits of one size \(.*\); download MNIST again"):
        read_digits(tmp_path)


def test_the_digits_of_part_1(tmp_path):
    pack(tmp_path / "trainPart1", "zip", tree(*(f"Sample{number:03d}" for number in range(1, 13)), images=1))
    assert load("part1-digits", tmp_path).class_names == DIGITS and len(load("part1", tmp_path)) == 12


# ---- the cache


def test_a_second_call_reads_nothing(tmp_path):
    path = pack(tmp_path / "data", "folder", {**tree("0", "1"), "1/bad.png": b"text"})
    source = open_source(path)
    first = cached(source, 28, tmp_path / "cache")
    shutil.rmtree(path)
    assert same(cached(source, 28, tmp_path / "cache"), first)
    assert first.skipped == (Skipped("1/bad.png", "not an image, or truncated"),)
    with pytest.raises(MidasError, match=r"1/bad.png: .*--strict"):
        cached(source, 28, tmp_path / "cache", strict=True)
    with pytest.raises(MidasError):
        cached(source, 20, tmp_path / "cache")  # another size is cached separately, and the files are gone


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_a_changed_source_is_noticed(form, tmp_path):
    files = tree("0", "1")
    for change in ({}, {"0/0.png": encode(page("H"))}, {"1/9.png": encode(page())}, {"2/0.png": encode(page())}):
        files |= change
        path = pack(tmp_path / "data", form, files)
        found = cached(open_source(path), 28, tmp_path / "cache")
        assert same(found, read(open_source(path))) and len(found) == len(files)


def test_the_splits_of_one_file_are_cached_separately(tmp_path):
    path = pack(tmp_path / "data", "zip", {**tree("train/0", "train/1"), **tree("test/0", "test/1", images=1)})
    for split, count in (("train", 4), ("test", 2), (None, 6), ("train", 4)):
        assert len(cached(open_source(path, split), 28, tmp_path / "cache")) == count


def test_a_damaged_cache_is_replaced(drawings, tmp_path):
    cache = tmp_path / "cache"
    expected = cached(open_source(drawings), 28, cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    pixel = whole.index(expected.images.tobytes())
    flipped = whole[:pixel] + b"\1" + whole[pixel + 1 :]
    for damage in (b"", b"text", whole[:-9], whole[: len(whole) // 2], flipped, npz(notes=3), npz(notes="[]"), npz()):
        file.write_bytes(damage)
        assert same(cached(open_source(drawings), 28, cache), expected)
        assert [path.name for path in cache.iterdir()] == [file.name] and file.read_bytes() == whole


def test_glyphs_that_are_too_many_for_memory_stay_on_disk(drawings, tmp_path, monkeypatch):
    in_memory, cache = cached(open_source(drawings), 28, tmp_path / "other"), tmp_path / "cache"
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 3 * 28**2)
    read_first, from_cache = (cached(open_source(drawings), 28, cache) for _ in range(2))
    for dataset in (read_first, from_cache):
        assert isinstance(dataset.images, ImageFile) and dataset.images.shape == in_memory.images.shape
        assert same(dataset, in_memory) and dataset.summary() == in_memory.summary()
        assert isinstance(dataset.take(np.array([2, 0])).images, np.ndarray)
    order = np.array([3, 1, 0, 2])
    for name, dataset in (("memory", in_memory), ("disk", from_cache)):
        write_csv(dataset, tmp_path / f"{name}.csv")
    assert (tmp_path / "memory.csv").read_bytes() == (tmp_path / "disk.csv").read_bytes()
    reordered = from_cache.take(order).take(order)
    assert isinstance(reordered.images, ImageFile) and same(reordered, in_memory.take(order[order]))
    assert (reordered.images[1:3] == in_memory.images[order[order]][1:3]).all()
    (glyphs,) = cache.glob("*.glyphs")
    glyphs.write_bytes(glyphs.read_bytes()[:-1])  # noticed, and written again
    assert same(cached(open_source(drawings), 28, cache), in_memory)
    flawed = open_source(pack(tmp_path / "flawed", "zip", {**tree("0", "1"), "1/bad.png": b"text"}))
    with pytest.raises(MidasError, match="--strict"):
        cached(flawed, 28, tmp_path / "strict", strict=True)
    assert not any((tmp_path / "strict").iterdir())


@pytest.mark.parametrize("in_memory", [2**27, 3 * 28**2])
def test_a_cache_that_cannot_be_written_is_not_used(in_memory, drawings, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", in_memory)
    (tmp_path / "file").write_text("a file where a folder is needed")
    dataset = cached(open_source(drawings), 28, tmp_path / "file" / "cache")
    assert same(dataset, read(open_source(drawings)))
    assert len(caplog.messages) == 1 and "continuing without the cache" in caplog.messages[0]
    if isinstance(dataset.images, ImageFile):
        assert str(dataset.images.path.parent) in caplog.messages[0]
        shutil.rmtree(dataset.images.path.parent)  # as the end of the process would
    assert isinstance(dataset.images, ImageFile) == (in_memory < 2**27)


def test_large_images_need_room_in_the_cache(tmp_path, caplog):
    shape = (2**40, 28, 28)
    file = file_for(tmp_path / "cache" / "x.glyphs", shape)
    assert file.name == "x.glyphs" and file.parent.is_dir() and file.parent != tmp_path / "cache"
    assert "cache: cannot be written: No space left" in caplog.messages[0]
    file.parent.rmdir()
    assert file_for(tmp_path / "x", (3, 28, 28)) == tmp_path / "x" and len(caplog.messages) == 1


def test_two_processes_can_use_the_cache_at_the_same_time(tmp_path):
    path = pack(tmp_path / "data", "zip", tree("0", "1", images=100))
    code = (
        "import sys; from midas.data.sources import open_source; from midas.data.datasets import cached\n"
        "print(cached(open_source(sys.argv[1]), 28, sys.argv[2]).digest)"
    )
    command = [sys.executable, "-c", code, path, tmp_path / "cache"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {process.communicate()[0].strip() for process in processes}
    assert digests == {read(open_source(path)).digest} and len(list((tmp_path / "cache").iterdir())) == 1
