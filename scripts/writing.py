"""Pages of text in the hand of one simulated writer."""

import cv2
import numpy as np

from midas.data.sample import draw

LINE = 120  # pixels of a line's height
LETTER_GAP, WORD_GAP, MARGIN = 8, 60, 30


def write_line(text: str, writer: int = 3) -> np.ndarray:
    """Write a line: uint8 (LINE, width), black on white, each character on the height that it has on its own page."""
    parts = [np.full((LINE, MARGIN), 255, np.uint8)]
    for character in text:
        if character == " ":
            parts.append(np.full((LINE, WORD_GAP - LETTER_GAP), 255, np.uint8))
            continue
        page = cv2.resize(draw(character, writer), (LINE * 4 // 3, LINE), interpolation=cv2.INTER_AREA)
        left, _, width, _ = cv2.boundingRect((page < 128).view(np.uint8))
        parts += [page[:, left : left + width], np.full((LINE, LETTER_GAP), 255, np.uint8)]
    return np.hstack([*parts, parts[0]])


def write_page(text: str, writer: int = 3) -> np.ndarray:
    """Write lines below each other."""
    lines = [write_line(line, writer) for line in text.splitlines()]
    width = max(line.shape[1] for line in lines)
    rows = [
        cv2.copyMakeBorder(line, 10, 10, 0, width - line.shape[1], cv2.BORDER_CONSTANT, value=255) for line in lines
    ]
    return cv2.copyMakeBorder(np.vstack(rows), MARGIN, MARGIN, 0, 0, cv2.BORDER_CONSTANT, value=255)
