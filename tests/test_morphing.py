"""Same-class morphing, which the documentation shows, on glyphs of the sample."""

import sys

import cv2
import morphing
import numpy as np


def test_a_stroke_between_two_strokes_lies_between_them():
    first, second = np.zeros((2, morphing.SIDE, morphing.SIDE), np.uint8)
    first[8:28, 14:18], second[8:28, 18:22] = 255, 255
    (middle,) = morphing.between(first, second, [0.5])
    columns = middle.astype(float).sum(axis=0)
    assert abs((columns * np.arange(morphing.SIDE)).sum() / columns.sum() - 17.5) < 0.5
    assert columns[15:21].sum() > 0.9 * columns.sum()


def test_the_picture_shows_a_row_for_each_class(tmp_path, monkeypatch):
    path = tmp_path / "morphing.png"
    monkeypatch.setattr(sys, "argv", ["morphing.py", "--data-dir", "sample", str(path)])
    morphing.main()
    shape = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape
    assert shape == (2 * morphing.SIDE * len(morphing.SHOWN), 2 * morphing.SIDE * morphing.STEPS)


def test_an_image_that_cannot_be_read_is_named(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "trainPart1" / "train" / "Sample011"
    folder.mkdir(parents=True)
    for number in (1, 2):
        drawing = cv2.line(np.full((90, 120), 255, np.uint8), (40 + number, 20), (60, 70), 0, 5)
        cv2.imwrite(str(folder / f"img011-00{number}.png"), drawing)
    (folder / "img011-003.png").write_bytes(b"no image")
    monkeypatch.setattr(sys, "argv", ["morphing.py", "--data-dir", str(tmp_path), str(tmp_path / "morphing.png")])
    morphing.main()
    assert "img011-003.png" in capsys.readouterr().err
