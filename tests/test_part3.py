"""No true label reaches the training of Part 3, nor any choice made in it."""

import dataclasses
import inspect

import numpy as np
import pytest
from tiny import experiment, glyphs, timeless, train_and_score, write_mnist

from midas.errors import MidasError
from midas.learning.classifier import Classifier
from midas.learning.trainer import left_possible, split, train
from midas.runs import Run
from midas.studies import study

TINY = experiment(
    "part3", model="compact", learning_rate=2e-3, epochs=2, rounds=1, val_fraction=0.2, min_delta=1e-4, name="tiny"
)


def misfiled(drawings=40):
    digits = glyphs("0123456789", drawings)
    return dataclasses.replace(digits, labels=(digits.labels + 1 + np.arange(len(digits)) % 9) % 10)


def what_was_learnt_and_chosen(run):
    keys = ("best_epoch", "best_val_loss", "best_val_accuracy", "estimate")
    chosen = {key: run.result[key] for key in keys} if run.finished else None
    return (
        timeless(run),
        chosen,
        [Classifier.load(run.path / file).model.get_weights() for file in ("best.keras", "last.keras")],
    )


def test_other_true_labels_change_nothing_but_the_score(tmp_path, monkeypatch):
    """The same folders, beside MNIST with its labels and beside images with made-up ones."""
    runs, loaded, rng = [], [], np.random.default_rng(0)

    def spy(name, one, place):
        epochs = len(place.run(one).metrics()) if name == one.test else 0
        loaded.append((name, epochs))
        return load(name, one, place)

    load = study.load
    monkeypatch.setattr(study, "load", spy)
    for kind in ("true", "made-up"):
        data = tmp_path / kind
        data.mkdir()
        write_mnist(data)
        if kind == "made-up":
            with np.load(data / "mnist.npz") as arrays:
                other = {key: rng.permutation(array) for key, array in arrays.items()}
            np.savez(data / "mnist.npz", **other)
        place = study.Workplace(tmp_path / f"runs-{kind}", str(data), tmp_path / "cache")
        runs.append(study.perform(TINY, place)[0])
    (epochs, chosen, weights), (others, also_chosen, other_weights) = map(what_was_learnt_and_chosen, runs)
    assert epochs == others and chosen == also_chosen and len(epochs) == 2
    for ours, theirs in zip(weights, other_weights, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert runs[0].result["log_loss"] != runs[1].result["log_loss"]
    # True labels were read once for each round, after its last epoch.
    assert loaded == [("part3", 0), ("mnist-test", 2)] * 4


def test_training_has_no_way_in_for_test_images_and_no_use_for_file_names(tmp_path):
    assert set(inspect.signature(train).parameters) == {
        *("experiment", "run", "data", "source", "teachers", "report", "tensorboard", "overwrite")
    }
    named, data = Run(tmp_path / "named"), misfiled(10)
    renamed = dataclasses.replace(data, names=np.array([f"{i:03d}" for i in range(len(data))])[::-1])
    plain = dataclasses.replace(TINY, rounds=0, epochs=1)
    train(plain, named, data)
    train(plain, Run(tmp_path / "renamed"), renamed)
    ours, theirs = (Classifier.load(tmp_path / name).model.get_weights() for name in ("named", "renamed"))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_reads_the_network_both_ways_and_learns_from_what_images_are_not(tmp_path):
    results = {}
    for loss in ("given", "complementary"):
        one = dataclasses.replace(TINY, loss=loss, rounds=0, epochs=12, augmentation=None, val_fraction=0.1)
        results[loss] = train_and_score(one, Run(tmp_path / loss), misfiled(), glyphs("0123456789", 40))
    assert results["complementary"]["accuracy"] > 0.5
    assert results["given"]["accuracy"] < 0.1 < results["given"]["argmin_accuracy"]
    estimate = results["complementary"]["estimate"]
    assert estimate["images"] == 40 and estimate["interval"][0] <= estimate["accuracy"] <= estimate["interval"][1]
    filed = np.array(results["complementary"]["filed"])
    assert filed.sum() == 40 and filed.trace() < 10 and "filed" not in results["given"]

    training, validation = split(misfiled(), one)
    left = left_possible(Classifier.load(tmp_path / "complementary"), training, validation)
    assert left.shape == (len(training), 10) and left.dtype == bool and left.any(axis=1).all()
    assert left[np.arange(len(training)), training.labels].mean() < 0.1  # the folder is struck out
    assert left.mean() < 0.7  # and more than that


def test_a_later_round_that_was_stopped_goes_on_as_if_it_never_stopped(tmp_path):
    teacher, whole, broken = (Run(tmp_path / name) for name in ("teacher", "whole", "broken"))
    train(dataclasses.replace(TINY, rounds=0, epochs=1), teacher, misfiled(10))

    def stop(record, epochs):
        if record["epoch"] == 1:
            raise Stop

    train(TINY, whole, misfiled(10), teachers=[teacher.path])
    with pytest.raises(Stop):
        train(TINY, broken, misfiled(10), teachers=[teacher.path], report=stop)
    with pytest.raises(ValueError, match=r"cannot have the teachers \[\]"):
        train(TINY, broken, misfiled(10))
    with pytest.raises(MidasError, match="what taught it changed"):
        train(TINY, broken, misfiled(10), teachers=[whole.path])
    train(TINY, broken, misfiled(10), teachers=[teacher.path])
    (ours, *_), (theirs, *_) = map(what_was_learnt_and_chosen, (whole, broken))
    assert ours == theirs and len(ours) == 2


class Stop(Exception):
    pass
