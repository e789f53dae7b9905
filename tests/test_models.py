import keras
import numpy as np
import pytest

from midas.data.glyphs import Glyphs
from midas.experiments import MODEL_NAMES
from midas.learning.models import (
    FUNCTIONAL,
    PLACED,
    SEQUENTIAL,
    build,
    copy_weights,
    count_macs,
    describe,
    inputs,
    takes_places,
)


def test_experiments_know_every_architecture_once():
    assert list(MODEL_NAMES) == [*SEQUENTIAL, *FUNCTIONAL, *PLACED]
    assert len(set(MODEL_NAMES)) == len(MODEL_NAMES)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_networks_have_dropout_and_give_logits(name):
    model = build(name, 28, 62)
    assert isinstance(model, keras.Sequential) == (name in SEQUENTIAL)
    assert any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
    glyphs = Glyphs.without_places(np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8))
    logits = model(inputs(model, glyphs)).numpy()
    assert logits.shape == (2, 62) and logits.min() < 0
    assert build(name, 40, 10).output_shape == (None, 10)
    assert takes_places(model) == (name in PLACED)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_networks_do_not_train_unless_told_to(name):
    model = build(name, 36, 10)
    glyphs = Glyphs.without_places(np.random.default_rng(0).integers(0, 256, (2, 36, 36), np.uint8))
    given = inputs(model, glyphs)
    assert np.array_equal(model(given), model(given, training=False))


def test_an_unknown_architecture_is_a_key_error():
    with pytest.raises(KeyError):
        build("perceptron", 28, 10)


def test_inputs_are_images_or_images_and_places():
    glyphs = Glyphs(np.zeros((2, 28, 28), np.uint8), np.ones((2, 5), np.float32))
    assert inputs(build("compact", 28, 10), glyphs) is glyphs.images
    images, places = inputs(build("placed", 28, 10), glyphs)
    assert images is glyphs.images and places is glyphs.places


def test_macs_of_functional_models_include_places_and_shortcuts():
    placed = build("placed", 28, 10)
    convolutions = 28 * 28 * 25 * 32 + 14 * 14 * 9 * 32 * 64 + 7 * 7 * 9 * 64 * 128
    assert count_macs(placed) == convolutions + 5 * 32 + (3 * 3 * 128 + 32) * 256 + 256 * 10
    resnet = build("resnet", 28, 10)
    stages = 28 * 28 * 9 * 16 * (1 + 16 * 4) + 14 * 14 * (16 * 32 + 9 * 32 * (16 + 32 * 3))
    assert count_macs(resnet) == stages + 7 * 7 * (32 * 64 + 9 * 64 * (32 + 64 * 3)) + 64 * 10


def test_macs_and_parameters_worked_out_by_hand():
    baseline = build("baseline", 28, 10)
    convolutions = 28 * 28 * 9 * 32 + 14 * 14 * 9 * 32 * 64 + 7 * 7 * 9 * 64 * 128
    dense = 3 * 3 * 128 * 10
    assert count_macs(baseline) == convolutions + dense
    assert baseline.count_params() == (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 128 + 128) + (dense + 10)


def test_compact_is_small():
    model = build("compact", 28, 10)
    assert 2e6 <= count_macs(model) <= 4e6
    assert count_macs(build("original", 28, 10)) > 3 * count_macs(model)


def test_original_and_experimental_differ_in_their_dense_layer_only():
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
    placed = [build("placed", 28, 10) for _ in range(2)]
    copy_weights(*placed, head=True)
    assert all(np.array_equal(a, b) for a, b in zip(*(model.get_weights() for model in placed), strict=True))
    with pytest.raises(ValueError, match="different layers"):
        copy_weights(source, build("baseline", 28, 10), head=False)


def test_describe_lists_all_architectures():
    rows = describe(28, 10)
    assert [row["model"] for row in rows] == list(MODEL_NAMES)
    compact = build("compact", 28, 10)
    assert rows[0] == {"model": "compact", "parameters": compact.count_params(), "macs": count_macs(compact)}


def test_descriptions_list_every_architecture():
    rows = {row["model"]: row for row in describe(28, 10)}
    assert list(rows) == list(MODEL_NAMES)
    compact = build("compact", 28, 10)
    assert rows["compact"] == {"model": "compact", "parameters": compact.count_params(), "macs": count_macs(compact)}
