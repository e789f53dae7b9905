import dataclasses
import json

import pytest

from midas.errors import MidasError
from midas.experiments import PARTS, Augmentation, Experiment, named, recipe_of, recipes, with_recipe
from midas.studies import study


@pytest.mark.parametrize("part", PARTS)
def test_records_survive_json(part):
    assert Experiment.from_json(json.loads(json.dumps(PARTS[part].to_json()))) == PARTS[part]


@pytest.mark.parametrize("part", ["part1", "part2", "part3"])
def test_a_recipe_is_found_again_by_its_settings_and_says_so_in_the_name(part):
    usual = PARTS[part]
    for recipe in recipes(part):
        followed = with_recipe(usual, recipe)
        assert recipe_of(followed) == recipe and with_recipe(followed, "plateau") == usual
        assert recipe == "plateau" or recipe in named(followed).name.split("-")


@pytest.mark.parametrize(
    "record", [{}, {"part": "part1"}, {**PARTS["part1"].to_json(), "colour": 1}, {"augmentation": {"flip": 1}}]
)
def test_other_records_are_refused_in_one_line(record):
    with pytest.raises(MidasError, match="not a record of an experiment") as caught:
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


@pytest.mark.parametrize("name", ["", ".hidden", "../../x", "a/b", "a\\b", "a\nb"])
def test_a_name_that_is_no_folder_s_is_refused(name):
    with pytest.raises(MidasError, match="cannot name a run"):
        dataclasses.replace(PARTS["part1"], name=name)


def test_differences_are_named():
    other = dataclasses.replace(PARTS["part1"], epochs=3, augmentation=Augmentation(rotation=0))
    assert "epochs 3 instead of 80" in PARTS["part1"].differences(other)
    assert PARTS["part1"].differences(PARTS["part1"]) == ""


def test_names_tell_experiments_apart():
    part1, part2, part3 = PARTS["part1"], PARTS["part2"], PARTS["part3"]
    changes = [
        part1,
        dataclasses.replace(part1, model="baseline"),
        dataclasses.replace(part1, schedule="cosine"),
        dataclasses.replace(part1, val_fraction=0.0),
        dataclasses.replace(part1, limit=100),
        part2,
        dataclasses.replace(part2, init="pretrained", source="digits"),
        dataclasses.replace(part2, init="pretrained", source="part1"),
        dataclasses.replace(part2, init="pretrained", source="elsewhere/best.keras"),
        part3,
        dataclasses.replace(part3, loss="given", rounds=0),
        dataclasses.replace(part3, rounds=0),
        dataclasses.replace(part3, rounds=2),
        with_recipe(part3, "best"),
        dataclasses.replace(part3, init="pretrained", source="part1"),
    ]
    paths = [named(experiment).run_path for experiment in changes]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "part1/compact/seed-0" and "part2/random/seed-0" in paths and "part2/pretrained/seed-0" in paths


def test_the_study_does_what_another_needs_first():
    names = [(e.part, e.name) for e in study.experiments(sample=False, quick=False, seed=0)]
    assert names == [
        ("part1", "compact"),
        ("part1", "deep"),
        ("part2", "digits"),
        ("part2", "random"),
        ("part2", "pretrained"),
        ("part3", "random-given"),
        ("part3", "random-complementary-plain"),
        ("part3", "random-complementary"),
        ("part3", "pretrained-given"),
        ("part3", "pretrained-complementary-plain"),
        ("part3", "pretrained-complementary"),
    ]


@pytest.mark.parametrize("init, source", [("random", None), ("pretrained", "part1")])
def test_a_round_learns_from_the_run_that_its_settings_name_and_that_holds_out_the_same_images(init, source):
    usual = named(dataclasses.replace(PARTS["part3"], init=init, source=source, seed=3))
    best = named(with_recipe(usual, "best"))
    assert best.name == f"{init}-complementary-best" and usual in best.taught_by
    assert {(one.init, one.source) for one in best.taught_by} == {("random", None), ("pretrained", "part1")}
    assert {(one.seed, one.rounds, one.model) for one in best.taught_by} == {(3, 1, "deep")}
    (plain,) = usual.taught_by
    assert plain.taught_by == ()
    rounds = [best, usual, plain]
    assert [one.rounds for one in rounds] == [2, 1, 0]
    (thorough,) = named(dataclasses.replace(usual, rounds=4)).taught_by
    assert [thorough.name, thorough.taught_by[0].name] == [f"{init}-complementary-{rounds}-rounds" for rounds in (3, 2)]
    assert rounds[-1] == named(dataclasses.replace(usual, rounds=0))
    assert {(one.seed, one.val_fraction, one.init, one.source) for one in rounds} == {(3, 0.1, init, source)}
    with pytest.raises(MidasError, match="not with 'given'"):
        dataclasses.replace(usual, loss="given")


def test_part3_never_names_true_labels():
    for experiment in study.experiments(sample=False, quick=False, seed=0):
        if experiment.part == "part3":
            assert experiment.data == "part3" and experiment.test == "mnist-test"
