"""The table of Part 3's runs over seeds, on fabricated runs."""

import sys

import fabricate
import part3_results
import pytest

from midas.metrics.complementary import AccuracyEstimate


def estimate(accuracy):
    bounds = (accuracy - 0.01, accuracy + 0.01)
    return AccuracyEstimate(100, accuracy, bounds, 0.0, accuracy + 0.1, (accuracy + 0.09, accuracy + 0.11))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fabricate.run(root, "part2")
    for seed, accuracy in enumerate((0.70, 0.80)):
        fabricate.run(
            root,
            "part3",
            "random-complementary",
            seed,
            accuracy=accuracy,
            argmin_accuracy=0.01,
            estimate=estimate(0.70),
            train_seconds=90.0,
        )
    return root


def test_summarizes_runs_over_seeds(root, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["part3_results.py", "--runs-dir", str(root)])
    part3_results.main()
    head, _, part2, part3 = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    assert part2[0] == "part2, random" and len(part2) == len(part3) == len(head)
    row = dict(zip(head, part3, strict=True))
    assert row["run"] == "part3, random-complementary" and row["seeds"] == "0, 1"
    assert (row["test accuracy"], row["lowest-highest"]) == ("75.00 ± 7.07 %", "70.00-80.00 %")
    assert row["by smallest output"] == "1.00 ± 0.00 %"
    assert row["estimated accuracy"] == "70.00 ± 0.00 % (1 of 2)"
    assert row["adjusted for correctly labeled images"] == "80.00 ± 0.00 % (1 of 2)"
    assert (row["estimated after epoch 1"], row["epochs to 95 %"]) == ("10.00 ± 0.00 %", "-, -")
    assert row["minutes"] == "1.5"


def test_without_a_finished_run_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["part3_results.py", "--runs-dir", str(tmp_path)])
    with pytest.raises(SystemExit, match="no finished run"):
        part3_results.main()
