"""Label noise: how many labels of a data set are wrong, how, and which, from the labels and a network's predictions.

Arrays to numbers, never TensorFlow. Throughout, `given_labels` are the labels of the data set, int (n,); and
`probabilities` are predictions of a network that was not trained on these images' own labels, float (n, K), rows
summing to 1: those of a reference model, or out-of-fold predictions. A transition matrix is float (K, K); row j holds
the probabilities of the labels that are given to images of class j.

The likelihood of the labels cannot separate label noise from an unsure network: both explain a disagreement. What
separates them is the assumption of anchor points (Patrini et al. 2017): of each class, some images are predicted with
near certainty. Label noise that does not depend on the image is as frequent among these as among all others, while the
network's own errors are rare there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from midas.metrics import complementary
from midas.metrics.complementary import EPSILON
from midas.metrics.noise_transition import (
    LabelPair,
    calibrate_confidence,
    class_probabilities,
    estimate_transition,
    overrepresented_pairs,
    uniform_noise_test,
)
from midas.metrics.significance import binomial_test, wilson_interval

CONFIDENT = 0.25  # the most confident fraction of each class's predictions; they estimate the share of correct labels
# Upper bound of the ratio between a network's error rate among its confident predictions and its error rate among all,
# by the latter. It lies above what 27 networks showed out of fold, on drawings and MNIST, with and without label noise:
# ratios of 0 to 0.12 at error rates below 10 %, 0.23 to 0.37 up to 45 %, then up to 1.
ERROR_RATES, MAX_ERROR_RATIOS = (0.0, 0.1, 0.5, 0.7, 1.0), (0.2, 0.4, 0.55, 0.95, 1.0)
TYPICAL = 0.5  # the typical ratio, as a fraction of that upper bound
SIGNIFICANCE_LEVEL = 0.01  # of the tests behind a verdict: stricter than usual, as an audit is run many times
MAX_NOISE_OF_CLEAN = 0.05  # a data set is clean if fewer labels are wrong; such noise hardly hurts training
MIN_NOISE = 0.01  # less label noise cannot be separated from a good network's confident errors
COMPLEMENTARY_SHARE = 0.5  # of chance: with fewer correct labels than that, they are complementary labels
SMALL_W = 0.2  # Cohen's (1988) w up to which the ranks of the given label count as equally frequent
SMALL_V = 0.1  # Cramer's V up to which label noise counts as uniform: Cohen's (1988) small effect
SUSPECT_BELOW = 0.5  # a label is suspected if the probability that it is correct is lower

CLEAN, NOISY, COMPLEMENTARY, UNDECIDED = "clean", "noisy", "complementary", "undecided"


@dataclass(frozen=True, eq=False)
class PredictedClasses:
    """The predicted class of each image, and a test of whether it depends on the given label at all.

    Attributes:
        classes: int (n,), the predicted classes.
        rank: float (n,) in [0, 1), rank of a prediction among those of the same class; the most confident come first.
        from_smallest: whether a prediction is the class of the smallest probability instead of the largest.
        agreement: share of predictions that equal the given label.
        chance: the agreement to expect if predictions and labels were independent.
        p_value: of the binomial test of the agreement against `chance`.
    """

    classes: np.ndarray
    rank: np.ndarray
    from_smallest: bool
    agreement: float
    chance: float
    p_value: float


@dataclass(frozen=True)
class ShareCorrect:
    """How many of a set of labels are correct.

    Attributes:
        images: number of labels.
        estimate: share of correct labels, if the network's confident predictions are as accurate as is typical.
        interval: 95 % sampling interval, widened to any confident error rate from 0 to `max_error_ratio`.
        all_correct_p: p-value of all labels being correct and every disagreement an error of the network.
        none_correct_p: p-value of all labels being wrong and every agreement an error of the network.
    """

    images: int
    estimate: float
    interval: tuple[float, float]
    all_correct_p: float
    none_correct_p: float


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found out about the labels.

    Attributes:
        verdict: "clean", "noisy", "complementary" (nearly all labels are wrong) or "undecided".
        predictions: the predicted classes.
        share: share of correct labels.
        by_class: the same by predicted class; None for a class that is never predicted.
        noisy_classes: predicted classes with significant label noise, whatever the verdict on the whole data set.
        transition: float (K, K), estimated by maximum likelihood.
        uneven_p: p-value of the chi-square test of uniform label noise; None with too few wrong labels.
        uneven_effect: Cramer's V, from 0 for uniform noise to 1 for one wrong label per class; None likewise.
        pairs: the pairs of true class and given label that are overrepresented, the most frequent first.
        share_in_pairs: share of all wrong labels that belong to these pairs.
        posterior: float32 (n, K), probabilities of the true class given both the image and its label.
        p_correct: float32 (n,), probability that the given label is correct.
    """

    verdict: str
    predictions: PredictedClasses
    share: ShareCorrect
    by_class: list[ShareCorrect | None]
    noisy_classes: list[int]
    transition: np.ndarray
    uneven_p: float | None
    uneven_effect: float | None
    pairs: list[LabelPair]
    share_in_pairs: float
    posterior: np.ndarray
    p_correct: np.ndarray

    @property
    def conclusive(self) -> bool:
        """Whether predictions depend on the labels; if not, no other number means anything."""
        return self.predictions.p_value < SIGNIFICANCE_LEVEL

    @property
    def suspected(self) -> np.ndarray:
        """The labels that are rather wrong than correct, and for which another class is more probable, bool (n,)."""
        return (self.p_correct < SUSPECT_BELOW) & (self.p_correct < self.posterior.max(axis=1))


def audit(probabilities: np.ndarray, given_labels: np.ndarray, independent: bool) -> Audit:
    """Estimate how many labels are wrong, how, and which.

    Args:
        probabilities: predictions, float (n, K).
        given_labels: the labels to audit, int (n,).
        independent: the predictions are those of a reference model that never saw these labels, and so are classes.
            Otherwise they are out-of-fold predictions of the given labels, of which the least probable may be the
            class.

    Raises:
        ValueError: there are fewer than two classes, or no images.
    """
    classes = probabilities.shape[1]
    if classes < 2 or not len(given_labels):
        raise ValueError("an audit needs images of at least two classes")
    predictions = predict_classes(probabilities, given_labels, independent)
    agrees, confident = predictions.classes == given_labels, predictions.rank < CONFIDENT
    by_class = [
        estimate_share_correct(agrees[members], confident[members], classes) if members.any() else None
        for members in predictions.classes == np.c_[:classes]
    ]
    noisy_classes = [
        label
        for label, of_class in enumerate(by_class)
        if of_class and of_class.all_correct_p * classes < SIGNIFICANCE_LEVEL and 1 - of_class.interval[1] > MIN_NOISE
    ]
    noisy = [of_class for label, of_class in enumerate(by_class) if of_class and label in noisy_classes]
    share = _limit(estimate_share_correct(agrees, confident, classes), noisy)
    p_predicted = calibrate_confidence(agrees, predictions.rank, confident, share.estimate, classes)
    calibrated = class_probabilities(probabilities, predictions.classes, p_predicted, share.estimate, independent)
    transition = estimate_transition(calibrated, given_labels, share.estimate)
    posterior = complementary.posterior(calibrated, given_labels, transition)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (predictions.classes[confident], given_labels[confident]), 1)
    uneven_p, uneven_effect = uniform_noise_test(counts)
    pairs = overrepresented_pairs(counts, SIGNIFICANCE_LEVEL)
    in_pairs, wrong = sum(int(counts[pair.true, pair.given]) for pair in pairs), int(counts.sum() - counts.trace())
    return Audit(
        verdict=decide(predictions, share, noisy_classes, classes),
        predictions=predictions,
        share=share,
        by_class=by_class,
        noisy_classes=noisy_classes,
        transition=transition,
        uneven_p=uneven_p,
        uneven_effect=uneven_effect,
        pairs=pairs,
        share_in_pairs=in_pairs / max(1, wrong),
        posterior=posterior,
        p_correct=posterior[np.arange(len(given_labels)), given_labels],
    )


def _limit(share: ShareCorrect, noisy: Sequence[ShareCorrect]) -> ShareCorrect:
    """Lower the share by the noise of single classes, which may be lost among the network's errors in all others."""
    estimate = min(share.estimate, 1 - sum(of.images * (1 - of.estimate) for of in noisy) / share.images)
    low, high = share.interval
    high = max(low, min(high, 1 - sum(of.images * (1 - of.interval[1]) for of in noisy) / share.images))
    return replace(share, estimate=estimate, interval=(low, high))


# ---- predictions


def predict_classes(probabilities: np.ndarray, given_labels: np.ndarray, independent: bool) -> PredictedClasses:
    """Predict classes, by the largest probability or, for complementary labels, by the smallest.

    A network trained on complementary labels gives the true class the lowest probability. Then the class of the
    smallest probability is the given label less often than by chance, and all other ranks of the given label are
    equally frequent. That second condition excludes networks that have hardly begun to learn: they rule classes out by
    degrees. With two classes it is always the largest, as a complementary label then names the class.
    """
    classes = probabilities.shape[1]
    exact = probabilities.astype(np.float64)
    if not independent and classes > 2:
        smallest = _predictions(exact, exact.argmin(axis=1), given_labels, from_smallest=True, alternative="less")
        if smallest.p_value < SIGNIFICANCE_LEVEL and _is_flat(exact, given_labels):
            return smallest
    return _predictions(
        exact,
        exact.argmax(axis=1),
        given_labels,
        from_smallest=False,
        alternative="two-sided" if independent else "greater",
    )


def _predictions(
    exact: np.ndarray,
    predicted: np.ndarray,
    given_labels: np.ndarray,
    from_smallest: bool,
    alternative: Literal["less", "greater", "two-sided"],
) -> PredictedClasses:
    n, classes = exact.shape
    of_predicted = exact[np.arange(n), predicted]
    # The sum of the others still differs between probabilities that are 1 in floating point.
    doubt = of_predicted if from_smallest else exact.sum(axis=1) - of_predicted
    agreeing = int((predicted == given_labels).sum())
    expected = np.bincount(predicted, minlength=classes) @ np.bincount(given_labels, minlength=classes)
    chance = min(1.0, float(expected) / n**2)
    p_value = binomial_test(agreeing, n, chance, alternative)
    return PredictedClasses(predicted, _rank(predicted, doubt), from_smallest, agreeing / n, chance, p_value)


def _is_flat(exact: np.ndarray, given_labels: np.ndarray) -> bool:
    """Whether the given label has every rank among the probabilities equally often, the last rank aside."""
    n, classes = exact.shape
    exact = exact * (1 + 1e-9 * np.random.default_rng(0).random(exact.shape))  # breaks ties at random
    larger = (exact > exact[np.arange(n), given_labels][:, None]).sum(axis=1)
    counts = np.bincount(larger, minlength=classes)[: classes - 1]
    expected = counts.sum() / (classes - 1)
    statistic = ((counts - expected) ** 2).sum() / max(expected, EPSILON)
    return bool(max(0.0, statistic - (classes - 2)) <= SMALL_W**2 * counts.sum())


def _rank(predicted: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Rank the predictions of each class by doubt, in [0, 1); ties at random, as data sets are ordered by label."""
    rank = np.empty(len(predicted))
    order = np.lexsort((np.random.default_rng(0).random(len(predicted)), doubt))
    for label in np.unique(predicted):
        members = order[predicted[order] == label]
        rank[members] = np.arange(len(members)) / len(members)  # from 0, so each class has a confident prediction
    return rank


# ---- the share of correct labels


def max_error_ratio(error_rate: np.ndarray | float) -> np.ndarray:
    """Bound a network's error rate among its confident predictions, as a fraction of its error rate among all.

    >>> max_error_ratio(np.array([0.0, 0.1, 0.3])).round(3).tolist()
    [0.2, 0.4, 0.475]
    """
    return np.asarray(np.interp(error_rate, ERROR_RATES, MAX_ERROR_RATIOS))


def estimate_share_correct(agrees: np.ndarray, confident: np.ndarray, classes: int) -> ShareCorrect:
    """Estimate the share of correct labels from how often confident predictions agree with the labels.

    If a share r of the labels is correct and the others are uniformly wrong whatever the image shows, then predictions
    of error rate e agree with the labels at a rate of r - e (K r - 1) / (K - 1). So for each r, the agreement of all
    predictions gives their error rate, and that of the confident ones theirs; r is possible if the latter is not
    negative and at most what `max_error_ratio` allows.

    Args:
        agrees: bool (n,), whether the prediction equals the given label.
        confident: bool (n,), whether the prediction is one of the most confident; at least one is.
        classes: K.
    """
    agreement, overall = float(agrees[confident].mean()), float(agrees.mean())
    shares = np.linspace(0, 1, 2001)
    shares = shares[(shares - 1 / classes) * (agreement - 1 / classes) > 0]  # on the same side of chance
    slopes = (classes * shares - 1) / (classes - 1)
    errors, confident_errors = (shares - overall) / slopes, (shares - agreement) / slopes
    highest = max_error_ratio(errors) * errors
    possible = (errors >= 0) & (errors <= 1 - 1 / classes) & (confident_errors >= 0) & (confident_errors <= highest)
    bounds, estimate = (agreement, agreement), agreement
    if possible.any():
        bounds = min(agreement, shares[possible].min()), max(agreement, shares[possible].max())
        estimate = shares[possible][np.abs(confident_errors - TYPICAL * highest)[possible].argmin()]
    low, high = wilson_interval(int(agrees[confident].sum()), int(confident.sum()))
    return ShareCorrect(
        images=len(agrees),
        estimate=float(estimate),
        interval=(max(0.0, low + float(bounds[0]) - agreement), min(1.0, high + float(bounds[1]) - agreement)),
        all_correct_p=network_errors_p(~agrees, confident, 1 - overall),
        none_correct_p=_none_correct_p(agrees, confident, classes),
    )


def _none_correct_p(agrees: np.ndarray, confident: np.ndarray, classes: int) -> float:
    """Test whether all labels are uniformly wrong: then even errors agree at a rate of at most 1 / (K - 1)."""
    too_many = binomial_test(int(agrees.sum()), len(agrees), 1 / (classes - 1), "greater")
    too_confident = network_errors_p(agrees, confident, min(1.0, (classes - 1) * float(agrees.mean())))
    return min(1.0, 2 * min(too_many, too_confident))  # Bonferroni's correction for two tests


def network_errors_p(events: np.ndarray, confident: np.ndarray, error_rate: float) -> float:
    """Test whether all events can be errors of the network: a p-value.

    If they are, the confident predictions hold at most `max_error_ratio` times their proportional share of them.

    Args:
        events: bool (n,), predictions that agree with the given label, or those that do not.
        confident: bool (n,), whether the prediction is one of the most confident.
        error_rate: of the network, if all events are errors.
    """
    if not events.any():
        return 1.0
    share = float(max_error_ratio(error_rate) * confident.mean())
    return binomial_test(int(events[confident].sum()), int(events.sum()), share, "greater")


# ---- the verdict


def decide(predictions: PredictedClasses, share: ShareCorrect, noisy_classes: list[int], classes: int) -> str:
    """Choose the verdict that the numbers support: "clean", "noisy", "complementary" or "undecided"."""
    low, high = share.interval
    if predictions.p_value >= SIGNIFICANCE_LEVEL:
        return UNDECIDED
    if classes > 2 and high < COMPLEMENTARY_SHARE / classes:
        return COMPLEMENTARY
    if noisy_classes or (1 - high > MIN_NOISE and share.all_correct_p < SIGNIFICANCE_LEVEL):
        return NOISY
    return CLEAN if 1 - low < MAX_NOISE_OF_CLEAN else UNDECIDED


def subsample(labels: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Draw up to `limit` images in proportion to the classes, or all with None: their indices, int, ascending.

    >>> subsample(np.array([0] * 8 + [1] * 4), limit=3, seed=0).tolist()
    [5, 6, 8]
    """
    if not limit or limit >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.sort(np.argsort(place)[:limit])


# ---- cleanlab


def cleanlab_issues(probabilities: np.ndarray, given_labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Find label issues with cleanlab (confident learning, Northcutt et al. 2021) from the same predictions.

    Returns:
        bool (n,), the labels it suspects, and its estimate of the share of wrong labels.
    """
    from cleanlab.count import estimate_joint
    from cleanlab.filter import find_label_issues

    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    joint = estimate_joint(given_labels, exact)
    return find_label_issues(given_labels, exact, n_jobs=1), float(1 - np.trace(joint))


def compare_with_cleanlab(found: Audit, probabilities: np.ndarray, given_labels: np.ndarray) -> dict[str, Any]:
    """Count the labels that cleanlab suspects and those that both suspect, with its share of wrong labels."""
    issues, share_mislabeled = cleanlab_issues(probabilities, given_labels)
    both = issues & found.suspected & found.conclusive
    return {"suspected": int(issues.sum()), "both": int(both.sum()), "share_mislabeled": share_mislabeled}
