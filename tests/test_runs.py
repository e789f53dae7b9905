import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
from tiny import experiment

from midas.errors import MidasError
from midas.runs import HALF, Run, atomic, find_runs, read_json, write_json


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path):
    with (
        pytest.raises(MidasError, match=r"record\.json: cannot be written: No space left"),
        atomic(tmp_path / "record.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MidasError, match="cannot be written"):
        write_json(tmp_path / "file" / "below.json", {})
    with pytest.raises(MidasError, match="cannot be written"), Run(tmp_path / "file" / "run").locked():
        pass


def test_nan_becomes_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.5]}


@pytest.mark.parametrize("content", ["", "{", "not json", "\udcff"])
def test_broken_json_is_one_line_naming_the_file(tmp_path, content):
    (tmp_path / "x.json").write_text(content, errors="surrogateescape")
    with pytest.raises(MidasError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_a_line_cut_short_is_not_an_epoch(tmp_path):
    run = Run(tmp_path)
    run.append_metrics({"epoch": 1})
    run.append_metrics({"epoch": 2})
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert run.metrics() == [{"epoch": 1}, {"epoch": 2}]


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


@pytest.mark.skipif(os.name == "nt", reason="no harmless way to ask whether a process is alive")
def test_what_a_killed_process_had_half_written_goes_and_a_living_one_s_stays(tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    half, ours, theirs = (tmp_path / f".a\nb.{HALF}{n}.tmp.keras" for n in (killed.pid, os.getpid(), os.getppid()))
    for path in (half, ours, theirs, tmp_path / ".tmp", tmp_path / "a.1.tmp"):
        path.write_bytes(b"half")
    write_json(tmp_path / "record.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {theirs.name, ".tmp", "a.1.tmp", "record.json"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_epoch_s_record_on_a_full_disk_is_one_line(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(MidasError, match=r"metrics\.jsonl: cannot be written: No space left on device; make room"):
        Run(tmp_path).append_metrics({"epoch": 1})


def test_names_that_are_no_utf_8_survive_json(tmp_path):
    write_json(tmp_path / "x.json", {"path": "é\udcff"})
    assert read_json(tmp_path / "x.json") == {"path": "é\udcff"}


def test_a_thousand_folders_in_each_other_are_one_line(tmp_path):
    with pytest.raises(MidasError, match="cannot be written: File name too long"):
        write_json(tmp_path / "/".join("d" * 1200) / "x.json", {})


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
