"""What executors are given to do in tests: jobs that other processes import, without any training."""

import dataclasses
import os
import signal
import time
from functools import partial
from pathlib import Path

from midas.errors import MidasError
from midas.files import locked
from midas.recipes import PARTS
from midas.studies.executor import Job

DEADLINE = 240  # seconds


def write(path, workspace):
    """Write the run directory's name, and which process did."""
    Path(path).mkdir(parents=True, exist_ok=True)
    (Path(path) / "done").write_text(f"{os.getpid()}")


def copy(path, other, workspace):
    """Do what needs another job's result."""
    assert (Path(other) / "done").exists()
    write(path, workspace)


def read(path, workspace):
    """Read the data of Part 1, of which the worker may have no files."""
    data = workspace.load("part1", 28)
    Path(path).mkdir(parents=True, exist_ok=True)
    (Path(path) / "done").write_text(f"{data.digest} {type(workspace.open('part1')).__name__}")


def fail(path, workspace):
    """Fail as trainings do."""
    raise MidasError(f"{path}: cannot be")


def crash(path, workspace):
    """Fail as no training should."""
    raise RuntimeError("out of order")


def die_once(path, workspace):
    """Be killed at the first attempt, as by the system when memory is short."""
    Path(path).mkdir(parents=True, exist_ok=True)
    first = Path(path) / "first"
    if not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, workspace)


def die(path, workspace):
    """Be killed at every attempt."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait(path, workspace):
    """Lock the run directory, and wait for a file in it; the number of attempts is kept."""
    with locked(Path(path), "busy"):
        with (Path(path) / "attempts").open("a") as file:
            file.write(f"{os.getpid()}\n")
        until(lambda: (Path(path) / "go").exists())
        write(path, workspace)


def until(is_true):
    """Wait until something is true."""
    deadline = time.monotonic() + DEADLINE
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def job(path, do, *more, after=()):
    """Make a job of one of these functions."""
    return Job(path, dataclasses.replace(PARTS["part1"], epochs=1), partial(do, str(path), *more), tuple(after))
