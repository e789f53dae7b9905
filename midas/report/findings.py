"""Conclusions from finished runs, in sentences: each part's question answered as far as its numbers and tests allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean

from midas.errors import counted
from midas.metrics.significance import ALPHA, binomial_test, paired_t_test, two_proportion_z_test, wilson_interval
from midas.records import Comparison, MeasureDifference, Result
from midas.report.comparison import BY_KEY, differences, measure
from midas.report.groups import MIN_SEEDS, SeedGroup, correct_for_number, differ, over_seeds
from midas.report.titles import INITIALIZATION_TITLES, SAMPLE_DIGITS, capitalized, is_pretraining, part_title
from midas.report.verdicts import summarize, verdict

MAX_PAIRS = 5  # confused pairs that are named
# How a training converges and how it ends: what Part 2's conclusion compares.
CONVERGENCE, FINAL = "accuracy_epoch", "test_accuracy"
COMPARED = (CONVERGENCE, "area", FINAL, "test_macro_f1", "test_log_loss", "test_calibration_error")


@dataclass(frozen=True)
class Conclusions:
    """What the runs of one part show.

    Attributes:
        part: as `titles.section_of` names it.
        title: names it in words.
        headline: the answer to its question.
        sentences: what supports and qualifies the answer.
    """

    part: str
    title: str
    headline: str
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
        of_part = [comparison for comparison in comparisons if comparison.part == part]
        if part == "part2":
            headline, *sentences = _part2(ours, of_part)
        elif part == "part3":
            headline, *sentences = _part3(ours)
        else:
            headline, *sentences = _most_accurate(ours)
        sentences += [sentence for comparison in of_part for sentence in summarize(comparison)]
        title = part_title(part, all(group.first.sample for group in ours))
        found.append(Conclusions(part, title, headline, tuple(sentences)))
    return found


# ---- words


def _listed(words: Sequence[str]) -> str:
    """Join words as an English list.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _images(result: Result) -> str:
    """Name the images a result was scored on, with their number."""
    if result.scored == "validation":
        return f"{counted(result.n, 'image')} set aside before training"
    if result.scored == "training":
        return f"the {result.n:,} training images themselves"
    if "cross-validation" in result.scored:
        return f"{counted(result.n, 'image')} in {result.scored}"
    return counted(result.n, "test image")


def _subject(group: SeedGroup) -> str:
    """Name a training at the start of a sentence; those on other data than the parts' have the name of their run."""
    return f"The {group.title}" if group.experiment.part == "part1" else f"`{group.title}`"


def _with_interval(group: SeedGroup) -> str:
    if len(group.results) > 1:
        return over_seeds(group.accuracies)
    low, high = group.first.accuracy_interval
    return f"{over_seeds(group.accuracies)} (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


# ---- Part 1, and other data sets


def _most_accurate(groups: Sequence[SeedGroup]) -> list[str]:
    """Say how accurate the best training is and what it confuses, and from which others it differs."""
    best, *others = sorted(groups, key=lambda group: -group.accuracy)
    classes = len(best.first.per_class)
    headline = f"{_subject(best)} recognizes {_with_interval(best)} of {_images(best.first)}, among {classes} classes"
    if pairs := best.confused_pairs[:MAX_PAIRS]:
        headline += f"; most often it takes {_listed([f'{pair.label} for {pair.predicted}' for pair in pairs])}"
    return [f"{headline}.", *_case(best), *_error_kinds(best), *_compared_with(best, others)]


def _case(group: SeedGroup) -> list[str]:
    ignored = [r.case_merged_accuracy for r in group.results.values() if r.case_merged_accuracy is not None]
    return [f"If upper and lower case count as the same, it is {over_seeds(ignored)}."] if ignored else []


def _error_kinds(group: SeedGroup) -> list[str]:
    kinds = group.error_kinds
    total = mean(kind.case + kind.look_alike + kind.other for kind in kinds) if kinds else 0
    if group.part != "part1" or not total:
        return []
    case, alike, other = (mean(getattr(kind, key) for kind in kinds) / total for key in ("case", "look_alike", "other"))
    return [
        f"Of its errors, {100 * case:.0f} % confuse only upper and lower case, {100 * alike:.0f} % are other "
        f"confusions within 0/O/o or 1/I/l, and {100 * other:.0f} % are other errors."
    ]


def _compared_with(best: SeedGroup, others: Sequence[SeedGroup]) -> list[str]:
    """Say for each other training whether it differs significantly from the most accurate one."""
    found = [(other, differ(best, other)) for other in others]
    tested = [(other, difference) for other, difference in found if difference]
    corrected = correct_for_number([difference for _, difference in tested])
    sentences = [
        f"{_subject(other)} reaches {over_seeds(other.accuracies)}; the difference is {difference.verdict()}."
        for (other, _), difference in zip(tested, corrected, strict=True)
    ]
    untested = [
        f"{_subject(other)} reaches {over_seeds(other.accuracies)}; it is not compared, as it was scored on other "
        "images or its predictions are missing."
        for other, difference in found
        if not difference
    ]
    return sentences + untested


# ---- Part 2: what pretraining changes


def initialization_pairs(groups: Iterable[SeedGroup]) -> list[tuple[SeedGroup, SeedGroup]]:
    """Find the trainings from pretrained weights, each with the same training from random weights."""
    return [
        (ours, theirs)
        for ours, theirs in product(list(groups), repeat=2)
        if ours.experiment.init == "pretrained"
        and theirs.experiment.init == "random"
        and _same_but_for(ours, theirs, "init", "init_checkpoint", "freeze_backbone")
    ]


def _same_but_for(ours: SeedGroup, theirs: SeedGroup, *names: str) -> bool:
    """Whether two trainings have the same settings, these, name and seed aside."""
    first, second = ours.experiment.to_json(), theirs.experiment.to_json()
    return all(first[name] == second[name] for name in first.keys() - {"name", "seed", *names})


def _part2(groups: Sequence[SeedGroup], comparisons: Sequence[Comparison]) -> list[str]:
    """Say whether pretrained weights converge faster or end better than random ones."""
    main = [group for group in groups if not is_pretraining(group.experiment)]
    pairs = initialization_pairs(main)
    sentences = [sentence for comparison in comparisons for sentence in _headline_of_comparison(comparison)][:1]
    for ours, theirs in pairs:
        sentences += _initializations(ours, theirs)
    if not sentences:
        sentences = [_alone(main or groups)]
    in_pairs = [group for pair in pairs for group in pair]
    sentences += [_also(group) for group in main if pairs and group not in in_pairs]
    helpers = [group for group in groups if is_pretraining(group.experiment)]
    sentences += [_helper(group) for group in helpers if main]
    return sentences + _zero_shot(main)


def _headline_of_comparison(comparison: Comparison) -> list[str]:
    """Answer by the first initialization that a `compare` of several seeds has beside random weights."""
    for difference in comparison.differences:
        found = {one.measure: one for one in difference.measures if one.measure in (CONVERGENCE, FINAL)}
        if difference.baseline == "random" and found.keys() == {CONVERGENCE, FINAL}:
            start = INITIALIZATION_TITLES.get(difference.name, difference.name)
            return [_over_seeds_headline(start, found, found[FINAL].pairs)]
    return []


def _over_seeds_headline(start: str, found: dict[str, MeasureDifference], seeds: int) -> str:
    early, final = found[CONVERGENCE], found[FINAL]
    faster = "faster than" if early.difference > 0 else "more slowly than"
    better = "more accurate" if final.difference > 0 else "less accurate"
    first = f"learns {faster}" if early.significant else "learns not significantly faster or more slowly than"
    last = f"ends {better}" if final.significant else "ends with no significant difference"
    return (
        f"A network {start} {first} one from random weights ({_versus(early)} validation accuracy after the first "
        f"epoch), and {last} ({_versus(final)} of the test images); mean of {seeds} seeds."
    )


def _versus(one: MeasureDifference) -> str:
    return f"{BY_KEY[one.measure].write(one.ours)} vs. {BY_KEY[one.measure].write(one.baseline)} %"


def _initializations(ours: SeedGroup, theirs: SeedGroup) -> list[str]:
    """Compare a training from pretrained weights with the same from random ones."""
    shared = sorted(ours.results.keys() & theirs.results.keys())
    first, second = ([_measured(group, seed) for seed in shared] for group in (ours, theirs))
    if len(shared) >= MIN_SEEDS and all([*first, *second]):
        found = {one.measure: one for one in differences(first, second, COMPARED)}
        if found.keys() >= {CONVERGENCE, FINAL}:
            return [
                _over_seeds_headline(ours.title, found, len(shared)),
                *(verdict(one, ours.title, theirs.title) for one in found.values()),
            ]
    return [_on_same_images(ours, theirs), *_other_measures(ours, theirs)]


def _measured(group: SeedGroup, seed: int) -> dict[str, float | None]:
    try:
        return measure(group.epochs.get(seed, []), group.results[seed])
    except ValueError:  # a run without validation set
        return {}


def _on_same_images(ours: SeedGroup, theirs: SeedGroup) -> str:
    first, second = (next(iter(group.epochs.values()), []) for group in (ours, theirs))
    a, b = (epochs[0].val_accuracy if epochs else None for epochs in (first, second))
    early = ""
    if a is not None and b is not None:
        early = f" (validation accuracy after the first epoch: {100 * a:.2f} vs. {100 * b:.2f} %)"
    difference = differ(ours, theirs)
    outcome = f"; the difference is {difference.verdict()}" if difference else ""
    return (
        f"After training, a network {ours.title} recognizes {over_seeds(ours.accuracies)} of {_images(ours.first)}, "
        f"one from random weights {over_seeds(theirs.accuracies)}{early}{outcome}."
    )


def _other_measures(ours: SeedGroup, theirs: SeedGroup) -> list[str]:
    a, b = ours.first, theirs.first
    return [
        f"Other measures of the first seed, pretrained vs. random, not tested: macro F1 {a.macro_f1:.4f} vs. "
        f"{b.macro_f1:.4f}, log loss {a.log_loss:.4f} vs. {b.log_loss:.4f}, calibration error "
        f"{100 * a.calibration_error:.2f} vs. {100 * b.calibration_error:.2f} %, best epoch {a.best_epoch} vs. "
        f"{b.best_epoch} of {a.epochs} and {b.epochs}."
    ]


def _alone(groups: Sequence[SeedGroup]) -> str:
    best = max(groups, key=lambda group: group.accuracy)
    return (
        f"The training from {best.title} recognizes {_with_interval(best)} of {_images(best.first)}; pretrained and "
        "random weights cannot be compared, as there are no finished runs of the same training from both."
    )


def _also(group: SeedGroup) -> str:
    return f"The training from {group.title} recognizes {_with_interval(group)} of {_images(group.first)}."


def _helper(group: SeedGroup) -> str:
    return (
        f"The {group.title} provides the pretrained weights; it recognizes {over_seeds(group.accuracies)} of "
        f"{_images(group.first)} and is no part of the comparison."
    )


def _zero_shot(groups: Sequence[SeedGroup]) -> list[str]:
    """Report the zero-shot accuracy of initializations where it is well above chance."""
    sentences = []
    for group in groups:
        zero_shot, n, chance = _zero_shot_of(group), group.first.n, 1 / len(group.first.per_class)
        if zero_shot and wilson_interval(round(min(zero_shot) * n), n)[0] > 2 * chance:
            sentences.append(
                f"Before any training on these images, the network {group.title} recognizes {over_seeds(zero_shot)} "
                "of the test images (zero-shot)."
            )
    return list(dict.fromkeys(sentences))


def _zero_shot_of(group: SeedGroup) -> list[float]:
    return [r.zero_shot_accuracy for r in group.results.values() if r.zero_shot_accuracy is not None]


# ---- Part 3: labels that are wrong


def _part3(groups: Sequence[SeedGroup]) -> list[str]:
    """Say what taking the labels as correct and as complementary gives, and whether it harmed a pretrained network."""
    naive = [group for group in groups if not group.experiment.is_complementary]
    complementary = [group for group in groups if group.experiment.is_complementary]
    if complementary:  # of several losses for complementary labels, the headline has the best one
        best = max(complementary, key=lambda group: group.accuracy).experiment.loss
        complementary = [group for group in complementary if group.experiment.loss == best]
    chance = 1 / len(groups[0].first.per_class)
    ways = []
    if naive:
        ways.append(f"a network that takes them as correct recognizes {_by_initialization(naive)}")
    if complementary:
        one = "one" if naive else "a network"
        ways.append(f"{one} that takes them as complementary labels recognizes {_by_initialization(complementary)}")
    digits = SAMPLE_DIGITS if groups[0].first.sample else "digits"
    headline = f"Trained on {digits} whose labels are wrong: {'; '.join(ways)}; chance is {100 * chance:.3g} %."
    harmed = [f"{_start(group)}: {_change(group)}" for group in complementary if _is_changed(group, for_better=False)]
    if harmed:
        headline += f" Training harmed the network {_listed(harmed)}."
    sentences = [_why(group, groups) for group in groups if _is_changed(group, for_better=False)]
    return [
        headline,
        *sentences,
        *_improvements(complementary),
        *_pairwise(groups),
        *_below_chance(groups),
        *_estimates(groups),
    ]


def _start(group: SeedGroup) -> str:
    return group.title.rpartition(", ")[2]


def _by_initialization(groups: Sequence[SeedGroup]) -> str:
    """Write the accuracy from each initialization, the random one first."""
    ordered = sorted(groups, key=lambda group: group.experiment.init != "random")
    return _listed([f"{over_seeds(group.accuracies)} ({_start(group)})" for group in ordered])


def _is_changed(group: SeedGroup, for_better: bool) -> bool:
    """Whether a pretrained network recognizes significantly more, or fewer, test images after training than before."""
    before, after, n = _zero_shot_of(group), group.accuracies, group.first.n
    if (
        group.experiment.init == "random"
        or len(before) != len(after)
        or any(a == b or (a > b) != for_better for a, b in zip(after, before, strict=True))
    ):
        return False
    if len(after) >= MIN_SEEDS:
        return paired_t_test(after, before).p_value < ALPHA
    # The images are the same, but only their number is kept: the test for independent ones is stricter.
    return all(two_proportion_z_test(a, b, n) < ALPHA for a, b in zip(after, before, strict=True))


def _change(group: SeedGroup) -> str:
    """Write the accuracy before and after a training."""
    return f"{over_seeds(_zero_shot_of(group))} before, {over_seeds(group.accuracies)} after"


def _why(group: SeedGroup, groups: Sequence[SeedGroup]) -> str:
    """Explain the harm, as far as the other runs show it."""
    text = f"Training harmed the pretrained network ({group.title}): {_change(group)}."
    if not group.experiment.is_complementary:
        return f"{text} Wrong labels that are taken as correct teach a network to avoid the true class."
    same = [theirs for ours, theirs in initialization_pairs(groups) if ours is group]
    classes, before = len(group.first.per_class), mean(_zero_shot_of(group))
    images = f"{group.training_images:,} images" if group.training_images else "these images"
    text += f" Each label rules out only one of {classes} classes"
    if same and same[0].accuracy < before:
        return (
            f"{text}, and those of {images} say less than the network knew before: from random weights the same "
            f"training reaches only {over_seeds(same[0].accuracies)}. It overwrote what pretraining had learned."
        )
    return f"{text}, and the training overwrote what pretraining had learned."


def _improvements(groups: Sequence[SeedGroup]) -> list[str]:
    return [
        f"Training improved the network {_start(group)}: {over_seeds(_zero_shot_of(group))} of the test images before, "
        f"{over_seeds(group.accuracies)} after."
        for group in groups
        if _is_changed(group, for_better=True)
    ]


def _pairwise(groups: Sequence[SeedGroup]) -> list[str]:
    """Compare the initializations with each loss, and the losses from each initialization."""
    pairs = initialization_pairs(groups)
    pairs += [
        (ours, theirs)
        for ours, theirs in product(groups, repeat=2)
        if ours.experiment.is_complementary
        and not theirs.experiment.is_complementary
        and _same_but_for(ours, theirs, "loss")
    ]
    tested = [(ours, theirs, found) for ours, theirs in pairs if (found := differ(ours, theirs))]
    corrected = correct_for_number([found for *_, found in tested])
    return [
        f"{capitalized(ours.title)} vs. {theirs.title}: {100 * found.value:+.2f} points of test accuracy, "
        f"{found.verdict()}."
        for (ours, theirs, _), found in zip(tested, corrected, strict=True)
    ]


def _below_chance(groups: Sequence[SeedGroup]) -> list[str]:
    """Report accuracies significantly below chance: such a network has learned which class to avoid."""
    sentences = []
    for group in groups:
        results, chance = list(group.results.values()), 1 / len(group.first.per_class)
        if all(binomial_test(round(r.accuracy * r.n), r.n, chance, "less") < ALPHA for r in results):
            sentence = (
                f"{capitalized(group.title)}: the network recognizes {over_seeds(group.accuracies)} of the test "
                f"images, significantly fewer than chance ({100 * chance:.3g} %): it has learned the classes, but "
                "avoids the true one."
            )
            if least := [r.argmin_accuracy for r in results if r.argmin_accuracy is not None]:
                sentence += f" Taking the least probable class as the prediction gives {over_seeds(least)}."
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
            f"{counted(len(found), 'network')}."
        )
    return sentences
