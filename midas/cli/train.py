"""Commands that train networks: one per part, and the list of architectures."""

from __future__ import annotations

import shlex
from typing import Any

import click

from midas.cli.console import command, emit, load_tensorflow, table_width
from midas.cli.options import apply, common, json_option, make_experiment, make_workspace, size_option, training_options
from midas.experiments import LOSSES
from midas.recipes import PARTS

init_option = click.option(
    "--init",
    type=click.Choice(["random", "pretrained"]),
    default="random",
    show_default=True,
    help="Initialization of the weights.",
)
from_option = click.option("--from", "from_checkpoint", help="Start from this checkpoint instead.")


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
    help="The ten digits of Part 1, or its 62 classes with a new last layer.  [default: digits]",
)
@from_option
@training_options("part2")
def train_part2(**settings: Any) -> None:
    """Train on MNIST, from random or pretrained weights."""
    _train("part2", settings)


@command("train-part3", epilog="Example: midas train-part3 --init pretrained --seed 1")
@init_option
@from_option
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    default=PARTS["part3"].loss,
    show_default=True,
    help="cross-entropy takes the labels as correct, the others as complementary labels; progressive also finds a "
    "target for each image.",
)
@training_options("part3")
def train_part3(**settings: Any) -> None:
    """Train on MNIST images whose labels are wrong."""
    _train("part3", settings)


def _train(part: str, settings: dict[str, Any]) -> None:
    names = ("ensemble", "resume", "overwrite", "tensorboard", "as_json")
    networks, resume, overwrite, tensorboard, as_json = (settings.pop(name) for name in names)
    workspace = make_workspace(*(settings.pop(key) for key in ("data_dir", "runs_dir", "cache_dir")))
    experiment = make_experiment(part, workspace, settings)
    from midas.studies.evaluation import summarize_seeds
    from midas.studies.study import perform_seeds

    runs = perform_seeds(experiment, networks, workspace, resume, overwrite, tensorboard)
    found, table = summarize_seeds(runs, table_width())
    emit(found, as_json, f"{table}\nUse it with: midas predict --checkpoint {shlex.quote(found['path'])} drawing.png")


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


COMMANDS = (train_part1, train_part2, train_part3, models)
