"""Checkpoints on disk: those that ship with midas, those of runs, and how their networks are loaded."""

from __future__ import annotations

import os
from pathlib import Path

import keras

import midas
from midas.errors import MidasError, cannot
from midas.experiments import MODEL_NAMES
from midas.learning import models
from midas.records import Card
from midas.runs import Run, read_record

SHIPPED = ("part1", "part2-best", "part3-random", "part3-pretrained", "part3-best")

WAY_OUT = (
    "give a run directory or a .keras file of a network that midas trained, with its card: the card has the classes "
    "and the network"
)


def shipped_checkpoint(name: str = "part1") -> Path:
    """Find a checkpoint that ships with midas, in the installed package or in the checkout it runs from.

    Args:
        name: one of `SHIPPED`.

    Raises:
        MidasError: this installation has none.
    """
    package = Path(midas.__file__).parent
    for folder in (package / "checkpoints", package.parent / "checkpoints"):
        for path in (folder / f"{name}.keras", folder / name):
            if path.exists():
                return path
    raise MidasError(f"{name}: did not come with this installation; give a path, or install midas again")


def find_checkpoint(checkpoint: str | os.PathLike | None = None) -> Path:
    """Find a checkpoint by its path, or by the name of one that ships with midas; None finds "part1".

    Raises:
        MidasError: there is none.
    """
    if checkpoint is None:
        return shipped_checkpoint()
    path = Path(checkpoint)
    if path.exists():
        return path
    if os.fspath(checkpoint) in SHIPPED:
        return shipped_checkpoint(os.fspath(checkpoint))
    raise MidasError(
        f"{path}: no such checkpoint; give a run directory, a .keras file, or one of {', '.join(SHIPPED)} "
        "('midas list' shows the runs)"
    )


def checkpoint_files(path: Path) -> list[Path]:
    """List the files of the networks of a checkpoint.

    Args:
        path: a `.keras` file, a run directory, or a folder of `.keras` files or of finished runs.

    Raises:
        MidasError: there are none.
    """
    if not path.is_dir():
        if not path.is_file():
            raise MidasError(f"{path}: no such checkpoint; 'midas list' shows the runs")
        if path.suffix != ".keras":  # Keras's older formats have no safe mode
            what = "an HDF5 file, as older Keras wrote them" if path.suffix in (".h5", ".hdf5") else "not a checkpoint"
            raise MidasError(f"{path}: {what}; {WAY_OUT}")
        return [path]
    if any((path / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise MidasError(f"{path}: a TensorFlow SavedModel; {WAY_OUT}")
    one = Run(path).checkpoint
    files = [one] if one.is_file() else sorted(path.glob("[!.]*.keras"))
    files = files or [Run(found.parent).checkpoint for found in sorted(path.glob("*/result.json"))]
    if not files:
        raise MidasError(
            f"{one}: no such checkpoint; train a network first, 'midas list' shows the runs "
            "(the networks of a cross-validation lie in its folds)"
        )
    return files


def card_file(file: Path) -> Path:
    """Find the card of a checkpoint file, beside it.

    Raises:
        MidasError: there is none.
    """
    for card in (file.with_suffix(".json"), file.with_name("card.json")):
        if card.exists():
            return card
    raise MidasError(f"{file}: its card is missing (card.json or {file.stem}.json beside it); {WAY_OUT}")


def read_card(file: Path) -> Card:
    """Read a card.

    Raises:
        MidasError: it cannot be read, or is not the card of a checkpoint.
    """
    return read_record(file, Card, "not the card of a checkpoint")


def load_network(file: Path) -> tuple[keras.Model, Card]:
    """Load a network: built from its card, with the weights of the file; nothing else in the file is used.

    Raises:
        MidasError: the file or its card cannot be read, or they do not match.
    """
    described = card_file(file)
    card = read_card(described)
    if card.model not in MODEL_NAMES:
        raise MidasError(f"{described}: unknown model {card.model!r}; not the card of a checkpoint")
    try:
        network = models.build(card.model, card.size, len(card.class_names))
        network.load_weights(file)  # the weights alone: no code in the file runs
    except Exception as error:  # whatever Keras, h5py or zipfile raise for a damaged or hostile file
        raise _mismatch(file, described, error) from error
    return network, card


def load_for_training(file: Path) -> keras.Model:
    """Load a network with its loss and optimizer, to resume training.

    Raises:
        MidasError: it cannot be read.
    """
    try:
        return keras.saving.load_model(file, compile=True, safe_mode=True)
    except Exception as error:  # as above
        raise _mismatch(file, card_file(file), error) from error


def _mismatch(file: Path, card: Path, error: Exception) -> MidasError:
    if isinstance(error, PermissionError):
        return cannot("be read", file, error)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return MidasError(f"{file}: not the checkpoint that {card.name} describes ({reason[:200]})")
