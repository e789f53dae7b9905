"""Printed lines in an ink map: boxes round characters, ruling, combs and underlines; and holes punched into the margin.

A line is long, straight, level or upright, and thinner than `THICKNESS`. Runs of ink find it, as in the removal of
staff lines (Dalitz et al. 2008); where a stroke crosses or touches it, its ink stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from midas.data.ink import INK, pen_width

THICKNESS = 0.25  # of the character's height: thicker ones are strokes
LENGTH = 2.0  # in characters' heights: shorter ones are strokes, unless they end at other lines
SIDE = 1.1  # in characters' heights: the shortest side of a box
SLOPE = 0.06  # a line that rises more is none; 3.4 degrees
BEND = 0.01  # of its length, by which a line may leave the straight, beside half its thickness
HAIR = 0.03  # thickness of a line to its length: thinner ones are printed
HALF = 0.5  # of the image's side: length of the longest of such lines if there is no other ink
FINE = 0.06  # thickness of the lines of a frame without other ink to their length
BINDING = 0.15  # of the image, along a side: where a binding is
RINGS = 6  # at least, in a binding
LARGE = 64  # pixels: a smaller image shows no holes
FILLED = 0.5  # of the shortest line's length, without what strokes cover and gaps
FLANKED = 0.5  # of a line's length
HOLE = (0.3, 1.5)  # diameter of a hole in characters' heights
ROUND = 0.85  # area of a hole in circles around it
SHORTEST = 0.08  # length of the shortest line round a single character, in shorter sides of the image
THICKEST = 0.06  # thickness of the thickest one, in longer sides of the image
THIN = 0.6  # of the width of strokes: thinner lines are not drawn with the same pen
FAINT = 0.25  # of the width of strokes: even a short line that ends at the border is printed
SHORT = 0.8  # of the longer side of the character: a shorter line, though thin, may be one of its strokes
LONG = 1.6  # of the longer side of the character: a longer line is none of its strokes, even with the same pen
CRUMB = 0.06  # of the longer side of the image: what is smaller is no character
SMALLEST = 24  # pixels: the diameter of a printed circle
WIRE = 0.25  # of the box round a circle: its ink covers less
ENCLOSED = 0.3  # of a circle's diameter: the longer side of the character in it
CIRCULAR = 0.95  # of the smallest circle around: the roundest of 120 drawn 0, O and o covers 0.941
TICK, TICKS = 3, 4  # height of a tick of a comb in thicknesses of its line, at least, and number of them
EVEN = 0.1  # of the width of a cell, by which a tick may stand elsewhere
MARGIN = 0.1  # of the page, on each side: where holes are


@dataclass(frozen=True, eq=False)
class Line:
    """A printed line.

    Attributes:
        mask: bool array of the box's shape, the ink that is the line's alone or shared with strokes that cross it.
        box: (left, top, right, bottom) in pixels, right and bottom exclusive.
        thickness: in pixels.
        is_level: whether it runs from left to right, not from top to bottom.
    """

    mask: np.ndarray
    box: tuple[int, int, int, int]
    thickness: float
    is_level: bool

    @property
    def window(self) -> tuple[slice, slice]:
        """Where its box is in an image."""
        return slice(self.box[1], self.box[3]), slice(self.box[0], self.box[2])

    @property
    def length(self) -> int:
        """From end to end in pixels."""
        return self.box[2] - self.box[0] if self.is_level else self.box[3] - self.box[1]


def remove_ruling(ink: np.ndarray, height: float) -> np.ndarray:
    """Remove printed boxes, ruling and holes from the ink of a page.

    Args:
        ink: uint8 array (height, width) of any size, light ink on black.
        height: plausible height of a character in pixels. Lines of twice that length are printed, and shorter ones
            that end at other lines.

    Returns:
        uint8 array of the same shape; strokes that cross a line are whole.

    >>> ink = np.zeros((90, 300), np.uint8); ink[20:60, 50:56] = 255
    >>> ruled = ink.copy(); ruled[50:52] = 255
    >>> bool((remove_ruling(ruled, 40) == ink).all())
    True
    """
    thickest = max(2, round(THICKNESS * height))
    lines = [*find_lines(ink, round(SIDE * height), thickest)]
    printed = [line for line in lines if line.length >= LENGTH * height or _meetings(line, lines) >= 2]
    return remove_holes(_without_ticks(erase(ink, printed), printed), height)


def _without_ticks(ink: np.ndarray, printed: list[Line]) -> np.ndarray:
    """Remove the ticks of combs: thin pieces of one height and at equal distances that stand on a level line."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats((ink > INK).view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    x, y, width, height, _ = stats.T
    ticks = np.zeros(len(stats), bool)
    for line in (line for line in printed if line.is_level):
        left, top, right, bottom = line.box
        slack = line.thickness + 2
        on_line = (x + width >= left - slack) & (x <= right + slack) & (y < top) & (abs(y + height - bottom) <= slack)
        tall = np.flatnonzero(on_line & (height >= TICK * line.thickness)).tolist()
        found = [each for each in tall if _upper_width(parts, stats[each], each) <= line.thickness + 1]
        if len(found) >= TICKS and np.ptp(height[found]) <= 0.1 * height[found].max() + 1:
            steps = np.diff(np.sort((x + width / 2)[found]))
            cells = steps / max(steps.min(), 1)
            ticks[found] |= bool((abs(cells - cells.round()) <= EVEN * cells.round()).all())
    return np.where(ticks[parts], np.uint8(0), ink)


def _upper_width(parts: np.ndarray, stats: np.ndarray, number: int) -> float:
    """Measure how wide the upper half of a component is, in the mean."""
    x, y, width, height, _ = stats.tolist()
    return float((parts[y : y + max(height // 2, 1), x : x + width] == number).sum(axis=1).mean())


def find_lines(ink: np.ndarray, length: int, thickest: int) -> Iterator[Line]:
    """Find straight lines, level and upright.

    Args:
        ink: uint8 array (height, width), light ink on black.
        length: of the shortest line in pixels.
        thickest: thickness of the thickest line in pixels.
    """
    inked = (ink > INK).view(np.uint8)
    yield from _level_lines(inked, length, thickest)
    for line in _level_lines(np.ascontiguousarray(inked.T), length, thickest):
        left, top, right, bottom = line.box
        yield Line(line.mask.T, (top, left, bottom, right), line.thickness, False)


def find_ruling(ink: np.ndarray) -> np.ndarray | None:
    """Find printed lines beside, round or through a single character.

    Straight strokes of letters look alike. A line is printed if it is longer than the rest of the ink and thinner than
    its strokes, or if it goes from border to border, away from the rest.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        bool array: the ink of the lines; None if there are none. If nothing else is left, the lines are all ink.
    """
    lines = [*find_lines(ink, max(6, round(SHORTEST * min(ink.shape))), max(2, round(THICKEST * max(ink.shape))))]
    while lines:
        rest = erase(ink, lines)
        box, stroke = _main_stroke(rest)
        if not stroke:
            strokes = max(line.thickness for line in lines)
            spanning = [line for line in lines if _ends_at_border(line, ink.shape) == 2]
            fine = [line for line in spanning if line.thickness <= FAINT * strokes]
            if not fine:
                return ink > INK if _are_ruling(lines, ink.shape) else None
            lines = fine  # the others are strokes of a letter such as H
            continue
        printed = [line for line in lines if _is_printed(line, rest, box, stroke)]
        kept = _with_pieces(printed, lines, stroke)
        if len(kept) > len(printed) or len(kept) == len(lines):
            return (ink > INK) & (erase(ink, kept) <= INK)
        lines = printed
    return None


def _with_pieces(printed: list[Line], lines: list[Line], stroke: float) -> list[Line]:
    """Add the thin pieces that lie on the sides of the box round the printed lines."""
    if not printed:
        return printed
    boxes = np.array([line.box for line in printed])
    frame = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    return [line for line in lines if line in printed or (line.thickness <= THIN * stroke and _on_side(line, frame))]


def _on_side(line: Line, frame: tuple[int, ...]) -> bool:
    middle, sides = (
        (line.box[1] + line.box[3], frame[1::2]) if line.is_level else (line.box[0] + line.box[2], frame[::2])
    )
    slack = 0.05 * max(frame[2] - frame[0], frame[3] - frame[1])
    return min(abs(middle / 2 - side) for side in sides) <= slack


def find_circles(ink: np.ndarray) -> np.ndarray | None:
    """Find printed circles: rounder than a drawn O, and round a character that does not touch them, or as large.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        bool array: the ink of the circles; None if there are none.

    >>> ink = cv2.circle(np.zeros((90, 90), np.uint8), (45, 45), 40, 255, 2)
    >>> find_circles(ink) is None
    True
    >>> ink[30:60, 44:47] = 255
    >>> mask = find_circles(ink)
    >>> bool(mask[45, 5]), bool(mask[45, 45])
    (True, False)
    """
    inked = (ink > INK).view(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_32S)
    x, y, width, height, area = stats.T
    right, bottom, longer = x + width, y + height, np.maximum(width, height)
    may_be = (longer >= SMALLEST) & (abs(width - height) <= 0.06 * longer) & (area < WIRE * width * height)
    may_be[0] = False
    circles = [number for number in np.flatnonzero(may_be).tolist() if _is_circle(parts, stats[number], number)]
    sizes = []  # of circles round a character
    for number in circles:
        is_inside = (x > x[number]) & (y > y[number]) & (right < right[number]) & (bottom < bottom[number])
        if (longer[is_inside] >= ENCLOSED * longer[number]).any():
            sizes.append(longer[number])
    found = [number for number in circles if any(abs(longer[number] - size) <= 0.1 * size for size in sizes)]
    return np.isin(parts, found) if found else None


def _is_circle(parts: np.ndarray, stats: np.ndarray, number: int) -> bool:
    x, y, width, height, _ = stats.tolist()
    part = (parts[y : y + height, x : x + width] == number).view(np.uint8)
    outline = max(cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
    return bool(cv2.contourArea(outline) >= CIRCULAR * np.pi * cv2.minEnclosingCircle(outline)[1] ** 2)


def find_holes(ink: np.ndarray) -> np.ndarray | None:
    """Find punched holes and bindings beside a single character: spots along a side, or a round one far from it.

    Args:
        ink: uint8 array (height, width), light ink on black.

    Returns:
        bool array: the ink of the holes; None if there are none.
    """
    parts, stats, is_round, is_binding = _round_spots(ink)
    left, top, width, height, _ = stats.T
    others = np.flatnonzero(~is_round & ~is_binding)[1:]
    if not len(others):
        is_empty = min(ink.shape) > LARGE and is_round.any() and width[is_round].max() < 0.1 * min(ink.shape)
        return ink > INK if is_empty or is_binding.any() else None
    main = others[(width * height)[others].argmax()]
    size = np.hypot(width[main], height[main])
    beside = np.maximum(np.maximum(left[main] - left - width, left - left[main] - width[main]), 0)
    above = np.maximum(np.maximum(top[main] - top - height, top - top[main] - height[main]), 0)
    similar = np.array([np.count_nonzero(is_round & (abs(width - w) <= 0.2 * w + 1)) for w in width])
    holes = is_round & ((np.hypot(beside, above) > 0.5 * size) | (similar > 1)) & (width < 0.5 * size) | is_binding
    return holes[parts] if holes.any() else None


def _round_spots(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Label the ink, and tell which components are disks in the margin, and which a row of rings along a side."""
    inked = (ink > INK).view(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_32S)
    x, y, across, down, area = stats.T
    rows, columns = ink.shape
    disk = area / (0.7854 * across * down)
    is_round = (np.minimum(across, down) >= 0.8 * np.maximum(across, down) - 1) & (disk >= ROUND) & (disk <= 1.15)
    from_side = np.minimum(
        np.minimum(x + across / 2, columns - x - across / 2) / columns,
        np.minimum(y + down / 2, rows - y - down / 2) / rows,
    )
    is_round &= from_side <= MARGIN
    is_round[0] = False
    reach = np.stack([x + across, columns - x, y + down, rows - y]) / np.array([[columns], [columns], [rows], [rows]])
    along = [reach_side <= BINDING for reach_side in reach]
    is_binding = np.any([side & (side.sum() >= RINGS) for side in along], axis=0)
    is_binding[0] = False
    return parts, stats, is_round, is_binding


def _main_stroke(rest: np.ndarray) -> tuple[tuple[int, int, int, int], float]:
    """Find the box of the largest piece of ink, and the width of its strokes; 0 if it is only a crumb."""
    inked = (rest > INK).view(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inked, connectivity=8, ltype=cv2.CV_32S)
    if len(stats) < 2:
        return (0, 0, 0, 0), 0.0
    main = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, width, height, _ = stats[main].tolist()
    stroke = pen_width((parts == main).view(np.uint8)) - 1
    return (x, y, x + width, y + height), stroke if max(width, height) >= CRUMB * max(rest.shape) else 0.0


def _is_printed(line: Line, rest: np.ndarray, box: tuple[int, int, int, int], stroke: float) -> bool:
    """Whether a line is none of the strokes of the character in `box`."""
    height, width = rest.shape
    size = max(box[2] - box[0], box[3] - box[1])
    ends = _ends_at_border(line, rest.shape)
    spans = ends == 2
    if line.thickness <= THIN * stroke:
        return spans or line.length >= SHORT * size or (ends == 1 and line.thickness <= FAINT * stroke)
    slack = max(2, round(0.02 * max(rest.shape)))
    is_clear = min(box[0], box[1], width - box[2], height - box[3]) >= slack
    window, (top, left) = _grown(line, 1)
    beside = rest[window] > INK
    near = np.zeros(beside.shape, np.uint8)
    near[top : top + line.mask.shape[0], left : left + line.mask.shape[1]] = line.mask
    touches = (cv2.dilate(near, np.ones((3, 3), np.uint8))[beside] > 0).any()
    return is_clear and not touches and (spans or line.length >= LONG * size)


def _ends_at_border(line: Line, shape: tuple[int, ...]) -> int:
    """Count the ends of a line that lie at the border of the image."""
    size, low, high = (shape[1], line.box[0], line.box[2]) if line.is_level else (shape[0], line.box[1], line.box[3])
    slack = max(2, round(0.02 * size))
    return int(low <= slack) + int(high >= size - slack)


def _are_ruling(lines: list[Line], shape: tuple[int, ...]) -> bool:
    """Whether lines that are all the ink are an empty form, not a letter of straight strokes such as E or t."""
    level = sum(line.is_level for line in lines)
    if all(line.thickness <= HAIR * line.length for line in lines):
        return max(line.length / shape[line.is_level] for line in lines) >= HALF
    if level >= 2 and len(lines) - level >= 2 and all(line.thickness <= FINE * line.length for line in lines):
        return True
    if len(lines) > 2 and all(_is_held(line, lines, shape) for line in lines):
        return True
    spanning = [line for line in lines if _ends_at_border(line, shape) == 2 and not _lies_at_border(line, shape)]
    return bool(spanning) and (level, len(lines) - level) != (1, 1)


def _is_held(line: Line, lines: list[Line], shape: tuple[int, ...]) -> bool:
    """Whether a thin line inside the image ends at its border or at other lines, as the side of a box that is cut."""
    if line.thickness > FINE * line.length or _lies_at_border(line, shape):
        return False
    return _meetings(line, lines) + _ends_at_border(line, shape) >= 2


def _meetings(line: Line, lines: list[Line]) -> int:
    """Count the lines across that a line meets."""
    reach = 3 + round(line.thickness)
    x, y = np.array(line.box)[[0, 2]] + [-reach, reach], np.array(line.box)[[1, 3]] + [-reach, reach]
    return sum(
        other.is_level != line.is_level
        and max(x[0], other.box[0]) < min(x[1], other.box[2])
        and max(y[0], other.box[1]) < min(y[1], other.box[3])
        for other in lines
    )


def _lies_at_border(line: Line, shape: tuple[int, ...]) -> bool:
    size, low, high = (shape[0], line.box[1], line.box[3]) if line.is_level else (shape[1], line.box[0], line.box[2])
    return min(low, size - high) <= 2


def _level_lines(inked: np.ndarray, length: int, thickest: int) -> Iterator[Line]:
    """Find the lines that run from left to right."""
    if inked.shape[1] < length:
        return
    thick = cv2.morphologyEx(inked, cv2.MORPH_OPEN, np.ones((thickest + 1 | 1, 1), np.uint8))
    runs = cv2.morphologyEx(cv2.subtract(inked, thick), cv2.MORPH_OPEN, np.ones((1, max(length // 8, 4) | 1), np.uint8))
    # Across a stroke, or a gap, the line goes on; a little higher or lower if it is not quite level.
    bridged = cv2.dilate(runs, np.ones((3, 2 * max(length // 6, thickest) + 1), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(bridged, connectivity=8, ltype=cv2.CV_32S)
    for number in 1 + np.flatnonzero(stats[1:, cv2.CC_STAT_WIDTH] >= length):
        x, y, width, height, _ = stats[number].tolist()
        window = (slice(y, y + height), slice(x, x + width))
        if line := _line(inked, runs[window] * (parts[window] == number), x, y, length):
            yield line


def _line(inked: np.ndarray, part: np.ndarray, x: int, y: int, length: int) -> Line | None:
    """Fit a line to runs of ink that begin at (x, y); None if they are too short, crooked, or the edge of a stroke."""
    columns = np.flatnonzero(part.any(axis=0))
    if columns[-1] + 1 - columns[0] < length or len(columns) < FILLED * length:
        return None
    rows, across = np.arange(len(part)), np.arange(columns[0], columns[-1] + 1)
    sums = part.sum(axis=0)[columns]
    middle = rows @ part[:, columns] / sums
    thickness = float(np.median(sums))
    alone = sums <= thickness + 1  # elsewhere a stroke touches the line, and moves its middle
    slope, start = np.polyfit(columns[alone], middle[alone], 1)
    bend = np.percentile(np.abs(middle - start - slope * columns)[alone], 90)
    if abs(slope) > SLOPE or bend > thickness / 2 + BEND * len(columns):
        return None
    center, half = y + start + slope * across, min(float(np.percentile(sums, 95)) / 2, thickness) + 1
    if _is_edge(inked, across + x, center, half):
        return None
    left, top, right, bottom = x + columns[0], max(center.min() - half, 0), x + columns[-1] + 1, center.max() + half + 1
    box = (int(left), int(top), int(right), min(int(bottom), len(inked)))
    near = np.abs(np.arange(box[1], box[3])[:, None] - center) <= half
    return Line(near & (inked[box[1] : box[3], box[0] : box[2]] > 0), box, thickness, True)


def _is_edge(inked: np.ndarray, columns: np.ndarray, center: np.ndarray, half: float) -> bool:
    """Whether along most of a line there is other ink beside it: then it is the rough edge of a thick stroke."""
    padded = np.pad(inked, ((1, 1), (0, 0)))
    beside = [np.rint(center + off).astype(int).clip(-1, len(inked)) + 1 for off in (-half - 1, half + 1)]
    return max(float(padded[rows, columns].mean()) for rows in beside) > FLANKED


def erase(ink: np.ndarray, lines: list[Line]) -> np.ndarray:
    """Remove lines, except where a stroke crosses or touches them."""
    if not lines:
        return ink
    mask, kept = np.zeros(ink.shape, bool), np.zeros(ink.shape, bool)
    for line in lines:
        mask[line.window] |= line.mask
    rest = _without_crumbs(((ink > INK) & ~mask).view(np.uint8), mask, max(line.thickness for line in lines))
    mask |= (ink > INK) & (rest == 0)
    for line in lines:
        kept[line.window] |= line.mask & _is_crossed(rest, line)
    return np.where(mask & ~kept, np.uint8(0), ink)


def _without_crumbs(rest: np.ndarray, mask: np.ndarray, thickness: float) -> np.ndarray:
    """Remove what is left of the lines themselves: bits beside them that are hardly larger than they are thick."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8, ltype=cv2.CV_32S)
    beside = np.zeros(len(stats), bool)
    beside[np.unique(parts[cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0])] = True
    crumbs = beside & (stats[:, 2:4].max(axis=1) <= thickness + 2)
    crumbs[0] = False
    return rest * ~crumbs[parts]


def _is_crossed(rest: np.ndarray, line: Line) -> np.ndarray:
    """Mark where strokes, not rough edges of the line, come from one of its sides: bool array of its box's shape."""
    reach, side = 2 * round(line.thickness + 2) + 1, max(3, round(line.thickness / 2) | 1)
    window, (top, left) = _grown(line, reach + side)
    solid, near = (np.ones((n, 1) if line.is_level else (1, n), np.uint8) for n in (side, reach))
    strokes = cv2.dilate(cv2.morphologyEx(rest[window], cv2.MORPH_OPEN, solid), near) > 0
    height, width = line.mask.shape
    return strokes[top : top + height, left : left + width]


def _grown(line: Line, margin: int) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Grow the box of a line as far as it lies in the image; and where the line's own box begins in it."""
    left, top, right, bottom = line.box
    x, y = max(left - margin, 0), max(top - margin, 0)
    return (slice(y, bottom + margin), slice(x, right + margin)), (top - y, left - x)


def remove_holes(ink: np.ndarray, height: float) -> np.ndarray:
    """Remove round, solid spots in the margin."""
    parts, stats, is_round, _ = _round_spots(ink)
    size = stats[:, cv2.CC_STAT_WIDTH]
    return np.where((is_round & (size >= HOLE[0] * height) & (size <= HOLE[1] * height))[parts], np.uint8(0), ink)
