"""What to train, as data: a frozen record that, with the data, determines the network."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any

from midas.errors import MidasError
from midas.files import check_types, parse, plain

LOSSES = (
    "cross-entropy",
    "progressive",
    "complementary",
    "scl-exp",
    "unbiased",
    "non-negative",
    "gradient-ascent",
    "l-w",
)
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "adadelta", "adagrad")
MODEL_NAMES = (
    "compact",
    "fast",
    "deep",
    "deeper",
    "baseline",
    "original",
    "experimental",
    "alexnet",
    "vgg",
    "resnet",
    "placed",
    "deeper-placed",
)
# Allowed values of the settings that are words.
CHOICES = {
    "part": ("part1", "part2", "part3", "custom"),
    "model": MODEL_NAMES,
    "init": ("random", "pretrained"),
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": ("plateau", "cosine"),
}
LOWEST = {"size": 14, "seed": 0, "epochs": 1, "batch_size": 1, "tta": 1, "patience": 1, "limit": 1, "folds": 2}
RETIRED = {"rounds": 0}  # settings of earlier versions, by the value that changed nothing
PROBE_STEPS = (0, 1, 3, 10, 30, 100, 300)  # steps of the first epochs after which the validation set is scored
# Upper limits of the augmentation: beyond them little is legible, and with `stroke` gray levels would overflow.
STRONGEST = {
    "rotation": 180,
    "shear": 80,
    "scale": 2,
    "shift": 1,
    "elastic": 1,
    "stroke": 1,
    "place_noise": 2,
    "place_dropout": 1,
    "occlusion": 1,
    "pen": 1,
    "other_pens": 1,
}


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the random deformations of one image; 0 switches one off.

    Attributes:
        rotation: maximum, in degrees, in either direction.
        shear: maximum slant, in degrees, in either direction.
        scale: natural logarithm of the largest stretch, drawn separately for width and height.
        shift: maximum, as a fraction of the image's side.
        elastic: standard deviation of the displacement of the elastic grid's points, as a fraction of the side.
        stroke: how far pen strokes are thickened or thinned, 1 meaning by one pixel on each side.
        place_noise: standard deviation of the noise added to the place, in the units of `Glyph.place`.
        place_dropout: fraction of the images whose place is hidden, so that a network learns to do without it.
        occlusion: largest side of a rectangle that is blackened in half of the images, as a fraction of the side.
        pen: how far strokes are moved toward one common width, 1 meaning by up to one pixel on each side. The only one
            that is not random; together with `stroke` it changes at most one pixel.
        other_pens: fraction of the images that are redrawn with another pen (`pens.redraw`), whose place is hidden.

    Raises:
        MidasError: a strength is negative or beyond `STRONGEST`.
    """

    rotation: float = 12.0
    shear: float = 12.0
    scale: float = 0.15
    shift: float = 0.08
    elastic: float = 0.03
    stroke: float = 0.6
    place_noise: float = 0.15
    place_dropout: float = 0.2
    occlusion: float = 0.0
    pen: float = 0.0
    other_pens: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in STRONGEST.items():
            if not 0 <= getattr(self, name) <= limit:
                raise MidasError(f"{name} must lie in [0, {limit}], not {getattr(self, name)}")


@dataclass(frozen=True)
class Experiment:
    """One training, fully described: the same record and the same data give the same network.

    Attributes:
        part: "part1", "part2", "part3", or "custom" for other data sets.
        name: distinguishes it from the part's other experiments; the second level of the run directory.
        data: the training set: a name that `datasets.load` knows, or the path of a custom data set.
        test: the test set, scored once at the end, or None to score the validation set.
        model: architecture, one of `MODEL_NAMES`.
        size: side of the network's input in pixels.
        init: initialization: "random", or "pretrained" to start from `init_checkpoint`.
        init_checkpoint: "digits" or "part1" for a network of Part 1, or the path of a checkpoint; its last layer is
            replaced unless the classes are the same.
        freeze_backbone: train the last layer only (a linear probe).
        loss: one of `LOSSES`; "cross-entropy" takes labels as correct, the others as complementary labels.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: initial (plateau) or peak (cosine) learning rate.
        weight_decay: decoupled from the gradient (Loshchilov and Hutter 2019).
        label_smoothing: fraction of the target that is spread over all classes.
        teachers: architectures of networks that are trained first, in the same way on the same images; what they
            predict on average then counts as a target, too (`learning.distillation`).
        schedule: "plateau" (ReduceLROnPlateau) or "cosine" (linear warm-up over a tenth, then cosine decay).
        patience: epochs without a lower validation loss before the plateau schedule reduces the learning rate.
        min_delta: by how much a validation loss must be lower to count as lower, there and in choosing the epoch.
        stop_patience: epochs without a lower validation loss before training stops; None disables early stopping.
        epochs: maximum number of epochs.
        batch_size: images per step.
        tta: augmented copies of each image that the trained network's probabilities are averaged over, the image itself
            included (test-time augmentation).
        augmentation: strengths, or None for no augmentation.
        val_fraction: fraction of the training images, stratified, that is split off as the validation set; 0 for none.
        folds: of a cross-validation that measures the accuracy where all images are trained on; None for none.
        limit: train on this many images only; None for all.
        seed: random seed.

    Raises:
        MidasError: a setting is not allowed, or settings contradict each other.
    """

    part: str
    name: str
    data: str
    test: str | None
    model: str = "compact"
    size: int = 28
    init: str = "random"
    init_checkpoint: str | None = None
    freeze_backbone: bool = False
    loss: str = "cross-entropy"
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    teachers: tuple[str, ...] = ()
    schedule: str = "plateau"
    patience: int = 4
    min_delta: float = 1e-4
    stop_patience: int | None = None
    epochs: int = 80
    batch_size: int = 64
    tta: int = 1
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    val_fraction: float = 0.2
    folds: int | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            check_types(self)
        except ValueError as error:
            raise MidasError(str(error)) from error
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise MidasError(f"{name} cannot be {value!r}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise MidasError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", self.name):
            raise MidasError(f"{self.name!r} cannot name a run: it must be the name of a folder, and not a hidden one")
        for name, lowest in LOWEST.items():
            if getattr(self, name) is not None and getattr(self, name) < lowest:
                raise MidasError(f"{name} must be at least {lowest}, not {getattr(self, name)}")
        if not 0 <= self.val_fraction < 1:
            raise MidasError(f"val_fraction must lie in [0, 1), not {self.val_fraction}")
        if self.folds and (self.val_fraction or self.test):
            raise MidasError("folds need val_fraction 0 and no test set: one accuracy is measured, not two")
        if not 0 <= self.label_smoothing < 1 or (self.label_smoothing and self.is_complementary):
            raise MidasError("label_smoothing must lie in [0, 1), and be 0 unless the loss is 'cross-entropy'")
        if unknown := [name for name in self.teachers if name not in MODEL_NAMES]:
            raise MidasError(f"teachers must be among {', '.join(MODEL_NAMES)}, not {unknown[0]!r}")
        if self.teachers and self.is_complementary:
            raise MidasError("teachers need the loss 'cross-entropy'")
        if self.freeze_backbone and self.init == "random":
            raise MidasError("freeze_backbone needs init 'pretrained': a random backbone must be trained")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise MidasError("learning_rate must be positive, and weight_decay not negative")

    @property
    def run_path(self) -> str:
        """Where the run lies below the root of the runs, e.g. "part2/random/seed-0"."""
        return f"{self.part}/{self.name}/seed-{self.seed}"

    @property
    def all_epochs(self) -> int:
        """Maximum number of epochs, those of the teachers included."""
        return self.epochs * (1 + len(self.teachers))

    @property
    def is_complementary(self) -> bool:
        """Whether labels are taken as complementary, not as correct."""
        return self.loss != "cross-entropy"

    def to_json(self) -> dict[str, Any]:
        """Give the record as plain JSON values; `Experiment.from_json` reads it back."""
        return plain(self)

    @classmethod
    def from_json(cls, values: Any) -> Experiment:
        """Read what `to_json` returned.

        Raises:
            MidasError: a setting is unknown, missing or of the wrong type.

        >>> experiment = Experiment("part1", "mine", "part1", None)
        >>> Experiment.from_json(experiment.to_json()) == experiment
        True
        """
        try:
            experiment = parse(cls, values)
            names = {setting.name for setting in dataclasses.fields(cls)}
            limits = {setting.name for setting in dataclasses.fields(Augmentation)}
            unknown = [
                *(values.keys() - names - {name for name in RETIRED if values.get(name) == RETIRED[name]}),
                *((values.get("augmentation") or {}).keys() - limits),
            ]
        except ValueError as error:
            raise MidasError(f"not the settings of an experiment: {error}") from error
        if unknown:
            raise MidasError(f"not the settings of an experiment: {min(unknown)} is unknown")
        return experiment

    def differences(self, other: Experiment) -> str:
        """List in one phrase the settings in which two experiments differ; empty if they are the same."""
        ours, theirs = self.to_json(), other.to_json()
        return ", ".join(f"{key} {theirs[key]!r} instead of {ours[key]!r}" for key in ours if ours[key] != theirs[key])
