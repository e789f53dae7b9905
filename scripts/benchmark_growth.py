"""Measure how time and memory of preprocessing and training grow with the number of images, and draw it.

    python scripts/benchmark_growth.py growth.png

The images are digits of the embedded sample, each deformed in its own way, in IDX files as MNIST's are. Trained is
Part 2's default network, for one epoch on nine tenths of them, with the validation on the rest. Each size and step has
a process of its own. Nothing else is kept.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (2_480, 60_000, 600_000)
BLOCK = 10_000
STEPS = ("preprocess", "train")


def write_digits(folder: Path, count: int) -> None:
    """Write so many deformed digits and their labels as IDX files."""
    import numpy as np

    from midas.data import sample
    from midas.data.augmentation import augment
    from midas.experiments import Augmentation

    digits, labels = sample.digits("train")
    which = np.arange(count) % len(digits)
    folder.mkdir()
    (folder / "train-labels-idx1-ubyte").write_bytes(
        struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(labels[which].tolist())
    )
    with (folder / "train-images-idx3-ubyte").open("wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, count, *digits.shape[1:]))
        for start in range(0, count, BLOCK):
            chosen = digits[which[start : start + BLOCK]]
            file.write(augment(chosen, Augmentation(), np.random.default_rng(start)).tobytes())


def measure(step: str, folder: Path) -> dict:
    """Do one step in this process; `preprocess` fills the cache that `train` starts from."""
    from midas.data import datasets

    if step == "train":
        import dataclasses

        from midas.experiments import PARTS
        from midas.learning import trainer as training
        from midas.runs import Run
    began = time.perf_counter()
    data = datasets.cached(datasets.open_source(folder, "train"), 28, folder / "cache")
    if step == "train":
        began = time.perf_counter()
        training.train(dataclasses.replace(PARTS["part2"], epochs=1), Run(folder / "run"), data)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    streamed = isinstance(data.images, datasets.Stored)
    return {"images": len(data), "step": step, "seconds": seconds, "peak_mb": peak, "streamed": streamed}


def apart(step: str, folder: Path) -> dict:
    """Do one step in a fresh process."""
    command = [sys.executable, __file__, "--step", step, str(folder)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def draw(found: list[dict], file: Path) -> None:
    """Draw seconds and peak memory over the number of images."""
    from matplotlib.figure import Figure

    from midas.data.memmap import HELD

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    for axes, key, title in zip(
        figure.subplots(1, 2), ("seconds", "peak_mb"), ("Time, s", "Peak memory, MB"), strict=True
    ):
        for step, mark in zip(STEPS, "os", strict=True):
            counts, values = zip(*((row["images"], row[key]) for row in found if row["step"] == step), strict=True)
            axes.loglog(
                counts, values, marker=mark, label={"preprocess": "preprocessing", "train": "training, one epoch"}[step]
            )
            if key == "seconds":
                straight = [values[-1] * count / counts[-1] for count in counts]
                axes.loglog(counts, straight, ":", color="grey", label="in proportion" if step == "train" else None)
            for count, value in zip(counts, values, strict=True):
                axes.annotate(
                    f"{value:,.{int(value < 10)}f}", (count, value), (0, 6), textcoords="offset points", ha="center"
                )
        if key == "peak_mb":
            sizes = [row["images"] for row in found]
            axes.loglog(sizes, [count * 28**2 / 1e6 for count in sizes], ":", color="grey", label="the images alone")
        axes.axvline(HELD / 28**2, color="grey", linewidth=0.8, linestyle="--", label="from here on streamed")
        axes.set(title=title, xlabel="images of 28×28")
        axes.margins(0.12)
        axes.legend()
    figure.savefig(file, dpi=110)


def table(found: list[dict]) -> str:
    """Lay out what was found as Markdown."""
    lines = ["| images | step | time | images/s | peak memory | images are |", "|---|---|---|---|---|---|"]
    for row in found:
        where = "streamed from disk" if row["streamed"] else "held in memory"
        rate = row["images"] / row["seconds"]
        shown = f"{row['seconds']:.1f} s | {rate:,.0f} | {row['peak_mb']:,.0f} MB"
        lines.append(f"| {row['images']:,} | {row['step']} | {shown} | {where} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the figure (PNG); with --step the folder of data")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--step", choices=STEPS, help="do one step in this process, and print what it took")
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
            found += [apart(step, data) for step in STEPS]
    draw(found, options.path)
    print(json.dumps(found, indent=1) if options.json else table(found))


if __name__ == "__main__":
    main()
