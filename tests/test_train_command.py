"""`midas train` as a user meets it, and what the other commands say of its runs."""

import json
import shlex
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from midas.cli import main
from midas.runs import Run

pytestmark = pytest.mark.usefixtures("eagerly")

SYMBOLS = "ILZ"


def invoke(root, *words):
    env = {"MIDAS_RUNS_DIR": str(root / "runs"), "MIDAS_CACHE_DIR": str(root / "cache"), "COLUMNS": "80"}
    return CliRunner().invoke(main, list(map(str, words)), env=env)


def one_line(result, status=1):
    assert result.exit_code == status, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in result.stderr and not result.stdout
    return line


def write_symbols(folder, symbols=SYMBOLS, drawings=4, first=0):
    for symbol in symbols:
        (folder / f"sign {symbol}").mkdir(parents=True)
        for number in range(first, first + drawings):
            page = np.full((60, 80), 255, np.uint8)
            left, top = 15 + number % 5, 10 + number % 3
            shape = {"I": [(20, 0), (20, 36)], "L": [(0, 0), (0, 36), (30, 36)], "X": [(0, 0), (30, 36)]}
            shape["Z"] = [(0, 0), (30, 0), (0, 36), (30, 36)]
            cv2.polylines(page, [np.add(shape[symbol], (left, top))], False, 0, 3 + number % 2)
            cv2.imwrite(str(folder / f"sign {symbol}" / f"{number}.png"), page)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a data set of three symbols, and a finished run on it."""
    root = tmp_path_factory.mktemp("own data")
    write_symbols(root / "symbols")
    (root / "symbols" / "sign I" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    tf.config.run_functions_eagerly(False)  # tracing is worth its time for so many epochs
    result = invoke(root, "train", root / "symbols", "--epochs", 60, "--folds", 2)
    tf.config.run_functions_eagerly(True)
    assert result.exit_code == 0, result.output
    (root / "said").write_text(result.stdout)
    (root / "warned").write_text(result.stderr)
    return root


def test_the_answer_ends_with_the_accuracy_and_a_line_that_works(root):
    *_, accuracy, use = [line for line in (root / "said").read_text().splitlines() if not line.startswith("Most")]
    assert "95 % interval" in accuracy and "all 12 images, in 2-fold cross-validation" in accuracy
    command = shlex.split(use.removeprefix("Use it with: midas "))
    assert command[-1] == "drawing.png" and command[2].endswith("runs/custom/symbols-compact/seed-0")
    answer = invoke(root, *command[:-1], root / "symbols" / "sign Z" / "2.png", "--json")
    (found,) = json.loads(answer.stdout)["predictions"]
    assert found["label"] == "sign Z"
    assert (root / "warned").read_text().count("sign I/broken.png") == 1


def test_json_has_the_accuracy_what_it_is_of_and_the_classes(root):
    result = invoke(root, "train", root / "symbols", "--epochs", 60, "--folds", 2, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0 and "nothing to do" in result.stderr
    assert 0.5 < found["accuracy"] <= 1 and found["n"] == 12 and found["scored"] == "2-fold cross-validation"
    assert found["class_names"] == ["sign I", "sign L", "sign Z"] and Run(found["path"]).finished
    assert [each["name"] for each in found["skipped_files"]] == ["sign I/broken.png"]


def test_fine_tuned_networks_are_scored_together_on_another_test_set(root):
    more = write_symbols(root / "more", "IZ", 3, first=20)
    start = root / "runs" / "custom" / "symbols-compact" / "seed-0"
    words = ["train", root / "symbols", "--test", more, "--from", start, "--freeze-backbone", "--epochs", 1]
    found = json.loads(invoke(root, *words, "--ensemble", 2, "--name", "tested", "--json").stdout)
    assert found["n"] == found["together"]["n"] == 6 and len(found["runs"]) == 2
    assert found["accuracy"] == found["together"]["accuracy"] > 0.5 and found["together"]["scored"] == str(more)
    run = Run(found["runs"][1]["path"])
    assert run.experiment.freeze_backbone and run.experiment.seed == 1
    assert run.card.trained_on == (str(root / "symbols"),) * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "no such file or folder"),
        (lambda folder: [shutil.rmtree(folder / f"sign {symbol}") for symbol in "LZ"], "only folder with images"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.png")], "is empty"),
        (lambda folder: [path.unlink() for path in (folder / "sign L").glob("[123].png")], "'sign L' has 1 image"),
    ],
    ids=["missing", "one class", "no images", "a class of one"],
)
def test_data_that_cannot_be_learned_from(tmp_path, change, message):
    change(write_symbols(tmp_path / "set"))
    line = one_line(invoke(tmp_path, "train", tmp_path / "set", "--epochs", 1))
    assert message in line
    assert not list(tmp_path.rglob("last.keras"))


def test_what_does_not_go_together(root, tmp_path):
    symbols = root / "symbols"
    other = write_symbols(tmp_path / "other", "ILX", 3)
    assert "has the class 'sign X'" in one_line(invoke(root, "train", symbols, "--test", other, "--name", "x"))
    assert "needs --from" in one_line(invoke(root, "train", symbols, "--freeze-backbone"), status=2)
    assert "no such checkpoint" in one_line(invoke(root, "train", symbols, "--from", "nowhere", "--name", "x"))
    assert "'plateau' is not one of" in one_line(invoke(root, "train", symbols, "--recipe", "plateau"), status=2)
    assert "holds another run (epochs 3 instead of 60)" in one_line(
        invoke(root, "train", symbols, "--folds", 2, "--epochs", 3)
    )
    words = ["train", other, "--epochs", 60, "--folds", 2, "--name", "symbols-compact", "--resume"]
    assert "was trained on other data" in one_line(invoke(root, *words))
    assert "choose one of default, quick, best" in one_line(
        invoke(root, "cross-validate", "--data", symbols, "--recipe", "cosine"), status=2
    )
    assert "need --data" in one_line(invoke(root, "cross-validate", "--class-names", __file__), status=2)


def test_other_commands_take_the_run_and_the_data(root):
    run = root / "runs" / "custom" / "symbols-compact" / "seed-0"
    listed = json.loads(invoke(root, "list", "--json").stdout)["runs"]
    assert any(each["path"] == str(run) and each["part"] == "custom" for each in listed)
    assert "accuracy" in invoke(root, "analyze", "--checkpoint", run, "--out", root / "figures").stdout
    result = invoke(root, "cross-validate", "--data", root / "symbols", "--folds", 2, "--epochs", 1, "--json")
    found = json.loads(result.stdout)
    assert (found["part"], found["n"], found["name"]) == ("custom", 12, "symbols-compact-all-data")
    words = ["compare-models", "compact", "--data", root / "symbols", "--folds", 2, "--epochs", 1, "--json"]
    result = invoke(root, *words)
    assert [each["name"] for each in json.loads(result.stdout)["models"]] == [found["name"]]
    assert "nothing to do" in result.stderr
    page = root / "report.html"
    assert invoke(root, "report", run, "--out", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "62 classes" not in text and "Part 1" not in text and "among 3 classes" in text


def test_the_settings_of_a_fine_tuned_run_can_be_cross_validated(root, tmp_path):
    run, settings = root / "runs" / "custom" / "symbols-compact" / "seed-0", tmp_path / "settings.json"
    settings.write_text(json.dumps({"init": "pretrained", "init_checkpoint": str(run), "epochs": 1}))
    words = ["--data", root / "symbols", "--config", settings, "--folds", 2]
    result = invoke(root, "cross-validate", *words, "--name", "tuned", "--json")
    assert result.exit_code == 0, result.output
    fold = next((root / "runs" / "cross-validation" / "custom" / "tuned").glob("*/*/*/*/*/environment.json"))
    assert Run(fold.parent).card.trained_on == (str(root / "symbols"),) * 2


@pytest.mark.usefixtures("traced")
def test_the_range_test_draws_a_learning_rate_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("midas.learning.range_test.STEPS", 60)
    words = ["train", write_symbols(tmp_path / "set"), "--find-learning-rate", "--model", "baseline"]
    result = invoke(tmp_path, *words, "--json")
    found = json.loads(result.stdout)
    assert cv2.imread(found["figure"]) is not None and 1e-5 < found["learning_rate"] < 1
    assert not list(tmp_path.rglob("*.keras")) and not list(tmp_path.rglob("experiment.json"))
    said = invoke(tmp_path, *words).stdout
    assert f"--learning-rate {found['learning_rate']:g}" in said and np.isfinite(found["losses"]).all()


def test_a_corrected_copy_can_be_trained_on(root, tmp_path):
    (tmp_path / "labels.csv").write_text("file,label,suggested,decision\nsign I/0.png,sign I,sign Z,relabel\n")
    words = ["audit-labels", "--data", root / "symbols", "--apply", tmp_path / "labels.csv"]
    assert "needs --out" in one_line(invoke(root, *words), status=2)
    words += ["--out", tmp_path / "x"]
    assert "--folds and --apply exclude each other" in one_line(invoke(root, *words, "--folds", 2), status=2)
    result = invoke(root, *words)
    assert result.exit_code == 0 and f"midas train {shlex.quote(str(tmp_path / 'x'))}" in result.stdout
    assert len(list((tmp_path / "x" / "sign Z").iterdir())) == 5
