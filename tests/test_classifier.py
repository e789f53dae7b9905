from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from tiny import CHARACTERS, experiment, glyphs

from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.learning import models
from midas.learning.classifier import Classifier, checkpoint_files
from midas.learning.trainer import train
from midas.metrics.classification import calibrate
from midas.runs import Run, write_json


def write_network(folder, seed, names=CHARACTERS):
    """An untrained network and its card, as a run directory holds them."""
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True)
    models.build("compact", 28, len(names)).save(folder / "last.keras")
    write_json(folder / "card.json", {"class_names": list(names), "size": 28, "model": "compact"})
    write_json(folder / "result.json", {})


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """A folder of two runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("part1")
    for seed in (0, 1):
        write_network(folder / f"seed-{seed}", seed)
    return folder


def ask(network, tta=1):
    return replace(network, tta=tta).probabilities(glyphs().images, glyphs().places)


def test_several_networks_answer_with_the_mean_of_their_probabilities(seeds):
    one, two = (Classifier.load(seeds / f"seed-{seed}") for seed in (0, 1))
    mean = (ask(one) + ask(two)) / 2
    for together in (Classifier.load(seeds), Classifier.load(seeds / "seed-0", seeds / "seed-1" / "last.keras")):
        assert len(together.members) == 2
        assert ask(together) == pytest.approx(mean, abs=1e-6)
    with pytest.raises(MidasError, match="ensemble"):
        _ = together.model


def test_an_answer_does_not_depend_on_what_is_asked_with_it(seeds):
    network, data = Classifier.load(seeds / "seed-0"), glyphs()
    together = ask(network, tta=4)
    alone = replace(network, tta=4).probabilities(data.images[7:8], data.places[7:8])
    assert alone[0] == pytest.approx(together[7], abs=1e-5)
    assert np.abs(together - ask(network)).max() > 1e-3
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_views_are_deformed_as_the_card_says_that_images_were_in_training(seeds):
    network = Classifier.load(seeds / "seed-0")
    usual = asdict(Augmentation())
    answers = [
        ask(replace(network, card={**network.card, "augmentation": limits}), tta=4)
        for limits in (usual, None, {**usual, "elastic": 0.0}, dict.fromkeys(usual, 0.0))
    ]
    assert np.array_equal(answers[0], answers[1])
    assert np.abs(answers[2] - answers[0]).max() > 1e-4
    assert answers[3] == pytest.approx(ask(network), abs=1e-5)
    for limits in ({"elastic": -1}, {"elastic": "much"}, {"bend": 1}, [1], "all"):
        with pytest.raises(MidasError, match="the checkpoint's card: augmentation cannot be"):
            ask(replace(network, card={**network.card, "augmentation": limits}), tta=2)


def test_a_card_says_how_many_views_answers_are_averaged_over(seeds, tmp_path):
    write_network(tmp_path / "one", 0)
    card = {"class_names": list(CHARACTERS), "size": 28, "model": "compact", "views": 4}
    write_json(tmp_path / "one" / "card.json", card)
    assert (Classifier.load(tmp_path / "one").tta, Classifier.load(seeds / "seed-0").tta) == (4, 1)
    assert Classifier.load(tmp_path / "one", seeds / "seed-0").tta == 1
    write_json(tmp_path / "one" / "card.json", {**card, "views": "many"})
    with pytest.raises(MidasError, match=r"card\.json"):
        Classifier.load(tmp_path / "one")


def test_features_are_what_the_last_layer_sees(seeds):
    network, data = Classifier.load(seeds / "seed-0"), glyphs()
    features = network.features(data.images, data.places)
    logits = network.model.layers[-1](features).numpy()
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert features.shape == (len(data), 256)
    assert exponentials / exponentials.sum(axis=1, keepdims=True) == pytest.approx(ask(network), abs=1e-5)


def test_a_card_s_temperature_calibrates(seeds, tmp_path):
    network = Classifier.load(seeds / "seed-0")
    network.model.save(tmp_path / "cold.keras")
    write_json(tmp_path / "cold.json", {**network.card, "temperature": 0.5, "tta_temperature": 2.0})
    cold = Classifier.load(tmp_path / "cold.keras")
    assert ask(cold) == pytest.approx(calibrate(ask(network), 0.5), abs=1e-5)
    assert ask(cold, tta=2) == pytest.approx(calibrate(ask(network, tta=2), 2.0), abs=1e-5)
    # An ensemble put together by hand has no temperature; a folder has that of its card.
    assert Classifier.load(tmp_path / "cold.keras", seeds / "seed-1").card["temperature"] == 1.0
    network.model.save(tmp_path / "other.keras")
    write_json(tmp_path / "card.json", {**network.card, "temperature": 0.7})
    assert Classifier.load(tmp_path).card["temperature"] == 0.7


def test_networks_of_other_classes_do_not_go_together(seeds, tmp_path):
    write_network(tmp_path / "digits", 0, "0123456789")
    with pytest.raises(MidasError, match="other classes"):
        Classifier.load(seeds / "seed-0", tmp_path / "digits")


def test_a_folder_without_networks_is_refused(tmp_path):
    with pytest.raises(MidasError, match="no such checkpoint"):
        checkpoint_files(tmp_path)


def test_a_network_that_is_told_the_place_uses_it_and_does_without(tmp_path):
    run = Run(tmp_path / "placed")
    train(experiment(epochs=1, model="placed"), run, glyphs())
    network, data = Classifier.load(run.path), glyphs()
    known, unknown = network.probabilities(data.images, data.places), network.probabilities(data.images)
    assert known.shape == unknown.shape and np.abs(known - unknown).max() > 1e-3
