"""Lay out finished runs of Part 3 (and of Part 2 beside them) by experiment: over seeds, estimates beside the truth.

python scripts/part3_results.py --runs-dir checkpoints
"""

import argparse
from pathlib import Path
from statistics import mean, stdev

from midas.errors import MidasError
from midas.runs import Run, find_runs

NEARLY = 0.95  # the estimated accuracy that a network is timed to
HEAD = (
    *("run", "seeds", "test accuracy", "lowest-highest", "by smallest output", "estimated without labels"),
    *("the same, allowing for images filed right", "held to be right after epoch 1", "epochs to 95 %", "minutes"),
)


def rows(runs: list[Run]) -> list[tuple[str, ...]]:
    """Summarise runs over seeds, one row of text for each experiment."""
    experiments: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        experiments.setdefault((run.result["part"], run.result["name"]), []).append(run)
    return [_row(f"{part}, {name}", several) for (part, name), several in sorted(experiments.items())]


def _row(title: str, runs: list[Run]) -> tuple[str, ...]:
    results = [run.result for run in runs]
    accuracies = [result["accuracy"] for result in results]
    estimates = [result["estimate"] for result in results if "estimate" in result]
    return (
        title,
        ", ".join(str(seed) for seed in sorted(result["seed"] for result in results)),
        _spread(accuracies),
        f"{100 * min(accuracies):.2f}-{100 * max(accuracies):.2f} %",
        _spread([result["argmin_accuracy"] for result in results if "argmin_accuracy" in result]),
        _spread([one["accuracy"] for one in estimates]) + _covered(results, "interval"),
        _spread([one["adjusted_accuracy"] for one in estimates]) + _covered(results, "adjusted_interval"),
        *(_pace(runs) if estimates else ("", "")),
        f"{mean(result['train_seconds'] for result in results) / 60:.1f}",
    )


def _spread(shares: list[float]) -> str:
    if not shares:
        return ""
    return f"{100 * mean(shares):.2f}" + (f" ± {100 * stdev(shares):.2f}" if len(shares) > 1 else "") + " %"


def _covered(results: list[dict], interval: str) -> str:
    """Say in how many runs the estimate's interval holds the test accuracy."""
    found = [(result["estimate"][interval], result["accuracy"]) for result in results if "estimate" in result]
    inside = sum(low <= accuracy <= high for (low, high), accuracy in found)
    return f" ({inside} of {len(found)} within)" if found else ""


def _pace(runs: list[Run]) -> tuple[str, str]:
    """Say how good networks are held to be after an epoch, and after how many they are held to be `NEARLY` right."""
    curves = [[record["val_accuracy"] for record in run.metrics()] for run in runs]
    reached = [next((n for n, value in enumerate(curve, 1) if value >= NEARLY), None) for curve in curves]
    return _spread([curve[0] for curve in curves]), ", ".join("-" if n is None else str(n) for n in reached)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs-dir", type=Path, default=Path("checkpoints"))
    runs_dir = parser.parse_args().runs_dir
    runs = [run for run in find_runs(runs_dir) if run.finished and run.experiment.part != "part1"]
    if not runs:
        raise SystemExit(f"{runs_dir}: no finished run of Parts 2 or 3")
    try:
        table = [HEAD, ("---",) * len(HEAD), *rows(runs)]
    except MidasError as error:
        raise SystemExit(str(error)) from error
    print("\n".join(f"| {' | '.join(cells)} |" for cells in table))


if __name__ == "__main__":
    main()
