"""Trainings and label audits that the page starts: each a `midas` command in a process of its own, one at a time.

The process holds a lock on a file, so that a server which is started again still knows that one is running. It is not
stopped with the terminal's Ctrl-C but by the server, with the same signal, so that a training can be resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from midas.errors import Busy, MidasError
from midas.files import make_directory, parse, read_json, write_json

try:
    import fcntl
except ImportError:  # Windows: a server that is started again does not know of a job of the one before
    fcntl = None  # type: ignore[assignment]

NICENESS = 5  # answers while drawing come first
LAST_LINE = 400  # characters
STOPPED = (130, -signal.SIGINT, -signal.SIGTERM)


@dataclass(frozen=True)
class Job:
    """A command that was started.

    Attributes:
        kind: "train" or "audit".
        name: of the run, or of the data that are audited.
        folder: where its results are.
        arguments: of `midas`.
        process: number of its process.
    """

    kind: str
    name: str
    folder: str
    arguments: tuple[str, ...]
    process: int = 0


@dataclass(eq=False)
class Jobs:
    """The one job that may run.

    Attributes:
        folder: for the lock, and for what the command prints.
    """

    folder: Path
    running: subprocess.Popen | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self, job: Job) -> Job:
        """Start a command.

        Args:
            job: what it is; its process is filled in.

        Raises:
            Busy: another one is running.
            MidasError: the folder cannot be written.
        """
        with self.turn, contextlib.ExitStack() as stack:
            make_directory(self.folder)
            lock = stack.enter_context(self._lock())
            out, err = (stack.enter_context((self.folder / name).open("wb")) for name in ("job.out", "job.err"))
            command = [sys.executable, "-m", "midas", *job.arguments]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=[lock] if fcntl else (),
            )
            if hasattr(os, "setpriority"):
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            self.running = process
            started = replace(job, process=process.pid)
            write_json(self.folder / "job.json", started)
            return started

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        """Lock the file, which the process inherits: the lock is held as long as it lives.

        Raises:
            Busy: another process holds it.
        """
        if self.running and self.running.poll() is None:
            raise Busy("a training or an audit is running; stop it, or wait for it to end")
        descriptor = os.open(self.folder / "job.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if fcntl:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise Busy("a job of an earlier server is running; stop it, or wait") from error
            yield descriptor
        finally:
            os.close(descriptor)

    def last(self) -> Job | None:
        """Give the job that was started last, also by an earlier server."""
        file = self.folder / "job.json"
        if not file.exists():
            return None
        try:
            return parse(Job, read_json(file))
        except (MidasError, ValueError):
            return None

    def is_running(self) -> bool:
        """Whether a job runs."""
        with self.turn:  # asking takes the lock for a moment, which would look like a job to another thread
            if self.running:
                return self.running.poll() is None
            if not (self.folder / "job.lock").exists():
                return False
            try:
                with self._lock():
                    return False
            except Busy:
                return True

    def failure(self) -> str | None:
        """Give the line in which the last job said why it failed; None if it runs, is done or was stopped."""
        status = self.running.poll() if self.running else None
        if status in (None, 0, *STOPPED):
            return None
        if status < 0:  # its last line tells how far it was
            return f"its process was killed by signal {-status}, perhaps because memory ran out"
        text = (self.folder / "job.err").read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].removeprefix("Error: ")[:LAST_LINE] if lines else "it ended without a word"

    def result(self) -> Any:
        """Give the JSON that the last job printed; None if it printed none."""
        try:
            return json.loads((self.folder / "job.out").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def progress(self) -> str:
        """Give the last line that the job printed about its progress."""
        file = self.folder / "job.err"
        if not file.exists():
            return ""
        with file.open("rb") as opened:
            opened.seek(max(file.stat().st_size - 4 * LAST_LINE, 0))
            lines = opened.read().decode("utf-8", "replace").splitlines()
        return next((line.strip()[:LAST_LINE] for line in reversed(lines) if line.strip()), "")

    def stop(self) -> None:
        """Interrupt the job, if one runs; a training can be resumed."""
        job = self.last()
        if job and job.process > 0 and self.is_running():  # 0 and less are groups of processes
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(job.process, signal.SIGINT)

    def close(self, patience: float = 10.0) -> None:
        """Interrupt the job of this server, and wait a while for it to end."""
        if self.running and self.running.poll() is None:
            self.stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.running.wait(patience)
