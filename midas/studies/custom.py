"""Training on any labeled data set: what is needed of it, and the settings that suit its size."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midas.data.datasets import Dataset, open_any, open_test_part
from midas.errors import MidasError
from midas.experiments import Experiment
from midas.recipes import PARTS, named, recipes, suited, with_recipe
from midas.records import EpochRecord
from midas.runs import Run
from midas.studies.study import perform_seeds
from midas.studies.workspace import Workspace

if TYPE_CHECKING:
    from midas.data.entries import Source
    from midas.learning.classifier import Classifier

IN_MEMORY = "array"  # name of a data set that is not on disk
BEST_SIZE = 36  # pixels of the glyphs of `placed` in the recipe "best", as in Part 1
MANY = 10_000  # images from which on "best" takes a larger network: of fewer, no network learns more than `compact`
PLACES_KNOWN, PLACES_VARY = 0.9, 0.1  # share of the glyphs, and standard deviation, from which on places say something


class TrainedRun(Run):
    """The run directory of a finished training."""

    def classifier(self) -> Classifier:
        """Load the trained network."""
        from midas.learning.classifier import Classifier

        return Classifier.load(self.path)


@dataclass(frozen=True)
class GivenData:
    """The data sets of a training.

    Attributes:
        name: of the training set, as experiments and messages have it.
        training: opened, or in memory.
        test_name: of the test set; None without one.
        test: opened, or in memory; None without one.
        arguments: of `open_given`, which opens them again.
    """

    name: str
    training: Source | Dataset
    test_name: str | None = None
    test: Source | Dataset | None = None
    arguments: tuple[Any, ...] = ()

    def within(self, workspace: Workspace) -> Workspace:
        """Let a workspace find these data sets by their names."""
        found = {self.name: self.training}
        if self.test_name is not None and self.test is not None:
            found[self.test_name] = self.test
        return replace(workspace, given={**workspace.given, **found}, reopen=partial(_reopen, self.arguments))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how they are read."""
        opened = [each for each in (self.training, self.test) if each is not None and not isinstance(each, Dataset)]
        return tuple(dict.fromkeys(note for source in opened for note in source.notes))


def open_given(
    data: Dataset | str | os.PathLike,
    test: Dataset | str | os.PathLike | None = None,
    class_names: str | os.PathLike | None = None,
    transpose: bool | None = None,
) -> GivenData:
    """Open what to train on, and the test set: the one given, or else the data set's own test part.

    Args:
        data: a data set, or a path as `datasets.open_any` takes it.
        test: the same.
        class_names: what the labels of either stand for, as in `datasets.open_any`.
        transpose: whether to swap rows and columns of the images of either, as there.

    Raises:
        MidasError: one cannot be opened.
    """
    opened = _open_given(data, test, class_names, transpose)
    return replace(opened, arguments=(data, test, class_names, transpose))


def _reopen(arguments: tuple[Any, ...], workspace: Workspace) -> Workspace:
    return open_given(*arguments).within(workspace)


def _open_given(
    data: Dataset | str | os.PathLike,
    test: Dataset | str | os.PathLike | None,
    class_names: str | os.PathLike | None,
    transpose: bool | None,
) -> GivenData:
    training: Source | Dataset
    if isinstance(data, Dataset):
        name, training = IN_MEMORY, data
        if test is None:
            return GivenData(name, training)
    else:
        name, source = _name(data), open_any(data, "train", class_names, transpose)
        if test is None or (not isinstance(test, Dataset) and _name(test) == name):
            part = open_test_part(data, source, class_names, transpose)
            if test is not None and part is None:
                raise MidasError(f"{name}: has no test part, and is trained on; give other images with --test")
            return GivenData(name, source, f"{name}, test part" if part else None, part)
        training = source
    if isinstance(test, Dataset):
        return GivenData(name, training, "test", test)
    return GivenData(name, training, _name(test), open_any(test, "test", class_names, transpose))


def _name(path: str | os.PathLike) -> str:
    return str(Path(path))


def suit(
    workspace: Workspace,
    given: GivenData,
    recipe: str = "default",
    size: int | None = None,
    limit: int | None = None,
    init_checkpoint: str | None = None,
) -> Experiment:
    """Read the data, and choose the settings that suit them.

    Args:
        workspace: one that finds them.
        given: the data sets.
        recipe: one of `recipes.recipes("custom")`.
        size: side of the glyphs in pixels; None for what the recipe or the checkpoint needs.
        limit: train on this many images only.
        init_checkpoint: start from this network, and take its architecture and size.

    Raises:
        MidasError: the data cannot be read, or no classes can be learned from them.
    """
    if recipe not in recipes("custom"):
        raise MidasError(f"no recipe {recipe!r}; there are {', '.join(recipes('custom'))}")
    experiment = with_recipe(replace(PARTS["custom"], data=given.name, test=given.test_name), recipe)
    if init_checkpoint is not None:
        workspace.start()
        experiment = _start_from(experiment, init_checkpoint)
    sizes = [each.glyphs.size for each in (given.training, given.test) if isinstance(each, Dataset)]
    size = size or next(iter(sizes), None)
    experiment = replace(experiment, size=size or experiment.size)
    quiet = replace(workspace, skipped=lambda dataset, name: None)
    data = quiet.load(given.name, experiment.size)
    _check(data, given, quiet, experiment.size)
    if init_checkpoint is None:
        experiment = _choose_model(experiment, recipe, data, size)
    counts = np.bincount(data.labels, minlength=len(data.class_names))
    images = min(limit or len(data), len(data))
    return suited(experiment, recipe, images, int(counts.min()) if images == len(data) else None)


def _choose_model(experiment: Experiment, recipe: str, data: Dataset, size: int | None) -> Experiment:
    """Choose the architecture that a recipe has for such data, and the size of its glyphs where none is given."""
    if recipe == "quick":
        return replace(experiment, model="fast")
    if recipe == "best" and places_matter(data):
        return replace(experiment, model="placed", size=size or BEST_SIZE)
    if recipe == "best" and len(data) >= MANY:
        return replace(experiment, model="deeper", tta=8)
    return experiment


def _start_from(experiment: Experiment, checkpoint: str) -> Experiment:
    from midas.learning.checkpoints import card_file, checkpoint_files, find_checkpoint, read_card

    card = read_card(card_file(checkpoint_files(find_checkpoint(checkpoint))[0]))
    return replace(experiment, init="pretrained", init_checkpoint=checkpoint, model=card.model, size=card.size)


def _check(data: Dataset, given: GivenData, workspace: Workspace, size: int) -> None:
    """Refuse data that nothing can be learned from, and a test set of other classes."""
    if len(data.class_names) < 2:
        raise MidasError(f"{given.name}: has one class only, {data.class_names[0]!r}; training needs at least two")
    if given.test_name is not None:
        workspace.load(given.test_name, size).with_classes(data.class_names, given.test_name, given.name)


def places_matter(data: Dataset) -> bool:
    """Tell whether size and position on the page are known of nearly all images, and vary."""
    known = data.glyphs.places[:, 0] > 0
    return bool(known.mean() >= PLACES_KNOWN and data.glyphs.places[known, 1:].std(axis=0).max() >= PLACES_VARY)


def train(
    data: Dataset | str | os.PathLike,
    test: Dataset | str | os.PathLike | None = None,
    *,
    name: str | None = None,
    recipe: str = "default",
    runs_dir: str | Path = "checkpoints",
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[EpochRecord, int], None] = lambda record, epochs: None,
    **settings: Any,
) -> TrainedRun:
    """Train a network on a data set and score it; nothing is done for a finished run on the same data.

    Args:
        data: training set, or the path of one.
        test: test set, scored once at the end, or its path; None takes the data set's own test part, or else measures
            the accuracy on a validation set or by cross-validation.
        name: of the run; by default made from the data's name and the settings.
        recipe: settings that are replaced together, one of `recipes.recipes("custom")`.
        runs_dir: root of the run directories.
        resume: continue an unfinished run.
        overwrite: train again.
        report: called after each epoch with its record and the number of epochs.
        **settings: any of `Experiment`, such as epochs, model or seed.

    Raises:
        MidasError: a setting is not allowed, the data cannot be split, or the run directory holds something else.
    """
    if unknown := sorted(settings.keys() - Experiment.__dataclass_fields__.keys()):
        raise MidasError(f"no such setting: {unknown[0]!r}")
    if settings.get("init") == "pretrained" and settings.get("init_checkpoint") is None:
        raise MidasError("init 'pretrained' needs init_checkpoint, a path or the name of a network")
    given = open_given(data, test)
    workspace = given.within(Workspace(Path(runs_dir), ".", None, epoch=report))
    start = settings.get("init_checkpoint") if settings.get("init") != "random" else None
    base = suit(workspace, given, recipe, settings.get("size"), settings.get("limit"), start)
    if settings.get("val_fraction") is not None:
        base = replace(base, folds=None)
    if settings.get("folds") is not None:
        base = replace(base, val_fraction=0.0)
    experiment = replace(base, **settings)
    experiment = replace(experiment, name=name or named(experiment).name)
    runs = perform_seeds(experiment, 1, workspace, resume, overwrite)
    return TrainedRun(runs[0].path)
