"""Statistics of finished runs: learning curves, measures by hand, paired tests, and what they are summarized to."""

import dataclasses
import json

import numpy as np
import pytest
from fabricate import compared, cross_validation, curve_epochs, initialized, result
from scipy.stats import ttest_rel

from midas.errors import MidasError
from midas.metrics.classification import ClassScores
from midas.records import CurvePoint, Environment, Probe
from midas.report import comparison, verdicts
from midas.report.comparison import MEASURES, curve, differences, environment_notes, measure, reached, summarize
from midas.runs import read_comparison

RESULT = result(train_seconds=6.0, accuracy=0.97, macro_f1=0.969, log_loss=0.1, calibration_error=0.01)


def test_a_curve_has_the_probes_within_epochs_and_the_time_of_earlier_epochs():
    points = curve(curve_epochs(0.5))
    assert [point.steps for point in points] == [0, 1, 3, 10, 20, 30]
    assert [point.seconds for point in points] == pytest.approx([0, 0.2, 0.6, 2, 4, 6])
    late = curve_epochs(0.5)
    late[1] = dataclasses.replace(late[1], probes=(Probe(step=15, val_accuracy=0.7, val_loss=0.4, seconds=1.0),))
    assert curve(late)[4] == CurvePoint(steps=15, seconds=3.0, val_accuracy=0.7, val_loss=0.4)


def test_a_curve_needs_validation_scores():
    unvalidated = [dataclasses.replace(each, val_accuracy=None) for each in curve_epochs(0.5)]
    with pytest.raises(ValueError, match="epoch 1 has no validation scores"):
        curve(unvalidated)
    with pytest.raises(ValueError, match="there are no epochs"):
        measure([], RESULT)


def test_when_an_accuracy_is_reached():
    points = curve(curve_epochs(0.5))  # 20, 60, 80, 90 % after 0, 10, 20, 30 steps
    assert reached(points, 0.6, "steps") == pytest.approx(10)
    assert reached(points, 0.7, "steps") == pytest.approx(15)
    assert reached(points, 0.7, "seconds") == pytest.approx(3)
    assert reached(points, 0.1, "steps") == 0
    assert reached(points, 0.95, "steps") is None
    dipping = [CurvePoint(steps, 0.0, 0.0, accuracy) for steps, accuracy in enumerate((0.1, 0.9, 0.5, 0.9))]
    assert reached(dipping, 0.9, "steps") == 1
    assert reached([], 0.5, "steps") is None


def test_measures_worked_out_by_hand():
    found = measure(curve_epochs(0.5), RESULT)
    assert list(found) == [one.key for one in MEASURES]
    assert found["initial_accuracy"] == pytest.approx(0.2) and found["initial_loss"] == 1
    assert found["accuracy_3"] == pytest.approx(1 - 0.8 * 0.5**0.3)
    assert found["accuracy_30"] == pytest.approx(0.9)  # the end of an epoch
    assert found["accuracy_10"] == found["accuracy_epoch"] and found["accuracy_100"] is None
    assert found["steps_90"] == pytest.approx(30) and found["steps_95"] is None
    assert found["best_accuracy"] == found["final_accuracy"] == pytest.approx(0.9)
    assert found["gap"] == pytest.approx(0) and found["drops"] == 0
    heights, steps = [1 - 0.8 * 0.5 ** (s / 10) for s in (0, 1, 3, 10, 20, 30)], [0, 1, 3, 10, 20, 30]
    by_hand = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(steps, steps[1:], heights, heights[1:], strict=False))
    assert found["area"] == pytest.approx(by_hand / 30)
    assert found["test_accuracy"] == 0.97 and found["train_seconds"] == 6
    falling = curve_epochs(0.5)
    falling[2] = dataclasses.replace(falling[2], val_accuracy=0.75)
    assert measure(falling, RESULT)["drops"] == pytest.approx(0.05)
    assert measure(falling, RESULT)["final_accuracy"] == 0.75
    unprobed = measure(curve_epochs(0.5, probed=False), RESULT)
    assert unprobed["initial_accuracy"] is None and unprobed["accuracy_1"] is None
    without_accuracy = [dataclasses.replace(each, accuracy=None) for each in curve_epochs(0.5)]
    assert measure(without_accuracy, RESULT)["gap"] is None


def of_many(values, key="test_accuracy"):
    return [{**dict.fromkeys(one.key for one in MEASURES), key: value} for value in values]


def test_differences_are_paired_and_corrected():
    ours, baseline = [0.95, 0.96, 0.97, 0.99], [0.94, 0.955, 0.965, 0.97]
    (found,) = differences(of_many(ours), of_many(baseline))
    test = ttest_rel(ours, baseline)
    gaps = np.subtract(ours, baseline)
    assert found.measure == "test_accuracy" and found.pairs == 4
    assert found.difference == pytest.approx(gaps.mean())
    assert found.effect_size == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert found.p_value == found.corrected_p == pytest.approx(test.pvalue)
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert not found.significant
    many = differences(
        [{**a, "area": 2 * a["test_accuracy"]} for a in of_many(ours)],
        [{**b, "area": 2 * b["test_accuracy"]} for b in of_many(baseline)],
    )
    assert [one.corrected_p for one in many] == pytest.approx([2 * test.pvalue] * 2)


def test_intervals_of_proportions_end_where_differences_do_but_estimates_may_lie_below_0():
    (found,) = differences(of_many([0.0, 0.9]), of_many([0.9, 0.0]))
    assert found.interval == (-1.0, 1.0)
    (found,) = differences(of_many([-1.5, -1.7, -1.4], "accuracy_epoch"), of_many([0.5, 0.4, 0.5], "accuracy_epoch"))
    assert found.interval[0] < found.difference < found.interval[1] < -1


def test_differences_leave_out_what_was_not_reached_and_allow_equal_pairs():
    (found,) = differences(of_many([1.0, None, 3.0]), of_many([2.0, 2.0, 5.0]))
    assert found.pairs == 2 and found.difference == -1.5
    assert differences(of_many([1.0, None]), of_many([1.0, 2.0])) == []
    (same,) = differences(of_many([0.5] * 5), of_many([0.5] * 5))
    assert (same.difference, same.effect_size, same.p_value, same.significant) == (0, 0, 1, False)
    (shifted,) = differences(of_many([0.5] * 5), of_many([0.25] * 5))
    assert shifted.effect_size == float("inf") and shifted.p_value == 2 / 32 and not shifted.significant


def test_false_alarms_are_rare_and_true_differences_are_found():
    rng = np.random.default_rng(0)
    alarms, found = 0, 0
    for _ in range(200):
        baseline = rng.normal(0.99, 0.001, (5, 8))
        ours = rng.normal(0.99, 0.001, (5, 8))
        ours[:, 0] += 0.02
        keys = [one.key for one in MEASURES[:8]]
        rows = [
            [{**of_many([None])[0], **dict(zip(keys, row, strict=True))} for row in side] for side in (ours, baseline)
        ]
        first, *others = differences(*rows)
        found += first.significant
        alarms += any(one.significant for one in others)
    assert found >= 190 and alarms <= 20


def test_a_comparison_is_written_and_read_back(tmp_path):
    found = compared()
    assert found.seeds == (0, 1, 2, 3, 4) and [one.name for one in found.initializations] == ["random", "digits"]
    (difference,) = found.differences
    assert (difference.name, difference.baseline) == ("digits", "random")
    assert all(test.p_value == 1 for test in difference.mcnemar)  # the same predictions from both
    assert [one.accuracy.mean for one in found.label_efficiency] == [0.5, 0.5]
    assert found.notes == ()
    files = comparison.write(found, tmp_path / "out")
    assert [file.name for file in files] == ["comparison.json", "comparison.png", "label-efficiency.png"]
    assert all(file.exists() for file in files)
    back = read_comparison(files[0])
    assert back.seeds == found.seeds and back.initializations == found.initializations
    # An infinite effect size is not a number in JSON.
    assert {one.measure for one in back.differences[0].measures} == {one.measure for one in difference.measures}


def test_zero_shot_recall_is_summarized_by_class(tmp_path):
    def zero_shot(seed):
        recalls = {"3": 0.5 + 0.1 * seed, "4": 1.0}
        per_class = tuple(ClassScores(name, 10, 1.0, recall, 1.0) for name, recall in recalls.items())
        return {"zero_shot_accuracy": 0.75, "zero_shot_macro_f1": 0.7, "zero_shot_per_class": per_class}

    runs = {("random", None): [initialized(tmp_path, "random", seed, 0.5, **zero_shot(seed)) for seed in (0, 1)]}
    rows = verdicts.comparison_rows(summarize("part2", runs))
    cells = {row["measure"]: row["random"] for row in rows}
    assert cells["zero-shot recall of class 3, %"] == "55.00 ± 7.07"
    assert cells["zero-shot recall of class 4, %"] == "100.00 ± 0.00"
    assert cells["zero-shot test accuracy, %"] == "75.00 ± 0.00"


def test_runs_in_different_environments_are_noted(tmp_path):
    names = ("random", "digits")
    runs = {(name, None): [initialized(tmp_path, name, seed, 0.5) for seed in (0, 1)] for name in names}
    other = runs["digits", None][1]
    other.write(dataclasses.replace(other.environment, tensorflow="2.22.0"))
    assert summarize("part2", runs).notes == ("The runs differ in the version of TensorFlow: 2.21.0, 2.22.0.",)
    assert environment_notes([Environment(), Environment()]) == []
    other.write(dataclasses.replace(other.result, sample=True))
    assert summarize("part2", runs).notes[1].startswith("This is the embedded sample")
    for of_seed, digest in zip(zip(*runs.values(), strict=True), ("older", "newer"), strict=True):
        for run in of_seed:
            run.write(dataclasses.replace(run.data, test=dataclasses.replace(run.data.data, digest=digest)))
    assert summarize("part2", runs).notes[1] == "The runs differ in the test set."


def test_runs_of_a_seed_that_were_scored_on_different_images_are_named(tmp_path):
    random, digits = (initialized(tmp_path, name, 0, 0.5) for name in ("random", "digits"))
    predictions, runs = digits.predictions(), {("random", None): [random], ("digits", None): [digits]}
    files = np.array([f"t10k[{index}]" for index in range(len(predictions.names))])
    digits.write_predictions(dataclasses.replace(predictions, names=files))  # the same images in another file
    assert summarize("part2", runs).differences[0].mcnemar[0].p_value == 1
    fewer = {name: getattr(predictions, name)[:50] for name in ("probabilities", "labels", "names", "images")}
    others = {"names": files, "images": predictions.images[::-1]}
    for changes in (fewer, others):
        digits.write_predictions(dataclasses.replace(predictions, embedded=None, features=None, **changes))
        with pytest.raises(MidasError, match=f"{digits.path}: was scored on other test images than {random.path}; del"):
            summarize("part2", runs)


def test_incomplete_epochs_are_one_line_that_names_the_run(tmp_path):
    run = initialized(tmp_path, "random", 0, 0.5)
    run.write_epochs([dataclasses.replace(each, val_loss=None) for each in run.epochs()])
    with pytest.raises(MidasError, match=r"seed-0: epoch 1 has no validation scores; delete this run, and run midas"):
        summarize("part2", {("random", None): [run]})


def test_models_are_compared_in_a_figure_and_as_json(tmp_path):
    path = comparison.write_model_comparison([cross_validation()], tmp_path / "new" / "compare-models.png")
    assert path.exists()
    (written,) = json.loads(path.with_suffix(".json").read_text())["models"]
    assert written["model"] == "compact" and written["scores"][0]["accuracy"]["mean"] == 0.9
