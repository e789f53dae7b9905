"""What another process is told, and what it says."""

import pickle
import re
from functools import partial
from pathlib import Path

import jobs
import pytest

from midas.studies import worker
from midas.studies.workspace import Workspace


def perform(do, tmp_path, *more):
    call = partial(do, str(tmp_path / "a"), *more)
    return worker.perform(worker.pack_task(call), worker.pack_places(Workspace(tmp_path, "sample", None)))


def test_a_task_is_performed_and_failures_are_said(tmp_path):
    assert perform(jobs.write, tmp_path) is None and (tmp_path / "a" / "done").exists()
    assert perform(jobs.fail, tmp_path) == f"{tmp_path / 'a'}: cannot be"
    assert re.fullmatch(r"RuntimeError: out of order \(.*jobs\.py, line \d+\)", perform(jobs.crash, tmp_path))


def test_a_process_that_dies_before_it_has_read_its_task_is_said_to_have_died(monkeypatch):
    monkeypatch.setattr(worker.sys, "executable", "false")
    child = worker.Child(b"", bytes(2**20), 1)  # more than a pipe holds
    with pytest.raises(worker.Died, match="its process died, with status 1"):
        child.result()


def test_places_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = pickle.loads(worker.pack_places(Workspace(Path("runs"), "data", None)))
    assert places.data_dir == str(tmp_path / "data") and places.root == tmp_path / "runs"
