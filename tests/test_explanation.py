import numpy as np
import pytest

import midas
from midas.data.glyphs import Glyphs
from midas.data.preprocessing import normalize
from midas.data.strokes import draw_strokes
from midas.learning import explanation

LETTER_E = [[[400, 200], [400, 700]], [[400, 200], [750, 200]], [[400, 450], [700, 450]], [[400, 700], [750, 700]]]


@pytest.fixture(scope="module")
def reader():
    return midas.load("part1")


def glyph_of(strokes, size):
    return Glyphs.stack([normalize(draw_strokes([np.array(stroke, float) for stroke in strokes]), size)])


def test_the_foot_of_an_e_tells_it_from_an_f(reader):
    glyph = glyph_of(LETTER_E, reader.size)
    output = reader.class_names.index("E")
    found = explanation.occlusion_map(reader, glyph, output)
    assert found.shape == (reader.size, reader.size) and found.dtype == np.float32
    assert np.abs(found[glyph.images[0] > 0]).max() == pytest.approx(1)
    foot, stem = found[-10:, 18:][glyph.images[0][-10:, 18:] > 0], found[12:24, :14][glyph.images[0][12:24, :14] > 0]
    assert foot.mean() > 0.1 and stem.mean() > foot.mean()  # without its stem it is no letter at all


def test_ink_that_speaks_for_another_class_is_negative(reader):
    glyph = glyph_of(LETTER_E, reader.size)
    found = explanation.occlusion_map(reader, glyph, reader.class_names.index("F"))
    foot = found[-10:, 18:][glyph.images[0][-10:, 18:] > 0]
    assert foot.mean() < -0.15 and foot.min() < -0.5


def test_the_nearest_image_is_the_image_itself(reader):
    pages = [LETTER_E, LETTER_E[:3], LETTER_E[:1]]
    features = np.concatenate([reader.features(glyph_of(page, reader.size)) for page in pages])
    order, cosines = explanation.nearest(features[1], features, 2)
    assert order[0] == 1 and cosines[0] == pytest.approx(1, abs=1e-5) and cosines[1] < cosines[0]
