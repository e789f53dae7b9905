"""The first screen of the page: one chart per part, which shows the answer to its question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from midas.errors import counted
from midas.records import Comparison
from midas.report import plots
from midas.report.figures import Drawing, Figures, Gallery, RunFigures, draw
from midas.report.findings import initialization_pairs
from midas.report.groups import SeedGroup
from midas.report.titles import INITIALIZATION_TITLES, is_pretraining, rank

MAX_PAIRS, PAIR_IMAGES = 5, 4  # confused pairs on the first screen, and images of each


def chart(
    part: str,
    groups: Sequence[SeedGroup],
    comparisons: Sequence[Comparison],
    drawn: Mapping[str, RunFigures],
) -> Figures:
    """Draw the chart of a part.

    Args:
        part: as `titles.section_of` names it.
        groups: all finished runs, those of other parts included.
        comparisons: of initializations.
        drawn: figures of the first run of a group, by the group's title, where its predictions can be read.
    """
    ours = [group for group in groups if group.part == part]
    if part == "part2":
        return [_learning(ours, [one for one in comparisons if one.part == part])]
    if part == "part3":
        return [_wrong_labels(ours, groups)]
    return _accuracy(ours, drawn)


def _dot(group: SeedGroup, is_first: bool = True) -> plots.Dot:
    values = group.accuracies
    interval = (min(values), max(values)) if len(values) > 1 else group.first.accuracy_interval
    return plots.Dot(group.title, group.accuracy, interval, is_first)


def _intervals(groups: Sequence[SeedGroup]) -> str:
    """Say what the lines beside the dots are."""
    if all(len(group.results) == 1 for group in groups):
        return "Lines are 95 % intervals."
    return "Dots are means over seeds, lines the lowest and highest seed (one seed: its 95 % interval)."


def _accuracy(groups: Sequence[SeedGroup], drawn: Mapping[str, RunFigures]) -> Figures:
    """Show how accurate each network is, and the images that the best one confuses."""
    ordered = sorted(groups, key=lambda group: -group.accuracy)
    alt = "; ".join(f"{group.title} {100 * group.accuracy:.1f} %" for group in ordered)
    images = "drawings" if groups[0].part == "part1" else "images"
    caption = f"Correctly recognized {images}. {_intervals(groups)}"
    figures: Figures = [draw(plots.dots([_dot(group) for group in ordered], {}), f"Accuracy: {alt}", caption)]
    best = drawn.get(ordered[0].title)
    if best and best.pairs:
        rows = [(title, tiles[:PAIR_IMAGES]) for title, tiles in best.pairs.rows[:MAX_PAIRS]]
        network = f"the {ordered[0].title}" if images == "drawings" else ordered[0].title
        figures.append(Gallery(rows, f"What {network} confuses most."))
    return figures


def _learning(groups: Sequence[SeedGroup], comparisons: Sequence[Comparison]) -> Drawing:
    """Show the learning curves of pretrained and random weights, those of a comparison if there is one."""
    if comparisons:
        most = max(comparisons, key=lambda one: len(one.seeds))
        found = [(plots.curves_of_initialization(each), len(most.seeds)) for each in most.initializations[:2]]
        curves = [(replace(each, name=INITIALIZATION_TITLES.get(each.name, each.name)), n) for each, n in found]
    else:
        pairs = initialization_pairs(groups)
        main = [group for group in groups if not is_pretraining(group.experiment)] or groups
        shown = list(reversed(pairs[0])) if pairs else main
        of_runs = [(plots.curves_of_runs(each.title, list(each.epochs.values())), len(each.results)) for each in shown]
        curves = [(each, n) for each, n in of_runs if each]
    named = [replace(each, name=f"{each.name}, {counted(n, 'seed')}") for each, n in curves]
    alt = f"Validation error during training: {'; '.join(each.name for each in named)}"
    spread = spread_of([n for _, n in curves])
    caption = f"Share of validation images that are misclassified in the course of training. {spread}"
    return draw(plots.compare_curves(named), alt, caption)


def spread_of(seeds: Sequence[int]) -> str:
    """Say what the lines and bands of learning curves are, by the number of seeds of each."""
    if max(seeds, default=1) == 1:
        return "One seed each, so there are no bands."
    return "Lines are means and bands the range over seeds."


def _wrong_labels(groups: Sequence[SeedGroup], everything: Sequence[SeedGroup]) -> Drawing:
    """Show all runs as dots between 0 and 100 %, with chance and what true labels give."""
    first = groups[0].first
    marks = {"chance": 1 / len(first.per_class)}
    with_truth = [
        group
        for group in everything
        if group.part == "part2" and (group.first.scored, group.first.n) == (first.scored, first.n)
    ]
    if with_truth:
        marks["trained on true labels"] = max(group.accuracy for group in with_truth)
    ordered = sorted(groups, key=lambda group: rank(group.experiment))
    rows = [_dot(group, group.experiment.is_complementary) for group in ordered]
    alt = "; ".join(f"{row.name} {100 * row.value:.1f} %" for row in rows)
    caption = f"Correctly recognized test images after training on wrong labels. {_intervals(groups)}"
    return draw(plots.dots(rows, marks), f"Test accuracy: {alt}", caption)
