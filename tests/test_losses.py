"""Every loss against hand-computed values, NumPy, numerical gradients, extreme logits, and what theory promises."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from midas import experiments
from midas.learning.losses import (
    LOSSES,
    MOMENTUM,
    ComplementaryCrossentropy,
    ExponentialSurrogate,
    ProgressiveIdentification,
    SmoothedCrossentropy,
    UnbiasedRisk,
    WeightedDiscriminative,
    make_loss,
)

CLASSES = 5


def of_label(values, labels):
    return values[np.arange(len(labels)), labels]


def discriminative(p, k):
    q = np.exp(1 - p) / np.exp(1 - p).sum(axis=1, keepdims=True)
    return -(1 + (1 - of_label(p, k)) / (p.shape[1] - 1)) * np.log(of_label(q, k))


def class_risks(p, k):
    """Estimate the risks as Ishida et al. write them: means over the images of each label, times their shares."""
    losses, classes = -np.log(p), p.shape[1]
    shares = np.array([(k == c).mean() for c in range(classes)])
    means = np.array([losses[k == c].mean(axis=0) if (k == c).any() else np.zeros(classes) for c in range(classes)])
    return np.array([-(classes - 1) * shares[c] * means[c, c] + shares @ means[:, c] for c in range(classes)])


def ascent(p, k):
    risks = class_risks(p, k)
    return -np.minimum(risks, 0).sum() if (risks < 0).any() else risks.sum()


# Name: the loss, and the same in NumPy from probabilities and labels, an image each or a batch. What gradient ascent
# follows is not what it reports, so that only its gradient is that of its formula.
FORMULAS = {
    "complementary": (ComplementaryCrossentropy, lambda p, k: -np.log((1 - of_label(p, k)) / (p.shape[1] - 1))),
    "smoothed": (
        lambda **options: SmoothedCrossentropy(0.3, **options),
        lambda p, k: -0.7 * np.log(of_label(p, k)) - 0.3 * np.log(p).mean(axis=1),
    ),
    "scl-exp": (ExponentialSurrogate, lambda p, k: np.exp(of_label(p, k))),
    "l-w": (WeightedDiscriminative, discriminative),
    "unbiased": (UnbiasedRisk, lambda p, k: class_risks(p, k).sum()),
    "non-negative": (
        lambda **options: UnbiasedRisk("non-negative", **options),
        lambda p, k: np.maximum(class_risks(p, k), 0).sum(),
    ),
    "gradient-ascent": (lambda **options: UnbiasedRisk("gradient-ascent", **options), ascent),
}
every_loss = pytest.mark.parametrize("name", FORMULAS)


def softmax(logits):
    exponentials = np.exp(np.float64(logits) - np.max(logits, axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def example(n=64, scale=3.0, seed=0):
    """Make labels and logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, CLASSES))
    return rng.integers(0, CLASSES, n), logits


def gradient(loss, truth, logits):
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(truth, variable)
    return value.numpy(), tape.gradient(value, variable).numpy()


LN2 = math.log(2)


@pytest.mark.parametrize(
    ("loss", "truth", "expected"),
    [
        # "Not class 0" has probability (1 - 1/2) / 2 = 1/4, "not class 1" (1 - 1/4) / 2 = 3/8.
        (ComplementaryCrossentropy(reduction=None), [0, 1], [2 * LN2, -math.log(3 / 8)]),
        (ExponentialSurrogate(reduction=None), [0, 1], [math.exp(1 / 2), math.exp(1 / 4)]),
        # q_0 = 1 / (1 + 2 exp(1/2 - 1/4)) weighs 1 + 1/2 / 2; q_1 = 1 / (2 + exp(1/4 - 1/2)) weighs 1 + 3/4 / 2.
        (
            WeightedDiscriminative(reduction=None),
            [0, 1],
            [1.25 * math.log(1 + 2 * math.exp(0.25)), 1.375 * math.log(2 + math.exp(-0.25))],
        ),
        # The losses of the classes are ln 2, 2 ln 2, 2 ln 2; labeled 0 twice, class 0 risks ln 2 - 2 ln 2.
        (UnbiasedRisk(), [0, 0], 3 * LN2),
        (UnbiasedRisk("non-negative"), [0, 0], 4 * LN2),
        (UnbiasedRisk("gradient-ascent"), [0, 0], 3 * LN2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_worked_out_by_hand(loss, truth, expected):
    logits = np.array([[LN2, 0, 0]] * 2, np.float32)  # p = (1/2, 1/4, 1/4)
    assert loss(np.array(truth), logits).numpy() == pytest.approx(expected, rel=1e-6)


def test_a_perfect_network_reaches_the_entropy_of_the_labels():
    loss = ComplementaryCrossentropy(reduction=None)
    confident = np.array([[0, 50, 0, 0]] * 2, np.float32)
    assert loss(np.array([1, 0]), confident).numpy() == pytest.approx([50, math.log(3)], rel=1e-5)


@every_loss
def test_agrees_with_the_formula_in_numpy(name):
    make, formula = FORMULAS[name]
    truth, logits = example()
    value = make(reduction=None)(truth, logits.astype(np.float32)).numpy()
    if name == "gradient-ascent":
        formula = FORMULAS["unbiased"][1]
    assert value == pytest.approx(formula(softmax(logits), truth), rel=1e-4, abs=1e-5)


@every_loss
@pytest.mark.parametrize("scale", [0.02, 3])  # small logits give no negative risk, large ones do
def test_gradient_agrees_with_differences_of_the_formula(name, scale):
    make, formula = FORMULAS[name]
    _, logits = example(n=2 * CLASSES, scale=scale)
    truth = np.arange(2 * CLASSES) % CLASSES
    if name == "gradient-ascent":
        assert (class_risks(softmax(logits), truth) < 0).any() == (scale == 3)
    step, numeric = 1e-5, np.zeros_like(logits)
    for place in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[place] = step
        ahead, behind = (np.mean(formula(softmax(logits + way * moved), truth)) for way in (1, -1))
        numeric[place] = (ahead - behind) / (2 * step)
    assert gradient(make(dtype="float64"), truth, logits)[1] == pytest.approx(numeric, abs=1e-7)


@every_loss
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_extreme_logits_stay_finite_with_finite_gradients(name, scale):
    signs = np.array([[1, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [1, 1, -1, -1, 1], [-1, -1, -1, -1, 1]])
    labels = np.array([0, 0, 1, 2])
    for value in gradient(FORMULAS[name][0](reduction=None), labels, (scale * signs).astype(np.float32)):
        assert np.isfinite(value).all()


def test_extreme_logits_cost_what_they_should():
    logits = np.array([[1e4, 0, 0], [-1e4, 1e4, 0]], np.float32)
    labels = np.array([0, 1])
    near = {"rel": 1e-3}
    assert ComplementaryCrossentropy(reduction=None)(labels, logits).numpy() == pytest.approx([1e4, 1e4], **near)
    assert ExponentialSurrogate(reduction=None)(labels, logits).numpy() == pytest.approx([math.e] * 2, **near)
    assert WeightedDiscriminative(reduction=None)(labels, logits).numpy() == pytest.approx(
        [math.log(1 + 2 * math.e)] * 2, **near
    )
    # The losses of the classes are (0, 1, 1) and (2, 0, 1) times 1e4, of which those of the labels count minus once.
    assert float(UnbiasedRisk()(np.array([1, 2]), logits)) == pytest.approx((0 + 1e4) / 2, **near)


@every_loss
def test_labels_may_come_as_a_column(name):
    labels, logits = example()
    loss = FORMULAS[name][0](reduction=None)
    np.testing.assert_array_equal(loss(labels[:, None], logits), loss(labels, logits))


@every_loss
def test_needs_no_batch_of_known_size(name):
    truth, logits = example()
    loss = FORMULAS[name][0]()
    shapes = [tf.TensorSpec([None, *truth.shape[1:]]), tf.TensorSpec([None, CLASSES])]
    traced = tf.function(lambda truth, logits: loss(truth, logits), input_signature=shapes)
    value = traced(truth.astype(np.float32), logits.astype(np.float32))
    assert value.shape == () and float(value) == pytest.approx(float(loss(truth, logits)), rel=1e-5)


def test_the_unbiased_risk_averages_to_cross_entropy_over_all_complementary_labels():
    truth, logits = example(n=7)
    risks = [float(UnbiasedRisk(dtype="float64")((truth + shift) % CLASSES, logits)) for shift in range(1, CLASSES)]
    assert np.mean(risks) == pytest.approx(-np.log(of_label(softmax(logits), truth)).mean(), rel=1e-9)
    assert np.std(risks) > 0.1


def test_gradient_ascent_raises_a_negative_risk():
    truth, logits = example(n=10)
    before = np.minimum(class_risks(softmax(logits), truth), 0).sum()
    step = gradient(UnbiasedRisk("gradient-ascent", dtype="float64"), truth, logits)[1]
    after = np.minimum(class_risks(softmax(logits - 0.1 * step), truth), 0).sum()
    assert before < after < 0


def test_an_unknown_correction_is_refused():
    with pytest.raises(ValueError, match="no correction 'absolute'"):
        UnbiasedRisk("absolute")


def test_cross_entropy_takes_logits():
    value = make_loss("cross-entropy")(np.array([0]), np.array([[math.log(3), 0.0]], np.float32))
    assert float(value) == pytest.approx(-math.log(3 / 4), rel=1e-6)


def test_smoothing_worked_out_by_hand_and_as_keras_does_it():
    # p = (3/4, 1/4), target (0.9, 0.1) where a fifth is spread over both.
    value = make_loss("cross-entropy", 0.2)(np.array([0]), np.array([[math.log(3), 0.0]], np.float32))
    assert float(value) == pytest.approx(-0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4), rel=1e-6)
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 5, (64, 10)).astype(np.float32), rng.integers(0, 10, 64)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    ours = SmoothedCrossentropy(0.1, reduction=None)(labels, logits).numpy()
    assert ours == pytest.approx(theirs(np.eye(10)[labels], logits).numpy(), rel=1e-4, abs=1e-5)


def test_every_loss_of_experiments_can_be_made():
    assert {*LOSSES, "progressive"} == set(experiments.LOSSES)
    truth, logits = example()
    values = {name: float(make_loss(name)(truth, logits)) for name in LOSSES}
    assert values.pop("cross-entropy") == pytest.approx(-np.log(of_label(softmax(logits), truth)).mean(), rel=1e-5)
    for name, value in values.items():
        formula = FORMULAS["unbiased" if name == "gradient-ascent" else name][1]
        assert value == pytest.approx(np.mean(formula(softmax(logits), truth)), rel=1e-5), name
    assert make_loss("gradient-ascent").correction == "gradient-ascent"


@every_loss
def test_survives_serialization(name):
    loss = FORMULAS[name][0]()
    restored = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(restored) is type(loss) and restored.get_config() == loss.get_config()
    truth, logits = example()
    np.testing.assert_array_equal(restored(truth, logits), loss(truth, logits))


def two_copies(images=6, seed=0):
    """Give indices with labels, and logits, for two copies of each image in a shuffled order."""
    rng = np.random.default_rng(seed)
    labels, order = rng.integers(0, CLASSES, images), rng.permutation(images)
    return np.tile(np.stack([order, labels[order]], axis=1), (2, 1)), rng.normal(0, 3, (2 * images, CLASSES))


def answers_of(y_true, logits):
    """Combine both copies, without the complementary label, in the order of the images: (n, K)."""
    one, other = np.split(np.log(softmax(logits)), 2)
    half = len(one)
    combined = np.exp((one + other) / 2)
    combined[np.arange(half), y_true[:half, 1]] = 0
    return (combined / combined.sum(axis=1, keepdims=True))[y_true[:half, 0].argsort()]


def test_targets_are_a_moving_average_of_the_answers_to_both_copies():
    loss = ProgressiveIdentification(6, CLASSES, 100, dtype="float64")
    expected = (1 - np.eye(CLASSES))[two_copies()[0][:6][two_copies()[0][:6, 0].argsort(), 1]] / (CLASSES - 1)
    for step in range(3):
        y_true, _ = two_copies()
        _, logits = two_copies(seed=step)
        loss(y_true, logits)
        expected = MOMENTUM * expected + (1 - MOMENTUM) * answers_of(y_true, logits)
        assert loss.targets.numpy() == pytest.approx(expected, abs=1e-12)
    assert loss.targets.numpy()[y_true[:, 0], y_true[:, 1]].max() == 0


@pytest.mark.parametrize(("done", "weight"), [(0, 0.0), (39, 0.0), (45, 0.5), (50, 1.0), (99, 1.0)])
def test_targets_count_only_later_in_the_training_and_sharpened(done, weight):
    y_true, logits = two_copies()
    loss = ProgressiveIdentification(6, CLASSES, 100, reduction=None, dtype="float64")
    loss(y_true, logits)
    loss.step.assign(done)
    squared = (loss.targets.numpy() ** 2)[y_true[:, 0]]
    cross_entropy = -(squared / squared.sum(axis=1, keepdims=True) * np.log(softmax(logits))).sum(axis=1)
    plain = ComplementaryCrossentropy(reduction=None, dtype="float64")(y_true[:, 1], logits).numpy()
    assert loss(y_true, logits).numpy() == pytest.approx(plain + weight * cross_entropy, rel=1e-9)
    assert loss.step.numpy() == done + 1


def test_the_gradient_with_targets_agrees_with_differences_and_stays_finite():
    y_true, logits = two_copies()

    def made(dtype="float64"):
        loss = ProgressiveIdentification(6, CLASSES, 2, dtype=dtype)
        loss(y_true, two_copies(seed=1)[1])  # half of the training is over: the targets count
        return loss

    _, found = gradient(made(), y_true, logits)
    for place in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[place] = 1e-5
        ahead, behind = (float(made()(y_true, logits + way * moved)) for way in (1, -1))
        assert found[place] == pytest.approx((ahead - behind) / 2e-5, abs=1e-7)
    for value in gradient(made("float32"), y_true, (1e4 * np.sign(logits)).astype(np.float32)):
        assert np.isfinite(value).all()


def test_a_network_saves_and_restores_the_targets(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(CLASSES)])
    model.compile("sgd", ProgressiveIdentification(6, CLASSES, 10), jit_compile=False)
    y_true, inputs = two_copies()[0], np.random.default_rng(0).random((12, 3), np.float32)
    model.train_on_batch(inputs, y_true)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert again.loss.step.numpy() == 1 and again.loss.targets.numpy().std() > 0
    np.testing.assert_array_equal(again.loss.targets.numpy(), model.loss.targets.numpy())
    model.reset_metrics()  # Keras 3.12 gives the mean of all steps since then
    values = [float(each.train_on_batch(inputs, y_true)) for each in (model, again)]
    assert values[0] == values[1]
    np.testing.assert_array_equal(again.loss.targets.numpy(), model.loss.targets.numpy())
