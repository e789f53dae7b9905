"""Tables of file names and labels beside images, whatever their columns are called and however they name files."""

import gzip
import json

import pytest
from formats import encode, pack, page

from midas.data.datasets import read
from midas.data.sources import open_source
from midas.errors import MidasError

NAMES = ["img001-001", "img001-002", "img002-001", "img002-002"]
IMAGES = {f"Img/{name}.png": encode(page(pen=pen)) for pen, name in enumerate(NAMES, 4)}
LABELS = ["A", "a", "A", "7"]


def table(titles, form="Img/{}.png", delimiter=","):
    rows = [delimiter.join([form.format(name), label]) for name, label in zip(NAMES, LABELS, strict=True)]
    return "\n".join([titles, *rows] if titles else rows).encode()


def found(source):
    return {entry.name.rpartition("/")[2].removesuffix(".png"): entry.label for entry in source.entries()}


EXPECTED = dict(zip(NAMES, LABELS, strict=True))


@pytest.mark.parametrize("form", ["folder", "zip", "tar", "tar.gz"])
def test_a_table_beside_a_folder_of_images(form, tmp_path):
    path = pack(tmp_path / "data", form, {"english.csv": table("image,label"), **IMAGES})
    source = open_source(path)
    assert found(source) == EXPECTED and source.count == 4 and source.class_folders == ()
    assert source.notes == (f"{path}: labels are those of english.csv",)
    assert read(source).class_names == ("7", "A", "a")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.csv", table("filename,class", "/kaggle/input/set/Img/{}.png")),
        ("x.csv", table("path,char", "C:\\data\\Img\\{}.png")),
        ("x.csv", table("id,target", "{}")),
        ("x.csv", table("name;symbol", "{}.png", ";")),
        ("x.csv", table("", "./Img/{}.png")),
        ("x.csv", b"\xef\xbb\xbf" + table("image,label").replace(b"\n", b"\r\n")),
        ("x.csv", table("image,label").decode().encode("utf-16")),
        ("x.csv", table("image,what_it_shows")),
        ("x.csv", b"# labels, by me\n#\n" + table("image,label").replace(b"\n", b"\r")),
        ("x.csv", b"sep=;\r\n" + table("image;label", delimiter=";")),
        ("x.csv.gz", gzip.compress(table("image,label"), mtime=0)),
        ("Img/x.tsv", table("file\tcategory", "{}.png", "\t")),
        ("labels.txt", table("", "Img/{}.png", " ")),
        ("x.json", json.dumps({f"{name}.png": label for name, label in EXPECTED.items()}).encode()),
        ("x.jsonl", "\n".join(json.dumps({"file_name": n, "label": v}) for n, v in EXPECTED.items()).encode()),
        (
            "labels.csv",
            b"file,label,suggested,probability,changed\n"
            + b"\n".join(f"Img/{n}.png,{v},x,0.9,yes".encode() for n, v in EXPECTED.items()),
        ),
        (
            "x.csv",
            b",image,width,label\n"
            + b"\n".join(f"{i},Img/{n}.png,9,{v}".encode() for i, (n, v) in enumerate(EXPECTED.items())),
        ),
        (
            "x.csv",  # of pandas: the only other column needs no title
            b"Unnamed: 0,file,what\n" + b"\n".join(b"1,%s" % row for row in table("").split(b"\n")),
        ),
        ("x.csv", b"# drawn by hand\n" + table("image, label").replace(b",", b", ")),
        ("x.csv", b"label,file\n" + b"\n".join(f"{v},{n}.png".encode() for n, v in EXPECTED.items())),
        ("x.json", json.dumps([{"file": name, "label": label} for name, label in EXPECTED.items()]).encode()),
        ("x.json", json.dumps({"items": [{"file": n, "label": v} for n, v in EXPECTED.items()]}).encode()),
        ("x.json", json.dumps({name: {"pen": 3, "label": label} for name, label in EXPECTED.items()}).encode()),
        ("x.json", json.dumps({"file": NAMES, "label": LABELS}).encode()),
        ("x.json", json.dumps({"file": dict(enumerate(NAMES)), "label": dict(enumerate(LABELS))}).encode()),
        ("x.json", json.dumps({"A": NAMES[::2], "a": NAMES[1:2], "7": NAMES[3:]}).encode()),
        (
            "_annotations.coco.json",
            json.dumps(
                {
                    "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(NAMES)],
                    "categories": [{"id": ord(label), "name": label} for label in "Aa7"],
                    "annotations": [{"image_id": i, "category_id": ord(label)} for i, label in enumerate(LABELS)],
                }
            ).encode(),
        ),
    ],
)
def test_columns_and_names_of_every_kind(name, data, tmp_path):
    path = pack(tmp_path / "data", "folder", {name: data, **IMAGES})
    assert found(open_source(path)) == EXPECTED == found(open_source(path / name if "/" not in name else path))


def test_numbers_as_labels_lose_their_fraction(tmp_path):
    data = "image,label\n" + "\n".join(f"{name}.png,{n}.0" for n, name in enumerate(NAMES))
    assert list(
        found(open_source(pack(tmp_path / "d", "folder", {"x.csv": data.encode(), **IMAGES}))).values()
    ) == list("0123")


def test_what_is_missing_on_either_side_is_listed(tmp_path):
    data = table("image,label") + b"\nImg/none.png,B\nImg/img003.png,"
    path = pack(
        tmp_path / "d",
        "folder",
        {"x.csv": data, **IMAGES, "Img/img003.png": encode(page()), "Img/z.png": encode(page())},
    )
    dataset = read(open_source(path))
    reasons = {each.name: each.reason for each in dataset.skipped}
    assert len(dataset) == 4 and set(reasons) == {"Img/none.png", "Img/img003.png", "Img/z.png"}
    assert reasons["Img/none.png"] == "in the table of labels, but no such file"


def test_a_table_of_many_more_images_labels_those_that_are_there(tmp_path):
    more = b"\n".join(b"Img/img%03d.png,B" % number for number in range(3000))
    path = pack(tmp_path / "data", "folder", {"english.csv": table("image,label") + b"\n" + more, **IMAGES})
    source = open_source(path)
    assert source.count == 3004 and [entry.label for entry in source.entries()][:4] == LABELS
    numbers = "count,class\n" + "1,a\n2,b\n" + "7,c\n" * 50  # that are not names of files
    path = pack(tmp_path / "numbers", "folder", {"x.csv": numbers.encode(), "1.png": b"", "2.png": b""})
    assert [entry.label for entry in open_source(path).entries()] == [None, None]


def test_a_table_takes_precedence_over_class_folders_if_it_lists_most_images(tmp_path):
    images = {f"{label}/{n}.png": encode(page()) for label in "AB" for n in range(3)}
    most = "file,label\n" + "\n".join(f"{name},X" for name in list(images)[:4])
    labels = {
        entry.name: entry.label
        for entry in open_source(pack(tmp_path / "m", "zip", {"l.csv": most.encode(), **images})).entries()
    }
    assert list(labels.values()) == ["X"] * 4 + ["B"] * 2
    few = "file,label\n" + "\n".join(f"{name},X" for name in list(images)[:2])
    source = open_source(pack(tmp_path / "f", "zip", {"l.csv": few.encode(), **images}))
    assert source.class_folders == ("A", "B") and {entry.label for entry in source.entries()} == {"A", "B"}


def test_parts_come_from_a_column_from_the_table_or_from_folders(tmp_path):
    column = b"image,label,split\n" + b"\n".join(
        f"{name}.png,{label},{'train' if i < 3 else 'test'}".encode()
        for i, (name, label) in enumerate(EXPECTED.items())
    )
    path = pack(tmp_path / "c", "folder", {"x.csv": column, **IMAGES})
    assert [open_source(path, split).count for split in ("train", "test", None)] == [3, 1, 4]
    path = pack(tmp_path / "p", "folder", {"x.csv": column.replace(b"test", b""), **IMAGES, "new.png": encode(page())})
    source = open_source(path, "train")
    assert source.count == 3 and any("in no part" in note and "img002-002.png, new" in note for note in source.notes)
    tables = {"train.csv": table("", "{}").split(b"\n")[:3], "test.csv": table("", "{}").split(b"\n")[3:]}
    path = pack(tmp_path / "t", "folder", {**{name: b"\n".join(rows) for name, rows in tables.items()}, **IMAGES})
    assert [open_source(path, split).count for split in ("train", "test")] == [3, 1]
    images = {f"{'training' if i < 3 else 'testing'}/{name}.png": encode(page()) for i, name in enumerate(NAMES)}
    path = pack(tmp_path / "f", "folder", {"x.csv": table("image,label", "{}.png"), **images})
    assert [open_source(path, split).count for split in ("train", "test")] == [3, 1]


def test_an_image_with_two_labels_does_not_lose_the_others(tmp_path):
    data = table("image,label") + b"\nImg/img001-001.png,B\nImg/img001-002.png,a"
    dataset = read(open_source(pack(tmp_path / "d", "folder", {"x.csv": data, **IMAGES})))
    (skipped,) = dataset.skipped
    assert (skipped.name, skipped.reason) == ("Img/img001-001.png", "2 labels (A, B) in x.csv; give it one")
    assert len(dataset) == 3


def test_of_several_lines_on_an_image_those_with_a_label_count(tmp_path):
    data = table("image,label") + b"\nImg/img001-001.png,\nImg/img001-002.png,b\nImg/img001-002.png,c"
    data = data.replace(b"Img/img002-001.png,A", b"Img/img002-001.png,\nImg/img002-001.png,A")
    source = open_source(pack(tmp_path / "d", "folder", {"x.csv": data, **IMAGES}))
    assert found(source) == EXPECTED | {"img001-002": None}
    assert read(source).skipped[0].reason == "3 labels (a, b, c) in x.csv; give it one"


def test_numbers_that_pandas_wrote_as_fractions_where_some_are_missing(tmp_path):
    labels = ["3.0", "", "7.0", "3.0"]
    data = "image,label\n" + "\n".join(f"{name}.png,{label}" for name, label in zip(NAMES, labels, strict=True))
    source = open_source(pack(tmp_path / "d", "folder", {"x.csv": data.encode(), **IMAGES}))
    assert list(found(source).values()) == ["3", None, "7", "3"]


def one_hot(rows, titles="filename, A, a, y"):
    lines = [", ".join([f"{name}.png", *flags]) for name, flags in zip(NAMES, rows, strict=True)]
    return "\n".join([titles, *lines]).encode()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_column_for_each_class_in_every_part_as_roboflow_exports_them(form, tmp_path):
    images = {f"{part}/{name}.png": encode(page()) for part in ("train", "valid", "test") for name in NAMES}
    tables = {f"{part}/_classes.csv": one_hot(["100", "010", "001", "100"]) for part in ("train", "valid", "test")}
    path = pack(tmp_path / "d", form, {**images, **tables})
    for split in ("train", "test"):
        assert found(open_source(path, split)) == dict(zip(NAMES, "AayA", strict=True))
    assert found(open_source(path / "valid"))["img002-001"] == "y"


def test_a_line_with_several_classes_or_none_is_listed(tmp_path):
    data = one_hot(["100", "110", "000", "010"])
    dataset = read(open_source(pack(tmp_path / "d", "folder", {"_classes.csv": data, **IMAGES})))
    assert [each.reason for each in dataset.skipped] == [
        "2 labels (A, a) in _classes.csv; give it one",
        "no label in _classes.csv; give it one",
    ]
    assert dataset.class_names == ("A", "a") and len(dataset) == 2


def test_columns_that_describe_images_are_no_classes(tmp_path):
    images = {f"{label}/{n}.png": encode(page()) for label in "AB" for n in range(2)}
    rows = [f"{name},{label},{n % 2},{n // 2}" for n, (name, label) in enumerate(zip(images, "0110", strict=True))]
    data = "\n".join(["file,label,inverted,blurred", *rows]).encode()
    assert set(found(open_source(pack(tmp_path / "label", "folder", {"x.csv": data, **images}))).values()) == {"0", "1"}
    data = "\n".join(["file,inverted,blurred", *(row.replace(",1,", ",0,", 1) for row in rows)]).encode()
    source = open_source(pack(tmp_path / "classes", "folder", {"x.csv": data, **images}))
    assert {entry.label for entry in source.entries()} == {"A", "B"}


WORDS = "#--- words.txt of IAM ---\n" + "".join(f"{name} ok 154 408 768 27 51 AT A\n" for name in NAMES)
CLASSES = "image,y,digit\n" + "".join(f"{name},1,{flag}\n" for name, flag in zip(NAMES, "1110", strict=True))


@pytest.mark.parametrize(
    ("name", "data"), [("words.txt", WORDS), ("x.csv", CLASSES), ("x.csv", CLASSES.replace("y,digit", "pages,pens"))]
)
def test_a_table_of_images_in_which_the_labels_are_not_clear_is_left_out_with_a_note(name, data, tmp_path):
    """Lines with boxes are no labels; nor are 0 and 1 in a column "y", where most images have several classes."""
    path = pack(tmp_path / "data", "folder", {name: data.encode(), **IMAGES})
    source = open_source(path)
    assert found(source) == dict.fromkeys(NAMES) and source.notes == (
        f"{path}: {name} is left out: it lists images, but it is not clear which column has their labels; "
        "to use it, title that column label",
    )
    with pytest.raises(MidasError, match=rf"{name}: lists images, but it is not clear"):
        open_source(path / name)


def test_a_label_that_is_a_quotation_mark_does_not_lose_the_lines_after_it(tmp_path):
    data = table("image,label").replace(b"001.png,A", b'001.png,"', 1).replace(b"002.png,a", b'002.png,","')
    assert list(found(open_source(pack(tmp_path / "d", "zip", {"x.csv": data, **IMAGES}))).values()) == [*'",A7']


def test_names_that_differ_in_case_only_are_told_apart(tmp_path):
    images = {f"{name}.png": encode(page()) for name in "Aab"}
    path = pack(tmp_path / "d", "zip", {"x.csv": b"file,label\nA.png,big\na.png,small\nB.PNG,b", **images})
    assert found(open_source(path)) == {"A": "big", "a": "small", "b": "b"}


def test_other_files_are_no_tables(tmp_path):
    others = {
        "notes.txt": b"some text, about images", "epochs.csv": b"epoch,loss\n1,0.5\n2,0.4", "bad.json": b"{",
        "sample_submission.csv": table("image,label"), "sizes.csv": b"image,width,height\nImg/img001-001.png,3,4",
    }  # fmt: skip
    source = open_source(pack(tmp_path / "d", "folder", {**others, **IMAGES}))
    assert {entry.label for entry in source.entries()} == {None}
    with pytest.raises(MidasError, match=r"'Img' is the only folder with images, so it is not taken as a class; .*CSV"):
        read(source)


def test_a_line_with_more_columns_does_not_lose_the_others(tmp_path):
    data = table("image,label").replace(b"img001-001.png,A", b"img001-001.png,,")
    found = read(open_source(pack(tmp_path / "d", "folder", {"x.csv": data, **IMAGES})))
    assert len(found) == 3 and [each.name for each in found.skipped] == ["Img/img001-001.png"]
