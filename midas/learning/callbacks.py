"""Keras callbacks: complete checkpoints, epoch records, and exact resumption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from midas.errors import MidasError
from midas.experiments import PROBE_STEPS
from midas.files import temporary_name, writing
from midas.records import EpochRecord, Probe
from midas.runs import Run

Logs = dict[str, Any] | None
MOMENT = 0.2  # seconds between two reports within an epoch


class AtomicCheckpoint(keras.callbacks.ModelCheckpoint):
    """`ModelCheckpoint` that never leaves an incomplete file under the final name.

    With `save_best_only`, an epoch is saved unless an earlier one was better by `tolerance` or more: of epochs whose
    validation losses do not differ, the last has the lowest learning rate. `best_epoch` finds the same epoch.

    Args:
        path: of the checkpoint.
        tolerance: by how much a value must be lower to count as better.
        lowest: lowest value so far.
        interval: seconds that must have passed since the last one was saved, unless the training ends. For tiny data,
            saving takes ten times as long as training an epoch.
        **options: of `ModelCheckpoint`.
    """

    best: float

    def __init__(
        self, path: Path, tolerance: float = 0.0, lowest: float = math.inf, interval: float = 0.0, **options: Any
    ) -> None:
        self.path, self.tolerance, self.temporary = path, tolerance, temporary_name(path)
        self.interval, self.saved = interval, time.monotonic()
        name = str(self.temporary).replace("{", "{{").replace("}", "}}")  # Keras formats it
        super().__init__(name, mode="min", initial_value_threshold=lowest, **options)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Save the network, if it is to be saved."""
        if self._is_too_soon(epoch):
            return
        lowest = self.best
        self.best += self.tolerance
        with writing(self.path):
            try:
                super().on_epoch_end(epoch, logs)
                if self.temporary.exists():
                    self.temporary.replace(self.path)
            finally:
                self.temporary.unlink(missing_ok=True)
        self.best = min(lowest, (logs or {}).get(self.monitor, lowest))
        self.saved = time.monotonic()

    def _is_too_soon(self, epoch: int) -> bool:
        if time.monotonic() - self.saved >= self.interval:
            return False
        return epoch + 1 < self.params["epochs"] and not self.model.stop_training


def best_epoch(records: Sequence[EpochRecord], tolerance: float) -> EpochRecord:
    """Find the epoch whose network is used: the last that was not worse than an earlier one by `tolerance` or more.

    Without a validation set it is the last.

    >>> losses = (1.0, 0.5, 0.9, 0.55, 0.8)
    >>> best_epoch([EpochRecord(n, val_loss=loss) for n, loss in enumerate(losses, 1)], tolerance=0.1).epoch
    4
    """
    lowest, found = math.inf, records[-1]
    for record in records:
        if record.val_loss is not None and record.val_loss < lowest + tolerance:
            found, lowest = record, min(lowest, record.val_loss)
    return found


def out_of_patience(records: Sequence[EpochRecord], patience: int | None) -> bool:
    """Tell whether the lowest validation loss was at least `patience` epochs ago; None never runs out.

    >>> out_of_patience([EpochRecord(1, val_loss=1.0), EpochRecord(2, val_loss=2.0), EpochRecord(3, val_loss=3.0)], 2)
    True
    """
    losses = [record.val_loss for record in records if record.val_loss is not None]
    if patience is None or not losses or len(losses) < len(records):
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience


class EpochRecorder(keras.callbacks.Callback):
    """Record each epoch in the run, report it, and stop a training that no longer improves.

    The first steps distinguish initializations, so the validation set is also scored after some of them.

    Args:
        run: where to record.
        records: epochs trained so far; appended to.
        patience: epochs without a lower validation loss before training stops, or None.
        report: called with (record, epochs) after each epoch.
        probe: scores the validation set, called after each of `PROBE_STEPS`; None without a validation set.
        moment: called a few times per second with what is known of the epoch, among it the seconds that it will take,
            the number of epochs, and the fraction of the epoch that is done.

    Raises:
        MidasError: the loss is not finite.
    """

    def __init__(
        self,
        run: Run,
        records: list[EpochRecord],
        patience: int | None,
        report: Callable[[EpochRecord, int], None],
        probe: Callable[[], dict[str, float]] | None = None,
        moment: Callable[[EpochRecord, int, float], None] = lambda record, epochs, share: None,
    ) -> None:
        super().__init__()
        self.run, self.records, self.patience, self.report, self.probe = run, records, patience, report, probe
        self.moment, self.told = moment, 0.0
        self.first: tuple[int, float] | None = None  # number and time of a step

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Start the clock."""
        self.learning_rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.steps_before, self.probes = epoch * self.params["steps"], list[Probe]()
        self.began = time.perf_counter()
        if epoch == 0:
            self._probe_after(0)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Score the validation set after some of the first steps, and report how far the epoch is."""
        self._probe_after(self.steps_before + batch + 1)
        if batch + 1 < self.params["steps"] and time.perf_counter() - self.told > MOMENT:
            self._tell(batch + 1, (logs or {}).get("loss"))

    def _tell(self, step: int, loss: float | None) -> None:
        """Report how far the epoch is; the time by the steps since the first one, in which TensorFlow traces."""
        self.told, steps, done = time.perf_counter(), self.params["steps"], self.steps_before + step
        if self.first is None:
            self.first = done, self.told
        else:
            seconds = steps * (self.told - self.first[1]) / (done - self.first[0])
            record = EpochRecord(1 + self.steps_before // steps, loss, epoch_seconds=seconds)
            self.moment(record, self.params["epochs"], step / steps)

    def _probe_after(self, step: int) -> None:
        """Score the validation set, if it is time; the clock is paused meanwhile."""
        if self.probe and step in PROBE_STEPS:
            paused = time.perf_counter()
            self.probes.append(Probe(step, **self.probe(), seconds=round(paused - self.began, 3)))
            self.began += time.perf_counter() - paused

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Record the epoch."""
        seconds = round(time.perf_counter() - self.began, 3)
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, values.values())):
            raise MidasError(
                f"{self.run.path}: the loss is no longer a number; lower the --learning-rate and --overwrite the run"
            )
        record = EpochRecord(
            epoch=epoch + 1,
            **{name: values.get(name) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
            learning_rate=self.learning_rate,
            steps=self.steps_before + self.params["steps"],
            epoch_seconds=seconds,
            probes=tuple(self.probes),
        )
        self.records.append(record)
        self.run.append_epoch(record)
        self.model.stop_training = out_of_patience(self.records, self.patience)
        self.report(record, self.params["epochs"])


class ReseedDropout(keras.callbacks.Callback):
    """Make dropout depend on the seed and the epoch alone, as checkpoints do not keep the state of its generator."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Seed the generators."""
        generators = [layer.seed_generator for layer in self.model.layers if hasattr(layer, "seed_generator")]
        for index, generator in enumerate(generators):
            low, high = np.random.SeedSequence([self.seed, epoch, index]).generate_state(2)
            generator.state.assign([int(low), int(high)])


class ReplayPlateau(keras.callbacks.Callback):
    """Restore a `ReduceLROnPlateau` by showing it the epochs that a resumed run has behind it.

    Keras resets that callback when training begins, so this one must come after it in the list.

    Args:
        plateau: the callback to restore.
        records: epochs trained so far.
        learning_rate: initial learning rate.
    """

    def __init__(
        self, plateau: keras.callbacks.ReduceLROnPlateau, records: list[EpochRecord], learning_rate: float
    ) -> None:
        super().__init__()
        self.plateau, self.records, self.learning_rate = plateau, records, learning_rate

    def on_train_begin(self, logs: Logs = None) -> None:
        """Replay the epochs."""
        if self.records:
            self.model.optimizer.learning_rate = self.learning_rate
        for record in self.records:
            self.plateau.on_epoch_end(record.epoch - 1, {**vars(record)})  # to which Keras adds the learning rate
