import dataclasses
import json

import numpy as np
import pytest
from tiny import experiment, glyphs

from midas import validation
from midas.analysis import load_predictions
from midas.errors import MidasError
from midas.study import Workplace
from midas.validation import Protocol, cross_validate, table

QUICK = experiment(epochs=1, val_fraction=0.0, augmentation=None)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "load", lambda name, experiment, place: glyphs())
    return Workplace(tmp_path, "nowhere", tmp_path)


def test_every_image_is_answered_once_a_repeat_by_networks_that_never_saw_it(place, monkeypatch):
    from midas import training

    seen = []
    whole = training.train

    def spy(experiment, run, data, test, **rest):
        seen.append((experiment.seed, set(data.names), set(test.names)))
        return whole(experiment, run, data, test, **rest)

    monkeypatch.setattr(training, "train", spy)
    run, done = cross_validate(QUICK, place, Protocol(folds=2, repeats=2))
    names = sorted(glyphs().names)
    assert done and len(seen) == 4
    assert all(not trained & held_out and sorted(trained | held_out) == names for _, trained, held_out in seen)
    for first, second in (seen[:2], seen[2:]):
        assert first[0] == second[0] and not first[2] & second[2]
    assert seen[0][0] != seen[2][0] and seen[0][2] != seen[2][2]
    predictions = load_predictions(run)
    assert sorted(predictions["names"]) == sorted(names * 2)


def test_a_summary_of_one_and_of_several_with_and_without_views(place):
    run, _ = cross_validate(QUICK, place, Protocol(folds=2, ensemble=2, tta=2))
    result = run.result
    assert [(score["networks"], score["tta"]) for score in result["scores"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for score in result["scores"]:
        low, high = score["accuracy"]["interval"]
        assert low <= score["accuracy"]["mean"] <= high
        assert score["calibration_error"]["standard_deviation"] is None
    wrong = 1 - np.mean(load_predictions(run)["probabilities"].argmax(1) == load_predictions(run)["labels"])
    assert sum(result["errors"].values()) == pytest.approx(wrong)
    assert result["parameters"] == run.card["parameters"] and result["train_seconds"] > 0
    lines = table([result]).splitlines()
    assert len(lines) == 5 and lines[0].split()[:3] == ["name", "networks", "tta"]


def test_more_repeats_keep_what_is_trained_and_nothing_is_done_twice(place):
    protocol = Protocol(folds=2)
    run, _ = cross_validate(QUICK, place, protocol)
    first = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    assert len(first) == 2
    assert cross_validate(QUICK, place, protocol)[1] is False
    run, done = cross_validate(QUICK, place, dataclasses.replace(protocol, repeats=2))
    after = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    assert done and len(after) == 4 and first.items() <= after.items()
    assert len(list(run.result["scores"])) == 1 and run.result["repeats"] == 2


def test_a_stopped_fold_is_refused_then_resumed_to_the_same_result(place):
    run, _ = cross_validate(QUICK, place, Protocol(folds=2))
    before = run.result
    fold = run / "2-fold" / "repeat-0" / "fold-1" / "seed-0"
    (fold / "result.json").unlink()
    (run / "result.json").unlink()
    with pytest.raises(MidasError, match="--resume"):
        cross_validate(QUICK, place, Protocol(folds=2))
    run, _ = cross_validate(QUICK, place, Protocol(folds=2), resume=True)
    assert json.dumps(run.result["scores"]) == json.dumps(before["scores"])


def test_another_experiment_and_too_few_images_are_refused(place):
    cross_validate(QUICK, place, Protocol(folds=2))
    with pytest.raises(MidasError, match="epochs 2 instead of 1"):
        cross_validate(dataclasses.replace(QUICK, epochs=2), place, Protocol(folds=2))
    with pytest.raises(MidasError, match="fewer than 11 images"):
        cross_validate(dataclasses.replace(QUICK, name="more"), place, Protocol(folds=11))


def test_networks_in_an_ensemble_and_repeats_have_seeds_of_their_own():
    seeds = [(repeat, seed) for repeat, _, _, seed in Protocol(folds=3, repeats=2, ensemble=4).runs(5)]
    assert len(seeds) == 24 and len({seed for _, seed in seeds}) == 8
    # What a smaller protocol trains, a larger one needs too.
    smaller = {(r, f, s) for r, f, _, s in Protocol(repeats=1).runs(0)}
    assert smaller < {(r, f, s) for r, f, _, s in Protocol(repeats=3, ensemble=2).runs(0)}


def test_the_calibration_of_a_fold_never_uses_its_own_labels():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10)
    answers = rng.dirichlet(np.ones(4), (1, 1, 40)).astype(np.float32)
    splits = [validation._split(labels, 2, 0)]
    _, calibrated = validation._score(answers, labels, list("abcd"), splits)
    held_out = splits[0][0][1]
    changed = labels.copy()
    changed[held_out] = (labels[held_out] + 1) % 4
    _, again = validation._score(answers, changed, list("abcd"), splits)
    assert np.array_equal(calibrated[0, 0, held_out], again[0, 0, held_out])
    assert not np.array_equal(calibrated, again)
