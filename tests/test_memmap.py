"""Images in a file behave like an array, and are read only when they are needed."""

import numpy as np
import pytest

from midas.data.glyphs import Glyphs
from midas.data.memmap import ImageFile, blocks, is_large

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 3), np.uint8)


@pytest.fixture(params=[0, 7])
def file(request, tmp_path):
    """The images behind a header of some length."""
    path = tmp_path / "images"
    path.write_bytes(bytes(request.param) + IMAGES.tobytes())
    return ImageFile(path, IMAGES.shape, request.param)


@pytest.mark.parametrize(
    "index", [3, -1, slice(2, 5), slice(None, None, -1), np.array([4, 0, 4]), np.arange(10) % 3 == 0]
)
def test_indexing_is_that_of_an_array(file, index):
    assert np.array_equal(file[index], IMAGES[index])


def test_shape_and_conversion_are_those_of_an_array(file):
    assert (file.shape, file.ndim, len(file), file.dtype) == (IMAGES.shape, 3, 10, IMAGES.dtype)
    assert np.array_equal(np.asarray(file), IMAGES)
    assert np.asarray(file, np.float32).dtype == np.float32


def test_what_was_read_does_not_change_the_file(file):
    block = file[:2]
    block[:] = 0
    assert np.array_equal(file[:2], IMAGES[:2])


def test_small_selections_are_in_memory_and_large_ones_stay_in_the_file(file, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.MAX_IN_MEMORY", 3 * 12)
    order = np.array([9, 2, 2, 5])
    large, small = file.take(order), file.take(order[:3])
    assert isinstance(large, ImageFile) and isinstance(small, np.ndarray)
    assert large.shape == (4, 4, 3) and np.array_equal(large[:], IMAGES[order])
    assert np.array_equal(small, IMAGES[order[:3]])
    assert np.array_equal(large.take(np.array([3, 0])), IMAGES[[5, 9]])  # of a selection


def test_blocks_are_everything_in_order(file, monkeypatch):
    monkeypatch.setattr("midas.data.memmap.BLOCK", 4)
    assert [len(block) for block in blocks(file)] == [4, 4, 2]
    assert np.array_equal(np.concatenate(list(blocks(file))), IMAGES)


def test_shapes_beyond_any_integer_type_are_large():
    assert is_large((2**20, 28, 28)) and not is_large((1000, 28, 28)) and not is_large((0, 28, 28))


def test_glyphs_in_a_file_are_read_in_batches(file):
    places = np.arange(50, dtype=np.float32).reshape(10, 5)
    batches = list(Glyphs(file, places).batches(4))
    assert [len(batch) for batch in batches] == [4, 4, 2] and all(type(batch.images) is np.ndarray for batch in batches)
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), IMAGES)
    assert np.array_equal(np.concatenate([batch.places for batch in batches]), places)
