"""Options that commands share, and how they become experiments, workspaces and networks."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from midas.cli.console import (
    Progress,
    load_tensorflow,
    say,
    silence_libraries,
    warn_of_notes,
    warn_of_sample,
    warn_of_skipped,
)
from midas.errors import MidasError
from midas.experiments import MODEL_NAMES, OPTIMIZERS, STRONGEST, Augmentation, Experiment
from midas.files import read_json
from midas.recipes import (
    DEFAULT_CHECKPOINT,
    PARTS,
    for_sample,
    named,
    recipes,
    with_recipe,
    with_setting,
)

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.data.entries import Source
    from midas.learning.classifier import Classifier
    from midas.studies.executor import Executor
    from midas.studies.workspace import Workspace

MAX_SKIPPED = 20  # images that could not be used and are named, one a line

Decorator = Callable[[Any], Any]


def apply(*options: Decorator) -> Decorator:
    """Combine click options into one decorator; the help lists them in this order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def _remember(key: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        ctx.meta[key] = value
        if key == "midas.verbose" and not value:
            silence_libraries()
        return value

    return callback


def _flag(short: str, long: str, key: str, text: str) -> Decorator:
    return click.option(
        short, long, is_flag=True, expose_value=False, is_eager=True, callback=_remember(key), help=text
    )


def _config(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value:
        record = read_json(Path(value))
        if not isinstance(record, dict):
            raise MidasError(f"{value}: not the settings of an experiment; give the experiment.json of a run")
        ctx.meta["midas.config"] = value, record
    return value


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
    _flag("-v", "--verbose", "midas.verbose", "Show tracebacks and the messages of libraries."),
    _flag("-q", "--quiet", "midas.quiet", "Show no progress."),
)
wide_option = click.option(
    "--wide",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_remember("midas.wide"),
    help="Show all columns, whatever the width of the terminal.",
)
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
tta_option = click.option(
    "--tta",
    type=click.IntRange(1, 1000),
    help="Test-time augmentation: average over this many augmented copies of each image.  [default: the network's own]",
)
classes_option = click.option(
    "--classes",
    metavar="0-9|A,B,…|FILE",
    help="Predict only these classes: names and ranges, separated by commas, or a file of them.",
)
restart_options = [
    click.option("--resume", is_flag=True, help="Resume an unfinished run."),
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
        help="Swap rows and columns of the images.  [default: as the form says; EMNIST's are swapped]",
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
    "rotation": "Maximum, in degrees.",
    "shear": "Maximum slant, in degrees.",
    "scale": "Natural logarithm of the largest stretch.",
    "shift": "Maximum, as a fraction of the side.",
    "elastic": "Displacement of the elastic grid's points, as a fraction of the side.",
    "stroke": "Thicken or thin strokes; 1 means by one pixel on each side.",
    "occlusion": "Largest side of a black rectangle in half of the copies, as a fraction of the side.",
    "pen": "Move strokes toward one width; 1 means by up to one pixel on each side.",
}
augmentation_options = [
    click.option(
        f"--{strength.name}",
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
    "quick": "quick: in a fourth of the time.",
    "plateau": "plateau: ReduceLROnPlateau.",
    "cosine": "cosine: warm-up and cosine decay.",
    "fast": "fast: 99 % within seconds.",
    "best": "best: the most accurate.",
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
        "--data", help="Any labeled images instead of those of Part 1; settings then suit their number."
    )
    fraction = click.FloatRange(0, 1, min_open=True, max_open=True)
    by_size = "suits the number of images" if part == "custom" else None

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
        click.option("--batch-size", type=click.IntRange(1), help=default_of(by_size or default.batch_size)),
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
            show_default=by_size or True,
            help="Fraction of the training images for the validation set.",
        ),
        click.option("--all-data", is_flag=True, help="Train without a validation set, for a final network."),
        click.option(
            "--limit", type=click.IntRange(1), help="Train on this many images only; such runs are not in reports."
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
        help="GPUs to train on, all at once; cpu for none.  [default: all]",
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
        tta_option,
    )


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
        raise MidasError(f"--config has the settings of {base.part}, not of {part}")
    changes = {key: value for key, value in given.items() if key in Experiment.__dataclass_fields__}
    if "recipe" in given:
        if given["recipe"] not in recipes(part):
            raise click.UsageError(f"--recipe {given['recipe']}: here, there are {', '.join(recipes(part))}")
        base = with_recipe(base, given["recipe"])
    if "augment" in given:
        changes["augmentation"] = (base.augmentation or PARTS[part].augmentation) if given["augment"] else None
    if suited:
        changes |= {name: getattr(suited, name) for name in ("data", "test")}
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
    words = [assignment.removeprefix("augmentation.") for assignment in given.get("assignments", ())]
    return replace(experiment, name="-".join([named(experiment).name, *words]))


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

    named = settings.pop("data_dir", None)
    data_dir = data or named
    runs_dir, cache_dir, *how = (settings.pop(key) for key in ("runs_dir", "cache_dir", "workers", "scheduler"))
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
        raise click.UsageError(f"--recipe {recipe}: for other data, there are {', '.join(recipes('custom'))}")
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
        MidasError: a name is not a class of the network.

    >>> choose_classes("0-2,B", "0123AB")
    ['0', '1', '2', 'B']
    """
    if text is None:
        return None
    listed = Path(text).read_text(encoding="utf-8").splitlines() if Path(text).is_file() else [text]
    words = [word.strip() for line in listed for word in ([line] if line in class_names else line.split(","))]
    chosen = [name for word in words if word for name in _range(word, list(class_names))]
    if not chosen:
        raise MidasError(f"--classes {text}: names no class")
    return list(dict.fromkeys(chosen))


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


def names_of(paths: list[Path]) -> str | list[str]:
    """Give paths as JSON has them: one as a string, several as a list."""
    return str(paths[0]) if len(paths) == 1 else [str(path) for path in paths]
