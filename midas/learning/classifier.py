"""From checkpoints to probabilities: the one way in which evaluate, predict and analyze ask a network, or several."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from midas.data.augmentation import views
from midas.data.memmap import Stored, blocks
from midas.data.preprocessing import NO_PLACE
from midas.errors import MidasError, cannot
from midas.experiments import Augmentation
from midas.learning import models
from midas.metrics import classification as metrics
from midas.runs import Run, read_json

BATCH = 512
UNCALIBRATED = {"temperature": 1.0, "tta_temperature": 1.0}


@dataclass(frozen=True)
class Classifier:
    """One network, or several whose probabilities are averaged, with what is needed to use them.

    Attributes:
        members: the networks, from what `models.inputs` gives to logits (n, classes).
        class_names: one name an output.
        size: side of the input in pixels.
        card: what is known about how it was made; if it has a temperature, that calibrates the probabilities, and its
            tta_temperature those averaged over views.
            Views are deformed half as far as images were in training, as its augmentation says.
        tta: how many views of each image are averaged over: itself, and deformed ones (test-time augmentation). Of
            networks that are loaded, as many as all their cards ask for; one where these differ.
    """

    members: tuple[keras.Model, ...]
    class_names: tuple[str, ...]
    size: int
    card: dict = field(default_factory=dict)
    tta: int = 1

    @property
    def model(self) -> keras.Model:
        """The network, of which there is one.

        Raises:
            MidasError: there are several.
        """
        if len(self.members) > 1:
            raise MidasError("an ensemble is for answering only; give the checkpoint of one network")
        return self.members[0]

    @property
    def temperature(self) -> float:
        """What the card says that these answers are to be calibrated with.

        Raises:
            MidasError: it is no positive number.
        """
        key = "temperature" if self.tta == 1 else "tta_temperature"
        value = self.card.get(key, 1.0)
        if not isinstance(value, int | float) or not 0 < value < math.inf:
            raise MidasError(f"the checkpoint's card: {key} must be a positive number, not {value!r}")
        return value

    @property
    def augmentation(self) -> Augmentation:
        """What the card says of the deformations in training; the usual ones where it says nothing, or that none were.

        Raises:
            MidasError: it says what cannot be.
        """
        limits = self.card.get("augmentation") or {}
        try:
            return Augmentation(**limits)
        except (TypeError, MidasError) as error:
            raise MidasError(f"the checkpoint's card: augmentation cannot be {limits!r} ({error})") from error

    @classmethod
    def load(cls, *paths: str | Path) -> "Classifier":
        """Load a run directory, a `.keras` file, a folder of several of either, or several of all these.

        Each file has its card beside it (`NAME.json` or `card.json`). The network is built from its card and takes the
        file's weights; nothing else in the file is heeded.

        Raises:
            MidasError: there is no network, it cannot be read, its card is missing, or several do not go together.
        """
        files = [file for path in paths for file in checkpoint_files(Path(path))]
        parts = [cls._load_file(file) for file in files]
        first = parts[0]
        for file, part in zip(files, parts, strict=True):
            if (part.class_names, part.size) != (first.class_names, first.size):
                raise MidasError(f"{file}: has other classes, or another input size, than {files[0]}")
        if len(parts) == 1:
            return first
        together = Path(paths[0]) / "card.json"
        card = read_json(together) if len(paths) == 1 and together.exists() else {**first.card, **UNCALIBRATED}
        tta = first.tta if all(part.tta == first.tta for part in parts) else 1
        return cls(tuple(part.model for part in parts), first.class_names, first.size, card, tta)

    @classmethod
    def _load_file(cls, file: Path) -> "Classifier":
        described = card_file(file)
        card = read_json(described)
        try:
            names, size, views = tuple(card["class_names"]), int(card["size"]), int(card.get("views", 1))
            model = models.build(card["model"], size, len(names))
            model.load_weights(file)  # the weights alone: no code of the file's is run
        except KeyError as error:
            raise MidasError(
                f"{described}: has no entry {error}, or names no network; not a checkpoint's card"
            ) from error
        except Exception as error:  # whatever Keras, h5py or zipfile make of a damaged or hostile file
            raise _not_described(file, described, error) from error
        return cls((model,), names, size, card, max(views, 1))

    def probabilities(
        self, images: np.ndarray, places: np.ndarray | None = None, allowed: np.ndarray | None = None
    ) -> np.ndarray:
        """Answer for normalised images.

        Args:
            images: uint8 array (n, size, size), in memory or on disk.
            places: float32 array (n, 5) of `preprocessing.place`; None where they are not known.
            allowed: indices of the classes that may be answered, or None for all.

        Returns:
            float32 array (n, classes); each row sums to 1.
        """
        if not len(images):
            return np.zeros((0, len(self.class_names)), np.float32)
        places = _known(places, images)
        if isinstance(images, Stored):
            parts = zip(blocks(images), blocks(places), strict=True)
            return np.concatenate([self.probabilities(*part, allowed) for part in parts])
        forbidden = [] if allowed is None else np.setdiff1d(np.arange(len(self.class_names)), allowed)
        total = np.zeros((len(images), len(self.class_names)))
        for view in views(images, self.tta, self.augmentation):
            for member in self.members:
                logits = _ask(member, view, places).astype(np.float64)
                logits[:, forbidden] = -np.inf
                with np.errstate(invalid="ignore"):  # of a training that diverged: NaN, which the caller finds out
                    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
                    total += exponentials / exponentials.sum(axis=1, keepdims=True)
        average = (total / (self.tta * len(self.members))).astype(np.float32)
        temperature = self.temperature
        return average if temperature == 1.0 else metrics.calibrate(average, temperature)

    def features(self, images: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        """Give what the last layer of the one network sees of normalised images: float32 (n, width of that layer).

        Args:
            images, places: as `probabilities` takes them.
        """
        model = self.model
        body = keras.Model(model.inputs, model.layers[-1].input)
        return body.predict(models.inputs(body, images, _known(places, images)), batch_size=BATCH, verbose=0)


def _ask(member: keras.Model, images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ask one network, as `predict` does, but without the pipeline that takes it half as long as a batch to set up."""
    starts = range(0, len(images), BATCH)
    parts = ((images[start : start + BATCH], places[start : start + BATCH]) for start in starts)
    return np.concatenate([member.predict_on_batch(models.inputs(member, *part)) for part in parts])


def _known(places: np.ndarray | None, images: np.ndarray) -> np.ndarray:
    """Give the places of images, which may be known of none."""
    return np.broadcast_to(NO_PLACE, (len(images), len(NO_PLACE))) if places is None else places


def checkpoint_files(path: Path) -> list[Path]:
    """List the files of the networks that a path stands for.

    Args:
        path: a `.keras` file, a run directory, or a folder of `.keras` files or of finished runs.

    Raises:
        MidasError: there are none.
    """
    if not path.is_dir():
        if not path.is_file():
            raise MidasError(f"{path}: no such checkpoint; train one first, 'midas list' shows what there is")
        if path.suffix != ".keras":  # Keras's older formats have no safe mode
            raise MidasError(f"{path}: not a checkpoint; give a run directory or a .keras file")
        return [path]
    one = Run(path).checkpoint
    files = [one] if one.is_file() else sorted(path.glob("[!.]*.keras"))
    files = files or [Run(found.parent).checkpoint for found in sorted(path.glob("*/result.json"))]
    if not files:
        raise MidasError(
            f"{one}: no such checkpoint; train one first, 'midas list' shows what there is "
            "(the networks of a cross-validation lie in its folds)"
        )
    return files


def load_for_training(file: Path) -> keras.Model:
    """Load a network with its loss and optimiser, to go on training.

    Raises:
        MidasError: it cannot be read.
    """
    try:
        return keras.saving.load_model(file, compile=True, safe_mode=True)
    except Exception as error:  # as above
        raise _not_described(file, card_file(file), error) from error


def card_file(file: Path) -> Path:
    """Find the card of a network's file, beside it.

    Raises:
        MidasError: there is none.
    """
    for card in (file.with_suffix(".json"), file.with_name("card.json")):
        if card.exists():
            return card
    raise MidasError(f"{file}: its card is missing (card.json or {file.stem}.json beside it)")


def _not_described(file: Path, card: Path, error: Exception) -> MidasError:
    if isinstance(error, PermissionError):
        return cannot("be read", file, error)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return MidasError(f"{file}: not the checkpoint that {card.name} describes ({reason[:200]})")
