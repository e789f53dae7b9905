"""Networks on labeled data: scores, and the figures and tables of where they err."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from midas.data import datasets
from midas.data.glyphs import Glyphs
from midas.data.reading import Progress
from midas.errors import MidasError, counted
from midas.files import one_or_several, plain
from midas.metrics import classification
from midas.metrics.classification import Scores
from midas.records import Skipped
from midas.report import analysis, tables
from midas.report.titles import scored_title
from midas.runs import Run, find_run

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.data.entries import Source
    from midas.learning.classifier import Classifier

MAX_CONFUSED = 3  # pairs of classes that a training reports

# Images whose accuracy is not above this are tried with rows and columns swapped, as many as this; and how much better
# they must be read then. A transposed set of digits is 13 % right, upright 99 %; no upright set gains from it.
SUSPICIOUS, PROBED, MUCH_BETTER = 0.6, 500, 0.2


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a network on labeled images.

    Attributes:
        scores: of its predictions.
        skipped: images that could not be used.
        notes: what should be known about the scores.
    """

    scores: Scores
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...] = ()


def evaluate(
    network: Classifier,
    source: Source,
    data: str,
    classes: Sequence[str] | None = None,
    restrict: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a network on labeled images.

    Args:
        network: one network or an ensemble.
        source: the images.
        data: what to call them in messages.
        classes: predict only these; None allows all.
        restrict: predict only the classes of the data.
        strict: refuse data with images that cannot be used.
        progress: called with (done, total) images.

    Raises:
        MidasError: the data cannot be read, or have classes that the network does not know or may not predict; or their
            probabilities are too many for this machine.
    """
    dataset, probabilities, allowed = _predict(network, source, data, classes, restrict, strict, progress)
    scores = classification.score(probabilities, dataset.labels, network.class_names)
    notes = _transposition(network, dataset, probabilities, allowed, data)
    if classes is None and not restrict:
        notes += _fewer_classes(network, dataset, data)
    return Evaluation(scores, dataset.skipped, notes)


def _predict(
    network: Classifier,
    source: Source,
    data: str,
    classes: Sequence[str] | None,
    restrict: bool,
    strict: bool,
    progress: Progress | None,
) -> tuple[Dataset, np.ndarray, np.ndarray | None]:
    """Read and predict labeled images.

    Returns:
        The data, with labels that count the network's classes; probabilities; and the classes that may be predicted,
        None for all.
    """
    classification.check_size(source.count, len(network.class_names), data)
    dataset = datasets.read(source, network.size, strict, progress)
    outputs = network.outputs_of(dataset.class_names, data)
    if classes is not None and (missing := [name for name in dataset.class_names if name not in classes]):
        raise MidasError(f"{data}: has the class {missing[0]!r}, which may not be predicted; add it to the classes")
    allowed = outputs if restrict else network.answers(classes).allowed
    probabilities = network.probabilities(dataset.glyphs, allowed)
    dataset = dataclasses.replace(dataset, labels=outputs[dataset.labels], class_names=network.class_names)
    return dataset, probabilities, allowed


def _fewer_classes(network: Classifier, dataset: Dataset, data: str) -> tuple[str, ...]:
    """Note that the network can predict more classes than the data have."""
    count, known = len(np.unique(dataset.labels)), len(network.class_names)
    if count == known:
        return ()
    return (f"{data}: has {count} of the network's {known} classes; --restrict, or --classes, predicts only these",)


def _transposition(
    network: Classifier, dataset: Dataset, probabilities: np.ndarray, allowed: np.ndarray | None, data: str
) -> tuple[str, ...]:
    """Note that images are probably transposed: the network reads far more of them right with axes swapped."""
    if (probabilities.argmax(axis=1) == dataset.labels).mean() > SUSPICIOUS:
        return ()
    chosen = np.random.default_rng(0).permutation(len(dataset))[:PROBED]
    glyphs, labels = dataset.glyphs.take(chosen), dataset.labels[chosen]
    swapped = Glyphs.without_places(np.ascontiguousarray(np.asarray(glyphs.images).transpose(0, 2, 1)))
    upright, turned = (
        float((outputs.argmax(axis=1) == labels).mean())
        for outputs in (probabilities[chosen], network.probabilities(swapped, allowed))
    )
    if turned - upright < MUCH_BETTER:
        return ()
    return (
        f"{data}: the images are probably transposed, as EMNIST's are: with rows and columns swapped, "
        f"{100 * turned:.0f} instead of {100 * upright:.0f} % of {counted(len(chosen), 'image')} are read right; "
        "--transpose swaps them",
    )


def analyze_run(run: Run, out: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Analyze what a finished run, or a cross-validation, scored itself.

    Returns:
        What `report.analysis.analyze` returns, and the folder of the figures, by default the run directory.
    """
    out, predictions = out or run.path, run.predictions()
    about = {"checkpoint": str(run.path), "data": _scored(run)}
    return analysis.analyze(predictions, run.card.class_names, run.epochs(), out, about), out


def _scored(run: Run) -> str | None:
    try:
        return run.result.scored
    except MidasError:
        return run.cross_validation.scored


def analyze_network(
    network: Classifier,
    checkpoints: Sequence[Path],
    source: Source,
    data: str,
    out: Path | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], Path, Dataset]:
    """Analyze a network on labeled images.

    Args:
        network: one network or an ensemble.
        checkpoints: where it was loaded from.
        source: the images.
        data: what to call them in messages.
        out: folder of the figures; by default the run directory, if the only checkpoint is a run.
        classes: predict only these; None allows all.
        strict: refuse data with images that cannot be used.
        progress: called with (done, total) images.

    Returns:
        What `report.analysis.analyze` returns, with notes; the folder of the figures, and the images as they were read.

    Raises:
        MidasError: there is no `out` and not exactly one run, or as `evaluate`.
    """
    run = find_run(checkpoints[0]) if len(checkpoints) == 1 else None
    out = out or (run.path if run else None)
    if out is None:
        raise MidasError("give a folder for the figures with --out: only a run has one of its own")
    dataset, probabilities, allowed = _predict(network, source, data, classes, False, strict, progress)
    epochs, notes = run.epochs() if run else [], _transposition(network, dataset, probabilities, allowed, data)
    about = {"checkpoint": one_or_several(checkpoints), "data": data, "notes": notes}
    found = analysis.analyze(dataset.predictions(probabilities), network.class_names, epochs, out, about)
    return found, out, dataset


def summarize_seeds(runs: Sequence[Run], width: int | None = None) -> tuple[dict[str, Any], str]:
    """Summarize finished runs that differ in their seed alone, for a terminal of some width (None: any).

    Returns:
        For one run its result with its path, the class names and the images that were skipped; for several the list of
        results, their folder, the same, and the scores of the ensemble if they scored the same images, or else their
        mean accuracy. And the same as a table.
    """
    rows = [{**tables.run_state(run), "state": None} for run in runs]
    results = [{**plain(run.result), "path": str(run.path)} for run in runs]
    data, class_names = runs[0].data, list(runs[0].card.class_names)
    about = {"class_names": class_names, "skipped_files": plain(data.data.skipped) if data else []}
    if len(runs) == 1:
        return {**results[0], **about}, tables.results_table(rows, width)
    found: dict[str, Any] = {"runs": results, "path": str(runs[0].path.parent), **about}
    experiment = runs[0].experiment
    if (experiment.val_fraction or experiment.limit) and not experiment.test:  # each has scored images of its own
        found |= {"accuracy": mean(run.result.accuracy for run in runs), "n": runs[0].result.n}
    else:
        found["together"] = analysis.score_together(runs)
        found |= {name: found["together"][name] for name in ("accuracy", "n")}
        rows.append(found["together"])
    return found, tables.results_table(rows, width)


def outcome(run: Run) -> list[str]:
    """Say in sentences how accurate a finished training is, and what it confuses.

    Raises:
        MidasError: its records cannot be read.
    """
    result, predictions, class_names = run.result, run.predictions(), run.card.class_names
    low, high = (100 * bound for bound in result.accuracy_interval)
    if run.experiment.folds:
        images = f"all {counted(result.n, 'image')}, in {result.scored}; the network itself is trained on all of them"
    elif result.scored == "validation":
        images = f"{counted(result.n, 'validation image')}, which also chose the epoch"
    elif result.scored == "training":
        images = f"the {counted(result.n, 'training image')} themselves, which says nothing about others"
    else:
        images = f"{counted(result.n, 'image')} of {scored_title(result.scored)}"
    lines = [f"Accuracy {100 * result.accuracy:.1f} % (95 % interval {low:.1f}-{high:.1f} %) on {images}."]
    matrix = classification.confusion_matrix(predictions.predicted, predictions.labels, len(class_names))
    if pairs := classification.confused_pairs(matrix, class_names, MAX_CONFUSED):
        words = ", ".join(f"{pair.label} taken for {pair.predicted} ({pair.count})" for pair in pairs)
        lines.append(f"Most confused: {words}.")
    return lines


def as_json(evaluation: Evaluation, **about: Any) -> dict[str, Any]:
    """Give an evaluation as plain values: `about`, the scores, the images that were skipped, and notes."""
    return {**about, **plain(evaluation.scores), "skipped": plain(evaluation.skipped), "notes": evaluation.notes}
