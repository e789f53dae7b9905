"""Commands that train networks: on any data, on the data of each part; and the list of architectures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midas.cli.console import again, command, command_line, emit, load_tensorflow, table_width
from midas.cli.options import apply, choice_option, common, form_options, json_option, size_option, training_options
from midas.cli.settings import make_experiment, make_suited, make_workspace
from midas.experiments import LOSSES, Experiment
from midas.recipes import PARTS

if TYPE_CHECKING:
    from midas.studies.workspace import Workspace

init_option = click.option(
    "--init",
    type=click.Choice(["random", "pretrained"]),
    default="random",
    show_default=True,
    help="Initialization of the weights.",
)
from_option = click.option("--from", "from_checkpoint", help="With --init pretrained: start from this checkpoint.")


@command("train", epilog="Example: midas train my_symbols/ --name symbols")
@click.argument("data")
@click.option(
    "--test",
    help="Test set, scored once at the end.  [default: the test part of DATA, if it has one]",
)
@click.option(
    "--from",
    "from_checkpoint",
    metavar="PATH|NAME",
    help="Fine-tune this network, with a new last layer unless the classes are the same.",
)
@click.option("--freeze-backbone", is_flag=True, help="With --from: train the last layer only.")
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="Train on all images, and measure the accuracy by a cross-validation with this many folds.  [default: 5 or "
    "fewer for small data without a test set]",
)
@apply(form_options, training_options("custom"))
def train(data: str, test: str | None, class_names: Path | None, transpose: bool | None, **settings: Any) -> None:
    """Train on any labeled images, of any classes.

    DATA is a folder of class folders, a zip, a table or any other form of data set. The number of epochs, the
    batch size and how the accuracy is measured depend on its size.
    """
    if settings["freeze_backbone"] and not settings["from_checkpoint"]:
        raise click.UsageError("--freeze-backbone needs --from")
    workspace = make_workspace(settings, data)
    workspace, suited = make_suited(workspace, data, test, class_names, transpose, settings)
    _perform(make_experiment("custom", workspace, settings, suited), workspace, settings)


@command("train-part1", epilog="Example: midas train-part1 --epochs 40 --seed 1")
@training_options("part1")
def train_part1(**settings: Any) -> None:
    """Train on the 62 classes of Part 1."""
    _train("part1", settings)


@command("train-part2", epilog="Example: midas train-part2 --init pretrained --seed 1")
@init_option
@click.option(
    "--pretrained-on",
    type=click.Choice(["digits", "part1"]),
    help="With --init pretrained: Part 1's ten digits, or its 62 classes with a new last layer.  [default: digits]",
)
@from_option
@training_options("part2")
def train_part2(**settings: Any) -> None:
    """Train on MNIST, from random or pretrained weights."""
    _train("part2", settings)


@command("train-part3", epilog="Example: midas train-part3 --init pretrained --seed 1")
@init_option
@from_option
@choice_option(
    "--loss",
    LOSSES,
    "cross-entropy takes the labels as correct, the others as complementary labels; progressive also finds a target "
    "for each image.",
    default=PARTS["part3"].loss,
    show_default=True,
)
@training_options("part3")
def train_part3(**settings: Any) -> None:
    """Train on MNIST images whose labels are wrong."""
    _train("part3", settings)


def _train(part: str, settings: dict[str, Any]) -> None:
    workspace = make_workspace(settings)
    _perform(make_experiment(part, workspace, settings), workspace, settings)


def _perform(experiment: Experiment, workspace: Workspace, settings: dict[str, Any]) -> None:
    if settings["find_learning_rate"]:
        _find_learning_rate(experiment, workspace, settings["as_json"])
        return
    from midas.report.tables import folded
    from midas.studies.evaluation import outcome, summarize_seeds
    from midas.studies.study import perform_seeds

    how = (settings[name] for name in ("resume", "overwrite", "tensorboard"))
    runs = perform_seeds(experiment, settings["ensemble"], workspace, *how)
    found, table = summarize_seeds(runs, table_width())
    told = outcome(runs[0]) if experiment.part == "custom" else []
    lines = [table, *(folded(line, table_width()) for line in told)]
    lines += [f"Use it with: {command_line('predict', '--checkpoint', found['path'], 'drawing.png')}"]
    emit(found, settings["as_json"], "\n".join(lines))


def _find_learning_rate(experiment: Experiment, workspace: Workspace, as_json: bool) -> None:
    from midas.studies.study import find_learning_rate

    found, figure = find_learning_rate(experiment, workspace)
    rate = f"{found.learning_rate:g}"
    lines = [
        f"Suggested learning rate: {rate} (this training's own is {experiment.learning_rate:g}).",
        str(figure),
        f"Train with it: {again(('--find-learning-rate', '--json'), '--learning-rate', rate)}",
    ]
    emit({**vars(found), "figure": str(figure)}, as_json, "\n".join(lines))


@command(epilog="Example: midas models --classes 10")
@click.option("--classes", type=click.IntRange(2), default=62, show_default=True, help="Number of classes.")
@apply(size_option, json_option, common)
def models(classes: int, size: int, as_json: bool) -> None:
    """List the architectures with their parameters and MACs."""
    load_tensorflow()
    from midas.learning.models import describe
    from midas.report.tables import models_table

    rows = describe(size, classes)
    emit({"models": rows}, as_json, models_table(rows))


COMMANDS = (train, train_part1, train_part2, train_part3, models)
