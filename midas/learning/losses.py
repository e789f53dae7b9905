"""What a label is taken to say: that an image is of this class, or only that it is not.

Unless a class says otherwise: labels int (n,) or (n, 1), logits float (n, K) -> float (n,). K is the number of classes,
p the softmax of the logits, and k the label of an image.
"""

import math
from functools import partial

import keras
import numpy as np
from keras import ops

COMPLEMENTARY = "complementary"


def _numbers(labels):
    """Flatten labels to int32 (n,): Keras hands them over as floats, and a pipeline perhaps as a column."""
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def _one_hot(labels, logits, dtype=None):
    """Give each label a row (n, K), of the type of the logits unless told otherwise."""
    return ops.one_hot(_numbers(labels), logits.shape[-1], dtype=dtype or logits.dtype)


def _surprise(possible, logits):
    """-ln of the probability of the possible classes, bool (n, K): logsumexp of all logits minus that of theirs."""
    theirs = ops.where(possible, logits, ops.cast(-math.inf, logits.dtype))
    return ops.logsumexp(logits, axis=-1) - ops.logsumexp(theirs, axis=-1)


@keras.saving.register_keras_serializable(package="midas")
class ComplementaryCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of a label that names a class the image does not belong to.

    With wrong labels spread evenly over the other K-1 classes, class k is given with probability (1 - p_k) / (K - 1),
    so the loss is ln(K - 1) - ln(1 - p_k), with ln(1 - p_k) = logsumexp of all logits but k minus logsumexp of all. It
    is computed in this form because 1 - p_k itself vanishes in floating point when the network is sure of k. A perfect
    network reaches ln(K - 1).

    The literature has this loss under many names. It is the forward correction of Yu et al. (2018, "Learning with
    Biased Complementary Labels") with an even transition matrix. Without the constant it is the negative learning of
    Kim et al. (2019, "NLNL") and SCL-NL of Chou et al. (2020); times a constant besides, L_LOG of Feng et al. (2020,
    "Learning with Multiple Complementary Labels") for one label an image.
    """

    def __init__(self, reduction="sum_over_batch_size", name="complementary_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        possible = ops.logical_not(_one_hot(y_true, y_pred, "bool"))
        return math.log(y_pred.shape[-1] - 1) + _surprise(possible, y_pred)


@keras.saving.register_keras_serializable(package="midas")
class CandidateCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of an image being of one of some classes: -ln of the sum of their p.

    L_LOG of Feng et al. (2020, "Learning with Multiple Complementary Labels"), also known from learning with partial
    labels (Jin and Ghahramani 2002). With one class left it is cross-entropy, with all but one the negative learning of
    `ComplementaryCrossentropy`, without its constant.

    Shapes: labels (n, K), true or 1 for the classes that the image may be of, at least one; logits float (n, K) ->
    float (n,).
    """

    def __init__(self, reduction="sum_over_batch_size", name="candidate_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return _surprise(ops.cast(y_true, "bool"), y_pred)


@keras.saving.register_keras_serializable(package="midas")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy with a part of the target, `smoothing` in [0, 1), spread evenly over all classes.

    Label smoothing (Szegedy et al. 2016, "Rethinking the Inception architecture", section 7) for labels given as
    numbers: logsumexp of the logits, minus (1 - smoothing) of the label's logit, minus smoothing of their mean.
    """

    def __init__(self, smoothing, reduction="sum_over_batch_size", name="smoothed_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        of_label = ops.sum(_one_hot(y_true, y_pred) * y_pred, axis=-1)
        target = (1 - self.smoothing) * of_label + self.smoothing * ops.mean(y_pred, axis=-1)
        return ops.logsumexp(y_pred, axis=-1) - target

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="midas")
class ForwardCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of labels that are wrong in a known way: -ln sum_j p_j T[j, k].

    Forward correction (Patrini et al. 2017, "Making Deep Neural Networks Robust to Label Noise"; for complementary
    labels Yu et al. 2018). With an even T of zero diagonal it is `ComplementaryCrossentropy`, with the identity
    cross-entropy. Computed as logsumexp_j z_j - logsumexp_j (z_j + ln T[j, k]) of the logits z, in which an impossible
    j counts as -inf and takes no gradient.

    Args:
        transition: (K, K), row j the probabilities of the labels given to images of class j. May hold zeros, but a
            label that no class leads to has an infinite loss.

    Raises:
        ValueError: the matrix is not square, or a row is not of probabilities that sum to 1.
    """

    def __init__(self, transition, reduction="sum_over_batch_size", name="forward_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        matrix = np.array(transition, np.float64)
        if matrix.shape != (len(matrix), len(matrix)) or (matrix < 0).any() or not np.allclose(matrix.sum(axis=1), 1):
            raise ValueError(f"not a square matrix of rows that sum to 1: {matrix.tolist()}")
        self.transition = matrix.tolist()
        with np.errstate(divide="ignore"):
            self._log_columns = np.log(matrix.T)

    def call(self, y_true, y_pred):
        of_label = ops.take(ops.cast(self._log_columns, y_pred.dtype), _numbers(y_true), axis=0)
        return ops.logsumexp(y_pred, axis=-1) - ops.logsumexp(y_pred + of_label, axis=-1)

    def get_config(self):
        return {**super().get_config(), "transition": self.transition}


@keras.saving.register_keras_serializable(package="midas")
class ExponentialSurrogate(keras.losses.Loss):
    """SCL-EXP of Chou et al. (2020, "Unbiased Risk Estimators Can Mislead"), for complementary labels: exp(p_k).

    Lies between 1 and e, so that a single label, right or wrong, counts for little; but it is flat where the network is
    sure of k, and such an image teaches nothing.
    """

    def __init__(self, reduction="sum_over_batch_size", name="exponential_surrogate", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return ops.exp(ops.sum(_one_hot(y_true, y_pred) * ops.softmax(y_pred, axis=-1), axis=-1))


@keras.saving.register_keras_serializable(package="midas")
class WeightedDiscriminative(keras.losses.Loss):
    """L-W of Gao and Zhang (2021, "Discriminative Complementary-Label Learning with Weighted Loss").

    Models the complementary label itself, by q = softmax(1 - p), and weighs its cross-entropy, L-UW, by how sure the
    network is already that k is wrong: -(1 + w) ln q_k with w = (1 - p_k) / (K - 1). The gradient goes through w too,
    as in the authors' code (github.com/GaoYi439/complementary-label-learning) and in libcll. Bounded, as SCL-EXP is.
    """

    def __init__(self, reduction="sum_over_batch_size", name="weighted_discriminative", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        given = _one_hot(y_true, y_pred)
        probabilities = ops.softmax(y_pred, axis=-1)
        weight = (1 - ops.sum(given * probabilities, axis=-1)) / (y_pred.shape[-1] - 1)
        return -(1 + weight) * ops.sum(given * ops.log_softmax(-probabilities, axis=-1), axis=-1)


@keras.saving.register_keras_serializable(package="midas")
class UnbiasedRisk(keras.losses.Loss):
    """Estimate, from evenly wrong labels, what the cross-entropy would be if the true labels were known.

    Ishida et al. (2019, "Complementary-Label Learning for Arbitrary Losses and Models"). With l_c(x) = -ln p_c, the
    part of class c in the risk is estimated over the batch, the shares of the labels being those in it:

        R_c = 1/n (sum_i l_c(x_i) - (K - 1) sum of l_c(x_i) over the images i labelled c)

    The sum of all R_c is unbiased, but none is bounded below: a network that is sure that an image is not of its label
    makes R_c, which cannot be negative in truth, as negative as it likes. Hence the corrections.

    Args:
        correction: "none", sum_c R_c; "non-negative", sum_c max(0, R_c); or "gradient-ascent", which, as long as some
            R_c is negative, follows the gradient of -sum_c min(0, R_c) instead, so that these rise again. The value
            of the last is sum_c R_c all the same: what it follows jumps, and would be no measure of progress.

    Shapes: labels int (n,), logits float (n, K) -> float (), whatever the reduction, as it is a loss of the batch. An
    image cannot be given a weight.

    Raises:
        ValueError: there is no such correction.
    """

    def __init__(self, correction="none", reduction="sum_over_batch_size", name="unbiased_risk", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if correction not in ("none", "non-negative", "gradient-ascent"):
            raise ValueError(f"no correction {correction!r}; there are none, non-negative and gradient-ascent")
        self.correction = correction

    def call(self, y_true, y_pred):
        factors = 1 - (y_pred.shape[-1] - 1) * _one_hot(y_true, y_pred)
        risks = ops.mean(-factors * ops.log_softmax(y_pred, axis=-1), axis=0)
        if self.correction == "non-negative":
            return ops.sum(ops.relu(risks))
        risk = ops.sum(risks)
        if self.correction == "gradient-ascent":
            followed = ops.where(ops.any(risks < 0), ops.sum(ops.relu(-risks)), risk)
            return followed + ops.stop_gradient(risk - followed)
        return risk

    def get_config(self):
        return {**super().get_config(), "correction": self.correction}


# What an experiment may name. All but the first take the label for a class that the image is not of. The first is the
# baseline for such labels too: a network so trained gives the least probability to the class that is never the label.
LOSSES = {
    "given": partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True),
    COMPLEMENTARY: ComplementaryCrossentropy,
    "scl-exp": ExponentialSurrogate,
    "unbiased": partial(UnbiasedRisk, "none"),
    "non-negative": partial(UnbiasedRisk, "non-negative"),
    "gradient-ascent": partial(UnbiasedRisk, "gradient-ascent"),
    "l-w": WeightedDiscriminative,
}


def make(name: str, smoothing: float = 0.0) -> keras.losses.Loss:
    """Make the loss of an experiment: a key of `LOSSES`, of which only "given" can be smoothed."""
    if name == "given" and smoothing:
        return SmoothedCrossentropy(smoothing)
    return LOSSES[name]()
