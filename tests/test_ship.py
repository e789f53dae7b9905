"""The script that makes trained networks small enough to ship."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
import ship
from tiny import experiment, glyphs, train_and_score

from midas.errors import MidasError
from midas.learning.classifier import Classifier
from midas.metrics.classification import calibrate
from midas.runs import Run, write_json


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs and a record that judges them."""
    root = tmp_path_factory.mktemp("ship")
    for seed in (0, 1):
        train_and_score(
            experiment(epochs=1, seed=seed, val_fraction=0.0), Run(root / "runs" / f"seed-{seed}"), glyphs()
        )
    spread = {"mean": 0.5, "standard_deviation": 0.1, "interval": [0.4, 0.6]}
    measured = dict.fromkeys(("accuracy", "case_merged_accuracy", "log_loss", "calibration_error"), spread)
    scores = [
        {"networks": networks, "tta": tta, "temperature": 0.1 * networks * tta, **measured}
        for networks in (1, 2)
        for tta in (1, 4)
    ]
    write_json(root / "judged" / "result.json", {"folds": 5, "repeats": 2, "scores": scores})
    Run(root / "judged").start(experiment(epochs=1, val_fraction=0.0))
    return root


def test_one_network(trained, tmp_path):
    card = ship.ship([trained / "runs" / "seed-0"], trained / "judged", tmp_path / "part1.keras")
    shipped, before = tmp_path / "part1.keras", trained / "runs" / "seed-0"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["part1.json", "part1.keras"]
    assert card["sha256"] == {"part1.keras": hashlib.sha256(shipped.read_bytes()).hexdigest()}
    assert card["seeds"] == [0] and card["size"] == 28 and card["cross_validation"]["tta 1"]["accuracy"]["mean"] == 0.5
    assert (card["temperature"], card["tta_temperature"]) == (0.1, 0.4)
    assert shipped.stat().st_size < (before / "last.keras").stat().st_size / 2
    images = glyphs().images
    ours, theirs = Classifier.load(shipped).probabilities(images), Classifier.load(before).probabilities(images)
    assert ours == pytest.approx(calibrate(theirs, 0.1), abs=1e-5)


def test_several_networks(trained, tmp_path):
    card = ship.ship([trained / "runs"], trained / "judged", tmp_path / "together")
    assert card["seeds"] == [0, 1] and list(card["sha256"]) == ["seed-0.keras", "seed-1.keras"]
    together = Classifier.load(tmp_path / "together")
    assert len(together.members) == 2 and together.card["temperature"] == 0.2
    mean = Classifier.load(trained / "runs").probabilities(glyphs().images)
    assert np.array_equal(together.probabilities(glyphs().images).argmax(1), mean.argmax(1))


def test_a_judgement_of_another_experiment_is_refused(trained, tmp_path):
    write_json(tmp_path / "result.json", {"folds": 5, "repeats": 2, "scores": []})
    Run(tmp_path).start(experiment(epochs=2, val_fraction=0.0))
    with pytest.raises(SystemExit, match="epochs 1 instead of 2"):
        ship.ship([trained / "runs"], tmp_path, tmp_path / "x.keras")
    Run(tmp_path).start(experiment(epochs=1, val_fraction=0.0))
    with pytest.raises(SystemExit, match="--ensemble"):
        ship.ship([trained / "runs"], tmp_path, tmp_path / "x.keras")


def test_an_unfinished_run_is_refused(trained, tmp_path):
    stopped = shutil.copytree(trained / "runs" / "seed-0", tmp_path / "stopped")
    (stopped / "result.json").unlink()
    with pytest.raises(SystemExit, match="not finished"):
        ship.ship([stopped], trained / "judged", tmp_path / "x.keras")


def test_a_run_that_scored_its_own_validation_images_cannot_vouch_for_itself(trained, tmp_path):
    with pytest.raises(SystemExit, match="--judged-by"):
        ship.ship([trained / "runs" / "seed-0"], None, tmp_path / "x.keras")


def test_runs_that_scored_test_images_vouch_for_themselves(tmp_path):
    digits = glyphs("0123456789")
    for seed in (0, 1):
        one = experiment("part3", epochs=1, seed=seed, rounds=0, val_fraction=0.2, views=2)
        result = train_and_score(one, Run(tmp_path / f"seed-{seed}"), digits, digits)
    card = ship.ship([tmp_path / "seed-1"], None, tmp_path / "part3.keras")
    assert card["test"]["accuracy"] == result["accuracy"] == card["test_accuracy_by_seed"][1]
    assert card["test"]["estimate"] == result["estimate"] and set(card["test_accuracy_by_seed"]) == {0, 1}
    assert Classifier.load(tmp_path / "part3.keras").class_names == digits.class_names
    card = ship.ship([tmp_path / "seed-0", tmp_path / "seed-1"], None, tmp_path / "both")
    both = Classifier.load(tmp_path / "both")
    assert card["seeds"] == [0, 1] and (len(both.members), both.tta) == (2, 2)
    right = both.probabilities(digits.images).argmax(axis=1) == digits.labels
    assert card["test"]["accuracy"] == pytest.approx(right.mean()) and "estimate" not in card["test"]
    with pytest.raises(SystemExit, match="once"):
        ship.ship([tmp_path / "seed-0", tmp_path / "seed-0"], None, tmp_path / "twice")
    Run(tmp_path / "seed-1").start(dataclasses.replace(one, views=3))
    with pytest.raises(MidasError, match="more than the seed"):
        ship.ship([tmp_path / "seed-0", tmp_path / "seed-1"], None, tmp_path / "both")
