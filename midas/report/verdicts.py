"""Comparisons of initializations in sentences and tables; a difference is claimed only where a test supports it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from statistics import mean

from midas.errors import counted
from midas.metrics.significance import ALPHA, holm, paired_t_test
from midas.records import Comparison, InitializationDifference, MeasureDifference, Spread
from midas.report.comparison import BY_KEY, MEASURES, Measure
from midas.report.tables import Column, folded, text_table
from midas.report.titles import INITIALIZATION_TITLES, capitalized


def comparison_title(difference: InitializationDifference) -> str:
    """Name the two initializations in words.

    >>> comparison_title(InitializationDifference("digits", "random", (), ()))
    'Pretrained on the digits of Part 1, compared with random weights'
    """
    ours, baseline = (INITIALIZATION_TITLES.get(name, name) for name in (difference.name, difference.baseline))
    return f"{capitalized(ours)}, compared with {baseline}"


def verdicts(difference: InitializationDifference, significant: bool | None = None) -> list[str]:
    """State for each measure whether two initializations differ significantly, one sentence each.

    Args:
        difference: the two initializations.
        significant: only measures that do (True) or do not differ (False); None for all.
    """
    chosen = [found for found in difference.measures if significant in (None, found.significant)]
    return [verdict(found, difference.name, difference.baseline) for found in chosen]


def verdict(found: MeasureDifference, name: str, baseline: str) -> str:
    """State whether a measure differs significantly between two trainings, which have these names."""
    measure = BY_KEY[found.measure]
    title, unit = capitalized(measure.title), f" {measure.unit}" if measure.unit else ""
    outcome = "no significant difference"
    if found.significant:
        direction = "higher" if found.difference > 0 else "lower"
        outcome = f"significantly {direction} from `{name}` than from `{baseline}`"
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


def summarize(comparison: Comparison) -> list[str]:
    """Summarize a comparison: how many measures differ, whether the test accuracy does, and with few images."""
    sentences = []
    for difference in comparison.differences:
        significant = [found for found in difference.measures if found.significant]
        title, count = comparison_title(difference), len(significant)
        sentence = (
            f"{title} ({len(comparison.seeds)} seeds): {count or 'none'} of {len(difference.measures)} measures "
            f"{'differs' if count == 1 else 'differ'} significantly."
        )
        of_test = [
            verdict(found, difference.name, difference.baseline)
            for found in difference.measures
            if found.measure == "test_accuracy"
        ]
        sentences.append(" ".join([sentence, *of_test]))
        if efficiency := label_efficiency_verdict(comparison, difference):
            sentences.append(f"{title}. {efficiency}")
    return sentences


# ---- tables


def comparison_columns(comparison: Comparison) -> list[Column]:
    """List the columns of `comparison_rows`: what is measured, and one for each initialization."""
    initializations = (Column(one.name, one.name) for one in comparison.initializations)
    return [Column("mean ± standard deviation", "measure", text=True), *initializations]


def comparison_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Write a comparison as cells: a row for each measure that any initialization has, by the keys of the columns."""
    everything, seeds = comparison.initializations, len(comparison.seeds)
    rows = []
    for measure in MEASURES:
        spreads = {one.name: one.measures.get(measure.key) for one in everything}
        title = f"{measure.title}, {measure.unit}" if measure.unit in ("%", "s") else measure.title
        rows.append({"measure": title, **_spread_cells(spreads, measure, seeds)})
    recall = Measure("recall", "recall", "%")
    for name in dict.fromkeys(itertools.chain.from_iterable(one.zero_shot for one in everything)):
        spreads = {one.name: one.zero_shot.get(name) for one in everything}
        rows.append({"measure": f"zero-shot recall of class {name}, %", **_spread_cells(spreads, recall, seeds)})
    accuracy = Measure("accuracy", "test accuracy", "%")
    for count in sorted({one.images_per_class for one in comparison.label_efficiency}):
        found = [one for one in comparison.label_efficiency if one.images_per_class == count]
        title = f"test accuracy with {counted(count, 'image')} per class, %"
        rows.append({"measure": title, **_spread_cells({one.name: one.accuracy for one in found}, accuracy, seeds)})
    return [row for row in rows if len(row) > 1]


def _spread_cells(spreads: Mapping[str, Spread | None], measure: Measure, seeds: int) -> dict[str, str]:
    """Write those spreads that have a mean; where not every seed has the measure, with how many have."""
    cells = {}
    for name, spread in spreads.items():
        if spread is None or spread.mean is None:
            continue
        cells[name] = measure.write(spread.mean)
        if spread.standard_deviation is not None:
            cells[name] += f" ± {measure.write(spread.standard_deviation)}"
        if spread.n != seeds:
            cells[name] += f" ({spread.n} of {seeds})"
    return cells


def comparison_table(comparison: Comparison, width: int | None = None) -> str:
    """Render a comparison, with the results of the statistical tests below the table."""
    lines = [text_table(comparison_columns(comparison), comparison_rows(comparison), keep_empty=True, width=width)]
    for difference in comparison.differences:
        lines += ["", f"{comparison_title(difference)}:", *verdicts(difference)]
        lines.append(mcnemar_verdict(difference))
        efficiency = label_efficiency_verdict(comparison, difference)
        lines += [efficiency] if efficiency else []
    lines += [*([""] if comparison.notes else []), *comparison.notes]
    return "\n".join([lines[0], *(folded(line, width) for line in lines[1:])])
