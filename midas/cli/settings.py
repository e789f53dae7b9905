"""How options become experiments, workspaces and networks."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from midas.cli.console import Progress, load_tensorflow, say, warn_of_notes, warn_of_sample, warn_of_skipped
from midas.errors import MidasError, cannot
from midas.experiments import Experiment
from midas.recipes import DEFAULT_CHECKPOINT, PARTS, for_sample, named, recipes, with_recipe, with_setting

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.data.entries import Source
    from midas.learning.classifier import Classifier
    from midas.studies.executor import Executor
    from midas.studies.workspace import Workspace

MAX_SKIPPED = 20  # images that could not be used and are named, one a line


def make_experiment(
    part: str, workspace: Workspace, settings: dict[str, Any], suited: Experiment | None = None
) -> Experiment:
    """Resolve options to an experiment.

    An option, or its environment variable, takes precedence over the `--config` file, and that over the settings that
    suit the data, or else the part's defaults.
    """
    ctx = click.get_current_context()
    explicit = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    given = {name: value for name, value in settings.items() if ctx.get_parameter_source(name) in explicit}
    usual = suited or PARTS[part]
    config = _read_config(usual, *ctx.meta["midas.config"]) if "midas.config" in ctx.meta else None
    base = config or (for_sample(usual) if workspace.is_sample and not suited else usual)
    if base.part != part:
        trained_by = "train" if base.part == "custom" else f"train-{base.part}"
        raise MidasError(f"--config has the settings of {base.part}, not of {part}; use it with 'midas {trained_by}'")
    changes = {key: value for key, value in given.items() if key in Experiment.__dataclass_fields__}
    if "recipe" in given:
        if given["recipe"] not in recipes(part):
            raise click.UsageError(f"--recipe {given['recipe']}: choose one of {', '.join(recipes(part))}")
        base = with_recipe(base, given["recipe"])
    if "augment" in given:
        changes["augmentation"] = (base.augmentation or PARTS[part].augmentation) if given["augment"] else None
    if suited:
        changes |= {name: getattr(suited, name) for name in ("data", "test")}
    if {"folds", "val_fraction"} <= given.keys():
        raise click.UsageError("--folds and --val-fraction exclude each other: a cross-validation trains on all images")
    if given.get("all_data") or given.get("folds"):
        changes["val_fraction"] = 0.0
    if (given.keys() & {"all_data", "val_fraction"} and not given.get("folds")) or (suited and suited.test):
        changes["folds"] = None
    if part != "part1":
        changes["init_checkpoint"] = _init_checkpoint(part, base, given)
    try:
        experiment = replace(base, **changes)
        for assignment in given.get("assignments", ()):
            experiment = with_setting(experiment, assignment)
    except MidasError as error:
        raise click.UsageError(str(error)) from error
    if "name" in given or (config and config.name != named(config).name):
        return experiment
    # Without what a shell or a file system would not take in the name of a folder, such as '["deep"]' for teachers.
    words = [re.sub(r'[\[\]"\s]', "", each.removeprefix("augmentation.")) for each in given.get("assignments", ())]
    return replace(experiment, name="-".join([named(experiment).name, *words]))


def _read_config(base: Experiment, file: str, record: dict[str, Any]) -> Experiment:
    """Complete the settings of a file, which may be a few of them."""
    whole = base.to_json()
    if base.part == "custom":  # whose data are given, and may be of another size than those of the file
        record = {**record, "data": base.data, "test": base.test}
        if record.get("val_fraction") or base.test:
            record["folds"] = None
    strengths = record.get("augmentation", {})
    if isinstance(strengths, dict):
        record = {**record, "augmentation": {**(whole["augmentation"] or {}), **strengths}}
    try:
        return Experiment.from_json({**whole, **record})
    except MidasError as error:
        raise MidasError(f"{file}: {error}") from error


def _init_checkpoint(part: str, base: Experiment, given: dict[str, Any]) -> str | None:
    """Choose the checkpoint of a pretrained initialization."""
    chosen = [given[name] for name in ("pretrained_on", "from_checkpoint") if given.get(name)]
    if len(chosen) > 1:
        raise click.UsageError("--pretrained-on and --from exclude each other")
    if given.get("init", base.init) == "random":
        if chosen:
            raise click.UsageError("--pretrained-on and --from need --init pretrained")
        return None
    return chosen[0] if chosen else base.init_checkpoint or DEFAULT_CHECKPOINT[part]


def _make_executor(workers: int, scheduler: str | None) -> Executor:
    """Choose what performs several trainings."""
    if scheduler and workers > 1:
        raise click.UsageError("--workers and --scheduler exclude each other")
    if scheduler:
        from midas.studies.cluster import Cluster

        return Cluster(scheduler)
    from midas.studies.executor import InProcess, Processes

    return Processes(workers) if workers > 1 else InProcess()


def make_workspace(settings: dict[str, Any], data: str | None = None) -> Workspace:
    """Make a workspace whose messages go to stderr as far as the user wants them.

    Args:
        settings: values of options; those of `workspace_options` are taken out of it.
        data: path of the data set, where there is one instead of a folder of data sets.
    """
    from midas.studies.workspace import Workspace

    told: set[str] = set()

    def warn_once(dataset: Dataset, name: str) -> None:
        if name not in told:
            warn_of_skipped(dataset.skipped, name, MAX_SKIPPED)
        told.add(name)

    folder = settings.pop("data_dir", None)
    runs_dir, cache_dir, *how = (settings.pop(key) for key in ("runs_dir", "cache_dir", "workers", "scheduler"))
    data_dir = data or folder
    warn_of_sample(data_dir)
    progress = Progress()
    return Workspace(
        runs_dir=runs_dir,
        data_dir=data_dir,
        cache_dir=cache_dir,
        executor=_make_executor(*how),
        say=say,
        skipped=warn_once,
        epoch=progress.epoch,
        moment=progress.moment,
        stage=progress.stage,
        jobs=progress.jobs,
        progress=progress.images,
        steps=progress.steps,
        start=load_tensorflow,
    )


def open_data(data: str, split: str, class_names: Path | None = None, transpose: bool | None = None) -> Source:
    """Open the data set that --data asks for, and print what should be known about it."""
    from midas.data.datasets import open_any

    warn_of_sample(data)
    source = open_any(data, split, class_names, transpose)
    warn_of_notes(source.notes)
    return source


def make_suited(
    workspace: Workspace,
    data: str,
    test: str | None,
    class_names: Path | None,
    transpose: bool | None,
    settings: dict[str, Any],
) -> tuple[Workspace, Experiment]:
    """Open the data that are given by their path, and choose the settings that suit them.

    Returns:
        A workspace that knows the data, and the settings.
    """
    is_default = click.get_current_context().get_parameter_source("recipe") == ParameterSource.DEFAULT
    recipe = "default" if is_default else settings["recipe"]
    if recipe not in recipes("custom"):
        raise click.UsageError(f"--recipe {recipe}: with --data, choose one of {', '.join(recipes('custom'))}")
    from midas.studies import custom

    given = custom.open_given(data, test, class_names, transpose)
    warn_of_notes(given.notes)
    workspace = given.within(workspace)
    start = settings.get("from_checkpoint")
    return workspace, custom.suit(workspace, given, recipe, settings["size"], settings["limit"], start)


def load_network(checkpoints: tuple[str, ...], tta: int | None) -> tuple[Classifier, list[Path]]:
    """Load the network, or ensemble, that --checkpoint and --tta ask for, and list its paths."""
    load_tensorflow()
    from midas.learning.checkpoints import find_checkpoint
    from midas.learning.classifier import Classifier

    paths = [find_checkpoint(each) for each in checkpoints or (None,)]
    network = Classifier.load(*paths)
    return replace(network, tta=tta or network.tta), paths


def choose_classes(text: str | None, class_names: Sequence[str]) -> list[str] | None:
    """Resolve --classes to class names: a name, a comma-separated list of names and ranges, or a file of such lines.

    A range has all classes from one to the other, in the network's order.

    Raises:
        MidasError: a name is not a class of the network, or the file cannot be read.

    >>> choose_classes("0-2,B", "0123AB")
    ['0', '1', '2', 'B']
    """
    if text is None:
        return None
    is_file = os.path.isfile(text)  # noqa: PTH113 - Path.is_file fails for a name that is too long
    listed = _lines(Path(text)) if is_file else [text]
    words = [word.strip() for line in listed for word in ([line] if line in class_names else line.split(","))]
    chosen = [name for word in words if word for name in _range(word, list(class_names))]
    if not chosen:
        raise MidasError(f"--classes {text!r}: names no class; give some, such as 0-9 or A,B")
    return list(dict.fromkeys(chosen))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise cannot("be read", path, error) from error
    except UnicodeDecodeError as error:
        raise MidasError(f"--classes {path}: not text in UTF-8; list names of classes in it") from error


def _range(word: str, class_names: list[str]) -> list[str]:
    if word in class_names:
        return [word]
    first, dash, last = word.partition("-")
    if dash and first in class_names and last in class_names:
        start, end = class_names.index(first), class_names.index(last)
        if start <= end:
            return class_names[start : end + 1]
        raise MidasError(f"--classes {word}: {last!r} comes before {first!r} in the network's classes")
    known = f"{len(class_names)} classes, {class_names[0]!r} to {class_names[-1]!r}"
    raise MidasError(f"--classes {word}: not a class of the network, which knows {known}")
