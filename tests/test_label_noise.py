"""Label noise: verdicts, intervals and tests on generated predictions with known wrong labels."""

import numpy as np
import pytest
from noisy_labels import CLASSES, generate, pair_flip

from midas.metrics import label_noise
from midas.metrics.complementary import uniform_transition

CASES = {
    "clean": (uniform_transition(CLASSES, 1.0), "clean"),
    "5 % uniform": (uniform_transition(CLASSES, 0.95), "noisy"),
    "20 % uniform": (uniform_transition(CLASSES, 0.8), "noisy"),
    "40 % uniform": (uniform_transition(CLASSES, 0.6), "noisy"),
    "20 % flipped": (pair_flip(0.2), "noisy"),
    "40 % flipped": (pair_flip(0.4), "noisy"),
    "complementary": (uniform_transition(CLASSES, 0.0), "complementary"),
    "complementary but for 1 %": (uniform_transition(CLASSES, 0.01), "complementary"),
}


@pytest.mark.parametrize("out_of_fold", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_finds_verdict_share_and_distribution(name, out_of_fold):
    transition, verdict = CASES[name]
    truth, given_labels, probabilities = generate(transition, out_of_fold=out_of_fold)
    found = label_noise.audit(probabilities, given_labels, independent=not out_of_fold)
    assert found.verdict == verdict and found.conclusive
    assert found.predictions.from_smallest == (out_of_fold and verdict == "complementary")
    low, high = found.share.interval
    assert low <= (truth == given_labels).mean() <= high and high - low < 0.12
    assert np.abs(found.transition - transition).max() < 0.1
    assert len(found.pairs) == (CLASSES if "flipped" in name else 0)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, rtol=1e-5)
    if verdict == "noisy":
        both = (found.suspected & (truth != given_labels)).sum()
        assert both > 0.75 * max(found.suspected.sum(), (truth != given_labels).sum())
        assert found.share.all_correct_p < 1e-4
    if verdict == "complementary":
        assert (found.posterior.argmax(axis=1) == truth).mean() > 0.6
        assert found.share.none_correct_p > 0.01


def test_intervals_cover_the_true_share():
    cases = [(wrong, seed) for wrong in (0.0, 0.1, 0.3, 1.0) for seed in range(25)]
    missed = 0
    for wrong, seed in cases:
        truth, given_labels, probabilities = generate(uniform_transition(CLASSES, 1 - wrong), n=800, seed=seed)
        low, high = label_noise.audit(probabilities, given_labels, independent=False).share.interval
        missed += not low <= (truth == given_labels).mean() <= high
    assert missed <= 5


@pytest.mark.parametrize("skill", [1.0, 4.0, 10.0, 40.0])
def test_small_clean_sets_are_never_called_noisy(skill):
    for seed in range(15):
        _, given_labels, probabilities = generate(np.eye(CLASSES), n=40 * CLASSES, seed=seed, skill=skill)
        found = label_noise.audit(probabilities, given_labels, independent=False)
        assert found.verdict in ("clean", "undecided"), found.share
        assert found.share.interval[1] > 0.9


def test_few_images_and_random_labels_are_undecided():
    _, given_labels, probabilities = generate(uniform_transition(CLASSES, 0.9), n=60)
    assert label_noise.audit(probabilities, given_labels, independent=False).verdict == "undecided"
    _, _, probabilities = generate(np.eye(CLASSES), n=400)
    random_labels = np.random.default_rng(1).integers(0, CLASSES, 400)
    found = label_noise.audit(probabilities, random_labels, independent=True)
    assert found.verdict == "undecided" and not found.conclusive


def test_finds_noise_of_a_single_class():
    transition = np.eye(CLASSES)
    transition[7, [1, 7]] = 0.3, 0.7
    truth, given_labels, probabilities = generate(transition, n=6000)
    found = label_noise.audit(probabilities, given_labels, independent=False)
    assert (found.verdict, found.noisy_classes) == ("noisy", [7])
    assert [(pair.true, pair.given) for pair in found.pairs] == [(7, 1)] and found.share_in_pairs > 0.5
    assert found.share.interval[0] < (truth == given_labels).mean() < found.share.interval[1] < 0.99


def test_only_independent_predictions_reveal_swapped_classes():
    """Classes that have each other's label are consistent in themselves."""
    transition = np.eye(CLASSES)[[1, 0, *range(2, CLASSES)]]
    _, given_labels, probabilities = generate(transition, out_of_fold=True)
    assert label_noise.audit(probabilities, given_labels, independent=False).verdict == "clean"
    _, given_labels, probabilities = generate(transition, out_of_fold=False)
    found = label_noise.audit(probabilities, given_labels, independent=True)
    assert found.verdict == "noisy" and {(pair.true, pair.given) for pair in found.pairs} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("classes", [2, 3])
def test_two_and_three_classes(classes):
    for share_correct, verdict in ((1.0, "clean"), (0.8, "noisy")):
        _, given_labels, probabilities = generate(uniform_transition(classes, share_correct), n=3000)
        assert label_noise.audit(probabilities, given_labels, independent=False).verdict == verdict


@pytest.mark.parametrize("shape", [(0, 3), (5, 1)])
def test_without_images_or_with_one_class_there_is_nothing_to_audit(shape):
    with pytest.raises(ValueError, match="at least two classes"):
        label_noise.audit(np.ones(shape), np.zeros(shape[0], int), independent=True)


def test_errors_of_the_network_are_rarely_significant():
    rng = np.random.default_rng(0)
    confident, error_rate = np.arange(400) < 100, 0.3
    ratio = label_noise.max_error_ratio(error_rate)
    events = rng.random((300, 400)) < np.where(confident, ratio, (1 - ratio / 4) / 0.75) * error_rate
    p_values = [label_noise.network_errors_p(each, confident, error_rate) for each in events]
    assert sum(p < 0.05 for p in p_values) <= 25 and np.mean(p_values) > 0.35
    assert label_noise.network_errors_p(np.zeros(400, bool), confident, 0.0) == 1.0


def test_subsample_is_in_proportion_to_the_classes():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = label_noise.subsample(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([60, 30, 10], abs=1)
    assert len(set(chosen.tolist())) == 100 and (np.diff(chosen) > 0).all()
    assert len(label_noise.subsample(labels, None, 0)) == 1000


def test_agrees_with_cleanlab_on_uniform_noise():
    pytest.importorskip("cleanlab")
    truth, given_labels, probabilities = generate(uniform_transition(CLASSES, 0.8))
    found = label_noise.audit(probabilities, given_labels, independent=False)
    compared = label_noise.compare_with_cleanlab(found, probabilities, given_labels)
    assert 0.15 < compared["share_mislabeled"] < 0.3
    assert compared["both"] > 0.8 * compared["suspected"] > 0.1 * len(truth)
