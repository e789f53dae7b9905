"""The networks that the page offers, and what they answer; one lock, as they share the cores of the machine."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from midas.api import load
from midas.data.entries import Source, image_source
from midas.data.glyphs import Glyphs
from midas.data.images import Page, decode_pages, to_png
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize
from midas.data.strokes import draw_strokes
from midas.errors import MidasError
from midas.learning import explanation
from midas.learning.checkpoints import SHIPPED, card_file, checkpoint_files, find_checkpoint, read_card
from midas.learning.classifier import Classifier
from midas.predictions import Alternative, Shown, make_predictions
from midas.report.titles import capitalized, part_title, rank, run_title, section_of
from midas.runs import Run, find_run, find_runs

GUESSES = 5
NEIGHBORS = 6
TITLES = {  # of the networks that ship
    "part1": "The network that ships",
    "part2-best": "Most accurate, random weights",
    "part3-random": "Complementary labels, random weights",
    "part3-pretrained": "Complementary labels, pretrained on Part 1",
    "part3-best": "Complementary labels, most accurate",
}


class SharedClassifier(Classifier):
    """A classifier that several threads may use: one network computes at a time."""

    turn = threading.RLock()

    def probabilities(self, glyphs: Glyphs, allowed: np.ndarray | None = None) -> np.ndarray:
        """Compute the probabilities of all classes, as `Classifier` does."""
        with self.turn:
            return super().probabilities(glyphs, allowed)

    def features(self, glyphs: Glyphs) -> np.ndarray:
        """Compute the inputs of the last layer, as `Classifier` does."""
        with self.turn:
            return super().features(glyphs)


@dataclass(frozen=True)
class Offer:
    """A network that can be chosen.

    Attributes:
        key: what the page calls it.
        title: in plain words, without its part.
        part: title of its part.
        path: where it is.
        from_smallest: whether it was trained on wrong labels as if they were correct, so that its smallest output is
            worth a look, too.
        rank: place among those of its part.
    """

    key: str
    title: str
    part: str
    path: Path
    from_smallest: bool = False
    rank: tuple[bool, ...] = ()


@dataclass(eq=False)
class Networks:
    """All networks that can be chosen; each is loaded when it is first asked.

    Attributes:
        checkpoints: paths or names that were given on the command line; the first is the default.
        runs_dir: root of the run directories.
    """

    checkpoints: tuple[str, ...] = ()
    runs_dir: Path = Path("checkpoints")
    loaded: dict[Path, tuple[float, SharedClassifier]] = field(default_factory=dict)
    samples: dict[Path, tuple[np.ndarray, list[str], np.ndarray] | None] = field(default_factory=dict)
    known: dict[str, Offer] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def offers(self) -> list[Offer]:
        """List what can be chosen, the default first; damaged and unfinished runs are left out."""
        found = [_given(each) for each in self.checkpoints]
        found += [Offer(name, TITLES[name], part_title(name[:5]), find_checkpoint(name)) for name in _shipped()]
        roots = [("", self.runs_dir), (":sample", self.runs_dir / "sample")]
        of_runs = [offer for suffix, root in roots for run in find_runs(root) for offer in _of_run(run, root, suffix)]
        found += sorted(of_runs, key=lambda offer: (offer.part, offer.rank))
        unique = dict[Path, Offer]()
        for offer in found:
            unique.setdefault(offer.path.resolve(), offer)
        self.known = {offer.key: offer for offer in unique.values()}
        return list(self.known.values())

    def choose(self, keys: Sequence[str]) -> list[Offer]:
        """Find networks by their keys; none stands for the default.

        Raises:
            MidasError: there is no such network.
        """
        if not self.known or not set(keys) <= set(self.known):
            self.offers()
        if unknown := [key for key in keys if key not in self.known]:
            raise MidasError(f"no network {unknown[0][:80]!r}; reload the page to see which there are")
        return [self.known[key] for key in dict.fromkeys(keys)] or [next(iter(self.known.values()))]

    def classifier(self, offer: Offer) -> SharedClassifier:
        """Load a network, or again if its file has changed.

        Raises:
            MidasError: it cannot be read.
        """
        file = checkpoint_files(offer.path)[0]
        changed = file.stat().st_mtime
        with self.turn:
            kept = self.loaded.get(offer.path)
            if kept and kept[0] == changed:
                return kept[1]
            found = load(offer.path)
            shared = SharedClassifier(**{each.name: getattr(found, each.name) for each in fields(found)})
            self.loaded[offer.path] = changed, shared
            self.samples.pop(offer.path, None)
        _warm_up(shared)
        return shared

    def warm_up(self) -> None:
        """Load the networks of the command line, or the default, and read a drawing, so that no first answer waits."""
        page = draw_strokes([np.array([[450.0, 250.0], [750.0, 250.0], [600.0, 700.0]])])
        for offer in self.choose(self.checkpoints):
            self.read(offer, page)
            source = Uploads(page.size).source(to_png(page), "drawing.png")
            list(self.classifier(offer).predict_stream([source], lambda name, reason: None))

    # ---- answers

    def read(self, offer: Offer, page: np.ndarray) -> dict[str, Any]:
        """Read the character on a page: guesses, the glyph, and for some networks the smallest outputs.

        Raises:
            UnreadableImage: the page is blank.
        """
        network = self.classifier(offer)
        glyph = _seen(network, page)
        probabilities = network.probabilities(glyph)
        answer = {**about(offer), "guesses": _guesses(network, probabilities[0]), "glyph": picture(glyph.images[0])}
        if offer.from_smallest:
            order = np.argsort(probabilities[0], kind="stable")[:GUESSES]
            answer["smallest"] = [_guess(network.class_names[i], float(probabilities[0, i])) for i in order]
        return answer

    def explain(self, offer: Offer, page: np.ndarray, without: Iterable[np.ndarray] = ()) -> dict[str, Any]:
        """Say what an answer rests on.

        Args:
            offer: the network.
            page: the drawing or image.
            without: the same drawing without its first stroke, without its second, and so on.

        Returns:
            The occlusion map as a picture, what would be read without each stroke, and the nearest training images,
            None where they were not kept.

        Raises:
            UnreadableImage: the page is blank.
        """
        network = self.classifier(offer)
        glyph = _seen(network, page)
        output = int(network.probabilities(glyph)[0].argmax())
        found = explanation.occlusion_map(replace(network, tta=1), glyph, output)
        rest = [normalize(each, network.size) for each in without]
        probabilities = network.probabilities(Glyphs.stack(rest)) if rest else np.zeros((0, len(network.class_names)))
        strokes = make_predictions(probabilities, network.class_names, [Shown("")] * len(rest), 1)
        return {
            "label": network.class_names[output],
            "map": _colored(glyph.images[0], found),
            "strokes": [
                {**_guess(each.label, each.probability), "kept": round(float(row[output]), 4)}
                for each, row in zip(strokes, probabilities, strict=True)
            ],
            "nearest": self._nearest(offer, network, glyph),
        }

    def _nearest(self, offer: Offer, network: SharedClassifier, glyph: Glyphs) -> list[dict[str, Any]] | None:
        if offer.path not in self.samples:
            self.samples[offer.path] = _sample_features(offer, network)
        kept = self.samples[offer.path]
        if kept is None:
            return None
        images, labels, features = kept
        hidden = Glyphs.without_places(np.asarray(glyph.images))  # samples are kept without their places
        order, cosines = explanation.nearest(network.features(hidden)[0], features, NEIGHBORS)
        return [
            {"label": labels[i], "similarity": round(float(cosine), 3), "image": picture(images[i])}
            for i, cosine in zip(order, cosines, strict=True)
        ]


def _seen(network: Classifier, page: np.ndarray) -> Glyphs:
    """Make the glyph that a network sees on a page."""
    return network.adapted_to_pen(Glyphs.stack([normalize(page, network.size)]))


def about(offer: Offer) -> dict[str, Any]:
    """Describe a network for the page."""
    return {"network": offer.key, "title": offer.title, "part": offer.part}


# ---- what there is


def _shipped() -> Iterator[str]:
    for name in SHIPPED:
        try:
            find_checkpoint(name)
        except MidasError:  # an installation without them
            continue
        yield name


def _given(checkpoint: str) -> Offer:
    """Offer a checkpoint of the command line.

    Raises:
        MidasError: there is none.
    """
    path = find_checkpoint(checkpoint)
    run = find_run(path)
    if run:
        return replace(next(_of_run(run, run.path.parent, ""), _plain(path, checkpoint)), key=checkpoint)
    if checkpoint in TITLES and not Path(checkpoint).exists():
        return Offer(checkpoint, TITLES[checkpoint], part_title(checkpoint[:5]), path)
    return _plain(path, checkpoint)


def _plain(path: Path, checkpoint: str) -> Offer:
    card = read_card(card_file(checkpoint_files(path)[0]))
    own = card.part in (None, "custom")
    part = card.data or "Other data" if own else part_title(card.part or "", card.sample)
    return Offer(checkpoint, checkpoint, part, path)


def _of_run(run: Run, root: Path, suffix: str) -> Iterator[Offer]:
    """Offer a run whose network can be used; that of an interrupted training counts, too."""
    try:
        experiment, sample = run.experiment, run.card.sample
        if not run.checkpoint.is_file():
            return
    except MidasError:  # damaged; 'midas list' says how
        return
    stopped = "" if run.finished else ", stopped early"
    seed = f", seed {experiment.seed}" if experiment.seed else ""
    smallest = experiment.part == "part3" and not experiment.is_complementary
    section, title = section_of(experiment), run_title(experiment)
    part = part_title(section, sample)
    note = ", sample" if suffix and part == part_title(section) else ""
    if experiment.part != "custom":  # whose title is a name
        title = capitalized(title)
    key = run.path.relative_to(root).as_posix() + suffix
    yield Offer(key, f"{title}{seed}{note}{stopped}", part, run.path, smallest, rank(experiment))


def _warm_up(network: SharedClassifier) -> None:
    """Compile what a first answer would wait for: one glyph, and a batch of them."""
    size = network.size
    for count in (1, 2):
        network.probabilities(Glyphs.without_places(np.zeros((count, size, size), np.uint8)))


def _sample_features(offer: Offer, network: SharedClassifier) -> tuple[np.ndarray, list[str], np.ndarray] | None:
    """Give the training images that a run kept, if it did and is one network, with their labels and features."""
    run = Run(offer.path)
    try:
        samples = run.samples() if run.path.is_dir() else None
        is_wrong = samples is not None and run.card.part == "part3"
    except MidasError:  # damaged
        return None
    if samples is None or len(network.networks) > 1 or samples.images.shape[1:] != (network.size, network.size):
        return None
    labels = [f"not {network.class_names[i]}" if is_wrong else network.class_names[i] for i in samples.labels]
    return samples.images, labels, network.features(Glyphs.without_places(samples.images))


# ---- uploads


class Uploads:
    """The uploaded images of a request, whose pages may have so many pixels together."""

    def __init__(self, max_pixels: int) -> None:
        self.left = self.max_pixels = max_pixels

    def source(self, data: bytes, name: str) -> Source:
        """Make a source of an image; what is beyond the limit is not decoded, and refused."""
        return image_source(name, partial(self._pages, data))

    @property
    def exceeded(self) -> bool:
        """Whether there were more pixels."""
        return self.left < 0

    def _pages(self, data: bytes) -> Iterator[Page]:
        refusal = UnreadableImage(f"the upload has more than {self.max_pixels / 1e6:g} million pixels")
        if self.exceeded:
            yield refusal
            return
        for page in decode_pages(data):
            self.left -= page.size if isinstance(page, np.ndarray) else 0
            yield refusal if self.exceeded else page
            if self.exceeded:
                return


# ---- as JSON


def _guess(label: str, probability: float) -> dict[str, Any]:
    return {"label": label, "probability": round(probability, 4)}


def _guesses(network: Classifier, probabilities: np.ndarray) -> list[dict[str, Any]]:
    found = make_predictions(probabilities[None], network.class_names, [Shown("")], GUESSES)[0]
    every = (Alternative(found.label, found.probability), *found.alternatives)
    return [_guess(each.label, each.probability) for each in every]


def picture(image: np.ndarray) -> str:
    """Encode an image, gray or BGR with opacity, as a data URL of a PNG."""
    return "data:image/png;base64," + base64.b64encode(to_png(image)).decode()


def _colored(ink: np.ndarray, contributions: np.ndarray) -> str:
    """Draw ink in blue where it speaks for the answer and in orange where it speaks against it, gray elsewhere."""
    neutral, good, bad = (np.array(color, float) for color in ((150, 150, 150), (178, 114, 0), (0, 94, 213)))  # BGR
    depth = np.abs(contributions)[..., None] ** 0.7
    color = neutral * (1 - depth) + np.where(contributions[..., None] > 0, good, bad) * depth
    return picture(np.dstack([color.round().astype(np.uint8), ink]))
