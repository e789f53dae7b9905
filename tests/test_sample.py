"""The embedded sample: reproducible drawings like those of Part 1, and digits in the format of MNIST."""

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from midas.data import sample
from midas.data.preprocessing import normalize

FEW = range(0, sample.WRITERS, 14)


@pytest.fixture(scope="module")
def glyphs():
    return np.array([[normalize(sample.draw(c, writer)).image for writer in FEW[:2]] for c in sample.CHARACTERS])


def box(page):
    return cv2.boundingRect(255 - page)


def components(page):
    return cv2.connectedComponents(255 - page)[0] - 1


def longer_sides(characters, writers):
    return np.array([[max(box(sample.draw(c, w))[2:]) for c in characters] for w in writers])


def test_the_62_characters_are_in_the_order_of_the_classes():
    assert len(sample.CHARACTERS) == 62 == len(set(sample.CHARACTERS))
    assert "".join(sorted(sample.CHARACTERS)) == sample.CHARACTERS
    assert sample.CHARACTERS[0] == "0" and sample.CHARACTERS[10] == "A" and sample.CHARACTERS[36] == "a"


@pytest.mark.parametrize("character", sample.CHARACTERS)
def test_a_drawing_is_a_black_pen_on_a_white_page(character):
    for writer in FEW:
        page = sample.draw(character, writer)
        assert page.shape == (900, 1200) and page.dtype == np.uint8
        assert page.min() == 0 and ((page == 0) | (page == 255)).all()
        ring = sample.MARGIN - 2  # the corners included
        assert all((edge == 255).all() for edge in (page[:ring], page[-ring:], page[:, :ring], page[:, -ring:]))


def test_preprocessing_reads_every_character(glyphs):
    assert glyphs.shape == (62, 2, 28, 28)
    assert (glyphs.max(axis=(2, 3)) > 200).all()
    assert {max(cv2.boundingRect(glyph)[2:]) for glyph in glyphs.reshape(-1, 28, 28)} == {20}


def test_drawings_do_not_depend_on_earlier_drawings():
    first = {(c, w): sample.draw(c, w) for c in "aQ7" for w in (0, 3)}
    for (character, writer), page in reversed(first.items()):
        assert (sample.draw(character, writer) == page).all()


def test_drawings_do_not_depend_on_the_process():
    code = "import hashlib; from midas.data import sample; print(hashlib.sha256(sample.draw('g', 5, 2)).hexdigest())"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert elsewhere == hashlib.sha256(sample.draw("g", 5, 2)).hexdigest()


def test_the_fonts_and_scikit_learn_are_imported_only_when_needed():
    code = "import sys, midas.data.sample; sys.exit(len({'HersheyFonts', 'sklearn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_character_writer_and_seed_each_change_the_drawing():
    pages = [sample.draw(c, w, s) for c in "0lI" for w in (0, 1) for s in (0, 1)]
    assert len({page.tobytes() for page in pages}) == len(pages)


def test_the_classes_look_different(glyphs):
    means = glyphs.mean(axis=1).reshape(62, -1)
    distances = np.linalg.norm(means[:, None] - means[None], axis=2) + np.where(np.eye(62), np.inf, 0)
    assert distances.min() > 300  # the closest pairs are those that people confuse, too: 0 and O, v and V
    assert np.median(distances) > 1000


def test_drawings_are_as_large_as_the_real_ones():
    # In the real drawings, the 5th, 50th and 95th percentiles of the longer side are 280, 448 and 626 pixels.
    low, middle, high = np.percentile(longer_sides(sample.CHARACTERS[::3], range(0, sample.WRITERS, 4)), (5, 50, 95))
    assert low == pytest.approx(280, abs=45)
    assert middle == pytest.approx(448, abs=45)
    assert high == pytest.approx(626, abs=60)


def test_lowercase_letters_are_smaller_than_capitals():
    for writer in FEW:
        heights = {c: box(sample.draw(c, writer))[3] for c in "COSVXZcosvxz"}
        assert np.mean([heights[c] for c in "cosvxz"]) < 0.85 * np.mean([heights[c] for c in "COSVXZ"])


def test_a_writer_keeps_the_same_size():
    sides = np.log(longer_sides("0258ABCDEHRS", range(0, sample.WRITERS, 4)))
    assert np.std(sides.mean(axis=1)) > np.std(sides - sides.mean(axis=1, keepdims=True)) / 2


def test_the_pen_is_as_wide_as_the_real_one():
    # The dot of an i is little more than a point; real dots have 3,400 to 3,550 pixels.
    areas = []
    for writer in range(0, sample.WRITERS, 2):
        _, _, stats, _ = cv2.connectedComponentsWithStats(255 - sample.draw("i", writer))
        if len(stats) == 3:
            areas.append(stats[1:, cv2.CC_STAT_AREA].min())
    assert min(areas) > 3300
    assert np.median(areas) < 6000


@pytest.mark.parametrize("character", "ij")
def test_i_and_j_keep_their_dots(character):
    parts = [components(sample.draw(character, writer)) for writer in range(sample.WRITERS)]
    assert set(parts) <= {1, 2}
    assert parts.count(2) >= 0.7 * sample.WRITERS


def test_drawings_are_near_the_center_but_spread():
    boxes = np.array([box(sample.draw(c, w)) for c in "05ABHRabcopx" for w in range(0, sample.WRITERS, 4)])
    across, down = (boxes[:, :2] + boxes[:, 2:] / 2).T
    assert across.mean() == pytest.approx(590, abs=40) and 35 < across.std() < 110
    assert down.mean() == pytest.approx(472, abs=30) and 25 < down.std() < 80


@pytest.mark.parametrize("character", ["", "é", "ab", " ", "?"])
def test_an_unknown_character_is_refused(character):
    with pytest.raises(ValueError, match="no such character"):
        sample.draw(character, 0)


@pytest.mark.parametrize(("writer", "seed"), [(-1, 0), (0, -1)])
def test_a_negative_writer_or_seed_is_refused(writer, seed):
    with pytest.raises(ValueError, match="negative"):
        sample.draw("a", writer, seed)


def test_drawing_does_not_touch_numpys_global_generator():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    sample.draw("k", 1)
    sample.digits("test")
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(("split", "count"), [("train", 1347), ("test", 450)])
def test_digits_have_the_format_of_mnist(split, count):
    images, labels = sample.digits(split)
    assert images.shape == (count, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (count,) and labels.dtype == np.int64
    assert images.min() == 0 and images.max() == 255
    frame = np.ones((28, 28), bool)
    frame[4:24, 4:24] = False
    assert not images[:, frame].any()
    assert images.any(axis=(1, 2)).all()


def test_the_digit_splits_are_balanced_disjoint_and_complete():
    (train, train_labels), (test, test_labels) = sample.digits("train"), sample.digits("test")
    everything = np.bincount(train_labels) + np.bincount(test_labels)
    assert everything.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.abs(np.bincount(test_labels) / everything - 0.25).max() < 0.01
    seen = {image.tobytes() for image in train}
    assert len(seen) == 1347 and not any(image.tobytes() in seen for image in test)


def test_digits_are_the_same_every_time_and_may_be_changed_by_the_caller():
    images, labels = sample.digits("test")
    expected = images.copy(), labels.copy()
    images[:], labels[:] = 0, 0
    again = sample.digits("test")
    assert (again[0] == expected[0]).all() and (again[1] == expected[1]).all()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="no such split 'valid'"):
        sample.digits("valid")


@pytest.mark.parametrize(("name", "count"), [("part1", 62 * 40), ("mnist", 1347), ("mnist-test", 450), ("part3", 1347)])
def test_every_named_data_set_has_a_substitute_that_can_be_read_twice(name, count):
    source = sample.source(name)
    first, second = ([(entry.name, entry.label) for entry in source.entries()] for _ in range(2))
    assert first == second and len(first) == len({path for path, _ in first}) == source.count == count
    assert source.is_sample and source.class_folders == ()


def test_the_substitute_for_part_3_has_wrong_labels_only():
    given = np.array([int(entry.label) for entry in sample.source("part3").entries()])
    assert (given != sample.digits("train")[1]).all()
