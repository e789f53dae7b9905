"""Ink and paper are told apart in any polarity, and specks from dots."""

import cv2
import numpy as np
import pytest
from formats import page

from midas.data import sample
from midas.data.images import UnreadableImage
from midas.data.ink import components, glyph_box, ink_levels
from midas.data.preprocessing import normalize


def box(ink):
    """Left, top, width and height of ink."""
    return cv2.boundingRect((ink > 32).astype(np.uint8))


@pytest.mark.parametrize("pen", [2, 4])
@pytest.mark.parametrize("ink", [0, 255])
def test_a_tightly_cropped_glyph_keeps_its_polarity(ink, pen):
    whole = page("H", ink=ink, paper=255 - ink, pen=pen)
    left, top, width, height = box(whole if ink else 255 - whole)
    cut = whole[top : top + height, left : left + width]
    assert ink_levels(cut) == (255 - ink, ink)
    assert (normalize(cut).image == normalize(whole).image).all()


@pytest.mark.parametrize("character", "ij")
def test_the_dots_of_i_and_j_survive(character):
    for writer in range(0, sample.WRITERS, 3):
        ink = 255 - sample.draw(character, writer)
        left, top, width, height = box(ink)
        assert glyph_box(ink) == (left, top, left + width, top + height)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (7, 4), (10, 15)])
def test_components_are_those_of_the_whole_image_in_their_order(left, top):
    ink = np.zeros((90, 120), np.uint8)
    spots = np.random.default_rng(left).random((60, 70)) < 0.2
    ink[top : top + 60, left : left + 70][spots] = 255
    expected = cv2.connectedComponentsWithStats((ink > 32).view(np.uint8), connectivity=8)[2][1:]
    assert len(expected) > 100 and np.array_equal(components(ink), expected)
    assert components(np.zeros((9, 9), np.uint8)).shape == (0, 5)


def test_a_box_without_ink_is_unreadable():
    with pytest.raises(UnreadableImage, match="blank"):
        glyph_box(np.zeros((9, 9), np.uint8))
