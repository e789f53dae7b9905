import dataclasses
import io
import threading

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny import dataset
from webs import SEVEN, untrained

import midas
from midas.data import sample
from midas.data.levels import UnreadableImage
from midas.data.strokes import draw_strokes
from midas.errors import MidasError
from midas.learning.checkpoints import SHIPPED
from midas.recipes import PARTS
from midas.records import Samples
from midas.web.networks import Networks, Uploads

PAGE = draw_strokes([np.array(stroke, float) for stroke in SEVEN])
CROSS_ENTROPY = dataclasses.replace(PARTS["part3"], loss="cross-entropy", name="random-cross-entropy")


def samples(data):
    small = data.images[:3]
    return Samples(data.images, data.labels, small, data.labels[:3], small[:, None], data.labels[:3], pages=list(small))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Networks of a runs folder with trainings of two parts."""
    root = tmp_path_factory.mktemp("runs")
    untrained(root, CROSS_ENTROPY, samples=samples(dataset("0123456789", 3)))
    untrained(root, PARTS["part2"], samples=samples(dataset("0123456789", 3)))
    untrained(root / "sample", PARTS["part2"], seed=1)
    (untrained(root, dataclasses.replace(PARTS["part2"], name="damaged")) / "experiment.json").write_text("{")
    return Networks((), root)


def test_the_networks_that_ship_and_those_of_runs_are_offered(networks):
    offers = networks.offers()
    assert [offer.key for offer in offers[: len(SHIPPED)]] == list(SHIPPED)
    found = {offer.key: (offer.part, offer.title) for offer in offers[len(SHIPPED) :]}
    assert found == {
        "part2/random/seed-0": ("Part 2: MNIST", "Random weights"),
        "part3/random-cross-entropy/seed-0": (
            "Part 3: MNIST from complementary labels",
            "Labels taken as correct, random weights",
        ),
        "part2/random/seed-0:sample": ("Part 2: MNIST", "Random weights, sample"),
    }


def test_checkpoints_of_the_command_line_come_first_and_once(networks):
    run = str(networks.runs_dir / "part2" / "random" / "seed-0")
    offers = Networks((run, "part2-best"), networks.runs_dir).offers()
    assert [offer.key for offer in offers[:3]] == [run, "part2-best", "part1"]
    assert len({offer.path for offer in offers}) == len(offers)
    with pytest.raises(MidasError, match="no such checkpoint"):
        Networks(("nothing",), networks.runs_dir).offers()


@pytest.mark.parametrize("key", ["", "../part1", "/etc/passwd", "part9", "part2/random/seed-0/best.keras"])
def test_a_key_is_never_a_path(networks, key):
    with pytest.raises(MidasError, match="no network"):
        networks.choose([key])


def test_answers_are_those_of_the_classifier(networks):
    (offer,) = networks.choose([])
    found = networks.read(offer, PAGE)
    expected = midas.load().predict(PAGE, top=5)[0]
    assert found["guesses"][0] == {"label": expected.label, "probability": round(expected.probability, 4)}
    assert [each["label"] for each in found["guesses"][1:]] == [each.label for each in expected.alternatives]
    assert "smallest" not in found and found["glyph"].startswith("data:image/png;base64,")


def test_a_network_that_took_wrong_labels_as_correct_has_its_smallest_outputs(networks):
    (offer,) = networks.choose(["part3/random-cross-entropy/seed-0"])
    found = networks.read(offer, PAGE)
    low, high = found["smallest"][0]["probability"], found["guesses"][0]["probability"]
    assert len(found["smallest"]) == 5 and low <= found["smallest"][-1]["probability"] <= high


def test_what_an_answer_rests_on(networks):
    (offer,) = networks.choose(["part2/random/seed-0"])
    strokes = [np.array([[400.0, 250], [750, 250]]), np.array([[750.0, 250], [560, 720]])]
    found = networks.explain(offer, draw_strokes(strokes), (draw_strokes([each]) for each in reversed(strokes)))
    assert found["map"].startswith("data:image/png") and len(found["strokes"]) == 2
    cosines = [each["similarity"] for each in found["nearest"]]
    assert len(cosines) == 6 and cosines == sorted(cosines, reverse=True)
    data = dataset("0123456789", 3)
    again = networks.explain(offer, cv2.resize(255 - data.images[4], (280, 280), interpolation=cv2.INTER_NEAREST))
    assert again["nearest"][0]["label"] == data.class_names[data.labels[4]]
    (of_wrong_labels,) = networks.choose(["part3/random-cross-entropy/seed-0"])
    assert all(each["label"].startswith("not ") for each in networks.explain(of_wrong_labels, PAGE)["nearest"])
    (shipped,) = networks.choose(["part1"])
    assert networks.explain(shipped, PAGE)["nearest"] is None


def test_a_network_that_is_trained_again_is_loaded_again(networks, tmp_path):
    untrained(tmp_path, PARTS["part2"], seed=3)
    own = Networks((), tmp_path)
    (offer,) = own.choose(["part2/random/seed-0"])
    before = own.read(offer, PAGE)["guesses"]
    assert own.classifier(offer) is own.classifier(offer)
    untrained(tmp_path, PARTS["part2"], seed=4)
    assert own.read(offer, PAGE)["guesses"] != before


def test_threads_get_the_same_answers_as_one_after_another(networks):
    (offer,) = networks.choose([])
    drawings = [sample.draw(character, 0) for character in "ABC1"]
    expected = [networks.read(offer, page) for page in drawings]
    found: dict[int, list] = {}

    def work(number):
        found[number] = [networks.read(offer, page) for page in drawings]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(each == expected for each in found.values())


def test_an_upload_is_decoded_up_to_a_limit_of_pixels():
    file, page = io.BytesIO(), Image.fromarray(np.full((100, 100), 255, np.uint8))
    page.save(file, "TIFF", save_all=True, append_images=[page] * 4)
    tiff = file.getvalue()
    uploads = Uploads(30_000)
    entry = next(uploads.source(tiff, "pages.tiff").entries())
    pages = [page for _, page in entry.pages()]
    assert [isinstance(page, np.ndarray) for page in pages] == [True, True, True, False]
    assert isinstance(pages[-1], UnreadableImage) and "more than 0.03 million pixels" in str(pages[-1])
    assert uploads.exceeded
    (refused,) = [page for _, page in next(uploads.source(tiff, "more.tiff").entries()).pages()]
    assert isinstance(refused, UnreadableImage)
