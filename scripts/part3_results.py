"""Summarize finished runs of Part 3, and of Part 2 for comparison, over seeds: accuracies and their estimates.

python scripts/part3_results.py --runs-dir checkpoints
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from endings import errors_in_one_line

from midas.records import Result
from midas.runs import Run, find_runs

LEVEL = 0.95  # of the estimated validation accuracy
HEAD = (
    *("run", "seeds", "test accuracy", "lowest-highest", "by smallest output", "estimated accuracy"),
    *("adjusted for correctly labeled images", "estimated after epoch 1", "epochs to 95 %", "minutes"),
)


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """Summarize runs over seeds, one row of text for each experiment."""
    experiments: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        result = run.result
        experiments.setdefault((result.part, result.name), []).append(run)
    return [_row(f"{part}, {name}", several) for (part, name), several in sorted(experiments.items())]


def _row(title: str, runs: Sequence[Run]) -> tuple[str, ...]:
    results = [run.result for run in runs]
    accuracies = [result.accuracy for result in results]
    return (
        title,
        ", ".join(str(seed) for seed in sorted(result.seed for result in results)),
        _spread(accuracies),
        f"{100 * min(accuracies):.2f}-{100 * max(accuracies):.2f} %",
        _spread([result.argmin_accuracy for result in results if result.argmin_accuracy is not None]),
        *_estimates(results),
        *(_pace(runs) if any(result.estimate for result in results) else ("", "")),
        f"{mean(result.train_seconds for result in results) / 60:.1f}",
    )


def _spread(shares: Sequence[float]) -> str:
    if not shares:
        return ""
    return f"{100 * mean(shares):.2f}" + (f" ± {100 * stdev(shares):.2f}" if len(shares) > 1 else "") + " %"


def _estimates(results: Sequence[Result]) -> tuple[str, str]:
    """Format both estimates, with the number of runs whose interval contains the test accuracy."""
    found = [(result.estimate, result.accuracy) for result in results if result.estimate]
    if not found:
        return "", ""
    plain = [(one.accuracy, one.interval, accuracy) for one, accuracy in found]
    adjusted = [(one.adjusted_accuracy, one.adjusted_interval, accuracy) for one, accuracy in found]
    cells = []
    for estimates in (plain, adjusted):
        covered = sum(low <= accuracy <= high for _, (low, high), accuracy in estimates)
        cells.append(f"{_spread([estimate for estimate, _, _ in estimates])} ({covered} of {len(found)})")
    return cells[0], cells[1]


def _pace(runs: Sequence[Run]) -> tuple[str, str]:
    """Give the estimated accuracy after one epoch, and the epoch of each run that reaches `LEVEL`."""
    curves = [[record.val_accuracy or 0.0 for record in run.epochs()] for run in runs]
    reached = [next((n for n, value in enumerate(curve, 1) if value >= LEVEL), None) for curve in curves]
    return _spread([curve[0] for curve in curves]), ", ".join("-" if n is None else str(n) for n in reached)


@errors_in_one_line()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("checkpoints"))
    runs_dir = parser.parse_args().runs_dir
    runs = [run for run in find_runs(runs_dir) if run.finished and run.experiment.part != "part1"]
    if not runs:
        raise SystemExit(f"{runs_dir}: no finished run of Parts 2 or 3")
    table = [HEAD, ("---",) * len(HEAD), *rows(runs)]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in table))


if __name__ == "__main__":
    main()
