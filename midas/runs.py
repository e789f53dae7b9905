"""One run directory: create it, refuse it, resume it, finish it; JSON that is whole or not there at all.

experiment.json   what was asked for
card.json         what a network needs to be used: class names, preprocessing, provenance
environment.json  versions, device, command, source revision, digest of the data, times
metrics.jsonl     one object an epoch
best.keras        of the epoch with the lowest validation loss
last.keras        of the last epoch, optimiser included: what a stopped run goes on from
data.json         what was trained on and scored: counts, sizes, what was skipped
samples.npz       some of the images trained on: as they came, prepared, deformed
predictions.npz   what was scored: probabilities, labels, names, images; of some of them the last layer's input
result.json       written last; without it the run is unfinished
"""

import contextlib
import errno
import functools
import json
import logging
import math
import os
import platform
import re
from pathlib import Path

from midas.errors import MidasError, cannot, printable
from midas.experiments import Experiment
from midas.records import damage

try:
    import fcntl
except ImportError:  # Windows has none; two processes at once are then not told from each other
    fcntl = None


LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # a file system that has no locks
# Marks a file as half written by a midas of this machine, whose processes have a number each.
HALF = f"midas-{re.sub('[^A-Za-z0-9]', '', platform.node())[:20]}-"


@contextlib.contextmanager
def writing(path: Path):
    """Make what the operating system refuses in the block a `MidasError` that names the file."""
    try:
        yield
    except OSError as error:
        raise cannot("be written", path, error) from error


def temporary_name(path: Path) -> Path:
    """Name a file beside `path` to write to; it keeps the ending, by which Keras and NumPy choose the format."""
    return path.with_name(f".{path.stem}.{HALF}{os.getpid()}.tmp{path.suffix}")


@contextlib.contextmanager
def atomic(path: Path):
    """Give a temporary name beside `path` to write to, and rename it to `path` only if the block succeeds.

    Raises:
        MidasError: the file cannot be written (no room, no permission, no such folder).
    """
    temporary = temporary_name(path)
    with writing(path):
        try:
            make_folder(path.parent)
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder where there is none, and clear it of what processes that were killed had half written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except RecursionError:  # a thousand folders in each other
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from None
    _sweep(folder)


@functools.cache  # once is enough, and folders may be large
def _sweep(folder: Path) -> None:
    if not fcntl:  # there is no harmless way to ask whether a process is alive
        return
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            match = re.fullmatch(rf"\..*\.{HALF}(\d{{1,9}})\.tmp(\..*)?", path.name, re.DOTALL)
            if match and not _alive(int(match[1])):
                path.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return process != os.getpid()  # what bears our own number is of one before us that had it


def write_json(path: Path, value) -> None:
    """Write JSON that is whole or not there at all."""
    with atomic(path) as temporary:
        write_text(temporary, to_json(value) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, with bytes of file names that are none as \\udc80 to \\udcff, which JSON reads back."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def to_json(value) -> str:
    """Lay out a value as JSON. NaN and the infinities become null: JSON has none."""
    return json.dumps(_finite(value), indent=1, ensure_ascii=False)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path):
    """Read a JSON file.

    Raises:
        MidasError: it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot("be read", path, error) from error
    except ValueError as error:
        raise MidasError(f"{path}: not valid JSON ({error})") from error


CROSS_VALIDATION, COMPARISON = "cross-validation", "comparison"
OTHER_ROOTS = ("sample", "quick", CROSS_VALIDATION, COMPARISON)  # below the root of the full runs on real data


class Run:
    """A run directory, opened for reading by `Run(path)` and for writing by `Run.start`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def finished(self) -> bool:
        return (self / "result.json").is_file()

    @property
    def experiment(self) -> Experiment:
        return Experiment.from_json(read_json(self / "experiment.json"))

    @property
    def card(self) -> dict:
        return self._record("card.json")

    @property
    def environment(self) -> dict:
        return self._record("environment.json")

    @property
    def data(self) -> dict | None:
        """What was trained on and scored, counted; None where the run kept no account of it."""
        return self._record("data.json") if (self / "data.json").exists() else None

    @property
    def result(self) -> dict:
        return self._record("result.json")

    def _record(self, name: str) -> dict:
        """Read one of the run's records.

        Raises:
            MidasError: it cannot be read, or an entry is not of its kind.
        """
        record = read_json(self / name)
        if reason := damage(name, record):
            raise MidasError(f"{self / name}: {reason}; train the run again with --overwrite")
        return record

    @property
    def checkpoint(self) -> Path:
        """The network to use: the best by validation loss, or the last where nothing was held out."""
        best = self / "best.keras"
        return best if best.exists() else self / "last.keras"

    def metrics(self) -> list[dict]:
        """Read the records of the finished epochs; a line cut short by a crash, or damaged, is not one."""
        path = self / "metrics.jsonl"
        if not path.exists():
            return []
        records = []
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if damage("metrics.jsonl", record):
                break
            records.append(record)
        return records

    def append_metrics(self, record: dict) -> None:
        """Add one epoch's record, on disk before this returns.

        Raises:
            MidasError: it cannot be written.
        """
        path = self / "metrics.jsonl"
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write_metrics(self, records: list[dict]) -> None:
        """Replace the epoch records as a whole."""
        with atomic(self / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(_finite(record)) + "\n" for record in records), encoding="utf-8")

    def check(self, experiment: Experiment, resume: bool) -> None:
        """Refuse to mix an experiment with what already lies in this directory.

        Raises:
            MidasError: another experiment lies here, or an unfinished run and `resume` is false.
        """
        if not (self / "experiment.json").exists():
            return
        difference = self.experiment.differences(experiment)
        if difference:
            raise MidasError(f"{self.path}: holds another run ({difference}); choose another --name, or --overwrite it")
        if not self.finished and not resume:
            with self.locked():  # or another process is at it
                raise MidasError(
                    f"{self.path}: holds an unfinished run; go on with --resume or start again with --overwrite"
                )

    @contextlib.contextmanager
    def locked(self):
        """Keep other processes from working in this directory.

        Raises:
            MidasError: another one does, or the directory cannot be made.
        """
        with contextlib.ExitStack() as stack:
            with writing(self.path):
                make_folder(self.path)
                file = stack.enter_context((self / ".lock").open("w"))
            try:
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise MidasError(f"{self.path}: another process is working on this run; wait for it to end") from error
            except OSError as error:
                if error.errno not in LOCKLESS:
                    raise cannot("be locked", self / ".lock", error) from error
            yield

    def start(self, experiment: Experiment) -> None:
        """Record what is about to run."""
        write_json(self / "experiment.json", experiment.to_json())

    def clear(self) -> None:
        """Delete the files that training writes, and nothing else that may lie there; result.json goes first."""
        names = ("result.json", "experiment.json", "card.json", "environment.json", "metrics.jsonl")
        for name in (*names, "best.keras", "last.keras", "data.json", "samples.npz", "predictions.npz"):
            (self / name).unlink(missing_ok=True)


def shipped_checkpoint() -> Path:
    """Find the network of Part 1 that comes with midas, in the installed package or in the checkout it runs from.

    Raises:
        MidasError: none came.
    """
    package = Path(__file__).parent
    for path in (package / "checkpoints" / "part1.keras", package.parent / "checkpoints" / "part1.keras"):
        if path.exists():
            return path
    raise MidasError("no network came with this installation; give one as --checkpoint")


def find_comparisons(root: str | Path) -> list[Path]:
    """List the summaries of comparisons below a folder of runs."""
    return sorted((Path(root) / COMPARISON).glob("*/*/comparison.json"))


def find_runs(root: str | Path) -> list[Run]:
    """List the runs below a folder, finished or not, by path; sample and quick ones have roots of their own.

    Raises:
        MidasError: the folder cannot be read; of one below it, that is a warning.
    """
    root = Path(root)
    if not root.exists():
        return []

    def refuse(error):
        refusal = cannot("be read", error.filename, error)
        if Path(error.filename) == root:
            raise refusal from error
        logging.getLogger(__name__).warning("%s; going on without it", printable(str(refusal)))

    paths = sorted(Path(place) for place, _, names in os.walk(root, onerror=refuse) if "experiment.json" in names)
    return [Run(path) for path in paths if path.relative_to(root).parts[:1] not in [(name,) for name in OTHER_ROOTS]]
