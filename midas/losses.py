"""What a label is taken to say: that an image is of this class, or only that it is not."""

import math

import keras
from keras import ops

COMPLEMENTARY = "complementary"


@keras.saving.register_keras_serializable(package="midas")
class ComplementaryCrossentropy(keras.losses.Loss):
    """Negative log-likelihood of a label that names a class the image does not belong to.

    With wrong labels spread evenly over the other K-1 classes, class k is given with probability (1 - p_k) / (K - 1),
    so the loss is ln(K - 1) - ln(1 - p_k), with ln(1 - p_k) = logsumexp of all logits but k minus logsumexp of all. It
    is computed in this form because 1 - p_k itself vanishes in floating point when the network is sure of k. A perfect
    network reaches ln(K - 1).

    This is the forward correction of Yu et al. (2018, "Learning with Biased Complementary Labels") with an even
    transition matrix; up to the constant, it is the negative learning of Kim et al. (2019) and SCL-NL of Chou et al.
    (2020).

    Shapes: labels int (n,), logits float (n, K) -> float (n,).
    """

    def __init__(self, reduction="sum_over_batch_size", name="complementary_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        classes = y_pred.shape[-1]
        given = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes, dtype="bool")
        others = ops.where(given, ops.cast(-math.inf, y_pred.dtype), y_pred)
        return math.log(classes - 1) + ops.logsumexp(y_pred, axis=-1) - ops.logsumexp(others, axis=-1)


@keras.saving.register_keras_serializable(package="midas")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy with a part of the target, `smoothing` in [0, 1), spread evenly over all classes.

    Label smoothing (Szegedy et al. 2016, "Rethinking the Inception architecture", section 7) for labels given as
    numbers: logsumexp of the logits, minus (1 - smoothing) of the label's logit, minus smoothing of their mean.

    Shapes: labels int (n,), logits float (n, K) -> float (n,).
    """

    def __init__(self, smoothing, reduction="sum_over_batch_size", name="smoothed_crossentropy", dtype=None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        labels = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
        of_label = ops.sum(labels * y_pred, axis=-1)
        target = (1 - self.smoothing) * of_label + self.smoothing * ops.mean(y_pred, axis=-1)
        return ops.logsumexp(y_pred, axis=-1) - target

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


def make(name: str, smoothing: float = 0.0) -> keras.losses.Loss:
    """Make the loss of an experiment: "given" or "complementary", of which only the first can be smoothed."""
    if name == COMPLEMENTARY:
        return ComplementaryCrossentropy()
    if smoothing:
        return SmoothedCrossentropy(smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
