"""What the commands have in common: shared options, messages, and how a command ends."""

import contextlib
import dataclasses
import functools
import json
import os
import shlex
import signal
import sys
import time
import traceback
from pathlib import Path

import click

from midas.errors import MidasError
from midas.experiments import OPTIMIZERS, PARTS, RECIPES, SMALL, Experiment, named
from midas.runs import read_json
from midas.study import Workplace

MODEL_NAMES = ("compact", "baseline", "original", "experimental")
INTERRUPTED = 130


class Commands(click.Group):
    """A group that turns a `MidasError` into one line and status 1, and an interruption into status 130."""

    def invoke(self, ctx):
        signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            return super().invoke(ctx)
        except (MidasError, MemoryError) as error:
            if ctx.meta.get("midas.verbose"):
                traceback.print_exc()
            raise click.ClickException(str(error) or "out of memory; try fewer or smaller images") from error
        except KeyboardInterrupt:
            again = ctx.meta.get("midas.resume")
            click.echo(f"\nInterrupted.{f' Go on with: {again}' if again else ''}", err=True)
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx):
        return list(self.commands)  # in the order of a user's day, not of the alphabet


def _as_interrupt(signum, frame):
    raise KeyboardInterrupt


def _remember(key):
    def callback(ctx, param, value):
        ctx.meta[key] = value
        return value

    return callback


def _config(ctx, param, value):
    """Make the values of an experiment file the defaults of the options of the same name."""
    if value:
        record = read_json(Path(value))
        if not isinstance(record, dict):
            raise MidasError(f"{value}: not a record of an experiment; give the experiment.json of a run")
        experiment = Experiment.from_json(record)
        values = {key: value for key, value in record.items() if value is not None}
        values |= {"augment": experiment.augmentation is not None, "all_data": not experiment.val_fraction}
        if not experiment.val_fraction:
            del values["val_fraction"]
        if experiment.source not in (None, "digits", "part1"):
            values["from_checkpoint"] = values.pop("source")
        ctx.default_map = {**(ctx.default_map or {}), **values}
        ctx.meta["midas.config"] = experiment
    return value


def common(command):
    """Options of every command: -v and -q."""
    for option in (
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_remember("midas.quiet"),
            help="No progress on stderr.",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_remember("midas.verbose"),
            help="Show tracebacks and TensorFlow's messages.",
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random.")
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
    default=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midas",
    show_default="~/.cache/midas",
    help="Where preprocessed data are kept.",
)
size_option = click.option(
    "--size", type=click.IntRange(14, 512), default=28, show_default=True, help="Side of the glyphs, pixels."
)
restart_options = [
    click.option("--resume", is_flag=True, help="Go on with an unfinished run."),
    click.option("--overwrite", is_flag=True, help="Delete what lies in the run directory and start again."),
]


def apply(*options):
    """Combine click options into one decorator, listed in the help in this order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def training_options(part: str):
    """Options of the three training commands, with the part's own defaults."""
    usual = PARTS[part]
    fraction = click.FloatRange(0, 1, min_open=True, max_open=True)
    return apply(
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_config,
            help="Take the settings from an experiment.json; options given beside it win.",
        ),
        click.option("--model", type=click.Choice(MODEL_NAMES), default=usual.model, show_default=True),
        click.option(
            "--recipe",
            type=click.Choice(list(RECIPES)),
            default="plateau",
            show_default=True,
            help="plateau: ReduceLROnPlateau. cosine: warm-up, then half a cosine.",
        ),
        click.option("--epochs", type=click.IntRange(1), help=f"At most.  [default: {usual.epochs}]"),
        click.option("--batch-size", type=click.IntRange(1), help=f"[default: {usual.batch_size}]"),
        click.option(
            "--learning-rate",
            type=click.FloatRange(0, min_open=True),
            help=f"At the start.  [default: {usual.learning_rate}, or the recipe's]",
        ),
        click.option("--optimizer", type=click.Choice(OPTIMIZERS), default=usual.optimizer, show_default=True),
        click.option("--augment/--no-augment", default=True, show_default=True, help="Deform the training images."),
        size_option,
        click.option("--val-fraction", type=fraction, default=usual.val_fraction, show_default=True),
        click.option("--all-data", is_flag=True, help="No validation: for a final model."),
        click.option(
            "--limit", type=click.IntRange(1), help="Train on so many images; such a run is left out of reports."
        ),
        seed_option,
        data_dir_option,
        runs_dir_option,
        cache_dir_option,
        click.option("--name", help="Of the run.  [default: made from the settings]"),
        *restart_options,
        click.option("--tensorboard", type=click.Path(file_okay=False, path_type=Path), help="Folder for its logs."),
        json_option,
        common,
    )


def make_experiment(part: str, sample: bool, options: dict) -> Experiment:
    """Resolve a training command's options to an experiment."""
    ctx = click.get_current_context()
    config = ctx.meta.get("midas.config")
    base = config or PARTS[part]
    if base.part != part:
        raise MidasError(f"--config is a record of {base.part}, not of {part}")
    if sample and base.test and not config:
        base = dataclasses.replace(base, **SMALL)
    name, all_data, use_augmentation = options.pop("name"), options.pop("all_data"), options.pop("augment")
    base = dataclasses.replace(base, **RECIPES[options.pop("recipe")])
    changes = {key: value for key, value in options.items() if value is not None}
    if not use_augmentation:
        changes["augmentation"] = None
    elif base.augmentation is None:
        changes["augmentation"] = PARTS[part].augmentation
    if all_data:
        changes["val_fraction"] = 0.0
    experiment = dataclasses.replace(base, **changes)
    return dataclasses.replace(experiment, name=name) if name else named(experiment)


def workplace(data_dir, runs_dir, cache_dir) -> Workplace:
    """Say where things are, with messages that go to stderr as far as the user wants them."""
    if data_dir == "sample":
        say("Note: this is the embedded sample, made by a program; its numbers are not those of the real data.")
    progress = Progress()
    return Workplace(Path(runs_dir), str(data_dir), Path(cache_dir), say, progress.epoch, progress.images)


def say(line: str) -> None:
    """Tell the user something on stderr, unless asked to be quiet."""
    if not click.get_current_context().meta.get("midas.quiet"):
        click.echo(line, err=True)


class Progress:
    """A bar that renews itself on a terminal; a line now and then where stderr is a file or a pipe."""

    def __init__(self):
        self.quiet = click.get_current_context().meta.get("midas.quiet")
        self.terminal = sys.stderr.isatty()
        self.told = time.monotonic()

    def epoch(self, record: dict, epochs: int) -> None:
        """Show an epoch's record."""
        names = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        numbers = "  ".join(f"{title} {record[key]:.4f}" for key, title in names.items() if key in record)
        line = f"epoch {record['epoch']:>3}/{epochs}  {numbers}  {record['epoch_seconds']:.1f} s"
        self._show(line, record["epoch"], epochs)

    def images(self, done: int, total: int) -> None:
        """Show how many images are read."""
        if self.terminal or done == total or time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            self._show(f"read {done:,} of {total:,} images", done, total)

    def bytes(self, done: int, total: int | None) -> None:
        """Show how much is downloaded."""
        if self.terminal or done == total or time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            self._show(f"{done / 1e6:.1f} of {total / 1e6 if total else 0:.1f} MB", done, total or 0)

    def _show(self, line: str, done: int, total: int) -> None:
        if self.quiet:
            return
        if not self.terminal:
            click.echo(line, err=True)
            return
        filled = round(20 * done / max(total, 1))
        click.echo(f"\r\033[K[{'#' * filled}{'-' * (20 - filled)}] {line}", err=True, nl=done == total)


@contextlib.contextmanager
def resumable():
    """While a run is under way, know the command that goes on with it."""
    meta = click.get_current_context().meta
    words = ["midas", *(word for word in sys.argv[1:] if word != "--overwrite")]
    meta["midas.resume"] = shlex.join(words if "--resume" in words else [*words, "--resume"])
    yield
    del meta["midas.resume"]


def load_tensorflow() -> None:
    """Import TensorFlow without the lines its C++ parts print at every start, which no setting silences."""
    if click.get_current_context().meta.get("midas.verbose"):
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow

        tensorflow.config.list_physical_devices()
        tensorflow.zeros(1)
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def emit(value: dict, as_json: bool, text: str) -> None:
    """Print a result on stdout: one JSON object, or the text made for people."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False) if as_json else text)
