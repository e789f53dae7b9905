"""CSV files of pixels: where the label is, titles of every kind, numbers and text, and the CSV that midas writes."""

import csv
import dataclasses
import gzip
import io
import re

import numpy as np
import pytest
from formats import pack, page

from midas.data.datasets import read, save
from midas.data.export import write_csv
from midas.data.sources import open_source
from midas.errors import MidasError

DIGITS = np.stack([255 - page(width=28, height=28, pen=pen) for pen in (2, 3, 4, 3, 5)])
LABELS = ["1", "0", "2", "1", "3"]
PIXELS = [f"pixel{i}" for i in range(784)]


def table(titles=(), labels=LABELS, last=False, images=DIGITS, number=str, more=(), **options):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", **options)
    if titles:
        writer.writerow(titles)
    for image, label in zip(images, labels, strict=True):
        pixels = list(map(number, image.ravel().tolist()))
        writer.writerow(
            [*more, *([] if label is None else [label] if not last else []), *pixels, *([label] if last else [])]
        )
    return file.getvalue().encode()


def packed(titles="", row="{label},{pixels}", labels=LABELS):
    rows = [
        row.format(label=label, pixels=" ".join(map(str, image.ravel().tolist())))
        for image, label in zip(DIGITS, labels, strict=True)
    ]
    return "\n".join([*([titles] if titles else []), *rows]).encode()


def check(path, labels=LABELS, split=None):
    source = open_source(path, split)
    entries = list(source.entries())
    assert [entry.label for entry in entries] == labels and source.count == len(labels)
    assert all(
        np.abs(entry.read().astype(int) - digit).max() <= 1 for entry, digit in zip(entries, DIGITS, strict=False)
    )
    return source


@pytest.mark.parametrize(
    "data",
    [
        table(["label", *PIXELS]),
        table(["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))]),
        table(),
        table(last=True),
        table([*PIXELS, "class"], last=True),
        table(["0", "0.1", *(f"0.{i}" for i in range(2, 785))]),
        table([str(i) for i in range(785)]),
        table(["", "label", *PIXELS], more=["7"]),
        table(["label", *PIXELS], quoting=csv.QUOTE_ALL),
        table(["label", *PIXELS], delimiter=";"),
        table(delimiter="\t"),
        table(delimiter=" "),
        table(number=lambda value: f"{value / 255:.4f}"),
        table(labels=[f"{label}.0" for label in LABELS], number=lambda value: f"{value:.1f}"),
        table(["label", *PIXELS]).replace(b"\n", b"\r\n") + b"\r\n",
        b"\xef\xbb\xbf" + table(["label", *PIXELS]).rstrip(),
        table(["label", *PIXELS]).replace(b"\n", b"\r"),
        table(["label", *PIXELS], delimiter="\t").decode().encode("utf-16"),
        b"# digits, by me\n\n" + table(["label", *PIXELS]),
        b"# " + table(["label", *PIXELS]),
        b"sep=;\r\n" + table(delimiter=";"),
        packed("label,pixels"),
        packed("emotion\tpixels", row="{label}\t{pixels}").decode().encode("utf-16"),
        packed("", row='"[{pixels}]",{label}').replace(b" ", b", "),
    ],
)
def test_layouts_of_every_kind(data, tmp_path):
    (tmp_path / "digits.csv").write_bytes(data)
    check(tmp_path / "digits.csv")


def test_a_column_of_parts_divides_a_table(tmp_path):
    parts = iter(["Training", "PublicTest", "Training", "PrivateTest", "Training"])
    rows = packed("emotion,pixels,Usage").decode().splitlines()
    rows[1:] = [f"{row},{next(parts)}" for row in rows[1:]]
    rows[3] = rows[3].replace(" 0,", ",")
    (tmp_path / "fer2013.csv").write_text("\n".join([*rows, "4"]))
    test = open_source(tmp_path / "fer2013.csv", "test")
    training = open_source(tmp_path, "train")
    assert test.notes == (f"{tmp_path / 'fer2013.csv'}: 1 line in no part of the data set, so left out",)
    assert [entry.label for entry in test.entries()] == ["0", "1"] and test.count == 2
    assert [entry.label for entry in training.entries()] == ["1", None, "3"] and training.digest != test.digest
    found = read(training)
    assert found.labels.tolist() == [0, 1]
    assert [(each.name, each.reason) for each in found.skipped] == [
        ("fer2013.csv[2]", "line 4 has 784 values instead of 785")
    ]


def test_labels_may_be_text(tmp_path):
    labels = ["A", "ä", ",", "a b", "12"]
    for titles in (["label", *PIXELS], ()):
        (tmp_path / "x.csv").write_bytes(table(titles, labels))
        check(tmp_path / "x.csv", labels)
    (tmp_path / "x.csv").write_bytes(packed("letter;pixels", "{label};{pixels}", labels))
    check(tmp_path / "x.csv", labels)


def test_small_images_and_one_hot_labels(tmp_path):
    small = DIGITS[:, 2:18, 6:22]  # 16x16, as those of Semeion
    rows = [
        " ".join([*(f"{p > 128:.4f}" for p in image.ravel()), *("01"[k == int(label)] for k in range(10))]) + " "
        for image, label in zip(small, LABELS, strict=True)
    ]
    (tmp_path / "semeion.data").write_text("\n".join(rows))
    source = open_source(tmp_path / "semeion.data")
    assert [entry.label for entry in source.entries()] == LABELS and next(source.entries()).read().shape == (16, 16)
    (tmp_path / "optdigits.tra").write_bytes(table(images=small[:, :8, :8], last=True))
    assert [entry.label for entry in open_source(tmp_path / "optdigits.tra").entries()] == LABELS


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_tables_in_a_tree_by_part_without_those_that_have_no_labels(form, tmp_path):
    files = {
        "in/mnist_train.csv": table(["label", *PIXELS]),
        "in/mnist_test.csv": table(labels=LABELS[:2], images=DIGITS[:2]),
    }
    path = pack(tmp_path / "both", form, {**files, "README.txt": b"text"})
    check(path, split="train")
    check(path, LABELS[:2], "test")
    kaggle = {
        "train.csv": table(["label", *PIXELS]),
        "test.csv": table(PIXELS, [None] * 5),
        "copy/train.csv": table(["label", *PIXELS]),
    }
    assert "without labels, so left out: test.csv" in check(pack(tmp_path / "kaggle", form, kaggle)).notes[0]


def test_compressed_and_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.pixel_tables.BLOCK", 3000)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(table(["label", *PIXELS])))
    check(tmp_path / "x.csv.gz")


def test_emnist_as_csv_is_turned_upright_and_named(tmp_path):
    (tmp_path / "emnist-letters-test.csv").write_bytes(
        table(labels=["1", "2", "26", "3", "4"], images=DIGITS.transpose(0, 2, 1))
    )
    source = open_source(tmp_path / "emnist-letters-test.csv")
    assert read(source).class_names == ("A", "B", "C", "D", "Z") and (next(source.entries()).read() == DIGITS[0]).all()


def test_the_csv_that_midas_writes_is_read_back(tmp_path):
    np.savez(tmp_path / "x.npz", images=DIGITS, labels=np.array(["a,b", "A", '"', "7", "ä"]))
    dataset = read(open_source(tmp_path / "x.npz"))
    write_csv(dataset, tmp_path / "out.csv")
    again = read(open_source(tmp_path / "out.csv"))
    assert again.class_names == dataset.class_names and again.labels.tolist() == dataset.labels.tolist()
    unread = np.array([entry.read() for entry in open_source(tmp_path / "out.csv").entries()])
    assert (unread == dataset.images).all()
    numbered = dataclasses.replace(dataset, class_names=tuple("01234"))
    write_csv(numbered, tmp_path / "out.csv")
    assert read(open_source(tmp_path / "out.csv")).labels.tolist() == dataset.labels.tolist()
    save(dataset, tmp_path / "again.npz")


def test_lines_may_be_longer_than_the_head_of_a_file(tmp_path):
    large = DIGITS[:2].repeat(3, axis=1).repeat(3, axis=2)
    titles = ["label", *(f"pixel{i}" for i in range(84**2))]  # alone 76 KB
    np.savetxt(tmp_path / "floats.csv", large.reshape(2, -1) / 255, delimiter=",")
    for name, labels in (("in", LABELS[:2]), ("other", LABELS[2:4])):  # they begin with the same titles
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_bytes(table(titles, labels, images=large))
    for path, labels in ((tmp_path / "floats.csv", [None] * 2), (tmp_path / "in", LABELS[:2]), (tmp_path, LABELS[:4])):
        entries = list(open_source(path).entries())
        assert [entry.label for entry in entries] == labels
        assert all(
            np.abs(entry.read().astype(int) - image).max() <= 1 for entry, image in zip(entries, large, strict=False)
        )


@pytest.mark.parametrize(
    ("data", "count", "reasons"),
    [
        (table() + b"1,2,3\n", 5, {5: "line 6 has 3 values instead of 785"}),
        (table()[:-300], 4, {4: "line 5 has 6.. values instead of 785"}),
        (
            table(["label", *PIXELS]) + table()[:-2] + b"x\n" + table(),
            14,
            {9: r"line 11 is not one of pixels \(could not convert string to float: 'x'\)"},
        ),
        (table(["label", *PIXELS]).replace(b"\n", b"\n\n"), 5, {}),
    ],
)
def test_lines_that_do_not_fit_are_named_and_do_not_lose_the_others(data, count, reasons, tmp_path):
    (tmp_path / "x.csv").write_bytes(data)
    dataset = read(open_source(tmp_path / "x.csv"))
    assert [each.name for each in dataset.skipped] == [f"x.csv[{index}]" for index in reasons]
    assert all(re.fullmatch(reasons[int(each.name[6:-1])], each.reason) for each in dataset.skipped)
    assert len(dataset) == count and dataset.class_names == ("0", "1", "2", "3")[: len(set(LABELS[:count]))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b\n1,2\n",
        b"1," * 16 + b"2\n",
        b"\0" * 3000,
        b"1," * 901 + b"1\n",
        pytest.param(b"1," * 2**23, id="one endless line"),
    ],
)
def test_other_files_are_no_tables_of_pixels(data, tmp_path):
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(MidasError, match="not a data set"):
        open_source(tmp_path / "x.csv")
