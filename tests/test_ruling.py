"""Printed lines and holes are found in ink, and strokes are not."""

import cv2
import numpy as np
import pytest
from pages import drawn as page

from midas.data.ruling import find_circles, find_holes, find_lines, find_ruling, remove_holes, remove_ruling


def ink(character="R", height=300, width=300):
    return 255 - page(character, height, width)


@pytest.mark.parametrize("thickness", [1, 3, 5])
@pytest.mark.parametrize("slope", [0, 0.02, -0.03])
def test_lines_are_found_level_and_upright_with_their_thickness(thickness, slope):
    canvas = np.zeros((200, 300), np.uint8)
    center = np.rint(100 + slope * np.arange(260)).astype(int)
    for row in range(thickness):
        canvas[center + row, np.arange(20, 280)] = 255
    for image, is_level in ((canvas, True), (np.ascontiguousarray(canvas.T), False)):
        (line,) = find_lines(image, 100, 8)
        assert line.is_level == is_level and abs(line.thickness - thickness) <= 1 and line.length >= 245
        assert line.mask.sum() >= np.count_nonzero(image) - 15 * thickness and (image[line.window][line.mask] > 0).all()


def test_curves_short_and_thick_strokes_are_no_lines():
    canvas = np.zeros((200, 300), np.uint8)
    cv2.ellipse(canvas, (150, 150), (120, 100), 0, 180, 360, 255, 3)
    cv2.line(canvas, (20, 20), (90, 20), 255, 3)
    cv2.rectangle(canvas, (20, 170), (280, 195), 255, -1)
    assert [*find_lines(canvas, 100, 8)] == []


def test_ruling_and_boxes_of_a_page_go_and_crossing_strokes_stay():
    text = np.zeros((400, 900), np.uint8)
    for left in (40, 240, 440, 640):
        text[30:180, left : left + 150] = ink("R", 150, 150)
    ruled = text.copy()
    ruled[120:123] = ruled[40:43] = 255
    ruled[40:123, 225:228] = ruled[40:123, 425:428] = 255
    cleaned = remove_ruling(ruled, 60)
    assert np.count_nonzero(cleaned != text) < 0.02 * np.count_nonzero(text)
    assert cv2.connectedComponents(cleaned)[0] == cv2.connectedComponents(text)[0]


@pytest.mark.parametrize("tick", [12, 30])
def test_the_ticks_of_a_comb_go_and_strokes_on_a_line_stay(tick):
    text, comb = np.zeros((200, 900), np.uint8), np.zeros((200, 900), np.uint8)
    for left in (60, 160, 360):
        text[60:140, left : left + 80] = cv2.resize(ink("R", 80, 80), (80, 80))
    cv2.line(comb, (50, 150), (850, 150), 255, 2)
    for left in range(50, 851, 100):
        cv2.line(comb, (left, 150), (left, 150 - tick), 255, 2)
    assert np.array_equal(remove_ruling(np.maximum(text, comb), 60), text)
    strokes = np.zeros((200, 900), np.uint8)
    for number, left in enumerate(range(100, 801, 100)):
        cv2.line(strokes, (left, 148), (left, 80 + 10 * (number % 2)), 255, 2)
    cv2.line(strokes, (50, 150), (850, 150), 255, 2)
    assert np.count_nonzero(remove_ruling(strokes, 60)[:140].any(axis=0)) >= 8 * 2


@pytest.mark.parametrize("character", "RgK5")
@pytest.mark.parametrize("kind", ["box", "open", "comb", "underline", "through", "along"])
def test_lines_round_and_through_a_character_are_told_from_its_strokes(character, kind):
    drawn = ink(character)
    left, top, width, height = cv2.boundingRect(drawn)
    lined = drawn.copy()
    right, bottom = left + width, top + height
    if kind in ("box", "open", "through"):
        side = left + width // 8 if kind == "through" else left - 25
        cv2.rectangle(lined, (side, top - 20), (right + 25, bottom + 20), 255, 4)
        if kind == "open":
            lined[top - 30 : top - 10, left : left + width // 2] = 0
    elif kind == "comb":
        lined[bottom + 12 : bottom + 16] = 255
        lined[top : bottom + 14, [*range(left - 30, left - 26), *range(right + 26, right + 30)]] = 255
    elif kind == "along":
        lined[[top, bottom - 3]] = 255
    else:
        lined[bottom + 10 : bottom + 14, 5:-5] = 255
    ruling = find_ruling(lined)
    assert ruling is not None
    left_over = np.where(ruling, 0, lined)
    assert np.count_nonzero((left_over > 0) != (drawn > 0)) < 0.08 * np.count_nonzero(drawn)


@pytest.mark.parametrize("character", "0BDEFHIJKLMNTUZ147iltu")
@pytest.mark.parametrize("margin", [0, 0.1, 1])
def test_strokes_of_letters_are_no_ruling(character, margin):
    drawn = ink(character)
    left, top, width, height = cv2.boundingRect(drawn)
    around = round(margin * max(width, height))
    cut = cv2.copyMakeBorder(drawn[top : top + height, left : left + width], *[around] * 4, cv2.BORDER_CONSTANT)
    assert find_ruling(cut) is None


def test_a_letter_of_straight_strokes_on_a_ruled_line_is_not_all_ruling():
    letter = np.zeros((240, 320), np.uint8)
    letter[70:170, [*range(120, 136), *range(180, 196)]] = letter[110:126, 120:196] = 255
    lined = letter.copy()
    lined[150:152] = 255
    assert np.array_equal(np.where(find_ruling(lined), 0, lined), letter)


@pytest.mark.parametrize("kind", ["grid", "rules", "box"])
def test_a_form_without_a_character_is_all_ruling(kind):
    form = np.zeros((240, 240), np.uint8)
    if kind == "box":
        cv2.rectangle(form, (30, 40), (200, 190), 255, 4)
    else:
        form[[50, 51, 190, 191]] = 255
    if kind == "grid":
        form[:, [40, 41, 200, 201]] = 255
    assert (find_ruling(form) == (form > 0)).all()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_punched_holes_are_found_and_the_dot_of_an_i_is_not(count):
    drawn = ink("i", 300, 400)
    assert find_holes(drawn) is None
    punched = drawn.copy()
    for y in np.linspace(60, 240, count).astype(int):
        cv2.circle(punched, (16, y), 9, 255, -1)
    assert (find_holes(punched) == (punched != drawn)).all()
    assert (remove_holes(punched, 20) == drawn).all()


def test_the_rings_of_a_binding_are_found():
    drawn = ink("a", 300, 400)
    bound = drawn.copy()
    for y in range(15, 290, 24):
        cv2.rectangle(bound, (4, y), (26, y + 6), 255, -1)
    assert (find_holes(bound) == (bound != drawn)).all()


@pytest.mark.parametrize("character", "R0i")
def test_printed_circles_are_found_with_the_empty_ones_beside_them(character):
    drawn = np.hstack([ink(character), np.zeros((300, 300), np.uint8)])
    circles = np.zeros_like(drawn)
    for left in (0, 300):
        cv2.circle(circles, (left + 150, 150), 145, 255, 3, cv2.LINE_AA)
    found = find_circles(np.maximum(drawn, circles))
    assert np.array_equal(found, circles > 32)
    assert find_circles(circles) is None and find_circles(drawn) is None


@pytest.mark.parametrize("character", "OoQ0D")
def test_drawn_loops_are_no_circles_whatever_is_in_them(character):
    drawn = ink(character)
    drawn[130:170, 147:153] = 255
    assert find_circles(drawn) is None
