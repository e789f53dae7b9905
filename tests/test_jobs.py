import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from midas.errors import Busy
from midas.files import write_json
from midas.web.jobs import Job, Jobs


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


@pytest.fixture
def slow(tmp_path):
    """A job that takes seconds."""
    return Job("train", "slow", "nowhere", ("preprocess", "--data", "sample", "--cache-dir", str(tmp_path / "cache")))


def test_one_at_a_time_and_known_to_the_next_server(tmp_path, slow):
    jobs, later = Jobs(tmp_path), Jobs(tmp_path)
    assert jobs.last() is None and not jobs.is_running()
    started = jobs.start(slow)
    assert jobs.is_running() and later.is_running() and later.last() == started
    for each in (jobs, later):
        with pytest.raises(Busy):
            each.start(slow)
    wait_until(lambda: "Note" in jobs.progress())
    later.stop()
    wait_until(lambda: not jobs.is_running())
    assert not later.is_running() and jobs.failure() is None and jobs.running.returncode == 130


def test_a_failure_is_told_in_one_line(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start(Job("train", "wrong", "nowhere", ("evaluate", "--data", str(tmp_path / "none"))))
    wait_until(lambda: not jobs.is_running())
    assert "none" in jobs.failure() and "\n" not in jobs.failure() and "none" in jobs.progress()


def test_a_process_that_is_killed_has_failed(tmp_path, slow):
    jobs = Jobs(tmp_path)
    jobs.start(slow)
    wait_until(lambda: "Note" in jobs.progress())
    jobs.running.kill()
    wait_until(lambda: not jobs.is_running())
    assert "killed by signal 9" in jobs.failure()


def test_a_note_without_a_process_stops_nothing(tmp_path):
    jobs = Jobs(tmp_path)
    with jobs._lock():  # as another server would
        for process in (0, -1):
            write_json(tmp_path / "job.json", Job("train", "x", "nowhere", (), process))
            assert Jobs(tmp_path).is_running()
            Jobs(tmp_path).stop()  # would otherwise interrupt these tests


def test_asking_twice_at_once_is_no_job(tmp_path):
    jobs = Jobs(tmp_path)
    with ThreadPoolExecutor() as pool:
        with jobs.turn, jobs._lock():  # as one that asks does
            other = pool.submit(jobs.is_running)
            wait([other], timeout=0.2)
        assert not other.result()


def test_a_damaged_note_of_the_last_job_counts_as_none(tmp_path):
    (tmp_path / "job.json").write_text('{"kind": 3}')
    assert Jobs(tmp_path).last() is None
    assert Jobs(tmp_path / "new").progress() == "" and Jobs(tmp_path / "new").failure() is None
