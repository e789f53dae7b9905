"""Encoded images to gray levels; the bytes may be damaged or hostile."""

from __future__ import annotations

import os
import struct

import cv2
import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])  # `midas` sets a default before OpenCV reads it


class UnreadableImage(ValueError):
    """The bytes are not an image, or the image shows no character; the message is the reason."""


def decode(data: bytes) -> np.ndarray:
    """Decode an encoded image to gray levels.

    Color is reduced to luminance, 16 bits to 8. Transparent pixels become paper: white if the ink is dark, black if it
    is light.

    Args:
        data: content of a PNG, JPEG, BMP, TIFF or WebP file.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the bytes cannot be decoded.

    >>> decode(cv2.imencode(".png", np.full((2, 3), 200, np.uint8))[1].tobytes()).tolist()
    [[200, 200, 200], [200, 200, 200]]
    """
    if not data:
        raise UnreadableImage("empty file")
    if data.startswith(PNG):
        _check_png(data)
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage("truncated")  # a JPEG without its end marker: OpenCV 4 would fill in what is missing
    # For images without transparency, OpenCV's own conversion to gray is 25 % faster, and it applies the orientation.
    flag = cv2.IMREAD_UNCHANGED if _may_be_transparent(data) else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise UnreadableImage("damaged, or larger than can be decoded") from error
    if image is None:
        raise UnreadableImage("not an image, or truncated")
    return to_grayscale(image)


def _check_png(data: bytes) -> None:
    """Refuse a PNG whose header claims more than the file holds: OpenCV would allocate gigabytes for it at once."""
    start = len(PNG)
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind == b"IEND":  # some programs append notes after it
            return
        if length > len(data):
            raise UnreadableImage("truncated")
        if kind == b"IHDR":
            width, height = struct.unpack(">2I", data[start + 8 : start + 16].ljust(8, b"\0"))
            if width * height > MAX_PIXELS:
                raise UnreadableImage("damaged, or larger than can be decoded")
        start += 12 + length


def _may_be_transparent(data: bytes) -> bool:
    """Whether the header allows for transparent pixels."""
    if data.startswith(PNG):
        color_type = data[25:26]
        return color_type in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[8:12] == b"WEBP":
        return data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and len(data) > 20 and data[20] & 0x10 > 0)
    if data.startswith(b"BM"):  # 32 bits per pixel, eight of them in the mask of the alpha channel
        return data[28:31] == b"\x20\x00\x03" and data[66:70] == b"\x00\x00\x00\xff"
    return data.startswith((b"II", b"MM"))  # TIFF


def to_grayscale(image: np.ndarray) -> np.ndarray:
    """Reduce an image of any depth and number of channels to gray levels.

    Args:
        image: array (height, width) or (height, width, channels) of numbers: gray, gray and alpha, BGR or BGRA, in
            OpenCV's order. Other types than uint8 are taken to range up to 1, 255 or 65535, the smallest of these that
            is not below their maximum.

    Returns:
        uint8 array (height, width).

    >>> to_grayscale(np.full((2, 2, 4), 0, np.uint8)).tolist()  # fully transparent: paper
    [[255, 255], [255, 255]]
    >>> to_grayscale(np.full((2, 2), 65535, np.uint16)).dtype
    dtype('uint8')
    """
    if image.dtype != np.uint8:
        with np.errstate(over="ignore"):
            image = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
        maximum = image.max(initial=0)
        span = next((span for span in (1, 255, 65535) if maximum <= span), maximum)
        image = np.clip(image * np.float32(255 / span), 0, 255).astype(np.uint8)
    if image.ndim == 2 or not image.size:
        return image.reshape(image.shape[:2])
    if image.shape[2] == 1:
        return image[:, :, 0]
    if image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if image.shape[2] == 2:
        return _over_paper(image[:, :, 0], image[:, :, 1])
    return _over_paper(cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY), image[:, :, 3])


def _over_paper(gray: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay a partly transparent image over paper: white if the mean of what is opaque is dark, else black."""
    if (alpha == 255).all():
        return gray
    opacity = alpha.astype(np.float32) / 255
    weight = opacity.sum()
    ink = float((gray * opacity).sum() / weight) if weight else 0.0
    paper = 255 if ink < 128 else 0
    return np.rint(gray * opacity + paper * (1 - opacity)).astype(np.uint8)
