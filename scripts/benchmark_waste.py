"""Measure the overhead of midas around the computation, and how soon and how fast it predicts, against goals.

    python scripts/benchmark_waste.py                       # everything, on the data of MIDAS_DATA
    python scripts/benchmark_waste.py --only fit --json

Each ratio compares two things that are measured in turn, and is the median over the rounds. Nothing is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

if TYPE_CHECKING:
    import keras

    from midas.data.datasets import Dataset
    from midas.data.entries import Source
    from midas.experiments import Experiment

ROUNDS = 7
STEPS = 50  # of a training, in each round
IMAGES = 10_000
# Runs a command from a small process, as Linux counts the memory of the process that starts another one, too.
APART = """
import resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


@dataclass(frozen=True)
class Row:
    """A measurement with its goal.

    Attributes:
        what: was measured.
        measured: the value.
        sign: "<=" or ">=", how it should compare with the goal.
        goal: the value to reach.
        unit: "times" for ratios, "share" for parts of a whole, or "s".
    """

    what: str
    measured: float
    sign: str
    goal: float
    unit: str


def seconds(action: Callable[[], Any]) -> float:
    """Time an action."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(*actions: Callable[[], Any], rounds: int) -> list[list[float]]:
    """Time actions in turn, so that other load on the machine affects all alike: a list of seconds for each round."""
    return [[seconds(action) for action in actions] for _ in range(rounds)]


def decode_all(source: Source) -> list[np.ndarray]:
    """Decode the images of a source on all cores, in the chunks that midas reads."""
    entries = source.entries()
    chunks = iter(lambda: list(itertools.islice(entries, 32)), [])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [page for pages in pool.map(lambda chunk: [entry.read() for entry in chunk], chunks) for page in pages]


def decode_only(source: Source) -> None:
    """Decode the images of a source on all cores without keeping them, as thousands of pages would not fit."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda entry: entry.read().shape, source.entries()):
            pass


def reading(data_dir: str) -> list[Row]:
    """Compare preprocessing with decoding, on the pages of Part 1."""
    from midas.data import datasets

    source = datasets.open_named("part1", data_dir)
    rounds = in_turn(lambda: decode_only(source), lambda: datasets.read(source), rounds=3)
    ratio = statistics.median(whole / decoding for decoding, whole in rounds)
    return [Row("preprocessing, relative to decoding", ratio, "<=", 1.15, "times")]


def default_training(data_dir: str, limit: int | None) -> tuple[Experiment, Dataset, keras.Model]:
    """Prepare Part 2's default experiment, its data and its network."""
    from midas.data import datasets
    from midas.learning import models
    from midas.learning.backend import set_seed
    from midas.learning.input_pipeline import steps_per_epoch
    from midas.learning.trainer import compile_model
    from midas.recipes import PARTS

    experiment = dataclasses.replace(PARTS["part2"], limit=limit, epochs=2)
    data = datasets.load(experiment.data, data_dir, experiment.size, os.environ.get("MIDAS_CACHE_DIR"))
    set_seed(experiment.seed)
    model = models.build(experiment.model, experiment.size, len(data.class_names))
    compile_model(model, experiment, steps_per_epoch(data, experiment))
    return experiment, data, model


def fit(data_dir: str, limit: int | None = None, rounds: int = ROUNDS, steps: int = STEPS) -> list[Row]:
    """Compare `fit` as midas calls it with a bare loop over arrays in memory, and with making the batches."""
    from midas.learning import input_pipeline

    experiment, data, model = default_training(data_dir, limit)
    training, _ = input_pipeline.split(data, experiment)
    images, labels, size = np.asarray(training.images), training.labels, experiment.batch_size
    arrays = [(images[i : i + size], labels[i : i + size]) for i in range(0, len(training) - size + 1, size)]
    stream = input_pipeline.batches(training, experiment, model)
    plain = dataclasses.replace(experiment, augmentation=None)
    with contextlib.ExitStack() as stack:
        feeds = [stack.enter_context(input_pipeline.feed(training, each, model)) for each in (experiment, plain)]

        def bare() -> None:
            for batch in itertools.islice(itertools.cycle(arrays), steps):
                model.train_on_batch(*batch)

        actions = [
            bare,
            *(lambda fed=fed: model.fit(fed, steps_per_epoch=steps, shuffle=False, verbose=0) for fed in feeds),
            lambda: [next(stream) for _ in range(steps)],
        ]
        in_turn(*actions, rounds=1)  # traces the graphs
        times = in_turn(*actions, rounds=rounds)
    ratios = [(bare / fed, bare / unaugmented, making / fed) for bare, fed, unaugmented, making in times]
    augmented, unaugmented, share = (statistics.median(each) for each in zip(*ratios, strict=True))
    return [
        Row("speed of fit, augmentation included, relative to a bare loop", augmented, ">=", 0.95, "times"),
        Row("speed of fit without augmentation, relative to a bare loop", unaugmented, ">=", 0.95, "times"),
        Row("making the batches, augmentation included, share of an epoch", share, "<=", 0.2, "share"),
    ]


def callbacks(data_dir: str, limit: int | None = None) -> list[Row]:
    """Measure what passes outside the steps of an epoch, validation, checkpoints and records, in two epochs."""
    import keras

    from midas.learning.trainer import train
    from midas.runs import Run

    class Clock(keras.callbacks.Callback):
        """First of the callbacks: `steps` are the seconds of each epoch's steps, `starts` the times it began at."""

        def __init__(self) -> None:
            super().__init__()
            self.steps: list[float] = []
            self.starts: list[float] = []
            self.start = 0.0

        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.starts.append(time.perf_counter())
            self.steps.append(0.0)

        def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            self.steps[-1] += time.perf_counter() - self.start

        def on_train_end(self, logs: dict[str, float] | None = None) -> None:
            self.starts.append(time.perf_counter())

    experiment, data, _ = default_training(data_dir, limit)
    clock, plain_fit = Clock(), keras.Model.fit

    def timed_fit(model: keras.Model, *arguments: Any, callbacks: Sequence[Any], **options: Any) -> Any:
        return plain_fit(model, *arguments, callbacks=[clock, *callbacks], **options)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(keras.Model, "fit", timed_fit):
        train(experiment, Run(folder), data)
    epochs = [end - start for start, end in itertools.pairwise(clock.starts)]
    first, later = (1 - steps / epoch for steps, epoch in zip(clock.steps, epochs, strict=True))
    return [
        Row("validation and callbacks, share of a later epoch", later, "<=", 0.1, "share"),
        Row("the same in the first epoch, whose early steps are scored too", first, "<=", 0.1, "share"),
    ]


def write_images(folder: Path, data_dir: str, count: int) -> None:
    """Write MNIST's test images as PNG files, repeated if there are too few."""
    import cv2

    from midas.data import datasets

    entries = itertools.cycle(datasets.open_named("mnist-test", data_dir).entries())
    for index, entry in enumerate(itertools.islice(entries, count)):
        cv2.imwrite(str(folder / f"{index:06d}.png"), entry.read())


def speed(folder: Path, rounds: int = 3) -> list[Row]:
    """Compare `midas predict` on a folder, its start excluded, with decoding everything and then `model.predict`."""
    from midas.data.glyphs import Glyphs
    from midas.data.sources import open_source
    from midas.learning import models
    from midas.learning.checkpoints import shipped_checkpoint
    from midas.learning.classifier import BATCH, Classifier
    from midas.report.prediction_tables import PredictionTable

    classifier = Classifier.load(shipped_checkpoint())

    def in_memory() -> None:
        pages = np.stack(decode_all(open_source(folder)))
        side = classifier.size - pages.shape[1]  # padded to the network's size, in place of preprocessing
        glyphs = Glyphs.without_places(np.pad(pages, ((0, 0), (0, side), (0, side))))
        classifier.network.predict(models.inputs(classifier.network, glyphs), batch_size=BATCH, verbose=0)

    table = PredictionTable(max(map(len, classifier.class_names)))

    def streamed() -> None:
        for prediction in classifier.predict_stream([open_source(folder)], print):
            print(table.line(prediction))

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        in_turn(in_memory, streamed, rounds=1)
        times = in_turn(in_memory, streamed, rounds=rounds)
    ratio = statistics.median(one / other for one, other in times)
    return [Row("speed of predict, relative to decoding and model.predict", ratio, ">=", 0.5, "times")]


def predict_apart(*paths: Path) -> tuple[float, float]:
    """Run `midas predict` in a process of its own: seconds, and peak memory in MB."""
    command = [sys.executable, "-m", "midas", "predict", *map(str, paths)]
    done = subprocess.run([sys.executable, "-c", APART, *command], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit("midas predict failed")
    seconds, kilobytes = map(float, done.stdout.split())
    return seconds, kilobytes / 1024


def drop_page_cache() -> bool:
    """Make the next start read everything from disk, if this user may."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def processes(few: Path, many: Path) -> list[Row]:
    """Measure the first prediction of new processes, and the memory for few and for many images."""
    image = next(few.iterdir())
    first = statistics.median(predict_apart(image)[0] for _ in range(5))
    rows = [Row("first prediction, new process", first, "<=", 4, "s")]
    if drop_page_cache():
        rows.append(Row("the same with an empty page cache", predict_apart(image)[0], "<=", 4, "s"))
    low, high = (predict_apart(folder)[1] for folder in (few, many))
    counts = [len(list(folder.iterdir())) for folder in (few, many)]
    what = f"peak memory for {counts[1]:,} images, relative to {counts[0]:,} ({low:,.0f} MB)"
    return [*rows, Row(what, high / low, "<=", 1.05, "times")]


def prediction(data_dir: str) -> list[Row]:
    """Measure everything about predictions."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for path, count in ((few, IMAGES // 10), (many, IMAGES)):
            path.mkdir()
            write_images(path, data_dir, count)
        return [*processes(few, many), *speed(many)]


MEASUREMENTS = {"reading": reading, "fit": fit, "callbacks": callbacks, "prediction": prediction}


def table(rows: Sequence[Row]) -> str:
    """Format the rows as Markdown, and say which reach their goals."""
    lines = ["| what | measured | goal | reached |", "|---|---|---|---|"]
    for row in rows:
        show = "{:.1f} %".format if row.unit == "share" else ("{:.2f}" + (" s" if row.unit == "s" else "")).format
        scale = 100 if row.unit == "share" else 1
        reached = row.measured <= row.goal if row.sign == "<=" else row.measured >= row.goal
        bound = "at most" if row.sign == "<=" else "at least"
        measured, goal = show(scale * row.measured), show(scale * row.goal)
        lines.append(f"| {row.what} | {measured} | {bound} {goal} | {'yes' if reached else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="may be repeated")
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [row for name in options.only or MEASUREMENTS for row in MEASUREMENTS[name](options.data_dir)]
    print(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
