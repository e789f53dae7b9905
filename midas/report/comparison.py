"""Starts of a training compared: what differs between them over paired seeds, by how much and how surely.

Finished runs in, numbers and sentences out. A pair is two runs of the same seed: they hold out the same images, and see
the same ones in the same order, deformed alike.
"""

import math
from dataclasses import dataclass, replace
from itertools import chain, pairwise, product
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from midas.data.datasets import DIGITS
from midas.errors import MidasError
from midas.experiments import PARTS, PROBED, SMALL, STARTS, Experiment
from midas.report import analysis
from midas.runs import COMPARISON, Run, atomic, write_json
from midas.studies.study import Workplace, perform

LEVELS = (0.90, 0.95, 0.98, 0.99, 0.995)  # of validation accuracy, that a training is timed to
SURE = 0.05  # a difference is called one if its p-value, corrected, is lower


@dataclass(frozen=True)
class Measure:
    """One quality of a training.

    Attributes:
        key: its name in comparison.json.
        title: its name in words.
        unit: "%" of a share in 0-1, "s", "steps", or "" of a bare number.
    """

    key: str
    title: str
    unit: str


def _level(level: float) -> str:
    return f"{100 * level:g}"


MEASURES = (
    Measure("zero_shot_accuracy", "test accuracy of what it starts from", "%"),
    Measure("zero_shot_macro_f1", "test macro F1 of what it starts from", ""),
    Measure("start_accuracy", "accuracy before any training", "%"),
    Measure("start_loss", "loss before any training", ""),
    *(Measure(f"accuracy_{step}", f"accuracy after {step} step{'s' if step > 1 else ''}", "%") for step in PROBED[1:]),
    Measure("accuracy_epoch", "accuracy after the first epoch", "%"),
    *(Measure(f"steps_{_level(level)}", f"steps to {_level(level)} %", "steps") for level in LEVELS),
    *(Measure(f"seconds_{_level(level)}", f"seconds to {_level(level)} %", "s") for level in LEVELS),
    Measure("best_accuracy", "best accuracy", "%"),
    Measure("final_accuracy", "final accuracy", "%"),
    Measure("area", "area under the learning curve", "%"),
    Measure("falls", "falls of the learning curve, added up", "%"),
    Measure("gap", "training accuracy minus validation accuracy", "%"),
    Measure("train_seconds", "seconds of training", "s"),
    Measure("test_accuracy", "test accuracy", "%"),
    Measure("test_macro_f1", "test macro F1", ""),
    Measure("test_log_loss", "test log loss", ""),
    Measure("test_calibration_error", "test calibration error", "%"),
)


def curve(records: list[dict]) -> list[dict]:
    """Lay out what a training recorded as points of its learning curve, in order.

    Returns:
        steps; seconds of training until then, without those spent on scoring within an epoch; val_loss, val_accuracy.
    """
    points, before = [], 0.0
    for record in records:
        for probe in record.get("probes", ()):
            scores = {key: probe[key] for key in ("val_loss", "val_accuracy")}
            points.append({"steps": probe["step"], "seconds": before + probe["seconds"], **scores})
        before += record["epoch_seconds"]
        scores = {key: record[key] for key in ("val_loss", "val_accuracy")}
        points.append({"steps": record["steps"], "seconds": before, **scores})
    return points


def reached(points: list[dict], level: float, along: str) -> float | None:
    """Say when a curve first reaches an accuracy, in "steps" or "seconds", straight lines between its points.

    >>> reached([{"steps": 0, "val_accuracy": 0.1}, {"steps": 10, "val_accuracy": 0.9}], 0.5, "steps")
    5.0
    """
    if points and points[0]["val_accuracy"] >= level:
        return float(points[0][along])
    for before, after in pairwise(points):
        if after["val_accuracy"] >= level:
            share = (level - before["val_accuracy"]) / (after["val_accuracy"] - before["val_accuracy"])
            return before[along] + share * (after[along] - before[along])
    return None


def measure(records: list[dict], result: dict) -> dict[str, float | None]:
    """Work out every one of `MEASURES` for one finished run; None is what it never reached, or what was not recorded.

    Accuracy and loss are those of the held-out images but where a measure's name says test.
    """
    points = curve(records)
    at = {point["steps"]: point for point in points}
    steps, accuracies = (np.array([point[key] for point in points]) for key in ("steps", "val_accuracy"))
    trapezoids = np.diff(steps) @ (accuracies[:-1] + accuracies[1:]) / 2  # NumPy's own has two names, by version
    epochs = np.array([record["val_accuracy"] for record in records])
    found = {
        **{key: result.get(key) for key in ("zero_shot_accuracy", "zero_shot_macro_f1")},
        "start_accuracy": at[0]["val_accuracy"] if 0 in at else None,
        "start_loss": at[0]["val_loss"] if 0 in at else None,
        **{f"accuracy_{step}": at[step]["val_accuracy"] if step in at else None for step in PROBED[1:]},
        "accuracy_epoch": float(epochs[0]),
        **{f"{along}_{_level(x)}": reached(points, x, along) for along in ("steps", "seconds") for x in LEVELS},
        "best_accuracy": float(epochs.max()),
        "final_accuracy": float(epochs[-1]),
        "area": float(trapezoids / (steps[-1] - steps[0])) if steps[-1] > steps[0] else None,
        "falls": float(-np.minimum(np.diff(epochs), 0).sum()),
        "gap": records[-1]["accuracy"] - float(epochs[-1]) if "accuracy" in records[-1] else None,
        "train_seconds": result["train_seconds"],
        **{f"test_{key}": result[key] for key in ("accuracy", "macro_f1", "log_loss", "calibration_error")},
    }
    return {one.key: found[one.key] for one in MEASURES}


@dataclass(frozen=True)
class Difference:
    """How one measure differs between a start and the one that it is held against, over pairs.

    Attributes:
        measure: which.
        pairs: how many seeds have it in both.
        ours, theirs: means over these seeds.
        difference: ours minus theirs, in the mean over pairs.
        interval: of the difference, 95 %, by Student's t.
        effect: the difference in standard deviations of the pairs' differences (Cohen's d_z); infinite if they agree.
        p_value: of the paired t-test.
        corrected: the p-value for having looked at so many measures (Holm 1979).
    """

    measure: Measure
    pairs: int
    ours: float
    theirs: float
    difference: float
    interval: tuple[float, float]
    effect: float
    p_value: float
    corrected: float = math.nan

    @property
    def sure(self) -> bool:
        return self.corrected < SURE


def differences(ours: list[dict], theirs: list[dict]) -> list[Difference]:
    """Hold the measures of one start against another's, pair by pair; at least two pairs must have reached a measure.

    Args:
        ours, theirs: what `measure` returns, one a seed, in the same order of seeds.
    """
    found = []
    for one in MEASURES:
        pairs = [(a[one.key], b[one.key]) for a, b in zip(ours, theirs, strict=True)]
        pairs = np.array([pair for pair in pairs if None not in pair], float)
        if len(pairs) > 1:
            found.append(Difference(one, len(pairs), *map(float, pairs.mean(axis=0)), *paired_test(pairs)))
    corrected = holm([one.p_value for one in found])
    return [replace(one, corrected=p) for one, p in zip(found, corrected, strict=True)]


def paired_test(pairs: np.ndarray) -> tuple[float, tuple[float, float], float, float]:
    """Test whether the mean difference within pairs, float (n, 2), n at least 2, is 0.

    Returns:
        difference, interval, effect and p_value, as `Difference` has them.
    """
    from scipy.stats import ttest_rel

    gaps = pairs[:, 0] - pairs[:, 1]
    middle, spread = float(gaps.mean()), float(gaps.std(ddof=1))
    if spread > 1e-9 * abs(middle):  # or else the pairs differ by the same, but for the last digits
        test = ttest_rel(pairs[:, 0], pairs[:, 1])
        return middle, tuple(map(float, test.confidence_interval(0.95))), middle / spread, float(test.pvalue)
    if middle:  # the t-test is not defined, and the sign test is
        return middle, (middle, middle), math.copysign(math.inf, middle), 2.0 ** (1 - len(pairs))
    return 0.0, (0.0, 0.0), 0.0, 1.0


def holm(p_values: list[float]) -> list[float]:
    """Correct p-values for their number, so that a false alarm among all of them is as rare as one alone (Holm 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    scaled = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected.tolist()


def mcnemar(ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Test whether two networks are right on as many of the same images: McNemar's (1947) test in its exact form.

    Args:
        ours, theirs: bool arrays (n,), whether each image is answered rightly.

    Returns:
        only_ours, only_theirs: images that one alone answers rightly; p_value, two-sided.
    """
    from scipy.stats import binomtest

    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    differing = only_ours + only_theirs
    p_value = float(binomtest(only_ours, differing).pvalue) if differing else 1.0
    return {"only_ours": only_ours, "only_theirs": only_theirs, "p_value": p_value}


IN_WORDS = {
    "random": "random weights",
    "digits": "the digits of Part 1",
    "digits-frozen": "the digits of Part 1, body frozen",
    "part1": "the 62 classes of Part 1",
    "part1-frozen": "the 62 classes of Part 1, body frozen",
}
SHORT = {"model": "compact", "epochs": 10, "stop_patience": None, "rounds": 0}  # two minutes each on two cores
FEW_STEPS = 300  # of a training on few images, as far as that takes 10 to 100 epochs


def experiment(part: str, start: str, seed: int, images_a_class: int | None = None, **changes) -> Experiment:
    """Describe one of the trainings compared: the part's own, short, and with so few images if that is asked for.

    Args:
        part: "part2" or "part3".
        start: a key of `STARTS`.
        seed: of the split, the order, the deformations and the random weights, those of the pretraining included.
        images_a_class: train on so many, with nothing held out; None for all but the tenth that is held out.
        **changes: other settings, for all starts alike.
    """
    few = {}
    if images_a_class:
        images = images_a_class * len(DIGITS)
        batch = min(SMALL["batch_size"], images)
        few = {"limit": images, "val_fraction": 0.0, "batch_size": batch, "schedule": "cosine", "learning_rate": 2e-3}
        few["epochs"] = min(max(10, math.ceil(FEW_STEPS / math.ceil(images / batch))), 100)
    # "from", as the network that the digits make is a run named digits of the same part.
    name = f"from-{start}-{images_a_class}-a-class" if images_a_class else f"from-{start}"
    return replace(PARTS[part], **{**SHORT, **STARTS[start], **changes, **few}, name=name, seed=seed)


def compare(
    part: str, starts: list[str], seeds: list[int], place: Workplace, few: list[int], resume: bool, **changes
) -> dict:
    """Train from every start with every seed, as far as that is not done yet, and write what differs.

    Seed by seed, so that a stopped comparison has whole pairs. The runs lie in `comparison/` below the root, in a
    folder for the network and the number of epochs, where comparison.json and figures are written for the part.

    Args:
        part: "part2" or "part3".
        starts: keys of `STARTS`.
        seeds: of the trainings; the same ones for each start.
        place: where things are.
        few: numbers of images a class to train on as well, for label efficiency.
        resume: go on with unfinished runs.
        **changes: settings of all trainings.

    Returns:
        What `summarise` returns.
    """
    kind = experiment(part, starts[0], 0, **changes)
    place = replace(place, runs_dir=place.runs_dir / COMPARISON / f"{kind.model}-{kind.epochs}-epochs")
    runs = {(start, count): [] for count in (None, *few) for start in starts}  # what is named twice is done once
    for number, (seed, one) in enumerate(product(seeds, runs), 1):
        start, count = one
        run, _ = perform(experiment(part, start, seed, count, **changes), place, resume)
        runs[one].append(run)
        accuracy = f"{100 * run.result['accuracy']:.2f} % of the test images"
        place.say(f"{number} of {len(seeds) * len(runs)}: {run.path}: {accuracy}")
    return write(summarise(part, runs), place.root / part)


def summarise(part: str, runs: dict[tuple[str, int | None], list[Run]]) -> dict:
    """Work out measures, differences, verdicts and label efficiency of finished runs.

    Args:
        part: "part2" or "part3".
        runs: by start and images a class (None for all), one run a seed, in the same order of seeds.

    Returns:
        What comparison.json holds: part; seeds; starts, a record each with its measures (mean, standard_deviation, n
        and values by seed), the recall of what it starts from by class, and its learning curves; differences to the
        first start, with McNemar's test by seed and verdicts in words, on few images too; few, the test accuracies with
        few images; notes on what limits the comparison.
    """
    whole = {start: several for (start, count), several in runs.items() if count is None}
    measured = {start: [_measured(run) for run in several] for start, several in whole.items()}
    first, *others = whole
    right = {start: [_right(run) for run in several] for start, several in whole.items()}
    few = [
        {"start": start, "images_a_class": count, **_spread([run.result["accuracy"] for run in several])}
        for (start, count), several in runs.items()
        if count is not None
    ]
    held = [
        {
            "start": start,
            "against": first,
            "measures": [_record(one) for one in differences(measured[start], measured[first])],
            "mcnemar": [mcnemar(ours, theirs) for ours, theirs in zip(right[start], right[first], strict=True)],
        }
        for start in others
    ]
    for one in held:
        one["in_words"] = f"{IN_WORDS[one['start']]}, against {IN_WORDS[first]}"
        for found in one["measures"]:
            found["verdict"] = _verdict(found, one["start"], first)
        one["verdict"] = _verdict_of_mcnemar(one["mcnemar"], one["start"], first)
        one["few"] = _verdict_of_few(few, one["start"], first)
    return {
        "part": part,
        "seeds": [run.experiment.seed for run in whole[first]],
        "starts": [
            {
                "start": start,
                "in_words": IN_WORDS[start],
                "measures": {one.key: _spread([values[one.key] for values in measured[start]]) for one in MEASURES},
                "zero_shot": _by_class([run.result.get("zero_shot_per_class", []) for run in several]),
                "curves": [curve(run.metrics()) for run in several],
            }
            for start, several in whole.items()
        ],
        "differences": held,
        "few": few,
        "notes": _notes([run for several in runs.values() for run in several]),
    }


def _measured(run: Run) -> dict[str, float | None]:
    try:
        return measure(run.metrics(), run.result)
    except (LookupError, TypeError) as error:
        raise MidasError(f"{run.path}: its records are not whole; train it again with --overwrite") from error


def _right(run: Run) -> np.ndarray:
    predictions = analysis.load_predictions(run)
    return predictions["probabilities"].argmax(axis=1) == predictions["labels"]


def _by_class(scores: list[list[dict]]) -> dict[str, dict]:
    """Summarise the recall of each class, of `metrics.summarise`'s per_class, over seeds."""
    recalls: dict[str, list[float]] = {}
    for one in chain.from_iterable(scores):
        recalls.setdefault(one["class"], []).append(one["recall"])
    return {name: _spread(values) for name, values in recalls.items()}


def _spread(values: list[float | None]) -> dict:
    known = [value for value in values if value is not None]
    return {
        "mean": mean(known) if known else None,
        "standard_deviation": stdev(known) if len(known) > 1 else None,
        "n": len(known),
        "values": values,
    }


def _record(found: Difference) -> dict:
    one = found.measure
    numbers = {key: value for key, value in vars(found).items() if key != "measure"}
    return {"measure": one.key, "title": one.title, "unit": one.unit, **numbers, "sure": found.sure}


def _number(value: float, unit: str, signed: bool = False) -> str:
    """Write a number of a measure, e.g. 99.41 % of 0.9941."""
    sign = "+" if signed else ""
    if unit == "%":
        return f"{100 * value:{sign}.2f}"
    return f"{value:{sign}.0f}" if unit == "steps" else f"{value:{sign}.1f}" if unit == "s" else f"{value:{sign}.4f}"


def _verdict(found: dict, start: str, against: str) -> str:
    """Say in a sentence what one measure shows, or that it shows nothing."""
    unit = found["unit"]
    ours, theirs = (_number(found[key], unit) for key in ("ours", "theirs"))
    low, high = (_number(bound, unit, signed=True) for bound in found["interval"])
    gap, tail = _number(found["difference"], unit, signed=True), f" {unit}" if unit else ""
    title = found["title"][0].upper() + found["title"][1:]
    word = "higher" if found["difference"] > 0 else "lower"
    shown = f"{word} from {start} than from {against}" if found["sure"] else "no difference can be shown"
    return (
        f"{title}: {shown}; {ours} against {theirs}{tail}, difference {gap} (95 % interval {low} to {high}, "
        f"corrected p = {found['corrected']:.2g}, {found['pairs']} pairs)."
    )


def _verdict_of_mcnemar(tests: list[dict], start: str, against: str) -> str:
    """Say in a sentence what the single test images show, seed by seed."""
    corrected = holm([test["p_value"] for test in tests])
    sure = [test for test, p in zip(tests, corrected, strict=True) if p < SURE]
    better = sum(test["only_ours"] > test["only_theirs"] for test in sure)
    ours, theirs = (mean(test[key] for test in tests) for key in ("only_ours", "only_theirs"))
    return (
        f"{ours:.1f} test images are read from {start} alone, {theirs:.1f} from {against} alone, in the mean over "
        f"{len(tests)} seeds; McNemar's test is sure of {better} in favour of {start}, and of {len(sure) - better} in "
        f"favour of {against}."
    )


def _verdict_of_few(few: list[dict], start: str, against: str) -> str | None:
    """Say in a sentence with how few images a class a start pays; None where that was not tried, or with one seed."""
    values = {(record["start"], record["images_a_class"]): record["values"] for record in few}
    counts = sorted(count for name, count in values if name == start)
    pairs = [np.array([values[start, count], values[against, count]], float).T for count in counts]
    if not pairs or len(pairs[0]) < 2:
        return None
    tests = [paired_test(one) for one in pairs]
    corrected = holm([p_value for *_, p_value in tests])
    parts = {"more": [], "fewer": [], "no": []}
    for count, (gap, *_), p in zip(counts, tests, corrected, strict=True):
        where = "no" if p >= SURE else "more" if gap > 0 else "fewer"
        parts[where].append(f"{count:,} ({100 * gap:+.2f} points, corrected p = {p:.2g})")
    words = {
        "more": f"more test images are read from {start} than from {against} with ",
        "fewer": f"fewer test images are read from {start} than from {against} with ",
        "no": "no difference can be shown with ",
    }
    return f"By images a class: {'; '.join(words[key] + ', '.join(found) for key, found in parts.items() if found)}."


def unlike(surroundings: list[dict]) -> list[str]:
    """Say in what runs were not made alike, by their environments, where that matters to numbers held side by side."""
    notes = []
    for key, what in ALIKE.items():
        found = sorted({str(one.get(key)) for one in surroundings})
        if len(found) > 1:
            notes.append(f"The runs differ in {what}: {', '.join(found)}.")
    return notes


def _notes(runs: list[Run]) -> list[str]:
    """Say what limits the comparison: runs that were not made alike."""
    notes = unlike([run.environment for run in runs])
    if any(run.result.get("sample") for run in runs):
        notes.append("This is the embedded sample; its numbers are not those of the real data.")
    return notes


ALIKE = {
    "midas": "the version of midas",
    "tensorflow": "the version of TensorFlow",
    "data_digest": "the data",
    "processor": "the processor, so that seconds cannot be compared",
}


def write(summary: dict, folder: Path) -> dict:
    """Write comparison.json and the figures, and add their paths to what is returned."""
    drawn = figures(summary)
    for name, (figure, _) in drawn.items():
        with atomic(folder / name) as temporary:
            figure.savefig(temporary, dpi=120)
    write_json(folder / "comparison.json", summary)
    return {**summary, "files": [str(folder / name) for name in ("comparison.json", *drawn)]}


def figures(summary: dict) -> dict:
    """Draw a comparison: each file's figure, and what it shows in words."""
    from midas.report import plots

    starts = ", ".join(start["start"] for start in summary["starts"])
    curves = plots.compare_starts(summary["starts"], summary["part"] == "part3")
    drawn = {"comparison.png": (curves, f"Learning curves by steps and by seconds of training, from {starts}")}
    if summary["few"]:
        efficiency = plots.label_efficiency(summary["few"])
        drawn["few.png"] = (efficiency, f"Test accuracy by the number of images a class, from {starts}")
    return drawn


def rows(summary: dict) -> list[list[str]]:
    """Lay out a comparison in cells: a row for each measure, a column for each start, headings first."""
    rows = [["mean ± standard deviation", *(start["start"] for start in summary["starts"])]]
    for one in MEASURES:
        cells = [_cell(start["measures"][one.key], one.unit, len(summary["seeds"])) for start in summary["starts"]]
        if set(cells) != {"-"}:
            rows.append([f"{one.title}, {one.unit}" if one.unit in ("%", "s") else one.title, *cells])
    for name in dict.fromkeys(chain.from_iterable(start["zero_shot"] for start in summary["starts"])):
        recalls = [start["zero_shot"].get(name, _spread([])) for start in summary["starts"]]
        cells = [_cell(recall, "%", len(summary["seeds"])) for recall in recalls]
        rows.append([f"of the {name}s, what it starts from reads, %", *cells])
    for count in sorted({record["images_a_class"] for record in summary["few"]}):
        found = {r["start"]: _cell(r, "%", r["n"]) for r in summary["few"] if r["images_a_class"] == count}
        title = f"test accuracy from {count} image{'s' if count > 1 else ''} a class, %"
        rows.append([title, *(found[start["start"]] for start in summary["starts"])])
    return rows


def table(summary: dict) -> str:
    """Lay out a comparison as text, with the verdicts below the table."""
    cells = rows(summary)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    for one in summary["differences"]:
        lines += ["", f"{one['in_words']}:", *(found["verdict"] for found in one["measures"]), one["verdict"]]
        lines += [one["few"]] if one["few"] else []
    return "\n".join([*lines, *([""] if summary["notes"] else []), *summary["notes"]])


def _cell(spread: dict, unit: str, seeds: int) -> str:
    if spread["mean"] is None:
        return "-"
    text = _number(spread["mean"], unit)
    if spread["standard_deviation"] is not None:
        text += f" ± {_number(spread['standard_deviation'], unit)}"
    return text if spread["n"] == seeds else f"{text} ({spread['n']} of {seeds})"
