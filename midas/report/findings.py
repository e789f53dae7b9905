"""What to conclude from finished runs: sentences made from their numbers, none that the statistics do not support."""

from statistics import mean, stdev

import numpy as np

from midas.metrics import classification as metrics
from midas.report import comparison

PARTS = {
    "part1": "Part 1: 62 classes from drawings",
    "part2": "Part 2: MNIST",
    "part3": "Part 3: MNIST from wrong folders",
}
SCORED = {
    "mnist-test": "MNIST's test images",
    "validation": "the images held out",
    "training": "its own training images",
}

NAMED = 6  # of the qualities in which trainings differ


def conclude(groups: list[dict], comparisons: list[dict]) -> list[dict]:
    """Draw the conclusions.

    Args:
        groups: runs that differ in their seed alone, a record each: part, name, and results, what result.json holds by
            seed, with error_kinds where predictions were kept.
        comparisons: what `comparison.summarise` returns.

    Returns:
        Records of part, its title, and sentences.
    """
    found = []
    for part in dict.fromkeys(group["part"] for group in groups):
        ours = [group for group in groups if group["part"] == part]
        sentences = _best(ours)
        sentences += _kinds(ours) if part == "part1" else []
        sentences += _before_training(ours)
        sentences += _below_chance(ours) + _estimates(ours) if part == "part3" else []
        for summary in comparisons:
            sentences += _compared(summary) if summary["part"] == part else []
        found.append({"part": part, "title": PARTS.get(part, part), "sentences": sentences})
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _several(values: list[float]) -> str:
    """Write a mean with its spread, or one value.

    >>> _several([0.99, 0.97])
    '98.00 ± 1.41 %, mean of 2 seeds'
    """
    if len(values) == 1:
        return f"{_percent(values[0])}, one seed"
    return f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f} %, mean of {len(values)} seeds"


def _accuracies(group: dict) -> list[float]:
    return [result["accuracy"] for result in group["results"].values()]


def _best(groups: list[dict]) -> list[str]:
    """Name the training that reads most, and those that it cannot be told from."""
    best, *others = sorted(groups, key=lambda group: -mean(_accuracies(group)))
    scored = next(iter(best["results"].values()))["scored"]
    told = f"of {SCORED.get(scored, scored)}: {_several(_accuracies(best))}."
    if not others:
        return [f"{best['name']} is right on so many {told}"]
    sentence = f"{best['name']} is right on the most {told}"
    p_values = [_p_value(best, other) for other in others]
    corrected = comparison.holm([p for p in p_values if p is not None])
    ranks = iter(corrected)
    less, same, unknown = [], [], []
    for other, p in zip(others, p_values, strict=True):
        where = unknown if p is None else less if next(ranks) < comparison.SURE else same
        where.append(other["name"])
    verdicts = [
        (less, "That is more than {}, and no accident of the seeds or images"),
        (same, "It cannot be told from {} by these runs"),
        (unknown, "Nothing is said of {}, which was scored on other images"),
    ]
    return [" ".join([sentence, *(f"{words.format(_listed(names))}." for names, words in verdicts if names)])]


def _p_value(ours: dict, theirs: dict) -> float | None:
    """Test whether two trainings read as many: a paired t-test over shared seeds, else a test of two shares.

    None where they were not scored on the same number of images of the same data.
    """
    from scipy.stats import norm, ttest_rel

    first, second = (next(iter(group["results"].values())) for group in (ours, theirs))
    if (first["scored"], first.get("n")) != (second["scored"], second.get("n")):
        return None
    shared = sorted(ours["results"].keys() & theirs["results"].keys())
    pairs = np.array([[group["results"][seed]["accuracy"] for group in (ours, theirs)] for seed in shared])
    gaps = pairs[:, 0] - pairs[:, 1] if len(pairs) else np.zeros(0)
    if len(pairs) > 2 and gaps.std():
        return float(ttest_rel(*pairs.T).pvalue)
    a, b, n = first["accuracy"], second["accuracy"], first["n"]
    pooled = (a + b) / 2
    spread = (2 * pooled * (1 - pooled) / n) ** 0.5
    return float(2 * norm.sf(abs(a - b) / spread)) if spread else 1.0


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _kinds(groups: list[dict]) -> list[str]:
    """Say what kind the mistakes are."""
    best = max(groups, key=lambda group: mean(_accuracies(group)))
    kinds = [result["error_kinds"] for result in best["results"].values() if result.get("error_kinds")]
    wrong = [sum(one.values()) for one in kinds]
    if not kinds or not mean(wrong):
        return []
    case, alike, other = (mean(one[key] for one in kinds) / mean(wrong) for key in ("case", "look_alike", "other"))
    return [
        f"Of the mistakes of {best['name']}, {100 * case:.0f} % have the wrong case only, {100 * alike:.0f} % are "
        f"confusions within 0/O/o or 1/I/l, and {100 * other:.0f} % are others."
    ]


def _before_training(groups: list[dict]) -> list[str]:
    """Say what networks that were trained before read of these images already; guessing is passed over."""
    names: dict[tuple, list[str]] = {}
    for group in groups:
        results = list(group["results"].values())
        zero = tuple(r["zero_shot_accuracy"] for r in results if r.get("zero_shot_accuracy") is not None)
        n, chance = results[0]["n"], 1 / len(results[0]["per_class"])
        if zero and metrics.wilson_interval(round(min(zero) * n), n)[0] > 2 * chance:
            names.setdefault(zero, []).append(group["name"])
    return [
        f"Before any training on these images, the network that {_listed(several)} "
        f"{'starts' if len(several) == 1 else 'start'} from is right on {_several(list(zero))}."
        for zero, several in names.items()
    ]


def _below_chance(groups: list[dict]) -> list[str]:
    """Say what an accuracy below that of guessing proves."""
    from scipy.stats import binomtest

    sentences = []
    for group in groups:
        results = list(group["results"].values())
        right, n = round(sum(r["accuracy"] * r["n"] for r in results)), sum(r["n"] for r in results)
        chance = 1 / len(results[0]["per_class"])
        if binomtest(right, n, chance, alternative="less").pvalue < comparison.SURE:
            by_least = [r["argmin_accuracy"] for r in results if r.get("argmin_accuracy") is not None]
            read = f" Read by its smallest output it is right on {_several(by_least)}." if by_least else ""
            sentences.append(
                f"{group['name']} is right on {_several(_accuracies(group))}, less than guessing "
                f"({100 * chance:.3g} %): to be so wrong it must have learnt what the images show.{read}"
            )
    return sentences


def _estimates(groups: list[dict]) -> list[str]:
    """Hold the accuracy estimated without true labels against the test accuracy."""
    results = [r for group in groups for r in group["results"].values() if r.get("estimate")]
    if not results:
        return []
    sentences = []
    for words, value, bounds in (
        ("takes all folders for wrong", "accuracy", "interval"),
        ("allows for images that are filed right", "adjusted_accuracy", "adjusted_interval"),
    ):
        held = sum(r["estimate"][bounds][0] <= r["accuracy"] <= r["estimate"][bounds][1] for r in results)
        off = mean(r["estimate"][value] - r["accuracy"] for r in results)
        sentences.append(
            f"The estimate from folders that {words} is off by {100 * off:+.2f} points in the mean, and its 95 % "
            f"interval holds the test accuracy of {held} of {len(results)} networks."
        )
    return sentences


def _compared(summary: dict) -> list[str]:
    """Sum a comparison up: in what the training from each start surely differs, and whether its end does."""
    sentences = []
    for one in summary["differences"]:
        sure = [found for found in one["measures"] if found["sure"]]
        title = f"{one['in_words'][0].upper()}{one['in_words'][1:]}"
        told = [f"{found['title']} ({_way(found)})" for found in sure[:NAMED]]
        told += [f"{len(sure) - NAMED} more"] if len(sure) > NAMED else []
        shown = f"differ surely: {_listed(told)}." if sure else "differ surely."
        sentence = f"{title}: {len(sure) or 'none'} of {len(one['measures'])} qualities of the training {shown}"
        end = [found["verdict"] for found in one["measures"] if found["measure"] == "test_accuracy"]
        sentences.append(" ".join([sentence, *end]))
        if one.get("few"):
            sentences.append(f"{title}. {one['few']}")
    return sentences


def _way(found: dict) -> str:
    return "higher" if found["difference"] > 0 else "lower"
