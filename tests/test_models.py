import keras
import numpy as np
import pytest

from midas.experiments import MODEL_NAMES
from midas.learning.models import (
    GRAPHS,
    MODELS,
    PLACED,
    SEQUENCES,
    build,
    copy_weights,
    inputs,
    multiply_adds,
    takes_places,
)


def test_the_command_line_knows_every_network():
    assert list(MODEL_NAMES) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_networks_have_dropout_and_give_logits(name):
    model = build(name, 28, 62)
    assert isinstance(model, keras.Sequential) == (name in SEQUENCES)
    assert any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    glyphs = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    logits = model(inputs(model, glyphs, np.zeros((2, 5), np.float32))).numpy()
    assert logits.shape == (2, 62) and logits.min() < 0
    assert build(name, 40, 10).output_shape == (None, 10)
    assert takes_places(model) == (name in PLACED)


def test_every_network_is_of_one_kind():
    assert len(set(MODELS)) == len(SEQUENCES) + len(GRAPHS) + len(PLACED)


def test_a_graph_s_multiply_adds_count_its_places_and_shortcuts():
    placed = build("placed", 28, 10)
    convolutions = 28 * 28 * 25 * 32 + 14 * 14 * 9 * 32 * 64 + 7 * 7 * 9 * 64 * 128
    assert multiply_adds(placed) == convolutions + 5 * 32 + (3 * 3 * 128 + 32) * 256 + 256 * 10
    resnet = build("resnet", 28, 10)
    stages = 28 * 28 * 9 * 16 * (1 + 16 * 4) + 14 * 14 * (16 * 32 + 9 * 32 * (16 + 32 * 3))
    assert multiply_adds(resnet) == stages + 7 * 7 * (32 * 64 + 9 * 64 * (32 + 64 * 3)) + 64 * 10


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
    graphs = [build("placed", 28, 10) for _ in range(2)]
    copy_weights(*graphs, head=True)
    assert all(np.array_equal(a, b) for a, b in zip(*(graph.get_weights() for graph in graphs), strict=True))
    with pytest.raises(ValueError, match="different layers"):
        copy_weights(source, build("baseline", 28, 10), head=False)
