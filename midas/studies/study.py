"""The study of the three parts: which run needs which data, and which other run first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midas.errors import MidasError
from midas.experiments import Experiment
from midas.recipes import INITIALIZATIONS, PARTS, SMALL_DATA, for_sample, named
from midas.records import EpochRecord
from midas.runs import Run

if TYPE_CHECKING:
    from midas.data.datasets import Dataset

QUICK_EPOCHS = {"part1": 12, "part1-digits": 12, "mnist": 2, "part3": 2}  # by training set


def _start_tensorflow() -> None:
    from midas.learning.backend import start_tensorflow

    start_tensorflow()


@dataclass(frozen=True)
class Workspace:
    """Where data and runs are, and how the user is informed.

    Attributes:
        runs_dir: root of the run directories.
        data_dir: folder of the data sets, or "sample".
        cache_dir: where preprocessed data are cached.
        say: called with a line of text.
        skipped: called with each data set that is loaded and its name, to report images that could not be used.
        epoch: called after each epoch with its record and the number of epochs.
        stage: called with the part of the whole that comes next, such as "run 3 of 9".
        progress: called with (done, total) images while data are read.
        start: called before TensorFlow is needed.
    """

    runs_dir: Path
    data_dir: str
    cache_dir: Path
    say: Callable[[str], None] = lambda line: None
    skipped: Callable[[Dataset, str], None] = lambda dataset, name: None
    epoch: Callable[[EpochRecord, int], None] = lambda record, epochs: None
    stage: Callable[[str], None] = lambda title: None
    progress: Callable[[int, int], None] | None = None
    start: Callable[[], None] = _start_tensorflow

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

    def load(self, name: str, size: int) -> Dataset:
        """Load a data set that experiments name, and report images that could not be used."""
        from midas.data import datasets

        data = datasets.load(name, self.data_dir, size, self.cache_dir, progress=self.progress)
        self.skipped(data, name)
        return data


def perform(
    experiment: Experiment,
    workspace: Workspace,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: Path | None = None,
    others: Sequence[Run] = (),
) -> Run:
    """Train and score one experiment, after those that it builds on. Nothing is done for a finished run.

    With `overwrite`, the runs in `others`, which come next, are deleted together with that of the experiment.

    Raises:
        MidasError: the directory holds something else, or an unfinished run and neither `resume` nor `overwrite`.
    """
    run = workspace.run(experiment)
    if not overwrite:
        run.check(experiment, resume)
        if run.finished:
            _check_data(run, experiment, workspace)
            workspace.say(f"{run.path}: already finished, nothing to do (--overwrite trains it again)")
            return run
    init_checkpoint = _init_checkpoint(experiment, workspace)
    workspace.start()
    from midas.data import datasets
    from midas.learning.trainer import score, train  # imports TensorFlow
    from midas.report import previews

    data = workspace.load(experiment.data, experiment.size)
    if experiment.test:
        datasets.open_named(experiment.test, workspace.data_dir)  # must exist before hours are spent; not read yet
    with run.locked():
        if not overwrite:  # another process may have worked on it meanwhile
            run.check(experiment, resume=True)
            if run.finished:
                return run
        images = min(experiment.limit or len(data), len(data))
        workspace.say(f"{experiment.run_path}: {images:,} images of {experiment.data}, validation set included")
        training = train(experiment, run, data, init_checkpoint, workspace.epoch, tensorboard, overwrite, others)
        test = workspace.load(experiment.test, experiment.size) if experiment.test else None
        source = datasets.open_named(experiment.data.removesuffix("-digits"), workspace.data_dir)
        previews.keep_samples(run, experiment, data, source, test)
        score(training, test)
    return run


def _check_data(run: Run, experiment: Experiment, workspace: Workspace) -> None:
    """Check that a finished run was trained on the data that are there now, if there still are any.

    Raises:
        MidasError: they are others, or cannot be read.
    """
    from midas.data import datasets

    if workspace.is_sample:
        return
    try:
        datasets.find_path(experiment.data.removesuffix("-digits"), workspace.data_dir)
    except MidasError:  # the data are gone; what was trained on them is not
        return
    data = datasets.load(
        experiment.data, workspace.data_dir, experiment.size, workspace.cache_dir, progress=workspace.progress
    )
    if data.digest != run.card.data_digest:
        raise MidasError(
            f"{run.path}: was trained on other data than {experiment.data} in {workspace.data_dir}, or by a version "
            "that reads them otherwise; give another --name or --runs-dir, or --overwrite"
        )


def perform_seeds(
    experiment: Experiment,
    networks: int,
    workspace: Workspace,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: Path | None = None,
) -> list[Run]:
    """Perform an experiment with several seeds, counted up from its own.

    Raises:
        MidasError: as `perform`; for any of the seeds, before the first is trained.
    """
    seeds = [replace(experiment, seed=experiment.seed + index) for index in range(networks)]
    for each in seeds if not overwrite else ():
        workspace.run(each).check(each, resume)
    logs = [tensorboard / f"seed-{each.seed}" if tensorboard and networks > 1 else tensorboard for each in seeds]
    runs = []
    for number, (each, log) in enumerate(zip(seeds, logs, strict=True), 1):
        workspace.stage(f"network {number} of {networks}" if networks > 1 else "")
        later = _later(seeds[number:], workspace) if overwrite else ()
        runs.append(perform(each, workspace, resume, overwrite, log, later))
    return runs


def _later(experiments: Sequence[Experiment], workspace: Workspace) -> list[Run]:
    """List the runs of experiments that come next.

    Raises:
        MidasError: another process is working on one of them.
    """
    runs = [workspace.run(each) for each in experiments]
    for run in runs:
        if run.path.exists():
            with run.locked():
                pass
    return runs


def run_study(workspace: Workspace, quick: bool, seed: int, resume: bool = False, overwrite: bool = False) -> list[Run]:
    """Perform the whole study. All data are read first, so that missing data are noticed before anything is trained.

    Raises:
        MidasError: as `perform`, or a data set is missing or unusable.
    """
    listed = experiments(workspace.is_sample, quick, seed)
    unfinished = [each for each in listed if overwrite or not workspace.run(each).finished]
    needed = {name: each.size for each in unfinished for name in (each.data.removesuffix("-digits"), each.test) if name}
    for name, size in needed.items():
        workspace.load(name, size)
    runs = []
    for number, each in enumerate(listed, 1):
        workspace.stage(f"run {number} of {len(listed)}")
        later = _later(listed[number:], workspace) if overwrite else ()
        runs.append(perform(each, workspace, resume, overwrite, others=later))
    return runs


def experiments(sample: bool, quick: bool, seed: int) -> list[Experiment]:
    """List the experiments of the study in an order in which each finds those that it builds on.

    Args:
        sample: with settings for the small data sets of the embedded sample.
        quick: with few epochs.
        seed: random seed.
    """
    part1, digits, part2, part3 = (PARTS[name] for name in ("part1", "digits", "part2", "part3"))
    chosen = [part1, replace(part1, model=part3.model), digits]
    for for_part2, for_part3 in (("random", "random"), ("digits", "part1")):
        chosen.append(replace(part2, **INITIALIZATIONS[for_part2]))
        chosen += [
            replace(part3, **INITIALIZATIONS[for_part3], loss=loss)
            for loss in ("cross-entropy", "complementary", part3.loss)
        ]
    changes = SMALL_DATA if sample else {}
    chosen = [replace(each, seed=seed, **(changes if each.test else {})) for each in chosen]
    chosen = [for_sample(each) if sample and not each.test else each for each in chosen]
    chosen = [each if each.name == "digits" else named(each) for each in chosen]
    if quick:
        chosen = [replace(each, epochs=QUICK_EPOCHS[each.data]) for each in chosen]
    return sorted(dict.fromkeys(chosen), key=lambda each: each.part)


def _init_checkpoint(experiment: Experiment, workspace: Workspace) -> Path | None:
    """Find the checkpoint of a pretrained initialization; a network of Part 1 is trained if there is none yet."""
    if experiment.init == "random" or experiment.init_checkpoint is None:
        return None
    if experiment.init_checkpoint not in PARTS:
        return Path(experiment.init_checkpoint)
    shared = {name: getattr(experiment, name) for name in ("model", "size", "seed")}
    pretraining = replace(PARTS[experiment.init_checkpoint], **shared)
    pretraining = for_sample(pretraining) if workspace.is_sample else pretraining
    return _finished(named(pretraining) if pretraining.part == "part1" else pretraining, workspace)


def _finished(experiment: Experiment, workspace: Workspace) -> Path:
    """Perform an experiment that another one builds on, if it is not finished."""
    run = workspace.run(experiment)
    return run.path if run.finished else perform(experiment, workspace, resume=True).path
