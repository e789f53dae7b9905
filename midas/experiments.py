"""What to run, as data: one frozen record says everything a training needs, and the three parts are values of it."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field

from midas.errors import MidasError

LOSSES = ("given", "complementary", "scl-exp", "unbiased", "non-negative", "gradient-ascent", "l-w")
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
)
SETTABLE = ("frozen", "weight_decay", "label_smoothing", "patience", "min_delta", "stop_patience", "views")  # by --set
# What the settings that are words may say; data sets are found by name where they are defined.
CHOICES = {
    "model": MODEL_NAMES,
    "part": ("part1", "part2", "part3"),
    "init": ("random", "pretrained"),
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": ("plateau", "cosine"),
}
PROBED = (0, 1, 3, 10, 30, 100, 300)  # steps after which the held-out images are scored within an epoch
# The most that may be asked for: beyond it little is left to read, and with `stroke` grey levels would wrap round.
STRONGEST = {
    "rotation": 180,
    "shear": 80,
    "scale": 2,
    "shift": 1,
    "elastic": 1,
    "stroke": 1,
    "place": 2,
    "unplaced": 1,
    "occlusion": 1,
    "pen": 1,
}


@dataclass(frozen=True)
class Augmentation:
    """Upper limits of the random deformations of one image; 0 switches one off.

    Attributes:
        rotation: degrees either way.
        shear: degrees of slant either way.
        scale: natural logarithm of the largest stretch, drawn for width and height apart.
        shift: part of the image's side.
        elastic: standard deviation of the displacement of the elastic grid's points, as part of the side.
        stroke: how far a pen stroke is thickened or thinned, 1 meaning by one pixel on each side.
        place: standard deviation of what is added to the glyph's place, in the units of `preprocessing.place`.
        unplaced: part of the images whose place is withheld, so that a network learns to do without.
        occlusion: largest side of a rectangle that is blackened in half of the images, as part of the image's side.
        pen: how far strokes are moved to one common width, 1 meaning as far as one pixel on each side reaches. The
            only one that is not random; what it does counts together with `stroke`, at most one pixel.

    Raises:
        MidasError: one is negative or beyond `STRONGEST`.
    """

    rotation: float = 12.0
    shear: float = 12.0
    scale: float = 0.15
    shift: float = 0.08
    elastic: float = 0.03
    stroke: float = 0.6
    place: float = 0.15
    unplaced: float = 0.2
    occlusion: float = 0.0
    pen: float = 0.0

    def __post_init__(self):
        for name, most in STRONGEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise MidasError(f"{name} must lie in [0, {most}], not {getattr(self, name)}")


@dataclass(frozen=True)
class Experiment:
    """One training, fully described: the same record on the same data gives the same network.

    Attributes:
        part: "part1", "part2" or "part3".
        name: what tells it from the part's other experiments; the second level of the run directory.
        data: the data set trained on, as `datasets.load` names them.
        test: the data set scored once at the end, or None to score the validation images.
        model: a name of `models.MODELS`.
        size: side of the network's input in pixels.
        init: "random", or "pretrained" to start from `source`.
        source: path of the checkpoint to start from; its last layer is replaced unless the classes are the same.
        frozen: train the last layer only, and leave all others as they are in the source.
        loss: one of `LOSSES`, as `losses.make` takes them; "given" takes a label for the class, the others for a class
            that the image is not of.
        rounds: how often, with the loss "complementary", a fresh network is trained on what the answers of those
            before it leave possible; 0 to go by the labels alone.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: at the start.
        weight_decay: of the optimiser, decoupled from the gradient (Loshchilov and Hutter 2019).
        label_smoothing: part of the target that is spread over all classes.
        schedule: "plateau" (ReduceLROnPlateau) or "cosine" (linear warm-up over a tenth, then half a cosine).
        patience: epochs without a better validation loss before the plateau schedule lowers the rate.
        min_delta: by how much a validation loss must be lower to count as better, there and in choosing the epoch.
        stop_patience: epochs without a better validation loss before training stops; None never stops early.
        epochs: at most this many.
        batch_size: images a step.
        views: of each image, over which the trained network's answers are averaged, as `augmentation.views` gives them.
        augmentation: deformation limits, or None for none.
        val_fraction: part of the training images, stratified, held out before anything else is done; 0 for none.
        limit: train on this many images only, for a trial; None for all.
        seed: of everything random.
    """

    part: str
    name: str
    data: str
    test: str | None
    model: str = "compact"
    size: int = 28
    init: str = "random"
    source: str | None = None
    frozen: bool = False
    loss: str = "given"
    rounds: int = 0
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    schedule: str = "plateau"
    patience: int = 4
    min_delta: float = 1e-4
    stop_patience: int | None = None
    epochs: int = 80
    batch_size: int = 64
    views: int = 1
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    val_fraction: float = 0.2
    limit: int | None = None
    seed: int = 0

    def __post_init__(self):
        for setting in dataclasses.fields(self):
            value, kind = getattr(self, setting.name), int | float if setting.type is float else setting.type
            if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
                raise MidasError(f"{setting.name} cannot be {value!r}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise MidasError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")
        if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", self.name):
            raise MidasError(f"{self.name!r} cannot name a run: it names a folder, and no hidden one")
        lowest = {"size": 14, "seed": 0, "rounds": 0}
        for name in ("epochs", "batch_size", "views", "patience", "limit", *lowest):
            low = lowest.get(name, 1)
            if getattr(self, name) is not None and getattr(self, name) < low:
                raise MidasError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if not 0 <= self.val_fraction < 1:
            raise MidasError(f"val_fraction must lie in [0, 1), not {self.val_fraction}")
        if not 0 <= self.label_smoothing < 1 or (self.label_smoothing and self.loss != "given"):
            raise MidasError("label_smoothing must lie in [0, 1), and be 0 unless the loss is 'given'")
        if self.rounds and self.loss != "complementary":
            raise MidasError(f"rounds go with the loss 'complementary', not with {self.loss!r}")
        if self.frozen and self.init == "random":
            raise MidasError("frozen goes with init 'pretrained': random weights are no use without training")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise MidasError("learning_rate must be positive, and weight_decay not negative")

    @property
    def run_path(self) -> str:
        """Where the run lies below the runs' root, e.g. "part2/random/seed-0"."""
        return f"{self.part}/{self.name}/seed-{self.seed}"

    @property
    def taught_by(self) -> "tuple[Experiment, ...]":
        """The experiments whose networks' answers together are learnt from: the same with a round less; none without.

        After the rounds that are usual, they are the part's own experiments from either start: large networks are for
        the last round only. They have the same seed in any case, and so hold out the same images.

        >>> [one.name for one in with_recipe(PARTS["part3"], "best").taught_by]
        ['random-complementary', 'pretrained-complementary']
        >>> [one.name for one in PARTS["part3"].taught_by]
        ['random-complementary-plain']
        """
        if not self.rounds:
            return ()
        usual = PARTS[self.part]
        if self.rounds == usual.rounds + 1:
            same = {name: getattr(self, name) for name in ("data", "test", "size", "val_fraction", "limit", "seed")}
            starts = {"init": "random", "source": None}, {"init": "pretrained", "source": self.source or "part1"}
            return tuple(named(dataclasses.replace(usual, **same, **start)) for start in starts)
        own = re.sub("-1-round$|-[0-9]+-rounds$", "", self.name)
        return (dataclasses.replace(self, rounds=self.rounds - 1, name=f"{own}-{_rounds(self.rounds - 1)}"),)

    def to_json(self) -> dict:
        """The record as plain JSON values; `Experiment.from_json` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "Experiment":
        """Read what `to_json` wrote.

        Raises:
            MidasError: a key is unknown or missing.

        >>> experiment = PARTS["part1"]
        >>> Experiment.from_json(experiment.to_json()) == experiment
        True
        """
        try:
            values = dict(values)
            if values.get("augmentation") is not None:
                values["augmentation"] = Augmentation(**values["augmentation"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise MidasError(f"not a record of an experiment: {str(error).split('__init__() ')[-1]}") from error

    def differences(self, other: "Experiment") -> str:
        """Say in one phrase in which settings two experiments differ; empty when they are the same."""
        ours, theirs = self.to_json(), other.to_json()
        return ", ".join(f"{key} {theirs[key]!r} instead of {ours[key]!r}" for key in ours if ours[key] != theirs[key])


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

# The experiments of the three parts as their commands do them by default; "digits" is what Part 2 pretrains.
PARTS = {
    "part1": Experiment(part="part1", name="compact", data="part1", test=None),
    "digits": Experiment(part="part2", name="digits", data="part1-digits", test=None),
    "part2": _MNIST,
    # By the folders of 6,000 images the validation loss is known to 0.002, its standard error: what is less is no gain
    # to the schedule, and nothing stops by it. Without elastic deformation and changed pens, fewer epochs will do.
    "part3": dataclasses.replace(
        _MNIST,
        part="part3",
        name="random-complementary",
        data="part3",
        model="deep",
        loss="complementary",
        rounds=1,
        batch_size=256,
        learning_rate=4e-3,
        epochs=14,
        patience=2,
        min_delta=2e-3,
        stop_patience=None,
        augmentation=_AFFINE,
    ),
}

# What Parts 2 and 3 can start from, as settings, by the name that comparisons give it.
STARTS = {
    "random": {},
    "digits": {"init": "pretrained", "source": "digits"},
    "digits-frozen": {"init": "pretrained", "source": "digits", "frozen": True},
    "part1": {"init": "pretrained", "source": "part1"},
    "part1-frozen": {"init": "pretrained", "source": "part1", "frozen": True},
}

# Settings that replace the part's own ones together, by the name of `--recipe`.
RECIPES = {
    "plateau": {},
    "cosine": {"schedule": "cosine", "learning_rate": 4e-3, "stop_patience": None},
}
_DECAYED = {
    "schedule": "cosine",
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 0.02,
    "stop_patience": None,
}
_DEEPER = {**_DECAYED, "model": "deeper", "batch_size": 256, "epochs": 12, "views": 8, "augmentation": _AFFINE}
_FAST = {
    **RECIPES["cosine"],
    "model": "fast",
    "learning_rate": 1.6e-2,
    "batch_size": 256,
    "epochs": 4,
    "augmentation": Augmentation(rotation=0.0, shear=0.0, scale=0.0, shift=0.04, elastic=0.0, stroke=0.0),
}
# Those of one part. "best" are the most thorough settings; on MNIST the optimiser is the one that won in Part 1.
OWN_RECIPES = {
    "part1": {"best": {**_DECAYED, "model": "placed", "size": 36, "label_smoothing": 0.1, "epochs": 100}},
    "part2": {"fast": _FAST, "best": _DEEPER},
    "part3": {"best": {**_DEEPER, "rounds": 2}},
}

# How many networks a part's recipe takes together, where it is not one.
NETWORKS = {("part3", "best"): 2}

# What replaces the settings of Parts 2 and 3 for sets of about a thousand images, as the embedded sample's.
SMALL = {
    "batch_size": 32,
    "learning_rate": 2e-3,
    "epochs": 25,
    "patience": 8,
    "min_delta": 1e-4,
    "stop_patience": None,
    "rounds": 0,
}


def _rounds(count: int) -> str:
    return f"{count}-round{'s' if count > 1 else ''}" if count else "plain"


def recipes(part: str) -> dict[str, dict]:
    """List the recipes of a part with the settings they stand for."""
    return {**RECIPES, **OWN_RECIPES[part]}


def with_recipe(experiment: Experiment, recipe: str) -> Experiment:
    """Give an experiment a recipe's settings, and the part's own in place of those of the recipe it followed.

    >>> with_recipe(with_recipe(PARTS["part2"], "cosine"), "plateau") == PARTS["part2"]
    True
    """
    choices, part = recipes(experiment.part), PARTS[experiment.part]
    before = choices[recipe_of(experiment)]
    usual = {key: getattr(part, key) for key, value in before.items() if getattr(experiment, key) == value}
    return dataclasses.replace(experiment, **{**usual, **choices[recipe]})


def recipe_of(experiment: Experiment) -> str:
    """Name the recipe that an experiment follows, whatever its network, size, epochs, batches and learning rate.

    >>> recipe_of(with_recipe(PARTS["part1"], "best"))
    'best'
    """
    free = ("model", "size", "epochs", "batch_size", "learning_rate")
    return next(
        name
        for name, settings in reversed(recipes(experiment.part).items())
        if all(getattr(experiment, key) == value for key, value in settings.items() if key not in free)
    )


def changed(experiment: Experiment, change: str) -> Experiment:
    """Change one of the settings that have no option of their own, written NAME=VALUE.

    NAME is in `SETTABLE`, or is `augmentation.` and one of its limits.

    Raises:
        MidasError: there is no such setting, or it cannot have this value.

    >>> changed(PARTS["part1"], "augmentation.elastic=0").augmentation.elastic
    0
    """
    name, _, text = change.partition("=")
    limit = name.removeprefix("augmentation.")
    limits = dataclasses.asdict(experiment.augmentation) if experiment.augmentation else {}
    is_limit = limit != name and limit in limits
    if not is_limit and name not in SETTABLE:
        choices = ", ".join([*SETTABLE, *(f"augmentation.{each}" for each in limits)])
        raise MidasError(f"--set {change}: no such setting; write NAME=VALUE with one of {choices}")
    try:
        value = json.loads(text)
        new = {"augmentation": {**limits, limit: value}} if is_limit else {name: value}
        return Experiment.from_json({**experiment.to_json(), **new})
    except (ValueError, MidasError) as error:
        raise MidasError(f"--set {change}: {name} cannot be {text!r} ({error})") from error


def with_model(experiment: Experiment, model: str) -> Experiment:
    """Take another network, and a name that says so."""
    other = dataclasses.replace(experiment, model=model)
    own = experiment.name.removeprefix(named(experiment).name)
    return dataclasses.replace(other, name=named(other).name + own)


def named(experiment: Experiment) -> Experiment:
    """Name an experiment after what tells it from the default one of its part.

    >>> named(dataclasses.replace(PARTS["part3"], init="pretrained", source="part1")).name
    'pretrained-complementary'
    """
    recipe = recipe_of(experiment)
    expected = dataclasses.replace(PARTS[experiment.part], **recipes(experiment.part)[recipe])
    if experiment.part == "part1":
        words = [experiment.model]
    else:
        words = [experiment.init]
        words += [experiment.loss] if experiment.part == "part3" else []
        if experiment.loss == "complementary" and experiment.rounds != expected.rounds:
            words.append(_rounds(experiment.rounds))
        words += [experiment.model] if experiment.model != expected.model else []
    usual = {"part2": "digits", "part3": "part1"}.get(experiment.part)
    if experiment.source not in (None, usual):
        words.append(experiment.source if experiment.source in ("digits", "part1") else "from")
    words += [recipe] if recipe != "plateau" else []
    words += [f"{experiment.size}px"] if experiment.size != 28 else []
    words += ["all-data"] if not experiment.val_fraction else []
    words += [f"limit-{experiment.limit}"] if experiment.limit else []
    return dataclasses.replace(experiment, name="-".join(words))
