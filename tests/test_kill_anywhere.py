"""How `scripts/kill_anywhere.py` compares what jobs left."""

import json

import kill_anywhere
import numpy as np


def write(folder, loss, seconds):
    folder.mkdir()
    record = {"loss": loss, "epoch_seconds": seconds, "path": str(folder / "best.keras")}
    (folder / "result.json").write_text(json.dumps(record))
    (folder / "metrics.jsonl").write_text(f'{json.dumps(record)}\n{{"cut sho')
    np.savez(folder / "predictions.npz", labels=np.arange(3))
    return kill_anywhere.outcome(folder, folder)


def test_only_times_and_places_may_differ(tmp_path):
    first = write(tmp_path / "first", loss=0.5, seconds=1.0)
    assert set(first) == {"result.json", "metrics.jsonl", "predictions.npz"}
    assert first == write(tmp_path / "second", loss=0.5, seconds=2.0)
    assert first != write(tmp_path / "third", loss=0.4, seconds=1.0)


def test_incomplete_files_are_found_except_hidden_ones(tmp_path):
    write(tmp_path / "run", loss=0.5, seconds=1.0)
    assert kill_anywhere.broken(tmp_path) == []
    (tmp_path / ".half.json").write_text("{")
    (tmp_path / ".new").mkdir()  # as a folder is called that is not complete
    (tmp_path / ".new" / "half.json").write_text("{")
    (tmp_path / "run" / "card.json").write_text("{")
    (tmp_path / "run" / "best.keras").write_bytes(b"PK")
    assert [line.split(": ")[0].rpartition("/")[2] for line in kill_anywhere.broken(tmp_path)] == [
        "best.keras",
        "card.json",
    ]
