import cv2
import numpy as np
import pytest
from writing import write_line, write_page

from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize
from midas.data.sample import CHARACTERS, draw
from midas.data.segmentation import find_characters, shows_several

TEXT = "He saw 3 jays\nby the quiet kiln\nat 9 Xi"


def shape(found):
    """Write a page with a letter for each character, to compare lines and spaces."""
    return "\n".join("".join((" " if each.after_space else "") + "x" for each in line) for line in found.lines)


def expected(text):
    return "".join(character if character.isspace() else "x" for character in text)


@pytest.mark.parametrize("writer", [3, 8, 21])
@pytest.mark.parametrize("change", [lambda page: page, lambda page: 255 - page], ids=["dark on light", "light on dark"])
def test_characters_are_found_in_reading_order_with_spaces(writer, change):
    assert shape(find_characters(change(write_page(TEXT, writer)))) == expected(TEXT)


@pytest.mark.parametrize("degrees", [-4, 4])
def test_lines_may_slope(degrees):
    page = cv2.copyMakeBorder(write_page(TEXT), 100, 100, 40, 40, cv2.BORDER_CONSTANT, value=255)
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    found = find_characters(cv2.warpAffine(page, turn, (width, height), borderValue=255))
    assert shape(found) == expected(TEXT)
    assert found.slope == pytest.approx(-np.tan(np.radians(degrees)), abs=0.03)
    boxes = np.array([each.box for each in found.lines[1]], float)
    assert np.ptp(found.level(boxes)[:, 3]) < np.ptp(boxes[:, 3])


def test_glyphs_are_those_of_the_characters_alone():
    line = write_line("aB7k")
    (found,) = find_characters(line).lines
    for each in found:
        left, top, right, bottom = each.box
        around = line[top - 1 : bottom + 1, left - 1 : right + 1]  # with the soft edges
        alone = normalize(cv2.copyMakeBorder(around, *[20] * 4, cv2.BORDER_CONSTANT, value=255))
        assert np.array_equal(each.glyph.image, alone.image)
        assert not each.glyph.place.any()


def test_boxes_are_in_pixels_of_the_original_also_of_a_page_that_is_shrunk(monkeypatch):
    line = write_line("AB")
    large = cv2.resize(line, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    monkeypatch.setattr("midas.data.segmentation.MAX_SIDE", 300)
    for small, big in zip(find_characters(line).lines[0], find_characters(large).lines[0], strict=True):
        assert np.array(big.box) == pytest.approx(3 * np.array(small.box), abs=9)


def test_a_neighbor_that_reaches_into_the_box_is_not_part_of_the_glyph():
    page = np.full((100, 200), 255, np.uint8)
    cv2.line(page, (60, 80), (90, 20), 0, 6)  # leans over what follows
    cv2.line(page, (80, 80), (110, 20), 0, 6)
    first, second = find_characters(page).lines[0]
    assert first.box[2] > second.box[0] and np.array_equal(first.glyph.image, second.glyph.image)


def test_dots_and_bars_belong_to_their_characters():
    page = np.full((200, 200), 255, np.uint8)
    page[30:40, 50:60] = page[52:100, 50:60] = 0  # i
    page[70:76, 90:130] = page[90:96, 90:130] = 0  # =
    page[120:130, 50:60] = page[142:190, 50:60] = 0  # an i of the next line, below that of the first
    assert shape(find_characters(page)) == "xx\nx"


def cells(text, size=150, gap=20, pen=4):
    """Print a box round each character, in a row; an empty box for a space."""
    parts = []
    for character in text:
        cell = np.full((size, size), 255, np.uint8)
        if character != " ":
            glyph = cv2.resize(draw(character, 3), (112, 84), interpolation=cv2.INTER_AREA)
            cell[33:117, 19:131] = glyph
        cv2.rectangle(cell, (0, 0), (size - 1, size - 1), 60, pen)
        parts += [cell, np.full((size, gap), 255, np.uint8)]
    return cv2.copyMakeBorder(np.hstack(parts), 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=255)


@pytest.mark.parametrize("gap", [20, 0], ids=["boxes", "table"])
def test_the_boxes_of_a_form_are_no_characters(gap):
    (found,) = find_characters(cells("A7k 3", gap=gap)).lines
    assert len(found) == 4
    for each, character in zip(found, "A7k3", strict=True):
        alone = normalize(cv2.resize(draw(character, 3), (112, 84), interpolation=cv2.INTER_AREA))
        assert np.corrcoef(each.glyph.image.ravel(), alone.image.ravel())[0, 1] > 0.95


def ruled(page):
    lines = page.copy()
    lines[::45] = np.minimum(lines[::45], 150)
    return lines


def on_table(page):
    return cv2.copyMakeBorder(np.minimum(page, 230), 60, 60, 80, 80, cv2.BORDER_CONSTANT, value=70)


def in_a_shadow(page):
    photo = on_table(page)
    photo[:, : photo.shape[1] * 2 // 3] //= 2
    return cv2.GaussianBlur(photo, (5, 5), 0)


def in_uneven_light(page):
    light = np.linspace(0.45, 1, page.shape[1]) * np.linspace(1, 0.8, page.shape[0])[:, None]
    noise = np.random.default_rng(0).normal(0, 4, page.shape)
    return np.clip((30 + 0.8 * page) * light + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [ruled, on_table, in_a_shadow, in_uneven_light])
def test_pages_are_read_as_they_are_photographed(change):
    page = cv2.copyMakeBorder(write_page(TEXT), 40, 40, 60, 60, cv2.BORDER_CONSTANT, value=255)
    changed = change(page)
    assert shape(find_characters(changed)) == expected(TEXT)
    clean, found = (find_characters(each).lines[0][0].box for each in (page, changed))
    inset = (80, 60) * 2 if change in (on_table, in_a_shadow) else (0, 0) * 2
    assert np.array(found) - inset == pytest.approx(np.array(clean), abs=4)


def test_what_touches_is_found_as_one_and_counted():
    page = np.full((60, 300), 255, np.uint8)
    page[20:40, 20:24] = page[20:40, 40:44] = page[20:40, 60:64] = 0
    assert find_characters(page).touching == 0
    zigzag = np.array([(100 + 8 * index, 20 if index % 2 else 40) for index in range(12)], np.int32)
    cv2.polylines(page, [zigzag], False, 0, 3)
    found = find_characters(page)
    assert found.touching == 1 and len(found.lines[0]) == 4


def test_a_blank_page_and_one_of_noise_are_refused():
    with pytest.raises(UnreadableImage, match="blank"):
        find_characters(np.full((300, 400), 250, np.uint8))
    specks = np.where(np.random.default_rng(0).random((800, 800)) < 0.1, 0, 255).astype(np.uint8)
    with pytest.raises(UnreadableImage, match="specks"):
        find_characters(cv2.resize(specks, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST))


def test_a_form_of_empty_boxes_is_blank():
    page = np.full((120, 400), 255, np.uint8)
    for left in (20, 140, 260):
        for inset in (0, 5):  # a double line: each outer box holds an inner one
            cv2.rectangle(page, (left + inset, 20 + inset), (left + 90 - inset, 100 - inset), 0, 2)
    with pytest.raises(UnreadableImage, match="blank: empty boxes"):
        find_characters(page)
    assert not shows_several(page)


def test_single_drawings_show_one_character():
    assert not [
        character for character in CHARACTERS for writer in (1, 7, 23) if shows_several(draw(character, writer))
    ]
    equals = np.full((90, 120), 255, np.uint8)
    equals[30:36, 40:80] = equals[50:56, 40:80] = 0
    assert not shows_several(equals)
    assert not shows_several(np.full((90, 120), 255, np.uint8))


@pytest.mark.parametrize("character", "A9Kkm")
def test_a_crop_whose_strokes_are_thick_for_its_size_shows_one(character):
    drawing = cv2.resize(draw(character, 3), (320, 240), interpolation=cv2.INTER_AREA)
    left, top, width, height = cv2.boundingRect((drawing < 128).view(np.uint8))
    cut, margin = drawing[top : top + height, left : left + width], max(width, height) // 10
    assert not shows_several(cv2.copyMakeBorder(cut, *[margin] * 4, cv2.BORDER_CONSTANT, value=255))


@pytest.mark.parametrize("word", ["AB", "12", "2024", "iI", "it"])
def test_words_show_several(word):
    assert shows_several(write_line(word)) and shows_several(255 - write_line(word))


def test_small_images_are_taken_to_show_one_character_unless_they_are_wide():
    assert not shows_several(cv2.resize(write_line("AB"), (40, 28), interpolation=cv2.INTER_AREA))
    assert shows_several(cv2.resize(write_line("AB"), (56, 28), interpolation=cv2.INTER_AREA))


def test_the_dark_corners_of_a_turned_scan_are_no_characters():
    page = cv2.copyMakeBorder(write_line("AB 12"), 200, 200, 100, 100, cv2.BORDER_CONSTANT, value=255)
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 3, 1)
    assert shape(find_characters(cv2.warpAffine(page, turn, (width, height), borderValue=15))) == "xx xx"
