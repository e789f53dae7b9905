"""From predictions to figures and analysis.json, and what happens when the predictions are not there."""

import json
import subprocess
import sys

import numpy as np
import pytest
from fabricate import LETTERS, predictions, records, run
from PIL import Image

from midas.errors import MidasError
from midas.metrics import classification as metrics
from midas.report import analysis, plots


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_analyze_writes_figures_and_numbers(tmp_path):
    arrays = predictions(LETTERS, n=200)
    summary = analysis.analyze(arrays, LETTERS, records(), tmp_path / "new")
    drawn = {"confusion.png", "confusion-normalised.png", "mistakes.png", "calibration.png", "learning-curves.png"}
    assert set(summary["files"]) == drawn
    assert {file.name for file in (tmp_path / "new").iterdir()} == drawn | {"analysis.json"}
    for name in drawn:
        with Image.open(tmp_path / "new" / name) as image:
            image.load()
            assert min(image.size) > 200
    assert json.loads((tmp_path / "new" / "analysis.json").read_text(encoding="utf-8")) == summary
    assert summary["class_names"] == LETTERS
    assert np.sum(summary["confusion"]) == summary["n"] == 200
    assert np.trace(summary["confusion"]) == round(200 * summary["accuracy"])
    assert summary["accuracy"] == metrics.summarise(arrays["probabilities"], arrays["labels"], LETTERS)["accuracy"]


def test_mistakes_are_all_there_the_most_confident_first(tmp_path):
    arrays = predictions(LETTERS[:10], n=80)
    summary = analysis.analyze(arrays, LETTERS[:10], [], tmp_path)
    assert not (tmp_path / "learning-curves.png").exists()
    confidence = [mistake["confidence"] for mistake in summary["mistakes"]]
    assert confidence == sorted(confidence, reverse=True)
    assert len(confidence) == round(80 * (1 - summary["accuracy"])) > 0
    place = list(arrays["names"]).index(summary["mistakes"][0]["name"])
    assert summary["mistakes"][0]["true"] == LETTERS[arrays["labels"][place]]
    assert summary["mistakes"][0]["answer"] == LETTERS[arrays["probabilities"][place].argmax()]


def test_no_mistakes_are_said_in_words():
    arrays = predictions(LETTERS[:10], n=20, wrong=0)
    figure = plots.mistakes(arrays["images"], arrays["labels"], arrays["probabilities"], arrays["names"], LETTERS[:10])
    assert texts(figure) == ["No mistakes: all 20 images were answered correctly."]


def test_mistakes_are_captioned():
    probabilities, labels = np.array([[0.02, 0.98], [0.9, 0.1], [0.6, 0.4]]), np.array([0, 0, 1])
    images, names = np.zeros((3, 28, 28), np.uint8), ["a/$1$.png", "b.png", "c.png"]
    drawn = texts(plots.mistakes(images, labels, probabilities, names, ["c", "C"]))
    assert drawn == ["2 mistakes on 3 images", "c → C  98 %", "$1$.png", "C → c  60 %", "c.png"]


def test_every_class_is_named_on_every_side():
    matrix = np.eye(62, dtype=int) * 7
    matrix[12, 38] = 3
    figure = plots.confusion_matrix(matrix, LETTERS, normalised=True)
    axes = figure.axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        for side in ("label1", "label2"):
            labels = [getattr(tick, side) for tick in axis.get_major_ticks()]
            assert [label.get_text() for label in labels if label.get_visible()] == LETTERS
    assert sorted(set(texts(figure))) == ["100", "30", "70"]


def test_learning_curves_mark_the_best_epoch_and_the_fall_of_the_rate():
    lines = records(epochs=6)
    lines[3]["val_loss"] = 0.01
    labels = plots.learning_curves(lines).axes[0].get_legend_handles_labels()[1]
    assert labels == ["training", "validation", "best epoch, 4", "learning rate lowered"]
    labels = plots.learning_curves(records(1, validation=False)).axes[0].get_legend_handles_labels()[1]
    assert labels == ["training"]
    assert plots.learning_curves([{**lines[0], "val_loss": None, "val_accuracy": None}]).axes


def test_curves_of_wrong_labels_are_called_so():
    curves = {"_a$b$": [records(), records(3)], "c": [records(validation=False)]}
    by_epoch, by_time = plots.compare_curves(curves).axes
    assert (by_epoch.get_ylabel(), by_epoch.get_yscale()) == ("validation error", "log")
    assert by_time.get_xlabel() == "seconds of training"
    np.testing.assert_allclose(by_time.lines[0].get_xdata(), [1.5, 3, 4.5, 6, 7.5])
    assert (by_epoch.get_xlabel(), len(by_epoch.lines), len(by_epoch.collections)) == ("epoch", 1, 1)
    steps = [{**line, "steps": 10 * line["epoch"]} for line in records()]
    by_step, _ = plots.compare_curves({"a": [steps]}).axes
    assert by_step.get_xlabel() == "steps of training" and by_step.lines[0].get_xdata()[-1] == 50
    figure = plots.compare_curves(curves, as_labelled=True)
    assert figure.axes[0].get_ylabel() == "validation accuracy, as the folders tell it"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_a$b$"]
    assert "no curves" in texts(plots.compare_curves({"c": [records(validation=False)]}))[0]


def test_an_error_of_zero_is_drawn_on_a_linear_scale():
    lines = [{**line, "val_accuracy": 1.0} for line in records()]
    assert plots.compare_curves({"perfect": [lines]}).axes[0].get_yscale() == "linear"


def test_samples_show_pages_of_any_size(tmp_path):
    pages = [np.full(shape, 255, np.uint8) for shape in ((900, 1200), (28, 28), (400, 90))]
    figure = plots.samples(pages, np.zeros((3, 28, 28), np.uint8), ["a", "b", "a long title_of $ kind"], columns=2)
    figure.savefig(tmp_path / "preview.png")
    assert len(figure.axes[0].images) == 6
    assert figure.axes[0].images[0].get_array().shape == (150, 200)


def test_classification_report_lists_every_class():
    arrays = predictions(LETTERS, n=300)
    summary = metrics.summarise(arrays["probabilities"], arrays["labels"], LETTERS)
    lines = analysis.classification_report(summary).splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(summary["per_class"])]] == [
        row["class"] for row in summary["per_class"]
    ]
    assert f"accuracy {100 * summary['accuracy']:.2f} %" in lines[-4]
    digits = metrics.summarise(np.eye(3), np.arange(3), ["0", "1", "2"])
    assert "case" not in analysis.classification_report(digits)


def test_predictions_are_read_back(tmp_path):
    finished = run(tmp_path, n=30)
    loaded = analysis.load_predictions(finished)
    for name, array in predictions(LETTERS[:10], 30).items():
        np.testing.assert_array_equal(loaded[name], array)


def broken(path):
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
    np.savez(path, **predictions(LETTERS, 10))


def diverged(path):
    arrays = predictions(LETTERS[:10], 10)
    arrays["probabilities"][3] = np.nan
    np.savez(path, **arrays)


def out_of_range(path):
    np.savez(path, **{**predictions(LETTERS[:10], 10), "labels": np.arange(10) + 1})


def map_of_others(path):
    np.savez(path, **predictions(LETTERS[:10], 30), mapped=np.array([30]), features=np.zeros((1, 4), np.float16))


def map_without_numbers(path):
    np.savez(path, **predictions(LETTERS[:10], 30), mapped=np.array([3]), features=np.full((1, 4), np.nan))


SPOILERS = [
    map_of_others,
    map_without_numbers,
    broken,
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
        analysis.load_predictions(finished)
    assert "predictions.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MidasError, match="cannot be written"):
        analysis.analyze(predictions(LETTERS[:10]), LETTERS[:10], [], tmp_path / "file")


def test_tensorflow_stays_out(tmp_path):
    finished = run(tmp_path, n=20)
    program = (
        "import sys; from pathlib import Path; from midas.report import analysis, page as report; from midas.runs import Run\n"
        "heavy = {'matplotlib', 'sklearn', 'jinja2'} & sys.modules.keys()\n"
        "run = Run(sys.argv[1]); out = Path(sys.argv[2])\n"
        "analysis.analyze(analysis.load_predictions(run), run.card['class_names'], run.metrics(), out)\n"
        "report.write_report([run], out / 'report.html')\n"
        "print(sorted(heavy | {'tensorflow', 'keras', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program, str(finished.path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
