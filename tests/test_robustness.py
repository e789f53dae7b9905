"""Photographs, scans and crops of a drawing give nearly the same glyph as the drawing itself."""

from functools import cache

import cv2
import numpy as np
import pytest
import robustness

from midas.data import sample
from midas.data.glyphs import UNKNOWN_PLACE
from midas.data.images import to_grayscale
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize

DRAWINGS = (("a", 11), ("g", 3), ("i", 11), ("R", 20))


@cache
def drawing(character, writer):
    return sample.draw(character, writer)


def similarity(one, other):
    """Correlation of two glyphs, maximized over shifts by up to two pixels."""
    return cv2.matchTemplate(cv2.copyMakeBorder(one, *[2] * 4, cv2.BORDER_CONSTANT), other, cv2.TM_CCOEFF_NORMED).max()


@pytest.mark.parametrize("kind", robustness.KINDS)
def test_every_kind_of_picture_shows_the_glyph(kind):
    rotated = "photo" in kind or "rotated" in kind
    minimum = 0.55 if "fine pen" in kind else 0.65 if "sheet" in kind else 0.8 if rotated else 0.88
    for seed, (character, writer) in enumerate(DRAWINGS):
        picture = robustness.KINDS[kind](drawing(character, writer), np.random.default_rng(seed))
        assert (
            similarity(normalize(drawing(character, writer)).image, normalize(to_grayscale(picture)).image) >= minimum
        ), (character, writer)


@pytest.mark.parametrize("kind", ["uneven light", "photo, small on the page", "ruled paper"])
def test_degrading_leaves_the_drawing_alone_and_depends_on_the_generator_only(kind):
    before = drawing("a", 11).copy()
    one, other = (robustness.KINDS[kind](drawing("a", 11), np.random.default_rng(5)) for _ in range(2))
    assert (one == other).all() and (before == drawing("a", 11)).all()


def test_the_place_on_a_photograph_is_unknown():
    picture = robustness.uneven_light(drawing("a", 11), np.random.default_rng(0))
    assert (normalize(picture).place == UNKNOWN_PLACE).all() and normalize(drawing("a", 11)).place[0] == 1


@pytest.mark.parametrize("shape", [(900, 1200), (90, 120), (28, 28)])
@pytest.mark.parametrize("paper", [225, 50])
@pytest.mark.parametrize(
    "degrade",
    [robustness.uneven_light, robustness.shadow, robustness.noise, robustness.photo],
    ids=lambda f: f.__name__,
)
def test_a_blank_page_in_uneven_light_is_unreadable(degrade, paper, shape):
    for seed in range(3):
        picture = degrade(np.full(shape, paper, np.uint8), np.random.default_rng(seed))
        with pytest.raises(UnreadableImage, match="blank"):
            normalize(picture)


@pytest.mark.parametrize("ink", [40, 255])
def test_dust_near_the_glyph_does_not_change_the_crop(ink):
    page = robustness.recolor(drawing("R", 20), ink, 150)
    left, top, width, _ = cv2.boundingRect(255 - drawing("R", 20))
    dusty = page.copy()
    dusty[top - 60 : top - 54, left : left + 6] = dusty[top : top + 6, left + width + 50 : left + width + 56] = ink
    assert (normalize(dusty).image == normalize(page).image).all()


def test_what_the_border_of_a_photograph_cuts_is_removed():
    picture = robustness.uneven_light(robustness.recolor(drawing("R", 20), 40, 225), np.random.default_rng(0))
    desk = picture.copy()
    desk[:, :40] = 20
    assert similarity(normalize(picture).image, normalize(desk).image) > 0.98


def test_pages_with_nothing_but_their_surroundings_are_refused():
    refused = robustness.count_refused(seed=7, number=2)
    assert list(refused) == robustness.SURROUNDED and sum(refused.values()) >= 0.9 * 2 * len(refused)
