import cv2
import numpy as np
import pytest

from midas.data import sample
from midas.data.preprocessing import normalize
from midas.data.strokes import HEIGHT, PEN, WIDTH, draw_strokes


def test_a_page_is_one_of_part_1s_drawing_tool():
    page = draw_strokes([np.array([[400.0, 200.0], [400.0, 700.0]]), np.array([[400.0, 450.0], [800.0, 450.0]])])
    assert page.shape == (HEIGHT, WIDTH) and page.dtype == np.uint8 and set(np.unique(page)) == {0, 255}
    assert normalize(page).place[0] == 1  # the size and place of the character are known


@pytest.mark.parametrize("stroke", [[[600, 450]], [[600, 450], [600, 450]]])
def test_a_dot_is_as_wide_as_the_pen(stroke):
    _, _, width, height = cv2.boundingRect(255 - draw_strokes([np.array(stroke, float)]))
    assert abs(width - PEN) <= 1 and abs(height - PEN) <= 1


def test_what_lies_beyond_the_page_is_cut_off():
    page = draw_strokes([np.array([[-500.0, 450.0], [1700.0, 450.0]])])
    assert (page[450] == 0).all() and (page[300] == 255).all()
    assert (draw_strokes([]) == 255).all()


def test_the_sample_is_drawn_with_this_pen():
    assert sample.draw("A", 1).shape == (HEIGHT, WIDTH)
