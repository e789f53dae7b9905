"""The named experiments of the three parts, and recipes: settings that are replaced together."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from midas.errors import MidasError
from midas.experiments import Augmentation, Experiment

# Settings without an option of their own, changed by --set.
SETTABLE = (
    "freeze_backbone",
    "weight_decay",
    "label_smoothing",
    "teachers",
    "patience",
    "min_delta",
    "stop_patience",
    "tta",
)

_MNIST = Experiment(
    part="part2",
    name="random",
    data="mnist",
    test="mnist-test",
    batch_size=128,
    epochs=15,
    patience=1,
    stop_patience=4,
    val_fraction=0.1,
)

_AFFINE = Augmentation(elastic=0.0, stroke=0.0)

# The experiments that the commands run by default; "digits" is the pretraining of Part 2, "custom" any other data set.
PARTS = {
    "part1": Experiment(part="part1", name="compact", data="part1", test=None),
    "digits": Experiment(part="part2", name="digits", data="part1-digits", test=None),
    "part2": _MNIST,
    # The complementary labels of 6,000 images determine the validation loss to 0.002, its standard error: smaller
    # differences do not count in choosing the epoch. Affine augmentation alone needs fewer epochs.
    "part3": replace(
        _MNIST,
        part="part3",
        name="random-progressive",
        data="part3",
        model="deep",
        loss="progressive",
        schedule="cosine",
        optimizer="adamw",
        batch_size=256,
        learning_rate=4e-3,
        weight_decay=0.02,
        epochs=20,
        min_delta=2e-3,
        stop_patience=None,
        augmentation=_AFFINE,
    ),
    "custom": Experiment(
        part="custom", name="compact", data="custom", test=None, schedule="cosine", learning_rate=4e-3
    ),
}

# Initializations of Parts 2 and 3, as settings, by the name that comparisons give them.
INITIALIZATIONS: dict[str, dict[str, Any]] = {
    "random": {},
    "digits": {"init": "pretrained", "init_checkpoint": "digits"},
    "digits-frozen": {"init": "pretrained", "init_checkpoint": "digits", "freeze_backbone": True},
    "part1": {"init": "pretrained", "init_checkpoint": "part1"},
    "part1-frozen": {"init": "pretrained", "init_checkpoint": "part1", "freeze_backbone": True},
}
DEFAULT_CHECKPOINT = {"part2": "digits", "part3": "part1"}  # what a pretrained initialization starts from

# Settings that replace the part's own ones together, by the name of `--recipe`.
_COSINE = {"schedule": "cosine", "learning_rate": 4e-3, "stop_patience": None}
_ADAMW = {
    "schedule": "cosine",
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 0.02,
    "stop_patience": None,
}
_PLACED = {
    **_ADAMW,
    "model": "placed",
    "size": 36,
    "label_smoothing": 0.1,
    "epochs": 150,
    "augmentation": Augmentation(other_pens=0.33),
}
_DEEPER = {**_ADAMW, "model": "deeper", "batch_size": 256, "epochs": 12, "tta": 8, "augmentation": _AFFINE}
_FAST = {
    **_COSINE,
    "model": "fast",
    "learning_rate": 1.6e-2,
    "batch_size": 256,
    "epochs": 4,
    "augmentation": Augmentation(rotation=0.0, shear=0.0, scale=0.0, shift=0.04, elastic=0.0, stroke=0.0),
}
_PLATEAU_OR_COSINE: dict[str, dict[str, Any]] = {"plateau": {}, "cosine": _COSINE}
# The first recipe of a part is the default, "best" the most accurate.
_RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "part1": {
        **_PLATEAU_OR_COSINE,
        "best": _PLACED,
        "distilled": {**_PLACED, "teachers": ("placed", "deeper-placed")},
    },
    "part2": {**_PLATEAU_OR_COSINE, "fast": _FAST, "best": _DEEPER},
    "part3": {"cosine": {}},
    "custom": {
        "default": {},
        "quick": {"augmentation": Augmentation(elastic=0.0)},
        "best": {**_ADAMW, "label_smoothing": 0.1},
    },
}

# What replaces the settings of Parts 2 and 3 for data sets of about a thousand images, as in the embedded sample.
# Short trainings: the study on the sample is to end within minutes.
SMALL_DATA: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 3e-3,
    "epochs": 15,
    "patience": 8,
    "min_delta": 1e-4,
    "stop_patience": None,
}

# Those of Part 3: a small network, and more and smaller steps, picked once by hand; nothing shows that they are the
# best. Of 135 validation images the loss has sqrt(6000 / 135) times the standard error of 6,000, 0.002.
SMALL_PART3 = {**SMALL_DATA, "model": "fast", "batch_size": 32, "epochs": 40, "min_delta": 0.013}

# Of the trainings on the sample's drawings, which are easier than real ones.
SAMPLE_EPOCHS = 25

# How many steps, and so epochs, suit data of any size; with which batches, by the number of images from which on.
STEPS = {"quick": 300, "default": 1000, "best": 2500}
MIN_EPOCHS = {"quick": 2, "default": 6, "best": 12}
MAX_EPOCHS = {"quick": 100, "default": 300, "best": 600}  # half of it with a validation set, which takes longest then
BATCH_SIZES = ((50_000, 256), (5_000, 128), (100, 64), (0, 32))
FEW_PER_CLASS, FEW_IMAGES, MANY_IMAGES = 10, 200, 2_000  # cross-validation below, unless there are many images
MAX_FOLDS, MAX_VALIDATION = 5, 10_000

# Settings that do not tell one recipe from another.
_FREE = ("model", "size", "epochs", "batch_size", "learning_rate")


def for_sample(experiment: Experiment) -> Experiment:
    """Give an experiment the settings that suit the embedded sample.

    >>> for_sample(PARTS["part1"]).epochs, for_sample(PARTS["part2"]).batch_size, for_sample(PARTS["part3"]).model
    (25, 64, 'fast')
    """
    if not experiment.test:
        return replace(experiment, epochs=SAMPLE_EPOCHS)
    return replace(experiment, **(SMALL_PART3 if experiment.part == "part3" else SMALL_DATA))


def suited(experiment: Experiment, recipe: str, images: int, smallest: int | None) -> Experiment:
    """Give an experiment on other data than those of the parts the settings that suit their size.

    Args:
        experiment: follows the recipe.
        recipe: one of `recipes("custom")`.
        images: number of training images.
        smallest: number of images of the smallest class; None if only some of the images are used.

    >>> few = suited(PARTS["custom"], "default", images=15, smallest=3)
    >>> few.epochs, few.batch_size, few.val_fraction, few.folds
    (300, 32, 0.0, 3)
    >>> many = suited(PARTS["custom"], "default", images=1_000_000, smallest=100_000)
    >>> many.epochs, many.batch_size, many.val_fraction, many.folds
    (6, 256, 0.01, None)
    """
    batch_size = next(size for least, size in BATCH_SIZES if images >= least)
    is_small = images < MANY_IMAGES and smallest is not None and (smallest < FEW_PER_CLASS or images < FEW_IMAGES)
    share = 0.2 if images <= 10_000 else min(0.1, MAX_VALIDATION / images)
    epochs = math.ceil(STEPS[recipe] / math.ceil(images * (1 - (0 if is_small else share)) / batch_size))
    return replace(
        experiment,
        batch_size=batch_size,
        epochs=min(max(epochs, MIN_EPOCHS[recipe]), MAX_EPOCHS[recipe] // (1 if is_small else 2)),
        val_fraction=0.0 if is_small else share,
        folds=max(2, min(MAX_FOLDS, smallest)) if is_small and smallest and not experiment.test else None,
    )


def recipes(part: str) -> dict[str, dict[str, Any]]:
    """List the recipes of a part with the settings they stand for."""
    return _RECIPES[part]


def with_recipe(experiment: Experiment, recipe: str) -> Experiment:
    """Apply a recipe; settings of the recipe it followed before go back to the part's own.

    >>> with_recipe(with_recipe(PARTS["part2"], "cosine"), "plateau") == PARTS["part2"]
    True
    """
    choices, part = recipes(experiment.part), PARTS[experiment.part]
    before = choices[recipe_of(experiment)]
    defaults = {key: getattr(part, key) for key, value in before.items() if getattr(experiment, key) == value}
    return replace(experiment, **{**defaults, **choices[recipe]})


def recipe_of(experiment: Experiment) -> str:
    """Name the recipe that an experiment follows, whatever its model, size, epochs, batch size and learning rate.

    >>> recipe_of(with_recipe(PARTS["part1"], "best"))
    'best'
    """
    return next(
        name
        for name, settings in reversed(recipes(experiment.part).items())
        if all(getattr(experiment, key) == value for key, value in settings.items() if key not in _FREE)
    )


def with_setting(experiment: Experiment, assignment: str) -> Experiment:
    """Change one of the settings without an option of their own, written NAME=VALUE.

    NAME is in `SETTABLE`, or `augmentation.` and one of the strengths; VALUE is JSON.

    Raises:
        MidasError: there is no such setting, or it cannot have this value.

    >>> with_setting(PARTS["part1"], "augmentation.elastic=0").augmentation.elastic
    0
    """
    name, _, text = assignment.partition("=")
    strength = name.removeprefix("augmentation.")
    strengths = dataclasses.asdict(experiment.augmentation) if experiment.augmentation else {}
    is_strength = strength != name and strength in strengths
    if not is_strength and name not in SETTABLE:
        if name in strengths:
            raise MidasError(f"--set {assignment}: no such setting; did you mean augmentation.{assignment}?")
        choices = ", ".join([*SETTABLE, *(f"augmentation.{each}" for each in strengths)])
        raise MidasError(f"--set {assignment}: no such setting; write NAME=VALUE with one of {choices}")
    try:
        value = json.loads(text)
        new = {"augmentation": {**strengths, strength: value}} if is_strength else {name: value}
        return Experiment.from_json({**experiment.to_json(), **new})
    except (ValueError, MidasError) as error:
        reason = error if isinstance(error, MidasError) else "write a number, true, false, null or a list in JSON"
        raise MidasError(f"--set {assignment}: {name} cannot be {text!r} ({reason})") from error


def with_model(experiment: Experiment, model: str) -> Experiment:
    """Change the model, and the name accordingly."""
    other = replace(experiment, model=model)
    suffix = experiment.name.removeprefix(named(experiment).name)
    return replace(other, name=named(other).name + suffix)


def named(experiment: Experiment) -> Experiment:
    """Name an experiment after the settings that differ from the default of its part.

    >>> named(replace(PARTS["part3"], init="pretrained", init_checkpoint="part1")).name
    'pretrained-progressive'
    """
    recipe = recipe_of(experiment)
    expected = replace(PARTS[experiment.part], **recipes(experiment.part)[recipe])
    if experiment.part == "part1":
        words = [experiment.model]
    elif experiment.part == "custom":
        words = [re.sub(r"[^\w-]+", "-", Path(experiment.data).stem).strip("-") or "data", experiment.model]
    else:
        words = [experiment.init]
        words += [experiment.loss] if experiment.part == "part3" else []
        words += [experiment.model] if experiment.model != expected.model else []
    if experiment.init_checkpoint not in (None, DEFAULT_CHECKPOINT.get(experiment.part)):
        words.append(experiment.init_checkpoint if experiment.init_checkpoint in ("digits", "part1") else "from")
    words += [recipe] if recipes(experiment.part)[recipe] else []
    words += [f"{experiment.size}px"] if experiment.size != 28 else []
    is_all = not (experiment.val_fraction or experiment.folds or (experiment.part == "custom" and experiment.test))
    words += ["all-data"] if is_all else []
    words += [f"limit-{experiment.limit}"] if experiment.limit else []
    return replace(experiment, name="-".join(words))
