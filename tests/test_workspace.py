import pytest
from tiny import dataset, experiment, write_drawings

from midas.data.datasets import open_any
from midas.errors import MidasError
from midas.studies.workspace import Workspace


def test_a_given_data_set_is_found_by_its_name_opened_or_in_memory(tmp_path):
    path = str(write_drawings(tmp_path, "AB", 2))
    given = {"mine": dataset("ab", 2), path: open_any(path, "train"), "my-digits": dataset("01", 2)}
    seen = []
    workspace = Workspace(tmp_path, "nowhere", None, given, skipped=lambda data, name: seen.append(name))
    assert workspace.load("mine", 28) is workspace.open("mine") is given["mine"]
    assert workspace.open("my-digits") is given["my-digits"]
    assert workspace.load(path, 20).images.shape == (4, 20, 20) and seen == ["mine", path]
    with pytest.raises(MidasError, match="has glyphs of 28 pixels, not 36"):
        workspace.load("mine", 36)


def test_others_are_those_of_the_data_folder(tmp_path):
    workspace = Workspace(tmp_path / "runs", str(write_drawings(tmp_path, "01A", 2)), tmp_path / "cache")
    assert workspace.load("part1", 28).class_names == ("0", "1", "A")
    assert workspace.open("part1-digits").digest == workspace.open("part1").digest
    assert list((tmp_path / "cache").glob("*.npz"))
    with pytest.raises(MidasError, match="no such data set"):
        workspace.open("mnist")


def test_runs_on_the_sample_are_kept_apart(tmp_path):
    paths = [Workspace(tmp_path, data, None).run(experiment()).path for data in ("data", "sample")]
    assert [path.relative_to(tmp_path).parts[0] for path in paths] == ["part1", "sample"]
