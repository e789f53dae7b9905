"""Compare a network with its exports: size, accuracy, and milliseconds per glyph on one core.

    python scripts/benchmark_export.py                       # part1 on drawings of the embedded sample
    python scripts/benchmark_export.py --checkpoint part2-best --data data/mnist

Accuracy is that of all glyphs, except those by which int8 chose its ranges. Times are medians over glyphs that are
given one by one, and over batches, of which the formats take turns. Nothing is kept.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH = 250
FORMATS = {"ONNX": ("onnx", False), "LiteRT": ("litert", False), "LiteRT int8": ("litert", True)}


def measure(checkpoint: str, data: str | None, rounds: int, folder: Path) -> list[list[str]]:
    """Export a network in all formats and measure each: one row per format.

    Args:
        checkpoint: the network, as `midas.load` takes it.
        data: labeled images; None takes the embedded sample.
        rounds: glyphs per format, and at most a twentieth of it batches.
        folder: where to export to.
    """
    import midas
    from midas.learning import export
    from midas.learning.checkpoints import checkpoint_files, find_checkpoint

    network = midas.load(checkpoint)
    dataset = midas.load_dataset(data, size=network.size, split="test") if data else None
    glyphs = (dataset or midas.load_dataset("sample", size=network.size)).glyphs[:BATCH]
    contenders: dict[str, Callable[[Any], Any]] = {"Keras": network.probabilities}
    size = sum(file.stat().st_size for file in checkpoint_files(find_checkpoint(checkpoint)))
    cells = {"Keras": [f"{size / 1e6:.2f}"]}
    for name, (export_format, int8) in FORMATS.items():
        out = folder / name
        found = export.export(network, export_format, out, int8, dataset, data or "sample")
        contenders[name] = export.load_exported(out / export.FILES[export_format], export_format, threads=1)
        if not int8:  # which is compared on fewer glyphs
            cells["Keras"][1:] = [accuracy(found.keras_accuracy), "0"]
        cells[name] = [f"{found.bytes / 1e6:.2f}", accuracy(found.accuracy), f"{found.largest_difference:.1g}"]
    single = timed(contenders, [glyphs[i % BATCH : i % BATCH + 1] for i in range(rounds)])
    together = timed(contenders, [glyphs] * max(3, rounds // 20))
    return [[name, *cells[name], f"{single[name]:.2f}", f"{together[name] / BATCH:.3f}"] for name in contenders]


def accuracy(value: float | None) -> str:
    """Print an accuracy as percent."""
    return "-" if value is None else f"{100 * value:.2f}"


def timed(contenders: dict[str, Callable[[Any], Any]], inputs: list[Any]) -> dict[str, float]:
    """Time all contenders on each input in turns, after one round of warming up: medians in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for each in [inputs[0], *inputs]:
        for name, run in contenders.items():
            began = time.perf_counter()
            run(each)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    """Measure on one core and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkpoint", default="part1")
    parser.add_argument("--data", help="labeled images instead of the embedded sample")
    parser.add_argument("--rounds", type=int, default=400, help="glyphs to time")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before TensorFlow starts its threads
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options.checkpoint, options.data, options.rounds, Path(folder))
    titles = ("", "MB", "accuracy %", "largest difference", "ms per glyph", f"in batches of {BATCH}")
    for row in (titles, ["---"] * len(titles), *rows):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
