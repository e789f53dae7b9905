"""Statistics of finished runs: how trainings from several initializations differ, paired by seed.

Two runs of the same seed are a pair: they split off the same validation set, and see the same images in the same order
with the same augmentation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from midas.errors import MidasError, counted
from midas.experiments import PROBE_STEPS
from midas.files import write_json
from midas.metrics.classification import ClassScores
from midas.metrics.significance import ALPHA, McNemarTest, holm, mcnemar, paired_t_test
from midas.records import (
    Comparison,
    CrossValidationResult,
    CurvePoint,
    Environment,
    EpochRecord,
    InitializationDifference,
    InitializationSummary,
    LabelEfficiency,
    MeasureDifference,
    Result,
    Spread,
)
from midas.runs import Run

LEVELS = (0.90, 0.95, 0.98, 0.99, 0.995)  # validation accuracies whose steps and seconds are measured

# What must be the same in all runs for their numbers to be comparable.
COMPARABLE = {
    "midas": "the version of midas",
    "tensorflow": "the version of TensorFlow",
    "data_digest": "the data",
    "processor": "the processor, so seconds are not comparable",
}


@dataclass(frozen=True)
class Measure:
    """One property of a training.

    Attributes:
        key: its name in comparison.json.
        title: its name in words.
        unit: "%" for a proportion in 0-1, "s", "steps", or "" for a number without unit.
    """

    key: str
    title: str
    unit: str

    def write(self, value: float, signed: bool = False) -> str:
        """Write a value without its unit.

        >>> Measure("test_accuracy", "test accuracy", "%").write(0.9941)
        '99.41'
        """
        scale, decimals = {"%": (100, 2), "steps": (1, 0), "s": (1, 1)}.get(self.unit, (1, 4))
        return f"{scale * value:{'+' if signed else ''}.{decimals}f}"


def _level(level: float) -> str:
    return f"{100 * level:g}"


MEASURES = (
    Measure("zero_shot_accuracy", "zero-shot test accuracy", "%"),
    Measure("zero_shot_macro_f1", "zero-shot test macro F1", ""),
    Measure("initial_accuracy", "validation accuracy before training", "%"),
    Measure("initial_loss", "validation loss before training", ""),
    *(
        Measure(f"accuracy_{step}", f"validation accuracy after {counted(step, 'step')}", "%")
        for step in PROBE_STEPS[1:]
    ),
    Measure("accuracy_epoch", "validation accuracy after the first epoch", "%"),
    *(Measure(f"steps_{_level(level)}", f"steps to {_level(level)} % accuracy", "steps") for level in LEVELS),
    *(Measure(f"seconds_{_level(level)}", f"seconds to {_level(level)} % accuracy", "s") for level in LEVELS),
    Measure("best_accuracy", "best validation accuracy", "%"),
    Measure("final_accuracy", "final validation accuracy", "%"),
    Measure("area", "area under the learning curve", "%"),
    Measure("drops", "sum of accuracy drops between epochs", "%"),
    Measure("gap", "training minus validation accuracy", "%"),
    Measure("train_seconds", "training time", "s"),
    Measure("test_accuracy", "test accuracy", "%"),
    Measure("test_macro_f1", "test macro F1", ""),
    Measure("test_log_loss", "test log loss", ""),
    Measure("test_calibration_error", "test calibration error", "%"),
)
BY_KEY = {measure.key: measure for measure in MEASURES}


# ---- one run


def curve(epochs: Sequence[EpochRecord]) -> list[CurvePoint]:
    """Give the learning curve of a training, in order: the scores within epochs and at their ends.

    The seconds are those of training and validation, without the scoring within epochs.

    Raises:
        ValueError: an epoch has no validation scores.
    """
    points, before = [], 0.0
    for epoch in epochs:
        if epoch.val_loss is None or epoch.val_accuracy is None or epoch.steps is None:
            raise ValueError(f"epoch {epoch.epoch} has no validation scores")
        points += [
            CurvePoint(probe.step, before + probe.seconds, probe.val_loss, probe.val_accuracy) for probe in epoch.probes
        ]
        before += epoch.epoch_seconds
        points.append(CurvePoint(epoch.steps, before, epoch.val_loss, epoch.val_accuracy))
    return points


def reached(points: Sequence[CurvePoint], level: float, along: str) -> float | None:
    """Find where a learning curve first reaches an accuracy, interpolating linearly between its points.

    Args:
        points: the curve.
        level: validation accuracy in 0-1.
        along: "steps" or "seconds".

    Returns:
        Steps or seconds; None if the curve stays below.

    >>> reached([CurvePoint(0, 0.0, 2.3, 0.1), CurvePoint(10, 2.0, 0.3, 0.9)], 0.5, "steps")
    5.0
    """
    if points and points[0].val_accuracy >= level:
        return float(getattr(points[0], along))
    for before, after in pairwise(points):
        if after.val_accuracy >= level:
            share = (level - before.val_accuracy) / (after.val_accuracy - before.val_accuracy)
            return getattr(before, along) + share * (getattr(after, along) - getattr(before, along))
    return None


def measure(epochs: Sequence[EpochRecord], result: Result) -> dict[str, float | None]:
    """Compute all of `MEASURES` for one finished run; None is what it did not reach, or what was not recorded.

    Raises:
        ValueError: there are no epochs, or one has no validation scores.
    """
    if not epochs:
        raise ValueError("there are no epochs")
    points = curve(epochs)
    at = {point.steps: point for point in points}
    steps, accuracies = np.array([p.steps for p in points]), np.array([p.val_accuracy for p in points])
    trapezoids = np.diff(steps) @ (accuracies[:-1] + accuracies[1:]) / 2  # NumPy's own function was renamed in 2.0
    at_end = np.array([epoch.val_accuracy for epoch in epochs], float)
    last, final = epochs[-1].accuracy, float(at_end[-1])
    found: dict[str, float | None] = {
        **{key: getattr(result, key) for key in ("zero_shot_accuracy", "zero_shot_macro_f1")},
        "initial_accuracy": at[0].val_accuracy if 0 in at else None,
        "initial_loss": at[0].val_loss if 0 in at else None,
        **{f"accuracy_{step}": at[step].val_accuracy if step in at else None for step in PROBE_STEPS[1:]},
        "accuracy_epoch": float(at_end[0]),
        **{f"{along}_{_level(x)}": reached(points, x, along) for along in ("steps", "seconds") for x in LEVELS},
        "best_accuracy": float(at_end.max()),
        "final_accuracy": final,
        "area": float(trapezoids / (steps[-1] - steps[0])) if steps[-1] > steps[0] else None,
        "drops": float(-np.minimum(np.diff(at_end), 0).sum()),
        "gap": last - final if last is not None else None,
        "train_seconds": result.train_seconds,
        **{f"test_{key}": getattr(result, key) for key in ("accuracy", "macro_f1", "log_loss", "calibration_error")},
    }
    return {each.key: found[each.key] for each in MEASURES}


# ---- several runs


Measured = Mapping[str, float | None]


def differences(
    ours: Sequence[Measured], baseline: Sequence[Measured], keys: Collection[str] | None = None
) -> list[MeasureDifference]:
    """Compare the measures of two initializations by paired t-tests, corrected for the number of measures (Holm).

    A measure is left out unless at least two seeds have it from both initializations.

    Args:
        ours: what `measure` returns, one per seed.
        baseline: the same of the other initialization, for the same seeds in the same order.
        keys: compare these measures only, and correct for their number; None for all.
    """
    found = []
    for each in MEASURES if keys is None else map(BY_KEY.__getitem__, keys):
        both = [(a[each.key], b[each.key]) for a, b in zip(ours, baseline, strict=True)]
        pairs = np.array([pair for pair in both if None not in pair], float)
        if len(pairs) < 2:
            continue
        test = paired_t_test(pairs[:, 0].tolist(), pairs[:, 1].tolist())
        if each.unit == "%" and pairs.min() >= 0 and pairs.max() <= 1:  # two proportions differ by at most 1
            test = replace(test, interval=(max(-1.0, test.interval[0]), min(1.0, test.interval[1])))
        our_mean, baseline_mean = map(float, pairs.mean(axis=0))
        found.append(
            MeasureDifference(
                measure=each.key,
                pairs=len(pairs),
                ours=our_mean,
                baseline=baseline_mean,
                **vars(test),
                corrected_p=1.0,  # known when all measures are
                significant=False,
            )
        )
    corrected = holm([one.p_value for one in found])
    return [replace(one, corrected_p=p, significant=p < ALPHA) for one, p in zip(found, corrected, strict=True)]


def summarize(part: str, runs: Mapping[tuple[str, int | None], Sequence[Run]]) -> Comparison:
    """Compare initializations by their finished runs; the first one is the baseline.

    Args:
        part: "part2" or "part3".
        runs: by initialization and images per class (None for all), one run per seed, in the same order of seeds.

    Raises:
        MidasError: records of a run are missing, damaged or incomplete, or runs of a seed were scored on different
            images.
    """
    complete = {name: several for (name, count), several in runs.items() if count is None}
    measured = {name: [_measured(run) for run in several] for name, several in complete.items()}
    baseline, *others = complete
    tests = [_mcnemar(*of_seed) for of_seed in zip(*complete.values(), strict=True)]
    return Comparison(
        part=part,
        seeds=tuple(run.experiment.seed for run in complete[baseline]),
        initializations=tuple(
            InitializationSummary(
                name=name,
                measures={each.key: _spread([values[each.key] for values in measured[name]]) for each in MEASURES},
                zero_shot=_recall_by_class([run.result.zero_shot_per_class or () for run in several]),
                curves=tuple(tuple(curve(run.epochs())) for run in several),
            )
            for name, several in complete.items()
        ),
        differences=tuple(
            InitializationDifference(
                name=name,
                baseline=baseline,
                measures=tuple(differences(measured[name], measured[baseline])),
                mcnemar=tuple(of_seed[index] for of_seed in tests),
            )
            for index, name in enumerate(others)
        ),
        label_efficiency=tuple(
            LabelEfficiency(name, count, _spread([run.result.accuracy for run in several]))
            for (name, count), several in runs.items()
            if count is not None
        ),
        notes=tuple(_notes([run for several in runs.values() for run in several])),
    )


def _measured(run: Run) -> dict[str, float | None]:
    try:
        return measure(run.epochs(), run.result)
    except ValueError as error:
        raise MidasError(f"{run.path}: {error}; delete this run, and run midas compare again") from error


def _mcnemar(baseline: Run, *others: Run) -> list[McNemarTest]:
    """Test for each of the other runs of a seed whether it is as accurate as the baseline on the same images.

    Raises:
        MidasError: one was scored on other images.
    """
    tests, theirs = [], baseline.predictions()
    for run in others:
        ours = run.predictions()
        same = np.array_equal(ours.labels, theirs.labels)
        if not (same and any(np.array_equal(getattr(ours, key), getattr(theirs, key)) for key in ("names", "images"))):
            raise MidasError(
                f"{run.path}: was scored on other test images than {baseline.path}; delete the one that was scored on "
                "the older test set, and run midas compare again"
            )
        tests.append(mcnemar(ours.predicted == ours.labels, theirs.predicted == theirs.labels))
    return tests


def _recall_by_class(scores: Iterable[Iterable[ClassScores]]) -> dict[str, Spread]:
    recalls: dict[str, list[float | None]] = {}
    for per_class in scores:
        for one in per_class:
            recalls.setdefault(one.name, []).append(one.recall)
    return {name: _spread(values) for name, values in recalls.items()}


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    deviation = stdev(known) if len(known) > 1 else None
    return Spread(mean(known) if known else None, deviation, len(known), tuple(values))


def environment_notes(environments: Sequence[Environment]) -> list[str]:
    """Say in what runs differ that makes their numbers less comparable: versions, data, processor."""
    notes = []
    for name, title in COMPARABLE.items():
        found = sorted({str(getattr(environment, name)) for environment in environments})
        if len(found) > 1:
            notes.append(f"The runs differ in {title}: {', '.join(found)}.")
    return notes


def _notes(runs: Sequence[Run]) -> list[str]:
    notes = environment_notes([run.environment for run in runs])
    if len({run.data.test.digest for run in runs if run.data and run.data.test}) > 1:
        notes.append("The runs differ in the test set.")
    if any(run.result.sample for run in runs):
        notes.append("This is the embedded sample; its numbers are not those of the real data.")
    return notes


# ---- files


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write comparison.json and the figures to a folder.

    Returns:
        The files, comparison.json first.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plots

    curves = plots.compare_initializations(comparison.initializations, complementary=comparison.part == "part3")
    figures = {"comparison.png": curves}
    if comparison.label_efficiency:
        figures["label-efficiency.png"] = plots.label_efficiency(comparison.label_efficiency)
    for name, figure in figures.items():
        plots.save(figure, folder / name)
    write_json(folder / "comparison.json", comparison)
    return [folder / name for name in ("comparison.json", *figures)]


def write_model_comparison(results: Sequence[CrossValidationResult], path: Path) -> Path:
    """Draw cross-validated accuracy against cost as a PNG, and write the results beside it as JSON.

    Returns:
        The figure's path.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plots

    plots.save(plots.accuracy_against_cost(results), path)
    write_json(path.with_suffix(".json"), {"models": results})
    return path
