import dataclasses
import json

import pytest

from midas.errors import MidasError
from midas.experiments import Augmentation, Experiment
from midas.recipes import PARTS


@pytest.mark.parametrize("part", PARTS)
def test_records_survive_json(part):
    assert Experiment.from_json(json.loads(json.dumps(PARTS[part].to_json()))) == PARTS[part]


@pytest.mark.parametrize(
    "record", [{}, {"part": "part1"}, {**PARTS["part1"].to_json(), "color": 1}, {"augmentation": {"flip": 1}}]
)
def test_other_records_are_refused_in_one_line(record):
    with pytest.raises(MidasError, match="not the settings of an experiment") as caught:
        Experiment.from_json(record)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        *({"epochs": 0}, {"val_fraction": 1.0}, {"learning_rate": 0.0}, {"size": 3}, {"loss": "luck"}),
        *({"epochs": 2.5}, {"learning_rate": float("nan")}, {"model": "perceptron"}, {"limit": -1}, {"seed": None}),
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(MidasError, match=next(iter(change))):
        dataclasses.replace(PARTS["part1"], **change)


@pytest.mark.parametrize("strength", [field.name for field in dataclasses.fields(Augmentation)])
def test_strengths_have_bounds(strength):
    for value in (-0.1, float("nan"), 1000):
        with pytest.raises(MidasError, match=f"{strength} must lie in"):
            Augmentation(**{strength: value})


def test_records_from_before_a_strength_was_known_are_read_as_without_it():
    record = PARTS["part1"].to_json()
    del record["augmentation"]["occlusion"], record["augmentation"]["pen"]
    assert Experiment.from_json(record) == PARTS["part1"]


def test_records_from_when_there_were_rounds_are_read_if_they_had_none():
    record = PARTS["part2"].to_json()
    assert Experiment.from_json({**record, "rounds": 0}) == PARTS["part2"]
    with pytest.raises(MidasError, match="rounds is unknown"):
        Experiment.from_json({**record, "rounds": 1})


@pytest.mark.parametrize("name", ["", ".hidden", "../../x", "a/b", "a\\b", "a\nb"])
def test_a_name_that_is_no_folder_s_is_refused(name):
    with pytest.raises(MidasError, match="cannot name a run"):
        dataclasses.replace(PARTS["part1"], name=name)


def test_differences_are_named():
    other = dataclasses.replace(PARTS["part1"], epochs=3, augmentation=Augmentation(rotation=0))
    assert "epochs 3 instead of 80" in PARTS["part1"].differences(other)
    assert PARTS["part1"].differences(PARTS["part1"]) == ""
