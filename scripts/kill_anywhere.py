"""Kill midas at random moments, resume it, and compare the outcome with that of an undisturbed run.

    python scripts/kill_anywhere.py --kills 200 --seed 0

Each command does a small real job on the embedded sample. It is killed (SIGKILL) up to `IN_A_ROW` times, each time at a
random moment of its duration, and resumed, with --resume where there is that option; then it may finish. After every
kill no file under a final name may be broken, and in the end nothing may differ except times. `midas serve` is killed
while several clients save drawings and take some back: what it answered must be true. Prints a Markdown table; the exit
status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import readme_examples
from PIL import Image
from serve_load import ask, start_server

IN_A_ROW = 4
CLIENTS, DRAWING = 3, 2.0  # that draw on a server at the same time, and the most seconds until it is killed
SEVEN = [[[400, 250], [750, 250], [560, 720]]]


def nothing(folder: Path) -> None:
    """Prepare nothing, as most jobs start from nothing."""


def a_run(folder: Path) -> None:
    """Train the run that a report is about."""
    run("train-part1", folder)
    (folder / "runs" / "sample" / "part1").rename(folder / "runs" / "part1")


def examples(folder: Path) -> None:
    """Write drawings, a page and an archive with wrong labels."""
    readme_examples.write(folder)


def an_audit(folder: Path) -> None:
    """Audit the archive."""
    examples(folder)
    run("audit-labels", folder)


@dataclass(frozen=True)
class Job:
    """A command that is killed; it works in a folder of its own.

    Attributes:
        words: its words.
        resume: those that are added to do it again.
        prepare: writes what it needs into its folder.
        done: a folder that is there when it is done, and that it would refuse to write again.
    """

    words: str
    resume: str = ""
    prepare: Callable[[Path], None] = nothing
    done: str = ""


COMPARE = "compare part2 --data-dir sample --quiet --seeds 2 --epochs 2 --init random"
JOBS = {
    "preprocess": Job("preprocess --data-dir sample --quiet"),
    "train": Job("train my_symbols --name symbols --epochs 6 --quiet", "--resume", examples),
    "train-part1": Job("train-part1 --data-dir sample --quiet --epochs 4", "--resume"),
    "train-part2": Job("train-part2 --data-dir sample --quiet --init pretrained --epochs 6", "--resume"),
    "train-part3": Job("train-part3 --data-dir sample --quiet --epochs 6", "--resume"),
    "compare": Job(COMPARE, "--resume"),
    "compare --workers 2": Job(f"{COMPARE} --workers 2", "--resume"),
    "report": Job("report --quiet", prepare=a_run),
    "predict --lines": Job("predict --lines --quiet --overlay read.png page.png", prepare=examples),
    "export": Job("export --out exported --quiet", "--overwrite"),
    "audit-labels": Job("audit-labels --data scans.zip --checkpoint part1 --out audit --quiet", prepare=examples),
    "audit-labels --apply": Job(
        "audit-labels --data scans.zip --apply audit/labels.csv --out corrected --quiet", "", an_audit, "corrected"
    ),
}
# Keys whose values depend on the clock, on how a run was called, or on statistical tests of times.
VARYING = {"started_utc", "finished_utc", "argv", "differences"}


def start(words: str, folder: Path) -> subprocess.Popen[str]:
    """Start midas in a folder, and in a process group of its own."""
    (folder / ".tmp").mkdir(exist_ok=True)
    places = {"MIDAS_RUNS_DIR": "runs", "MIDAS_CACHE_DIR": "cache", "TMPDIR": ".tmp"}
    env = {**os.environ, **{name: str(folder / place) for name, place in places.items()}, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "midas", *words.split()]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        start_new_session=True,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def run(name: str, folder: Path, again: bool = False) -> float:
    """Do a job to its end, and return the seconds it took.

    Raises:
        SystemExit: it failed.
    """
    job, began = JOBS[name], time.monotonic()
    process = start(f"{job.words} {job.resume if again else ''}", folder)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"midas {job.words}: exit status {process.returncode}\n{errors}")
    return time.monotonic() - began


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, hidden ones and those in hidden folders excluded."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def broken(folder: Path) -> list[str]:
    """List the files under final names that are not complete."""
    found = []
    for path in files_below(folder):
        try:
            _content(path)
        except Exception as error:  # each format has its own
            found.append(f"{path}: {error}")
    return found


def _content(path: Path) -> Any:
    """Read a file so that two files that differ in times only compare equal.

    Raises:
        Exception: it is broken.
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
    if path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    if path.suffix == ".csv":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".onnx":
        return _answer(path)
    return len(path.read_bytes()) > 0


def _answer(path: Path) -> list[float]:
    """Ask an exported network what it reads in an empty glyph; its bytes depend on more than its weights."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    inputs = {each.name: np.zeros((1, *each.shape[1:]), kinds[each.type]) for each in session.get_inputs()}
    return [round(float(each), 6) for each in session.run(None, inputs)[0][0]]


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


def everything(folder: Path) -> dict[str, Any]:
    """Read all that a job left in its folder; files of the cache are named after the paths of the data."""
    found = outcome(folder, folder)
    cached = [found.pop(name) for name in list(found) if name.startswith("cache/")]
    return {**found, "cache": sorted(map(json.dumps, cached))}


def undisturbed(name: str) -> tuple[float, dict[str, Any]]:
    """Do a job without killing it: the seconds it took, and its outcome."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        JOBS[name].prepare(folder)
        return run(name, folder), everything(folder)


def kill_job(name: str, kills: int, rng: random.Random, seconds: float, expected: dict[str, Any]) -> list[str]:
    """Kill a job this many times in a row, let it finish, and list what is wrong."""
    job, wrong = JOBS[name], list[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        job.prepare(folder)
        for _ in range(kills):
            if job.done and (folder / job.done).exists():
                shutil.rmtree(folder / job.done)
            process = start(f"{job.words} {job.resume}", folder)
            time.sleep(rng.uniform(0, seconds))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            wrong += broken(folder)
        if not (job.done and (folder / job.done).exists()):
            run(name, folder, again=True)
        found = everything(folder)
    differing = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    return [*wrong, *(f"{name}: {path} differs" for path in differing)]


def kill_jobs(name: str, kills: int, rng: random.Random) -> tuple[float, list[str]]:
    """Kill a job this many times, `IN_A_ROW` at a time: the seconds it takes undisturbed, and what is wrong."""
    seconds, expected = undisturbed(name)
    rows = [min(IN_A_ROW, kills - done) for done in range(0, kills, IN_A_ROW)]
    return seconds, [line for row in rows for line in kill_job(name, row, rng, seconds, expected)]


# ---- the server


def kill_server(name: str, kills: int, rng: random.Random) -> tuple[float, list[str]]:
    """Kill a server this many times while clients draw: the longest time until a kill, and what is wrong."""
    wrong = list[str]()
    known: dict[str, bool] = {}  # drawings, and whether they are there, as far as an answer said so
    with tempfile.TemporaryDirectory() as folder:
        clients = [Client(number, known) for number in range(CLIENTS)]
        for kill in range(kills + 1):
            server, address = start_server(folder)
            for client in clients:
                client.draw(address)
            time.sleep(rng.uniform(0, DRAWING))
            server.send_signal(signal.SIGKILL if kill < kills else signal.SIGINT)
            server.wait()
            for client in clients:
                client.thread.join()
            there = {path.stem for path in Path(folder, "collections").rglob("[!.]*.png")}
            wrong += broken(Path(folder, "collections"))
            wrong += [f"serve: {each} is lost" for each, is_there in known.items() if is_there and each not in there]
            wrong += [f"serve: {each} is back" for each, is_there in known.items() if not is_there and each in there]
        wrong += [f"serve: {path} was left" for path in Path(folder).rglob(".*.tmp*")]
        if len(known) < kills:
            wrong.append(f"serve: only {len(known)} drawings were saved")
    return DRAWING, list(dict.fromkeys(wrong))


class Client:
    """Saves one drawing after another, takes every third one back, and asks again for what was not answered.

    Args:
        number: of the client, which collects in a folder of its own.
        known: drawings of all clients, and whether they are there.
    """

    def __init__(self, number: int, known: dict[str, bool]) -> None:
        self.name, self.known, self.drawn = f"client-{number}", known, 0

    def draw(self, address: str) -> None:
        """Draw until the server ends."""
        where = urlsplit(address)
        headers = {"Content-Type": "application/json", "Origin": f"http://{where.netloc}"}
        connection = http.client.HTTPConnection(str(where.hostname), int(where.port or 80), timeout=60)

        def post(path: str, **values: Any) -> None:
            ask(connection, f"/api/collections{path}", json.dumps(values).encode(), headers)

        def work() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                post("", name=self.name, classes="A B", wanted=1000)
                while True:
                    drawing = {"id": f"{self.name}-{self.drawn:05d}", "label": "AB"[self.drawn % 2]}
                    post(f"/{self.name}/drawings", strokes=SEVEN, **drawing)
                    self.known[drawing["id"]] = True
                    if self.drawn % 3 == 0:
                        del self.known[drawing["id"]]  # unknown until it is answered
                        post(f"/{self.name}/undo", **drawing)
                        self.known[drawing["id"]] = False
                    self.drawn += 1

        self.thread = threading.Thread(target=work)
        self.thread.start()


KILLERS = {**dict.fromkeys(JOBS, kill_jobs), "serve": kill_server}


def main() -> None:
    """Kill, compare and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KILLERS, nargs="*", default=list(KILLERS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    share = -(-options.kills // len(options.only))
    failures = []
    print("| command | undisturbed | kills | differences |\n|---|---|---|---|")
    for name in options.only:
        seconds, wrong = KILLERS[name](name, share, rng)
        failures += wrong
        print(f"| `{name}` | {seconds:.0f} s | {share} | {len(wrong)} |", flush=True)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
