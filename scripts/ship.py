"""Make a trained network, or a folder of several, small enough to ship: weights alone, and a card that vouches for it.

python scripts/ship.py checkpoints/part1/placed-best-36px-all-data/seed-0 --judged-by CROSS_VALIDATION --out part1.keras
"""

import argparse
import dataclasses
import hashlib
import shlex
from pathlib import Path

from midas.inference import Classifier, checkpoint_files
from midas.runs import Run, atomic, read_json, write_json
from midas.validation import MEASURED

KEPT = ("class_names", "size", "part", "name", "model", "data", "data_digest", "trained_on", "parameters", "sample")


def ship(source: Path, judged_by: Path, out: Path) -> dict:
    """Write `out`, a `.keras` file with its card beside it, or a folder of such files with one card.

    Args:
        source: a finished run, or a folder of several.
        judged_by: the directory of their cross-validation, of as many networks a fold as there are here.
        out: NAME.keras for one network, a folder for several.

    Returns:
        The card.
    """
    files = checkpoint_files(source)
    runs = [Run(file.parent) for file in files]
    judged = read_json(judged_by / "result.json")
    card = runs[0].card
    if unfinished := [run.path for run in runs if not run.finished]:
        raise SystemExit(f"{unfinished[0]} is not finished; go on with --resume")
    for run in runs:
        same = {"seed": run.experiment.seed, "test": run.experiment.test}
        if difference := dataclasses.replace(Run(judged_by).experiment, **same).differences(run.experiment):
            raise SystemExit(f"{judged_by} judges other trainings than {run.path} ({difference})")
    targets = [out] if len(files) == 1 else [out / f"{run.path.name}.keras" for run in runs]
    digests = {}
    for file, target in zip(files, targets, strict=True):
        with atomic(target) as temporary:
            Classifier.load(file).model.save(temporary)
        digests[target.name] = hashlib.sha256(target.read_bytes()).hexdigest()
    scores = {score["tta"]: score for score in judged["scores"] if score["networks"] == len(files)}
    if not scores:
        raise SystemExit(f"{judged_by} does not judge {len(files)} networks together; cross-validate with --ensemble")
    whole = {
        **{key: card[key] for key in KEPT},
        "seeds": [run.card["seed"] for run in runs],
        "command": shlex.join(["midas", *runs[0].environment["argv"][1:]]),
        "tensorflow": runs[0].environment["tensorflow"],
        "sha256": digests,
        "cross_validation": {
            **{key: judged[key] for key in ("folds", "repeats")},
            **{f"tta {tta}": {key: score[key] for key in MEASURED if key in score} for tta, score in scores.items()},
        },
        "temperature": scores[1]["temperature"],
        "tta_temperature": scores[max(scores)]["temperature"],
    }
    write_json(out.with_suffix(".json") if len(files) == 1 else out / "card.json", whole)
    return whole


def main() -> None:
    """Ship what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--judged-by", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    card = ship(options.source, options.judged_by, options.out)
    print("\n".join(f"{digest}  {name}" for name, digest in card["sha256"].items()))


if __name__ == "__main__":
    main()
