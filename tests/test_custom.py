import pytest
from tiny import dataset

from midas.errors import MidasError
from midas.studies import custom


def train(tmp_path, data=None, **settings):
    return custom.train(data or dataset("AB", 10), runs_dir=tmp_path, **{"epochs": 1, "val_fraction": 0.2, **settings})


def test_a_run_is_named_after_its_data_and_settings(tmp_path):
    run = train(tmp_path, model="deep")
    assert run.path == tmp_path / "custom" / "my-set-deep" / "seed-0" and run.finished
    assert run.experiment.data == "my set.zip" and run.data.data.images == 20
    assert train(tmp_path, name="mine").path.parent.name == "mine"
    assert train(tmp_path, description=".").path.parent.name.startswith("data-")


def test_a_finished_run_is_returned_and_other_data_are_refused(tmp_path):
    first = train(tmp_path)
    before = (first / "result.json").stat().st_mtime_ns
    assert (train(tmp_path) / "result.json").stat().st_mtime_ns == before
    with pytest.raises(MidasError, match="was trained on other data"):
        train(tmp_path, dataset("ab", 10))
    assert train(tmp_path, dataset("ab", 10), overwrite=True).card.class_names == ("a", "b")


def test_settings_are_checked_in_one_line(tmp_path):
    for settings, message in (
        ({"colour": 1}, "no such setting"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"recipe": "luck"}, "no recipe 'luck'"),
        ({"init": "pretrained"}, "init_checkpoint"),
        ({"init": "pretrained", "init_checkpoint": "nowhere"}, "no such checkpoint"),
    ):
        with pytest.raises(MidasError, match=message):
            train(tmp_path, **settings)
    assert not list(tmp_path.rglob("result.json"))


def test_fine_tuning_starts_from_a_checkpoint(tmp_path):
    first = train(tmp_path, dataset("0123", 10), name="first")
    tuned = train(tmp_path, name="tuned", init="pretrained", init_checkpoint=str(first.path), freeze_backbone=True)
    ours, theirs = (run.classifier().network.get_weights() for run in (tuned, first))
    assert all((a == b).all() for a, b in zip(ours[:-2], theirs[:-2], strict=True))
    assert ours[-2].shape[1] == 2
