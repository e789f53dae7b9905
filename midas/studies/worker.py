"""A process that performs one training for another process, and ends with it.

The task comes through stdin, which stays open: when it closes, the other process is gone, and so this one ends too. The
error, if there is one, goes to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midas.errors import Busy, MidasError

if TYPE_CHECKING:
    from midas.studies.workspace import Workspace

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PATIENCE = 1  # seconds between two tries at a run directory that another process works on


class Died(MidasError):
    """A process ended without having said how its training went."""


def pack_task(call: Callable[[Workspace], Any]) -> bytes:
    """Pack what to do in a workspace; the worker imports it by its name."""
    return pickle.dumps((call, sys.argv, Path.cwd()))


def pack_places(workspace: Workspace) -> bytes:
    """Pack where to do it."""
    return pickle.dumps(workspace)


class Child:
    """A process that performs a task.

    Args:
        task: what `pack_task` packed.
        places: what `pack_places` packed.
        threads: number of cores that it uses.
    """

    def __init__(self, task: bytes, places: bytes, threads: int) -> None:
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from midas.studies.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the process that this one works for
        )
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died already, which `result` tells
            self.process.stdin.write(pickle.dumps((task, places)))
            self.process.stdin.flush()

    @property
    def is_alive(self) -> bool:
        """Whether it is still at work."""
        return self.process.poll() is None

    def result(self) -> None:
        """Wait for the end.

        Raises:
            Died: it ended too early.
            MidasError: the training failed.
        """
        stdout, _ = self.process.communicate()
        if self.process.returncode:
            raise Died(
                f"its process died, with status {self.process.returncode}; --resume goes on from the last saved epoch"
            )
        if message := json.loads(stdout):
            raise MidasError(message)

    def stop(self) -> None:
        """End it at once; the last complete epoch is on disk."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Perform the task that comes through stdin."""
    result = os.dup(1)
    os.dup2(2, 1)  # what libraries print
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    task, places = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    message = perform(task, places)
    os.write(result, json.dumps(message).encode())
    os._exit(0)  # without waiting for the thread that reads stdin


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def perform(task: bytes, places: bytes) -> str | None:
    """Perform a task, after any other process that works on the same run directory.

    Returns:
        Why it failed; None if it did not.
    """
    try:
        call, sys.argv, folder = pickle.loads(task)
        if folder.is_dir():
            os.chdir(folder)
        workspace = pickle.loads(places)
        while True:
            try:
                call(workspace)
                return None
            except Busy:
                time.sleep(PATIENCE)
    except MidasError as error:
        return str(error)
    except Exception as error:  # of a library: the other process has to know, and has no traceback
        *_, last = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
