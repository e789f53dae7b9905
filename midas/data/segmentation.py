"""Pages, lines and forms to single characters: where they are, in reading order.

A character is a connected component of ink, or a group of them such as the stem and the dot of an i. Characters that
touch are found as one, and counted in `Segmentation.touching`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from midas.data.glyphs import UNKNOWN_PLACE, Glyph
from midas.data.ink import pen_width
from midas.data.levels import BLANK, UnreadableImage
from midas.data.paper import Sheet, find_sheet, paint_over
from midas.data.photographs import even_light, is_uneven, page_ink
from midas.data.preprocessing import bare_image, frame_glyph, look_at
from midas.data.ruling import find_circles, remove_ruling
from midas.data.surroundings import find_dark_corners, has_four_sides

MAX_SIDE = 4000  # pixels; a larger page is shrunk
MIN_SIDE = 64  # pixels; smaller images are taken to show a single character
MAX_COMPONENTS = 20_000  # of ink; a page of print has about 4,000
ROW = 1.8  # the width of a smaller image, to its height, that may show several
SHEET = 0.25  # of the image: what is smaller and empty is the cell of a form
ACROSS = 0.4  # of the image's longer side: what is longer may be a ruled line
SOLID = 96  # of 255: ink that connects two pixels; fainter ink is the soft edge of a stroke
# In widths of the pen:
DUST = 0.4  # the longer side of a component: smaller ones are dust
DOT = 2.0  # the height of a component: lower ones may belong to that above or below, as dots and bars
CRACK = 0.3  # a gap beside a component: smaller ones are breaks in a stroke
# In heights of a typical character:
COUNTED = 0.3  # the longer side of a component, to that of the largest: smaller ones are specks or punctuation
STACK_GAP = 0.8  # between a character and its dot, or the bars of =
STACKED = 2.5  # the height of a character of several components
RULED = 3.0  # the longer side of a component: longer ones may be ruled lines
FAR = 12.0  # gap beside a character at which its line is taken to end
MIN_SPACE = 0.4  # gap between words
WIDE = 2.5  # the width of a component: wider ones are probably several characters that touch
# Ratios:
THIN = 12.0  # length of a component to its thickness: longer ones are ruled lines
OVERLAP = 0.5  # of the narrower component, with the width of the other
SAME_LINE = 0.4  # of the lower component's height, with that of the other
SPACE = 1.9  # a gap between words to the usual gap
HELD = 0.2  # the longer side of ink in a printed box, to that of the box
SAME_SIZE = 0.15  # difference between the printed boxes of a form
MIN_LINE = 4  # characters of a line from which its slope is measured


@dataclass(frozen=True, eq=False)
class Character:
    """One character on a page.

    Attributes:
        box: (left, top, right, bottom) in pixels of the image, right and bottom exclusive.
        glyph: normalized; its place is unknown.
        after_space: whether it begins a word, but not a line.
    """

    box: tuple[int, int, int, int]
    glyph: Glyph
    after_space: bool


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The characters of a page.

    Attributes:
        lines: from top to bottom, each from left to right.
        slope: of the lines, in pixels down per pixel to the right.
        touching: number of boxes that are so wide that they probably hold several characters.
    """

    lines: tuple[tuple[Character, ...], ...]
    slope: float
    touching: int

    def level(self, boxes: np.ndarray) -> np.ndarray:
        """Shift boxes (n, 4) vertically as if the lines were horizontal."""
        rise = self.slope * (boxes[:, 0] + boxes[:, 2]) / 2
        return boxes - np.outer(rise, (0, 1, 0, 1))


@dataclass(frozen=True, eq=False)
class _Layout:
    """Components of ink, grouped to n characters.

    Attributes:
        ink: uint8 array (height, width), light ink on black.
        components: int32 array (height, width), the number of the component of each pixel, 0 for none.
        members: for each character the numbers of its components.
        boxes: int array (n, 4), for each character (left, top, right, bottom).
        height: of a typical character, in pixels.
    """

    ink: np.ndarray
    components: np.ndarray
    members: list[np.ndarray]
    boxes: np.ndarray
    height: float


def find_characters(gray: np.ndarray, size: int = 28) -> Segmentation:
    """Find the characters of a page, line or form.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark.
        size: side of the glyphs in pixels.

    Raises:
        UnreadableImage: the page is blank, or shows no separate characters at all.

    >>> page = np.full((60, 200), 255, np.uint8)
    >>> page[20:40, 20:24] = page[20:40, 40:44] = page[20:40, 120:124] = 0
    >>> [(each.box, each.after_space) for each in find_characters(page).lines[0]]
    [((20, 20, 24, 40), False), ((40, 20, 44, 40), False), ((120, 20, 124, 40), True)]
    """
    shrink = max(1.0, max(gray.shape) / MAX_SIDE)
    if shrink > 1:
        gray = cv2.resize(gray, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
    if look_at(gray).is_photo and is_uneven(gray):  # small text on a plain page looks like a photograph from afar
        gray = even_light(gray)
    corners = find_dark_corners(look_at(gray).ink)
    gray = gray if corners is None else paint_over(gray, corners)
    sheet = find_sheet(gray)
    if sheet.is_empty and sheet.image.size > gray.size * SHEET:
        raise UnreadableImage("blank: an empty sheet")
    if sheet.is_empty:  # one of the cells of a form
        sheet = Sheet(gray)
    layout = _layout(page_ink(sheet.image))
    boxes = shrink * (layout.boxes + np.array([sheet.left, sheet.top] * 2))
    lines, slope = _lines(layout)
    starts = _word_starts(layout, lines)
    characters = [
        Character(tuple(box), _glyph(layout, index, size), bool(starts[index]))
        for index, box in enumerate(np.rint(boxes).astype(int).tolist())
    ]
    widths = layout.boxes[:, 2] - layout.boxes[:, 0]
    touching = int(np.count_nonzero(widths > WIDE * layout.height))
    return Segmentation(tuple(tuple(characters[index] for index in line) for line in lines), slope, touching)


def shows_several(gray: np.ndarray) -> bool:
    """Whether an image that should show one character shows several, apart from each other.

    Args:
        gray: uint8 array (height, width), dark on light or light on dark; not blank. Images smaller than `MIN_SIDE` are
            taken to show one, unless they are much wider than high.

    >>> page = np.full((90, 120), 255, np.uint8)
    >>> page[20:60, 20:24] = page[20:60, 80:84] = 0
    >>> shows_several(page)
    True
    """
    if max(gray.shape) < MIN_SIDE and gray.shape[1] < ROW * gray.shape[0]:
        return False
    try:
        return _count(gray) > 1 and _count(bare_image(gray)) > 1
    except UnreadableImage:
        return False


def _count(gray: np.ndarray) -> int:
    """Count the characters of an image, specks and punctuation aside."""
    view = look_at(gray)
    ink = page_ink(view.small) if view.is_photo else view.ink  # strokes may be too thick for the windows of `page_ink`
    sides = _sides(_layout(ink).boxes)
    return int(np.count_nonzero(sides > COUNTED * sides.max()))


# ---- components to characters


def _layout(ink: np.ndarray) -> _Layout:
    """Group the ink of a page to characters, without boxes, ruling, holes and dust."""
    ink, typical = _without_printed(ink)
    components, boxes, kept, pen = _components(ink)
    groups = _groups(boxes[kept], typical, pen)
    order = np.argsort(groups, kind="stable")
    parts = np.split(kept[order], np.flatnonzero(np.diff(groups[order])) + 1)
    outlines = [np.concatenate([boxes[part, :2].min(axis=0), boxes[part, 2:].max(axis=0)]) for part in parts]
    return _Layout(ink, components, parts, np.array(outlines), typical)


def _without_printed(ink: np.ndarray) -> tuple[np.ndarray, float]:
    """Remove circles, boxes, ruling and holes, and measure the longer side of a typical character."""
    circles = find_circles(ink)
    ink = ink if circles is None else np.where(circles, np.uint8(0), ink)
    components, boxes, kept, _ = _components(ink)
    longest, is_ruled = max(ink.shape), False
    if _sides(boxes[kept]).max() > ACROSS * longest:  # perhaps lines that connect characters: remove the longest ones
        is_ruled = True
        components, boxes, kept, _ = _components(remove_ruling(ink, ACROSS / 4 * longest))
    if len(frames := _frames(components, boxes, kept)):
        ink = ink * ~np.isin(components, frames)
        kept = np.setdiff1d(kept, frames)
        if not len(kept):
            raise UnreadableImage("blank: empty boxes")
    typical = _typical_side(boxes[kept])
    if is_ruled or len(frames) or _sides(boxes[kept]).max() > RULED * typical:
        ink = remove_ruling(ink, typical)
    return ink, typical


def _components(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Find the components of ink: that of each pixel, their boxes, those that are no dust, and the width of the pen."""
    solid = (ink > SOLID).view(np.uint8)
    _, components, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8, ltype=cv2.CV_32S)
    left, top, width, height, _ = stats.T.astype(np.int64)
    pen = pen_width(solid)
    kept = 1 + np.flatnonzero(np.maximum(width, height)[1:] > DUST * pen)
    if not len(kept):
        raise UnreadableImage(BLANK)
    if len(kept) > MAX_COMPONENTS:
        raise UnreadableImage(f"{len(kept):,} separate specks of ink, more than a page of characters has")
    return components, np.stack([left, top, left + width, top + height], axis=1), kept, pen


def _frames(components: np.ndarray, boxes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Find printed boxes and tables: what has sides all round and holds other ink, and what has the same size."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    framed = np.array([number for number in kept if has_four_sides(_part(components, boxes, number))], int)
    left, top, right, bottom = boxes[kept].T
    sides = _sides(boxes[kept])
    holding = [
        number
        for number in framed[sizes[framed].min(axis=1) > 2]  # which others fit into
        if (
            (left > boxes[number, 0])
            & (top > boxes[number, 1])
            & (right < boxes[number, 2])
            & (bottom < boxes[number, 3])
            & (sides > HELD * sizes[number].max())
        ).any()
    ]
    alike = np.abs(sizes[framed][:, None] - sizes[holding]) <= SAME_SIZE * sizes[holding]
    return framed[alike.all(axis=2).any(axis=1)]


def _part(components: np.ndarray, boxes: np.ndarray, number: int) -> np.ndarray:
    left, top, right, bottom = boxes[number].tolist()
    return components[top:bottom, left:right] == number


def _sides(boxes: np.ndarray) -> np.ndarray:
    """Measure the longer side of each box."""
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def _typical_side(boxes: np.ndarray) -> float:
    """Measure the longer side of a typical character, dots, dust and long thin lines aside."""
    sides = _sides(boxes)
    thin = sides > THIN * (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    sides = sides if thin.all() else sides[~thin]
    return float(np.median(sides[sides > 0.4 * np.percentile(sides, 75)]))


def _groups(boxes: np.ndarray, typical: float, pen: float) -> np.ndarray:
    """Group components to characters: int array (n,), the number of the group of each."""
    first, second = _overlapping(boxes[:, 0] - CRACK * pen - 1, boxes[:, 2] + CRACK * pen + 1)
    left, top, right, bottom = (boxes[:, side] for side in range(4))
    across = np.minimum(right[first], right[second]) - np.maximum(left[first], left[second])
    gap = np.maximum(top[first], top[second]) - np.minimum(bottom[first], bottom[second])
    joint = np.maximum(bottom[first], bottom[second]) - np.minimum(top[first], top[second])
    narrower = np.minimum(right[first] - left[first], right[second] - left[second])
    heights = bottom - top
    lower = np.minimum(heights[first], heights[second])
    over = across + pen / 2 >= OVERLAP * narrower
    stacked = over & (gap > 0) & (gap <= STACK_GAP * typical) & (lower <= DOT * pen)
    stacked &= joint <= STACKED * typical
    stacked = _nearest(stacked, np.where(heights[first] <= heights[second], first, second), gap)
    within = (across >= OVERLAP * narrower) & (-gap >= OVERLAP * lower)
    broken = (across < 0) & (-across <= CRACK * pen) & (-gap >= OVERLAP * lower)
    return _connected(len(boxes), first, second, stacked | within | broken)


def _nearest(pairs: np.ndarray, of: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Keep, of the chosen pairs that share a component, the one with the smallest distance."""
    chosen = np.flatnonzero(pairs)
    order = chosen[np.lexsort((distance[chosen], of[chosen]))]
    kept = np.zeros_like(pairs)
    kept[order[np.unique(of[order], return_index=True)[1]]] = True
    return kept


def _overlapping(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find all pairs of intervals that overlap: two int arrays of their indices."""
    order = np.argsort(start, kind="stable")
    stop = np.searchsorted(start[order], end[order])
    counts = np.maximum(stop - np.arange(len(order)) - 1, 0)
    first = np.repeat(np.arange(len(order)), counts)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[first], order[second]


def _connected(count: int, first: np.ndarray, second: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    edges = coo_array((np.ones(chosen.sum()), (first[chosen], second[chosen])), shape=(count, count))
    return connected_components(edges, directed=False)[1]


def _glyph(layout: _Layout, index: int, size: int) -> Glyph:
    """Normalize a character without its neighbors."""
    left, top, right, bottom = layout.boxes[index].tolist()
    left, top = max(left - 1, 0), max(top - 1, 0)  # the soft edges of strokes
    area = (slice(top, bottom + 1), slice(left, right + 1))
    mask = np.isin(layout.components[area], layout.members[index]).view(np.uint8)
    near = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    return Glyph(frame_glyph(layout.ink[area] * near, size), UNKNOWN_PLACE)


# ---- characters to lines and words


def _lines(layout: _Layout) -> tuple[list[list[int]], float]:
    """Put characters into reading order: the indices of each line, and the slope of the lines."""
    boxes = layout.boxes
    chains = _chains(boxes, layout.height)
    slope = _slope(boxes, chains, layout.height)
    level = boxes[:, [1, 3]] - slope * (boxes[:, [0]] + boxes[:, [2]]) / 2
    lines: list[list[int]] = []
    spans = np.zeros((0, 2))
    for chain in sorted(chains, key=len, reverse=True):
        top, bottom = np.median(level[chain], axis=0)
        overlap = np.minimum(bottom, spans[:, 1]) - np.maximum(top, spans[:, 0])
        shares = overlap / np.minimum(bottom - top, spans[:, 1] - spans[:, 0])
        if len(lines) and shares.max() >= OVERLAP:
            lines[shares.argmax()] += chain
        else:
            lines.append(chain)
            spans = np.vstack([spans, [top, bottom]])
    order = np.argsort(spans.mean(axis=1), kind="stable")
    centers = boxes[:, 0] + boxes[:, 2]
    return [sorted(lines[index], key=lambda each: (centers[each], each)) for index in order], slope


def _chains(boxes: np.ndarray, typical: float) -> list[list[int]]:
    """Link each character to its neighbor on the right, if that has it as neighbor on the left."""
    first, second = _overlapping(boxes[:, 1], boxes[:, 3])
    centers, heights = boxes[:, 0] + boxes[:, 2], boxes[:, 3] - boxes[:, 1]
    swap = centers[first] > centers[second]
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    overlap = np.minimum(boxes[first, 3], boxes[second, 3]) - np.maximum(boxes[first, 1], boxes[second, 1])
    gap = boxes[second, 0] - boxes[first, 2]
    linked = (overlap >= SAME_LINE * np.minimum(heights[first], heights[second])) & (gap <= FAR * typical)
    linked &= _nearest(linked, first, gap) & _nearest(linked, second, gap)
    groups = _connected(len(boxes), first, second, linked)
    return [np.flatnonzero(groups == group).tolist() for group in range(groups.max() + 1)]


def _slope(boxes: np.ndarray, chains: list[list[int]], typical: float) -> float:
    """Measure the slope of lines: the median of the regression lines through the feet of long chains."""
    slopes = []
    for chain in chains:
        middle = (boxes[chain, 0] + boxes[chain, 2]) / 2
        if len(chain) >= MIN_LINE and np.ptp(middle) > MIN_LINE * typical:
            slopes += [np.polyfit(middle, boxes[chain, 3], 1)[0]] * len(chain)
    return float(np.median(slopes)) if slopes else 0.0


def _word_starts(layout: _Layout, lines: list[list[int]]) -> np.ndarray:
    """Find the characters before which there is a space: bool array (n,)."""
    starts = np.zeros(len(layout.boxes), bool)
    gaps = [
        (after, layout.boxes[after, 0] - layout.boxes[line[:position], 2].max())
        for line in lines
        for position, after in enumerate(line)
        if position
    ]
    if gaps:
        after, widths = np.array(gaps).T
        usual = np.sort(widths)[(len(widths) - 1) // 2]
        starts[after] = widths > max(SPACE * usual, MIN_SPACE * layout.height)
    return starts
