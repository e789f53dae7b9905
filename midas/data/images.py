"""Encoded images to gray levels, page by page; the bytes may be damaged or hostile.

The content decides about the format, not a name. OpenCV decodes what it can without printing anything: TIFF, plain PNG
that is intact, and small JPEG; it is several times as fast for small images. Pillow decodes the rest, whose C libraries
are quiet.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from midas.data.levels import UnreadableImage, to_grayscale

if TYPE_CHECKING:
    from PIL.Image import Image

Page = np.ndarray | UnreadableImage

MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])  # `midas` sets a default before OpenCV reads it
MAX_PAGES = 1000  # of a file, and
MAX_TOTAL_PIXELS = 2**31  # of its pages together: 246 sheets of A4 at 300 dpi

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
HEIF = re.compile(rb"....ftyp(hei[cmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)
SMALL_JPEG = 4096  # bytes; OpenCV prints to stderr about what is odd in a JPEG, and Pillow is as fast for larger ones
# What Pillow may decode: formats with a signature. Not those whose decoders start other programs, as for EPS.
PILLOW = ("GIF", "BMP", "WEBP", "PPM", "AVIF", "JPEG2000", "ICO", "CUR", "ICNS", "PCX", "DCX", "PSD", "QOI", "SGI")
ONE_PAGE = ("PSD",)  # whose frames are layers
PILLOW += ("SUN", "DDS", "IM", "MSP", "XBM", "XPM")
PLAIN_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND")  # of a PNG; others do not change what it shows
ANIMATION_CHUNKS = (b"acTL", b"fcTL", b"fdAT")
NEW_SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4  # a tag of TIFF, and two of its bits
JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
GRAY = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH  # which applies the orientation, too
TOO_LARGE = "damaged, or larger than can be decoded"
NOT_IMAGES = {  # the beginning of other files, and what they are
    re.compile(pattern, re.DOTALL | re.IGNORECASE): what
    for pattern, what in {
        rb"%PDF": "a PDF document; export its pages as PNG",
        rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript drawing; export it as PNG",
        rb"\s*(<\?xml.*?>|<!--.*?-->|<!DOCTYPE svg.*?>|\s)*<svg": "an SVG drawing; export it as PNG",
        rb"\s*(<!DOCTYPE html|<html)": "a web page; download the image itself",
        rb"....ftyp(mp4|isom|iso[2-6]|avc1|qt  |M4V|3gp|MSNV)|\x1aE\xdf\xa3|RIFF....AVI ": "a video; export its frames as PNG",
        rb"PK\x03\x04|7z\xbc\xaf\x27\x1c|Rar!|\x1f\x8b": "an archive; unpack it",
        rb"version https://git-lfs": "a pointer of Git LFS; run 'git lfs pull'",
    }.items()
}


def decode(data: bytes) -> np.ndarray:
    """Decode the first page of an encoded image to gray levels.

    Args:
        data: content of an image file.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the bytes cannot be decoded.

    >>> decode(cv2.imencode(".png", np.full((2, 3), 200, np.uint8))[1].tobytes()).tolist()
    [[200, 200, 200], [200, 200, 200]]
    """
    page = next(decode_pages(data))
    if isinstance(page, UnreadableImage):
        raise page
    return page


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
        yield from (partial(_tiff_page, data, index) for index in _tiff_pages(data))
    else:
        yield from _frames(_open(data))


def _opencv(data: bytes, flags: int) -> np.ndarray:
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
    if len(data) <= SMALL_JPEG:
        return _opencv(data, GRAY)
    from PIL.JpegImagePlugin import JpegImageFile

    with _errors_as_reasons():
        image = JpegImageFile(io.BytesIO(data))
        image.draft("L", image.size)
        return _array(image)


def _jpeg_end(data: bytes) -> int:
    """Find the end of a JPEG, behind which some cameras append a video; OpenCV 4 would fill in what is missing."""
    position = 2
    with contextlib.suppress(struct.error):
        while marker := JPEG_MARKER.search(data, position):
            if marker[0] == b"\xff\xd9":
                return marker.end()
            position = marker.end() + struct.unpack_from(">H", data, marker.end())[0]
    end = data.rfind(b"\xff\xd9")  # a marker may be damaged
    if end < data.rfind(b"\xff\xda"):
        raise UnreadableImage("truncated")
    return end + 2


# ---- PNG


def _png_pages(data: bytes) -> Iterator[Callable[[], np.ndarray]]:
    chunks = _png_chunks(data)
    kinds = [kind for kind, _ in chunks]
    if kinds[0] != b"IHDR" or b"IDAT" not in kinds:
        raise UnreadableImage("damaged")
    depth, color_type = chunks[0][1][16:18]
    is_animated = b"acTL" in kinds[: kinds.index(b"IDAT")]
    has_alpha = color_type in (4, 6) or b"tRNS" in kinds
    kept = PLAIN_CHUNKS + ANIMATION_CHUNKS if is_animated else PLAIN_CHUNKS
    plain = PNG + b"".join(chunk for kind, chunk in chunks if kind in kept)
    if is_animated or (has_alpha and depth < 16):  # Pillow reduces 16 bits to 8
        from PIL.PngImagePlugin import PngImageFile

        with _errors_as_reasons():
            image = PngImageFile(io.BytesIO(plain))
        yield from _frames(image)
    else:
        yield partial(_opencv, plain, cv2.IMREAD_UNCHANGED if has_alpha else GRAY)


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
        if kind == b"IHDR" and math.prod(struct.unpack_from(">2I", chunk, 8)) > MAX_PIXELS:
            raise UnreadableImage(TOO_LARGE)
        if zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            chunks.append((kind, chunk))
        elif kind.isupper():  # the others can be missing
            raise UnreadableImage("damaged")
        start += len(chunk)
    return chunks


# ---- TIFF


def _tiff_page(data: bytes, index: int) -> np.ndarray:
    try:
        found, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1))
    except cv2.error as error:
        raise UnreadableImage(TOO_LARGE) from error
    if found and len(pages) == 1:
        return pages[0]
    from PIL.TiffImagePlugin import TiffImageFile

    with _errors_as_reasons():  # it knows more compressions
        image = TiffImageFile(io.BytesIO(data))
        image.seek(index)
        return _array(image)


def _tiff_pages(data: bytes) -> Iterator[int]:
    """Find the pages of a TIFF, without the thumbnails and masks that belong to others."""
    order, is_big = "<" if data.startswith(b"II") else ">", data[2:4] in (b"+\0", b"\0+")
    link, counter, entry = (f"{order}Q", f"{order}Q", 20) if is_big else (f"{order}I", f"{order}H", 12)
    seen, position = set[int](), 8 if is_big else 4
    with contextlib.suppress(struct.error):
        for index in itertools.count():
            (start,) = struct.unpack_from(link, data, position)
            if not start or start in seen:
                return
            seen.add(start)
            (entries,) = struct.unpack_from(counter, data, start)
            first = start + struct.calcsize(counter)
            (tag,), (kind,) = (
                struct.unpack_from(f"{order}H", data, first),
                struct.unpack_from(f"{order}I", data, first + entry - struct.calcsize(link)),
            )
            if index == 0 or tag != NEW_SUBFILE_TYPE or not kind & (REDUCED | MASK):
                yield index
            position = first + entries * entry


# ---- other formats


def _frames(image: Image) -> Iterator[Callable[[], np.ndarray]]:
    """Yield functions that decode the frames of an animation, or the only picture."""
    for index in itertools.count():
        with _errors_as_reasons("damaged, with all frames after it"):
            if index and image.format in ONE_PAGE:
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
    for pattern, what in NOT_IMAGES.items():
        if pattern.match(data[:1024]):
            raise UnreadableImage(f"not an image but {what}")
    from PIL import Image, UnidentifiedImageError

    with _errors_as_reasons():
        Image.init()
        is_tga = data[-18:-1] == b"TRUEVISION-XFILE."
        formats = [name for name in ("TGA",) if is_tga] or [name for name in PILLOW if name in Image.OPEN]
        try:
            return Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError:
            return Image.fromarray(_opencv(data, GRAY))


def _open_heif(data: bytes) -> Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UnreadableImage("HEIC needs pillow-heif: pip install 'midas[heic]'; or export it as JPEG") from error
    with _errors_as_reasons():
        return HeifImageFile(io.BytesIO(data))


def _array(image: Image) -> np.ndarray:
    """Decode a picture to gray levels, with transparency if it has any."""
    with _errors_as_reasons():
        if image.width * image.height > MAX_PIXELS:
            raise UnreadableImage(TOO_LARGE)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return np.asarray(_upright(image))
        if image.mode in ("RGBa", "La"):  # colors that are multiplied by the opacity
            image = image.convert(f"{image.mode[:-1]}A")
        if image.mode == "LAB":
            image = image.getchannel("L")
        return np.asarray(_upright(image).convert("LA" if image.has_transparency_data else "L"))


def _upright(image: Image) -> Image:
    """Apply the orientation in EXIF."""
    from PIL import ExifTags, ImageOps

    orientation = 1
    with contextlib.suppress(Exception):  # EXIF may be damaged where the image is not
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return image if orientation == 1 else ImageOps.exif_transpose(image)


@contextlib.contextmanager
def _errors_as_reasons(reason: str = "damaged or truncated") -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged image into a reason why it cannot be read."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        is_large = type(error).__name__ == "DecompressionBombError"
        raise UnreadableImage(TOO_LARGE if is_large else reason) from error
