"""The whole study: which run needs which data and which other run before it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from midas.experiments import PARTS, SMALL, Experiment, named
from midas.runs import Run

QUICK_EPOCHS = {"part1": 12, "part1-digits": 12, "mnist": 2, "part3": 2}


@dataclass(frozen=True)
class Workplace:
    """Where things are and how a user is told what happens.

    Attributes:
        runs_dir: root of the run directories.
        data_dir: folder of the data, or "sample".
        cache_dir: where preprocessed data are kept.
        say: called with a line of text now and then.
        skipped: called with each data set and its name, to tell of images that cannot be used.
        epoch: called after each epoch with its record and the number of epochs.
        progress: called with (done, total) images while data are read.
    """

    runs_dir: Path
    data_dir: str
    cache_dir: Path
    say: Callable[[str], None] = lambda line: None
    skipped: Callable = lambda dataset, name: None
    epoch: Callable[[dict, int], None] = lambda record, epochs: None
    progress: Callable[[int, int], None] | None = None

    @property
    def is_sample(self) -> bool:
        return self.data_dir == "sample"

    @property
    def root(self) -> Path:
        """Where the run directories lie; those on the sample are kept apart from real ones."""
        return self.runs_dir / "sample" if self.is_sample else self.runs_dir

    def run(self, experiment: Experiment) -> Run:
        """The directory of an experiment."""
        return Run(self.root / experiment.run_path)


def perform(
    experiment: Experiment,
    place: Workplace,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: Path | None = None,
) -> tuple[Run, bool]:
    """Do one experiment, and before it the one that it starts from.

    Returns:
        The finished run, and whether anything had to be done for it.

    Raises:
        MidasError: the directory holds something else, or an unfinished run and neither `resume` nor `overwrite`.
    """
    run = place.run(experiment)
    if not overwrite:
        run.check(experiment, resume)
        if run.finished:
            return run, False
    source = _source(experiment, place)
    teachers = [perform(teaching, place, resume=True)[0].path for teaching in experiment.taught_by]
    from midas.data import datasets
    from midas.learning.trainer import score, train  # heavy, and not needed to find that nothing is to be done
    from midas.report import previews as inspection

    data = load(experiment.data, experiment, place)
    if experiment.test:
        datasets.find(experiment.test, place.data_dir)  # known to be there before hours are spent, but not yet read
    with run.locked():
        if not overwrite:  # another process may have been at it since
            run.check(experiment, resume=True)
            if run.finished:
                return run, False
        images = min(experiment.limit or len(data), len(data))
        place.say(f"{experiment.run_path}: {images:,} images of {experiment.data}, those for validation included")
        train(experiment, run, data, source, teachers, place.epoch, tensorboard, overwrite)
        test = load(experiment.test, experiment, place) if experiment.test else None
        came_from = datasets.find(experiment.data.removesuffix("-digits"), place.data_dir)
        inspection.keep(run, experiment, data, came_from, test)
        score(experiment, run, data, test, source)
    return run, True


def load(name: str, experiment: Experiment, place: Workplace):
    """Load a data set as an experiment needs it, and warn of what in it cannot be used."""
    from midas.data import datasets

    data = datasets.load(name, place.data_dir, experiment.size, place.cache_dir, progress=place.progress)
    place.skipped(data, name)
    return data


def preprocess(experiments: list[Experiment], place: Workplace) -> None:
    """Read into the cache all that these experiments need, so that what is missing is known before anything is trained.

    Raises:
        MidasError: a data set is missing or unusable.
    """
    needed = {name: e for e in experiments for name in (e.data.removesuffix("-digits"), e.test) if name}
    for name, experiment in needed.items():
        load(name, experiment, place)


def _source(experiment: Experiment, place: Workplace) -> Path | None:
    """Find the checkpoint to start from; a network of Part 1 is trained on the spot where there is none."""
    if experiment.init == "random":
        return None
    if experiment.source not in PARTS:
        return Path(experiment.source)
    shared = {name: getattr(experiment, name) for name in ("model", "size", "seed")}
    before = dataclasses.replace(PARTS[experiment.source], **shared)
    before = named(before) if before.part == "part1" else before
    run = place.run(before)
    return run.path if run.finished else perform(before, place, resume=True)[0].path


def experiments(sample: bool, quick: bool, seed: int) -> list[Experiment]:
    """List the whole study in the order in which one run needs another; a quick one does without rounds in Part 3."""
    changes = {**(SMALL if sample else {}), **({"rounds": 0} if quick else {})}
    chosen = [PARTS["part1"], dataclasses.replace(PARTS["part1"], model=PARTS["part3"].model), PARTS["digits"]]
    for init, digits, part1 in (("random", None, None), ("pretrained", "digits", "part1")):
        chosen.append(dataclasses.replace(PARTS["part2"], init=init, source=digits))
        chosen += [
            dataclasses.replace(PARTS["part3"], init=init, source=part1, loss=loss, rounds=rounds)
            for loss, rounds in (("given", 0), ("complementary", 0), ("complementary", PARTS["part3"].rounds))
        ]
    chosen = [dataclasses.replace(e, seed=seed, **(changes if e.test else {})) for e in chosen]
    chosen = [e if e.name == "digits" else named(e) for e in chosen]
    if quick:
        chosen = [dataclasses.replace(e, epochs=QUICK_EPOCHS[e.data]) for e in chosen]
    return sorted(dict.fromkeys(chosen), key=lambda experiment: experiment.part)
