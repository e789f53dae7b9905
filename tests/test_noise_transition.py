"""The transition matrix of label noise, and the tests of how wrong labels are distributed."""

import numpy as np
import pytest
from noisy_labels import pair_flip

from midas.metrics import noise_transition
from midas.metrics.label_noise import SMALL_V
from midas.metrics.noise_transition import LabelPair


def test_expectation_maximization_finds_the_transition():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(4), 4) * 0.5 + 0.5 * np.eye(4)
    truth = rng.integers(0, 4, 40_000)
    given_labels = (rng.random((len(truth), 1)) > transition[truth].cumsum(axis=1)).sum(axis=1)
    predicted = np.where(rng.random(len(truth)) < 0.94, truth, rng.integers(0, 4, len(truth)))
    probabilities = np.full((len(truth), 4), 0.02)
    probabilities[np.arange(len(truth)), predicted] = 0.94
    found = noise_transition.estimate_transition(probabilities, given_labels, share_correct=0.6)
    assert np.abs(found - transition).max() < 0.03


def test_p_values_of_uniform_noise_are_uniform():
    rng = np.random.default_rng(0)
    p_values, effects = [], []
    for _ in range(200):
        truth = rng.integers(0, 5, 1000)
        counts = np.zeros((5, 5), int)
        np.add.at(counts, (truth, (truth + rng.integers(1, 5, 1000)) % 5), 1)
        p_value, effect = noise_transition.uniform_noise_test(counts)
        p_values.append(p_value)
        effects.append(effect)
    assert 0.4 < np.mean(p_values) < 0.6 and 2 <= sum(p < 0.05 for p in p_values) <= 20
    assert max(effects) < SMALL_V


def test_noise_in_one_label_per_class_has_the_largest_effect():
    p_value, effect = noise_transition.uniform_noise_test(100 * pair_flip(0.5, 5))
    assert p_value < 1e-10 and effect == pytest.approx(1, abs=0.02)
    assert noise_transition.uniform_noise_test(np.eye(5) * 100) == (None, None)


def test_pairs_must_be_significant_and_twice_as_frequent():
    counts = np.full((4, 4), 10) + 90 * np.eye(4, dtype=int)
    counts[0] = 100, 60, 5, 5
    counts[1] = 14, 100, 10, 10
    assert noise_transition.overrepresented_pairs(counts, alpha=0.01) == [LabelPair(0, 1, 60 / 70)]
    assert noise_transition.overrepresented_pairs(counts[:2, :2], alpha=0.01) == []


def test_calibration_is_monotone_and_random_labels_say_nothing():
    rng = np.random.default_rng(0)
    rank = np.arange(400) / 400
    agrees, confident = rng.random(400) < 0.9 - 0.6 * rank, rank < 0.25
    calibrated = noise_transition.calibrate_confidence(agrees, rank, confident, share_correct=0.9, classes=4)
    assert (np.diff(calibrated[100:]) <= 0).all() and len(set(calibrated[:100])) == 1
    assert calibrated.min() >= 0.25 and calibrated.max() < 1
    even = noise_transition.calibrate_confidence(agrees, rank, confident, share_correct=0.25, classes=4)
    assert even.tolist() == [0.25] * 400


def test_class_probabilities_keep_the_ratios_of_the_other_classes():
    probabilities = np.array([[0.6, 0.3, 0.1]], np.float32)
    found = noise_transition.class_probabilities(probabilities, np.array([0]), np.array([0.8]), 1.0, independent=True)
    np.testing.assert_allclose(found, [[0.8, 0.15, 0.05]], rtol=1e-6)
    # Half of the labels are correct: labels of 0.5, 0.25, 0.25 are those of images of class 0.
    labels = np.array([[0.5, 0.25, 0.25]])
    found = noise_transition.class_probabilities(labels, np.array([0]), np.array([1.0]), 0.5, independent=False)
    np.testing.assert_allclose(found, [[1, 0, 0]], atol=1e-9)
