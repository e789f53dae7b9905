"""What a folder says about an image when folders are wrong: likelihood, posterior, and accuracy without true labels.

Arrays to arrays. Throughout, `probabilities` is what a network that never saw these folders says of an image's true
class, float (n, K), rows summing to 1; `folders` is where the images were filed, int (n,); and `transition` is float
(K, K), row j the probabilities of the folders that an image of class j is filed in.
"""

import numpy as np

from midas.metrics.classification import wilson_interval

TINY = 1e-12  # keeps logarithms finite where a network is certain
POSSIBLE = 0.05  # a class less probable than this is ruled out


def even_transition(classes: int, right: float = 0.0) -> np.ndarray:
    """Give the transition matrix of labels that are right for a share of the images, else evenly wrong.

    >>> even_transition(3, right=0.2).round(2).tolist()
    [[0.2, 0.4, 0.4], [0.4, 0.2, 0.4], [0.4, 0.4, 0.2]]
    """
    matrix = np.full((classes, classes), (1 - right) / (classes - 1))
    np.fill_diagonal(matrix, right)
    return matrix


def forward_loss(probabilities: np.ndarray, folders: np.ndarray, transition: np.ndarray) -> float:
    """Score answers by the folders: the mean of -ln P(folder | image), in nats.

    The forward correction of Patrini et al. (2017) and Yu et al. (2018) as a measure. Where labels are evenly wrong a
    perfect network reaches ln(K - 1), and one that knows nothing ln(K).

    >>> round(forward_loss(np.eye(3), np.array([1, 2, 0]), even_transition(3)), 4)
    0.6931
    """
    of_folder = np.einsum("nj,jn->n", probabilities, transition[:, folders])
    return float(-np.log(np.maximum(of_folder, TINY)).mean())


def share_right(probabilities: np.ndarray, folders: np.ndarray) -> float:
    """Estimate by maximum likelihood how large a part of the images lies in its own folder, the rest evenly not.

    Found by expectation maximisation: an image is likelier filed right the surer the network is of its folder. Trusts
    the network's probabilities: where it is sure and mistaken, the image counts as filed right.
    """
    classes = probabilities.shape[1]
    of_folder = np.clip(probabilities[np.arange(len(folders)), folders], TINY, 1 - TINY).astype(np.float64)
    right = 1 / (2 * classes)
    for _ in range(100):
        filed_right = right * of_folder
        before, right = right, (filed_right / (filed_right + (1 - right) * (1 - of_folder) / (classes - 1))).mean()
        if abs(right - before) < 1e-7:
            break
    return float(right)


def posterior(probabilities: np.ndarray, folders: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Combine what a network says with where an image was filed, by Bayes' rule: float32 (n, K), rows summing to 1.

    With an even transition of zero diagonal this strikes out the folder and shares the rest out in proportion.

    >>> posterior(np.array([[0.5, 0.3, 0.2]]), np.array([0]), even_transition(3)).round(2).tolist()
    [[0.0, 0.6000000238418579, 0.4000000059604645]]
    """
    joint = np.maximum(probabilities, TINY) * transition[:, folders].T
    return (joint / joint.sum(axis=1, keepdims=True)).astype(np.float32)


def candidates(probabilities: np.ndarray) -> np.ndarray:
    """Say which classes an image may be of: bool (n, K), true where the probability is at least `POSSIBLE`, or highest.

    >>> candidates(np.array([[0.9, 0.08, 0.02], [0.5, 0.47, 0.03]])).tolist()
    [[True, True, False], [True, True, False]]
    """
    return probabilities >= np.minimum(POSSIBLE, probabilities.max(axis=1, keepdims=True))


def estimated_accuracy(answers: np.ndarray, folders: np.ndarray, classes: int) -> tuple[float, tuple[float, float]]:
    """Estimate how many answers are right, from folders that are all evenly wrong.

    A right answer is never the folder, and a wrong one is in one of K - 1 cases, so the accuracy is
    1 - (K - 1) * P(answer == folder), without bias. The images must not have been trained on. Each image that is filed
    right after all costs the estimate K - 1 images where its answer is right.

    Returns:
        The estimate, and its 95 % interval from Wilson's (1927) for the share of answers that are the folder; both may
        lie below 0, or the interval above the estimate, as estimates without bias do.

    >>> estimate, interval = estimated_accuracy(np.array([1, 2, 0, 0]), np.array([2, 0, 1, 1]), classes=3)
    >>> estimate, [round(bound, 2) for bound in interval]
    (1.0, [0.02, 1.0])
    """
    agreeing = int((answers == folders).sum())
    share, (low, high) = agreeing / len(folders), wilson_interval(agreeing, len(folders))
    factor = classes - 1
    # Wilson's bound below 0 of n is 0 but for the last digit.
    return 1 - factor * share, (1 - factor * high, 1 - factor * min(low, share))


def validate(probabilities: np.ndarray, folders: np.ndarray) -> dict:
    """Score answers to held-out images by their folders: val_loss, `forward_loss` at its lowest, and val_accuracy."""
    classes = probabilities.shape[1]
    transition = even_transition(classes, share_right(probabilities, folders))
    return {
        "val_loss": forward_loss(probabilities, folders, transition),
        "val_accuracy": estimated_accuracy(probabilities.argmax(axis=1), folders, classes)[0],
    }


def estimate(probabilities: np.ndarray, folders: np.ndarray, resamples: int = 200) -> dict:
    """Estimate the accuracy of answers to images that were not trained on, from their folders alone.

    Returns:
        accuracy and its interval, as `estimated_accuracy` gives them, for folders that are all wrong; right, the share
        of images filed right, as `share_right` finds it; and adjusted_accuracy and adjusted_interval, which allow for
        that share r: (1 - r - (K - 1) * P(answer == folder)) / (1 - K * r), with the interval by the percentile
        bootstrap (Efron 1979) over images, at most 1. It trusts the network not to be sure where it is mistaken.
    """
    classes, images = probabilities.shape[1], len(folders)
    answers = probabilities.argmax(axis=1)
    accuracy, interval = estimated_accuracy(answers, folders, classes)

    def adjusted(chosen) -> tuple[float, float]:
        right = share_right(probabilities[chosen], folders[chosen])
        agreeing = (answers[chosen] == folders[chosen]).mean()
        return right, min(1.0, float((1 - right - (classes - 1) * agreeing) / (1 - classes * right)))

    rng = np.random.default_rng(0)
    right, best = adjusted(slice(None))
    spread = [adjusted(rng.integers(0, images, images))[1] for _ in range(resamples)]
    return {
        "images": images,
        "accuracy": accuracy,
        "interval": list(interval),
        "right": right,
        "adjusted_accuracy": best,
        "adjusted_interval": np.quantile(spread, (0.025, 0.975)).tolist(),
    }
