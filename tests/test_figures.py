"""Figures of the page: their numbers, their descriptions, and damaged samples."""

import base64
import io

import numpy as np
import pytest
from fabricate import LETTERS, predictions, run
from matplotlib.figure import Figure
from PIL import Image

from midas.errors import MidasError
from midas.metrics import classification
from midas.report import figures


def test_inlined_figures_can_be_decoded():
    picture = figures.inline(Figure(figsize=(2, 1)), "an empty figure")
    with Image.open(io.BytesIO(base64.b64decode(picture.src.split(",")[1]))) as image:
        assert image.size == (200, 100) and picture.alt == "an empty figure"


def test_predictions_are_described_by_their_numbers():
    made = predictions(LETTERS[:10], n=80)
    numbers, drawn = figures.of_predictions("deep, seed 0", LETTERS[:10], made)
    matrix = np.array(numbers.confusion_matrix)
    np.testing.assert_array_equal(matrix, classification.confusion_matrix(made.probabilities, made.labels, 10))
    confusion, mistakes, pairs, calibration = drawn
    assert sum(cell.count for cell in confusion.cells) == 80
    assert all(matrix[cell.row, cell.column] == cell.count for cell in confusion.cells)
    assert all(0 < cell.depth <= 1 and cell.total == matrix[cell.row].sum() for cell in confusion.cells)
    assert f"{matrix.trace()} of 80 images correct" in confusion.alt
    first = numbers.mistakes[0]
    assert f"first: {first.label} predicted as {first.predicted}" in mistakes.alt
    assert f"{numbers.confused_pairs[0].label} predicted as" in pairs.alt
    assert f"accuracy of {100 * numbers.reliability[-1].accuracy:.1f} %" in calibration.alt


def test_without_errors_there_are_no_confused_pairs():
    numbers, drawn = figures.of_predictions("perfect", LETTERS[:10], predictions(LETTERS[:10], n=30, wrong=0))
    assert numbers.confused_pairs == [] and numbers.mistakes == [] and len(drawn) == 3
    assert drawn[1].alt == "Errors of perfect, the most confident first: none"


def test_features_are_mapped_where_enough_were_kept(tmp_path):
    made = run(tmp_path, embedded=20).predictions()
    neighbors, (picture,) = figures.of_features("random", LETTERS[:10], made)
    assert neighbors.images == 20 and neighbors.features > neighbors.pixels
    assert f"{100 * neighbors.features:.1f} % by features" in picture.alt
    assert figures.of_features("few", LETTERS[:10], run(tmp_path, name="few", embedded=9).predictions()) == (None, [])
    assert figures.of_features("none", LETTERS[:10], predictions(LETTERS[:10])) == (None, [])


def test_the_same_points_give_the_same_embedding():
    points = np.random.default_rng(0).normal(size=(12, 60))
    first, second = figures.tsne(points), figures.tsne(points)
    assert first.shape == (12, 2)
    np.testing.assert_array_equal(first, second)


def test_data_are_drawn_from_samples(tmp_path):
    made = run(tmp_path)
    alts = [picture.alt for picture in figures.of_data(made, LETTERS[:10], "my data")]
    assert alts[0] == "20 of my data before preprocessing and, below, as the network sees them"
    assert alts[1:] == [
        "The first images of each of the 10 labels in my data",
        "Some of my data, each with 9 augmented copies as in training",
    ]
    with pytest.raises(MidasError, match=r"samples\.npz: damaged"):
        figures.of_data(made, LETTERS[:3], "too few names")
    (made / "samples.npz").unlink()
    assert figures.of_data(made, LETTERS[:10], "my data") == []


def test_a_transition_matrix_is_described():
    counts = 11 * np.ones((10, 10), int) - 10 * np.eye(10, dtype=int)
    picture = figures.of_transition("deep", LETTERS[:10], counts.tolist())
    assert "for 1.00 % the label equals the prediction" in picture.alt and "11.0 to 11.0 % of a class" in picture.alt
