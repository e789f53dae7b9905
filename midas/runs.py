"""Run directories: created, checked, resumed and finished here; the only module that touches their files' formats.

experiment.json   what was asked for
card.json         what is needed to use the network, and what it was trained on
environment.json  versions, device, command, source revision, digest of the data, times
metrics.jsonl     one object per epoch
best.keras        the epoch of the lowest validation loss, or a later one whose loss is not higher by min_delta
last.keras        the last epoch, with the state of optimizer and loss, from which an interrupted run resumes
data.json         counts of the training set and the test set
teacher-1, ...    run directories of the networks that this one learns from
samples.npz       some training images: as they came, preprocessed, augmented
predictions.npz   what was scored: probabilities, labels, names, images; of some images the features
result.json       written last; without it the run is unfinished
"""

from __future__ import annotations

import contextlib
import html
import json
import logging
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from midas.errors import MidasError, cannot, counted, printable
from midas.experiments import Experiment
from midas.files import atomic, locked, parse, plain, read_json, write_json, writing
from midas.records import (
    Card,
    Comparison,
    CrossValidationResult,
    DataRecord,
    Environment,
    EpochRecord,
    Predictions,
    Result,
    Samples,
)

if TYPE_CHECKING:
    import numpy as np

Record = TypeVar("Record")

CROSS_VALIDATION, COMPARISON = "cross-validation", "comparison"
OTHER_ROOTS = ("sample", "quick", CROSS_VALIDATION, COMPARISON)  # folders below the root that are not parts
TO_KEEP_BOTH = "choose another --name or --runs-dir, or use --overwrite"  # of which every command has at least one
FILES = (  # in the order in which they are deleted
    *("result.json", "experiment.json", "card.json", "environment.json", "metrics.jsonl"),
    *("best.keras", "last.keras", "data.json", "samples.npz", "predictions.npz"),
)
# What NumPy, zipfile and zlib raise for damaged archives.
DAMAGED = (
    *(AttributeError, LookupError, ValueError, TypeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


class Run:
    """A run directory, opened for reading by `Run(path)` and for writing by `Run.start`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Show the run in a notebook."""
        rows = {"run": str(self.path)}
        try:
            rows["state"] = "finished" if self.finished else f"stopped after {counted(len(self.epochs()), 'epoch')}"
            if self.finished:
                result = self.result
                low, high = (100 * bound for bound in result.accuracy_interval)
                accuracy = f"{100 * result.accuracy:.2f} % (95 % interval {low:.2f}-{high:.2f} %)"
                rows |= {"accuracy": accuracy, "evaluated on": f"{result.scored}, {counted(result.n, 'image')}"}
                rows |= {"epochs": str(result.epochs), "training": f"{result.train_seconds:.0f} s"}
        except MidasError as error:
            rows["state"] = str(error)
        cells = (f"<tr><th>{key}</th><td>{html.escape(value)}</td></tr>" for key, value in rows.items())
        return f"<table>{''.join(cells)}</table>"

    # ---- state

    @property
    def finished(self) -> bool:
        """Whether the run was trained and scored."""
        return (self / "result.json").is_file()

    @property
    def checkpoint(self) -> Path:
        """The network to use: the best by validation loss, or the last one without a validation set."""
        best = self / "best.keras"
        return best if best.exists() else self / "last.keras"

    def check(self, experiment: Experiment, resume: bool) -> None:
        """Refuse to mix an experiment with what is in this directory.

        Raises:
            MidasError: it holds another experiment, or an unfinished run and `resume` is false.
        """
        if not (self / "experiment.json").exists():
            return
        difference = self.experiment.differences(experiment)
        if difference:
            raise MidasError(f"{self.path}: holds another run ({difference}); {TO_KEEP_BOTH}")
        if not self.finished and not resume:
            with self.locked():  # or another process is working on it
                raise MidasError(
                    f"{self.path}: holds an unfinished run; continue with --resume, or start again with --overwrite"
                )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working in this directory.

        Raises:
            MidasError: another one does, or the directory cannot be made.
        """
        with locked(self.path, f"{self.path}: another process is working on this run; wait for it to end"):
            yield

    def start(self, experiment: Experiment) -> None:
        """Record what is about to run."""
        write_json(self / "experiment.json", experiment)

    def clear(self) -> None:
        """Delete the files of the teachers, then those of the run, result.json first; nothing else in the directory."""
        for folder in self.path.glob("teacher-*"):
            if re.fullmatch(r"teacher-\d+", folder.name):
                Run(folder).clear()
        for name in FILES:
            (self / name).unlink(missing_ok=True)

    # ---- records

    @property
    def experiment(self) -> Experiment:
        """What was asked for."""
        return Experiment.from_json(read_json(self / "experiment.json"))

    @property
    def teachers(self) -> list[Run]:
        """The runs, in directories below this one, of the networks that this one learns from."""
        return [Run(self / f"teacher-{number}") for number in range(1, len(self.experiment.teachers) + 1)]

    @property
    def card(self) -> Card:
        """What is needed to use the network."""
        return self._read("card.json", Card)

    @property
    def environment(self) -> Environment:
        """Software, hardware and provenance."""
        return self._read("environment.json", Environment)

    @property
    def data(self) -> DataRecord | None:
        """Counts of the data; None where the run kept none."""
        return self._read("data.json", DataRecord) if (self / "data.json").exists() else None

    @property
    def result(self) -> Result:
        """Scores of a finished training."""
        return self._read("result.json", Result)

    @property
    def is_cross_validation(self) -> bool:
        """Whether this is the directory of a finished cross-validation, not of a training."""
        record = read_json(self / "result.json")
        return isinstance(record, dict) and "folds" in record

    @property
    def cross_validation(self) -> CrossValidationResult:
        """Scores of a finished cross-validation, where this is the directory of one."""
        return self._read("result.json", CrossValidationResult)

    def _read(self, name: str, kind: type[Record]) -> Record:
        return read_record(self / name, kind, "train the run again with --overwrite")

    def write(self, record: Card | Environment | DataRecord | Result | CrossValidationResult) -> None:
        """Write a record to its file.

        Raises:
            MidasError: it cannot be written.
        """
        names: dict[type, str] = {Card: "card.json", Environment: "environment.json", DataRecord: "data.json"}
        write_json(self / names.get(type(record), "result.json"), record)

    # ---- epochs

    def epochs(self) -> list[EpochRecord]:
        """Read the finished epochs, up to a line that a crash cut short or damaged."""
        path = self / "metrics.jsonl"
        if not path.exists():
            return []
        records = []
        for line in path.read_bytes().splitlines():
            try:
                records.append(parse(EpochRecord, json.loads(line)))
            except ValueError:
                break
        return records

    def append_epoch(self, record: EpochRecord) -> None:
        """Add an epoch; it is on disk before this returns.

        Raises:
            MidasError: it cannot be written.
        """
        path = self / "metrics.jsonl"
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())

    def write_epochs(self, records: Sequence[EpochRecord]) -> None:
        """Replace all epochs."""
        with atomic(self / "metrics.jsonl") as temporary:
            temporary.write_text("".join(map(_line, records)), encoding="utf-8")

    # ---- arrays

    def predictions(self) -> Predictions:
        """Read what a finished run scored.

        Raises:
            MidasError: predictions.npz is missing or damaged, does not match the class names of the card, or holds NaN.
        """
        import numpy as np

        path = self / "predictions.npz"
        remedy = "train the run again with --overwrite" if self.finished else "finish the run with --resume"
        arrays = _read_arrays(path, "the arrays of predictions", remedy)
        try:
            found = Predictions(**{name: arrays[name] for name in Predictions.__dataclass_fields__ if name in arrays})
            labels, probabilities = found.labels, found.probabilities
            n, k = labels.size, len(self.card.class_names)
            consistent = labels.shape == found.names.shape == found.images.shape[:1] == (n,)
            consistent &= probabilities.shape == (n, k) and bool(np.isin(labels, np.arange(k)).all())
        except TypeError as error:
            raise MidasError(f"{path}: damaged, not the arrays of predictions; {remedy}") from error
        if not (n and consistent):
            raise MidasError(f"{path}: its arrays do not match each other or the {k} classes of card.json; {remedy}")
        if found.embedded is not None and not _are_features(found.embedded, found.features, n):
            raise MidasError(f"{path}: its features do not match its images; {remedy}")
        if not np.isfinite([probabilities.min(), probabilities.max()]).all():  # without an array of as many values
            raise MidasError(f"{path}: holds probabilities that are not numbers: the training diverged; {remedy}")
        return found

    def write_predictions(self, predictions: Predictions) -> None:
        """Write what was scored."""
        self._write_arrays("predictions.npz", **vars(predictions))

    def samples(self) -> Samples | None:
        """Read the samples of the training data; None where the run kept none.

        Raises:
            MidasError: samples.npz is damaged.
        """
        path = self / "samples.npz"
        if not path.exists():
            return None
        arrays = _read_arrays(path, "the samples of a run", "train the run again with --overwrite")
        try:
            pages = [arrays[f"page_{index}"] for index in range(len(arrays["prepared_labels"]))]
            names = [name for name in Samples.__dataclass_fields__ if name != "pages"]
            return Samples(**{name: arrays[name] for name in names}, pages=pages)
        except (LookupError, TypeError) as error:
            raise MidasError(f"{path}: damaged, not the samples of a run") from error

    def write_samples(self, samples: Samples) -> None:
        """Write samples of the training data."""
        arrays = {name: value for name, value in vars(samples).items() if name != "pages"}
        pages = {f"page_{index}": page for index, page in enumerate(samples.pages)}
        self._write_arrays("samples.npz", **arrays, **pages)

    def _write_arrays(self, name: str, **arrays: np.ndarray | None) -> None:
        import numpy as np

        present: dict[str, Any] = {key: array for key, array in arrays.items() if array is not None}
        with atomic(self / name) as temporary:
            np.savez_compressed(temporary, **present)


def _line(record: EpochRecord) -> str:
    return json.dumps({key: value for key, value in plain(record).items() if value not in (None, [])}) + "\n"


def _read_arrays(path: Path, what: str, remedy: str) -> dict[str, np.ndarray]:
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except PermissionError as error:
        raise cannot("be read", path, error) from error
    except OSError as error:
        raise MidasError(f"{path}: cannot be read: {error.strerror or error}; {remedy}") from error
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged, not {what}; {remedy}") from error


def _are_features(embedded: np.ndarray, features: np.ndarray | None, n: int) -> bool:
    import numpy as np

    if features is None or embedded.dtype.kind != "i" or embedded.ndim != 1 or features.dtype.kind != "f":
        return False
    consistent = features.ndim == 2 and len(features) == len(embedded)
    return bool(consistent and np.isin(embedded, np.arange(n)).all() and np.isfinite(features).all())


def read_record(path: Path, kind: type[Record], remedy: str) -> Record:
    """Read one record from its JSON file.

    Raises:
        MidasError: it cannot be read, or a value does not have its field's type.
    """
    values = read_json(path)
    try:
        return parse(kind, values)
    except (ValueError, MidasError) as error:
        raise MidasError(f"{path}: {error}; {remedy}") from error


def read_comparison(path: Path) -> Comparison:
    """Read a comparison.json.

    Raises:
        MidasError: it cannot be read, or is not what `midas compare` writes.
    """
    return read_record(path, Comparison, "write it again with midas compare")


def find_comparisons(root: str | Path) -> list[Path]:
    """List the comparison.json files below the root of the runs."""
    return sorted((Path(root) / COMPARISON).glob("*/*/comparison.json"))


def find_runs(root: str | Path) -> list[Run]:
    """List the runs below a root, finished or not, by path; runs on the sample and quick ones have their own roots.

    Teachers lie below other runs, and are not listed.

    Raises:
        MidasError: the root cannot be read; for a folder below it, that is a warning.
    """
    root = Path(root)
    if not root.exists():
        return []

    def refuse(error: OSError) -> None:
        refusal = cannot("be read", error.filename, error)
        if Path(error.filename) == root:
            raise refusal from error
        logging.getLogger(__name__).warning("%s; skipping it", printable(str(refusal)))

    paths = []
    for folder, below, names in os.walk(root, onerror=refuse):
        if "experiment.json" in names:
            paths.append(Path(folder))
            below.clear()
    paths.sort()
    return [Run(path) for path in paths if path.relative_to(root).parts[:1] not in [(name,) for name in OTHER_ROOTS]]


def find_everything(root: str | Path) -> list[Run]:
    """List the runs below a root, those on the sample and quick ones, those of comparisons, and cross-validations.

    The trainings of the folds of a cross-validation are not listed.

    Raises:
        MidasError: as `find_runs`.
    """
    roots = [Path(root) / part for part in ("", "sample", "quick", "quick/sample")]
    compared = [
        folder / part for each in roots for folder in sorted((each / COMPARISON).glob("*")) for part in ("", "sample")
    ]
    validated = [
        path.parent for each in roots for path in sorted((each / CROSS_VALIDATION).glob("*/*/*/experiment.json"))
    ]
    return [run for each in (*roots, *compared) for run in find_runs(each)] + list(map(Run, validated))


def find_run(path: str | Path) -> Run | None:
    """Find the run that a run directory, or its checkpoint, belongs to; None if it is something else."""
    run = Run(path if Path(path).is_dir() else Path(path).parent)
    return run if Path(path) in (run.path, run.checkpoint) and (run / "experiment.json").exists() else None
