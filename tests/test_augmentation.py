import numpy as np
import pytest

from midas import sample
from midas.augmentation import augment
from midas.experiments import Augmentation
from midas.preprocessing import normalise

NOTHING = Augmentation(rotation=0, shear=0, scale=0, shift=0, elastic=0, stroke=0)


@pytest.fixture(scope="module")
def glyphs():
    return np.stack([normalise(sample.draw(character, 0)) for character in "AbR27"])


def test_strength_zero_changes_nothing(glyphs):
    assert np.array_equal(augment(glyphs, NOTHING, np.random.default_rng(0)), glyphs)


def test_same_seed_same_images_and_input_is_left_alone(glyphs):
    before = glyphs.copy()
    first, second = (augment(glyphs, Augmentation(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(glyphs, before)
    assert first.dtype == np.uint8 and first.shape == glyphs.shape
    assert not np.array_equal(first, augment(glyphs, Augmentation(), np.random.default_rng(4)))


def test_every_image_gets_its_own_draw(glyphs):
    copies = augment(np.repeat(glyphs[:1], 8, axis=0), Augmentation(), np.random.default_rng(0))
    assert len({copy.tobytes() for copy in copies}) == 8


def test_no_glyph_bleeds_into_its_neighbour():
    stack = np.zeros((3, 28, 28), np.uint8)
    stack[1] = 255  # full to the edges, so that whatever the neighbours read beyond theirs would show
    strong = Augmentation(rotation=45, shear=20, scale=0.5, shift=0.4, elastic=0.1, stroke=1)
    out = augment(stack, strong, np.random.default_rng(0))
    assert out[0].max() == 0 and out[2].max() == 0 and out[1].max() > 0


def test_stroke_thickens_and_thins(glyphs):
    only_stroke = Augmentation(rotation=0, shear=0, scale=0, shift=0, elastic=0, stroke=1)
    copies = augment(np.repeat(glyphs[:1], 50, axis=0), only_stroke, np.random.default_rng(0))
    ink = copies.sum(axis=(1, 2)) / glyphs[0].sum()
    assert ink.min() < 0.8 and ink.max() > 1.2


def test_glyphs_keep_their_ink_and_place_on_average(glyphs):
    copies = augment(np.repeat(glyphs[:1], 400, axis=0), Augmentation(stroke=0), np.random.default_rng(0))
    mean = copies.mean(axis=0)
    columns, rows = np.meshgrid(np.arange(28), np.arange(28))
    centre = [(mean * axis).sum() / mean.sum() for axis in (columns, rows)]
    before = [(glyphs[0] * axis).sum() / glyphs[0].sum() for axis in (columns.astype(float), rows)]
    assert centre == pytest.approx(before, abs=0.5)
    assert copies.mean() == pytest.approx(glyphs[0].mean(), rel=0.1)


def test_more_images_than_one_stacked_picture_can_hold():
    many = np.random.default_rng(0).integers(0, 255, (1500, 28, 28), np.uint8)
    out = augment(many, NOTHING, np.random.default_rng(0))
    assert np.array_equal(out, many)


def test_other_sizes():
    images = np.zeros((2, 40, 40), np.uint8)
    images[:, 10:30, 18:22] = 255
    assert augment(images, Augmentation(), np.random.default_rng(0)).shape == (2, 40, 40)
