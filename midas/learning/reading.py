"""What a person asks of a network: scores on labelled images, answers for others."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from midas.data.datasets import SAMPLE, Dataset, find, read, stream
from midas.data.preprocessing import decode
from midas.data.sources import Entry, Source, open_source
from midas.errors import MidasError, printable
from midas.learning.classifier import BATCH, Classifier
from midas.metrics import classification as metrics


def score(
    network: Classifier,
    data: str,
    restrict: bool = False,
    strict: bool = False,
    progress: Callable | None = None,
) -> tuple[Dataset, np.ndarray]:
    """Ask a network for labelled images.

    Args:
        network: what answers.
        data: a path that `archives.open_source` takes, or "sample" for the embedded sample's drawings.
        restrict: allow only the classes of the data as answers, and share the probabilities out among them.
        strict, progress: see `datasets.read`.

    Returns:
        The data with labels counted as the network counts them, and float32 probabilities (n, classes).

    Raises:
        MidasError: the data have classes that the network does not know.
    """
    source = find("part1", SAMPLE) if data == SAMPLE else open_source(data, "test")
    dataset = read(source, network.size, strict, progress)
    outputs = outputs_of(network, dataset, data)
    probabilities = network.probabilities(dataset.images, dataset.places, outputs if restrict else None)
    return replace(dataset, labels=outputs[dataset.labels], class_names=network.class_names), probabilities


def outputs_of(network: Classifier, dataset: Dataset, data: str) -> np.ndarray:
    """Find the network's outputs for the classes of a data set, whose name is `data`: int array (K,).

    Raises:
        MidasError: the data have classes that the network does not know.
    """
    unknown = [name for name in dataset.class_names if name not in network.class_names]
    if unknown:
        raise MidasError(f"{data}: the network does not know the class {unknown[0]!r}; it reads {_span(network)}")
    return np.array([network.class_names.index(name) for name in dataset.class_names])


def _span(network: Classifier) -> str:
    names = network.class_names
    return f"{len(names)} classes, {names[0]!r} to {names[-1]!r}"


def summary(network: Classifier, dataset: Dataset, probabilities: np.ndarray) -> dict:
    """Summarise a score, with what was skipped."""
    skipped = [{"name": name, "reason": reason} for name, reason in dataset.skipped]
    return {**metrics.summarise(probabilities, dataset.labels, network.class_names), "skipped": skipped}


def stdin_source(data: bytes) -> Source:
    """Wrap the bytes of one image, or raise for none.

    Raises:
        MidasError: nothing came.
    """
    if not data:
        raise MidasError("-: nothing came on stdin; pipe an image into it")
    return Source("-", (), "", lambda: iter([Entry("-", None, lambda: decode(data))]), 1)


def predict(network: Classifier, sources: list[Source], skip: Callable[[str, str], None]) -> Iterator[dict]:
    """Answer for each image as it is read, holding one batch of them in memory.

    Args:
        network: what answers.
        sources: where the images lie.
        skip: called with the name of each image that cannot be read, and why.

    Yields:
        The file's name, the answer, its probability, and the next two guesses with theirs.

    Raises:
        MidasError: at the end, if not one image could be read.
    """
    names, glyphs, places, answered, failure = [], [], [], 0, None
    for source in sources:
        for entry, glyph, place, _ in stream(source, network.size):
            name = entry.name if source.count == 1 else f"{source.path}/{entry.name}"
            if isinstance(glyph, str):
                failure = failure or f"{name}: {glyph}"
                skip(name, glyph)
                continue
            names.append(name if source.count > 1 else source.path)
            glyphs.append(glyph)
            places.append(place)
            if len(glyphs) == BATCH:
                yield from _answers(network, names, glyphs, places)
                answered += len(names)
                names, glyphs, places = [], [], []
    yield from _answers(network, names, glyphs, places)
    if not answered and not names:
        raise MidasError(failure or "no images given")


ANSWER = ("file", "answer", "probability", "second", "second_probability", "third", "third_probability")


def _answers(network: Classifier, names: list[str], glyphs: list, places: list) -> Iterator[dict]:
    if not glyphs:
        return
    probabilities = network.probabilities(np.stack(glyphs), np.stack(places))
    ranks = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    for name, row, rank in zip(names, probabilities, ranks, strict=True):
        answer = {"file": name}
        for key, place in zip(("answer", "second", "third"), rank, strict=False):
            answer[key] = network.class_names[place]
            answer["probability" if key == "answer" else f"{key}_probability"] = round(float(row[place]), 4)
        yield answer


def prediction_line(answer: dict) -> str:
    """Write an answer as one line of a table."""
    guesses = [
        f"{answer[key]} {100 * answer[f'{key}_probability']:5.1f} %" for key in ("second", "third") if key in answer
    ]
    sure, file = 100 * answer["probability"], printable(answer["file"])
    return f"{answer['answer']:<3}{sure:5.1f} %   ({', '.join(guesses)})   {file}"
