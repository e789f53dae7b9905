"""The typed records of a run directory; `runs` reads and writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from midas.experiments import Augmentation
from midas.metrics.classification import ClassScores, ErrorKinds, Scores
from midas.metrics.complementary import AccuracyEstimate
from midas.metrics.significance import McNemarTest

if TYPE_CHECKING:
    import numpy as np


# ---- card.json, environment.json, metrics.jsonl, data.json


@dataclass(frozen=True)
class ShippedCard:
    """What vouches for a network that ships with midas.

    Attributes:
        seeds: of the networks in it.
        command: that trained them.
        tensorflow: version they were trained with.
        sha256: of each file.
        evidence: scores of the cross-validation, or on the test set by seed.
    """

    seeds: tuple[int, ...]
    command: str
    tensorflow: str
    sha256: dict[str, str]
    evidence: dict[str, Any]


@dataclass(frozen=True)
class PlaceStatistics:
    """How large each class is drawn and where on the page, in the training set.

    Attributes:
        means: (K, 4), the mean of each class in height, width and position, in the units of `glyphs.place_on_page`.
        variances: (4,), within a class.
    """

    means: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]


@dataclass(frozen=True)
class PenStatistics:
    """How wide the strokes of the glyphs of the training set are, in their pixels.

    Attributes:
        finest: of the finest glyphs.
        fine: of finer glyphs than most.

    Raises:
        ValueError: a width is not a positive number.
    """

    finest: float
    fine: float

    def __post_init__(self) -> None:
        if not 0 < self.finest <= self.fine < math.inf:
            raise ValueError(f"not the widths of a fine and a less fine pen: {self.finest!r}, {self.fine!r}")


@dataclass(frozen=True)
class Card:
    """card.json: what is needed to use a network, and what it was trained on.

    Attributes:
        class_names: one per output.
        size: side of the input in pixels.
        model: architecture, one of `experiments.MODEL_NAMES`.
        tta: augmented copies per image that probabilities are averaged over.
        augmentation: strengths in training; None if it used no augmentation.
        temperature: calibrates the probabilities of single images.
        tta_temperature: calibrates the probabilities averaged over augmented copies.
        reject_below: probability below which a prediction is unsure: 1 % of the correct ones are; None if unknown.
        places: how large each class is drawn and where; None if that is unknown.
        pen: how wide the strokes are; None if that is unknown.
        part, name, seed: of the experiment.
        data: the training set.
        data_digest: digest of the training set.
        trained_on: all training sets, those of the pretraining included.
        sample: whether it was trained on the embedded sample.
        parameters: number of weights.
        macs: multiply-accumulate operations for one image.
        shipped: for networks that ship with midas.

    Raises:
        ValueError: the size, tta or a temperature is not positive, or strokes are as wide as a glyph.
    """

    class_names: tuple[str, ...]
    size: int = 28
    model: str = "compact"
    tta: int = 1
    augmentation: Augmentation | None = None
    temperature: float = 1.0
    tta_temperature: float = 1.0
    reject_below: float | None = None
    places: PlaceStatistics | None = None
    pen: PenStatistics | None = None
    part: str | None = None
    name: str | None = None
    seed: int | None = None
    data: str | None = None
    data_digest: str | None = None
    trained_on: tuple[str, ...] = ()
    sample: bool = False
    parameters: int | None = None
    macs: int | None = None
    shipped: ShippedCard | None = None

    def __post_init__(self) -> None:
        for name in ("size", "tta", "temperature", "tta_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
        if self.pen and self.pen.fine >= self.size:
            raise ValueError(f"pen: strokes {self.pen.fine!r} pixels wide do not fit into glyphs of {self.size}")


@dataclass(frozen=True)
class Environment:
    """environment.json: software, hardware and provenance of a run."""

    midas: str | None = None
    python: str | None = None
    tensorflow: str | None = None
    keras: str | None = None
    numpy: str | None = None
    opencv: str | None = None
    platform: str | None = None
    processor: str | None = None
    cores: int | None = None
    device: str | None = None
    argv: tuple[str, ...] = ()
    revision: str | None = None
    data_digest: str | None = None
    init_digest: str | None = None
    started_utc: str | None = None
    finished_utc: str | None = None


@dataclass(frozen=True)
class Probe:
    """Scores of the validation set within an epoch, after `step` steps and `seconds` of the epoch's training."""

    step: int
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl. Validation scores of Part 3 are estimated from complementary labels.

    Attributes:
        epoch: from 1.
        loss, accuracy: of training; there is no accuracy for complementary labels.
        val_loss, val_accuracy: None without a validation set.
        learning_rate: at the start of the epoch.
        steps: of the whole training so far.
        epoch_seconds: of training and validation, without probes.
        probes: scores within the epoch.
    """

    epoch: int
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    learning_rate: float | None = None
    steps: int | None = None
    epoch_seconds: float = 0.0
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class DatasetSummary:
    """Counts of a data set.

    Attributes:
        images, classes: how many.
        images_per_class: by class name.
        smallest_class, largest_class: images in them.
        page_sizes: images by their size before preprocessing, "WIDTHxHEIGHT".
        skipped: images that could not be used.
        mean_ink: mean gray level of the glyphs in 0-1.
        digest: of the data set.
        is_sample: whether it is the embedded sample.
    """

    images: int
    classes: int
    images_per_class: dict[str, int]
    smallest_class: int
    largest_class: int
    page_sizes: dict[str, int]
    skipped: tuple[Skipped, ...]
    mean_ink: float
    digest: str
    is_sample: bool


@dataclass(frozen=True)
class DataRecord:
    """data.json: the training set, validation images included, and the test set if there is one."""

    data: DatasetSummary
    test: DatasetSummary | None = None


# ---- result.json


@dataclass(frozen=True, kw_only=True)
class Result(Scores):
    """result.json of a training: the scores of what it was evaluated on, and how the training went.

    Attributes:
        part, name, seed: of the experiment.
        scored: what was scored: "validation", "training", or the name of the test set.
        epochs: epochs trained.
        best_epoch: the epoch whose network is used.
        train_seconds: of all epochs.
        teacher_seconds: of all epochs of the teachers; None without any.
        best_val_loss, best_val_accuracy: of that epoch; None without a validation set.
        sample: whether it was trained on the embedded sample.
        limit: images trained on, if limited.
        skipped: images of the training set that could not be used.
        argmin_accuracy: accuracy if the *least* probable class is taken as the prediction (Part 3).
        estimate: accuracy on the validation set, estimated from complementary labels.
        predicted_by_label: validation images by predicted class (rows) and complementary label (columns).
        zero_shot_accuracy, zero_shot_macro_f1, zero_shot_per_class: scores of the initialization on the test set.
    """

    part: str
    name: str
    seed: int
    scored: str
    epochs: int
    best_epoch: int
    train_seconds: float
    teacher_seconds: float | None = None
    best_val_loss: float | None = None
    best_val_accuracy: float | None = None
    sample: bool = False
    limit: int | None = None
    skipped: int = 0
    argmin_accuracy: float | None = None
    estimate: AccuracyEstimate | None = None
    predicted_by_label: tuple[tuple[int, ...], ...] | None = None
    zero_shot_accuracy: float | None = None
    zero_shot_macro_f1: float | None = None
    zero_shot_per_class: tuple[ClassScores, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("accuracy", "argmin_accuracy", "zero_shot_accuracy"):
            if not 0 <= (getattr(self, name) or 0) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)!r}")


@dataclass(frozen=True)
class MeanScore:
    """A score over the folds and repeats of a cross-validation: mean, sample standard deviation and 95 % interval."""

    mean: float
    standard_deviation: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class CrossValidationScores:
    """Cross-validated scores of one way to predict, after temperature scaling fitted on the other folds.

    Attributes:
        networks: whose probabilities are averaged.
        tta: augmented copies per image that they are averaged over.
        temperature: fitted on all out-of-fold predictions.
        accuracy, case_merged_accuracy, log_loss: over folds and repeats.
        calibration_error: over repeats.
    """

    networks: int
    tta: int
    temperature: float
    accuracy: MeanScore
    log_loss: MeanScore
    calibration_error: MeanScore
    case_merged_accuracy: MeanScore | None = None


@dataclass(frozen=True)
class CrossValidationResult:
    """result.json of a cross-validation.

    Attributes:
        part, name, seed: of the experiment.
        scored: what was scored.
        n: number of images.
        folds, repeats, ensemble, tta: the protocol.
        scores: for each way to predict.
        errors: kinds of errors, with the whole ensemble and all augmented copies.
        epochs: mean number trained.
        train_seconds: mean of the trainings, their teachers included.
        model, parameters, macs, sample: of the networks.
    """

    part: str
    name: str
    seed: int
    scored: str
    n: int
    folds: int
    repeats: int
    ensemble: int
    tta: int
    scores: tuple[CrossValidationScores, ...]
    errors: ErrorKinds
    epochs: float
    train_seconds: float
    model: str
    parameters: int
    macs: int
    sample: bool

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError("scores cannot be empty")


# ---- comparison.json


@dataclass(frozen=True)
class Spread:
    """A measure over seeds; None where a run did not reach it. The standard deviation is that of a sample."""

    mean: float | None
    standard_deviation: float | None
    n: int
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class CurvePoint:
    """A point of a learning curve: steps and seconds of training, and the validation scores."""

    steps: int
    seconds: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class InitializationSummary:
    """The runs from one initialization.

    Attributes:
        name: a key of `recipes.INITIALIZATIONS`.
        measures: each measure over seeds.
        zero_shot: recall of the initialization on the test set by class, over seeds.
        curves: learning curves, one per seed.
    """

    name: str
    measures: dict[str, Spread]
    zero_shot: dict[str, Spread]
    curves: tuple[tuple[CurvePoint, ...], ...]


@dataclass(frozen=True)
class MeasureDifference:
    """The difference of one measure between two initializations, over paired seeds.

    Attributes:
        measure: its key.
        pairs: seeds that have it in both.
        ours, baseline: means over these seeds.
        difference, interval, effect_size, p_value: of the paired t-test.
        corrected_p: the p-value after Holm's correction for the number of measures.
        significant: whether it lies below the significance level.
    """

    measure: str
    pairs: int
    ours: float
    baseline: float
    difference: float
    interval: tuple[float, float]
    effect_size: float | None
    p_value: float
    corrected_p: float
    significant: bool


@dataclass(frozen=True)
class InitializationDifference:
    """How the trainings from one initialization differ from the baseline's: by measure, and by test image and seed."""

    name: str
    baseline: str
    measures: tuple[MeasureDifference, ...]
    mcnemar: tuple[McNemarTest, ...]


@dataclass(frozen=True)
class LabelEfficiency:
    """Test accuracy with few images per class from one initialization, over seeds."""

    name: str
    images_per_class: int
    accuracy: Spread


@dataclass(frozen=True)
class Comparison:
    """comparison.json: the same training from several initializations, paired by seed."""

    part: str
    seeds: tuple[int, ...]
    initializations: tuple[InitializationSummary, ...]
    differences: tuple[InitializationDifference, ...]
    label_efficiency: tuple[LabelEfficiency, ...] = ()
    notes: tuple[str, ...] = ()


# ---- arrays: predictions.npz, samples.npz


@dataclass(frozen=True, eq=False)
class Predictions:
    """predictions.npz: what was scored.

    Attributes:
        probabilities: float32 (n, k).
        labels: int64 (n,).
        names: str (n,), where each image came from.
        images: uint8 (n, side, side).
        embedded: int64 (m,), indices of the images whose features are kept.
        features: float16 (m, d), inputs of the last layer.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    images: np.ndarray
    embedded: np.ndarray | None = None
    features: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, int64 (n,)."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Samples:
    """samples.npz: some of the training images, for the report.

    Attributes:
        images: uint8 (n, side, side), evenly over the classes.
        labels: int64 (n,).
        prepared: uint8 (m, side, side), the glyphs of `pages`.
        prepared_labels: int64 (m,).
        augmented: uint8 (r, 1 + copies, side, side), glyphs and augmented copies of them.
        augmented_labels: int64 (r,).
        pages: m thumbnails of the images before preprocessing, uint8 (height, width).
    """

    images: np.ndarray
    labels: np.ndarray
    prepared: np.ndarray
    prepared_labels: np.ndarray
    augmented: np.ndarray
    augmented_labels: np.ndarray
    pages: list[np.ndarray] = field(default_factory=list)
