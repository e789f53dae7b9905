"""The command line as a user meets it: exit statuses, stdout, stderr, files."""

import csv
import dataclasses
import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from formats import idx
from PIL import Image
from tiny import CHARACTERS, write_drawings, write_mnist

from midas.cli import main
from midas.cli.console import how_to_continue
from midas.data import sample
from midas.data.download import Remote
from midas.learning.classifier import Classifier
from midas.recipes import PARTS, named, with_recipe
from midas.runs import Run
from midas.studies import study

pytestmark = pytest.mark.usefixtures("eagerly")

HEAVY = {"tensorflow", "keras", "numpy", "cv2", "sklearn", "matplotlib", "scipy", "jinja2"}
COMMANDS = sorted(main.commands)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(write_drawings(tmp_path_factory.mktemp("data with space")))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished Part 1 run with its root."""
    root = tmp_path_factory.mktemp("runs")
    result = invoke(data, root, "train-part1", "--epochs", 8, "--batch-size", 16)
    assert result.exit_code == 0, result.output
    return root / "part1" / "compact" / "seed-0"


def invoke(data, root, *words, **options):
    env = {"MIDAS_DATA": str(data), "MIDAS_RUNS_DIR": str(root), "MIDAS_CACHE_DIR": str(data / "cache")}
    return CliRunner().invoke(main, [str(word) for word in words], env=env, **options)


def one_line(result, status=1):
    """The single line on stderr of a command that failed, progress left out."""
    assert result.exit_code == status, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in result.stderr
    return lines[0]


# ---- help and wrong usage


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from midas.cli import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print({HEAVY!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert done.stderr == ""


def test_no_summary_is_cut_at_80_columns():
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    summaries = [line for line in shown.splitlines() if line.startswith("  ") and "  " in line.strip()]
    assert not any("..." in line for line in summaries) and max(map(len, shown.splitlines())) <= 80
    assert all(f"  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(main, [command, "-h"])
    assert result.exit_code == 0
    assert f"Example: midas {command}" in result.output
    assert "--verbose" in result.output and "--quiet" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["train-part1", "--epochs", "0"],
        ["train-part1", "--optimizer", "luck"],
        ["train-part2", "--init", "random", "--pretrained-on", "part1"],
        ["train-part2", "--init", "pretrained", "--pretrained-on", "part1", "--from", __file__],
        ["train-part1", "--seed", str(2**32)],
        ["make-part3", "--data-dir", "sample"],
        ["evaluate"],
        ["evaluate", "--data", "sample", "--tta", "0"],
        ["cross-validate", "--folds", "1"],
        ["compare-models", "perceptron"],
        ["train-part1", "--ensemble", "0"],
        ["download", "fonts"],
        ["augment", "--data", "trainPart1"],
        ["augment", "--data", "trainPart1", "--out", "new", "--occlusion", "-0.1"],
        ["augment", "--data", "trainPart1", "--out", __file__],
        ["augment", "--out", "new"],
    ],
)
def test_wrong_usage_is_status_2(words, data, tmp_path):
    result = invoke(data, tmp_path, *words)
    assert result.exit_code == 2 and "Usage:" in result.stderr and result.stdout == ""


# ---- data


def test_preprocess_table_json_csv_and_preview(data, tmp_path):
    sheet, picture = tmp_path / "pixels.csv", tmp_path / "samples.png"
    result = invoke(data, tmp_path, "preprocess", "--csv", sheet, "--preview", picture, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["part1", "mnist", "mnist-test", "part3"]
    assert found["part1"]["images"] == 140 and found["part1"]["page_sizes"] == {"300x225": 140}
    with sheet.open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 141 and len(rows[0]) == 785 and rows[0][:2] == ["label", "pixel0"]
    assert {row[0] for row in rows[1:]} == set(CHARACTERS)
    assert cv2.imread(str(picture)).shape[1] > 400
    text = invoke(data, tmp_path, "preprocess").stdout
    assert "images per class  10 to 10" in text and "300x225 (140)" in text


def test_notes_class_names_and_transposition_wherever_data_are_given(data, tmp_path):
    images, labels = sample.digits("test")
    prefix = tmp_path / "emnist-digits-test"
    for name, array in (
        (f"{prefix}-images-idx3-ubyte", images[:40].transpose(0, 2, 1)),
        (f"{prefix}-labels-idx1-ubyte", labels[:40]),
    ):
        Path(name).write_bytes(idx(array))
    (tmp_path / "names.csv").write_text("label,name\n" + "".join(f"{n},digit {n}\n" for n in range(10)))
    words = ["preprocess", "--data", tmp_path, "--json"]
    result = invoke(data, tmp_path, *words)
    assert result.stderr.count("EMNIST, so labels are named") == 1 and "has no training part" in result.stderr
    result = invoke(data, tmp_path, *words, "--class-names", tmp_path / "names.csv")
    assert "digit 7" in json.loads(result.stdout)[str(tmp_path)]["images_per_class"]
    digests = [
        json.loads(invoke(data, tmp_path, *words, *more).stdout)[str(tmp_path)]["digest"]
        for more in ([], ["--no-transpose"])
    ]
    assert digests[0] != digests[1]
    assert "cannot be read" in one_line(invoke(data, tmp_path, *words, "--class-names", tmp_path / "none.csv"))
    for command in ("evaluate", "analyze", "audit-labels", "preprocess", "augment"):
        options = {
            option
            for parameter in main.commands[command].params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {"--class-names", "--transpose", "--no-transpose"} <= options


def test_preprocess_lists_what_it_skips_and_strict_fails(data, tmp_path):
    folder = shutil.copytree(data / "trainPart1", tmp_path / "drawings")
    broken = folder / "train" / "Sample001" / "img001-001.png"
    broken.write_bytes(broken.read_bytes()[:100])
    result = invoke(data, tmp_path, "preprocess", "--data", folder)
    assert result.exit_code == 0 and "skipped           1" in result.stdout and "img001-001.png" in result.stdout
    assert "img001-001.png" in one_line(invoke(data, tmp_path, "preprocess", "--data", folder, "--strict"))


def test_missing_data_say_what_to_do(tmp_path):
    for words in (["preprocess"], ["train-part1"], ["train-part3"], ["run"]):
        assert "midas download" in one_line(invoke(tmp_path, tmp_path / "runs", *words))
    assert not (tmp_path / "runs").exists()


def test_download_says_what_is_there_and_never_replaces_a_wrong_file(tmp_path, monkeypatch):
    content = b"labels"
    files = [Remote(name, ("http://127.0.0.1:9/x",), hashlib.md5(content).hexdigest()) for name in ("right", "wrong")]
    monkeypatch.setattr("midas.data.download.REMOTES", {"mnist": tuple(files)})
    for name, data in (("right", content), ("wrong", b"other")):
        (tmp_path / name).write_bytes(data)
    result = invoke(tmp_path, tmp_path, "download", "mnist")
    assert len(result.stderr.splitlines()) == 1
    assert str(tmp_path / "wrong") in one_line(result)
    assert (tmp_path / "wrong").read_bytes() == b"other"
    (tmp_path / "wrong").unlink()
    assert "127.0.0.1" in one_line(invoke(tmp_path, tmp_path, "download", "mnist"))


def test_make_part3(data, tmp_path):
    out = tmp_path / "mnistTask3.zip"
    assert "100 images" in invoke(data, tmp_path, "make-part3", "--out", out).stdout
    first = out.read_bytes()
    assert "--overwrite" in one_line(invoke(data, tmp_path, "make-part3", "--out", out))
    assert invoke(data, tmp_path, "make-part3", "--out", out, "--overwrite").exit_code == 0
    assert out.read_bytes() == first
    found = json.loads(invoke(data, tmp_path, "preprocess", "--data", out, "--json").stdout)
    assert found[str(out)]["images"] == 100 and found[str(out)]["classes"] == 10


def test_augment_writes_what_preprocess_reads(data, tmp_path):
    out, picture = tmp_path / "out", tmp_path / "copies.png"
    words = ["augment", "--data", data / "trainPart1", "--out", out, "--repetitions", 3, "--pen", 0.5]
    result = invoke(data, tmp_path, *words, "--preview", picture, "--json")
    assert result.exit_code == 0, result.output
    assert "wrote 560 of 560 images" in result.stderr
    found = json.loads(result.stdout)
    assert (found["originals"], found["copies"], found["classes"]) == (140, 420, len(CHARACTERS))
    assert found["augmentation"]["pen"] == 0.5 and found["augmentation"]["rotation"] == 12
    assert {path.name for path in out.iterdir()} == set(found["folders"].values())
    height, width, _ = cv2.imread(str(picture)).shape
    assert height > 400 and width > 400
    back = json.loads(invoke(data, tmp_path, "preprocess", "--data", out, "--json").stdout)[str(out)]
    assert back["images_per_class"] == dict.fromkeys(found["folders"], 40) and not back["skipped"]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    assert "choose another --out" in one_line(invoke(data, tmp_path, *words))
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == before


def test_augment_without_originals_and_with_nothing_but_a_preview(data, tmp_path):
    out, picture = tmp_path / "out", tmp_path / "copies.png"
    words = ["augment", "--data", data / "trainPart1"]
    result = invoke(data, tmp_path, *words, "--out", out, "--repetitions", 1, "--no-originals", "-q")
    assert result.exit_code == 0 and result.stderr == ""
    assert result.stdout == f"{out}: 0 originals, 140 copies, {len(CHARACTERS)} classes\n"
    assert len(list(out.glob("*/*-1.png"))) == len(list(out.glob("*/*"))) == 140
    result = invoke(data, tmp_path, *words, "--preview", picture)
    assert result.exit_code == 0 and result.stdout == f"{picture}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copies.png", "out"]
    one = write_drawings(tmp_path / "one", "A", 1) / "trainPart1"
    result = invoke(data, tmp_path, "augment", "--data", one, "--out", tmp_path / "two", "--repetitions", 1, "-q")
    assert result.stdout == f"{tmp_path / 'two'}: 1 original, 1 copy, 1 class\n"


def test_augment_says_when_classes_cannot_be_folders_and_fails_in_one_line(data, tmp_path):
    images = np.zeros((2, 28, 28), np.uint8)
    images[:, 4:24, 12:15] = 255
    np.savez(tmp_path / "set.npz", images=images, labels=np.array(["Cat", "cat"]))
    result = invoke(data, tmp_path, "augment", "--data", tmp_path / "set.npz", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0 and "Note: " in result.stderr
    assert json.loads(result.stdout)["folders"] == {"Cat": "Cat", "cat": "cat_2"}
    assert "no such file" in one_line(invoke(data, tmp_path, "augment", "--data", "no", "--out", tmp_path / "new"))
    result = invoke(data, tmp_path, "augment", "--data", "no", "--out", tmp_path / "new", "--pen", "nan")
    assert "pen must lie in" in one_line(result)


def test_augment_does_not_import_tensorflow(data, tmp_path):
    words = ["augment", "--data", str(data / "trainPart1"), "--preview", str(tmp_path / "copies.png")]
    code = (
        "import sys; from midas.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as end: print(end.code, {'tensorflow', 'keras'} & set(sys.modules))"
    )
    env = {**os.environ, "MIDAS_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.splitlines()[-1] == "0 set()"


def test_predict_does_not_import_what_keras_alone_wants(data):
    drawing = next((data / "trainPart1").rglob("*.png"))
    code = (
        "import sys; from midas.cli import main\n"
        f"try: main(['predict', {str(drawing)!r}])\n"
        "except SystemExit: print({'matplotlib', 'pandas', 'sklearn'} & set(sys.modules))\n"
        "import sklearn.neighbors, matplotlib.pyplot"  # there is nothing in their way afterwards
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# ---- training


def test_train_part1(trained):
    result = Run(trained).result
    assert result.accuracy > 0.5 and result.epochs == 8 and result.n == 28
    counted = json.loads((trained / "data.json").read_text(encoding="utf-8"))
    assert counted["data"]["images"] == 140 and counted["test"] is None
    with np.load(trained / "samples.npz", allow_pickle=False) as kept:
        assert kept["prepared"].shape == (28, 28, 28) and kept["page_27"].shape == (225, 300)
        augmented = kept["augmented"]
        assert augmented.shape == (10, 10, 28, 28) and not (augmented[:, 1] == augmented[:, 0]).all()


def test_a_finished_run_is_left_alone(data, trained):
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    result = invoke(data, trained.parents[2], "train-part1", "--epochs", 8, "--batch-size", 16)
    assert result.exit_code == 0 and "nothing to do" in result.stderr
    assert {path.name: path.stat().st_mtime_ns for path in trained.iterdir()} == before


def test_the_script_of_part_1_analyzes_its_run(data, trained, tmp_path):
    shutil.copytree(trained.parents[2], tmp_path / "runs")
    (tmp_path / "midas").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m midas "$@"\n')
    (tmp_path / "midas").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    script = Path(__file__).parents[1] / "scripts" / "part1.sh"
    words = ["--epochs", "8", "--batch-size", "16", "--data-dir", str(data), "--runs-dir", str(tmp_path / "runs")]
    words += ["--cache-dir", str(data / "cache")]
    done = subprocess.run(["bash", script, *words], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0 and "confusion.png" in done.stdout, done.stderr
    assert (tmp_path / "runs" / "part1" / "compact" / "seed-0" / "analysis.json").exists()


def test_another_experiment_in_the_same_place_is_refused(data, trained):
    result = invoke(data, trained.parents[2], "train-part1", "--epochs", 9, "--batch-size", 16)
    assert "epochs 9 instead of 8" in one_line(result)


def test_an_unfinished_run_is_refused_then_resumed(data, trained, tmp_path):
    run = Run(shutil.copytree(trained.parents[2], tmp_path / "runs") / "part1" / "compact" / "seed-0")
    (run / "result.json").unlink()
    words = ["train-part1", "--epochs", 8, "--batch-size", 16]
    refusal = one_line(invoke(data, tmp_path / "runs", *words))
    assert "--resume" in refusal and "--overwrite" in refusal
    assert "stopped after 8 of 8" in invoke(data, tmp_path / "runs", "list").stdout
    assert invoke(data, tmp_path / "runs", *words, "--resume").exit_code == 0
    resumed, before = (dataclasses.replace(each.result, train_seconds=0) for each in (run, Run(trained)))
    assert resumed == before


def test_config_gives_defaults_and_options_win(data, trained, tmp_path):
    config = trained / "experiment.json"
    result = invoke(data, tmp_path, "train-part1", "--config", config, "--epochs", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["epochs"] == 1
    assert Run(tmp_path / "part1" / "compact" / "seed-0").experiment.batch_size == 16
    bad = tmp_path / "bad.json"
    bad.write_text("[1]")
    assert "bad.json" in one_line(invoke(data, tmp_path, "train-part1", "--config", bad))
    assert "not of part2" in one_line(invoke(data, tmp_path, "train-part2", "--config", config))
    record = json.loads(config.read_text())
    bad.write_text(json.dumps({**record, "loss": "luck"}))
    assert "loss must be one of" in one_line(invoke(data, tmp_path, "train-part1", "--config", bad))


def resolved(monkeypatch, part, record, *words):
    """The experiment that a training command makes of a config file and options."""
    made = []
    monkeypatch.setattr(
        "midas.studies.study.perform", lambda experiment, *_, **__: made.append(experiment) or sys.exit(9)
    )
    with tempfile.TemporaryDirectory() as folder:
        Run(folder).start(record)
        words = [f"train-{part}", "--config", f"{folder}/experiment.json", *map(str, words)]
        assert CliRunner().invoke(main, words).exit_code == 9
    return made[0]


def test_what_is_given_beside_a_config_file_wins(monkeypatch):
    part1, part2 = PARTS["part1"], PARTS["part2"]
    cosine = named(with_recipe(part1, "cosine"))
    assert resolved(monkeypatch, "part1", cosine) == cosine
    assert resolved(monkeypatch, "part1", cosine, "--recipe", "plateau") == part1
    assert resolved(monkeypatch, "part1", part1, "--recipe", "cosine") == cosine
    everything = named(dataclasses.replace(part1, val_fraction=0.0))
    assert resolved(monkeypatch, "part1", everything, "--val-fraction", 0.2) == part1
    plain = dataclasses.replace(part1, augmentation=None)
    assert resolved(monkeypatch, "part1", plain) == plain
    assert resolved(monkeypatch, "part1", plain, "--augment") == part1
    pretrained = named(dataclasses.replace(part2, init="pretrained", init_checkpoint=__file__))
    assert resolved(monkeypatch, "part2", pretrained) == pretrained
    assert resolved(monkeypatch, "part2", pretrained, "--init", "random") == part2
    assert resolved(monkeypatch, "part2", pretrained, "--pretrained-on", "part1").init_checkpoint == "part1"
    assert resolved(monkeypatch, "part1", part1, "--model", "baseline").name == "baseline"
    mine = dataclasses.replace(part1, name="mine")
    assert resolved(monkeypatch, "part1", mine, "--epochs", 3).name == "mine"
    monkeypatch.setenv("MIDAS_TRAIN_PART1_EPOCHS", "7")
    assert resolved(monkeypatch, "part1", part1).epochs == 7
    assert resolved(monkeypatch, "part1", part1, "--epochs", 8).epochs == 8


def test_any_setting_can_be_changed_and_is_in_the_name(monkeypatch, data, tmp_path):
    changes = ["--set", "label_smoothing=0.1", "--set", "augmentation.elastic=0"]
    made = resolved(monkeypatch, "part1", PARTS["part1"], "--recipe", "cosine", *changes)
    assert made.label_smoothing == 0.1 and made.augmentation.elastic == 0
    assert made.augmentation.rotation == PARTS["part1"].augmentation.rotation
    assert made.name == "compact-cosine-label_smoothing=0.1-elastic=0"
    taught = resolved(monkeypatch, "part1", PARTS["part1"], "--set", 'teachers=["deep", "fast"]')
    assert taught.teachers == ("deep", "fast") and taught.name == "compact-teachers=deep,fast"
    for wrong in ("color=1", "augmentation.flip=1", "epochs=3", "patience", "patience=1.5", "label_smoothing=NaN"):
        assert f"--set {wrong}: " in one_line(invoke(data, tmp_path, "train-part1", "--set", wrong), status=2)
    for wrong in ("augmentation.rotation=-1", "label_smoothing=2", "weight_decay=much", "freeze_backbone=True"):
        line = one_line(invoke(data, tmp_path, "train-part1", "--set", wrong), status=2)
        assert "cannot be" in line and ("write a number, true, false, null or a list" in line) == wrong[-1].isalpha()


def test_deforming_keeps_to_the_recipe_s_limits(monkeypatch):
    fast = with_recipe(PARTS["part2"], "fast")
    for words in ([], ["--augment"]):
        made = resolved(monkeypatch, "part2", PARTS["part2"], "--recipe", "fast", *words)
        assert made.augmentation == fast.augmentation != PARTS["part2"].augmentation
    assert resolved(monkeypatch, "part2", PARTS["part2"], "--recipe", "fast", "--no-augment").augmentation is None


def test_the_best_recipe_brings_its_network_and_options_win(monkeypatch):
    part1 = PARTS["part1"]
    best = resolved(monkeypatch, "part1", part1, "--recipe", "best", "--all-data")
    assert (best.model, best.size, best.schedule) == ("placed", 36, "cosine")
    assert best.name == "placed-best-36px-all-data"
    words = ["--recipe", "best", "--model", "compact", "--size", 28, "--epochs", 7]
    other = resolved(monkeypatch, "part1", part1, *words)
    assert (other.model, other.size, other.epochs, other.name) == ("compact", 28, 7, "compact-best")


def test_an_ensemble_is_a_folder_of_runs(data, tmp_path):
    words = ["train-part1", "--model", "baseline", "--epochs", 1, "--batch-size", 16, "--ensemble", 2]
    result = invoke(data, tmp_path, *words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    again = invoke(data, tmp_path, *words)
    assert again.stderr.count("nothing to do") == 2 and again.stdout.splitlines()[-1] == (
        f"Use it with: midas predict --checkpoint {found['path']} drawing.png"
    )
    runs = [f"--checkpoint={found['path']}/seed-{seed}" for seed in (0, 1)]
    score = ["evaluate", "--data", data / "trainPart1", "--tta", 2, "--json"]
    together, listed = (
        json.loads(invoke(data, tmp_path, *score, *given).stdout) for given in (["--checkpoint", found["path"]], runs)
    )
    assert together["log_loss"] == pytest.approx(listed["log_loss"]) and together["tta"] == 2
    assert together["checkpoint"] == found["path"] and len(listed["checkpoint"]) == 2


def test_an_ensemble_that_scores_test_images_scores_them_together(data, tmp_path):
    words = ["train-part2", "--model", "baseline", "--epochs", 1, "--limit", 100, "--ensemble", 2, "--set", "tta=2"]
    result = invoke(data, tmp_path, *words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    runs = [Run(run["path"]) for run in found["runs"]]
    first, second = (np.load(run / "predictions.npz") for run in runs)
    answers = (first["probabilities"] + second["probabilities"]).argmax(axis=1)
    assert found["together"]["accuracy"] == pytest.approx((answers == first["labels"]).mean())
    score = ["evaluate", "--data", data / "mnist.npz", "--json", *(f"--checkpoint={run.path}" for run in runs)]
    evaluated = json.loads(invoke(data, tmp_path, *score).stdout)
    assert evaluated["tta"] == 2 and evaluated["log_loss"] == pytest.approx(found["together"]["log_loss"], rel=1e-4)
    assert "0+1" in invoke(data, tmp_path, *words).stdout


def test_an_ensemble_counts_its_seeds_up(tmp_path, monkeypatch):
    def seeds(*words):
        made = []
        monkeypatch.setattr("midas.studies.study.perform", lambda experiment, *_, **__: made.append(experiment.seed))
        invoke(tmp_path, tmp_path, "train-part3", *words)
        return made

    assert seeds() == [0] and seeds("--ensemble", 3) == [0, 1, 2] and seeds("--ensemble", 2, "--seed", 4) == [4, 5]
    Run(tmp_path / "part3" / PARTS["part3"].name / "seed-1").start(dataclasses.replace(PARTS["part3"], seed=1))
    assert seeds("--ensemble", 2) == [] and seeds("--ensemble", 2, "--resume") == [0, 1]


def test_cross_validate(data, tmp_path):
    words = ["cross-validate", "--folds", 2, "--epochs", 1, "--model", "baseline", "--all-data"]
    result = invoke(data, tmp_path, *words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (score,) = found["scores"]
    assert found["n"] == 140 and 0 <= score["accuracy"]["mean"] <= 1 and len(score["accuracy"]["interval"]) == 2
    assert "2 of 2: fold 2 of 2, split 0, seed 0: accuracy" in result.stderr
    again = invoke(data, tmp_path, *words)
    assert again.exit_code == 0 and "nothing to do" in again.stderr and "±" in again.stdout
    looked = json.loads(invoke(data, tmp_path, "analyze", "--checkpoint", found["path"], "--json").stdout)
    assert looked["n"] == 140 and looked["accuracy"] == pytest.approx(score["accuracy"]["mean"])
    assert [run["path"] for run in json.loads(invoke(data, tmp_path, "list", "--json").stdout)["runs"]] == [
        found["path"]
    ]
    assert "too few for 11 folds" in one_line(invoke(data, tmp_path, *words[:2], 11, "--name", "more"))


def test_compare_models(data, tmp_path):
    words = ["compare-models", "baseline", "--folds", 2, "--epochs", 1, "--all-data", "--json"]
    result = invoke(data, tmp_path, *words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [model["model"] for model in found["models"]] == ["baseline"]
    assert all(model["macs"] > 1e6 and model["train_seconds"] > 0 for model in found["models"])
    assert cv2.imread(found["figure"]).shape[1] > 800


def test_train_part2_pretrained_from_digits_from_part1_and_from_a_checkpoint(data, trained, tmp_path, monkeypatch):
    for name in ("part1", "digits"):
        monkeypatch.setitem(PARTS, name, dataclasses.replace(PARTS[name], epochs=1))
    words = ["train-part2", "--init", "pretrained", "--epochs", 1, "--batch-size", 16, "--val-fraction", 0.2, "--json"]
    found = json.loads(invoke(data, tmp_path, *words).stdout)
    assert found["name"] == "pretrained" and {"zero_shot_accuracy", "zero_shot_macro_f1"} <= set(found)
    assert Run(tmp_path / "part2" / "digits" / "seed-0").card.class_names == tuple("0123456789")
    found = json.loads(invoke(data, tmp_path, *words, "--pretrained-on", "part1", "--name", "on-the-spot").stdout)
    assert Run(tmp_path / "part1" / "compact" / "seed-0").card.trained_on == ("part1",)
    shutil.copytree(trained, tmp_path / "part1" / "compact" / "seed-0", dirs_exist_ok=True)
    found = json.loads(invoke(data, tmp_path, *words, "--pretrained-on", "part1").stdout)
    assert found["name"] == "pretrained-part1" and found["zero_shot_accuracy"] > 0.3
    assert Run(found["path"]).card.trained_on == ("part1", "mnist")
    # Part 3 must not start from a network that has seen true labels.
    refusal = invoke(data, tmp_path, "train-part3", "--init", "pretrained", "--from", found["path"])
    assert "true labels" in one_line(refusal)


def test_train_part3_takes_labels_as_correct_or_as_complementary(data, tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "part3", dataclasses.replace(PARTS["part3"], model="baseline"))
    words = ["train-part3", "--epochs", 1, "--val-fraction", 0.2, "--json"]
    for loss in ("cross-entropy", "l-w", "complementary", "progressive"):
        result = invoke(data, tmp_path, *words, "--loss", loss)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["name"] == f"random-{loss}" and found["scored"] == "mnist-test"
        assert 0 <= found["argmin_accuracy"] <= 1 and (found["estimate"] is None) == (loss == "cross-entropy")


def test_the_whole_study_ends_with_a_table_and_a_page(data, tmp_path, monkeypatch):
    monkeypatch.setattr("midas.learning.trainer.EMBEDDED", 20)  # maps take their time
    for name, model in (("part1", "fast"), ("digits", "fast"), ("part2", "fast"), ("part3", "baseline")):
        monkeypatch.setitem(PARTS, name, dataclasses.replace(PARTS[name], model=model))
    monkeypatch.setattr("midas.studies.study.QUICK_EPOCHS", dict.fromkeys(study.QUICK_EPOCHS, 2))
    result = invoke(data, tmp_path, "run", "--quick")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    page = tmp_path / "quick" / "report.html"
    assert lines[-2] == f"Report: {page}" and page.exists()
    assert lines[-1].startswith("Open it with: ") and str(page) in lines[-1]
    assert [line[:7] for line in lines[-6:-3]] == ["Part 1:", "Part 2:", "Part 3:"]
    assert "run 11 of 11, epoch 2 of 2, done" in result.stderr and "drew 11 of 11 runs for the page" in result.stderr
    assert [line.split()[:2] for line in lines[1 : lines.index("")]] == [
        ["part1", "fast"],
        ["part1", "baseline"],
        ["part2", "digits"],
        ["part2", "random"],
        ["part2", "pretrained"],
        ["part3", "random-cross-entropy"],
        ["part3", "random-complementary"],
        ["part3", "random-progressive"],
        ["part3", "pretrained-cross-entropy"],
        ["part3", "pretrained-complementary"],
        ["part3", "pretrained-progressive"],
    ]
    monkeypatch.setattr("midas.report.sections.render", None)  # the page is not drawn again
    again = invoke(data, tmp_path, "run", "--quick")
    assert again.exit_code == 0 and again.stderr.count("nothing to do") == 11 and again.stdout == result.stdout


def test_ctrl_c_saves_the_state_and_says_how_to_go_on(data, tmp_path):
    env = {**os.environ, "MIDAS_DATA": str(data), "MIDAS_RUNS_DIR": str(tmp_path), "MIDAS_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", "from midas.cli import main; main()", "train-part1", "--epochs", "2000"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    last = tmp_path / "part1" / "compact" / "seed-0" / "last.keras"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Continue with: midas train-part1 --epochs 2000 --resume" in stderr and "Traceback" not in stderr
    assert not (last.parent / "result.json").exists() and Run(last.parent).epochs()


@pytest.mark.skipif(os.name == "nt", reason="there is no alarm clock")
def test_an_interruption_that_a_library_swallows_comes_again():
    code = (
        "import click, os, signal, time\n"
        "from midas.cli import console\n"
        "console.REPEAT_AFTER = 0.1\n"
        "@click.group(cls=console.Commands)\n"
        "def main(): pass\n"
        "@main.command()\n"
        "def deaf():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except: pass\n"
        "    time.sleep(60)\n"
        "main(['deaf'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 130 and "Interrupted." in done.stderr and "Traceback" not in done.stderr


def test_the_command_to_go_on_with_can_be_pasted(monkeypatch):
    name = ' it\'s "odd"\n$x \\ é字\udcff'
    monkeypatch.setattr(sys, "argv", ["midas", "train-part1", "--runs-dir", name, "--overwrite"])
    said = how_to_continue(main.commands["train-part1"], began=True).removeprefix("Continue with: ")
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {said}"], capture_output=True, check=True).stdout
    assert words.split(b"\0")[1:-1] == [b"train-part1", b"--runs-dir", os.fsencode(name), b"--resume"]
    assert said.isprintable()
    monkeypatch.setattr(sys, "argv", ["x/midas", "preprocess"])
    assert how_to_continue(main.commands["preprocess"], began=False) == "Start again with: x/midas preprocess"


def test_overwrite_is_repeated_until_the_old_runs_are_deleted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["midas", "run", "--overwrite"])
    assert how_to_continue(main.commands["run"], began=False) == "Start again with: midas run --overwrite"
    assert how_to_continue(main.commands["run"], began=True) == "Continue with: midas run --resume"
    monkeypatch.setattr(sys, "argv", ["midas", "make-part3", "--overwrite"])
    assert how_to_continue(main.commands["make-part3"], began=False).endswith("midas make-part3 --overwrite")


@pytest.mark.usefixtures("traced")  # as the process that is killed
def test_sigkill_and_resume_end_with_the_same_weights(data, tmp_path):
    place, killed, whole = ("part1", "compact", "seed-0"), tmp_path / "killed", tmp_path / "whole"
    env = {**os.environ, "MIDAS_DATA": str(data), "MIDAS_RUNS_DIR": str(killed), "MIDAS_CACHE_DIR": str(tmp_path)}
    words = ["train-part1", "--epochs", "12"]
    command = [sys.executable, "-c", "from midas.cli import main; main()", *words]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    metrics = killed.joinpath(*place, "metrics.jsonl")
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not Run(killed.joinpath(*place)).finished
    assert invoke(data, killed, *words, "--resume").exit_code == invoke(data, whole, *words).exit_code == 0
    networks = [Classifier.load(root.joinpath(*place)).network.get_weights() for root in (killed, whole)]
    assert all(np.array_equal(a, b) for a, b in zip(*networks, strict=True))


def test_overwrite_keeps_the_old_run_until_the_new_one_can_start(data, trained):
    words = ["train-part1", "--overwrite", "--limit", 15, "--name", "compact"]
    assert "too few" in one_line(invoke(data, trained.parents[2], *words))
    assert Run(trained).finished


def test_a_loss_that_is_no_number_ends_in_one_line(data, tmp_path):
    words = ["train-part1", "--learning-rate", 1e30, "--optimizer", "sgd", "--epochs", 3]
    assert "no longer a number" in one_line(invoke(data, tmp_path, *words))
    assert not list(tmp_path.glob("**/result.json"))


def test_tensorboard_logs_or_says_what_is_missing(data, tmp_path):
    result = invoke(data, tmp_path, "train-part1", "--epochs", 1, "--tensorboard", tmp_path / "logs")
    if importlib.util.find_spec("tensorboard"):
        assert result.exit_code == 0 and list((tmp_path / "logs").iterdir())
    else:
        assert "pip install tensorboard" in one_line(result)


def test_two_at_once_the_second_refuses(data, trained):
    with Run(trained).locked():
        result = invoke(data, trained.parents[2], "train-part1", "--epochs", 3, "--overwrite")
        assert "another process" in one_line(result)
    assert Run(trained).finished


def test_what_another_process_has_finished_meanwhile_is_left_alone(data, trained, tmp_path, monkeypatch):
    load = study.Workspace.load

    def finish_and_load(*words):
        shutil.copytree(trained.parents[2], tmp_path, dirs_exist_ok=True)
        return load(*words)

    monkeypatch.setattr(study.Workspace, "load", finish_and_load)
    result = invoke(data, tmp_path, "train-part1", "--epochs", 8, "--batch-size", 16)
    assert result.exit_code == 0 and "epoch" not in result.stderr
    shutil.rmtree(tmp_path / "part1")
    assert "epochs 9 instead of 8" in one_line(invoke(data, tmp_path, "train-part1", "--epochs", 9, "--batch-size", 16))


def test_a_user_without_a_home_is_told_to_name_a_cache(data, monkeypatch):
    def nowhere():
        raise RuntimeError

    monkeypatch.setattr("pathlib.Path.home", nowhere)
    for name in ("XDG_CACHE_HOME", "MIDAS_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert "--cache-dir" in one_line(CliRunner().invoke(main, ["preprocess", "--data-dir", str(data)]))


# ---- using a network


def test_evaluate(data, trained):
    words = ["evaluate", "--checkpoint", trained, "--data", data / "trainPart1"]
    found = json.loads(invoke(data, trained, *words, "--json").stdout)
    assert {"accuracy", "top3", "macro_f1", "case_merged_accuracy", "n", "per_class"} <= set(found)
    assert found["n"] == 140 and found["accuracy"] > 0.5
    assert found["accuracy_interval"][0] < found["accuracy"] < found["accuracy_interval"][1]
    assert "precision" in invoke(data, trained, *words).stdout


def test_the_network_that_comes_with_midas_answers_where_none_is_given(data, tmp_path, monkeypatch):
    drawing = tmp_path / "drawing.png"
    cv2.imwrite(str(drawing), sample.draw("W", 0))
    answer = json.loads(invoke(data, tmp_path, "predict", drawing, "--json").stdout)["predictions"][0]
    assert answer["label"] in "Ww" and len({guess["label"] for guess in answer["alternatives"]}) == 2
    words = ["evaluate", "--data", data / "trainPart1", "--json"]
    found = json.loads(invoke(data, tmp_path, *words).stdout)
    assert "part1" in found["checkpoint"] and found["accuracy"] > 0.5
    assert "--out" in one_line(invoke(data, tmp_path, "analyze", "--data", data / "trainPart1"))
    named = invoke(data, tmp_path, "evaluate", "--checkpoint", "part2-best", "--data", data / "mnist.npz", "--json")
    assert json.loads(named.stdout)["accuracy"] > 0.9
    unknown = invoke(data, tmp_path, "predict", "--checkpoint", "part9", drawing)
    assert "part9" in one_line(unknown) and "part2-best" in one_line(unknown)


def test_evaluate_on_some_of_the_classes(data, trained, tmp_path):
    words = ["evaluate", "--checkpoint", trained / "best.keras", "--data", data / "mnist.npz", "--json"]
    free, restricted = (json.loads(invoke(data, trained, *words, *more).stdout) for more in ([], ["--restrict"]))
    assert restricted["accuracy"] >= free["accuracy"] and restricted["n"] == 100
    assert len(restricted["per_class"]) == 10
    np.savez(tmp_path / "other.npz", images=np.eye(28, dtype=np.uint8)[None] * 255, labels=np.array(["&"]))
    unknown = invoke(data, trained, "evaluate", "--checkpoint", trained, "--data", tmp_path / "other.npz")
    assert "does not know the class '&'" in one_line(unknown)


def test_predict_as_table_csv_json_and_from_stdin(data, trained):
    folder = data / "trainPart1" / "train" / "Sample011"
    words = ["predict", "--checkpoint", trained, folder]
    answers = json.loads(invoke(data, trained, *words, "--json").stdout)["predictions"]
    assert len(answers) == 10 and answers[0]["file"] == f"{folder}/img011-001.png"
    second, third = answers[0]["alternatives"]
    assert 1 >= answers[0]["probability"] >= second["probability"] >= third["probability"]
    rows = list(csv.DictReader(io.StringIO(invoke(data, trained, *words, "--csv").stdout)))
    assert [row["label"] for row in rows] == [answer["label"] for answer in answers]
    head, *lines = invoke(data, trained, *words).stdout.splitlines()
    assert head.split() == ["label", "prob.", "next", "guesses", "file"] and len(lines) == 10
    assert rows[0]["third_probability"] == str(third["probability"])
    page = cv2.imencode(".png", sample.draw("A", 0))[1].tobytes()
    piped = invoke(data, trained, "predict", "--checkpoint", trained, "-", "--json", input=page)
    assert json.loads(piped.stdout)["predictions"][0]["file"] == "-"


def test_predict_goes_on_after_a_bad_file(data, trained, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad ü.png"
    cv2.imwrite(str(good), sample.draw("A", 0))
    bad.write_bytes(b"not an image")
    result = invoke(data, trained, "predict", "--checkpoint", trained, bad, good)
    assert result.exit_code == 1 and "good.png" in result.stdout
    assert result.stderr.splitlines() == [f"Error: {bad}: not an image, or truncated (all others were read)"]
    several = invoke(data, trained, "predict", "--checkpoint", trained, bad, good, tmp_path / "none.png", "--json")
    found = json.loads(several.stdout)
    assert [each["file"] for each in found["predictions"]] == [str(good)] and several.exit_code == 1
    assert [each["file"] for each in found["skipped"]] == [str(bad), str(tmp_path / "none.png")]
    assert "none.png: skipped: no such file" in several.stderr
    assert several.stderr.splitlines()[-1] == "Error: 2 of 3 images could not be read; the reasons are above"
    strict = invoke(data, trained, "predict", "--checkpoint", trained, "--strict", bad, good, tmp_path / "none.png")
    assert strict.exit_code == 1 and not strict.stdout and "2 of 3 images could not be read; nothing" in strict.stderr
    alone = invoke(data, trained, "predict", "--checkpoint", trained, "--strict", bad, good)
    assert "truncated; nothing is answered; repair or remove it" in one_line(alone)
    assert invoke(data, trained, "predict", "--checkpoint", trained, "--strict", good).exit_code == 0
    assert "bad ü.png" in one_line(invoke(data, trained, "predict", "--checkpoint", trained, bad))
    assert "no such file" in one_line(invoke(data, trained, "predict", "--checkpoint", trained, tmp_path / "none.png"))
    assert "pipe an image" in one_line(invoke(data, trained, "predict", "--checkpoint", trained, "-", input=b""))


def test_what_libraries_print_does_not_reach_the_terminal(trained, tmp_path, capfd):
    drawing = cv2.resize(sample.draw("A", 0), (60, 45), interpolation=cv2.INTER_AREA)
    for number, size in enumerate((1, 6)):
        data = cv2.imencode(".jpg", cv2.resize(drawing, None, fx=size, fy=size))[1].tobytes()
        (tmp_path / f"stray-{number}.jpg").write_bytes(data[:-2] + b"\x12" * 40 + data[-2:])
    zipped = zlib.compress(np.pad(drawing, ((0, 0), (1, 0))).tobytes())
    header, pixels = struct.pack(">2I5B", 60, 45, 8, 0, 0, 0, 0), zipped[:-4] + bytes(4)  # the checksum is wrong
    chunks = ((b"IHDR", header), (b"iCCP", b"x\0\0junk"), (b"IDAT", pixels), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "checksum.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    picture = Image.fromarray(drawing)
    picture.convert("1").save(tmp_path / "fax.tif", compression="group4")
    data = bytearray((tmp_path / "fax.tif").read_bytes())
    data[20:40] = b"\x5a" * 20
    (tmp_path / "fax.tif").write_bytes(data)
    command = [sys.executable, "-m", "midas", "predict", "--checkpoint", trained, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert all("skipped: " in line or line.startswith("Error: ") for line in done.stderr.splitlines()), done.stderr
    assert "stray-0.jpg" in done.stdout and "stray-1.jpg" in done.stdout
    invoke(tmp_path, tmp_path, *command[3:], "-v")
    assert "Corrupt JPEG data" in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip", b"\x00" * 1000])
def test_broken_checkpoints_are_one_line(data, trained, tmp_path, content):
    broken = tmp_path / "broken.keras"
    broken.write_bytes(content)
    shutil.copy(trained / "card.json", tmp_path)
    assert "broken.keras" in one_line(invoke(data, trained, "predict", "--checkpoint", broken, data / "trainPart1"))


def test_verbose_shows_the_traceback(data, tmp_path):
    result = invoke(tmp_path, tmp_path, "train-part1", "-v")
    assert result.exit_code == 1 and "Traceback" in result.stderr and "Error: " in result.stderr


def test_analyze_what_the_run_scored_and_other_data(data, trained, tmp_path):
    result = invoke(data, trained, "analyze", "--checkpoint", trained)
    assert result.exit_code == 0, result.output
    for name in ("confusion.png", "mistakes.png", "calibration.png", "learning-curves.png", "analysis.json"):
        assert (trained / name).exists()
    words = ["analyze", "--checkpoint", trained, "--data", data / "trainPart1", "--out", tmp_path / "new", "--json"]
    found = json.loads(invoke(data, trained, *words).stdout)
    assert found["n"] == 140 and found["data"] == str(data / "trainPart1")
    assert "--data" in one_line(invoke(data, trained, "analyze", "--checkpoint", trained / "last.keras"))
    assert (tmp_path / "new" / "confusion.png").exists()


def test_a_moved_run_still_works(data, trained, tmp_path):
    moved = shutil.copytree(trained, tmp_path / "elsewhere")
    assert invoke(data, trained, "evaluate", "--checkpoint", moved, "--data", data / "trainPart1").exit_code == 0


def test_list_and_report(data, trained):
    root = trained.parents[2]
    assert "finished" in invoke(data, root, "list").stdout
    assert json.loads(invoke(data, root, "list", "--json").stdout)["runs"][0]["accuracy"] > 0.5
    result = invoke(data, root, "report")
    assert result.exit_code == 0 and (root / "report.html").exists() and (root / "report.json").exists()
    Run(shutil.copytree(trained, root / "quick" / "part1" / "compact" / "seed-0"))
    listed = json.loads(invoke(data, root, "list", "--json").stdout)["runs"]
    assert [each["path"] for each in listed] == [str(trained), str(root / "quick" / "part1" / "compact" / "seed-0")]
    assert "no finished run" in one_line(invoke(data, data / "empty", "report"))


def test_models():
    result = CliRunner().invoke(main, ["models", "--classes", "10", "--json"])
    assert {model["model"] for model in json.loads(result.stdout)["models"]} >= {"compact", "baseline"}
