"""Conclusions: each is there when the numbers support it, and not when they do not."""

import pytest
from fabricate import compared, initialized, result

from midas.metrics.classification import ClassScores, ErrorKinds
from midas.metrics.complementary import AccuracyEstimate
from midas.report import comparison
from midas.report.findings import SeedGroup, conclude, label_efficiency_verdict, mcnemar_verdict, verdicts

PER_CLASS = tuple(ClassScores(str(digit), 1000, 0.9, 0.9, 0.9) for digit in range(10))


def group(name, accuracies, part="part2", error_kinds=(), **changes):
    same = {"n": 10_000, "per_class": PER_CLASS, "part": part, "name": name, **changes}
    results = {seed: result(seed=seed, **same, accuracy=accuracy) for seed, accuracy in enumerate(accuracies)}
    return SeedGroup(part, name, results, error_kinds)


def sentences(groups, comparisons=()):
    (found,) = conclude(groups, list(comparisons))
    return list(found.sentences)


def test_one_training_is_named_with_its_spread():
    assert sentences([group("a", [0.99, 0.98])]) == ["The test accuracy of `a` is 98.50 ± 0.71 % (2 seeds)."]
    (sentence,) = sentences([group("a", [0.99], scored="validation")])
    assert sentence == "The validation accuracy of `a` is 99.00 % (1 seed)."


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([0.9901, 0.9906, 0.9899], "significant"),  # about a tenth of a point lower with each seed
        ([0.9905, 0.9920, 0.9909], "not significant"),
        ([0.9909], "not significant"),  # one seed: a difference of 2 of 10,000 images
        ([0.9700], "significant"),
    ],
)
def test_trainings_differ_significantly_only_where_the_seeds_agree(others, verdict):
    (sentence,) = sentences([group("a", [0.9911, 0.9916, 0.9910]), group("b", others)])
    start = "`a` has the highest test accuracy, 99.12 ± 0.03 % (3 seeds)"
    assert sentence == f"{start}; the difference from `b` is {verdict}."


def test_trainings_on_other_images_are_not_compared():
    (sentence,) = sentences([group("a", [0.99]), group("b", [0.5], n=496)])
    assert sentence.endswith("; no comparison with `b`, which was evaluated on other images.")


def test_the_more_trainings_are_compared_the_more_evidence_it_takes():
    one = group("b", [0.9909, 0.9906, 0.9899])
    assert "from `b` is significant" in sentences([group("a", [0.9920, 0.9922, 0.9910]), one])[0]
    several = [group(f"c{number}", [0.9911, 0.9920, 0.9917]) for number in range(20)]
    (sentence,) = sentences([group("a", [0.9920, 0.9922, 0.9910]), one, *several])
    assert "`b` and" not in sentence.partition("are not significant")[2] and "; the differences from `c0`" in sentence
    assert "significant" not in sentence.replace("not significant", "")


def test_an_accuracy_below_chance_is_reported():
    below = group("cross-entropy", [0.0002], "part3", argmin_accuracy=0.98)
    found = sentences([below, group("chance", [0.098], "part3")])
    (sentence,) = [sentence for sentence in found if "below chance" in sentence]
    assert sentence.startswith(
        "`cross-entropy` has a test accuracy of 0.02 % (1 seed), significantly below chance (10 %)"
    )
    assert sentence.endswith("Taking the least probable class as the prediction gives 98.00 % (1 seed).")


def test_estimates_are_compared_with_the_test_accuracy():
    estimate = AccuracyEstimate(6000, 0.98, (0.97, 0.985), 0.001, 0.992, (0.98, 1.0))
    plain, adjusted = sentences([group("a", [0.99], "part3", estimate=estimate)])[1:]
    assert "by -1.00 points on average" in plain and "contains the test accuracy for 0 of 1" in plain
    assert "by +0.20 points on average" in adjusted and "contains the test accuracy for 1 of 1" in adjusted


def test_zero_shot_accuracy_is_reported_where_it_is_above_chance():
    assert len(sentences([group("a", [0.99], zero_shot_accuracy=0.1)])) == 1
    found = sentences([group("a", [0.99], zero_shot_accuracy=0.9), group("b", [0.99], zero_shot_accuracy=0.1)])[1]
    start = "Before any training on these images, the initialization of"
    assert found == f"{start} `a` has a zero-shot test accuracy of 90.00 % (1 seed)."
    both = [group(name, [0.99], zero_shot_accuracy=0.9) for name in "ab"]
    assert f"{start} `a` and `b` has" in sentences(both)[1]


def test_errors_are_divided_into_kinds():
    kinds = (ErrorKinds(case=0.05, look_alike=0.03, other=0.02),)
    found = sentences([group("a", [0.9], "part1", error_kinds=kinds)])
    assert found[1].startswith(
        "Of the errors of `a`, 50 % confuse only upper and lower case, 30 % are other confusions"
    )
    assert len(sentences([group("a", [0.9], "part1")])) == 1
    assert len(sentences([group("a", [1.0], "part1", error_kinds=(ErrorKinds(0, 0, 0),))])) == 1


def test_each_part_has_its_own_conclusions():
    found = conclude([group("a", [0.9], "part1"), group("b", [0.9])], [])
    assert [one.part for one in found] == ["part1", "part2"] and found[1].title == "Part 2: MNIST"


def test_a_comparison_is_summarized_without_claiming_too_much():
    found = compared()
    first, efficiency = sentences([group("a", [0.99])], [found])[1:]
    (difference,) = found.differences
    significant = [one for one in difference.measures if one.significant]
    assert first.startswith(f"Pretrained on the digits of Part 1, compared with random weights: {len(significant)} of ")
    titles = [comparison.BY_KEY[one.measure].title for one in significant]
    assert all(title in first for title in titles[:6]) and f"and {len(significant) - 6} more. Test accuracy" in first
    assert "Test accuracy: no significant difference" in first
    ending = "Test accuracy by images per class: not significantly different with 3 (+0.00 points, corrected p = 1)."
    assert efficiency.endswith(ending)


def test_verdicts_state_what_differs_and_what_does_not():
    (difference,) = compared().differences
    text = " ".join([*verdicts(difference), mcnemar_verdict(difference)])
    assert "accuracy after the first epoch: significantly higher from `digits` than from `random`; 8" in text
    assert "Test accuracy: no significant difference; 97.0" in text
    assert "Training time: no significant difference; 7.5 vs. 7.5 s, difference +0.0 (" in text
    assert "in favor of `digits` for 0 of the seeds and in favor of `random` for 0." in text
    both = verdicts(difference, significant=True) + verdicts(difference, significant=False)
    assert sorted(both) == sorted(verdicts(difference)) and len(both) == len(difference.measures)


def test_label_efficiency_is_judged_for_each_number_of_images(tmp_path):
    accuracies = {
        ("random", 1): [0.50, 0.52, 0.49],
        ("digits", 1): [0.90, 0.925, 0.89],  # nearly the same gain with each seed
        ("random", 100): [0.970, 0.975, 0.971],
        ("digits", 100): [0.972, 0.973, 0.974],
    }
    runs = {
        (name, None): [initialized(tmp_path, name, seed, 0.5) for seed in range(3)] for name in ("random", "digits")
    }
    for (name, count), values in accuracies.items():
        runs[name, count] = [
            initialized(tmp_path, name, seed, 0.5, count, accuracy=value) for seed, value in enumerate(values)
        ]
    found = comparison.summarize("part2", runs)
    verdict = label_efficiency_verdict(found, found.differences[0])
    higher, similar = verdict.removeprefix("Test accuracy by images per class: ").split("; ")
    assert higher.startswith("significantly higher from `digits` than from `random` with 1 (+40.17 points, corrected p")
    assert similar.startswith("not significantly different with 100 (+0.10 points, corrected p = 0.58)")
    single = comparison.summarize("part2", {key: several[:1] for key, several in runs.items()})
    assert label_efficiency_verdict(single, single.differences[0]) is None
