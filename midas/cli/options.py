"""What the commands have in common: shared options, and what is made of them."""

import dataclasses
import functools
import os
from pathlib import Path

import click
from click.core import ParameterSource

from midas.cli.console import Progress, say, warn
from midas.errors import MidasError
from midas.experiments import (
    MODEL_NAMES,
    NETWORKS,
    OPTIMIZERS,
    PARTS,
    SMALL,
    STRONGEST,
    Augmentation,
    Experiment,
    changed,
    named,
    recipes,
    with_recipe,
)
from midas.runs import read_json
from midas.studies.study import Workplace


def _remember(key):
    def callback(ctx, param, value):
        ctx.meta[key] = value
        return value

    return callback


def _config(ctx, param, value):
    if value:
        record = read_json(Path(value))
        if not isinstance(record, dict):
            raise MidasError(f"{value}: not a record of an experiment; give the experiment.json of a run")
        ctx.meta["midas.config"] = Experiment.from_json(record)
    return value


def apply(*options):
    """Combine click options into one decorator, listed in the help in this order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def _flag(short: str, long: str, key: str, text: str):
    return click.option(
        short, long, is_flag=True, expose_value=False, is_eager=True, callback=_remember(key), help=text
    )


common = apply(
    _flag("-v", "--verbose", "midas.verbose", "Show tracebacks and TensorFlow's messages."),
    _flag("-q", "--quiet", "midas.quiet", "No progress on stderr."),
)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise MidasError("this user has no home folder for the cache; give one as --cache-dir") from error


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Of everything random."
)
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
    help="Where preprocessed data are kept.",
)
SIDE = click.IntRange(14, 512)
size_option = click.option("--size", type=SIDE, default=28, show_default=True, help="Side of the glyphs, pixels.")
_STRENGTHS = {
    "rotation": "Degrees either way.",
    "shear": "Degrees of slant either way.",
    "scale": "Natural logarithm of the largest stretch.",
    "shift": "Part of the side, either way.",
    "elastic": "Displacement of the elastic grid's points, part of the side.",
    "stroke": "Thicken or thin pen strokes; 1 is by a pixel on each side.",
    "occlusion": "Blacken a rectangle in half of the copies; largest side, part of the image's.",
    "pen": "Move pen strokes to one width; 1 is by up to a pixel on each side.",
}
augmentation_options = [
    click.option(
        f"--{strength.name}",
        type=click.FloatRange(0, STRONGEST[strength.name]),
        default=strength.default,
        show_default=True,
        help=_STRENGTHS[strength.name],
    )
    for strength in dataclasses.fields(Augmentation)
    if strength.name in _STRENGTHS
]
restart_options = [
    click.option("--resume", is_flag=True, help="Go on with an unfinished run."),
    click.option("--overwrite", is_flag=True, help="Delete what lies in the run directory and start again."),
]
tta_option = click.option(
    "--tta",
    type=click.IntRange(1, 1000),
    help="Average over so many views of each image, itself and deformed ones.  [default: what its card says, or 1]",
)


RECIPES_IN_WORDS = {
    "plateau": "plateau: ReduceLROnPlateau.",
    "cosine": "cosine: warm-up, then half a cosine.",
    "fast": "fast: 99 % within seconds.",
    "best": "best: the most thorough settings.",
}


def settings_options(part: str, model: bool = True):
    """Options that make an experiment, with the part's own defaults; without `model` for all networks alike."""
    usual = PARTS[part]
    fraction = click.FloatRange(0, 1, min_open=True, max_open=True)
    theirs = "or the recipe's"
    model_option = click.option(
        "--model", type=click.Choice(MODEL_NAMES), default=usual.model, help=f"[default: {usual.model}, {theirs}]"
    )
    return apply(
        click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=_config,
            help="Take the settings from an experiment.json; options given beside it win.",
        ),
        *([model_option] if model else []),
        click.option(
            "--recipe",
            type=click.Choice(list(recipes(part))),
            default="plateau",
            show_default=True,
            help=" ".join(RECIPES_IN_WORDS[name] for name in recipes(part)),
        ),
        click.option("--epochs", type=click.IntRange(1), help=f"At most.  [default: {usual.epochs}, {theirs}]"),
        click.option("--batch-size", type=click.IntRange(1), help=f"[default: {usual.batch_size}, {theirs}]"),
        click.option(
            "--learning-rate",
            type=click.FloatRange(0, min_open=True),
            help=f"At the start.  [default: {usual.learning_rate}, {theirs}]",
        ),
        click.option(
            "--optimizer",
            type=click.Choice(OPTIMIZERS),
            default=usual.optimizer,
            help=f"[default: {usual.optimizer}, {theirs}]",
        ),
        click.option("--augment/--no-augment", default=True, show_default=True, help="Deform the training images."),
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="NAME=VALUE",
            help="Any other setting of experiment.json, as label_smoothing=0.1 or augmentation.elastic=0; repeatable.",
        ),
        click.option("--size", type=SIDE, help=f"Side of the glyphs, pixels.  [default: {usual.size}, {theirs}]"),
        click.option("--val-fraction", type=fraction, default=usual.val_fraction, show_default=True),
        click.option("--all-data", is_flag=True, help="No validation: for a final model."),
        click.option(
            "--limit", type=click.IntRange(1), help="Train on so many images; such a run is left out of reports."
        ),
        seed_option,
        *([click.option("--name", help="Of the run.  [default: made from the settings]")] if model else []),
    )


place_options = [data_dir_option, runs_dir_option, cache_dir_option]
tensorboard_option = click.option(
    "--tensorboard", type=click.Path(file_okay=False, path_type=Path), help="Folder for its logs."
)


def training_options(part: str):
    """Options of the three training commands."""
    several = "; ".join(f"{networks} with --recipe {name}" for (of, name), networks in NETWORKS.items() if of == part)
    ensemble_option = click.option(
        "--ensemble",
        type=click.IntRange(1),
        help="Train so many networks, with seeds counted up from --seed; their folder, with all finished seeds in it, "
        f"is a --checkpoint.  [default: {'; '.join(['1', several]) if several else 1}]",
    )
    options = [ensemble_option, *place_options, *restart_options, tensorboard_option, json_option, common]
    return apply(settings_options(part), *options)


def protocol_options(ensemble: bool):
    """Options that say how to cross-validate."""
    several = click.option(
        "--ensemble", type=click.IntRange(1), default=1, show_default=True, help="Networks a fold, also as one."
    )
    return apply(
        click.option("--folds", type=click.IntRange(2), default=5, show_default=True),
        click.option("--repeats", type=click.IntRange(1), default=1, show_default=True, help="Each with other folds."),
        *([several] if ensemble else []),
        tta_option,
    )


def make_experiment(part: str, sample: bool, settings: dict) -> Experiment:
    """Resolve a training command's options to an experiment.

    What was given as an option or in the environment wins over the `--config` file, and that over the part's defaults.
    """
    ctx = click.get_current_context()
    ours = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    given = {name: value for name, value in settings.items() if ctx.get_parameter_source(name) in ours}
    config = ctx.meta.get("midas.config")
    base = config or (dataclasses.replace(PARTS[part], **SMALL) if sample and PARTS[part].test else PARTS[part])
    if base.part != part:
        raise MidasError(f"--config is a record of {base.part}, not of {part}")
    changes = {key: value for key, value in given.items() if key in Experiment.__dataclass_fields__}
    if "recipe" in given:
        base = with_recipe(base, given["recipe"])
    if "augment" in given:
        changes["augmentation"] = (base.augmentation or PARTS[part].augmentation) if given["augment"] else None
    if given.get("all_data"):
        changes["val_fraction"] = 0.0
    if changes.get("loss", base.loss) != "complementary":
        changes.setdefault("rounds", 0)
    if part != "part1":
        changes["source"] = _source(part, base, given)
    experiment = dataclasses.replace(base, **changes)
    for change in given.get("changes", ()):
        experiment = changed(experiment, change)
    if "name" in given or (config and config.name != named(config).name):
        return experiment
    words = [change.removeprefix("augmentation.") for change in given.get("changes", ())]
    return dataclasses.replace(experiment, name="-".join([named(experiment).name, *words]))


def _source(part: str, base: Experiment, given: dict) -> str | None:
    """Say what a pretrained network starts from."""
    chosen = [given[name] for name in ("source", "from_checkpoint") if given.get(name)]
    if len(chosen) > 1:
        raise click.UsageError("--source and --from exclude each other")
    if given.get("init", base.init) == "random":
        if chosen:
            raise click.UsageError("--source and --from go with --init pretrained")
        return None
    return chosen[0] if chosen else base.source or {"part2": "digits", "part3": "part1"}[part]


def workplace(data_dir, runs_dir, cache_dir) -> Workplace:
    """Say where things are, with messages that go to stderr as far as the user wants them."""
    warn_of_sample(data_dir)
    progress = Progress()
    return Workplace(
        Path(runs_dir), str(data_dir), Path(cache_dir), say, warn_of_skipped, progress.epoch, progress.images
    )


def warn_of_sample(data: str) -> None:
    """Say that numbers are not those of the real data."""
    if data == "sample":
        warn("Note: this is the embedded sample, made by a program; its numbers are not those of the real data.")


def warn_of_skipped(dataset, name: str) -> None:
    """Say how many images of a data set could not be used."""
    if dataset.skipped:
        (first, reason), count = dataset.skipped[0], len(dataset.skipped)
        warn(f"{name}: {count:,} images skipped, first {first}: {reason} ('midas preprocess' lists them)")
