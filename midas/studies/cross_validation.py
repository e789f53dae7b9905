"""Cross-validation: every image is predicted by networks that were not trained on it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np

from midas.errors import MidasError, counted, some
from midas.experiments import Experiment
from midas.metrics import classification
from midas.metrics.significance import corrected_resampled_interval
from midas.records import CrossValidationResult, CrossValidationScores, MeanScore
from midas.runs import CROSS_VALIDATION, TO_KEEP_BOTH, Run
from midas.studies.executor import Job
from midas.studies.workspace import Workspace

if TYPE_CHECKING:
    from midas.data.datasets import Dataset

Folds = list[tuple[np.ndarray, np.ndarray]]  # (training, held-out) indices


@dataclass(frozen=True)
class Protocol:
    """How to cross-validate.

    Attributes:
        folds: stratified parts of the data; each is predicted by networks trained on the others.
        repeats: number of different splits into folds.
        ensemble: networks per fold, whose probabilities are averaged.
        tta: augmented copies per image that probabilities are averaged over, the image itself included.
    """

    folds: int = 5
    repeats: int = 1
    ensemble: int = 1
    tta: int = 1

    def trainings(self, seed: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield (repeat, fold, member, seed of the training), in an order that completes whole repeats first."""
        for repeat, member, fold in itertools.product(range(self.repeats), range(self.ensemble), range(self.folds)):
            yield repeat, fold, member, seed + 100 * repeat + member


def stratified_folds(dataset: Dataset, data: str, folds: int, seed: int) -> Folds:
    """Split a data set into folds, stratified; each image is held out once.

    Raises:
        MidasError: a class has fewer images than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    if counts.min() < folds:
        count = counts.min()
        labels = np.flatnonzero(counts == count)
        rare = some(repr(dataset.class_names[label]) for label in labels)
        verb, them = (f"classes {rare} each have", "them") if len(labels) > 1 else (f"class {rare} has", "it")
        more = f"add images of {them}"
        way_out = f"{more}, or remove {them}" if count < 2 else f"use fewer --folds, or {more}"
        raise MidasError(f"{data}: {verb} {counted(int(count), 'image')}, too few for {folds} folds; {way_out}")
    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(dataset.labels, dataset.labels))


def cross_validate(
    experiment: Experiment,
    workspace: Workspace,
    protocol: Protocol,
    resume: bool = False,
    overwrite: bool = False,
    init_checkpoint: Path | None = None,
) -> Run:
    """Cross-validate an experiment: split, then train on the other folds as `trainer.train` always does.

    Every training has a run directory below the one returned, so that an interrupted cross-validation resumes where it
    was, and a later call with more repeats or a larger ensemble keeps finished trainings.

    Args:
        experiment: the training.
        workspace: where data and runs are.
        protocol: how to cross-validate.
        resume: continue unfinished trainings.
        overwrite: train all of them again.
        init_checkpoint: what a pretrained initialization starts from.

    Returns:
        The directory of the summary: result.json, and predictions.npz of all images, predicted by those networks of the
        first repeat that were not trained on them.

    Raises:
        MidasError: the directory holds something else, or unfinished trainings and neither `resume` nor `overwrite`; a
            class has fewer images than there are folds.
    """
    run = _summary_run(experiment, workspace)
    jobs = _jobs(run, experiment, protocol, init_checkpoint)
    if not overwrite:
        run.check(experiment, resume=True)
        refuse_other_start([Run(job.path) for job in jobs], init_checkpoint, workspace)
        if run.finished and _protocol_of(run) == protocol:
            _refuse_other_data(run, experiment, workspace, protocol)
            workspace.say_finished(run)
            return run
    workspace.start()
    data = workspace.load(experiment.data, experiment.size)
    splits = [
        stratified_folds(data, experiment.data, protocol.folds, experiment.seed + repeat)
        for repeat in range(protocol.repeats)
    ]
    with run.locked():
        for job in jobs if not overwrite else ():
            Run(job.path).check(job.experiment, resume)
        (run / "result.json").unlink(missing_ok=True)
        if overwrite:  # all trainings now, so that a later --resume does not keep any of the old ones
            for old in run.path.glob("*-fold/*/*/*/experiment.json"):
                Run(old.parent).clear()
        run.start(experiment)
        done = itertools.count(1)

        def report(job: Job) -> None:
            result = Run(job.path).result
            workspace.say(
                f"{next(done)} of {len(jobs)}: {job.experiment.test}, seed {job.experiment.seed}: "
                f"accuracy {100 * result.accuracy:.2f} % on {counted(result.n, 'image')}, {result.train_seconds:.0f} s"
            )

        given = {experiment.data: data}  # read once for all folds, which are scored on parts of them
        reopen = None if isinstance(data.images, np.ndarray) else workspace.reopen  # in memory, they need no files
        inner = dataclasses.replace(workspace, given=given, reopen=reopen)
        workspace.executor.perform(jobs, inner, "fold", report)
        _summarize(run, experiment, protocol, data, splits)
    return run


def _refuse_other_data(run: Run, experiment: Experiment, workspace: Workspace, protocol: Protocol) -> None:
    """Refuse to take other data for those of a finished cross-validation, by those of its first training."""
    trained = _training_run(run, protocol, 0, 0, experiment.seed)
    try:
        data = workspace.load(experiment.data, experiment.size)
        (first, _), *_ = stratified_folds(data, experiment.data, protocol.folds, experiment.seed)
        is_other = trained.card.data_digest != data.take(first).digest
    except MidasError:  # data or trainings that are gone are not other ones
        return
    if is_other:
        raise MidasError(f"{run.path}: was trained on other data; {TO_KEEP_BOTH}")


def refuse_other_start(runs: Iterable[Run], checkpoint: str | os.PathLike | None, workspace: Workspace) -> None:
    """Refuse to take another network for the one that runs started from, if they have begun.

    Args:
        runs: with the same initialization.
        checkpoint: what they started from; None for random weights. A network that is gone is not another one.
        workspace: where to load it.

    Raises:
        MidasError: they differ.
    """
    begun = [run for run in runs if (run / "environment.json").exists()]
    if checkpoint is None or not begun:
        return
    workspace.start()
    from midas.learning.checkpoints import find_checkpoint
    from midas.learning.classifier import Classifier
    from midas.learning.provenance import weights_digest

    try:
        digest = weights_digest(Classifier.load(find_checkpoint(checkpoint)).networks)
    except MidasError:
        return
    for run in begun:
        if run.environment.init_digest not in (None, digest):
            raise MidasError(f"{run.path}: started from another network than {checkpoint} is now; {TO_KEEP_BOTH}")


def _protocol_of(run: Run) -> Protocol:
    result = run.cross_validation
    return Protocol(result.folds, result.repeats, result.ensemble, result.tta)


def _summary_run(experiment: Experiment, workspace: Workspace) -> Run:
    return Run(workspace.root / CROSS_VALIDATION / experiment.run_path)


def _training_run(run: Run, protocol: Protocol, repeat: int, fold: int, seed: int) -> Run:
    return Run(run / f"{protocol.folds}-fold" / f"repeat-{repeat}" / f"fold-{fold}" / f"seed-{seed}")


def _jobs(run: Run, experiment: Experiment, protocol: Protocol, init_checkpoint: Path | None) -> list[Job]:
    """List the trainings of a cross-validation."""
    jobs = []
    for repeat, fold, _, seed in protocol.trainings(experiment.seed):
        held_out = f"fold {fold + 1} of {protocol.folds}, split {experiment.seed + repeat}"
        training = dataclasses.replace(experiment, seed=seed, test=held_out)
        call = partial(_train_fold, experiment, training, protocol, repeat, fold, init_checkpoint)
        jobs.append(Job(_training_run(run, protocol, repeat, fold, seed).path, training, call))
    return jobs


def _train_fold(
    experiment: Experiment,
    training: Experiment,
    protocol: Protocol,
    repeat: int,
    fold: int,
    init_checkpoint: Path | None,
    workspace: Workspace,
) -> None:
    """Train on all folds but one, and score the training on that; resume what an attempt that died has left."""
    workspace.start()
    from midas.learning import trainer

    run = _training_run(_summary_run(experiment, workspace), protocol, repeat, fold, training.seed)
    run.check(training, resume=True)
    data = workspace.load(experiment.data, experiment.size)
    splits = stratified_folds(data, experiment.data, protocol.folds, experiment.seed + repeat)
    part, held_out = map(data.take, splits[fold])
    if not run.finished:
        with run.locked():
            trained = trainer.train(training, run, part, init_checkpoint, workspace.epoch, moment=workspace.moment)
            trainer.score(trained, held_out)
    elif run.card.data_digest != part.digest:
        raise MidasError(f"{run.path}: the data changed since it was trained; start again with --overwrite")


def _summarize(run: Run, experiment: Experiment, protocol: Protocol, data: Dataset, splits: list[Folds]) -> None:
    """Score all folds, for single networks and the ensemble, and write card.json, predictions.npz and result.json."""
    from midas.learning.classifier import Classifier

    copies = sorted({1, protocol.tta})
    shape = (len(copies), protocol.repeats, protocol.ensemble, len(data), len(data.class_names))
    probabilities, results = np.zeros(shape, np.float32), []
    for repeat, fold, member, seed in protocol.trainings(experiment.seed):
        trained = _training_run(run, protocol, repeat, fold, seed)
        results.append(trained.result)
        network, (_, held_out) = Classifier.load(trained.path), splits[repeat][fold]
        glyphs = data.glyphs.take(held_out)
        for index, tta in enumerate(copies):
            probabilities[index, repeat, member, held_out] = dataclasses.replace(network, tta=tta).probabilities(glyphs)
    scores = []
    for networks in sorted({1, protocol.ensemble}):
        for tta, of_copies in zip(copies, probabilities, strict=True):
            of_networks = of_copies.mean(axis=1, keepdims=True) if networks > 1 else of_copies
            score, calibrated = _score(of_networks, data.labels, data.class_names, splits, networks, tta)
            scores.append(score)
    # Each image once: the first repeat, predicted with all networks and copies.
    run.write_predictions(data.predictions(calibrated[0, 0]))
    run.write(network.card)
    run.write(
        CrossValidationResult(
            part=experiment.part,
            name=experiment.name,
            seed=experiment.seed,
            scored="held-out folds",
            n=len(data),
            **dataclasses.asdict(protocol),
            scores=tuple(scores),
            errors=classification.error_kinds(calibrated[:, 0], data.labels, data.class_names),
            epochs=mean(result.epochs for result in results),
            train_seconds=round(mean(result.train_seconds + (result.teacher_seconds or 0) for result in results), 1),
            model=network.card.model,
            parameters=network.card.parameters or 0,
            macs=network.card.macs or 0,
            sample=network.card.sample,
        )
    )


def _score(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    splits: list[Folds],
    networks: int,
    tta: int,
) -> tuple[CrossValidationScores, np.ndarray]:
    """Score probabilities (repeats, networks, n, k): mean, spread and interval of each score, and calibrate them.

    The temperature of a fold is fitted on the other folds. Accuracies and log loss spread over folds and repeats,
    averaged over networks. The calibration error grows as images get fewer, so it is computed for all images of a
    repeat, and spreads over repeats.
    """
    calibrated = np.empty_like(probabilities)
    values: dict[str, list[float]] = {"accuracy": [], "case_merged_accuracy": [], "log_loss": []}
    errors = []
    for repeat, folds in enumerate(splits):
        for network, of_network in enumerate(probabilities[repeat]):
            for others, held_out in folds:
                temperature = classification.fit_temperature(of_network[others], labels[others])
                calibrated[repeat, network, held_out] = classification.calibrate(of_network[held_out], temperature)
        errors.append(mean(classification.calibration_error(each, labels) for each in calibrated[repeat]))
        for _, held_out in folds:
            parts = [classification.score(each[held_out], labels[held_out], class_names) for each in calibrated[repeat]]
            for name, found in values.items():
                if getattr(parts[0], name) is not None:
                    found.append(mean(getattr(part, name) for part in parts))
    n_test = len(splits[0][0][1])
    highest = {"log_loss": math.inf}
    spread = {
        name: _mean_score(found, n_test, len(labels) - n_test, highest.get(name, 1.0))
        for name, found in values.items()
        if found
    }
    # Repeats predict the same images, so an interval of their calibration errors would be meaningless.
    calibration_error = dataclasses.replace(_mean_score(errors, n_test, len(labels) - n_test), interval=None)
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    temperature = classification.fit_temperature(flat, np.tile(labels, len(flat) // len(labels)))
    score = CrossValidationScores(networks, tta, round(temperature, 4), calibration_error=calibration_error, **spread)
    return score, calibrated


def _mean_score(values: list[float], n_test: int, n_train: int, highest: float = 1.0) -> MeanScore:
    if len(values) < 2:
        return MeanScore(values[0], None, None)
    return MeanScore(mean(values), stdev(values), corrected_resampled_interval(values, n_test, n_train, highest))
