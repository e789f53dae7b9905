import tarfile
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
from PIL import Image
from tiny import CHARACTERS, dataset, experiment

from midas.data import sample
from midas.data.glyphs import Glyphs
from midas.data.levels import BLANK
from midas.data.memmap import ImageFile
from midas.data.sources import open_source
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.files import plain, write_json
from midas.learning import models
from midas.learning.classifier import Classifier
from midas.learning.trainer import train
from midas.metrics.classification import calibrate, softmax
from midas.predictions import Alternative
from midas.runs import Run

pytestmark = pytest.mark.usefixtures("eagerly")


def write_network(folder, seed, names=CHARACTERS):
    """Write an untrained network and its card, as a run directory holds them."""
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True)
    models.build("compact", 28, len(names)).save(folder / "last.keras")
    write_json(folder / "card.json", {"class_names": list(names), "size": 28, "model": "compact"})
    write_json(folder / "result.json", {})


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Make a folder of two runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("part1")
    for seed in (0, 1):
        write_network(folder / f"seed-{seed}", seed)
    return folder


def ask(network, tta=1):
    return replace(network, tta=tta).probabilities(dataset().glyphs)


def test_an_ensemble_predicts_the_mean_of_its_probabilities(seeds):
    one, two = (Classifier.load(seeds / f"seed-{seed}") for seed in (0, 1))
    mean = (ask(one) + ask(two)) / 2
    for together in (Classifier.load(seeds), Classifier.load(seeds / "seed-0", seeds / "seed-1" / "last.keras")):
        assert len(together.networks) == 2
        assert ask(together) == pytest.approx(mean, abs=1e-6)
    with pytest.raises(MidasError, match="ensemble"):
        _ = together.network


def test_a_prediction_does_not_depend_on_the_other_images(seeds):
    network, data = Classifier.load(seeds / "seed-0"), dataset()
    together = ask(network, tta=4)
    alone = replace(network, tta=4).probabilities(data.glyphs[7:8])
    assert alone[0] == pytest.approx(together[7], abs=1e-5)
    assert np.abs(together - ask(network)).max() > 1e-3
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_tta_copies_are_deformed_as_the_card_says_that_images_were_in_training(seeds):
    network = Classifier.load(seeds / "seed-0")
    off = Augmentation(**dict.fromkeys(vars(Augmentation()), 0.0))
    found = [
        ask(replace(network, card=replace(network.card, augmentation=strengths)), tta=4)
        for strengths in (Augmentation(), None, Augmentation(elastic=0.0), off)
    ]
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[2] - found[0]).max() > 1e-4
    assert found[3] == pytest.approx(ask(network), abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [{"augmentation": {"elastic": -1}}, {"augmentation": [1]}, {"temperature": 0}, {"tta": "many"}, {"size": -1}],
)
def test_a_damaged_card_is_one_line_that_names_it(tmp_path, change):
    write_network(tmp_path / "one", 0)
    card = {"class_names": list(CHARACTERS), "size": 28, "model": "compact"}
    write_json(tmp_path / "one" / "card.json", {**card, **change})
    with pytest.raises(MidasError, match=r"card\.json: .*; not the card of a checkpoint"):
        Classifier.load(tmp_path / "one")


def test_a_card_says_how_many_copies_probabilities_are_averaged_over(seeds, tmp_path):
    write_network(tmp_path / "one", 0)
    card = {"class_names": list(CHARACTERS), "size": 28, "model": "compact", "tta": 4}
    write_json(tmp_path / "one" / "card.json", card)
    assert (Classifier.load(tmp_path / "one").tta, Classifier.load(seeds / "seed-0").tta) == (4, 1)
    assert Classifier.load(tmp_path / "one", seeds / "seed-0").tta == 1


def test_features_are_the_inputs_of_the_last_layer(seeds):
    network, data = Classifier.load(seeds / "seed-0"), dataset()
    features = network.features(data.glyphs)
    logits = network.network.layers[-1](features).numpy()
    assert features.shape == (len(data), 256)
    assert softmax(logits) == pytest.approx(ask(network), abs=1e-5)


def test_a_card_s_temperature_calibrates(seeds, tmp_path):
    network = Classifier.load(seeds / "seed-0")
    network.network.save(tmp_path / "cold.keras")
    calibration = {"temperature": 0.5, "tta_temperature": 2.0}
    write_json(tmp_path / "cold.json", {**plain(network.card), **calibration, "reject_below": 0.4})
    cold = Classifier.load(tmp_path / "cold.keras")
    assert ask(cold) == pytest.approx(calibrate(ask(network), 0.5), abs=1e-5)
    assert ask(cold, tta=2) == pytest.approx(calibrate(ask(network, tta=2), 2.0), abs=1e-5)
    # An ensemble put together by hand is not calibrated; a folder is as its card says.
    together = Classifier.load(tmp_path / "cold.keras", seeds / "seed-1").card
    assert together.temperature == 1.0 and together.reject_below is None  # nor is a threshold of the first one its own
    network.network.save(tmp_path / "other.keras")
    write_json(tmp_path / "card.json", {**plain(network.card), "temperature": 0.7})
    assert Classifier.load(tmp_path).card.temperature == 0.7


def test_networks_of_other_classes_are_no_ensemble(seeds, tmp_path):
    write_network(tmp_path / "digits", 0, "0123456789")
    with pytest.raises(MidasError, match="other classes"):
        Classifier.load(seeds / "seed-0", tmp_path / "digits")


def test_a_network_that_takes_places_uses_them_and_does_without(tmp_path):
    run = Run(tmp_path / "placed")
    train(experiment(epochs=1, model="placed"), run, dataset())
    network, data = Classifier.load(run.path), dataset()
    known, unknown = map(network.probabilities, (data.glyphs, Glyphs.without_places(data.images)))
    assert known.shape == unknown.shape and np.abs(known - unknown).max() > 1e-3


def test_images_in_a_file_have_the_same_probabilities(seeds, tmp_path, monkeypatch):
    monkeypatch.setattr("midas.learning.classifier.BLOCK", 50)
    network, data = Classifier.load(seeds / "seed-0"), dataset()
    data.images.tofile(tmp_path / "glyphs")
    on_disk = Glyphs(ImageFile(tmp_path / "glyphs", data.images.shape), data.glyphs.places)
    assert network.probabilities(on_disk) == pytest.approx(ask(network), abs=1e-6)
    assert network.probabilities(data.glyphs[:0]).shape == (0, len(CHARACTERS))


def test_restricted_probabilities_are_shared_out_among_the_allowed_classes(seeds):
    network = Classifier.load(seeds / "seed-0")
    allowed = network.outputs_of("bA0", "data")
    assert [network.class_names[index] for index in allowed] == ["b", "A", "0"]
    found, free = network.probabilities(dataset().glyphs, allowed), ask(network)
    assert not np.delete(found, allowed, axis=1).any()
    expected = free[:, allowed] / free[:, allowed].sum(axis=1, keepdims=True)
    assert found[:, allowed] == pytest.approx(expected, abs=1e-5)


def test_a_class_that_the_network_does_not_know_is_named(seeds):
    network = Classifier.load(seeds / "seed-0")
    with pytest.raises(MidasError, match=r"scans\.zip: the network does not know the class 'Z' \(it knows 14 classes"):
        network.outputs_of(("A", "Z"), "scans.zip")


@pytest.fixture(scope="module")
def page():
    return sample.draw("A", 0)


def test_predict_takes_gray_color_batches_paths_and_lists_of_them(seeds, page, tmp_path):
    network, path = Classifier.load(seeds / "seed-0"), tmp_path / "page.png"
    cv2.imwrite(str(path), page)
    expected = network.predict(page)[0]
    opaque = np.dstack([page, page, page, np.full_like(page, 255)])
    for images, sources in (
        (page, ["array"]),
        (page / 255, ["array"]),
        (opaque, ["array"]),
        (opaque[:, :, :3], ["array"]),
        (np.stack([page, page]), ["array[0]", "array[1]"]),
        (path, [str(path)]),
        ([page, str(path)], ["array[0]", str(path)]),
        ([], []),
    ):
        found = network.predict(images)
        assert [each.source for each in found] == sources
        for each in found:
            assert each.label == expected.label and each.probability == pytest.approx(expected.probability, abs=1e-5)


def test_color_channels_are_in_the_order_red_green_blue(seeds, page, tmp_path):
    network, color = Classifier.load(seeds / "seed-0"), np.dstack([page, 255 - page // 3, page // 2 + 90])
    cv2.imwrite(str(tmp_path / "color.png"), color[:, :, ::-1])  # OpenCV takes blue, green, red
    from_file, from_array = network.predict([tmp_path / "color.png", color])
    assert replace(from_array, source="") == replace(from_file, source="")


def test_predictions_have_the_next_most_probable_classes_as_alternatives(seeds, page):
    network = Classifier.load(seeds / "seed-0")
    (every,) = network.predict(page, top=len(CHARACTERS))
    guesses = [Alternative(every.label, every.probability), *every.alternatives]
    probabilities = [guess.probability for guess in guesses]
    assert sorted(probabilities, reverse=True) == probabilities and sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert {guess.label for guess in guesses} == set(CHARACTERS)
    assert network.predict(page)[0].alternatives == every.alternatives[:2]
    assert network.predict(page, top=1)[0].alternatives == ()
    (digit,) = network.predict(page, classes="01", top=9)
    assert {digit.label, *(guess.label for guess in digit.alternatives)} == {"0", "1"}


def test_predict_names_what_it_cannot_use(seeds, page, tmp_path):
    network, bad = Classifier.load(seeds / "seed-0"), tmp_path / "bad.png"
    bad.write_bytes(b"not an image")
    for images, reason in (
        (bad, r"bad\.png: "),
        ([page, bad], r"bad\.png: "),
        ([page, np.zeros((9, 9), np.uint8)], r"array\[1\]: blank"),
        (np.zeros(5), r"array: shape \(5,\) is not an image"),
        (np.array([["a"]]), r"array: <U1 values are not gray levels or colors"),
    ):
        with pytest.raises(MidasError, match=reason):
            network.predict(images)
    for classes, reason in (("0&", "'&'"), ("", "at least one class")):
        with pytest.raises(MidasError, match=reason):
            network.predict(page, classes=classes)


def test_a_stream_skips_what_it_cannot_read_and_names_the_rest(seeds, page, tmp_path, monkeypatch):
    monkeypatch.setattr("midas.learning.classifier.BATCH", 2)
    network, folder = Classifier.load(seeds / "seed-0"), tmp_path / "pages"
    folder.mkdir()
    for number in range(5):
        cv2.imwrite(str(folder / f"{number}.png"), page)
    (folder / "2.png").write_bytes(b"not an image")
    single, skipped = tmp_path / "single.png", []
    cv2.imwrite(str(single), page)
    found = list(network.predict_stream(map(open_source, (folder, single)), lambda *what: skipped.append(what)))
    assert [each.source for each in found] == [*(f"{folder}/{number}.png" for number in (0, 1, 3, 4)), str(single)]
    assert [name for name, _ in skipped] == [f"{folder}/2.png"]
    assert len({each.label for each in found}) == 1 and len(found[0].alternatives) == 2


def test_a_folder_of_one_image_does_not_give_its_name_to_it(seeds, page, tmp_path):
    network = Classifier.load(seeds / "seed-0")
    (tmp_path / "one").mkdir()
    cv2.imwrite(str(tmp_path / "one" / "a.png"), page)
    for found in (
        network.predict(tmp_path / "one"),
        list(network.predict_stream([open_source(tmp_path / "one")], print)),
    ):
        assert [each.source for each in found] == [f"{tmp_path}/one/a.png"]


def test_pages_of_a_file_are_answered_one_by_one(seeds, page, tmp_path):
    network, file, skipped = Classifier.load(seeds / "seed-0"), tmp_path / "pages.tif", []
    pages = [Image.fromarray(each) for each in (page, page[:, ::-1], np.full_like(page, 255))]
    pages[0].save(file, save_all=True, append_images=pages[1:])
    found = list(network.predict_stream([open_source(file)], lambda *what: skipped.append(what)))
    assert [each.source for each in found] == [f"{file}[1]", f"{file}[2]"] and skipped == [(f"{file}[3]", BLANK)]
    alone = network.predict(page[:, ::-1])[0]  # in a batch of its own, which may round differently
    assert (found[1].label, found[1].probability) == (alone.label, pytest.approx(alone.probability, abs=1e-5))
    with pytest.raises(MidasError, match=r"pages\.tif\[3\]: blank"):
        network.predict(file)
    pages[0].save(file, save_all=True, append_images=pages[1:2])
    assert [each.source for each in network.predict(file)] == [f"{file}[1]", f"{file}[2]"]


def test_a_damaged_archive_does_not_lose_the_images_after_it(seeds, page, tmp_path):
    network, skipped = Classifier.load(seeds / "seed-0"), []
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / name), page)
            archive.add(tmp_path / name, name)
    sources = [open_source(tmp_path / "some.tar"), open_source(tmp_path / "a.png")]
    (tmp_path / "some.tar").write_bytes(b"text" * 500)
    found = list(network.predict_stream(sources, lambda *what: skipped.append(what)))
    assert [each.source for each in found] == [str(tmp_path / "a.png")]
    assert [name for name, _ in skipped] == [str(tmp_path / "some.tar")]


def test_a_batch_of_arrays_has_one_range(seeds, page):
    network = Classifier.load(seeds / "seed-0")
    batch = np.stack([page, page[::-1]]) / 255 * 16 - 3
    one, two = network.predict(batch)
    assert one.label == network.predict(page)[0].label and two.label == network.predict(page[::-1])[0].label


def test_a_network_describes_itself(seeds):
    network = Classifier.load(seeds)
    assert repr(network) == "Classifier(compact, compact; 14 classes, 28x28 pixels)"
    shown = network._repr_html_()
    assert "<td>28x28 pixels</td>" in shown and "14: 0 1 2" in shown and "accuracy" not in shown
