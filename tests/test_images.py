"""Encoded images of every format become gray levels; damaged and hostile ones are refused."""

import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from formats import bmp, encode, mutated, page, save
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from midas.data.images import UnreadableImage, decode, to_grayscale
from midas.data.preprocessing import normalize

LOSSLESS = [
    *(("PNG", mode) for mode in ("L", "RGB", "RGBA", "LA", "P", "1")),
    *(("TIFF", mode) for mode in ("L", "RGB", "RGBA", "P", "1", "CMYK", "F")),
    *(("BMP", mode) for mode in ("L", "RGB", "P", "1")),
]
LOSSY = [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA")]
EXIF_ORIENTATION = 0x112
ORIENTATIONS = {  # the operation that undoes each, from the EXIF standard
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


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


def test_transparency_is_paper_in_other_encodings():
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


@pytest.mark.parametrize(
    ("offset", "number", "reason"), [(33, 2**32 - 1, "truncated"), (16, 2**31 - 1, "larger")], ids=["chunk", "width"]
)
def test_a_png_that_claims_too_much_is_refused_before_memory_is_allocated(offset, number, reason):
    data = bytearray(encode(page(), "png"))
    struct.pack_into(">I", data, offset, number)
    with pytest.raises(UnreadableImage, match=reason):
        decode(bytes(data))


def test_bytes_after_the_end_of_a_png_are_ignored():
    data = encode(page(), "png")
    assert (decode(data + b"\xff" * 20) == decode(data)).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_unreadable(format):
    data = encode(page(), format)
    for length in (1, 3, 12, 30, len(data) // 2, len(data) * 9 // 10, len(data) - 8):
        with pytest.raises(UnreadableImage):
            decode(data[:length])


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x04\0\0\0WEBPVP8X", bytes(1000)]
)
def test_other_bytes_than_an_image_are_unreadable(data):
    with pytest.raises(UnreadableImage, match=r"empty|not"):
        decode(data)


def test_opencv_prints_nothing_about_bad_images(tmp_path):
    for name, data in (
        ("text", b"text"),
        ("tiff", encode(page(), "TIFF")[:500]),
        ("bmp", encode(page(), "BMP")[:5000]),
    ):
        (tmp_path / name).write_bytes(data)
    code = """
import pathlib, sys
from midas.data.images import UnreadableImage, decode
for file in pathlib.Path(sys.argv[1]).iterdir():
    try:
        decode(file.read_bytes())
    except UnreadableImage:
        continue
    sys.exit("decoded")
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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
def test_arrays_of_any_type_become_gray_levels(pixels):
    gray = to_grayscale(pixels)
    assert gray.dtype == np.uint8 and np.abs(gray.astype(int) - page()).max() <= 1


def test_nan_is_black():
    assert to_grayscale(np.array([[np.nan, 1.0], [-np.inf, np.inf]])).tolist() == [[0, 255], [0, 0]]


def test_color_becomes_luminance_in_the_channel_order_of_opencv():
    blue_green_red = np.eye(3, dtype=np.uint8)[None] * 255
    assert to_grayscale(blue_green_red).tolist() == [[29, 150, 76]]  # 0.114, 0.587 and 0.299 of 255


def test_importing_it_does_not_change_the_log_level_of_opencv():
    code = """
import sys, cv2
log = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, 5
log.setLogLevel(3)
import midas.data.preprocessing
sys.exit(log.getLogLevel() != 3)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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
def test_fuzzed_bytes_are_gray_levels_or_unreadable(data):
    try:
        gray = decode(data)
        assert gray.dtype == np.uint8 and gray.ndim == 2
        glyph = normalize(gray).image
    except UnreadableImage as error:
        assert "\n" not in str(error)
        return
    assert glyph.shape == (28, 28) and glyph.max() == 255


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from("?BbHhIiQqefd").flatmap(
        lambda kind: arrays(kind, st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4)))
    )
)
def test_fuzzed_arrays_become_gray_levels(image):
    gray = to_grayscale(image)
    assert gray.dtype == np.uint8 and gray.shape == image.shape[:2]
