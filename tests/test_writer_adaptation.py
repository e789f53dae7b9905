from itertools import product

import numpy as np
import pytest

from midas.data.glyphs import place_on_page
from midas.learning.writer_adaptation import Writing, adapt, on_lines, on_pages, place_statistics
from midas.records import PlaceStatistics

# Lowercase letters are smaller than capitals, and sit lower; the digit is known for certain.
STATISTICS = PlaceStatistics(means=((0, 0, 0, 0), (-1, -1, 0, 1), (0, 0, 0, 0)), variances=(1, 1, 1, 1))
CAPITAL, SMALL, DIGIT = range(3)


def test_statistics_are_means_and_pooled_variances_of_known_places():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    places = np.column_stack([np.ones(100), rng.normal(0, 0.5, (100, 4)) + labels[:, None]])
    places[::10] = 0
    found = place_statistics(places, labels, 2)
    known = places[:, 0] > 0
    for label in (0, 1):
        assert found.means[label] == pytest.approx(places[known & (labels == label), 1:].mean(axis=0))
    assert found.variances == pytest.approx((0.25,) * 4, abs=0.1)
    assert place_statistics(places, labels, 3) is None  # no drawing of the third class
    assert place_statistics(np.zeros((100, 5)), labels, 2) is None


def likelihoods(deviations, within, between):
    """Compute the posterior of two characters by the definition: all pairs of classes, d integrated out."""
    n, k, _ = deviations.shape
    joint = np.zeros((k,) * n)
    for classes in product(range(k), repeat=n):
        x = np.array([deviations[i, c, 0] for i, c in enumerate(classes)])
        covariance = within * np.eye(n) + between
        alone = np.prod([np.exp(-0.5 * v**2 / (within + between)) for v in x])
        joint[classes] = np.exp(-0.5 * x @ np.linalg.solve(covariance, x)) / alone
    return joint / joint.sum()


def test_with_one_certain_character_the_other_gets_its_exact_posterior():
    deviations = np.array([[[0.5], [9.0]], [[0.8], [-0.4]]])
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5]])
    joint = likelihoods(deviations, 0.7, 0.4)[0]
    adapted = adapt(probabilities, Writing(deviations, np.array([[0.7]]), np.array([[0.4]])))
    assert adapted[1] == pytest.approx(joint / joint.sum(), abs=1e-6)
    assert adapted[0] == pytest.approx([1, 0])


def test_a_single_character_and_an_impossible_class_stay_as_they_are():
    writing = Writing(np.array([[[0.0], [3.0]]]), np.eye(1), np.eye(1))
    assert adapt(np.array([[0.3, 0.7]]), writing) == pytest.approx(np.array([[0.3, 0.7]]))
    pair = Writing(np.zeros((2, 3, 1)), np.eye(1), np.eye(1))
    assert (adapt(np.array([[0.5, 0.0, 0.5]] * 2, np.float32), pair)[:, 1] == 0).all()


@pytest.mark.parametrize(("larger", "alone"), [(-1.5, SMALL), (1.5, CAPITAL)])
def test_a_small_or_large_hand_is_known_by_its_other_characters(larger, alone):
    labels = np.array([DIGIT] * 6 + [CAPITAL, SMALL])
    means = np.array(STATISTICS.means)
    places = np.column_stack([np.ones(8), means[labels] + (larger, larger, 0, 0)])
    places[6:, 4] = 0.5  # the height on the page does not tell them apart
    density = np.exp(-0.5 * ((places[:, None, 1:] - means) ** 2).sum(axis=2))  # all that a network can know of one
    density[:6, :DIGIT] = density[6:, DIGIT] = 0
    probabilities = density / density.sum(axis=1, keepdims=True)
    assert probabilities[6:].argmax(axis=1).tolist() == [alone, alone]
    assert adapt(probabilities, on_pages(places, STATISTICS)).argmax(axis=1).tolist() == labels.tolist()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (0.2, 40), (7, -300)])
def test_on_a_line_only_relative_size_and_height_count(scale, shift):
    # Two digits, a capital and a small letter of one shape; then a line of the same at half the size.
    boxes = np.array([[0, 10, 20, 50], [30, 10, 50, 50], [60, 10, 80, 50], [90, 25, 104, 53]], float)
    lines = np.repeat([0, 1], 4)
    both = np.vstack([boxes, boxes / 2 + (0, 200, 0, 200)]) * scale + shift
    probabilities = np.array([[0, 0, 1], [0, 0, 1], [0.5, 0.5, 0], [0.5, 0.5, 0]] * 2)
    adapted = adapt(probabilities, on_lines(both, lines, probabilities, STATISTICS))
    assert adapted.argmax(axis=1)[[2, 3]].tolist() == [CAPITAL, SMALL]
    reference = adapt(
        probabilities, on_lines(np.vstack([boxes, boxes / 2 + (0, 200, 0, 200)]), lines, probabilities, STATISTICS)
    )
    assert adapted == pytest.approx(reference, abs=1e-5)


def test_places_are_those_that_statistics_describe():
    box = np.array([[45, 20, 75, 65]])
    assert place_on_page(box, (90, 120))[0] == pytest.approx([1, 0, 0, 0, -0.25], abs=1e-6)
    moved = place_on_page(box + 9, (90, 120))[0]
    assert moved == pytest.approx([1, 0, 0, 0.9, 0.65], abs=1e-6)
