"""Sources are joined, transposed and given class names without reading an image."""

import numpy as np

from midas.data.entries import Entry, Source, join, transposed, with_class_names

IMAGE = np.arange(6, dtype=np.uint8).reshape(2, 3)


def source(name="a", **more):
    return Source(name, (), name, lambda: iter([Entry(name, "1", lambda: IMAGE)]), 1, **more)


def test_joined_sources_follow_each_other_and_say_each_note_once():
    both = join("both", [source("a", notes=("n",)), source("b", notes=("n", "m"))], ["first"])
    assert [entry.name for entry in both.entries()] == ["a", "b"] and both.count == 2 and both.path == "both"
    assert both.notes == ("first", "n", "m") and both.digest != join("both", [source("b"), source("a")]).digest


def test_transposed_images_have_their_axes_swapped():
    (entry,) = transposed(source()).entries()
    assert (entry.read() == IMAGE.T).all() and entry.read().flags.c_contiguous and entry.label == "1"
    assert transposed(source()).digest != source().digest


def test_class_names_change_the_digest():
    named = with_class_names(source(), {"1": "one"})
    assert named.class_names == {"1": "one"} and named.digest != source().digest
    assert named.digest != with_class_names(source(), {"1": "uno"}).digest
