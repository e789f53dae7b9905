import cv2
import numpy as np
import pytest
from writing import write_line

from midas.errors import MidasError
from midas.predictions import UNSURE, PageReading, Prediction
from midas.report.overlays import BLUE, ORANGE, write_overlay


def reading(labels, probability=0.9):
    characters = tuple(Prediction(label, probability, (), "page") for label in labels)
    boxes = tuple((30 + 80 * index, 20, 80 + 80 * index, 80) for index in range(len(labels)))
    return PageReading("page", "", characters, boxes, (1,) * len(labels), 0)


def colors(path):
    return {tuple(pixel) for pixel in cv2.imread(str(path))[:, :, ::-1].reshape(-1, 3).tolist()}


def test_boxes_and_labels_are_drawn_in_a_color_that_tells_what_is_certain(tmp_path):
    page, path = np.full((120, 300), 255, np.uint8), tmp_path / "over.png"
    write_overlay(page, reading(["a", "ß", "字"]), path)
    drawn = cv2.imread(str(path))
    assert drawn.shape == (120, 300, 3) and BLUE in colors(path) and ORANGE not in colors(path)
    assert (drawn[82:115, 30:80] < 200).any()  # the label is below its box
    for uncertain in (reading(["a"], 0.3), reading([UNSURE])):
        write_overlay(page, uncertain, path)
        assert ORANGE in colors(path) and BLUE not in colors(path)


def test_the_page_stays_visible_below(tmp_path):
    line = write_line("AB")
    write_overlay(line, reading(["A"]), tmp_path / "over.png")
    drawn = cv2.imread(str(tmp_path / "over.png"), cv2.IMREAD_GRAYSCALE)
    assert drawn.shape == line.shape and drawn.min() < 120 and np.corrcoef(drawn.ravel(), line.ravel())[0, 1] > 0.7


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MidasError, match="over"):
        write_overlay(write_line("A"), reading(["A"]), tmp_path / "file" / "over.png")
