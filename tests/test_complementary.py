import numpy as np
import pytest

from midas.data.complementary_mnist import complementary_labels
from midas.metrics.complementary import (
    estimate_accuracy,
    estimate_share_correct,
    forward_loss,
    posterior,
    unbiased_accuracy,
    uniform_transition,
    validation_scores,
)

CLASSES, IMAGES = 10, 6000


def predicted(seed, accuracy, correct_per_class=0):
    """True labels, complementary labels, and the probabilities of a calibrated network."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(IMAGES) % CLASSES)
    given = complementary_labels(labels, seed, correct_per_class)
    uncertain = rng.random(IMAGES) < 3 * (1 - accuracy)  # of these it gets one in three wrong
    second = (labels + rng.integers(1, CLASSES, IMAGES)) % CLASSES
    swapped = uncertain & (rng.random(IMAGES) < 1 / 3)
    first, second = np.where(swapped, second, labels), np.where(swapped, labels, second)
    probabilities = np.full((IMAGES, CLASSES), 1e-6)
    probabilities[np.arange(IMAGES), second] = np.where(uncertain, 1 / 3, 1e-6)
    probabilities[np.arange(IMAGES), first] = 0
    probabilities[np.arange(IMAGES), first] = 1 - probabilities.sum(axis=1)
    return labels, given, probabilities


@pytest.mark.parametrize("accuracy", [0.6, 0.95, 0.995])
def test_the_estimate_lies_within_its_interval_of_the_truth(accuracy):
    within, gaps = 0, []
    for seed in range(60):
        labels, given, probabilities = predicted(seed, accuracy)
        found, (low, high) = unbiased_accuracy(probabilities.argmax(1), given, CLASSES)
        truth = (probabilities.argmax(1) == labels).mean()
        within += low <= truth <= high
        gaps.append(found - truth)
    assert within >= 54  # of 60, at 95 %
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(60)  # no bias


def test_correct_labels_lower_the_plain_estimate_but_not_the_adjusted_one():
    within = 0
    for seed in range(12):
        labels, given, probabilities = predicted(seed, 0.99, correct_per_class=6)
        truth = (probabilities.argmax(1) == labels).mean()
        found = estimate_accuracy(probabilities, given, resamples=60)
        assert found.accuracy < truth - 0.05 and found.n == IMAGES
        assert found.share_correct == pytest.approx(0.01, abs=0.002)
        assert found.adjusted_accuracy == pytest.approx(truth, abs=0.02)
        low, high = found.adjusted_interval
        within += low <= truth <= high
    assert within >= 10


def test_a_perfect_network_reaches_the_lowest_forward_loss_and_one_that_knows_nothing_the_highest():
    labels, given, _ = predicted(0, 0.9)
    uniform = uniform_transition(CLASSES)
    assert forward_loss(np.eye(CLASSES)[labels], given, uniform) == pytest.approx(np.log(9))
    assert forward_loss(np.full((IMAGES, CLASSES), 0.1), given, uniform) == pytest.approx(np.log(10))
    assert np.isfinite(forward_loss(np.eye(CLASSES)[given], given, uniform))  # confident, and always wrong


def test_the_validation_loss_ranks_networks_although_some_labels_are_correct():
    _, given, good = predicted(1, 0.99, correct_per_class=3)
    _, _, bad = predicted(1, 0.97, correct_per_class=3)
    better, worse = validation_scores(good, given), validation_scores(bad, given)
    assert better["val_loss"] < worse["val_loss"] and better["val_accuracy"] > worse["val_accuracy"]


@pytest.mark.parametrize("share", [0, 0.001, 0.05])
def test_the_share_of_correct_labels_is_found(share):
    _, given, probabilities = predicted(2, 0.99, correct_per_class=round(share * IMAGES / CLASSES))
    assert estimate_share_correct(probabilities, given) == pytest.approx(share, abs=0.001 + 0.1 * share)


def test_the_posterior_rules_the_label_out_or_keeps_it_if_the_network_is_confident():
    probabilities = np.array([[0.9999, 0.0001, 0], [0.5, 0.3, 0.2]])
    given = np.array([0, 0])
    ruled_out = posterior(probabilities, given, uniform_transition(3))
    assert ruled_out.dtype == np.float32 and ruled_out[:, 0].tolist() == [0, 0]
    assert ruled_out[1].tolist() == pytest.approx([0, 0.6, 0.4])
    kept = posterior(probabilities, given, uniform_transition(3, share_correct=0.01))
    assert kept[0, 0] > 0.99 and kept[1, 0] < 0.05
    assert kept.sum(1) == pytest.approx(1)


def test_the_posterior_is_bayes_rule_for_any_transition():
    rng = np.random.default_rng(0)
    transition, probabilities = rng.dirichlet(np.ones(4), 4), rng.dirichlet(np.ones(4), 5)
    given = rng.integers(0, 4, 5)
    for row, p, label in zip(posterior(probabilities, given, transition), probabilities, given, strict=True):
        joint = [p[j] * transition[j, label] for j in range(4)]
        assert row == pytest.approx(np.array(joint) / sum(joint), abs=1e-6)
