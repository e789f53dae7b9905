"""Generated labels with known noise, and predictions for them."""

import numpy as np

CLASSES = 10


def pair_flip(share_wrong: float, classes: int = CLASSES) -> np.ndarray:
    """The transition of labels that are the next class where they are wrong."""
    return (1 - share_wrong) * np.eye(classes) + share_wrong * np.roll(np.eye(classes), 1, axis=1)


def generate(
    transition: np.ndarray, n: int = 4000, seed: int = 0, skill: float = 40.0, out_of_fold: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw true classes, given labels, and predictions: of the labels if out of fold, otherwise of the classes.

    Images differ in how clear they are; the least clear are guessed.
    """
    rng = np.random.default_rng(seed)
    classes = len(transition)
    truth = rng.integers(0, classes, n)
    clear = skill * rng.random((n, 1)) * 2
    logits = rng.normal(size=(n, classes)) + clear * np.eye(classes)[truth]
    # The posterior of such an observation: the best that a network can predict.
    exponentials = np.exp(clear * (logits - logits.max(axis=1, keepdims=True)))
    predicted = exponentials / exponentials.sum(axis=1, keepdims=True)
    given_labels = (rng.random((n, 1)) > transition[truth].cumsum(axis=1)).sum(axis=1)
    return truth, given_labels, (predicted @ transition if out_of_fold else predicted).astype(np.float32)
