"""The report of a label audit, in words, tables and files, and the command that writes it."""

import csv
import json
import shlex
import sys

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from noisy_labels import CLASSES, generate, pair_flip
from tiny import dataset, write_mnist

from midas.cli import main
from midas.data.datasets import Dataset, read, save
from midas.data.glyphs import Glyphs
from midas.data.sources import open_source
from midas.files import plain, write_json
from midas.learning import models
from midas.learning.checkpoints import shipped_checkpoint
from midas.metrics import label_noise
from midas.metrics.complementary import uniform_transition
from midas.records import Card
from midas.report import label_audit

pytestmark = pytest.mark.usefixtures("eagerly")

NAMES = tuple("0123456789")


def sentence(transition, n=4000, **options):
    _, given_labels, probabilities = generate(transition, n, **options)
    return label_audit.sentence(label_noise.audit(probabilities, given_labels, independent=False), NAMES)


def test_sentences_say_how_many_labels_are_wrong_and_how():
    assert sentence(np.eye(CLASSES)).startswith("clean: up to ")
    uniform = sentence(uniform_transition(CLASSES, 0.8))
    assert uniform.startswith("noisy: ")
    assert uniform.endswith("; the wrong labels do not differ significantly from uniform ones over the other classes")
    flipped = sentence(pair_flip(0.2))
    assert "most wrong labels are in pairs of classes: " in flipped and flipped.endswith(" and 6 more")
    assert sentence(uniform_transition(CLASSES, 0.9), n=60).startswith("undecided: ")
    assert "are correct (10.0 % by chance); " in sentence(uniform_transition(CLASSES, 0.0))


def test_sentence_names_the_noisy_class():
    transition = np.eye(CLASSES)
    transition[7, [1, 7]] = 0.3, 0.7
    assert "in pairs of classes: 7 labeled 1" in sentence(transition, n=6000)


def test_an_inconclusive_audit_has_no_suspects():
    _, _, probabilities = generate(np.eye(CLASSES), n=400)
    found = label_noise.audit(probabilities, np.random.default_rng(1).integers(0, CLASSES, 400), independent=True)
    assert "do not depend on the labels" in label_audit.sentence(found, NAMES)
    assert len(label_audit.suspects(found)) == 0 and label_audit.expected_precision(found) is None
    assert label_audit.action(found).startswith("Nothing can be said")


@pytest.mark.parametrize(("share_correct", "least", "most"), [(1.0, 0, 0), (0.99, 15, 80), (0.8, 500, 900)])
def test_the_suspects_end_with_the_last_label_that_is_rather_wrong(share_correct, least, most):
    truth, given_labels, probabilities = generate(uniform_transition(CLASSES, share_correct))
    found = label_noise.audit(probabilities, given_labels, independent=True)
    listed = label_audit.suspects(found)
    assert least <= len(listed) <= most and (found.p_correct[listed] < 0.5).all()
    assert (found.posterior[listed].argmax(axis=1) != given_labels[listed]).all()
    assert (np.diff(found.p_correct[listed]) >= 0).all()
    if not most:
        assert label_audit.action(found) == "No image to check."
        return
    expected, precision = label_audit.expected_precision(found), (truth != given_labels)[listed].mean()
    assert 0.7 < expected < precision + 0.03  # rather too low than too high
    assert label_audit.action(found) == (f"{len(listed)} images to check, expected precision {100 * expected:.1f} %.")


def test_files_and_list_of_clean_labels_are_empty_and_deleted_if_nothing_can_be_said(tmp_path):
    _, given_labels, probabilities = generate(np.eye(CLASSES))
    found = label_noise.audit(probabilities, given_labels, independent=True)
    n = len(given_labels)
    glyphs = Glyphs.without_places(np.zeros((n, 28, 28), np.uint8))
    data = Dataset(glyphs, given_labels, NAMES, np.arange(n).astype(str))
    summary = label_audit.write(found, data, label_audit.describe(found, data), 20, tmp_path)
    assert summary["suspects"] == [] and summary["expected_precision"] is None
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8").count("\n") == 1
    text = label_audit.table(summary, 20)
    assert text.startswith("No image to check.\nclean: ") and "looks like" not in text
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(summary["files"])
    random = label_noise.audit(probabilities, np.random.default_rng(1).integers(0, CLASSES, n), independent=True)
    summary = label_audit.write(random, data, label_audit.describe(random, data), 20, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == summary["files"] == ["audit.json"]


# ---- the command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("data"), drawings=30)


def invoke(data, *words):
    return CliRunner().invoke(main, ["audit-labels", *map(str, words)], env={"MIDAS_CACHE_DIR": str(data / "cache")})


def test_with_a_reference_model(data, tmp_path):
    words = ["--data", data / "mnistTask3.npz", "--checkpoint", shipped_checkpoint()]
    result = invoke(data, *words, "--out", tmp_path / "out", "--max-suspects", 7, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "complementary" and found["sentence"].startswith("complementary: ")
    assert found["images"] == 300 and len(found["per_class"]) == 10
    assert found["action"].endswith("take them as complementary labels.")
    assert all(each["label"] == each["looks_like"] for each in found["suspects"])  # those that are rather correct
    assert found["predictions"] == {"checkpoint": str(shipped_checkpoint()), "tta": 1, "independent": True}
    assert json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8")) == found
    with (tmp_path / "out" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "label", "suggested", "decision", "probability", "label_correct"]
    assert len(rows) == found["suspected"] == 300 - len(found["suspects"]) > 250
    assert all(row["suggested"] != row["label"] for row in rows)
    truth = {f"mnistTask3.npz[{index}]": str(index // 30) for index in range(300)}
    assert np.mean([row["suggested"] == truth[row["file"]] for row in rows]) > 0.7
    assert min(cv2.imread(str(tmp_path / "out" / "transition.png")).shape[:2]) > 250
    assert cv2.imread(str(tmp_path / "out" / "audit.png")) is not None
    text = invoke(data, *words, "--max-suspects", 3).stdout
    assert text.startswith("Do not train on these labels as if they were correct")
    if found["suspects"]:
        assert "\nLabels that are probably correct, the likeliest first:\n" in text
    assert max(map(len, text.splitlines()[2:])) <= 80


def test_the_last_line_corrects_the_labels(data, tmp_path):
    with np.load(data / "mnist.npz") as arrays:
        images, labels = arrays["x_train"], arrays["y_train"].copy()
    labels[::5] = (labels[::5] + 1) % 10
    np.savez(tmp_path / "wrong labels.npz", images=images, labels=labels)
    words = ["--data", tmp_path / "wrong labels.npz", "--checkpoint", shipped_checkpoint(), "--no-transpose"]
    last = invoke(data, *words, "--out", tmp_path / "out").stdout.splitlines()[-1]
    assert "--no-transpose" in last
    result = invoke(data, *shlex.split(last.partition("with: midas audit-labels ")[2]))
    assert result.exit_code == 0 and "300 images, of which " in result.stdout
    assert (tmp_path / "out" / "corrected").is_dir()


def test_with_out_of_fold_predictions(data, tmp_path):
    words = ["--data", data / "mnist.npz", "--folds", 2, "--epochs", 1, "--limit", 60]
    result = invoke(data, *words, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    assert "fold 2 of 2, epoch 1 of 1, done" in result.stderr
    found = json.loads(result.stdout)
    assert (found["images"], found["limit"], found["verdict"]) == (60, 60, "undecided")
    assert found["predictions"] == {"checkpoint": None, "folds": 2, "epochs": 1}
    assert (tmp_path / "out" / "audit.json").exists()


def test_warns_of_a_reference_model_that_was_trained_on_these_labels(data, tmp_path):
    """The card says so; the network itself need not be able to read."""
    digits = dataset("0123456789", 10)
    save(digits, tmp_path / "labels.npz")
    again = read(open_source(tmp_path / "labels.npz"), 28)
    keras.saving.save_model(models.build("baseline", 28, 10), tmp_path / "network.keras")
    card = Card(class_names=digits.class_names, size=28, model="baseline", data_digest=again.digest)
    write_json(tmp_path / "network.json", plain(card))
    words = ["--data", tmp_path / "labels.npz", "--checkpoint", tmp_path / "network.keras"]
    result = invoke(data, *words, "-q")
    assert result.exit_code == 0 and "not independent" in result.stderr
    assert result.stdout.splitlines()[1].split(":")[0] == "undecided"


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
