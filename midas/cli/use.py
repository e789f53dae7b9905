"""Commands that use networks: predict, evaluate, analyze, export; and help."""

from __future__ import annotations

import csv
import itertools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midas.cli.audit import audit_labels
from midas.cli.console import (
    Progress,
    Unread,
    command,
    emit,
    emit_list,
    table_width,
    warn,
    warn_of_notes,
    warn_of_skipped,
)
from midas.cli.options import (
    apply,
    classes_option,
    common,
    form_options,
    json_option,
    network_option,
    strict_option,
    tta_option,
)
from midas.cli.settings import choose_classes, load_network, open_data
from midas.errors import MidasError, printable
from midas.files import one_or_several, parse, refuse_nonempty

if TYPE_CHECKING:
    from midas.data.entries import Source
    from midas.learning.classifier import Answers, Classifier
    from midas.predictions import PageReading


@command(epilog="Example: midas predict drawing.png")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER|ARCHIVE|-...")
@click.option("--lines", "as_lines", is_flag=True, help="Read pages, lines and forms: all characters of each image.")
@click.option("--table", "as_table", is_flag=True, help="With --lines: one row per character instead of the text.")
@click.option(
    "--overlay",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --lines: draw the answers on the image (PNG); numbered if there are several.",
)
@click.option(
    "--same-hand/--no-same-hand",
    default=None,
    help="All characters are by one person: their sizes tell c from C.  [default: within each page, with --lines]",
)
@click.option(
    "--reject",
    is_flag=True,
    help="Answer 'unsure' ('?' in text) below the network's own threshold; loses 1 % of the correct answers.",
)
@click.option("--reject-below", type=click.FloatRange(0, 1), help="Answer 'unsure' below this probability.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values instead of a table.")
@apply(classes_option, network_option, tta_option, strict_option, json_option, common)
def predict(
    images: tuple[str, ...],
    as_lines: bool,
    as_table: bool,
    overlay: Path | None,
    same_hand: bool | None,
    reject: bool,
    reject_below: float | None,
    as_csv: bool,
    classes: str | None,
    checkpoints: tuple[str, ...],
    tta: int | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Read the character in each image, or whole pages.

    Prints the label, its probability, and the next two guesses. '-' reads an image from stdin. The pages of a TIFF and
    the frames of an animation are images of their own. Images that cannot be read are listed with the reason, all
    others are answered, and the exit status is 1. With --strict, nothing is answered unless every image can be read.
    """
    if (overlay or as_table) and not as_lines:
        raise click.UsageError("--overlay and --table need --lines")
    if sum((as_json, as_csv, as_table)) > 1:
        raise click.UsageError("--json, --csv and --table exclude each other")
    network, _ = load_network(checkpoints, tta)
    answers = network.answers(
        choose_classes(classes, network.class_names), reject=reject if reject_below is None else reject_below
    )
    unread = Unread()
    sources = _open_each(images, unread.add)
    from midas.predictions import as_record

    found: Iterable[Any]
    if as_lines:
        found = _read_pages(network, sources, unread, answers, same_hand is not False, overlay)
    elif same_hand:
        found, adapted = network.predict_same_hand(sources, unread.add, answers)
        if not adapted:
            warn(
                "Note: --same-hand changes nothing: it needs two or more pages of the drawing tool, on which the size "
                "of a character is known, and a network that was trained on such pages"
            )
    else:
        found = network.predict_stream(sources, unread.add, answers)
    found = unread.counted(found)
    if strict:
        found = list(found)
        nothing = "nothing is answered; repair or remove {}, or omit --strict"
        unread.fail(nothing.format("them"), f"; {nothing.format('it')}")
    if as_json:
        emit_list("predictions", map(as_record, found), lambda: {"skipped": unread.listed})
    else:
        _print(found, as_lines, as_csv, as_table, max(map(len, network.class_names)))
    unread.fail("the reasons are above", " (all others were read)")


def _read_pages(
    network: Classifier,
    sources: Iterable[Source],
    unread: Unread,
    answers: Answers,
    same_hand: bool,
    overlay: Path | None,
) -> Iterator[PageReading]:
    """Read pages one by one, and draw the answers on each."""
    from midas.data.levels import UnreadableImage
    from midas.data.reading import pages
    from midas.report.overlays import numbered, write_overlay

    written = 0
    for name, page in pages(sources, unread.add):
        try:
            reading = network.read_page(name, page, answers, same_hand)
        except UnreadableImage as error:
            unread.add(name, str(error))
            continue
        if reading.touching:
            what = "character is" if reading.touching == 1 else "characters are"
            warn(f"{name}: {reading.touching} {what} as wide as two or more: characters that touch cannot be separated")
        if overlay:
            written += 1
            write_overlay(page, reading, numbered(overlay, written))
        yield reading


def _print(found: Iterable[Any], as_lines: bool, as_csv: bool, as_table: bool, label_width: int) -> None:
    """Print results for people, or as CSV, as they come."""
    from midas.report import prediction_tables as tables

    if as_csv:
        rows = tables.character_rows(found) if as_lines else tables.prediction_rows(found)
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
        return
    if as_lines:
        _print_pages(iter(found), tables.character_table if as_table else lambda page: page.text)
        return
    first, several, table = "", 0, tables.PredictionTable(label_width, table_width())
    for number, each in enumerate(found):
        if not number:  # not above an error alone
            click.echo(table.header)
        click.echo(table.line(each))
        first, several = first or each.source * each.several, several + each.several
    if several:
        more = f" and {several - 1:,} more" if several > 1 else ""
        warn(f"{first}{more}: there seem to be several characters; read them with --lines")


def _print_pages(found: Iterator[PageReading], write: Callable[[PageReading], str]) -> None:
    """Print pages, below their names if there are several."""
    start = list(itertools.islice(found, 2))
    for page in itertools.chain(start, found):
        click.echo(f"{printable(page.source)}:\n{write(page)}\n" if len(start) > 1 else write(page))


def _open_each(names: Iterable[str], skip: Callable[[str, str], None]) -> Iterator[Source]:
    """Open images and data sets, leaving out those that cannot be opened."""
    from midas.data.sources import open_source, source_of_bytes

    for name in names:
        try:
            source = source_of_bytes(sys.stdin.buffer.read()) if name == "-" else open_source(name)
        except MidasError as error:
            skip(name, str(error).removeprefix(f"{Path(name)}: "))
        else:
            warn_of_notes(source.notes)
            yield source


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
@apply(classes_option, form_options, tta_option, strict_option, json_option, common)
def evaluate(
    checkpoints: tuple[str, ...],
    data: str,
    restrict: bool,
    classes: str | None,
    tta: int | None,
    strict: bool,
    as_json: bool,
    **form: Any,
) -> None:
    """Score a network on labeled images.

    Several checkpoints are scored as an ensemble.
    """
    if classes and restrict:
        raise click.UsageError("--classes and --restrict exclude each other")
    source = open_data(data, "test", **form)
    network, paths = load_network(checkpoints, tta)
    from midas.report.tables import classification_report
    from midas.studies import evaluation

    allowed = choose_classes(classes, network.class_names)
    found = evaluation.evaluate(network, source, data, allowed, restrict, strict, Progress().images)
    warn_of_skipped(found.skipped, data)
    warn_of_notes(found.notes)
    about = {"checkpoint": one_or_several(paths), "data": data, "tta": network.tta}
    emit(evaluation.as_json(found, **about), as_json, classification_report(found.scores))


@command(epilog="Example: midas analyze --checkpoint checkpoints/part1/compact/seed-0")
@network_option
@click.option("--data", help="Labeled images.  [default: what the run itself was evaluated on]")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to.  [default: the run directory]"
)
@apply(classes_option, form_options, tta_option, strict_option, json_option, common)
def analyze(
    checkpoints: tuple[str, ...],
    data: str | None,
    out: Path | None,
    classes: str | None,
    tta: int | None,
    strict: bool,
    as_json: bool,
    **form: Any,
) -> None:
    """Draw confusion matrices, errors and learning curves.

    Writes PNG files and analysis.json. Takes a run or a cross-validation; with --data, any network.
    """
    from midas.metrics.classification import Scores
    from midas.report.tables import classification_report
    from midas.runs import find_run
    from midas.studies import evaluation

    if data:
        source = open_data(data, "test", **form)
        network, paths = load_network(checkpoints, tta)
        found, folder, dataset = evaluation.analyze_network(
            network, paths, source, data, out, choose_classes(classes, network.class_names), strict, Progress().images
        )
        warn_of_skipped(dataset.skipped, data)
        warn_of_notes(found["notes"])
    else:
        if classes:
            raise click.UsageError("--classes needs --data: a run keeps the predictions it was scored on")
        run = find_run(checkpoints[0]) if len(checkpoints) == 1 and tta is None else None
        if not run:
            load_network(checkpoints, tta)  # or say that there is none
            raise MidasError("only a run knows what it was evaluated on; give labeled images with --data")
        found, folder = evaluation.analyze_run(run, out)
    pictures = "\n".join(str(folder / file) for file in found["files"])
    emit(found, as_json, f"{classification_report(parse(Scores, found))}\n\n{pictures}")


@command(epilog="Example: midas export --checkpoint part2-best --format onnx --out exported")
@network_option
@click.option(
    "--format",
    "export_format",
    type=click.Choice(["onnx", "litert", "saved-model"]),
    default="onnx",
    show_default=True,
    help="For ONNX Runtime, for LiteRT (formerly TensorFlow Lite), or for TensorFlow.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write to.")
@click.option(
    "--int8", is_flag=True, help="With litert: 8-bit integers, a quarter of the size, a little less accurate."
)
@click.option(
    "--data", help="Labeled images on which to compare it with Keras.  [default: drawings of the embedded sample]"
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in --out.")
@apply(form_options, tta_option, json_option, common)
def export(
    checkpoints: tuple[str, ...],
    export_format: str,
    out: Path,
    int8: bool,
    data: str | None,
    overwrite: bool,
    tta: int | None,
    as_json: bool,
    **form: Any,
) -> None:
    """Export a network for programs without midas.

    The exported network includes an ensemble, test-time augmentation and calibration. Its card is written beside it,
    and read.py, a page of Python that reads drawings with it. It is compared with Keras, and written only if no
    probability differs by more than 0.0001; with --int8, whatever the difference.
    """
    if int8 and export_format != "litert":
        raise click.UsageError("--int8 needs --format litert")
    refuse_nonempty(out, overwrite)
    source = open_data(data, "test", **form) if data else None
    network, _ = load_network(checkpoints, tta)
    from midas.data import datasets
    from midas.learning.export import READER
    from midas.learning.export import export as write

    dataset = datasets.read(source, network.size, progress=Progress().images) if source else None
    if dataset:
        warn_of_skipped(dataset.skipped, str(data))
    found = write(network, export_format, out, int8, dataset, data or "sample")
    words = map(shlex.quote, (sys.executable, str(out / READER), "drawing.png"))
    usage = f"\nRead with it: {' '.join(words)}" if (out / READER).exists() else ""
    emit(found, as_json, found.summary() + usage)


@command("help", epilog="Example: midas help predict")
@click.argument("name", metavar="[COMMAND]", required=False)
@common
@click.pass_context
def show_help(ctx: click.Context, name: str | None) -> None:
    """Show the help of a command."""
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    shown = root.command.get_command(root, name) if name else root.command
    if not shown:
        raise click.UsageError(f"no command {name!r}; 'midas --help' lists them")
    click.echo(shown.get_help(click.Context(shown, info_name=name, parent=root) if name else root))


COMMANDS = (predict, evaluate, analyze, audit_labels, export, show_help)
