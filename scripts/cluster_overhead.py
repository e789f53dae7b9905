"""What a Dask scheduler costs: trainings are replaced by sleeps of their length, so that one machine can be a cluster.

    python scripts/cluster_overhead.py --workers 64 --trainings 150 --seconds 30

prints, for several lengths, how long the list takes, the efficiency (time slept, divided by workers and time taken),
and the overhead per training that is left over.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import pickle
import tempfile
import time
from pathlib import Path

from distributed import LocalCluster

from midas.recipes import PARTS
from midas.studies.cluster import Cluster
from midas.studies.executor import Job
from midas.studies.workspace import Workspace


def sleep(seconds: float, workspace: Workspace) -> None:
    """Take the time of a training."""
    time.sleep(seconds)


def work(task: bytes, places: bytes, *before: str | None) -> None:
    """Do what `cluster.perform_in_child` does, without a process of its own."""
    call, *_ = pickle.loads(task)
    call(None)


def measure(scheduler: str, workers: int, trainings: int, seconds: float) -> tuple[float, float]:
    """Work off a list of trainings.

    Returns:
        How long it takes, in seconds, and how long it takes at least: the workers in rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(
                Path(folder) / f"run-{n}",
                dataclasses.replace(PARTS["part2"], seed=n),
                functools.partial(sleep, seconds + n * 1e-6),
            )
            for n in range(trainings)
        ]
        workspace = Workspace(Path(folder), "sample", None)
        began = time.perf_counter()
        Cluster(scheduler, work).perform(jobs, workspace, "run", lambda job: None)
        return time.perf_counter() - began, math.ceil(trainings / workers) * seconds


def main() -> None:
    """Measure lists of sleeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=64, help="workers of the cluster")
    parser.add_argument("--trainings", type=int, default=256, help="length of the list")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0, 1, 10, 30], help="length of a training")
    options = parser.parse_args()
    machines = {"n_workers": options.workers, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**machines) as cluster:
        print("seconds  taken  at least  efficiency %  overhead per training, ms")
        for seconds in options.seconds:
            taken, least = measure(cluster.scheduler_address, options.workers, options.trainings, seconds)
            overhead = 1000 * (taken - least) / options.trainings
            print(f"{seconds:7.0f} {taken:6.1f} {least:9.0f} {100 * least / taken:13.1f} {overhead:26.1f}")


if __name__ == "__main__":
    main()
