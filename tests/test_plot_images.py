"""Sheets of images: captions, order, and pages of any size."""

import numpy as np
from fabricate import LETTERS, predictions

from midas.report import plot_images


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_absence_of_errors_is_stated():
    made = predictions(LETTERS[:10], n=20, wrong=0)
    figure = plot_images.mistakes(made.images, made.labels, made.probabilities, made.names, LETTERS[:10])
    assert texts(figure) == ["No errors among 20 images."]


def test_mistakes_are_captioned():
    probabilities, labels = np.array([[0.02, 0.98], [0.9, 0.1], [0.6, 0.4]]), np.array([0, 0, 1])
    images, names = np.zeros((3, 28, 28), np.uint8), np.array(["a/$1$.png", "b.png", "c.png"])
    drawn = texts(plot_images.mistakes(images, labels, probabilities, names, ["c", "C"]))
    assert drawn == ["2 errors on 3 images", "c → C  98 %", "$1$.png", "C → c  60 %", "c.png"]
    assert texts(plot_images.mistakes(images, labels, probabilities, names, ["c", "C"], limit=1))[0] == (
        "the 1 most confident of 2 errors on 3 images"
    )


def test_suspects_are_captioned_with_both_labels():
    images, names = np.zeros((2, 28, 28), np.uint8), np.array(["x.npz[7]", "b.png"])
    figure = plot_images.suspects(images, ["a", "b"], ["a", "c"], np.array([0.5, 0.99]), names, "two suspects")
    first = ["labeled a", "looks like a", "50 %", "no. 7"]
    assert texts(figure) == ["two suspects", *first, "labeled b", "looks like c", "99 %", "b.png"]
    none = plot_images.suspects(images[:0], [], [], np.zeros(0), names[:0], "no suspects")
    assert texts(none) == ["There are no suspects."]


def test_samples_show_pages_of_any_size(tmp_path):
    pages = [np.full(shape, 255, np.uint8) for shape in ((900, 1200), (28, 28), (400, 90))]
    figure = plot_images.samples(
        pages, np.zeros((3, 28, 28), np.uint8), ["a", "b", "a long title_of $ kind"], columns=2
    )
    figure.savefig(tmp_path / "preview.png")
    assert len(figure.axes[0].images) == 6
    assert figure.axes[0].images[0].get_array().shape == (150, 200)


def test_augmented_copies_are_numbered():
    figure = plot_images.augmented_copies(np.zeros((2, 4, 28, 28), np.uint8), ["a", "b"])
    assert texts(figure) == ["original", "1", "2", "3", "a", "b"] and len(figure.axes[0].images) == 8


def test_thin_strokes_survive_in_a_thumbnail():
    page = np.full((900, 1200), 255, np.uint8)
    page[:, 601] = 0
    small = plot_images.thumbnail(page)
    assert small.shape == (150, 200) and small[:, 100].max() < 230 and small[:, 0].min() == 255


def test_very_long_captions_keep_their_end():
    images, names = np.zeros((1, 28, 28), np.uint8), np.array([f"{'x' * 40}.png"])
    figure = plot_images.suspects(images, ["a"], ["b"], np.array([0.5]), names, "one")
    assert texts(figure)[-1] == f"…{'x' * 21}.png"
