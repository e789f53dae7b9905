"""Finished run directories made of nothing: what training would leave behind, without the training."""

import dataclasses
from pathlib import Path

import numpy as np

from midas.data.datasets import Dataset
from midas.data.sources import Entry, Source
from midas.experiments import PARTS
from midas.metrics import classification as metrics
from midas.report import comparison
from midas.report import previews as inspection
from midas.runs import Run, atomic, write_json

LETTERS = list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def predictions(class_names: list[str], n: int = 60, seed: int = 0, wrong: float = 0.2) -> dict[str, np.ndarray]:
    """Make arrays as predictions.npz holds them; about `wrong` of the answers are another class than the label."""
    rng = np.random.default_rng(seed)
    k = len(class_names)
    labels = rng.integers(0, k, n)
    answers = np.where(rng.random(n) < wrong, (labels + rng.integers(1, k, n)) % k, labels)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), answers] = logits.max(axis=1) + rng.exponential(2, n) + 0.1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return {
        "probabilities": probabilities.astype(np.float32),
        "labels": labels.astype(np.int64),
        "names": np.array([f"folder/image-{number:03d}.png" for number in range(n)]),
        "images": rng.integers(0, 256, (n, 28, 28), np.uint8),
    }


def records(epochs: int = 5, validation: bool = True) -> list[dict]:
    """Make the lines of a metrics.jsonl whose learning rate falls once, in the middle."""
    lines = []
    for epoch in range(1, epochs + 1):
        line = {"epoch": epoch, "loss": 2 / epoch, "accuracy": 1 - 0.8 / epoch}
        if validation:
            line |= {"val_loss": 2.2 / epoch, "val_accuracy": 1 - 0.9 / epoch}
        line |= {"learning_rate": 0.002 if epoch <= epochs / 2 else 0.001, "epoch_seconds": 1.5}
        lines.append(line)
    return lines


def run(
    root: Path,
    part: str = "part2",
    name: str = "random",
    seed: int = 0,
    class_names: list[str] | None = None,
    n: int = 60,
    validation: bool = True,
    mapped: int = 0,
    **result,
) -> Run:
    """Write a finished run below `root`; further keywords go into its result.json over what is made up here.

    Images as they came are twice the size of glyphs. Of so many images as are to be `mapped`, which takes a while, the
    features are kept: the class, and noise.
    """
    class_names = class_names or LETTERS[:10]
    experiment = dataclasses.replace(PARTS[part], name=name, seed=seed)
    made = Run(root / experiment.run_path)
    arrays, epochs = predictions(class_names, n, seed), records(validation=validation)
    made.start(experiment)
    card = {
        "class_names": class_names,
        "size": 28,
        "part": part,
        "name": name,
        "model": "compact",
        "seed": seed,
        "data": experiment.data,
        "data_digest": "0123456789abcdef" * 4,
        "sample": False,
        "parameters": 291678,
        "multiply_adds": 4500000,
    }
    environment = {
        **{
            "midas": "1.0",
            "python": "3.11.0",
            "tensorflow": "2.21.0",
            "keras": "3.0",
            "numpy": "2.4",
            "opencv": "4.13",
        },
        "platform": "Linux",
        "processor": "made up",
        "cores": 2,
        "device": "CPU",
        "argv": ["midas", "run", part, "--name", name],
        "revision": "f" * 40,
        "data_digest": card["data_digest"],
        "started_utc": "2025-01-01T00:00:00Z",
        "finished_utc": "2025-01-01T00:01:00Z",
    }
    write_json(made / "card.json", card)
    write_json(made / "environment.json", environment)
    made.write_metrics(epochs)
    classes = arrays["labels"][:mapped, None]
    features = np.random.default_rng(seed).normal(classes, 0.1, (mapped, 4)).astype(np.float16)
    with atomic(made / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **arrays, mapped=np.arange(mapped), features=features)
    images, labels, names = (arrays[key] for key in ("images", "labels", "names"))
    data = Dataset(images, labels, tuple(class_names), names, np.zeros((n, 5), np.float32), page_sizes=(("56x56", n),))
    pages = dict(zip(names.tolist(), images.repeat(2, axis=1).repeat(2, axis=2), strict=True))
    entries = [Entry(name, None, lambda name=name: pages[name]) for name in pages]
    inspection.keep(made, experiment, data, Source("made up", (), "0", lambda: iter(entries), n), None)
    summary = metrics.summarise(arrays["probabilities"], arrays["labels"], class_names)
    made_up = {"part": part, "name": name, "seed": seed, "scored": "validation" if part == "part1" else "mnist-test"}
    made_up |= {**summary, "epochs": len(epochs), "best_epoch": len(epochs), "train_seconds": 7.5}
    made_up |= {"best_val_loss": epochs[-1].get("val_loss"), "best_val_accuracy": epochs[-1].get("val_accuracy")}
    write_json(made / "result.json", {**made_up, "sample": False, "limit": None, **result})
    return made


def curve_records(speed: float, epochs: int = 3, probed: bool = True) -> list[dict]:
    """A training whose error falls by `speed` an epoch of ten steps, and that scores three steps within the first."""

    def scores(steps):
        return {"val_accuracy": 1 - 0.8 * speed ** (steps / 10), "val_loss": speed ** (steps / 10)}

    lines = [
        {"epoch": n, "accuracy": 0.9, **scores(10 * n), "steps": 10 * n, "epoch_seconds": 2.0}
        for n in range(1, epochs + 1)
    ]
    if probed:
        lines[0]["probes"] = [{"step": step, **scores(step), "seconds": step / 5} for step in (0, 1, 3)]
    return lines


def started(root: Path, start: str, seed: int, speed: float, few: int | None = None, **result) -> Run:
    """Write a finished run of a comparison."""
    made = run(root, name=f"{start}-{few}" if few else start, seed=seed, **result)
    made.write_metrics(curve_records(speed))
    return made


def compared(root: Path) -> dict:
    """Summarise five runs each from random weights and from digits, which learn faster and end no better."""
    rng, runs = np.random.default_rng(0), {}
    for start, speed in (("random", 0.5), ("digits", 0.2)):
        runs[start, None] = [
            started(root, start, seed, speed * rng.uniform(0.97, 1.03), accuracy=0.97 + rng.uniform(0, 0.001))
            for seed in range(5)
        ]
        runs[start, 3] = [started(root, start, seed, speed, few=3, accuracy=0.5) for seed in range(5)]
    return comparison.summarise("part2", runs)
