"""A sheet of paper is found on a table, within the dark edges of a scan, and within a printed box."""

import cv2
import numpy as np
import pytest
from pages import drawn as page

from midas.data.paper import even_vignette, find_sheet, paint_over


def on_table(sheet, table=70, turn=6.0, size=(360, 480)):
    """Lay a sheet in the middle of a table, turned by some degrees."""
    height, width = size
    rotation = cv2.getRotationMatrix2D((sheet.shape[1] / 2, sheet.shape[0] / 2), turn, 1)
    rotation[:, 2] += np.array([width - sheet.shape[1], height - sheet.shape[0]]) / 2
    return cv2.warpAffine(sheet, rotation, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=table)


@pytest.mark.parametrize("turn", [0, -12, 6])
@pytest.mark.parametrize(("paper", "ink", "table"), [(230, 30, 70), (60, 220, 200)])
def test_a_sheet_on_a_table_is_cut_out(turn, paper, ink, table):
    sheet = find_sheet(on_table(page("R", 200, 260, ink=ink, paper=paper), table, turn))
    assert not sheet.is_empty and sheet.image.size < 0.7 * 360 * 480
    border = np.concatenate([sheet.image[0], sheet.image[-1], sheet.image[:, 0], sheet.image[:, -1]]).astype(int)
    assert np.abs(border - paper).max() <= 12  # no table is left, the corners are filled with paper
    assert np.abs(sheet.image.astype(int) - ink).min() <= 12


def test_the_offset_of_a_sheet_is_that_in_the_original_at_any_size():
    for scale in (1, 4):
        whole = np.full((240 * scale, 320 * scale), 50, np.uint8)
        whole[40 * scale : 200 * scale, 60 * scale : 280 * scale] = 235
        whole[90 * scale : 150 * scale, 140 * scale : 150 * scale] = 20
        sheet = find_sheet(whole)
        x, y, _, _ = cv2.boundingRect((sheet.image < 100).view(np.uint8))
        assert (sheet.left + x, sheet.top + y) == (140 * scale, 90 * scale)


@pytest.mark.parametrize("sides", [{0}, {1}, {2, 3}, {0, 1, 2, 3}])
def test_the_dark_edges_of_a_scan_are_cut_off(sides):
    scan = page("a", 240, 320)
    for number, edge in enumerate((np.s_[:9], np.s_[:, -7:], np.s_[-12:], np.s_[:, :15])):
        if number in sides:
            scan[edge] = 20
    sheet = find_sheet(scan)
    assert sheet.image is not scan and not sheet.is_empty
    assert sheet.image[[0, -1]].min() > 200 and sheet.image[:, [0, -1]].min() > 200


@pytest.mark.parametrize("thickness", [1, 3])
@pytest.mark.parametrize("inset", [0, 4])
def test_only_cells_are_reduced_to_the_inside_of_a_box(thickness, inset):
    cell = page("R", 64, 64)
    boxed = cv2.rectangle(cell, (inset, inset), (63 - inset, 63 - inset), 60, -1)
    inner = inset + thickness
    boxed[inner:-inner, inner:-inner] = page("R", 64, 64)[inner:-inner, inner:-inner]
    found = find_sheet(boxed, cells=True)
    assert found.image is not boxed and found.image[[0, -1]].min() > 200
    if inset:  # paper lies beyond the box, so the page is larger
        assert find_sheet(boxed).image is boxed


def test_an_empty_sheet_or_cell_is_known_to_be_empty():
    assert find_sheet(on_table(np.full((200, 260), 230, np.uint8))).is_empty
    cell = cv2.rectangle(np.full((64, 64), 245, np.uint8), (3, 3), (60, 60), 40, 2)
    assert find_sheet(cell, cells=True).is_empty


@pytest.mark.parametrize("character", "0BDHILOQTUa1")
@pytest.mark.parametrize("scale", [0.15, 0.5, 1])
def test_a_letter_that_fills_the_image_is_no_sheet_and_no_cell(character, scale):
    drawing = page(character, 400, 400)
    left, top, width, height = cv2.boundingRect((drawing < 128).view(np.uint8))
    cut = cv2.resize(
        drawing[top : top + height, left : left + width], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    for image in (cut, 255 - cut):
        assert find_sheet(image, cells=True).image is image


def test_a_shadow_is_no_edge():
    light = 1 - 0.5 / (1 + np.exp(np.linspace(-12, 12, 320)))
    shaded = (page("k", 240, 320) * light).astype(np.uint8)
    assert find_sheet(shaded).image is shaded


def test_a_vignette_is_evened_out_and_other_light_is_left_alone():
    y, x = np.meshgrid(np.linspace(-1, 1, 240), np.linspace(-1, 1, 320), indexing="ij")
    plain = page("k", 240, 320, ink=30, paper=230)
    dark = (plain * (1 - 0.4 * (x**2 + y**2))).astype(np.uint8)
    evened = even_vignette(dark)
    paper = evened[plain > 200].astype(float)
    assert paper.std() < 0.15 * dark[plain > 200].std() and np.median(evened[plain < 60]) < 60
    assert even_vignette(plain) is plain


def test_paint_over_continues_the_paper():
    light = np.linspace(120, 240, 320) * np.ones((240, 1))
    lined = light.astype(np.uint8)
    lined[100:104] = 10
    mask = np.zeros((120, 160), np.uint8)
    mask[49:53] = 1
    assert np.abs(paint_over(lined, mask) - light).max() < 25


@pytest.mark.parametrize(("ink", "is_sheet"), [(164, False), (60, True)])
def test_a_part_of_the_paper_that_shows_ruling_alone_is_no_sheet(ink, is_sheet):
    paper = np.full((240, 320), 120, np.uint8)
    paper[60:200, 170:300] = 185
    paper[125:128, 190:280] = paper[80:180, 230:233] = ink
    cv2.line(paper, (80, 60), (100, 180), 25, 16)
    assert (find_sheet(paper).image is not paper) == is_sheet
