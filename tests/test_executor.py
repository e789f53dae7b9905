"""Lists of jobs are worked off, whatever fails or is killed."""

import os
import signal
import threading
from pathlib import Path

import jobs
import pytest
from jobs import job

from midas.errors import MidasError
from midas.studies.executor import Display, InProcess, Processes
from midas.studies.workspace import Workspace

EXECUTORS = [InProcess(), Processes(2)]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def perform(executor, listed, tmp_path, **callbacks):
    finished = []
    workspace = Workspace(tmp_path, "sample", tmp_path / "cache", **callbacks)
    try:
        executor.perform(listed, workspace, "run", lambda job: finished.append(job.path.name))
    except MidasError as error:
        return finished, str(error)
    return finished, None


@pytest.mark.parametrize("executor", EXECUTORS)
def test_jobs_are_done_after_those_they_build_on(executor, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    listed = [job(first, jobs.write), job(third, jobs.write), job(second, jobs.copy, str(first), after=[first])]
    finished, error = perform(executor, listed, tmp_path)
    assert error is None and sorted(finished) == ["first", "second", "third"]
    assert finished.index("first") < finished.index("second")
    processes = {(path / "done").read_text() for path in (first, second, third)}
    assert (str(os.getpid()) in processes) is (not executor.is_parallel)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_job_that_fails_is_named_and_does_not_lose_the_others(executor, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    listed = [job(first, jobs.fail), job(second, jobs.write), job(third, jobs.copy, str(first), after=[first])]
    finished, error = perform(executor, listed, tmp_path)
    assert finished == ["second"]
    assert error.startswith("2 of 3 trainings failed; --resume does them again. ")
    assert f"{first}: cannot be; " in error and f"{third}: builds on {first}, which failed" in error


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_lone_failure_is_said_as_it_is(executor, tmp_path):
    assert perform(executor, [job(tmp_path / "a", jobs.fail)], tmp_path) == ([], f"{tmp_path / 'a'}: cannot be")


def test_a_process_that_dies_is_replaced_and_in_the_end_given_up(tmp_path):
    listed = [job(tmp_path / "a", jobs.die_once), job(tmp_path / "b", jobs.die), job(tmp_path / "c", jobs.crash)]
    finished, error = perform(Processes(2), listed, tmp_path)
    assert finished == ["a"]
    assert f"{tmp_path / 'b'}: its process died, with status -9" in error
    assert f"{tmp_path / 'c'}: RuntimeError: out of order" in error


def test_a_job_waits_for_another_process_that_works_on_it(tmp_path):
    path = tmp_path / "a"
    thread = threading.Thread(target=perform, args=(Processes(2), [job(path, jobs.wait)], tmp_path))
    thread.start()
    jobs.until(lambda: (path / "attempts").exists())
    other = threading.Thread(target=perform, args=(Processes(2), [job(path, jobs.wait)], tmp_path))
    other.start()
    (path / "go").touch()
    thread.join()
    other.join()
    assert len((path / "attempts").read_text().split()) == 2 and (path / "done").exists()


def test_an_interruption_ends_the_processes(tmp_path):
    path = tmp_path / "a"

    def interrupt(left, running, done, total):
        if (path / "attempts").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform(Processes(2), [job(path, jobs.wait)], tmp_path, jobs=interrupt)
    process = int((path / "attempts").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_processes_end_with_the_one_they_work_for(tmp_path):
    path = tmp_path / "a"
    parent = os.fork()
    if not parent:
        perform(Processes(2), [job(path, jobs.wait)], tmp_path)
        os._exit(0)
    jobs.until(lambda: (path / "attempts").exists() and (path / "attempts").read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    process = int((path / "attempts").read_text())
    jobs.until(lambda: not is_alive(process))


def is_alive(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_the_display_counts_epochs_and_estimates_the_time_left(tmp_path, monkeypatch):
    clock = iter((0.0, 60.0))
    monkeypatch.setattr("midas.studies.executor.time.monotonic", lambda: next(clock))
    seen = []
    listed = [job(tmp_path / name, jobs.write) for name in ("a", "b", "c")]
    display = Display(listed, Workspace(tmp_path, "sample", tmp_path, jobs=lambda *what: seen.append(what)))
    display.finish(listed[0])
    (tmp_path / "b").mkdir()
    display.show([tmp_path / "b"])
    assert seen == [("2:00 left", [f"{tmp_path.name}/b 0/1"], 1, 3)]
