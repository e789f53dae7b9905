"""Strokes finer than those of the training set are thickened before a network reads them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from test_export_networks import network

from midas.data import pens
from midas.data.glyphs import Glyphs
from midas.data.memmap import ImageFile
from midas.learning.pen_adaptation import MEASURED, adapt, pen_statistics
from midas.records import Card, PenStatistics

KNOWN = PenStatistics(finest=3.0, fine=4.0)


def rings(*widths, side=28):
    """Draw circles with pens of these widths in pixels, at 8 times the size."""
    images = np.zeros((len(widths), 8 * side, 8 * side), np.uint8)
    for image, width in zip(images, widths, strict=True):
        cv2.ellipse(image, (4 * side, 4 * side), (72, 56), 30, 0, 360, 255, round(8 * width))
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def test_statistics_are_quantiles_of_the_training_set(tmp_path, monkeypatch):
    images = rings(*[2.0] * 30, *[5.0] * 270)
    found = pen_statistics(images)
    assert found.finest == pytest.approx(2, abs=0.3) and found.finest <= found.fine
    outlier = np.concatenate([rings(1.0), np.repeat(rings(4.0), MEASURED, axis=0)])
    assert pen_statistics(outlier).finest == pytest.approx(4, abs=0.3)
    outlier.tofile(tmp_path / "images")
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 1000)
    assert pen_statistics(ImageFile(tmp_path / "images", outlier.shape)) == pen_statistics(outlier)
    assert pen_statistics(images[:0]) is None and pen_statistics(np.zeros_like(images)) is None


def test_only_finer_glyphs_are_thickened_and_keep_their_size():
    images = np.concatenate([rings(0.8, 1.5, 2.5, 3.5, 6.0), np.zeros((1, 28, 28), np.uint8)])
    before = images.copy()
    adapted = adapt(images, KNOWN)
    assert np.array_equal(images, before) and np.array_equal(adapted[3:], images[3:])
    assert pens.widths(adapted[:3]) == pytest.approx([KNOWN.fine] * 3, abs=0.8)
    assert adapted[0].max() > 200  # though a fine stroke is faint
    for glyph, original in zip(adapted[:3], images[:3], strict=True):
        boxes = [cv2.boundingRect((each > 64).view(np.uint8)) for each in (glyph, original)]
        assert np.abs(np.subtract(*boxes)).max() <= 2  # as finer edges are fainter
    assert np.array_equal(adapt(images[3:], KNOWN), images[3:])


def test_a_network_is_given_strokes_that_it_knows():
    plain = network()
    adapting = replace(plain, card=replace(plain.card, pen=KNOWN))
    fine, known = Glyphs.without_places(rings(1.0, side=plain.size)), Glyphs.without_places(rings(5.0, side=plain.size))
    thick = Glyphs.without_places(adapt(fine.images, KNOWN))
    assert np.array_equal(adapting.probabilities(fine), plain.probabilities(thick))
    assert np.array_equal(adapting.features(fine), plain.features(thick))
    assert not np.array_equal(adapting.probabilities(fine), plain.probabilities(fine))
    assert np.array_equal(adapting.probabilities(known), plain.probabilities(known))


@pytest.mark.parametrize("widths", [(0, 1), (2, 1), (1, np.inf), (-1, 1), (np.nan, 1)])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        PenStatistics(*widths)


def test_strokes_as_wide_as_a_glyph_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Card(("a",), size=28, pen=PenStatistics(3.0, 1e9))
