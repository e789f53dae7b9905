import json
from pathlib import Path

import numpy as np
import pytest
from fabricate import cross_validation, predictions
from fabricate import run as fabricated
from tiny import experiment

from midas.errors import MidasError
from midas.records import EpochRecord
from midas.report.tables import run_state
from midas.runs import COMPARISON, CROSS_VALIDATION, Run, find_everything, find_run, find_runs


def test_a_line_cut_short_is_not_an_epoch(tmp_path):
    run = Run(tmp_path)
    run.append_epoch(EpochRecord(1))
    run.append_epoch(EpochRecord(2))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert run.epochs() == [EpochRecord(1), EpochRecord(2)]


def test_check_refuses_what_would_be_mixed(tmp_path):
    run = Run(tmp_path)
    run.check(experiment(), resume=False)  # nothing there
    run.start(experiment())
    with pytest.raises(MidasError, match="--resume"):
        run.check(experiment(), resume=False)
    run.check(experiment(), resume=True)
    with pytest.raises(MidasError, match="seed 1 instead of 0"):
        run.check(experiment(seed=1), resume=True)


def test_only_one_process_at_a_time(tmp_path):
    with Run(tmp_path).locked(), pytest.raises(MidasError, match="another process"), Run(tmp_path).locked():
        pass
    with Run(tmp_path).locked():
        pass


def test_an_unfinished_run_that_another_process_is_at_is_not_offered_to_resume(tmp_path):
    run = Run(tmp_path)
    run.start(experiment())
    with run.locked(), pytest.raises(MidasError, match="another process"):
        run.check(experiment(), resume=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_epoch_s_record_on_a_full_disk_is_one_line(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        MidasError, match=r"metrics\.jsonl: cannot be written: No space left on device; free some space"
    ):
        Run(tmp_path).append_epoch(EpochRecord(1))


def test_clear_leaves_what_is_not_the_run_s(tmp_path):
    run = Run(tmp_path)
    run.start(experiment())
    (tmp_path / "notes.txt").write_text("mine")
    run.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_find_runs(tmp_path):
    for name in ("b", "a/deep"):
        Run(tmp_path / name).start(experiment())
    assert [run.path.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == ["a/deep", "b"]


def test_a_run_is_found_by_its_directory_or_its_checkpoint(tmp_path):
    run = fabricated(tmp_path)
    (run / "best.keras").write_bytes(b"")
    assert find_run(run.path).path == find_run(run / "best.keras").path == run.path
    assert find_run(run / "last.keras") is None and find_run(tmp_path) is None


def test_records_are_read_as_they_were_written(tmp_path):
    run = fabricated(tmp_path, n=30)
    for name in ("card", "environment", "data", "result"):
        before = getattr(run, name)
        (run / f"{name}.json").unlink()
        run.write(before)
        assert getattr(run, name) == before
    assert run.card.class_names == tuple("0123456789") and run.result.n == 30
    assert [epoch.epoch for epoch in run.epochs()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["card.json", "environment.json", "result.json", "data.json"])
def test_damaged_records_are_one_line_that_names_the_file(tmp_path, name):
    run = fabricated(tmp_path)
    (run / name).write_text("[3]")
    with pytest.raises(MidasError, match=rf"{name}: expected an object.*--overwrite"):
        getattr(run, name.removesuffix(".json"))


@pytest.mark.parametrize("name", ["accuracy", "zero_shot_accuracy"])
def test_an_accuracy_is_a_proportion(tmp_path, name):
    run = fabricated(tmp_path)
    record = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(record | {name: -1}))
    assert f"{name} must lie in [0, 1], not -1" in run_state(run)["state"]


@pytest.mark.parametrize("content", ["0.5", "true", '["folds"]', '{"folds": 5}', "[" * 100_000])
def test_a_damaged_result_does_not_keep_the_others_from_the_list(tmp_path, content):
    run = fabricated(tmp_path)
    (run / "result.json").write_text(content)
    assert run_state(run)["state"].startswith("unreadable: ")


def test_a_cross_validation_without_scores_is_damaged(tmp_path):
    run = fabricated(tmp_path)
    run.write(cross_validation())
    assert run_state(run)["accuracy"] == 0.9
    record = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(record | {"scores": []}))
    assert "scores cannot be empty" in run_state(run)["state"]


def test_predictions_are_checked_against_the_card(tmp_path):
    run = fabricated(tmp_path, n=30)
    found = run.predictions()
    assert found.probabilities.shape == (30, 10) and found.images.shape == (30, 28, 28)
    run.write_predictions(predictions(list("012"), n=30))
    with pytest.raises(MidasError, match="do not match each other or the 10 classes"):
        run.predictions()
    np.savez(run / "predictions.npz", labels=np.zeros(3, int))
    with pytest.raises(MidasError, match="damaged, not the arrays of predictions"):
        run.predictions()


def test_samples_are_read_as_they_were_written(tmp_path):
    run = fabricated(tmp_path)
    samples = run.samples()
    assert len(samples.pages) == len(samples.prepared) == len(samples.prepared_labels)
    (run / "samples.npz").write_bytes(b"PK")
    with pytest.raises(MidasError, match="damaged, not the samples"):
        run.samples()
    (run / "samples.npz").unlink()
    assert run.samples() is None


def test_a_run_shows_itself_in_a_notebook(tmp_path):
    run = fabricated(tmp_path, n=30)
    shown = run._repr_html_()
    assert "95 % interval" in shown and "<table>" in shown and str(run.path) in shown
    (run / "result.json").unlink()
    assert "stopped after 5 epochs" in run._repr_html_()


def test_everything_is_found_but_the_folds_of_cross_validations(tmp_path):
    kept = [
        tmp_path,
        tmp_path / "sample",
        tmp_path / "quick" / "sample",
        tmp_path / COMPARISON / "compact-1" / "sample",
    ]
    expected = {fabricated(root, "part2", "random").path for root in kept}
    whole = fabricated(tmp_path / "sample" / CROSS_VALIDATION, "part1", "compact")
    fabricated(whole.path / "2-fold" / "repeat-0")
    whole.write(cross_validation())
    found = find_everything(tmp_path)
    assert {run.path for run in found} == expected | {whole.path} and len(found) == 5
    state = run_state(whole)
    assert (state["scored"], state["accuracy"], state["n"]) == ("5-fold cross-validation", 0.9, 620)
