"""Commands of many trainings: run, cross-validate, compare-models, compare; and what came out: list, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midas.cli.console import Progress, command, emit, opening, table_width
from midas.cli.options import (
    apply,
    choice_option,
    common,
    json_option,
    protocol_options,
    restart_options,
    resume_option,
    runs_dir_option,
    seed_option,
    settings_options,
    wide_option,
    workspace_options,
)
from midas.cli.settings import make_experiment, make_suited, make_workspace
from midas.errors import MidasError
from midas.experiments import MODEL_NAMES, Experiment
from midas.files import plain
from midas.recipes import INITIALIZATIONS, with_model

if TYPE_CHECKING:
    from midas.studies.workspace import Workspace


@command("run", epilog="Example: midas run --data-dir sample")
@click.option("--quick", is_flag=True, help="Few epochs, to see everything work; kept apart from full runs.")
@apply(seed_option, *workspace_options, *restart_options, wide_option, json_option, common)
def run_study(quick: bool, seed: int, resume: bool, overwrite: bool, as_json: bool, **settings: Any) -> None:
    """Run the whole study: one table, one page.

    All three parts, from random and pretrained initializations.
    """
    from midas.report import page, tables
    from midas.studies import study

    workspace = make_workspace(settings)
    if quick:
        workspace = replace(workspace, runs_dir=workspace.runs_dir / "quick")
    runs = study.run_study(workspace, quick, seed, resume, overwrite)
    path, width = workspace.root / "report.html", table_width()
    numbers = page.write_report(runs, path, progress=Progress().page)
    table = tables.results_table([tables.run_state(run) for run in runs], width)
    answers = [f"{one['title']}. {one['headline']}" for one in numbers["conclusions"]]
    lines = [table, "", *(tables.folded(answer.replace("`", ""), width) for answer in answers), ""]
    lines += [f"Report: {path}", f"Open it with: {opening(path)}"]
    emit({**numbers, "page": str(path)}, as_json, "\n".join(lines))


def _prepare(data: str | None, settings: dict[str, Any]) -> tuple[Workspace, Experiment]:
    """Resolve the options of a cross-validation, of Part 1 or of the data set at a path."""
    form = settings.pop("class_names"), settings.pop("transpose")
    workspace = make_workspace(settings, data)
    if data is None:
        if form != (None, None):
            raise click.UsageError("--class-names and --transpose need --data")
        return workspace, make_experiment("part1", workspace, settings)
    workspace, suited = make_suited(workspace, data, None, *form, settings)
    return workspace, make_experiment("custom", workspace, settings, replace(suited, test=None, folds=None))


@command("cross-validate", epilog="Example: midas cross-validate --recipe best --all-data --repeats 2 --tta 8")
@apply(settings_options("part1", other_data=True), protocol_options(ensemble=True))
@apply(*workspace_options, *restart_options, wide_option, json_option, common)
def cross_validate(
    data: str | None,
    folds: int,
    repeats: int,
    ensemble: int,
    tta: int,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Cross-validate training on Part 1 or on any images.

    With more --repeats or a larger --ensemble, the networks of an earlier call are kept.
    """
    from midas.report.tables import cross_validation_table
    from midas.studies import cross_validation, study

    workspace, experiment = _prepare(data, settings)
    protocol = cross_validation.Protocol(folds, repeats, ensemble, tta)
    start = study.init_checkpoint_of(experiment, workspace)
    run = cross_validation.cross_validate(experiment, workspace, protocol, resume, overwrite, start)
    result = run.cross_validation
    table = cross_validation_table([result], table_width())
    emit({**plain(result), "path": str(run.path)}, as_json, f"{table}\n{run.path}")


@command("compare-models", epilog="Example: midas compare-models --recipe cosine --epochs 40 --all-data")
@click.argument("names", nargs=-1, type=click.Choice(MODEL_NAMES), metavar="[MODEL]...")
@apply(settings_options("part1", model=False, other_data=True), protocol_options(ensemble=False))
@apply(*workspace_options, *restart_options, wide_option, json_option, common)
def compare_models(
    names: tuple[str, ...],
    data: str | None,
    folds: int,
    repeats: int,
    tta: int,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Cross-validate several architectures on the same folds.

    Writes compare-models.json and compare-models.png (accuracy against cost) to the folder of the cross-validations.
    """
    from midas.report import comparison, tables
    from midas.runs import CROSS_VALIDATION
    from midas.studies import cross_validation, study

    workspace, experiment = _prepare(data, settings)
    protocol = cross_validation.Protocol(folds, repeats, 1, tta)
    start = study.init_checkpoint_of(experiment, workspace)
    results = [
        cross_validation.cross_validate(each, workspace, protocol, resume, overwrite, start).cross_validation
        for each in (with_model(experiment, name) for name in names or MODEL_NAMES)
    ]
    figure = comparison.write_model_comparison(results, workspace.root / CROSS_VALIDATION / "compare-models.png")
    table = tables.cross_validation_table(results, table_width())
    emit({"models": results, "figure": str(figure)}, as_json, f"{table}\n{figure}")


@command(epilog="Example: midas compare part2 --seeds 3 --images-per-class 10")
@click.argument("part", type=click.Choice(["part2", "part3"]))
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True, help="Trainings per initialization.")
@click.option(
    "--first-seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seed of the first of them."
)
@click.option(
    "--init",
    "initializations",
    multiple=True,
    type=click.Choice(list(INITIALIZATIONS)),
    help="May be repeated; the first is the baseline.  [default: all]",
)
@click.option(
    "--images-per-class",
    multiple=True,
    type=click.IntRange(1),
    help="Also train on this many images per class (label efficiency); may be repeated.",
)
@choice_option("--model", MODEL_NAMES, "[default: compact]")
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs.  [default: 10]")
@resume_option
@apply(*workspace_options, wide_option, json_option, common)
def compare(
    part: str,
    seeds: int,
    first_seed: int,
    initializations: tuple[str, ...],
    images_per_class: tuple[int, ...],
    resume: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare initializations over paired seeds.

    Prints a table of measures, and what differs significantly. Finished runs are kept, so more --seeds,
    initializations or numbers of images add to them.
    """
    from midas.report.verdicts import comparison_table
    from midas.studies import transfer

    workspace = make_workspace(settings)
    changes = {name: value for name, value in settings.items() if value is not None}
    chosen = range(first_seed, first_seed + seeds)
    found, files = transfer.compare(
        part, initializations or list(INITIALIZATIONS), chosen, workspace, images_per_class, resume, **changes
    )
    paths = list(map(str, files))
    emit({**plain(found), "files": paths}, as_json, "\n".join([comparison_table(found, table_width()), "", *paths]))


@command("list", epilog="Example: midas list --json")
@apply(runs_dir_option, wide_option, json_option, common)
def list_runs(runs_dir: Path, as_json: bool) -> None:
    """List the runs, their state and headline numbers.

    Includes runs on the embedded sample, of `midas run --quick` and of comparisons, and cross-validations.
    """
    from midas.report import tables
    from midas.runs import find_everything

    states = [tables.run_state(run) for run in find_everything(runs_dir)]
    text = f"{runs_dir}: no runs yet; train some with 'midas train DATA' or 'midas run --data-dir sample'"
    if states:
        text = tables.results_table(states, table_width())
    emit({"runs": states}, as_json, text)


@command("report", epilog="Example: midas report --out report.html")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page to write.  [default: report.html in the runs folder]",
)
@apply(runs_dir_option, json_option, common)
def write_report(runs: tuple[Path, ...], out: Path | None, runs_dir: Path, as_json: bool) -> None:
    """Write one page about finished runs.

    Takes the runs given, or all below the runs folder.
    """
    from midas.report import page
    from midas.runs import Run, find_comparisons, find_runs

    for path in runs:
        if not path.exists():
            raise MidasError(f"{path}: no such run; 'midas list' lists them")
    out = out or runs_dir / "report.html"
    chosen = list(map(Run, runs)) or find_runs(runs_dir)
    comparisons = () if runs else find_comparisons(runs_dir)
    numbers = page.write_report(chosen, out, comparisons=comparisons, progress=Progress().page)
    emit(numbers, as_json, f"Report: {out}\nOpen it with: {opening(out)}")


COMMANDS = (run_study, cross_validate, compare_models, compare, list_runs, write_report)
