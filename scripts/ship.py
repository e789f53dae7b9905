"""Make a trained network, or several together, small enough to ship: weights alone, and a card that vouches for them.

python scripts/ship.py checkpoints/part1/placed-best-36px-all-data/seed-0 --judged-by CROSS_VALIDATION --out part1.keras
python scripts/ship.py checkpoints/part3/random-complementary/seed-0 --out part3-random.keras
python scripts/ship.py checkpoints/part3/random-complementary-best/seed-[01] --out part3-best
"""

import argparse
import dataclasses
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from midas.errors import MidasError
from midas.learning.classifier import Classifier, checkpoint_files
from midas.report.analysis import score_together
from midas.runs import Run, atomic, read_json, write_json
from midas.studies.cross_validation import MEASURED

TESTED = ("scored", "n", "accuracy", "accuracy_interval", "macro_f1", "log_loss", "calibration_error", "estimate")
KEPT = (
    *("class_names", "size", "part", "name", "model", "augmentation", "views"),
    *("data", "data_digest", "trained_on", "sample"),
)


def ship(sources: Sequence[Path], judged_by: Path | None, out: Path) -> dict:
    """Write `out`, a `.keras` file with its card beside it, or a folder of such files with one card.

    Args:
        sources: finished runs, or folders of several.
        judged_by: the directory of their cross-validation, of as many networks a fold as there are here; None for runs
            that scored test images, whose own scores are vouched for, and the accuracy of each seed there is.
        out: NAME.keras for one network, a folder for several.

    Returns:
        The card.
    """
    files = [file for source in sources for file in checkpoint_files(source)]
    runs = [Run(file.parent) for file in files]
    card = runs[0].card
    if unfinished := [run.path for run in runs if not run.finished]:
        raise SystemExit(f"{unfinished[0]} is not finished; go on with --resume")
    judgement = _cross_validated(runs, judged_by) if judged_by else _tested(runs)
    targets = [out] if len(files) == 1 else [out / f"{run.path.name}.keras" for run in runs]
    if len(set(targets)) < len(targets):
        raise SystemExit(f"{runs[0].path}: one of several of that name; give each seed once")
    digests = {}
    for file, target in zip(files, targets, strict=True):
        with atomic(target) as temporary:
            Classifier.load(file).model.save(temporary)
        digests[target.name] = hashlib.sha256(target.read_bytes()).hexdigest()
    whole = {
        **{key: card[key] for key in KEPT if key in card},
        "parameters": sum(run.card["parameters"] for run in runs),
        "seeds": [run.card["seed"] for run in runs],
        "command": shlex.join(["midas", *runs[0].environment["argv"][1:]]),
        "tensorflow": runs[0].environment["tensorflow"],
        "sha256": digests,
        **judgement,
    }
    write_json(out.with_suffix(".json") if len(files) == 1 else out / "card.json", whole)
    return whole


def _cross_validated(runs: list[Run], judged_by: Path) -> dict:
    """Say what a cross-validation found, and the temperatures that it fitted."""
    for run in runs:
        same = {"seed": run.experiment.seed, "test": run.experiment.test}
        if difference := dataclasses.replace(Run(judged_by).experiment, **same).differences(run.experiment):
            raise SystemExit(f"{judged_by} judges other trainings than {run.path} ({difference})")
    judged = read_json(judged_by / "result.json")
    scores = {score["tta"]: score for score in judged["scores"] if score["networks"] == len(runs)}
    if not scores:
        raise SystemExit(f"{judged_by} does not judge {len(runs)} networks together; cross-validate with --ensemble")
    return {
        "cross_validation": {
            **{key: judged[key] for key in ("folds", "repeats")},
            **{f"tta {tta}": {key: score[key] for key in MEASURED if key in score} for tta, score in scores.items()},
        },
        "temperature": scores[1]["temperature"],
        "tta_temperature": scores[max(scores)]["temperature"],
    }


def _tested(runs: list[Run]) -> dict:
    """Say what runs scored on test images, together if there are several, and how well each seed did."""
    if runs[0].experiment.test is None:
        raise SystemExit(f"{runs[0].path}: say with --judged-by which cross-validation vouches for it")
    siblings = [Run(found.parent) for found in sorted(runs[0].path.parent.glob("*/result.json"))]
    scored = runs[0].result if len(runs) == 1 else score_together(runs)
    return {
        "test": {key: scored[key] for key in TESTED if key in scored},
        "test_accuracy_by_seed": {run.result["seed"]: run.result["accuracy"] for run in siblings},
    }


def main() -> None:
    """Ship what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="+", help="runs, or folders of several")
    parser.add_argument("--judged-by", type=Path, help="a cross-validation; without, what the run scored vouches")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        card = ship(options.sources, options.judged_by, options.out)
    except MidasError as error:
        raise SystemExit(str(error)) from error
    print("\n".join(f"{digest}  {name}" for name, digest in card["sha256"].items()))


if __name__ == "__main__":
    main()
