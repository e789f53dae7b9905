"""The scripts that measure waste and growth run, on little data; what they find is no test's business."""

import benchmark_growth as growth
import benchmark_waste as waste
import pytest


def test_waste_of_a_training_is_measured(monkeypatch):
    monkeypatch.delenv("MIDAS_CACHE_DIR", raising=False)
    rows = [*waste.fit("sample", limit=600, rounds=1, steps=2), *waste.callbacks("sample", limit=600)]
    assert len(rows) == 5 and all(0 < value < 10 for _, value, *_ in rows)
    assert all(0 < value < 1 for title, value, *_, unit in rows if unit == "share")


def test_speed_of_answers_is_measured(tmp_path):
    waste.write_images(tmp_path, "sample", 40)
    assert len(list(tmp_path.iterdir())) == 40
    ((_, value, *_),) = waste.speed(tmp_path, rounds=1)
    assert value > 0


def test_verdicts():
    lines = waste.table([("a", 1.2, "<=", 1.15, "times"), ("b", 0.05, "<=", 0.1, "share"), ("c", 3.0, "<=", 4, "s")])
    assert lines.splitlines()[2:] == [
        "| a | 1.20 | at most 1.15 | missed |",
        "| b | 5.0 % | at most 10.0 % | met |",
        "| c | 3.00 s | at most 4.00 s | met |",
    ]


@pytest.mark.parametrize("held", [2**27, 2**10])
def test_growth_is_measured_and_drawn(held, tmp_path, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.HELD", held)
    growth.write_digits(tmp_path / "data", 300)
    found = [growth.measure(step, tmp_path / "data") for step in growth.STEPS]
    assert [(row["images"], row["streamed"]) for row in found] == [(300, held == 2**10)] * 2
    growth.draw([*found, *({**row, "images": 600} for row in found)], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    assert "| 300 | train |" in growth.table(found)
