import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny import experiment, glyphs

from midas.errors import MidasError
from midas.report.analysis import load_predictions
from midas.runs import Run
from midas.studies import cross_validation as validation
from midas.studies.cross_validation import Protocol, cross_validate, table
from midas.studies.study import Workplace

QUICK = experiment(epochs=1, val_fraction=0.0, augmentation=None)


BASE = Protocol(folds=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished cross-validation's root, and what each training was given: seed, names trained on, names held out."""
    from midas.learning import trainer as training

    seen, train, score = [], training.train, training.score

    def spy(experiment, run, data, **rest):
        seen.append([experiment.seed, set(data.names)])
        return train(experiment, run, data, **rest)

    def spy_too(experiment, run, data, test):
        seen[-1].append(set(test.names))
        return score(experiment, run, data, test)

    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "load", lambda name, experiment, place: glyphs())
        patch.setattr(training, "train", spy)
        patch.setattr(training, "score", spy_too)
        run, done = cross_validate(QUICK, Workplace(root, "nowhere", root), BASE)
    assert done and run.finished
    return root, seen


@pytest.fixture
def place(whole, tmp_path, monkeypatch):
    """A workplace with a copy of it."""
    monkeypatch.setattr(validation, "load", lambda name, experiment, place: glyphs())
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    return Workplace(tmp_path, "nowhere", tmp_path)


def test_every_image_is_answered_once_by_a_network_that_never_saw_it(whole, place):
    names = sorted(glyphs().names)
    (_, trained, held_out), (_, others_trained, others) = whole[1]
    assert not trained & held_out and sorted(trained | held_out) == names
    assert others == trained and others_trained == held_out
    run, done = cross_validate(QUICK, place, BASE)
    assert not done and sorted(load_predictions(run)["names"]) == names


def test_more_repeats_keep_what_is_trained_and_split_anew(place):
    run, _ = cross_validate(QUICK, place, BASE)
    before = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    run, done = cross_validate(QUICK, place, dataclasses.replace(BASE, repeats=2))
    after = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    assert done and (len(before), len(after)) == (2, 4) and before.items() <= after.items()
    assert run.result["repeats"] == 2 and len(run.result["scores"]) == 1
    assert sorted(load_predictions(run)["names"]) == sorted(glyphs().names)
    folds = [Run(run / "2-fold" / f"repeat-{r}" / "fold-0" / f"seed-{100 * r}") for r in (0, 1)]
    assert set(load_predictions(folds[0])["names"]) != set(load_predictions(folds[1])["names"])


def test_a_summary_of_one_and_of_several_with_and_without_views(place):
    run, _ = cross_validate(QUICK, place, dataclasses.replace(BASE, ensemble=2, tta=2))
    result = run.result
    assert [(score["networks"], score["tta"]) for score in result["scores"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for score in result["scores"]:
        low, high = score["accuracy"]["interval"]
        assert low <= score["accuracy"]["mean"] <= high
        assert score["calibration_error"]["standard_deviation"] is None
    predictions = load_predictions(run)
    wrong = np.mean(predictions["probabilities"].argmax(1) != predictions["labels"])
    assert sum(result["errors"].values()) == pytest.approx(wrong)
    assert result["parameters"] == run.card["parameters"] and result["train_seconds"] > 0
    lines = table([result]).splitlines()
    assert len(lines) == 5 and lines[0].split()[:3] == ["name", "networks", "tta"]


def test_a_stopped_fold_is_refused_then_resumed_to_the_same_result(place):
    run, _ = cross_validate(QUICK, place, BASE)
    before = run.result
    (run / "2-fold" / "repeat-0" / "fold-1" / "seed-0" / "result.json").unlink()
    (run / "result.json").unlink()
    with pytest.raises(MidasError, match="--resume"):
        cross_validate(QUICK, place, BASE)
    run, _ = cross_validate(QUICK, place, BASE, resume=True)
    assert json.dumps(run.result["scores"]) == json.dumps(before["scores"])


def test_finished_folds_of_other_data_are_refused(place, monkeypatch):
    fewer = glyphs().take(np.arange(3, len(glyphs())))
    monkeypatch.setattr(validation, "load", lambda name, experiment, place: fewer)
    with pytest.raises(MidasError, match="the data changed"):
        cross_validate(QUICK, place, dataclasses.replace(BASE, repeats=2))


def test_overwrite_forgets_every_fold_at_once(place, monkeypatch):
    from midas.learning import trainer as training

    def stop(*arguments, **rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(QUICK, place, BASE, overwrite=True)
    assert not list(place.root.glob("**/result.json"))


def test_another_experiment_and_too_few_images_are_refused(place):
    with pytest.raises(MidasError, match="epochs 2 instead of 1"):
        cross_validate(dataclasses.replace(QUICK, epochs=2), place, BASE)
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
