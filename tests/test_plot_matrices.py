"""Matrices of classes by classes: what is written into their cells and beside them."""

import numpy as np
from fabricate import LETTERS
from scipy.sparse import csr_array

from midas.report.plot_matrices import confusion_matrix, transition_matrix


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_class_is_named_on_every_side():
    matrix = np.eye(62, dtype=int) * 7
    matrix[12, 38] = 3
    figure = confusion_matrix(csr_array(matrix), LETTERS, normalized=True)
    axes = figure.axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        for side in ("label1", "label2"):
            labels = [getattr(tick, side) for tick in axis.get_major_ticks()]
            assert [label.get_text() for label in labels if label.get_visible()] == LETTERS
    assert sorted(set(texts(figure))) == ["100", "30", "70"]
    assert "437 of 437" not in axes.get_title() and axes.get_title().startswith("434 of 437 correct")


def test_counts_and_small_percentages_are_written_into_the_cells():
    matrix = csr_array(np.array([[9_999, 1], [0, 5]]))
    assert sorted(texts(confusion_matrix(matrix, ["a", "b"], normalized=False))) == ["1", "5", "9999"]
    assert sorted(texts(confusion_matrix(matrix, ["a", "b"], normalized=True))) == [
        "100.0",
        "100.0",
        "<.1",
    ]


def test_of_many_classes_some_are_drawn_with_their_shares_of_the_whole_class():
    matrix = csr_array(np.array([[6, 0, 4], [0, 9, 0], [0, 0, 1]]))
    figure = confusion_matrix(matrix, ["a", "b", "c"], normalized=True, chosen=[1, 0])
    assert texts(figure) == ["100.0", "60.0"]
    assert "16 of 20 correct (blue diagonal); the 2 classes confused most of 3" in figure.axes[0].get_title()


def test_a_transition_matrix_has_percentages_of_each_class():
    figure = transition_matrix(np.array([[0.0, 1.0], [0.25, 0.75]]), ["a", "b"])
    assert texts(figure) == ["100.0", "25.0", "75.0"]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("given label", "true class, as estimated")
