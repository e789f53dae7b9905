"""Statistical tests and confidence intervals: the only place where they are computed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

ALPHA = 0.05  # significance level of all comparisons of trainings, after correction for multiple testing
CONFIDENCE = 0.95  # of all intervals


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Compute the 95 % score interval of a proportion (Wilson 1927), accurate near 0 and 1 and for small n.

    Raises:
        ValueError: `n` is 0, or `successes` lies outside 0..n.

    >>> [round(bound, 4) for bound in wilson_interval(8, 10)]
    [0.4902, 0.9433]
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion")
    z, proportion = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), successes / n
    center = proportion + z**2 / (2 * n)
    half = z * math.sqrt(proportion * (1 - proportion) / n + (z / (2 * n)) ** 2)
    scale = 1 + z**2 / n
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


def corrected_resampled_interval(
    values: Sequence[float], n_test: int, n_train: int, highest: float = 1.0
) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of a score over the folds and repeats of a cross-validation.

    The training sets of the folds overlap, so the variance of the mean is (1/J + n_test/n_train) s^2, not s^2/J: the
    corrected resampled t-test of Nadeau and Bengio (2003, "Inference for the generalization error", section 5).

    Args:
        values: J scores, one per fold and repeat.
        n_test: images that each score was computed on.
        n_train: images that each network was trained on.
        highest: value that the score can have; 1 for a proportion. The lowest is 0.

    Raises:
        ValueError: there are fewer than two scores.

    >>> bounds = corrected_resampled_interval([0.88, 0.90, 0.89, 0.91, 0.87], n_test=1, n_train=4)
    >>> [round(bound, 3) for bound in bounds]
    [0.861, 0.919]
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError("an interval needs at least two scores")
    quantile = t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    half = quantile * np.std(values, ddof=1) * math.sqrt(1 / len(values) + n_test / n_train)
    return max(0.0, float(np.mean(values) - half)), min(highest, float(np.mean(values) + half))


def bootstrap_interval(statistic: Callable[[np.ndarray], float], n: int, resamples: int) -> tuple[float, float]:
    """Compute the 95 % interval of a statistic by the percentile bootstrap (Efron 1979), always with the same seed.

    Args:
        statistic: takes int indices (n,) of a resample, drawn with replacement.
        n: number of observations.
        resamples: how many are drawn.
    """
    rng = np.random.default_rng(0)
    found = [statistic(rng.integers(0, n, n)) for _ in range(resamples)]
    low, high = np.quantile(found, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)


@dataclass(frozen=True)
class PairedTest:
    """A paired t-test.

    Attributes:
        difference: mean of the first values minus the second.
        interval: its 95 % confidence interval by Student's t.
        effect_size: the difference in standard deviations of the pairs' differences (Cohen's d_z); infinite if all
            pairs differ by the same amount.
        p_value: two-sided.
    """

    difference: float
    interval: tuple[float, float]
    effect_size: float
    p_value: float


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Test whether the mean difference of paired values is 0; at least two pairs.

    Where all pairs differ by the same amount the t-test is undefined, and the sign test takes its place.

    >>> paired_t_test([0.9, 0.8, 0.9], [0.8, 0.7, 0.7]).p_value < 0.06
    True
    """
    from scipy.stats import ttest_rel

    gaps = np.asarray(first, float) - np.asarray(second, float)
    difference, deviation = float(gaps.mean()), float(gaps.std(ddof=1))
    if deviation > 1e-9 * abs(difference):  # otherwise the differences are equal up to rounding
        test = ttest_rel(first, second)
        low, high = map(float, test.confidence_interval(CONFIDENCE))
        return PairedTest(difference, (low, high), difference / deviation, float(test.pvalue))
    if difference:
        effect_size = math.copysign(math.inf, difference)
        return PairedTest(difference, (difference, difference), effect_size, 2.0 ** (1 - len(gaps)))
    return PairedTest(0.0, (0.0, 0.0), 0.0, 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple testing (Holm 1979), which bounds the family-wise error rate.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected.tolist()


@dataclass(frozen=True)
class McNemarTest:
    """McNemar's test (1947) in its exact form.

    Attributes:
        only_first: images that only the first network classifies correctly.
        only_second: images that only the second network classifies correctly.
        p_value: two-sided.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemarTest:
    """Test whether two networks are equally accurate on the same images.

    Args:
        first: bool array (n,), whether the first network classifies each image correctly.
        second: the same of the second network.

    >>> mcnemar(np.array([True, True, False]), np.array([True, False, False]))
    McNemarTest(only_first=1, only_second=0, p_value=1.0)
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return McNemarTest(only_first, only_second, p_value)


def two_proportion_z_test(first: float, second: float, n: int) -> float:
    """Test whether two proportions of n independent observations each are equal: the two-sided p-value.

    >>> round(two_proportion_z_test(0.90, 0.85, 1000), 4)
    0.0007
    """
    from scipy.stats import norm

    pooled = (first + second) / 2
    deviation = (2 * pooled * (1 - pooled) / n) ** 0.5
    return float(2 * norm.sf(abs(first - second) / deviation)) if deviation else 1.0


def binomial_test(
    successes: int, n: int, probability: float, alternative: Literal["two-sided", "less", "greater"] = "two-sided"
) -> float:
    """Test a proportion against a fixed probability, exactly: the p-value.

    Args:
        successes: out of n.
        n: number of trials.
        probability: under the null hypothesis.
        alternative: "two-sided", "less" or "greater".
    """
    from scipy.stats import binomtest

    return float(binomtest(successes, n, probability, alternative).pvalue)
