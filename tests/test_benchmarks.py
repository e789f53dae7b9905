"""The benchmark scripts run, on little data; the numbers themselves are not tested."""

from dataclasses import replace

import benchmark
import benchmark_export
import benchmark_growth as growth
import benchmark_mnist
import benchmark_sizes
import benchmark_waste as waste
import custom_data
import numpy as np
import pytest
from benchmark_waste import Row
from tiny import dataset

from midas.recipes import PARTS


def test_waste_of_a_training_is_measured(monkeypatch):
    monkeypatch.delenv("MIDAS_CACHE_DIR", raising=False)
    rows = [*waste.fit("sample", limit=600, rounds=1, steps=2), *waste.callbacks("sample", limit=600)]
    assert len(rows) == 5 and all(0 < row.measured < 10 for row in rows)
    assert all(0 < row.measured < 1 for row in rows if row.unit == "share")


def test_speed_of_predictions_is_measured(tmp_path):
    waste.write_images(tmp_path, "sample", 40)
    assert len(list(tmp_path.iterdir())) == 40
    (row,) = waste.speed(tmp_path, rounds=1)
    assert row.measured > 0


def test_exports_are_timed_in_turns_after_warming_up():
    called = []
    names = ("Keras", "ONNX")
    found = benchmark_export.timed(
        {name: lambda each, name=name: called.append((name, each)) for name in names}, [1, 2]
    )
    assert called == [(name, each) for each in (1, 1, 2) for name in names]
    assert list(found) == list(names) and min(found.values()) >= 0
    assert benchmark_export.accuracy(0.876) == "87.60" and benchmark_export.accuracy(None) == "-"


def test_the_table_says_which_goals_are_reached():
    rows = [Row("a", 1.2, "<=", 1.15, "times"), Row("b", 0.05, "<=", 0.1, "share"), Row("c", 3.0, "<=", 4, "s")]
    assert waste.table(rows).splitlines()[2:] == [
        "| a | 1.20 | at most 1.15 | no |",
        "| b | 5.0 % | at most 10.0 % | yes |",
        "| c | 3.00 s | at most 4.00 s | yes |",
    ]


@pytest.mark.parametrize("in_memory", [2**27, 2**10])
def test_growth_is_measured_and_drawn(in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", in_memory)
    growth.write_digits(tmp_path / "data", 300)
    found = [growth.measure(step, tmp_path / "data") for step in growth.STEPS]
    assert [(row["images"], row["streamed"]) for row in found] == [(300, in_memory == 2**10)] * 2
    growth.draw([*found, *({**row, "images": 600} for row in found)], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    assert "| 300 | train |" in growth.table(found)


@pytest.mark.parametrize("step", benchmark_sizes.IN_PROCESS)
def test_what_is_done_with_many_predictions_is_measured(step, tmp_path):
    assert all(seconds > 0 for seconds in benchmark_sizes.IN_PROCESS[step](500, 3, tmp_path).values())
    probabilities, labels = benchmark_sizes.made_predictions(500, 3)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(500))
    assert 0.8 < (probabilities.argmax(axis=1) == labels).mean() < 1


def test_the_memory_that_a_tar_needs_is_measured(monkeypatch):
    monkeypatch.delitem(benchmark_sizes.COMMANDS, "predict --csv")
    (row,) = benchmark_sizes.of_images(40)
    assert row["what"] == "40 images" and row["seconds"] > 0 and row["peak_mb"] > 10


def test_rates_of_reading_and_prediction_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "PAGES", 62)
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    benchmark.write_sample(tmp_path / "sample.zip")
    assert all(rate > 0 for rate in benchmark.reading_rates(tmp_path / "sample.zip").values())
    assert benchmark.file_rate(tmp_path / "sample.zip") > 0


@pytest.mark.parametrize("contender", ["midas", "keras"])
def test_contenders_are_timed_and_scored_after_each_mark(contender, monkeypatch):
    monkeypatch.setitem(benchmark_mnist.EPOCH, "keras", 2)
    digits, marks = dataset("0123456789", 20), {"midas": [2], "keras": [2, 4]}[contender]

    def score(predict):
        predictions = predict(np.asarray(digits.images))
        assert predictions.shape == (200, 10)
        return 100 * float((predictions.argmax(1) == digits.labels).mean())

    found = benchmark_mnist.CONTENDERS[contender](digits, marks, 0, score)
    assert [mark["steps"] for mark in found] == marks
    assert all(mark["seconds"] > 0 and 0 <= mark["accuracy"] <= 100 for mark in found)


def test_training_on_own_data_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(custom_data, "SEEDS", (0, 1))
    monkeypatch.setattr(custom_data, "LETTERS", "ag")
    monkeypatch.setattr("midas.recipes.STEPS", {"default": 1})
    monkeypatch.setitem(PARTS, "custom", replace(PARTS["custom"], model="baseline"))
    data = custom_data.write_drawings(tmp_path / "few", range(2))
    found = custom_data.measure(tmp_path, "few", data, custom_data.write_drawings(tmp_path / "others", range(50, 53)))
    assert (found.images, found.test_images, found.scored) == (4, 6, "2-fold cross-validation")
    assert len(found.stated) == len(found.tested) == 2 and min(found.seconds) > 0
    assert custom_data.line(found).startswith("| few | 4 | ") and "±" in custom_data.line(found)
    few, others = custom_data.some_of_each(dataset("ABC", 10), 2, 0)
    assert np.bincount(few.labels).tolist() == [2, 2, 2] and len(others) == 24
    assert not set(few.names) & set(others.names)
    assert custom_data.scaled(0.5).rotation == 6 and custom_data.scaled(0.5).place_noise == 0.15
