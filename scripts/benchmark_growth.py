"""Measure how time and memory of preprocessing and training grow with the number of images, and draw it.

    python scripts/benchmark_growth.py growth.png
    python scripts/benchmark_growth.py growth.png --sizes 2000000 --only preprocess --json

The images are digits of the embedded sample, each randomly deformed, in IDX files like those of MNIST. Part 2's default
network is trained for one epoch on nine tenths of them, with validation on the rest. Each size and step runs in its own
process. Only the figure is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES = (2_480, 60_000, 600_000, 2_000_000)
BLOCK = 10_000
STEPS = {"preprocess": "preprocessing", "train": "training, one epoch"}  # with titles


def write_digits(folder: Path, count: int) -> None:
    """Write this many deformed digits, with margins as MNIST's have, and their labels as IDX files."""
    import cv2
    import numpy as np

    from midas.data import sample
    from midas.data.augmentation import augment
    from midas.experiments import Augmentation

    digits, labels = sample.digits("train")
    digits = np.stack([np.pad(cv2.resize(digit, (20, 20), interpolation=cv2.INTER_AREA), 4) for digit in digits])
    indices = np.arange(count) % len(digits)
    folder.mkdir()
    header = struct.pack(">4BI", 0, 0, 8, 1, count)
    (folder / "train-labels-idx1-ubyte").write_bytes(header + bytes(labels[indices].tolist()))
    with (folder / "train-images-idx3-ubyte").open("wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, count, *digits.shape[1:]))
        for start in range(0, count, BLOCK):
            chosen = digits[indices[start : start + BLOCK]]
            file.write(augment(chosen, Augmentation(), np.random.default_rng(start)).tobytes())


def measure(step: str, folder: Path) -> dict[str, Any]:
    """Run one step in this process; `preprocess` fills the cache that `train` starts from."""
    from midas.data import datasets
    from midas.data.memmap import ImageFile
    from midas.data.sources import open_source

    start = time.perf_counter()
    data = datasets.cached(open_source(folder, "train"), 28, folder / "cache")
    if step == "train":
        from midas.learning.trainer import train
        from midas.recipes import PARTS
        from midas.runs import Run

        start = time.perf_counter()
        train(dataclasses.replace(PARTS["part2"], epochs=1), Run(folder / "run"), data)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    streamed = isinstance(data.images, ImageFile)
    return {"images": len(data), "step": step, "seconds": seconds, "peak_mb": peak, "streamed": streamed}


def measure_apart(step: str, folder: Path) -> dict[str, Any]:
    """Run one step in a new process."""
    command = [sys.executable, __file__, "--step", step, str(folder)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def draw(found: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw seconds and peak memory over the number of images."""
    from matplotlib.figure import Figure

    from midas.data.memmap import MAX_IN_MEMORY

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    for axes, key, title in zip(
        figure.subplots(1, 2), ("seconds", "peak_mb"), ("Time, s", "Peak memory, MB"), strict=True
    ):
        steps = [step for step in STEPS if any(row["step"] == step for row in found)]
        for step, mark in zip(steps, "os", strict=False):
            counts, values = zip(*((row["images"], row[key]) for row in found if row["step"] == step), strict=True)
            axes.loglog(counts, values, marker=mark, label=STEPS[step])
            if key == "seconds":
                linear = [values[-1] * count / counts[-1] for count in counts]
                axes.loglog(counts, linear, ":", color="gray", label="linear growth" if step == steps[-1] else None)
            for count, value in zip(counts, values, strict=True):
                text = f"{value:,.{int(value < 10)}f}"
                axes.annotate(text, (count, value), (0, 6), textcoords="offset points", ha="center")
        if key == "peak_mb":
            sizes = [row["images"] for row in found]
            axes.loglog(sizes, [count * 28**2 / 1e6 for count in sizes], ":", color="gray", label="the images alone")
        axes.axvline(MAX_IN_MEMORY / 28**2, color="gray", linewidth=0.8, linestyle="--", label="streamed from here on")
        axes.set(title=title, xlabel="images of 28×28")
        axes.margins(0.12)
        axes.legend()
    figure.savefig(file, dpi=110)


def table(found: Sequence[dict[str, Any]]) -> str:
    """Format the measurements as Markdown."""
    lines = ["| images | step | time | images per second | peak memory | images are |", "|---|---|---|---|---|---|"]
    for row in found:
        where = "streamed from disk" if row["streamed"] else "held in memory"
        rate = row["images"] / row["seconds"]
        shown = f"{row['seconds']:.1f} s | {rate:,.0f} | {row['peak_mb']:,.0f} MB"
        lines.append(f"| {row['images']:,} | {row['step']} | {shown} | {where} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("path", type=Path, help="the figure (PNG); with --step the folder of data")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--only", choices=STEPS, nargs="+", default=list(STEPS), help="the steps to measure")
    parser.add_argument("--step", choices=STEPS, help="run one step in this process, and print its cost")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step, options.path)))
        return
    found = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder, "data")
            write_digits(data, size)
            found += [measure_apart(step, data) for step in options.only]
    draw(found, options.path)
    print(json.dumps(found, indent=1) if options.json else table(found))


if __name__ == "__main__":
    main()
