"""The sheet of paper in an image: without the table it lies on, the dark edges of a scan, and a box round a character.

All of these are one thing to look for: a quadrilateral of paper, whose edges are straight and sharp, with ink inside.
Shadows have soft edges, and strokes enclose nothing with straight sides. Every level of gray is tried as a threshold,
as in maximally stable extremal regions (Matas et al. 2002), since neither the paper nor the table is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from midas.data.ink import border_pixels

WORKING_SIDE = 320  # pixels; regions are found in a copy whose longer side has at most about this length
LEVELS = 10  # thresholds between the darkest and the lightest pixel
MIN_AREA = 0.08  # of the image: a smaller region is no sheet and no cell
WHOLE = 0.98  # of the image: there is nothing to cut off
MIN_FILL = 0.93  # of the best quadrilateral: an ellipse fills 0.79, the counter of a D 0.88
MIN_FULL_FILL = 0.97  # the same for a region that fills the image: a letter O cut out tightly fills 0.95
EMPTY_FILL = 0.95  # the same for a region without ink
EMPTY_AREA = 0.1  # of the image, at least, for a region without ink
MOST = 0.7  # of the image: no counter of a letter is so large
MIN_ASPECT = 0.4  # of a region without ink: a narrower one is a stroke
SMALL = 64  # pixels: a smaller image shows no sheet on a table, so a square in it is a symbol
DUST = 0.04  # of the shorter side: smaller ink is none
MIN_PAPER = 0.6  # of the region, without its ink: a thick frame is not a sheet
MIN_CONTENT = 0.1  # side of the ink, in shorter sides of the region
MIN_SHARPNESS = 0.6  # share of the contrast that lies within 1 % of the diagonal
RULING = 0.33  # contrast of an edge to that of the ink: a fainter one is ruling, which stays
FAINT = 0.5  # contrast of an edge to that of the ink
STRONG = 0.75  # the same where ink crosses it
CROSSED = 0.01  # of the outline
LEAST_INK = 0.2  # contrast of the ink in a region to that of a character beside it: fainter ink is ruling
MIN_CONTRAST = 24  # gray levels across the edge
BLOCKS = 16  # on each side, of which a vignette is estimated
DARK_CORNER = 0.6  # of the light in the middle, in all four corners: a vignette
MIN_SIDE = 16  # pixels
MIN_STEP = 0.004  # of the pixels: levels that differ by less give the same regions


@dataclass(frozen=True, eq=False)
class Sheet:
    """A sheet of paper, upright as it was found.

    Attributes:
        image: uint8 array (height, width): a part of the original, with paper in place of what is not the sheet.
        left: of the part in the original, in pixels.
        top: of the part in the original, in pixels.
        is_empty: whether there is nothing on it.
    """

    image: np.ndarray
    left: int = 0
    top: int = 0
    is_empty: bool = False


@dataclass(frozen=True, eq=False)
class _Region:
    """A quadrilateral of even brightness.

    Attributes:
        mask: uint8 array, 1 within its outline, ink included.
        area: of the mask, as a fraction of the image.
        fill: of the quadrilateral that fits best.
        content: longer side of the largest ink in it, in shorter sides of the region.
        is_cell: whether outside of its edge there is more paper.
    """

    mask: np.ndarray
    area: float
    fill: float
    content: float
    is_cell: bool
    is_empty: bool


def find_sheet(gray: np.ndarray, cells: bool = False) -> Sheet:
    """Reduce an image to its sheet of paper: without the table, dark edges of a scan, and gutters.

    Args:
        gray: uint8 array (height, width) of any size, dark on light or light on dark.
        cells: also reduce a sheet to the box that is printed on it, with the character inside.

    Returns:
        The sheet; the whole image if no edge of a sheet is visible.

    >>> table = np.full((90, 120), 60, np.uint8); table[10:80, 20:100] = 230; table[30:60, 50:60] = 40
    >>> sheet = find_sheet(table)
    >>> sheet.image.shape, sheet.left, sheet.top, int(sheet.image[0, 0])
    ((68, 78), 21, 11, 230)
    """
    small = _shrunk(gray)
    found = [region for region in _regions(small) if cells or not region.is_cell]
    written = [region for region in found if region.content >= MIN_CONTENT]
    empty = [region for region in found if region.is_empty]
    if not written and not empty:
        return Sheet(gray)
    best = max(written or empty, key=lambda region: region.area * region.fill**4)
    return _cut(gray, small, best)


def _regions(gray: np.ndarray) -> Iterator[_Region]:
    """Find quadrilaterals with sharp edges, light ones and dark ones."""
    low, high = (float(value) for value in cv2.minMaxLoc(gray)[:2])
    if high - low < MIN_CONTRAST or min(gray.shape) < MIN_SIDE:
        return
    edges = tuple(_local_range(gray, max(1, round(share * sum(gray.shape) / 2))) for share in (0.01, 0.04))
    shares = np.cumsum(cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()) / gray.size
    last = -1.0
    for level in np.linspace(low, high, LEVELS + 2)[1:-1].astype(int):
        if shares[level] - last >= MIN_STEP:  # otherwise the regions are nearly those of the last level
            last = shares[level]
            bright = (gray > level).view(np.uint8)
            yield from _regions_at(gray, bright, True, edges)
            yield from _regions_at(gray, 1 - bright, False, edges)


def _regions_at(
    gray: np.ndarray, inside: np.ndarray, is_light: bool, edges: tuple[np.ndarray, ...]
) -> Iterator[_Region]:
    """Find the quadrilaterals among the components of a thresholded image."""
    if min(gray.shape) >= 100:
        inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, components, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=4, ltype=cv2.CV_16U)
    for number in np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= MIN_AREA * MIN_PAPER * gray.size):
        if number:
            part = (components == number).view(np.uint8)
            if region := _region(gray, part, inside, is_light, edges):
                yield region


def _region(
    gray: np.ndarray, part: np.ndarray, inside: np.ndarray, is_light: bool, edges: tuple[np.ndarray, ...]
) -> _Region | None:
    """Describe a component of a thresholded image if it is a quadrilateral with sharp edges."""
    outlines, tree = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    is_hole = tree[0][:, 3] >= 0
    outline = outlines[int(np.flatnonzero(~is_hole)[0])]
    area = int(cv2.contourArea(outline) + len(outline) / 2 + 1)  # Pick's theorem
    is_whole = area > WHOLE * gray.size  # within a line of a pixel or two on three or four sides
    if (
        area < MIN_AREA * gray.size
        or (is_whole and _cut_sides(part, 1) > 1)
        or np.count_nonzero(part) < MIN_PAPER * area
    ):
        return None
    rectangle = cv2.minAreaRect(outline)
    near, wide = _edge_contrasts(outline, edges)
    if not _is_sharp(near, wide):
        return None
    mask = cv2.drawContours(np.zeros_like(part), [outline], -1, 1, -1)
    if _cut_sides(mask, 1) == 4 or (_touches(mask) and mask[:: mask.shape[0] - 1, :: mask.shape[1] - 1].all()):
        return None  # the image is full of a letter, or only a stroke is cut
    fill = _quadrilateral_fill(outline, mask)
    if fill < (MIN_FULL_FILL if _cut_sides(mask, max(2, sum(mask.shape) // 100)) == 4 else MIN_FILL):
        return None
    level = gray[part > 0].min() if is_light else gray[part > 0].max()
    is_cell = bool((np.median(gray[mask == 0]) > level) == is_light)
    is_faint, is_crossed = _faintness(gray, part, near)
    if is_crossed or (is_faint and is_cell):
        return None
    ink = [max(cv2.boundingRect(hole)[2:]) - 2 for hole, inner in zip(outlines, is_hole, strict=True) if inner]
    content = max([*ink, _side_of_stronger_ink(gray, part, mask, is_light, near)]) / min(rectangle[1])
    if _shows_ruling_alone(gray, part, mask):
        return None
    aspect = min(rectangle[1]) / max(rectangle[1])
    may_be_empty = content < DUST and aspect >= MIN_ASPECT and not (is_whole and _touches(mask))
    is_empty = may_be_empty and _is_empty(inside, mask, fill, is_cell)
    return _Region(mask, area / gray.size, fill, content, is_cell, is_empty)


def _faintness(gray: np.ndarray, part: np.ndarray, along: np.ndarray) -> tuple[bool, bool]:
    """Whether an edge with these contrasts is so faint that a line of it is ruling, and fainter than ink across it."""
    paper = np.median(gray[part > 0])
    strongest = max(paper - gray.min(), gray.max() - paper)  # of the image: ink that crosses the edge may be outside
    edge = np.median(along)
    is_crossed = (along > STRONG * strongest).mean() > CROSSED
    return bool(edge < RULING * strongest), bool(edge < FAINT * strongest and is_crossed)


def _shows_ruling_alone(gray: np.ndarray, part: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the ink in a region is much fainter than a character beside it, which a table is not: that is cut off."""
    depth = cv2.absdiff(cv2.GaussianBlur(gray, (3, 3), 0), np.full_like(gray, np.median(gray[part > 0])))
    within = depth[cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0].max(initial=0)
    if not MIN_CONTRAST / 2 <= within < LEAST_INK * depth.max():
        return False
    strong = ((depth > STRONG * depth.max()) & (mask == 0)).view(np.uint8)
    left, top, width, height, _ = cv2.connectedComponentsWithStats(strong)[2][1:].T
    is_free = (left > 0) & (top > 0) & (left + width < gray.shape[1]) & (top + height < gray.shape[0])
    return bool((np.maximum(width, height)[is_free] >= MIN_CONTENT * min(gray.shape)).any())


def _side_of_stronger_ink(
    gray: np.ndarray, part: np.ndarray, mask: np.ndarray, is_light: bool, along: np.ndarray
) -> int:
    """Measure the longer side of ink that stands out from the paper twice as much as the paper from its surroundings.

    Dark ink on gray paper on a white table is on the same side of the threshold as the paper, so it leaves no hole.
    """
    depth = (gray - np.median(gray[part > 0])) * (1 if is_light else -1) * cv2.erode(mask, np.ones((5, 5), np.uint8))
    if depth.max() < max(MIN_CONTRAST, 2 * np.median(along)):
        return 0
    inked = (depth > depth.max() / 2).view(np.uint8)
    return int(cv2.connectedComponentsWithStats(inked)[2][1:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].max())


def _cut_sides(mask: np.ndarray, slack: int) -> int:
    """Count the sides of the image that a region reaches, or nearly so."""
    return sum(bool(side.any()) for side in (mask[:slack], mask[-slack:], mask[:, :slack], mask[:, -slack:]))


def _touches(mask: np.ndarray) -> bool:
    return bool(border_pixels(mask).any())


def _is_empty(inside: np.ndarray, mask: np.ndarray, fill: float, is_cell: bool) -> bool:
    """Whether a region without ink is an empty cell or sheet rather than the counter of a letter or what is beside it.

    A sheet or a cell has nothing but a table or a frame around it; the frame has no second counter.
    """
    area = np.count_nonzero(mask) / mask.size
    if _touches(mask):  # then only what is clearly an edge of a scan or a table, not the strokes of an L or a U
        is_alone = not (border_pixels(inside) & ~border_pixels(mask) & 1).any()
        is_edge = fill >= EMPTY_FILL and _cut_sides(mask, 1) == 1 and area >= EMPTY_AREA
        return bool(is_alone and (area >= MOST or is_edge))
    if area >= MOST:
        return True
    if fill < EMPTY_FILL or area < EMPTY_AREA or (not is_cell and min(mask.shape) < SMALL):
        return False
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
    _, around = cv2.connectedComponents(1 - inside, connectivity=8, ltype=cv2.CV_32S)
    ring = np.isin(around, np.setdiff1d(np.unique(around[near > mask]), [0])).view(np.uint8)
    outlines, _ = cv2.findContours(ring, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(ring), outlines, -1, 1, -1)
    return bool(np.count_nonzero(filled & inside & ~mask) <= DUST * np.count_nonzero(mask))


def _quadrilateral_fill(outline: np.ndarray, mask: np.ndarray) -> float:
    """Compare a region with the rectangle, and the quadrilateral, around it: intersection over union in the image."""
    hull = cv2.convexHull(outline)
    shapes = [cv2.boxPoints(cv2.minAreaRect(hull))]
    for tolerance in (0.02, 0.04, 0.06):
        corners = cv2.approxPolyDP(hull, tolerance * cv2.arcLength(hull, True), True)
        if len(corners) == 4:
            shapes.append(corners[:, 0])
            break
    best = 0.0
    for corners in shapes:
        filled = cv2.fillConvexPoly(np.zeros_like(mask), np.rint(corners).astype(np.int32), 1)
        best = max(best, np.count_nonzero(mask & filled) / np.count_nonzero(mask | filled))
    return best


def _local_range(gray: np.ndarray, radius: int) -> np.ndarray:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.subtract(cv2.dilate(gray, kernel), cv2.erode(gray, kernel))


def _edge_contrasts(outline: np.ndarray, edges: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Take the contrasts nearby and farther off along an outline, except where it is the border of the image."""
    x, y = outline[:, 0].T
    height, width = edges[0].shape
    inner = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    return [values[y[inner], x[inner]] for values in edges]


def _is_sharp(near: np.ndarray, wide: np.ndarray) -> bool:
    """Whether an edge with these contrasts is no shadow."""
    return len(near) > 0 and bool(np.median(near) >= max(MIN_CONTRAST, MIN_SHARPNESS * np.median(wide)))


def _cut(gray: np.ndarray, small: np.ndarray, region: _Region) -> Sheet:
    """Crop an image to a region found in a smaller copy, and continue its paper where it does not fill the crop."""
    height, width = small.shape
    slack = max(1, round(0.015 * np.sqrt(region.area * small.size)))
    framed = cv2.copyMakeBorder(region.mask, slack, slack, slack, slack, cv2.BORDER_REPLICATE)
    inner = cv2.erode(framed, np.ones((2 * slack + 1, 2 * slack + 1), np.uint8))[slack:-slack, slack:-slack]
    left, top, across, down = cv2.boundingRect(inner)
    part, inside = small[top : top + down, left : left + across], inner[top : top + down, left : left + across]
    paper = _continue(part, inside)
    x0, x1 = (round(x * gray.shape[1] / width) for x in (left, left + across))
    y0, y1 = (round(y * gray.shape[0] / height) for y in (top, top + down))
    image = gray[y0:y1, x0:x1].copy()
    size = image.shape[::-1]
    outside = cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST) == 0
    image[outside] = cv2.resize(paper, size, interpolation=cv2.INTER_LINEAR)[outside]
    return Sheet(image, x0, y0, region.is_empty)


def _continue(gray: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Extend the paper of a region smoothly beyond it."""
    known = gray[inside > 0]
    middle = np.median(known)
    is_paper = inside * (np.abs(gray - middle) <= 2.5 * np.median(np.abs(known - middle)) + 12)
    weight = is_paper.astype(np.float32)
    side = (max(gray.shape) // 3) | 1
    total = cv2.blur(weight, (side, side), borderType=cv2.BORDER_CONSTANT)
    mean = cv2.blur(gray * weight, (side, side), borderType=cv2.BORDER_CONSTANT) / np.maximum(total, 1e-6)
    return np.where(total > 1e-3, mean, middle).round().astype(np.uint8)


def paint_over(gray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Replace what a mask marks, given at any scale, by the paper around it."""
    height, width = mask.shape
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    paper = _continue(small, 1 - mask)
    size = gray.shape[::-1]
    marked = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0
    painted = gray.copy()
    painted[marked] = cv2.resize(paper, size, interpolation=cv2.INTER_LINEAR)[marked]
    return painted


def even_vignette(gray: np.ndarray) -> np.ndarray:
    """Lighten the corners of a photograph that are all much darker than its middle.

    A polynomial of the fourth degree, symmetric about the center of the image as lenses are, is fitted to the medians
    of blocks, among which paper prevails.
    """
    closed = cv2.morphologyEx(_shrunk(gray), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))  # without fine strokes
    blocks = cv2.resize(closed, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA).astype(np.float32)
    if blocks[:: BLOCKS - 1, :: BLOCKS - 1].max() > DARK_CORNER * np.percentile(blocks, 80):
        return gray
    y, x = np.meshgrid(*[np.linspace(-1, 1, BLOCKS)] * 2, indexing="ij")
    r = x**2 + y**2
    terms = np.stack([np.ones_like(r), x, y, x**2, r, r**2, r**3], axis=-1).reshape(-1, 7)
    weight = np.ones((BLOCKS**2, 1))
    for _ in range(8):  # ink is darker than the fit, and loses its weight
        light = terms @ np.linalg.lstsq(terms * weight, blocks.ravel() * weight[:, 0], rcond=None)[0]
        weight = np.where(blocks.reshape(-1, 1) < 0.85 * light[:, None], 0.05, 1.0)
    light = np.maximum(light.reshape(BLOCKS, BLOCKS), 8).astype(np.float32)
    gain = cv2.resize(np.percentile(light, 80) / light, gray.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(gray * gain, 0, 255).astype(np.uint8)


def _shrunk(gray: np.ndarray) -> np.ndarray:
    """Reduce an image by an integer to `WORKING_SIDE` or a little less."""
    shrink = -(-max(gray.shape) // WORKING_SIDE)
    if shrink <= 1:
        return gray
    width, height = (max(1, round(n / shrink)) for n in (gray.shape[1], gray.shape[0]))
    return cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
