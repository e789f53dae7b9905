"""The width of strokes is measured, and glyphs are redrawn with other pens."""

import cv2
import numpy as np
import pytest
from test_pen_adaptation import rings

from midas.data import pens


def test_widths_are_those_of_the_pens():
    assert pens.widths(rings(2, 3, 4, 6)) == pytest.approx([2, 3, 4, 6], abs=0.3)
    assert pens.widths(np.zeros((2, 28, 28), np.uint8)).tolist() == [0, 0]
    assert pens.widths(np.zeros((0, 28, 28), np.uint8)).shape == (0,)


def test_widths_are_measured_in_blocks(monkeypatch):
    glyphs = np.concatenate([rings(2, 6, 3, 5), np.full((3, 28, 28), 255, np.uint8)])  # some touch their neighbors
    at_once = pens.widths(glyphs)
    for block in (1, 2 * 28**2, 6 * 28**2):
        monkeypatch.setattr(pens, "BLOCK", block)
        assert np.array_equal(pens.widths(glyphs), at_once)


@pytest.fixture
def plain(monkeypatch):
    """Redraw without pressure, slant and scanning."""
    for name in ("PRESSURE", "SLANT", "SCANNED"):
        monkeypatch.setattr(pens, name, 0.0)


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.35])
@pytest.mark.parametrize("side", [28, 36])
def test_a_glyph_is_redrawn_with_a_pen_of_the_width_drawn_in_the_box_that_it_had(plain, monkeypatch, factor, side):
    monkeypatch.setattr(pens, "WIDTHS", (factor, factor))
    glyphs = rings(5.0, side=side)
    redrawn = pens.redraw(glyphs, np.random.default_rng(0))
    before, after = (cv2.boundingRect((each[0] > 128).view(np.uint8)) for each in (glyphs, redrawn))
    assert after == pytest.approx(before, abs=1.5)
    enlarged = 1 / (1 + 5 * (factor - 1) / max(before[2:]))  # as finer strokes reach less far
    assert pens.widths(redrawn) == pytest.approx([5 * factor * enlarged], abs=0.6)


def test_glyphs_are_redrawn_each_in_its_own_way_and_by_the_seed_alone():
    glyphs = np.repeat(rings(5.0), 40, axis=0)
    before = glyphs.copy()
    first, again, other = (pens.redraw(glyphs, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other) and np.array_equal(glyphs, before)
    widths = pens.widths(first)
    assert widths.min() < 2 and widths.max() > 5.5
    assert (first.max(axis=(1, 2)) == 255).all()


def test_blank_glyphs_and_no_glyphs_stay_so():
    blank = np.zeros((3, 28, 28), np.uint8)
    assert not pens.redraw(blank, np.random.default_rng(0)).any()
    assert pens.redraw(blank[:0], np.random.default_rng(0)).shape == (0, 28, 28)


def test_strokes_that_would_vanish_stay(monkeypatch):
    monkeypatch.setattr(pens, "WIDTHS", (0.01, 0.01))
    assert (pens.redraw(rings(2.0, 3.0, 6.0), np.random.default_rng(0)).max(axis=(1, 2)) == 255).all()
