"""From a checkpoint to probabilities: the one way in which evaluate, predict and analyze ask a network."""

from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from midas import models
from midas.errors import MidasError
from midas.runs import Run, read_json

BATCH = 512


@dataclass(frozen=True)
class Classifier:
    """A network with what is needed to use it.

    Attributes:
        model: from uint8 (n, size, size) to logits (n, classes).
        class_names: one name an output.
        size: side of its input in pixels.
        card: what is known about how it was made.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    size: int
    card: dict = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path, compile: bool = False) -> "Classifier":
        """Load a run directory or a `.keras` file with its card beside it (`NAME.json` or `card.json`).

        The network is built from its card and takes the file's weights; nothing else in the file is heeded.

        Args:
            path: the directory or file.
            compile: restore loss and optimiser too, to go on training.

        Raises:
            MidasError: there is no network, it cannot be read, or its card is missing.
        """
        path = Path(path)
        file = Run(path).checkpoint if path.is_dir() else path
        if not file.is_file():
            raise MidasError(f"{file}: no such checkpoint; train one first, 'midas list' shows what there is")
        if file.suffix != ".keras":  # Keras's older formats have no safe mode
            raise MidasError(f"{file}: not a checkpoint; give a run directory or a .keras file")
        cards = [card for card in (file.with_suffix(".json"), file.with_name("card.json")) if card.exists()]
        if not cards:
            raise MidasError(f"{file}: its card is missing (card.json or {file.stem}.json beside it)")
        card = read_json(cards[0])
        try:
            names, size = tuple(card["class_names"]), int(card["size"])
            if compile:
                model = keras.saving.load_model(file, compile=True, safe_mode=True)
            else:  # the weights alone: no code of the file's is run, and older and newer Keras read them alike
                model = models.build(card["model"], size, len(names))
                model.load_weights(file)
        except KeyError as error:
            raise MidasError(
                f"{cards[0]}: has no entry {error}, or names no network; not a checkpoint's card"
            ) from error
        except Exception as error:  # whatever Keras, h5py or zipfile make of a damaged or hostile file
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise MidasError(f"{file}: not the checkpoint that {cards[0].name} describes ({reason[:200]})") from error
        return cls(model, names, size, card)

    def probabilities(self, images: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
        """Answer for normalised images.

        Args:
            images: uint8 array (n, size, size).
            allowed: indices of the classes that may be answered, or None for all.

        Returns:
            float32 array (n, classes); each row sums to 1.
        """
        if not len(images):
            return np.zeros((0, len(self.class_names)), np.float32)
        logits = self.model.predict(images, batch_size=BATCH, verbose=0).astype(np.float64)
        if allowed is not None:
            logits[:, np.setdiff1d(np.arange(logits.shape[1]), allowed)] = -np.inf
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
