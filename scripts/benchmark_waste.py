"""Measure what midas spends around the arithmetic, and how soon and how fast it answers, against targets.

    python scripts/benchmark_waste.py                       # everything, on the data of MIDAS_DATA
    python scripts/benchmark_waste.py --only fit --json

Each ratio is of two things measured by turns in one run, and the median of the rounds. Nothing is kept.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

ROUNDS = 7
STEPS = 50  # of a training, in each round
IMAGES = 10_000


def took(action) -> float:
    """Time an action in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def by_turns(*actions, rounds: int) -> list[list[float]]:
    """Time actions in turn, so that what else the machine does meets all alike: for each round a list of seconds."""
    return [[took(action) for action in actions] for _ in range(rounds)]


def decode_all(source) -> list:
    """Decode a source's images on all cores, in the chunks that midas reads in, to a list of arrays."""
    entries = source.entries()
    chunks = iter(lambda: list(itertools.islice(entries, 32)), [])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [page for pages in pool.map(lambda chunk: [entry.read() for entry in chunk], chunks) for page in pages]


def decode_only(source) -> None:
    """Decode a source's images on all cores, forgetting each at once: thousands of pages would not fit."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda entry: entry.read().shape, source.entries()):
            pass


def reading(data_dir: str) -> list[tuple]:
    """Preprocessing against decoding, on Part 1's pages."""
    from midas.data import datasets

    source = datasets.find("part1", data_dir)
    rounds = by_turns(lambda: decode_only(source), lambda: datasets.read(source), rounds=3)
    ratio = statistics.median(whole / decoding for decoding, whole in rounds)
    return [("preprocessing, times pure decoding", ratio, "<=", 1.15, "times")]


def default_training(data_dir: str, limit: int | None):
    """Give Part 2's default experiment, its data and network."""
    import dataclasses

    from midas.data import datasets
    from midas.experiments import PARTS
    from midas.learning import models
    from midas.learning import trainer as training

    experiment = dataclasses.replace(PARTS["part2"], limit=limit, epochs=2)
    cache = os.environ.get("MIDAS_CACHE_DIR")
    data = datasets.load(experiment.data, data_dir, experiment.size, cache)
    training.prepare_keras(experiment.seed)
    model = models.build(experiment.model, experiment.size, len(data.class_names))
    training.compile_model(model, experiment, training._steps(data, experiment))
    return experiment, data, model


def fit(data_dir: str, limit: int | None = None, rounds: int = ROUNDS, steps: int = STEPS) -> list[tuple]:
    """`fit` as midas does it against a bare loop over arrays in memory, and what making the batches takes."""
    import dataclasses

    from midas.learning import trainer as training

    experiment, data, model = default_training(data_dir, limit)
    part, _ = training.split(data, experiment)
    size = experiment.batch_size
    arrays = [(part.images[i : i + size], part.labels[i : i + size]) for i in range(0, len(part) - size + 1, size)]
    stream = training.batches(part, experiment, model)
    strengths = experiment.augmentation, None
    with contextlib.ExitStack() as stack:
        feeds = [
            stack.enter_context(training.feed(part, dataclasses.replace(experiment, augmentation=strength), model))
            for strength in strengths
        ]

        def bare():
            for images, labels in itertools.islice(itertools.cycle(arrays), steps):
                model.train_on_batch(images, labels)

        actions = [
            bare,
            *(lambda fed=fed: model.fit(fed, steps_per_epoch=steps, shuffle=False, verbose=0) for fed in feeds),
            lambda: [next(stream) for _ in range(steps)],
        ]
        by_turns(*actions, rounds=1)  # traces the graphs
        times = by_turns(*actions, rounds=rounds)
    augmented, plain, share = (
        statistics.median(ratios)
        for ratios in zip(*((t[0] / t[1], t[0] / t[2], t[3] / t[1]) for t in times), strict=True)
    )
    return [
        ("fit, augmentation included, of a bare loop's speed", augmented, ">=", 0.95, "times"),
        ("fit without augmentation, of a bare loop's speed", plain, ">=", 0.95, "times"),
        ("making the batches, augmentation included, of an epoch", share, "<=", 0.2, "share"),
    ]


def callbacks(data_dir: str, limit: int | None = None) -> list[tuple]:
    """What of an epoch passes outside its steps: validation, checkpoints and records, in two epochs as they are."""
    import keras

    from midas.learning import trainer as training
    from midas.runs import Run

    class Clock(keras.callbacks.Callback):
        """Stands first in the list: `stepping` adds up the steps of each epoch, `began` says when each began."""

        def __init__(self):
            super().__init__()
            self.stepping, self.began = [], []

        def on_epoch_begin(self, epoch, logs=None):
            self.began.append(time.perf_counter())
            self.stepping.append(0.0)

        def on_train_batch_begin(self, batch, logs=None):
            self.step = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.stepping[-1] += time.perf_counter() - self.step

        def on_train_end(self, logs=None):
            self.began.append(time.perf_counter())

    experiment, data, _ = default_training(data_dir, limit)
    clock, plain_fit = Clock(), keras.Model.fit

    def timed_fit(model, *arguments, callbacks, **options):
        return plain_fit(model, *arguments, callbacks=[clock, *callbacks], **options)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(keras.Model, "fit", timed_fit):
        training.train(experiment, Run(Path(folder)), data)
    wholes = [end - began for began, end in itertools.pairwise(clock.began)]
    first, later = (1 - steps / whole for steps, whole in zip(clock.stepping, wholes, strict=True))
    return [
        ("validation and callbacks, of a later epoch", later, "<=", 0.1, "share"),
        ("the same, of the first, whose early steps are scored too", first, "<=", 0.1, "share"),
    ]


def write_images(folder: Path, data_dir: str, count: int) -> None:
    """Write MNIST's test images as PNG files, from the first again where there are too few."""
    import cv2

    from midas.data import datasets

    for index, entry in enumerate(
        itertools.islice(itertools.cycle(datasets.find("mnist-test", data_dir).entries()), count)
    ):
        cv2.imwrite(str(folder / f"{index:06d}.png"), entry.read())


def speed(folder: Path, rounds: int = 3) -> list[tuple]:
    """`midas predict` on a folder, but for its start, against decoding all and then asking for all at once."""
    import contextlib

    import numpy as np

    from midas.learning import models, reading
    from midas.learning.classifier import BATCH, Classifier
    from midas.runs import shipped_checkpoint

    network = Classifier.load(shipped_checkpoint())

    def in_memory():
        pages = np.stack(decode_all(reading.open_source(folder)))
        side = network.size - pages.shape[1]  # framed to the network's size, in place of preprocessing
        pages = np.pad(pages, ((0, 0), (0, side), (0, side)))
        places = np.zeros((len(pages), 5), np.float32)
        network.model.predict(models.inputs(network.model, pages, places), batch_size=BATCH, verbose=0)

    def streamed():
        for answer in reading.predict(network, [reading.open_source(folder)], print):
            print(reading.prediction_line(answer))

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        by_turns(in_memory, streamed, rounds=1)
        ratio = statistics.median(one / other for one, other in by_turns(in_memory, streamed, rounds=rounds))
    return [("predict, of the speed of decoding and model.predict", ratio, ">=", 0.5, "times")]


def predict_process(*paths: Path) -> tuple[float, float]:
    """Run `midas predict`: seconds, and the peak of its memory in MB."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "midas", "predict", *map(str, paths)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit("midas predict failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def drop_page_cache() -> bool:
    """Make the next start read everything from disk, where this user may."""
    try:
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def processes(few: Path, many: Path) -> list[tuple]:
    """First answers of fresh processes, and what memory takes for few images and many."""
    one = next(few.iterdir())
    rows = [("first answer, fresh process", statistics.median(predict_process(one)[0] for _ in range(5)), "<=", 4, "s")]
    if drop_page_cache():
        rows.append(("first answer, page cache dropped as well", predict_process(one)[0], "<=", 4, "s"))
    low, high = (predict_process(folder)[1] for folder in (few, many))
    names = (len(list(folder.iterdir())) for folder in (few, many))
    title = "peak memory for {1:,} images, times that for {0:,} ({2:,.0f} MB)".format(*names, low)
    return [*rows, (title, high / low, "<=", 1.05, "times")]


def answering(data_dir: str) -> list[tuple]:
    """All that has to do with answers."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        for place, count in ((few, IMAGES // 10), (many, IMAGES)):
            place.mkdir()
            write_images(place, data_dir, count)
        return [*processes(few, many), *speed(many)]


PARTS = {"reading": reading, "fit": fit, "callbacks": callbacks, "answering": answering}


def table(rows: list[tuple]) -> str:
    """Lay the rows out as Markdown, with verdicts."""
    lines = ["| what | measured | target | verdict |", "|---|---|---|---|"]
    for title, value, sign, target, unit in rows:
        show = "{:.1f} %".format if unit == "share" else ("{:.2f}" + (" s" if unit == "s" else "")).format
        value, target = (number * 100 if unit == "share" else number for number in (value, target))
        met = value <= target if sign == "<=" else value >= target
        words = "at most" if sign == "<=" else "at least"
        lines.append(f"| {title} | {show(value)} | {words} {show(target)} | {'met' if met else 'missed'} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [row for part in options.only or PARTS for row in PARTS[part](options.data_dir)]
    keys = ("what", "measured", "sign", "target", "unit")
    print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
