import keras
import numpy as np
import pytest

from midas.models import MODELS, build, copy_weights, multiply_adds
from midas.options import MODEL_NAMES


def test_the_command_line_knows_every_network():
    assert list(MODEL_NAMES) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_networks_are_sequential_with_dropout_and_give_logits(name):
    model = build(name, 28, 62)
    assert isinstance(model, keras.Sequential)
    assert any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    logits = model(np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)).numpy()
    assert logits.shape == (2, 62) and logits.min() < 0
    assert build(name, 40, 10).output_shape == (None, 10)


def test_counts_worked_out_by_hand():
    baseline = build("baseline", 28, 10)
    convolutions = 28 * 28 * 9 * 32 + 14 * 14 * 9 * 32 * 64 + 7 * 7 * 9 * 64 * 128
    dense = 3 * 3 * 128 * 10
    assert multiply_adds(baseline) == convolutions + dense
    assert baseline.count_params() == (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 128 + 128) + (dense + 10)


def test_compact_is_small():
    model = build("compact", 28, 10)
    assert 2e6 <= multiply_adds(model) <= 4e6
    assert multiply_adds(build("original", 28, 10)) > 3 * multiply_adds(model)


def test_the_earlier_report_s_networks_differ_in_their_dense_layer_only():
    layers = {name: build(name, 28, 10).layers for name in ("original", "experimental")}
    kinds = {name: [type(layer).__name__ for layer in stack] for name, stack in layers.items()}
    assert kinds["original"] == kinds["experimental"]
    assert [stack[-3].units for stack in layers.values()] == [1000, 500]
    assert [stack[-2].rate for stack in layers.values()] == [0.5, 0.7]


def test_copy_weights_with_and_without_the_last_layer():
    source, target, other = build("compact", 28, 10), build("compact", 28, 10), build("compact", 28, 5)
    copy_weights(source, target, head=True)
    assert all(np.array_equal(a, b) for a, b in zip(source.get_weights(), target.get_weights(), strict=True))
    copy_weights(source, other, head=False)
    assert np.array_equal(source.layers[2].get_weights()[0], other.layers[2].get_weights()[0])
    with pytest.raises(ValueError, match="different layers"):
        copy_weights(source, build("baseline", 28, 10), head=False)
