"""The command that audits labels, and applies the corrections that an audit suggests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from midas.cli.console import Progress, command, command_line, emit, load_tensorflow, table_width, warn, warn_of_skipped
from midas.cli.options import (
    apply,
    cache_dir_option,
    checkpoint_option,
    common,
    form_options,
    json_option,
    seed_option,
    size_option,
    strict_option,
    tta_option,
)
from midas.cli.settings import load_network, open_data
from midas.errors import MidasError, counted


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
@click.option(
    "--folds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Number of folds: as many networks are trained.",
)
@click.option(
    "--epochs", type=click.IntRange(1), help="Epochs of each training.  [default: 2 to 30, by the number of images]"
)
@click.option("--limit", type=click.IntRange(2), help="Audit this many images, drawn in proportion to the classes.")
@click.option(
    "--max-suspects", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of suspects to list."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for figures and lists.")
@click.option("--cleanlab", is_flag=True, help="Compare with cleanlab, if it is installed.")
@click.option(
    "--apply",
    "corrections",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="labels.csv",
    help="Audit nothing: write a copy of the data set to --out, corrected by this list.",
)
@apply(form_options, tta_option, size_option, strict_option, seed_option, cache_dir_option, json_option, common)
@click.pass_context
def audit_labels(
    ctx: click.Context,
    data: str,
    class_names: Path | None,
    transpose: bool | None,
    checkpoints: tuple[str, ...],
    corrections: Path | None,
    tta: int | None,
    size: int,
    strict: bool,
    cache_dir: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Find wrong labels without knowing a single true one.

    Estimates how many labels are wrong, in which way, and which ones. With --out, writes audit.json, a list of the
    labels to correct (labels.csv) and figures. Edit the columns suggested and decision (relabel, keep, drop) of that
    list, and --apply it: this writes a corrected copy of the data set, and never changes the original.
    """
    if corrections:
        _apply_corrections(ctx, data, (class_names, transpose), corrections, options["out"], as_json)
        return
    _refuse_unused(ctx, ("folds", "epochs", "size") if checkpoints else ("tta",), bool(checkpoints))
    if options["cleanlab"] and not importlib.util.find_spec("cleanlab"):
        raise MidasError("--cleanlab needs the package cleanlab: pip install cleanlab")
    source = open_data(data, "train", class_names, transpose)
    network, paths = load_network(checkpoints, tta) if checkpoints else (None, [])
    from midas.data import datasets
    from midas.metrics.label_noise import COMPLEMENTARY
    from midas.report import label_audit
    from midas.studies import audit

    progress = Progress()
    dataset = datasets.cached(source, network.size if network else size, cache_dir, strict, progress.images)
    warn_of_skipped(dataset.skipped, data)
    if not network:
        load_tensorflow()
    told = (progress.epoch, progress.stage, progress.predictions, progress.moment)
    summary = audit.audit(dataset, data, audit.Options(**options), network, paths, *told)
    if summary["left_out"]:
        warn(f"Note: {label_audit.left_out(summary['left_out'])}; add images of them.")
    if summary["predictions"].get("independent") is False:
        warn("Note: this network was trained on these very labels, so its predictions are not independent of them.")
    lines = [label_audit.table(summary, options["max_suspects"], table_width())]
    if options["out"]:
        lines += ["", *(str(options["out"] / name) for name in summary["files"])]
        if summary["suspected"] and summary["verdict"] != COMPLEMENTARY:
            lines += [f"Check labels.csv, then correct with: {_correction(ctx, data, options['out'])}"]
    emit(summary, as_json, "\n".join(lines))


def _correction(ctx: click.Context, data: str, out: Path) -> str:
    """Give the command line that writes a corrected copy of the data set that was audited."""
    names, transpose = ctx.params["class_names"], ctx.params["transpose"]
    form = ["--class-names", str(names)] if names else []
    form += [] if transpose is None else ["--transpose" if transpose else "--no-transpose"]
    written = ["--apply", str(out / "labels.csv"), "--out", str(out / "corrected")]
    return command_line("audit-labels", "--data", data, *form, *written)


def _apply_corrections(
    ctx: click.Context, data: str, form: tuple[Path | None, bool | None], file: Path, out: Path | None, as_json: bool
) -> None:
    if out is None:
        raise click.UsageError("--apply needs --out, a new folder for the corrected copy")
    used = ("data", "class_names", "transpose", "corrections", "out", "as_json")
    for param in ctx.command.params:
        if param.expose_value and param.name not in used and _is_given(ctx, param.name or ""):
            raise click.UsageError(f"{param.opts[0]} and --apply exclude each other")
    from midas.data.corrections import apply_corrections, read_corrections
    from midas.data.datasets import open_test_part
    from midas.data.labels import convention, name_classes

    listed, source = read_corrections(file), open_data(data, "train", *form)
    found = apply_corrections(source, listed, out, open_test_part(data, source, *form), Progress().files)
    warn_of_skipped(found.unreadable, data)
    counts = f"{counted(found.images, 'image')}, of which {found.relabeled:,} relabeled; {found.dropped:,} dropped"
    if name_classes(list(found.folders.values()), convention(found.folders.values())[1])[0] != tuple(found.folders):
        warn("Note: not every class can give its name to a folder; --json lists the folders")
    if found.without_label:
        warn(f"{data}: not in the copy: {counted(found.without_label, 'image')} without a label")
    emit(found, as_json, f"{out}: {counts}\nTrain on it with: {command_line('train', str(out))}")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE


def _refuse_unused(ctx: click.Context, names: tuple[str, ...], has_checkpoint: bool) -> None:
    for name in names:
        if _is_given(ctx, name):
            how = "and --checkpoint exclude each other" if has_checkpoint else "needs --checkpoint"
            raise click.UsageError(f"--{name} {how}")
