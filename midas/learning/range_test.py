"""The learning rate range test: which learning rates a network learns with, found in a few hundred steps.

Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3, with rates that grow
exponentially instead of linearly.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from midas.data.datasets import Dataset
from midas.errors import MidasError
from midas.experiments import Experiment
from midas.learning.backend import set_seed
from midas.learning.input_pipeline import feed, split, steps_per_epoch
from midas.learning.trainer import compile_model, initialize

LOWEST, HIGHEST = 1e-5, 10.0
STEPS = 300
MEMORY = 0.95  # of the moving average that smooths the loss
DIVERGED = 3.0  # times the lowest smoothed loss, and by at least this many nats above it: larger rates tell nothing
NEARLY_LOWEST = 0.1  # of the fall of the loss: rates count whose loss is not further above the lowest one
BELOW = 10.0  # how far the suggestion stays below the middle of these rates, where training is unstable


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: learning rate of each step, growing exponentially.
        losses: of the batch of each step, before the step.
        smoothed: moving average of the losses.
        learning_rate: the one to train with.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    learning_rate: float


def find_learning_rate(
    experiment: Experiment,
    data: Dataset,
    init_checkpoint: str | os.PathLike | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> RangeTest:
    """Train for a few hundred steps while the learning rate grows, until the loss diverges; nothing is kept.

    Args:
        experiment: what is to be trained.
        data: training set; the validation set is split off, and not used.
        init_checkpoint: what a pretrained initialization starts from.
        report: called with (done, total) steps.

    Raises:
        MidasError: the data or a checkpoint do not fit the experiment, or the loss never falls.
    """
    set_seed(experiment.seed)
    training, _ = split(data, experiment)
    model, _ = initialize(experiment, data.class_names, init_checkpoint)
    steady = replace(experiment, schedule="plateau", learning_rate=LOWEST)
    compile_model(model, steady, steps_per_epoch(training, steady))
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    losses: list[float] = []
    with feed(training, steady, model) as batches:
        for rate, (inputs, targets) in zip(rates, batches, strict=False):
            model.optimizer.learning_rate.assign(rate)
            model.reset_metrics()  # Keras gives the mean over all batches since
            losses.append(float(model.train_on_batch(inputs, targets, return_dict=True)["loss"]))
            report(len(losses), STEPS)
            if has_diverged(losses):
                break
    report(STEPS, STEPS)
    losses = losses[: next((step for step, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))]
    if len(losses) < 2:
        raise MidasError(f"{experiment.data}: the loss is not a number from the start; lower --set weight_decay")
    rates = rates[: len(losses)]
    smoothed = smooth(losses)
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed))


def smooth(losses: Sequence[float]) -> list[float]:
    """Compute the exponential moving average of losses, corrected for its start as in Adam.

    >>> smooth([2.0, 2.0, 2.0])
    [2.0, 2.0, 2.0]
    """
    averages, average = [], 0.0
    for step, loss in enumerate(losses, 1):
        average = MEMORY * average + (1 - MEMORY) * loss
        averages.append(round(average / (1 - MEMORY**step), 6))
    return averages


def has_diverged(losses: Sequence[float]) -> bool:
    """Tell whether the loss is no number any more, or its average rose far above the lowest.

    >>> has_diverged([2.0, 1.0, 0.5]), has_diverged([2.0, 1.0, math.inf])
    (False, True)
    """
    if not math.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses)
    return smoothed[-1] > max(DIVERGED * min(smoothed), min(smoothed) + math.log(DIVERGED))


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float:
    """Suggest a learning rate: a tenth of the middle of those at which the smoothed loss is nearly lowest.

    The middle is that of logarithms, and the result has two digits. Where a network learns easy data within the test,
    the loss is lowest over a wide range of rates, and its very minimum is accidental.

    >>> suggest([0.001, 0.01, 0.1, 1.0], [2.0, 1.0, 1.0, 9.0])
    0.0032
    """
    losses, lowest = np.array(smoothed), min(smoothed)
    low = np.flatnonzero(losses <= lowest + NEARLY_LOWEST * (losses[0] - lowest))
    return float(f"{math.sqrt(rates[low[0]] * rates[low[-1]]) / BELOW:.2g}")
