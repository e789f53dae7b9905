"""Parquet files with images, as Hugging Face has them."""

import importlib.util
import io
import json

import numpy as np
import pytest
from formats import encode, pack, page

from midas.data.datasets import read
from midas.data.sources import open_source
from midas.errors import MidasError

IMAGES = [encode(page(pen=pen)) for pen in (4, 5, 6)]


def parquet(columns, names=None):
    import pyarrow
    import pyarrow.parquet

    table, file = pyarrow.table(columns), io.BytesIO()
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


needs_pyarrow = pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="pyarrow is not installed")


@needs_pyarrow
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_the_parts_of_a_data_set_with_names_of_classes(form, tmp_path):
    structs = [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(IMAGES)]
    files = {
        "data/train-00000-of-00001.parquet": parquet({"image": structs, "label": [1, 0, 1]}, ["cat", "dog"]),
        "data/test-00000-of-00001.parquet": parquet({"image": structs[:1], "label": [0]}, ["cat", "dog"]),
        "README.md": b"text",
    }
    path = pack(tmp_path / "set", form, files)
    data = read(open_source(path, "train"))
    assert data.class_names == ("cat", "dog") and data.labels.tolist() == [1, 0, 1] and data.names[2] == "2.png[2]"
    assert [open_source(path, split).count for split in ("test", None)] == [1, 4]


@needs_pyarrow
@pytest.mark.parametrize(
    "columns",
    [
        {"image": IMAGES, "label": ["b", "a", "b"]},
        {"text": ["b", "a", "b"], "content": IMAGES},
        {"img": [page(pen=pen).tolist() for pen in (4, 5, 6)], "character": ["b", "a", "b"]},
    ],
)
def test_columns_of_every_kind(columns, tmp_path):
    (tmp_path / "x.parquet").write_bytes(parquet(columns))
    source = open_source(tmp_path / "x.parquet")
    assert [entry.label for entry in source.entries()] == ["b", "a", "b"]
    assert [
        np.array_equal(entry.read(), page(pen=pen)) for entry, pen in zip(source.entries(), (4, 5, 6), strict=True)
    ] == [True] * 3


@needs_pyarrow
def test_damaged_files_are_refused_and_damaged_images_skipped(tmp_path):
    data = parquet({"image": [*IMAGES, b"text", b""], "label": list("abcde")})
    (tmp_path / "x.parquet").write_bytes(data)
    assert [each.name for each in read(open_source(tmp_path / "x.parquet")).skipped] == ["x.parquet[3]", "x.parquet[4]"]
    (tmp_path / "x.parquet").write_bytes(data[:-9])
    with pytest.raises(MidasError, match=r"x\.parquet: not a readable Parquet file"):
        open_source(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_bytes(parquet({"a": [1], "b": [2]}))
    with pytest.raises(MidasError, match=r"no column of images, but a, b"):
        open_source(tmp_path / "x.parquet")


@needs_pyarrow
def test_missing_labels_are_said_with_the_way_to_give_them(tmp_path):
    (tmp_path / "x.parquet").write_bytes(parquet({"image": IMAGES}))
    with pytest.raises(MidasError, match=r"x\.parquet: the images have no labels; add a column titled label"):
        read(open_source(tmp_path / "x.parquet"))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MidasError, match="need the package pyarrow: pip install pyarrow"):
        open_source(tmp_path / "x.parquet")


@needs_pyarrow
def test_rows_without_an_image_are_skipped_and_whole_numbers_are_labels(tmp_path):
    columns = {"image": [*IMAGES, None], "label": [0.0, 1.0, None, None]}
    (tmp_path / "gaps.parquet").write_bytes(parquet(columns))
    found = read(open_source(tmp_path / "gaps.parquet"))
    assert found.class_names == ("0", "1") and [each.name for each in found.skipped] == [
        "gaps.parquet[2]",
        "gaps.parquet[3]",
    ]
    assert "no bytes" in found.skipped[1].reason
