"""Sections of the page: what the template is given."""

import dataclasses

from fabricate import compared, run

from midas.report.page import write_report
from midas.report.sections import _code, _comparison, _with_part
from midas.runs import find_runs


def test_names_in_backticks_are_code_and_everything_is_escaped():
    assert _code("`a<b>` & c") == "<code>a&lt;b&gt;</code> &amp; c"


def test_the_part_stands_before_the_name():
    assert _with_part("part1", "deep network") == "Part 1: deep network" and _with_part("custom", "x") == "x"


def test_a_comparison_has_curves_verdicts_and_its_table():
    shown = _comparison(compared())
    assert [each.caption.split(" of ")[0] for each in shown["figures"][:2]] == [
        "Validation error by steps",
        "Validation error by seconds",
    ]
    assert shown["seeds"] == 5 and shown["differences"][0]["significant"] and shown["grid"]["rows"]


def test_the_pretraining_is_neither_compared_nor_drawn_with_the_trainings_it_serves(tmp_path):
    run(tmp_path, "part2", "random")
    helper = run(tmp_path, "part2", "digits")
    settings = (helper / "experiment.json").read_text()
    settings = settings.replace('"data": "mnist"', '"data": "part1-digits"').replace(
        '"test": "mnist-test"', '"test": null'
    )
    (helper / "experiment.json").write_text(settings)
    helper.write(dataclasses.replace(helper.environment, data_digest="another"))
    write_report(find_runs(tmp_path), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The runs differ in the data" not in text
    assert "by steps of training: random weights" in text and "by steps of training: pretraining" not in text
