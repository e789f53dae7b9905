import numpy as np

from midas.predictions import UNSURE, Alternative, Prediction, Shown, join_text, make_predictions

ROWS = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]])


def test_the_most_probable_class_and_the_next_ones():
    first, second = make_predictions(ROWS, "abc", [Shown("x"), Shown("y", several=True)])
    assert first == Prediction("a", 0.7, (Alternative("b", 0.2), Alternative("c", 0.1)), "x")
    assert second.several and second.source == "y"
    assert [len(each.alternatives) for each in make_predictions(ROWS, "abc", [Shown("")] * 2, top=1)] == [0, 0]


def test_below_the_threshold_the_answer_is_unsure_and_keeps_the_guesses():
    first, second = make_predictions(ROWS, "abc", [Shown("")] * 2, top=2, reject_below=0.5)
    assert first.label == "a"
    assert (second.label, second.probability) == (UNSURE, 0.4)
    assert second.alternatives == (Alternative("a", 0.4), Alternative("b", 0.35))


def test_classes_that_are_not_allowed_are_no_alternatives():
    (found,) = make_predictions(np.array([[0.0, 0.9, 0.1]]), "abc", [Shown("")], top=9)
    assert [each.label for each in found.alternatives] == ["c"]


def test_text_has_spaces_line_breaks_and_names_of_any_length():
    assert join_text(["T", "alpha", UNSURE, "x"], [1, 1, 1, 3], [False, True, False, False]) == "T alpha?\n\nx"
    assert join_text([], [], []) == ""
