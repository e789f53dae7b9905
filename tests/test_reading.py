"""Sources are read in order, on any number of cores, and one bad image does not affect the others."""

import numpy as np
import pytest
from formats import encode, page
from PIL import Image

from midas.data.entries import Entry, Source
from midas.data.levels import BLANK
from midas.data.preprocessing import normalize
from midas.data.reading import stream
from midas.data.sources import open_source


def source(pages):
    entries = [Entry(f"{index}", "0", lambda page=page: page) for index, page in enumerate(pages)]
    return Source("pages", (), "", lambda: iter(entries), len(entries))


def test_items_have_the_glyph_and_the_size_of_the_page():
    (item,) = stream(source([page("H")]), 20)
    expected = normalize(page("H"), 20)
    assert (item.entry.name, item.page, item.reason) == ("0", "120x90", None)
    assert np.array_equal(item.glyph.image, expected.image) and np.array_equal(item.glyph.place, expected.place)


def test_an_unusable_image_has_a_reason(tmp_path):
    for name, data in (("a.png", encode(page())), ("b.png", b"text"), ("c.png", encode(page(ink=255)))):
        (tmp_path / name).write_bytes(data)
    items = list(stream(open_source(tmp_path), 28))
    assert [item.reason for item in items] == [None, "not an image, or truncated", BLANK]
    assert [item.glyph is None for item in items] == [False, True, True]
    assert [item.page for item in items] == ["120x90", "", ""]


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_the_order_is_that_of_the_source_for_small_and_large_pages(cores, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    pages = [page(width=28 + 150 * (index % 3 == 0), height=28 + 150 * (index % 3 == 0), pen=2) for index in range(200)]
    calls = []
    items = list(stream(source(pages), 28, lambda *numbers: calls.append(numbers)))
    assert [item.entry.name for item in items] == [str(index) for index in range(200)]
    assert calls == sorted(calls) and calls[-1] == (200, 200)


def test_pages_of_a_file_are_items_of_their_own(tmp_path):
    pages = [Image.fromarray(page(character)) for character in "LHi"]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "b.png").write_bytes(encode(page()))
    calls = []
    items = list(stream(open_source(tmp_path), 28, lambda *numbers: calls.append(numbers)))
    assert [item.entry.name for item in items] == ["a.tif[1]", "a.tif[2]", "a.tif[3]", "b.png"]
    assert np.array_equal(items[1].glyph.image, normalize(page("H"), 28).image) and calls[-1] == (2, 2)


def test_reading_can_stop_early():
    items = stream(source([page()] * 500), 28)
    assert next(items).entry.name == "0"
    items.close()
