"""Arrays of any range and opacity become gray levels; a blank page never becomes a character."""

import cv2
import numpy as np
import pytest
from formats import page

from midas.data.levels import UnreadableImage, find_range, to_grayscale, value_range
from midas.data.preprocessing import normalize

PAGE = page(ink=0, paper=255)


def like_page(gray, page=PAGE):
    """Whether gray levels show the same strokes as a page, in the same polarity."""
    return np.abs(gray.astype(int) - page).max() <= 8


# ---- range


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
def test_fewer_bits_stored_in_16_are_spread(bits):
    deep = (PAGE.astype(np.float64) / 255 * (2**bits - 1)).round().astype(np.uint16)
    assert like_page(to_grayscale(deep)) and like_page(to_grayscale(np.dstack([deep] * 3)))


@pytest.mark.parametrize("highest", [1, 3, 4, 15, 16])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int64, np.float32])
def test_a_few_levels_are_spread(highest, kind):
    few = (PAGE.astype(np.float64) / 255 * highest).astype(kind)
    assert set(np.unique(to_grayscale(few))) == {0, 255}


@pytest.mark.parametrize(
    "pixels",
    [PAGE / 127.5 - 1, (PAGE - 128.0) / 73, PAGE.astype(np.int16) - 128, PAGE / 2550],
    ids=["-1 to 1", "standardized", "signed", "0 to 0.1"],
)
def test_other_ranges_are_spread(pixels):
    assert np.array_equal(to_grayscale(pixels), PAGE)


def blank_pages():
    rng, shape = np.random.default_rng(0), (90, 120)
    slope = np.linspace(0, 15, 120) * np.ones((90, 1))
    return {
        "white": rng.integers(240, 256, shape).astype(np.uint8),
        "254 and 255": rng.integers(254, 256, shape).astype(np.uint8),
        "0 and 1": rng.integers(0, 2, shape).astype(np.uint8),
        "a few specks of 1": (rng.random(shape) < 0.02).astype(np.uint8),
        "black": rng.normal(2, 2, shape).clip(0, 25).astype(np.uint8),
        "black, blurred": cv2.GaussianBlur(rng.normal(2, 6, shape), (5, 5), 0).clip(0, 25).astype(np.uint8),
        "black, unevenly": (slope + rng.normal(0, 1, shape)).clip(0, 25).astype(np.uint8),
        "12 bits": rng.normal(3900, 60, shape).clip(0, 4095).astype(np.uint16),
        "black in 16 bits": rng.normal(100, 40, shape).clip(0, None).astype(np.uint16),
        "standardized": rng.normal(0, 1, shape),
        "all alike": np.full(shape, 3, np.uint8),
    }


@pytest.mark.parametrize("kind", blank_pages())
def test_noise_of_a_blank_page_is_never_amplified_into_a_character(kind):
    with pytest.raises(UnreadableImage, match="blank"):
        normalize(to_grayscale(blank_pages()[kind]))


def test_the_range_is_named_where_it_may_be_meant():
    with pytest.raises(UnreadableImage, match=r"^blank: values from 0 to 1, without a shape$"):
        to_grayscale(blank_pages()["0 and 1"])


def test_a_data_set_has_one_range():
    faint, strong = np.full((2, 9, 9), 1.0), np.zeros((2, 9, 9))
    strong[:, 3:6, 3:6] = 16
    span = value_range([faint, strong])
    assert span == (0, 16)
    assert to_grayscale(faint[0], span).max() == 16 and to_grayscale(strong[0], span).max() == 255
    assert value_range([np.array([[[np.nan, 1.0, np.inf]]])]) == (0, 1)
    assert value_range([np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 200, np.uint8)]) == (0, 255)


def test_opacity_does_not_count_for_the_range():
    levels = np.dstack([(PAGE // 255).astype(np.uint8)] * 3 + [np.full_like(PAGE, 255)])
    assert value_range([levels[None]]) == (0, 1) and like_page(to_grayscale(levels))


# ---- transparency: what surrounds a page, or a stroke


def layers(gray, alpha):
    return to_grayscale(np.dstack([gray, gray, gray, alpha]).astype(np.uint8))


def with_margin(page, shadow=0.0):
    """A page on a transparent margin, with a black shadow of this opacity: the page, and what it looks like."""
    gray, opacity = np.pad(page, 20), np.pad(np.ones(page.shape), 20)
    alpha = np.maximum(opacity, shadow * cv2.GaussianBlur(opacity, (0, 0), 6))
    return gray, 255 * alpha


@pytest.mark.parametrize("shadow", [0, 0.3, 0.6])
@pytest.mark.parametrize("paper", [255, 230, 0])
def test_a_page_continues_beyond_its_edge_without_its_shadow(paper, shadow):
    drawn = page(ink=255 - paper, paper=paper)
    found = layers(*with_margin(drawn, shadow))
    assert np.array_equal(found, np.pad(drawn, 20, constant_values=paper))


@pytest.mark.parametrize("shadow", [0, 0.6])
def test_a_blank_page_on_a_margin_is_blank(shadow):
    with pytest.raises(UnreadableImage, match="blank"):
        normalize(layers(*with_margin(np.full((90, 120), 255, np.uint8), shadow)))


def test_a_rotated_page_and_round_corners_are_margins():
    turn = cv2.getRotationMatrix2D((100, 100), 25, 1)
    gray = cv2.warpAffine(np.pad(PAGE, ((55, 55), (40, 40))), turn, (200, 200))
    alpha = cv2.warpAffine(np.pad(np.full_like(PAGE, 255), ((55, 55), (40, 40))), turn, (200, 200))
    found = layers(gray, alpha)
    assert found[0].min() == 255 and (found[alpha < 200] == 255).all() and found.min() < 50
    corners = np.zeros_like(PAGE)
    cv2.rectangle(corners, (20, 0), (99, 89), 255, -1)
    cv2.rectangle(corners, (0, 20), (119, 69), 255, -1)
    for center in ((20, 20), (99, 20), (20, 69), (99, 69)):
        cv2.circle(corners, center, 20, 255, -1)
    assert np.array_equal(layers(PAGE, corners), PAGE)


@pytest.mark.parametrize("ink", [0, 90, 170, 255])
def test_ink_on_nothing_is_laid_on_paper_that_it_stands_out_from(ink):
    found = layers(np.full_like(PAGE, ink), 255 - PAGE)
    paper = 255 if ink < 128 else 0
    assert np.array_equal(found, np.where(PAGE == 0, ink, paper))


def test_a_punched_hole_is_paper_and_a_stencil_is_ink():
    hole = np.full_like(PAGE, 255)
    cv2.circle(hole, (12, 45), 7, 0, -1)
    assert np.array_equal(layers(np.where(hole, PAGE, 0), hole), PAGE)
    assert np.array_equal(layers(np.full_like(PAGE, 255), PAGE), PAGE)


@pytest.mark.parametrize("outline", [0, 255])
def test_an_outlined_character_keeps_the_color_of_its_outline_around_it(outline):
    outlined = cv2.dilate(255 - PAGE, np.ones((7, 7)))
    gray = np.where(PAGE == 0, 255 - outline, outline)
    found = layers(gray, outlined)
    assert np.array_equal(found, gray)


def test_a_fully_transparent_image_is_blank():
    assert (layers(PAGE, np.zeros_like(PAGE)) == 255).all()
    assert (to_grayscale(np.dstack([PAGE, np.zeros_like(PAGE)])) == 255).all()


def test_outliers_of_pixels_that_were_standardized_one_by_one_do_not_set_the_range():
    images = np.stack([PAGE / 255.0 * 3.2 - 0.4] * 5)
    images[2, 0, 0] = 20
    low, high = value_range([images[:3], images[3:]])
    assert (low, high) == pytest.approx((-0.4, 2.8))


@pytest.mark.parametrize("kind", ["0 to 1", "0 to 16", "-1 to 1", "bytes as integers"])
@pytest.mark.parametrize("odd", [1e6, -1e6, np.nan, np.inf])
def test_a_few_pixels_far_beyond_all_others_do_not_make_the_images_blank(kind, odd):
    images = np.stack([PAGE] * 5) / 255
    images = {"0 to 16": 16 * images, "-1 to 1": 2 * images - 1, "bytes as integers": 255 * images}.get(kind, images)
    span, _ = find_range([images])
    images[3, 0, :4] = odd
    if kind == "bytes as integers" and np.isfinite(odd):
        images = images.astype(np.int32)
    assert find_range([images[:2], images[2:]]) == (span, [3])
    images[:, 0, :4] = odd
    assert value_range([images]) == span
    alone = to_grayscale(images[0])
    assert np.array_equal(alone[1:], PAGE[1:]) and np.array_equal(alone, to_grayscale(images[0], span))


def test_a_single_bright_pixel_does_not_make_bytes_of_0_and_1_blank():
    images = np.stack([PAGE > 127] * 5).astype(np.uint8)
    images[3, 0, 0] = 255
    assert find_range([images]) == ((0, 1), [3])
    images[3] = PAGE
    assert find_range([images])[0] == (0, 255)


def test_an_image_of_one_value_does_not_set_the_range_of_the_others():
    images = np.stack([PAGE / 255, PAGE / 255, np.full(PAGE.shape, 1e6)])
    assert value_range([images]) == (0, 1)
    assert value_range([images[2:]]) == (0, 2**20 - 1)
