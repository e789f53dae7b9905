import dataclasses
import itertools
import json

import fabricate
import pytest
from test_cli import invoke, one_line
from tiny import write_drawings, write_mnist

from midas.errors import MidasError
from midas.recipes import INITIALIZATIONS, PARTS
from midas.runs import Run
from midas.studies import transfer
from midas.studies.study import Workspace
from midas.studies.transfer import compare, experiment

pytestmark = pytest.mark.usefixtures("eagerly")


def test_trainings_of_a_pair_differ_in_their_initialization_alone():
    for initialization in INITIALIZATIONS:
        one, other = experiment("part2", initialization, 3), experiment("part2", "random", 3)
        changed = {key for key, value in one.to_json().items() if value != other.to_json()[key]}
        assert changed <= {"name", "init", "init_checkpoint", "freeze_backbone"} and one.seed == 3
    few = experiment("part2", "digits", 0, 3)
    assert (few.limit, few.batch_size, few.val_fraction, few.epochs) == (30, 30, 0, 100)
    assert experiment("part2", "digits", 0, 10).epochs == 75
    assert experiment("part2", "digits", 0, 1000).epochs == 10
    assert experiment("part3", "part1", 0, epochs=2).epochs == 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(write_drawings(tmp_path_factory.mktemp("data")))


def test_compare(data, tmp_path, monkeypatch):
    for part in ("part1", "digits"):
        monkeypatch.setitem(PARTS, part, dataclasses.replace(PARTS[part], epochs=1))
    monkeypatch.setitem(transfer.SHORT, "model", "baseline")
    words = ["compare", "part2", "--seeds", 2, "--epochs", 1]
    words += [word for name in ("random", "digits", "part1-frozen") for word in ("--init", name)]
    first = invoke(data, tmp_path, *words, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    root = tmp_path / "comparison" / "baseline-1-epochs" / "part2"
    runs = {"from-random", "from-digits", "from-part1-frozen", "digits"}
    assert {path.name for path in root.iterdir()} == {*runs, "comparison.json", "comparison.png"}
    assert (root.parent / "part1" / "baseline" / "seed-1").is_dir()
    assert found["files"] == [str(root / name) for name in ("comparison.json", "comparison.png")]
    assert [each["measures"]["initial_accuracy"]["n"] for each in found["initializations"]] == [2, 2, 2]
    assert Run(root / "from-digits" / "seed-0").experiment.data == "mnist"
    again = invoke(data, tmp_path, *words)
    assert again.exit_code == 0 and "val loss" not in again.stderr
    assert "validation accuracy before training, %" in again.stdout and "McNemar" in again.stdout
    listed = invoke(data, tmp_path, "list")
    assert "from-random" in listed.stdout and "finished" in listed.stdout


def test_an_interrupted_comparison_wants_resume(data, tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "digits", dataclasses.replace(PARTS["digits"], epochs=1))
    monkeypatch.setitem(transfer.SHORT, "model", "baseline")
    words = ["compare", "part3", "--seeds", 2, "--epochs", 1, "--init", "digits"]
    workspace = Workspace(tmp_path, str(data), data / "cache")

    def stop(record, epochs):
        if record.accuracy is None:  # not the digits, which are trained first
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare("part3", ["digits"], [0], dataclasses.replace(workspace, epoch=stop), epochs=1)
    assert "--resume" in one_line(invoke(data, tmp_path, *words))
    monkeypatch.setattr(transfer, "FEW_STEPS", 1)
    resumed = invoke(data, tmp_path, *words, "--images-per-class", 1, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "test accuracy with 1 image per class, %" in resumed.stdout


def test_what_is_asked_for_twice_is_compared_once(data, tmp_path):
    workspace = Workspace(tmp_path, "nowhere", None)
    for start, seed, count in itertools.product(("random", "digits"), (0, 1), (None, 3)):
        training = experiment("part2", start, seed, count)
        root = tmp_path / "comparison" / "compact-10-epochs"
        fabricate.initialized(root, training.name, seed, 0.5).start(training)
    found, _ = compare("part2", ["random", "digits", "digits"], (0, 1), workspace, [3, 3])
    assert found.seeds == (0, 1) and [one.name for one in found.initializations] == ["random", "digits"]
    assert [one.measures["test_accuracy"].n for one in found.initializations] == [2, 2]
    assert [one.accuracy.n for one in found.label_efficiency] == [2, 2]
    with pytest.raises(MidasError, match=r"from-random/seed-0: was trained on other data; .*--runs-dir"):
        compare("part2", ["random", "digits"], (0, 1), dataclasses.replace(workspace, data_dir=str(data)))


def test_compare_wants_two_seeds_and_a_part(data, tmp_path):
    assert invoke(data, tmp_path, "compare", "part2", "--seeds", 1).exit_code == 2
    assert invoke(data, tmp_path, "compare", "part1").exit_code == 2
    assert invoke(data, tmp_path, "compare", "part2", "--init", "luck").exit_code == 2
