"""Cross-validation: every image is answered by networks that never saw it. The judge of all choices made for Part 1."""

import dataclasses
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from midas.errors import MidasError
from midas.experiments import Experiment
from midas.metrics import classification as metrics
from midas.runs import CROSS_VALIDATION, Run, atomic, write_json
from midas.studies.study import Workplace, load

MEASURED = ("accuracy", "case_merged_accuracy", "log_loss", "calibration_error")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How to cross-validate.

    Attributes:
        folds: parts the images are split into, stratified; each is answered by networks trained on the others.
        repeats: how often, each time with another split.
        ensemble: networks trained for each fold, whose probabilities are averaged.
        tta: views of each image that probabilities are averaged over.
    """

    folds: int = 5
    repeats: int = 1
    ensemble: int = 1
    tta: int = 1

    def runs(self, seed: int):
        """Yield (repeat, fold, member, seed of the training), in the order in which whole repeats are soonest done."""
        for repeat in range(self.repeats):
            for member in range(self.ensemble):
                for fold in range(self.folds):
                    yield repeat, fold, member, seed + 100 * repeat + member


def cross_validate(
    experiment: Experiment, place: Workplace, protocol: Protocol, resume: bool = False, overwrite: bool = False
) -> tuple[Run, bool]:
    """Cross-validate an experiment: split, then train on each fold's other images as `training.train` always does.

    Every training has a run directory of its own below the one returned, so that what is stopped goes on where it was,
    and a later call with more repeats or a larger ensemble keeps what is there.

    Returns:
        The directory of the summary (result.json, and predictions.npz of all images, answered by those networks of the
        first repeat that did not see them), and whether anything had to be done for it.

    Raises:
        MidasError: the directory holds something else, or unfinished trainings and neither `resume` nor `overwrite`; a
            class has fewer images than there are folds.
    """
    run = Run(place.root / CROSS_VALIDATION / experiment.run_path)
    asked = dataclasses.asdict(protocol)
    if not overwrite:
        run.check(experiment, resume=True)
        if run.finished and {key: run.result.get(key) for key in asked} == asked:
            return run, False
    from midas.learning.trainer import score, train

    data = load(experiment.data, experiment, place)
    if np.bincount(data.labels).min() < protocol.folds:
        raise MidasError(f"{experiment.data}: a class has fewer than {protocol.folds} images; use fewer --folds")
    with run.locked():
        (run / "result.json").unlink(missing_ok=True)
        if overwrite:  # all at once, so that stopped and resumed it does not take up what was to be done again
            for old in run.path.glob("*-fold/*/*/*/experiment.json"):
                Run(old.parent).clear()
        run.start(experiment)
        trainings = list(protocol.runs(experiment.seed))
        for number, (repeat, fold, member, seed) in enumerate(trainings, 1):
            trained = _training(run, protocol, repeat, fold, seed)
            held_out = f"fold {fold + 1} of {protocol.folds}, split {experiment.seed + repeat}"
            fold_experiment = dataclasses.replace(experiment, seed=seed, test=held_out)
            trained.check(fold_experiment, resume)
            ours, theirs = _split(data.labels, protocol.folds, experiment.seed + repeat)[fold]
            part, test = data.take(ours), data.take(theirs)
            if not trained.finished:
                with trained.locked():
                    train(fold_experiment, trained, part, report=place.epoch)
                    score(fold_experiment, trained, part, test)
            elif trained.card["data_digest"] != part.digest:
                raise MidasError(f"{trained.path}: the data changed since it was trained; start again with --overwrite")
            result = trained.result
            place.say(
                f"{number} of {len(trainings)}: repeat {repeat + 1}, fold {fold + 1}, network {member + 1}: "
                f"{100 * result['accuracy']:.2f} % of {result['n']} images, {result['train_seconds']:.0f} s"
            )
        _summarise(run, experiment, protocol, data)
    return run, True


def _training(run: Run, protocol: Protocol, repeat: int, fold: int, seed: int) -> Run:
    return Run(run / f"{protocol.folds}-fold" / f"repeat-{repeat}" / f"fold-{fold}" / f"seed-{seed}")


def _split(labels: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split into (training, held-out) indices, stratified: each image is held out once."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))


def _summarise(run: Run, experiment: Experiment, protocol: Protocol, data) -> None:
    """Score all folds, alone and together, and write card.json, predictions.npz and result.json."""
    from midas.learning.classifier import Classifier

    splits = [_split(data.labels, protocol.folds, experiment.seed + repeat) for repeat in range(protocol.repeats)]
    views = sorted({1, protocol.tta})
    shape = (len(views), protocol.repeats, protocol.ensemble, len(data), len(data.class_names))
    answers, results = np.zeros(shape, np.float32), []
    for repeat, fold, member, seed in protocol.runs(experiment.seed):
        trained = _training(run, protocol, repeat, fold, seed)
        results.append(trained.result)
        network, (_, theirs) = Classifier.load(trained.path), splits[repeat][fold]
        for view, tta in enumerate(views):
            asked = dataclasses.replace(network, tta=tta)
            answers[view, repeat, member, theirs] = asked.probabilities(data.images[theirs], data.places[theirs])
    scores = []
    for together in sorted({1, protocol.ensemble}):
        for tta, answered in zip(views, answers, strict=True):
            asked = answered.mean(axis=1, keepdims=True) if together > 1 else answered
            score, calibrated = _score(asked, data.labels, data.class_names, splits)
            scores.append({"networks": together, "tta": tta, **score})
    # Each image once: the first repeat, answered in the last and most elaborate way.
    with atomic(run / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **data.predictions(calibrated[0, 0]))
    write_json(run / "card.json", network.card)
    write_json(
        run / "result.json",
        {
            "part": experiment.part,
            "name": experiment.name,
            "seed": experiment.seed,
            "scored": "held-out folds",
            "n": len(data),
            **dataclasses.asdict(protocol),
            "scores": scores,
            "errors": metrics.error_kinds(calibrated[:, 0], data.labels, data.class_names),
            "epochs": mean(result["epochs"] for result in results),
            "train_seconds": round(mean(result["train_seconds"] for result in results), 1),
            **{key: network.card[key] for key in ("model", "parameters", "multiply_adds", "sample")},
        },
    )


def _score(answers: np.ndarray, labels: np.ndarray, class_names, splits) -> tuple[dict, np.ndarray]:
    """Score the answers (repeats, networks, n, k): mean, spread and interval of each measure, temperature included.

    The temperature a fold's answers are calibrated with is fitted on the other folds' answers. Accuracies and log loss
    spread over folds and repeats, networks averaged. The calibration error grows as images get fewer, so it is that of
    all images of a repeat, and spreads over repeats.
    """
    calibrated, values = np.empty_like(answers), {name: [] for name in MEASURED}
    for repeat, folds in enumerate(splits):
        for network, probabilities in enumerate(answers[repeat]):
            for others, held_out in folds:
                temperature = metrics.fit_temperature(probabilities[others], labels[others])
                calibrated[repeat, network, held_out] = metrics.calibrate(probabilities[held_out], temperature)
        whole = [metrics.summarise(probabilities, labels, class_names) for probabilities in calibrated[repeat]]
        values["calibration_error"].append(mean(one["calibration_error"] for one in whole))
        for _, held_out in folds:
            parts = [metrics.summarise(one[held_out], labels[held_out], class_names) for one in calibrated[repeat]]
            for name in ("accuracy", "case_merged_accuracy", "log_loss"):
                if parts[0][name] is not None:
                    values[name].append(mean(part[name] for part in parts))
    tested = len(splits[0][0][1])
    score = {name: _spread(found, tested, len(labels) - tested) for name, found in values.items() if found}
    score["calibration_error"]["interval"] = None  # repeats answer the same images, so theirs would mean nothing
    flat = answers.reshape(-1, answers.shape[-1])
    temperature = metrics.fit_temperature(flat, np.tile(labels, len(flat) // len(labels)))
    return {**score, "temperature": round(temperature, 4)}, calibrated


def _spread(values: list[float], tested: int, trained: int) -> dict:
    if len(values) < 2:
        return {"mean": values[0], "standard_deviation": None, "interval": None}
    return {
        "mean": mean(values),
        "standard_deviation": stdev(values),
        "interval": list(metrics.mean_interval(values, tested, trained)),
    }


def table(results: list[dict]) -> str:
    """Lay out the results of cross-validations as text, a line for each way to answer."""
    head = ("name", "networks", "tta", "accuracy %", "95 % interval", "case ignored %", "log loss", "ECE %", "seconds")
    rows = [head]
    for result in results:
        for score in result["scores"]:
            rows.append(
                (
                    result["name"],
                    str(score["networks"]),
                    str(score["tta"]),
                    _mean_and_deviation(score["accuracy"], 100, 2),
                    "-".join(f"{100 * bound:.2f}" for bound in score["accuracy"]["interval"] or ()) or "-",
                    _mean_and_deviation(score.get("case_merged_accuracy"), 100, 2),
                    _mean_and_deviation(score["log_loss"], 1, 4),
                    _mean_and_deviation(score["calibration_error"], 100, 2),
                    f"{result['train_seconds']:.0f}",
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join([row[0].strip().ljust(widths[0]), *row[1:]]).rstrip() for row in lines)


def _mean_and_deviation(spread: dict | None, scale: float, decimals: int) -> str:
    if spread is None:
        return "-"
    text = f"{scale * spread['mean']:.{decimals}f}"
    return (
        text
        if spread["standard_deviation"] is None
        else f"{text} ± {scale * spread['standard_deviation']:.{decimals}f}"
    )


def write_comparison(results: list[dict], place: Workplace) -> Path:
    """Write compare-models.json, and draw compare-models.png, which is returned: accuracy against cost.

    Raises:
        MidasError: a file cannot be written.
    """
    from midas.report import plots

    path = place.root / CROSS_VALIDATION / "compare-models.png"
    with atomic(path) as temporary:
        plots.accuracy_against_cost(results).savefig(temporary, dpi=120)
    write_json(path.with_suffix(".json"), {"models": results})
    return path
