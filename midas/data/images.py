"""Encoded images to gray levels, page by page; the bytes may be damaged or hostile.

The content decides about the format, not a name. OpenCV decodes intact PNG and small JPEG, several times as fast as
Pillow if they are small, and what Pillow cannot. Pillow decodes the rest: it notices damage, and prints nothing about
it except for TIFF.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from midas.data import foreign
from midas.data.levels import UnreadableImage, to_grayscale

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.TiffImagePlugin import TiffImageFile

Page = np.ndarray | UnreadableImage

MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])  # `midas` sets a default before OpenCV reads it
MAX_PAGES = 1000  # of a file, and
MAX_TOTAL_PIXELS = 2**31  # of all its pages: 246 sheets of A4 at 300 dpi
WARNINGS = threading.RLock()
DAMAGED, TOO_LARGE = "damaged or truncated", "damaged, or larger than can be decoded"

JPEG, END = b"\xff\xd8\xff", b"\xff\xd9"
JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
SMALL_JPEG = 4096  # bytes; OpenCV prints what is odd about a JPEG, and for larger ones it is hardly faster than Pillow
MID_GRAY = (32, 224)  # limits of the level that decoders fill in for what is missing, whatever the color space
MISSING = 0.1  # of a picture: less is its margin
PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")  # the others do not change what is shown
ORIENTATION = 274  # a tag of EXIF
ANIMATION_CHUNKS = (b"acTL", b"fcTL", b"fdAT")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
NEW_SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4  # a tag of TIFF, and two of its bits
BITS_PER_SAMPLE = 258  # another one
HEIF = re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)
# The other formats. Missing are those of Pillow that start other programs, such as EPS, or that have no signature.
PILLOW = (
    *("GIF", "BMP", "WEBP", "PPM", "AVIF", "JPEG2000", "ICO", "CUR", "ICNS", "PCX", "DCX", "PSD", "QOI", "SGI"),
    *("SUN", "DDS", "IM", "MSP", "XBM", "XPM"),
)
LAYERED = ("PSD",)  # what Pillow calls frames of them are layers
JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
SIGNATURES = re.compile(  # of the common formats
    rb"\x89PNG\r\n|\xff\xd8\xff|II[*+]\0|MM\0[*+]|GIF8|BM....\0{4}|RIFF....WEBP|P[1-7fF]\s"
    rb"|....ftyp(avi|hei|hev|mif1|msf1)|\0\0\0\x0cjP|\xff\x4f\xff\x51|\0\0[\1\2]\0[^\0]\0",
    re.DOTALL,
)


def decode_pages(data: bytes) -> Iterator[Page]:
    """Decode the pages of an encoded image one by one: those of a TIFF, the frames of an animation, or the only one.

    Color is reduced to luminance, the orientation in EXIF is applied, and transparent pixels become paper.

    Args:
        data: content of an image file.

    Yields:
        uint8 arrays (height, width), or the reason why a page cannot be read; at least one of either.
    """
    pixels = 0
    try:
        for number, load in enumerate(_pages(data), 1):
            if number > MAX_PAGES or pixels > MAX_TOTAL_PIXELS:
                limits = f"{MAX_PAGES:,} pages and {MAX_TOTAL_PIXELS:,} pixels"
                raise UnreadableImage(f"left out with all pages after it, beyond the limit of {limits}; split the file")
            page = _loaded(load)
            pixels += page.size if isinstance(page, np.ndarray) else 0
            yield page
    except UnreadableImage as error:
        yield error


def to_png(image: np.ndarray) -> bytes:
    """Encode an image, gray or in OpenCV's order of channels, as PNG.

    >>> [page.tolist() for page in decode_pages(to_png(np.full((2, 3), 200, np.uint8)))]
    [[[200, 200, 200], [200, 200, 200]]]
    """
    return cv2.imencode(".png", image)[1].tobytes()


def has_signature(head: bytes) -> bool:
    """Whether a file that begins like this is an image, of one of the common formats."""
    return bool(SIGNATURES.match(head))


def _loaded(load: Callable[[], np.ndarray]) -> Page:
    try:
        return to_grayscale(load())
    except UnreadableImage as error:
        return error


def _pages(data: bytes) -> Iterator[Callable[[], np.ndarray]]:
    """Yield functions that decode the pages, to be called in this order."""
    if not data:
        raise UnreadableImage("empty file")
    if data.startswith(JPEG):
        yield partial(_jpeg, data)
    elif data.startswith(PNG):
        yield from _png_pages(data)
    elif data.startswith(TIFF):
        yield from _tiff_pages(data)
    else:
        yield from _frames(_open(data[: _jp2_end(data)] if data.startswith(JP2) else data))


def _opencv(data: bytes, flags: int = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) -> np.ndarray:
    """Decode with OpenCV; these flags apply the orientation in EXIF, and drop what is transparent."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableImage(TOO_LARGE) from error
    if image is None:
        raise UnreadableImage("not an image, or truncated")
    return image


# ---- JPEG


def _jpeg(data: bytes) -> np.ndarray:
    data = data[: _jpeg_end(data)]
    gray = _opencv(data) if len(data) <= SMALL_JPEG else _jpeg_by_pillow(data)
    if _gray_share(gray) > MISSING and _is_cut_off(data):
        raise UnreadableImage("truncated")
    return gray


def _jpeg_by_pillow(data: bytes) -> np.ndarray:
    from PIL.JpegImagePlugin import JpegImageFile

    with _errors_as_reasons():
        image = JpegImageFile(io.BytesIO(data))
        image.draft("L", image.size)
        return _array(image)


def _gray_share(gray: np.ndarray) -> float:
    """Measure how much of a picture has the level of a gray corner, as the end of a truncated one, which may be turned.

    It is 0 if no corner is of a single level of gray.
    """
    corners = (gray[rows, columns] for rows in (slice(8), slice(-8, None)) for columns in (slice(8), slice(-8, None)))
    levels = {block[0, 0] for block in corners if MID_GRAY[0] < block.min() == block.max() < MID_GRAY[1]}
    return max((float(np.mean(gray == level)) for level in levels), default=0)


def _is_cut_off(data: bytes) -> bool:
    """Whether a picture ends before the marker of its end: bytes put there would show."""
    filler = b"".join(bytes((*range(250), 0xFF, 0xD0 + number)) for number in range(8))  # with restart markers
    return not np.array_equal(_jpeg_by_pillow(data), _jpeg_by_pillow(data[: -len(END)] + filler + END))


def _jpeg_end(data: bytes) -> int:
    """Find the end of a JPEG, behind which some cameras append a video; OpenCV 4 would fill in what is missing."""
    if data.endswith(END):
        return len(data)
    position = 2
    with contextlib.suppress(struct.error):
        while marker := JPEG_MARKER.search(data, position):
            if marker[0] == END:
                return marker.end()
            position = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    end = data.rfind(END)  # a marker may be damaged
    if end < data.rfind(b"\xff\xda"):
        raise UnreadableImage("truncated")
    return end + 2


# ---- PNG


def _png_pages(data: bytes) -> Iterator[Callable[[], np.ndarray]]:
    chunks = _png_chunks(data)
    kinds = [kind for kind, _ in chunks]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds:
        raise UnreadableImage(DAMAGED)
    depth, color_type = chunks[0][1][16:18]
    is_animated = b"acTL" in kinds[: kinds.index(b"IDAT")]
    has_alpha = color_type in (4, 6) or b"tRNS" in kinds
    kept = PNG_CHUNKS + ANIMATION_CHUNKS if is_animated else PNG_CHUNKS
    plain = PNG + b"".join(chunk for kind, chunk in chunks if kind in kept)
    if is_animated or (has_alpha and depth < 16):  # Pillow reduces 16 bits to 8
        from PIL.PngImagePlugin import PngImageFile

        with _errors_as_reasons():
            image = PngImageFile(io.BytesIO(plain))
        yield from _frames(image)
    else:
        yield partial(_deep_with_alpha, plain) if has_alpha else partial(_opencv, plain)


def _deep_with_alpha(data: bytes) -> np.ndarray:
    """Decode 16 bits with OpenCV, which drops either the transparency or the orientation in EXIF."""
    from PIL.PngImagePlugin import PngImageFile

    with _errors_as_reasons():
        orientation = PngImageFile(io.BytesIO(data)).getexif().get(ORIENTATION, 1)
    return _turned(_opencv(data, cv2.IMREAD_UNCHANGED), orientation)


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a PNG into the chunks that are intact: OpenCV would print what is wrong with the others.

    It would also allocate gigabytes at once for a header that claims them.
    """
    chunks, start, kind = list[tuple[bytes, bytes]](), len(PNG), b""
    while kind != b"IEND":  # some programs append notes after it
        length = int.from_bytes(data[start : start + 4], "big")
        chunk, kind = data[start : start + 12 + length], data[start + 4 : start + 8]
        if len(chunk) < 12 + length:
            if chunks and chunks[-1][0] == b"fdAT":  # the first frames of an animation are complete
                break
            raise UnreadableImage("truncated")
        if kind == b"IHDR" and length != 13:
            raise UnreadableImage(DAMAGED)
        if kind == b"IHDR" and math.prod(struct.unpack_from(">2I", chunk, 8)) > MAX_PIXELS:
            raise UnreadableImage(TOO_LARGE)
        if zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            chunks.append((kind, chunk))
        elif kind.isupper():  # the others can be missing
            raise UnreadableImage(DAMAGED)
        start += len(chunk)
    return chunks


# ---- TIFF


def _tiff_pages(data: bytes) -> Iterator[Callable[[], np.ndarray]]:
    from PIL.TiffImagePlugin import TiffImageFile

    image = None
    with contextlib.suppress(Exception), _no_warnings():
        image = TiffImageFile(io.BytesIO(data))
    yield from (partial(_tiff_page, data, image, index) for index in _tiff_directories(data))


def _tiff_page(data: bytes, image: TiffImageFile | None, index: int) -> np.ndarray:
    """Decode with Pillow, which notices damage, or else with OpenCV, which knows more types of numbers."""
    if image and _is_known_to_pillow(image, index):
        return _array(image)
    try:
        found, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1))
    except cv2.error as error:
        raise UnreadableImage(TOO_LARGE) from error
    if not found or len(pages) != 1:
        raise UnreadableImage(DAMAGED)
    return pages[0]


def _is_known_to_pillow(image: TiffImageFile, index: int) -> bool:
    """Go to a page, and tell whether Pillow can decode it; it reduces colors of 16 bits to 8."""
    try:
        with _no_warnings():
            image.seek(index)
            return image.mode[0] in "IF" or max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) <= 8
    except Exception:
        return False


def _tiff_directories(data: bytes) -> list[int]:
    """Find the pages of a TIFF, without the thumbnails and masks that belong to others; the first one in any case."""
    order, is_big = "<" if data.startswith(b"II") else ">", data[2:4] in (b"+\0", b"\0+")
    link, counter, size = ("Q", "Q", 20) if is_big else ("I", "H", 12)
    pages, seen, position = [0], set[int](), 8 if is_big else 4
    with contextlib.suppress(struct.error):
        for index in itertools.count():
            (start,) = struct.unpack_from(order + link, data, position)
            if not start or start in seen:
                break
            (entries,) = struct.unpack_from(order + counter, data, start)
            first = start + struct.calcsize(counter)
            tag, kind = struct.unpack_from(f"{order}H{size - 2 - struct.calcsize(link)}xI", data, first)
            if index and (tag != NEW_SUBFILE_TYPE or not kind & (REDUCED | MASK)):
                pages.append(index)
            seen.add(start)
            position = first + entries * size
    return pages


# ---- other formats


def _jp2_end(data: bytes) -> int:
    """Find the end of the picture in a JPEG 2000 file, behind which there may be another file."""
    position, kind = 0, b""
    while kind != b"jp2c" and position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if length == 1 and position + 16 <= len(data):
            (length,) = struct.unpack_from(">Q", data, position + 8)
        if length < 8:  # the last part
            return len(data)
        position += length
    return position


def _frames(image: Image) -> Iterator[Callable[[], np.ndarray]]:
    """Yield functions that decode the frames of an animation, or the only picture."""
    for index in itertools.count():
        with _errors_as_reasons("damaged, with all frames after it"):
            if index and image.format in LAYERED:
                return
            try:
                image.seek(index)
            except EOFError:
                if index < getattr(image, "n_frames", 1):
                    raise
                return
        yield partial(_array, image)


def _open(data: bytes) -> Image:
    if HEIF.match(data) and b"avif" not in data[:64]:
        return _open_heif(data)
    from PIL import Image, UnidentifiedImageError

    with _errors_as_reasons(), _no_warnings():
        Image.init()
        is_tga = data[-18:-1] == b"TRUEVISION-XFILE."
        formats = [name for name in ("TGA",) if is_tga] or [name for name in PILLOW if name in Image.OPEN]
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError:
            image = _unidentified(data)
            return Image.fromarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def _unidentified(data: bytes) -> np.ndarray:
    """Decode what only OpenCV knows, or say what else it is."""
    if known := foreign.describe(Path(), data[: foreign.HEAD]):
        raise UnreadableImage("not an image but {}; {}".format(*known))
    return _opencv(data)


def _open_heif(data: bytes) -> Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UnreadableImage("HEIC needs pillow-heif: pip install pillow-heif; or export it as JPEG") from error
    with _errors_as_reasons():
        return HeifImageFile(io.BytesIO(data))


def _array(image: Image) -> np.ndarray:
    """Decode a picture to gray levels, with transparency if it has any."""
    with _errors_as_reasons():
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableImage(TOO_LARGE)
        image.load()
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return np.asarray(_upright(image))
        if image.mode in ("RGBa", "La"):  # colors that are multiplied by the opacity
            image = image.convert(f"{image.mode[:-1]}A")
        if image.mode == "LAB":
            image = image.getchannel("L")
        return np.asarray(_upright(image).convert("LA" if image.has_transparency_data else "L"))


def _upright(image: Image) -> Image:
    """Apply the orientation in EXIF."""
    from PIL import ImageOps

    if "exif" not in image.info and image.format != "TIFF":
        return image
    try:
        with _no_warnings():
            return ImageOps.exif_transpose(image)
    except Exception:  # EXIF may be damaged where the image is not
        return image


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an orientation of EXIF to an array."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Leave out what Pillow warns about, one thread at a time, as filters of warnings belong to the whole process."""
    with WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _errors_as_reasons(reason: str = DAMAGED) -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged image into a reason why it cannot be read."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        is_large = type(error).__name__ == "DecompressionBombError"
        raise UnreadableImage(TOO_LARGE if is_large else reason) from error
