import numpy as np
import pytest

from midas.data.complementary_mnist import wrong_folders
from midas.metrics.complementary import (
    estimate,
    estimated_accuracy,
    even_transition,
    forward_loss,
    posterior,
    share_right,
    validate,
)

CLASSES, IMAGES = 10, 6000


def answers(seed, accuracy, right_per_class=0):
    """True labels, folders, and probabilities of a network that is as often right as it says it is."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(IMAGES) % CLASSES)
    folders = wrong_folders(labels, seed, right_per_class)
    unsure = rng.random(IMAGES) < 3 * (1 - accuracy)  # of these it gets one in three wrong
    second = (labels + rng.integers(1, CLASSES, IMAGES)) % CLASSES
    swapped = unsure & (rng.random(IMAGES) < 1 / 3)
    first, second = np.where(swapped, second, labels), np.where(swapped, labels, second)
    probabilities = np.full((IMAGES, CLASSES), 1e-6)
    probabilities[np.arange(IMAGES), second] = np.where(unsure, 1 / 3, 1e-6)
    probabilities[np.arange(IMAGES), first] = 0
    probabilities[np.arange(IMAGES), first] = 1 - probabilities.sum(axis=1)
    return labels, folders, probabilities


@pytest.mark.parametrize("accuracy", [0.6, 0.95, 0.995])
def test_the_estimate_lies_within_its_interval_of_the_truth(accuracy):
    within, gaps = 0, []
    for seed in range(60):
        labels, folders, probabilities = answers(seed, accuracy)
        found, (low, high) = estimated_accuracy(probabilities.argmax(1), folders, CLASSES)
        truth = (probabilities.argmax(1) == labels).mean()
        within += low <= truth <= high
        gaps.append(found - truth)
    assert within >= 54  # of 60, at 95 %
    assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(60)  # no bias


def test_images_that_are_filed_right_lower_the_plain_estimate_but_not_the_adjusted_one():
    within = 0
    for seed in range(12):
        labels, folders, probabilities = answers(seed, 0.99, right_per_class=6)
        truth = (probabilities.argmax(1) == labels).mean()
        found = estimate(probabilities, folders, resamples=60)
        assert found["accuracy"] < truth - 0.05 and found["images"] == IMAGES
        assert found["right"] == pytest.approx(0.01, abs=0.002)
        assert found["adjusted_accuracy"] == pytest.approx(truth, abs=0.02)
        low, high = found["adjusted_interval"]
        within += low <= truth <= high
    assert within >= 10


def test_a_perfect_network_reaches_the_lowest_forward_loss_and_one_that_knows_nothing_the_highest():
    labels, folders, _ = answers(0, 0.9)
    even = even_transition(CLASSES)
    assert forward_loss(np.eye(CLASSES)[labels], folders, even) == pytest.approx(np.log(9))
    assert forward_loss(np.full((IMAGES, CLASSES), 0.1), folders, even) == pytest.approx(np.log(10))
    assert np.isfinite(forward_loss(np.eye(CLASSES)[folders], folders, even))  # sure, and always wrong


def test_the_validation_loss_ranks_networks_although_some_images_are_filed_right():
    _, folders, good = answers(1, 0.99, right_per_class=3)
    _, _, bad = answers(1, 0.97, right_per_class=3)
    better, worse = validate(good, folders), validate(bad, folders)
    assert better["val_loss"] < worse["val_loss"] and better["val_accuracy"] > worse["val_accuracy"]


@pytest.mark.parametrize("right", [0, 0.001, 0.05])
def test_the_share_filed_right_is_found(right):
    _, folders, probabilities = answers(2, 0.99, right_per_class=round(right * IMAGES / CLASSES))
    assert share_right(probabilities, folders) == pytest.approx(right, abs=0.001 + 0.1 * right)


def test_the_posterior_strikes_the_folder_out_or_keeps_it_where_the_network_is_sure():
    probabilities = np.array([[0.9999, 0.0001, 0], [0.5, 0.3, 0.2]])
    folders = np.array([0, 0])
    struck = posterior(probabilities, folders, even_transition(3))
    assert struck.dtype == np.float32 and struck[:, 0].tolist() == [0, 0]
    assert struck[1].tolist() == pytest.approx([0, 0.6, 0.4])
    kept = posterior(probabilities, folders, even_transition(3, right=0.01))
    assert kept[0, 0] > 0.99 and kept[1, 0] < 0.05
    assert kept.sum(1) == pytest.approx(1)


def test_the_posterior_is_bayes_rule_for_any_transition():
    rng = np.random.default_rng(0)
    transition, probabilities = rng.dirichlet(np.ones(4), 4), rng.dirichlet(np.ones(4), 5)
    folders = rng.integers(0, 4, 5)
    for row, p, folder in zip(posterior(probabilities, folders, transition), probabilities, folders, strict=True):
        joint = [p[j] * transition[j, folder] for j in range(4)]
        assert row == pytest.approx(np.array(joint) / sum(joint), abs=1e-6)
