"""Options that commands share; `settings` makes experiments, workspaces and networks of their values."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from midas.cli.console import silence_libraries
from midas.errors import MidasError
from midas.experiments import MODEL_NAMES, OPTIMIZERS, STRONGEST, Augmentation
from midas.files import read_json
from midas.recipes import PARTS, recipes

Decorator = Callable[[Any], Any]


def apply(*options: Decorator) -> Decorator:
    """Combine click options into one decorator; the help lists them in this order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[f"midas.{param.name}"] = value
    if param.name == "verbose" and not value:
        silence_libraries()


def _output_flag(*names: str, text: str) -> Decorator:
    """Make a flag that `console` obeys, whatever the command."""
    return click.option(*names, is_flag=True, expose_value=False, is_eager=True, callback=_remember, help=text)


def _config(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value:
        record = read_json(Path(value))
        if not isinstance(record, dict):
            raise MidasError(f"{value}: not the settings of an experiment; give the experiment.json of a run")
        ctx.meta["midas.config"] = value, record
    return value


def _set_devices(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Tell TensorFlow, which chooses its devices when it starts, here and in processes of this one."""
    if value:
        os.environ["MIDAS_DEVICES"] = value
    return value


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise MidasError("this user has no home folder for the cache; give a folder with --cache-dir") from error


common = apply(
    _output_flag("-v", "--verbose", text="Show tracebacks and the messages of libraries."),
    _output_flag("-q", "--quiet", text="Show no progress."),
)
wide_option = _output_flag("--wide", text="Show all columns, whatever the width of the terminal.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
seed_option = click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Random seed.")
strict_option = click.option("--strict", is_flag=True, help="Fail if an image cannot be used.")
data_dir_option = click.option(
    "--data-dir",
    envvar="MIDAS_DATA",
    show_envvar=True,
    default="data",
    show_default=True,
    help="Folder of the data sets, or 'sample' for the embedded sample.",
)
runs_dir_option = click.option(
    "--runs-dir",
    envvar="MIDAS_RUNS_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    default="checkpoints",
    show_default=True,
    help="Root of the run directories.",
)
cache_dir_option = click.option(
    "--cache-dir",
    envvar="MIDAS_CACHE_DIR",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "midas",
    show_default="~/.cache/midas",
    help="Where preprocessed data are cached.",
)
executor_options = [
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Train in this many processes at a time, which share the cores.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS|FILE",
        help="Train on the Dask cluster of this scheduler, given by its address or its file.",
    ),
]
workspace_options = [*executor_options, data_dir_option, runs_dir_option, cache_dir_option]
SIZE = click.IntRange(14, 512)
size_option = click.option("--size", type=SIZE, default=28, show_default=True, help="Side of the glyphs in pixels.")
TTA = click.IntRange(1, 1000)
tta_option = click.option(
    "--tta",
    type=TTA,
    help="Test-time augmentation: average over this many augmented copies of each image.  [default: the network's own]",
)
classes_option = click.option(
    "--classes",
    metavar="0-9|A,B,…|FILE",
    help="Predict only these classes: names and ranges, separated by commas, or a file of them.",
)
resume_option = click.option("--resume", is_flag=True, help="Resume an unfinished run.")
restart_options = [
    resume_option,
    click.option("--overwrite", is_flag=True, help="Delete what the run directory holds and start again."),
]


form_options = apply(
    click.option(
        "--class-names",
        type=click.Path(dir_okay=False, path_type=Path),
        help="What the labels stand for: a file with lines of label,name, or JSON.",
    ),
    click.option(
        "--transpose/--no-transpose",
        default=None,
        help="Swap rows and columns of the images.  [default: only those of EMNIST]",
    ),
)


def choice_option(name: str, choices: Sequence[str], help_text: str, **more: Any) -> Decorator:
    """Make an option with so many choices that the help lists them as words, which can be folded."""
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}."
    return click.option(name, type=click.Choice(choices), metavar="NAME", help=f"{listed}  {help_text}", **more)


def checkpoint_option(help_text: str, default: str) -> Decorator:
    """Make the option --checkpoint."""
    return click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        metavar="PATH|NAME",
        help=f"{help_text}; may be repeated to average probabilities.  [default: {default}]",
    )


network_option = checkpoint_option(
    "A run directory, .keras file, folder of several, or the name of a network that ships with midas, such as "
    "part2-best",
    "part1",
)

_STRENGTHS = {
    "rotation": "Maximum rotation, in degrees.",
    "shear": "Maximum slant, in degrees.",
    "scale": "Natural logarithm of the largest stretch.",
    "shift": "Maximum shift, as a fraction of the side.",
    "elastic": "Displacement of the elastic grid's points, as a fraction of the side.",
    "stroke": "Thicken or thin strokes; 1 means by one pixel on each side.",
    "occlusion": "Largest side of a black rectangle in half of the copies, as a fraction of the side.",
    "pen": "Move strokes toward one width; 1 means by up to one pixel on each side.",
    "other_pens": "Fraction of the copies that are redrawn with finer and thicker pens, and scanned less well.",
}
augmentation_options = [
    click.option(
        f"--{strength.name.replace('_', '-')}",
        type=click.FloatRange(0, STRONGEST[strength.name]),
        default=strength.default,
        show_default=True,
        help=_STRENGTHS[strength.name],
    )
    for strength in fields(Augmentation)
    if strength.name in _STRENGTHS
]

_RECIPES = {
    "default": "default: accurate within minutes.",
    "quick": "quick: a quarter of the time.",
    "plateau": "plateau: ReduceLROnPlateau.",
    "cosine": "cosine: warm-up and cosine decay.",
    "fast": "fast: 99.4 % in 4 epochs.",
    "best": "best: the most accurate.",
    "distilled": "distilled: best, taught by two other networks.",
}


def settings_options(part: str, model: bool = True, other_data: bool = False) -> Decorator:
    """Make the options of an experiment.

    Args:
        part: has the defaults.
        model: whether to have those that do not suit all models.
        other_data: whether to take other data than those of the part.
    """
    default, chosen = PARTS[part], recipes(part)
    if other_data:
        chosen = chosen | recipes("custom")
    data_option = click.option(
        "--data", help="Any labeled images instead of those of Part 1; settings then depend on their number."
    )
    fraction = click.FloatRange(0, 1, min_open=True, max_open=True)
    by_size = "depends on the number of images" if part == "custom" else None

    def default_of(value: Any) -> str:
        return f"[default: {value}]" if value == by_size else f"[default: {value}, or the recipe's]"

    model_option = choice_option("--model", MODEL_NAMES, default_of(default.model), default=default.model)
    return apply(
        *([data_option, form_options] if other_data else []),
        click.option(
            "--config",
            type=click.Path(dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_config,
            help="Read settings, all or some, from a file like experiment.json; options take precedence.",
        ),
        *([model_option] if model else []),
        click.option(
            "--recipe",
            type=click.Choice(list(chosen)),
            default=next(iter(chosen)),
            show_default="plateau; with --data, default" if other_data else True,
            help=" ".join(_RECIPES[name] for name in chosen),
        ),
        click.option(
            "--epochs",
            type=click.IntRange(1),
            help=f"Maximum number of epochs.  {default_of(by_size or default.epochs)}",
        ),
        click.option(
            "--batch-size",
            type=click.IntRange(1),
            help=f"Number of images per step.  {default_of(by_size or default.batch_size)}",
        ),
        click.option(
            "--learning-rate",
            type=click.FloatRange(0, min_open=True),
            help=f"Initial or peak learning rate.  {default_of(default.learning_rate)}",
        ),
        click.option(
            "--optimizer",
            type=click.Choice(OPTIMIZERS),
            default=default.optimizer,
            help=default_of(default.optimizer),
        ),
        click.option("--augment/--no-augment", default=True, show_default=True, help="Augment the training images."),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="NAME=VALUE",
            help="Any other setting of experiment.json, such as label_smoothing=0.1 or augmentation.elastic=0; may be "
            "repeated.",
        ),
        click.option("--size", type=SIZE, help=f"Side of the glyphs in pixels.  {default_of(default.size)}"),
        click.option(
            "--val-fraction",
            type=fraction,
            default=None if by_size else default.val_fraction,
            help="Fraction of the training images for the validation set.  "
            f"[default: {by_size or default.val_fraction}]",
        ),
        click.option("--all-data", is_flag=True, help="Train without a validation set, for a final network."),
        click.option(
            "--limit", type=click.IntRange(1), help="Train on this many images only; such runs are left out of reports."
        ),
        seed_option,
        *([click.option("--name", help="Name of the run.  [default: made from the settings]")] if model else []),
    )


def training_options(part: str) -> Decorator:
    """Make the options of a training command."""
    ensemble_option = click.option(
        "--ensemble",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Number of networks, with seeds counted up from --seed; --checkpoint takes their folder.",
    )
    tensorboard_option = click.option(
        "--tensorboard",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for TensorBoard's logs.",
    )
    where = [option for option in workspace_options if part != "custom" or option is not data_dir_option]
    range_test_option = click.option(
        "--find-learning-rate",
        is_flag=True,
        help="Train nothing: find a learning rate by a range test of a few hundred steps, and draw it "
        "(learning-rate.png).",
    )
    devices_option = click.option(
        "--devices",
        metavar="all|cpu|0,1",
        envvar="MIDAS_DEVICES",
        show_envvar=True,
        expose_value=False,
        callback=_set_devices,
        help="GPUs to train on together; cpu for none.  [default: all]",
    )
    places = [range_test_option, ensemble_option, devices_option, *where, *restart_options, tensorboard_option]
    return apply(settings_options(part), *places, wide_option, json_option, common)


def protocol_options(ensemble: bool) -> Decorator:
    """Make the options of a cross-validation."""
    ensemble_option = click.option(
        "--ensemble", type=click.IntRange(1), default=1, show_default=True, help="Networks per fold, also averaged."
    )
    return apply(
        click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Number of folds."),
        click.option(
            "--repeats", type=click.IntRange(1), default=1, show_default=True, help="Number of splits into folds."
        ),
        *([ensemble_option] if ensemble else []),
        click.option(
            "--tta",
            type=TTA,
            default=1,
            help="Also score with test-time augmentation: over this many copies of each image.  [default: without]",
        ),
    )
