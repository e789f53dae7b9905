"""Measure how fast this machine reads, trains, predicts and starts.

    python scripts/benchmark.py            # drawings of the embedded sample
    python scripts/benchmark.py trainPart1.zip --json

Images per second are the median of three rounds on all cores; training includes augmentation. Nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

ROUNDS = 3
PAGES = 400
GLYPHS = 12_800


def seconds(action: Callable[[], Any]) -> float:
    """Time an action: the median of `ROUNDS`."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def command_seconds(*words: str) -> float:
    """Time a Python process with these arguments."""
    return seconds(lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True))


def write_sample(path: Path) -> None:
    """Write drawings of the embedded sample as an archive in the format of Part 1."""
    import cv2

    from midas.data import sample

    with zipfile.ZipFile(path, "w") as archive:
        for index in range(PAGES):
            number = index % len(sample.CHARACTERS)
            page = sample.draw(sample.CHARACTERS[number], index // len(sample.CHARACTERS))
            archive.writestr(f"Sample{number + 1:03d}/{index:04d}.png", cv2.imencode(".png", page)[1].tobytes())


def reading_rates(path: Path) -> dict[str, float]:
    """Measure pages per second, only decoded, and decoded and normalized by `datasets.read`."""
    from midas.data import datasets
    from midas.data.sources import open_source

    source = open_source(path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        decoding = seconds(lambda: list(pool.map(lambda entry: entry.read().shape, source.entries())))
    preprocessing = seconds(lambda: datasets.read(source))
    return {
        "decode_pages_per_second": source.count / decoding,
        "preprocess_pages_per_second": source.count / preprocessing,
        "preprocess_over_decode": preprocessing / decoding,
    }


def network_rates(path: Path) -> dict[str, dict[str, float]]:
    """Measure images per second in training and in prediction, for every architecture."""
    import dataclasses

    import numpy as np

    from midas.data import datasets
    from midas.data.sources import open_source
    from midas.experiments import MODEL_NAMES
    from midas.learning import input_pipeline, models
    from midas.learning.backend import set_seed
    from midas.learning.classifier import Classifier
    from midas.learning.trainer import compile_model
    from midas.recipes import PARTS
    from midas.records import Card

    set_seed(0)
    drawings = datasets.read(open_source(path))
    data = drawings.take(np.arange(GLYPHS) % len(drawings))
    rates = {}
    for name in MODEL_NAMES:
        experiment = dataclasses.replace(PARTS["part2"], model=name)
        model = models.build(name, experiment.size, len(data.class_names))
        steps = len(data) // experiment.batch_size
        compile_model(model, experiment, steps)
        with input_pipeline.feed(data, experiment, model) as stream:
            model.fit(stream, steps_per_epoch=3, verbose=0)  # traces the graph
            epoch = seconds(partial(model.fit, stream, steps_per_epoch=steps, verbose=0))
        network = Classifier((model,), Card(data.class_names, experiment.size))
        prediction = seconds(partial(network.probabilities, data.glyphs))
        rates[name] = {
            "parameters": model.count_params(),
            "macs": models.count_macs(model),
            "train_images_per_second": steps * experiment.batch_size / epoch,
            "predict_images_per_second": len(data) / prediction,
        }
    return rates


def file_rate(path: Path) -> float:
    """Measure pages per second from the archive to the prediction, as in `midas predict`."""
    from midas.data import sample
    from midas.data.sources import open_source
    from midas.learning import models
    from midas.learning.classifier import Classifier
    from midas.records import Card

    names = tuple(sample.CHARACTERS)
    network = Classifier((models.build("compact", 28, len(names)),), Card(names, 28))
    source = open_source(path)
    return source.count / seconds(lambda: list(network.predict_stream([source], lambda name, reason: None)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help="drawings to read instead of those of the embedded sample")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or Path(folder) / "sample.zip"
        if not options.data:
            write_sample(path)
        found: dict[str, Any] = {
            "help_seconds": command_seconds("-m", "midas", "--help"),
            "import_tensorflow_seconds": command_seconds("-c", "import midas, tensorflow"),
            "import_training_seconds": command_seconds("-c", "import midas.learning.trainer"),
            **reading_rates(path),
            "predict_pages_per_second": file_rate(path),
            "networks": network_rates(path),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        if name != "networks":
            print(f"{name:<32}{value:>14,.2f}")
    for name, rates in found["networks"].items():
        print(name)
        for key, value in rates.items():
            print(f"  {key:<30}{value:>14,.0f}")


if __name__ == "__main__":
    main()
