"""Probabilities and labels to scores.

Throughout, `probabilities` is a float array (n, k), `labels` an int array (n,) of 0..k-1 in which classes may be
missing, and the prediction is the class of the highest probability, the first of equals.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from midas.errors import MidasError
from midas.files import json_key, total_memory
from midas.metrics.significance import wilson_interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MANY_CLASSES = 100  # of more classes, only those that are confused most are drawn, and cells are listed, not laid out
BLOCK = 1 << 24  # probabilities that are ranked at once
MIN_PROBABILITY = 1e-7  # lower probabilities count as this one, so that a confident error costs 16.1 nats, not infinity
LOST = 0.01  # share of the correct predictions that count as unsure
LOOK_ALIKES = ("0Oo", "1Il")  # characters that many people write alike


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class that occurs in the labels; 0/0 counts as 0.

    Attributes:
        name: the class; "class" in JSON.
        n: images of it.
        precision, recall, f1: in 0-1.
    """

    name: str = field(metadata=json_key("class"))
    n: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Scores of the predictions for a set of labeled images. Proportions lie in 0-1.

    Attributes:
        n: number of images.
        accuracy: proportion of correct predictions.
        accuracy_interval: its 95 % Wilson interval.
        top3: proportion whose label is among the three most probable classes; None for three classes or fewer.
        macro_f1: mean F1 of the classes that occur in the labels.
        case_merged_accuracy: accuracy if upper and lower case count as the same; None where no class has both.
        log_loss: in nats, of probabilities no lower than `MIN_PROBABILITY`.
        calibration_error: expected calibration error (ECE).
        per_class: scores of each class that occurs in the labels.
    """

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top3: float | None
    macro_f1: float
    case_merged_accuracy: float | None
    log_loss: float
    calibration_error: float
    per_class: tuple[ClassScores, ...]


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of similar confidence: how many they are, their mean confidence and their accuracy."""

    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ErrorKinds:
    """The error rate divided into kinds, each as a proportion of all images.

    Attributes:
        case: the right letter in the wrong case.
        look_alike: other confusions within 0/O/o and within 1/I/l.
        other: all other errors.
    """

    case: float
    look_alike: float
    other: float


@dataclass(frozen=True)
class ConfusedPair:
    """How often a class is taken for another.

    Attributes:
        label: the true class.
        predicted: the class it is taken for.
        count: images.
        share: part of the true class's images.
    """

    label: str
    predicted: str
    count: int
    share: float


def score(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Score predictions.

    Raises:
        ValueError: there are no labels.

    >>> score(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), ["a", "b"]).accuracy
    0.5
    """
    from sklearn.metrics import precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    correct = predicted == labels
    occurring = np.unique(labels)
    scores = precision_recall_fscore_support(labels, predicted, labels=occurring, zero_division=0)
    merged = merge_case(class_names)
    return Scores(
        n=len(labels),
        accuracy=float(correct.mean()),
        accuracy_interval=wilson_interval(int(correct.sum()), len(labels)),
        top3=float((_ranks(probabilities, labels) < 3).mean()) if len(class_names) > 3 else None,
        macro_f1=float(scores[2].mean()),
        case_merged_accuracy=(
            float((merged[predicted] == merged[labels]).mean()) if len(set(merged)) < len(merged) else None
        ),
        log_loss=_log_loss(probabilities, labels),
        calibration_error=calibration_error(probabilities, labels),
        per_class=tuple(
            ClassScores(class_names[index], int(n), float(p), float(r), float(f))
            for index, p, r, f, n in zip(occurring, *scores, strict=True)
        ),
    )


def check_size(images: int, classes: int, data: str, copies: int = 1) -> None:
    """Refuse data whose probabilities, `copies` of 4 bytes each, would take more than half of this machine's memory.

    Raises:
        MidasError: they would.
    """
    size, memory = 4 * images * classes * copies, total_memory()
    if size > memory / 2:
        raise MidasError(
            f"{data}: the probabilities of {images:,} images and {classes:,} classes take {size / 1e9:,.0f} GB, more "
            f"than half of the memory ({memory / 1e9:,.0f} GB); take fewer images at a time"
        )


def _ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the classes that are more probable than the label, or as probable and before it; int array (n,)."""
    n, k = probabilities.shape
    ranks = np.empty(n, np.int64)
    for start in range(0, n, max(1, BLOCK // k)):
        rows = slice(start, start + max(1, BLOCK // k))
        block, label = probabilities[rows], labels[rows, None]
        of_label = np.take_along_axis(block, label, axis=1)
        ranks[rows] = ((block > of_label) | ((block == of_label) & (np.arange(k) < label))).sum(axis=1)
    return ranks


def _log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the log loss in nats, of probabilities no lower than `MIN_PROBABILITY`."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(np.log(1 / np.clip(of_label, MIN_PROBABILITY, 1)).mean())  # 1 / keeps a loss of 0 from being -0


def validation_scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score a validation set as Keras logs it: val_loss, the log loss in nats, and val_accuracy."""
    return {
        "val_loss": _log_loss(probabilities, labels),
        "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


# ---- calibration


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Turn logits (n, k) into float64 probabilities; a logit of -inf is a class that cannot be predicted.

    >>> softmax(np.array([[0.0, 0.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    from scipy.special import softmax as scipy_softmax

    with np.errstate(invalid="ignore"):  # NaN from a training that diverged is the caller's to notice
        return scipy_softmax(logits.astype(np.float64) / temperature, axis=1)


def calibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Sharpen (temperature below 1) or soften probabilities: p_i^(1/T), normalized; float32 (n, k).

    For a single network this is temperature scaling of its logits (Guo et al. 2017); predictions never change.

    >>> calibrate(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
    [[0.9409999847412109, 0.05900000035762787]]
    """
    logits = np.log(np.clip(probabilities, np.finfo(np.float32).tiny, 1, dtype=np.float64))
    return softmax(np.where(probabilities > 0, logits, -np.inf), temperature).astype(np.float32)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature between 0.05 and 20 that minimizes the log loss on held-out images.

    >>> confident = np.array([[0.99, 0.01]] * 4)
    >>> round(fit_temperature(confident, np.array([0, 0, 0, 1])), 1)  # three of four correct: it should say 0.75
    4.2
    """
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        of_label = calibrate(probabilities, math.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(-np.log(np.clip(of_label, MIN_PROBABILITY, 1)).mean())

    return math.exp(minimize_scalar(log_loss, bounds=(math.log(0.05), math.log(20)), method="bounded").x)


def reject_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Find the probability below which a prediction is unsure, so that the share `LOST` of the correct ones is.

    Args:
        probabilities: float array (n, K), of images that the network was not trained on.
        labels: int array (n,).

    Returns:
        The threshold; None if there are fewer than 1 / `LOST` correct predictions.

    >>> confidence = np.linspace(0.5, 1, 101)
    >>> round(reject_threshold(np.stack([confidence, 1 - confidence], axis=1), np.zeros(101, int)), 3)
    0.505
    """
    confidence = probabilities.max(axis=1)[probabilities.argmax(axis=1) == labels]
    return float(np.quantile(confidence, LOST)) if len(confidence) * LOST >= 1 else None


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[ReliabilityBin]:
    """Compare confidence with accuracy in bins of equal width, closed above; empty bins are left out.

    >>> reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    [ReliabilityBin(n=4, confidence=0.75, accuracy=0.75)]
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    members = (index == one for one in np.unique(index))
    return [ReliabilityBin(int(m.sum()), float(confidence[m].mean()), float(correct[m].mean())) for m in members]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Compute the expected calibration error in 0-1: ECE = sum over bins of n_b / n |accuracy_b - confidence_b|.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3.

    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    parts = reliability(probabilities, labels, bins)
    return float(sum(part.n * abs(part.accuracy - part.confidence) for part in parts) / len(labels))


# ---- errors


def merge_case(class_names: Sequence[str]) -> np.ndarray:
    """Map each class to the first class whose name differs at most in case; int array (k,).

    >>> merge_case(["0", "C", "D", "c"])
    array([0, 1, 2, 1])
    """
    first: dict[str, int] = {}
    return np.array([first.setdefault(name.casefold(), index) for index, name in enumerate(class_names)])


def error_kinds(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> ErrorKinds:
    """Divide the error rate into kinds; repeats of the same images, (repeats, n, k), are averaged over.

    >>> error_kinds(np.eye(4), np.array([0, 2, 3, 0]), ["0", "C", "O", "o"])
    ErrorKinds(case=0.25, look_alike=0.25, other=0.25)
    """
    predicted = probabilities.argmax(axis=-1)
    case = merge_case(class_names)
    group = {name: index for index, names in enumerate(LOOK_ALIKES) for name in names}
    alike = np.array([group.get(name, -1 - index) for index, name in enumerate(class_names)])
    wrong, same_letter = predicted != labels, case[predicted] == case[labels]
    similar = alike[predicted] == alike[labels]
    return ErrorKinds(
        case=float((wrong & same_letter).mean()),
        look_alike=float((wrong & ~same_letter & similar).mean()),
        other=float((wrong & ~same_letter & ~similar).mean()),
    )


def misclassified(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Find the misclassified images, the most confident errors first; int array of indices.

    >>> misclassified(np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]), np.array([1, 1, 1]))
    array([1, 0])
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, k: int) -> "csr_array":
    """Count predicted classes, int (n,) of 0..k-1, by label.

    Returns:
        Sparse int array (k, k), labels in rows, which needs memory for what occurs only.

    >>> confusion_matrix(np.array([0, 2, 2]), np.array([0, 0, 2]), 3).toarray()
    array([[1, 0, 1],
           [0, 0, 0],
           [0, 0, 1]])
    """
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(labels), np.int64), (labels, predicted)), shape=(k, k)).tocsr()


def confused_pairs(matrix: "csr_array", class_names: Sequence[str], limit: int = 20) -> list[ConfusedPair]:
    """List the most frequent confusions of a confusion matrix, at most `limit` of them.

    >>> confused_pairs(confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), 2), ["o", "O"])
    [ConfusedPair(label='o', predicted='O', count=1, share=0.3333333333333333)]
    """
    cells, totals = matrix.tocoo(), matrix.sum(axis=1)
    wrong = np.flatnonzero((cells.row != cells.col) & (cells.data > 0))
    order = wrong[np.argsort(-cells.data[wrong], kind="stable")][:limit]
    return [
        ConfusedPair(class_names[row], class_names[column], int(count), float(count / totals[row]))
        for row, column, count in zip(cells.row[order], cells.col[order], cells.data[order], strict=True)
    ]


def most_confused(pairs: Sequence[ConfusedPair], class_names: Sequence[str], limit: int) -> list[int]:
    """Choose up to `limit` classes from the most frequent confusions; confused classes are beside each other.

    >>> most_confused([ConfusedPair("O", "0", 9, 1.0), ConfusedPair("1", "l", 5, 1.0), ConfusedPair("o", "0", 2, 1.0)],
    ...               ["0", "1", "O", "l", "o"], 12)
    [2, 0, 4, 1, 3]
    """
    groups: list[list[str]] = []
    for pair in pairs:
        known = {name: group for group in groups for name in group}
        new = [name for name in (pair.label, pair.predicted) if name not in known]
        if len(known) + len(new) > limit:
            break
        if len(new) == 2:
            groups.append(new)
        elif new:
            partner = pair.predicted if new[0] == pair.label else pair.label
            group = known[partner]
            group.insert(0 if group[0] == partner else len(group), new[0])
    number = {name: index for index, name in enumerate(class_names)}
    return [number[name] for group in groups for name in group]


def nearest_neighbor_accuracy(points: np.ndarray, labels: np.ndarray) -> float:
    """Compute the proportion of points, float (n, d), whose nearest other point has the same label.

    >>> nearest_neighbor_accuracy(np.array([[0.0], [0.1], [5.0], [5.2]]), np.array([0, 0, 1, 2]))
    0.5
    """
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]
    return float((labels[nearest] == labels).mean())
