"""Uneven light is evened out, and what the border cuts is no ink."""

import cv2
import numpy as np
import pytest

from midas.data.photographs import clean_photo


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
