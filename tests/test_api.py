"""The package as a library: light to import, lazy, typed, and readable in a notebook."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import dataset, write_drawings

import midas
from midas.data import sample

pytestmark = pytest.mark.usefixtures("eagerly")

HEAVY = ("tensorflow", "keras", "numpy", "cv2", "sklearn", "scipy", "matplotlib", "click", "PIL")


def run(code: str, **environment: str) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("KERAS", "TF_CPP", "OPENCV"))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**env, **environment}
    )
    assert done.stderr == ""
    return done.stdout


def test_importing_takes_milliseconds_and_no_heavy_module():
    code = (
        "import sys, time; before = time.process_time(); import midas; seconds = time.process_time() - before\n"
        f"print(seconds, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    seconds, _, modules = run(code).partition(" ")
    assert modules.strip() == "[]"
    assert float(seconds) < 0.1


def test_importing_leaves_the_user_s_settings_alone():
    code = "import midas, os; print(os.environ['KERAS_BACKEND'], os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert run(code, KERAS_BACKEND="jax", TF_CPP_MIN_LOG_LEVEL="0").split() == ["jax", "0"]


def test_another_keras_backend_is_refused_in_words():
    code = "import midas\ntry: midas.load()\nexcept midas.MidasError as error: print(error)"
    assert "KERAS_BACKEND" in run(code, KERAS_BACKEND="numpy")


def test_the_public_names_are_listed_and_typed():
    assert {"load", "load_dataset", "train", "Classifier", "Experiment", "MidasError"} <= set(midas.__all__)
    assert set(midas.__all__) <= set(dir(midas)) and midas.__version__.count(".") == 2
    assert (Path(midas.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = midas.nonsense


def test_predict_takes_paths_arrays_and_lists(tmp_path):
    page, path = sample.draw("W", 0), tmp_path / "drawing.png"
    cv2.imwrite(str(path), page)
    reader = midas.load()
    for images in (path, str(path), page, [path, page], np.stack([page, page]), np.dstack([page] * 3)):
        predictions = reader.predict(images)
        assert len(predictions) == (2 if isinstance(images, list) or (np.ndim(images) == 3 and len(images) == 2) else 1)
        assert {prediction.label for prediction in predictions} == {predictions[0].label} <= set("Ww")
    first = reader.predict(path)[0]
    assert first.source == str(path) and 0 < first.probability <= 1 and len(first.alternatives) == 2
    assert reader.predict(path, top=1)[0].alternatives == ()
    assert reader.predict(path, classes="0123456789")[0].label in "0123456789"


def test_predict_names_what_cannot_be_read(tmp_path):
    reader = midas.load()
    (tmp_path / "bad.png").write_bytes(b"not an image")
    for images, reason in (
        (tmp_path / "bad.png", "bad.png"),
        (tmp_path / "none.png", "none.png"),
        (np.full((90, 120), 255, np.uint8), "blank"),
    ):
        with pytest.raises(midas.MidasError, match=reason):
            reader.predict(images)
    with pytest.raises(midas.MidasError, match="'&'"):
        reader.predict(sample.draw("W", 0), classes="W&")


def test_shipped_networks_load_by_name_and_others_by_path_or_run():
    assert midas.load("part3-best").class_names == tuple("0123456789")
    assert midas.load("part2-best").tta == 8 and midas.load("part2-best", tta=1).tta == 1
    with pytest.raises(midas.MidasError, match=r"part1.*part2-best"):
        midas.load("part9")


def test_train_on_own_classes_and_use_the_run(tmp_path):
    data = dataset("AB", 10)
    run = midas.train(data, epochs=3, runs_dir=tmp_path, seed=1, val_fraction=0.2)
    assert run.result.n == 4 and run.result.scored == "validation"
    assert run.path == tmp_path / "custom" / "array-compact" / "seed-1"
    assert json.loads((run / "card.json").read_text())["class_names"] == ["A", "B"]
    assert run.classifier().class_names == midas.load(run).class_names == ("A", "B")
    before = (run / "result.json").stat().st_mtime_ns
    again = midas.train(data, epochs=3, runs_dir=tmp_path, seed=1, val_fraction=0.2)
    assert (again / "result.json").stat().st_mtime_ns == before
    with pytest.raises(midas.MidasError, match="other data"):
        midas.train(dataset("ab", 10), epochs=3, runs_dir=tmp_path, seed=1, val_fraction=0.2)
    with pytest.raises(midas.MidasError, match="no such setting"):
        midas.train(data, epoch=3, runs_dir=tmp_path)
    tuned = midas.train(
        data, epochs=1, runs_dir=tmp_path, name="tuned", init="pretrained", init_checkpoint=str(run.path), folds=None
    )
    assert tuned.card.trained_on == ("array", "array")
    tested = midas.train(data, dataset("AB", 3), epochs=1, runs_dir=tmp_path, name="tested")
    assert tested.result.scored == "test" and tested.result.n == 6


def test_a_data_set_is_read_from_a_path(tmp_path):
    data = midas.load_dataset(write_drawings(tmp_path, "AB", 3) / "trainPart1")
    assert data.class_names == ("A", "B") and data.images.shape == (6, 28, 28)
    cached = midas.load_dataset(str(tmp_path / "trainPart1"), size=20, split="train", cache_dir=tmp_path / "cache")
    assert cached.images.shape == (6, 20, 20) and len(list((tmp_path / "cache").glob("*.npz"))) == 1
    with pytest.raises(midas.MidasError, match="nowhere"):
        midas.load_dataset(tmp_path / "nowhere")
    run = midas.train(tmp_path / "trainPart1", epochs=1, runs_dir=tmp_path / "runs", val_fraction=0.34)
    assert run.experiment.data == str(tmp_path / "trainPart1") and run.experiment.name == "trainPart1-compact"


def test_a_classifier_shows_itself_in_a_notebook():
    shown = midas.load()._repr_html_()
    assert "<table>" in shown and "62" in shown and "placed" in shown
