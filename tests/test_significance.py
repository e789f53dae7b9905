"""Tests and intervals: against SciPy, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp, ttest_rel

from midas.metrics.significance import (
    bootstrap_interval,
    corrected_resampled_interval,
    holm,
    mcnemar,
    paired_t_test,
    two_proportion_z_test,
    wilson_interval,
)


@pytest.mark.parametrize("correct, n", [(0, 7), (7, 7), (1, 1), (463, 496), (9941, 10000)])
def test_wilson_interval_agrees_with_scipy_s(correct, n):
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("correct, n", [(0, 0), (3, 2), (-1, 2)])
def test_wilson_interval_of_an_impossible_proportion(correct, n):
    with pytest.raises(ValueError):
        wilson_interval(correct, n)


def test_the_interval_of_independent_scores_is_student_s():
    values = [0.91, 0.88, 0.9, 0.93]
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    assert corrected_resampled_interval(values, 0, 1) == pytest.approx((interval.low, interval.high))
    low, high = corrected_resampled_interval(values, 1, 4)
    assert low < interval.low and high > interval.high
    with pytest.raises(ValueError):
        corrected_resampled_interval([0.9], 1, 4)


def test_the_bootstrap_interval_of_a_mean_is_about_the_normal_one():
    values = np.random.default_rng(1).normal(0, 1, 400)
    low, high = bootstrap_interval(lambda chosen: values[chosen].mean(), 400, resamples=2000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.01) and high == pytest.approx(
        values.mean() + half, abs=0.01
    )


def test_the_paired_t_test_agrees_with_scipy_s():
    first, second = [0.95, 0.96, 0.97, 0.99], [0.94, 0.955, 0.965, 0.97]
    found, expected = paired_t_test(first, second), ttest_rel(first, second)
    gaps = np.subtract(first, second)
    assert found.difference == pytest.approx(gaps.mean()) and found.p_value == pytest.approx(expected.pvalue)
    assert found.effect_size == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_pairs_that_differ_by_the_same_amount_are_judged_by_the_sign_test():
    same = paired_t_test([0.5] * 5, [0.5] * 5)
    assert (same.difference, same.effect_size, same.p_value) == (0, 0, 1)
    shifted = paired_t_test([0.5] * 5, [0.25] * 5)
    assert shifted.effect_size == float("inf") and shifted.p_value == 2 / 32


def test_holm_by_hand_and_never_below_the_raw_values():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


def test_mcnemar_by_hand():
    ours = np.array([True] * 8 + [False] * 2 + [True] * 5)
    theirs = np.array([False] * 8 + [True] * 2 + [True] * 5)
    found = mcnemar(ours, theirs)
    assert (found.only_first, found.only_second) == (8, 2)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(ours, ours).p_value == 1


def test_two_proportions():
    assert two_proportion_z_test(0.9, 0.9, 100) == 1 and two_proportion_z_test(1.0, 1.0, 100) == 1
    assert two_proportion_z_test(0.95, 0.85, 100) == pytest.approx(0.0184, abs=1e-4)
