"""Files that are no data set are named, with a way out."""

import gzip

import pytest
from formats import pack

from midas.data.foreign import FORMATS
from midas.data.sources import open_source
from midas.errors import MidasError


@pytest.mark.parametrize("magic", [each[0] for each in FORMATS if each[0]])
def test_formats_are_recognized_by_their_first_bytes(magic, tmp_path):
    (tmp_path / "data.bin").write_bytes(magic + bytes(100))
    with pytest.raises(MidasError, match=r"data.bin: .*, which midas does not read; .+"):
        open_source(tmp_path / "data.bin")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<!doctype html><html>Sign in", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypmp42\0\0", "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"Rar!\x1a\x07\1\0", "a RAR archive"),
    ],
)
def test_files_are_named_whatever_they_are_called(content, what, tmp_path):
    for name in ("data.zip", "data.tar.gz", "data.bin"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MidasError, match=f"{name}: {what}, which midas does not read; .+"):
            open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a.7z", "a.rar", "a.tar.zst", "a.pkl", "a.h5", "a.mat", "a.tfrecord-00000-of-00001"])
def test_formats_are_recognized_by_their_names(name, tmp_path):
    (tmp_path / name).write_bytes(b"unknown")
    with pytest.raises(MidasError, match="which midas does not read"):
        open_source(tmp_path / name)
    with pytest.raises(MidasError, match=f"contains no images, but {name}, "):
        open_source(tmp_path)


def test_a_pickle_is_refused_when_compressed_too(tmp_path):
    (tmp_path / "mnist.pkl.gz").write_bytes(gzip.compress(b"\x80\x04rest"))
    with pytest.raises(MidasError, match="a pickle, which may contain code"):
        open_source(tmp_path / "mnist.pkl.gz")


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (["saved_model.pb", "variables/x"], "a TensorFlow SavedModel"),
        (["config.json", "model.weights.h5"], "a Keras model"),
        (["archive/data.pkl"], "a PyTorch file"),
        (["[Content_Types].xml"], "an office document"),
        (["notes.txt"], "contains no images"),
        ([], "is empty"),
    ],
)
def test_folders_and_archives_without_images_are_named(members, what, tmp_path):
    for form in ("zip", "folder") if members else ("folder",):
        path = pack(tmp_path / "data", form, dict.fromkeys(members, b"x"))
        path.mkdir(exist_ok=True) if form == "folder" else None
        with pytest.raises(MidasError, match=f"data.*: {what}"):
            open_source(path)
