"""Finished runs to one page that opens from disk, and to a table on the terminal."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev

from midas.errors import MidasError
from midas.report.findings import PARTS, conclude
from midas.runs import Run, atomic, read_json, write_json, write_text

DATA_NAMES = {
    "part1": "Part 1's drawings",
    "part1-digits": "the digits of Part 1's drawings",
    "mnist": "MNIST's training images",
    "part3": "the misfiled images",
}

Column = tuple[str, str, Callable[..., str]]  # heading, key of the record, how its value is written


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _short(digest: str) -> str:
    return digest[:12]


def _sizes(sizes: dict[str, int]) -> str:
    """Write how many images had which size, the commonest three."""
    most = [f"{size} ({count:,})" for size, count in list(sizes.items())[:3]]
    return ", ".join(most + ([f"and {len(sizes) - 3} others"] if len(sizes) > 3 else []))


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
ESTIMATED: tuple[Column, ...] = (
    ("run", "label", str),
    ("by largest output %", "accuracy", _percent),
    ("by smallest output %", "argmin_accuracy", _percent),
    ("estimated from folders %", "estimated", _percent),
    ("95 % interval", "interval", lambda bounds: "-".join(map(_percent, bounds))),
    ("allowing for images filed right %", "adjusted_accuracy", _percent),
    ("95 % interval", "adjusted_interval", lambda bounds: "-".join(map(_percent, bounds))),
    ("holds the accuracy", "held", lambda held: "yes" if held else "no"),
)
DATA: tuple[Column, ...] = (
    ("data", "what", str),
    ("images", "images", "{:,}".format),
    ("classes", "classes", str),
    ("smallest class", "smallest_class", "{:,}".format),
    ("largest class", "largest_class", "{:,}".format),
    ("mean ink %", "mean_ink", _percent),
    ("skipped", "skipped", lambda skipped: str(len(skipped))),
    ("digest", "digest", str),
    ("sizes before preprocessing", "page_sizes", _sizes),
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
    ("runs", "runs", lambda labels: "; ".join(labels[:3]) + (f" and {len(labels) - 3} more" if labels[3:] else "")),
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
    run without readable predictions keeps its place in the tables and says why it has no figures. Of runs that differ
    in their seed alone, the first one's figures are shown.

    Args:
        runs: as `runs.find_runs` lists them.
        path: the page, e.g. report.html; the numbers go to report.json.
        title: of the page.
        comparisons: files comparison.json, as `runs.find_comparisons` lists them.

    Returns:
        What the JSON file holds: title; sample, whether any run is of the embedded sample; runs, spread (over the seeds
        of the same run), conclusions, data, comparisons, machines and left_out, each a list of records.

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
    groups = _groups(entries)
    figures = {entry["path"]: _figures(entry, first=entry is group[0]) for group in groups for entry in group}
    compared = []
    for file in comparisons:
        try:
            summary = read_json(file)
            compared.append((summary, _compared(summary)))
        except (MidasError, LookupError, TypeError, ValueError, AttributeError) as error:
            reason = str(error) if isinstance(error, MidasError) else "not what 'midas compare' writes"
            left_out.append({"run": str(file), "reason": reason.removeprefix(f"{file}: ")})
    report = {
        "title": title,
        "sample": any(entry["result"].get("sample") for entry in entries),
        "conclusions": _conclusions(groups, [summary for summary, _ in compared]),
        "data": _data(entries),
        "runs": entries,
        "spread": _spread(groups),
        "comparisons": [summary for summary, _ in compared],
        "machines": _machines(entries),
        "left_out": left_out,
    }
    with atomic(path) as temporary:
        page = _render(report, [group[0] for group in groups], figures, [shown for _, shown in compared])
        write_text(temporary, page)
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
    needed = ("part", "name", "seed", "scored", "n", "accuracy", "per_class")
    lacking = [key for key in needed if result.get(key) is None]
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
        "data": run.data,
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


def _groups(entries: list[dict]) -> list[list[dict]]:
    """Gather the runs that differ in their seed alone."""
    groups: dict[tuple, list[dict]] = {}
    for entry in entries:
        result = entry["result"]
        settings = {key: value for key, value in entry["experiment"].items() if key != "seed"}
        same = json.dumps([settings, result.get("sample"), entry["card"].get("data_digest")], sort_keys=True)
        groups.setdefault((result["part"], result["name"], same), []).append(entry)
    return list(groups.values())


def _spread(groups: list[list[dict]]) -> list[dict]:
    """Summarise the accuracy of runs that differ in their seed alone; the sample standard deviation."""
    spread = []
    for group in groups:
        values = [entry["result"]["accuracy"] for entry in group]
        if len(values) > 1:
            spread.append(
                {
                    "part": group[0]["result"]["part"],
                    "name": group[0]["result"]["name"],
                    "n": len(values),
                    "mean": mean(values),
                    "standard_deviation": stdev(values),
                    "lowest": min(values),
                    "highest": max(values),
                }
            )
    return spread


def _conclusions(groups: list[list[dict]], comparisons: list[dict]) -> list[dict]:
    names = Counter((group[0]["result"]["part"], group[0]["result"]["name"]) for group in groups)
    records = []
    for group in groups:
        part, name = (group[0]["result"][key] for key in ("part", "name"))
        name = name if names[part, name] == 1 else f"{name} ({group[0]['path']})"
        results = {e["result"]["seed"]: {**e["result"], "error_kinds": e.get("error_kinds")} for e in group}
        records.append({"part": part, "name": name, "results": results})
    return conclude(records, comparisons)


def _data(entries: list[dict]) -> list[dict]:
    """List the different data sets trained on, each with its counts and the first run that kept samples of it."""
    found = {}
    for entry in entries:
        if entry["data"]:
            summary, name = entry["data"]["data"], entry["experiment"]["data"]
            what = DATA_NAMES.get(name, name)
            found.setdefault((name, summary["digest"]), {"name": name, "what": what, "run": entry["path"], **summary})
    return list(found.values())


def _machines(entries: list[dict]) -> list[dict]:
    """List the different surroundings the runs had, each with its runs."""
    machines: dict[tuple, dict] = {}
    for entry in entries:
        surroundings = {key: entry["environment"].get(key) for key in (*SOFTWARE, *HARDWARE)}
        machine = machines.setdefault(tuple(map(str, surroundings.values())), {**surroundings, "runs": []})
        machine["runs"].append(f"{entry['result']['part']} {entry['label']}")
    return list(machines.values())


def _figures(entry: dict, first: bool) -> list[dict]:
    """Add to an entry the numbers of its predictions, or why there are none, and draw them if it is the first."""
    from midas.metrics import classification as metrics
    from midas.report import analysis
    from midas.report import figures as illustrations

    names = entry["card"]["class_names"]
    try:
        predictions = analysis.load_predictions(Run(entry["path"]))
    except MidasError as error:
        entry["no_figures"] = str(error)
        return []
    probabilities, labels = predictions["probabilities"], predictions["labels"]
    entry["error_kinds"] = metrics.error_kinds(probabilities, labels, names)
    if not first:
        entry["confusion"] = metrics.confusion(probabilities, labels, len(names)).tolist()
        return []
    drawn = []
    for illustrate in (illustrations.of_run, illustrations.of_features):
        numbers, figures = illustrate(entry["label"], names, predictions)
        entry.update(numbers)
        drawn += figures
    return drawn


def _data_figures(data: list[dict]) -> list[dict]:
    """Draw samples of each data set, or say why that cannot be done."""
    from midas.report import figures as illustrations

    shown = []
    for one in data:
        names = list(one["images_per_class"])
        try:
            figures, reason = illustrations.of_data(Run(one["run"]), names, one["what"]), None
        except MidasError as error:
            figures, reason = [], str(error)
        counts = {"headings": ["class", *names], "rows": [["images", *map(str, one["images_per_class"].values())]]}
        few = len(names) <= 12
        title = one["what"][0].upper() + one["what"][1:]
        shown.append({"title": title, "figures": figures, "reason": reason, "counts": counts if few else None})
    return shown


def _story(entries: list[dict]) -> dict:
    """Give the page what is told of labels that are wrong: estimates against the truth, and where classes are filed."""
    from midas.report import figures as illustrations

    rows = []
    for entry in entries:
        result, estimate = entry["result"], entry["result"].get("estimate") or {}
        row = {**estimate, "estimated": estimate.get("accuracy"), **result, "label": entry["label"]}
        if estimate:
            low, high = estimate["adjusted_interval"]
            row["held"] = low <= result["accuracy"] <= high
        rows.append(row)
    told = [entry for entry in entries if entry["result"].get("filed")]
    figures = []
    if told:
        best = min(told, key=lambda entry: entry["result"]["best_val_loss"])
        figures = [illustrations.of_folders(best["label"], best["card"]["class_names"], best["result"]["filed"])]
    return {"table": _grid(ESTIMATED, rows, 1), "figures": figures}


def _compared(summary: dict) -> dict:
    """Give the page what it shows of a comparison."""
    from midas.report import comparison
    from midas.report import figures as illustrations

    cells = comparison.rows(summary)
    return {
        "title": f"What a start is worth: {PARTS[summary['part']]}",
        "anchor": f"compared-{summary['part']}",
        "seeds": len(summary["seeds"]),
        "notes": summary["notes"],
        "grid": {"headings": cells[0], "rows": cells[1:], "words": 1},
        "figures": [illustrations.inline(figure, alt) for figure, alt in comparison.figures(summary).values()],
        "differences": [
            {
                "title": one["in_words"],
                "shown": [found["verdict"] for found in one["measures"] if found["sure"]],
                "not_shown": [found["verdict"] for found in one["measures"] if not found["sure"]],
                "images": one["verdict"],
                "few": one.get("few"),
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


def _render(report: dict, shown: list[dict], figures: dict[str, list[dict]], compared: list[dict]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from midas.report import comparison, plots
    from midas.report import figures as illustrations

    parts = []
    for part in dict.fromkeys(entry["result"]["part"] for entry in report["runs"]):
        entries = [entry for entry in report["runs"] if entry["result"]["part"] == part]
        # How often an answer is the folder says nothing of how good a network is that takes the folders for classes.
        told = [entry for entry in entries if part != "part3" or entry["experiment"]["loss"] != "given"] or entries
        curves = plots.compare_curves(_by_name(told), part == "part3")
        height = "accuracy as the folders tell it" if part == "part3" else "error"
        alt = f"Validation {height} by steps and by seconds of training: " + "; ".join(e["label"] for e in told)
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
            for number, entry in enumerate([entry for entry in shown if entry["result"]["part"] == part], 1)
        ]
        parts.append(
            {
                "title": PARTS.get(part, part),
                "anchor": part,
                "notes": comparison.unlike([entry["environment"] for entry in entries]),
                "curves": illustrations.inline(curves, alt),
                "story": _story(entries) if part == "part3" else None,
                "runs": sections,
            }
        )
    origins = [
        {**entry["card"], **entry["environment"], "label": f"{entry['result']['part']} {entry['label']}"}
        for entry in report["runs"]
    ]
    environment = Environment(
        loader=PackageLoader("midas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=report["title"],
        sample=report["sample"],
        left_out=report["left_out"],
        conclusions=report["conclusions"],
        data=_grid(DATA, report["data"], 1),
        data_figures=_data_figures(report["data"]),
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
