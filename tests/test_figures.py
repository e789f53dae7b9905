"""Figures of the page: their numbers, their captions, and damaged samples."""

import re

import numpy as np
from fabricate import LETTERS, predictions, run
from matplotlib.figure import Figure

from midas.metrics import classification
from midas.report import figures, plots
from midas.report.sheets import Sheet


def drawn(made, class_names):
    return figures.of_predictions("deep, seed 0", class_names, made, Sheet("sheet", made.images))


def test_charts_have_the_colors_of_the_page_and_no_names_that_clash():
    figure = Figure(figsize=(4.8, 2))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "o", color=plots.BLUE)
    axes.set_title("a <title> & more")
    shown = figures.draw(figure, 'described as "this" & that', "a caption")
    assert shown.svg.startswith('<svg role="img" aria-label="described as &#34;this&#34; &amp; that"')
    assert "var(--blue)" in shown.svg and "currentColor" in shown.svg and plots.BLUE not in shown.svg
    assert "a &lt;title&gt; &amp; more" in shown.svg and "<style" not in shown.svg and "<metadata" not in shown.svg
    used = set(re.findall(r"#(m[0-9a-f]{10}|p[0-9a-f]{10})", shown.svg))
    assert set(re.findall(r' id="([^"]+)"', shown.svg)) == used and len(used) > 2


def test_predictions_are_described_by_their_numbers():
    made = predictions(LETTERS[:10], n=80)
    numbers, found = drawn(made, LETTERS[:10])
    matrix = np.array(numbers.confusion_matrix)
    counted = classification.confusion_matrix(made.predicted, made.labels, 10).toarray()
    np.testing.assert_array_equal(matrix, counted)
    confusion, pairs, mistakes, calibration = found.figures
    assert found.pairs is pairs
    assert sum(int(cell.text) for cell in confusion.cells) == 80
    assert all(matrix[cell.row, cell.column] == int(cell.text) for cell in confusion.cells)
    assert all(0 < cell.depth <= 1 and len(cell.tiles) == min(4, int(cell.text)) for cell in confusion.cells)
    assert f"{matrix.trace()} of 80 images are correct" in confusion.caption
    first, (_, tiles) = numbers.mistakes[0], mistakes.rows[0]
    assert tiles[0].lines == (f"{first.label} → {first.predicted}", f"{100 * first.confidence:.0f} %")
    assert pairs.rows[0][0].startswith(f"{numbers.confused_pairs[0].label} taken for")
    assert f"accuracy of {100 * numbers.reliability[-1].accuracy:.1f} %" in calibration.alt


def test_the_matrix_of_many_classes_opens_on_those_that_are_confused():
    made = predictions(LETTERS, n=300)
    numbers, found = drawn(made, LETTERS)
    focus, whole = found.figures[:2]
    assert len(focus.class_names) <= 12 and focus.summary is None and whole.summary == "All 62 classes"
    pair = numbers.confused_pairs[0]
    assert abs(focus.class_names.index(pair.label) - focus.class_names.index(pair.predicted)) == 1


def test_the_matrix_of_very_many_classes_shows_only_those_that_are_confused():
    names = [f"c{number}" for number in range(150)]
    numbers, found = drawn(predictions(names, n=300), names)
    assert numbers.confusion_matrix is None
    matrices = [figure for figure in found.figures if hasattr(figure, "cells")]
    assert [len(matrix.class_names) <= 12 for matrix in matrices] == [True]


def test_without_errors_there_are_no_confused_pairs():
    numbers, found = drawn(predictions(LETTERS[:10], n=30, wrong=0), LETTERS[:10])
    assert numbers.confused_pairs == [] and numbers.mistakes == [] and found.pairs is None
    assert found.figures[1].caption == "No errors among 30 images."


def test_features_are_mapped_where_enough_were_kept(tmp_path):
    made = run(tmp_path, embedded=20).predictions()
    neighbors = figures.neighbor_accuracy(made)
    by_pixels, by_features = figures.of_features("random", LETTERS[:10], made, neighbors)
    assert neighbors.images == 20 and neighbors.features > neighbors.pixels
    assert (
        f"For {100 * neighbors.features:.1f} % of 20 images" in by_features.caption
        and "by their pixels" in by_pixels.alt
    )
    for few in (run(tmp_path, name="few", embedded=9).predictions(), predictions(LETTERS[:10])):
        assert figures.neighbor_accuracy(few) is None
        assert figures.of_features("few", LETTERS[:10], few, None) == []


def test_the_same_points_give_the_same_embedding():
    points = np.random.default_rng(0).normal(size=(12, 60))
    first, second = figures.tsne(points), figures.tsne(points)
    assert first.shape == (12, 2)
    np.testing.assert_array_equal(first, second)


def test_a_transition_matrix_is_described():
    counts = 11 * np.ones((10, 10), int) - 10 * np.eye(10, dtype=int)
    shown = figures.of_transition("deep", LETTERS[:10], counts.tolist())
    assert "For 1.00 % of all images" in shown.caption and "11.0 to 11.0 %" in shown.caption
    assert {cell.text for cell in shown.cells} == {"1", "11"}
    undecided = figures.of_transition("deep", LETTERS[:3], [[8, 1, 1], [1, 8, 1], [1, 1, 8]])
    assert "all cells beside the diagonal are equal: they hold 10.0 to 10.0 %" in undecided.caption
