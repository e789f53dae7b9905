"""The script that makes checkpoints small enough to ship."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
import ship
from fabricate import predictions
from tiny import CHARACTERS, dataset, experiment, train_and_score

from midas.errors import MidasError
from midas.learning.classifier import Classifier
from midas.metrics.classification import ErrorKinds, calibrate
from midas.records import Card, CrossValidationResult, CrossValidationScores, MeanScore
from midas.runs import Run

pytestmark = pytest.mark.usefixtures("eagerly")


def write_cross_validation(folder, of, scores):
    """Write the record of a cross-validation of an experiment."""
    run = Run(folder)
    run.start(of)
    about = {"part": of.part, "name": of.name, "seed": 0, "scored": "held-out folds", "n": 140}
    protocol = {"folds": 5, "repeats": 2, "ensemble": 2, "tta": 4}
    costs = {"epochs": 1.0, "train_seconds": 1.0, "model": of.model, "parameters": 1, "macs": 1, "sample": True}
    run.write(Card(tuple(CHARACTERS)))
    run.write_predictions(predictions(CHARACTERS, n=200))
    run.write(CrossValidationResult(**about, **protocol, **costs, scores=scores, errors=ErrorKinds(0.1, 0.1, 0.3)))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs, and a cross-validation of the same training."""
    root = tmp_path_factory.mktemp("ship")
    for seed in (0, 1):
        one = experiment(epochs=1, seed=seed, val_fraction=0.0)
        train_and_score(one, Run(root / "runs" / f"seed-{seed}"), dataset())
    score = MeanScore(0.5, 0.1, (0.4, 0.6))
    measured = dict.fromkeys(("accuracy", "case_merged_accuracy", "log_loss", "calibration_error"), score)
    scores = tuple(
        CrossValidationScores(networks=networks, tta=tta, temperature=0.1 * networks * tta, **measured)
        for networks in (1, 2)
        for tta in (1, 4)
    )
    write_cross_validation(root / "cross-validation", experiment(epochs=1, val_fraction=0.0), scores)
    return root


def test_one_network(trained, tmp_path):
    card = ship.ship([trained / "runs" / "seed-0"], trained / "cross-validation", tmp_path / "part1.keras")
    shipped, before = tmp_path / "part1.keras", trained / "runs" / "seed-0"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["part1.json", "part1.keras"]
    assert card.shipped.sha256 == {"part1.keras": hashlib.sha256(shipped.read_bytes()).hexdigest()}
    assert (card.shipped.seeds, card.seed, card.size) == ((0,), 0, 28)
    found = card.shipped.evidence["cross_validation"]
    assert found["folds"] == 5 and found["tta 1"]["accuracy"]["mean"] == 0.5
    assert (card.temperature, card.tta_temperature) == (0.1, 0.4)
    assert shipped.stat().st_size < (before / "last.keras").stat().st_size / 2
    glyphs = dataset().glyphs
    ours, theirs = Classifier.load(shipped), Classifier.load(before)
    assert ours.card.shipped.sha256 == card.shipped.sha256
    assert ours.probabilities(glyphs) == pytest.approx(calibrate(theirs.probabilities(glyphs), 0.1), abs=1e-5)


def test_several_networks(trained, tmp_path):
    card = ship.ship([trained / "runs"], trained / "cross-validation", tmp_path / "together")
    assert card.shipped.seeds == (0, 1) and list(card.shipped.sha256) == ["seed-0.keras", "seed-1.keras"]
    assert card.seed is None
    together, glyphs = Classifier.load(tmp_path / "together"), dataset().glyphs
    assert len(together.networks) == 2 and together.card.temperature == 0.2
    single = Run(trained / "runs" / "seed-0").card
    assert (card.parameters, card.macs) == (2 * single.parameters, 2 * single.macs)
    mean = Classifier.load(trained / "runs").probabilities(glyphs)
    assert np.array_equal(together.probabilities(glyphs).argmax(1), mean.argmax(1))


def test_a_cross_validation_of_another_experiment_is_refused(trained, tmp_path):
    scores = Run(trained / "cross-validation").cross_validation.scores
    write_cross_validation(tmp_path, experiment(epochs=2, val_fraction=0.0), scores)
    with pytest.raises(SystemExit, match="epochs 1 instead of 2"):
        ship.ship([trained / "runs"], tmp_path, tmp_path / "x.keras")
    write_cross_validation(tmp_path, experiment(epochs=1, val_fraction=0.0), scores[:1])
    with pytest.raises(SystemExit, match="--ensemble"):
        ship.ship([trained / "runs"], tmp_path, tmp_path / "x.keras")


def test_an_unfinished_run_is_refused(trained, tmp_path):
    stopped = shutil.copytree(trained / "runs" / "seed-0", tmp_path / "stopped")
    (stopped / "result.json").unlink()
    with pytest.raises(SystemExit, match="not finished"):
        ship.ship([stopped], trained / "cross-validation", tmp_path / "x.keras")


def test_a_run_without_a_test_set_cannot_vouch_for_itself(trained, tmp_path):
    with pytest.raises(SystemExit, match="--cross-validation"):
        ship.ship([trained / "runs" / "seed-0"], None, tmp_path / "x.keras")


def test_runs_with_a_test_set_vouch_for_themselves(tmp_path):
    digits = dataset("0123456789")
    for seed in (0, 1):
        one = experiment("part3", epochs=1, seed=seed, val_fraction=0.2, tta=2)
        result = train_and_score(one, Run(tmp_path / f"seed-{seed}"), digits, digits)
    card = ship.ship([tmp_path / "seed-1"], None, tmp_path / "part3.keras")
    evidence = card.shipped.evidence
    assert evidence["test"]["accuracy"] == result.accuracy == evidence["test_accuracy_by_seed"]["1"]
    assert evidence["test"]["estimate"]["accuracy"] == result.estimate.accuracy
    assert set(evidence["test_accuracy_by_seed"]) == {"0", "1"}
    assert Classifier.load(tmp_path / "part3.keras").class_names == digits.class_names
    card = ship.ship([tmp_path / "seed-0", tmp_path / "seed-1"], None, tmp_path / "both")
    both = Classifier.load(tmp_path / "both")
    assert card.shipped.seeds == (0, 1) and (len(both.networks), both.tta) == (2, 2)
    correct = both.probabilities(digits.glyphs).argmax(axis=1) == digits.labels
    assert card.shipped.evidence["test"]["accuracy"] == pytest.approx(correct.mean())
    assert "estimate" not in card.shipped.evidence["test"]
    with pytest.raises(SystemExit, match="once"):
        ship.ship([tmp_path / "seed-0", tmp_path / "seed-0"], None, tmp_path / "twice")
    Run(tmp_path / "seed-1").start(dataclasses.replace(one, tta=3))
    with pytest.raises(MidasError, match="more than the seed"):
        ship.ship([tmp_path / "seed-0", tmp_path / "seed-1"], None, tmp_path / "both")
