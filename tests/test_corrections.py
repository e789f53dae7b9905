"""Corrected copies of data sets: what a list of corrections does, to every form, and what it must never do."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from midas.data.corrections import Correction, apply_corrections, read_corrections
from midas.data.datasets import open_any, open_test_part, read
from midas.errors import MidasError

COLUMNS = ("file", "label", "suggested", "decision")


def page(number):
    """A page with a bar, at a place of its own."""
    image = np.full((40, 40), 255, np.uint8)
    image[8 + number : 32 + number, 18:22] = 0
    return image


@pytest.fixture
def folder(tmp_path):
    """Class folders a, A and b with three images each, of which one is damaged."""
    for name in "aAb":
        (tmp_path / "set" / f"of {name}").mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(tmp_path / "set" / f"of {name}" / f"{number}.png"), page(number))
    (tmp_path / "set" / "of b" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    return tmp_path / "set"


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_list(path, *rows, columns=COLUMNS):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def test_images_are_relabeled_kept_and_dropped_and_their_bytes_stay_the_same(folder, tmp_path):
    before = contents(folder)
    rows = [
        ("of a/0.png", "of a", "of A", "relabel"),
        ("of a/1.png", "of a", "of A", "keep"),
        ("of A/2.png", "of A", "of b", "drop"),
        ("of b/1.png", "of b", "new", ""),
    ]
    listed = read_corrections(write_list(tmp_path / "labels.csv", *rows))
    seen = []
    found = apply_corrections(
        open_any(folder, "train"), listed, tmp_path / "out", progress=lambda *each: seen.append(each)
    )
    after = contents(tmp_path / "out")
    moved = {"of A/0_2.png": before["of a/0.png"], "new/1.png": before["of b/1.png"]}
    gone = {"of a/0.png", "of A/2.png", "of b/1.png"}
    assert after == {**{name: data for name, data in before.items() if name not in gone}, **moved}
    assert contents(folder) == before
    assert (found.images, found.relabeled, found.kept, found.dropped) == (8, 2, 1, 1) and seen[-1] == (8, 8)
    assert read(open_any(tmp_path / "out", None)).class_names == ("new", "of A", "of a", "of b")


def test_without_a_decision_the_suggested_label_is_taken(tmp_path):
    path = write_list(tmp_path / "l.csv", ("x.png", "a", "b"), columns=COLUMNS[:3])
    assert read_corrections(path) == [Correction("x.png", "a", "relabel", "b")]
    assert read_corrections(write_list(tmp_path / "none.csv")) == []
    (tmp_path / "other.csv").write_text("not a list")
    with pytest.raises(MidasError, match="has no column file; give the labels"):
        read_corrections(tmp_path / "other.csv")


def test_arrays_become_png_files_and_parts_stay_parts(tmp_path):
    images = np.stack([page(number) for number in range(4)])
    np.savez(tmp_path / "d.npz", x_train=images, y_train=[0, 0, 1, 1], x_test=images[:2], y_test=[0, 1])
    source = open_any(tmp_path / "d.npz", "train")
    name = next(source.entries()).name
    test = open_test_part(tmp_path / "d.npz", source)
    apply_corrections(source, [Correction(name, "0", "relabel", "1")], tmp_path / "out", test)
    training, tested = (read(open_any(tmp_path / "out", part)) for part in ("train", "test"))
    assert np.bincount(training.labels).tolist() == [1, 3] and np.bincount(tested.labels).tolist() == [1, 1]
    assert np.array_equal(read(source).images[1], training.images[0])


def test_one_page_of_several_gets_another_label(tmp_path):
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "b").mkdir()
    first, *others = (Image.fromarray(page(number)) for number in range(3))
    first.save(tmp_path / "set" / "a" / "scan.tif", save_all=True, append_images=others)
    first.save(tmp_path / "set" / "b" / "one.png")
    source = open_any(tmp_path / "set", None)
    listed = [Correction("a/scan.tif[2]", "a", "relabel", "b"), Correction("a/scan.tif[3]", "a", "drop")]
    apply_corrections(source, listed, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["a/scan.tif[1].png", "b/one.png", "b/scan.tif[2].png"]
    apply_corrections(source, [Correction("a/scan.tif[2]", "a", "keep")], tmp_path / "same")
    assert contents(tmp_path / "same") == contents(tmp_path / "set")


def test_zip_archives_and_tables_beside_images(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    apply_corrections(open_any(archive, None), [], tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)
    images = tmp_path / "table" / "img"
    images.mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(images / f"{number}.png"), page(number))
    (tmp_path / "table" / "labels.csv").write_text("image,label\nimg/0.png,x/y\nimg/1.png,B\n")
    found = apply_corrections(open_any(tmp_path / "table", None), [], tmp_path / "other")
    assert sorted(contents(tmp_path / "other")) == ["B/1.png", "x_y/0.png"]
    assert found.without_label == 1 and found.folders == {"B": "B", "x/y": "x_y"}


def test_what_does_not_fit_is_refused_before_anything_is_written(folder, tmp_path):
    source, out = open_any(folder, "train"), tmp_path / "out"
    for listed, message in (
        ([Correction("of a/9.png", "of a")], "has no image 'of a/9.png'"),
        ([Correction("of a/0.png", "of b", "keep")], "has the label 'of a', not 'of b'"),
        ([Correction("of a/0.png", "of a", "drop")] * 2, "twice"),
    ):
        with pytest.raises(MidasError, match=message):
            apply_corrections(source, listed, out)
    for inside in (folder, folder / "copy"):
        with pytest.raises(MidasError, match=r"not empty|within the data set"):
            apply_corrections(source, [], inside)
    assert not out.exists() and not (folder / "copy").exists()
    out.mkdir()
    apply_corrections(source, [], out)  # an empty folder is as good as none
    with pytest.raises(MidasError, match="not empty"):
        apply_corrections(source, [], out)


def test_the_copy_may_go_to_the_current_folder_an_empty_one_or_where_a_link_leads(folder, tmp_path, monkeypatch):
    source = open_any(folder, "train")
    for name in ("here", "empty", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    monkeypatch.chdir(tmp_path / "here")
    for out, written in ((Path(), "here"), (tmp_path / "empty", "empty"), (tmp_path / "link", "target")):
        apply_corrections(source, [], out)
        assert contents(tmp_path / written) == contents(folder)
    assert (tmp_path / "link").is_symlink()


def test_lists_that_cannot_be_read(tmp_path):
    path = tmp_path / "l.csv"
    for rows, columns, message in (
        ([("x", "a")], ("file", "label"), "has no column suggested"),
        ([("x", "a", "b", "perhaps")], COLUMNS, "line 2: no decision 'perhaps'"),
        ([("x", "a", " ", "relabel")], COLUMNS, "line 2: no suggested label"),
    ):
        with pytest.raises(MidasError, match=message):
            read_corrections(write_list(path, *rows, columns=columns))
    path.write_bytes(b"file,label,suggested\n\xff\xfe,a,b\n")
    with pytest.raises(MidasError, match="not a list of labels"):
        read_corrections(path)
    with pytest.raises(MidasError, match="No such file"):
        read_corrections(tmp_path / "missing.csv")
