"""What people bring, photographs and scans and crops, gives nearly the glyph that the drawing itself gives."""

from functools import cache

import cv2
import numpy as np
import pytest
import robustness

from midas.data import sample
from midas.data.preprocessing import NO_PLACE, UnreadableImage, glyph_and_place, normalise, to_grey

DRAWINGS = (("a", 11), ("g", 3), ("i", 11), ("R", 20))


@cache
def drawing(character, writer):
    return sample.draw(character, writer)


def likeness(one, other):
    """Correlation of two glyphs, at the best of shifts by up to two pixels."""
    return cv2.matchTemplate(cv2.copyMakeBorder(one, *[2] * 4, cv2.BORDER_CONSTANT), other, cv2.TM_CCOEFF_NORMED).max()


@pytest.mark.parametrize("kind", robustness.KINDS)
def test_every_kind_of_picture_shows_the_glyph(kind):
    turned = "photo" in kind or "rotated" in kind
    least = 0.55 if "fine pen" in kind else 0.8 if turned else 0.88
    for seed, of in enumerate(DRAWINGS):
        picture = robustness.KINDS[kind](drawing(*of), np.random.default_rng(seed))
        assert likeness(normalise(drawing(*of)), normalise(to_grey(picture))) >= least, of


@pytest.mark.parametrize("kind", ["uneven light", "photo, small on the page", "ruled paper"])
def test_a_kind_changes_no_drawing_and_depends_on_the_generator_alone(kind):
    before = drawing("a", 11).copy()
    one, other = (robustness.KINDS[kind](drawing("a", 11), np.random.default_rng(5)) for _ in range(2))
    assert (one == other).all() and (before == drawing("a", 11)).all()


def test_a_photograph_tells_nothing_of_place_and_size():
    picture = robustness.uneven_light(drawing("a", 11), np.random.default_rng(0))
    assert (glyph_and_place(picture)[1] == NO_PLACE).all() and glyph_and_place(drawing("a", 11))[1][0] == 1


@pytest.mark.parametrize("shape", [(900, 1200), (90, 120), (28, 28)])
@pytest.mark.parametrize("paper", [225, 50])
@pytest.mark.parametrize(
    "degrade",
    [robustness.uneven_light, robustness.shadow, robustness.noise, robustness.camera],
    ids=lambda f: f.__name__,
)
def test_a_blank_page_in_uneven_light_is_unreadable(degrade, paper, shape):
    for seed in range(3):
        picture = degrade(np.full(shape, paper, np.uint8), np.random.default_rng(seed))
        with pytest.raises(UnreadableImage, match="blank"):
            normalise(picture)


@pytest.mark.parametrize("ink", [40, 255])
def test_dust_near_the_glyph_does_not_decide_the_crop(ink):
    page = robustness.painted(drawing("R", 20), ink, 150)
    left, top, width, _ = cv2.boundingRect(255 - drawing("R", 20))
    dusty = page.copy()
    dusty[top - 60 : top - 54, left : left + 6] = dusty[top : top + 6, left + width + 50 : left + width + 56] = ink
    assert (normalise(dusty) == normalise(page)).all()


def test_what_runs_off_a_photograph_is_left_out():
    picture = robustness.uneven_light(robustness.painted(drawing("R", 20), 40, 225), np.random.default_rng(0))
    desk = picture.copy()
    desk[:, :40] = 20
    assert likeness(normalise(picture), normalise(desk)) > 0.98
