"""Numbers: worked out by hand, by a second formula, and at the extremes."""

import json
import math

import numpy as np
import pytest
from fabricate import LETTERS, predictions
from scipy.sparse import csr_array

from midas.files import plain
from midas.metrics import classification

NAMES = ["0", "C", "c", "x"]
PROBABILITIES = np.array(
    [
        [0.70, 0.10, 0.10, 0.10],  # 0, correct
        [0.10, 0.20, 0.60, 0.10],  # C predicted as c: right letter, wrong case
        [0.05, 0.05, 0.80, 0.10],  # c, correct
        [0.90, 0.06, 0.03, 0.01],  # c predicted as 0, the label third
        [0.90, 0.06, 0.03, 0.01],  # x predicted as 0, the label last
    ]
)
LABELS = np.array([0, 1, 2, 2, 3])


def test_scores_by_hand():
    scores = classification.score(PROBABILITIES, LABELS, NAMES)
    assert scores.n == 5
    assert scores.accuracy == pytest.approx(2 / 5)
    assert scores.top3 == pytest.approx(4 / 5)
    assert scores.case_merged_accuracy == pytest.approx(3 / 5)
    assert scores.log_loss == pytest.approx(-math.log(0.7 * 0.2 * 0.8 * 0.03 * 0.01) / 5)
    assert plain(scores.per_class) == [
        {"class": "0", "n": 1, "precision": pytest.approx(1 / 3), "recall": 1.0, "f1": pytest.approx(1 / 2)},
        {"class": "C", "n": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0},
        {"class": "c", "n": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        {"class": "x", "n": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0},
    ]
    assert scores.macro_f1 == pytest.approx(1 / 4)
    # Of 15 bins: 0.6 and 0.7 and 0.8 are alone in theirs, the two of 0.9 share one and are both wrong.
    assert scores.calibration_error == pytest.approx((0.3 + 0.6 + 0.2 + 1.8) / 5)


def test_scores_is_plain_json():
    scores = classification.score(PROBABILITIES.astype(np.float32), LABELS, NAMES)
    assert json.loads(json.dumps(plain(scores))) == plain(scores)


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    some = LABELS != 3
    scores = classification.score(PROBABILITIES[some], LABELS[some], NAMES)
    assert [row.name for row in scores.per_class] == ["0", "C", "c"]
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)
    assert classification.confusion_matrix(PROBABILITIES[some].argmax(1), LABELS[some], 4).shape == (4, 4)


def test_three_classes_have_no_top3_and_digits_no_case():
    scores = classification.score(np.eye(3), np.arange(3), ["0", "1", "2"])
    assert scores.top3 is None
    assert scores.case_merged_accuracy is None


def test_confident_predictions_have_finite_losses():
    right = classification.score(np.eye(4), np.arange(4), NAMES)
    assert right.log_loss == right.calibration_error == 0
    assert (right.accuracy, right.macro_f1, right.accuracy_interval[1]) == (1, 1, 1)
    wrong = classification.score(np.eye(4), np.array([1, 0, 3, 2]), NAMES)
    assert wrong.log_loss == pytest.approx(-math.log(1e-7))
    assert wrong.calibration_error == 1
    assert (wrong.accuracy, wrong.accuracy_interval[0]) == (0, 0)


def test_equal_probabilities_are_one_prediction_and_not_all():
    scores = classification.score(np.full((10, 10), 0.1), np.arange(10), LETTERS[:10])
    assert scores.accuracy == pytest.approx(0.1)
    assert scores.top3 == pytest.approx(0.3)


def test_nothing_cannot_be_scored():
    with pytest.raises(ValueError):
        classification.score(np.zeros((0, 4)), np.zeros(0, int), NAMES)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_agrees_with_a_loop_over_the_bins(bins):
    arrays = predictions(LETTERS, n=400, seed=3)
    confidence, labels = arrays.probabilities.max(1).astype(float), arrays.labels
    right = arrays.probabilities.argmax(1) == labels
    expected = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            expected += inside.sum() / len(labels) * abs(right[inside].mean() - confidence[inside].mean())
    assert classification.calibration_error(arrays.probabilities, labels, bins) == pytest.approx(expected)


def test_merge_case_of_all_62():
    merged = classification.merge_case(LETTERS)
    assert len(set(merged)) == 36
    assert [LETTERS[index] for index in merged[36:]] == LETTERS[10:36]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_confusion_agrees_with_scikit_learn(dtype):
    from sklearn.metrics import confusion_matrix

    arrays = predictions(LETTERS, n=300)
    answers, labels = arrays.probabilities.argmax(1).astype(dtype), arrays.labels.astype(dtype)
    expected = confusion_matrix(labels, answers, labels=range(62))
    np.testing.assert_array_equal(classification.confusion_matrix(answers, labels, 62).toarray(), expected)


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score

    arrays = predictions(LETTERS, n=300, seed=1)
    probabilities, labels = arrays.probabilities.astype(float), arrays.labels
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    answers = probabilities.argmax(axis=1)
    scores = classification.score(probabilities, labels, LETTERS)
    every = np.arange(62)
    assert scores.accuracy == pytest.approx(accuracy_score(labels, answers))
    assert scores.top3 == pytest.approx(top_k_accuracy_score(labels, probabilities, k=3, labels=every))
    assert scores.log_loss == pytest.approx(log_loss(labels, probabilities, labels=every))
    occurring = np.unique(labels)
    assert scores.macro_f1 == pytest.approx(f1_score(labels, answers, labels=occurring, average="macro"))


def test_confused_pairs_are_ordered_and_leave_out_what_is_right():
    matrix = csr_array(np.array([[90, 3, 7], [0, 5, 0], [7, 0, 0]]))
    pairs = classification.confused_pairs(matrix, ["a", "b", "c"])
    assert [(pair.label, pair.predicted, pair.count) for pair in pairs] == [
        ("a", "c", 7),
        ("c", "a", 7),
        ("a", "b", 3),
    ]
    assert [pair.share for pair in pairs] == pytest.approx([0.07, 1, 0.03])
    assert classification.confused_pairs(matrix, ["a", "b", "c"], limit=1) == pairs[:1]
    assert classification.confused_pairs(csr_array(np.diag([1, 2])), ["a", "b"]) == []


def test_softmax_leaves_out_impossible_classes_and_is_stable():
    logits = np.array([[1000.0, 999.0, -np.inf], [-1000.0, -1000.0, -np.inf]])
    expected = 1 / (1 + math.exp(-1))
    assert classification.softmax(logits)[:, :2] == pytest.approx(np.array([[expected, 1 - expected], [0.5, 0.5]]))
    assert (classification.softmax(logits)[:, 2] == 0).all()


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 20.0])
def test_calibration_is_temperature_scaling_of_the_logits(temperature):
    logits = np.random.default_rng(0).normal(0, 3, (50, 10))
    calibrated = classification.calibrate(classification.softmax(logits), temperature)
    assert calibrated.dtype == np.float32
    assert calibrated == pytest.approx(classification.softmax(logits, temperature), abs=1e-6)
    assert (calibrated.argmax(axis=1) == logits.argmax(axis=1)).all()
