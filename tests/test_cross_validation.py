import dataclasses
import pickle
import shutil

import numpy as np
import pytest
from tiny import dataset, experiment

from midas.errors import MidasError
from midas.files import plain
from midas.learning import trainer
from midas.report.tables import cross_validation_table
from midas.runs import Run
from midas.studies import cross_validation
from midas.studies.cross_validation import Protocol, cross_validate, stratified_folds
from midas.studies.executor import InProcess
from midas.studies.study import Workspace

pytestmark = pytest.mark.usefixtures("eagerly")

QUICK = experiment(epochs=1, val_fraction=0.0, augmentation=None)
BASE = Protocol(folds=2)
FOLDS = ("fold-0", "fold-1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The root of a finished cross-validation, and for each training its seed, training names and held-out names."""
    seen, train, score = [], trainer.train, trainer.score

    def spy_on_train(experiment, run, data, *rest, **more):
        seen.append([experiment.seed, set(data.names)])
        return train(experiment, run, data, *rest, **more)

    def spy_on_score(training, test):
        seen[-1].append(set(test.names))
        return score(training, test)

    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "load", lambda workspace, name, size: dataset())
        patch.setattr(trainer, "train", spy_on_train)
        patch.setattr(trainer, "score", spy_on_score)
        run = cross_validate(QUICK, Workspace(root, "nowhere", root), BASE)
    assert run.finished
    return root, seen


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch):
    """A workspace with a copy of it; `said` has its messages."""
    monkeypatch.setattr(Workspace, "load", lambda workspace, name, size: dataset())
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path, "nowhere", tmp_path)


def test_every_image_is_predicted_once_by_a_network_that_was_not_trained_on_it(finished, workspace):
    names = sorted(dataset().names)
    (_, trained, held_out), (_, others_trained, others) = finished[1]
    assert not trained & held_out and sorted(trained | held_out) == names
    assert others == trained and others_trained == held_out
    said = []
    run = cross_validate(QUICK, dataclasses.replace(workspace, say=said.append), BASE)
    assert "nothing to do" in said[0] and sorted(run.predictions().names) == names


def test_more_repeats_keep_what_is_trained_and_split_anew(workspace):
    run = cross_validate(QUICK, workspace, BASE)
    before = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    run = cross_validate(QUICK, workspace, dataclasses.replace(BASE, repeats=2))
    after = {path: path.stat().st_mtime_ns for path in run.path.glob("*/*/*/*/last.keras")}
    assert (len(before), len(after)) == (2, 4) and before.items() <= after.items()
    assert run.cross_validation.repeats == 2 and len(run.cross_validation.scores) == 1
    assert sorted(run.predictions().names) == sorted(dataset().names)
    folds = [Run(run / "2-fold" / f"repeat-{r}" / "fold-0" / f"seed-{100 * r}") for r in (0, 1)]
    assert set(folds[0].predictions().names) != set(folds[1].predictions().names)


def test_single_networks_and_the_ensemble_are_scored_with_and_without_tta(workspace):
    run = cross_validate(QUICK, workspace, dataclasses.replace(BASE, ensemble=2, tta=2))
    result = run.cross_validation
    assert [(score.networks, score.tta) for score in result.scores] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for score in result.scores:
        low, high = score.accuracy.interval
        assert low <= score.accuracy.mean <= high
        assert score.calibration_error.standard_deviation is None
    predictions = run.predictions()
    wrong = np.mean(predictions.probabilities.argmax(1) != predictions.labels)
    assert sum(vars(result.errors).values()) == pytest.approx(wrong)
    assert result.parameters == run.card.parameters and result.train_seconds > 0
    lines = cross_validation_table([result]).splitlines()
    assert len(lines) == 5 and lines[0].split()[:3] == ["name", "networks", "tta"]


def test_a_stopped_fold_is_refused_then_resumed_to_the_same_result(workspace):
    run = cross_validate(QUICK, workspace, BASE)
    before = run.cross_validation
    (run / "2-fold" / "repeat-0" / "fold-1" / "seed-0" / "result.json").unlink()
    (run / "result.json").unlink()
    with pytest.raises(MidasError, match="--resume"):
        cross_validate(QUICK, workspace, BASE)
    run = cross_validate(QUICK, workspace, BASE, resume=True)
    assert plain(run.cross_validation.scores) == plain(before.scores)


class Observed(InProcess):
    """Tries the first fold again, as after a process that died, and keeps what other processes are given."""

    def perform(self, jobs, workspace, unit, done):
        (jobs[0].path / "result.json").unlink()
        given.append(pickle.loads(pickle.dumps(workspace)).given)
        super().perform(jobs, workspace, unit, done)


given = []


def reopen(workspace):
    raise FileNotFoundError("data that are on another machine")


def test_a_fold_whose_process_died_is_resumed_and_other_processes_need_no_files(workspace):
    run = cross_validate(QUICK, workspace, BASE)
    before = run.cross_validation
    (run / "result.json").unlink()
    unseen = {"test part": dataset()}  # which a cross-validation does not need
    run = cross_validate(QUICK, dataclasses.replace(workspace, executor=Observed(), reopen=reopen, given=unseen), BASE)
    assert plain(run.cross_validation.scores) == plain(before.scores)
    assert given[0].keys() == {QUICK.data} and given.pop()[QUICK.data].digest == dataset().digest


def test_finished_folds_of_other_data_are_refused(workspace, monkeypatch):
    fewer = dataset().take(np.arange(3, len(dataset())))
    monkeypatch.setattr(Workspace, "load", lambda workspace, name, size: fewer)
    with pytest.raises(MidasError, match="the data changed"):
        cross_validate(QUICK, workspace, dataclasses.replace(BASE, repeats=2))


def test_finished_folds_that_started_from_another_network_are_refused(workspace):
    start, other = (Run(cross_validate(QUICK, workspace, BASE) / "2-fold/repeat-0" / fold / "seed-0") for fold in FOLDS)
    tuned = dataclasses.replace(QUICK, name="tuned", init="pretrained", init_checkpoint="given")
    for _ in range(2):
        run = cross_validate(tuned, workspace, BASE, init_checkpoint=start.path)
    shutil.copy(other.checkpoint, start.checkpoint)
    for protocol in (BASE, dataclasses.replace(BASE, repeats=2)):
        with pytest.raises(MidasError, match=f"started from another network than {start.path} is now"):
            cross_validate(tuned, workspace, protocol, init_checkpoint=start.path)
    assert not run.finished or run.cross_validation.repeats == 1


def test_overwrite_forgets_every_fold_at_once(workspace, monkeypatch):
    def stop(*arguments, **rest):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(QUICK, workspace, BASE, overwrite=True)
    assert not list(workspace.root.glob("**/result.json"))


def test_another_experiment_and_too_few_images_are_refused(workspace):
    with pytest.raises(MidasError, match="epochs 2 instead of 1"):
        cross_validate(dataclasses.replace(QUICK, epochs=2), workspace, BASE)
    with pytest.raises(MidasError, match="classes '0', '1', '2', … each have 10 images, too few for 11 folds"):
        cross_validate(dataclasses.replace(QUICK, name="more"), workspace, Protocol(folds=11))


def test_networks_in_an_ensemble_and_repeats_have_seeds_of_their_own():
    seeds = [(repeat, seed) for repeat, _, _, seed in Protocol(folds=3, repeats=2, ensemble=4).trainings(5)]
    assert len(seeds) == 24 and len({seed for _, seed in seeds}) == 8
    # What a smaller protocol trains, a larger one needs too.
    smaller = {(r, f, s) for r, f, _, s in Protocol(repeats=1).trainings(0)}
    assert smaller < {(r, f, s) for r, f, _, s in Protocol(repeats=3, ensemble=2).trainings(0)}


def test_the_calibration_of_a_fold_never_uses_its_own_labels():
    rng, data = np.random.default_rng(0), dataset("0123")
    probabilities = rng.dirichlet(np.ones(4), (1, 1, 40)).astype(np.float32)
    splits = [stratified_folds(data, "drawings", 2, 0)]
    _, calibrated = cross_validation._score(probabilities, data.labels, data.class_names, splits, 1, 1)
    held_out = splits[0][0][1]
    changed = data.labels.copy()
    changed[held_out] = (changed[held_out] + 1) % 4
    _, again = cross_validation._score(probabilities, changed, data.class_names, splits, 1, 1)
    assert np.array_equal(calibrated[0, 0, held_out], again[0, 0, held_out])
    assert not np.array_equal(calibrated, again)
