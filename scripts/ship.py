"""Make a checkpoint small enough to ship: the weights alone, and a card with the scores that vouch for them.

python scripts/ship.py checkpoints/part1/placed-best-36px-all-data/seed-0 --cross-validation RUN --out part1.keras
python scripts/ship.py checkpoints/part3/random-complementary/seed-0 --out part3-random.keras
python scripts/ship.py checkpoints/part3/random-complementary-best/seed-[01] --out part3-best
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from endings import errors_in_one_line

from midas.files import atomic, plain, write_json
from midas.learning.checkpoints import checkpoint_files, load_network
from midas.metrics import classification
from midas.records import Card, ShippedCard
from midas.report.analysis import score_together
from midas.runs import Run

MEASURES = ("accuracy", "case_merged_accuracy", "log_loss", "calibration_error")
TEST_SCORES = ("scored", "n", "accuracy", "accuracy_interval", "macro_f1", "log_loss", "calibration_error", "estimate")


def ship(sources: Sequence[Path], cross_validation: Path | None, out: Path) -> Card:
    """Write a checkpoint: a `.keras` file with its card beside it, or a folder of such files with one card.

    Args:
        sources: finished runs, or folders of several.
        cross_validation: directory of a cross-validation of the same training, with as many networks per fold as there
            are here. None for runs that were scored on a test set: their own scores are written, and the accuracy of
            each seed there is.
        out: NAME.keras for one network, a folder for several.

    Returns:
        The card.

    Raises:
        MidasError: a run cannot be read, or several differ in more than the seed.
        SystemExit: a run is unfinished or given twice, or nothing vouches for it.
    """
    files = [file for source in sources for file in checkpoint_files(source)]
    runs = [Run(file.parent) for file in files]
    if unfinished := [run.path for run in runs if not run.finished]:
        raise SystemExit(f"{unfinished[0]} is not finished; continue it with --resume")
    card = runs[0].card
    evidence: dict[str, Any]
    if cross_validation:
        evidence, (single, with_tta) = _cross_validated(runs, cross_validation)
        out_of_fold = Run(cross_validation).predictions()
        threshold = classification.reject_threshold(out_of_fold.probabilities, out_of_fold.labels)
        card = replace(card, temperature=single, tta_temperature=with_tta, reject_below=threshold)
    else:
        evidence = _tested(runs)
    targets = [out] if len(files) == 1 else [out / f"{run.path.name}.keras" for run in runs]
    if len(set(targets)) < len(targets):
        raise SystemExit(f"{runs[0].path}: one of several runs of that name; give each seed once")
    digests = {}
    for file, target in zip(files, targets, strict=True):
        with atomic(target) as temporary:
            load_network(file)[0].save(temporary)
        digests[target.name] = hashlib.sha256(target.read_bytes()).hexdigest()
    environment, cards = runs[0].environment, [run.card for run in runs]
    card = replace(
        card,
        seed=card.seed if len(runs) == 1 else None,
        parameters=sum(each.parameters or 0 for each in cards),
        macs=sum(each.macs or 0 for each in cards),
        shipped=ShippedCard(
            seeds=tuple(run.experiment.seed for run in runs),
            command=shlex.join(["midas", *environment.argv[1:]]),
            tensorflow=str(environment.tensorflow),
            sha256=digests,
            evidence=evidence,
        ),
    )
    write_json(out.with_suffix(".json") if len(files) == 1 else out / "card.json", card)
    return card


def _cross_validated(runs: Sequence[Run], path: Path) -> tuple[dict[str, Any], tuple[float, float]]:
    """Read the scores of a cross-validation, and the temperatures that it fitted, without and with TTA."""
    folds = Run(path)
    for run in runs:
        experiment = run.experiment
        expected = replace(folds.experiment, seed=experiment.seed, test=experiment.test)
        if difference := expected.differences(experiment):
            raise SystemExit(f"{path} is a cross-validation of other trainings than {run.path} ({difference})")
    result = folds.cross_validation
    scores = {score.tta: score for score in result.scores if score.networks == len(runs)}
    if not scores:
        raise SystemExit(f"{path} has no scores of {len(runs)} networks together; cross-validate with --ensemble")
    found: dict[str, Any] = {"folds": result.folds, "repeats": result.repeats}
    for tta, score in scores.items():
        values = {name: getattr(score, name) for name in MEASURES}
        found[f"tta {tta}"] = {name: plain(value) for name, value in values.items() if value is not None}
    return {"cross_validation": found}, (scores[1].temperature, scores[max(scores)].temperature)


def _tested(runs: Sequence[Run]) -> dict[str, Any]:
    """Read the scores of runs on a test set, as an ensemble if there are several, and the accuracy of every seed."""
    if runs[0].experiment.test is None:
        raise SystemExit(f"{runs[0].path}: was not scored on a test set; name a --cross-validation of this training")
    siblings = [Run(found.parent).result for found in sorted(runs[0].path.parent.glob("*/result.json"))]
    scored: dict[str, Any] = plain(runs[0].result) if len(runs) == 1 else score_together(runs)
    return {
        "test": {key: scored[key] for key in TEST_SCORES if scored.get(key) is not None},
        "test_accuracy_by_seed": {str(result.seed): result.accuracy for result in siblings},
    }


@errors_in_one_line()
def main() -> None:
    """Ship the checkpoints that the command line names."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="+", help="runs, or folders of several")
    parser.add_argument("--cross-validation", type=Path, help="whose scores to use, for runs without a test set")
    parser.add_argument("--out", type=Path, required=True, help="NAME.keras, or a folder for several networks")
    options = parser.parse_args()
    card = ship(options.sources, options.cross_validation, options.out)
    if card.shipped:
        print("\n".join(f"{digest}  {name}" for name, digest in card.shipped.sha256.items()))


if __name__ == "__main__":
    main()
