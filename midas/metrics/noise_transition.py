"""How wrong labels are distributed over the classes: the transition matrix, and tests of uniform label noise.

Arrays as in `label_noise`: `given_labels` are int (n,), `probabilities` float (n, K), and row j of a transition matrix,
float (K, K), holds the probabilities of the labels that are given to images of class j.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midas.metrics.complementary import EPSILON, uniform_transition

MIN_EXPECTED = 1.0  # wrong labels per pair of classes that the test for uniform noise needs (Cochran 1954)
MAX_ITERATIONS = 500  # of expectation maximization
PRIOR_IMAGES = 10.0  # images per class, labeled like the whole data set, that regularize the transition matrix


@dataclass(frozen=True)
class LabelPair:
    """A true class, a wrong label that its images are given often, and the share of the class's wrong labels."""

    true: int
    given: int
    share: float


def calibrate_confidence(
    agrees: np.ndarray, rank: np.ndarray, confident: np.ndarray, share_correct: float, classes: int
) -> np.ndarray:
    """Estimate the probability that each prediction is correct from how often equally confident ones agree: float (n,).

    Calibration by isotonic regression (Zadrozny and Elkan 2002) on labels that are correct for `share_correct` and
    uniformly wrong otherwise. The most confident predictions are pooled, as they estimated that share.

    Args:
        agrees: bool (n,), whether the prediction equals the given label.
        rank: float (n,), lower for more confident predictions.
        confident: bool (n,), whether the prediction is one of the most confident.
        share_correct: share of correct labels.
        classes: K.
    """
    from sklearn.isotonic import IsotonicRegression

    other = (1 - share_correct) / (classes - 1)
    if abs(share_correct - other) < EPSILON:  # random labels say nothing about the predictions
        return np.full(len(rank), 1 / classes)
    regression = IsotonicRegression(increasing=bool(share_correct < other))
    agreement = regression.fit_transform(rank, agrees.astype(np.float64))
    agreement[confident] = agrees[confident].mean()
    highest = 1 - 1 / (2 + np.count_nonzero(confident))  # Laplace's rule of succession after no errors
    return np.clip((agreement - other) / (share_correct - other), 1 / classes, highest)


def class_probabilities(
    probabilities: np.ndarray,
    predicted: np.ndarray,
    p_predicted: np.ndarray,
    share_correct: float,
    independent: bool,
) -> np.ndarray:
    """Give each predicted class its calibrated probability and divide the rest as the network does; float (n, K).

    Out-of-fold probabilities of labels g are first turned into those of classes p by the uniform transition with the
    share of correct labels r: g = r p + (1 - r) (1 - p) / (K - 1), so p = (g - o) / (r - o) with o = (1 - r) / (K - 1),
    but at least 0.

    Args:
        probabilities: as the network predicts them.
        predicted: int (n,), the predicted classes.
        p_predicted: float (n,), their calibrated probabilities.
        share_correct: r.
        independent: the probabilities are those of a reference model, and so of classes.
    """
    n, classes = probabilities.shape
    found = probabilities.astype(np.float64)
    if not independent:
        other = (1 - share_correct) / (classes - 1)
        found = (found - other) * np.sign(share_correct - other)
    found = np.maximum(found, EPSILON)
    found[np.arange(n), predicted] = 0
    found *= ((1 - p_predicted) / found.sum(axis=1))[:, None]
    found[np.arange(n), predicted] = p_predicted
    return found


def estimate_transition(probabilities: np.ndarray, given_labels: np.ndarray, share_correct: float) -> np.ndarray:
    """Maximize sum_i ln sum_j p_ij T[j, label_i] over transition matrices T by expectation maximization.

    With the class probabilities p fixed there is one maximum. `PRIOR_IMAGES` per class, correctly labeled for
    `share_correct` and uniformly wrong otherwise, are added; they matter only where a class has few images.

    Returns:
        T, float (K, K).
    """
    classes = probabilities.shape[1]
    groups = [probabilities[given_labels == label] for label in range(classes)]
    # Not from 0, where expectation maximization would stay.
    transition = uniform_transition(classes, float(np.clip(share_correct, 0.01, 0.99)))
    expected = np.zeros((classes, classes))
    for _ in range(MAX_ITERATIONS):
        for label, group in enumerate(groups):
            joint = group * transition[:, label]
            expected[:, label] = (joint / np.maximum(joint.sum(axis=1, keepdims=True), EPSILON)).sum(axis=0)
        before, transition = transition, expected + PRIOR_IMAGES * uniform_transition(classes, share_correct)
        transition = transition / transition.sum(axis=1, keepdims=True)
        if np.abs(transition - before).max() < 1e-6:
            break
    return transition


def uniform_noise_test(counts: np.ndarray) -> tuple[float | None, float | None]:
    """Test whether the wrong labels of each class are uniform over the other classes.

    Pearson's chi-square test by row, with K - 2 degrees of freedom each, and Cramer's V corrected for chance (Bergsma
    2013): sqrt(max(0, X2 - df) / (N (K - 2))), which does not grow with the number of images.

    Args:
        counts: int (K, K), images by true class and given label.

    Returns:
        The p-value and V; None with fewer than three classes or than `MIN_EXPECTED` wrong labels per pair.

    >>> uniform_noise_test(np.array([[50, 10, 10], [10, 50, 10], [10, 10, 50]]))
    (1.0, 0.0)
    """
    from scipy.stats import chi2

    classes = len(counts)
    wrong = counts * ~np.eye(classes, dtype=bool)
    rows = wrong[wrong.sum(axis=1) > 0]
    if classes < 3 or wrong.sum() < MIN_EXPECTED * max(len(rows), 1) * (classes - 1):
        return None, None
    expected = rows.sum(axis=1, keepdims=True) / (classes - 1)
    # The correct label is 0 in `rows` but not a cell of the test: its contribution is subtracted.
    statistic = float((((rows - expected) ** 2 / expected).sum(axis=1) - expected[:, 0]).sum())
    freedom = len(rows) * (classes - 2)
    effect = np.sqrt(max(0.0, statistic - freedom) / (wrong.sum() * (classes - 2)))
    return float(chi2.sf(statistic, freedom)), float(effect)


def overrepresented_pairs(counts: np.ndarray, alpha: float) -> list[LabelPair]:
    """Find the pairs of true class and given label with more wrong labels than uniform noise would give.

    At least twice as many, and significantly more by a binomial test with Bonferroni's correction for all pairs.

    Args:
        counts: int (K, K), images by true class and given label.
        alpha: significance level.

    Returns:
        The pairs, the largest count first.

    >>> overrepresented_pairs(np.array([[50, 0, 40], [5, 50, 5], [5, 5, 50]]), alpha=0.01)
    [LabelPair(true=0, given=2, share=1.0)]
    """
    from scipy.stats import binom

    classes = len(counts)
    if classes < 3:
        return []
    wrong = counts * ~np.eye(classes, dtype=bool)
    total = wrong.sum(axis=1, keepdims=True)
    p_value = binom.sf(wrong - 1, total, 1 / (classes - 1))
    found = (p_value * classes * (classes - 1) < alpha) & (wrong * (classes - 1) >= 2 * total) & (wrong > 0)
    order = sorted(zip(*np.nonzero(found), strict=True), key=lambda cell: -wrong[cell])
    return [LabelPair(int(row), int(column), float(wrong[row, column] / total[row, 0])) for row, column in order]
