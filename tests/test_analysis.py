"""From predictions to figures and analysis.json, and what happens when predictions cannot be used."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from fabricate import LETTERS, epochs, predictions, run
from PIL import Image

from midas.errors import MidasError
from midas.files import plain
from midas.metrics import classification
from midas.report import analysis

pytestmark = pytest.mark.usefixtures("eagerly")

FIGURES = ["confusion.png", "confusion-normalized.png", "mistakes.png", "calibration.png", "learning-curves.png"]


def test_analyze_writes_figures_and_numbers(tmp_path):
    made = predictions(LETTERS, n=200)
    found = analysis.analyze(made, LETTERS, epochs(), tmp_path / "new", {"data": "mine"})
    assert found["files"] == FIGURES and found["data"] == "mine"
    assert {file.name for file in (tmp_path / "new").iterdir()} == {*FIGURES, "analysis.json"}
    for name in FIGURES:
        with Image.open(tmp_path / "new" / name) as image:
            image.load()
            assert min(image.size) > 200
    assert json.loads((tmp_path / "new" / "analysis.json").read_text(encoding="utf-8")) == plain(found)
    assert found["class_names"] == LETTERS
    assert np.sum(found["confusion"]) == found["n"] == 200
    assert np.trace(found["confusion"]) == round(200 * found["accuracy"])
    assert found.items() >= plain(classification.score(made.probabilities, made.labels, LETTERS)).items()


def test_of_very_many_classes_the_whole_matrix_is_a_list_of_cells(tmp_path):
    names = [f"c{number}" for number in range(150)]
    made = predictions(names, n=400)
    found = analysis.analyze(made, names, [], tmp_path)
    assert found["confusion"] is None and found["files"][-1] == "confusion.csv"
    with (tmp_path / "confusion.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    assert sum(int(cell["count"]) for cell in cells) == 400
    correct = sum(int(cell["count"]) for cell in cells if cell["label"] == cell["predicted"])
    assert correct == round(400 * found["accuracy"])
    with Image.open(tmp_path / "confusion.png") as image:
        assert max(image.size) < 2000
    analysis.analyze(predictions(names, n=400, wrong=0), names, [], tmp_path)  # without errors


def test_all_mistakes_are_listed_the_most_confident_first(tmp_path):
    made = predictions(LETTERS[:10], n=80)
    found = analysis.analyze(made, LETTERS[:10], [], tmp_path)
    assert not (tmp_path / "learning-curves.png").exists()
    confidence = [mistake.confidence for mistake in found["mistakes"]]
    assert confidence == sorted(confidence, reverse=True)
    assert len(confidence) == round(80 * (1 - found["accuracy"])) > 0
    first = found["mistakes"][0]
    index = list(made.names).index(first.name)
    assert first.label == LETTERS[made.labels[index]]
    assert first.predicted == LETTERS[made.probabilities[index].argmax()]
    assert analysis.list_mistakes(made, LETTERS[:10], limit=1) == [first]


def test_runs_of_several_seeds_are_scored_as_an_ensemble(tmp_path):
    runs = [run(tmp_path, seed=seed, argmin_accuracy=0.1) for seed in (0, 1)]
    with pytest.raises(MidasError, match=r"differs from .*seed-0 in more than the seed"):
        analysis.score_together(runs)  # other images
    first, second = runs[0].predictions(), runs[1].predictions()
    runs[1].write_predictions(dataclasses.replace(first, probabilities=second.probabilities))
    together = analysis.score_together(runs)
    probabilities = (first.probabilities + second.probabilities) / 2
    assert together["accuracy"] == (probabilities.argmax(axis=1) == first.labels).mean()
    assert together["argmin_accuracy"] == (probabilities.argmin(axis=1) == first.labels).mean()
    assert (together["seed"], together["train_seconds"], together["parameters"]) == ("0+1", 15.0, 2 * 291678)
    runs[1].write(dataclasses.replace(runs[1].card, data_digest="other"))
    with pytest.raises(MidasError, match="score them one by one"):
        analysis.score_together(runs)


def test_predictions_are_read_back(tmp_path):
    loaded = run(tmp_path, n=30).predictions()
    made = predictions(LETTERS[:10], 30)
    for name in ("probabilities", "labels", "names", "images"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(made, name))


def arrays(class_names, n):
    return {name: array for name, array in vars(predictions(class_names, n)).items() if array is not None}


def truncated(path):
    path.write_bytes(path.read_bytes()[:-500])


def objects(path):
    np.savez(path, probabilities=np.array([{}], dtype=object))


def lacking(path):
    np.savez(path, labels=np.zeros(3, int))


def single(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def text(path):
    path.write_text("not an archive\nat all")


def other_classes(path):
    np.savez(path, **arrays(LETTERS, 10))


def diverged(path):
    spoiled = arrays(LETTERS[:10], 10)
    spoiled["probabilities"][3] = np.nan
    np.savez(path, **spoiled)


def out_of_range(path):
    np.savez(path, **{**arrays(LETTERS[:10], 10), "labels": np.arange(10) + 1})


def features_of_other_images(path):
    np.savez(path, **arrays(LETTERS[:10], 30), embedded=np.array([30]), features=np.zeros((1, 4), np.float16))


def features_that_are_nan(path):
    np.savez(path, **arrays(LETTERS[:10], 30), embedded=np.array([3]), features=np.full((1, 4), np.nan))


SPOILERS = [
    features_of_other_images,
    features_that_are_nan,
    truncated,
    objects,
    lacking,
    single,
    text,
    other_classes,
    diverged,
    out_of_range,
    lambda path: path.unlink(),
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_bad_predictions_are_one_line(tmp_path, spoil):
    finished = run(tmp_path, n=30)
    spoil(finished / "predictions.npz")
    with pytest.raises(MidasError) as caught:
        finished.predictions()
    assert "predictions.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MidasError, match="cannot be written"):
        analysis.analyze(predictions(LETTERS[:10]), LETTERS[:10], [], tmp_path / "file")


def test_tensorflow_stays_out(tmp_path):
    finished = run(tmp_path, n=20)
    program = (
        "import sys; from pathlib import Path\n"
        "from midas.report import analysis, comparison, findings, page, tables; from midas.runs import Run\n"
        "heavy = {'matplotlib', 'sklearn', 'jinja2'} & sys.modules.keys()\n"
        "run = Run(sys.argv[1]); out = Path(sys.argv[2])\n"
        "analysis.analyze(run.predictions(), run.card.class_names, run.epochs(), out)\n"
        "page.write_report([run], out / 'report.html')\n"
        "print(sorted(heavy | {'tensorflow', 'keras', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program, str(finished.path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
