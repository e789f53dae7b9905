"""Lists of trainings, worked off in this process, or in several of this machine.

Every training is a run directory of its own, from which it can be resumed. So whatever is killed, its trainings end
with the results that one process with as many threads would have had. `cluster` does the same on many machines.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from midas.errors import MidasError
from midas.experiments import Experiment
from midas.runs import Run
from midas.studies.worker import Child, Died, pack_places, pack_task

if TYPE_CHECKING:
    from midas.studies.workspace import Workspace

ATTEMPTS = 3  # at a training whose process dies
REFRESH = 0.2  # seconds between two looks at what the processes have done


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        path: its run directory.
        experiment: what is trained.
        call: performs it in a workspace, or resumes it; other processes import it by its name.
        after: run directories of the jobs that it builds on.
    """

    path: Path
    experiment: Experiment
    call: Callable[[Workspace], Any]
    after: tuple[Path, ...] = ()


Done = Callable[[Job], None]


class Executor(Protocol):
    """Performs jobs."""

    @property
    def is_parallel(self) -> bool:
        """Whether jobs are performed in other processes, several at a time."""

    def perform(self, jobs: Sequence[Job], workspace: Workspace, unit: str, done: Done) -> None:
        """Perform jobs. One that fails does not lose the others.

        Args:
            jobs: each after those that it builds on.
            workspace: where, and how the user is informed.
            unit: what to call one, such as "run".
            done: called after each that succeeds.

        Raises:
            MidasError: some failed; the message names them.
        """


@dataclass
class Failures:
    """Jobs that failed, with the reasons, by run directory."""

    errors: dict[Path, MidasError] = field(default_factory=dict)

    def blocks(self, job: Job) -> bool:
        """Tell whether a job builds on one that failed, and note that it then fails, too."""
        missing = next((path for path in job.after if path in self.errors), None)
        if missing:
            self.errors[job.path] = MidasError(f"{job.path}: builds on {missing}, which failed")
        return missing is not None

    def raise_any(self, total: int) -> None:
        """Fail if there are any.

        Raises:
            MidasError: that of the only job, or of all if they have the same, or one that names all that failed.
        """
        if len(self.errors) == total and len(set(map(str, self.errors.values()))) == 1:  # one reason for all
            raise next(iter(self.errors.values()))
        if self.errors:
            listed = "; ".join(
                str(error) if str(path) in str(error) else f"{path}: {error}" for path, error in self.errors.items()
            )
            raise MidasError(f"{len(self.errors)} of {total} trainings failed; --resume does them again. {listed}")


class Display:
    """What is done of a list of jobs, as their run directories show it.

    Args:
        jobs: all of them.
        workspace: how the user is informed.
    """

    def __init__(self, jobs: Sequence[Job], workspace: Workspace) -> None:
        self.jobs, self.workspace = {job.path: job for job in jobs}, workspace
        self.done: set[Path] = set()
        self.began, self.at_first = time.monotonic(), self._epochs_done()

    def finish(self, job: Job) -> None:
        """Count a job as done."""
        self.done.add(job.path)

    def show(self, running: Collection[Path]) -> None:
        """Show which jobs are running, how far they are, and the time left."""
        if not running:
            return
        now = [
            f"{path.parent.name}/{path.name} {self._epochs_of(path)}/{self.jobs[path].experiment.all_epochs}"
            for path in running
        ]
        self.workspace.jobs(self._time_left(), now, len(self.done), len(self.jobs))

    def _time_left(self) -> str:
        """Estimate by the epochs that were trained since the beginning; "" before the first."""
        done = self._epochs_done()
        total = sum(job.experiment.all_epochs for job in self.jobs.values())
        if done <= self.at_first:
            return ""
        seconds = int((time.monotonic() - self.began) * (total - done) / (done - self.at_first))
        return f"{seconds // 60}:{seconds % 60:02d} left"

    def _epochs_done(self) -> int:
        return sum(map(self._epochs_of, self.jobs))

    def _epochs_of(self, path: Path) -> int:
        """Count the epochs that a job needs no more: all of them if it is done."""
        if path in self.done or Run(path).finished:
            return self.jobs[path].experiment.all_epochs
        with contextlib.suppress(OSError):
            files = [*path.glob("metrics.jsonl"), *path.glob("teacher-*/metrics.jsonl")]
            return sum(file.read_bytes().count(b"\n") for file in files)
        return 0


@dataclass(frozen=True)
class InProcess:
    """Performs jobs one after another, in this process."""

    is_parallel = False

    def perform(self, jobs: Sequence[Job], workspace: Workspace, unit: str, done: Done) -> None:
        """Perform jobs, as `Executor.perform` says."""
        failures = Failures()
        for number, job in enumerate(jobs, 1):
            workspace.stage(f"{unit} {number} of {len(jobs)}" if len(jobs) > 1 else "")
            if failures.blocks(job):
                continue
            try:
                job.call(workspace)
                done(job)
            except MidasError as error:
                failures.errors[job.path] = error
        failures.raise_any(len(jobs))


@dataclass(frozen=True)
class Processes:
    """Performs jobs in several processes of this machine, which share its cores.

    Attributes:
        workers: number of processes at a time.
    """

    workers: int
    is_parallel = True

    def perform(self, jobs: Sequence[Job], workspace: Workspace, unit: str, done: Done) -> None:
        """Perform jobs, as `Executor.perform` says."""
        threads, places = max(1, (os.cpu_count() or 1) // self.workers), pack_places(workspace)
        display, failures = Display(jobs, workspace), Failures()
        waiting, running = list(jobs), dict[Path, tuple[Job, Child]]()
        attempts = dict.fromkeys((job.path for job in jobs), 0)
        try:
            while waiting or running:
                waiting = [job for job in waiting if not failures.blocks(job)]
                ready = [job for job in waiting if display.done.issuperset(job.after)]
                for job in ready[: self.workers - len(running)]:
                    waiting.remove(job)
                    attempts[job.path] += 1
                    running[job.path] = job, Child(pack_task(job.call), places, threads)
                for path, (job, child) in list(running.items()):
                    if child.is_alive:
                        continue
                    del running[path]
                    try:
                        child.result()
                        display.finish(job)
                        done(job)
                    except Died as error:
                        if attempts[path] < ATTEMPTS:
                            waiting.insert(0, job)
                        else:
                            failures.errors[path] = MidasError(f"{path}: {error}")
                    except MidasError as error:
                        failures.errors[path] = error
                display.show(running)
                time.sleep(REFRESH)
        finally:
            for _, child in running.values():
                child.stop()
        failures.raise_any(len(jobs))
