"""Any picture of a character becomes light ink on black, cropped to the glyph, scaled and centered."""

import cv2
import numpy as np
import pytest
from formats import page
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from midas.data import preprocessing, sample
from midas.data.glyphs import UNKNOWN_PLACE
from midas.data.images import UnreadableImage
from midas.data.preprocessing import measure_place, normalize


def box(glyph):
    """Left, top, width and height of the ink in a normalized image."""
    return cv2.boundingRect((glyph > 32).astype(np.uint8))


@pytest.mark.parametrize("character", "LHi")
def test_the_glyph_is_cropped_scaled_and_centered(character):
    glyph = normalize(page(character)).image
    assert glyph.shape == (28, 28) and glyph.dtype == np.uint8 and glyph.max() == 255
    left, top, width, height = box(glyph)
    assert max(width, height) == 20 and min(left, top) >= 1
    moments = cv2.moments(glyph)
    assert abs(moments["m10"] / moments["m00"] - 14) < 1 and abs(moments["m01"] / moments["m00"] - 14) < 1
    _, _, drawn_width, drawn_height = box(255 - page(character))
    assert abs(width / height - drawn_width / drawn_height) < 0.06


@pytest.mark.parametrize("paper", [255, 250])
def test_shrinking_only_what_is_inked_changes_nothing(paper):
    rng = np.random.default_rng(0)
    for height, width, factor in ((900, 1200, 4), (90, 122, 2), (91, 120, 2)):
        for spots in (0, 1, 3):
            gray = np.full((height, width), paper, np.uint8)
            for top, left in rng.integers(0, 80, (spots, 2)):
                gray[top : top + 9, left : left + 15] = rng.integers(
                    0, 256, gray[top : top + 9, left : left + 15].shape
                )
            size = round(width / factor), round(height / factor)
            assert np.array_equal(
                preprocessing._shrunk(gray, factor), cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
            )


@pytest.mark.parametrize("size", [8, 20, 40, 64])
def test_the_result_can_have_any_size(size):
    glyph = normalize(page(), size).image
    assert glyph.shape == (size, size) and max(box(glyph)[2:]) == round(size * 20 / 28)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (100, 180), (180, 100), (20, 60)])
def test_either_polarity_and_low_contrast_give_the_same_glyph(ink, paper):
    assert np.abs(normalize(page(ink=ink, paper=paper)).image.astype(int) - normalize(page()).image).max() <= 8


@pytest.mark.parametrize("corner", [(0, 0), (0, 117), (87, 0), (87, 117)])
@pytest.mark.parametrize("character", "LHi")
def test_a_stray_dot_does_not_change_the_crop(character, corner):
    dotted = page(character)
    dotted[corner[0] : corner[0] + 3, corner[1] : corner[1] + 3] = 0
    assert (normalize(dotted).image == normalize(page(character)).image).all()


def test_a_normalized_glyph_stays_unchanged():
    for character in "aB7gi":
        glyph = normalize(sample.draw(character, 1)).image
        assert (normalize(glyph).image == glyph).all()


@pytest.mark.parametrize("shape", [(3000, 2000), (2000, 3000), (3000, 40), (40, 3000), (8, 8), (41, 1200), (1, 400)])
def test_images_of_any_shape(shape):
    gray = np.full(shape, 255, np.uint8)
    gray[shape[0] // 4 : shape[0] // 2 + 1, shape[1] // 4 : shape[1] // 2 + 1] = 0
    glyph = normalize(gray).image
    assert glyph.shape == (28, 28) and glyph.max() == 255 and max(box(glyph)[2:]) == 20


def test_a_fine_pen_on_a_large_scan_stays_visible():
    glyph = normalize(page("H", 3000, 2000, pen=4)).image
    assert glyph.max() == 255 and box(glyph)[3] == 20
    gray = np.full((3000, 3000), 255, np.uint8)
    gray[10:14, 10:14] = gray[-14:-10, -14:-10] = 0  # so little ink that it would round to nothing
    assert normalize(gray).image.max() == 255


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (900, 1200)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_unreadable(shape, level):
    noise = np.random.default_rng(0).integers(0, 10, shape)
    for gray in (np.full(shape, level, np.uint8), (level - noise.clip(max=level)).astype(np.uint8)):
        with pytest.raises(UnreadableImage, match="blank"):
            normalize(gray)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(shape):
    with pytest.raises(UnreadableImage, match="blank"):
        normalize(np.zeros(shape, np.uint8))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)), st.integers(2, 40))
def test_fuzzed_pixels_are_a_glyph_or_unreadable(gray, size):
    try:
        glyph = normalize(gray, size).image
    except UnreadableImage:
        return
    assert glyph.shape == (size, size) and glyph.max() == 255


def test_place_measures_size_and_position_of_a_drawing_at_any_scale():
    whole = sample.draw("c", 0)
    known = normalize(whole).place
    assert known[0] == 1 and np.abs(known).max() < 3
    shift = normalize(np.roll(whole, (40, 60), axis=(0, 1))).place - known
    assert shift == pytest.approx([0, 0, 0, 4.5 * 2 * 60 / 900, 4.5 * 2 * 40 / 900], abs=0.05)
    half = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert normalize(half).place == pytest.approx(known, abs=0.05)
    assert normalize(sample.draw("C", 0)).place[1] > known[1] + 0.1


def test_place_is_unknown_on_other_pages():
    whole = sample.draw("O", 0)
    for other in (
        whole[:, 150:-150],  # another aspect ratio
        cv2.dilate(whole, np.ones((40, 40), np.uint8)),  # another pen
        cv2.resize(whole, (28, 28), interpolation=cv2.INTER_AREA),
    ):
        assert (normalize(other).place == UNKNOWN_PLACE).all()


def test_place_is_that_of_the_formula():
    ink = np.zeros((90, 120), np.uint8)
    ink[10:70, 30:36] = 255  # a bar 60 high and 6 wide, whose center is at (33, 40) of (120, 90)
    expected = [1, np.log(2 * 60 / 90) / 0.35, np.log(3 * 6 / 90) / 0.35, 9 * (33 - 60) / 90, 9 * (40 - 45) / 90]
    place = measure_place(ink, (30, 10, 36, 70), ink.shape)
    assert place.dtype == np.float32 and place == pytest.approx(expected)


@pytest.mark.parametrize("deviation", [3, 20])
def test_noise_of_the_paper_averages_out(deviation):
    page = sample.draw("R", 3)
    noise = np.random.default_rng(0).normal(0, deviation, page.shape)
    noisy = (40 + 0.7 * page + noise).clip(0, 255).astype(np.uint8)
    glyph = normalize(noisy, 36).image
    paper = cv2.dilate(normalize(page, 36).image, np.ones((5, 5), np.uint8)) == 0
    assert glyph[paper].mean() < 1


def test_a_hairline_on_noisy_paper_is_a_glyph():
    page = np.full((1500, 2000), 200, np.uint8)
    page[400:1100, 1000:1008] = 10
    noisy = page + np.random.default_rng(0).integers(-5, 6, page.shape)
    assert normalize(noisy.astype(np.uint8)).image.max() > 200
