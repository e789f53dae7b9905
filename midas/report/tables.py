"""The one table renderer, for the terminal and for the page, and the column sets of the project's tables."""

from __future__ import annotations

import io
import shlex
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from midas.errors import MidasError, counted, printable
from midas.files import plain
from midas.metrics.classification import MANY_CLASSES, ClassScores, Scores
from midas.records import CrossValidationResult, DatasetSummary, MeanScore
from midas.runs import Run

MISSING = "-"
GAP = 2  # spaces between columns
MAX_WIDTH = 100_000  # of tables that are not for a terminal
MAX_WORST = 20  # classes that `classification_report` lists, if there are many
MAX_SKIPPED = 20  # skipped images that `data_table` lists; --json lists all


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: its title.
        key: attribute, or key of a dict, that holds the value; a value that is None or absent is shown as "-".
        write: turns a value into text.
        text: whether it holds words, which are aligned left; numbers are aligned right.
        rank: where the table is wider than the terminal, columns of the highest rank are left out first, and those of
            rank 0 never.
    """

    heading: str
    key: str
    write: Callable[[Any], str] = str
    text: bool = False
    rank: int = 0


def text_table(
    columns: Sequence[Column], records: Sequence[Any], keep_empty: bool = False, width: int | None = None
) -> str:
    """Render records as plain text below their headings.

    Args:
        columns: what to show.
        records: dicts or dataclasses.
        keep_empty: keep columns in which no record has a value.
        width: of the terminal: columns are left out, and then long words folded, until the table fits. None writes
            every column, and one line per record.

    >>> columns = (Column("part", "part", text=True), Column("seed", "seed"), Column("accuracy %", "accuracy", percent))
    >>> print(text_table(columns, [{"part": "part1", "seed": 0, "accuracy": 0.895}, {"part": "part2", "seed": 1}]))
    part   seed  accuracy %
    part1     0       89.50
    part2     1           -
    """
    shown = [(column, [printable(_cell(column, record)) for record in records]) for column in columns]
    shown = [(column, cells) for column, cells in shown if not cells or keep_empty or set(cells) != {MISSING}]
    fitting = _fitting(shown, width) if width else shown
    lines = _lines(fitting, width)
    if left_out := [column.heading for column, _ in shown if column not in [kept for kept, _ in fitting]]:
        lines += textwrap.wrap(f"--wide also shows: {', '.join(left_out)}", width or 80)
    return "\n".join(lines)


Shown = list[tuple[Column, list[str]]]  # columns with their cells


def _fitting(shown: Shown, width: int) -> Shown:
    """Leave out columns, those of the highest rank first, until the others fit."""
    kept = list(shown)
    while kept and sum(max(map(len, [column.heading, *cells])) + GAP for column, cells in kept) - GAP > width:
        last = max(kept, key=lambda each: each[0].rank)
        if not last[0].rank:
            break
        kept.remove(last)
    return kept


def _lines(shown: Shown, width: int | None) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="")
    for column, _ in shown:
        justify: Literal["left", "right"] = "left" if column.text else "right"
        table.add_column(Text(column.heading), justify=justify, no_wrap=not (width and column.text), overflow="fold")
    for row in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*map(Text, row))
    file = io.StringIO()
    Console(file=file, width=width or MAX_WIDTH, color_system=None, legacy_windows=False).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def grid(columns: Sequence[Column], records: Iterable[Any]) -> dict[str, list]:
    """Give the cells of a table to the page's template.

    Returns:
        headings; rows, a list of cells for each record; and for each column whether it is text.
    """
    return {
        "headings": [column.heading for column in columns],
        "rows": [[_cell(column, record) for column in columns] for record in records],
        "text": [column.text for column in columns],
    }


def details(columns: Sequence[Column], record: Any) -> list[tuple[str, str]]:
    """List the headings and cells of the values that one record has."""
    cells = [(column.heading, _cell(column, record)) for column in columns]
    return [(heading, cell) for heading, cell in cells if cell != MISSING]


def _cell(column: Column, record: Any) -> str:
    value = record.get(column.key) if isinstance(record, Mapping) else getattr(record, column.key, None)
    return MISSING if value is None else column.write(value)


# ---- cells


def percent(proportion: float) -> str:
    """Write a proportion as a percentage without its sign.

    >>> percent(0.895)
    '89.50'
    """
    return f"{100 * proportion:.2f}"


def percent_range(bounds: Sequence[float]) -> str:
    """Write an interval of proportions as percentages.

    >>> percent_range((0.866, 0.9191)), percent_range((-0.02, 0.5))
    ('86.60-91.91', '-2.00 to 50.00')
    """
    return (" to " if min(bounds) < 0 else "-").join(map(percent, bounds))


def _with_unit(proportion: float) -> str:
    return f"{percent(proportion)} %"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _digest(digest: str) -> str:
    return digest[:12]


def _page_sizes(sizes: Mapping[str, int]) -> str:
    """List image sizes with their counts, at most three of them.

    >>> _page_sizes({"28x28": 1000, "20x20": 4, "30x30": 2, "9x9": 1})
    '28x28 (1,000), 20x20 (4), 30x30 (2) and 1 more'
    """
    return first_of([f"{size} ({count:,})" for size, count in sizes.items()])


def first_of(words: Sequence[str], limit: int = 3, separator: str = ", ") -> str:
    """Join the first words, and count the others.

    >>> first_of(["a", "b", "c"]), first_of(["a", "b", "c"], limit=1)
    ('a, b, c', 'a and 2 more')
    """
    return separator.join(words[:limit]) + (f" and {len(words) - limit} more" if len(words) > limit else "")


# ---- column sets

NOTE = Column("note", "note", text=True, rank=5)
SCORES = (
    Column("n", "n", rank=6),
    Column("accuracy %", "accuracy", percent),
    Column("95 % interval", "accuracy_interval", percent_range, rank=1),
    Column("macro F1", "macro_f1", _four, rank=8),
    Column("log loss", "log_loss", _four, rank=10),
    Column("ECE %", "calibration_error", percent, rank=9),
    Column("zero-shot %", "zero_shot_accuracy", percent, rank=2),
    Column("argmin %", "argmin_accuracy", percent, rank=3),
    Column("epochs", "epochs", rank=7),
    Column("seconds", "train_seconds", "{:.0f}".format, rank=5),
    Column("parameters", "parameters", rank=11),
)
RESULTS = (
    Column("part", "part", text=True),
    Column("run", "name", text=True),
    Column("state", "state", text=True, rank=7),
    Column("seed", "seed", text=True, rank=4),  # of an ensemble, as in 0+1
    Column("evaluated on", "scored", text=True, rank=6),
    NOTE,
    *SCORES,
)
PAGE_RESULTS = (
    Column("training", "label", text=True),
    Column("evaluated on", "scored", text=True),
    *SCORES,
    NOTE,
    Column("run directory", "path", text=True),
)
RESULT_DETAILS = (
    Column("top-3 accuracy", "top3", _with_unit),
    Column("accuracy, case ignored", "case_merged_accuracy", _with_unit),
    Column("zero-shot macro F1", "zero_shot_macro_f1", _four),
    Column("training of its teachers, s", "teacher_seconds", "{:.0f}".format),
    Column("best epoch", "best_epoch"),
    Column("validation loss of the best epoch", "best_val_loss", _four),
    Column("validation accuracy of the best epoch", "best_val_accuracy", _with_unit),
    Column("nearest neighbor of the same class, by pixels", "neighbors_pixels", _with_unit),
    Column("nearest neighbor of the same class, by features", "neighbors_features", _with_unit),
)
SPREADS = (
    Column("training", "title", text=True),
    Column("seeds", "n"),
    Column("mean accuracy %", "mean", percent),
    Column("standard deviation", "standard_deviation", percent),
    Column("lowest", "lowest", percent),
    Column("highest", "highest", percent),
)
ESTIMATES = (
    Column("run", "label", text=True),
    Column("test accuracy %", "accuracy", percent),
    Column("by the least probable class %", "argmin_accuracy", percent),
    Column("estimated %", "estimated_accuracy", percent),
    Column("95 % interval", "interval", percent_range),
    Column("adjusted estimate %", "adjusted_accuracy", percent),
    Column("95 % interval", "adjusted_interval", percent_range),
    Column("interval contains the test accuracy", "covered", lambda covered: "yes" if covered else "no"),
)
DATA = (
    Column("data", "title", text=True),
    Column("images", "images", "{:,}".format),
    Column("classes", "classes"),
    Column("smallest class", "smallest_class", "{:,}".format),
    Column("largest class", "largest_class", "{:,}".format),
    Column("mean ink %", "mean_ink", percent),
    Column("skipped", "skipped", lambda skipped: str(len(skipped))),
    Column("digest", "digest", text=True),
    Column("sizes before preprocessing", "page_sizes", _page_sizes, text=True),
)
PER_CLASS = (
    Column("class", "name", text=True),
    Column("n", "n"),
    Column("precision", "precision", _four),
    Column("recall", "recall", _four),
    Column("F1", "f1", _four),
)
PAIRS = (
    Column("true class", "label", text=True),
    Column("predicted", "predicted", text=True),
    Column("images", "count"),
    Column("% of the class", "share", percent),
)
ORIGINS = (
    Column("run", "label", text=True),
    Column("model", "model", text=True),
    Column("data", "data", text=True),
    Column("digest of the data", "data_digest", _digest, text=True),
    Column("source revision", "revision", text=True),
    Column("started (UTC)", "started_utc", text=True),
    Column("finished (UTC)", "finished_utc", text=True),
    Column("command", "argv", shlex.join, text=True),
)
SOFTWARE = ("midas", "python", "tensorflow", "keras", "numpy", "opencv")
HARDWARE = ("platform", "processor", "cores", "device")
MACHINES = (
    *(Column(name, name, text=True) for name in (*SOFTWARE, *HARDWARE)),
    Column("runs", "runs", lambda names: first_of(names, separator="; "), text=True),
)
MODELS = (
    Column("model", "model", text=True),
    Column("parameters", "parameters", "{:,}".format),
    Column("MACs", "macs", "{:,}".format),
)


# ---- results


def run_state(run: Run) -> dict[str, Any]:
    """Describe a run as a record for `results_table`: its result, or how far it got."""
    try:
        experiment = run.experiment
        if run.finished:
            about = {"state": "finished", "path": str(run.path), "parameters": run.card.parameters}
            return {**about, **(_cross_validation_state(run) if run.is_cross_validation else plain(run.result))}
        state = f"stopped after {len(run.epochs())} of {counted(experiment.epochs, 'epoch')}"
        names = {"part": experiment.part, "name": experiment.name, "seed": experiment.seed}
        return {**names, "state": state, "path": str(run.path)}
    except MidasError as error:
        return {"name": run.path.name, "state": f"unreadable: {error}", "path": str(run.path)}


def _cross_validation_state(run: Run) -> dict[str, Any]:
    """Describe a cross-validation as `run_state` does, with the scores of all networks and augmented copies."""
    result = run.cross_validation
    scores = result.scores[-1]
    return {
        **{key: getattr(result, key) for key in ("part", "name", "seed", "n", "epochs", "train_seconds", "sample")},
        "scored": f"{result.folds}-fold cross-validation",
        "accuracy": scores.accuracy.mean,
        "accuracy_interval": scores.accuracy.interval,
        "log_loss": scores.log_loss.mean,
        "calibration_error": scores.calibration_error.mean,
    }


def with_note(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a result, as a dict, the note that says why its numbers are not those of a full run."""
    notes = ["sample"] if record.get("sample") else []
    notes += [f"{counted(record['limit'], 'image')} only"] if record.get("limit") is not None else []
    return {**record, "note": ", ".join(notes) or None}


def results_table(records: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """Render results of trainings, one line each.

    Args:
        records: dicts as `run_state` and `analysis.score_together` return them.
        width: as in `text_table`.
    """
    return text_table(RESULTS, list(map(with_note, records)), width=width)


def cross_validation_table(results: Sequence[CrossValidationResult], width: int | None = None) -> str:
    """Render cross-validations, one line for each way to predict."""
    columns = (
        Column("name", "name", text=True),
        Column("networks", "networks", rank=1),
        Column("tta", "tta", rank=1),
        Column("accuracy %", "accuracy", lambda score: _plus_minus(score, 100, 2)),
        Column("95 % interval", "interval", percent_range),
        Column("case ignored %", "case_merged_accuracy", lambda score: _plus_minus(score, 100, 2)),
        Column("log loss", "log_loss", lambda score: _plus_minus(score, 1, 4), rank=3),
        Column("ECE %", "calibration_error", lambda score: _plus_minus(score, 100, 2), rank=4),
        Column("seconds", "seconds", "{:.0f}".format, rank=2),
    )
    rows = [
        {**vars(scores), "name": result.name, "interval": scores.accuracy.interval, "seconds": result.train_seconds}
        for result in results
        for scores in result.scores
    ]
    return text_table(columns, rows, keep_empty=True, width=width)


def _plus_minus(score: MeanScore, scale: float, decimals: int) -> str:
    text = f"{scale * score.mean:.{decimals}f}"
    deviation = score.standard_deviation
    return text if deviation is None else f"{text} ± {scale * deviation:.{decimals}f}"


def classification_report(scores: Scores) -> str:
    """Render scores: a line for each class that occurs in the labels, their averages, and the overall scores.

    Of more than `MANY_CLASSES` classes, those with the lowest F1 are listed.
    """
    rows = scores.per_class
    average = ClassScores(
        "macro average",
        scores.n,
        mean(row.precision for row in rows),
        mean(row.recall for row in rows),
        mean(row.f1 for row in rows),
    )
    low, high = scores.accuracy_interval
    lines = []
    if len(rows) > MANY_CLASSES:
        lines.append(f"the {MAX_WORST} classes with the lowest F1 of {len(rows):,}; --json lists all")
        rows = tuple(sorted(rows, key=lambda row: row.f1)[:MAX_WORST])
    lines += ["", f"accuracy {percent(scores.accuracy)} %, 95 % interval {percent(low)}-{percent(high)} %"]
    if scores.case_merged_accuracy is not None:
        lines.append(f"accuracy, case ignored {percent(scores.case_merged_accuracy)} %")
    if scores.top3 is not None:
        lines.append(f"top-3 accuracy {percent(scores.top3)} %")
    lines.append(f"log loss {scores.log_loss:.4f}, expected calibration error {percent(scores.calibration_error)} %")
    return "\n".join([text_table(PER_CLASS, [*rows, average]), *lines])


def models_table(records: Sequence[Any]) -> str:
    """Render architectures: model, parameters, and MACs for one image."""
    return text_table(MODELS, records)


# ---- data


def data_table(summaries: Mapping[str, DatasetSummary], sources: Mapping[str, str]) -> str:
    """Describe data sets, one block each.

    Args:
        summaries: by name.
        sources: where each data set was read from, by the same names.
    """
    lines = []
    for name, summary in summaries.items():
        lines += [
            f"{name}  ({sources[name]})",
            f"  images            {summary.images:,}",
            f"  classes           {summary.classes}",
            f"  images per class  {summary.smallest_class:,} to {summary.largest_class:,}",
            f"  original size     {_page_sizes(summary.page_sizes)}",
            f"  skipped           {len(summary.skipped):,}",
        ]
        lines += [f"    {skipped.name}: {skipped.reason}" for skipped in summary.skipped[:MAX_SKIPPED]]
        if len(summary.skipped) > MAX_SKIPPED:
            lines.append(f"    … and {len(summary.skipped) - MAX_SKIPPED:,} more (--json lists all)")
    return "\n".join(lines)


def folded(paragraph: str, width: int | None) -> str:
    """Break a paragraph into lines that fit the terminal; None leaves it on one line.

    >>> folded("one two three", 8).splitlines()
    ['one two', 'three']
    """
    return textwrap.fill(paragraph, width, break_on_hyphens=False) if width and paragraph else paragraph
