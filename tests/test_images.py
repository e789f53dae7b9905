"""Encoded images of every format become gray levels; damaged and hostile ones are refused."""

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from formats import bmp, encode, mutated, page, save
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from midas.data.entries import Entry
from midas.data.images import UnreadableImage, decode_pages, has_signature, to_grayscale
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


ROTATED = Image.Exif()
ROTATED[EXIF_ORIENTATION] = 6


def decode(data: bytes) -> np.ndarray:
    """Decode the first page."""
    return Entry("image", None, lambda: decode_pages(data)).read()


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


@pytest.mark.parametrize(
    ("format", "mode"),
    [*((name, "RGB") for name in ("JPEG", "PNG", "TIFF", "WEBP")), ("PNG", "RGBA"), ("TIFF", "RGBA")],
)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_is_respected(orientation, format, mode):
    picture = Image.fromarray(page()).convert(mode)
    if orientation > 1:
        picture = picture.transpose(ORIENTATIONS[orientation])
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    decoded = decode(save(picture, format, exif=exif))
    assert decoded.shape == (90, 120) and np.abs(decoded.astype(int) - page()).mean() < 2


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_is_respected_with_16_bits_and_transparency(orientation):
    turned = Image.fromarray(page())
    if orientation > 1:
        turned = turned.transpose(ORIENTATIONS[orientation])
    pixels = np.dstack([np.zeros((*turned.size[::-1], 3), np.uint16), 257 * (255 - np.asarray(turned, np.uint16))])
    data = cv2.imencode(".png", pixels)[1].tobytes()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    assert (decode(data[:33] + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + data[33:]) == page()).all()


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
    with pytest.raises(UnreadableImage, match=r"empty|not|truncated"):
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
from midas.data.images import UnreadableImage, decode_pages
for file in pathlib.Path(sys.argv[1]).iterdir():
    if not isinstance(next(decode_pages(file.read_bytes())), UnreadableImage):
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


# ---- other formats, recognized by content


OTHERS = {
    **{format: encode(page(), format) for format in ("GIF", "PPM", "JPEG2000", "PCX", "SGI", "TGA", "IM")},
    **{format: encode(page(), format, "1") for format in ("XBM", "MSP")},
    "QOI": encode(page(), "QOI", "RGB") if "QOI" in Image.SAVE else encode(page(), "PPM", "RGB"),
    "ICO": encode(page(), "ICO", sizes=[(120, 90)]),
    "ASCII": b"P2\n# from a program\n120 90\n255\n" + b" ".join(b"%d" % value for value in page().flat),
    "color PFM": b"PF\n120 90\n-1.0\n" + (np.dstack([page()[::-1]] * 3) / 255).astype("<f4").tobytes(),
    "12 bits": b"P5 120 90 4095\n" + (page().astype(">u2") * 16).tobytes(),
    "PAM": b"P7\nWIDTH 120\nHEIGHT 90\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n" + page().tobytes(),
    "PFM": b"Pf\n120 90\n-1.0\n" + (page()[::-1] / 255).astype("<f4").tobytes(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_show_the_same_page(name):
    assert np.abs(decode(OTHERS[name]).astype(int) - page()).max() <= 1


def test_images_are_recognized_by_how_they_begin():
    for name, data in OTHERS.items():
        assert has_signature(data[:32]) or name in ("PCX", "SGI", "TGA", "IM", "XBM", "MSP", "QOI")
    assert not any(map(has_signature, (b"", b"text", b"BMI,age", b"PK\3\4", bytes(32), b"P2P, y")))


@pytest.mark.parametrize("mode", ["I;16", "RGB", "RGBA"])
def test_12_bits_stored_in_16_are_spread(mode):
    deep = page(ink=40).astype(np.uint16) * 16
    pixels = {"I;16": deep, "RGB": np.dstack([deep] * 3)}.get(mode, np.dstack([deep] * 3 + [np.full_like(deep, 4095)]))
    for ending in (".png", ".tiff"):
        assert np.abs(decode(cv2.imencode(ending, pixels)[1].tobytes()).astype(int) - page(ink=40)).max() <= 1


def test_labels_stored_as_pixels_are_spread():
    for highest in (1, 3, 15):
        assert (decode(cv2.imencode(".png", page() // 255 * highest)[1].tobytes()) == page()).all()
        palette = Image.fromarray(page() // 255)
        palette.putpalette([0, 0, 0, highest, highest, highest] + [0] * 762)
        assert (decode(save(palette, "PNG")) == page()).all()


def test_a_rle_compressed_bmp():
    rows = b"".join(bytes([120, line]) + b"\0\0" for line in range(0, 180, 2)) + b"\0\1"
    colors = b"".join(bytes([level] * 3 + [0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, 120, 90, 1, 8, 1, len(rows), 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 54 + len(colors) + len(rows), 0, 0, 54 + len(colors)) + header + colors + rows
    assert decode(data)[:, 7].tolist() == list(range(178, -2, -2))


def test_what_is_no_image_is_named():
    for data, what in (
        (b"%PDF-1.7 ", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "video"),
        (b"PK\3\4" + bytes(40), "archive"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ):
        with pytest.raises(UnreadableImage, match=f"^not an image but .*{what}"):
            decode(data)


def test_heic_is_read_or_its_package_named(monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(page()).convert("RGB")).save(file)
    assert np.abs(decode(file.getvalue()).astype(int) - page()).mean() < 2
    test_heic_without_its_package_names_it(monkeypatch)


def test_heic_without_its_package_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage, match="pip install pillow-heif"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


# ---- bytes that do not belong to the picture


@pytest.mark.parametrize(
    "behind",
    [b"\0" * 99, b"\xff\xda" * 500, b"<html>", *(encode(page("H"), format) for format in ("JPEG", "PNG", "JPEG2000"))],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000"])
def test_bytes_behind_the_end_are_ignored(format, behind):
    for size in (1, 8):  # small and large JPEG
        data = encode(page(width=120 * size, height=90 * size), format)
        assert (decode(data + behind) == decode(data)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"exif": ROTATED}])
def test_a_jpeg_with_an_end_behind_a_cut_is_truncated(mode, options):
    for size in (2, 8):  # small and large JPEG
        data = encode(page(width=120 * size, height=90 * size, ink=90, paper=128), "JPEG", mode, **options)
        assert decode(data).size == 90 * 120 * size**2
        for cut in (0.6, 0.75):
            with pytest.raises(UnreadableImage, match="truncated"):
                decode(data[: int(cut * len(data))] + b"\xff\xd9")


def test_a_jpeg_with_a_damaged_marker_still_ends_at_its_end():
    data = encode(page(), "JPEG")
    start = data.index(b"\xff\xda") + 40
    assert decode(data[:start] + b"\xff\xe9\xff\xf0" + data[start + 4 :]).shape == (90, 120)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "damage", [b"\x00\x00\x00\x01tEXtx\x00\x00\x00\x00", chunk(b"iCCP", b"x\0\0junk"), chunk(b"zTXt", b"?")]
)
def test_damaged_notes_and_profiles_in_a_png_do_not_matter(damage):
    for mode in ("L", "RGBA"):
        data = encode(page(), "PNG", mode)
        assert (decode(data[:33] + damage + data[33:]) == page()).all()


def test_a_png_without_its_measures_is_unreadable():
    data = encode(page())
    empty = bytes(4) + b"IHDR" + zlib.crc32(b"IHDR").to_bytes(4, "big")
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(data[:8] + empty + data[33:])


def test_a_png_whose_pixels_are_damaged_is_unreadable():
    data = bytearray(encode(page()))
    data[data.index(b"IDAT") + 20] ^= 1
    with pytest.raises(UnreadableImage, match="damaged"):
        decode(bytes(data))


# ---- several pages


PAGES = [page(character) for character in "LHi"]


def several(format, pages=PAGES, **options):
    first, *others = (Image.fromarray(each) if isinstance(each, np.ndarray) else each for each in pages)
    return save(first, format, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(("format", "options"), [("TIFF", {}), ("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_every_page_and_frame_is_read(format, options):
    found = list(decode_pages(several(format, **options)))
    assert len(found) == 3 and all(np.array_equal(one, other) for one, other in zip(found, PAGES, strict=True))
    assert np.array_equal(decode(several(format, **options)), PAGES[0])


def test_pages_of_a_tiff_differ_in_size_depth_and_compression():
    deep = Image.fromarray(PAGES[2].astype(np.uint16) * 16)
    pages = [page(width=300, height=200), Image.fromarray(PAGES[1]).convert("1"), deep, np.dstack([PAGES[0]] * 3)]
    found = list(decode_pages(several("TIFF", pages)))
    assert [each.shape for each in found] == [(200, 300), (90, 120), (90, 120), (90, 120)]
    assert np.array_equal(found[1], PAGES[1]) and np.abs(found[2].astype(int) - PAGES[2]).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_a_damaged_page_does_not_affect_the_others(compression):
    data = bytearray(several("TIFF", compression=compression))
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        start, length = image.tag_v2[273][0], image.tag_v2[279][0]
    data[start : start + length] = b"\x55" * length
    first, second, third = decode_pages(bytes(data))
    assert np.array_equal(first, PAGES[0]) and np.array_equal(third, PAGES[2])
    assert isinstance(second, UnreadableImage) and "damaged" in str(second)


def test_thumbnails_and_masks_in_a_tiff_are_no_pages():
    kinds = [0, 1, 4, 2]
    data = bytearray(several("TIFF", [*PAGES, page("H", ink=90)], tiffinfo={254: 0}))
    position, order = 4, "<" if data[:2] == b"II" else ">"
    for kind in kinds:
        (start,) = struct.unpack_from(f"{order}I", data, position)
        (entries,) = struct.unpack_from(f"{order}H", data, start)
        struct.pack_into(f"{order}I", data, start + 10, kind)
        position = start + 2 + 12 * entries
    assert [np.unique(each)[0] for each in decode_pages(bytes(data))] == [0, 90]


def test_the_frames_of_a_truncated_animation_before_the_cut_are_read():
    for format in ("GIF", "PNG"):
        data = several(format)
        found = list(decode_pages(data[: -len(data) // 5]))
        assert np.array_equal(found[0], PAGES[0]) and isinstance(found[-1], UnreadableImage)


def test_pages_beyond_the_limits_are_left_out_with_a_reason(monkeypatch):
    for name, limit in (("MAX_PAGES", 2), ("MAX_TOTAL_PIXELS", 2 * 90 * 120 - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(f"midas.data.images.{name}", limit)
            *read, last = decode_pages(several("TIFF"))
        assert len(read) == 2 and "left out" in str(last) and "split the file" in str(last)


def test_a_tiff_whose_directories_form_a_loop_ends():
    data = bytearray(several("TIFF"))
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, start)
    struct.pack_into(f"{order}I", data, start + 2 + 12 * entries, start)
    assert len(list(decode_pages(bytes(data)))) == 1


@pytest.mark.parametrize("format", ["GIF", "WEBP", "BMP", "PPM", "TIFF"])
def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(format, monkeypatch):
    monkeypatch.setattr("midas.data.images.MAX_PIXELS", 90 * 120 - 1)
    with pytest.raises(UnreadableImage, match="larger"):
        decode(encode(page(), format))


# ---- fuzzing

ENCODED = [
    *(encode(page(), format) for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "ICO")),
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
        assert all(isinstance(each, UnreadableImage | np.ndarray) for each in decode_pages(data))
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
    try:
        gray = to_grayscale(image)
    except UnreadableImage as error:
        assert "values from" in str(error)
        return
    assert gray.dtype == np.uint8 and gray.shape == image.shape[:2]
