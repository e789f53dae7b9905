"""Conclusions from finished runs, in sentences: only what their numbers and the statistical tests support."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np

from midas.metrics.classification import ErrorKinds
from midas.metrics.significance import (
    ALPHA,
    binomial_test,
    holm,
    paired_t_test,
    two_proportion_z_test,
    wilson_interval,
)
from midas.records import Comparison, InitializationDifference, MeasureDifference, Result
from midas.report.comparison import BY_KEY

PART_TITLES = {
    "part1": "Part 1: 62 classes of characters",
    "part2": "Part 2: MNIST",
    "part3": "Part 3: MNIST from complementary labels",
}
INITIALIZATION_TITLES = {
    "random": "random weights",
    "digits": "pretrained on the digits of Part 1",
    "digits-frozen": "pretrained on the digits of Part 1, frozen backbone",
    "part1": "pretrained on the 62 classes of Part 1",
    "part1-frozen": "pretrained on the 62 classes of Part 1, frozen backbone",
}
ACCURACY_TITLES = {
    "mnist-test": "test accuracy",
    "validation": "validation accuracy",
    "training": "training accuracy",
}

MAX_NAMED = 6  # measures that a sentence names


@dataclass(frozen=True)
class SeedGroup:
    """Finished runs that differ in their seed alone.

    Attributes:
        part: of the experiment.
        name: of the experiment.
        results: by seed.
        error_kinds: of those runs whose predictions were kept.
    """

    part: str
    name: str
    results: dict[int, Result]
    error_kinds: tuple[ErrorKinds, ...] = ()

    @property
    def first(self) -> Result:
        """The result of the first seed."""
        return next(iter(self.results.values()))

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each seed."""
        return [result.accuracy for result in self.results.values()]


@dataclass(frozen=True)
class Conclusions:
    """What the runs of one part show."""

    part: str
    title: str
    sentences: tuple[str, ...]


def conclude(groups: Sequence[SeedGroup], comparisons: Sequence[Comparison]) -> list[Conclusions]:
    """Draw the conclusions for each part that has runs.

    Args:
        groups: all finished runs.
        comparisons: of initializations; those of parts without runs are ignored.
    """
    found = []
    for part in dict.fromkeys(group.part for group in groups):
        ours = [group for group in groups if group.part == part]
        sentences = [_best(ours)]
        sentences += _error_kinds(ours) if part == "part1" else []
        sentences += _zero_shot(ours)
        sentences += _below_chance(ours) + _estimates(ours) if part == "part3" else []
        for comparison in comparisons:
            sentences += _comparison(comparison) if comparison.part == part else []
        found.append(Conclusions(part, PART_TITLES.get(part, part), tuple(sentences)))
    return found


# ---- runs


def _over_seeds(values: Sequence[float]) -> str:
    """Write the mean and sample standard deviation of proportions over seeds.

    >>> _over_seeds([0.99, 0.97]), _over_seeds([0.99])
    ('98.00 ± 1.41 % (2 seeds)', '99.00 % (1 seed)')
    """
    if len(values) == 1:
        return f"{100 * values[0]:.2f} % (1 seed)"
    return f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f} % ({len(values)} seeds)"


def _listed(words: Sequence[str]) -> str:
    """Join words as an English list.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _names(names: Sequence[str]) -> str:
    return _listed([f"`{name}`" for name in names])


def _best(groups: Sequence[SeedGroup]) -> str:
    """Name the most accurate training, and those from which it does or does not differ significantly."""
    best, *others = sorted(groups, key=lambda group: -mean(group.accuracies))
    accuracy = ACCURACY_TITLES.get(best.first.scored, f"accuracy on {best.first.scored}")
    if not others:
        return f"The {accuracy} of `{best.name}` is {_over_seeds(best.accuracies)}."
    p_values = {other.name: _p_value(best, other) for other in others}
    tested = [name for name, p in p_values.items() if p is not None]
    corrected = dict(zip(tested, holm([p for p in p_values.values() if p is not None]), strict=True))
    lower = [name for name, p in corrected.items() if p < ALPHA]
    similar = [name for name in corrected if name not in lower]
    untested = [name for name in p_values if name not in corrected]
    clauses = [f"`{best.name}` has the highest {accuracy}, {_over_seeds(best.accuracies)}"]
    for names, verdict in ((lower, "significant"), (similar, "not significant")):
        if names:
            verb = "difference from {} is" if len(names) == 1 else "differences from {} are"
            clauses.append(f"the {verb.format(_names(names))} {verdict}")
    if untested:
        verb = "was" if len(untested) == 1 else "were"
        clauses.append(f"no comparison with {_names(untested)}, which {verb} evaluated on other images")
    return f"{'; '.join(clauses)}."


def _p_value(ours: SeedGroup, theirs: SeedGroup) -> float | None:
    """Test whether two trainings are equally accurate: a paired t-test over seeds, or else a test of two proportions.

    None if they were not evaluated on the same number of images of the same data.
    """
    first, second = ours.first, theirs.first
    if (first.scored, first.n) != (second.scored, second.n):
        return None
    shared = sorted(ours.results.keys() & theirs.results.keys())
    of_ours, of_theirs = ([group.results[seed].accuracy for seed in shared] for group in (ours, theirs))
    if len(shared) > 2 and np.subtract(of_ours, of_theirs).std():
        return paired_t_test(of_ours, of_theirs).p_value
    return two_proportion_z_test(first.accuracy, second.accuracy, first.n)


def _error_kinds(groups: Sequence[SeedGroup]) -> list[str]:
    best = max(groups, key=lambda group: mean(group.accuracies))
    kinds = best.error_kinds
    total = mean(kind.case + kind.look_alike + kind.other for kind in kinds) if kinds else 0
    if not total:
        return []
    case, alike, other = (mean(getattr(kind, key) for kind in kinds) / total for key in ("case", "look_alike", "other"))
    return [
        f"Of the errors of `{best.name}`, {100 * case:.0f} % confuse only upper and lower case, {100 * alike:.0f} % "
        f"are other confusions within 0/O/o or 1/I/l, and {100 * other:.0f} % are other errors."
    ]


def _zero_shot(groups: Sequence[SeedGroup]) -> list[str]:
    """Report the zero-shot accuracy of initializations where it is well above chance."""
    names: dict[tuple[float, ...], list[str]] = {}
    for group in groups:
        results = list(group.results.values())
        zero_shot = tuple(r.zero_shot_accuracy for r in results if r.zero_shot_accuracy is not None)
        n, chance = group.first.n, 1 / len(group.first.per_class)
        if zero_shot and wilson_interval(round(min(zero_shot) * n), n)[0] > 2 * chance:
            names.setdefault(zero_shot, []).append(group.name)
    return [
        f"Before any training on these images, the initialization of {_names(several)} has a zero-shot test accuracy "
        f"of {_over_seeds(zero_shot)}."
        for zero_shot, several in names.items()
    ]


def _below_chance(groups: Sequence[SeedGroup]) -> list[str]:
    """Report accuracies significantly below chance: such a network has learned which class to avoid."""
    sentences = []
    for group in groups:
        results = list(group.results.values())
        correct, n = round(sum(r.accuracy * r.n for r in results)), sum(r.n for r in results)
        chance = 1 / len(group.first.per_class)
        if binomial_test(correct, n, chance, "less") < ALPHA:
            sentence = (
                f"`{group.name}` has a test accuracy of {_over_seeds(group.accuracies)}, significantly below chance "
                f"({100 * chance:.3g} %): it has learned the classes, but avoids the true one."
            )
            if least := [r.argmin_accuracy for r in results if r.argmin_accuracy is not None]:
                sentence += f" Taking the least probable class as the prediction gives {_over_seeds(least)}."
            sentences.append(sentence)
    return sentences


def _estimates(groups: Sequence[SeedGroup]) -> list[str]:
    """Compare accuracies that were estimated without true labels with the test accuracy."""
    found = [(r.estimate, r.accuracy) for group in groups for r in group.results.values() if r.estimate]
    if not found:
        return []
    sentences = []
    for assumption, key, interval in (
        ("assuming that all of them are wrong", "accuracy", "interval"),
        ("allowing for labels that are correct", "adjusted_accuracy", "adjusted_interval"),
    ):
        bounds = [(*getattr(estimate, interval), accuracy) for estimate, accuracy in found]
        covered = sum(low <= accuracy <= high for low, high, accuracy in bounds)
        error = mean(getattr(estimate, key) - accuracy for estimate, accuracy in found)
        sentences.append(
            f"The accuracy estimated from complementary labels alone, {assumption}, differs from the test accuracy by "
            f"{100 * error:+.2f} points on average; its 95 % interval contains the test accuracy for {covered} of "
            f"{len(found)} networks."
        )
    return sentences


# ---- comparisons of initializations


def comparison_title(difference: InitializationDifference) -> str:
    """Name the two initializations in words.

    >>> comparison_title(InitializationDifference("digits", "random", (), ()))
    'Pretrained on the digits of Part 1, compared with random weights'
    """
    ours, baseline = (INITIALIZATION_TITLES.get(name, name) for name in (difference.name, difference.baseline))
    return f"{ours[0].upper()}{ours[1:]}, compared with {baseline}"


def _comparison(comparison: Comparison) -> list[str]:
    """Summarize a comparison: in how many measures the trainings differ, and whether the test accuracy does."""
    sentences = []
    for difference in comparison.differences:
        significant = [found for found in difference.measures if found.significant]
        named = [f"{BY_KEY[found.measure].title} ({_direction(found)})" for found in significant[:MAX_NAMED]]
        named += [f"{len(significant) - MAX_NAMED} more"] if len(significant) > MAX_NAMED else []
        title, ending = comparison_title(difference), f": {_listed(named)}." if named else "."
        sentence = (
            f"{title}: {len(significant) or 'none'} of {len(difference.measures)} measures "
            f"{'differs' if len(significant) == 1 else 'differ'} significantly{ending}"
        )
        of_test = [_verdict(found, difference) for found in difference.measures if found.measure == "test_accuracy"]
        sentences.append(" ".join([sentence, *of_test]))
        if efficiency := label_efficiency_verdict(comparison, difference):
            sentences.append(f"{title}. {efficiency}")
    return sentences


def _direction(found: MeasureDifference) -> str:
    return "higher" if found.difference > 0 else "lower"


def verdicts(difference: InitializationDifference, significant: bool | None = None) -> list[str]:
    """State for each measure whether two initializations differ significantly, one sentence each.

    Args:
        difference: the two initializations.
        significant: only measures that do (True) or do not differ (False); None for all.
    """
    chosen = [found for found in difference.measures if significant in (None, found.significant)]
    return [_verdict(found, difference) for found in chosen]


def _verdict(found: MeasureDifference, difference: InitializationDifference) -> str:
    measure = BY_KEY[found.measure]
    title, unit = f"{measure.title[0].upper()}{measure.title[1:]}", f" {measure.unit}" if measure.unit else ""
    outcome = "no significant difference"
    if found.significant:
        outcome = f"significantly {_direction(found)} from `{difference.name}` than from `{difference.baseline}`"
    low, high = (measure.write(bound, signed=True) for bound in found.interval)
    return (
        f"{title}: {outcome}; {measure.write(found.ours)} vs. {measure.write(found.baseline)}{unit}, difference "
        f"{measure.write(found.difference, signed=True)} (95 % interval {low} to {high}, corrected p = "
        f"{found.corrected_p:.2g}, {found.pairs} pairs)."
    )


def mcnemar_verdict(difference: InitializationDifference) -> str:
    """State in a sentence how many test images only one of two initializations gets right, seed by seed."""
    tests, name, baseline = difference.mcnemar, difference.name, difference.baseline
    corrected = holm([test.p_value for test in tests])
    significant = [test for test, p in zip(tests, corrected, strict=True) if p < ALPHA]
    better = sum(test.only_first > test.only_second for test in significant)
    ours, theirs = mean(test.only_first for test in tests), mean(test.only_second for test in tests)
    return (
        f"On average over {len(tests)} seeds, {ours:.1f} test images are classified correctly from `{name}` only, and "
        f"{theirs:.1f} from `{baseline}` only; McNemar's test is significant in favor of `{name}` for {better} of the "
        f"seeds and in favor of `{baseline}` for {len(significant) - better}."
    )


def label_efficiency_verdict(comparison: Comparison, difference: InitializationDifference) -> str | None:
    """State with how many images per class an initialization helps; None if that was not tried, or with one seed."""
    name, baseline = difference.name, difference.baseline
    values = {
        (one.name, one.images_per_class): [value for value in one.accuracy.values if value is not None]
        for one in comparison.label_efficiency
    }
    counts = sorted(count for owner, count in values if owner == name)
    if not counts or len(values[name, counts[0]]) < 2:
        return None
    tests = [paired_t_test(values[name, count], values[baseline, count]) for count in counts]
    corrected = holm([test.p_value for test in tests])
    outcomes: dict[str, list[str]] = {
        f"significantly higher from `{name}` than from `{baseline}` with": [],
        f"significantly lower from `{name}` than from `{baseline}` with": [],
        "not significantly different with": [],
    }
    higher, lower, similar = outcomes.values()
    for count, test, p in zip(counts, tests, corrected, strict=True):
        chosen = similar if p >= ALPHA else higher if test.difference > 0 else lower
        chosen.append(f"{count:,} ({100 * test.difference:+.2f} points, corrected p = {p:.2g})")
    clauses = [f"{outcome} {', '.join(found)}" for outcome, found in outcomes.items() if found]
    return f"Test accuracy by images per class: {'; '.join(clauses)}."
