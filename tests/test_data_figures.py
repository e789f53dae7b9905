"""Galleries of training data, and damaged samples."""

import pytest
from fabricate import LETTERS, run

from midas.errors import MidasError
from midas.report import data_figures


def test_data_are_drawn_from_samples(tmp_path):
    made = run(tmp_path)
    shown, sheets = data_figures.of_data(made, LETTERS[:10], "my data", "data-0")
    captions = [each.caption for each in shown]
    assert captions == [
        "20 of my data: on the left as they came, on the right as the network sees them.",
        "The first images of each of the 10 labels in my data.",
        "Some of my data, each with 9 augmented copies, as the network sees them in training.",
    ]
    page, glyph = shown[0].rows[0][1]
    assert (page.sheet, glyph.sheet) == ("data-0-pages", "data-0-glyphs") and len(sheets) == 2
    assert all(len(tiles) == 10 for _, tiles in shown[2].rows)
    with pytest.raises(MidasError, match=r"samples\.npz: damaged"):
        data_figures.of_data(made, LETTERS[:3], "too few names", "data-1")
    (made / "samples.npz").unlink()
    assert data_figures.of_data(made, LETTERS[:10], "my data", "data-0") == ([], [])
