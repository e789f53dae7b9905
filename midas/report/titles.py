"""Plain names of parts, runs, data sets and initializations: translated here only."""

from __future__ import annotations

from midas.experiments import Experiment
from midas.recipes import named

OWN = "custom: "  # before the name of a data set that belongs to no part
SAMPLE_DIGITS = "scikit-learn's digits"  # in place of MNIST in the embedded sample
INITIALIZATION_TITLES = {
    "random": "random weights",
    "digits": "pretrained on the digits of Part 1",
    "digits-frozen": "pretrained on the digits of Part 1, frozen backbone",
    "part1": "pretrained on the 62 classes of Part 1",
    "part1-frozen": "pretrained on the 62 classes of Part 1, frozen backbone",
}


def capitalized(title: str) -> str:
    """Begin a title with a capital, and leave the rest of it.

    >>> capitalized("pretrained on the digits of Part 1")
    'Pretrained on the digits of Part 1'
    """
    return title[:1].upper() + title[1:]


def section_of(experiment: Experiment) -> str:
    """Tell in which section of a report an experiment belongs: that of its part, or of its own data.

    >>> from midas.recipes import PARTS
    >>> section_of(PARTS["part2"]), section_of(PARTS["custom"])
    ('part2', 'custom: custom')
    """
    return f"{OWN}{experiment.data}" if experiment.part == "custom" else experiment.part


def part_title(part: str, sample: bool = False) -> str:
    """Name a part, or another section of a report, in words.

    Args:
        part: of an experiment, or what `section_of` returns.
        sample: whether its runs used the embedded sample.

    >>> part_title("part2"), part_title("part3", sample=True), part_title("custom: my_symbols")
    ('Part 2: MNIST', "Part 3: scikit-learn's digits from complementary labels", 'my_symbols')
    """
    digits = SAMPLE_DIGITS if sample else "MNIST"
    titles = {
        "part1": "Part 1: 62 classes of characters",
        "part2": f"Part 2: {digits}",
        "part3": f"Part 3: {digits} from complementary labels",
    }
    return titles.get(part, part.removeprefix(OWN))


def data_title(name: str, sample: bool = False) -> str:
    """Name a training set in words; another data set than those of the three parts is named by its path."""
    digits = SAMPLE_DIGITS if sample else "MNIST"
    drawings = "the generated drawings" if sample else "the drawings of Part 1"
    titles = {
        "part1": drawings,
        "part1-digits": f"the digits among {drawings}",
        "mnist": f"the training part of {digits}" if sample else "the MNIST training images",
        "part3": f"{digits if sample else 'the images of Part 3'} with their complementary labels",
    }
    return titles.get(name, name)


def scored_title(scored: str, sample: bool = False) -> str:
    """Name what a run was evaluated on.

    >>> scored_title("mnist-test"), scored_title("mnist-test", sample=True), scored_title("validation")
    ('MNIST test set', "test part of scikit-learn's digits", 'validation set')
    """
    test = f"test part of {SAMPLE_DIGITS}" if sample else "MNIST test set"
    return {"mnist-test": test, "validation": "validation set", "training": "training set"}.get(scored, scored)


def initialization(experiment: Experiment) -> str:
    """Name an initialization by the key that `INITIALIZATION_TITLES` and comparisons have for it."""
    if experiment.init == "random":
        return "random"
    return f"{experiment.init_checkpoint}{'-frozen' if experiment.freeze_backbone else ''}"


def is_pretraining(experiment: Experiment) -> bool:
    """Whether an experiment only provides Part 2's pretrained weights: it has no test set."""
    return experiment.part == "part2" and experiment.test is None


def rank(experiment: Experiment) -> tuple[bool, bool, bool]:
    """Order the trainings of a part: labels taken as correct before complementary ones, random weights before others.

    >>> from midas.recipes import PARTS
    >>> sorted((PARTS["digits"], PARTS["part2"]), key=rank) == [PARTS["part2"], PARTS["digits"]]
    True
    """
    return is_pretraining(experiment), experiment.is_complementary, experiment.init != "random"


def run_title(experiment: Experiment) -> str:
    """Name a training in words, without its seed.

    >>> from midas.recipes import PARTS
    >>> [run_title(PARTS[name]) for name in ("part1", "part2", "part3")]
    ['compact network', 'random weights', 'progressive complementary labels, random weights']
    """
    key = initialization(experiment)
    start = INITIALIZATION_TITLES.get(key, f"pretrained ({key})")
    if experiment.part == "custom":
        return experiment.name
    if experiment.part == "part1":
        title = f"{experiment.model} network"
    elif is_pretraining(experiment):
        title = "pretraining on the digits of Part 1"
    elif experiment.part == "part3":
        loss = {
            "cross-entropy": "labels taken as correct",
            "complementary": "complementary labels",
            "progressive": "progressive complementary labels",
        }
        start = "pretrained on Part 1" if key == "part1" else start  # whole: there is no choice of classes
        title = f"{loss.get(experiment.loss, f'complementary labels ({experiment.loss})')}, {start}"
    else:
        title = start
    is_named_after_settings = is_pretraining(experiment) or experiment.name == named(experiment).name
    return title if is_named_after_settings else f"{title} ({experiment.name})"
