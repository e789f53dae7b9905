"""Kill midas at random moments, go on, and hold the outcome against that of a run that was not disturbed.

    python scripts/kill_anywhere.py --kills 100 --seed 0

Each command does a small real job on the embedded sample. It is killed (SIGKILL) up to `IN_A_ROW` times, at moments
drawn evenly from the time it takes, and taken up again with --resume; then it is let through. After every kill no file
under a final name may be broken, and at the end nothing may differ but times. Prints a Markdown table; the exit status
is 1 if anything differed.
"""

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
from pathlib import Path

import numpy as np

IN_A_ROW = 4
SMALL = ("--data-dir", "sample", "--quiet")
JOBS = {
    "preprocess": (["preprocess", *SMALL], []),
    "train-part1": (["train-part1", *SMALL, "--epochs", "4"], ["--resume"]),
    "train-part2": (["train-part2", *SMALL, "--init", "pretrained", "--epochs", "6"], ["--resume"]),
    "train-part3": (["train-part3", *SMALL, "--epochs", "3", "--rounds", "1"], ["--resume"]),
    "compare": (["compare", "part2", *SMALL, "--seeds", "2", "--epochs", "2", "--start", "random"], ["--resume"]),
    "report": (["report", "--quiet"], []),
}
# What depends on the clock, on how a run was called, or on tests that seconds take part in.
VARYING = {"started_utc", "finished_utc", "argv", "differences"}


def start(words: list[str], root: Path, cache: Path) -> subprocess.Popen:
    """Start midas in a process group of its own."""
    env = {**os.environ, "MIDAS_RUNS_DIR": str(root), "MIDAS_CACHE_DIR": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "midas", *words]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, start_new_session=True, text=True, **streams)


def through(words: list[str], root: Path, cache: Path) -> float:
    """Let midas run to its end; the seconds it took.

    Raises:
        SystemExit: it failed.
    """
    began = time.monotonic()
    process = start(words, root, cache)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"midas {' '.join(words)}: exit status {process.returncode}\n{errors}")
    return time.monotonic() - began


def broken(folder: Path) -> list[str]:
    """List the files under final names that cannot be read whole."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            _content(path)
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            found.append(f"{path}: {error}")
    return found


def _content(path: Path):
    """Read a file so that what should not differ compares equal, whatever its times.

    Raises:
        ValueError, OSError, BadZipFile, EOFError: it is broken.
    """
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".jsonl":  # the last line may be cut short: it is then not counted as an epoch
        lines = path.read_text(encoding="utf-8").split("\n")
        return [_timeless(json.loads(line)) for line in lines[:-1]]
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

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} {hashlib.sha256(item[()].tobytes()).hexdigest()}")

    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(note)
    return sorted(found)


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in VARYING and "seconds" not in key}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def outcome(folder: Path, root: Path) -> dict:
    """Read all that a job left, by its path; places below `root` are made the same."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        found[str(path.relative_to(folder))] = json.loads(json.dumps(_content(path)).replace(str(root), "ROOT"))
    return found


def trial(name: str, kills: int, rng: random.Random, expected: dict, seconds: float, before) -> list[str]:
    """Kill one job so many times, let it through, and list what is wrong."""
    words, resume = JOBS[name]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "runs", Path(folder) / "cache"
        before(root, cache)
        for _ in range(kills):
            process = start([*words, *resume], root, cache)
            time.sleep(rng.uniform(0, seconds))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            wrong += broken(Path(folder))
        through([*words, *resume], root, cache)
        found = outcome(Path(folder), root)
    differing = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    return [*wrong, *(f"{name}: {path} differs" for path in differing)]


def main() -> None:
    """Kill, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=JOBS, nargs="*", default=list(JOBS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    share = -(-options.kills // len(options.only))
    failures = []
    print("| command | undisturbed | kills | differences |\n|---|---|---|---|")
    for name in options.only:

        def before(root: Path, cache: Path, name=name) -> None:
            if name == "report":  # is about a run that is there
                through([*JOBS["train-part1"][0]], root, cache)
                (root / "sample" / "part1").rename(root / "part1")

        with tempfile.TemporaryDirectory() as folder:
            root, cache = Path(folder) / "runs", Path(folder) / "cache"
            before(root, cache)
            seconds = through(JOBS[name][0], root, cache)
            expected = outcome(Path(folder), root)
        wrong, left = [], share
        while left > 0:
            wrong += trial(name, min(IN_A_ROW, left), rng, expected, seconds, before)
            left -= IN_A_ROW
        failures += wrong
        print(f"| `{name}` | {seconds:.0f} s | {share} | {len(wrong)} |", flush=True)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
