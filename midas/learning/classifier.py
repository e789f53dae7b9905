"""From images to predictions: the one way in which every command and the Python API use networks."""

from __future__ import annotations

import functools
import html
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from midas.data.augmentation import tta_copies
from midas.data.entries import Source
from midas.data.glyphs import Glyph, Glyphs
from midas.data.images import Page
from midas.data.levels import UnreadableImage, to_grayscale, value_range
from midas.data.memmap import BLOCK
from midas.data.preprocessing import normalize
from midas.data.reading import stream
from midas.data.segmentation import find_characters, shows_several
from midas.data.sources import open_source
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.learning import models, pen_adaptation
from midas.learning.checkpoints import checkpoint_files, load_network, read_card
from midas.learning.writer_adaptation import adapt, on_lines, on_pages
from midas.metrics import classification
from midas.predictions import PageReading, Prediction, Shown, join_text, make_predictions
from midas.records import Card

BATCH = 512

Image = str | os.PathLike | np.ndarray


@dataclass(frozen=True, eq=False)
class Answers:
    """How predictions are made from probabilities.

    Attributes:
        allowed: outputs of the classes that may be predicted; None allows all.
        top: predictions per image, alternatives included.
        reject_below: probability below which the answer is "unsure".
    """

    allowed: np.ndarray | None = None
    top: int = 3
    reject_below: float = 0.0


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network, or an ensemble whose probabilities are averaged.

    Attributes:
        networks: from what `models.inputs` gives to logits (n, classes).
        card: class names, input size, calibration, augmentation in training. A temperature in it calibrates the
            probabilities, and a tta_temperature those averaged over augmented copies.
        tta: augmented copies of each image that probabilities are averaged over, the image itself included (test-time
            augmentation); they are deformed half as strongly as in training.
    """

    networks: tuple[keras.Model, ...]
    card: Card
    tta: int = 1

    @classmethod
    def load(cls, *paths: str | os.PathLike) -> Classifier:
        """Load a run directory, a `.keras` file, a folder of several of either, or several of all these.

        Each file has its card beside it (`NAME.json` or `card.json`). `tta` is what all cards ask for, or 1 if they
        differ.

        Raises:
            MidasError: there is no network, it cannot be read, its card is missing, or several do not fit together.
        """
        files = [file for path in paths for file in checkpoint_files(Path(path))]
        networks, cards = zip(*map(load_network, files), strict=True)
        first = cards[0]
        for file, card in zip(files, cards, strict=True):
            if (card.class_names, card.size) != (first.class_names, first.size):
                raise MidasError(f"{file}: has other classes, or another input size, than {files[0]}")
        tta = first.tta if all(card.tta == first.tta for card in cards) else 1
        if len(cards) > 1:
            shared = Path(paths[0]) / "card.json"
            uncalibrated = replace(first, temperature=1.0, tta_temperature=1.0, reject_below=None)
            first = read_card(shared) if len(paths) == 1 and shared.exists() else uncalibrated
        return cls(networks, first, tta)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per output."""
        return self.card.class_names

    @property
    def size(self) -> int:
        """Side of the input in pixels."""
        return self.card.size

    @property
    def network(self) -> keras.Model:
        """The only network.

        Raises:
            MidasError: this is an ensemble.
        """
        if len(self.networks) > 1:
            raise MidasError("an ensemble can only predict; give the checkpoint of one network")
        return self.networks[0]

    def __repr__(self) -> str:
        models_of = ", ".join(network.name for network in self.networks)
        return f"Classifier({models_of}; {len(self.class_names)} classes, {self.size}x{self.size} pixels)"

    def _repr_html_(self) -> str:
        """Show the network in a notebook."""
        names = self.class_names
        rows = {
            "networks": ", ".join(network.name for network in self.networks),
            "classes": f"{len(names)}: {' '.join(names[:12])}{' …' if len(names) > 12 else ''}",
            "input": f"{self.size}x{self.size} pixels",
            "parameters": f"{sum(network.count_params() for network in self.networks):,}",
            "trained on": ", ".join(self.card.trained_on),
            "accuracy": self._measured_accuracy(),
        }
        cells = (f"<tr><th>{key}</th><td>{html.escape(value)}</td></tr>" for key, value in rows.items() if value)
        return f"<table>{''.join(cells)}</table>"

    def _measured_accuracy(self) -> str:
        """Describe the accuracy that the card of a shipped network vouches for."""
        evidence: dict[str, Any] = self.card.shipped.evidence if self.card.shipped else {}
        if test := evidence.get("test"):
            low, high = (100 * bound for bound in test["accuracy_interval"])
            interval = f"95 % interval {low:.2f}-{high:.2f} %"
            return f"{100 * test['accuracy']:.2f} % on {test['n']:,} test images ({interval})"
        if folds := evidence.get("cross_validation"):
            found = folds["tta 1"]["accuracy"]
            return f"{100 * found['mean']:.2f} ± {100 * found['standard_deviation']:.2f} %, cross-validated"
        return ""

    # ---- on raw images

    def predict(
        self,
        images: Image | Sequence[Image],
        *,
        classes: Sequence[str] | None = None,
        top: int = 3,
        reject: bool | float = False,
        same_hand: bool = False,
    ) -> list[Prediction]:
        """Read the character in each image.

        Args:
            images: a path; an array, gray (height, width) or (n, height, width), or color (height, width, 3 or 4) in
                RGB or RGBA order, of any size and numeric type, dark on light or light on dark; or a list of these.
            classes: predict only these, e.g. "0123456789"; None allows all.
            top: predictions per image, alternatives included.
            reject: answer "unsure" below this probability; True takes the network's own threshold.
            same_hand: all images are by one person, and are read with the knowledge of how large this person writes
                (see `writer_adaptation`). Needs pages like those of the training set.

        Raises:
            MidasError: an image cannot be read or is blank, the network does not know one of the classes, or it has no
                threshold of its own.
        """
        answers = self.answers(classes, top, reject)
        shown, glyphs = list[Shown](), list[Glyph]()
        for name, page in _pages(images):  # one page in memory, as drawings are large
            glyphs.append(_glyph(name, page, self.size))
            shown.append(Shown(name, shows_several(cast(np.ndarray, page))))
        if not glyphs:
            return []
        stacked = Glyphs.stack(glyphs)
        probabilities = self.probabilities(stacked, answers.allowed)
        if same_hand:
            probabilities, _ = self.adapted(probabilities, stacked.places)
        return self._predictions(probabilities, shown, answers)

    def read_pages(
        self,
        images: Image | Sequence[Image],
        *,
        classes: Sequence[str] | None = None,
        top: int = 3,
        reject: bool | float = False,
        same_hand: bool = True,
    ) -> list[PageReading]:
        """Read the characters of pages, lines or forms; characters that touch are out of reach.

        Args:
            images: as in `predict`.
            classes: as in `predict`.
            top: as in `predict`.
            reject: as in `predict`.
            same_hand: the characters of a page are by one person, and are read with the knowledge of how large they
                are beside each other, if the network knows how large its classes are drawn.

        Raises:
            MidasError: as `predict`.
        """
        answers = self.answers(classes, top, reject)
        readings = []
        for name, page in _pages(images):
            try:
                readings.append(self.read_page(name, page, answers, same_hand))
            except UnreadableImage as error:
                raise MidasError(f"{name}: {error}") from error
        return readings

    def answers(self, classes: Sequence[str] | None = None, top: int = 3, reject: bool | float = False) -> Answers:
        """Resolve how predictions are made.

        Raises:
            MidasError: the network does not know one of the classes, or it has no threshold of its own.
        """
        allowed = None if classes is None else self.outputs_of(tuple(classes), "classes")
        if allowed is not None and not len(allowed):
            raise MidasError("classes: give at least one class, or None to allow all")
        threshold = self.card.reject_below if reject is True else float(reject)
        if threshold is None:
            raise MidasError(
                "this network has no threshold for 'unsure' of its own; give a probability (--reject-below)"
            )
        return Answers(allowed, top, threshold)

    def predict_stream(
        self, sources: Iterable[Source], skip: Callable[[str, str], None], answers: Answers | None = None
    ) -> Iterator[Prediction]:
        """Read the characters in sources of any size, with one batch of images in memory.

        Args:
            sources: where the images are.
            skip: called with the name of each image, or source, that cannot be read, and the reason.
            answers: how predictions are made; None allows all classes and is never unsure.
        """
        answers = answers or Answers()
        for images, _, probabilities in self._batches(sources, skip, answers):
            yield from self._predictions(probabilities, images, answers)

    def predict_same_hand(
        self, sources: Iterable[Source], skip: Callable[[str, str], None], answers: Answers
    ) -> tuple[list[Prediction], int]:
        """Read characters by one person, as `predict` with `same_hand` does.

        Args:
            sources: where the images are.
            skip: as in `predict_stream`.
            answers: how predictions are made.

        Returns:
            The predictions, and how many of the characters have a known place and were adapted.
        """
        batches = list(self._batches(sources, skip, answers))
        if not batches:
            return [], 0
        images, places, probabilities = zip(*batches, strict=True)
        adapted, count = self.adapted(np.concatenate(probabilities), np.concatenate(places))
        return self._predictions(adapted, list(itertools.chain(*images)), answers), count

    def read_page(self, name: str, page: Page, answers: Answers, same_hand: bool = True) -> PageReading:
        """Read the characters of one page.

        Raises:
            UnreadableImage: it cannot be read, or is blank.
        """
        if isinstance(page, UnreadableImage):
            raise page
        found = find_characters(page, self.size)
        characters = [each for line in found.lines for each in line]
        lines = np.repeat(np.arange(len(found.lines)), [len(line) for line in found.lines])
        boxes = np.array([each.box for each in characters], np.float64)
        probabilities = self.probabilities(Glyphs.stack(each.glyph for each in characters), answers.allowed)
        if same_hand and self.card.places:
            level = found.level(boxes)
            probabilities = adapt(probabilities, on_lines(level, lines, probabilities, self.card.places))
        predictions = self._predictions(probabilities, [Shown(name)] * len(characters), answers)
        numbers = (lines + 1).tolist()
        text = join_text([each.label for each in predictions], numbers, [each.after_space for each in characters])
        outlines = tuple(each.box for each in characters)
        return PageReading(name, text, tuple(predictions), outlines, tuple(numbers), found.touching)

    def adapted(self, probabilities: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, int]:
        """Adapt the probabilities of characters by one person, as far as their places are known, and count these."""
        known = places[:, 0] > 0
        if not self.card.places or known.sum() < 2:
            return probabilities, 0
        adapted = probabilities.copy()
        adapted[known] = adapt(probabilities[known], on_pages(places[known], self.card.places))
        return adapted, int(known.sum())

    def _batches(
        self, sources: Iterable[Source], skip: Callable[[str, str], None], answers: Answers
    ) -> Iterator[tuple[tuple[Shown, ...], np.ndarray, np.ndarray]]:
        """Predict batch by batch: the images, places and probabilities."""
        readable = _readable(sources, self.size, skip)
        while batch := list(itertools.islice(readable, BATCH)):
            images, glyphs = zip(*batch, strict=True)
            stacked = Glyphs.stack(glyphs)
            yield images, stacked.places, self.probabilities(stacked, answers.allowed)

    def _predictions(self, probabilities: np.ndarray, images: Sequence[Shown], answers: Answers) -> list[Prediction]:
        return make_predictions(probabilities, self.class_names, images, answers.top, answers.reject_below)

    # ---- on glyphs

    def outputs_of(self, class_names: Sequence[str], data: str) -> np.ndarray:
        """Find the outputs of the network for classes: int array (len(class_names),).

        Raises:
            MidasError: the network does not know one of the classes; names `data`, where they came from.
        """
        unknown = [name for name in class_names if name not in self.class_names]
        if unknown:
            known = f"{len(self.class_names)} classes, {self.class_names[0]!r} to {self.class_names[-1]!r}"
            raise MidasError(
                f"{data}: the network does not know the class {unknown[0]!r} (it knows {known}); take another "
                "network, or leave out the images of that class"
            )
        return np.array([self.class_names.index(name) for name in class_names])

    def probabilities(self, glyphs: Glyphs, allowed: np.ndarray | None = None) -> np.ndarray:
        """Compute the probabilities of all classes.

        Args:
            glyphs: n glyphs of this network's size, in memory or in a file.
            allowed: outputs of the classes that may be predicted; None allows all.

        Returns:
            float32 array (n, classes); each row sums to 1.
        """
        found = np.empty((len(glyphs), len(self.class_names)), np.float32)
        for start in range(0, len(glyphs), BLOCK):
            found[start : start + BLOCK] = self._probabilities(glyphs[start : start + BLOCK], allowed)
        return found

    def _probabilities(self, glyphs: Glyphs, allowed: np.ndarray | None) -> np.ndarray:
        """Do as `probabilities` does, for glyphs in memory."""
        every = np.arange(len(self.class_names))
        forbidden = every[:0] if allowed is None else np.setdiff1d(every, allowed)
        total = np.zeros((len(glyphs), len(self.class_names)))
        glyphs = self.adapted_to_pen(glyphs)
        for copy in tta_copies(np.asarray(glyphs.images), self.tta, self.card.augmentation or Augmentation()):
            for network in self.networks:
                logits = _logits(network, Glyphs(copy, glyphs.places)).astype(np.float64)
                logits[:, forbidden] = -np.inf
                total += classification.softmax(logits)
        mean = (total / (self.tta * len(self.networks))).astype(np.float32)
        temperature = self.card.temperature if self.tta == 1 else self.card.tta_temperature
        return mean if temperature == 1.0 else classification.calibrate(mean, temperature)

    def features(self, glyphs: Glyphs) -> np.ndarray:
        """Compute the inputs of the last layer of the only network: float32 (n, width of that layer)."""
        return _logits(self.backbone, self.adapted_to_pen(glyphs[:]))

    def adapted_to_pen(self, glyphs: Glyphs) -> Glyphs:
        """Thicken the glyphs in memory that are finer than those of the training set, if its pens are known."""
        if not self.card.pen:
            return glyphs
        return Glyphs(pen_adaptation.adapt(np.asarray(glyphs.images), self.card.pen), glyphs.places)

    @functools.cached_property
    def backbone(self) -> keras.Model:
        """The only network without its last layer."""
        return keras.Model(self.network.inputs, self.network.layers[-1].input)


def _logits(network: keras.Model, glyphs: Glyphs) -> np.ndarray:
    """Do as Keras's `predict` does, without its pipeline, which takes half as long as a batch to set up."""
    # A network with a copy on each of several devices answers a batch once on each.
    return np.concatenate(
        [network.predict_on_batch(models.inputs(network, batch))[: len(batch)] for batch in glyphs.batches(BATCH)]
    )


def _readable(sources: Iterable[Source], size: int, skip: Callable[[str, str], None]) -> Iterator[tuple[Shown, Glyph]]:
    """Yield what can be read of sources, and skip the rest."""
    for source in sources:
        try:
            for item in stream(source, size, count=True):
                if item.glyph is None:
                    skip(source.locate(item.entry.name), str(item.reason))
                else:
                    yield Shown(source.locate(item.entry.name), item.several), item.glyph
        except MidasError as error:  # such as a damaged archive
            skip(source.path, str(error).removeprefix(f"{source.path}: "))


def _pages(images: Image | Sequence[Image], name: str = "array") -> Iterator[tuple[str, Page]]:
    """Yield the name and the gray levels of each image, or why it cannot be read."""
    if isinstance(images, str | os.PathLike):
        source = open_source(images)
        for entry in source.entries():
            yield from ((source.locate(page_name), page) for page_name, page in entry.pages())
    elif isinstance(images, np.ndarray):
        if images.dtype.kind not in "buif":
            raise MidasError(f"{name}: {images.dtype} values are not gray levels or colors; expected numbers")
        if images.ndim not in (2, 3):
            raise MidasError(
                f"{name}: shape {images.shape} is not an image; expected (height, width) or (n, height, width)"
            )
        if images.ndim == 2 or images.shape[2] in (3, 4):
            channels = [2, 1, 0, 3][: images.shape[2]] if images.ndim == 3 else None
            yield name, _gray(images if channels is None else images[:, :, channels])
        else:
            span = value_range([images])
            for index, image in enumerate(images):
                yield f"{name}[{index}]", _gray(image, span)
    else:
        for index, image in enumerate(images):
            yield from _pages(image, f"{name}[{index}]")


def _gray(image: np.ndarray, span: tuple[float, float] | None = None) -> Page:
    try:
        return to_grayscale(image, span)
    except UnreadableImage as error:
        return error


def _glyph(name: str, page: Page, size: int) -> Glyph:
    try:
        if isinstance(page, UnreadableImage):
            raise page
        return normalize(page, size)
    except UnreadableImage as error:
        raise MidasError(f"{name}: {error}") from error
