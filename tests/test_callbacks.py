import errno
from pathlib import Path

import keras
import numpy as np
import pytest

from midas.errors import MidasError
from midas.learning import models
from midas.learning.callbacks import (
    AtomicCheckpoint,
    EpochRecorder,
    ReplayPlateau,
    ReseedDropout,
    best_epoch,
    out_of_patience,
)
from midas.records import EpochRecord
from midas.runs import Run


def epochs(*losses):
    return [EpochRecord(number, val_loss=loss) for number, loss in enumerate(losses, 1)]


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_of_epochs_within_the_tolerance_the_last_is_kept(tmp_path, tolerance):
    records = epochs(1.0, 0.5, 0.9, 0.55, 0.62, 0.4, 0.49, 0.7)
    path, kept = tmp_path / "best.keras", []

    def checkpoint(**options):
        made = AtomicCheckpoint(path, tolerance, monitor="val_loss", save_best_only=True, **options)
        made.set_model(models.build("compact", 14, 2))
        return made

    best = checkpoint()
    for index, record in enumerate(records):
        if index == 3:  # interrupted and resumed
            best = checkpoint(lowest=0.5)
        best.on_epoch_end(index, {"val_loss": record.val_loss})
        if path.exists():
            kept.append(record.epoch)
            path.unlink()
    assert kept == ([1, 2, 4, 6, 7] if tolerance else [1, 2, 6])
    assert best_epoch(records, tolerance).epoch == kept[-1]


def test_without_a_validation_set_the_last_epoch_is_the_best():
    assert best_epoch([EpochRecord(1), EpochRecord(2)], 0.1).epoch == 2


def test_patience_counts_epochs_since_the_lowest_validation_loss():
    assert out_of_patience(epochs(1.0, 2.0, 3.0), 2)
    assert not out_of_patience(epochs(1.0, 2.0, 3.0), 3)
    assert not out_of_patience(epochs(1.0, 2.0, 0.5), 1)
    assert not out_of_patience(epochs(1.0, 2.0, 3.0), None)
    assert not out_of_patience([], 1) and not out_of_patience([EpochRecord(1), EpochRecord(2)], 1)


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def save(path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    model = models.build("compact", 28, 2)
    monkeypatch.setattr(model, "save", save)
    checkpoint = AtomicCheckpoint(tmp_path / "last.keras")
    checkpoint.set_model(model)
    with pytest.raises(MidasError, match=r"last\.keras: cannot be written: No space left on device; free some space"):
        checkpoint.on_epoch_end(0, {})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_below_a_folder_with_braces(tmp_path):
    folder = tmp_path / "{epoch} {x}"
    folder.mkdir()
    checkpoint = AtomicCheckpoint(folder / "last.keras")
    checkpoint.set_model(models.build("compact", 28, 2))
    checkpoint.on_epoch_end(0, {})
    assert [path.name for path in folder.iterdir()] == ["last.keras"]


def compiled(optimizer="sgd"):
    model = models.build("compact", 14, 2)
    model.compile(optimizer, "mse")
    return model


def recorder(run, records, probe=None, report=lambda record, epochs: None):
    made = EpochRecorder(run, records, None, report, probe)
    made.set_model(compiled())
    made.set_params({"steps": 2, "epochs": 5})
    return made


def test_progress_within_an_epoch_is_reported_now_and_then(tmp_path, monkeypatch):
    clock, seen = [100.0], []
    monkeypatch.setattr("midas.learning.callbacks.time.perf_counter", lambda: clock[0])
    made = EpochRecorder(Run(tmp_path), [], None, lambda record, epochs: None, moment=lambda *what: seen.append(what))
    made.set_model(compiled())
    made.set_params({"steps": 10, "epochs": 3})
    for epoch in range(2):
        made.on_epoch_begin(epoch)
        for batch in range(10):
            clock[0] += 50.0 if epoch == batch == 0 else 0.11  # the first step takes long
            made.on_train_batch_end(batch, {"loss": 2.0})
        made.on_epoch_end(epoch, {"loss": 2.0})
    assert [round(share, 1) for _, _, share in seen] == [0.3, 0.5, 0.7, 0.9, 0.1, 0.3, 0.5, 0.7, 0.9]
    assert [record.epoch for record, _, _ in seen] == 4 * [1] + 5 * [2] and {epochs for _, epochs, _ in seen} == {3}
    assert all(record.loss == 2.0 and record.epoch_seconds == pytest.approx(1.1) for record, _, _ in seen)


def test_epochs_are_recorded_with_probes_after_some_of_the_first_steps(tmp_path):
    run, records, reports = Run(tmp_path), [], []
    made = recorder(
        run,
        records,
        probe=lambda: {"val_loss": 2.0, "val_accuracy": 0.5},
        report=lambda record, epochs: reports.append((record, epochs)),
    )
    for epoch in range(2):
        made.on_epoch_begin(epoch)
        for batch in range(2):
            made.on_train_batch_end(batch)
        made.on_epoch_end(epoch, {"loss": 1.0 - epoch, "val_loss": 0.5})
    first, second = records
    assert [probe.step for probe in first.probes] == [0, 1] and [probe.step for probe in second.probes] == [3]
    assert (first.probes[0].val_loss, first.probes[0].val_accuracy) == (2.0, 0.5)
    assert (first.epoch, first.steps, second.steps) == (1, 2, 4)
    assert (first.loss, first.val_loss, first.accuracy) == (1.0, 0.5, None)
    assert run.epochs() == records and reports == [(first, 5), (second, 5)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_training_in_one_line(tmp_path, value):
    made = recorder(Run(tmp_path / "run"), [])
    made.on_epoch_begin(0)
    with pytest.raises(MidasError, match=r"run: the loss is no longer a number; .*--learning-rate"):
        made.on_epoch_end(0, {"loss": value})


def test_dropout_depends_on_seed_and_epoch_alone():
    model = compiled()

    def outputs(seed, epoch):
        callback = ReseedDropout(seed)
        callback.set_model(model)
        callback.on_epoch_begin(epoch)
        generators = [layer.seed_generator for layer in model.layers if hasattr(layer, "seed_generator")]
        states = [generator.state.numpy().tolist() for generator in generators]
        assert len({tuple(state) for state in states}) == len(states) > 1
        dropout = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
        return dropout(np.ones((4, 50), np.float32), training=True).numpy().tolist(), states

    assert outputs(0, 3) == outputs(0, 3)
    assert outputs(0, 3) != outputs(0, 4) and outputs(0, 3) != outputs(1, 3)


def test_replaying_epochs_restores_the_plateau_schedule():
    rates = []
    for stop in (None, 3):  # without and with an interruption after the third epoch
        records, model = epochs(1.0, 1.1, 1.2, 1.3, 1.4, 1.5), compiled()
        plateau = keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, 2, mode="min")
        plateau.set_model(model)
        plateau.on_train_begin()
        done = records[: stop or 0]
        if done:
            replay = ReplayPlateau(plateau, done, learning_rate=0.01)
            replay.set_model(model)
            replay.on_train_begin()
        for record in records[len(done) :]:
            plateau.on_epoch_end(record.epoch - 1, {"val_loss": record.val_loss})
        rates.append(float(model.optimizer.learning_rate))
    assert rates == [pytest.approx(0.0025), pytest.approx(0.0025)]
