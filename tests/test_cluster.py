"""A real Dask scheduler and its workers, killed in the middle of trainings: the results are those of one process."""

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jobs
import numpy as np
import pytest
from jobs import job
from tiny import write_drawings, write_mnist

from midas.errors import MidasError
from midas.learning.classifier import Classifier
from midas.runs import Run
from midas.studies.cluster import Cluster, needed_files, pack_with_data
from midas.studies.custom import open_given
from midas.studies.worker import THREADS
from midas.studies.workspace import Workspace

distributed = pytest.importorskip("distributed", reason="needs the package distributed")

EPOCHS, SEEDS = 5, 2
WORDS = [
    "train-part2",
    "--epochs",
    EPOCHS,
    "--ensemble",
    SEEDS,
    "--batch-size",
    16,
    "--resume",
    "--model",
    "baseline",
    "--name",
    "random",
]


class Machines:
    """A scheduler and workers, as separate processes."""

    def __init__(self, folder: Path):
        self.file, self.folder, self.workers = folder / "scheduler.json", folder, []
        self.file.unlink(missing_ok=True)  # of an earlier scheduler
        self.scheduler = self._start("dask_scheduler", "--port", 0, "--scheduler-file", self.file)
        jobs.until(self.file.exists)
        for _ in range(2):
            self.add_worker()
        with self._client() as client:
            client.wait_for_workers(2, timeout=300)

    def _client(self):
        return distributed.Client(scheduler_file=str(self.file), set_as_default=False)

    def _start(self, module, *words):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, words), "--no-dashboard"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, "--host", "127.0.0.1"], env=environment, **quiet)

    def add_worker(self):
        folder = self.folder / f"worker-{len(self.workers)}"
        # As many trainings as cores, so that each has one thread.
        words = ["--scheduler-file", self.file, "--nthreads", os.cpu_count(), "--no-nanny", "--local-directory", folder]
        self.workers.append(self._start("dask_worker", *words))

    def wait_for_clients(self, count):
        with self._client() as client:
            own = 2  # this one, and the scheduler's own
            jobs.until(
                lambda: client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients)) >= own + count
            )

    def close(self):
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    with contextlib.closing(Machines(tmp_path_factory.mktemp("machines"))) as started:
        yield started


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(write_drawings(tmp_path_factory.mktemp("data")), drawings=12)


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """Train in one process, with as many threads as those of the workers have."""
    root = tmp_path_factory.mktemp("runs")
    words = [*WORDS, "--data-dir", data, "--runs-dir", root, "--cache-dir", root / "cache"]
    command = [sys.executable, "-c", "from midas.cli import main; main()", *map(str, words)]
    subprocess.run(command, env={**os.environ, **dict.fromkeys(THREADS, "1")}, capture_output=True, check=True)
    return weights(root)


def weights(root):
    runs = [Run(root / "part2" / "random" / f"seed-{seed}") for seed in range(SEEDS)]
    assert all(run.finished for run in runs)
    return [array for run in runs for array in Classifier.load(run.path).network.get_weights()]


def start(machines, data, root):
    """Start `midas train-part2` as a client."""
    words = [
        *WORDS,
        "--scheduler",
        machines.file,
        "--data-dir",
        data,
        "--runs-dir",
        root,
        "--cache-dir",
        root / "cache",
    ]
    command = [sys.executable, "-c", "from midas.cli import main; main()", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def epochs(root):
    return sum(file.read_bytes().count(b"\n") for file in root.glob("part2/*/*/metrics.jsonl"))


def test_the_scheduler_workers_and_clients_are_killed(data, expected, tmp_path):
    root = tmp_path / "runs"
    with contextlib.closing(Machines(tmp_path)) as machines:
        clients = [start(machines, data, root) for _ in range(2)]
        machines.wait_for_clients(2)
        jobs.until(lambda: epochs(root) >= 1)
    for each in clients:
        _, stderr = each.communicate(timeout=300)
        assert each.returncode == 1 and "lost the connection to the scheduler" in stderr.splitlines()[-1]
    before = epochs(root)
    with contextlib.closing(Machines(tmp_path)) as machines:
        killed, *clients = [start(machines, data, root) for _ in range(3)]
        machines.wait_for_clients(3)
        jobs.until(lambda: epochs(root) > before)
        machines.workers[0].kill()  # its training goes on elsewhere
        killed.kill()
        killed.communicate()
        for each in clients:
            _, stderr = each.communicate(timeout=300)
            assert each.returncode == 0, stderr
    assert all(np.array_equal(a, b) for a, b in zip(weights(root), expected, strict=True))


def perform(machines, listed, tmp_path):
    workspace = Workspace(tmp_path, "sample", tmp_path / "cache")
    try:
        Cluster(str(machines.file)).perform(listed, workspace, "run", lambda job: None)
    except MidasError as error:
        return str(error)
    return None


def test_failures_are_named_and_lose_nothing_else(machines, tmp_path):
    first, second, third, fourth = (tmp_path / name for name in ("first", "second", "third", "fourth"))
    listed = [
        job(first, jobs.fail),
        job(second, jobs.write),
        job(third, jobs.copy, str(first), after=[first]),
        job(fourth, jobs.die_once),
    ]
    error = perform(machines, listed, tmp_path)
    assert error.startswith("2 of 4 trainings failed") and f"{third}: builds on {first}, which failed" in error
    assert (second / "done").exists() and (fourth / "done").exists()


def test_data_that_a_worker_does_not_see_are_sent(machines, data, tmp_path, monkeypatch):
    path, workspace = tmp_path / "a", Workspace(tmp_path, str(data), tmp_path / "cache")
    digest = workspace.load("part1", 28).digest
    for is_seen, kind in ((True, "Source"), (False, "Dataset")):
        monkeypatch.setattr("midas.studies.cluster._see", lambda client, paths, is_seen=is_seen: is_seen)
        Cluster(str(machines.file)).perform([job(path, jobs.read)], workspace, "run", lambda job: None)
        assert (path / "done").read_text() == f"{digest} {kind}"


def test_data_are_sent_in_each_size_that_a_job_needs(data, tmp_path):
    workspace = Workspace(tmp_path, str(data), tmp_path / "cache")
    listed = [job(tmp_path / f"{size}", jobs.read) for size in (28, 36)]
    listed[1] = dataclasses.replace(listed[1], experiment=dataclasses.replace(listed[1].experiment, size=36))
    for size, places in pack_with_data(workspace, listed).items():
        sent = dataclasses.replace(pickle.loads(places), data_dir="nowhere")
        assert sent.load("part1", size).images.shape[1:] == (size, size)


@pytest.mark.parametrize("inside", ["", "inner"])
def test_workers_are_asked_for_the_files_that_data_lie_in(inside, data, tmp_path):
    """Not for the name of a test part, or for a place in an archive."""
    archive = tmp_path / "both.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(data / "mnist.npz", "inner/mnist.npz")
    workspace = open_given(archive / inside).within(Workspace(tmp_path, "nowhere", None))
    assert len(workspace.given) == 2 and needed_files(workspace) == [archive] * 2


def test_an_interruption_ends_the_processes_of_the_workers_which_can_be_asked_again(machines, tmp_path):
    path = tmp_path / "a"

    def interrupt(left, running, done, total):
        if (path / "attempts").exists():
            raise KeyboardInterrupt

    workspace = Workspace(tmp_path, "sample", tmp_path / "cache", jobs=interrupt)
    with pytest.raises(KeyboardInterrupt):
        Cluster(str(machines.file)).perform([job(path, jobs.wait)], workspace, "run", lambda job: None)
    process = int((path / "attempts").read_text())

    def ended():
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIG_DFL)
            return False
        return True

    jobs.until(ended)
    (path / "go").touch()
    assert perform(machines, [job(path, jobs.wait)], tmp_path) is None
    assert (path / "done").exists() and len((path / "attempts").read_text().splitlines()) == 2


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.studies.cluster.CONNECT", 1)
    began = time.monotonic()
    with pytest.raises(MidasError, match=r"no Dask scheduler answers"):
        Cluster("127.0.0.1:1").perform([], Workspace(tmp_path, "sample", tmp_path), "run", lambda job: None)
    assert time.monotonic() - began < 30
