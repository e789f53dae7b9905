"""The audit of labels: verdicts, intervals and tests on made answers with known wrong labels, and the command."""

import csv
import json
import sys

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from tiny import glyphs, write_mnist

from midas.cli import main
from midas.data.datasets import read, save
from midas.data.sources import open_source
from midas.learning import models
from midas.metrics import label_noise as label_audit
from midas.metrics.complementary import even_transition
from midas.report import label_audit as audit_report
from midas.runs import shipped_checkpoint, write_json

K = 10


def pair_flip(wrong: float, classes: int = K) -> np.ndarray:
    return (1 - wrong) * np.eye(classes) + wrong * np.roll(np.eye(classes), 1, axis=1)


def made(transition: np.ndarray, n: int = 4000, seed: int = 0, skill: float = 40.0, learnt: bool = True):
    """Draw classes and folders, and what a witness says: of the folders where it learnt them, else of the classes.

    Images differ in how clear they are; for the least clear the witness guesses.
    """
    rng = np.random.default_rng(seed)
    classes = len(transition)
    truth = rng.integers(0, classes, n)
    clear = skill * rng.random((n, 1)) * 2
    logits = rng.normal(size=(n, classes)) + clear * np.eye(classes)[truth]
    # What Bayes' rule makes of such an observation, which is all that a perfect witness can say.
    exponentials = np.exp(clear * (logits - logits.max(axis=1, keepdims=True)))
    said = exponentials / exponentials.sum(axis=1, keepdims=True)
    folders = (rng.random((n, 1)) > transition[truth].cumsum(axis=1)).sum(axis=1)
    return truth, folders, (said @ transition if learnt else said).astype(np.float32)


CASES = {
    "clean": (even_transition(K, 1.0), "clean"),
    "five": (even_transition(K, 0.95), "noisy"),
    "twenty": (even_transition(K, 0.8), "noisy"),
    "forty": (even_transition(K, 0.6), "noisy"),
    "flip": (pair_flip(0.2), "noisy"),
    "much flip": (pair_flip(0.4), "noisy"),
    "complementary": (even_transition(K, 0.0), "complementary"),
    "some right": (even_transition(K, 0.01), "complementary"),
}


@pytest.mark.parametrize("learnt", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_verdict_share_and_spread(name, learnt):
    transition, verdict = CASES[name]
    truth, folders, said = made(transition, learnt=learnt)
    found = label_audit.audit(said, folders, independent=not learnt)
    assert found.verdict == verdict
    assert found.answers.smallest == (learnt and verdict == "complementary")
    low, high = found.share.interval
    assert low <= (truth == folders).mean() <= high and high - low < 0.12
    assert np.abs(found.transition - transition).max() < 0.1
    assert len(found.pairs) == (K if "flip" in name else 0)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1, rtol=1e-5)
    suspected = found.filed_right < label_audit.SUSPECTED
    if verdict == "noisy":
        assert (suspected & (truth != folders)).sum() > 0.75 * max(suspected.sum(), (truth != folders).sum())
        assert found.share.all_right_p < 1e-4
    if verdict == "complementary":
        assert (found.posterior.argmax(axis=1) == truth).mean() > 0.6
        assert found.share.none_right_p > 0.01


def test_intervals_cover_the_truth():
    cases = [(wrong, seed) for wrong in (0.0, 0.1, 0.3, 1.0) for seed in range(25)]
    missed = 0
    for wrong, seed in cases:
        truth, folders, said = made(even_transition(K, 1 - wrong), n=800, seed=seed)
        low, high = label_audit.audit(said, folders, independent=False).share.interval
        missed += not low <= (truth == folders).mean() <= high
    assert missed <= 5


@pytest.mark.parametrize("skill", [1.0, 4.0, 10.0, 40.0])
def test_small_clean_sets_never_look_wrong(skill):
    for seed in range(15):
        _, folders, said = made(np.eye(K), n=40 * K, seed=seed, skill=skill)
        found = label_audit.audit(said, folders, independent=False)
        assert found.verdict in ("clean", "undecided"), found.share
        assert found.share.interval[1] > 0.9


def test_few_images_are_undecided_and_random_labels_too():
    _, folders, said = made(even_transition(K, 0.9), n=60)
    assert label_audit.audit(said, folders, independent=False).verdict == "undecided"
    _, _, said = made(np.eye(K), n=400)
    found = label_audit.audit(said, np.random.default_rng(1).integers(0, K, 400), independent=True)
    assert found.verdict == "undecided" and not found.told
    assert "nothing to do with" in audit_report.sentence(found, tuple("0123456789"))
    assert len(audit_report.suspects(found, 5)) == 0


def test_wrong_labels_of_a_single_class_are_found():
    transition = np.eye(K)
    transition[7, [1, 7]] = 0.3, 0.7
    truth, folders, said = made(transition, n=6000)
    found = label_audit.audit(said, folders, independent=False)
    assert (found.verdict, found.wrong_classes) == ("noisy", [7])
    assert [pair[:2] for pair in found.pairs] == [(7, 1)]
    assert found.share.interval[0] < (truth == folders).mean() < found.share.interval[1] < 0.99
    assert "in one folder a class: 7 in 1" in audit_report.sentence(found, tuple("0123456789"))


def test_what_only_an_independent_witness_can_see():
    """Folders with each other's names are no contradiction in themselves."""
    transition = np.eye(K)[[1, 0, *range(2, K)]]
    _, folders, said = made(transition, learnt=True)
    assert label_audit.audit(said, folders, independent=False).verdict == "clean"
    _, folders, said = made(transition, learnt=False)
    found = label_audit.audit(said, folders, independent=True)
    assert found.verdict == "noisy" and {pair[:2] for pair in found.pairs} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes(classes):
    for right, verdict in ((1.0, "clean"), (0.8, "noisy")):
        _, folders, said = made(even_transition(classes, right), n=3000)
        assert label_audit.audit(said, folders, independent=False).verdict == verdict


def test_maximum_likelihood_finds_the_transition():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(4), 4) * 0.5 + 0.5 * np.eye(4)
    truth = rng.integers(0, 4, 40_000)
    folders = (rng.random((len(truth), 1)) > transition[truth].cumsum(axis=1)).sum(axis=1)
    said = np.full((len(truth), 4), 0.02)
    said[np.arange(len(truth)), np.where(rng.random(len(truth)) < 0.94, truth, rng.integers(0, 4, len(truth)))] = 0.94
    found, expected = label_audit.estimate_transition(said, folders, right=0.6)
    assert np.abs(found - transition).max() < 0.03
    np.testing.assert_allclose(expected.sum(), len(truth))
    np.testing.assert_allclose(expected.sum(axis=0), np.bincount(folders))


def test_p_values_are_uniform_where_nothing_is_to_be_found():
    rng = np.random.default_rng(0)
    p_values, effects = [], []
    for _ in range(200):
        truth = rng.integers(0, 5, 1000)
        counts = np.zeros((5, 5), int)
        np.add.at(counts, (truth, (truth + rng.integers(1, 5, 1000)) % 5), 1)
        p_value, effect = label_audit.evenness(counts)
        p_values.append(p_value)
        effects.append(effect)
    assert 0.4 < np.mean(p_values) < 0.6 and 2 <= sum(p < 0.05 for p in p_values) <= 20
    assert max(effects) < label_audit.EVEN
    assert label_audit.evenness(100 * pair_flip(0.5, 5))[1] == pytest.approx(1, abs=0.02)
    assert label_audit.evenness(np.eye(5) * 100) == (None, None)
    surest, rate = np.arange(400) < 100, 0.3
    ratio = label_audit.risk(rate)
    events = rng.random((300, 400)) < np.where(surest, ratio, (1 - ratio / 4) / 0.75) * rate
    p_values = [label_audit.mistakes_of_witness(each, surest, rate) for each in events]
    assert sum(p < 0.05 for p in p_values) <= 25 and np.mean(p_values) > 0.35


def test_a_part_has_each_class_in_proportion():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = label_audit.part(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == pytest.approx([60, 30, 10], abs=1)
    assert len(set(chosen.tolist())) == 100 and len(label_audit.part(labels, None, 0)) == 1000


def test_cleanlab_on_the_same_predictions():
    pytest.importorskip("cleanlab")
    truth, folders, said = made(even_transition(K, 0.8))
    found = label_audit.audit(said, folders, independent=False)
    compared = label_audit.compare_with_cleanlab(found, said, folders)
    assert 0.15 < compared["share_wrong"] < 0.3
    assert compared["both"] > 0.8 * compared["suspected"] > 0.1 * len(truth)


# ---- the command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("data"), drawings=30)


def invoke(data, *words):
    return CliRunner().invoke(main, ["audit-labels", *map(str, words)], env={"MIDAS_CACHE_DIR": str(data / "cache")})


def test_with_a_checkpoint(data, tmp_path):
    words = ["--data", data / "mnistTask3.npz", "--checkpoint", shipped_checkpoint()]
    result = invoke(data, *words, "--out", tmp_path / "out", "--most", 7, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "complementary" and found["sentence"].startswith("complementary: ")
    assert found["images"] == 300 and len(found["per_class"]) == 10 and len(found["suspects"]) >= 7
    assert found["witness"] == {"checkpoint": str(shipped_checkpoint()), "tta": 1, "independent": True}
    assert json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8")) == found
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "folder", "suggested", "probability", "changed"] and len(rows) == 300
    truth = np.repeat(np.arange(10), 30).astype(str)
    assert np.mean([row["suggested"] for row in rows] == truth) > 0.7
    assert all((row["changed"] == "yes") == (row["suggested"] != row["folder"]) for row in rows)
    for name in ("audit.png", "transition.png"):
        assert min(cv2.imread(str(tmp_path / "out" / name)).shape[:2]) > 250
    text = invoke(data, *words, "--most", 3).stdout
    assert "filed right" in text.splitlines()[-4] and len(text.splitlines()[-1].split()) > 4


def test_without_a_checkpoint(data, tmp_path):
    words = ["--data", data / "mnist.npz", "--folds", 2, "--epochs", 1, "--limit", 60]
    result = invoke(data, *words, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert "epoch   2/2" in result.stderr
    found = json.loads(result.stdout)
    assert (found["images"], found["limit"], found["verdict"]) == (60, 60, "undecided")
    assert found["witness"] == {"checkpoint": None, "folds": 2, "epochs": 1}
    assert (tmp_path / "out" / "audit.json").exists()


def test_a_witness_that_learnt_these_labels_is_told_of(data, tmp_path):
    """The card says so; the network itself need not be able to read."""
    digits = glyphs("0123456789", 10)
    save(digits, tmp_path / "learnt.npz")
    again = read(open_source(tmp_path / "learnt.npz"), 28)
    keras.saving.save_model(models.build("baseline", 28, 10), tmp_path / "network.keras")
    card = {"class_names": digits.class_names, "size": 28, "model": "baseline", "data_digest": again.digest}
    write_json(tmp_path / "network.json", card)
    words = ["--data", tmp_path / "learnt.npz", "--checkpoint", tmp_path / "network.keras"]
    result = invoke(data, *words, "-q")
    assert result.exit_code == 0 and "no independent witness" in result.stderr
    assert result.stdout.split(":")[0] == "undecided"


def test_bad_input_is_one_line(data, tmp_path, monkeypatch):
    def line(*words, status=1):
        result = invoke(data, *words)
        assert result.exit_code == status and "Traceback" not in result.output
        return next(line for line in result.stderr.splitlines() if line.startswith("Error: "))

    image = np.zeros((4, 28, 28), np.uint8)
    image[:, 4:24, 12:15] = 255
    np.savez(tmp_path / "one.npz", images=image, labels=np.zeros(4, int))
    np.savez(tmp_path / "few.npz", images=image, labels=np.array([0, 0, 0, 1]))
    np.savez(tmp_path / "other.npz", images=image, labels=np.array(["&", "&", "0", "0"]))
    assert "one class" in line("--data", tmp_path / "one.npz")
    assert "too few for 3 folds" in line("--data", tmp_path / "few.npz")
    assert "does not know the class '&'" in line("--data", tmp_path / "other.npz", "--checkpoint", shipped_checkpoint())
    assert "no such file" in line("--data", tmp_path / "none.zip")
    assert "--data" in line(status=2)
    assert "--folds" in line("--data", data / "mnist.npz", "--checkpoint", shipped_checkpoint(), "--folds", 3, status=2)
    assert "--tta" in line("--data", data / "mnist.npz", "--tta", 3, status=2)
    assert "--epochs" in line("--data", data / "mnist.npz", "--epochs", 0, status=2)
    (tmp_path / "file").write_text("in the way")
    words = ["--data", data / "mnist.npz", "--checkpoint", shipped_checkpoint(), "--out", tmp_path / "file" / "new"]
    assert "cannot be written" in line(*words)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    assert "pip install cleanlab" in line("--data", data / "mnist.npz", "--cleanlab")
