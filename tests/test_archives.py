"""Folders and archives are trees of files: links, compressed files, names, and formats recognized by content."""

import bz2
import gc
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from formats import encode, pack, page, tree

from midas.data.archives import File, open_folder, open_tar, open_zip
from midas.data.datasets import read
from midas.data.images import UnreadableImage
from midas.data.sources import open_source
from midas.data.trees import MAX_MEMBER
from midas.errors import MidasError


def with_links(path, mode, links):
    """Append hard links to a tar of two classes."""
    pack(path, "tar", tree("A", "B"))
    with tarfile.open(path.with_name("data.tar"), "a") as archive:
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    data = path.with_name("data.tar").read_bytes()
    made = path.with_name(f"linked.tar{mode}")
    made.write_bytes(gzip.compress(data) if mode else data)
    return made


@pytest.mark.parametrize("mode", ["", ".gz"])
def test_hard_links_are_further_names_of_a_file(mode, tmp_path):
    links = [("C/0.png", "./A/0.png"), ("C/1.png", "B/1.png"), ("C/2.png", "C/1.png")]
    source = open_source(with_links(tmp_path / "data", mode, links))
    images = {entry.name: entry.read() for entry in source.entries()}
    assert len(images) == 7 and source.class_folders == ("A", "B", "C")
    assert (images["C/0.png"] == images["A/0.png"]).all() and (images["C/2.png"] == images["B/1.png"]).all()
    opened = open_tar(tmp_path, tmp_path / f"linked.tar{mode}")
    assert opened.files["C/0.png"].read() == opened.files["A/0.png"].read()


def test_nothing_of_the_members_of_a_tar_is_kept_but_where_they_lie(tmp_path):
    source = open_source(pack(tmp_path / "data", "tar", tree("A", "B", images=20)))
    kept = []
    for _ in source.entries():
        kept.append(sum(isinstance(each, tarfile.TarInfo) for each in gc.get_objects()))
    assert len(kept) == 40 and max(kept) <= 3


def test_a_hard_link_to_nothing_is_an_error(tmp_path):
    with pytest.raises(MidasError, match=r"'C/0\.png' is a link to 'D/0\.png', which is no file in it"):
        open_source(with_links(tmp_path / "data", "", [("C/0.png", "D/0.png")]))
    for loop in ([("C/0.png", "C/0.png")], [("C/0.png", "C/1.png"), ("C/1.png", "C/0.png")]):
        with pytest.raises(MidasError, match="which is no file in it"):
            open_source(with_links(tmp_path / "data", "", loop))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_compressed_files_are_opened_decompressed(compress, tmp_path):
    (tmp_path / "x").write_bytes(compress(b"content" * 100))
    with File.on_disk(tmp_path / "x").open() as file:
        assert file.read() == b"content" * 100
    assert File.on_disk(tmp_path / "x").head(7) == b"content"
    (tmp_path / "x").write_bytes(compress(b"content" * 100)[:9] if compress is not bytes else b"")
    assert File.on_disk(tmp_path / "x").head(7) == b""


def test_an_archive_is_recognized_by_its_content(tmp_path):
    packed = pack(tmp_path / "data", "tar.gz", tree("A", "B"))
    assert open_source(packed.rename(tmp_path / "wrong.zip")).count == 4
    packed = pack(tmp_path / "data", "zip", tree("A", "B"))
    assert open_source(packed.rename(tmp_path / "wrong.tar.gz")).count == 4


def test_an_archive_in_an_archive_is_read_if_there_is_nothing_else(tmp_path):
    inner = pack(tmp_path / "inner", "zip", tree("A", "B")).read_bytes()
    for form in ("zip", "tar.gz", "folder"):
        path = pack(tmp_path / form, form, {"down/inner.zip": inner, "README.txt": b"text"})
        source = open_source(path)
        assert source.count == 4 and source.path == f"{path}/down/inner.zip"
    both = pack(tmp_path / "both", "zip", {"one.zip": inner, "two.zip": inner})
    with pytest.raises(
        MidasError, match=r"contains archives \(one.zip, two.zip\); give one of them, as .*both.zip/one"
    ):
        open_source(both)
    assert open_source(both / "two.zip").count == 4
    deep = inner
    for _ in range(4):
        path = pack(tmp_path / "deep", "zip", {"x.zip": deep})
        deep = path.read_bytes()
    with pytest.raises(MidasError, match="contains archives"):
        open_source(path)


def test_archives_named_by_characters_are_classes(tmp_path):
    """Others may be data sets of their own: cat.zip and dog.zip are refused."""
    files = {
        "A.zip": pack(tmp_path / "x", "zip", tree(".")).read_bytes(),
        "b.zip": pack(tmp_path / "y", "zip", tree("b", images=1)).read_bytes(),
    }
    path = pack(tmp_path / "data", "folder", files)
    source = open_source(path)
    assert source.class_folders == ("A", "b") and [entry.label for entry in source.entries()] == ["A", "A", "b"]
    assert read(source).class_names == ("A", "b")
    (path / "b.zip").write_bytes(pack(tmp_path / "y", "zip", tree("b", images=2)).read_bytes())
    assert open_source(path).digest != source.digest
    (path / "b.zip").rename(path / "dog.zip")
    with pytest.raises(MidasError, match=r"contains archives \(A.zip, dog.zip\); give one of them"):
        open_source(path)


def test_a_folder_or_file_inside_an_archive_is_a_path(tmp_path):
    path = pack(tmp_path / "data", "zip", tree("one/A", "one/B", "two/A"))
    assert open_source(path / "one").count == 4 and open_source(path / "one/").class_folders == ("A", "B")
    (entry,) = open_source(path / "two/A/0.png").entries()
    assert entry.read().shape == (90, 120)
    for wrong in (path / "three", path / "on", tmp_path / "missing" / "one", tmp_path / "missing"):
        with pytest.raises(MidasError, match="no such file or folder"):
            open_source(wrong)


def test_names_in_another_encoding_are_said(tmp_path):
    path = pack(
        tmp_path / "data", "zip", {f"{name}/{i}.png": encode(page()) for name in ("aaaa", "bbbb") for i in "01"}
    )
    data = path.read_bytes().replace(b"aaaa", "汉字".encode("gbk")).replace(b"bbbb", "手写".encode("gbk"))
    path.write_bytes(data)
    source = open_source(path)
    assert source.class_folders == ("手写", "汉字") and source.notes == (
        f"{path}: file names in the archive are read as GBK",
    )
    assert all(entry.read().shape == (90, 120) for entry in source.entries())


def test_a_large_image_is_unreadable_alone(tmp_path, monkeypatch):
    assert MAX_MEMBER == 2**28
    path = pack(tmp_path / "data", "folder", {"a": b"x" * 10, "b": b"y" * 20})
    monkeypatch.setattr("midas.data.archives.MAX_MEMBER", 15)
    opened = open_folder(path)
    assert opened.names == ["a", "b"] and opened.files["a"].read() == b"x" * 10
    with pytest.raises(UnreadableImage, match="larger than"):
        opened.files["b"].read()


def test_the_digest_is_that_of_the_chosen_files(tmp_path):
    path = pack(tmp_path / "data", "zip", {"a": b"x", "b": b"y"})
    opened = open_zip(path, path)
    assert opened.digest(["a"]) != opened.digest(["b"]) and opened.digest(["a"]) == open_zip(path, path).digest(["a"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("c", "z")
    assert open_zip(Path("data.zip"), path).digest(["a"]) != opened.names
