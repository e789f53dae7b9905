"""Conclusions: each is there when the numbers support it, and not when they do not."""

from dataclasses import replace

import numpy as np
import pytest
from fabricate import compared, result

from midas.metrics.classification import ClassScores, ConfusedPair, ErrorKinds
from midas.metrics.complementary import AccuracyEstimate
from midas.recipes import INITIALIZATIONS, PARTS, named
from midas.records import EpochRecord
from midas.report.findings import conclude
from midas.report.groups import Scored, SeedGroup
from midas.report.titles import run_title

N = 10_000
PER_CLASS = tuple(ClassScores(str(digit), 1000, 0.9, 0.9, 0.9) for digit in range(10))
SEEDS = "seeds were not varied"


def right(accuracy, n=N, shift=0):
    """Give which of n images are classified correctly; a shift moves the errors to other images."""
    return np.roll(np.arange(n) >= round((1 - accuracy) * n), shift)


def group(part, accuracies, init="random", loss=None, first_epoch=0.9, zero_shot=None, shift=0, images=6000, **changes):
    """Make runs of a part, one per seed, which are scored on the same images."""
    of_init = INITIALIZATIONS["random" if init == "random" else "part1" if part == "part3" else "digits"]
    changes_of_loss = {name: value for name, value in (("loss", loss), ("rounds", 0)) if hasattr(PARTS[part], name)}
    experiment = replace(PARTS[part], **of_init, **(changes_of_loss if loss else {}))
    experiment = named(experiment) if experiment.test or part == "part1" else experiment
    scored = {"part1": "validation", "digits": "validation"}.get(part, "mnist-test")
    about = {"n": N, "per_class": PER_CLASS, "part": experiment.part, "name": experiment.name, "scored": scored}
    results, epochs, correct = {}, {}, {}
    for seed, accuracy in enumerate(accuracies):
        before = {} if zero_shot is None else {"zero_shot_accuracy": zero_shot[seed]}
        results[seed] = result(seed=seed, **{**about, "accuracy": accuracy, **before, **changes})
        levels = (first_epoch + 0.001 * seed, accuracy)
        epochs[seed] = [
            EpochRecord(epoch, val_loss=1 - level, val_accuracy=level, steps=10 * epoch, epoch_seconds=1.0)
            for epoch, level in enumerate(levels, 1)
        ]
        correct[seed] = Scored("the same", right(accuracy, results[seed].n, shift))
    return SeedGroup(run_title(experiment), experiment, results, epochs, correct, images)


def one(groups, comparisons=()):
    (found,) = conclude(groups, list(comparisons))
    return found


# ---- Part 1: how well, and what is confused


def test_part_1_says_how_well_and_what_is_confused():
    pairs = (ConfusedPair("O", "0", 9, 0.5), ConfusedPair("l", "I", 5, 0.3))
    kinds = (ErrorKinds(case=0.05, look_alike=0.03, other=0.02),)
    best = replace(group("part1", [0.9], case_merged_accuracy=0.95), confused_pairs=pairs, error_kinds=kinds)
    found = one([best])
    low, high = best.first.accuracy_interval
    assert found.headline == (
        f"The compact network recognizes 90.00 % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of 10,000 "
        "images set aside before training, among 10 classes; most often it takes O for 0 and l for I."
    )
    assert found.sentences[0] == "If upper and lower case count as the same, it is 95.00 %."
    assert "50 % confuse only upper and lower case, 30 % are other confusions" in found.sentences[1]
    perfect = one([group("part1", [1.0], case_merged_accuracy=None)])
    assert "takes" not in perfect.headline and perfect.sentences == ()


def networks(ours, theirs, **changes):
    deep = group("part1", theirs, case_merged_accuracy=None, **changes)
    experiment = named(replace(deep.experiment, model="deep"))
    deep = replace(deep, experiment=experiment, title=run_title(experiment))
    return one([group("part1", ours, case_merged_accuracy=None), deep]).sentences


def test_with_one_seed_networks_are_compared_over_the_same_images_and_no_more_is_claimed():
    (sentence,) = networks([0.95], [0.90])
    assert sentence.startswith("The deep network reaches 90.00 %; the difference is significant on the same 10,000")
    assert "McNemar's test" in sentence and sentence.endswith(f"; {SEEDS}.")
    assert " seeds (" not in sentence and "t-test" not in sentence
    (sentence,) = networks([0.9002], [0.9000])
    assert "not significant on the same 10,000 images" in sentence and SEEDS in sentence


def test_the_test_over_images_is_paired():
    """Nearly equal accuracies differ significantly if all differences favor one; equal ones on other images do not."""
    (nested,) = networks([0.9010], [0.9000])
    assert "the difference is significant" in nested  # ten images against none
    (disjoint,) = networks([0.9010], [0.9000], shift=N // 2)
    assert "the difference is not significant" in disjoint  # 1,000 against 990


def test_three_seeds_are_tested_over_seeds():
    (with_difference,) = networks([0.95, 0.951, 0.949], [0.90, 0.902, 0.898])
    assert "the difference is significant over 3 seeds (paired t-test" in with_difference
    (without,) = networks([0.95, 0.951, 0.949], [0.948, 0.952, 0.9485])
    assert "the difference is not significant over 3 seeds (paired t-test" in without
    assert SEEDS not in with_difference + without and "McNemar" not in with_difference + without


def test_two_seeds_are_too_few_for_a_test_over_seeds_and_must_agree():
    (agreeing,) = networks([0.95, 0.95], [0.90, 0.91])
    assert "is significant on the same 10,000 images" in agreeing and "2 seeds are too few" in agreeing
    (contrary,) = networks([0.95, 0.90], [0.90, 0.93])
    assert "not significant" in contrary


def test_trainings_on_other_images_or_without_predictions_are_not_compared():
    assert "it is not compared" in networks([0.99], [0.5], n=496)[0]
    lost = replace(group("part1", [0.5], case_merged_accuracy=None), scored={}, title="other network")
    assert "it is not compared" in one([group("part1", [0.9], case_merged_accuracy=None), lost]).sentences[0]


def test_the_more_trainings_are_compared_the_more_evidence_it_takes():
    accuracies, close = [0.9920, 0.9922, 0.9910], [0.9909, 0.9906, 0.9899]
    assert "is significant" in networks(accuracies, close)[0]
    best = group("part1", accuracies, case_merged_accuracy=None)
    others = [
        replace(group("part1", close if k == 0 else [0.9911, 0.9920, 0.9917], case_merged_accuracy=None), title=str(k))
        for k in range(20)
    ]
    assert not any("difference is significant" in sentence for sentence in one([best, *others]).sentences)


# ---- Part 2: pretrained against random weights


def test_part_2_compares_pretrained_with_random_weights_and_not_the_helper():
    helper = group("digits", [1.0], n=80)
    found = one([helper, group("part2", [0.9956]), group("part2", [0.9933], "pretrained", first_epoch=0.97)])
    assert found.headline == (
        "After training, a network pretrained on the digits of Part 1 recognizes 99.33 % of 10,000 test images, one "
        "from random weights 99.56 % (validation accuracy after the first epoch: 97.00 vs. 90.00 %); the difference is "
        "significant on "
        f"the same 10,000 images (McNemar's test, p = 2.4e-07); {SEEDS}."
    )
    assert "100.00 %" not in found.headline
    text = " ".join(found.sentences)
    assert "macro F1" in text and "log loss" in text and "calibration error" in text and "not tested" in text
    assert "provides the pretrained weights; it recognizes 100.00 % of 80 images" in text
    assert "no part of the comparison" in text


def test_part_2_with_three_seeds_and_a_difference():
    random = group("part2", [0.990, 0.991, 0.992])
    found = one([random, group("part2", [0.994, 0.9951, 0.996], "pretrained", first_epoch=0.97)])
    assert found.headline == (
        "A network pretrained on the digits of Part 1 learns not significantly faster or more slowly than one from "
        "random weights (97.10 vs. 90.10 % validation accuracy after the first epoch), and ends more accurate (99.50 "
        "vs. 99.10 % of the test images); mean of 3 seeds."
    )  # the first epochs differ by exactly the same amount, for which three seeds are no evidence in a sign test
    five = [group("part2", [0.99] * 5), group("part2", [0.99] * 5, "pretrained")]
    for each, step in zip(five, (0, 0.05), strict=True):
        for seed, records in each.epochs.items():
            records[0] = replace(records[0], val_accuracy=0.9 + step + 0.001 * (seed % 3) * (1 + step))
    found = one(five)
    assert "learns faster than one from random weights" in found.headline
    assert "ends with no significant difference" in found.headline and SEEDS not in found.headline


def test_part_2_with_three_seeds_and_no_difference():
    random = group("part2", [0.990, 0.991, 0.992])
    found = one([random, group("part2", [0.9905, 0.9902, 0.9925], "pretrained", first_epoch=0.9)])
    assert "ends with no significant difference" in found.headline and "learns not significantly" in found.headline
    assert sum("no significant difference" in sentence for sentence in found.sentences) == 6


def test_part_2_without_a_pair_does_not_compare():
    found = one([group("part2", [0.99])])
    assert "cannot be compared" in found.headline and "random weights recognizes 99.00 %" in found.headline
    assert "images set aside" in one([group("digits", [0.9])]).headline


def test_a_comparison_of_many_seeds_answers_before_single_runs():
    found = one([group("part2", [0.99]), group("part2", [0.5], "pretrained")], [compared()])
    assert found.headline.startswith("A network pretrained on the digits of Part 1 learns faster than")
    assert "ends with no significant difference" in found.headline and found.headline.endswith("mean of 5 seeds.")
    (difference,) = compared().differences
    count = sum(each.significant for each in difference.measures)
    (sentence,) = [
        each
        for each in found.sentences
        if each.startswith("Pretrained on the digits of Part 1, compared") and "differ significantly" in each
    ]
    assert (
        f"(5 seeds): {count} of {len(difference.measures)} measures differ significantly. Test accuracy: no" in sentence
    )
    assert "not significantly different with 3 (+0.00 points, corrected p = 1)." in found.sentences[-1]


def test_zero_shot_accuracy_is_reported_where_it_is_above_chance():
    pair = [group("part2", [0.99], zero_shot=[0.1]), group("part2", [0.99], "pretrained", zero_shot=[0.9])]
    (sentence,) = [each for each in one(pair).sentences if "zero-shot" in each]
    assert "the network pretrained on the digits of Part 1 recognizes 90.00 % of the test images" in sentence


# ---- Part 3: wrong labels


def part3(random=0.3556, pretrained=0.4267, before=0.7867, seeds=1, spread=0.002):
    def several(accuracy):
        return [accuracy + spread * seed for seed in range(seeds)]

    zero_shot = [before - spread * seed for seed in range(seeds)]
    return [
        group("part3", several(0.0289), loss="cross-entropy", argmin_accuracy=0.24),
        group("part3", several(random), loss="complementary", argmin_accuracy=0.0, images=1347),
        group("part3", several(0.0089), "pretrained", "cross-entropy", zero_shot=zero_shot, argmin_accuracy=0.37),
        group("part3", several(pretrained), "pretrained", "complementary", zero_shot=zero_shot, images=1347),
    ]


@pytest.mark.parametrize("seeds", [1, 3])
def test_part_3_says_what_both_ways_give_and_that_training_harmed(seeds):
    found = one(part3(seeds=seeds))
    shown = "42.67 %" if seeds == 1 else "42.87 ± 0.20 % (3 seeds)"
    random = "35.56 %" if seeds == 1 else "35.76 ± 0.20 % (3 seeds)"
    assert (
        f"takes them as complementary labels recognizes {random} (random weights) and {shown} (pretrained on"
        in found.headline
    )
    assert "takes them as correct recognizes 2.89 % (random weights)" in found.headline or seeds > 1
    assert "chance is 10 %" in found.headline
    before = "78.67 %" if seeds == 1 else "78.47 ± 0.20 % (3 seeds)"
    assert f"Training harmed the network pretrained on Part 1: {before} before, {shown} after" in (found.headline)
    (why,) = [each for each in found.sentences if "harmed" in each and "complementary" in each]
    assert "rules out only one of 10 classes" in why and "1,347 images say less than the network knew before" in why
    (why,) = [each for each in found.sentences if "harmed" in each and "taken as correct" in each]
    assert "teach a network to avoid the true class" in why
    (pair,) = [
        each
        for each in found.sentences
        if each.startswith("Complementary labels, pretrained on Part 1 vs. complementary labels, random weights")
    ]
    assert (SEEDS in pair) == (seeds == 1) and ("over 3 seeds" in pair) == (seeds == 3)


def test_part_3_claims_no_harm_where_there_is_none():
    found = one(part3(random=0.98, pretrained=0.985))
    assert "harmed" not in found.headline
    assert any("Training improved the network pretrained" in each for each in found.sentences)
    similar = one(part3(pretrained=0.7860))  # 7 of 10,000 images fewer
    assert "harmed" not in similar.headline
    slightly_better = one(part3(pretrained=0.7880))  # 13 more: no evidence of an improvement either
    assert not any("improved" in each for each in slightly_better.sentences)


def test_harm_is_not_explained_by_too_few_labels_where_random_weights_learn_from_them():
    (why,) = [each for each in one(part3(random=0.9)).sentences if "harmed" in each and "(complementary" in each]
    assert "say less" not in why


def test_an_accuracy_below_chance_is_reported():
    below = group("part3", [0.0002], loss="cross-entropy", argmin_accuracy=0.98)
    (sentence,) = [each for each in one([below]).sentences if "fewer than chance" in each]
    assert "the network recognizes 0.02 % of the test images, significantly fewer than chance (10 %)" in sentence
    assert sentence.endswith("Taking the least probable class as the prediction gives 98.00 %.")
    assert not any("fewer than chance" in each for each in one([group("part3", [0.098])]).sentences)


def test_a_comparison_without_random_weights_does_not_claim_any():
    comparison = compared()
    (difference,) = comparison.differences
    other = replace(comparison, differences=(replace(difference, name="part1", baseline="digits"),))
    found = one([group("part2", [0.99])], [other])
    assert "random weights cannot be compared" in found.headline
    assert any("compared with pretrained on the digits" in each for each in found.sentences)


def test_estimates_are_compared_with_the_test_accuracy():
    estimate = AccuracyEstimate(6000, 0.98, (0.97, 0.985), 0.001, 0.992, (0.98, 1.0))
    plain, adjusted = one([group("part3", [0.99], estimate=estimate)]).sentences
    assert "by -1.00 points on average" in plain and "contains the test accuracy for 0 of 1" in plain
    assert "by +0.20 points on average" in adjusted and "contains the test accuracy for 1 of 1" in adjusted


def test_each_part_has_its_own_conclusions_and_the_sample_is_not_called_mnist():
    found = conclude([group("part1", [0.9]), group("part2", [0.9])], [])
    assert [each.part for each in found] == ["part1", "part2"] and found[1].title == "Part 2: MNIST"
    for part in ("part2", "part3"):
        on_sample = one([group(part, [0.9], sample=True)])
        assert "MNIST" not in " ".join([on_sample.title, on_sample.headline, *on_sample.sentences])
        assert "scikit-learn's digits" in on_sample.title
