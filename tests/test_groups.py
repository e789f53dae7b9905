"""Differences between groups of seeds: which test is used, and that it is not run on what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest
from fabricate import result

from midas.metrics.significance import mcnemar, paired_t_test
from midas.recipes import PARTS
from midas.report.groups import Scored, SeedGroup, correct_for_number, differ, over_seeds


def group(accuracies, seeds=None, images="same", n=200):
    seeds = seeds or range(len(accuracies))
    results = {seed: result(n=n, seed=seed, accuracy=value) for seed, value in zip(seeds, accuracies, strict=True)}
    scored = {seed: Scored(images, np.arange(n) >= round((1 - one.accuracy) * n)) for seed, one in results.items()}
    return SeedGroup("title", PARTS["part2"], results, scored=scored)


def test_three_shared_seeds_are_tested_by_the_paired_t_test():
    ours, theirs = group([0.9, 0.92, 0.91, 0.5]), group([0.8, 0.81, 0.83])
    found = differ(ours, theirs)
    assert found.over_seeds and found.seeds == 3
    assert found.p_value == paired_t_test([0.9, 0.92, 0.91], [0.8, 0.81, 0.83]).p_value


def test_fewer_seeds_are_tested_by_mcnemar_on_the_same_images():
    ours, theirs = group([0.9]), group([0.85])
    found = differ(ours, theirs)
    assert not found.over_seeds and found.value == pytest.approx(0.05) and found.seeds == 1
    assert found.p_value == mcnemar(ours.scored[0].correct, theirs.scored[0].correct).p_value
    both = differ(group([0.9, 0.95]), group([0.85, 0.94]))
    assert both.seeds == 2 and both.p_value == pytest.approx(0.5)  # the larger of the two: two images of difference
    assert not differ(group([0.9], seeds=[1]), theirs).over_seeds


@pytest.mark.parametrize(
    "theirs", [group([0.8], n=100), group([0.8], images="others"), replace(group([0.8]), scored={})]
)
def test_what_was_not_scored_on_the_same_images_is_not_compared(theirs):
    assert differ(group([0.9]), theirs) is None


def test_neither_are_several_seeds_that_were_scored_on_other_images():
    ours, theirs = [0.9, 0.92, 0.91], [0.8, 0.81, 0.83]
    assert differ(group(ours), group(theirs, images="others")) is None
    assert differ(group(ours), replace(group(theirs), scored={})).over_seeds  # which need not be known


def test_verdicts_say_what_was_tested():
    assert "on the same 200 images" in differ(group([0.9]), group([0.5])).verdict()
    assert differ(group([0.9]), group([0.5])).verdict().endswith("seeds were not varied")
    assert differ(group([0.9]), group([0.9])).verdict().startswith("not significant")
    few = differ(group([0.9, 0.9]), group([0.5, 0.5]))
    assert few.verdict().endswith("2 seeds are too few for a test over seeds")


def test_several_differences_are_corrected():
    one = differ(group([0.9]), group([0.87]))
    assert one.significant and not any(each.significant for each in correct_for_number([one] * 9))


def test_spreads_are_written_with_their_seeds():
    assert over_seeds([0.5]) == "50.00 %" and over_seeds([0.5, 0.6, 0.7]) == "60.00 ± 10.00 % (3 seeds)"
