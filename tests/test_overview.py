"""The charts of the first screen."""

from dataclasses import replace

from fabricate import compared, epochs, result

from midas.recipes import INITIALIZATIONS, PARTS, named
from midas.report.figures import Drawing, Gallery, RunFigures
from midas.report.groups import SeedGroup
from midas.report.overview import chart
from midas.report.sheets import Tile
from midas.report.titles import run_title

ROUNDS = {"rounds": 0} if hasattr(PARTS["part3"], "rounds") else {}


def group(part, accuracies, **changes):
    experiment = named(replace(PARTS[part], **changes))
    results = {seed: result(accuracy=value, part=part) for seed, value in enumerate(accuracies)}
    return SeedGroup(run_title(experiment), experiment, results, {seed: epochs() for seed in results})


def test_part_1_shows_accuracies_and_the_images_that_the_best_network_confuses():
    groups = [group("part1", [0.8]), group("part1", [0.9], model="deep")]
    rows = [(str(row), [Tile("s", 0, 0, 28, (), "alt")] * 8) for row in range(6)]
    pairs = Gallery(rows, "caption")
    dots, shown = chart("part1", groups, [], {"deep network": RunFigures([pairs], pairs)})
    assert isinstance(dots, Drawing) and dots.alt == "Accuracy: deep network 90.0 %; compact network 80.0 %"
    assert len(shown.rows) == 5 and all(len(tiles) == 4 for _, tiles in shown.rows)
    assert "What the deep network confuses most" in shown.caption
    assert len(chart("part1", groups, [], {})) == 1


def test_part_2_shows_the_curves_of_both_initializations_and_not_the_helper():
    helper = replace(group("part2", [1.0]), experiment=PARTS["digits"], title="pretraining")
    groups = [helper, group("part2", [0.9]), group("part2", [0.9], **INITIALIZATIONS["digits"])]
    (curves,) = chart("part2", groups, [], {})
    assert curves.alt.endswith("random weights, 1 seed; pretrained on the digits of Part 1, 1 seed")
    assert "no bands" in curves.caption
    (several,) = chart("part2", groups, [compared()], {})
    assert several.alt.endswith("random weights, 5 seeds; pretrained on the digits of Part 1, 5 seeds")
    assert "bands the range over seeds" in several.caption


def test_part_3_marks_chance_and_what_true_labels_give():
    groups = [
        group("part2", [0.99]),
        group("part3", [0.02], loss="cross-entropy", **ROUNDS),
        group("part3", [0.7, 0.8]),
    ]
    (dots,) = chart("part3", groups, [], {})
    assert "chance, 10 %" in dots.svg and "trained on true labels, 99 %" in dots.svg
    assert dots.alt.startswith("Test accuracy: labels taken as correct, random weights 2.0 %; progressive")
    assert "lowest and highest seed" in dots.caption
    (alone,) = chart("part3", groups[1:], [], {})
    assert "true labels" not in alone.svg
