"""Wrong targets are counted by true labels, on digits of which everything is known."""

import dataclasses
import sys

import numpy as np
import part3_targets
import pytest
from tiny import experiment, train_and_score, write_part3

from midas.data import datasets
from midas.learning.checkpoints import load_for_training
from midas.learning.input_pipeline import split
from midas.runs import Run

pytestmark = pytest.mark.usefixtures("eagerly")

N = 200


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["part3_targets.py", *map(str, words)])
    part3_targets.main()
    return capsys.readouterr().out


def test_targets_are_compared_with_the_images_they_belong_to(tmp_path, monkeypatch, capsys):
    _, labels, given_labels = write_part3(tmp_path, N)
    data, one = datasets.load("part3", tmp_path), experiment("part3", epochs=1, test=None)
    trained, plain = Run(tmp_path / "progressive"), Run(tmp_path / "plain")
    train_and_score(one, trained, data)
    training, _ = split(data, one)
    indices = np.array([int(name.split("_")[-1].split(".")[0]) for name in training.names])
    targets = load_for_training(trained / "last.keras").loss.targets.numpy()[: len(training)]
    assert np.array_equal(training.labels, given_labels[indices])
    wrong = targets.argmax(axis=1) != labels[indices]
    last = run(monkeypatch, capsys, trained.path, "--data-dir", tmp_path).splitlines()[-1].split(" | ")
    assert last[1:4] == [
        str(len(training)),
        f"{100 * wrong.mean():.2f} %",
        str((training.labels == labels[indices]).sum()),
    ]

    train_and_score(dataclasses.replace(one, loss="complementary"), plain, data)
    with pytest.raises(SystemExit, match="not a finished training with the loss progressive"):
        run(monkeypatch, capsys, plain.path, "--data-dir", tmp_path)
