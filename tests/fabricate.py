"""Finished run directories without any training: made-up records of the kind that training writes."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np

from midas.data.datasets import Dataset
from midas.data.entries import Entry, Source
from midas.data.glyphs import Glyphs
from midas.metrics import classification
from midas.recipes import PARTS
from midas.records import (
    Card,
    Comparison,
    CrossValidationResult,
    CrossValidationScores,
    Environment,
    EpochRecord,
    MeanScore,
    Predictions,
    Probe,
    Result,
)
from midas.report import comparison, previews
from midas.runs import Run

LETTERS = list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
DIGEST = "0123456789abcdef" * 4
PROBED = (0, 1, 3)  # steps of the first epoch after which a made-up training is scored


def predictions(class_names: list[str], n: int = 60, seed: int = 0, wrong: float = 0.2) -> Predictions:
    """Make predictions of which about the share `wrong` are errors."""
    rng = np.random.default_rng(seed)
    k = len(class_names)
    labels = rng.integers(0, k, n)
    predicted = np.where(rng.random(n) < wrong, (labels + rng.integers(1, k, n)) % k, labels)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), predicted] = logits.max(axis=1) + rng.exponential(2, n) + 0.1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(
        probabilities=probabilities.astype(np.float32),
        labels=labels.astype(np.int64),
        names=np.array([f"folder/image-{number:03d}.png" for number in range(n)]),
        images=rng.integers(0, 256, (n, 28, 28), np.uint8),
    )


def epochs(count: int = 5, validation: bool = True) -> list[EpochRecord]:
    """Make the epochs of a training whose learning rate is reduced once, in the middle."""
    return [
        EpochRecord(
            epoch=epoch,
            loss=2 / epoch,
            accuracy=1 - 0.8 / epoch,
            val_loss=2.2 / epoch if validation else None,
            val_accuracy=1 - 0.9 / epoch if validation else None,
            learning_rate=0.002 if epoch <= count / 2 else 0.001,
            epoch_seconds=1.5,
        )
        for epoch in range(1, count + 1)
    ]


def result(class_names: list[str] | None = None, n: int = 60, seed: int = 0, **changes) -> Result:
    """Make the result of a training of Part 2 from made-up predictions, with these changes."""
    class_names = class_names or LETTERS[:10]
    scored = predictions(class_names, n, seed)
    scores = classification.score(scored.probabilities, scored.labels, class_names)
    about = {"part": "part2", "name": "random", "seed": seed, "scored": "mnist-test"}
    training = {"epochs": 5, "best_epoch": 5, "train_seconds": 7.5, "best_val_loss": 0.44, "best_val_accuracy": 0.82}
    return Result(**{**vars(scores), **about, **training, **changes})


def run(
    root: Path,
    part: str = "part2",
    name: str = "random",
    seed: int = 0,
    class_names: list[str] | None = None,
    n: int = 60,
    validation: bool = True,
    embedded: int = 0,
    **changes,
) -> Run:
    """Write a finished run below `root`; `changes` are those of its result.

    Pages are twice the size of glyphs. Features, the label and noise, are kept of the first `embedded` images; drawing
    them takes seconds.
    """
    class_names = class_names or LETTERS[:10]
    experiment = dataclasses.replace(PARTS[part], name=name, seed=seed)
    made = Run(root / experiment.run_path)
    scored = predictions(class_names, n, seed)
    made.start(experiment)
    made.write(
        Card(
            class_names=tuple(class_names),
            part=part,
            name=name,
            seed=seed,
            data=experiment.data,
            data_digest=DIGEST,
            parameters=291678,
            macs=4500000,
        )
    )
    made.write(
        Environment(
            midas="1.0",
            python="3.11.0",
            tensorflow="2.21.0",
            keras="3.0",
            numpy="2.4",
            opencv="4.13",
            platform="Linux",
            processor="made up",
            cores=2,
            device="CPU",
            argv=("midas", "run", part, "--name", name),
            revision="f" * 40,
            data_digest=DIGEST,
            started_utc="2025-01-01T00:00:00Z",
            finished_utc="2025-01-01T00:01:00Z",
        )
    )
    made.write_epochs(epochs(validation=validation))
    labels = scored.labels[:embedded, None]
    features = np.random.default_rng(seed).normal(labels, 0.1, (embedded, 4)).astype(np.float16)
    made.write_predictions(dataclasses.replace(scored, embedded=np.arange(embedded), features=features))
    glyphs = Glyphs.without_places(scored.images)
    data = Dataset(glyphs, scored.labels, tuple(class_names), scored.names, pages=np.full(n, "56x56"))
    previews.keep_samples(made, experiment, data, source(data), None)
    about = {"part": part, "name": name, "scored": "validation" if part == "part1" else "mnist-test"}
    unvalidated = {} if validation else {"best_val_loss": None, "best_val_accuracy": None}
    made.write(result(class_names, n, seed, **{**about, **unvalidated, **changes}))
    return made


def source(data: Dataset) -> Source:
    """Make a source of pages twice the size of the glyphs of a data set."""
    pages = dict(zip(data.names.tolist(), data.images.repeat(2, axis=1).repeat(2, axis=2), strict=True))
    entries = [Entry(name, None, lambda name=name: pages[name]) for name in pages]
    return Source("made up", (), "0", lambda: iter(entries), len(data))


def curve_epochs(speed: float, count: int = 3, probed: bool = True) -> list[EpochRecord]:
    """Make a training whose error falls by the factor `speed` per epoch of ten steps, and that probes the first."""

    def scores(steps: int) -> dict[str, float]:
        return {"val_accuracy": 1 - 0.8 * speed ** (steps / 10), "val_loss": speed ** (steps / 10)}

    records = [
        EpochRecord(epoch=n, accuracy=0.9, steps=10 * n, epoch_seconds=2.0, **scores(10 * n))
        for n in range(1, count + 1)
    ]
    probes = tuple(Probe(step=step, seconds=step / 5, **scores(step)) for step in PROBED)
    return [dataclasses.replace(records[0], probes=probes), *records[1:]] if probed else records


def initialized(
    root: Path, initialization: str, seed: int, speed: float, images_per_class: int | None = None, **changes
) -> Run:
    """Write a finished run of a comparison."""
    name = f"{initialization}-{images_per_class}" if images_per_class else initialization
    made = run(root, name=name, seed=seed, **changes)
    made.write_epochs(curve_epochs(speed))
    return made


@functools.cache
def compared() -> Comparison:
    """Compare five runs each from random weights and from digits, which learn faster and end no better."""
    rng, runs = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, speed in (("random", 0.5), ("digits", 0.2)):
            runs[name, None] = [
                initialized(root, name, seed, speed * rng.uniform(0.97, 1.03), accuracy=0.97 + rng.uniform(0, 0.001))
                for seed in range(5)
            ]
            runs[name, 3] = [initialized(root, name, seed, speed, 3, accuracy=0.5) for seed in range(5)]
        return comparison.summarize("part2", runs)


def cross_validation(
    model: str = "compact", interval: tuple[float, float] | None = (0.88, 0.92), networks: tuple[int, ...] = (1,)
) -> CrossValidationResult:
    """Make the result of a cross-validation with an accuracy of 90 %."""
    accuracy, other = MeanScore(0.9, 0.01 if interval else None, interval), MeanScore(0.3, None, None)
    return CrossValidationResult(
        part="part1",
        name=model,
        seed=0,
        scored="held-out folds",
        n=620,
        folds=5,
        repeats=1,
        ensemble=max(networks),
        tta=1,
        scores=tuple(CrossValidationScores(count, 1, 1.2, accuracy, other, other) for count in networks),
        errors=classification.ErrorKinds(0.05, 0.03, 0.02),
        epochs=20,
        train_seconds=31.6,
        model=model,
        parameters=1,
        macs=4_500_000,
        sample=False,
    )
