"""Augmentation is random, reproducible and keeps what makes a character recognizable."""

import dataclasses

import numpy as np
import pytest

from midas.data import sample
from midas.data.augmentation import augment, augment_glyphs, augment_places, tta_copies
from midas.data.glyphs import Glyphs
from midas.data.preprocessing import normalize
from midas.experiments import Augmentation

NOTHING = Augmentation(rotation=0, shear=0, scale=0, shift=0, elastic=0, stroke=0)


@pytest.fixture(scope="module")
def glyphs():
    return np.stack([normalize(sample.draw(character, 0)).image for character in "AbR27"])


def test_strength_zero_changes_nothing(glyphs):
    assert np.array_equal(augment(glyphs, NOTHING, np.random.default_rng(0)), glyphs)


def test_the_same_seed_gives_the_same_images_and_leaves_the_input_alone(glyphs):
    before = glyphs.copy()
    first, second = (augment(glyphs, Augmentation(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(glyphs, before)
    assert first.dtype == np.uint8 and first.shape == glyphs.shape
    assert not np.array_equal(first, augment(glyphs, Augmentation(), np.random.default_rng(4)))


def test_every_image_gets_its_own_draw(glyphs):
    copies = augment(np.repeat(glyphs[:1], 8, axis=0), Augmentation(), np.random.default_rng(0))
    assert len({copy.tobytes() for copy in copies}) == 8


def test_no_glyph_bleeds_into_its_neighbor():
    stack = np.zeros((3, 28, 28), np.uint8)
    stack[1] = 255  # full to the edges, so that whatever its neighbors read of it would show
    strong = Augmentation(rotation=45, shear=20, scale=0.5, shift=0.4, elastic=0.1, stroke=1, occlusion=0.3, pen=1)
    out = augment(stack, strong, np.random.default_rng(0))
    assert out[0].max() == 0 and out[2].max() == 0 and out[1].max() > 0


def test_stroke_thickens_and_thins(glyphs):
    only_stroke = Augmentation(rotation=0, shear=0, scale=0, shift=0, elastic=0, stroke=1)
    copies = augment(np.repeat(glyphs[:1], 50, axis=0), only_stroke, np.random.default_rng(0))
    ink = copies.sum(axis=(1, 2)) / glyphs[0].sum()
    assert ink.min() < 0.8 and ink.max() > 1.2


def width(images):
    """Pen width in pixels, computed in another way than in the code: ink over half the length of the outline."""
    levels = images.astype(float)
    down, across = np.diff(levels, axis=1)[:, :, :-1], np.diff(levels, axis=2)[:, :-1]
    return 2 * levels.sum(axis=(1, 2)) / np.hypot(down, across).sum(axis=(1, 2))


def test_pen_moves_strokes_to_one_width_without_randomness():
    bars = np.zeros((3, 28, 28), np.uint8)
    for bar, pen in zip(bars, (2, 3, 5), strict=True):
        bar[4:24, 12 : 12 + pen] = 255
    out, half = (augment(bars, dataclasses.replace(NOTHING, pen=pen), np.random.default_rng(0)) for pen in (1, 0.5))
    before, after = width(bars), width(out)
    assert np.abs(after - after.mean()).max() < 0.35 < np.abs(before - before.mean()).max()
    assert before[0] < width(half)[0] < after[0] and before[2] > width(half)[2] > after[2]
    assert np.array_equal(out, augment(bars, dataclasses.replace(NOTHING, pen=1), np.random.default_rng(1)))


def test_pen_narrows_the_widths_of_drawn_glyphs():
    glyphs = np.stack([normalize(sample.draw(character, 0)).image for character in sample.CHARACTERS])
    out = augment(glyphs, dataclasses.replace(NOTHING, pen=1), np.random.default_rng(0))
    assert width(out).std() < 0.5 * width(glyphs).std()


def test_pen_leaves_blank_and_full_images_in_range():
    images = np.stack([np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    out = augment(images, dataclasses.replace(NOTHING, pen=1, stroke=1), np.random.default_rng(0))
    assert out[0].max() == 0 and out[1, 2:-2, 2:-2].min() == 255


def test_occlusion_blackens_a_rectangle_in_half_of_the_images():
    full = np.full((400, 28, 28), 255, np.uint8)
    erased = augment(full, dataclasses.replace(NOTHING, occlusion=0.3), np.random.default_rng(0)) == 0
    high, wide = (erased.any(axis=axis).sum(axis=1) for axis in (2, 1))
    assert np.array_equal(erased.sum(axis=(1, 2)), high * wide)  # so the black pixels are one rectangle
    assert 0.4 < np.mean(high * wide > 0) < 0.55
    assert max(high.max(), wide.max()) in (8, 9) and (high != wide).any()
    seen = erased.mean(axis=0)
    assert seen.max() < 0.06 and seen[13:15, 13:15].mean() > seen[[0, 0, -1, -1], [0, -1, 0, -1]].mean()


def test_occlusion_does_not_change_the_other_deformations(glyphs):
    plain, occluded = (
        augment(glyphs, Augmentation(occlusion=occlusion), np.random.default_rng(5)) for occlusion in (0, 0.3)
    )
    assert not np.array_equal(plain, occluded)
    assert np.isin(occluded[plain != occluded], 0).all()


def test_glyphs_keep_their_ink_and_position_on_average(glyphs):
    copies = augment(np.repeat(glyphs[:1], 400, axis=0), Augmentation(stroke=0), np.random.default_rng(0))
    mean = copies.mean(axis=0)
    columns, rows = np.meshgrid(np.arange(28), np.arange(28))
    center = [(mean * axis).sum() / mean.sum() for axis in (columns, rows)]
    before = [(glyphs[0] * axis).sum() / glyphs[0].sum() for axis in (columns.astype(float), rows)]
    assert center == pytest.approx(before, abs=0.5)
    assert copies.mean() == pytest.approx(glyphs[0].mean(), rel=0.1)


def test_more_images_than_fit_into_one_stacked_image():
    many = np.random.default_rng(0).integers(0, 255, (1500, 28, 28), np.uint8)
    out = augment(many, NOTHING, np.random.default_rng(0))
    assert np.array_equal(out, many)


def test_tta_copies_deform_all_images_alike():
    glyph = normalize(sample.draw("R", 0)).image
    for copies in tta_copies(np.repeat(glyph[None], 1500, axis=0), 3, Augmentation()):
        assert (copies == copies[0]).all()


def test_other_sizes():
    images = np.zeros((2, 40, 40), np.uint8)
    images[:, 10:30, 18:22] = 255
    assert augment(images, Augmentation(), np.random.default_rng(0)).shape == (2, 40, 40)


def test_tta_copies_are_the_same_in_every_call_and_begin_with_the_images(glyphs):
    first, second = (list(tta_copies(glyphs, 4, Augmentation())) for _ in range(2))
    assert len(first) == 4 and np.array_equal(first[0], glyphs)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    assert len({copies.tobytes() for copies in first}) == 4
    alone = list(tta_copies(glyphs[:1], 4, Augmentation()))
    assert all(np.array_equal(one, all_[:1]) for one, all_ in zip(alone, first, strict=True))


def test_places_get_noise_but_unknown_ones_stay_unknown():
    places = np.zeros((4000, 5), np.float32)
    places[:2000, 0] = 1
    noisy = augment_places(places, Augmentation(place_noise=0.15, place_dropout=0.2), np.random.default_rng(0))
    assert noisy.dtype == np.float32 and not noisy[2000:].any()
    known = noisy[:2000, 0] == 1
    assert known.mean() == pytest.approx(0.8, abs=0.03) and not noisy[:2000][~known].any()
    assert noisy[:2000][known, 1:].std() == pytest.approx(0.15, abs=0.01)


def test_places_without_noise_and_dropout_stay_as_they_are():
    places = np.array([[1, 0.5, -1, 2, 0], [0, 0, 0, 0, 0]], np.float32)
    strengths = Augmentation(place_noise=0, place_dropout=0)
    assert np.array_equal(augment_places(places, strengths, np.random.default_rng(0)), places)


def test_redrawn_glyphs_have_no_place_and_the_others_are_as_without_redrawing(glyphs):
    many = Glyphs(np.repeat(glyphs[:1], 400, axis=0), np.ones((400, 5), np.float32))
    strengths = dataclasses.replace(NOTHING, other_pens=0.25, place_noise=0, place_dropout=0)
    augmented = augment_glyphs(many, strengths, np.random.default_rng(0), places=True)
    known = augmented.places[:, 0] == 1
    assert known.mean() == pytest.approx(0.75, abs=0.06)
    assert np.array_equal(augmented.images[known], many.images[known]) and not augmented.places[~known].any()
    assert (augmented.images != many.images)[~known].any(axis=(1, 2)).all()
    unchanged = augment_glyphs(many, NOTHING, np.random.default_rng(0))
    assert np.array_equal(unchanged.images, many.images) and np.array_equal(unchanged.places, many.places)
