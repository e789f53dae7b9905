import dataclasses
import gc

import keras
import numpy as np
import pytest
from tiny import Stop, dataset, experiment, on_disk, stop_after, timeless, train_and_score

from midas.data.augmentation import augment
from midas.data.datasets import Dataset
from midas.data.memmap import ImageFile
from midas.errors import MidasError
from midas.learning import models
from midas.learning.classifier import Classifier
from midas.learning.input_pipeline import feed, split
from midas.learning.trainer import compile_model, score, train
from midas.runs import Run

pytestmark = pytest.mark.usefixtures("eagerly")


def weights(run):
    return Classifier.load(run.path).network.get_weights()


def trainable(run):
    return [variable.numpy() for variable in Classifier.load(run.path).network.trainable_variables]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("settings", [{}, {"part": "part3"}, {"part": "part3", "loss": "complementary"}])
def test_a_step_is_traced_once(settings):
    data, tiny = dataset("0123", 5), experiment(**settings, batch_size=10)
    network = models.build("compact", 28, 4)
    compile_model(network, tiny, 2)
    traced, loss = [], network.compute_loss
    network.compute_loss = lambda *values, **named: traced.append(values) or loss(*values, **named)
    with feed(data, tiny, network) as fed:
        network.fit(fed, steps_per_epoch=2, epochs=2, verbose=0)
    assert len(traced) == 1


@pytest.mark.usefixtures("traced")
def test_images_that_vanish_from_disk_during_a_training_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 0)
    data, file = dataset("0123", 5), tmp_path / "glyphs"
    data = on_disk(data, file)
    with pytest.raises(FileNotFoundError, match="glyphs"):
        train(experiment(epochs=3), Run(tmp_path / "run"), data, report=lambda *_: file.unlink())


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_training_that_is_over_leaves_nothing_of_its_network_or_data(tmp_path, monkeypatch, is_on_disk):
    def alive():
        gc.collect()
        return [each for each in gc.get_objects() if isinstance(each, keras.Model | Dataset)]

    data = dataset("0123", 5)
    if is_on_disk:
        monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 0)
        data = on_disk(data, tmp_path / "glyphs")
    before = alive()
    train_and_score(experiment(epochs=1), Run(tmp_path), data)
    assert [each for each in alive() if all(each is not other for other in before)] == []


def test_images_on_disk_make_the_same_network(tmp_path, monkeypatch):
    data, runs = dataset(), [Run(tmp_path / name) for name in ("memory", "disk")]
    train(experiment(epochs=2), runs[0], data)
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 0)
    data = on_disk(data, tmp_path / "glyphs")
    assert all(isinstance(part.images, ImageFile) for part in split(data, experiment()))
    train(experiment(epochs=2), runs[1], data)
    assert timeless(runs[0]) == timeless(runs[1])
    assert all(map(np.array_equal, weights(runs[0]), weights(runs[1])))


def test_validation_images_never_reach_augmentation(monkeypatch, tmp_path):
    seen = set()

    def spy(images, strengths, rng):
        seen.update(image.tobytes() for image in images)
        return augment(images, strengths, rng)

    monkeypatch.setattr("midas.data.augmentation.augment", spy)
    training = train(experiment(epochs=1), Run(tmp_path / "run"), dataset())
    assert seen == {image.tobytes() for image in training.training.images}
    assert not seen & {image.tobytes() for image in training.validation.images}


def test_a_run_directory_holds_everything(tmp_path):
    run = Run(tmp_path / "run")
    result = train_and_score(experiment(), run, dataset())
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
    assert run.result == result
    assert run.experiment == experiment()
    assert [record.epoch for record in run.epochs()] == [1, 2, 3, 4]
    assert run.environment.data_digest == dataset().digest == run.card.data_digest
    assert run.environment.started_utc <= run.environment.finished_utc
    assert result.scored == "validation" and result.n == 28 and result.sample is True
    best = min(run.epochs(), key=lambda record: record.val_loss)
    assert result.best_epoch == best.epoch
    assert result.accuracy == pytest.approx(best.val_accuracy, abs=1e-6)
    predictions = run.predictions()
    assert predictions.features.shape == (len(predictions.embedded), 1152)
    assert (predictions.probabilities.argmax(1) == predictions.labels).mean() == result.accuracy


def test_a_card_describes_the_network_and_its_training(tmp_path):
    run = Run(tmp_path / "run")
    train(experiment(epochs=1, tta=4, model="compact"), run, dataset())
    card, model = run.card, models.build("compact", 28, len(dataset().class_names))
    assert (card.class_names, card.size, card.model, card.tta) == (dataset().class_names, 28, "compact", 4)
    assert (card.part, card.name, card.seed, card.data) == ("part1", "compact", 0, "part1")
    assert card.augmentation == experiment().augmentation and card.trained_on == ("part1",) and card.sample
    assert (card.parameters, card.macs) == (model.count_params(), models.count_macs(model))


def test_same_seed_same_metrics_and_weights_other_seed_others(tmp_path):
    runs = [Run(tmp_path / name) for name in "abc"]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        train(experiment(epochs=2, seed=seed), run, dataset())
    assert timeless(runs[0]) == timeless(runs[1]) != timeless(runs[2])
    assert all(np.array_equal(a, b) for a, b in zip(weights(runs[0]), weights(runs[1]), strict=True))


def test_the_validation_set_is_scored_after_some_of_the_first_steps(tmp_path):
    run = Run(tmp_path)
    training = train(experiment(epochs=3), run, dataset())
    first, second, third = run.epochs()
    assert [record.steps for record in (first, second, third)] == [7, 14, 21]  # 112 images, 16 per step
    assert [probe.step for probe in first.probes] == [0, 1, 3]
    assert [probe.step for probe in second.probes] == [10] and third.probes == ()
    before, validation = first.probes[0], training.validation
    probabilities = training.initialization.probabilities(validation.glyphs)
    assert before.val_accuracy == pytest.approx((probabilities.argmax(1) == validation.labels).mean())
    of_label = probabilities[np.arange(len(validation)), validation.labels]
    assert before.val_loss == pytest.approx(-np.log(of_label).mean(), abs=1e-5)
    assert 0 == round(before.seconds, 1) <= first.probes[-1].seconds <= first.epoch_seconds


@pytest.mark.usefixtures("save_every_epoch")
def test_a_frozen_backbone_keeps_its_weights_through_an_interruption(tmp_path):
    source, run = Run(tmp_path / "source"), Run(tmp_path / "frozen")
    fast = {"model": "fast", "stop_patience": None}  # its batch normalization has averages
    train(experiment(epochs=1, **fast), source, dataset())
    frozen = experiment("part2", init="pretrained", init_checkpoint="x", freeze_backbone=True, epochs=2, **fast)
    with pytest.raises(Stop):
        train(frozen, run, dataset(), source.path, report=stop_after(1))
    train(frozen, run, dataset(), source.path)
    ours, theirs = weights(run), weights(source)
    assert all(np.array_equal(a, b) for a, b in zip(ours[:-2], theirs[:-2], strict=True))
    assert not np.array_equal(ours[-2], theirs[-2])
    with pytest.raises(MidasError, match="freeze_backbone needs init 'pretrained'"):
        experiment(freeze_backbone=True)


@pytest.mark.usefixtures("traced", "save_every_epoch")
@pytest.mark.parametrize(("schedule", "epochs", "interruptions"), [("plateau", 8, (2, 5)), ("cosine", 4, (2,))])
def test_an_interrupted_run_resumes_exactly(tmp_path, schedule, epochs, interruptions):
    # So high a learning rate makes the validation loss jump, so that the state of the plateau schedule matters.
    tiny = experiment(epochs=epochs, learning_rate=0.02, schedule=schedule, model="fast")
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train_and_score(tiny, whole, dataset())
    for epoch in interruptions:
        with pytest.raises(Stop):
            train(tiny, broken, dataset(), report=stop_after(epoch))
    train_and_score(tiny, broken, dataset())
    assert timeless(broken) == timeless(whole)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole), weights(broken), strict=True))
    rates = [record.learning_rate for record in whole.epochs()]
    assert schedule == "cosine" or rates[-1] < rates[0]
    ours, theirs = (dataclasses.replace(run.result, train_seconds=0.0) for run in (broken, whole))
    assert ours == theirs


def test_epochs_that_can_no_longer_be_read_are_not_trained_on_top_of(tmp_path):
    run = Run(tmp_path)
    train(experiment(epochs=2), run, dataset("01", 10))
    (run / "metrics.jsonl").write_text("damaged")
    with pytest.raises(MidasError, match=r"metrics\.jsonl: damaged, has fewer epochs than .*last\.keras"):
        train(experiment(epochs=2), run, dataset("01", 10))


def test_changed_data_are_noticed_when_resuming(tmp_path):
    run = Run(tmp_path)
    with pytest.raises(Stop):
        train(experiment(), run, dataset(), report=stop_after(1))
    with pytest.raises(MidasError, match="the data changed"):
        train(experiment(), run, dataset("01234", 12))
    train(experiment(epochs=1), run, dataset("01234", 12), obsolete=[run])
    assert run.card.class_names == tuple("01234") and len(run.epochs()) == 1


@pytest.mark.usefixtures("traced")  # faster for many epochs
def test_early_stopping(tmp_path):
    tiny = experiment(epochs=30, learning_rate=1.0, stop_patience=2, patience=9)
    result = train_and_score(tiny, Run(tmp_path), dataset())
    assert result.epochs == result.best_epoch + 2 < 30


def test_all_data_has_no_best_and_scores_the_training_images(tmp_path):
    run = Run(tmp_path)
    result = train_and_score(experiment(val_fraction=0.0, epochs=1), run, dataset())
    assert result.scored == "training" and result.n == len(dataset())
    assert not (run / "best.keras").exists() and run.checkpoint == run / "last.keras"


def test_the_zero_shot_score_is_that_of_the_initialization(tmp_path):
    digits = dataset("0123456789")
    part1, other, without_head = (Run(tmp_path / name) for name in ("part1", "other", "without-head"))
    train(experiment(epochs=1), part1, digits)
    tiny = experiment("part2", init="pretrained", init_checkpoint="digits", epochs=1)
    result = train_and_score(tiny, Run(tmp_path / "run"), digits, digits, part1.path)
    predicted = Classifier.load(part1.path).probabilities(digits.glyphs).argmax(1)
    assert result.zero_shot_accuracy == pytest.approx((predicted == digits.labels).mean())
    assert result.scored == "mnist-test" and result.n == len(digits)

    train(experiment(epochs=1), other, dataset())  # fourteen classes: the last layer is replaced
    result = train_and_score(tiny, without_head, digits, digits, other.path)
    assert 0 <= result.zero_shot_accuracy <= 1 and len(without_head.card.class_names) == 10

    untested = train_and_score(experiment(val_fraction=0.0, epochs=1), Run(tmp_path / "untested"), digits)
    assert untested.scored == "training" and untested.zero_shot_accuracy is None


@pytest.mark.parametrize("characters", ["0123456789ABab", "0123456789"])
def test_a_pretrained_initialization_keeps_the_last_layer_if_the_classes_are_the_same(tmp_path, characters):
    source, run = Run(tmp_path / "source"), Run(tmp_path / "run")
    train(experiment(epochs=1), source, dataset())
    # A learning rate that changes no weight shows those that training started from.
    still = experiment("part2", init="pretrained", epochs=1, optimizer="sgd", learning_rate=1e-30)
    train(still, run, dataset(characters), source.path)
    ours, theirs = trainable(run), trainable(source)
    equal = [a.shape == b.shape and np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)]
    has_same_classes = dataset(characters).class_names == dataset().class_names
    assert equal == [*[True] * (len(equal) - 2), has_same_classes, has_same_classes or not ours[-1].any()]
    assert ours[-2].shape[1] == len(characters)


def test_an_initialization_without_its_checkpoint_is_an_error(tmp_path):
    for settings, checkpoint in (({"init": "pretrained"}, None), ({}, tmp_path)):
        with pytest.raises(ValueError, match="initialization cannot start from"):
            train(experiment("part2", **settings), Run(tmp_path), dataset(), checkpoint)


def test_part_3_refuses_a_network_that_was_trained_on_true_labels_of_mnist(tmp_path):
    run, digits = Run(tmp_path / "mnist"), dataset("0123456789")
    train(experiment("part2", epochs=1), run, digits)
    part3 = experiment("part3", init="pretrained")
    with pytest.raises(MidasError, match="was trained on MNIST's true labels"):
        train(part3, Run(tmp_path / "x"), digits, run.path)


def test_a_test_set_of_other_classes_is_refused(tmp_path):
    training = train(experiment("part2", epochs=1), Run(tmp_path), dataset("012345678"))
    with pytest.raises(MidasError, match="has the class '9'"):
        score(training, dataset("0123456789"))
    assert not training.run.finished
    assert score(training, dataset("81")).n == 20  # a test set may lack classes


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run = Run(tmp_path / "baseline")
    train(experiment(epochs=1), run, dataset())
    with pytest.raises(MidasError, match="a baseline network for 28x28 images, not a compact network"):
        train(experiment("part2", init="pretrained", model="compact"), Run(tmp_path / "x"), dataset(), run.path)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adadelta", "adagrad"])
def test_every_optimizer_trains(tmp_path, optimizer):
    result = train_and_score(experiment(optimizer=optimizer, epochs=1), Run(tmp_path), dataset("01", 10))
    assert result.epochs == 1
