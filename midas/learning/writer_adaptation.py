"""Writer adaptation: several characters by one person, each read with the knowledge of how that person writes.

Cropping and scaling make c and C alike. One person draws them in different sizes, but people differ: a small writer's C
is another one's c. The characters that the network is certain of tell how far this person's differ from the average in
size and position, and the others are read accordingly.

The model: a character of class k has size and position m_k + d + e, where m_k is the mean of the class, d ~ N(0, B) is
the same for all characters of a person, and e ~ N(0, W) is not. For each character, d is estimated from the others, of
which the classes are known by their probabilities; those of the character are then multiplied by the likelihood of its
size and position under that estimate, divided by the likelihood that the network itself went by. This is repeated with
the new probabilities (variational expectation maximization for a random effect). No file name, and no assumption about
which characters occur, is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from midas.data.glyphs import LOG_SIZE, place_on_page
from midas.metrics.classification import softmax
from midas.records import PlaceStatistics

BETWEEN_PEOPLE = 1 / 3  # share of the variance within a class that is between people; results hardly depend on it
ITERATIONS = 5
MIN_KNOWN = 2  # characters per class whose place is known, without which a class has no statistics
MIN_VARIANCE = 0.01  # of a class whose drawings are all of one size
LINE_SPREAD = 4.0  # variance of the scale and height of lines, in the units of places: hardly anything is known of them
BASELINE_SPREAD = 2.0  # factor on the variance of heights on a line: people align letters better than on single pages
ON_LINE = [0, 1, 3]  # height, width, vertical position: the horizontal position says nothing
POOLED = 5.0  # characters; the scale of lines much shorter than this is that of the page


@dataclass(frozen=True, eq=False)
class Writing:
    """Sizes and positions of n characters by one person, in d of the units of places.

    Attributes:
        deviations: float array (n, K, d), of each character from the mean of each class.
        within: float array (d, d), covariance of the characters of one person.
        between: float array (d, d), covariance of the means of people.
    """

    deviations: np.ndarray
    within: np.ndarray
    between: np.ndarray


def place_statistics(places: np.ndarray, labels: np.ndarray, classes: int) -> PlaceStatistics | None:
    """Measure how large each class is drawn and where on the page.

    Args:
        places: float32 array (n, 5), as in `Glyph`.
        labels: int array (n,).
        classes: number of classes K.

    Returns:
        The statistics; None unless every class has `MIN_KNOWN` characters whose place is known.

    >>> places = np.array([[1, 0, 1, 0, 0], [1, 2, 1, 0, 0], [0, 0, 0, 0, 0]])
    >>> place_statistics(places, np.zeros(3, int), 1)
    PlaceStatistics(means=((1.0, 1.0, 0.0, 0.0),), variances=(1.0, 0.01, 0.01, 0.01))
    """
    known = places[:, 0] > 0
    counts = np.bincount(labels[known], minlength=classes)
    if counts.min() < MIN_KNOWN:
        return None
    measured = places[known, 1:].astype(np.float64)
    means = np.zeros((classes, measured.shape[1]))
    np.add.at(means, labels[known], measured)
    means /= counts[:, None]
    variances = (measured - means[labels[known]]).var(axis=0).clip(MIN_VARIANCE)
    return PlaceStatistics(tuple(map(tuple, means.tolist())), tuple(variances.tolist()))


def on_pages(places: np.ndarray, statistics: PlaceStatistics) -> Writing:
    """Describe characters that were drawn on a page each.

    Args:
        places: float32 array (n, 5), as in `Glyph`, all known.
        statistics: of the network's training set.
    """
    total = np.diag(statistics.variances)
    deviations = places[:, None, 1:] - np.array(statistics.means)
    return Writing(deviations, (1 - BETWEEN_PEOPLE) * total, BETWEEN_PEOPLE * total)


def on_lines(boxes: np.ndarray, lines: np.ndarray, probabilities: np.ndarray, statistics: PlaceStatistics) -> Writing:
    """Describe the characters of lines, whose scale and height on the page say nothing.

    Args:
        boxes: float array (n, 4) of (left, top, right, bottom) in pixels, once the lines are horizontal.
        lines: int array (n,), the number of each character's line.
        probabilities: float array (n, K), from which the scale and height of each line are estimated.
        statistics: of the network's training set.
    """
    means, variances = np.array(statistics.means), np.array(statistics.variances)
    measured = place_on_page(boxes, (1.0, 0.0))[:, 1:].astype(np.float64)
    larger = _by_line(measured[:, 0] - probabilities @ means[:, 0], lines)
    measured[:, :2] -= larger[:, None]
    measured[:, 2:] *= np.exp(-LOG_SIZE * larger)[:, None]  # as on a page of which the characters have their usual size
    measured[:, 3] -= _by_line(measured[:, 3] - probabilities @ means[:, 3], lines, 0.0)
    total = np.diag(variances[ON_LINE] * (1, 1, BASELINE_SPREAD))
    free = LINE_SPREAD * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])  # the scale, the height of the line
    deviations = measured[:, None, ON_LINE] - means[:, ON_LINE]
    return Writing(deviations, (1 - BETWEEN_PEOPLE) * total, BETWEEN_PEOPLE * total + free)


def _by_line(values: np.ndarray, lines: np.ndarray, pooled: float = POOLED) -> np.ndarray:
    """Average over each line, and over the page as if `pooled` more characters of each line were average there."""
    counts, sums = np.bincount(lines), np.bincount(lines, values)
    return ((sums + pooled * np.median(values)) / np.maximum(counts + pooled, 1))[lines]


def adapt(probabilities: np.ndarray, writing: Writing) -> np.ndarray:
    """Adapt the probabilities of characters by one person to how this person writes.

    Args:
        probabilities: float array (n, K), each row from one character alone.
        writing: sizes and positions of these characters.

    Returns:
        float32 array (n, K), each row sums to 1. A single character stays as it is.

    Of a pair that looks like c or C, the smaller one is the c:

    >>> pair = Writing(np.array([[[0.0], [-2.0]], [[2.0], [0.0]]]), np.eye(1), np.eye(1))
    >>> adapt(np.full((2, 2), 0.5), pair).argmax(axis=1).tolist()
    [0, 1]
    """
    n = len(probabilities)
    if n < 2:
        return probabilities.astype(np.float32)
    adapted = probabilities.astype(np.float64)
    with np.errstate(divide="ignore"):  # a class that is not allowed stays impossible
        seen = np.log(adapted)
    seen -= _log_density(writing.deviations, writing.within + writing.between)
    precision = np.linalg.inv(writing.within)
    spread = np.linalg.inv(np.linalg.inv(writing.between) + (n - 1) * precision)  # of d, given the other characters
    for _ in range(ITERATIONS):
        expected = np.einsum("nk,nkd->nd", adapted, writing.deviations)
        shift = (expected.sum(axis=0) - expected) @ (spread @ precision).T
        adapted = softmax(seen + _log_density(writing.deviations - shift[:, None], writing.within + spread))
    return adapted.astype(np.float32)


def _log_density(deviations: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Logarithm of a normal density around 0, up to a constant: (..., d) to (...)."""
    whitened = deviations @ np.linalg.cholesky(np.linalg.inv(covariance))
    return -0.5 * ((whitened**2).sum(axis=-1) + np.linalg.slogdet(covariance)[1])
