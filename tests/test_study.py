import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest
from tiny import experiment, write_drawings

from midas.errors import MidasError
from midas.runs import Run
from midas.studies import study
from midas.studies.executor import InProcess, Processes
from midas.studies.study import Workspace, perform, perform_seeds, run_study

pytestmark = pytest.mark.usefixtures("eagerly")


class Stopped(Exception):
    """Stands for a process that is stopped."""


def stop(record, epochs):
    raise Stopped


@pytest.fixture
def workspace(tmp_path):
    write_drawings(tmp_path / "data", "01", 6)
    return Workspace(tmp_path / "runs", str(tmp_path / "data"), tmp_path / "cache")


def finished(workspace, seeds=2):
    """Say which of the made-up runs are finished."""
    return [Run(workspace.runs_dir / "part1" / "tiny" / f"seed-{seed}").finished for seed in range(seeds)]


def test_a_study_that_overwrites_deletes_all_old_runs_when_the_first_training_starts(workspace, monkeypatch):
    tiny = experiment(name="tiny", epochs=1)
    old = [fabricate.run(workspace.runs_dir, "part1", "tiny", seed) for seed in (0, 1)]
    with pytest.raises(MidasError, match="too few for a validation set"):  # what is refused deletes nothing
        perform_seeds(replace(tiny, val_fraction=0.99), 2, workspace, overwrite=True)
    with pytest.raises(MidasError, match="too few for a validation set"):
        perform_seeds(replace(tiny, val_fraction=0.99), 2, replace(workspace, executor=Processes(2)), overwrite=True)
    with old[1].locked(), pytest.raises(MidasError, match="another process"):
        perform_seeds(tiny, 2, workspace, overwrite=True)
    assert finished(workspace) == [True, True]
    with pytest.raises(Stopped):
        perform_seeds(tiny, 2, replace(workspace, epoch=stop), overwrite=True)
    assert finished(workspace) == [False, False]  # so --resume trains both
    fabricate.run(workspace.runs_dir, "part1", "tiny", 1)
    monkeypatch.setattr(study, "experiments", lambda sample, quick, seed: [tiny, replace(tiny, seed=1)])
    with pytest.raises(Stopped):
        run_study(replace(workspace, epoch=stop), quick=False, seed=0, overwrite=True)
    assert finished(workspace) == [False, False]


def test_a_finished_run_on_other_data_is_refused(workspace):
    tiny, data = experiment(name="tiny"), workspace.load("part1", 28)
    run = fabricate.run(workspace.runs_dir, "part1", "tiny")
    run.start(tiny)
    with pytest.raises(MidasError, match=r"trained on other data; .*--overwrite"):
        perform(tiny, workspace)
    run.write(replace(run.card, data_digest=data.digest))
    said = []
    for data_dir in (workspace.data_dir, "nowhere"):
        perform(tiny, replace(workspace, data_dir=data_dir, say=said.append))
    assert len(said) == 2 and all("nothing to do" in line for line in said)
    write_drawings(Path(workspace.data_dir), "2", 6)
    with pytest.raises(MidasError, match="trained on other data"):
        perform(tiny, workspace)


def test_finished_runs_need_nothing_in_any_number_of_processes(workspace):
    """Neither the data, nor the cross-validation that measured their accuracy."""
    tiny = experiment(name="tiny", folds=2, val_fraction=0.0)
    for seed in (0, 1):
        fabricate.run(workspace.runs_dir, "part1", "tiny", seed).start(replace(tiny, seed=seed))
    for executor in (InProcess(), Processes(2)):
        said = []
        perform_seeds(tiny, 2, replace(workspace, executor=executor, data_dir="nowhere", say=said.append))
        assert len(said) == 2 and all("nothing to do" in line for line in said)


def test_a_finished_run_that_started_from_another_network_is_refused(workspace):
    start, other = (perform(experiment(name="tiny", epochs=1, seed=seed), workspace) for seed in (0, 1))
    tuned = experiment("custom", data="part1", epochs=1, init="pretrained", init_checkpoint=str(start.path))
    perform(tuned, workspace)
    said = []
    perform(tuned, replace(workspace, say=said.append))
    shutil.copy(other.checkpoint, start.checkpoint)
    with pytest.raises(MidasError, match=r"started from another network than .*tiny/seed-0 is now; .*--overwrite"):
        perform(tuned, workspace)
    with pytest.raises(MidasError, match="started from another network"):
        perform_seeds(tuned, 2, workspace)
    shutil.rmtree(start.path)  # a network that is gone is not another one
    perform(tuned, replace(workspace, say=said.append))
    assert len(said) == 2 and all("nothing to do" in line for line in said)


def test_the_study_does_what_another_needs_first():
    names = [(e.part, e.name) for e in study.experiments(sample=False, quick=False, seed=0)]
    assert names == [
        ("part1", "compact"),
        ("part1", "deep"),
        ("part2", "digits"),
        ("part2", "random"),
        ("part2", "pretrained"),
        ("part3", "random-cross-entropy"),
        ("part3", "random-complementary"),
        ("part3", "random-progressive"),
        ("part3", "pretrained-cross-entropy"),
        ("part3", "pretrained-complementary"),
        ("part3", "pretrained-progressive"),
    ]


def test_part3_never_names_true_labels():
    for each in study.experiments(sample=False, quick=False, seed=0):
        if each.part == "part3":
            assert each.data == "part3" and each.test == "mnist-test"
