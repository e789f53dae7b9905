"""Glyphs keep images and places together."""

import numpy as np
import pytest

from midas.data.glyphs import UNKNOWN_PLACE, Glyph, Glyphs


@pytest.fixture
def glyphs():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    return Glyphs(images, np.arange(30, dtype=np.float32).reshape(6, 5))


def test_single_glyphs_are_stacked(glyphs):
    stacked = Glyphs.stack(Glyph(image, place) for image, place in zip(glyphs.images, glyphs.places, strict=True))
    assert np.array_equal(stacked.images, glyphs.images) and np.array_equal(stacked.places, glyphs.places)
    assert len(stacked) == 6 and stacked.size == 2


@pytest.mark.parametrize("index", [slice(1, 4), np.array([5, 0, 0]), np.arange(6) % 2 == 0])
def test_an_index_selects_images_and_places(glyphs, index):
    for selected in (glyphs[index], glyphs.take(index)):
        assert np.array_equal(selected.images, glyphs.images[index])
        assert np.array_equal(selected.places, glyphs.places[index])


def test_glyphs_without_places_have_unknown_ones(glyphs):
    without = Glyphs.without_places(glyphs.images)
    assert len(without) == 6 and without.places.shape == (6, 5) and not without.places.any()
    assert np.array_equal(without[2:3].places, UNKNOWN_PLACE[None])


def test_batches_are_everything_in_order(glyphs):
    batches = list(glyphs.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), glyphs.images)
