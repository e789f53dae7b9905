"""Sentences from numbers: each is there when the numbers support it, and not when they do not."""

import pytest
from fabricate import compared

from midas.report.findings import conclude


def group(name, accuracies, part="part2", **result):
    same = {"scored": "mnist-test", "n": 10_000, "per_class": [{}] * 10, **result}
    return {"part": part, "name": name, "results": {s: {**same, "accuracy": a} for s, a in enumerate(accuracies)}}


def said(groups, comparisons=()):
    (found,) = conclude(groups, list(comparisons))
    return found["sentences"]


def test_one_training_is_named_with_its_spread():
    assert said([group("a", [0.99, 0.98])]) == [
        "a is right on so many of MNIST's test images: 98.50 ± 0.71 %, mean of 2 seeds."
    ]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([0.9901, 0.9906, 0.9899], "That is more than b,"),  # seed by seed lower by about a tenth of a point
        ([0.9905, 0.9920, 0.9909], "It cannot be told from b"),
        ([0.9909], "It cannot be told from b"),  # one seed: 9 of 10,000 images are chance
        ([0.9700], "That is more than b,"),
    ],
)
def test_trainings_are_told_apart_only_where_the_seeds_agree(others, words):
    (sentence,) = said([group("a", [0.9911, 0.9916, 0.9910]), group("b", others)])
    assert words in sentence


def test_nothing_is_said_of_other_images():
    (sentence,) = said([group("a", [0.99]), group("b", [0.5], n=496)])
    assert sentence.endswith("Nothing is said of b, which was scored on other images.")


def test_the_more_trainings_are_compared_the_more_it_takes():
    one = group("b", [0.9909, 0.9906, 0.9899])
    assert "more than b" in said([group("a", [0.9920, 0.9922, 0.9910]), one])[0]
    several = [group(f"c{number}", [0.9911, 0.9920, 0.9917]) for number in range(20)]
    assert "more than b" not in said([group("a", [0.9920, 0.9922, 0.9910]), one, *several])[0]


def test_less_than_guessing_proves_something():
    sentences = said([group("given", [0.0002], "part3", argmin_accuracy=0.98), group("chance", [0.098], "part3")])
    (below,) = [sentence for sentence in sentences if "less than guessing" in sentence]
    assert below.startswith("given is right on 0.02 %, one seed, less than guessing (10 %)")
    assert below.endswith("Read by its smallest output it is right on 98.00 %, one seed.")


def test_estimates_are_held_against_the_truth():
    estimate = {"accuracy": 0.98, "interval": [0.97, 0.985], "adjusted_accuracy": 0.992, "adjusted_interval": [0.98, 1]}
    plain, adjusted = said([group("a", [0.99], "part3", estimate=estimate)])[1:]
    assert "off by -1.00 points" in plain and "holds the test accuracy of 0 of 1" in plain
    assert "off by +0.20 points" in adjusted and "holds the test accuracy of 1 of 1" in adjusted


def test_what_was_known_before_training_is_told_if_it_is_more_than_chance():
    assert len(said([group("a", [0.99], zero_shot_accuracy=0.1)])) == 1
    told = said([group("a", [0.99], zero_shot_accuracy=0.9), group("b", [0.99], zero_shot_accuracy=0.1)])[1]
    assert told == "Before any training on these images, the network that a starts from is right on 90.00 %, one seed."
    both = [group(name, [0.99], zero_shot_accuracy=0.9) for name in "ab"]
    assert "the network that a and b start from is right" in said(both)[1]


def test_kinds_of_mistakes():
    kinds = {"case": 0.05, "look_alike": 0.03, "other": 0.02}
    sentences = said([group("a", [0.9], "part1", error_kinds=kinds)])
    assert sentences[1].startswith("Of the mistakes of a, 50 % have the wrong case only, 30 % are confusions within")


def test_a_comparison_is_summed_up_without_claiming_too_much(tmp_path):
    summary = compared(tmp_path)
    first, few = said([group("a", [0.99])], [summary])[1:]
    sure = [found for found in summary["differences"][0]["measures"] if found["sure"]]
    assert first.startswith(f"The digits of Part 1, against random weights: {len(sure)} of ")
    assert all(found["title"] in first for found in sure[:6]) and f"and {len(sure) - 6} more. Test accuracy" in first
    assert "Test accuracy: no difference can be shown" in first
    assert few.endswith(" By images a class: no difference can be shown with 3 (+0.00 points, corrected p = 1).")
