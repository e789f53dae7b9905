"""Try for real what can go wrong around midas: disks, permissions, names, two processes at once, interruptions.

    python scripts/faults.py

Every command works on a small data set, next to a finished run. What it cannot do must end in one line that names the
file and says what to do, with a status that is not 0, and must not harm earlier files. Odd names must work. Of two
processes on one run the second must give way. An interrupted training must print a command that continues it. A small
file system is mounted for full and read-only disks, which only root can do. Prints a Markdown table; the exit status is
1 if anything misbehaved.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kill_anywhere
from fault_setup import (
    JOB,
    SHORT,
    Baseline,
    Misbehaved,
    contents,
    disk,
    fill,
    finish,
    furnish,
    is_root,
    readers,
    refused,
    remount,
    temporary_folder,
    unharmed,
    worked,
    writers,
)
from serve_load import start_server

from midas.errors import printable
from midas.files import TEMPORARY

ODD = ' it\'s "odd"\n$x_1$ {x} *?[a]% é字\udcff'  # quotes, a newline, braces, a wildcard, a byte that is not UTF-8
DEEP = "/".join(["d"] * 200)
TOO_DEEP = "/".join(["d"] * 1200)

Trial = tuple[str, Callable[[], str]]  # the name of a command, and a function that tries it


def full_disk(baseline: Baseline) -> Iterator[Trial]:
    """The results go to a disk without any space left."""
    return _on_a_disk(baseline, fill)


def read_only_disk(baseline: Baseline) -> Iterator[Trial]:
    """The results go to a read-only disk."""
    return _on_a_disk(baseline, lambda out: remount(out, "ro"))


def _on_a_disk(baseline: Baseline, spoil: Callable[[Path], None]) -> Iterator[Trial]:
    def trial(name: str) -> str:
        with disk(baseline.new_folder() / "disk", 16) as out:
            before = furnish(out, baseline)
            spoil(out)
            outcome = refused(baseline.sandbox.midas(*writers(baseline, out)[name]), out)
            unharmed(before, out)
            return outcome

    def save() -> str:
        with disk(baseline.new_folder() / "disk", 16) as out:
            before = furnish(out, baseline)
            outcome = refused(serve_and_save(baseline, out, lambda: spoil(out)), out)
            unharmed(before, out)
            return outcome

    for name in writers(baseline, Path()):
        yield name, partial(trial, name)
    yield "serve, saving", save


def serve_and_save(
    baseline: Baseline, out: Path, spoil: Callable[[], None] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """Save a drawing with a server; what it answers is given as a command would have said it."""
    server, address = start_server(str(out), "--checkpoint", str(baseline.run))
    try:
        spoil()
        where = urlsplit(address)
        connection = http.client.HTTPConnection(str(where.hostname), int(where.port or 80), timeout=60)
        headers = {"Content-Type": "application/json", "Origin": f"http://{where.netloc}"}
        made = {"name": "ab", "classes": "A B", "wanted": 1}
        drawing = {"id": "drawing-1", "label": "A", "strokes": kill_anywhere.SEVEN}
        for path, values in (("", made), ("/ab/drawings", drawing)):
            connection.request("POST", f"/api/collections{path}", json.dumps(values), headers)
            answer = json.loads(connection.getresponse().read())
            if "error" in answer:
                return subprocess.CompletedProcess([], 1, "", f"Error: {answer['error']}\n")
        return subprocess.CompletedProcess([], 0, "", "")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def no_permission(baseline: Baseline) -> Iterator[Trial]:
    """The folder for the results, or a file to read, belongs to another user."""

    def write(name: str) -> str:
        out = baseline.new_folder()
        before = furnish(out, baseline)
        for path in [out, *out.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        words = ["download", "mnist", "--data-dir", out] if name == "download" else writers(baseline, out)[name]
        outcome = refused(baseline.with_runs(baseline.sandbox.runs, unprivileged=True).midas(*words), out)
        unharmed(before, out)
        return outcome

    def read(words: Callable[[Path], list[Any]], source: Path, locked: str) -> str:
        copy = (baseline.new_folder() / "theirs").with_suffix(source.suffix)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy(source, copy)
        (copy / locked).chmod(0)
        return refused(baseline.with_runs(baseline.sandbox.runs, unprivileged=True).midas(*words(copy)), copy)

    for name in [*writers(baseline, Path()), "download"]:
        yield name, partial(write, name)
    data, run = baseline.sandbox.data, baseline.run
    checkpoint = ["--checkpoint", run]
    unreadable: list[tuple[str, Callable[[Path], list[Any]], Path, str]] = [
        ("preprocess", lambda path: ["preprocess", "--data", path], data / "mnist.npz", ""),
        ("augment", lambda path: ["augment", "--data", path, "--preview", "x.png"], data / "trainPart1", ""),
        ("audit-labels", lambda path: ["audit-labels", "--data", path], data / "trainPart1", "Sample001"),
        ("train-part1", lambda path: ["train-part1", "--config", path], run / "experiment.json", ""),
        ("train-part2", lambda path: ["train-part2", "--data-dir", path], data, ""),
        ("evaluate", lambda path: ["evaluate", *checkpoint, "--data", path], data / "trainPart1", ""),
        ("predict", lambda path: ["predict", *checkpoint, path], baseline.drawing, ""),
        ("predict --checkpoint", lambda path: ["predict", "--checkpoint", path, baseline.drawing], run, "best.keras"),
        ("analyze", lambda path: ["analyze", "--checkpoint", path], run, "predictions.npz"),
        ("report", lambda path: ["report", path], run, "result.json"),
        ("list", lambda path: ["list", "--runs-dir", path], baseline.sandbox.runs, ""),
    ]
    for name, words, source, locked in unreadable:
        yield f"{name}, reading", partial(read, words, source, locked)


def full_stdout(baseline: Baseline) -> Iterator[Trial]:
    """The output goes to a full disk."""

    def trial(words: list[Any]) -> str:
        with open("/dev/full", "w") as full:
            return refused(baseline.sandbox.midas(*words, stdout=full), "stdout")

    for name, words in readers(baseline).items():
        yield name, partial(trial, words)


def full_cache(baseline: Baseline) -> Iterator[Trial]:
    """There is no space for the cache; commands work without it."""

    def trial(*words: str) -> str:
        here = baseline.new_folder()
        with disk(here / "disk", 1) as cache:
            fill(cache)
            return worked(baseline.with_runs(here / "runs", cache=cache).midas(*words))

    yield "preprocess", lambda: trial("preprocess", "--quiet")
    yield "train-part1", lambda: trial("train-part1", *SHORT)


def disk_fills(baseline: Baseline) -> Iterator[Trial]:
    """A disk fills up during a training, which --resume continues once there is space."""

    def trial() -> str:
        with disk(baseline.new_folder() / "disk", 7) as root:
            sandbox = baseline.with_runs(root)
            outcome = refused(sandbox.midas(*JOB), root)
            unharmed({}, root)
            remount(root, "size=64m")
            worked(sandbox.midas(*JOB, "--resume"))
            same_as_undisturbed(baseline, root)
            return f"{outcome}; then with --resume 0, the same weights"

    yield "train-part1", trial


def same_as_undisturbed(baseline: Baseline, root: Path) -> None:
    """Check that the training `JOB` ended as if nothing had happened to it.

    Raises:
        Misbehaved: it did not.
    """
    found = kill_anywhere.outcome(root / "part1" / "compact" / "seed-0", root)
    if found != baseline.undisturbed:
        differing = [name for name in found if found[name] != baseline.undisturbed.get(name)]
        raise Misbehaved(f"differs from the undisturbed training: {differing}")


def file_for_folder(baseline: Baseline) -> Iterator[Trial]:
    """There is a file where a folder is needed."""

    def trial(name: str) -> str:
        file = baseline.new_folder() / "file"
        file.write_text("earlier", encoding="utf-8")
        outcome = refused(baseline.sandbox.midas(*writers(baseline, file / "below")[name]), file)
        unharmed({file: hashlib.sha256(b"earlier").hexdigest()}, file.parent)
        return outcome

    for name in ("preprocess", "augment", "make-part3", "train-part1", "analyze", "audit-labels", "report"):
        yield name, partial(trial, name)
    for name in ("train", "compare --workers", "export", "audit-labels --apply", "predict --overlay"):
        yield name, partial(trial, name)


def missing(baseline: Baseline) -> Iterator[Trial]:
    """The input does not exist."""
    nowhere = baseline.folder / "nowhere"
    words = {**writers(baseline, nowhere), **readers(baseline)}
    inputs = (baseline.sandbox.data / "trainPart1", baseline.drawing)

    def trial(name: str) -> str:
        without = [nowhere if word in inputs else word for word in words[name]]
        return refused(baseline.sandbox.midas(*without), nowhere)

    named = ("preprocess", "augment", "train", "audit-labels", "audit-labels --apply", "evaluate", "predict")
    for name in (*named, "predict --lines"):
        yield name, partial(trial, name)


def odd_names(baseline: Baseline) -> Iterator[Trial]:
    """Folders, class folders, images, runs and checkpoints have quotes, newlines and worse in their names."""
    ours = Baseline.make(baseline.new_folder() / ODD)
    folder = ours.sandbox.data / "trainPart1"
    (folder / "Sample001").rename(folder / ODD)
    drawing = (folder / ODD / "0.png").rename(folder / ODD / f"{ODD}.png")
    ours = Baseline(ours.sandbox, ours.folder, ours.run, drawing)
    worked(ours.sandbox.midas(*JOB, "--overwrite"))
    yield from _working(ours, lambda: ours.new_folder(ODD) / ODD)


def deep(baseline: Baseline) -> Iterator[Trial]:
    """Everything lies in 200 nested folders; those for the results do not exist yet."""
    ours = Baseline.make(baseline.new_folder() / DEEP)
    yield from _working(ours, lambda: ours.new_folder() / DEEP)


def _working(baseline: Baseline, out: Callable[[], Path]) -> Iterator[Trial]:
    """Try that every command works, except `run` and `compare-models`, which do only what others do."""

    def write(name: str) -> str:
        return worked(baseline.sandbox.midas(*writers(baseline, out())[name]))

    def read(words: list[Any]) -> str:
        return worked(baseline.sandbox.midas(*words))

    for name in writers(baseline, Path()):
        if name not in ("run", "compare-models"):
            yield name, partial(write, name)
    yield "serve, saving", lambda: worked(serve_and_save(baseline, out()))
    for name, words in readers(baseline).items():
        yield name, partial(read, words)


def too_deep(baseline: Baseline) -> Iterator[Trial]:
    """The results or the data lie in more nested folders than there can be."""
    out = baseline.folder / TOO_DEEP

    def trial(name: str) -> str:
        return refused(baseline.sandbox.midas(*writers(baseline, out)[name]), out)

    for name in ("preprocess", "augment", "make-part3", "train-part1", "analyze", "report"):
        yield name, partial(trial, name)
    data = baseline.new_folder()
    subprocess.run(["mkdir", "-p", data / TOO_DEEP / "a"], check=True)
    subprocess.run(["cp", baseline.drawing, data / TOO_DEEP / "a"], check=True)
    yield "preprocess, reading", lambda: refused(baseline.sandbox.midas("preprocess", "--data", data), data)


def two_at_once(baseline: Baseline) -> Iterator[Trial]:
    """Two processes work on the same run, or fill the same cache."""

    def same_run() -> str:
        sandbox = baseline.with_runs(baseline.new_folder())
        first = sandbox.start(JOB)
        while not list(sandbox.runs.glob("**/metrics.jsonl")) and first.poll() is None:
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGSTOP)  # so that it is still there when the others come
        try:
            commands = ([*JOB], [*JOB, "--resume"], [*JOB, "--overwrite"])
            others = [refused(sandbox.midas(*words), sandbox.runs) for words in commands]
            worked(sandbox.midas("list"))
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        worked(finish(first))
        if not all("another process" in other for other in others):
            raise Misbehaved(" / ".join(others))
        same_as_undisturbed(baseline, sandbox.runs)
        return f"{others[0]}; the first: 0, not affected"

    def killed() -> str:
        sandbox = baseline.with_runs(baseline.new_folder())
        process = sandbox.start(JOB)
        while not list(sandbox.runs.glob("**/last.keras")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        run = sandbox.runs / "part1" / "compact" / "seed-0"
        for suffix in ("keras", "jsonl"):  # as a kill in the middle of a write leaves them
            (run / f".half.{TEMPORARY}{process.pid}.tmp.{suffix}").write_bytes(b"half")
        worked(sandbox.midas(*JOB, "--resume"))
        unharmed({}, sandbox.runs)
        same_as_undisturbed(baseline, sandbox.runs)
        return "0 with --resume, the same weights; temporary files are gone"

    def same_cache(*commands: list[str]) -> str:
        here = baseline.new_folder()
        sandbox = baseline.with_runs(here / "runs", cache=here / "cache")
        for done in [finish(process) for process in [sandbox.start(words) for words in commands]]:
            worked(done)
        unharmed({}, here)
        return "0 and 0, all files complete"

    yield "train-part1, same run", same_run
    yield "train-part1, killed with the lock", killed
    yield "preprocess, same cache", lambda: same_cache(["preprocess", "-q"], ["preprocess", "-q"])
    yield "train-part1, same cache", lambda: same_cache(*(["train-part1", "--seed", seed, *SHORT] for seed in "01"))


INTERRUPTED = {
    "preprocess": ["preprocess", "--data-dir", "sample", "--quiet"],
    "train-part1": JOB,
    "train-part2": ["train-part2", "--init", "pretrained", "--epochs", "20", "--quiet"],
    "train-part3": ["train-part3", "--model", "compact", "--epochs", "10", "--quiet"],
    "cross-validate": ["cross-validate", "--folds", "2", "--epochs", "12", "--quiet"],
    "compare": ["compare", "part2", "--seeds", "2", "--epochs", "8", "--init", "random", "--quiet"],
}


def interrupted(baseline: Baseline) -> Iterator[Trial]:
    """SIGTERM, Ctrl-C, and Ctrl-C twice, while there is something to lose; a shell runs the command that is printed."""
    for name, words in INTERRUPTED.items():
        for signals in ("TERM",), ("INT",), ("INT", "INT"):
            yield f"{name}, {', '.join(signals)}", partial(interrupt, baseline, words, signals)
    for delay in (0.0, 1.0, 2.0, 3.0):  # while it starts
        yield f"train-part1, TERM after {delay} s", partial(interrupt, baseline, JOB, ("TERM",), delay)


def interrupt(baseline: Baseline, words: list[str], signals: tuple[str, ...], delay: float | None = None) -> str:
    """Interrupt a command once it has written something, or after a delay, and run the command that it prints.

    Raises:
        Misbehaved: it did not end as it should, or cannot be continued.
    """
    here, is_preprocess = baseline.new_folder("stop it's\nodd"), words[0] == "preprocess"
    sandbox = baseline.with_runs(here / "runs", cache=here / "cache" if is_preprocess else baseline.sandbox.cache)
    process = sandbox.start(words if is_preprocess else [*words, "--runs-dir", sandbox.runs])
    awaited = "[!.]*.npz" if is_preprocess else "[!.]*.keras"
    while process.poll() is None and not (
        catches_sigterm(process.pid) if delay is not None else [*here.rglob(awaited)]
    ):
        time.sleep(0.01)
    time.sleep(delay or 0)
    for name in signals:
        os.kill(process.pid, signal.Signals[f"SIG{name}"])
        time.sleep(0.05)
    done = finish(process)
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith("Note: ")]
    if done.returncode != 130 or len(lines) != 1 or not lines[0].startswith("Interrupted. "):
        raise Misbehaved(f"status {done.returncode}: {' / '.join(lines)[-300:]}")
    unharmed({}, here)
    message, _, command = lines[0].partition(" with: ")
    env = {"MIDAS_DATA": str(sandbox.data), "MIDAS_CACHE_DIR": str(sandbox.cache), "TF_CPP_MIN_LOG_LEVEL": "3"}
    shell = subprocess.Popen(
        ["bash", "-c", command],
        env={**os.environ, **env},
        text=True,
        errors="replace",
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    worked(finish(shell))
    if words is JOB:
        same_as_undisturbed(baseline, sandbox.runs)
    elif not is_preprocess and not [*here.rglob("result.json")]:
        raise Misbehaved("the command that continues it finished no run")
    return f"130: {message} with: …; pasted: 0"


def catches_sigterm(process: int) -> bool:
    """Whether a process has begun to catch SIGTERM."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


FAULTS: dict[str, Callable[[Baseline], Iterator[Trial]]] = {
    "full disk": full_disk,
    "read-only disk": read_only_disk,
    "no permission": no_permission,
    "full stdout": full_stdout,
    "full cache": full_cache,
    "disk fills": disk_fills,
    "file for a folder": file_for_folder,
    "missing": missing,
    "odd names": odd_names,
    "200 folders deep": deep,
    "1,200 folders deep": too_deep,
    "two at once": two_at_once,
    "interrupted": interrupted,
}
NEED_MOUNT = (full_disk, read_only_disk, full_cache, disk_fills)


def attempt(trial: Callable[[], str]) -> tuple[str, bool]:
    """Try one thing: what happened, and whether that is allowed."""
    try:
        return trial(), True
    except (Misbehaved, OSError, subprocess.SubprocessError) as error:
        return f"**wrong** {printable(str(error))}", False


def main() -> None:
    """Try everything and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", choices=FAULTS, nargs="*", default=list(FAULTS))
    parser.add_argument("--commands", nargs="*", help="only these, as they stand in the table")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="number of trials at the same time")
    options = parser.parse_args()
    failures = 0
    with temporary_folder() as folder, ThreadPoolExecutor(options.workers) as pool:
        baseline = Baseline.make(folder)
        sandbox = baseline.sandbox
        before = {part: contents(part) for part in (sandbox.data, sandbox.runs, sandbox.cache)}
        print("| fault | command | status: message |\n|---|---|---|", flush=True)
        for fault in options.only:
            if FAULTS[fault] in NEED_MOUNT and not is_root():
                print(f"| {fault} | | skipped: mounting a file system needs root |", flush=True)
                continue
            chosen = [each for each in FAULTS[fault](baseline) if not options.commands or each[0] in options.commands]
            names, trials = zip(*chosen, strict=True) if chosen else ((), ())
            for name, (happened, allowed) in zip(names, pool.map(attempt, trials), strict=True):
                print(f"| {fault} | `{name}` | {happened} |", flush=True)
                failures += not allowed
        for part, digests in before.items():
            unharmed(digests, part)
    raise SystemExit(f"{failures} misbehaved" if failures else 0)


if __name__ == "__main__":
    main()
