"""No true label reaches the training of Part 3, or any choice made in it."""

import dataclasses
import inspect

import numpy as np
import pytest
from tiny import dataset, experiment, timeless, train_and_score, write_mnist

from midas.errors import MidasError
from midas.learning.classifier import Classifier
from midas.learning.input_pipeline import split
from midas.learning.trainer import candidate_targets, train
from midas.runs import Run
from midas.studies import study

TINY = experiment(
    "part3", model="compact", learning_rate=2e-3, epochs=2, rounds=1, val_fraction=0.2, min_delta=1e-4, name="tiny"
)


def mislabeled(drawings=40):
    digits = dataset("0123456789", drawings)
    return dataclasses.replace(digits, labels=(digits.labels + 1 + np.arange(len(digits)) % 9) % 10)


def what_was_learned_and_chosen(run):
    keys = ("best_epoch", "best_val_loss", "best_val_accuracy", "estimate")
    chosen = {key: getattr(run.result, key) for key in keys} if run.finished else None
    return (
        timeless(run),
        chosen,
        [Classifier.load(run.path / file).network.get_weights() for file in ("best.keras", "last.keras")],
    )


def test_other_true_labels_change_nothing_but_the_score(tmp_path, monkeypatch):
    """Train on the same data, beside MNIST with its labels and beside images with made-up ones."""
    runs, loaded, rng = [], [], np.random.default_rng(0)

    def spy(workspace, name, size):
        # A test set is loaded for the round whose epochs are all there.
        unfinished = [path.parent for path in workspace.root.rglob("metrics.jsonl") if not Run(path.parent).finished]
        loaded.append((name, len(Run(unfinished[0]).epochs()) if unfinished else 0))
        return load(workspace, name, size)

    load = study.Workspace.load
    monkeypatch.setattr(study.Workspace, "load", spy)
    for kind in ("true", "made-up"):
        data = tmp_path / kind
        data.mkdir()
        write_mnist(data)
        if kind == "made-up":
            with np.load(data / "mnist.npz") as arrays:
                other = {key: rng.permutation(array) for key, array in arrays.items()}
            np.savez(data / "mnist.npz", **other)
        workspace = study.Workspace(tmp_path / f"runs-{kind}", str(data), tmp_path / "cache")
        runs.append(study.perform(TINY, workspace))
    (epochs, chosen, weights), (others, also_chosen, other_weights) = map(what_was_learned_and_chosen, runs)
    assert epochs == others and chosen == also_chosen and len(epochs) == 2
    for ours, theirs in zip(weights, other_weights, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert runs[0].result.log_loss != runs[1].result.log_loss
    # True labels were read once for each round, after its last epoch.
    assert loaded == [("part3", 0), ("mnist-test", 2)] * 4


def test_training_takes_no_test_set_and_does_not_use_file_names(tmp_path):
    assert set(inspect.signature(train).parameters) == {
        *("experiment", "run", "data", "init_checkpoint", "teachers", "report", "tensorboard", "overwrite")
    }
    named, data = Run(tmp_path / "named"), mislabeled(10)
    renamed = dataclasses.replace(data, names=np.array([f"{i:03d}" for i in range(len(data))])[::-1])
    plain = dataclasses.replace(TINY, rounds=0, epochs=1)
    train(plain, named, data)
    train(plain, Run(tmp_path / "renamed"), renamed)
    ours, theirs = (Classifier.load(tmp_path / name).network.get_weights() for name in ("named", "renamed"))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_predicts_by_largest_and_smallest_output_and_learns_from_complementary_labels(tmp_path):
    results = {}
    for loss in ("cross-entropy", "complementary"):
        one = dataclasses.replace(TINY, loss=loss, rounds=0, epochs=12, augmentation=None, val_fraction=0.1)
        results[loss] = train_and_score(one, Run(tmp_path / loss), mislabeled(), dataset("0123456789", 40))
    assert results["complementary"].accuracy > 0.5
    assert results["cross-entropy"].accuracy < 0.1 < results["cross-entropy"].argmin_accuracy
    estimate = results["complementary"].estimate
    assert estimate.n == 40 and estimate.interval[0] <= estimate.accuracy <= estimate.interval[1]
    counts = np.array(results["complementary"].predicted_by_label)
    assert counts.sum() == 40 and counts.trace() < 10 and results["cross-entropy"].predicted_by_label is None

    training, validation = split(mislabeled(), one)
    candidates = candidate_targets(Classifier.load(tmp_path / "complementary"), training, validation)
    assert candidates.shape == (len(training), 10) and candidates.dtype == bool and candidates.any(axis=1).all()
    assert candidates[np.arange(len(training)), training.labels].mean() < 0.1  # the label is ruled out
    assert candidates.mean() < 0.7  # and other classes, too


def test_an_interrupted_self_training_round_resumes_exactly(tmp_path):
    teacher, whole, broken = (Run(tmp_path / name) for name in ("teacher", "whole", "broken"))
    train(dataclasses.replace(TINY, rounds=0, epochs=1), teacher, mislabeled(10))

    def stop(record, epochs):
        if record.epoch == 1:
            raise Stop

    train(TINY, whole, mislabeled(10), teachers=[teacher.path])
    with pytest.raises(Stop):
        train(TINY, broken, mislabeled(10), teachers=[teacher.path], report=stop)
    with pytest.raises(ValueError, match="cannot have 0 teachers"):
        train(TINY, broken, mislabeled(10))
    with pytest.raises(MidasError, match="its teacher changed"):
        train(TINY, broken, mislabeled(10), teachers=[whole.path])
    train(TINY, broken, mislabeled(10), teachers=[teacher.path])
    (ours, *_), (theirs, *_) = map(what_was_learned_and_chosen, (whole, broken))
    assert ours == theirs and len(ours) == 2


class Stop(Exception):
    pass
