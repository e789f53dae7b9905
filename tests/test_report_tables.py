"""Tables: aligned, complete, and clear about what is missing."""

import dataclasses

import pytest
from fabricate import LETTERS, compared, cross_validation, predictions, result, run

from midas.files import plain
from midas.metrics import classification
from midas.records import DatasetSummary, Skipped
from midas.report import tables, verdicts
from midas.report.tables import Column, run_state, text_table


@dataclasses.dataclass
class Fruit:
    name: str
    price: float | None = None


COLUMNS = (Column("fruit", "name", text=True), Column("price", "price", "{:.2f}".format), Column("color", "color"))


def test_columns_without_a_value_are_dropped_unless_kept():
    fruits = [Fruit("apple", 1.5), Fruit("fig")]
    assert text_table(COLUMNS, fruits).splitlines() == ["fruit  price", "apple   1.50", "fig        -"]
    kept = ["fruit  price  color", "apple   1.50      -", "fig        -      -"]
    assert text_table(COLUMNS, fruits, keep_empty=True).splitlines() == kept
    assert text_table(COLUMNS, []) == "fruit  price  color"


def test_records_may_be_dicts_and_names_stay_on_their_line():
    assert text_table(COLUMNS, [{"name": "a\nb", "price": 0}]).splitlines()[1] == "a\\nb    0.00"


def test_a_grid_has_all_columns_and_tells_text_from_numbers():
    grid = tables.grid(COLUMNS, [Fruit("fig")])
    assert grid == {"headings": ["fruit", "price", "color"], "rows": [["fig", "-", "-"]], "text": [True, False, False]}
    assert tables.details(COLUMNS, Fruit("fig")) == [("fruit", "fig")]


def test_results_are_aligned_and_what_is_missing_is_marked():
    records = [
        {"part": "part1", "name": "compact", "seed": 0, "accuracy": 0.895, "accuracy_interval": [0.866, 0.9191]},
        {"part": "part2", "name": "a longer name", "seed": 10, "train_seconds": 1234.56, "sample": True, "limit": 200},
    ]
    head, first, second = tables.results_table(records).splitlines()
    assert head.split("  ")[0] == "part" and first.index("89.50") + 5 == head.index("accuracy %") + len("accuracy %")
    assert "86.60-91.91" in first and "sample, 200 images only" in second and "1235" in second
    assert " - " in second and "macro F1" not in head
    assert tables.results_table([]).startswith("part")


def test_the_state_of_a_run_is_one_record(tmp_path):
    finished = run(tmp_path)
    state = run_state(finished)
    assert (state["state"], state["parameters"], state["path"]) == ("finished", 291678, str(finished.path))
    assert state["accuracy"] == finished.result.accuracy
    (finished / "result.json").unlink()
    assert run_state(finished)["state"] == "stopped after 5 of 15 epochs"
    (finished / "experiment.json").write_text("{")
    assert run_state(finished)["state"].startswith("unreadable: ")


def test_finished_and_unfinished_runs_share_a_table(tmp_path):
    stopped = run(tmp_path, name="stopped")
    (stopped / "result.json").unlink()
    text = tables.results_table([run_state(run(tmp_path)), run_state(stopped)])
    assert "finished" in text and "stopped after 5 of 15 epochs" in text


def test_a_classification_report_lists_every_class():
    made = predictions(LETTERS, n=300)
    scores = classification.score(made.probabilities, made.labels, LETTERS)
    lines = tables.classification_report(scores).splitlines()
    names = [line.split()[0] for line in lines[1 : 1 + len(scores.per_class)]]
    assert names == [row.name for row in scores.per_class]
    assert lines[1 + len(names)].startswith("macro average") and f"{scores.macro_f1:.4f}" in lines[1 + len(names)]
    assert f"accuracy {100 * scores.accuracy:.2f} %" in lines[-4]
    assert "case ignored" in lines[-3] and "top-3" in lines[-2]
    few = dataclasses.replace(scores, case_merged_accuracy=None, top3=None)
    assert "case" not in tables.classification_report(few) and "top-3" not in tables.classification_report(few)


def test_cross_validations_have_a_line_for_each_way_to_predict():
    results = [cross_validation(networks=(1, 3)), cross_validation("deep", interval=None)]
    head, single, ensemble, deep = tables.cross_validation_table(results).splitlines()
    assert head.split("  ")[0] == "name" and "case ignored %" in head
    scores = ["90.00", "±", "1.00", "88.00-92.00", "-", "0.3000", "30.00", "32"]
    assert single.split() == ["compact", "1", "1", *scores] and ensemble.split() == ["compact", "3", "1", *scores]
    assert deep.split() == ["deep", "1", "1", "90.00", "-", "-", "0.3000", "30.00", "32"]


@pytest.mark.parametrize(("skipped", "lines"), [(0, 6), (2, 8), (25, 27)])
def test_data_are_described_with_the_images_that_were_skipped(skipped, lines):
    reasons = tuple(Skipped(f"{number}.png", "blank") for number in range(skipped))
    sizes = {"28x28": 1500, "20x20": 20, "9x9": 3, "8x8": 1}
    summary = DatasetSummary(1524, 2, {"a": 1500, "b": 24}, 24, 1500, sizes, reasons, 0.1, "0", False)
    text = tables.data_table({"mine": summary}, {"mine": "/data/mine.zip"})
    assert text.startswith("mine  (/data/mine.zip)\n") and len(text.splitlines()) == lines
    assert "images per class  24 to 1,500" in text and "28x28 (1,500), 20x20 (20), 9x9 (3) and 1 more" in text
    assert ("and 5 more (--json lists all)" in text) == (skipped == 25)


def test_models_are_listed_with_their_cost():
    records = [{"model": "compact", "parameters": 291678, "macs": 4500000}]
    assert tables.models_table(records).splitlines()[1].split() == ["compact", "291,678", "4,500,000"]


def test_a_comparison_is_a_table_and_the_outcome_of_the_tests():
    comparison = compared()
    text = verdicts.comparison_table(comparison)
    table, outcome = text.split("\n\n")
    assert len({len(line) for line in table.splitlines()}) == 1
    assert "accuracy after the first epoch, %" in table and "test accuracy with 3 images per class, %" in table
    assert "steps to 99.5 % accuracy" not in table  # no run reached it
    reached = next(line for line in table.splitlines() if line.startswith("steps to 90 %"))
    assert "(1 of 5)" in reached
    assert outcome.startswith("Pretrained on the digits of Part 1, compared with random weights:\n")
    noted = dataclasses.replace(comparison, notes=("The runs differ.",))
    assert verdicts.comparison_table(noted).endswith("\n\nThe runs differ.")


def test_a_result_as_json_makes_a_row():
    row = tables.with_note(plain(result(sample=True)))
    assert row["note"] == "sample" and tables.results_table([row]).splitlines()[1].startswith("part2  random")
