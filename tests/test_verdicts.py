"""Comparisons of initializations in sentences."""

from fabricate import compared, initialized

from midas.report import comparison
from midas.report.verdicts import label_efficiency_verdict, mcnemar_verdict, verdicts


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
