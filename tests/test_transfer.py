import dataclasses
import json

import numpy as np
import pytest
from fabricate import compared, curve_records, started
from scipy.stats import ttest_rel
from test_cli import invoke, one_line
from tiny import write_drawings, write_mnist

from midas.experiments import PARTS, STARTS
from midas.report import comparison
from midas.report.comparison import (
    MEASURES,
    compare,
    curve,
    differences,
    experiment,
    mcnemar,
    measure,
    reached,
    summarise,
)
from midas.runs import Run
from midas.studies.study import Workplace

RESULT = {"train_seconds": 6.0, "accuracy": 0.97, "macro_f1": 0.969, "log_loss": 0.1, "calibration_error": 0.01}


def test_a_curve_has_the_steps_within_epochs_and_the_time_of_those_before():
    points = curve(curve_records(0.5))
    assert [point["steps"] for point in points] == [0, 1, 3, 10, 20, 30]
    assert [point["seconds"] for point in points] == pytest.approx([0, 0.2, 0.6, 2, 4, 6])
    late = curve_records(0.5)
    late[1]["probes"] = [{"step": 15, "val_accuracy": 0.7, "val_loss": 0.4, "seconds": 1.0}]
    assert curve(late)[4] == {"steps": 15, "seconds": 3.0, "val_accuracy": 0.7, "val_loss": 0.4}


def test_when_an_accuracy_is_reached():
    points = curve(curve_records(0.5))  # 20, 60, 80, 90 % after 0, 10, 20, 30 steps
    assert reached(points, 0.6, "steps") == pytest.approx(10)
    assert reached(points, 0.7, "steps") == pytest.approx(15)
    assert reached(points, 0.7, "seconds") == pytest.approx(3)
    assert reached(points, 0.1, "steps") == 0
    assert reached(points, 0.95, "steps") is None
    dipping = [{"steps": n, "val_accuracy": a} for n, a in enumerate((0.1, 0.9, 0.5, 0.9))]
    assert reached(dipping, 0.9, "steps") == 1
    assert reached([], 0.5, "steps") is None


def test_measures_worked_out_by_hand():
    found = measure(curve_records(0.5), RESULT)
    assert list(found) == [one.key for one in MEASURES]
    assert found["start_accuracy"] == pytest.approx(0.2) and found["start_loss"] == 1
    assert found["accuracy_3"] == pytest.approx(1 - 0.8 * 0.5**0.3)
    assert found["accuracy_30"] == pytest.approx(0.9)  # an epoch's end
    assert found["accuracy_10"] == found["accuracy_epoch"] and found["accuracy_100"] is None
    assert found["steps_90"] == pytest.approx(30) and found["steps_95"] is None
    assert found["best_accuracy"] == found["final_accuracy"] == pytest.approx(0.9)
    assert found["gap"] == pytest.approx(0) and found["falls"] == 0
    heights, steps = [1 - 0.8 * 0.5 ** (s / 10) for s in (0, 1, 3, 10, 20, 30)], [0, 1, 3, 10, 20, 30]
    by_hand = sum((b - a) * (x + y) / 2 for a, b, x, y in zip(steps, steps[1:], heights, heights[1:], strict=False))
    assert found["area"] == pytest.approx(by_hand / 30)
    assert found["test_accuracy"] == 0.97 and found["train_seconds"] == 6
    falling = curve_records(0.5)
    falling[2]["val_accuracy"] = 0.75
    assert measure(falling, RESULT)["falls"] == pytest.approx(0.05)
    assert measure(falling, RESULT)["final_accuracy"] == 0.75
    unprobed = measure(curve_records(0.5, probed=False), RESULT)
    assert unprobed["start_accuracy"] is None and unprobed["accuracy_1"] is None
    without_accuracy = [{k: v for k, v in record.items() if k != "accuracy"} for record in curve_records(0.5)]
    assert measure(without_accuracy, RESULT)["gap"] is None


def of_many(values, key="test_accuracy"):
    return [{**dict.fromkeys(one.key for one in MEASURES), key: value} for value in values]


def test_differences_are_paired_and_corrected():
    ours, theirs = [0.95, 0.96, 0.97, 0.99], [0.94, 0.955, 0.965, 0.97]
    (found,) = differences(of_many(ours), of_many(theirs))
    test = ttest_rel(ours, theirs)
    gaps = np.subtract(ours, theirs)
    assert found.measure.key == "test_accuracy" and found.pairs == 4
    assert found.difference == pytest.approx(gaps.mean())
    assert found.effect == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    assert found.p_value == found.corrected == pytest.approx(test.pvalue)
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert not found.sure
    many = differences(
        [{**a, "area": 2 * a["test_accuracy"]} for a in of_many(ours)],
        [{**b, "area": 2 * b["test_accuracy"]} for b in of_many(theirs)],
    )
    assert [one.corrected for one in many] == pytest.approx([2 * test.pvalue] * 2)


def test_differences_leave_out_what_was_not_reached_and_survive_pairs_that_agree():
    (found,) = differences(of_many([1.0, None, 3.0]), of_many([2.0, 2.0, 5.0]))
    assert found.pairs == 2 and found.difference == -1.5
    assert differences(of_many([1.0, None]), of_many([1.0, 2.0])) == []
    (same,) = differences(of_many([0.5] * 5), of_many([0.5] * 5))
    assert (same.difference, same.effect, same.p_value, same.sure) == (0, 0, 1, False)
    (shifted,) = differences(of_many([0.5] * 5), of_many([0.25] * 5))
    assert shifted.effect == float("inf") and shifted.p_value == 2 / 32 and not shifted.sure


def test_false_alarms_are_rare_and_true_differences_are_found():
    rng = np.random.default_rng(0)
    alarms, found = 0, 0
    for _ in range(200):
        theirs = rng.normal(0.99, 0.001, (5, 8))
        ours = rng.normal(0.99, 0.001, (5, 8))
        ours[:, 0] += 0.02
        keys = [one.key for one in MEASURES[:8]]
        rows = [
            [{**of_many([None])[0], **dict(zip(keys, row, strict=True))} for row in side] for side in (ours, theirs)
        ]
        first, *others = differences(*rows)
        found += first.sure
        alarms += any(one.sure for one in others)
    assert found >= 190 and alarms <= 20


def test_mcnemar_by_hand():
    ours = np.array([True] * 8 + [False] * 2 + [True] * 5)
    theirs = np.array([False] * 8 + [True] * 2 + [True] * 5)
    found = mcnemar(ours, theirs)
    assert (found["only_ours"], found["only_theirs"]) == (8, 2)
    assert found["p_value"] == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(ours, ours)["p_value"] == 1


def test_a_summary_says_what_is_shown_and_what_is_not(tmp_path):
    summary = compared(tmp_path)
    assert summary["seeds"] == [0, 1, 2, 3, 4] and [one["start"] for one in summary["starts"]] == ["random", "digits"]
    (held,) = summary["differences"]
    verdicts = " ".join([*(found["verdict"] for found in held["measures"]), held["verdict"]])
    assert "Accuracy after the first epoch: higher from digits than from random; 8" in verdicts
    assert "Test accuracy: no difference can be shown; 97.0" in verdicts
    assert "Seconds of training: no difference can be shown; 7.5 against 7.5 s, difference +0.0 (" in verdicts
    assert "McNemar's test is sure of 0 in favour of digits, and of 0 in favour of random." in verdicts
    assert [record["mean"] for record in summary["few"]] == [0.5, 0.5]
    assert summary["notes"] == []
    written = comparison.write(summary, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["seeds"] == [0, 1, 2, 3, 4]
    assert all((tmp_path / "out" / name).exists() for name in ("comparison.png", "few.png"))
    text = comparison.table(written)
    assert "accuracy after the first epoch, %" in text and "test accuracy from 3 images a class, %" in text
    assert len({len(line) for line in text.split("\n\n")[0].splitlines()}) == 1


def test_few_images_are_judged_by_how_many_there_are(tmp_path):
    accuracies = {
        ("random", 1): [0.50, 0.52, 0.49],
        ("digits", 1): [0.90, 0.925, 0.89],  # nearly the same step up with each seed
        ("random", 100): [0.970, 0.975, 0.971],
        ("digits", 100): [0.972, 0.973, 0.974],
    }
    runs = {(s, None): [started(tmp_path, s, seed, 0.5) for seed in range(3)] for s in ("random", "digits")}
    for (start, count), values in accuracies.items():
        runs[start, count] = [
            started(tmp_path, start, seed, 0.5, few=count, accuracy=value) for seed, value in enumerate(values)
        ]
    summary = summarise("part2", runs)
    (held,) = summary["differences"]
    more, none = held["few"].removeprefix("By images a class: ").split("; ")
    assert more.startswith("more test images are read from digits than from random with 1 (+40.17 points, corrected p")
    assert none.startswith("no difference can be shown with 100 (+0.10 points, corrected p = 0.58)")
    alone = {key: several[:1] for key, several in runs.items()}
    assert summarise("part2", alone)["differences"][0]["few"] is None


def test_what_a_start_reads_before_training_is_told_by_class(tmp_path):
    def known(seed):
        per_class = [{"class": "3", "recall": 0.5 + 0.1 * seed}, {"class": "4", "recall": 1.0}]
        return {"zero_shot_accuracy": 0.75, "zero_shot_macro_f1": 0.7, "zero_shot_per_class": per_class}

    runs = {("random", None): [started(tmp_path, "random", seed, 0.5, **known(seed)) for seed in (0, 1)]}
    text = comparison.table(summarise("part2", runs))
    cells = dict(line.split(", %") for line in text.splitlines() if ", %" in line)
    assert cells["of the 3s, what it starts from reads"].strip() == "55.00 ± 7.07"
    assert cells["of the 4s, what it starts from reads"].strip() == "100.00 ± 0.00"
    assert cells["test accuracy of what it starts from"].strip() == "75.00 ± 0.00"


def test_runs_that_were_not_made_alike_are_noted(tmp_path):
    runs = {(start, None): [started(tmp_path, start, seed, 0.5) for seed in (0, 1)] for start in ("random", "digits")}
    path = runs["digits", None][1] / "environment.json"
    path.write_text(path.read_text().replace("2.21.0", "2.22.0"))
    assert summarise("part2", runs)["notes"] == ["The runs differ in the version of TensorFlow: 2.21.0, 2.22.0."]


def test_trainings_of_a_pair_differ_in_their_start_alone():
    for start in STARTS:
        one, other = experiment("part2", start, 3), experiment("part2", "random", 3)
        changed = {key for key, value in one.to_json().items() if value != other.to_json()[key]}
        assert changed <= {"name", "init", "source", "frozen"} and one.seed == 3
    few = experiment("part2", "digits", 0, 3)
    assert (few.limit, few.batch_size, few.val_fraction, few.epochs) == (30, 30, 0, 100)
    assert experiment("part2", "digits", 0, 10).epochs == 75
    assert experiment("part2", "digits", 0, 1000).epochs == 10
    assert experiment("part3", "part1", 0, epochs=2).epochs == 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(write_drawings(tmp_path_factory.mktemp("data")), drawings=20)


def test_compare(data, tmp_path, monkeypatch):
    for part in ("part1", "digits"):
        monkeypatch.setitem(PARTS, part, dataclasses.replace(PARTS[part], epochs=1))
    words = ["compare", "part2", "--seeds", 2, "--epochs", 1]
    words += [word for start in ("random", "digits", "part1-frozen") for word in ("--start", start)]
    first = invoke(data, tmp_path, *words, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    root = tmp_path / "comparison" / "compact-1-epochs" / "part2"
    runs = {"from-random", "from-digits", "from-part1-frozen", "digits"}
    assert {path.name for path in root.iterdir()} == {*runs, "comparison.json", "comparison.png"}
    assert (root.parent / "part1" / "compact" / "seed-1").is_dir()
    assert found["files"] == [str(root / name) for name in ("comparison.json", "comparison.png")]
    assert [start["measures"]["start_accuracy"]["n"] for start in found["starts"]] == [2, 2, 2]
    assert Run(root / "from-digits" / "seed-0").experiment.data == "mnist"
    again = invoke(data, tmp_path, *words)
    assert again.exit_code == 0 and "val loss" not in again.stderr
    assert "accuracy before any training, %" in again.stdout and "McNemar" in again.stdout
    listed = invoke(data, tmp_path, "list")
    assert "no runs yet" in listed.stdout  # a comparison's runs have a root of their own


def test_a_stopped_comparison_wants_resume(data, tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "digits", dataclasses.replace(PARTS["digits"], epochs=1))
    words = ["compare", "part3", "--seeds", 2, "--epochs", 1, "--start", "digits"]
    place = Workplace(tmp_path, str(data), data / "cache", say=lambda line: None)

    def stop(record, epochs):
        if "accuracy" not in record:  # not the digits, which are trained first
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare("part3", ["digits"], [0], dataclasses.replace(place, epoch=stop), [], False, epochs=1)
    assert "--resume" in one_line(invoke(data, tmp_path, *words))
    monkeypatch.setattr(comparison, "FEW_STEPS", 1)
    resumed = invoke(data, tmp_path, *words, "--images-a-class", 1, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert "test accuracy from 1 image a class, %" in resumed.stdout


def test_compare_wants_two_seeds_and_a_part(data, tmp_path):
    assert invoke(data, tmp_path, "compare", "part2", "--seeds", 1).exit_code == 2
    assert invoke(data, tmp_path, "compare", "part1").exit_code == 2
    assert invoke(data, tmp_path, "compare", "part2", "--start", "luck").exit_code == 2
