"""Losses for labels that name the class of an image, or only a class that it does not belong to.

Unless a class says otherwise, labels are int (n,) or (n, 1), logits float (n, K), and the loss is float (n,). K is the
number of classes, p the softmax of the logits, and k the label of an image. The `options` of a class are the name,
reduction and dtype of `keras.losses.Loss`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

VIEWS = 2  # augmented copies of each image in a step of `ProgressiveIdentification`
MOMENTUM = 0.7  # of the targets' moving average
DELAY = 0.4  # fraction of the training before the targets count, ...
RISE = 0.1  # ... and over which their weight then rises to 1
SHARPNESS = 2  # power that targets are raised to


def _one_hot(labels: Any, logits: Any, dtype: str | None = None) -> Any:
    """Encode labels, which Keras passes as floats and maybe in a column, as rows (n, K), by default like the logits."""
    flat = ops.cast(ops.reshape(labels, (-1,)), "int32")
    return ops.one_hot(flat, logits.shape[-1], dtype=dtype or logits.dtype)


def _negative_log_likelihood(candidates: Any, logits: Any) -> Any:
    """Compute -ln of the summed probability of candidate classes, bool (n, K)."""
    of_candidates = ops.where(candidates, logits, ops.cast(-math.inf, logits.dtype))
    return ops.logsumexp(logits, axis=-1) - ops.logsumexp(of_candidates, axis=-1)


@keras.saving.register_keras_serializable(package="midas")
class ComplementaryCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of a complementary label: ln(K - 1) - ln(1 - p_k).

    If the label is drawn uniformly from the K - 1 classes that the image does not belong to, it is k with probability
    (1 - p_k) / (K - 1). Computed with ln(1 - p_k) = logsumexp of all logits but k minus logsumexp of all, because
    1 - p_k itself vanishes in floating point for a network that is confident of k. A perfect network reaches ln(K - 1).

    The literature has this loss under many names. It is the forward correction of Yu et al. (2018, "Learning with
    Biased Complementary Labels") with a uniform transition matrix. Without the constant it is the negative learning of
    Kim et al. (2019, "NLNL") and SCL-NL of Chou et al. (2020); up to another constant factor, L_LOG of Feng et al.
    (2020, "Learning with Multiple Complementary Labels") for one label per image.

    >>> logits = ops.log([[0.5, 0.25, 0.25]])
    >>> round(float(ComplementaryCrossentropy()(ops.array([0]), logits)), 4)  # ln 2 - ln 0.5
    1.3863
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss."""
        candidates = ops.logical_not(_one_hot(y_true, y_pred, "bool"))
        return math.log(y_pred.shape[-1] - 1) + _negative_log_likelihood(candidates, y_pred)


@keras.saving.register_keras_serializable(package="midas")
class ProgressiveIdentification(ComplementaryCrossentropy):
    """`ComplementaryCrossentropy`, and later in the training cross-entropy to targets that the network itself finds.

    Progressive identification of the true labels (PRODEN, Lv et al. 2020) with consistency regularization between
    augmented copies (Wu et al. 2022, "Revisiting Consistency Regularization for Deep Partial Label Learning"). A batch
    holds two augmented copies of each image, which share one target. The loss of a copy is

        ln(K - 1) - ln(1 - p_k) - w sum_j t_j ln p_j

    Each image's target is a moving average, from an even one on, of the network's answers to that image: the softmax of
    the mean log-probabilities of both copies, without the complementary label k. For the loss it is squared and
    normalized. An answer counts from the next epoch on. The weight w is 0 for the first 40 % of the steps, and rises to
    1 within the next 10 %: earlier answers are too uncertain to learn from.

    The loss thus has a state: the targets and the number of steps. Keras saves it with a compiled network.

    Args:
        images: number of images in the training set, at most 2^24, as Keras passes their indices as floats.
        classes: K.
        steps: number of steps of the whole training.

    Shapes: labels (2 b, 2), for each copy the index of its image and the complementary label, first one copy of every
    image and then the other ones in the same order; logits float (2 b, K) -> float (2 b,).

    >>> loss = ProgressiveIdentification(images=1, classes=3, steps=10)
    >>> round(float(loss(ops.array([[0, 2], [0, 2]]), ops.log([[0.5, 0.25, 0.25]] * 2))), 4)  # ln 2 - ln 0.75
    0.9808
    >>> loss.targets.numpy().round(2).tolist()  # 0.7 (1/2, 1/2, 0) + 0.3 (2/3, 1/3, 0)
    [[0.550000011920929, 0.44999998807907104, 0.0]]
    """

    def __init__(self, images: int, classes: int, steps: int, **options: Any) -> None:
        super().__init__(**options)
        self.images, self.classes, self.steps = images, classes, steps
        self.targets = tf.Variable(tf.fill((images, classes), tf.constant(1 / classes, self.dtype)), trainable=False)
        self.step = tf.Variable(tf.constant(0, self.dtype), trainable=False)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss, and update the targets."""
        index, label = ops.unstack(ops.cast(ops.reshape(y_true, (VIEWS, -1, 2))[0], "int32"), axis=-1)
        candidates = ops.logical_not(_one_hot(label, y_pred, "bool"))
        targets = _normalized(ops.where(candidates, ops.take(self.targets, index, axis=0), 0.0))
        log_p = ops.reshape(ops.log_softmax(y_pred), (VIEWS, -1, self.classes))
        answers = ops.softmax(ops.where(candidates, ops.mean(log_p, axis=0), -math.inf))
        self.targets.scatter_nd_update(index[:, None], MOMENTUM * targets + (1 - MOMENTUM) * answers)
        weight = ops.clip((self.step / self.steps - DELAY) / RISE, 0, 1)
        self.step.assign_add(1)
        cross_entropy = -ops.sum(_normalized(targets**SHARPNESS) * log_p, axis=-1)
        return super().call(y_true[:, 1], y_pred) + weight * ops.reshape(cross_entropy, (-1,))

    def get_config(self) -> dict[str, Any]:
        """Give the settings, as Keras saves them."""
        return {**super().get_config(), "images": self.images, "classes": self.classes, "steps": self.steps}

    def save_own_variables(self, store: Any) -> None:
        """Save the state, as Keras asks for."""
        store["targets"], store["step"] = self.targets.numpy(), self.step.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restore the state, as Keras asks for."""
        self.targets.assign(store["targets"])
        self.step.assign(store["step"])


def _normalized(values: Any) -> Any:
    return values / ops.sum(values, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="midas")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy with label smoothing: the fraction `smoothing` of the target is spread over all classes.

    Szegedy et al. (2016, "Rethinking the Inception Architecture", section 7), for labels given as class indices:
    logsumexp of the logits, minus (1 - smoothing) times the label's logit, minus smoothing times their mean.

    >>> round(float(SmoothedCrossentropy(0.1)(ops.array([0]), ops.log([[0.5, 0.5]]))), 4)  # ln 2
    0.6931
    """

    def __init__(self, smoothing: float, **options: Any) -> None:
        super().__init__(**options)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss."""
        of_label = ops.sum(_one_hot(y_true, y_pred) * y_pred, axis=-1)
        target = (1 - self.smoothing) * of_label + self.smoothing * ops.mean(y_pred, axis=-1)
        return ops.logsumexp(y_pred, axis=-1) - target

    def get_config(self) -> dict[str, Any]:
        """Give the settings, as Keras saves them."""
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="midas")
class ExponentialSurrogate(keras.losses.Loss):
    """SCL-EXP of Chou et al. (2020, "Unbiased Risk Estimators Can Mislead") for complementary labels: exp(p_k).

    Lies between 1 and e, so that no single label dominates; but it saturates where the network is confident of k, and
    such an image has almost no gradient.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss."""
        return ops.exp(ops.sum(_one_hot(y_true, y_pred) * ops.softmax(y_pred, axis=-1), axis=-1))


@keras.saving.register_keras_serializable(package="midas")
class WeightedDiscriminative(keras.losses.Loss):
    """L-W of Gao and Zhang (2021, "Discriminative Complementary-Label Learning with Weighted Loss").

    Models the complementary label itself by q = softmax(1 - p), and weights its cross-entropy, L-UW, by the confidence
    that k is wrong: -(1 + w) ln q_k with w = (1 - p_k) / (K - 1). The gradient also goes through w, as in the authors'
    code (github.com/GaoYi439/complementary-label-learning) and in libcll. Bounded, as SCL-EXP is.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss."""
        given = _one_hot(y_true, y_pred)
        probabilities = ops.softmax(y_pred, axis=-1)
        weight = (1 - ops.sum(given * probabilities, axis=-1)) / (y_pred.shape[-1] - 1)
        return -(1 + weight) * ops.sum(given * ops.log_softmax(-probabilities, axis=-1), axis=-1)


@keras.saving.register_keras_serializable(package="midas")
class UnbiasedRisk(keras.losses.Loss):
    """Unbiased estimate, from uniform complementary labels, of the cross-entropy with true labels.

    Ishida et al. (2019, "Complementary-Label Learning for Arbitrary Losses and Models"). With l_c(x) = -ln p_c, the
    part of class c in the risk is estimated over the batch, with the label proportions of the batch:

        R_c = 1/n (sum_i l_c(x_i) - (K - 1) sum of l_c(x_i) over the images i labeled c)

    The sum of all R_c is unbiased, but not bounded below: a network that is confident that images do not belong to
    their labels makes R_c, whose true value is never negative, arbitrarily negative. Hence the corrections.

    Args:
        correction: "none", sum_c R_c; "non-negative", sum_c max(0, R_c); or "gradient-ascent", which follows the
            gradient of -sum_c min(0, R_c) while any R_c is negative, so that it rises again. The value of the last
            stays sum_c R_c, because the followed one jumps and would not show progress.

    Shapes: labels int (n,), logits float (n, K) -> float (), whatever the reduction, as it is a loss of the batch.
    Sample weights are not supported.

    Raises:
        ValueError: there is no such correction.
    """

    def __init__(self, correction: str = "none", **options: Any) -> None:
        super().__init__(**options)
        if correction not in ("none", "non-negative", "gradient-ascent"):
            raise ValueError(f"no correction {correction!r}; there are none, non-negative and gradient-ascent")
        self.correction = correction

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss."""
        factors = 1 - (y_pred.shape[-1] - 1) * _one_hot(y_true, y_pred)
        risks = ops.mean(-factors * ops.log_softmax(y_pred, axis=-1), axis=0)
        if self.correction == "non-negative":
            return ops.sum(ops.relu(risks))
        risk = ops.sum(risks)
        if self.correction == "gradient-ascent":
            followed = ops.where(ops.any(risks < 0), ops.sum(ops.relu(-risks)), risk)
            return followed + ops.stop_gradient(risk - followed)
        return risk

    def get_config(self) -> dict[str, Any]:
        """Give the settings, as Keras saves them."""
        return {**super().get_config(), "correction": self.correction}


# The losses of experiments, by name, but for the one with a state. All but the first take labels as complementary. The
# first is a baseline for such labels, too: trained with it, a network gives the lowest probability to the true class,
# which is never the label.
LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "cross-entropy": partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
    "complementary": ComplementaryCrossentropy,
    "scl-exp": ExponentialSurrogate,
    "unbiased": partial(UnbiasedRisk, "none"),
    "non-negative": partial(UnbiasedRisk, "non-negative"),
    "gradient-ascent": partial(UnbiasedRisk, "gradient-ascent"),
    "l-w": WeightedDiscriminative,
}

# Losses that are not sums over the images of a batch, or that keep something of each image.
WHOLE_BATCH = ("progressive", "unbiased", "non-negative", "gradient-ascent")


def make_loss(name: str, smoothing: float = 0.0) -> keras.losses.Loss:
    """Make a loss of `LOSSES`; only "cross-entropy" supports label smoothing."""
    if name == "cross-entropy" and smoothing:
        return SmoothedCrossentropy(smoothing)
    return LOSSES[name]()
