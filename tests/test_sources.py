"""Every form of data set gives the same stream of images; hostile and damaged ones are refused in one line."""

import gzip
import os
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from formats import FORMS, encode, idx, mutated, npy, npz, pack, page, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from midas.data import idx as idx_files
from midas.data.archives import File
from midas.data.images import UnreadableImage
from midas.data.memmap import ImageFile, PackedArray
from midas.data.sources import open_source, source_of_bytes
from midas.data.trees import MAX_MEMBER
from midas.errors import MidasError

ARCHIVES = [form for form in FORMS if form != "folder"]
DIGITS = np.stack([255 - page(width=28, height=28, pen=pen) for pen in (2, 3, 4, 3)])
LABELS = np.array([1, 0, 2, 1])
to_array = PackedArray.__array__


def contents(source):
    """Name and label of every image, in the order of the names."""
    return sorted((entry.name, entry.label) for entry in source.entries())


def refused(path, split=None):
    """The message with which a data set is refused, when it is opened or read."""
    with pytest.raises(MidasError) as caught:
        for entry in open_source(path, split).entries():
            entry.read()
    message = str(caught.value)
    assert message.startswith(str(path.parent)) and "\n" not in message and len(message) < 450
    return message


def read_idx(path):
    return idx_files.read_idx(File.on_disk(path), path)


def written(path, data):
    path.write_bytes(data)
    return path


# ---- trees


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images(form, tmp_path):
    source = open_source(pack(tmp_path / "data", form, {**tree("train/A", "train/b"), "train/c": None}))
    assert source.count == 4 and source.class_folders == ("A", "b", "c")
    assert contents(source) == [(f"train/{name}/{index}.png", name) for name in "Ab" for index in (0, 1)]
    for _ in range(2):  # every pass starts from the beginning
        assert [(entry.read() == page(pen=int(entry.name[-5]) + 4)).all() for entry in source.entries()] == [True] * 4


@pytest.mark.parametrize("form", FORMS)
def test_enclosing_folders_and_other_files_are_ignored(form, tmp_path):
    litter = [
        *("__MACOSX/data/train/0/._0.png", "data/train/0/.hidden.png", ".git/0/x.png", "data/.cache/y/z.png"),
        *("data/train/0/notes.txt", "data/train/Thumbs.db", "README.md", "data/labels.csv"),
    ]
    files = {**tree("data/train/0", "data/train/1"), **dict.fromkeys(litter, b"litter")}
    source = open_source(pack(tmp_path / "data", form, files))
    assert source.class_folders == ("0", "1") and source.count == 4
    assert {label for _, label in contents(source)} == {"0", "1"}


@pytest.mark.parametrize("form", FORMS)
def test_unusual_names(form, tmp_path):
    names = ["Ä ö", "two\nlines", "日本", "a:b", "...x", "#", "x" * 200, "0;rm", "%s"]
    files = {f"{name}/{name}.PNG": encode(page()) for name in names}
    source = open_source(pack(tmp_path / "d ä", form, files))
    shown = {name.replace("\n", "\\n") for name in names if not name.startswith(".")}
    assert set(source.class_folders) == shown
    assert contents(source) == sorted((f"{name}/{name}.PNG", name) for name in shown)
    assert all(entry.read().shape == (90, 120) for entry in source.entries())


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize("name", ["./0/a.png", "0//a.png", "0/./a.png", "./././0//./a.png"])
def test_names_are_normalized(name, form, tmp_path):
    source = open_source(pack(tmp_path / "data", form, {name: encode(page())}))
    assert contents(source) == [("0/a.png", "0")] and source.class_folders == ("0",)
    assert next(source.entries()).read().shape == (90, 120)


def test_a_zip_made_by_windows(tmp_path):
    path = pack(tmp_path / "data", "zip", {"train\\0\\a.png": encode(page()), "train\\1\\": b""})
    assert contents(open_source(path)) == [("train/0/a.png", "0")] and open_source(path).class_folders == ("0", "1")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not text")
def test_names_that_are_not_text(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / b"\xe9".decode(errors="surrogateescape")).mkdir()
    (folder / b"\xe9/\xff.png".decode(errors="surrogateescape")).write_bytes(encode(page()))
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(folder, "data")
    for source in (open_source(folder), open_source(tmp_path / "data.tar")):
        (entry,) = source.entries()
        assert entry.read().shape == (90, 120) and source.class_folders == (entry.label,) == ("\\udce9",)
        assert entry.name.endswith("\\udce9/\\udcff.png")


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_files_of_class_folders_are_images_by_their_content(form, tmp_path):
    suffixes = (".png", ".JPG", ".jfif", ".gif", "", ".dat", ".pdf", ".zip", ".txt", ".csv")
    files = {f"0/x{suffix}": encode(page()) for suffix in suffixes[:6]} | {"0/x.pdf": b"%PDF-1.7", "0/x.zip": b"PK\3\4"}
    others = {"0/x.txt": b"", "0/Thumbs.db": b"", "0/README": b"", "weights.bin": b""}
    entries = list(open_source(pack(tmp_path / "data", form, {**files, **others})).entries())
    assert {entry.name for entry in entries} == set(files)
    unread = {entry.name: page for entry in entries for _, page in entry.pages() if isinstance(page, UnreadableImage)}
    assert "PDF" in str(unread.pop("0/x.pdf")) and "archive" in str(unread.pop("0/x.zip")) and not unread


def test_images_without_suffixes(tmp_path):
    source = open_source(
        pack(tmp_path / "data", "zip", {f"{label}/{n}": encode(page()) for label in "01" for n in "ab"})
    )
    assert source.count == 4 and source.class_folders == ("0", "1")
    single = open_source(written(tmp_path / "drawing.txt", encode(page(), "GIF")))
    assert (next(single.entries()).read() == page()).all()


needs_links = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")


@needs_links
def test_symbolic_links_are_followed_within_the_folder(tmp_path):
    folder, outside = pack(tmp_path / "data", "folder", tree("A", "raw/b")), pack(tmp_path / "out", "folder", tree("C"))
    (folder / "A" / "2.png").symlink_to("0.png")
    (folder / "A" / "3.png").symlink_to(outside / "C" / "0.png")
    (folder / "A" / "4.png").symlink_to("nowhere.png")
    (folder / "raw" / "d").symlink_to("b")
    (folder / "raw" / "again").symlink_to("b")
    (folder / "raw" / "up").symlink_to(folder)
    (folder / "C").symlink_to(outside / "C")
    (tmp_path / "named").symlink_to(folder)
    for path in (folder, tmp_path / "named"):
        pages = dict(page for entry in open_source(path).entries() for page in entry.pages())
        refused = {name: str(page) for name, page in pages.items() if isinstance(page, UnreadableImage)}
        assert sorted(refused) == ["A/3.png", "A/4.png", "C", "raw/again" if "raw/again" in refused else "raw/d"]
        assert "out of the folder; give " in refused["A/3.png"] and str(outside / "C") in refused["C"]
        assert "leads nowhere" in refused["A/4.png"] and "second" in refused[max(refused)]
        assert len(pages) - len(refused) == 7  # 3 in A, 2 in raw/b, and again by one of its links


@needs_links
def test_a_folder_of_links_that_lead_out_of_it_is_refused_with_the_way_out(tmp_path):
    outside, folder = pack(tmp_path / "out", "folder", tree("A")), tmp_path / "data"
    folder.mkdir()
    (folder / "A").symlink_to(outside / "A")
    (entry,) = open_source(folder).entries()
    with pytest.raises(UnreadableImage, match="give "):
        entry.read()


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
def test_a_split_selects_one_of_several_places(form, tmp_path):
    path = pack(tmp_path / "data", form, tree("set/train/0", "set/train/1", "set/Testing/0", images=1))
    assert contents(open_source(path, "train")) == [("set/train/0/0.png", "0"), ("set/train/1/0.png", "1")]
    test = open_source(path, "test")
    assert contents(test) == [("set/Testing/0/0.png", "0")] and test.class_folders == ("0",)
    assert open_source(path).count == 3
    assert len({open_source(path, split).digest for split in (None, "train", "test")}) == 3


def test_images_beside_class_folders_have_no_label(tmp_path):
    source = open_source(pack(tmp_path / "data", "zip", {**tree("0", "1", images=1), "stray.png": encode(page())}))
    assert contents(source) == [("0/0.png", "0"), ("1/0.png", "1"), ("stray.png", None)]
    flat = open_source(pack(tmp_path / "flat", "folder", {"a.png": encode(page()), "b.png": encode(page())}))
    assert contents(flat) == [("a.png", None), ("b.png", None)] and flat.class_folders == ()


def test_a_single_image(tmp_path):
    source = open_source(written(tmp_path / "ä b.PNG", encode(page())))
    (entry,) = source.entries()
    assert (entry.name, entry.label, source.count) == (str(tmp_path / "ä b.PNG"), None, 1)
    assert (entry.read() == page()).all()


def test_the_digest_follows_the_content(tmp_path):
    for form in ("folder", "zip"):
        files = tree("0", "1")
        digests = [
            open_source(pack(tmp_path / "data", form, files)).digest for _ in range(1 if form == "folder" else 2)
        ]
        assert len(set(digests)) == 1
        files["1/0.png"] = encode(page("H"))
        digests.append(open_source(pack(tmp_path / "data", form, files)).digest)
        digests.append(open_source(pack(tmp_path / "data", form, {**files, "2": None})).digest)
        assert len(set(digests)) == 3


def test_a_bad_member_does_not_affect_the_others(tmp_path):
    files = {**tree("0"), "0/empty.png": b"", "0/text.png": b"text", "0/cut.png": encode(page())[:-20]}
    path = pack(tmp_path / "data", "zip", files)
    data = path.read_bytes()
    start = data.index(files["0/0.png"])
    path.write_bytes(data[: start + 40] + b"\0\0\0\0" + data[start + 44 :])
    readable = {}
    for entry in open_source(path).entries():
        try:
            readable[entry.name] = entry.read().shape
        except UnreadableImage as error:
            readable[entry.name] = str(error)
    assert readable.pop("0/1.png") == (90, 120) and "damaged in the archive" in readable["0/0.png"]
    assert all(isinstance(reason, str) for reason in readable.values()) and len(readable) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_is_neither_a_file_nor_a_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", os.devnull):
        with pytest.raises(MidasError, match="neither a file nor a folder; pipe an image into '-'"):
            open_source(path)


def test_other_data_beside_class_folders_are_named(tmp_path):
    others = {
        "more/inner.zip": pack(tmp_path / "inner", "zip", tree("0", "1")).read_bytes(),
        "more/pixels.csv": b"\n".join([b",".join([b"1"] * 65)] * 3),
        "x.npy": b"",
        "labels.xlsx": b"",
    }
    source = open_source(pack(tmp_path / "data", "folder", {**tree("0", "1"), **others, "notes.txt": b"text"}))
    assert source.count == 4
    other_data, sheets = source.notes
    assert other_data.endswith("has images, so other data are left out: more/inner.zip, more/pixels.csv, x.npy")
    assert sheets.endswith("spreadsheets are left out: labels.xlsx; save labels as CSV")


def test_archives_too_deep_in_others_are_to_be_unpacked(tmp_path):
    data = pack(tmp_path / "0", "zip", tree("0", "1")).read_bytes()
    for depth in "123":
        path = pack(tmp_path / depth, "zip", {"inner.zip": data})
        data = path.read_bytes()
    with pytest.raises(MidasError, match="unpack the outer archive"):
        open_source(path)


def test_a_file_that_is_deleted_meanwhile_is_unreadable(tmp_path):
    path = pack(tmp_path / "data", "folder", tree("0"))
    first, second = open_source(path).entries()
    (path / second.name).unlink()
    assert first.read().shape == (90, 120)
    with pytest.raises(UnreadableImage, match="No such file"):
        second.read()


def test_the_bytes_of_an_image_are_a_source():
    source = source_of_bytes(encode(page()))
    (entry,) = source.entries()
    assert (entry.name, entry.label, source.path, source.count) == ("-", None, "-", 1)
    assert (entry.read() == page()).all()


def test_no_bytes_are_an_error_and_other_bytes_are_unreadable():
    with pytest.raises(MidasError, match=r"^-: is empty; pipe an image into it$"):
        source_of_bytes(b"")
    (entry,) = source_of_bytes(b"text").entries()
    with pytest.raises(UnreadableImage):
        entry.read()


# ---- refused data sets


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize("name", ["../x.png", "0/../../x.png", "/etc/x.png", "C:/x.png", "C:\\x.png", "..\\x.png"])
def test_names_that_lead_out_of_the_archive_are_refused(name, form, tmp_path):
    message = refused(pack(tmp_path / "data", form, {**tree("0"), name: encode(page())}))
    assert repr(name.replace("\\", "/") if form == "zip" else name) in message and "leads out of the archive" in message


def test_links_in_a_tar_are_refused(tmp_path):
    path = pack(tmp_path / "data", "tar", tree("0"))
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("0/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0/0.png"
        archive.addfile(link)
    assert "'0/link.png' is a symbolic link" in refused(path)


def test_links_in_a_zip_are_refused(tmp_path):
    path = pack(tmp_path / "data", "zip", tree("0"))
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("0/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "0/0.png")
    assert "'0/link.png' is a symbolic link" in refused(path)


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_files_that_are_too_large_when_unpacked_are_refused(form, tmp_path):
    path = pack(tmp_path / "data", form, {"0/bomb.png": b"x"})
    data = bytearray(path.read_bytes())
    if form == "zip":
        struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, MAX_MEMBER + 1)
    else:
        header = tarfile.TarInfo("0/bomb.png")
        header.size = MAX_MEMBER + 1
        data[:512] = header.tobuf()
    assert "'0/bomb.png' exceeds the limit when unpacked (256 MiB per file" in refused(written(path, data))


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize("name", ["0/0.png", "./0//0.png"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(name, form, tmp_path):
    path = pack(tmp_path / "data", form, tree("0"))
    with zipfile.ZipFile(path, "a") if form == "zip" else tarfile.open(path, "a") as archive:
        if form == "zip":
            archive.writestr(name, b"")
        else:
            archive.addfile(tarfile.TarInfo(name))
    assert "twice" in refused(path)


def test_encrypted_members_are_refused(tmp_path):
    path = pack(tmp_path / "data", "zip", tree("0"))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert "'0/0.png' is encrypted" in refused(written(path, data))


@pytest.mark.parametrize("form", ARCHIVES)
def test_other_files_than_archives_are_refused(form, tmp_path):
    for data in (b"", b"text", encode(page()), b"x" * 2000):
        assert "or not a" in refused(written(tmp_path / f"data.{form}", data))


@pytest.mark.parametrize("form", ARCHIVES)
def test_a_truncated_archive_is_refused(form, tmp_path):
    path = pack(tmp_path / "data", form, tree("0", "1"))
    data = path.read_bytes()
    cuts = (
        range(1, 8) if form != "tar" else [0.5, 1, 1.1, 1.5, 2, 2.1, 3, 5]
    )  # in blocks: inside and between the members
    for cut in cuts:
        length = len(data) * cut // 8 if form != "tar" else int(512 * cut)
        assert "damaged" in refused(written(path, data[:length]))


def test_a_tar_that_is_damaged_in_the_middle_is_refused(tmp_path):
    path = pack(tmp_path / "data", "tar", tree("0", "1"))
    data = bytearray(path.read_bytes())
    data[data.index(b"1/0.png") + 148] ^= 1  # the checksum of a header
    assert "damaged in the middle" in refused(written(path, data))


@pytest.mark.parametrize("form", FORMS)
def test_a_tree_without_images_is_refused(form, tmp_path):
    assert "contains no images" in refused(pack(tmp_path / "data", form, {"0/notes.txt": b"", "1": None}))


@pytest.mark.parametrize("form", FORMS)
def test_too_many_nested_folders_are_refused(form, tmp_path):
    good = {f"{'d/' * 200}{name}": data for name, data in tree("0", "1").items()}
    assert len(list(open_source(pack(tmp_path / "good", form, good)).entries())) == len(good)
    assert "nested in more than 256 folders" in refused(
        pack(tmp_path / "data", form, {f"{'d/' * 300}{name}": b"" for name in good})
    )


def test_paths_of_other_things_are_refused(tmp_path):
    assert "no such file or folder" in refused(tmp_path / "nowhere.zip")
    assert "not a data set; give" in refused(written(tmp_path / "notes.dat", b"text"))
    assert "lists no images that lie beside it; give" in refused(written(tmp_path / "labels.csv", b"image,label"))
    assert "too long" in refused(tmp_path / ("x" * 300))


# ---- arrays


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("x", "y"), None),
        (("images", "labels"), "train"),
        (("x_train", "y_train"), "train"),
        (("x_test", "y_test"), "test"),
    ],
)
def test_npz(names, split, tmp_path):
    other = npz(**{names[0]: DIGITS, names[1]: LABELS, "x_other": DIGITS[:1]})
    source = open_source(written(tmp_path / "digits.npz", other), split)
    entries = list(source.entries())
    assert [entry.label for entry in entries] == ["1", "0", "2", "1"] and source.count == 4
    assert entries[2].name == "digits.npz[2]" and (entries[2].read() == DIGITS[2]).all()


def test_npz_with_two_parts(tmp_path):
    parts = {"x_train": DIGITS, "y_train": LABELS, "x_test": DIGITS[:2], "y_test": LABELS[:2]}
    path = written(tmp_path / "mnist.npz", npz(**parts))
    sources = [open_source(path, split) for split in ("train", "test", None)]
    assert [source.count for source in sources] == [4, 2, 6] == [len(list(source.entries())) for source in sources]
    assert len({source.digest for source in sources}) == 3


@pytest.mark.parametrize(
    "labels",
    [LABELS[:, None], LABELS.astype(float), LABELS.astype(np.uint8), LABELS.astype(str), LABELS.astype("S")],
)
def test_labels_of_any_type(labels, tmp_path):
    source = open_source(written(tmp_path / "digits.npz", npz(x=DIGITS, y=labels)))
    assert [entry.label for entry in source.entries()] == ["1", "0", "2", "1"]


@pytest.mark.parametrize(
    "images", [DIGITS / 255, DIGITS // 255, DIGITS > 128, DIGITS[..., None], np.stack([DIGITS] * 3, -1)]
)
def test_images_of_any_type(images, tmp_path):
    source = open_source(written(tmp_path / "digits.npz", npz(x=images, y=LABELS)))
    for entry, digit in zip(source.entries(), DIGITS, strict=True):
        assert np.abs(entry.read().astype(int) - digit).max() <= 1


def test_npz_with_class_names_and_names(tmp_path):
    names = {"class_names": np.array(["a", "ä", "c"]), "names": np.array(list("wxyz"))}
    source = open_source(written(tmp_path / "named.npz", npz(images=DIGITS, labels=LABELS, **names)))
    assert contents(source) == [("w", "ä"), ("x", "a"), ("y", "c"), ("z", "ä")]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (np.array(["a", "ä", "c"]), ["ä", "a", "c", "ä"]),
        (np.array([b"a", b"b", b"c"]), ["b", "a", "c", "b"]),
        (np.array(["a", "b"]), ["1", "0", "2", "1"]),  # too few for these labels
        (np.array(["b", "a", "c", "b"]), ["1", "0", "2", "1"]),  # of each image, not of each class
        (np.arange(3), ["1", "0", "2", "1"]),
    ],
)
def test_classes_are_class_names_if_they_can_be(classes, expected, tmp_path):
    path = written(tmp_path / "named.npz", npz(x_train=DIGITS, y_train=LABELS, classes=classes))
    assert [entry.label for entry in open_source(path, "train").entries()] == expected
    folder = pack(tmp_path / "set", "folder", {f"{name}.npy": npy(array) for name, array in np.load(path).items()})
    assert [entry.label for entry in open_source(folder).entries()] == expected


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": DIGITS, "y": LABELS[:3]},
        {"x": DIGITS, "y": LABELS + 0.5},
        {"x": DIGITS, "y": LABELS * np.nan},
        {"x": DIGITS, "y": np.array(3)},
        {"x": DIGITS, "y": LABELS - 1, "class_names": np.array(list("abc"))},
        {"x": DIGITS, "y": LABELS + 1, "class_names": np.array(list("abc"))},
        {"x": DIGITS, "y": LABELS.astype(str), "class_names": np.array(list("abc"))},
        {"x": DIGITS, "y": LABELS, "names": np.array(["one"])},
        {"x": DIGITS.reshape(4, -1)[:, 1:], "y": LABELS},
        {"x": DIGITS, "y": np.ones((4, 3))},
        {"x": DIGITS[..., None][..., :0], "y": LABELS},
        {"x": DIGITS.astype(complex), "y": LABELS},
        {"x": DIGITS.astype(str), "y": LABELS},
        {"x": DIGITS.astype(object), "y": LABELS},
        {"x": DIGITS, "y": LABELS.astype(object)},
        {"x": np.array(3), "y": LABELS},
        {"pictures": LABELS},
        {},
    ],
)
def test_npz_with_unsuitable_arrays_is_refused(arrays, tmp_path):
    assert ".npz: " in refused(written(tmp_path / "bad.npz", npz(**arrays)))


def test_damaged_npz_is_refused(tmp_path):
    data = npz(x=DIGITS, y=LABELS)
    for length in (0, 10, len(data) // 2, len(data) - 5):
        assert "not a readable .npz" in refused(written(tmp_path / "cut.npz", data[:length]))
    assert "not a readable .npz" in refused(pack(tmp_path / "x", "zip", {"x": b"raw"}).rename(tmp_path / "raw.npz"))
    assert "expected x_test" not in refused(written(tmp_path / "train.npz", npz(x_train=DIGITS)), "test")
    assert "x_test and y_test" in refused(tmp_path / "train.npz", "test")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("separator", "-.")
def test_idx(separator, zipped, tmp_path):
    ending = ".gz" if zipped else ""
    for part, count in (("train", 4), ("t10k", 2)):
        images = tmp_path / f"{part}-images{separator}idx3-ubyte{ending}"
        images.write_bytes(idx(DIGITS[:count], zipped))
        (tmp_path / f"{part}-labels{separator}idx1-ubyte{ending}").write_bytes(idx(LABELS[:count], zipped))
    written(tmp_path / "preview.png", encode(page()))
    assert [open_source(tmp_path, split).count for split in ("train", "test", None)] == [4, 2, 6]
    assert f"{tmp_path}: has IDX files, so images are left out: preview.png" in open_source(tmp_path, "train").notes
    for source in (open_source(tmp_path, "train"), open_source(images.with_name(images.name.replace("t10k", "train")))):
        assert [entry.label for entry in source.entries()] == ["1", "0", "2", "1"]
        assert all((entry.read() == digit).all() for entry, digit in zip(source.entries(), DIGITS, strict=True))


def test_an_idx_file_that_is_too_large_for_memory_is_read_in_blocks(tmp_path, monkeypatch):
    written(tmp_path / "train-labels-idx1-ubyte", idx(LABELS))
    images = written(tmp_path / "train-images-idx3-ubyte", idx(DIGITS))
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", DIGITS.nbytes - 1)
    monkeypatch.setattr("midas.data.memmap.BLOCK", 3)
    assert isinstance(read_idx(images), ImageFile) and (np.asarray(read_idx(images)) == DIGITS).all()
    assert all(
        (entry.read() == image).all() for entry, image in zip(open_source(images).entries(), DIGITS, strict=True)
    )
    for damaged in (idx(DIGITS)[:-1], idx(DIGITS) + b"x"):
        assert "but its header says 4x28x28" in refused(written(images, damaged))


LARGE_FORMS = {
    "train-images-idx3-ubyte.gz": idx(DIGITS, zipped=True),
    "data.npz": npz(x=DIGITS, y=LABELS),
    "flat.npz": npz(x=DIGITS.reshape(4, -1), y=LABELS),
    "channels.npz": npz(x=np.repeat(DIGITS[:, None], 3, axis=1), y=LABELS),
    "floats.npz": npz(x=DIGITS / 255, y=LABELS),
    "matlab.npz": npz(X=DIGITS.transpose(1, 2, 0), y=LABELS),
    "fortran.npz": npz(x=np.asfortranarray(DIGITS), y=LABELS),
    "kmnist-train-imgs.npz": npz(arr_0=DIGITS),
}


@pytest.mark.parametrize("name", [*LARGE_FORMS, "arrays.zip"])
def test_compressed_arrays_that_are_too_large_for_memory_are_unpacked_in_blocks(name, tmp_path, monkeypatch):
    if name in LARGE_FORMS:
        path = written(tmp_path / name, LARGE_FORMS[name])
    else:
        path = pack(tmp_path / "arrays", "zip", {"x.npy": npy(DIGITS), "y.npy": npy(LABELS)})
    written(tmp_path / "train-labels-idx1-ubyte", idx(LABELS))
    written(tmp_path / "kmnist-train-labels.npz", npz(arr_0=LABELS))
    expected = list(zip(LABELS.astype(str).tolist(), DIGITS.tolist(), strict=True))
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", LABELS.nbytes)
    monkeypatch.setattr("midas.data.memmap.BLOCK", 3)
    whole = []
    monkeypatch.setattr(PackedArray, "__array__", lambda packed: whole.append(packed.ndim) or to_array(packed))
    source = open_source(path)
    for _ in range(2):
        assert [(entry.label, entry.read().tolist()) for entry in source.entries()] == expected
    assert whole.count(3) == (name == "matlab.npz")  # where images do not lie one after another


def test_large_compressed_arrays_of_another_length_are_refused_when_they_are_read(tmp_path, monkeypatch):
    written(tmp_path / "train-labels-idx1-ubyte", idx(LABELS))
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", LABELS.nbytes)
    for damaged, reason in ((idx(DIGITS)[:-1], "3,135 bytes"), (idx(DIGITS) + b"x", "more")):
        path = written(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(damaged))
        assert f"contains {reason} but its header says 4x28x28" in refused(path)
    assert "cannot be read" in refused(written(path, idx(DIGITS, zipped=True)[:-9]))


def test_compressed_idx_is_recognized_by_its_content(tmp_path):
    assert (read_idx(written(tmp_path / "plain.gz", idx(DIGITS))) == DIGITS).all()
    assert (read_idx(written(tmp_path / "zipped", idx(DIGITS, zipped=True))) == DIGITS).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"text, and more of it", "not an IDX file"),
        (b"\0\0\x0a\x01\0\0\0\x01\0\0\0\0", "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (idx(DIGITS)[:10], "cannot be read"),
        (idx(DIGITS)[:-1], "3,135 bytes but its header says 4x28x28"),
        (idx(DIGITS) + b"x", "contains more but its header says 4x28x28"),
        (idx(DIGITS[:0]), "is empty"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "exceeds the limit"),
        (idx(DIGITS, zipped=True)[:-9], "cannot be read"),
        (b"\x1f\x8b rubbish", "cannot be read"),
    ],
)
def test_bad_idx_is_refused(data, reason, tmp_path):
    written(tmp_path / "train-labels-idx1-ubyte", idx(LABELS))
    assert reason in refused(written(tmp_path / "train-images-idx3-ubyte", data))


def test_idx_without_matching_labels_is_refused(tmp_path):
    images = written(tmp_path / "train-images-idx3-ubyte", idx(DIGITS))
    assert "its labels are missing; expected train-labels-idx1-ubyte" in refused(images)
    labels = written(tmp_path / "train-labels-idx1-ubyte", idx(LABELS[:3]))
    assert "not labels of 4 images" in refused(images)
    assert "give the one named …-images-idx3-ubyte" in refused(labels)
    assert "no IDX file of test images" in refused(tmp_path / ".", "test")
    written(tmp_path / "letters-train-images-idx3-ubyte", idx(DIGITS))
    assert "several IDX files of train images" in refused(tmp_path / ".", "train")


# ---- fuzzing

changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
SEEDS = {
    "train-images-idx3-ubyte": idx(DIGITS),
    "train-images-idx3-ubyte.gz": idx(DIGITS, zipped=True),
    "data.npz": npz(images=DIGITS[:, :4, :4], labels=LABELS, class_names=np.array(list("abc"))),
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    written(folder / "train-labels-idx1-ubyte", idx(LABELS))
    packed = [pack(folder / "data", form, tree("0", images=1)) for form in ("zip", "tar", "tar.gz")]
    return folder, {**SEEDS, **{path.name: path.read_bytes() for path in packed}}


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from([*SEEDS, "data.zip", "data.tar", "data.tar.gz"]),
    changes,
    st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_fuzzed_files_are_read_or_refused_in_one_line(seeds, name, changes, keep):
    folder, files = seeds
    try:
        for entry in open_source(written(folder / name, mutated(files[name], changes, keep))).entries():
            try:
                assert entry.read().ndim == 2
            except UnreadableImage as error:
                assert "\n" not in str(error)
    except MidasError as error:
        assert "\n" not in str(error)
