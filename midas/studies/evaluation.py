"""Networks on labeled data: scores, and the figures and tables of where they err."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError
from midas.files import plain
from midas.metrics import classification
from midas.metrics.classification import Scores
from midas.records import Skipped
from midas.report import analysis, page, tables
from midas.runs import Run, find_run

if TYPE_CHECKING:
    from midas.learning.classifier import Classifier

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a network on labeled images.

    Attributes:
        scores: of its predictions.
        skipped: images that could not be used.
    """

    scores: Scores
    skipped: tuple[Skipped, ...]


def evaluate(
    network: Classifier, data: str, restrict: bool = False, strict: bool = False, progress: Progress | None = None
) -> Evaluation:
    """Score a network on labeled images.

    Args:
        network: one network or an ensemble.
        data: a path, of which the test part is taken if it has one, or "sample".
        restrict: predict only the classes of the data.
        strict: refuse data with images that cannot be used.
        progress: called with (done, total) images.

    Raises:
        MidasError: the data cannot be read, or have classes that the network does not know.
    """
    from midas.data.datasets import open_any
    from midas.learning.classifier import score_source

    dataset, probabilities = score_source(network, open_any(data, "test"), data, restrict, strict, progress)
    return Evaluation(classification.score(probabilities, dataset.labels, network.class_names), tuple(dataset.skipped))


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
    data: str,
    out: Path | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], Path, tuple[Skipped, ...]]:
    """Analyze a network on labeled images.

    Args:
        network: one network or an ensemble.
        checkpoints: where it was loaded from.
        data: a path, of which the test part is taken if it has one, or "sample".
        out: folder of the figures; by default the run directory, if the only checkpoint is a run.
        strict: refuse data with images that cannot be used.
        progress: called with (done, total) images.

    Returns:
        What `report.analysis.analyze` returns, the folder of the figures, and the images that could not be used.

    Raises:
        MidasError: there is no `out` and not exactly one run, or as `evaluate`.
    """
    from midas.data.datasets import open_any
    from midas.learning.classifier import score_source

    run = find_run(checkpoints[0]) if len(checkpoints) == 1 else None
    out = out or (run.path if run else None)
    if out is None:
        raise MidasError("give the folder of the figures with --out: only a run has one of its own")
    dataset, probabilities = score_source(network, open_any(data, "test"), data, False, strict, progress)
    names = str(checkpoints[0]) if len(checkpoints) == 1 else [str(path) for path in checkpoints]
    epochs, about = run.epochs() if run else [], {"checkpoint": names, "data": data}
    found = analysis.analyze(dataset.predictions(probabilities), network.class_names, epochs, out, about)
    return found, out, tuple(dataset.skipped)


def summarize_seeds(runs: Sequence[Run], width: int | None = None) -> tuple[dict[str, Any], str]:
    """Summarize finished runs that differ in their seed alone, for a terminal of some width (None: any).

    Returns:
        For one run its result with its path; for several the list of these, their folder, and the scores of the
        ensemble if they scored the same test set. And the same as a table.
    """
    states, results = (
        [page.run_state(run) for run in runs],
        [{**plain(run.result), "path": str(run.path)} for run in runs],
    )
    rows = [{**state, "state": None} for state in states]
    if len(runs) == 1:
        return results[0], tables.results_table(rows, width)
    found: dict[str, Any] = {"runs": results, "path": str(runs[0].path.parent)}
    if runs[0].experiment.test:  # otherwise each has scored its own validation set
        found["together"] = analysis.score_together(runs)
        rows.append(found["together"])
    return found, tables.results_table(rows, width)


def as_json(evaluation: Evaluation, **about: Any) -> dict[str, Any]:
    """Give an evaluation as plain values: `about`, the scores, and the images that were skipped."""
    return {**about, **plain(evaluation.scores), "skipped": plain(evaluation.skipped)}
