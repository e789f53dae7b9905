"""Finished runs to one self-contained HTML page, and its numbers as JSON beside it."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError
from midas.experiments import Experiment
from midas.files import atomic, plain, write_json, write_text
from midas.metrics import classification
from midas.metrics.classification import ErrorKinds
from midas.records import Card, Comparison, DataRecord, Environment, EpochRecord, Result
from midas.report import comparison as statistics
from midas.report import findings, tables
from midas.report.tables import grid
from midas.runs import Run, read_comparison

if TYPE_CHECKING:
    from markupsafe import Markup

    from midas.report.figures import ConfusionPicture, NeighborAccuracy, Picture, PredictionNumbers

DATA_TITLES = {
    "part1": "the drawings of Part 1",
    "part1-digits": "the digits of Part 1",
    "mnist": "the MNIST training images",
    "part3": "the images of Part 3",
}


@dataclass(frozen=True)
class Entry:
    """A finished run on the page.

    Attributes:
        path: the run directory.
        label: names the run, uniquely within its part.
        experiment, result, card, environment, data, epochs: its records.
        error_kinds: None if its predictions cannot be read.
        numbers, neighbors: those behind its figures; None if it has no figures.
        no_figures: why its predictions cannot be read; None if they can.
    """

    path: str
    label: str
    experiment: Experiment
    result: Result
    card: Card
    environment: Environment
    data: DataRecord | None
    epochs: list[EpochRecord]
    error_kinds: ErrorKinds | None = None
    numbers: PredictionNumbers | None = None
    neighbors: NeighborAccuracy | None = None
    no_figures: str | None = None

    @property
    def part(self) -> str:
        """The part it belongs to."""
        return self.result.part


Figures = dict[str, "list[Picture | ConfusionPicture]"]  # by the path of the run


def run_state(run: Run) -> dict[str, Any]:
    """Describe a run as a record for `tables.results_table`: its result, or how far it got."""
    try:
        experiment = run.experiment
        if run.finished:
            about = {"state": "finished", "path": str(run.path), "parameters": run.card.parameters}
            return {**about, **plain(run.result)}
        state = f"stopped after {len(run.epochs())} of {experiment.epochs} epochs"
        names = {"part": experiment.part, "name": experiment.name, "seed": experiment.seed}
        return {**names, "state": state, "path": str(run.path)}
    except MidasError as error:
        return {"name": run.path.name, "state": f"unreadable: {error}", "path": str(run.path)}


def write_report(
    runs: Sequence[Run],
    path: str | Path,
    title: str = "midas: trainings and results",
    comparisons: Iterable[Path] = (),
) -> dict[str, Any]:
    """Write one HTML page about finished runs, and its numbers as JSON beside it.

    Unfinished runs, runs on a limited number of images and runs whose records cannot be read are listed as left out. A
    run without readable predictions is in the tables and states why it has no figures. Of runs that differ in their
    seed alone, the figures of the first one are shown.

    Args:
        runs: as `runs.find_runs` lists them.
        path: the page, e.g. report.html; the numbers go to report.json.
        title: of the page.
        comparisons: comparison.json files, as `runs.find_comparisons` lists them.

    Returns:
        What the JSON file contains: title; sample, whether any run used the embedded sample; and lists of records:
        runs, spread (accuracy over the seeds of a run), conclusions, data, comparisons, machines and left_out.

    Raises:
        MidasError: there is no finished run, or a file cannot be written.
    """
    path = Path(path)
    numbers = path.with_suffix(".json")
    if numbers == path:
        raise MidasError(f"{path}: is the file of the page's numbers; name the page {path.stem}.html")
    entries, left_out = _read_all(runs)
    groups = _groups(entries)
    figures: Figures = {}
    entries = [_analyzed(entry, group[0] is entry, figures) for group in groups for entry in group]
    found, pictures = [], []
    for file in comparisons:
        try:
            comparison = read_comparison(file)
            pictures.append(_show_comparison(comparison))
            found.append(comparison)
        except MidasError as error:
            left_out.append({"run": str(file), "reason": str(error).removeprefix(f"{file}: ")})
        except (LookupError, TypeError, ValueError):  # of another version, or edited
            reason = "not what this version of midas compare writes; write it again"
            left_out.append({"run": str(file), "reason": reason})
    groups = _groups(entries)
    report = {
        "title": title,
        "sample": any(entry.result.sample for entry in entries),
        "conclusions": _conclusions(groups, found),
        "data": _data(entries),
        "runs": entries,
        "spread": _spread(groups),
        "comparisons": found,
        "machines": _machines(entries),
        "left_out": left_out,
    }
    page = _render(report, [group[0] for group in groups], figures, pictures)
    with atomic(path) as temporary:
        write_text(temporary, page)
    write_json(numbers, report)
    return report


# ---- from runs to numbers


def _read_all(runs: Sequence[Run]) -> tuple[list[Entry], list[dict[str, str]]]:
    """Read all runs that belong on the page, and list the others with the reason."""
    entries, left_out = [], []
    for run in runs:
        try:
            entries.append(_read(run))
        except MidasError as error:
            left_out.append({"run": str(run.path), "reason": str(error).removeprefix(f"{run.path}: ")})
    if not entries:
        reasons = "; ".join(f"{run['run']}: {run['reason']}" for run in left_out[:3]) or "there are no runs at all"
        raise MidasError(f"no finished run to report on ({reasons}); train one first")
    entries.sort(key=lambda entry: (entry.part, entry.result.name, entry.result.seed))
    times = Counter((entry.part, entry.label) for entry in entries)
    unique = [
        entry if times[entry.part, entry.label] == 1 else replace(entry, label=f"{entry.label} ({entry.path})")
        for entry in entries
    ]
    return unique, left_out


def _read(run: Run) -> Entry:
    if not run.finished:
        raise MidasError("unfinished")
    result = run.result
    if result.limit is not None:
        raise MidasError(f"trained on {result.limit} images only")
    label = f"{result.name}, seed {result.seed}"
    records = (run.experiment, result, run.card, run.environment, run.data, run.epochs())
    return Entry(str(run.path), label, *records)


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group the runs that differ in their seed alone."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        settings = {**entry.experiment.to_json(), "seed": None}
        same = json.dumps([settings, entry.result.sample, entry.card.data_digest], sort_keys=True)
        groups.setdefault((entry.part, entry.result.name, same), []).append(entry)
    return list(groups.values())


def _analyzed(entry: Entry, is_first: bool, figures: Figures) -> Entry:
    """Add the numbers of a run's predictions, or why there are none; draw the figures of the first run of a group."""
    from midas.report.figures import of_features, of_predictions

    figures[entry.path] = []
    try:
        predictions = Run(entry.path).predictions()
    except MidasError as error:
        return replace(entry, no_figures=str(error))
    class_names = entry.card.class_names
    kinds = classification.error_kinds(predictions.probabilities, predictions.labels, class_names)
    entry = replace(entry, error_kinds=kinds)
    if not is_first:
        return entry
    numbers, of_run = of_predictions(entry.label, class_names, predictions)
    neighbors, maps = of_features(entry.label, class_names, predictions)
    figures[entry.path] = [*of_run, *maps]
    return replace(entry, numbers=numbers, neighbors=neighbors)


def _spread(groups: Sequence[Sequence[Entry]]) -> list[dict[str, Any]]:
    """Summarize the accuracy of runs that differ in their seed alone."""
    spread = []
    for group in groups:
        values = [entry.result.accuracy for entry in group]
        if len(values) > 1:
            spread.append(
                {
                    "part": group[0].part,
                    "name": group[0].result.name,
                    "n": len(values),
                    "mean": mean(values),
                    "standard_deviation": stdev(values),
                    "lowest": min(values),
                    "highest": max(values),
                }
            )
    return spread


def _conclusions(groups: Sequence[Sequence[Entry]], comparisons: Sequence[Comparison]) -> list[findings.Conclusions]:
    times = Counter((group[0].part, group[0].result.name) for group in groups)
    seed_groups = []
    for group in groups:
        part, name = group[0].part, group[0].result.name
        seed_groups.append(
            findings.SeedGroup(
                part=part,
                name=name if times[part, name] == 1 else f"{name} ({group[0].path})",
                results={entry.result.seed: entry.result for entry in group},
                error_kinds=tuple(entry.error_kinds for entry in group if entry.error_kinds),
            )
        )
    return findings.conclude(seed_groups, comparisons)


def _data(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """List the different training sets, each with its counts and the first run that kept samples of it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if entry.data:
            summary, name = entry.data.data, entry.experiment.data
            about = {"name": name, "title": DATA_TITLES.get(name, name), "run": entry.path}
            found.setdefault((name, summary.digest), {**about, **vars(summary)})
    return list(found.values())


def _machines(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """List the different versions and machines, each with its runs."""
    machines: dict[tuple[str, ...], dict[str, Any]] = {}
    for entry in entries:
        values = {key: getattr(entry.environment, key) for key in (*tables.SOFTWARE, *tables.HARDWARE)}
        machine = machines.setdefault(tuple(map(str, values.values())), {**values, "runs": []})
        machine["runs"].append(f"{entry.part} {entry.label}")
    return list(machines.values())


# ---- from numbers to the page


def _show_comparison(comparison: Comparison) -> dict[str, Any]:
    from midas.report.figures import inline

    return {
        "title": f"Effect of the initialization. {findings.PART_TITLES.get(comparison.part, comparison.part)}",
        "anchor": f"comparison-{comparison.part}",
        "seeds": len(comparison.seeds),
        "notes": comparison.notes,
        "grid": grid(tables.comparison_columns(comparison), tables.comparison_rows(comparison)),
        "figures": [inline(figure, alt) for figure, alt in statistics.figures(comparison).values()],
        "differences": [
            {
                "title": findings.comparison_title(difference),
                "significant": findings.verdicts(difference, significant=True),
                "not_significant": findings.verdicts(difference, significant=False),
                "mcnemar": findings.mcnemar_verdict(difference),
                "label_efficiency": findings.label_efficiency_verdict(comparison, difference),
            }
            for difference in comparison.differences
        ],
    }


def _show_data(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Draw samples of each training set, or say why that cannot be done."""
    from midas.report.figures import of_data
    from midas.report.plots import FEW_CLASSES

    shown = []
    for each in data:
        counts = each["images_per_class"]
        names, reason = list(counts), None
        try:
            figures = of_data(Run(each["run"]), names, each["title"])
        except MidasError as error:
            figures, reason = [], str(error)
        columns = [tables.Column("label", "", text=True), *(tables.Column(name, f"of {name}") for name in names)]
        row = {"": "images", **{f"of {name}": count for name, count in counts.items()}}
        table = grid(columns, [row]) if len(names) <= FEW_CLASSES else None
        title = each["title"][0].upper() + each["title"][1:]
        shown.append({"title": title, "figures": figures, "reason": reason, "counts": table})
    return shown


def _show_part(part: str, entries: Sequence[Entry], shown: Sequence[Entry], figures: Figures) -> dict[str, Any]:
    from midas.report import plots
    from midas.report.figures import inline

    # How often predictions equal complementary labels does not rate a network that was trained to predict them.
    drawn = [each for each in entries if part != "part3" or each.experiment.loss != "cross-entropy"] or entries
    curves = plots.compare_curves(_epochs_by_name(drawn), complementary=part == "part3")
    height = "Estimated validation accuracy" if part == "part3" else "Validation error"
    alt = f"{height} by steps and by seconds of training: {'; '.join(each.label for each in drawn)}"
    return {
        "title": findings.PART_TITLES.get(part, part),
        "anchor": part,
        "notes": statistics.environment_notes([entry.environment for entry in entries]),
        "curves": inline(curves, alt),
        "complementary": _show_estimates(entries) if part == "part3" else None,
        "runs": [
            {
                "label": entry.label,
                "anchor": f"{part}-{number}",
                "details": tables.details(tables.RESULT_DETAILS, entry.result),
                "figures": figures[entry.path],
                "no_figures": entry.no_figures,
                "pairs": grid(tables.PAIRS, entry.numbers.confused_pairs if entry.numbers else []),
                "per_class": grid(tables.PER_CLASS, entry.result.per_class),
            }
            for number, entry in enumerate(shown, 1)
        ],
    }


def _epochs_by_name(entries: Sequence[Entry]) -> dict[str, list[list[EpochRecord]]]:
    names: dict[str, list[list[EpochRecord]]] = {}
    for entry in entries:
        names.setdefault(entry.result.name, []).append(entry.epochs)
    return {f"{name}, {len(runs)} seeds" if len(runs) > 1 else name: runs for name, runs in names.items()}


def _show_estimates(entries: Sequence[Entry]) -> dict[str, Any]:
    """Show accuracies estimated from complementary labels beside the test accuracy, and the estimated transition."""
    from midas.report.figures import of_transition

    rows = []
    for entry in entries:
        result, estimate = entry.result, entry.result.estimate
        row = {"label": entry.label, "accuracy": result.accuracy, "argmin_accuracy": result.argmin_accuracy}
        if estimate:
            low, high = estimate.adjusted_interval
            row |= {**asdict(estimate), "estimated_accuracy": estimate.accuracy, "accuracy": result.accuracy}
            row["covered"] = low <= result.accuracy <= high
        rows.append(row)
    figures = []
    counted = [entry for entry in entries if entry.result.predicted_by_label]
    if counted:
        best = min(counted, key=lambda entry: entry.result.best_val_loss or math.inf)
        counts = best.result.predicted_by_label or ()
        figures = [of_transition(best.label, best.card.class_names, counts)]
    return {"table": grid(tables.ESTIMATES, rows), "figures": figures}


def _render(
    report: dict[str, Any], shown: Sequence[Entry], figures: Figures, comparisons: Sequence[dict[str, Any]]
) -> str:
    from jinja2 import Environment as Templates
    from jinja2 import PackageLoader, StrictUndefined

    entries: list[Entry] = report["runs"]
    parts = [
        _show_part(
            part,
            [entry for entry in entries if entry.part == part],
            [entry for entry in shown if entry.part == part],
            figures,
        )
        for part in dict.fromkeys(entry.part for entry in entries)
    ]
    results = [tables.with_note({**vars(entry.result), "parameters": entry.card.parameters}) for entry in entries]
    origins = [
        {**vars(entry.card), **vars(entry.environment), "label": f"{entry.part} {entry.label}"} for entry in entries
    ]
    templates = Templates(
        loader=PackageLoader("midas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["code"] = _code
    return templates.get_template("report.html").render(
        title=report["title"],
        sample=report["sample"],
        left_out=report["left_out"],
        conclusions=report["conclusions"],
        data=grid(tables.DATA, report["data"]),
        shown_data=_show_data(report["data"]),
        comparisons=comparisons,
        results=grid([column for column in tables.RESULTS if column.key != "state"], results),
        spread=grid(tables.SPREADS, report["spread"]),
        origins=grid(tables.ORIGINS, origins),
        machines=grid(tables.MACHINES, report["machines"]),
        parts=parts,
    )


def _code(sentence: str) -> Markup:
    """Escape a sentence for HTML, and set names in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))
