"""What happens between two epochs: save whole files, record, report, and take up where a stopped run was."""

import math
import os
import time
from collections.abc import Callable

import keras
import numpy as np

from midas.errors import MidasError
from midas.experiments import PROBED
from midas.runs import Run, temporary_name, writing


class Checkpoint(keras.callbacks.ModelCheckpoint):
    """`ModelCheckpoint` that never leaves half a file under the final name.

    With `save_best_only`, an epoch is kept unless an earlier one was better by `tolerance` or more: among epochs that
    the validation loss cannot tell apart the last is the one at the lowest learning rate. As `chosen` has it.
    """

    def __init__(self, path, tolerance: float = 0.0, lowest: float = math.inf, **options):
        self.path, self.tolerance, self.temporary = path, tolerance, temporary_name(path)
        name = str(self.temporary).replace("{", "{{").replace("}", "}}")  # Keras formats it
        super().__init__(name, mode="min", initial_value_threshold=lowest, **options)

    def on_epoch_end(self, epoch, logs=None):
        lowest = self.best
        self.best += self.tolerance
        with writing(self.path):
            try:
                super().on_epoch_end(epoch, logs)
                if self.temporary.exists():
                    os.replace(self.temporary, self.path)
            finally:
                self.temporary.unlink(missing_ok=True)
        self.best = min(lowest, (logs or {}).get(self.monitor, lowest))


def chosen(records: list[dict], tolerance: float) -> dict:
    """Find the epoch whose network is used: the last that was not worse than an earlier one by `tolerance` or more.

    Where nothing was held out, it is the last.

    >>> losses = (1.0, 0.5, 0.9, 0.55, 0.8)
    >>> chosen([{"epoch": n, "val_loss": loss} for n, loss in enumerate(losses, 1)], tolerance=0.1)["epoch"]
    4
    """
    lowest, found = math.inf, records[-1]
    for record in records:
        if record.get("val_loss", math.inf) < lowest + tolerance:
            found, lowest = record, min(lowest, record["val_loss"])
    return found


class Record(keras.callbacks.Callback):
    """Append one JSON line an epoch to the run's metrics, tell the user, and stop when nothing gets better.

    Early steps are the ones that tell one start of a training from another, so some of them are recorded by themselves.

    Args:
        run: where to write.
        records: of the epochs done so far; appended to.
        patience: epochs without a better validation loss after which training stops, or None.
        report: called with (record, epochs) after each epoch.
        probe: scores the held-out images, called after each of the steps `PROBED`; None where none are held out.

    Raises:
        MidasError: the loss is not finite, so that nothing is left to be learnt.
    """

    def __init__(
        self,
        run: Run,
        records: list[dict],
        patience: int | None,
        report: Callable[[dict, int], None],
        probe: Callable[[], dict] | None = None,
    ):
        super().__init__()
        self.run, self.records, self.patience, self.report, self.probe = run, records, patience, report, probe

    def on_epoch_begin(self, epoch, logs=None):
        self.rate = float(self.model.optimizer.learning_rate)
        self.before, self.probes = epoch * self.params["steps"], []
        self.began = time.perf_counter()
        if epoch == 0:
            self._probe(0)

    def on_train_batch_end(self, batch, logs=None):
        self._probe(self.before + batch + 1)

    def _probe(self, step):
        """Score the held-out images; the clock stands still meanwhile."""
        if self.probe and step in PROBED:
            paused = time.perf_counter()
            self.probes.append({"step": step, **self.probe(), "seconds": round(paused - self.began, 3)})
            self.began += time.perf_counter() - paused

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.perf_counter() - self.began, 3)
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not all(map(math.isfinite, values.values())):
            raise MidasError(
                f"{self.run.path}: the loss is no longer a number; --overwrite with a lower --learning-rate"
            )
        steps = self.before + self.params["steps"]
        record = {"epoch": epoch + 1, **values, "learning_rate": self.rate, "steps": steps, "epoch_seconds": seconds}
        if self.probes:
            record["probes"] = self.probes
        self.records.append(record)
        self.run.append_metrics(record)
        self.model.stop_training = out_of_patience(self.records, self.patience)
        self.report(record, self.params["epochs"])


def out_of_patience(records: list[dict], patience: int | None) -> bool:
    """Whether the lowest validation loss lies at least `patience` epochs back.

    >>> out_of_patience([{"val_loss": 1.0}, {"val_loss": 2.0}, {"val_loss": 3.0}], 2)
    True
    """
    losses = [record.get("val_loss") for record in records]
    if patience is None or not losses or None in losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience


class ValidateByFolders(keras.callbacks.Callback):
    """Score held-out images by folders that say what an image is not, for the callbacks behind it in the list.

    Writes `val_loss`, the forward negative log-likelihood of the folders with the share filed right that fits it best:
    a few such images, held against a network that is sure, would drown all others. And `val_accuracy`, estimated.

    Args:
        probe: scores them, as `complementary.validate` does.
    """

    def __init__(self, probe: Callable[[], dict]):
        super().__init__()
        self.probe = probe

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.probe())


class Reseed(keras.callbacks.Callback):
    """Make an epoch's dropout depend on the seed and the epoch's number alone: checkpoints do not keep its state."""

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        generators = [layer.seed_generator for layer in self.model.layers if hasattr(layer, "seed_generator")]
        for place, generator in enumerate(generators):
            low, high = np.random.SeedSequence([self.seed, epoch, place]).generate_state(2)
            generator.state.assign([int(low), int(high)])


class Replay(keras.callbacks.Callback):
    """Bring a `ReduceLROnPlateau` to where it stood, by showing it the epochs that a resumed run has behind it.

    Keras resets that callback's memory when training begins, so this has to stand behind it in the list.
    """

    def __init__(self, plateau: keras.callbacks.ReduceLROnPlateau, records: list[dict], learning_rate: float):
        super().__init__()
        self.plateau, self.records, self.learning_rate = plateau, records, learning_rate

    def on_train_begin(self, logs=None):
        if self.records:
            self.model.optimizer.learning_rate = self.learning_rate
        for record in list(self.records):
            self.plateau.on_epoch_end(record["epoch"] - 1, dict(record))
