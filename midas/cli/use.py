"""Commands that use networks: predict, evaluate, analyze, audit-labels."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from midas.cli.console import (
    Progress,
    command,
    emit,
    load_tensorflow,
    table_width,
    warn,
    warn_of_sample,
    warn_of_skipped,
)
from midas.cli.options import (
    apply,
    cache_dir_option,
    checkpoint_option,
    common,
    json_option,
    load_network,
    names_of,
    network_option,
    seed_option,
    size_option,
    strict_option,
    tta_option,
)
from midas.errors import MidasError
from midas.files import parse

if TYPE_CHECKING:
    from midas.learning.classifier import Prediction


@command(epilog="Example: midas predict drawing.png")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER|ARCHIVE|-...")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values instead of a table.")
@apply(network_option, tta_option, json_option, common)
def predict(
    images: tuple[str, ...], as_csv: bool, checkpoints: tuple[str, ...], tta: int | None, as_json: bool
) -> None:
    """Read the character in each image.

    Prints the label, its probability, and the next two guesses. '-' reads an image from stdin.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    network, _ = load_network(checkpoints, tta)
    from midas.data.sources import open_source, source_of_bytes
    from midas.report.tables import PredictionTable

    sources = [source_of_bytes(sys.stdin.buffer.read()) if name == "-" else open_source(name) for name in images]
    skipped = []

    def skip(name: str, reason: str) -> None:
        skipped.append({"file": name, "reason": reason})
        warn(f"{name}: skipped: {reason}")

    predictions = network.predict_stream(sources, skip)
    if as_json:
        emit({"predictions": list(map(_as_json, predictions)), "skipped": skipped}, True, "")
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(_csv_rows(predictions))
    else:
        table = PredictionTable(max(map(len, network.class_names)), table_width())
        click.echo(table.header)
        for prediction in predictions:
            click.echo(table.line(prediction))


def _as_json(prediction: Prediction) -> dict[str, Any]:
    alternatives = [
        {"label": each.label, "probability": round(each.probability, 4)} for each in prediction.alternatives
    ]
    scores = {"label": prediction.label, "probability": round(prediction.probability, 4)}
    return {"file": prediction.source, **scores, "alternatives": alternatives}


def _csv_rows(predictions: Iterable[Prediction]) -> Iterator[list[Any]]:
    yield ["file", "label", "probability", "second", "second_probability", "third", "third_probability"]
    for each in predictions:
        others = (cell for guess in each.alternatives for cell in (guess.label, round(guess.probability, 4)))
        yield [each.source, each.label, round(each.probability, 4), *others]


@command(epilog="Example: midas evaluate --data test.zip --json")
@network_option
@click.option(
    "--data",
    required=True,
    help="Labeled images: a zip, tar, folder, .npz or IDX file, of which the test part is taken if there is one; or "
    "'sample'.",
)
@click.option(
    "--restrict/--no-restrict", default=False, show_default=True, help="Predict only classes that are in the data."
)
@apply(tta_option, strict_option, json_option, common)
def evaluate(
    checkpoints: tuple[str, ...], data: str, restrict: bool, tta: int | None, strict: bool, as_json: bool
) -> None:
    """Score a network on labeled images.

    Several checkpoints are scored as an ensemble.
    """
    warn_of_sample(data)
    network, paths = load_network(checkpoints, tta)
    from midas.report.tables import classification_report
    from midas.studies import evaluation

    found = evaluation.evaluate(network, data, restrict, strict, Progress().images)
    warn_of_skipped(found.skipped, data)
    about = {"checkpoint": names_of(paths), "data": data, "tta": network.tta}
    emit(evaluation.as_json(found, **about), as_json, classification_report(found.scores))


@command(epilog="Example: midas analyze --checkpoint checkpoints/part1/compact/seed-0")
@network_option
@click.option("--data", help="Labeled images.  [default: what the run itself was evaluated on]")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="[default: the run directory]")
@apply(tta_option, strict_option, json_option, common)
def analyze(
    checkpoints: tuple[str, ...], data: str | None, out: Path | None, tta: int | None, strict: bool, as_json: bool
) -> None:
    """Draw confusion matrices, errors and learning curves.

    Writes PNG files and analysis.json. Takes a run, a cross-validation, or with --data any network.
    """
    from midas.metrics.classification import Scores
    from midas.report.tables import classification_report
    from midas.runs import find_run
    from midas.studies import evaluation

    if data:
        warn_of_sample(data)
        network, paths = load_network(checkpoints, tta)
        found, folder, skipped = evaluation.analyze_network(network, paths, data, out, strict, Progress().images)
        warn_of_skipped(skipped, data)
    else:
        run = find_run(checkpoints[0]) if len(checkpoints) == 1 and tta is None else None
        if not run:
            raise MidasError("only a run knows what it was evaluated on; give labeled images with --data")
        found, folder = evaluation.analyze_run(run, out)
    pictures = "\n".join(str(folder / file) for file in found["files"])
    emit(found, as_json, f"{classification_report(parse(Scores, found))}\n\n{pictures}")


@command("audit-labels", epilog="Example: midas audit-labels --data scans.zip --out audit")
@click.option(
    "--data",
    required=True,
    help="A data set, of which the training part is taken if there is one; or 'sample'.",
)
@checkpoint_option(
    "A reference model that was not trained on these labels",
    "out-of-fold predictions of networks trained on the labels",
)
@click.option("--folds", type=click.IntRange(2), default=3, show_default=True, help="Networks to train.")
@click.option("--epochs", type=click.IntRange(1), help="Of each training.  [default: 2 to 30, by the number of images]")
@click.option("--limit", type=click.IntRange(2), help="Audit this many images, drawn in proportion to the classes.")
@click.option("--max-suspects", type=click.IntRange(1), default=20, show_default=True, help="Suspects to list.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for figures and lists.")
@click.option("--cleanlab", is_flag=True, help="Compare with cleanlab, if it is installed.")
@apply(tta_option, size_option, strict_option, seed_option, cache_dir_option, json_option, common)
@click.pass_context
def audit_labels(
    ctx: click.Context,
    data: str,
    checkpoints: tuple[str, ...],
    tta: int | None,
    size: int,
    strict: bool,
    cache_dir: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Find wrong labels without knowing a single true one.

    Estimates how many labels are wrong, how, and which. With --out, writes audit.json, a corrected list
    (labels.csv) and figures.
    """
    _refuse_unused(ctx, ("folds", "epochs", "size") if checkpoints else ("tta",), bool(checkpoints))
    if options["cleanlab"] and not importlib.util.find_spec("cleanlab"):
        raise MidasError("--cleanlab needs the package cleanlab: pip install cleanlab")
    warn_of_sample(data)
    network, paths = load_network(checkpoints, tta) if checkpoints else (None, [])
    from midas.data import datasets
    from midas.report import label_audit
    from midas.studies import audit

    progress = Progress()
    source = datasets.open_any(data, "train")
    dataset = datasets.cached(source, network.size if network else size, cache_dir, strict, progress.images)
    warn_of_skipped(dataset.skipped, data)
    if not network:
        load_tensorflow()
    told = (progress.epoch, progress.stage, progress.predictions)
    summary = audit.audit(dataset, data, audit.Options(**options), network, paths, *told)
    if summary["predictions"].get("independent") is False:
        warn("Note: this network was trained on these very labels, so its predictions are not independent of them.")
    table, files = label_audit.table(summary, options["max_suspects"], table_width()), summary.get("files", ())
    emit(
        summary, as_json, "\n".join([table, *([""] if files else []), *(str(options["out"] / name) for name in files)])
    )


def _refuse_unused(ctx: click.Context, names: tuple[str, ...], has_checkpoint: bool) -> None:
    for name in names:
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} goes {'without' if has_checkpoint else 'with'} --checkpoint")


@command("help", epilog="Example: midas help predict")
@click.argument("name", metavar="[COMMAND]", required=False)
@common
@click.pass_context
def show_help(ctx: click.Context, name: str | None) -> None:
    """Show the help of a command."""
    root = ctx.find_root()
    shown = root.command.get_command(root, name) if name else root.command  # type: ignore[attr-defined]
    if not shown:
        raise click.UsageError(f"no command {name!r}; 'midas --help' lists them")
    click.echo(shown.get_help(click.Context(shown, info_name=name, parent=root) if name else root))


COMMANDS = (predict, evaluate, analyze, audit_labels, show_help)
