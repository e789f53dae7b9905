"""Finished runs that differ in their seed alone, and whether two such groups differ in accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import mean, stdev

import numpy as np

from midas.errors import counted
from midas.experiments import Experiment
from midas.metrics.classification import ConfusedPair, ErrorKinds
from midas.metrics.significance import ALPHA, holm, mcnemar, paired_t_test
from midas.records import EpochRecord, Result
from midas.report.titles import section_of

MIN_SEEDS = 3  # from this many shared seeds on, a test over seeds is possible


@dataclass(frozen=True, eq=False)
class Scored:
    """Which images a run classified correctly.

    Attributes:
        images: digest of the names and labels of the images, which is the same for runs that were scored on the same
            ones, whatever the size of their glyphs.
        correct: bool (n,).
    """

    images: str
    correct: np.ndarray


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """Finished runs that differ in their seed alone.

    Attributes:
        title: names the training in words.
        experiment: of the first seed.
        results: by seed.
        epochs: by seed.
        scored: by seed, of those runs whose predictions can be read.
        training_images: validation images included; None if unknown.
        error_kinds: of those runs whose predictions can be read.
        confused_pairs: of the first of these runs, the most frequent first.
    """

    title: str
    experiment: Experiment
    results: dict[int, Result]
    epochs: dict[int, list[EpochRecord]] = field(default_factory=dict)
    scored: dict[int, Scored] = field(default_factory=dict)
    training_images: int | None = None
    error_kinds: tuple[ErrorKinds, ...] = ()
    confused_pairs: tuple[ConfusedPair, ...] = ()

    @property
    def part(self) -> str:
        """The part it belongs to, or its own data set."""
        return section_of(self.experiment)

    @property
    def first(self) -> Result:
        """The result of the first seed."""
        return next(iter(self.results.values()))

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each seed."""
        return [result.accuracy for result in self.results.values()]

    @property
    def accuracy(self) -> float:
        """The mean accuracy over seeds."""
        return mean(self.accuracies)


@dataclass(frozen=True)
class Difference:
    """How two groups differ in accuracy: over seeds from `MIN_SEEDS` shared ones on, otherwise over images.

    Attributes:
        over_seeds: whether the test is a paired t-test over seeds; otherwise it is McNemar's over images, which says
            nothing about other seeds.
        seeds: how many are compared.
        images: on which the groups are compared.
        value: mean accuracy of the first minus that of the second.
        p_value: two-sided.
    """

    over_seeds: bool
    seeds: int
    images: int
    value: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether the test rejects equality."""
        return self.p_value < ALPHA

    def verdict(self) -> str:
        """Say what the test shows, and what it cannot show."""
        p = f"p = {self.p_value:.2g}"
        outcome = f"{'' if self.significant else 'not '}significant"
        if self.over_seeds:
            return f"{outcome} over {self.seeds} seeds (paired t-test, {p})"
        limits = "seeds were not varied" if self.seeds == 1 else f"{self.seeds} seeds are too few for a test over seeds"
        return f"{outcome} on the same {counted(self.images, 'image')} (McNemar's test, {p}); {limits}"


def differ(ours: SeedGroup, theirs: SeedGroup) -> Difference | None:
    """Test whether two groups are equally accurate.

    From three shared seeds on this is a paired t-test. With fewer seeds it is McNemar's test on the same images; of
    several, the largest p-value counts, so that all seeds must agree.

    Returns:
        None if they were not scored on the same images, or their predictions cannot be read.
    """
    if (ours.first.scored, ours.first.n) != (theirs.first.scored, theirs.first.n):
        return None
    shared = sorted(ours.results.keys() & theirs.results.keys())
    seeds = [(seed, seed) for seed in shared] or [(next(iter(ours.results)), next(iter(theirs.results)))]
    pairs = [(ours.scored.get(a), theirs.scored.get(b)) for a, b in seeds]
    if any(a and b and a.images != b.images for a, b in pairs):
        return None
    if len(shared) >= MIN_SEEDS:
        test = paired_t_test(*([group.results[seed].accuracy for seed in shared] for group in (ours, theirs)))
        return Difference(True, len(shared), ours.first.n, test.difference, test.p_value)
    same = [(a.correct, b.correct) for a, b in pairs if a and b]
    if len(same) < len(pairs):
        return None
    gaps = [float(a.mean() - b.mean()) for a, b in same]
    agree = min(gaps) * max(gaps) > 0 or len(gaps) == 1
    p_value = max(mcnemar(a, b).p_value for a, b in same) if agree else 1.0
    return Difference(False, len(same), ours.first.n, mean(gaps), p_value)


def correct_for_number(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p-values of several differences for their number (Holm 1979)."""
    corrected = holm([one.p_value for one in differences])
    return [replace(one, p_value=p) for one, p in zip(differences, corrected, strict=True)]


def over_seeds(values: Sequence[float]) -> str:
    """Write the mean and sample standard deviation of proportions over seeds.

    >>> over_seeds([0.99, 0.97]), over_seeds([0.99])
    ('98.00 ± 1.41 % (2 seeds)', '99.00 %')
    """
    if len(values) == 1:
        return f"{100 * values[0]:.2f} %"
    return f"{100 * mean(values):.2f} ± {100 * stdev(values):.2f} % ({len(values)} seeds)"
