"""Probabilities and labels to numbers.

Throughout, `probabilities` is a float array (n, k), `labels` an int array (n,) of 0..k-1 in which any class may be
missing, and the answer is the class of the highest probability, the first of equals.
"""

import math
from statistics import NormalDist

import numpy as np

MIN_PROBABILITY = 1e-7  # a probability below it counts as this much, so that one sure mistake costs 16.1, not infinity


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Bound a share of `correct` in `n` by the 95 % score interval (Wilson 1927), sound near 0 and 1 and for small n.

    Raises:
        ValueError: `n` is 0, or `correct` lies outside 0..n.

    >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} is no share")
    z, share = NormalDist().inv_cdf(0.975), correct / n
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    scale = 1 + z**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Measure how far confidence and accuracy lie apart, 0-1: ECE = sum over bins of n_b / n |acc_b - conf_b|.

    Source: Guo et al. 2017, "On calibration of modern neural networks", equation 3; bins of equal width, closed above.

    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    parts = reliability(probabilities, labels, bins)
    return float(sum(part["n"] * abs(part["accuracy"] - part["confidence"]) for part in parts) / len(labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[dict]:
    """Hold confidence against accuracy, bin by bin of `calibration_error`.

    Returns:
        For each bin with images in it: n, and the means confidence and accuracy.

    >>> reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    [{'n': 4, 'confidence': 0.75, 'accuracy': 0.75}]
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        {
            "n": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
        }
        for inside in (index == one for one in np.unique(index))
    ]


def calibrate(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Sharpen (temperature below 1) or soften probabilities: p_i^(1/T), scaled to sum to 1; float32 (n, k).

    Of a single network this is temperature scaling of its logits (Guo et al. 2017); answers never change.

    >>> calibrate(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
    [[0.9409999847412109, 0.05900000035762787]]
    """
    logits = np.log(np.clip(probabilities, np.finfo(np.float32).tiny, 1, dtype=np.float64)) / temperature
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True)) * (probabilities > 0)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature between 0.05 and 20 at which the log loss of held-out answers is lowest.

    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 1)  # three of four right: 0.75 is what it should say
    4.2
    """
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature):
        of_label = calibrate(probabilities, math.exp(log_temperature))[np.arange(len(labels)), labels]
        return -np.log(np.clip(of_label, MIN_PROBABILITY, 1)).mean()

    return math.exp(minimize_scalar(log_loss, bounds=(math.log(0.05), math.log(20)), method="bounded").x)


def mean_interval(values: list[float], tested: int, trained: int) -> tuple[float, float]:
    """Bound the mean of a score over folds and repeats of a cross-validation by its 95 % interval.

    The folds share most of their training images, so the variance of the mean is (1/J + tested/trained)·s², not s²/J:
    the corrected resampled t-test of Nadeau and Bengio (2003, "Inference for the generalization error", section 5).

    Args:
        values: J scores, one a fold and repeat.
        tested, trained: how many images each was computed on, and trained on.

    Raises:
        ValueError: there are fewer than two scores.

    >>> [round(bound, 3) for bound in mean_interval([0.88, 0.90, 0.89, 0.91, 0.87], tested=1, trained=4)]
    [0.861, 0.919]
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError("one score has no spread")
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) * math.sqrt(1 / len(values) + tested / trained)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def validate(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """Score answers to held-out images by their labels: val_loss, the log loss in nats, and val_accuracy."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "val_loss": float(-np.log(np.maximum(of_label, MIN_PROBABILITY)).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def merge_case(class_names: list[str]) -> np.ndarray:
    """Map each class to the first class whose name differs from its own at most by case; int array (k,).

    >>> merge_case(["0", "C", "D", "c"])
    array([0, 1, 2, 1])
    """
    first = {}
    return np.array([first.setdefault(name.casefold(), index) for index, name in enumerate(class_names)])


LOOK_ALIKES = ("0Oo", "1Il")  # characters that many hands write alike


def error_kinds(probabilities: np.ndarray, labels: np.ndarray, class_names: list[str]) -> dict[str, float]:
    """Divide the share of wrong answers: wrong case only, within 0/O/o or 1/I/l otherwise, and all other mistakes.

    Several repeats of the same images, (repeats, n, k), are averaged over.

    >>> error_kinds(np.eye(4), np.array([0, 2, 3, 0]), ["0", "C", "O", "o"])
    {'case': 0.25, 'look_alike': 0.25, 'other': 0.25}
    """
    answers = probabilities.argmax(axis=-1)
    case = merge_case(class_names)
    group = {name: place for place, names in enumerate(LOOK_ALIKES) for name in names}
    alike = np.array([group.get(name, -1 - place) for place, name in enumerate(class_names)])
    wrong, same_case = answers != labels, case[answers] == case[labels]
    similar = alike[answers] == alike[labels]
    return {
        "case": float((wrong & same_case).mean()),
        "look_alike": float((wrong & ~same_case & similar).mean()),
        "other": float((wrong & ~same_case & ~similar).mean()),
    }


def mistakes(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Find the images answered wrongly, the most confident first; int array of their places in `labels`.

    >>> mistakes(np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]), np.array([1, 1, 1]))
    array([1, 0])
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def neighbours_alike(points: np.ndarray, labels: np.ndarray) -> float:
    """Give the share of points, float (n, d), whose nearest other point has the same label.

    >>> neighbours_alike(np.array([[0.0], [0.1], [5.0], [5.2]]), np.array([0, 0, 1, 2]))
    0.5
    """
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]
    return float((labels[nearest] == labels).mean())


def confusion(answers: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Count the answers, classes 0..k-1 (n,) or probabilities (n, k), by true class; int array (k, k), truth in rows.

    >>> confusion(np.array([0, 2, 2]), np.array([0, 0, 2]), 3)
    array([[1, 0, 1],
           [0, 0, 0],
           [0, 0, 1]])
    """
    answers = answers.argmax(axis=1) if answers.ndim == 2 else answers
    return np.bincount(labels.astype(np.int64) * k + answers, minlength=k * k).reshape(k, k)


def confused_pairs(matrix: np.ndarray, class_names: list[str], most: int = 20) -> list[dict]:
    """List the commonest mistakes of a confusion matrix, `share` being the part of the true class they make up.

    >>> confused_pairs(np.array([[3, 1], [0, 4]]), ["o", "O"])
    [{'true': 'o', 'answer': 'O', 'count': 1, 'share': 0.25}]
    """
    errors = matrix * ~np.eye(len(matrix), dtype=bool)
    order = np.argsort(-errors, axis=None, kind="stable")[: min(most, np.count_nonzero(errors))]
    return [
        {
            "true": class_names[row],
            "answer": class_names[column],
            "count": int(matrix[row, column]),
            "share": float(matrix[row, column] / matrix[row].sum()),
        }
        for row, column in zip(*np.unravel_index(order, matrix.shape), strict=True)
    ]


def summarise(probabilities: np.ndarray, labels: np.ndarray, class_names: list[str]) -> dict:
    """Score the answers: every number of the project's tables, as plain floats (shares in 0-1) and ints.

    Returns:
        n; accuracy and its accuracy_interval [low, high]; top3, the share whose label is among the three most
        probable classes (None for three classes or fewer); macro_f1, the mean over the classes that occur in `labels`;
        case_merged_accuracy, which forgives a wrong case (None where no class has its other case); log_loss in nats,
        of probabilities no lower than `MIN_PROBABILITY`; calibration_error; per_class, a list of class, n, precision,
        recall and f1 of each class that occurs in `labels`, a 0/0 counting as 0.

    Raises:
        ValueError: there is not one label.
    """
    from sklearn.metrics import precision_recall_fscore_support

    answers = probabilities.argmax(axis=1)
    right = answers == labels
    occurring = np.unique(labels)
    scores = precision_recall_fscore_support(labels, answers, labels=occurring, zero_division=0)
    best3 = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    merged = merge_case(class_names)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "n": len(labels),
        "accuracy": float(right.mean()),
        "accuracy_interval": list(wilson_interval(right.sum(), len(labels))),
        "top3": float((best3 == labels[:, None]).any(axis=1).mean()) if len(class_names) > 3 else None,
        "macro_f1": float(scores[2].mean()),
        "case_merged_accuracy": (
            float((merged[answers] == merged[labels]).mean()) if len(set(merged)) < len(merged) else None
        ),
        "log_loss": float(np.log(1 / np.clip(of_label, MIN_PROBABILITY, 1)).mean()),
        "calibration_error": calibration_error(probabilities, labels),
        "per_class": [
            {"class": class_names[index], "n": int(n), "precision": float(p), "recall": float(r), "f1": float(f)}
            for index, p, r, f, n in zip(occurring, *scores, strict=True)
        ],
    }
