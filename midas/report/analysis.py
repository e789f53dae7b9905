"""Predictions to figures and lists that show where a network errs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from midas.errors import MidasError
from midas.files import plain, write_csv, write_json
from midas.metrics import classification
from midas.records import EpochRecord, Predictions
from midas.runs import Run

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_LISTED = 100_000  # mistakes
MAX_DRAWN = 40  # classes of a confusion matrix, where there are more than `MANY_CLASSES`


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    Attributes:
        name: where it came from.
        label: its true class.
        predicted: the class it is taken for.
        confidence: probability of that class.
    """

    name: str
    label: str
    predicted: str
    confidence: float


def list_mistakes(predictions: Predictions, class_names: Sequence[str], limit: int | None = None) -> list[Mistake]:
    """List the misclassified images, the most confident errors first; all of them, or the first `limit`."""
    probabilities, labels = predictions.probabilities, predictions.labels
    return [
        Mistake(
            name=str(predictions.names[index]),
            label=class_names[labels[index]],
            predicted=class_names[probabilities[index].argmax()],
            confidence=float(probabilities[index].max()),
        )
        for index in classification.misclassified(probabilities, labels)[:limit]
    ]


def score_together(runs: Sequence[Run]) -> dict[str, Any]:
    """Score finished runs that differ in their seed alone as an ensemble, which averages their probabilities.

    Returns:
        A record for `tables.results_table`: part, name and seeds of the runs, what they were evaluated on, and the
        fields of `classification.Scores`.

    Raises:
        MidasError: they differ in more than the seed, or their predictions cannot be read.
    """
    predictions, experiments = [run.predictions() for run in runs], [run.experiment for run in runs]
    first, result, card = predictions[0], runs[0].result, runs[0].card
    for run, other, experiment in zip(runs, predictions, experiments, strict=True):
        same_settings = dataclasses.replace(experiment, seed=experiments[0].seed) == experiments[0]
        same_images = np.array_equal(first.names, other.names) and np.array_equal(first.labels, other.labels)
        if not (same_settings and same_images and run.card.data_digest == card.data_digest):
            raise MidasError(f"{run.path}: differs from {runs[0].path} in more than the seed; score them one by one")
    probabilities = np.mean([each.probabilities for each in predictions], axis=0)
    together = {
        **{name: getattr(result, name) for name in ("part", "name", "scored", "sample", "limit")},
        "seed": "+".join(str(experiment.seed) for experiment in experiments),
        **plain(classification.score(probabilities, first.labels, card.class_names)),
        "train_seconds": sum(run.result.train_seconds for run in runs),
        "parameters": sum(run.card.parameters or 0 for run in runs),
    }
    if result.argmin_accuracy is not None:
        together["argmin_accuracy"] = float((probabilities.argmin(axis=1) == first.labels).mean())
    return together


def analyze(
    predictions: Predictions,
    class_names: Sequence[str],
    epochs: Sequence[EpochRecord],
    out: Path,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Draw confusion matrices, mistakes, calibration and learning curves, and write the numbers to analysis.json.

    Args:
        predictions: of the network for labeled images.
        class_names: the k names.
        epochs: of the training; without any, no learning curves are drawn.
        out: the folder to write to, which is made if it does not exist.
        about: what else analysis.json shall contain, such as checkpoint and data.

    Returns:
        What analysis.json contains: `about`; the scores, as `classification.Scores` names them; class_names; confusion,
        k lists of k counts with true classes in rows; confused_pairs; mistakes, the `MAX_LISTED` most confident ones;
        reliability; and files, the names of the figures. With more than `MANY_CLASSES` classes confusion is None, the
        matrix is drawn of those that are confused most, and confusion.csv lists all that occurs.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plot_images, plot_matrices, plots

    images, labels, probabilities = predictions.images, predictions.labels, predictions.probabilities
    matrix = classification.confusion_matrix(predictions.predicted, labels, len(class_names))
    bins = classification.reliability(probabilities, labels)
    scores = classification.score(probabilities, labels, class_names)
    is_whole = len(class_names) <= classification.MANY_CLASSES
    chosen = None if is_whole else _classes_to_draw(matrix, class_names)
    figures = {
        "confusion.png": plot_matrices.confusion_matrix(matrix, class_names, False, chosen),
        "confusion-normalized.png": plot_matrices.confusion_matrix(matrix, class_names, True, chosen),
        "mistakes.png": plot_images.mistakes(images, labels, probabilities, predictions.names, class_names),
        "calibration.png": plots.reliability(bins, scores.calibration_error),
    }
    if epochs:
        figures["learning-curves.png"] = plots.learning_curves(epochs)
    for name, figure in figures.items():
        plots.save(figure, out / name)
    if not is_whole:
        _write_confusion(matrix, class_names, out / "confusion.csv")
    found = {
        **about,
        **plain(scores),
        "class_names": list(class_names),
        "confusion": matrix.toarray().tolist() if is_whole else None,
        "confused_pairs": classification.confused_pairs(matrix, class_names),
        "mistakes": list_mistakes(predictions, class_names, MAX_LISTED),
        "reliability": bins,
        "files": [*figures, *([] if is_whole else ["confusion.csv"])],
    }
    write_json(out / "analysis.json", found)
    return found


def _classes_to_draw(matrix: csr_array, class_names: Sequence[str]) -> list[int]:
    """Choose the classes that are confused most, and if there are no errors the first ones."""
    pairs = classification.confused_pairs(matrix, class_names, limit=MAX_DRAWN)
    return classification.most_confused(pairs, class_names, MAX_DRAWN) or list(range(MAX_DRAWN))


def _write_confusion(matrix: csr_array, class_names: Sequence[str], path: Path) -> None:
    """Write the cells of a confusion matrix that are not empty, a row each."""
    cells = matrix.tocoo()
    counts = zip(cells.row, cells.col, cells.data, strict=True)
    rows = ((class_names[row], class_names[column], count) for row, column, count in counts)
    write_csv(path, [("label", "predicted", "count"), *rows])
