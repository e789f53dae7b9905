"""Lists of trainings on a Dask cluster, whose machines share a file system for the run directories."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midas.errors import MidasError
from midas.studies.executor import ATTEMPTS, REFRESH, Display, Done, Failures, Job
from midas.studies.worker import Child, Died, pack_places, pack_task

if TYPE_CHECKING:
    from distributed import Client, Future

    from midas.studies.workspace import Workspace

CONNECT, WORKERS = 10, 60  # seconds to wait for a scheduler, and for its first worker
MARK = ".midas-cluster"  # a file by which workers are asked whether they see a folder


def perform_in_child(task: bytes, places: bytes, *before: str | None) -> str | None:
    """Perform a task in a process of its own, on a worker of the cluster.

    Args:
        task: what `pack_task` packed.
        places: what `pack_places` packed.
        *before: what this returned for the tasks that it builds on.

    Returns:
        Why it failed; None if it did not.

    Raises:
        Died: the process died, so that it should be tried again.
    """
    from distributed import get_worker

    if any(before):
        return f"builds on a training that failed: {next(filter(None, before))}"
    worker = get_worker()
    child = Child(task, places, max(1, (os.cpu_count() or 1) // worker.state.nthreads))
    key = worker.get_current_task()
    try:
        while child.is_alive:
            known = worker.state.tasks.get(key)
            if known is None or known.state in ("cancelled", "resumed"):
                return "cancelled"
            time.sleep(REFRESH)
        child.result()
        return None
    except Died:
        raise
    except MidasError as error:
        return str(error)
    finally:
        child.stop()


@dataclass(frozen=True)
class Cluster:
    """Performs jobs on an existing Dask cluster.

    Run directories must lie on a file system that all its machines share. Data are read where they are, or sent to each
    worker once if a worker does not find them.

    Attributes:
        scheduler: its address, or the file that it writes.
        work: what a worker does; it takes and returns what `perform_in_child` does.
    """

    scheduler: str
    work: Callable[..., str | None] = perform_in_child
    is_parallel = True

    def perform(self, jobs: Sequence[Job], workspace: Workspace, unit: str, done: Done) -> None:
        """Perform jobs, as `executor.Executor.perform` says."""
        display, failures = Display(jobs, workspace), Failures()
        pending = {job.path: job for job in jobs}
        with self._connected() as client:
            _check_runs_dir(client, workspace)
            futures = self._submit(client, jobs, workspace)
            while pending:
                for job in [job for path, job in pending.items() if futures[path].done()]:
                    del pending[job.path]
                    if failures.blocks(job):
                        continue
                    if error := self._failure(futures[job.path]):
                        failures.errors[job.path] = error
                    else:
                        display.finish(job)
                        done(job)
                if client.status != "running":
                    raise self._lost()
                display.show([path for path in pending if path.exists()])
                time.sleep(REFRESH)
        failures.raise_any(len(jobs))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Client]:
        try:
            from distributed import Client
        except ImportError as error:
            raise MidasError("--scheduler needs the package distributed: pip install distributed") from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it logs is said in one line below
        where = {"scheduler_file": self.scheduler} if Path(self.scheduler).is_file() else {"address": self.scheduler}
        try:
            client = Client(**where, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise MidasError(
                f"{self.scheduler}: no Dask scheduler answers; start one with 'dask scheduler', or give its address or "
                "its scheduler file"
            ) from error
        try:
            _wait_for_workers(client, self.scheduler)
            yield client
        finally:
            with contextlib.suppress(Exception):  # a scheduler that is gone cannot be told
                client.close(timeout=CONNECT)

    def _submit(self, client: Client, jobs: Sequence[Job], workspace: Workspace) -> dict[Path, Future]:
        """Submit jobs, each after those that it builds on. The same jobs of two clients are the same tasks."""
        sizes = sorted({job.experiment.size for job in jobs})
        if _see(client, needed_files(workspace)):
            packed = dict.fromkeys(sizes, pack_places(workspace))
        else:
            packed = pack_with_data(workspace, jobs)
        places = {size: client.scatter(packed[size], broadcast=True, hash=True) for size in sizes}
        futures: dict[Path, Future] = {}
        for job in jobs:
            task, size = pack_task(job.call), job.experiment.size
            digest = hashlib.sha256(task + packed[size]).hexdigest()[:16]
            before = [futures[path] for path in job.after if path in futures]
            futures[job.path] = client.submit(
                self.work, task, places[size], *before, key=f"{job.path.name}-{digest}", retries=ATTEMPTS - 1
            )
        return futures

    def _failure(self, future: Future) -> MidasError | None:
        """Give the reason why a task failed, if it did."""
        if future.status == "finished":
            message = future.result(timeout=CONNECT)
            return MidasError(message) if message else None
        if future.status != "error":  # cancelled, or lost, as the scheduler is
            raise self._lost()
        return MidasError(f"its workers failed: {str(future.exception(timeout=CONNECT)).splitlines()[0]}")

    def _lost(self) -> MidasError:
        return MidasError(
            f"{self.scheduler}: lost the connection to the scheduler; --resume goes on from the finished epochs"
        )


def _wait_for_workers(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS)
    except TimeoutError as error:
        raise MidasError(f"{scheduler}: has no workers; start some with 'dask worker ADDRESS'") from error


def _see(client: Client, paths: Sequence[Path]) -> bool:
    """Tell whether all workers find these files or folders."""
    return all(all(found) for found in client.run(_exist, list(map(str, paths))).values())


def _exist(paths: Sequence[str]) -> list[bool]:
    return [Path(path).exists() for path in paths]


def _check_runs_dir(client: Client, workspace: Workspace) -> None:
    """Refuse run directories that a worker does not see.

    Raises:
        MidasError: one does not.
    """
    folder = workspace.root.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{MARK}-{os.getpid()}"
    mark.touch()
    try:
        found = client.run(_exist, [str(mark)])
    finally:
        mark.unlink()
    if blind := [worker for worker, seen in found.items() if not all(seen)]:
        raise MidasError(
            f"{folder}: worker {blind[0]} does not see it; give a --runs-dir on a file system that all workers share"
        )


def needed_files(workspace: Workspace) -> list[Path]:
    """List the files or folders that the data are read from."""
    from midas.data.datasets import Dataset

    named = [] if workspace.is_sample or workspace.given else [Path(workspace.data_dir).absolute()]
    sources = [data for data in workspace.given.values() if not isinstance(data, Dataset) and not data.is_sample]
    paths = [Path(source.path).absolute() for source in sources]  # or places in an archive
    return [*named, *(next(each for each in (path, *path.parents) if each.exists()) for path in paths)]


def pack_with_data(workspace: Workspace, jobs: Sequence[Job]) -> dict[int, bytes]:
    """Pack for each size of glyphs a workspace with all data of the jobs of that size, which then needs no files."""
    quiet, packed = replace(workspace, skipped=lambda data, name: None), {}
    for size in {job.experiment.size for job in jobs}:
        wanted = [job.experiment for job in jobs if job.experiment.size == size]
        names = dict.fromkeys(name for each in wanted for name in (each.data, each.test) if name)
        given = {name: quiet.load(name, size) for name in names}
        packed[size] = pack_places(replace(workspace, given=given, reopen=None))
    return packed
