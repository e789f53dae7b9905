"""Time the training to an accuracy on MNIST: ours, the network of Keras's own example, and ours written in PyTorch.

    python scripts/benchmark_mnist.py --data-dir data            # five seeds, 15 minutes on two cores
    python scripts/benchmark_mnist.py --data-dir data --choose   # how long to train, by validation images

The length of each training is fixed beforehand in `LENGTHS`: the shortest one that reaches the accuracy on validation
images in the mean over other seeds (`--choose`). The test set is scored at the end. All train on the same 54,000
images. Each training runs in its own process; the contenders take turns. The clock runs from the call of `compile`, so
building the graph counts, and stops while images are scored.

PyTorch uses our lengths. Keras's example (https://keras.io/examples/vision/mnist_convnet) has a constant learning rate,
so one training passes all its lengths. Our learning rate falls to nothing at the end, so each length needs a training.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from endings import errors_in_one_line

if TYPE_CHECKING:
    import keras

    from midas.data.datasets import Dataset

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LEVELS = (98.0, 99.0, 99.4)  # test accuracy in percent
EPOCH = {"midas": 211, "keras": 422, "torch": 211}  # steps, with batches of 256 and 128 images
# Steps to each of the levels; None where it was not reached.
LENGTHS: dict[str, tuple[int | None, ...]] = {
    "midas": (105, 211, 4 * 211),
    "keras": (2 * 422, 8 * 422, None),
    "torch": (105, 211, 4 * 211),
}
CANDIDATES = {
    "midas": [[steps] for steps in (60, 80, 105, 211, 633, 844)],
    "keras": [[422 * epoch for epoch in range(1, 11)]],
}
CHOOSING = 100  # added to the seeds with which lengths are chosen

Predict = Callable[[np.ndarray], np.ndarray]  # images (n, 28, 28) to probabilities or logits (n, 10)
Score = Callable[[Predict], float]  # accuracy in percent


def ours(training: Dataset, marks: list[int], seed: int, score: Score) -> list[dict[str, Any]]:
    """Train as `midas train-part2 --recipe fast` does, for the steps in `marks`, which is one number."""
    from midas.learning import models
    from midas.learning.backend import set_seed
    from midas.learning.input_pipeline import feed
    from midas.learning.trainer import compile_model
    from midas.recipes import PARTS, with_recipe

    (steps,) = marks
    set_seed(seed)
    experiment = dataclasses.replace(with_recipe(PARTS["part2"], "fast"), epochs=1, seed=seed)
    model = models.build(experiment.model, experiment.size, len(training.class_names))
    with feed(training, experiment, model) as stream:
        start = time.perf_counter()
        compile_model(model, experiment, steps)
        return _timed_fit(model, start, marks, score, x=stream, steps_per_epoch=steps)


def keras_example(training: Dataset, marks: list[int], seed: int, score: Score) -> list[dict[str, Any]]:
    """Train the network of Keras's example with its published settings."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    stack = [
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((28, 28, 1)), *stack])
    options: dict[str, Any] = {"x": _scaled(np.asarray(training.images)), "y": training.labels, "batch_size": 128}
    start = time.perf_counter()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return _timed_fit(model, start, marks, score, epochs=marks[-1] // EPOCH["keras"], **options)


def _scaled(images: np.ndarray) -> np.ndarray:
    return (images / 255).astype(np.float32)[..., None]


def _timed_fit(
    model: keras.Model, start: float, marks: list[int], score: Score, **options: Any
) -> list[dict[str, Any]]:
    """Fit, and measure the seconds since `start` and the accuracy after each of the steps in `marks`."""
    import keras

    found: list[dict[str, Any]] = []
    takes_bytes = model.inputs[0].dtype == "uint8"

    def predict(images: np.ndarray) -> np.ndarray:
        return model.predict(images if takes_bytes else _scaled(images), 1000, verbose=0)

    class Clock(keras.callbacks.Callback):
        step, paused = 0, 0.0

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            self.step += 1
            if self.step in marks:
                seconds = time.perf_counter() - start - self.paused
                found.append({"steps": self.step, "seconds": seconds, "accuracy": score(predict)})
                self.paused = time.perf_counter() - start - seconds

    model.fit(**options, callbacks=[Clock()], verbose=0)
    return found


def ours_in_torch(training: Dataset, marks: list[int], seed: int, score: Score) -> list[dict[str, Any]]:
    """Train the same network on the same batches with the same schedule in PyTorch."""
    import math

    import torch
    from torch import nn

    from midas.learning.input_pipeline import batches
    from midas.learning.models import BORDER, MOMENTUM
    from midas.learning.trainer import MIN_RATE, WARM_UP
    from midas.recipes import PARTS, with_recipe

    (steps,) = marks
    torch.manual_seed(seed)
    experiment = dataclasses.replace(with_recipe(PARTS["part2"], "fast"), seed=seed)
    normal = {"eps": 1e-3, "momentum": 1 - MOMENTUM}
    stack = [
        nn.ZeroPad2d(-BORDER),
        *(nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(24, **normal)),
        *(nn.Conv2d(24, 48, 3), nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(48, **normal)),
        *(nn.Flatten(), nn.Linear(768, 256), nn.ReLU(), nn.BatchNorm1d(256, **normal)),
        *(nn.Dropout(0.2), nn.Linear(256, 10)),
    ]
    for layer in stack:
        if isinstance(layer, nn.Conv2d | nn.Linear):  # as Keras does
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    model = nn.Sequential(*stack).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), experiment.learning_rate, eps=1e-7)
    warm_up = max(1, round(WARM_UP * steps))

    def rate(step: int) -> float:
        if step < warm_up:
            return MIN_RATE + (1 - MIN_RATE) * step / warm_up
        return MIN_RATE + (1 - MIN_RATE) * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def predict(images: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            return torch.cat([model(part) for part in tensor(images).split(1000)]).numpy()

    def tensor(images: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images).unsqueeze(1).float().div(255).contiguous(memory_format=torch.channels_last)

    start = time.perf_counter()
    stream = batches(training, experiment, SimpleNamespace(inputs=["glyph"]))
    for _, (images, labels) in zip(range(steps), stream, strict=False):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tensor(images)), torch.from_numpy(labels)).backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start
    return [{"steps": steps, "seconds": seconds, "accuracy": score(predict)}]


CONTENDERS = {"midas": ours, "keras": keras_example, "torch": ours_in_torch}


def train(
    contender: str, marks: list[int], seed: int, data_dir: str, cache_dir: str | None, choosing: bool
) -> list[dict[str, Any]]:
    """Train one network in this process."""
    from midas.data.datasets import load
    from midas.learning.input_pipeline import split
    from midas.recipes import PARTS

    experiment = dataclasses.replace(PARTS["part2"], seed=seed)
    training, validation = split(load("mnist", data_dir, cache_dir=cache_dir), experiment)
    scored = validation if choosing else load("mnist-test", data_dir, cache_dir=cache_dir)

    def score(predict: Predict) -> float:
        return 100 * float((predict(np.asarray(scored.images)).argmax(1) == scored.labels).mean())

    return CONTENDERS[contender](training, marks, seed, score)


def train_apart(contender: str, marks: list[int], seed: int, *options: Any) -> list[dict[str, Any]]:
    """Train one network in a process of its own."""
    command = [sys.executable, __file__, "--train", json.dumps([contender, marks, seed, *options])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{contender}, seed {seed}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: Sequence[float], digits: int) -> str:
    """Write a mean and its standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def choose(options: argparse.Namespace) -> None:
    """Print the validation accuracy for every candidate length."""
    print("| contender | epochs | validation accuracy | seconds |\n|---|---|---|---|")
    for contender in [name for name in options.only if name in CANDIDATES]:
        for marks in CANDIDATES[contender]:
            runs = [
                train_apart(contender, marks, CHOOSING + seed, options.data_dir, options.cache_dir, True)
                for seed in range(options.seeds)
            ]
            for found in zip(*runs, strict=True):
                accuracies, seconds = ([run[key] for run in found] for key in ("accuracy", "seconds"))
                epochs = found[0]["steps"] / EPOCH[contender]
                print(f"| {contender} | {epochs:.2f} | {spread(accuracies, 2)} % | {spread(seconds, 1)} |", flush=True)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train all contenders in turn; one record for each level and contender."""
    contenders = [name for name in options.only if name != "torch" or importlib.util.find_spec("torch")]
    jobs = {name: [[steps] for steps in LENGTHS[name] if steps] for name in contenders}
    if "keras" in jobs:
        jobs["keras"] = [sorted({steps for steps in LENGTHS["keras"] if steps} | {3 * EPOCH["keras"]})]
    found: dict[str, dict[int, list[dict[str, Any]]]] = {name: {} for name in contenders}
    for seed in range(options.seeds):
        for name in contenders:
            for marks in jobs[name]:
                for mark in train_apart(name, marks, seed, options.data_dir, options.cache_dir, False):
                    found[name].setdefault(mark["steps"], []).append(mark)
                    print(f"seed {seed} {name}: {mark}", file=sys.stderr, flush=True)
    levels = {name: dict(zip(LENGTHS[name], LEVELS, strict=True)) for name in contenders}
    return [
        {
            "contender": name,
            "level": levels[name].get(steps),
            "steps": steps,
            "epochs": steps / EPOCH[name],
            "runs": marks,
        }
        for name in contenders
        for steps, marks in sorted(found[name].items())
    ]


@errors_in_one_line()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--cache-dir", default=os.environ.get("MIDAS_CACHE_DIR"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, nargs="*", default=list(CONTENDERS))
    parser.add_argument(
        "--choose", action="store_true", help="compare lengths of training by validation images of other seeds"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--train", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(*options.train)))
        return
    if options.choose:
        choose(options)
        return
    found = measure(options)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("| to | contender | epochs | test accuracy | by seed | seconds of training |\n|---|---|---|---|---|---|")
    for record in sorted(found, key=lambda record: record["level"] or 100):
        accuracies, seconds = ([run[key] for run in record["runs"]] for key in ("accuracy", "seconds"))
        level = f"{record['level']:.1f} %" if record["level"] else "-"
        each = ", ".join(f"{value:.2f}" for value in accuracies)
        print(
            f"| {level} | {record['contender']} | {record['epochs']:.2f} | {spread(accuracies, 2)} % | {each} "
            f"| {spread(seconds, 1)} |"
        )


if __name__ == "__main__":
    main()
