"""Try what can go wrong around midas, for real: disks, permissions, names, two at once, and being asked to stop.

    python scripts/faults.py

Every command works on a small data set, beside a finished run. What it cannot do has to end in one line that names the
file and a way out, with a status that is not 0, and without harm to anything that was there; odd names have to work; of
two at once on one run the second has to give way; and who stops a training has to be told a command that goes on with
it. A small file system is mounted for full and read-only disks, which only root can do. Prints a Markdown table; the
exit status is 1 if anything misbehaved.
"""

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import kill_anywhere
import numpy as np

from midas.data import complementary_mnist as misfiling
from midas.data import sample
from midas.errors import printable
from midas.runs import HALF

ODD = ' it\'s "odd"\n$x_1$ {x} *?[a]% é字\udcff'  # quotes, a newline, braces, a wildcard, a byte that is no UTF-8
DEEP = "/".join(["d"] * 200)
TOO_DEEP = "/".join(["d"] * 1200)
PATIENCE = 600  # seconds for one command
SHORT = ("--epochs", "1", "--quiet")
JOB = ["train-part1", "--epochs", "12", "--quiet"]  # the training that is disturbed in many ways


class Wrong(Exception):
    """What midas should not have done."""


@dataclass(frozen=True)
class Place:
    """Where midas works.

    Attributes:
        data, runs, cache: as the options of these names take them.
        powerless: without root's power to read and write whatever it likes.
    """

    data: Path
    runs: Path
    cache: Path
    powerless: bool = False

    def start(self, words: list, **streams) -> subprocess.Popen:
        """Start midas in a process group of its own."""
        places = {"MIDAS_DATA": self.data, "MIDAS_RUNS_DIR": self.runs, "MIDAS_CACHE_DIR": self.cache}
        env = {**os.environ, **{name: str(path) for name, path in places.items()}, "TF_CPP_MIN_LOG_LEVEL": "3"}
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if self.powerless and is_root() else []
        command = [*drop, sys.executable, "-m", "midas", *map(str, words)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **streams}
        return subprocess.Popen(command, env=env, start_new_session=True, text=True, errors="replace", **streams)

    def midas(self, *words, **streams) -> subprocess.CompletedProcess:
        """Let midas run to its end."""
        return finish(self.start(list(words), **streams))


def finish(process: subprocess.Popen) -> subprocess.CompletedProcess:
    """Wait for midas to end.

    Raises:
        Wrong: it does not.
    """
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Wrong(f"no end within {PATIENCE} s") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", err or "")


def is_root() -> bool:
    return os.geteuid() == 0


# ---- judging what midas did


def refused(done: subprocess.CompletedProcess, naming: str | Path) -> str:
    """Make sure that a command gave up in one line with a file's name and a way out, and shorten that line.

    Raises:
        Wrong: it did not.
    """
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Note: ")]
    errors = [line for line in lines if line.startswith("Error: ")]
    if done.returncode not in (1, 2) or len(errors) != 1 or (done.returncode == 1 and len(lines) != 1):
        raise Wrong(f"status {done.returncode}: {' / '.join(lines)[-300:]}")
    line, name = errors[0], printable(str(naming))
    if done.returncode == 1 and (name not in line or "; " not in line):
        raise Wrong(f"no file named, or no way out: {line}")
    return f"{done.returncode}: {shortened(line.removeprefix('Error: '))}"


def worked(done: subprocess.CompletedProcess) -> str:
    """Make sure that a command did its work.

    Raises:
        Wrong: it did not.
    """
    if done.returncode or "Traceback" in done.stderr:
        raise Wrong(f"status {done.returncode}: {done.stderr[-300:]}")
    told = [line for line in done.stderr.splitlines() if "without the cache" in line]
    return f"0: {shortened(told[0])}" if told else "0"


def shortened(line: str) -> str:
    """Leave out the folders of paths, and what is too long for a table."""
    words = " ".join(f"…/{word.rpartition('/')[2]}" if word.startswith("/") else word for word in line.split(" "))
    return (words if len(words) <= 110 else f"{words[:109]}…").replace("|", "\\|")


def contents(folder: Path) -> dict[Path, str]:
    """Fingerprint every file below a folder, but for hidden ones."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unharmed(before: dict[Path, str], folder: Path) -> None:
    """Make sure that what was there is as it was, that what is new is whole, and that nothing half written is left.

    Raises:
        Wrong: it is not.
    """
    after = contents(folder)
    changed = [path for path in before if after.get(path) != before[path]]
    empty = [path for path in after if not path.stat().st_size and path.name != "metrics.jsonl"]  # before an epoch
    halves = [path for path in folder.rglob(".*") if ".tmp" in path.name]
    for what, found in {
        "changed": changed,
        "broken": kill_anywhere.broken(folder),
        "empty": empty,
        "half written": halves,
    }.items():
        if found:
            raise Wrong(f"{what}: {found[0]}")


# ---- what midas works on


def make_data(folder: Path, drawings: int = 10) -> Path:
    """Write ten digits by some hands as Part 1 has them, and some of MNIST's kind, filed right and wrong."""
    for digit in range(10):
        place = folder / "trainPart1" / f"Sample{digit + 1:03d}"
        place.mkdir(parents=True)
        for writer in range(drawings):
            page = cv2.resize(sample.draw(str(digit), writer), (160, 120), interpolation=cv2.INTER_AREA)
            place.joinpath(f"{writer}.png").write_bytes(cv2.imencode(".png", page)[1])
    images, labels = sample.digits("test")
    images, labels = images[:300], labels[:300]
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    np.savez(folder / "mnistTask3.npz", images=images, labels=misfiling.wrong_folders(labels, seed=0))
    return folder


@dataclass(frozen=True)
class Ground:
    """A data set, a finished run and a filled cache, which the faults must leave alone.

    Attributes:
        place: where all this lies.
        folder: for what each case needs.
        run: the finished run.
        drawing: a single image.
        undisturbed: what the training `JOB` leaves.
    """

    place: Place
    folder: Path
    run: Path
    drawing: Path
    undisturbed: dict = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> "Ground":
        """Make the data, train on them, and fill the cache."""
        place = Place(make_data(folder / "data"), folder / "runs", folder / "cache")
        worked(place.midas("preprocess", "--quiet"))
        worked(place.midas(*JOB))
        run = folder / "runs" / "part1" / "compact" / "seed-0"
        drawing = folder / "data" / "trainPart1" / "Sample001" / "0.png"
        return cls(place, folder, run, drawing, kill_anywhere.outcome(run, folder))

    def at(self, runs: Path, **changes) -> Place:
        """The same data with another root of runs."""
        return Place(**{**vars(self.place), "runs": runs, **changes})

    def new(self, name: str = "case") -> Path:
        """Make a folder for a case."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))


def writers(ground: Ground, out: Path) -> dict[str, list]:
    """Give the commands that write, by name, so that they write below a folder."""
    data, run = ground.place.data / "trainPart1", ground.run
    return {
        "preprocess": ["preprocess", "--data", data, "--csv", out / "pixels.csv", "--quiet"],
        "augment": ["augment", "--data", data, "--repetitions", "1", "--out", out / "copies", "--quiet"],
        "make-part3": ["make-part3", "--out", out / "new.zip"],
        "train-part1": ["train-part1", "--seed", "1", *SHORT, "--runs-dir", out],
        "train-part2": ["train-part2", *SHORT, "--runs-dir", out],
        "train-part3": ["train-part3", "--rounds", "0", *SHORT, "--runs-dir", out],
        "cross-validate": ["cross-validate", "--folds", "2", *SHORT, "--runs-dir", out],
        "compare-models": ["compare-models", "compact", "--folds", "2", *SHORT, "--runs-dir", out],
        "compare": ["compare", "part2", "--seeds", "2", "--start", "random", *SHORT, "--runs-dir", out],
        "run": ["run", "--quick", "--quiet", "--runs-dir", out],
        "analyze": ["analyze", "--checkpoint", run, "--out", out / "analysis"],
        "audit-labels": ["audit-labels", "--data", data, "--checkpoint", run, "--out", out / "audit", "--quiet"],
        "report": ["report", run, "--out", out / "report.html"],
    }


def readers(ground: Ground) -> dict[str, list]:
    """Give the commands that print, by name."""
    asked = ["--checkpoint", ground.run]
    return {
        "list": ["list"],
        "models": ["models", "--classes", "10"],
        "evaluate": ["evaluate", *asked, "--data", ground.place.data / "trainPart1", "--quiet"],
        "predict": ["predict", *asked, ground.drawing],
        "predict --csv": ["predict", "--csv", *asked, ground.drawing],
        "predict --json": ["predict", "--json", *asked, ground.drawing.parent],
    }


def furnish(out: Path, ground: Ground) -> dict[Path, str]:
    """Put into a folder what an earlier session could have left there, and fingerprint it."""
    shutil.copytree(ground.place.runs, out, dirs_exist_ok=True)
    for name in ("pixels.csv", "report.html"):
        (out / name).write_text("earlier", encoding="utf-8")
    return contents(out)


@contextlib.contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a small file system."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "faults", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def change(folder: Path, *options: str) -> None:
    """Mount a small file system anew with other options."""
    subprocess.run(["mount", "-o", ",".join(["remount", *options]), folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room."""
    with contextlib.suppress(OSError), (folder / ".filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


# ---- the faults: each gives pairs of a command's name and what tries it

Trial = tuple[str, Callable[[], str]]


def full_disk(ground: Ground) -> Iterator[Trial]:
    """Nothing more can be written where the results go."""
    return _on_a_disk(ground, fill)


def read_only_disk(ground: Ground) -> Iterator[Trial]:
    """Nothing can be changed where the results go."""
    return _on_a_disk(ground, lambda out: change(out, "ro"))


def _on_a_disk(ground: Ground, spoil: Callable[[Path], None]) -> Iterator[Trial]:
    def trial(name: str) -> str:
        with disk(ground.new() / "disk", 16) as out:
            before = furnish(out, ground)
            spoil(out)
            said = refused(ground.place.midas(*writers(ground, out)[name]), out)
            unharmed(before, out)
            return said

    for name in writers(ground, Path()):
        yield name, lambda name=name: trial(name)


def no_permission(ground: Ground) -> Iterator[Trial]:
    """The folder where the results go is another's; and so are files that are to be read."""

    def write(name: str) -> str:
        out = ground.new()
        before = furnish(out, ground)
        for path in [out, *out.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        words = ["download", "mnist", "--data-dir", out] if name == "download" else writers(ground, out)[name]
        said = refused(ground.at(ground.place.runs, powerless=True).midas(*words), out)
        unharmed(before, out)
        return said

    def read(words: Callable[[Path], list], source: Path, locked: str) -> str:
        copy = ground.new() / "theirs"
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy.with_suffix(source.suffix))
        copy = copy.with_suffix(source.suffix)
        (copy / locked).chmod(0)
        return refused(ground.at(ground.place.runs, powerless=True).midas(*words(copy)), copy)

    for name in [*writers(ground, Path()), "download"]:
        yield name, lambda name=name: write(name)
    data, run = ground.place.data, ground.run
    ask = ["--checkpoint", run]
    for name, words, source, locked in (
        ("preprocess", lambda path: ["preprocess", "--data", path], data / "mnist.npz", ""),
        ("augment", lambda path: ["augment", "--data", path, "--preview", "x.png"], data / "trainPart1", ""),
        ("audit-labels", lambda path: ["audit-labels", "--data", path], data / "trainPart1", "Sample001"),
        ("train-part1", lambda path: ["train-part1", "--config", path], run / "experiment.json", ""),
        ("train-part2", lambda path: ["train-part2", "--data-dir", path], data, ""),
        ("evaluate", lambda path: ["evaluate", *ask, "--data", path], data / "trainPart1", ""),
        ("predict", lambda path: ["predict", *ask, path], ground.drawing, ""),
        ("predict --checkpoint", lambda path: ["predict", "--checkpoint", path, ground.drawing], run, "best.keras"),
        ("analyze", lambda path: ["analyze", "--checkpoint", path], run, "predictions.npz"),
        ("report", lambda path: ["report", path], run, "result.json"),
        ("list", lambda path: ["list", "--runs-dir", path], ground.place.runs, ""),
    ):
        yield f"{name}, reading", lambda words=words, source=source, locked=locked: read(words, source, locked)


def full_stdout(ground: Ground) -> Iterator[Trial]:
    """What is printed goes to a full disk."""

    def trial(words: list) -> str:
        with open("/dev/full", "w") as full:
            return refused(ground.place.midas(*words, stdout=full), "stdout")

    for name, words in readers(ground).items():
        yield name, lambda words=words: trial(words)


def full_cache(ground: Ground) -> Iterator[Trial]:
    """The cache can keep nothing, and is done without."""

    def trial(words: list) -> str:
        here = ground.new()
        with disk(here / "disk", 1) as cache:
            fill(cache)
            return worked(ground.at(here / "runs", cache=cache).midas(*words))

    yield "preprocess", lambda: trial(["preprocess", "--quiet"])
    yield "train-part1", lambda: trial(["train-part1", *SHORT])


def filling_disk(ground: Ground) -> Iterator[Trial]:
    """A disk gets full during a training, which goes on with --resume once there is room."""

    def trial() -> str:
        with disk(ground.new() / "disk", 7) as root:
            place = ground.at(root)
            said = refused(place.midas(*JOB), root)
            unharmed({}, root)
            change(root, "size=64m")
            worked(place.midas(*JOB, "--resume"))
            same_as_undisturbed(ground, root)
            return f"{said}; then with --resume 0, the same weights"

    yield "train-part1", trial


def same_as_undisturbed(ground: Ground, root: Path) -> None:
    """Make sure that the training `JOB` ended as if nothing had happened to it.

    Raises:
        Wrong: it did not.
    """
    found = kill_anywhere.outcome(root / "part1" / "compact" / "seed-0", root)
    if found != ground.undisturbed:
        raise Wrong(
            f"other than undisturbed: {[name for name in found if found[name] != ground.undisturbed.get(name)]}"
        )


def file_for_folder(ground: Ground) -> Iterator[Trial]:
    """Where a folder is needed there is a file."""

    def trial(name: str) -> str:
        file = ground.new() / "file"
        file.write_text("earlier", encoding="utf-8")
        said = refused(ground.place.midas(*writers(ground, file / "below")[name]), file)
        unharmed({file: hashlib.sha256(b"earlier").hexdigest()}, file.parent)
        return said

    for name in ("preprocess", "augment", "make-part3", "train-part1", "analyze", "audit-labels", "report"):
        yield name, lambda name=name: trial(name)


def odd_names(ground: Ground) -> Iterator[Trial]:
    """Folders, class folders, images, runs and checkpoints have quotes, newlines and worse in their names."""
    ours = Ground.make(ground.new() / ODD)
    folder = ours.place.data / "trainPart1"
    (folder / "Sample001").rename(folder / ODD)
    drawing = (folder / ODD / "0.png").rename(folder / ODD / f"{ODD}.png")
    ours = Ground(ours.place, ours.folder, ours.run, drawing)
    worked(ours.place.midas(*JOB, "--overwrite"))
    yield from _working(ours, lambda: ours.new(ODD) / ODD)


def deep(ground: Ground) -> Iterator[Trial]:
    """Everything lies in 200 folders in each other, those for results being made on the way."""
    ours = Ground.make(ground.new() / DEEP)
    yield from _working(ours, lambda: ours.new() / DEEP)


def _working(ground: Ground, out: Callable[[], Path]) -> Iterator[Trial]:
    """Try that every command works; `run`, `compare-models` do only what others do, too."""
    for name in writers(ground, Path()):
        if name not in ("run", "compare-models"):
            yield name, lambda name=name: worked(ground.place.midas(*writers(ground, out())[name]))
    for name, words in readers(ground).items():
        yield name, lambda words=words: worked(ground.place.midas(*words))


def too_deep(ground: Ground) -> Iterator[Trial]:
    """Results are to go, or data lie, in more folders in each other than can be."""
    for name in ("preprocess", "augment", "make-part3", "train-part1", "analyze", "report"):
        out = ground.folder / TOO_DEEP
        yield name, lambda name=name, out=out: refused(ground.place.midas(*writers(ground, out)[name]), out)
    data = ground.new()
    subprocess.run(["mkdir", "-p", data / TOO_DEEP / "a"], check=True)
    subprocess.run(["cp", ground.drawing, data / TOO_DEEP / "a"], check=True)
    yield "preprocess, reading", lambda: refused(ground.place.midas("preprocess", "--data", data), data)


def missing(ground: Ground) -> Iterator[Trial]:
    """What is to be read is not there."""
    nowhere = ground.folder / "nowhere"
    words = {**writers(ground, nowhere), **readers(ground)}
    for name in ("preprocess", "augment", "audit-labels", "evaluate", "predict"):
        data = ground.place.data
        asked = [nowhere if word in (data / "trainPart1", ground.drawing) else word for word in words[name]]
        yield name, lambda asked=asked: refused(ground.place.midas(*asked), nowhere)


def two_at_once(ground: Ground) -> Iterator[Trial]:
    """Two processes work on the same run, or fill the same cache."""

    def same_run() -> str:
        place = ground.at(ground.new())
        first = place.start(JOB)
        while not list(place.runs.glob("**/metrics.jsonl")) and first.poll() is None:
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGSTOP)  # so that it is still there when the others have come
        try:
            seconds = [refused(place.midas(*JOB, *more), place.runs) for more in ([], ["--resume"], ["--overwrite"])]
            worked(place.midas("list"))
        finally:
            os.killpg(first.pid, signal.SIGCONT)
        worked(finish(first))
        if not all("another process" in second for second in seconds):
            raise Wrong(" / ".join(seconds))
        same_as_undisturbed(ground, place.runs)
        return f"{seconds[0]}; the first: 0, as if it had been alone"

    def killed() -> str:
        place = ground.at(ground.new())
        process = place.start(JOB)
        while not list(place.runs.glob("**/last.keras")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        run = place.runs / "part1" / "compact" / "seed-0"
        for folder, ending in ((run, "keras"), (run, "jsonl")):  # as a kill at an unlucky moment leaves them
            (folder / f".half.{HALF}{process.pid}.tmp.{ending}").write_bytes(b"half")
        worked(place.midas(*JOB, "--resume"))
        unharmed({}, place.runs)
        same_as_undisturbed(ground, place.runs)
        return "0 with --resume, the same weights; half written files are gone"

    def same_cache(*both: list) -> str:
        here = ground.new()
        place = ground.at(here / "runs", cache=here / "cache")
        for done in [finish(process) for process in [place.start(words) for words in both]]:
            worked(done)
        unharmed({}, here)
        return "0 and 0, all files whole"

    yield "train-part1, same run", same_run
    yield "train-part1, killed with the lock", killed
    yield "preprocess, same cache", lambda: same_cache(["preprocess", "-q"], ["preprocess", "-q"])
    seeds = [["train-part1", "--seed", seed, *SHORT] for seed in "01"]
    yield "train-part1, same cache", lambda: same_cache(*seeds)


STOPPED = {
    "preprocess": ["preprocess", "--data-dir", "sample", "--quiet"],
    "train-part1": JOB,
    "train-part2": ["train-part2", "--init", "pretrained", "--epochs", "20", "--quiet"],
    "train-part3": ["train-part3", "--model", "compact", "--epochs", "10", "--quiet"],
    "cross-validate": ["cross-validate", "--folds", "2", "--epochs", "12", "--quiet"],
    "compare": ["compare", "part2", "--seeds", "2", "--epochs", "8", "--start", "random", "--quiet"],
}


def stopped(ground: Ground) -> Iterator[Trial]:
    """SIGTERM, Ctrl-C, and Ctrl-C twice, while there is something to lose; then what it says is pasted into a shell."""
    for name, words in STOPPED.items():
        for signals in ("TERM",), ("INT",), ("INT", "INT"):
            yield f"{name}, {', '.join(signals)}", lambda words=words, signals=signals: stop(ground, words, signals)
    for delay in (0.0, 1.0, 2.0, 3.0):  # while it starts
        yield f"train-part1, TERM after {delay} s", lambda delay=delay: stop(ground, JOB, ("TERM",), delay)


def stop(ground: Ground, words: list, signals: tuple[str, ...], delay: float | None = None) -> str:
    """Stop a command, once it has written something or after a delay; then do what it says.

    Raises:
        Wrong: it did not end as it should, or cannot be gone on with.
    """
    here = ground.new("stop it's\nodd")
    place = ground.at(here / "runs", cache=here / "cache" if words[0] == "preprocess" else ground.place.cache)
    process = place.start(words if words[0] == "preprocess" else [*words, "--runs-dir", place.runs])
    wanted = "[!.]*.npz" if words[0] == "preprocess" else "[!.]*.keras"
    while process.poll() is None and not (listens(process.pid) if delay is not None else list(here.rglob(wanted))):
        time.sleep(0.01)
    time.sleep(delay or 0)
    for name in signals:
        os.kill(process.pid, signal.Signals[f"SIG{name}"])
        time.sleep(0.05)
    done = finish(process)
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("Note: ")]
    if done.returncode != 130 or len(said) != 1 or not said[0].startswith("Interrupted. "):
        raise Wrong(f"status {done.returncode}: {' / '.join(said)[-300:]}")
    unharmed({}, here)
    env = {"MIDAS_DATA": place.data, "MIDAS_CACHE_DIR": place.cache, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = ["bash", "-c", said[0].partition(" with: ")[2]]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    worked(finish(subprocess.Popen(command, env={**os.environ, **env}, text=True, errors="replace", **streams)))
    if words is JOB:
        same_as_undisturbed(ground, place.runs)
    elif words[0] != "preprocess" and not [*here.rglob("result.json")]:
        raise Wrong("nothing came of going on")
    return f"130: {said[0].partition(' with: ')[0]} with: …; pasted: 0"


def listens(process: int) -> bool:
    """Whether a process has begun to catch SIGTERM."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


FAULTS = {
    "full disk": full_disk,
    "read-only disk": read_only_disk,
    "no permission": no_permission,
    "full stdout": full_stdout,
    "full cache": full_cache,
    "disk fills": filling_disk,
    "file for a folder": file_for_folder,
    "not there": missing,
    "odd names": odd_names,
    "200 folders deep": deep,
    "1,200 folders deep": too_deep,
    "two at once": two_at_once,
    "stopped": stopped,
}
MOUNTING = (full_disk, read_only_disk, full_cache, filling_disk)


@contextlib.contextmanager
def folder_for_all() -> Iterator[Path]:
    """Make a temporary folder and remove it, however deep it got, which Python's own way cannot."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=True)
        subprocess.run(["rm", "-rf", folder], check=True)


def attempt(trial: Callable[[], str]) -> tuple[str, bool]:
    """Try one thing: what happened, and whether it may."""
    try:
        return trial(), True
    except (Wrong, OSError, subprocess.SubprocessError) as error:
        return f"**wrong** {printable(str(error))}", False


def main() -> None:
    """Try everything and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=FAULTS, nargs="*", default=list(FAULTS))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="Commands tried at the same time.")
    options = parser.parse_args()
    failures = 0
    with folder_for_all() as folder, ThreadPoolExecutor(options.workers) as pool:
        ground = Ground.make(folder)
        kept = {part: contents(part) for part in (ground.place.data, ground.place.runs, ground.place.cache)}
        print("| fault | command | status: what it says |\n|---|---|---|", flush=True)
        for fault in options.only:
            if FAULTS[fault] in MOUNTING and not is_root():
                print(f"| {fault} | | skipped: mounting a file system needs root |", flush=True)
                continue
            names, trials = zip(*FAULTS[fault](ground), strict=True)
            for name, (happened, right) in zip(names, pool.map(attempt, trials), strict=True):
                print(f"| {fault} | `{name}` | {happened} |", flush=True)
                failures += not right
        for part, before in kept.items():
            unharmed(before, part)
    raise SystemExit(f"{failures} misbehaved" if failures else 0)


if __name__ == "__main__":
    main()
