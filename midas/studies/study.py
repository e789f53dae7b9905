"""Performs experiments, and the study of the three parts: which run needs which other run first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from midas.errors import MidasError, counted
from midas.experiments import Experiment
from midas.recipes import INITIALIZATIONS, PARTS, for_sample, named
from midas.runs import TO_KEEP_BOTH, Run
from midas.studies.cross_validation import Protocol, cross_validate, refuse_other_start, stratified_folds
from midas.studies.executor import Job
from midas.studies.workspace import Workspace

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.learning.range_test import RangeTest

QUICK_EPOCHS = {"part1": 12, "part1-digits": 12, "mnist": 2, "part3": 2}  # by training set


def perform(
    experiment: Experiment,
    workspace: Workspace,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: Path | None = None,
    others: Sequence[Run] = (),
) -> Run:
    """Train and score one experiment, after those that it builds on. Nothing is done for a finished run.

    With `overwrite`, the runs in `others`, which come next, are deleted together with that of the experiment, so that
    resuming does not keep any old one.

    Raises:
        MidasError: the directory holds something else, or an unfinished run and neither `resume` nor `overwrite`.
    """
    run = workspace.run(experiment)
    if not overwrite:
        run.check(experiment, resume)
        if run.finished:
            _check_origins([experiment], workspace)
            workspace.say_finished(run)
            return run
    init_checkpoint = init_checkpoint_of(experiment, workspace)
    workspace.start()
    from midas.learning.trainer import score, train  # imports TensorFlow
    from midas.report import previews

    data, source = workspace.load(experiment.data, experiment.size), workspace.open(experiment.data)
    if experiment.test:
        workspace.open(experiment.test)  # must exist before hours are spent; not read yet
    _check_folds(experiment, data)
    with run.locked():
        if not overwrite:  # another process may have worked on it meanwhile
            run.check(experiment, resume=True)
            if run.finished:
                return run
        images = min(experiment.limit or len(data), len(data))
        included = ", validation set included" if experiment.val_fraction else ""
        workspace.say(f"{experiment.run_path}: {counted(images, 'image')} of {experiment.data}{included}")
        obsolete = (run, *others) if overwrite else ()
        training = train(
            experiment, run, data, init_checkpoint, workspace.epoch, tensorboard, obsolete, workspace.moment
        )
        test = workspace.load(experiment.test, experiment.size) if experiment.test else None
        previews.keep_samples(run, experiment, data, source, test)
        score(training, test, _cross_validate(experiment, workspace, resume, overwrite, init_checkpoint))
    return run


def _cross_validate(
    experiment: Experiment, workspace: Workspace, resume: bool, overwrite: bool, init_checkpoint: Path | None
) -> Run | None:
    """Cross-validate a training on all images, if that is to measure its accuracy."""
    if experiment.folds is None:
        return None
    protocol = Protocol(experiment.folds, tta=experiment.tta)
    return cross_validate(replace(experiment, folds=None), workspace, protocol, resume, overwrite, init_checkpoint)


def _check_folds(experiment: Experiment, data: Dataset) -> None:
    """Refuse what cannot be cross-validated, before anything is trained.

    Raises:
        MidasError: images are left out, or a class has fewer images than there are folds.
    """
    if experiment.folds is None:
        return
    if experiment.limit is not None and experiment.limit < len(data):
        raise MidasError(
            f"{experiment.data}: --folds measures the accuracy on all images, and --limit leaves some out; use one of "
            "them, or --val-fraction instead of --folds"
        )
    stratified_folds(data, experiment.data, experiment.folds, experiment.seed)


def find_learning_rate(experiment: Experiment, workspace: Workspace) -> tuple[RangeTest, Path]:
    """Find a learning rate for an experiment by a range test, and draw it beside its run directory. Trains nothing.

    Raises:
        MidasError: the data cannot be read, or do not fit the experiment.
    """
    init_checkpoint = init_checkpoint_of(experiment, workspace)
    workspace.start()
    from midas.learning import range_test  # imports TensorFlow
    from midas.report import plots

    data = workspace.load(experiment.data, experiment.size)
    found = range_test.find_learning_rate(experiment, data, init_checkpoint, workspace.steps)
    path = workspace.run(experiment).path.parent / "learning-rate.png"
    plots.save(plots.learning_rates(found.rates, found.losses, found.smoothed, found.learning_rate), path, dpi=150)
    return found, path


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
        MidasError: as `perform_all`.
    """
    seeds = [replace(experiment, seed=experiment.seed + index) for index in range(networks)]
    logs = [tensorboard / f"seed-{each.seed}" if tensorboard and networks > 1 else tensorboard for each in seeds]
    return perform_all(seeds, workspace, "network", resume, overwrite, logs)


def perform_all(
    experiments: Sequence[Experiment],
    workspace: Workspace,
    unit: str = "run",
    resume: bool = False,
    overwrite: bool = False,
    logs: Sequence[Path | None] = (),
    tell: bool = False,
) -> list[Run]:
    """Perform experiments, in the way of the workspace's executor.

    Args:
        experiments: what to perform, each after those that it builds on.
        workspace: where things are.
        unit: what to call one of them in messages.
        resume: resume unfinished runs.
        overwrite: train finished ones again.
        logs: TensorBoard folders of the experiments.
        tell: say the accuracy of each; it is always said if several are performed at a time.

    Raises:
        MidasError: one cannot be performed, which is said before the first is trained; or some failed, and the others
            were performed nevertheless.
    """
    runs = [workspace.run(each) for each in experiments]
    if overwrite:
        _refuse_busy(runs)
    else:
        _check_origins(experiments, workspace)
        for each, run in zip(experiments, runs, strict=True):
            run.check(each, resume)
    if workspace.executor.is_parallel:
        to_train = [each for each, run in zip(experiments, runs, strict=True) if overwrite or not run.finished]
        _prepare(to_train, workspace, resume, overwrite)
        resume, overwrite = True, False
    jobs, done = _jobs(experiments, workspace, resume, overwrite, logs), itertools.count(1)

    def report(job: Job) -> None:
        result, number = Run(job.path).result, next(done)
        if tell or workspace.executor.is_parallel:
            accuracy = f"accuracy {100 * result.accuracy:.2f} % on {result.scored}"
            workspace.say(f"{number} of {len(jobs)}: {job.path}: {accuracy}, {result.train_seconds:.0f} s")

    workspace.executor.perform(jobs, workspace, unit, report)
    return runs


def _jobs(
    experiments: Sequence[Experiment],
    workspace: Workspace,
    resume: bool,
    overwrite: bool,
    logs: Sequence[Path | None],
) -> list[Job]:
    """List what is to be trained, each after what it builds on; say which runs are finished."""
    runs, jobs = [workspace.run(each) for each in experiments], dict[Path, Job]()
    for number, (each, run, log) in enumerate(itertools.zip_longest(experiments, runs, logs), 1):
        if run.finished and not overwrite:
            workspace.say_finished(run)
            continue
        after: tuple[Path, ...] = ()
        before = _pretraining(each, workspace) if workspace.executor.is_parallel else None
        if before and not (first := workspace.run(before)).finished:
            jobs.setdefault(first.path, Job(first.path, before, partial(perform, before, resume=True)))
            after = (first.path,)
        others = tuple(runs[number:]) if overwrite else ()
        call = partial(perform, each, resume=resume, overwrite=overwrite, tensorboard=log, others=others)
        jobs.setdefault(run.path, Job(run.path, each, call, after))
    return list(jobs.values())


def _refuse_busy(runs: Sequence[Run]) -> None:
    """Refuse to delete runs that another process is working on.

    Raises:
        MidasError: there is one.
    """
    for run in runs:
        if run.path.exists():
            with run.locked():
                pass


def _prepare(experiments: Sequence[Experiment], workspace: Workspace, resume: bool, overwrite: bool) -> None:
    """Do what other processes cannot: delete what is to be trained again, and read all data.

    Reading fills the cache, and reports images that cannot be used.
    """
    loaded = {key: workspace.load(*key) for key in dict.fromkeys((each.data, each.size) for each in experiments)}
    for each in experiments:
        _check_folds(each, loaded[each.data, each.size])
        if each.test:
            workspace.open(each.test)
        if overwrite:
            _check_start(each, loaded[each.data, each.size], workspace)
    for each in experiments if overwrite else ():
        workspace.run(each).clear()
    for each in experiments:
        _cross_validate(each, workspace, resume, overwrite, init_checkpoint_of(each, workspace) if each.folds else None)


def _check_start(experiment: Experiment, data: Dataset, workspace: Workspace) -> None:
    """Refuse what `trainer.train` refuses before it deletes an old run, unless that needs a run to be trained first."""
    workspace.start()
    from midas.learning.trainer import initialize, prepare

    prepare(experiment, data)
    if experiment.init == "pretrained" and not _pretraining(experiment, workspace):
        initialize(experiment, data.class_names, init_checkpoint_of(experiment, workspace))


def _check_origins(experiments: Sequence[Experiment], workspace: Workspace) -> None:
    """Refuse to take other data for those that runs were trained on, or another network for that they started from.

    Raises:
        MidasError: they differ.
    """
    _check_data(experiments, workspace)
    for each in experiments:
        start: str | Path | None = each.init_checkpoint if each.init == "pretrained" else None
        if start and (pretraining := _pretraining(each, workspace)):
            trained = workspace.run(pretraining)
            start = trained.path if trained.finished else None
        refuse_other_start([workspace.run(each)], start, workspace)


def _check_data(experiments: Sequence[Experiment], workspace: Workspace) -> None:
    """Refuse to take other data for those that runs were trained or scored on; each data set is read once.

    Raises:
        MidasError: they differ.
    """
    digests: dict[tuple[str, int], str] = {}
    for each in experiments:
        run = workspace.run(each)
        if not (run / "card.json").exists() or run.card.size != each.size:
            continue
        before = {each.data: (run.card.data_digest, "trained on other data")}
        if each.test and run.finished and run.data and run.data.test:
            before[each.test] = run.data.test.digest, "scored on another test set"
        for name, (digest, what) in before.items():
            try:
                if (name, each.size) not in digests:
                    digests[name, each.size] = workspace.load(name, each.size).digest
            except MidasError:
                if run.finished:  # data that are gone are not other data
                    continue
                raise
            if digest != digests[name, each.size]:
                raise MidasError(f"{run.path}: was {what}; {TO_KEEP_BOTH}")


def run_study(workspace: Workspace, quick: bool, seed: int, resume: bool = False, overwrite: bool = False) -> list[Run]:
    """Perform the whole study. All data are read first, so that missing data are noticed before anything is trained.

    Raises:
        MidasError: as `perform`, or a data set is missing or unusable.
    """
    listed = experiments(workspace.is_sample, quick, seed)
    load_all([each for each in listed if overwrite or not workspace.run(each).finished], workspace)
    return perform_all(listed, workspace, resume=resume, overwrite=overwrite)


def load_all(experiments: Sequence[Experiment], workspace: Workspace) -> None:
    """Load all data of experiments, so that missing data are noticed before anything is trained.

    Raises:
        MidasError: a data set is missing or unusable.
    """
    needed = {
        (name.removesuffix("-digits"), each.size) for each in experiments for name in (each.data, each.test) if name
    }
    for name, size in sorted(needed):
        workspace.load(name, size)


def experiments(sample: bool, quick: bool, seed: int) -> list[Experiment]:
    """List the experiments of the study in an order in which each finds those that it builds on.

    Args:
        sample: with settings for the small data sets of the embedded sample.
        quick: with few epochs.
        seed: random seed.
    """
    chosen = (PARTS[name] for name in ("part1", "digits", "part2", "part3"))
    part1, digits, part2, part3 = (for_sample(each) if sample else each for each in chosen)
    listed = [part1, replace(part1, model=part3.model), digits]
    for for_part2, for_part3 in (("random", "random"), ("digits", "part1")):
        listed.append(replace(part2, **INITIALIZATIONS[for_part2]))
        listed += [
            replace(part3, **INITIALIZATIONS[for_part3], loss=loss)
            for loss in ("cross-entropy", "complementary", part3.loss)
        ]
    listed = [replace(each, seed=seed) for each in listed]
    listed = [each if each.name == "digits" else named(each) for each in listed]
    if quick:
        listed = [replace(each, epochs=QUICK_EPOCHS[each.data]) for each in listed]
    return sorted(dict.fromkeys(listed), key=lambda each: each.part)


def init_checkpoint_of(experiment: Experiment, workspace: Workspace) -> Path | None:
    """Find the checkpoint of a pretrained initialization; a network of Part 1 is trained if there is none yet.

    Raises:
        MidasError: there is none, or as `perform`.
    """
    if experiment.init == "random" or experiment.init_checkpoint is None:
        return None
    if experiment.part == "custom":
        workspace.start()
        from midas.learning.checkpoints import find_checkpoint

        return find_checkpoint(experiment.init_checkpoint)
    pretraining = _pretraining(experiment, workspace)
    if pretraining is None:
        return Path(experiment.init_checkpoint)
    run = workspace.run(pretraining)
    return run.path if run.finished else perform(pretraining, workspace, resume=True).path


def _pretraining(experiment: Experiment, workspace: Workspace) -> Experiment | None:
    """Describe the training that an experiment builds on; None if it builds on none of the named ones."""
    if experiment.part == "custom" or experiment.init_checkpoint not in PARTS:
        return None
    shared = {name: getattr(experiment, name) for name in ("model", "size", "seed")}
    pretraining = replace(PARTS[experiment.init_checkpoint], **shared)
    pretraining = for_sample(pretraining) if workspace.is_sample else pretraining
    return named(pretraining) if pretraining.part == "part1" else pretraining
