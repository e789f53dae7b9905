"""Finished runs to one self-contained HTML page, and its numbers as JSON beside it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError, counted
from midas.experiments import Experiment
from midas.files import atomic, plain, read_json, write_json, write_text
from midas.metrics import classification
from midas.metrics.classification import ErrorKinds
from midas.records import Card, Comparison, DataRecord, Environment, EpochRecord, Predictions, Result
from midas.report import findings, tables, verdicts
from midas.report.groups import Scored, SeedGroup
from midas.report.titles import data_title, rank, run_title, section_of
from midas.runs import FILES, Run, read_comparison

if TYPE_CHECKING:  # Matplotlib takes a second
    from midas.report.figures import NeighborAccuracy, PredictionNumbers, RunFigures
    from midas.report.sheets import Sheet


@dataclass(frozen=True)
class Entry:
    """A finished run on the page.

    Attributes:
        path: the run directory.
        title: names the training in words.
        label: names the run, uniquely within its part.
        experiment, result, card, environment, data, epochs: its records.
        error_kinds: None if its predictions cannot be read.
        numbers, neighbors: those behind its figures; None if it has no figures.
        no_figures: why its predictions cannot be read; None if they can.
    """

    path: str
    title: str
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
        """The part it belongs to, or its own data set."""
        return section_of(self.experiment)


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was found in the predictions of a run.

    Attributes:
        entry: the run, with the numbers that were found.
        scored: which images it classified correctly; None if its predictions cannot be read.
        figures: None if they cannot be read, or the run is not the first of its group.
        sheet: with the images of the figures.
    """

    entry: Entry
    scored: Scored | None = None
    figures: RunFigures | None = None
    sheet: Sheet | None = None


def write_report(
    runs: Sequence[Run],
    path: str | Path,
    title: str = "midas: trainings and results",
    comparisons: Iterable[Path] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write one HTML page about finished runs, and its numbers as JSON beside it.

    Unfinished runs, runs on a limited number of images and runs whose records cannot be read are listed as left out. A
    run without readable predictions is in the tables and states why it has no figures. Of runs that differ in their
    seed alone, the figures of the first one are shown. A page that was made from the same files is left as it is.

    Args:
        runs: as `runs.find_runs` lists them.
        path: the page, e.g. report.html; the numbers go to report.json.
        title: of the page.
        comparisons: comparison.json files, as `runs.find_comparisons` lists them.
        progress: called with (done, total) runs.

    Returns:
        What the JSON file contains: title; sample, whether any run used the embedded sample; and lists of records:
        runs, spread (accuracy over the seeds of a run), conclusions, data, comparisons, machines and left_out.

    Raises:
        MidasError: there is no finished run, or a file cannot be written.
    """
    path, comparisons = Path(path), list(comparisons)
    runs = list({run.path.resolve(): run for run in runs}.values())  # one that is given twice is no second seed
    numbers = path.with_suffix(".json")
    if numbers == path:
        raise MidasError(f"{path}: is the file of the page's numbers; name the page {path.stem}.html")
    inputs = _fingerprint(runs, comparisons, title)
    if existing := _up_to_date(path, numbers, inputs):
        return existing
    entries, left_out = _read_all(runs)
    groups = _groups(entries)
    best = _best_of_each_part(groups)
    analyses: dict[str, Analysis] = {}
    for group in groups:
        for entry in group:
            progress(len(analyses), len(entries))
            sheet = f"sheet-{len(analyses)}"
            analyses[entry.path] = _analyze(entry, sheet, is_first=entry is group[0], is_best=group in best)
    analyzed = [each.entry for each in analyses.values()]
    found, unreadable = _read_comparisons(comparisons)
    analyzed_groups = [[analyses[entry.path] for entry in group] for group in groups]
    seed_groups = list(map(_seed_group, analyzed_groups))
    report = {
        "title": title,
        "sample": any(entry.result.sample for entry in analyzed),
        "conclusions": findings.conclude(seed_groups, found),
        "data": _data(analyzed),
        "runs": analyzed,
        "spread": _spread(seed_groups),
        "comparisons": found,
        "machines": _machines(analyzed),
        "left_out": left_out + unreadable,
    }
    from midas.report.sections import render  # which needs Matplotlib

    page = render(report, seed_groups, [group[0] for group in analyzed_groups], inputs)
    write_json(numbers, report)
    with atomic(path) as temporary:  # last, as it says which files both are made from
        write_text(temporary, page)
    progress(len(entries), len(entries))
    return plain(report)


# ---- whether anything changed


def _fingerprint(runs: Sequence[Run], comparisons: Sequence[Path], title: str) -> str:
    """Digest what the page is made from: the program, and names, sizes and times of the files of the runs."""
    digest = hashlib.sha256(title.encode())
    package = Path(__file__).parents[1]
    for code in sorted([*package.rglob("*.py"), *package.rglob("templates/*")]):
        digest.update(code.read_bytes())
    for file in [*(run / name for run in runs for name in FILES), *comparisons]:
        if file.exists():
            state = file.stat()
            digest.update(json.dumps([str(file), state.st_size, state.st_mtime_ns]).encode())
        else:
            digest.update(f"{file}: missing".encode(errors="replace"))
    return digest.hexdigest()[:32]


def _up_to_date(path: Path, numbers: Path, inputs: str) -> dict[str, Any] | None:
    """Give the numbers of an existing page that was made from the same files."""
    try:
        with path.open(encoding="utf-8") as file:
            return read_json(numbers) if f'content="{inputs}"' in file.read(2000) else None
    except (OSError, ValueError, MidasError):
        return None


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
    entries.sort(key=lambda entry: (entry.part, rank(entry.experiment), entry.result.name, entry.result.seed))
    return _with_unique_titles(entries), left_out


def _with_unique_titles(entries: Sequence[Entry]) -> list[Entry]:
    """Add to titles that groups share their names, and where these are the same, too, their paths."""
    found = list(entries)
    for addition in (lambda first: first.result.name, lambda first: first.path):
        groups = _groups(found)
        times = Counter((group[0].part, group[0].title) for group in groups)
        found = [
            replace(entry, title=f"{entry.title} ({addition(group[0])})")
            if times[entry.part, entry.title] > 1
            else entry
            for group in groups
            for entry in group
        ]
    labels = [f"{entry.title}, seed {entry.result.seed}" for entry in found]
    times = Counter(zip((entry.part for entry in found), labels, strict=True))
    return [
        replace(entry, label=label if times[entry.part, label] == 1 else f"{label} ({entry.path})")
        for entry, label in zip(found, labels, strict=True)
    ]


def _read(run: Run) -> Entry:
    if not run.finished:
        raise MidasError("unfinished")
    result = run.result
    if result.limit is not None:
        raise MidasError(f"trained on {counted(result.limit, 'image')} only")
    experiment = run.experiment
    records = (experiment, result, run.card, run.environment, run.data, run.epochs())
    return Entry(str(run.path), run_title(experiment), "", *records)


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Group the runs that differ in their seed alone."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        settings = {**entry.experiment.to_json(), "seed": None}
        same = json.dumps([settings, entry.result.sample, entry.card.data_digest], sort_keys=True)
        groups.setdefault((entry.part, entry.result.name, same), []).append(entry)
    return list(groups.values())


def _best_of_each_part(groups: Sequence[Sequence[Entry]]) -> list[Sequence[Entry]]:
    """Choose the most accurate training of each part, for which maps are drawn: they take longest."""
    best: dict[str, Sequence[Entry]] = {}
    for group in sorted(groups, key=lambda group: mean(entry.result.accuracy for entry in group)):
        best[group[0].part] = group
    return list(best.values())


def _analyze(entry: Entry, sheet_name: str, is_first: bool, is_best: bool) -> Analysis:
    """Find the numbers of a run's predictions, or why there are none; draw the figures of the first run of a group."""
    from midas.report.figures import neighbor_accuracy, of_features, of_predictions
    from midas.report.sheets import Sheet

    try:
        predictions = Run(entry.path).predictions()
    except MidasError as error:
        return Analysis(replace(entry, no_figures=str(error)))
    class_names, probabilities, labels = entry.card.class_names, predictions.probabilities, predictions.labels
    entry = replace(entry, error_kinds=classification.error_kinds(probabilities, labels, class_names))
    if not is_first:
        return Analysis(entry, _scored(predictions))
    sheet = Sheet(sheet_name, predictions.images)
    numbers, drawn = of_predictions(entry.label, class_names, predictions, sheet)
    neighbors = neighbor_accuracy(predictions)
    maps = of_features(entry.label, class_names, predictions, neighbors) if is_best else []
    figures = replace(drawn, figures=[*drawn.figures, *maps])
    return Analysis(replace(entry, numbers=numbers, neighbors=neighbors), _scored(predictions), figures, sheet)


def _scored(predictions: Predictions) -> Scored:
    digest = hashlib.sha256(predictions.labels.tobytes())
    digest.update("\0".join(predictions.names.tolist()).encode(errors="replace"))
    return Scored(digest.hexdigest(), predictions.predicted == predictions.labels)


def _seed_group(group: Sequence[Analysis]) -> SeedGroup:
    entries = [each.entry for each in group]
    first = entries[0]
    return SeedGroup(
        title=first.title,
        experiment=first.experiment,
        results={entry.result.seed: entry.result for entry in entries},
        epochs={entry.result.seed: entry.epochs for entry in entries},
        scored={each.entry.result.seed: each.scored for each in group if each.scored},
        training_images=first.data.data.images if first.data else None,
        error_kinds=tuple(entry.error_kinds for entry in entries if entry.error_kinds),
        confused_pairs=tuple(first.numbers.confused_pairs) if first.numbers else (),
    )


def _read_comparisons(files: Sequence[Path]) -> tuple[list[Comparison], list[dict[str, str]]]:
    """Read all comparisons that this version can show, and list the others with the reason."""
    found, left_out = [], []
    for file in files:
        try:
            comparison = read_comparison(file)
            verdicts.comparison_table(comparison)
            found.append(comparison)
        except MidasError as error:
            left_out.append({"run": str(file), "reason": str(error).removeprefix(f"{file}: ")})
        except (LookupError, TypeError, ValueError):  # of another version, or edited
            reason = "not what this version of midas compare writes; write it again"
            left_out.append({"run": str(file), "reason": reason})
    return found, left_out


def _spread(groups: Sequence[SeedGroup]) -> list[dict[str, Any]]:
    """Summarize the accuracy of runs that differ in their seed alone."""
    return [
        {
            "part": group.part,
            "name": group.first.name,
            "title": group.title,
            "n": len(group.results),
            "mean": group.accuracy,
            "standard_deviation": stdev(group.accuracies),
            "lowest": min(group.accuracies),
            "highest": max(group.accuracies),
        }
        for group in groups
        if len(group.results) > 1
    ]


def _data(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """List the different training sets, each with its counts and the first run that kept samples of it."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if entry.data:
            summary, name = entry.data.data, entry.experiment.data
            about = {"name": name, "title": data_title(name, summary.is_sample), "run": entry.path}
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
