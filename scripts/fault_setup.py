"""What `faults.py` works with: commands in a sandbox, judgments of what they did, and the data, disks and runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import kill_anywhere
import numpy as np

from midas.data import sample
from midas.data.complementary_mnist import complementary_labels
from midas.errors import printable

TIMEOUT = 600  # seconds for one command
SHORT = ("--epochs", "1", "--quiet")
JOB = ["train-part1", "--epochs", "12", "--quiet"]  # the training that is disturbed in many ways


class Misbehaved(Exception):
    """Something midas should not have done."""


@dataclass(frozen=True)
class Sandbox:
    """Where midas works.

    Attributes:
        data, runs, cache: the folders that the options of these names take.
        unprivileged: without root's right to read and write everything.
    """

    data: Path
    runs: Path
    cache: Path
    unprivileged: bool = False

    def start(self, words: Sequence[Any], stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start midas in a process group of its own."""
        folders = {"MIDAS_DATA": self.data, "MIDAS_RUNS_DIR": self.runs, "MIDAS_CACHE_DIR": self.cache}
        env = {**os.environ, **{name: str(path) for name, path in folders.items()}, "TF_CPP_MIN_LOG_LEVEL": "3"}
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if self.unprivileged and is_root() else []
        return subprocess.Popen(
            [*drop, sys.executable, "-m", "midas", *map(str, words)],
            env=env,
            start_new_session=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )

    def midas(self, *words: Any, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        """Run midas to its end."""
        return finish(self.start(words, stdout))


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for midas to end.

    Raises:
        Misbehaved: it does not.
    """
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Misbehaved(f"did not end within {TIMEOUT} s") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", err or "")


def is_root() -> bool:
    """Whether this process runs as root."""
    return os.geteuid() == 0


# ---- judging what midas did


def refused(done: subprocess.CompletedProcess[str], naming: str | Path) -> str:
    """Check that a command gave up in one line that names a file and says what to do, and shorten that line.

    Raises:
        Misbehaved: it did not.
    """
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Note: ")]
    errors = [line for line in lines if line.startswith("Error: ")]
    if done.returncode not in (1, 2) or len(errors) != 1 or (done.returncode == 1 and len(lines) != 1):
        raise Misbehaved(f"status {done.returncode}: {' / '.join(lines)[-300:]}")
    line, name = errors[0], printable(str(naming))
    if done.returncode == 1 and (name not in line or "; " not in line):
        raise Misbehaved(f"does not name the file, or does not say what to do: {line}")
    return f"{done.returncode}: {shortened(line.removeprefix('Error: '))}"


def worked(done: subprocess.CompletedProcess[str]) -> str:
    """Check that a command did its work.

    Raises:
        Misbehaved: it did not.
    """
    if done.returncode or "Traceback" in done.stderr:
        raise Misbehaved(f"status {done.returncode}: {done.stderr[-300:]}")
    warnings = [line for line in done.stderr.splitlines() if "without the cache" in line]
    return f"0: {shortened(warnings[0])}" if warnings else "0"


def shortened(line: str) -> str:
    """Remove the folders of paths, and what is too long for a table."""
    words = " ".join(f"…/{word.rpartition('/')[2]}" if word.startswith("/") else word for word in line.split(" "))
    return (words if len(words) <= 110 else f"{words[:109]}…").replace("|", "\\|")


def contents(folder: Path) -> dict[Path, str]:
    """Give the SHA-256 digest of every file below a folder, hidden ones excluded."""
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in kill_anywhere.files_below(folder)}


def unharmed(before: Mapping[Path, str], folder: Path) -> None:
    """Check that earlier files are unchanged, that new ones are complete, and that no temporary file is left.

    Raises:
        Misbehaved: that is not so.
    """
    after = contents(folder)
    problems: dict[str, list[Any]] = {
        "changed": [path for path in before if after.get(path) != before[path]],
        "broken": kill_anywhere.broken(folder),
        # metrics.jsonl is empty before the first epoch.
        "empty": [path for path in after if not path.stat().st_size and path.name != "metrics.jsonl"],
        "temporary": [path for path in folder.rglob(".*") if ".tmp" in path.name],
    }
    for problem, found in problems.items():
        if found:
            raise Misbehaved(f"{problem}: {found[0]}")


# ---- what midas works on


def make_data(folder: Path) -> Path:
    """Write ten drawings of each digit in the format of Part 1, and digits in those of MNIST and Part 3."""
    for digit in range(10):
        class_folder = folder / "trainPart1" / f"Sample{digit + 1:03d}"
        class_folder.mkdir(parents=True)
        for writer in range(10):
            page = cv2.resize(sample.draw(str(digit), writer), (160, 120), interpolation=cv2.INTER_AREA)
            class_folder.joinpath(f"{writer}.png").write_bytes(cv2.imencode(".png", page)[1].tobytes())
    images, labels = sample.digits("test")
    images, labels = images[:300], labels[:300]
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    np.savez(folder / "mnistTask3.npz", images=images, labels=complementary_labels(labels, seed=0))
    (folder / "labels.csv").write_text("file,label,suggested\n", encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Baseline:
    """A data set, a finished run and a filled cache, which faults must leave unchanged.

    Attributes:
        sandbox: where all this lies.
        folder: parent of the folders of single trials.
        run: the finished run.
        drawing: a single image.
        undisturbed: the outcome of the training `JOB`.
    """

    sandbox: Sandbox
    folder: Path
    run: Path
    drawing: Path
    undisturbed: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Baseline:
        """Make the data, train on them, and fill the cache."""
        sandbox = Sandbox(make_data(folder / "data"), folder / "runs", folder / "cache")
        worked(sandbox.midas("preprocess", "--quiet"))
        worked(sandbox.midas(*JOB))
        run = folder / "runs" / "part1" / "compact" / "seed-0"
        drawing = folder / "data" / "trainPart1" / "Sample001" / "0.png"
        return cls(sandbox, folder, run, drawing, kill_anywhere.outcome(run, folder))

    def with_runs(self, runs: Path, **changes: Any) -> Sandbox:
        """Give a sandbox with the same data and another root of runs."""
        return Sandbox(**{**vars(self.sandbox), "runs": runs, **changes})

    def new_folder(self, name: str = "trial") -> Path:
        """Make a folder for a trial."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def writers(baseline: Baseline, out: Path) -> dict[str, list[Any]]:
    """Give the commands that write files, by name, so that they write below a folder."""
    data, run = baseline.sandbox.data / "trainPart1", baseline.run
    labels = baseline.sandbox.data / "labels.csv"
    compare = ["compare", "part2", "--seeds", "2", "--init", "random", *SHORT]
    return {
        "preprocess": ["preprocess", "--data", data, "--csv", out / "pixels.csv", "--quiet"],
        "augment": ["augment", "--data", data, "--repetitions", "1", "--out", out / "copies", "--quiet"],
        "make-part3": ["make-part3", "--out", out / "new.zip"],
        "train": ["train", data, "--name", "mine", *SHORT, "--runs-dir", out],
        "train-part1": ["train-part1", "--seed", "1", *SHORT, "--runs-dir", out],
        "train-part2": ["train-part2", *SHORT, "--runs-dir", out],
        "train-part3": ["train-part3", *SHORT, "--runs-dir", out],
        "cross-validate": ["cross-validate", "--folds", "2", *SHORT, "--runs-dir", out],
        "compare-models": ["compare-models", "compact", "--folds", "2", *SHORT, "--runs-dir", out],
        "compare": [*compare, "--runs-dir", out],
        "compare --workers": [*compare, "--workers", "2", "--runs-dir", out],
        "run": ["run", "--quick", "--quiet", "--runs-dir", out],
        "analyze": ["analyze", "--checkpoint", run, "--out", out / "analysis"],
        "audit-labels": ["audit-labels", "--data", data, "--checkpoint", run, "--out", out / "audit", "--quiet"],
        "audit-labels --apply": ["audit-labels", "--data", data, "--apply", labels, "--out", out / "corrected", "-q"],
        "predict --overlay": [
            "predict",
            "--checkpoint",
            run,
            "--lines",
            "--overlay",
            out / "read.png",
            baseline.drawing,
        ],
        "report": ["report", run, "--out", out / "report.html"],
        "export": ["export", "--checkpoint", run, "--format", "saved-model", "--out", out / "exported", "--quiet"],
    }


def readers(baseline: Baseline) -> dict[str, list[Any]]:
    """Give the commands that print, by name."""
    checkpoint = ["--checkpoint", baseline.run]
    return {
        "list": ["list"],
        "models": ["models", "--classes", "10"],
        "evaluate": ["evaluate", *checkpoint, "--data", baseline.sandbox.data / "trainPart1", "--quiet"],
        "predict": ["predict", *checkpoint, baseline.drawing],
        "predict --lines": ["predict", "--lines", *checkpoint, baseline.drawing],
        "predict --table": ["predict", "--lines", "--table", *checkpoint, baseline.drawing],
        "predict --csv": ["predict", "--csv", *checkpoint, baseline.drawing],
        "predict --json": ["predict", "--json", *checkpoint, baseline.drawing.parent],
    }


def furnish(out: Path, baseline: Baseline) -> dict[Path, str]:
    """Fill a folder with what earlier commands could have left there, and return its digests."""
    shutil.copytree(baseline.sandbox.runs, out, dirs_exist_ok=True)
    for name in ("pixels.csv", "report.html"):
        (out / name).write_text("earlier", encoding="utf-8")
    return contents(out)


# ---- disks


@contextlib.contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a small file system."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "faults", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, option: str) -> None:
    """Mount a small file system again with another option."""
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no space on a disk."""
    with contextlib.suppress(OSError), (folder / ".filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a temporary folder and remove it, however deeply nested it is, which Python's own functions cannot."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
        subprocess.run(["rm", "-rf", folder], check=True)
