"""Pixels to glyphs: whatever a person drew, scanned or photographed becomes light ink on black in a small square.

Every function here is a pure function of the pixels. The target format is MNIST's own (LeCun et al. 1998): the glyph
keeps its aspect, fills 20/28 of the square and is centred by its centre of mass.
"""

import math
import os
import struct

import cv2
import numpy as np

BOX_FRACTION = 20 / 28  # MNIST fits its digits into 20x20 of 28x28
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"])  # pixels
MIN_CONTRAST = 24  # grey levels between paper and ink below which an image counts as blank
INK = 32  # of 255, once paper is 0: fainter pixels do not widen the glyph
WORKING_SIDE = 320  # pixels; the glyph is looked for in a copy at most this large
SPECK_AREA = 0.15  # of the largest component: anything smaller is a dot, anything larger always belongs to the glyph
SPECK_GAP_BESIDE = 0.25  # of the largest component's diagonal; measured on 2,480 drawings, dots of i and j stay below
SPECK_GAP_ABOVE = 0.5  # a dot over or under the glyph may be farther away than one beside it
PAGE_ASPECT = (1.3, 1.37)  # width to height of a page like Part 1's, 4:3
PAGE_PEN = (0.05, 0.11)  # width of the pen there, in page heights: it shows that a page is that drawing tool's
NO_PLACE = np.zeros(5, np.float32)
PLAIN_BORDER = 0.75  # of the border pixels: if fewer agree, the glyph was cut out so tightly that it fills the border
# What makes an image a photograph, or a page rough: ink on more of the border, or grey on more of a page than in any of
# the 2,480 drawings (0.016 and 0.007) and of 12,000 images of MNIST and Part 3 (0.036; too small to be a page).
ROUGH_BORDER = 0.05
ROUGH_PAGE = 0.02
UNPLAIN = 0.05  # of all pixels: neither paper nor ink; 0.045 in clean drawings cut out tightly, 0.07 in photographs
NARROWEST = 8  # pixels: of a narrower strip most is border
CROP = 64  # pixels: a smaller image is cut out of a larger one, often so that strokes touch its border
WINDOWS = (3, 5)  # in a photograph the longer side is so many times that of a square in which there always is paper
TIGHT_BORDER = 0.62  # of the border with ink near: 95 % of tight crops have more, a blank page in a shadow has 0.61
DARK = 32  # grey levels added to the light before it is divided out: where there is next to none, noise would be all
MIN_SEPARATION = 4  # between ink and paper, in standard deviations of the paper; noise cut in two reaches 2.7
DUST_AREA = 0.02  # of the largest component: smaller ones are dust if they are also less than `DUST_SHARE` of the image
DUST_SHARE = 1e-4  # less than a pixel of MNIST's, seven of the working copy of a page

# Images that cannot be decoded are listed; OpenCV (version 4 or 5) need not print each as well. 0 is silent.
(cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(0)


class UnreadableImage(ValueError):
    """The bytes are not an image, or the image shows nothing."""


def decode(data: bytes) -> np.ndarray:
    """Decode an encoded image to grey levels.

    Colour is reduced to luminance, 16 bits to 8, and transparency shows paper: white under dark ink, black under light.

    Args:
        data: a PNG, JPEG, BMP, TIFF or WebP file.

    Returns:
        uint8 array (height, width).

    Raises:
        UnreadableImage: the bytes cannot be decoded.
    """
    if not data:
        raise UnreadableImage("empty file")
    if data.startswith(PNG):
        _refuse_boasting(data)
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage("cut short")  # a JPEG without its end: OpenCV 4 fills up what is missing
    # For what carries no transparency OpenCV's own conversion to grey is a quarter faster, and it heeds orientation.
    flag = cv2.IMREAD_UNCHANGED if _may_be_transparent(data) else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise UnreadableImage("damaged, or larger than can be decoded") from error
    if image is None:
        raise UnreadableImage("not an image, or cut short")
    return to_grey(image)


def _refuse_boasting(data: bytes) -> None:
    """Refuse a PNG that says it holds more than it does, for which OpenCV would make gigabytes of room at once."""
    start = len(PNG)
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        if kind == b"IEND":  # some programs leave notes behind it
            return
        if length > len(data):
            raise UnreadableImage("cut short")
        if kind == b"IHDR" and math.prod(struct.unpack(">2I", data[start + 8 : start + 16].ljust(8, b"\0"))) > LARGEST:
            raise UnreadableImage("damaged, or larger than can be decoded")
        start += 12 + length


def _may_be_transparent(data: bytes) -> bool:
    if data.startswith(PNG):
        colour_type = data[25:26]
        return colour_type in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[8:12] == b"WEBP":
        return data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and len(data) > 20 and data[20] & 0x10 > 0)
    if data.startswith(b"BM"):  # 32 bits, of which the masks set eight apart
        return data[28:31] == b"\x20\x00\x03" and data[66:70] == b"\x00\x00\x00\xff"
    return data.startswith((b"II", b"MM"))


def to_grey(image: np.ndarray) -> np.ndarray:
    """Reduce an image of any depth and number of channels (OpenCV order: BGR, BGRA) to uint8 grey (height, width).

    What is not uint8 is taken to range up to 1, 255 or 65535, whichever is the first that its largest value fits.

    >>> to_grey(np.full((2, 2, 4), 0, np.uint8)).tolist()  # wholly transparent: paper
    [[255, 255], [255, 255]]
    >>> to_grey(np.full((2, 2), 65535, np.uint16)).dtype
    dtype('uint8')
    """
    if image.dtype != np.uint8:
        with np.errstate(over="ignore"):
            image = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
        largest = image.max(initial=0)
        span = next((span for span in (1, 255, 65535) if largest <= span), largest)
        image = np.clip(image * np.float32(255 / span), 0, 255).astype(np.uint8)
    if image.ndim == 2 or not image.size:
        return image.reshape(image.shape[:2])
    if image.shape[2] == 1:
        return image[:, :, 0]
    if image.shape[2] == 2:
        grey, alpha = image[:, :, 0], image[:, :, 1]
    elif image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    else:
        grey, alpha = cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2GRAY), image[:, :, 3]
    if (alpha == 255).all():
        return grey
    opaque = alpha.astype(np.float32) / 255
    weight = opaque.sum()
    ink = float((grey * opaque).sum() / weight) if weight else 0.0
    paper = 255 if ink < 128 else 0
    return np.rint(grey * opaque + paper * (1 - opaque)).astype(np.uint8)


def ink_levels(grey: np.ndarray) -> tuple[float, float]:
    """Find the grey levels of paper and ink.

    The paper is what most of the border of the image shows (of the whole image, where the border is undecided); the
    ink is the far end of the range on the other side of Otsu's threshold. So dark on light and light on dark are both
    understood.

    Args:
        grey: uint8 array (height, width).

    Returns:
        The levels (paper, ink), 0-255.

    Raises:
        UnreadableImage: there is less contrast than `MIN_CONTRAST`.

    >>> page = np.full((9, 9), 240, np.uint8); page[3:6, 4] = 20
    >>> ink_levels(page)
    (240.0, 20.0)
    """
    low, high = (float(v) for v in cv2.minMaxLoc(grey)[:2])
    if high - low < MIN_CONTRAST:
        raise UnreadableImage("blank")
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    border = _border(grey)
    bright = border > threshold
    share = np.count_nonzero(bright) / bright.size
    if 1 - PLAIN_BORDER < share < PLAIN_BORDER:
        share = np.count_nonzero(grey > threshold) / grey.size
    is_light = share >= 0.5
    paper = border[bright == is_light]
    return float(np.median(paper)), low if is_light else high


def glyph_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Find the rectangle around the glyph, leaving out stray dots far from it but keeping the dots of i and j.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        (left, top, right, bottom), right and bottom exclusive.

    Raises:
        UnreadableImage: there is no ink.

    >>> page = np.zeros((90, 120), np.uint8); page[30:60, 50:54] = 255; page[0:3, 117:120] = 255
    >>> glyph_box(page)
    (50, 30, 54, 60)
    """
    inked = (ink > INK).view(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_16U)
    if count < 2:
        raise UnreadableImage("blank")
    if count == 2:  # nearly all digits of MNIST are in one piece: a shortcut
        left, top, width, height, _ = stats[1].tolist()
        return left, top, left + width, top + height
    left, top, width, height, area = stats[1:].T
    right, bottom = left + width, top + height
    main = area.argmax()
    beside = np.maximum(np.maximum(left[main] - right, left - right[main]), 0)
    above = np.maximum(np.maximum(top[main] - bottom, top - bottom[main]), 0)
    middle = left + width / 2
    over = (middle >= left[main]) & (middle <= right[main])
    reach = np.hypot(width[main], height[main]) * np.where(over, SPECK_GAP_ABOVE, SPECK_GAP_BESIDE)
    kept = (area >= SPECK_AREA * area[main]) | (np.hypot(beside, above) <= reach)
    kept &= area >= min(DUST_AREA * area[main], DUST_SHARE * ink.size)
    return int(left[kept].min()), int(top[kept].min()), int(right[kept].max()), int(bottom[kept].max())


def _is_rough(grey: np.ndarray, depths: np.ndarray, is_page: bool) -> bool:
    """Say whether light or paper leave more than the glyph: much along the border, or a faint grey all over a page.

    Args:
        grey: uint8 array (height, width).
        depths: float array (256,), where each grey level lies between paper (0) and ink (255).
        is_page: not an image as small as MNIST's, of which the soft edges of strokes are a large part.
    """
    if min(grey.shape) < NARROWEST:
        return False
    border = depths[_border(grey)]
    shares = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel() / grey.size
    if np.count_nonzero(border > INK) > ROUGH_BORDER * border.size:  # of a drawing cut out tightly, nearly all is plain
        plain = np.minimum(np.abs(depths), np.abs(depths - 255)) <= INK / 2
        return shares[~plain].sum() > UNPLAIN
    return is_page and shares[(depths > INK / 2) & (depths < 128)].sum() > ROUGH_PAGE


def _border(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])


def cleaned(grey: np.ndarray) -> np.ndarray:
    """Find the glyph in a photograph: light is evened out, and dust, lines and what runs off the page are left out.

    Args:
        grey: uint8 array (height, width), a few hundred pixels at most.

    Returns:
        uint8 array (height, width), light ink on black; half of the ink is 255.

    Raises:
        UnreadableImage: nothing stands out from the noise, or only what the border cuts off.

    >>> light = np.linspace(0.4, 1, 120) * np.ones((90, 1))
    >>> page = np.full((90, 120), 220.0); page[30:60, 50:60] = 40
    >>> cv2.boundingRect(cleaned((page * light).astype(np.uint8)))
    (50, 30, 10, 30)
    """
    soft = cv2.GaussianBlur(grey, (3, 3), 0)
    for part in WINDOWS:
        side = max(grey.shape) // part | 1
        is_light, is_tight = _polarity(soft, side)
        if is_tight:  # the smaller square follows the light more closely, but fits into the strokes of such a glyph
            break
    is_tight |= max(grey.shape) < CROP
    if not is_light:
        grey, soft = 255 - grey, 255 - soft
    paper = _envelope(soft, side)
    light = (paper if is_light else 255 - paper).clip(0) + DARK
    depth = ((paper - soft) / light).clip(0)
    levels = cv2.normalize(depth, None, 255, 0, cv2.NORM_INF, cv2.CV_8U)
    inked = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    if not inked.any() or np.median((paper - soft)[inked > 0]) < MIN_CONTRAST:
        raise UnreadableImage("blank")
    zero, full = np.median(depth[inked == 0]), np.median(depth[inked > 0])
    noise = 1.4826 * np.median(np.abs(depth[inked == 0] - zero))
    if full - zero < MIN_SEPARATION * noise:
        raise UnreadableImage("blank")
    near = cv2.dilate(_glyph_mask(inked, is_tight), np.ones((3, 3), np.uint8))
    ink = ((paper - grey) / light - zero) * (255 / (full - zero))
    return np.rint(near * ink.clip(0, 255)).astype(np.uint8)


def _glyph_mask(inked: np.ndarray, is_tight: bool) -> np.ndarray:
    """Leave out dust, and lines, shadows and whatever else the border cuts, unless the glyph itself is cut."""
    _, places, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8)
    left, top, width, height, area = stats[1:].T
    cut = (left == 0) | (top == 0) | (left + width == inked.shape[1]) | (top + height == inked.shape[0])
    main = (area * np.where(cut, SPECK_AREA, 1)).argmax()
    if cut[main] and not is_tight:
        raise UnreadableImage("blank, or cut off at the border")
    kept = (area >= DUST_AREA * area[main]) & (cut <= cut[main])
    return np.concatenate([[False], kept])[places].astype(np.uint8)


def _polarity(grey: np.ndarray, side: int) -> tuple[bool, bool]:
    """Say whether the paper is lighter than the ink, and whether there is ink along most of the border.

    Only where there is most contrast pixels are asked for the lighter or darker half: there ink is, and more paper.
    """
    kernel = np.ones((side, side), np.uint8)
    low, high = (change(grey, kernel).astype(np.float32) for change in (cv2.erode, cv2.dilate))
    contrasted, light = high - low >= (high - low).max() / 2, grey > (low + high) / 2
    border = _border(contrasted)
    is_tight = border.mean() > TIGHT_BORDER
    share = _border(light)[border].mean() if is_tight else 0.5
    if 1 - PLAIN_BORDER < share < PLAIN_BORDER:
        share = light[contrasted].mean()
    return share >= 0.5, is_tight


def _envelope(grey: np.ndarray, side: int) -> np.ndarray:
    """Follow the light paper over dark ink: a closing by a square of this side."""
    kernel = np.ones((side, side), np.uint8)
    # What is dilated holds no ink any more, so beyond the border it may be taken to go on as it does before it.
    lightest = np.pad(cv2.dilate(grey, kernel).astype(np.float32), side // 2, "reflect", reflect_type="odd")
    height, width = grey.shape
    return cv2.erode(lightest, kernel)[side // 2 :, side // 2 :][:height, :width]


def normalise(grey: np.ndarray, size: int = 28) -> np.ndarray:
    """Turn a drawing of one character into light ink on black, cropped, scaled and centred as in MNIST.

    Args:
        grey: uint8 array (height, width), any size, either polarity.
        size: side of the result in pixels.

    Returns:
        uint8 array (size, size); 0 is paper and 255 the strongest ink.

    Raises:
        UnreadableImage: the image is blank.
    """
    return glyph_and_place(grey, size)[0]


def glyph_and_place(grey: np.ndarray, size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Give what `normalise` gives, and what it takes away: the glyph's `place` on the page, float32 array (5,)."""
    if not grey.size:
        raise UnreadableImage("blank")
    shrink = -(-max(grey.shape) // WORKING_SIDE)  # a whole number: OpenCV is then three times as fast
    small = grey
    if shrink > 1:
        width, height = (max(1, round(n / shrink)) for n in (grey.shape[1], grey.shape[0]))
        small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    paper, ink = ink_levels(small)
    depths = (np.arange(256) - paper) * (255 / (ink - paper))
    levels = np.clip(depths, 0, 255).round().astype(np.uint8)
    if _is_rough(small, depths, shrink > 1):
        ink = cleaned(small)
        left, top, right, bottom = glyph_box(ink)
        glyph = _scaled(ink[top:bottom, left:right], round(size * BOX_FRACTION))
        return _centred(glyph, size), NO_PLACE  # a photograph shows part of a page, from any distance
    small_ink = cv2.LUT(small, levels)
    left, top, right, bottom = glyph_box(small_ink)
    if shrink > 1:  # a pixel of slack for what the small copy blurred away, taken back on the full image
        across, down = grey.shape[1] / small.shape[1], grey.shape[0] / small.shape[0]
        left, top = max(int((left - 1) * across), 0), max(int((top - 1) * down), 0)
        right, bottom = math.ceil((right + 1) * across), math.ceil((bottom + 1) * down)
    glyph = cv2.LUT(grey[top:bottom, left:right], levels)
    if shrink > 1:
        x, y, width, height = cv2.boundingRect((glyph > INK).view(np.uint8))
        glyph = glyph[y : y + height, x : x + width]
        left, top = left + x, top + y
    box = (left, top, left + glyph.shape[1], top + glyph.shape[0])
    return _centred(_scaled(glyph, round(size * BOX_FRACTION)), size), place(small_ink, box, grey.shape)


def place(ink: np.ndarray, box: tuple[int, int, int, int], page: tuple[int, int]) -> np.ndarray:
    """Say how large a glyph is and where it stands, if the page is one of Part 1's drawing tool.

    Cropping makes c and C alike; on the page they were drawn on, most people's differ. Elsewhere size and place say
    nothing, so the page has to have the tool's aspect, and its pen.

    Args:
        ink: uint8 array, the page at any scale, light ink on black.
        box: (left, top, right, bottom) of the glyph on the page.
        page: (height, width) of the page.

    Returns:
        float32 array (5,): 1, the logarithms of the glyph's height and width, and how far its middle lies to the right
        of and below the page's, each in units that make about -2 to 2 usual; five zeros where it cannot be said.

    >>> page = np.zeros((90, 120), np.uint8); page[20:65, 45:75] = 255; page[27:65, 52:75] = 0
    >>> place(page, (45, 20, 75, 65), page.shape).round(2).tolist()
    [1.0, 0.0, 0.0, 0.0, -0.25]
    >>> place(page[:, 20:], (25, 20, 55, 65), (90, 100)).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    height, width = page
    if not PAGE_ASPECT[0] <= width / height <= PAGE_ASPECT[1] or not _tool_pen(ink):
        return NO_PLACE
    left, top, right, bottom = box
    size = [math.log(2 * (bottom - top) / height) / 0.35, math.log(3 * (right - left) / height) / 0.35]
    return np.array(
        [1, *size, 4.5 * (left + right - width) / height, 4.5 * (top + bottom - height) / height], np.float32
    )


def _tool_pen(ink: np.ndarray) -> bool:
    """Whether strokes are as wide as those of Part 1's drawing tool: twice the depth that a tenth of them exceeds."""
    inked = (ink > 127).view(np.uint8)
    depth = cv2.distanceTransform(inked, cv2.DIST_L2, 3)[inked > 0]
    if not len(depth):
        return False
    wide = 2 * float(np.percentile(depth, 90)) / len(ink)
    return PAGE_PEN[0] <= wide <= PAGE_PEN[1]


def _scaled(glyph: np.ndarray, side: int) -> np.ndarray:
    longest = max(glyph.shape)
    if side - 2 <= longest <= side:  # already in MNIST's format: resampling would only blur it
        return glyph
    height, width = (max(1, round(n * side / longest)) for n in glyph.shape)
    interpolation = cv2.INTER_AREA if longest > side else cv2.INTER_LINEAR
    scaled = cv2.resize(glyph, (width, height), interpolation=interpolation)
    if scaled.max() < 255:  # strokes of a fine pen fade, to nothing even, unless scaled as fractions
        scaled = cv2.resize(glyph.astype(np.float32), (width, height), interpolation=interpolation)
        scaled = cv2.normalize(scaled, None, 255, 0, cv2.NORM_INF, cv2.CV_8U)
    return scaled


def _centred(glyph: np.ndarray, size: int) -> np.ndarray:
    """Place the glyph so that its centre of mass falls on pixel size/2, as MNIST does, as far as it fits."""
    moments = cv2.moments(glyph)
    height, width = glyph.shape
    left = round(size / 2 - moments["m10"] / moments["m00"])
    top = round(size / 2 - moments["m01"] / moments["m00"])
    left, top = min(max(left, 0), size - width), min(max(top, 0), size - height)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = glyph
    return square
