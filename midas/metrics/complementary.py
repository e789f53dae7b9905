"""Learning from complementary labels: likelihood, posterior and accuracy estimates without true labels.

A complementary label names a class that an image does *not* belong to. Throughout, `probabilities` are a network's
predictions for the true classes of images it was not trained on, float (n, K), rows summing to 1;
`complementary_labels` are int (n,); and `transition` is float (K, K), row j the probabilities of the labels given to
images of class j.
"""

from dataclasses import dataclass

import numpy as np

from midas.metrics.significance import bootstrap_interval, wilson_interval

EPSILON = 1e-12  # keeps logarithms finite where a network is certain


@dataclass(frozen=True)
class AccuracyEstimate:
    """An estimate of the accuracy on held-out images from their complementary labels alone.

    Attributes:
        n: number of images.
        accuracy: unbiased if every label is wrong; can leave 0-1, as unbiased estimates do.
        interval: its 95 % confidence interval.
        share_correct: estimated share of labels that are correct after all.
        adjusted_accuracy: (1 - r - (K - 1) * P(prediction == label)) / (1 - K * r) with that share r, at most 1. Relies
            on the network not being confident where it errs.
        adjusted_interval: its 95 % interval, by the percentile bootstrap over images.
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    share_correct: float
    adjusted_accuracy: float
    adjusted_interval: tuple[float, float]


def uniform_transition(classes: int, share_correct: float = 0.0) -> np.ndarray:
    """Build the transition matrix of labels that are correct for a share of the images and otherwise uniformly wrong.

    >>> uniform_transition(3, share_correct=0.2).round(2).tolist()
    [[0.2, 0.4, 0.4], [0.4, 0.2, 0.4], [0.4, 0.4, 0.2]]
    """
    matrix = np.full((classes, classes), (1 - share_correct) / (classes - 1))
    np.fill_diagonal(matrix, share_correct)
    return matrix


def forward_loss(probabilities: np.ndarray, complementary_labels: np.ndarray, transition: np.ndarray) -> float:
    """Compute the mean of -ln P(complementary label | image), in nats.

    The forward correction of Patrini et al. (2017) and Yu et al. (2018) as a score. For uniform complementary labels a
    perfect network reaches ln(K - 1), and one that always predicts the uniform distribution ln(K).

    >>> round(forward_loss(np.eye(3), np.array([1, 2, 0]), uniform_transition(3)), 4)
    0.6931
    """
    of_label = np.einsum("nj,jn->n", probabilities, transition[:, complementary_labels])
    return float(-np.log(np.maximum(of_label, EPSILON)).mean())


def estimate_share_correct(probabilities: np.ndarray, complementary_labels: np.ndarray) -> float:
    """Estimate by maximum likelihood the share of labels that are correct, the others being uniformly wrong.

    Found by expectation maximization: the more confident the network is of the label, the likelier it is correct. It
    relies on the network's probabilities: a confident error counts as a correct label.
    """
    classes = probabilities.shape[1]
    rows = np.arange(len(complementary_labels))
    of_label = np.clip(probabilities[rows, complementary_labels], EPSILON, 1 - EPSILON).astype(np.float64)
    share = 1 / (2 * classes)
    for _ in range(100):
        correct = share * of_label
        before, share = share, (correct / (correct + (1 - share) * (1 - of_label) / (classes - 1))).mean()
        if abs(share - before) < 1e-7:
            break
    return float(share)


def posterior(probabilities: np.ndarray, complementary_labels: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Combine predictions with labels by Bayes' rule: float32 (n, K), rows summing to 1.

    With a uniform transition of zero diagonal this rules out the label and renormalizes.

    >>> posterior(np.array([[0.5, 0.3, 0.2]]), np.array([0]), uniform_transition(3)).round(2).tolist()
    [[0.0, 0.6000000238418579, 0.4000000059604645]]
    """
    joint = np.maximum(probabilities, EPSILON) * transition[:, complementary_labels].T
    return (joint / joint.sum(axis=1, keepdims=True)).astype(np.float32)


def unbiased_accuracy(
    predictions: np.ndarray, complementary_labels: np.ndarray, classes: int
) -> tuple[float, tuple[float, float]]:
    """Estimate the accuracy from labels that are all uniformly wrong, without bias.

    A correct prediction never equals the complementary label, and a wrong one does in one of K - 1 cases, so the
    accuracy is 1 - (K - 1) * P(prediction == label). Each label that is correct after all costs the estimate K - 1
    images where its prediction is correct.

    Returns:
        The estimate, and its 95 % interval from Wilson's (1927) for the share of predictions that equal the label; both
        can lie below 0, as unbiased estimates do.

    >>> estimate, interval = unbiased_accuracy(np.array([1, 2, 0, 0]), np.array([2, 0, 1, 1]), classes=3)
    >>> estimate, [round(bound, 2) for bound in interval]
    (1.0, [0.02, 1.0])
    """
    agreeing = int((predictions == complementary_labels).sum())
    share, (low, high) = agreeing / len(complementary_labels), wilson_interval(agreeing, len(complementary_labels))
    factor = classes - 1
    # Wilson's lower bound for 0 of n is 0 up to rounding.
    return 1 - factor * share, (1 - factor * high, 1 - factor * min(low, share))


def validation_scores(probabilities: np.ndarray, complementary_labels: np.ndarray) -> dict[str, float]:
    """Score a validation set by complementary labels as Keras logs it: val_loss and val_accuracy.

    The loss is the forward loss with the share of correct labels that fits best: a few such images, seen by a confident
    network, would outweigh all others. The accuracy is estimated.
    """
    classes = probabilities.shape[1]
    transition = uniform_transition(classes, estimate_share_correct(probabilities, complementary_labels))
    return {
        "val_loss": forward_loss(probabilities, complementary_labels, transition),
        "val_accuracy": unbiased_accuracy(probabilities.argmax(axis=1), complementary_labels, classes)[0],
    }


def estimate_accuracy(
    probabilities: np.ndarray, complementary_labels: np.ndarray, resamples: int = 200
) -> AccuracyEstimate:
    """Estimate the accuracy on images that were not trained on, from their complementary labels alone."""
    classes, n = probabilities.shape[1], len(complementary_labels)
    predictions = probabilities.argmax(axis=1)
    accuracy, interval = unbiased_accuracy(predictions, complementary_labels, classes)

    def adjusted(chosen: np.ndarray | slice) -> tuple[float, float]:
        share = estimate_share_correct(probabilities[chosen], complementary_labels[chosen])
        agreeing = (predictions[chosen] == complementary_labels[chosen]).mean()
        return share, min(1.0, float((1 - share - (classes - 1) * agreeing) / (1 - classes * share)))

    share_correct, adjusted_accuracy = adjusted(slice(None))
    bounds = bootstrap_interval(lambda chosen: adjusted(chosen)[1], n, resamples)
    return AccuracyEstimate(n, accuracy, interval, share_correct, adjusted_accuracy, bounds)
