import dataclasses
import json

import cv2
import numpy as np
import pytest
from fabricate import run as fabricated
from tiny import dataset, experiment, train_and_score

import midas
from midas.data import sample
from midas.data.datasets import open_any, read, save
from midas.errors import MidasError
from midas.files import write_json
from midas.learning.classifier import Classifier
from midas.runs import Run
from midas.studies import evaluation

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on four classes, and the path of its data."""
    root = tmp_path_factory.mktemp("runs")
    data = dataset("01AB", 10)
    save(data, root / "data.npz")
    train_and_score(experiment(epochs=2), Run(root / "run"), data)
    return Run(root / "run"), root / "data.npz"


def test_scores_are_those_of_the_predictions(trained):
    run, data = trained
    network = Classifier.load(run.path)
    found = evaluation.evaluate(network, open_any(data, "test"), str(data))
    images = read(open_any(data, None), network.size)
    outputs = network.probabilities(images.glyphs).argmax(axis=1)
    predicted = [network.class_names[output] for output in outputs]
    correct = np.mean([label == images.class_names[k] for label, k in zip(predicted, images.labels, strict=True)])
    assert found.scores.n == 40 and not found.skipped
    assert found.scores.accuracy == pytest.approx(correct)
    shown = evaluation.as_json(found, data=str(data))
    assert {"accuracy", "top3", "macro_f1", "case_merged_accuracy", "n", "per_class", "skipped", "data"} <= set(shown)


def test_classes_that_the_network_does_not_know_are_named(trained, tmp_path):
    save(dataset("0z", 2), tmp_path / "other.npz")
    with pytest.raises(MidasError, match="does not know the class 'z'"):
        evaluation.evaluate(Classifier.load(trained[0].path), open_any(tmp_path / "other.npz", None), "other")


def test_labels_count_the_classes_of_the_network(trained, tmp_path):
    run, network = trained[0], Classifier.load(trained[0].path)
    save(dataset("BA", 2), tmp_path / "two.npz")
    source = open_any(tmp_path / "two.npz", None)
    _, _, images = evaluation.analyze_network(network, [run.path], source, "two", tmp_path / "out")
    known, data = network.class_names, read(source)
    assert images.class_names == known
    assert [known[label] for label in images.labels] == [data.class_names[label] for label in data.labels]
    assert evaluation.evaluate(network, source, "two", restrict=True).scores.top3 == 1  # both classes are among three


def test_too_many_probabilities_are_refused_before_anything_is_read(trained, monkeypatch):
    monkeypatch.setattr("midas.metrics.classification.total_memory", lambda: 1000.0)
    network, source = Classifier.load(trained[0].path), open_any(trained[1], "test")
    unread = dataclasses.replace(source, entries=lambda: pytest.fail("read"))
    evaluation.evaluate(network, dataclasses.replace(source, count=31), "few")
    with pytest.raises(MidasError, match=r"many: the probabilities of 32 images and 4 classes take .* fewer images"):
        evaluation.evaluate(network, dataclasses.replace(unread, count=32), "many")


def test_a_run_is_analyzed_on_what_it_scored_and_a_network_on_any_data(trained, tmp_path):
    run, data = trained
    found, folder = evaluation.analyze_run(run, tmp_path / "own")
    assert folder == tmp_path / "own" and found["data"] == "validation" and found["n"] == run.result.n
    assert json.loads((folder / "analysis.json").read_text())["n"] == run.result.n
    network = Classifier.load(run.path)
    source = open_any(data, None)
    found, folder, images = evaluation.analyze_network(network, [run.path], source, str(data), tmp_path / "other")
    assert found["n"] == 40 and images.skipped == () and cv2.imread(str(folder / "confusion.png")) is not None
    with pytest.raises(MidasError, match="--out"):
        evaluation.analyze_network(network, [run.path, run.path], source, str(data))


def test_seeds_are_summarized_one_by_one_and_as_an_ensemble(tmp_path):
    runs = [fabricated(tmp_path, "part2", seed=seed) for seed in (0, 1)]
    for run in runs[1:]:
        run.write_predictions(runs[0].predictions())
    found, table = evaluation.summarize_seeds(runs)
    assert [each["seed"] for each in found["runs"]] == [0, 1] and found["path"] == str(runs[0].path.parent)
    labels = runs[0].predictions().labels
    accuracy = np.mean(runs[0].predictions().probabilities.argmax(1) == labels)
    assert found["together"]["accuracy"] == pytest.approx(accuracy) and "0+1" in table
    alone, table = evaluation.summarize_seeds(runs[:1])
    assert alone["path"] == str(runs[0].path) and len(table.splitlines()) == 2


def test_seeds_that_scored_images_of_their_own_have_a_mean(tmp_path):
    runs = [fabricated(tmp_path, "part1", seed=seed, scored="training") for seed in (0, 1)]
    for run, accuracy in zip(runs, (0.5, 0.75), strict=True):
        write_json(run / "experiment.json", dataclasses.replace(run.experiment, val_fraction=0.0, limit=60))
        write_json(run / "result.json", dataclasses.replace(run.result, accuracy=accuracy))
    found, table = evaluation.summarize_seeds([Run(run.path) for run in runs])
    assert found["accuracy"] == 0.625 and found["n"] == 60 and "together" not in found and len(table.splitlines()) == 3


@pytest.mark.parametrize(
    ("scored", "n", "what"),
    [
        ("validation", 1, "1 validation image, which also chose the epoch"),
        ("training", 2, "the 2 training images themselves, which says nothing about others"),
        ("a {b}/c", 60, "60 images of a {b}/c"),
    ],
)
def test_an_outcome_says_what_was_scored(tmp_path, scored, n, what):
    first, *_ = evaluation.outcome(fabricated(tmp_path, n=n, scored=scored))
    assert first.endswith(f" %) on {what}.")


def test_transposed_images_are_noticed(tmp_path):
    network = midas.load("part2-best")
    images, labels = sample.digits("test")
    upright = [image[:, ::-1].T for image in images[:80]]  # some other way of turning them
    swapped = images[:80].transpose(0, 2, 1)
    for name, stack in (("upright", images[:80]), ("other", np.stack(upright)), ("swapped", swapped)):
        np.savez(tmp_path / f"{name}.npz", x=stack, y=labels[:80])
    notes = {}
    for name in ("upright", "other", "swapped"):
        found = evaluation.evaluate(network, open_any(tmp_path / f"{name}.npz", "test"), name)
        notes[name] = found.notes
        assert evaluation.as_json(found)["notes"] == found.notes
    assert notes["upright"] == notes["other"] == () and "--transpose swaps them" in notes["swapped"][0]
    mended = evaluation.evaluate(network, open_any(tmp_path / "swapped.npz", "test", transpose=True), "mended")
    assert mended.scores.accuracy > 0.9 and mended.notes == ()


def test_swapped_images_may_be_read_as_the_same_classes(tmp_path):
    images, labels = sample.digits("test")
    network, path = midas.load("part1"), tmp_path / "swapped.npz"
    np.savez(path, x=images[:80].transpose(0, 2, 1), y=labels[:80])
    found, mended = (
        evaluation.evaluate(network, open_any(path, "test", transpose=swap), "data", restrict=True)
        for swap in (False, True)
    )
    right = [f"{100 * each.scores.accuracy:.0f}" for each in (mended, found)]
    assert "swapped, {} instead of {} % of 80 images".format(*right) in found.notes[0]
