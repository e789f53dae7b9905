"""The numbers of a report to the sections of its page, which a template lays out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError, counted
from midas.metrics.classification import MANY_CLASSES
from midas.records import Comparison
from midas.report import comparison as statistics
from midas.report import plots, tables, verdicts
from midas.report.data_figures import of_data
from midas.report.figures import Figures, draw, of_transition
from midas.report.groups import SeedGroup
from midas.report.overview import chart, spread_of
from midas.report.sheets import Sheet
from midas.report.tables import grid
from midas.report.titles import capitalized, is_pretraining, part_title, scored_title
from midas.runs import Run

if TYPE_CHECKING:
    from markupsafe import Markup

    from midas.report.page import Analysis, Entry


def render(
    report: Mapping[str, Any],
    groups: Sequence[SeedGroup],
    shown: Sequence[Analysis],
    inputs: str,
) -> str:
    """Write the page.

    Args:
        report: its numbers, as `page.write_report` describes them.
        groups: all finished runs.
        shown: the first run of each group, whose figures are shown.
        inputs: digest of what the page is made from.
    """
    entries: Sequence[Entry] = report["runs"]
    comparisons: Sequence[Comparison] = report["comparisons"]
    drawn = {each.entry.title: each.figures for each in shown if each.figures}
    data, data_sheets = _data(report["data"])
    sheets = [*(each.sheet for each in shown if each.sheet), *data_sheets]
    results = [
        tables.with_note({**vars(entry.result), "parameters": entry.card.parameters, **_names(entry)})
        for entry in entries
    ]
    origins = [{**vars(entry.card), **vars(entry.environment), **_names(entry)} for entry in entries]
    return (
        _templates()
        .get_template("report.html")
        .render(
            title=report["title"],
            inputs=inputs,
            sample=report["sample"],
            left_out=report["left_out"],
            cards=[
                {
                    "title": one.title,
                    "headline": one.headline,
                    "figures": chart(one.part, groups, comparisons, drawn),
                }
                for one in report["conclusions"]
            ],
            results=grid(tables.PAGE_RESULTS, results),
            spread=grid(
                tables.SPREADS,
                [{**each, "title": _with_part(each["part"], each["title"])} for each in report["spread"]],
            ),
            parts=[
                {
                    **_part(one.part, [e for e in entries if e.part == one.part], groups),
                    "title": one.title,
                    "sentences": one.sentences,
                }
                for one in report["conclusions"]
            ],
            comparisons=list(map(_comparison, comparisons)),
            data=grid(tables.DATA, report["data"]),
            shown_data=data,
            runs=list(map(_run, shown)),
            origins=grid(tables.ORIGINS, origins),
            machines=grid(tables.MACHINES, report["machines"]),
            sheets=[sheet for sheet in sheets if sheet.numbers],
        )
    )


def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("midas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["code"] = _code
    return templates


def _code(sentence: str) -> Markup:
    """Escape a sentence for HTML, and set names in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))


def _with_part(part: str, title: str) -> str:
    """Put the part before the name of a run.

    >>> _with_part("part2", "random weights"), _with_part("custom", "letters")
    ('Part 2: random weights', 'letters')
    """
    return f"Part {part[4:]}: {title}" if part.startswith("part") else title


def _names(entry: Entry) -> dict[str, str]:
    result = entry.result
    return {
        "label": _with_part(entry.part, entry.label),
        "scored": scored_title(result.scored, result.sample),
        "path": entry.path,
    }


# ---- sections


def _part(part: str, entries: Sequence[Entry], groups: Sequence[SeedGroup]) -> dict[str, Any]:
    is_complementary = part == "part3"
    ours = [group for group in groups if group.part == part and not is_pretraining(group.experiment)] or list(groups)
    # How often predictions equal complementary labels does not rate a network that was trained to predict them.
    rated = [each for each in ours if not is_complementary or each.experiment.is_complementary] or ours
    found = [plots.curves_of_runs(group.title, list(group.epochs.values())) for group in rated]
    curves = [each for each in found if each]
    height = "Share of validation images that are misclassified"
    if is_complementary:
        height = "Validation accuracy, estimated from complementary labels (it can fall below 0)"
    names, spread = "; ".join(each.name for each in curves), spread_of([len(group.results) for group in rated])
    return {
        "notes": statistics.environment_notes(
            [entry.environment for entry in entries if not is_pretraining(entry.experiment)]
        ),
        "curves": [
            draw(
                plots.compare_curves(curves, across, is_complementary),
                f"{height} by {across} of training: {names}",
                f"{height}, by {across} of training. {spread}",
            )
            for across in ("steps", "seconds")
            if curves
        ],
        "estimates": _estimates(entries) if is_complementary else None,
    }


def _estimates(entries: Sequence[Entry]) -> dict[str, Any]:
    """Show accuracies estimated from complementary labels beside the test accuracy, and the estimated transition."""
    rows = []
    for entry in entries:
        result, estimate = entry.result, entry.result.estimate
        row = {"label": entry.label, "accuracy": result.accuracy, "argmin_accuracy": result.argmin_accuracy}
        if estimate:
            low, high = estimate.adjusted_interval
            row |= {**asdict(estimate), "estimated_accuracy": estimate.accuracy, "accuracy": result.accuracy}
            row["covered"] = low <= result.accuracy <= high
        rows.append(row)
    figures: Figures = []
    if with_counts := [entry for entry in entries if entry.result.predicted_by_label]:
        best = min(with_counts, key=lambda entry: entry.result.best_val_loss or math.inf)
        figures = [of_transition(best.label, best.card.class_names, best.result.predicted_by_label or ())]
    return {"table": grid(tables.ESTIMATES, rows), "figures": figures}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    trainings = list(map(plots.curves_of_initialization, comparison.initializations))
    names, is_complementary = ", ".join(each.name for each in trainings), comparison.part == "part3"
    height = "Estimated validation accuracy" if is_complementary else "Validation error"
    figures = [
        draw(
            plots.compare_curves(trainings, across, is_complementary),
            f"{height} by {across} of training, from {names}",
            f"{height} by {across} of training, from several initializations: means and ranges over seeds.",
        )
        for across in ("steps", "seconds")
    ]
    if comparison.label_efficiency:
        alt = f"Test accuracy by the number of training images per class, from {names}"
        caption = "Test accuracy with few training images per class: means and ranges over seeds."
        figures.append(draw(plots.label_efficiency(comparison.label_efficiency), alt, caption))
    return {
        "title": f"Effect of the initialization. {part_title(comparison.part)}",
        "seeds": len(comparison.seeds),
        "notes": comparison.notes,
        "grid": grid(verdicts.comparison_columns(comparison), verdicts.comparison_rows(comparison)),
        "figures": figures,
        "differences": [
            {
                "title": verdicts.comparison_title(difference),
                "significant": verdicts.verdicts(difference, significant=True),
                "not_significant": verdicts.verdicts(difference, significant=False),
                "mcnemar": verdicts.mcnemar_verdict(difference),
                "label_efficiency": verdicts.label_efficiency_verdict(comparison, difference),
            }
            for difference in comparison.differences
        ],
    }


def _data(data: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Sheet]]:
    """Show samples of each training set, or say why that cannot be done."""
    shown, sheets = [], []
    for number, each in enumerate(data):
        counts, reason = each["images_per_class"], None
        try:
            figures, added = of_data(Run(each["run"]), list(counts), each["title"], f"data-{number}")
            sheets += added
        except MidasError as error:
            figures, reason = [], str(error)
        columns = [tables.Column("label", "", text=True), *(tables.Column(name, f"of {name}") for name in counts)]
        row = {"": "images", **{f"of {name}": count for name, count in counts.items()}}
        table = grid(columns, [row]) if len(counts) <= plots.FEW_CLASSES else None
        words = each["title"]
        title = words if words == each["name"] else capitalized(words)  # a name stays as it is
        shown.append({"title": title, "images": each["images"], "figures": figures, "reason": reason, "counts": table})
    return shown, sheets


def _run(analysis: Analysis) -> dict[str, Any]:
    entry, result = analysis.entry, analysis.entry.result
    per_class = sorted(result.per_class, key=lambda each: each.f1)
    is_whole = len(per_class) <= MANY_CLASSES
    return {
        "title": _with_part(entry.part, entry.label),
        "summary": (
            f"{tables.percent(result.accuracy)} % of {counted(result.n, 'image')} "
            f"({tables.percent_range(result.accuracy_interval)} %), {counted(result.epochs, 'epoch')}, "
            f"{result.train_seconds:.0f} s"
        ),
        "details": tables.details(tables.RESULT_DETAILS, {**vars(result), **_neighbors(entry)}),
        "figures": analysis.figures.figures if analysis.figures else [],
        "no_figures": entry.no_figures,
        "pairs": grid(tables.PAIRS, entry.numbers.confused_pairs if entry.numbers else []),
        "per_class": grid(tables.PER_CLASS, result.per_class if is_whole else per_class[:MANY_CLASSES]),
        "per_class_summary": (
            "All classes" if is_whole else f"The {MANY_CLASSES} of {len(per_class):,} classes with the lowest F1"
        ),
    }


def _neighbors(entry: Entry) -> dict[str, float]:
    found = entry.neighbors
    return {"neighbors_pixels": found.pixels, "neighbors_features": found.features} if found else {}
