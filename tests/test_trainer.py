import dataclasses
import errno
import gc
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import experiment, glyphs, timeless, train_and_score

from midas.data.augmentation import augment
from midas.data.datasets import Dataset
from midas.data.memmap import Stored
from midas.errors import MidasError
from midas.learning import models
from midas.learning import trainer as training
from midas.learning.callbacks import Checkpoint, chosen
from midas.learning.classifier import Classifier
from midas.learning.trainer import batches, score, split, train
from midas.runs import Run


def weights(run):
    return Classifier.load(run.path).model.get_weights()


def test_split_is_stratified_disjoint_and_seeded():
    data = glyphs()
    kept, validation = split(data, experiment())
    assert len(kept) + len(validation) == len(data)
    assert not set(kept.names) & set(validation.names)
    assert set(np.bincount(validation.labels)) == {2}
    assert np.array_equal(split(data, experiment())[1].names, validation.names)
    assert not np.array_equal(split(data, experiment(seed=1))[1].names, validation.names)


def test_all_data_and_limit():
    kept, validation = split(glyphs(), experiment(val_fraction=0.0))
    assert len(kept) == len(glyphs()) and len(validation) == 0
    kept, validation = split(glyphs(), experiment(limit=71))
    assert len(kept) + len(validation) == 71
    assert set(np.bincount(np.concatenate([kept.labels, validation.labels]))) == {5, 6}
    with pytest.raises(MidasError, match="2 images of 2 classes are too few"):
        split(glyphs("01", 1), experiment())


def test_batches_depend_on_seed_and_epoch_alone():
    data, tiny, network = glyphs("0123", 5), experiment(batch_size=8), models.build("compact", 28, 4)

    def epoch(number, **changes):
        stream = batches(data, dataclasses.replace(tiny, **changes), network, first_epoch=number)
        return [next(stream) for _ in range(3)]

    stream = batches(data, tiny, network)
    running = [next(stream) for _ in range(6)]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(running[3:], epoch(1), strict=True))
    assert [len(labels) for _, labels in running] == [8, 8, 4] * 2
    assert sorted(np.concatenate([labels for _, labels in running[:3]])) == sorted(data.labels)
    assert not np.array_equal(epoch(0)[0][0], epoch(1)[0][0])
    plain = epoch(0, augmentation=None)
    originals = {image.tobytes() for image in data.images}
    assert all(image.tobytes() in originals for images, _ in plain for image in images)
    assert not all(image.tobytes() in originals for images, _ in epoch(0) for image in images)


@pytest.mark.parametrize("model", ["compact", "placed"])
def test_tensorflow_is_fed_the_batches_from_memory_as_from_disk(model, tmp_path):
    data, tiny, network = glyphs("0123", 5), experiment(batch_size=8, model=model), models.build(model, 28, 4)
    file = tmp_path / "glyphs"
    data.images.tofile(file)
    on_disk = dataclasses.replace(data, images=Stored(file, data.images.shape))
    targets = np.eye(4)[data.labels]
    for given in (None, targets):
        stream = batches(data, tiny, network, 1, given)
        expected = [next(stream) for _ in range(4)]
        for source in (data, on_disk):
            with training.feed(source, tiny, network, 1, given) as fed:
                for ours, theirs in zip(expected, fed.take(4).as_numpy_iterator(), strict=True):
                    assert all(map(np.array_equal, tf.nest.flatten(ours), tf.nest.flatten(theirs)))


@pytest.mark.parametrize("settings", [{}, {"part": "part3", "rounds": 0}])
def test_a_step_is_traced_once(settings):
    data, tiny = glyphs("0123", 5), experiment(**settings, batch_size=10)
    network = models.build("compact", 28, 4)
    training.compile_model(network, tiny, 2)
    traced, loss = [], network.compute_loss
    network.compute_loss = lambda *given, **named: traced.append(given) or loss(*given, **named)
    with training.feed(data, tiny, network) as fed:
        network.fit(fed, steps_per_epoch=2, epochs=2, verbose=0)
    assert len(traced) == 1


def test_images_that_vanish_from_disk_during_a_training_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.HELD", 0)
    data, file = glyphs("0123", 5), tmp_path / "glyphs"
    data.images.tofile(file)
    data = dataclasses.replace(data, images=Stored(file, data.images.shape))
    with pytest.raises(FileNotFoundError, match="glyphs"):
        train(experiment(epochs=3), Run(tmp_path / "run"), data, report=lambda *_: file.unlink())


def test_a_training_that_is_over_leaves_nothing_of_its_network_or_data(tmp_path):
    def alive():
        gc.collect()
        return [one for one in gc.get_objects() if isinstance(one, keras.Model | Dataset)]

    data = glyphs("0123", 5)
    before = alive()
    train_and_score(experiment(epochs=1), Run(tmp_path), data)
    assert [one for one in alive() if all(one is not other for other in before)] == []


def test_images_on_disk_make_the_same_network(tmp_path, monkeypatch):
    data, runs = glyphs(), [Run(tmp_path / name) for name in ("memory", "disk")]
    data.images.tofile(tmp_path / "glyphs")
    train(experiment(epochs=2), runs[0], data)
    monkeypatch.setattr("midas.data.memmap.HELD", 0)
    data = dataclasses.replace(data, images=Stored(tmp_path / "glyphs", data.images.shape))
    assert all(isinstance(part.images, Stored) for part in split(data, experiment()))
    train(experiment(epochs=2), runs[1], data)
    assert timeless(runs[0]) == timeless(runs[1])
    assert all(map(np.array_equal, weights(runs[0]), weights(runs[1])))


def test_validation_images_never_reach_augmentation(monkeypatch, tmp_path):
    seen = set()

    def spy(images, strength, rng):
        seen.update(image.tobytes() for image in images)
        return augment(images, strength, rng)

    monkeypatch.setattr("midas.learning.trainer.augment", spy)
    train(experiment(epochs=1), Run(tmp_path / "run"), glyphs())
    kept, validation = split(glyphs(), experiment())
    assert seen == {image.tobytes() for image in kept.images}
    assert not seen & {image.tobytes() for image in validation.images}


def test_a_run_directory_holds_everything(tmp_path):
    run = Run(tmp_path / "run")
    result = train_and_score(experiment(), run, glyphs())
    present = {path.name for path in run.path.iterdir()}
    assert present >= {
        "experiment.json",
        "card.json",
        "environment.json",
        "metrics.jsonl",
        "best.keras",
        "last.keras",
        "predictions.npz",
        "result.json",
    }
    assert not any(".tmp" in name for name in present)
    assert run.result == json.loads(json.dumps(result))
    assert run.experiment == experiment()
    assert [record["epoch"] for record in run.metrics()] == [1, 2, 3, 4]
    assert run.environment["data_digest"] == glyphs().digest == run.card["data_digest"]
    assert result["scored"] == "validation" and result["n"] == 28 and result["sample"] is True
    best = min(run.metrics(), key=lambda record: record["val_loss"])
    assert result["best_epoch"] == best["epoch"]
    assert result["accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)
    with np.load(run / "predictions.npz", allow_pickle=False) as predictions:
        assert predictions["features"].shape == (len(predictions["mapped"]), 256)
        assert (predictions["probabilities"].argmax(1) == predictions["labels"]).mean() == result["accuracy"]


def test_same_seed_same_metrics_and_weights_other_seed_others(tmp_path):
    runs = [Run(tmp_path / name) for name in "abc"]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        train(experiment(epochs=2, seed=seed), run, glyphs())
    assert timeless(runs[0]) == timeless(runs[1]) != timeless(runs[2])
    assert all(np.array_equal(a, b) for a, b in zip(weights(runs[0]), weights(runs[1]), strict=True))


def test_early_steps_are_recorded_by_themselves(tmp_path):
    run = Run(tmp_path)
    train(experiment(epochs=3), run, glyphs())
    first, second, third = run.metrics()
    assert [record["steps"] for record in (first, second, third)] == [7, 14, 21]  # 112 images, 16 a step
    assert [probe["step"] for probe in first["probes"]] == [0, 1, 3]
    assert [probe["step"] for probe in second["probes"]] == [10] and "probes" not in third
    before, *_ = first["probes"]
    _, validation = split(glyphs(), experiment())
    training.prepare_keras(0)
    start, _ = training._start(experiment(), glyphs().class_names, None)
    answers = Classifier((start,), glyphs().class_names, 28).probabilities(validation.images)
    assert before["val_accuracy"] == pytest.approx((answers.argmax(1) == validation.labels).mean())
    of_label = answers[np.arange(len(validation)), validation.labels]
    assert before["val_loss"] == pytest.approx(-np.log(of_label).mean(), abs=1e-5)
    assert 0 == round(before["seconds"], 1) <= first["probes"][-1]["seconds"] <= first["epoch_seconds"]


def test_a_frozen_body_stays_as_it_was_through_a_stop(tmp_path):
    source, run = Run(tmp_path / "source"), Run(tmp_path / "frozen")
    train(experiment(epochs=1), source, glyphs())
    frozen = experiment("part2", init="pretrained", source="x", frozen=True, epochs=2, stop_patience=None)

    def stop(record, epochs):
        if record["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        train(frozen, run, glyphs(), source=source.path, report=stop)
    train(frozen, run, glyphs(), source=source.path)
    ours, theirs = weights(run), weights(source)
    assert all(np.array_equal(a, b) for a, b in zip(ours[:-2], theirs[:-2], strict=True))
    assert not np.array_equal(ours[-2], theirs[-2])
    with pytest.raises(MidasError, match="frozen goes with init 'pretrained'"):
        experiment(frozen=True)


class Stop(Exception):
    pass


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_stopped_run_goes_on_as_if_it_never_stopped(tmp_path, schedule):
    # So high a learning rate makes the validation loss jump, which puts the plateau schedule's memory to the test.
    tiny = experiment(epochs=8, learning_rate=0.02, schedule=schedule)
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train_and_score(tiny, whole, glyphs())
    for stop in (2, 5):

        def stop_there(record, epochs, stop=stop):
            if record["epoch"] == stop:  # after the metrics are written and before last.keras is
                raise Stop

        with pytest.raises(Stop):
            train(tiny, broken, glyphs(), report=stop_there)
    train_and_score(tiny, broken, glyphs())
    assert timeless(broken) == timeless(whole)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(broken), strict=True))
    rates = [record["learning_rate"] for record in whole.metrics()]
    assert schedule == "cosine" or rates[-1] < rates[0]
    assert {k: v for k, v in broken.result.items() if k != "train_seconds"} == {
        k: v for k, v in whole.result.items() if k != "train_seconds"
    }


def test_changed_data_are_noticed_on_resume(tmp_path):
    run = Run(tmp_path)

    def stop(record, epochs):
        raise Stop

    with pytest.raises(Stop):
        train(experiment(), run, glyphs(), report=stop)
    with pytest.raises(MidasError, match="the data changed"):
        train(experiment(), run, glyphs("01234", 12))


def test_early_stopping(tmp_path):
    tiny = experiment(epochs=30, learning_rate=1.0, stop_patience=2, patience=9)
    result = train_and_score(tiny, Run(tmp_path), glyphs())
    assert result["epochs"] == result["best_epoch"] + 2 < 30


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_of_epochs_that_cannot_be_told_apart_the_last_is_kept(tmp_path, tolerance):
    records = [{"epoch": n, "val_loss": loss} for n, loss in enumerate((1.0, 0.5, 0.9, 0.55, 0.62, 0.4, 0.49, 0.7), 1)]
    keep, kept = Checkpoint(tmp_path / "best.keras", tolerance, monitor="val_loss", save_best_only=True), []
    keep.set_model(models.build("compact", 14, 2))
    for place, record in enumerate(records):
        if place == 3:  # stopped and resumed
            keep = Checkpoint(tmp_path / "best.keras", tolerance, 0.5, monitor="val_loss", save_best_only=True)
            keep.set_model(models.build("compact", 14, 2))
        keep.on_epoch_end(place, {"val_loss": record["val_loss"]})
        if keep.path.exists():
            kept.append(record["epoch"])
            keep.path.unlink()
    assert kept == ([1, 2, 4, 6, 7] if tolerance else [1, 2, 6])
    assert chosen(records, tolerance)["epoch"] == kept[-1]
    assert chosen([{"epoch": 1}, {"epoch": 2}], tolerance)["epoch"] == 2


def test_all_data_has_no_best_and_scores_the_training_images(tmp_path):
    run = Run(tmp_path)
    result = train_and_score(experiment(val_fraction=0.0, epochs=1), run, glyphs())
    assert result["scored"] == "training" and result["n"] == len(glyphs())
    assert not (run / "best.keras").exists() and run.checkpoint == run / "last.keras"


def test_pretrained_start_keeps_the_body_and_the_head_where_classes_agree(tmp_path):
    digits = glyphs("0123456789")
    part1, own, other = (Run(tmp_path / name) for name in ("part1", "own", "other"))
    train(experiment(), part1, digits)
    tiny = experiment("part2", init="pretrained", source="digits", epochs=1)
    result = train_and_score(tiny, own, digits, digits, source=part1.path)
    network = Classifier.load(part1.path)
    answers = network.probabilities(digits.images).argmax(1)
    assert result["zero_shot_accuracy"] == pytest.approx((answers == digits.labels).mean())
    assert result["scored"] == "mnist-test" and result["n"] == len(digits)

    train(experiment(epochs=1), other, glyphs())  # fourteen classes: the head cannot be kept
    result = train_and_score(
        experiment("part2", init="pretrained", source="x", epochs=1), Run(tmp_path / "n"), digits, digits, other.path
    )
    assert 0 <= result["zero_shot_accuracy"] <= 1 and len(Run(tmp_path / "n").card["class_names"]) == 10


def test_what_is_copied_into_a_pretrained_network(tmp_path):
    run = Run(tmp_path / "run")
    train(experiment(epochs=1), run, glyphs())
    donor, tiny = Classifier.load(run.path).model.get_weights(), experiment("part2", init="pretrained")
    same, _ = training._start(tiny, glyphs().class_names, run.path)
    other, _ = training._start(tiny, tuple("0123456789"), run.path)
    assert all(np.array_equal(a, b) for a, b in zip(same.get_weights(), donor, strict=True))
    body = zip(other.get_weights()[:-2], donor[:-2], strict=True)
    assert all(np.array_equal(a, b) for a, b in body) and other.get_weights()[-2].shape[1] == 10


def test_test_images_of_other_classes_are_refused(tmp_path):
    with pytest.raises(MidasError, match="its classes"):
        score(experiment("part2"), Run(tmp_path), glyphs("0123456789"), glyphs("012345678"))


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def save(path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    model = models.build("compact", 28, 2)
    monkeypatch.setattr(model, "save", save)
    checkpoint = Checkpoint(tmp_path / "last.keras")
    checkpoint.set_model(model)
    with pytest.raises(MidasError, match=r"last\.keras: cannot be written: No space left on device; make room"):
        checkpoint.on_epoch_end(0, {})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_below_a_folder_with_braces(tmp_path):
    folder = tmp_path / "{epoch} {x}"
    folder.mkdir()
    checkpoint = Checkpoint(folder / "last.keras")
    checkpoint.set_model(models.build("compact", 28, 2))
    checkpoint.on_epoch_end(0, {})
    assert [path.name for path in folder.iterdir()] == ["last.keras"]


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run = Run(tmp_path / "baseline")
    train(experiment(model="baseline", epochs=1), run, glyphs())
    with pytest.raises(MidasError, match="a baseline network for 28x28 images, not a compact network"):
        train(experiment("part2", init="pretrained"), Run(tmp_path / "x"), glyphs(), source=run.path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adadelta", "adagrad"])
def test_every_optimizer_trains(tmp_path, optimizer):
    result = train_and_score(experiment(optimizer=optimizer, epochs=1), Run(tmp_path), glyphs("01", 10))
    assert result["epochs"] == 1
