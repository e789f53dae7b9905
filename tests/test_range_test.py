"""The learning rate range test: what it suggests, and that it leaves nothing behind."""

import math

import numpy as np
import pytest
from tiny import dataset, experiment

from midas.errors import MidasError
from midas.learning import range_test
from midas.learning.range_test import find_learning_rate, has_diverged, smooth, suggest
from midas.report import plots


@pytest.mark.parametrize(
    ("loss", "suggestion"),
    [
        (lambda rates: (np.log10(rates) + 1.5) ** 2 + 0.5, 10**-2.5),
        (lambda rates: np.where(rates < 1e-3, 3.0, np.where(rates > 0.1, 9.0, 0.1)), 1e-3),
        (lambda rates: np.where(rates > 0.1, 9.0, 2.3), 1e-2),  # it never falls, but rises
    ],
    ids=["a valley", "a plain", "no fall"],
)
def test_the_suggestion_is_a_tenth_of_the_middle_of_the_rates_of_low_loss(loss, suggestion):
    rates = np.geomspace(1e-5, 1, 300)
    noisy = loss(rates) + np.random.default_rng(0).normal(0, 0.05, 300)
    assert 1 / 3 < suggest(rates.tolist(), noisy.tolist()) / suggestion < 3  # averages lag behind


def test_the_moving_average_starts_at_the_first_loss_and_lags_behind():
    assert smooth([3.0]) == [3.0]
    falling = smooth(np.linspace(2, 1, 50).tolist())
    assert falling[0] == 2 and np.diff(falling).max() < 0 and falling[-1] > 1


def test_divergence():
    assert not has_diverged([2.3] * 50 + [2.0] * 50)
    assert has_diverged([2.3] * 20 + [30.0] * 20) and has_diverged([1.0, math.nan])
    assert not has_diverged([1e-4] * 50 + [5e-3] * 10)  # many times a loss near 0 is still near 0


@pytest.mark.parametrize(("loss", "steps"), [("cross-entropy", 150), ("progressive", range_test.STEPS)])
def test_rates_grow_until_the_loss_diverges(loss, steps, monkeypatch):
    monkeypatch.setattr(range_test, "STEPS", steps)
    part, seen = ("part1", "part3")[loss == "progressive"], []
    tiny = experiment(part, loss=loss, model="fast")
    found = find_learning_rate(tiny, dataset("0123456789"), report=lambda done, total: seen.append((done, total)))
    assert 10 < len(found.rates) == len(found.losses) == len(found.smoothed) <= range_test.STEPS
    assert np.diff(found.rates).min() > 0 and found.rates[0] == pytest.approx(range_test.LOWEST)
    assert loss == "progressive" or min(found.smoothed) < 0.7 * found.smoothed[0]
    assert 1e-4 < found.learning_rate < 0.1 and seen[-1] == (range_test.STEPS, range_test.STEPS)
    again = find_learning_rate(tiny, dataset("0123456789"))
    assert again.losses == found.losses
    figure = plots.learning_rates(found.rates, found.losses, found.smoothed, found.learning_rate)
    assert figure.axes[0].get_xscale() == "log"


def test_data_that_cannot_be_split_are_refused_in_a_line():
    with pytest.raises(MidasError, match="too few"):
        find_learning_rate(experiment(), dataset("AB", 1))
