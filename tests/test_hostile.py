"""Hostile and damaged files are refused in one line, and no code in them runs."""

import json
import zipfile

import fuzz
import keras
import numpy as np
import pytest

from midas.data.glyphs import Glyphs
from midas.errors import MidasError
from midas.files import write_json
from midas.learning import models
from midas.learning.checkpoints import load_for_training
from midas.learning.classifier import Classifier

BLANK = Glyphs.without_places(np.zeros((1, 28, 28), np.uint8))


def harmful_lambda(harm):
    """A layer that holds code of its own."""
    return keras.layers.Lambda(lambda x, harm=str(harm): __import__("os").mkdir(harm) or x, (28, 28))


def with_configuration(file, change):
    """Change what a `.keras` file says that its network is made of, and leave its weights."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(change(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def calls(module, name, *words):
    """Name a function of any module where the first layer stood, and what to call it with."""

    def change(configuration):
        layer = {"module": module, "class_name": name, "config": list(words), "registered_name": name}
        configuration["config"]["layers"][0] = layer
        return configuration

    return change


@pytest.fixture
def network(tmp_path):
    """The file of a network that is as its card says."""
    model = models.build("compact", 28, 3)
    model.compile("adam", "mse")
    model.save(tmp_path / "net.keras")
    write_json(tmp_path / "net.json", {"class_names": ["a", "b", "c"], "size": 28, "model": "compact"})
    return tmp_path / "net.keras"


def test_a_layer_with_code_is_refused_and_its_code_not_run(network, tmp_path):
    harm = tmp_path / "harm"
    model = keras.Sequential([keras.Input((28, 28)), harmful_lambda(harm)])
    model.save(network)
    if harm.exists():  # by building the layer here
        harm.rmdir()
    for load in (Classifier.load, load_for_training):
        with pytest.raises(MidasError, match=r"net\.keras: not the checkpoint that net\.json describes") as caught:
            load(network)
        assert "\n" not in str(caught.value) and not harm.exists()


@pytest.mark.parametrize("module, name", [("os", "mkdir"), ("builtins", "exec"), ("elsewhere", "Layer")])
def test_a_custom_object_is_refused_where_the_configuration_is_used_and_ignored_where_it_is_not(
    network, tmp_path, module, name
):
    harm, before = tmp_path / "harm", Classifier.load(network).probabilities(BLANK)
    word = f"__import__('os').mkdir({str(harm)!r})" if name == "exec" else str(harm)
    with_configuration(network, calls(module, name, word))
    with pytest.raises(MidasError, match="not the checkpoint") as caught:
        load_for_training(network)
    assert "\n" not in str(caught.value)
    assert np.array_equal(Classifier.load(network).probabilities(BLANK), before)
    assert not harm.exists()


@pytest.mark.parametrize(
    "reader, inputs",
    [
        *(("data", 150), ("settings", 60), ("runs", 40), ("checkpoints", 16)),
        *(("exported", 40), ("pages", 12), ("requests", 80)),
    ],
)
def test_every_reader_survives_damaged_files(reader, inputs, monkeypatch):
    monkeypatch.setattr(fuzz, "LARGEST", np.inf)  # the whole suite's memory is counted here
    found = fuzz.work(reader, seed=1, first=0, count=inputs)
    assert found["failures"] == []
    assert found["read"] and found["refused"] and found["read"] + found["refused"] == inputs
