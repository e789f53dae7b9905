"""Finished runs to one page that opens from disk, and to a table on the terminal."""

import base64
import io
import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev

from midas.errors import MidasError
from midas.runs import Run, atomic, read_json, write_json

PARTS = {
    "part1": "Part 1: 62 classes from drawings",
    "part2": "Part 2: MNIST",
    "part3": "Part 3: MNIST from wrong folders",
}
MOST_MISTAKES = 40
MOST_PAIRS = 8  # of confused classes, drawn with images
FIGURE_DPI = 100
FIGURE_COLOURS = 64  # as many as the figures need; a third of the bytes of true colour

Column = tuple[str, str, Callable[..., str]]  # heading, key of the record, how its value is written


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _short(digest: str) -> str:
    return digest[:12]


RESULT: tuple[Column, ...] = (
    ("part", "part", str),
    ("run", "name", str),
    ("state", "state", str),
    ("seed", "seed", str),
    ("scored on", "scored", str),
    ("note", "note", str),
    ("n", "n", str),
    ("accuracy %", "accuracy", _percent),
    ("95 % interval", "accuracy_interval", lambda bounds: "-".join(map(_percent, bounds))),
    ("macro F1", "macro_f1", _four),
    ("log loss", "log_loss", _four),
    ("ECE %", "calibration_error", _percent),
    ("zero-shot %", "zero_shot_accuracy", _percent),
    ("argmin %", "argmin_accuracy", _percent),
    ("epochs", "epochs", str),
    ("seconds", "train_seconds", "{:.0f}".format),
    ("parameters", "parameters", str),
)
DETAIL: tuple[Column, ...] = (
    ("right answer among the first three", "top3", lambda share: _percent(share) + " %"),
    ("right if case is ignored", "case_merged_accuracy", lambda share: _percent(share) + " %"),
    ("zero-shot macro F1", "zero_shot_macro_f1", _four),
    ("best epoch", "best_epoch", str),
    ("its validation loss", "best_val_loss", _four),
    ("its validation accuracy, as far as labels tell it", "best_val_accuracy", lambda share: _percent(share) + " %"),
)
SPREAD: tuple[Column, ...] = (
    ("part", "part", str),
    ("run", "name", str),
    ("seeds", "n", str),
    ("mean accuracy %", "mean", _percent),
    ("standard deviation", "standard_deviation", _percent),
    ("lowest", "lowest", _percent),
    ("highest", "highest", _percent),
)
PER_CLASS: tuple[Column, ...] = (
    ("class", "class", str),
    ("n", "n", str),
    ("precision", "precision", _four),
    ("recall", "recall", _four),
    ("F1", "f1", _four),
)
PAIRS: tuple[Column, ...] = (
    ("true", "true", str),
    ("answer", "answer", str),
    ("images", "count", str),
    ("% of the class", "share", _percent),
)
ORIGIN: tuple[Column, ...] = (
    ("run", "label", str),
    ("network", "model", str),
    ("data", "data", str),
    ("digest of the data", "data_digest", _short),
    ("source revision", "revision", _short),
    ("started (UTC)", "started_utc", str),
    ("finished (UTC)", "finished_utc", str),
    ("command", "argv", lambda argv: argv if isinstance(argv, str) else shlex.join(argv)),
)
SOFTWARE = ("midas", "python", "tensorflow", "keras", "numpy", "opencv")
HARDWARE = ("platform", "processor", "cores", "device")
MACHINE: tuple[Column, ...] = (
    *((key, key, str) for key in (*SOFTWARE, *HARDWARE)),
    ("runs", "runs", "; ".join),
)


def _cells(record: dict, columns: tuple[Column, ...]) -> list[str]:
    """Write one record as text; what it lacks is "-"."""
    return ["-" if record.get(key) is None else write(record[key]) for _, key, write in columns]


def _with_note(result: dict) -> dict:
    notes = ["sample"] if result.get("sample") else []
    if result.get("limit") is not None:
        notes.append(f"{result['limit']} images only")
    return {**result, "note": ", ".join(notes) or None}


def table(results: list[dict]) -> str:
    """Lay out results as plain text, a line for each; columns in which no result has a value are left out.

    >>> print(table([{"part": "part1", "seed": 0, "accuracy": 0.895}, {"part": "part2", "seed": 1}]))
    part   seed  accuracy %
    part1  0          89.50
    part2  1              -
    """
    rows = [[heading for heading, *_ in RESULT], *(_cells(_with_note(result), RESULT) for result in results)]
    columns = []
    for place, column in enumerate(zip(*rows, strict=True)):
        if set(column[1:]) != {"-"}:
            width = max(map(len, column))
            words = place <= [key for _, key, _ in RESULT].index("note")
            columns.append([cell.ljust(width) if words else cell.rjust(width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def write_report(
    runs: list[Run],
    path: Path,
    title: str = "Midas: what was trained and how well it reads",
    comparisons: Iterable[Path] = (),
) -> dict:
    """Write one self-contained HTML page about the finished runs, and its numbers as JSON beside it.

    Unfinished runs, runs on a limited number of images and runs whose records cannot be read are left out and listed. A
    run without readable predictions keeps its place in the tables and says why it has no figures.

    Args:
        runs: as `runs.find_runs` lists them.
        path: the page, e.g. report.html; the numbers go to report.json.
        title: of the page.
        comparisons: files comparison.json, as `runs.find_comparisons` lists them.

    Returns:
        What the JSON file holds: title; sample, whether any run is of the embedded sample; runs, spread (over the seeds
        of the same run), comparisons, machines and left_out, each a list of records.

    Raises:
        MidasError: no finished run is left, or a file cannot be written.
    """
    path = Path(path)
    numbers = path.with_suffix(".json")
    if numbers == path:
        raise MidasError(f"{path}: holds the page's numbers; name the page {path.stem}.html")
    entries, left_out = [], []
    for run in runs:
        try:
            entries.append(_read(run))
        except MidasError as error:
            left_out.append({"run": str(run.path), "reason": str(error).removeprefix(f"{run.path}: ")})
    if not entries:
        reasons = "; ".join(f"{run['run']}: {run['reason']}" for run in left_out[:3]) or "there are no runs at all"
        raise MidasError(f"no finished run to report on ({reasons}); train one first")
    entries.sort(key=lambda entry: [entry["result"][key] for key in ("part", "name", "seed")])
    _label(entries)
    figures = {}
    for entry in entries:
        shown, figures[entry["path"]] = _figures(entry)
        entry.update(shown)
    compared = []
    for file in comparisons:
        try:
            compared.append((read_json(file), _compared(read_json(file))))
        except (MidasError, LookupError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, MidasError) else "not what 'midas compare' writes"
            left_out.append({"run": str(file), "reason": reason.removeprefix(f"{file}: ")})
    report = {
        "title": title,
        "sample": any(entry["result"].get("sample") for entry in entries),
        "runs": entries,
        "spread": _spread(entries),
        "comparisons": [summary for summary, _ in compared],
        "machines": _machines(entries),
        "left_out": left_out,
    }
    with atomic(path) as temporary:
        temporary.write_text(_render(report, figures, [shown for _, shown in compared]), encoding="utf-8")
    write_json(numbers, report)
    return report


def state(run: Run) -> dict:
    """Describe a run in one record for `table`: its result, or how far it is."""
    try:
        experiment = run.experiment
        record = {"part": experiment.part, "name": experiment.name, "seed": experiment.seed}
        if run.finished:
            return {"state": "finished", "path": str(run.path), "parameters": run.card.get("parameters"), **run.result}
        epochs = f"stopped after {len(run.metrics())} of {experiment.epochs} epochs"
        return {**record, "state": epochs, "path": str(run.path)}
    except MidasError as error:
        return {"name": run.path.name, "state": f"unreadable: {error}", "path": str(run.path)}


def _read(run: Run) -> dict:
    """Gather what the page says about one run.

    Raises:
        MidasError: the run is no part of a report, and why.
    """
    if not run.finished:
        raise MidasError("unfinished")
    result, card = run.result, run.card
    lacking = [key for key in ("part", "name", "seed", "scored", "accuracy") if key not in result]
    if lacking:
        raise MidasError(f"result.json lacks {', '.join(lacking)}")
    if result.get("limit") is not None:
        raise MidasError(f"a trial on {result['limit']} images only")
    return {
        "path": str(run.path),
        "result": {"parameters": card.get("parameters"), **result},
        "card": card,
        "experiment": run.experiment.to_json(),
        "environment": run.environment,
        "epochs": run.metrics(),
    }


def _label(entries: list[dict]) -> None:
    """Name every run, unmistakably within its part."""
    for entry in entries:
        entry["label"] = f"{entry['result']['name']}, seed {entry['result']['seed']}"
    times = Counter((entry["result"]["part"], entry["label"]) for entry in entries)
    for entry in entries:
        if times[entry["result"]["part"], entry["label"]] > 1:
            entry["label"] += f" ({entry['path']})"


def _spread(entries: list[dict]) -> list[dict]:
    """Summarise the accuracy of runs that differ in their seed alone; the sample standard deviation."""
    groups: dict[tuple, list[float]] = {}
    for entry in entries:
        result = entry["result"]
        settings = {key: value for key, value in entry["experiment"].items() if key != "seed"}
        same = json.dumps([settings, result.get("sample"), entry["card"].get("data_digest")], sort_keys=True)
        groups.setdefault((result["part"], result["name"], same), []).append(result["accuracy"])
    return [
        {
            "part": part,
            "name": name,
            "n": len(values),
            "mean": mean(values),
            "standard_deviation": stdev(values),
            "lowest": min(values),
            "highest": max(values),
        }
        for (part, name, _), values in groups.items()
        if len(values) > 1
    ]


def _machines(entries: list[dict]) -> list[dict]:
    """List the different surroundings the runs had, each with its runs."""
    machines: dict[tuple, dict] = {}
    for entry in entries:
        surroundings = {key: entry["environment"].get(key) for key in (*SOFTWARE, *HARDWARE)}
        machine = machines.setdefault(tuple(map(str, surroundings.values())), {**surroundings, "runs": []})
        machine["runs"].append(f"{entry['result']['part']} {entry['label']}")
    return list(machines.values())


def _figures(entry: dict) -> tuple[dict, list[dict]]:
    """Give the numbers one run's figures show, or why there are none, and the figures as {"src", "alt"}."""
    from midas import analysis, metrics, plots

    names = entry["card"]["class_names"]
    try:
        predictions = analysis.load_predictions(Run(entry["path"]))
    except MidasError as error:
        return {"no_figures": str(error)}, []
    arrays = [predictions[key] for key in ("images", "labels", "probabilities", "names")]
    matrix = metrics.confusion(predictions["probabilities"], predictions["labels"], len(names))
    pairs = metrics.confused_pairs(matrix, names)
    wrong = analysis.list_mistakes(predictions, names, MOST_MISTAKES)
    most = "; most often {true} was answered {answer}, {count} times".format(**pairs[0]) if pairs else ""
    listed = ", ".join(f"{one['true']} answered {one['answer']}" for one in wrong[:10])
    figures = [
        {
            "names": names,
            "cells": _matrix_cells(matrix),
            "alt": f"Confusion matrix of {entry['label']}: {matrix.trace()} of {matrix.sum()} images right{most}",
        },
        _inline(
            plots.mistakes(*arrays, names, most=MOST_MISTAKES),
            f"Mistakes of {entry['label']}, the most confident first: {listed or 'none'}",
        ),
    ]
    if pairs:
        answers = predictions["probabilities"].argmax(axis=1)
        rows = []
        for pair in pairs[:MOST_PAIRS]:
            true, answer = names.index(pair["true"]), names.index(pair["answer"])
            members = (predictions["labels"] == true) & (answers == answer)
            rows.append(
                (f"{pair['true']} read as {pair['answer']}\n{pair['count']} of them", predictions["images"][members])
            )
        told = ", ".join(f"{pair['true']} read as {pair['answer']}" for pair in pairs[:MOST_PAIRS])
        figures.append(_inline(plots.confused_pairs(rows), f"Images of the pairs confused most often: {told}"))
    bins = metrics.reliability(predictions["probabilities"], predictions["labels"])
    error = metrics.calibration_error(predictions["probabilities"], predictions["labels"])
    surest = bins[-1]
    figures.append(
        _inline(
            plots.reliability(bins, error),
            f"Calibration of {entry['label']}: of the {surest['n']} answers it is surest of, by "
            f"{100 * surest['confidence']:.1f} %, {100 * surest['accuracy']:.1f} % are right",
        )
    )
    found = {"confusion": matrix.tolist(), "confused_pairs": pairs, "mistakes": wrong, "reliability": bins}
    return found, figures


def _matrix_cells(matrix) -> list[dict]:
    """List the cells of a confusion matrix that hold images, with how dark each is to be drawn, 0-1."""
    total = matrix.sum(axis=1)
    rows, columns = matrix.nonzero()
    share = matrix[rows, columns] / total[rows]
    wrong = rows != columns
    # The square root lifts rare mistakes from the paper: most are made once or twice.
    depth = (share / share[wrong].max(initial=0.01)) ** 0.5
    depth[~wrong] = share[~wrong]
    darkness = (0.15 + 0.85 * depth).round(2).tolist()
    return [
        {"row": row, "column": column, "count": int(matrix[row, column]), "of": int(total[row]), "depth": dark}
        for row, column, dark in zip(rows.tolist(), columns.tolist(), darkness, strict=True)
    ]


def _compared(summary: dict) -> dict:
    """Give the page what it shows of a comparison."""
    from midas import comparison

    cells = comparison.rows(summary)
    return {
        "title": f"What a start is worth: {PARTS[summary['part']]}",
        "anchor": f"compared-{summary['part']}",
        "seeds": len(summary["seeds"]),
        "notes": summary["notes"],
        "grid": {"headings": cells[0], "rows": cells[1:], "words": 1},
        "figures": [_inline(figure, alt) for figure, alt in comparison.figures(summary).values()],
        "differences": [
            {
                "title": one["in_words"],
                "shown": [found["verdict"] for found in one["measures"] if found["sure"]],
                "not_shown": [found["verdict"] for found in one["measures"] if not found["sure"]],
                "images": one["verdict"],
            }
            for one in summary["differences"]
        ],
    }


def _by_name(entries: list[dict]) -> dict[str, list[list[dict]]]:
    """Gather the epochs of runs that differ in their seed alone."""
    names: dict[str, list[list[dict]]] = {}
    for entry in entries:
        names.setdefault(entry["result"]["name"], []).append(entry["epochs"])
    return {f"{name}, {len(runs)} seeds" if len(runs) > 1 else name: runs for name, runs in names.items()}


def _inline(figure, alt: str) -> dict:
    from PIL import Image

    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=FIGURE_DPI)
    image = Image.open(drawn).convert("RGB").quantize(FIGURE_COLOURS, dither=Image.Dither.NONE)
    image.save(reduced, "png", optimize=True)
    return {"src": "data:image/png;base64," + base64.b64encode(reduced.getvalue()).decode(), "alt": alt}


def _render(report: dict, figures: dict[str, list[dict]], compared: list[dict]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from midas import plots

    parts = []
    for part in dict.fromkeys(entry["result"]["part"] for entry in report["runs"]):
        entries = [entry for entry in report["runs"] if entry["result"]["part"] == part]
        curves = plots.compare_curves(_by_name(entries), part == "part3")
        height = "accuracy as the folders tell it" if part == "part3" else "error"
        alt = f"Validation {height} by steps and by seconds of training: " + "; ".join(e["label"] for e in entries)
        sections = [
            {
                "label": entry["label"],
                "anchor": f"{part}-{number}",
                "details": [
                    (heading, cell)
                    for (heading, *_), cell in zip(DETAIL, _cells(entry["result"], DETAIL), strict=True)
                    if cell != "-"
                ],
                "figures": figures[entry["path"]],
                "no_figures": entry.get("no_figures"),
                "pairs": _grid(PAIRS, entry.get("confused_pairs", []), 2),
                "per_class": _grid(PER_CLASS, entry["result"].get("per_class", []), 1),
            }
            for number, entry in enumerate(entries, 1)
        ]
        parts.append({"title": PARTS.get(part, part), "anchor": part, "curves": _inline(curves, alt), "runs": sections})
    origins = [
        {**entry["card"], **entry["environment"], "label": f"{entry['result']['part']} {entry['label']}"}
        for entry in report["runs"]
    ]
    environment = Environment(
        loader=PackageLoader("midas"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html").render(
        title=report["title"],
        sample=report["sample"],
        left_out=report["left_out"],
        compared=compared,
        results=_grid(
            [column for column in RESULT if column[1] != "state"],
            [_with_note(entry["result"]) for entry in report["runs"]],
            5,
        ),
        spread=_grid(SPREAD, report["spread"], 2),
        origins=_grid(ORIGIN, origins, len(ORIGIN)),
        machines=_grid(MACHINE, report["machines"], len(MACHINE)),
        parts=parts,
    )


def _grid(columns: tuple[Column, ...], records: list[dict], words: int) -> dict:
    """Write records as the template's tables want them; the first `words` columns are text, the others numbers."""
    return {
        "headings": [heading for heading, *_ in columns],
        "rows": [_cells(record, columns) for record in records],
        "words": words,
    }
