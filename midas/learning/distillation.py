"""Knowledge distillation: a network learns from what other networks predict, beside the labels.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", without a temperature. Teachers see the
same augmented image as the network that learns, so they answer for what is there to be seen, which may be less clear
than the label says (Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from midas.learning.models import takes_places

WEIGHT = 0.7  # of the teachers in the loss; the rest is that of the labels


def learn_from(teachers: Sequence[keras.Model], model: keras.Model) -> None:
    """Make a compiled network learn from teachers, too, whenever it is trained; the validation loss stays as it is.

    The loss becomes (1 - WEIGHT) times the compiled one, plus WEIGHT times the cross-entropy to the mean of the
    teachers' probabilities.

    Args:
        teachers: networks that give logits (n, K) for the same inputs, or for the images among them.
        model: network to train.
    """
    of_labels, cross_entropy = model.compute_loss, keras.losses.CategoricalCrossentropy(from_logits=True)

    def compute_loss(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        loss = of_labels(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        images = x[0] if takes_places(model) else x
        logits = [teacher(x if takes_places(teacher) else images, training=False) for teacher in teachers]
        target = ops.mean(ops.softmax(ops.stack(logits)), axis=0)
        return (1 - WEIGHT) * loss + WEIGHT * cross_entropy(target, y_pred)

    model.compute_loss = compute_loss
