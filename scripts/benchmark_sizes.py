"""Measure what a tar of a million images, and millions of predictions, take in time and memory.

    python scripts/benchmark_sizes.py
    python scripts/benchmark_sizes.py --images 100000 --predictions 1000000x10 --audits 200000x100

The images are digits of the embedded sample, PNG files of 28x28; predictions are made at random, nine of ten right.
Each step runs in its own process. Seconds are those that all cores have worked for it, which depends less on what else
runs than the time on a clock. Nothing is kept.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DRAWN = 300  # images, of which the others are copies
BLOCK = 2**24  # probabilities that are made at once
COMMANDS = {"predict --csv": ("predict", "--csv"), "preprocess": ("preprocess", "--data")}


def write_tar(path: Path, count: int) -> None:
    """Write a tar of this many PNG files in class folders."""
    import cv2

    from midas.data import sample

    digits, labels = sample.digits("train")
    files = [cv2.imencode(".png", cv2.resize(digit, (28, 28)))[1].tobytes() for digit in digits[:DRAWN]]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for index in range(count):
            info = tarfile.TarInfo(f"{labels[index % DRAWN]}/{index:07d}.png")
            info.size = len(files[index % DRAWN])
            archive.addfile(info, io.BytesIO(files[index % DRAWN]))


def run(command: list[str]) -> tuple[float, float, bytes]:
    """Run a command: seconds of all cores, peak memory in MB, and what it printed."""
    with tempfile.TemporaryFile() as printed:
        child = subprocess.Popen([sys.executable, *command], stdout=printed, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        printed.seek(0)
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed.read()


def of_images(count: int) -> Iterator[dict[str, Any]]:
    """Measure the commands on a tar of this many images."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.tar")
        write_tar(path, count)
        for name, words in COMMANDS.items():
            cache = ["--cache-dir", f"{folder}/cache"] if words[0] == "preprocess" else []
            seconds, peak, _ = run(["-m", "midas", *words, str(path), *cache])
            yield {"what": f"{count:,} images", "step": name, "seconds": seconds, "peak_mb": peak}


def made_predictions(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Make probabilities, float32 (n, k), and labels at random."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, images)
    probabilities = np.empty((images, classes), np.float32)
    for start in range(0, images, max(1, BLOCK // classes)):
        block = probabilities[start : start + max(1, BLOCK // classes)]
        rng.random(out=block, dtype=np.float32)
        block[np.arange(len(block)), labels[start : start + len(block)]] += rng.random(len(block)) < 0.9
        block /= block.sum(axis=1, keepdims=True)
    return probabilities, labels


def score(images: int, classes: int, folder: Path) -> dict[str, float]:
    """Score and analyze predictions in this process: seconds of each."""
    from midas.data.memmap import ImageFile
    from midas.metrics import classification
    from midas.records import Predictions
    from midas.report import analysis

    probabilities, labels = made_predictions(images, classes)
    names, class_names = np.arange(images).astype("U12"), [f"class {index}" for index in range(classes)]
    with (folder / "images").open("wb") as file:
        file.truncate(images * 28**2)
    blank = ImageFile(folder / "images", (images, 28, 28))
    predictions = Predictions(probabilities, labels, names, blank)  # type: ignore[arg-type]
    return {
        "score": seconds_of(lambda: classification.score(probabilities, labels, class_names)),
        "analyze": seconds_of(lambda: analysis.analyze(predictions, class_names, [], folder / "out")),
    }


def audit(images: int, classes: int, folder: Path) -> dict[str, float]:
    """Audit the labels of predictions in this process: seconds."""
    from midas.metrics import label_noise

    probabilities, labels = made_predictions(images, classes)
    return {"audit-labels": seconds_of(lambda: label_noise.audit(probabilities, labels, independent=True))}


def seconds_of(action: Callable[[], Any]) -> float:
    """Measure the seconds of all cores that an action takes."""
    start = time.process_time()
    action()
    return time.process_time() - start


IN_PROCESS = {"score": score, "audit": audit}


def of_predictions(step: str, size: str) -> Iterator[dict[str, Any]]:
    """Measure what is done with predictions, in a new process."""
    _, peak, printed = run([__file__, "--step", step, size])
    images, classes = map(int, size.split("x"))
    for name, seconds in json.loads(printed).items():
        yield {"what": f"{images:,} x {classes:,} classes", "step": name, "seconds": seconds, "peak_mb": peak}


def main() -> None:
    """Measure and print, line by line as it is measured."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--predictions", nargs="*", default=["1000000x10", "10000000x10", "1000000x1000", "100000x10000"]
    )
    parser.add_argument("--audits", nargs="*", default=["1000000x10", "20000x1000"])
    parser.add_argument("--step", nargs=2, help="do one step in this process, and print its seconds")
    options = parser.parse_args()
    if options.step:
        step, size = options.step
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(IN_PROCESS[step](*map(int, size.split("x")), Path(folder))))
        return
    print("| what | step | CPU seconds | peak memory |\n|---|---|---|---|")
    measured = itertools.chain(
        (row for size in options.predictions for row in of_predictions("score", size)),
        (row for size in options.audits for row in of_predictions("audit", size)),
        (row for size in options.images for row in of_images(size)),
    )
    for row in measured:
        print("| {what} | {step} | {seconds:,.1f} | {peak_mb:,.0f} MB |".format(**row), flush=True)


if __name__ == "__main__":
    main()
