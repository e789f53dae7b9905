"""The script that scores label audits, on generated labels and predictions."""

import sys

import audit_verdicts
import numpy as np
import pytest
from noisy_labels import CLASSES, generate
from tiny import write_part3

from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.errors import MidasError
from midas.metrics.complementary import uniform_transition


@pytest.mark.parametrize(("name", "share"), [("clean", 0.0), ("20 % uniformly wrong", 0.2)])
def test_noise_has_the_share_that_its_name_says(name, share):
    labels = np.arange(20_000) % CLASSES
    noisy = audit_verdicts.NOISE[name](labels, CLASSES, 0)
    assert (noisy != labels).mean() == pytest.approx(share, abs=0.01)


def test_pair_flips_give_the_next_class():
    labels = np.arange(2000) % CLASSES
    flipped = audit_verdicts.NOISE["40 % labeled as the next class"](labels, CLASSES, 0)
    assert set(((flipped - labels) % CLASSES).tolist()) == {0, 1}


def test_precision_and_recall_computed_by_hand():
    found, true = np.array([1, 1, 1, 0, 0], bool), np.array([1, 1, 0, 1, 1], bool)
    assert audit_verdicts.precision_and_recall(found, true) == {"precision": 2 / 3, "recall": 0.5}
    assert audit_verdicts.precision_and_recall(found, found & False) == {"precision": 0.0, "recall": None}


@pytest.mark.parametrize(("share_correct", "suspects"), [(0.8, "mislabeled"), (0.01, "correctly labeled")])
def test_suspects_are_scored_by_true_labels(share_correct, suspects):
    truth, given_labels, probabilities = generate(uniform_transition(CLASSES, share_correct))
    glyphs = Glyphs.without_places(np.zeros((len(truth), 28, 28), np.uint8))
    names = np.array([f"{index}.png" for index in range(len(truth))])
    data = Dataset(glyphs, given_labels, tuple("0123456789"), names)
    row = audit_verdicts.measure(data, truth, probabilities, independent=False)
    assert row["suspects"] == suspects
    assert row["actually_mislabeled"] == pytest.approx(1 - share_correct, abs=0.02)
    low, high = row["share_mislabeled_interval"]
    assert low <= row["actually_mislabeled"] <= high
    if suspects == "mislabeled":
        assert row["precision"] > 0.9 and row["recall"] > 0.9
    cells = audit_verdicts.table_row({"data": "x", "predictions": "out-of-fold", "seconds": 1.0, **row}).split(" | ")
    assert len(cells) == len(audit_verdicts.COLUMNS)


def test_true_labels_need_images_named_after_those_of_mnist(tmp_path):
    images, _, given_labels = write_part3(tmp_path, 200)
    (tmp_path / "mnistTask3.zip").unlink()
    np.savez(tmp_path / "mnistTask3.npz", images=images, labels=given_labels)
    with pytest.raises(MidasError, match=r"mnistTask3\.npz\[0\]: does not name one of MNIST's 200 training images"):
        list(audit_verdicts.cases(tmp_path, 28, None, None, 0))


def test_a_reference_model_may_be_a_shipped_network(monkeypatch, capsys):
    words = ["--data-dir", "sample", "--limit", "100", "--checkpoint", "part3-random", "--only-checkpoint"]
    monkeypatch.setattr(sys, "argv", ["audit_verdicts.py", *words])
    audit_verdicts.main()
    assert capsys.readouterr().out.count("| part3-random |") == len(audit_verdicts.NOISE) + 1
