"""What surrounds a character is taken away, and images without it are recognized at once."""

import cv2
import numpy as np
import pytest
from pages import drawn as page

from midas.data import sample
from midas.data.levels import UnreadableImage
from midas.data.preprocessing import normalize
from midas.data.segmentation import shows_several
from midas.data.surroundings import may_be_surrounded, without_surroundings


def components(ink):
    return cv2.connectedComponentsWithStats((ink > 32).view(np.uint8), connectivity=8)[2][1:]


@pytest.mark.parametrize("character", "aDiLT4=")
def test_a_drawing_of_the_tool_is_not_searched(character):
    if character == "=":
        ink = np.zeros((225, 300), np.uint8)
        ink[90:105, 100:180] = ink[130:145, 100:180] = 255
    else:
        ink = cv2.resize(255 - sample.draw(character, 4), (300, 225), interpolation=cv2.INTER_AREA)
    assert not may_be_surrounded(ink, components(ink))


def test_boxes_lines_edges_and_sheets_are_searched():
    plain = cv2.resize(255 - sample.draw("a", 4), (300, 225), interpolation=cv2.INTER_AREA)
    box, line, edge, sheet = (plain.copy() for _ in range(4))
    cv2.rectangle(box, (60, 20), (240, 205), 255, 2)
    line[200:202] = 255
    edge[:, :12] = 255
    sheet[40:180, 60:220] = 255
    for ink in (box, line, edge, sheet):
        assert may_be_surrounded(ink, components(ink))


def surround(kind, character):
    """Put a character, or with a blank nothing, into one of several surroundings."""
    inner = np.full((200, 200), 240, np.uint8) if character == " " else page(character, 200, 200, paper=240)
    if kind == "box":
        return cv2.copyMakeBorder(
            cv2.rectangle(inner, (8, 8), (191, 191), 60, 5), *[30] * 4, cv2.BORDER_CONSTANT, value=240
        )
    if kind == "double box":
        return cv2.rectangle(cv2.rectangle(inner, (5, 5), (194, 194), 90, 3), (14, 14), (185, 185), 90, 2)
    if kind == "cell":
        return cv2.resize(cv2.rectangle(inner, (0, 0), (199, 199), 40, 14), (40, 40), interpolation=cv2.INTER_AREA)
    if kind == "table":
        return cv2.copyMakeBorder(inner, 40, 70, 90, 50, cv2.BORDER_CONSTANT, value=80)
    if kind == "edges":
        return cv2.copyMakeBorder(inner, 6, 0, 9, 0, cv2.BORDER_CONSTANT, value=10)
    if kind == "light table":
        return cv2.copyMakeBorder(inner, 40, 70, 90, 50, cv2.BORDER_CONSTANT, value=185)
    if kind == "white table":
        return cv2.copyMakeBorder(cv2.subtract(inner, 50), 40, 70, 90, 50, cv2.BORDER_CONSTANT, value=250)
    if kind == "hairline":
        return cv2.rectangle(inner, (0, 0), (199, 199), 10, 1)
    if kind == "dashes":
        dashes = np.arange(200) % 16 < 10
        for edge in (inner[10:13], inner[188:191], inner[:, 10:13].T, inner[:, 188:191].T):
            edge[:, dashes] = 60
        return inner
    lined = inner.copy()
    lined[[15, 16, 185, 186]] = 60
    if kind == "grid":
        lined[:, [10, 11, 180, 181]] = 60
    return lined


KINDS = [
    "box",
    "double box",
    "cell",
    "table",
    "light table",
    "white table",
    "edges",
    "hairline",
    "rules",
    "grid",
    "dashes",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("character", "R5gD")
@pytest.mark.parametrize("negative", [False, True])
def test_the_glyph_is_that_without_its_surroundings(kind, character, negative):
    plain = normalize(page(character, 200, 200, paper=240)).image
    gray = surround(kind, character)
    found = normalize(255 - gray if negative else gray).image
    padded = cv2.copyMakeBorder(plain, *[2] * 4, cv2.BORDER_CONSTANT)
    assert cv2.matchTemplate(padded, found, cv2.TM_CCOEFF_NORMED).max() > (0.8 if kind == "cell" else 0.9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("negative", [False, True])
def test_surroundings_without_a_character_are_blank(kind, negative):
    gray = surround(kind, " ")
    with pytest.raises(UnreadableImage, match="blank"):
        normalize(255 - gray if negative else gray)


@pytest.mark.parametrize("degrees", [-8, 2, 5])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("noise", [0, 4])
def test_the_dark_corners_of_a_turned_scan_are_no_ink(degrees, negative, noise):
    turn = cv2.getRotationMatrix2D((350, 450), degrees, 1)
    plain, scan = (
        cv2.warpAffine(
            np.pad(page("k", 200, 200, paper=240), 250, constant_values=240)[:, :700],
            turn,
            (700, 900),
            borderValue=value,
        )
        for value in (240, 15)
    )
    scan = np.random.default_rng(0).normal(255 - scan if negative else scan, noise).clip(0, 255).astype(np.uint8)
    padded = cv2.copyMakeBorder(normalize(plain).image, *[2] * 4, cv2.BORDER_CONSTANT)
    assert cv2.matchTemplate(padded, normalize(scan).image, cv2.TM_CCOEFF_NORMED).max() > 0.9
    assert not shows_several(scan)


def test_a_layer_is_taken_away_at_a_time_and_nothing_where_there_is_none():
    plain = page("R", 200, 200, paper=240)
    ink = 255 - plain
    assert without_surroundings(plain, plain, ink, False) is None
    boxed = cv2.rectangle(plain.copy(), (8, 8), (191, 191), 60, 5)
    bare = without_surroundings(boxed, boxed, ink, False)
    assert bare.shape < plain.shape


@pytest.mark.parametrize("character", "2R")
def test_a_sheet_that_is_as_dark_in_a_shadow_as_the_table_in_the_light_is_found(character):
    drawn = page(character, 300, 400, ink=40, paper=225)
    laid = cv2.copyMakeBorder(drawn, 80, 100, 100, 140, cv2.BORDER_CONSTANT, value=90)
    y, x = np.indices(laid.shape)
    light = 1 - 0.6 / (1 + np.exp(np.clip((300 - x + 0.6 * (y - 240)) / 6, -50, 50)))
    noise = np.random.default_rng(0).normal(0, 3, laid.shape)
    photo = (laid * light + noise).clip(0, 255).astype(np.uint8)
    assert np.abs(normalize(photo).image - normalize(drawn).image.astype(float)).mean() < 10


@pytest.mark.parametrize("points", [[[80, 70], [80, 170], [140, 172]], [[130, 170], [130, 70], [90, 70], [170, 70]]])
def test_strokes_of_a_fine_pen_are_no_ruling_beside_the_dark_corner_of_a_photo(points):
    drawn = cv2.polylines(np.full((240, 320), 225, np.uint8), [np.array(points)], False, 40, 4)
    light = np.hypot(*np.meshgrid(np.linspace(0, 1, 320), np.linspace(0, 1, 240))) / 0.3
    noise = np.random.default_rng(0).normal(0, 3, drawn.shape)
    photo = (drawn * light.clip(0.15, 1) + noise).clip(0, 255).astype(np.uint8)
    assert np.abs(normalize(photo).image - normalize(drawn).image.astype(float)).mean() < 10


def test_a_letter_of_straight_strokes_is_no_ruling_beside_the_gutter_of_a_book():
    drawn = np.full((225, 300), 225, np.uint8)
    for start, end in (((90, 60), (95, 165)), ((150, 65), (155, 160)), ((92, 115), (152, 115))):
        cv2.line(drawn, start, end, 40, 14)
    light = 1 - 0.8 * np.exp(-((np.abs(np.arange(300) - 288) / 20) ** 1.3))
    noise = np.random.default_rng(0).normal(0, 3, drawn.shape)
    book = (drawn * light + noise).clip(0, 255).astype(np.uint8)
    assert np.abs(normalize(book).image - normalize(drawn).image.astype(float)).mean() < 10
