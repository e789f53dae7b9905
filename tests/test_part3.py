"""No true label reaches the training of Part 3, or any choice made in it."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
from tiny import Stop, dataset, experiment, on_disk, stop_after, timeless, train_and_score, write_mnist

from midas.learning.checkpoints import load_for_training
from midas.learning.classifier import Classifier
from midas.learning.trainer import train
from midas.runs import Run
from midas.studies import study

pytestmark = pytest.mark.usefixtures("eagerly")

TINY = experiment("part3", learning_rate=2e-3, epochs=4, val_fraction=0.2, min_delta=1e-4, name="tiny")


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
    assert epochs == others and chosen == also_chosen and len(epochs) == 4
    for ours, theirs in zip(weights, other_weights, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert runs[0].result.log_loss != runs[1].result.log_loss
    # True labels were read once, after the last epoch.
    assert loaded == [("part3", 0), ("mnist-test", 4)] * 2


def test_training_takes_no_test_set_and_does_not_use_file_names(tmp_path):
    assert set(inspect.signature(train).parameters) == {
        *("experiment", "run", "data", "init_checkpoint", "report", "tensorboard", "obsolete", "moment")
    }
    named, data = Run(tmp_path / "named"), mislabeled(10)
    renamed = dataclasses.replace(data, names=np.array([f"{i:03d}" for i in range(len(data))])[::-1])
    train(TINY, named, data)
    train(TINY, Run(tmp_path / "renamed"), renamed)
    ours, theirs = (Classifier.load(tmp_path / name).network.get_weights() for name in ("named", "renamed"))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.usefixtures("traced")
def test_predicts_by_largest_and_smallest_output_and_learns_from_complementary_labels(tmp_path):
    results = {}
    for loss in ("cross-entropy", "complementary", "progressive"):
        one = dataclasses.replace(TINY, model="fast", loss=loss, epochs=12, augmentation=None, val_fraction=0.1)
        results[loss] = train_and_score(one, Run(tmp_path / loss), mislabeled(), dataset("0123456789", 40))
    assert min(results[loss].accuracy for loss in ("complementary", "progressive")) > 0.5
    assert results["cross-entropy"].accuracy < 0.1 < results["cross-entropy"].argmin_accuracy
    estimate = results["complementary"].estimate
    assert estimate.n == 40 and estimate.interval[0] <= estimate.accuracy <= estimate.interval[1]
    counts = np.array(results["complementary"].predicted_by_label)
    assert counts.sum() == 40 and counts.trace() < 10 and results["cross-entropy"].predicted_by_label is None


def targets(run):
    return load_for_training(run / "last.keras").loss.targets.numpy()


@pytest.mark.usefixtures("traced", "save_every_epoch")
def test_an_interrupted_training_resumes_exactly_with_its_targets(tmp_path):
    whole, broken = (Run(tmp_path / name) for name in ("whole", "broken"))
    train(TINY, whole, mislabeled(10))
    for epoch in (2, 4):  # the targets count from the middle of the second epoch on
        with pytest.raises(Stop):
            train(TINY, broken, mislabeled(10), report=stop_after(epoch))
    train(TINY, broken, mislabeled(10))
    (ours, _, weights), (theirs, _, other_weights) = map(what_was_learned_and_chosen, (whole, broken))
    assert ours == theirs and len(ours) == 4
    assert all(map(np.array_equal, itertools.chain(*weights), itertools.chain(*other_weights)))
    assert np.array_equal(targets(whole), targets(broken))


def test_images_on_disk_get_the_same_targets(tmp_path, monkeypatch):
    runs, data = [Run(tmp_path / name) for name in ("memory", "disk")], mislabeled(10)
    training = train(TINY, runs[0], data).training
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 0)
    train(TINY, runs[1], on_disk(data, tmp_path / "glyphs"))
    found = targets(runs[0])
    assert np.array_equal(found, targets(runs[1]))
    used = found[: len(training)]
    assert used.sum(axis=1) == pytest.approx(1, abs=1e-5) and used.std() > 0
    assert not used[np.arange(len(training)), training.labels].any()
