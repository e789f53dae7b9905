"""Uneven light is evened out, and what the border cuts is no ink."""

import cv2
import numpy as np
import pytest
from pages import drawn as page

from midas.data.photographs import clean_photo, even_light


@pytest.mark.parametrize("paper", [220, 30])
def test_cleaning_a_photo_evens_out_the_light_and_removes_what_the_border_cuts(paper):
    ink = 250 - paper
    light = np.linspace(0.5, 1, 120) * np.ones((90, 1))
    gray = np.full((90, 120), float(paper))
    gray[30:60, 50:60] = ink
    gray[:, 10:14] = ink  # a line over the whole page
    cleaned = clean_photo((gray * light).astype(np.uint8))
    assert cv2.boundingRect(cleaned) == (50, 30, 10, 30) and cleaned.dtype == np.uint8
    assert np.median(cleaned[30:60, 50:60]) > 240


@pytest.mark.parametrize("paper", [220, 50])
def test_dark_corners_are_evened_out(paper):
    y, x = np.meshgrid(np.linspace(-1, 1, 241), np.linspace(-1, 1, 321), indexing="ij")
    plain = page("k", 241, 321, ink=270 - paper, paper=paper)
    evened = even_light((plain * (1 - 0.4 * (x**2 + y**2))).astype(np.uint8))
    is_paper = plain == paper
    assert evened[is_paper].std() < 0.03 * np.median(evened[is_paper])
    assert np.median(evened[plain == 270 - paper]) / np.median(evened[is_paper]) == pytest.approx(
        (270 - paper) / paper, rel=0.1
    )


def test_even_light_changes_little():
    plain = page("k", 240, 320, ink=40, paper=220)
    assert np.abs(even_light(plain).astype(int) - plain).max() <= 12


def test_an_edge_of_paper_stays_where_a_shadow_crosses_it():
    table = np.full((240, 320), 100.0)
    table[50:190, 60:260] = 225
    shadow = 1 - 0.5 / (1 + np.exp(np.linspace(-60, 60, 320)))
    evened = even_light((table * shadow).astype(np.uint8))
    assert evened[55:185, 65:255].min() > 1.8 * evened[:45].max()
