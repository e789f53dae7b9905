"""Any picture of a character becomes light ink on black, cropped to the glyph, scaled and centred."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from images import bmp, encode, mutated, page, save
from PIL import Image

from midas.data import sample
from midas.data.preprocessing import (
    NO_PLACE,
    UnreadableImage,
    decode,
    glyph_and_place,
    glyph_box,
    ink_levels,
    normalise,
    to_grey,
)

LOSSLESS = [
    *(("PNG", mode) for mode in ("L", "RGB", "RGBA", "LA", "P", "1")),
    *(("TIFF", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "CMYK", "F")),
    *(("BMP", mode) for mode in ("L", "RGB", "P", "1")),
]
LOSSY = [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA")]
EXIF_ORIENTATION = 0x112
ORIENTATIONS = {  # what undoes each, from the EXIF standard
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def box(glyph):
    """Left, top, width and height of what is inked in a normalised image."""
    return cv2.boundingRect((glyph > 32).astype(np.uint8))


# ---- decoding


@pytest.mark.parametrize(("format", "mode"), LOSSLESS + LOSSY)
def test_every_format_and_mode_shows_the_same_page(format, mode):
    decoded = decode(encode(page(), format, mode))
    assert decoded.dtype == np.uint8 and decoded.shape == (90, 120)
    difference = np.abs(decoded.astype(int) - page())
    assert difference.max() == 0 if (format, mode) in LOSSLESS else np.mean(difference) < 2


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate", "group4"])
def test_compressed_tiff(compression):
    assert (decode(encode(page(), "TIFF", "1", compression=compression)) == page()).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_become_8(format):
    sixteen = page(ink=40, paper=200).astype(np.uint16) * 257
    assert (decode(save(Image.fromarray(sixteen), format)) == page(ink=40, paper=200)).all()


@pytest.mark.parametrize("ink", [0, 255])
@pytest.mark.parametrize("ending", [".png", ".webp", ".tiff"])
def test_transparency_is_paper(ending, ink):
    pixels = np.dstack([np.full((90, 120, 3), ink, np.uint8), 255 - page()])
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if ending == ".webp" else []
    decoded = decode(cv2.imencode(ending, pixels, options)[1].tobytes())
    assert (decoded == (page() if ink == 0 else 255 - page())).all()


def test_transparency_in_other_guises():
    clear = np.dstack([np.zeros((90, 120, 3), np.uint16), 257 * (255 - page()).astype(np.uint16)])
    assert (decode(cv2.imencode(".png", clear)[1].tobytes()) == page()).all()
    palette = Image.fromarray((page() > 128).astype(np.uint8))
    palette.putpalette([0] * 768)
    assert (decode(save(palette, "PNG", transparency=1)) == page()).all()
    profile = np.random.default_rng(0).bytes(5000)  # sets the transparency far back in the file
    assert (decode(save(palette, "PNG", transparency=1, icc_profile=profile)) == page()).all()
    picture = Image.fromarray(np.dstack([np.zeros((90, 120, 3), np.uint8), 255 - page()]))
    assert (decode(save(picture, "TIFF", big_tiff=True)) == page()).all()
    assert (decode(bmp(np.dstack([np.zeros((90, 120, 3), np.uint8), 255 - page()]))) == page()).all()
    half = np.dstack([np.zeros((90, 120, 3), np.uint8), (255 - page()) // 2])
    assert set(np.unique(decode(save(Image.fromarray(half))))) == {128, 255}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_is_respected(orientation, format):
    picture = Image.fromarray(page()).convert("RGB")
    if orientation > 1:
        picture = picture.transpose(ORIENTATIONS[orientation])
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    decoded = decode(save(picture, format, exif=exif))
    assert decoded.shape == (90, 120) and np.abs(decoded.astype(int) - page()).mean() < 2


@pytest.mark.parametrize("place, number", [(33, 2**32 - 1), (16, 2**31 - 1)])  # a chunk's length; the width
def test_a_png_that_boasts_is_refused_before_room_is_made_for_it(place, number):
    data = bytearray(encode(page(), "png"))
    struct.pack_into(">I", data, place, number)
    with pytest.raises(UnreadableImage, match="cut short" if place == 33 else "larger"):
        decode(bytes(data))


def test_what_lies_behind_the_end_of_a_png_is_passed_over():
    data = encode(page(), "png")
    assert (decode(data + b"\xff" * 20) == decode(data)).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_short_is_unreadable(format):
    data = encode(page(), format)
    for length in (1, 3, 12, 30, len(data) // 2, len(data) * 9 // 10, len(data) - 8):
        with pytest.raises(UnreadableImage):
            decode(data[:length])


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x04\0\0\0WEBPVP8X", bytes(1000)]
)
def test_what_is_no_image_is_unreadable(data):
    with pytest.raises(UnreadableImage, match=r"empty|not"):
        decode(data)


def test_nothing_is_printed_about_bad_images(capfd):
    for data in (b"text", encode(page(), "TIFF")[:500], encode(page(), "BMP")[:5000]):
        with pytest.raises(UnreadableImage):
            decode(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pixels",
    [
        page() > 128,
        page().astype(np.uint16) * 257,
        page().astype(np.uint16),
        page().astype(np.int64),
        page() / 255,
        page().astype(np.float32),
        page().astype(np.uint32) * 16843009,
        page()[:, :, None],
        np.dstack([page()] * 3),
        np.dstack([np.zeros_like(page()), 255 - page()]),
    ],
)
def test_arrays_of_any_type_become_grey(pixels):
    grey = to_grey(pixels)
    assert grey.dtype == np.uint8 and np.abs(grey.astype(int) - page()).max() <= 1


def test_not_a_number_is_black():
    assert to_grey(np.array([[np.nan, 1.0], [-np.inf, np.inf]])).tolist() == [[0, 255], [0, 0]]


# ---- normalising


@pytest.mark.parametrize("character", "LHi")
def test_the_glyph_is_cropped_scaled_and_centred(character):
    glyph = normalise(page(character))
    assert glyph.shape == (28, 28) and glyph.dtype == np.uint8 and glyph.max() == 255
    left, top, width, height = box(glyph)
    assert max(width, height) == 20 and min(left, top) >= 1
    moments = cv2.moments(glyph)
    assert abs(moments["m10"] / moments["m00"] - 14) < 1 and abs(moments["m01"] / moments["m00"] - 14) < 1
    _, _, drawn_width, drawn_height = box(255 - page(character))
    assert abs(width / height - drawn_width / drawn_height) < 0.06


@pytest.mark.parametrize("size", [8, 20, 40, 64])
def test_any_size_of_the_result(size):
    glyph = normalise(page(), size)
    assert glyph.shape == (size, size) and max(box(glyph)[2:]) == round(size * 20 / 28)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (100, 180), (180, 100), (20, 60)])
def test_either_polarity_and_little_contrast_give_the_same_glyph(ink, paper):
    assert np.abs(normalise(page(ink=ink, paper=paper)).astype(int) - normalise(page())).max() <= 8


@pytest.mark.parametrize("pen", [2, 4])
@pytest.mark.parametrize("ink", [0, 255])
def test_a_glyph_cut_out_tightly_keeps_its_polarity(ink, pen):
    whole = page("H", ink=ink, paper=255 - ink, pen=pen)
    left, top, width, height = box(whole if ink else 255 - whole)
    cut = whole[top : top + height, left : left + width]
    assert ink_levels(cut) == (255 - ink, ink)
    assert (normalise(cut) == normalise(whole)).all()


@pytest.mark.parametrize("place", [(0, 0), (0, 117), (87, 0), (87, 117)])
@pytest.mark.parametrize("character", "LHi")
def test_a_stray_dot_does_not_decide_the_crop(character, place):
    dotted = page(character)
    dotted[place[0] : place[0] + 3, place[1] : place[1] + 3] = 0
    assert (normalise(dotted) == normalise(page(character))).all()


@pytest.mark.parametrize("character", "ij")
def test_the_dots_of_i_and_j_survive(character):
    for writer in range(0, sample.WRITERS, 3):
        ink = 255 - sample.draw(character, writer)
        left, top, width, height = box(ink)
        assert glyph_box(ink) == (left, top, left + width, top + height)


def test_a_normalised_glyph_passes_unchanged():
    for character in "aB7gi":
        glyph = normalise(sample.draw(character, 1))
        assert (normalise(glyph) == glyph).all()


@pytest.mark.parametrize("shape", [(3000, 2000), (2000, 3000), (3000, 40), (40, 3000), (8, 8), (41, 1200), (1, 400)])
def test_any_shape(shape):
    grey = np.full(shape, 255, np.uint8)
    grey[shape[0] // 4 : shape[0] // 2 + 1, shape[1] // 4 : shape[1] // 2 + 1] = 0
    glyph = normalise(grey)
    assert glyph.shape == (28, 28) and glyph.max() == 255 and max(box(glyph)[2:]) == 20


def test_a_fine_pen_on_a_large_scan_stays_visible():
    glyph = normalise(page("H", 3000, 2000, pen=4))
    assert glyph.max() == 255 and box(glyph)[3] == 20
    grey = np.full((3000, 3000), 255, np.uint8)
    grey[10:14, 10:14] = grey[-14:-10, -14:-10] = 0  # so little ink that it would round to none
    assert normalise(grey).max() == 255


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (900, 1200)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_is_unreadable(shape, level):
    noise = np.random.default_rng(0).integers(0, 10, shape)
    for grey in (np.full(shape, level, np.uint8), (level - noise.clip(max=level)).astype(np.uint8)):
        with pytest.raises(UnreadableImage, match="blank"):
            normalise(grey)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(shape):
    with pytest.raises(UnreadableImage, match="blank"):
        normalise(np.zeros(shape, np.uint8))


def test_a_box_of_nothing_is_unreadable():
    with pytest.raises(UnreadableImage, match="blank"):
        glyph_box(np.zeros((9, 9), np.uint8))


# ---- fuzzing

ENCODED = [
    *(encode(page(), format) for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")),
    encode(page(), "TIFF", "RGBA", compression="tiff_lzw"),
    encode(page(), "PNG", "P"),
    encode(page(), "JPEG", progressive=True),
]
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.binary(max_size=200), st.builds(mutated, st.sampled_from(ENCODED), changes, st.floats(0.3, 1))))
def test_fuzzed_bytes_are_a_glyph_or_unreadable(data):
    try:
        glyph = normalise(decode(data))
    except UnreadableImage:
        return
    assert glyph.shape == (28, 28) and glyph.max() == 255


@settings(max_examples=150, deadline=None, derandomize=True)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)), st.integers(2, 40))
def test_fuzzed_pixels_are_a_glyph_or_unreadable(grey, size):
    try:
        glyph = normalise(grey, size)
    except UnreadableImage:
        return
    assert glyph.shape == (size, size) and glyph.max() == 255


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from("?BbHhIiQqefd").flatmap(
        lambda kind: arrays(kind, st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4)))
    )
)
def test_fuzzed_arrays_become_grey(image):
    grey = to_grey(image)
    assert grey.dtype == np.uint8 and grey.shape == image.shape[:2]


def test_place_tells_size_and_position_of_a_drawing_at_any_scale():
    whole = sample.draw("c", 0)
    known = glyph_and_place(whole)[1]
    assert known[0] == 1 and np.abs(known).max() < 3
    shift = glyph_and_place(np.roll(whole, (40, 60), axis=(0, 1)))[1] - known
    assert shift == pytest.approx([0, 0, 0, 4.5 * 2 * 60 / 900, 4.5 * 2 * 40 / 900], abs=0.05)
    half = cv2.resize(whole, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert glyph_and_place(half)[1] == pytest.approx(known, abs=0.05)
    assert glyph_and_place(sample.draw("C", 0))[1][1] > known[1] + 0.1


def test_place_is_left_open_where_it_says_nothing():
    whole = sample.draw("O", 0)
    for other in (
        whole[:, 150:-150],  # not a page of that tool
        cv2.dilate(whole, np.ones((40, 40), np.uint8)),  # another pen
        cv2.resize(whole, (28, 28), interpolation=cv2.INTER_AREA),
    ):
        assert (glyph_and_place(other)[1] == NO_PLACE).all()
