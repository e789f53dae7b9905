import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from midas.losses import ComplementaryCrossentropy, SmoothedCrossentropy, make


def complementary(labels, logits):
    return ComplementaryCrossentropy(reduction=None)(np.array(labels), np.array(logits, np.float32)).numpy()


def test_values_worked_out_by_hand():
    # p = (1/2, 1/4, 1/4): "not class 0" has probability (1 - 1/2) / 2 = 1/4, "not class 1" (1 - 1/4) / 2 = 3/8.
    logits = [[math.log(2), 0, 0], [math.log(2), 0, 0]]
    assert complementary([0, 1], logits) == pytest.approx([-math.log(1 / 4), -math.log(3 / 8)], rel=1e-6)


def test_a_perfect_network_reaches_the_entropy_of_the_labels():
    assert complementary([1], [[0, 50.0, 0, 0]]) == pytest.approx([50], rel=1e-6)
    assert complementary([0], [[0, 50.0, 0, 0]]) == pytest.approx([math.log(3)], rel=1e-5)


def test_agrees_with_forward_correction_by_a_transition_matrix():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (64, 10)).astype(np.float32), rng.integers(0, 10, 64)
    transition = (1 - np.eye(10)) / 9
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = -np.log((probabilities @ transition)[np.arange(64), labels])
    assert complementary(labels, logits) == pytest.approx(expected, rel=1e-4)


def test_gradient_agrees_with_differences():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 2, (1, 5)), np.array([2])
    loss = ComplementaryCrossentropy(dtype="float64")
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(labels, variable)
    step = 1e-5
    numeric = [
        (float(loss(labels, logits + step * np.eye(5)[i])) - float(loss(labels, logits - step * np.eye(5)[i])))
        / (2 * step)
        for i in range(5)
    ]
    assert tape.gradient(value, variable).numpy()[0] == pytest.approx(numeric, abs=1e-6)


@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_extreme_logits_stay_finite_with_finite_gradients(scale):
    logits = tf.Variable(np.array([[scale, 0, 0], [-scale, 0, 0], [scale, scale, -scale]], np.float32))
    with tf.GradientTape() as tape:
        losses = ComplementaryCrossentropy(reduction=None)(np.array([0, 0, 1]), logits)
    assert np.isfinite(losses.numpy()).all()
    assert np.isfinite(tape.gradient(losses, logits).numpy()).all()
    assert losses.numpy()[0] == pytest.approx(scale, rel=0.05)


def test_labels_may_come_as_a_column():
    logits = np.zeros((2, 4), np.float32)
    assert complementary([[0], [3]], logits) == pytest.approx(complementary([0, 3], logits))


def test_given_loss_is_cross_entropy_on_logits():
    assert float(make("given")(np.array([0]), np.array([[math.log(3), 0.0]], np.float32))) == pytest.approx(
        -math.log(3 / 4), rel=1e-6
    )


def test_smoothing_worked_out_by_hand_and_as_keras_does_it():
    # p = (3/4, 1/4), target (0.9, 0.1) where a fifth is spread over both.
    value = make("given", 0.2)(np.array([0]), np.array([[math.log(3), 0.0]], np.float32))
    assert float(value) == pytest.approx(-0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4), rel=1e-6)
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 5, (64, 10)).astype(np.float32), rng.integers(0, 10, 64)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    ours = SmoothedCrossentropy(0.1, reduction=None)(labels, logits).numpy()
    assert ours == pytest.approx(theirs(np.eye(10)[labels], logits).numpy(), rel=1e-4, abs=1e-5)
    assert np.isfinite(SmoothedCrossentropy(0.1)(np.array([0]), np.array([[-1e4, 1e4]], np.float32)))


@pytest.mark.parametrize("loss", [ComplementaryCrossentropy(), SmoothedCrossentropy(0.3)])
def test_survives_being_saved(loss):
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(restored) is type(loss) and restored.get_config() == loss.get_config()
