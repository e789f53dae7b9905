"""Where data and runs are, and how the user is informed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError
from midas.experiments import Experiment
from midas.records import EpochRecord
from midas.runs import Run
from midas.studies.executor import Executor, InProcess

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.data.entries import Source


def _start_tensorflow() -> None:
    from midas.learning.backend import start_tensorflow

    start_tensorflow()


@dataclass(frozen=True)
class Workspace:
    """Where data and runs are, and how the user is informed.

    Attributes:
        runs_dir: root of the run directories.
        data_dir: folder of the data sets, or "sample".
        cache_dir: where preprocessed data are cached; None caches nothing.
        given: data sets beside the named ones, opened or in memory, by the names that experiments give them.
        loaded: of the given data sets, those that were read, by name and size.
        reopen: opens them again, for another process.
        executor: performs lists of trainings.
        say: called with a line of text.
        skipped: called with each data set that is loaded and its name, to report images that could not be used.
        epoch: called after each epoch with its record and the number of epochs.
        moment: called within epochs, as `callbacks.EpochRecorder` says.
        stage: called with the part of the whole that comes next, such as "run 3 of 9".
        jobs: called with (time left, what is going on, done, total) while several trainings are performed at a time.
        progress: called with (done, total) images while data are read.
        steps: called with (done, total) steps of a learning rate range test.
        start: called before TensorFlow is needed.
    """

    runs_dir: Path
    data_dir: str
    cache_dir: Path | None
    given: Mapping[str, Source | Dataset] = field(default_factory=dict)
    loaded: dict[tuple[str, int], Dataset] = field(default_factory=dict)
    reopen: Callable[[Workspace], Workspace] | None = None
    executor: Executor = field(default_factory=InProcess)
    say: Callable[[str], None] = lambda line: None
    skipped: Callable[[Dataset, str], None] = lambda dataset, name: None
    epoch: Callable[[EpochRecord, int], None] = lambda record, epochs: None
    moment: Callable[[EpochRecord, int, float], None] = lambda record, epochs, share: None
    stage: Callable[[str], None] = lambda title: None
    jobs: Callable[[str, Sequence[str], int, int], None] = lambda left, running, done, total: None
    progress: Callable[[int, int], None] | None = None
    steps: Callable[[int, int], None] = lambda done, total: None
    start: Callable[[], None] = _start_tensorflow

    def __reduce__(self) -> tuple[Callable, tuple]:
        """Be pickled without what informs the user of this process; data on disk are opened again."""
        from midas.data.datasets import Dataset

        places = {
            "runs_dir": self.runs_dir.absolute(),
            "data_dir": self.data_dir if self.is_sample else str(Path(self.data_dir).absolute()),
            "cache_dir": self.cache_dir.absolute() if self.cache_dir else None,
            "given": {name: data for name, data in self.given.items() if isinstance(data, Dataset)},
            "reopen": self.reopen,
        }
        return _unpickle, (places,)

    @property
    def is_sample(self) -> bool:
        """Whether the data are the embedded sample."""
        return self.data_dir == "sample"

    @property
    def root(self) -> Path:
        """Root of these runs; those on the sample are kept apart from real ones."""
        return self.runs_dir / "sample" if self.is_sample else self.runs_dir

    def run(self, experiment: Experiment) -> Run:
        """Give the run directory of an experiment."""
        return Run(self.root / experiment.run_path)

    def say_finished(self, run: Run) -> None:
        """Say that there is nothing to do for a run."""
        self.say(f"{run.path}: already finished, nothing to do (--overwrite trains it again)")

    def open(self, name: str) -> Source | Dataset:
        """Open a data set that experiments name; one in memory is returned itself.

        Raises:
            MidasError: it is missing, or cannot be opened.
        """
        from midas.data import datasets

        if name in self.given:
            return self.given[name]
        return datasets.open_named(name.removesuffix("-digits"), self.data_dir)

    def load(self, name: str, size: int) -> Dataset:
        """Load a data set that experiments name, and report images that could not be used.

        Raises:
            MidasError: it is missing or cannot be read, or it is in memory with glyphs of another size.
        """
        from midas.data import datasets

        given = self.given.get(name)
        if given is None:
            data = datasets.load(name, self.data_dir, size, self.cache_dir, progress=self.progress)
        elif isinstance(given, datasets.Dataset):
            if given.glyphs.size != size:
                raise MidasError(
                    f"{name}: has glyphs of {given.glyphs.size} pixels, not {size}; read them with that size"
                )
            data = given
        else:
            if (name, size) not in self.loaded:
                self.loaded[name, size] = datasets.cached(given, size, self.cache_dir, progress=self.progress)
            data = self.loaded[name, size]
        self.skipped(data, name)
        return data


def _unpickle(places: dict[str, Any]) -> Workspace:
    workspace = Workspace(**places)
    return workspace.reopen(workspace) if workspace.reopen else workspace
