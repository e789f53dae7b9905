"""Kill midas at random moments, resume it, and compare the outcome with that of an undisturbed run.

    python scripts/kill_anywhere.py --kills 100 --seed 0

Each command does a small real job on the embedded sample. It is killed (SIGKILL) up to `IN_A_ROW` times, each time at a
random moment of its duration, and resumed with --resume; then it may finish. After every kill no file under a final
name may be broken, and in the end nothing may differ except times. Prints a Markdown table; the exit status is 1 if
anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

IN_A_ROW = 4
SMALL = ("--data-dir", "sample", "--quiet")
JOBS = {  # the words of a command, and those that are added to resume it
    "preprocess": (["preprocess", *SMALL], []),
    "train-part1": (["train-part1", *SMALL, "--epochs", "4"], ["--resume"]),
    "train-part2": (["train-part2", *SMALL, "--init", "pretrained", "--epochs", "6"], ["--resume"]),
    "train-part3": (["train-part3", *SMALL, "--epochs", "6"], ["--resume"]),
    "compare": (["compare", "part2", *SMALL, "--seeds", "2", "--epochs", "2", "--init", "random"], ["--resume"]),
    "report": (["report", "--quiet"], []),
}
# Keys whose values depend on the clock, on how a run was called, or on statistical tests of times.
VARYING = {"started_utc", "finished_utc", "argv", "differences"}

Prepare = Callable[[Path, Path], None]  # takes the root of the runs and the cache


def start(words: list[str], root: Path, cache: Path) -> subprocess.Popen[str]:
    """Start midas in a process group of its own."""
    env = {**os.environ, "MIDAS_RUNS_DIR": str(root), "MIDAS_CACHE_DIR": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "midas", *words]
    return subprocess.Popen(
        command, env=env, start_new_session=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def run(words: list[str], root: Path, cache: Path) -> float:
    """Run midas to its end, and return the seconds it took.

    Raises:
        SystemExit: it failed.
    """
    began = time.monotonic()
    process = start(words, root, cache)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"midas {' '.join(words)}: exit status {process.returncode}\n{errors}")
    return time.monotonic() - began


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, hidden ones excluded."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def broken(folder: Path) -> list[str]:
    """List the files under final names that are not complete."""
    found = []
    for path in files_below(folder):
        try:
            _content(path)
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            found.append(f"{path}: {error}")
    return found


def _content(path: Path) -> Any:
    """Read a file so that two files that differ in times only compare equal.

    Raises:
        ValueError, OSError, BadZipFile, EOFError: it is broken.
    """
    if path.suffix == ".json":
        return _without_times(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".jsonl":  # the last line may be cut short: it then does not count as an epoch
        lines = path.read_text(encoding="utf-8").split("\n")
        return [_without_times(json.loads(line)) for line in lines[:-1]]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays.files}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise zipfile.BadZipFile("a damaged member")
            return _weights(archive.read("model.weights.h5"))
    return len(path.read_bytes()) > 0


def _weights(data: bytes) -> list[str]:
    import h5py

    found = []

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} {hashlib.sha256(item[()].tobytes()).hexdigest()}")

    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(add)
    return sorted(found)


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in VARYING and "seconds" not in key}
        return {key: _without_times(item) for key, item in kept.items()}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def outcome(folder: Path, root: Path) -> dict[str, Any]:
    """Read everything that a job left, by path; paths below `root` are made comparable."""
    return {
        str(path.relative_to(folder)): json.loads(json.dumps(_content(path)).replace(str(root), "ROOT"))
        for path in files_below(folder)
    }


def prepare_report(root: Path, cache: Path) -> None:
    """Train the run that a report is about."""
    run(JOBS["train-part1"][0], root, cache)
    (root / "sample" / "part1").rename(root / "part1")


def prepare_nothing(root: Path, cache: Path) -> None:
    """Leave everything empty, as most jobs start from nothing."""


def undisturbed(name: str, prepare: Prepare) -> tuple[float, dict[str, Any]]:
    """Run a job without killing it: the seconds it took, and its outcome."""
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "cache"
        prepare(root, cache)
        seconds = run(JOBS[name][0], root, cache)
        return seconds, outcome(Path(folder), root)


def kill_and_resume(
    name: str, kills: int, rng: random.Random, expected: dict[str, Any], seconds: float, prepare: Prepare
) -> list[str]:
    """Kill a job this many times in a row, let it finish, and list what is wrong."""
    words, resume = JOBS[name]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "cache"
        prepare(root, cache)
        for _ in range(kills):
            process = start([*words, *resume], root, cache)
            time.sleep(rng.uniform(0, seconds))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            wrong += broken(Path(folder))
        run([*words, *resume], root, cache)
        found = outcome(Path(folder), root)
    differing = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    return [*wrong, *(f"{name}: {path} differs" for path in differing)]


def main() -> None:
    """Kill, compare and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=JOBS, nargs="*", default=list(JOBS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    share = -(-options.kills // len(options.only))
    failures = []
    print("| command | undisturbed | kills | differences |\n|---|---|---|---|")
    for name in options.only:
        prepare = prepare_report if name == "report" else prepare_nothing
        seconds, expected = undisturbed(name, prepare)
        wrong: list[str] = []
        for done in range(0, share, IN_A_ROW):
            wrong += kill_and_resume(name, min(IN_A_ROW, share - done), rng, expected, seconds, prepare)
        failures += wrong
        print(f"| `{name}` | {seconds:.0f} s | {share} | {len(wrong)} |", flush=True)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
