"""A finished run's predictions to figures and tables of where it goes wrong."""

import dataclasses
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from midas.errors import MidasError, cannot
from midas.metrics import classification as metrics
from midas.runs import Run, atomic, write_json

ARRAYS = ("probabilities", "labels", "names", "images")
MAP = ("mapped", "features")  # of some images, what the last layer sees; to be done without


def load_predictions(run: Run) -> dict[str, np.ndarray]:
    """Read what a finished run scored.

    Returns:
        probabilities float32 (n, k), labels int64 (n,), names str (n,), images uint8 (n, side, side); where the run
        kept them, features float16 (m, d), what the last layer sees, and mapped int64 (m,), of which images.

    Raises:
        MidasError: predictions.npz is missing or broken, does not fit the class names of the run's card, or holds NaN.
    """
    path = run / "predictions.npz"
    remedy = "train the run again with --overwrite" if run.finished else "finish the run with --resume"
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            predictions = {name: archive[name] for name in ARRAYS}
            predictions |= {name: archive[name] for name in MAP if name in archive.files}
    except PermissionError as error:
        raise cannot("be read", path, error) from error
    except OSError as error:
        raise MidasError(f"{path}: cannot be read: {error.strerror or error}; {remedy}") from error
    except (LookupError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise MidasError(f"{path}: broken, not the arrays {', '.join(ARRAYS)}; {remedy}") from error
    probabilities, labels = predictions["probabilities"], predictions["labels"]
    n, k = labels.size, len(run.card["class_names"])
    one_each = labels.shape == predictions["names"].shape == predictions["images"].shape[:1] == (n,)
    if not (n and one_each and probabilities.shape == (n, k) and np.isin(labels, np.arange(k)).all()):
        raise MidasError(f"{path}: its arrays do not fit each other or the {k} classes of card.json; {remedy}")
    mapped, features = predictions.get("mapped", np.empty(0, int)), predictions.get("features", np.empty((0, 0)))
    placed = mapped.dtype.kind == "i" and mapped.ndim == 1 and np.isin(mapped, np.arange(n)).all()
    numbers = features.dtype.kind == "f" and features.ndim == 2 and np.isfinite(features).all()
    if not (placed and numbers and len(mapped) == len(features)):
        raise MidasError(f"{path}: its features do not fit its images; {remedy}")
    if not np.isfinite(probabilities).all():
        raise MidasError(f"{path}: holds probabilities that are no numbers: the training diverged; {remedy}")
    return predictions


def score_together(runs: Sequence[Run]) -> dict:
    """Score finished runs that differ in their seed alone as one network, which averages their probabilities.

    Returns:
        What a row of `report.table` takes: the runs' part, name and seeds, what they scored, and the keys of
        `metrics.summarise`.

    Raises:
        MidasError: they differ in more, or their predictions cannot be read.
    """
    predictions, experiments = [load_predictions(run) for run in runs], [run.experiment for run in runs]
    first, result = predictions[0], runs[0].result
    for run, other, experiment in zip(runs, predictions, experiments, strict=True):
        alike = dataclasses.replace(experiment, seed=experiments[0].seed) == experiments[0]
        images = all(np.array_equal(first[key], other[key]) for key in ("names", "labels"))
        if not (alike and images and run.card.get("data_digest") == runs[0].card.get("data_digest")):
            raise MidasError(f"{run.path}: differs from {runs[0].path} in more than the seed; score them one by one")
    probabilities = np.mean([each["probabilities"] for each in predictions], axis=0)
    together = {
        **{key: result.get(key) for key in ("part", "name", "scored", "sample", "limit")},
        "seed": "+".join(str(experiment.seed) for experiment in experiments),
        **metrics.summarise(probabilities, first["labels"], runs[0].card["class_names"]),
        "train_seconds": sum(run.result.get("train_seconds") or 0 for run in runs),
        "parameters": sum(run.card.get("parameters") or 0 for run in runs),
    }
    if "argmin_accuracy" in result:
        together["argmin_accuracy"] = float((probabilities.argmin(axis=1) == first["labels"]).mean())
    return together


def analyze(
    predictions: Mapping[str, np.ndarray],
    class_names: list[str],
    records: list[dict],
    out: Path,
    about: Mapping = MappingProxyType({}),
) -> dict:
    """Draw confusion matrices, mistakes, calibration and learning curves, and write the numbers to analysis.json.

    Args:
        predictions: the arrays `load_predictions` returns.
        class_names: the k names.
        records: the epochs of the training, or none to do without learning curves.
        out: the folder to write to; it need not exist.
        about: what else analysis.json is to say, such as checkpoint and data.

    Returns:
        What analysis.json holds: the keys of `metrics.summarise`, class_names, confusion (k lists of k counts, truth in
        rows), confused_pairs, every one of the mistakes, the most confident first, reliability, and the files drawn.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plots

    images, labels, probabilities, names = (predictions[key] for key in ("images", "labels", "probabilities", "names"))
    matrix = metrics.confusion(probabilities, labels, len(class_names))
    bins = metrics.reliability(probabilities, labels)
    figures = {
        "confusion.png": plots.confusion_matrix(matrix, class_names, normalised=False),
        "confusion-normalised.png": plots.confusion_matrix(matrix, class_names, normalised=True),
        "mistakes.png": plots.mistakes(images, labels, probabilities, names, class_names),
        "calibration.png": plots.reliability(bins, metrics.calibration_error(probabilities, labels)),
    }
    if records:
        figures["learning-curves.png"] = plots.learning_curves(records)
    for name, figure in figures.items():
        with atomic(out / name) as temporary:
            figure.savefig(temporary, dpi=120)
    summary = {
        **about,
        **metrics.summarise(probabilities, labels, class_names),
        "class_names": list(class_names),
        "confusion": matrix.tolist(),
        "confused_pairs": metrics.confused_pairs(matrix, class_names),
        "mistakes": list_mistakes(predictions, class_names),
        "reliability": bins,
        "files": list(figures),
    }
    write_json(out / "analysis.json", summary)
    return summary


def list_mistakes(predictions: Mapping[str, np.ndarray], class_names: list[str], most: int | None = None) -> list[dict]:
    """Name the images answered wrongly, the most confident first, at most `most` of them."""
    probabilities, labels = predictions["probabilities"], predictions["labels"]
    return [
        {
            "name": str(predictions["names"][index]),
            "true": class_names[labels[index]],
            "answer": class_names[probabilities[index].argmax()],
            "confidence": float(probabilities[index].max()),
        }
        for index in metrics.mistakes(probabilities, labels)[:most]
    ]


def classification_report(summary: dict) -> str:
    """Lay out what `metrics.summarise` returns as plain text, a line for each class and the averages below."""
    rows = summary["per_class"]
    width = max(len("macro average"), *(len(row["class"]) for row in rows))
    lines = [f"{'class':<{width}}  precision  recall     f1       n"]
    lines += [
        f"{row['class']:<{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:.4f}  {row['n']:6d}"
        for row in rows
    ]
    precision, recall, f1 = (float(np.mean([row[key] for row in rows])) for key in ("precision", "recall", "f1"))
    lines.append(f"{'macro average':<{width}}  {precision:9.4f}  {recall:6.4f}  {f1:.4f}  {summary['n']:6d}")
    low, high = (100 * bound for bound in summary["accuracy_interval"])
    lines += ["", f"accuracy {100 * summary['accuracy']:.2f} %, 95 % interval {low:.2f}-{high:.2f} %"]
    if summary["case_merged_accuracy"] is not None:
        lines.append(f"accuracy if case is ignored {100 * summary['case_merged_accuracy']:.2f} %")
    if summary["top3"] is not None:
        lines.append(f"right answer among the first three {100 * summary['top3']:.2f} %")
    lines.append(f"log loss {summary['log_loss']:.4f}, calibration error {100 * summary['calibration_error']:.2f} %")
    return "\n".join(lines)
