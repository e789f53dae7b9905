"""Time the training to an accuracy on MNIST: ours, the network of Keras's own example, and ours written in PyTorch.

    python scripts/benchmark_mnist.py --data-dir data            # five seeds, 15 minutes on two cores
    python scripts/benchmark_mnist.py --data-dir data --choose   # how long to train, by held-out images

How long each one trains for an accuracy is fixed in `LENGTHS`, beforehand: it is the shortest training after which, by
`--choose`, the held-out images of other seeds were right that often in the mean. Test images are scored when it ends.
All train on the same 54,000 images. Every training is a process of its own; the contenders take turns. The clock runs
from the call of `compile`, so that building the graph counts, and stands still while images are scored.

PyTorch trains as long as ours. Keras's example (https://keras.io/examples/vision/mnist_convnet) goes on at one rate, so
one training passes all its marks; the learning rate of ours falls to nothing at the end, so each length is a training
of its own.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

LEVELS = (98.0, 99.0, 99.4)  # per cent of the test images
EPOCH = {"midas": 211, "keras": 422, "torch": 211}  # steps, of 256 and of 128 images
# Steps to each of the levels; None where it was not reached.
LENGTHS = {
    "midas": (105, 211, 4 * 211),
    "keras": (2 * 422, 8 * 422, None),
    "torch": (105, 211, 4 * 211),
}
CANDIDATES = {
    "midas": [[steps] for steps in (60, 80, 105, 211, 633, 844)],
    "keras": [[422 * epoch for epoch in range(1, 11)]],
}
CHOOSING = 100  # is added to the seeds, when lengths are chosen


def ours(training, marks: list[int], seed: int, score: Callable) -> list[dict]:
    """Train `midas train-part2 --recipe fast` for so many steps."""
    from midas.experiments import PARTS, with_recipe
    from midas.learning import models
    from midas.learning.trainer import compile_model, feed, prepare_keras

    (steps,) = marks
    prepare_keras(seed)
    experiment = dataclasses.replace(with_recipe(PARTS["part2"], "fast"), epochs=1, seed=seed)
    model = models.build(experiment.model, experiment.size, len(training.class_names))
    with feed(training, experiment, model) as stream:
        began = time.perf_counter()
        compile_model(model, experiment, steps)
        return _timed_fit(model, began, marks, score, x=stream, steps_per_epoch=steps)


def keras_example(training, marks: list[int], seed: int, score: Callable) -> list[dict]:
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
    options = {"x": _scaled(training.images), "y": training.labels, "batch_size": 128}
    began = time.perf_counter()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return _timed_fit(model, began, marks, score, epochs=marks[-1] // EPOCH["keras"], **options)


def _scaled(images: np.ndarray) -> np.ndarray:
    return (images / 255).astype(np.float32)[..., None]


def _timed_fit(model, began: float, marks: list[int], score: Callable, **options) -> list[dict]:
    """Fit, and note seconds since the clock said `began`, and accuracy, after each of the steps in `marks`."""
    import keras

    found, takes_bytes = [], model.inputs[0].dtype == "uint8"

    class Clock(keras.callbacks.Callback):
        step = paused = 0

        def on_train_batch_end(self, batch, logs=None):
            self.step += 1
            if self.step in marks:
                seconds = time.perf_counter() - began - self.paused
                right = score(lambda images: model.predict(images if takes_bytes else _scaled(images), 1000, verbose=0))
                found.append({"steps": self.step, "seconds": seconds, "accuracy": right})
                self.paused = time.perf_counter() - began - seconds

    model.fit(**options, callbacks=[Clock()], verbose=0)
    return found


def ours_in_torch(training, marks: list[int], seed: int, score: Callable) -> list[dict]:
    """Train the same network on the same batches with the same schedule in PyTorch."""
    import math

    import torch
    from torch import nn

    from midas.experiments import PARTS, with_recipe
    from midas.learning.models import BORDER, MOMENTUM
    from midas.learning.trainer import FLOOR, WARM_UP, batches

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

    def rate(step):
        if step < warm_up:
            return FLOOR + (1 - FLOOR) * step / warm_up
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def answers(images):
        model.eval()
        with torch.no_grad():
            return torch.cat([model(part) for part in _tensor(images).split(1000)]).numpy()

    def _tensor(images):
        return torch.from_numpy(images).unsqueeze(1).float().div(255).contiguous(memory_format=torch.channels_last)

    began = time.perf_counter()
    stream = batches(training, experiment, SimpleNamespace(inputs=["glyph"]))
    for _, (images, labels) in zip(range(steps), stream, strict=False):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(_tensor(images)), torch.from_numpy(labels)).backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - began
    return [{"steps": steps, "seconds": seconds, "accuracy": score(answers)}]


CONTENDERS = {"midas": ours, "keras": keras_example, "torch": ours_in_torch}


def one(
    contender: str, marks: list[int], seed: int, data_dir: str, cache_dir: str | None, choosing: bool
) -> list[dict]:
    """Train one network in this process."""
    from midas.data.datasets import load
    from midas.experiments import PARTS
    from midas.learning.trainer import split

    training, held_out = split(
        load("mnist", data_dir, cache_dir=cache_dir), dataclasses.replace(PARTS["part2"], seed=seed)
    )
    scored = held_out if choosing else load("mnist-test", data_dir, cache_dir=cache_dir)
    return CONTENDERS[contender](
        training, marks, seed, lambda answer: 100 * float((answer(scored.images).argmax(1) == scored.labels).mean())
    )


def apart(*words) -> list[dict]:
    """Do one training in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words[0]}, seed {words[2]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: list[float], digits: int) -> str:
    """Write a mean and its standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def choose(options) -> None:
    """Print the accuracy on held-out images for every candidate length."""
    print("| contender | epochs | held-out images right | seconds |\n|---|---|---|---|")
    for contender in [name for name in options.only if name in CANDIDATES]:
        for marks in CANDIDATES[contender]:
            runs = [
                apart(contender, marks, CHOOSING + seed, options.data_dir, options.cache_dir, True)
                for seed in range(options.seeds)
            ]
            for found in zip(*runs, strict=True):
                right, seconds = ([run[key] for run in found] for key in ("accuracy", "seconds"))
                epochs = found[0]["steps"] / EPOCH[contender]
                print(f"| {contender} | {epochs:.2f} | {spread(right, 2)} % | {spread(seconds, 1)} |", flush=True)


def measure(options) -> list[dict]:
    """Train all contenders by turns; one record for each level and contender."""
    contenders = [name for name in options.only if name != "torch" or importlib.util.find_spec("torch")]
    jobs = {name: [[steps] for steps in LENGTHS[name]] for name in contenders}
    if "keras" in jobs:
        jobs["keras"] = [sorted({steps for steps in LENGTHS["keras"] if steps} | {3 * EPOCH["keras"]})]
    found = {name: {} for name in contenders}
    for seed in range(options.seeds):
        for name in contenders:
            for marks in jobs[name]:
                for mark in apart(name, marks, seed, options.data_dir, options.cache_dir, False):
                    found[name].setdefault(mark["steps"], []).append(mark)
                    print(f"seed {seed} {name}: {mark}", file=sys.stderr, flush=True)
    return [
        {"contender": name, "level": level, "steps": steps, "epochs": steps / EPOCH[name], "runs": marks}
        for name in contenders
        for steps, marks in sorted(found[name].items())
        for level in [next((level for level, at in zip(LEVELS, LENGTHS[name], strict=True) if at == steps), None)]
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--cache-dir", default=os.environ.get("MIDAS_CACHE_DIR"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, nargs="*", default=list(CONTENDERS))
    parser.add_argument("--choose", action="store_true", help="how long to train, by held-out images of other seeds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    if options.choose:
        choose(options)
        return
    found = measure(options)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("| to | contender | epochs | test images right | by seed | seconds of training |\n|---|---|---|---|---|---|")
    for record in sorted(found, key=lambda record: record["level"] or 100):
        right, seconds = ([run[key] for run in record["runs"]] for key in ("accuracy", "seconds"))
        level = f"{record['level']:.1f} %" if record["level"] else "-"
        each = ", ".join(f"{value:.2f}" for value in right)
        print(
            f"| {level} | {record['contender']} | {record['epochs']:.2f} | {spread(right, 2)} % | {each} "
            f"| {spread(seconds, 1)} |"
        )


if __name__ == "__main__":
    main()
