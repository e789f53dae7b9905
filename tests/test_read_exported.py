"""read.py, which lies beside exported networks, reads as midas does, without midas."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from test_export_networks import FORMATS, network
from tiny import dataset

from midas.data import preprocessing, sample
from midas.learning import export, pen_adaptation, read_exported
from midas.records import PenStatistics

# Runs a script where these packages cannot be imported.
ALONE = "import runpy, sys; sys.modules.update(tensorflow=None, keras=None, midas=None); sys.argv = sys.argv[1:]; "
ALONE += "runpy.run_path(sys.argv[0], run_name='__main__')"


def clean_images():
    for character in "0AgijQ%":
        page = sample.draw(character, 4) if character != "%" else np.full((90, 120), 230, np.uint8)
        if character == "%":
            cv2.line(page, (50, 20), (70, 70), 40)
        yield page
        yield 255 - page
        yield cv2.resize(page, (60, 45), interpolation=cv2.INTER_AREA)
        yield (0.8 * page + 20 + np.random.default_rng(0).normal(0, 5, page.shape)).clip(0, 255).astype(np.uint8)
    yield from dataset().images[:20]


@pytest.mark.parametrize("size", [28, 36])
def test_glyphs_of_clean_images_are_those_of_midas(size):
    for gray in clean_images():
        glyph, place = read_exported.normalize(gray, size)
        expected = preprocessing.normalize(gray, size)
        assert np.array_equal(glyph, expected.image) and np.array_equal(place, expected.place)


@pytest.mark.parametrize("size", [28, 36])
def test_strokes_of_fine_pens_are_thickened_as_by_midas(size):
    glyphs = np.stack([read_exported.normalize(gray, size)[0] for gray in clean_images()])
    for known in (PenStatistics(4, 5.5), PenStatistics(1, 9)):
        expected = pen_adaptation.adapt(glyphs, known)
        found = np.stack([read_exported.thicken(glyph, known.finest, known.fine) for glyph in glyphs])
        assert np.array_equal(found, expected)
    assert np.array_equal(read_exported.thicken(np.zeros_like(glyphs[0]), 4, 5), np.zeros_like(glyphs[0]))


@pytest.mark.parametrize("form", [each for each in FORMATS if "saved-model" not in each.values])
def test_it_reads_without_midas_tensorflow_and_keras(form, tmp_path):
    classifier, out = network("placed", temperature=0.7), tmp_path / "out"
    export.export(classifier, form, out, dataset=dataset())
    drawings = []
    for character in "AB":
        cv2.imwrite(str(tmp_path / f"{character}.png"), sample.draw(character, 1))
        drawings.append(str(tmp_path / f"{character}.png"))
    command = [sys.executable, "-c", ALONE, str(out / "read.py"), *drawings]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, drawing in zip(lines, drawings, strict=True):
        best = classifier.predict(drawing)[0]
        assert line.split()[:2] == [best.label, f"{100 * best.probability:.1f}"] and line.endswith(drawing)
    missing = subprocess.run(
        [*command[:-1], "none.png", drawings[-1]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 1 and missing.stdout.splitlines() == lines
    assert missing.stderr.endswith("none.png: no such file; check the name\n")
    card = json.loads((out / "card.json").read_text())
    for change in ({"size": card["size"] + 1}, {"class_names": card["class_names"][1:]}):
        (out / "card.json").write_text(json.dumps(card | change))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "card.json is not that of the network" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "card",
    ['{"size": true, "class_names": ["a"]}', "", "[3]", "{}", '{"size": "28", "class_names": ["a"]}', "[" * 100_000],
)
def test_a_damaged_card_is_refused(tmp_path, monkeypatch, card):
    monkeypatch.setattr(read_exported, "HERE", tmp_path)
    (tmp_path / "card.json").write_text(card)
    with pytest.raises(SystemExit, match=r"card\.json: not the card of a network"):
        read_exported.read_card()


def test_what_it_cannot_read_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(read_exported, "read_card", lambda: (28, ["a"], (0, 0)))
    monkeypatch.setattr(read_exported, "load_network", lambda: (None, []))
    for name, pixels in (("deep", np.zeros((40, 40), np.uint16)), ("clear", np.zeros((40, 40, 4), np.uint8))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((8, 8), np.uint8))
    (tmp_path / "text.png").write_text("no image")
    for name in ("deep", "clear", "tiny", "text"):
        with pytest.raises(ValueError, match="read it with midas"):
            read_exported.read_gray(str(tmp_path / f"{name}.png"))
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((40, 40), 200, np.uint8))
    names = [str(tmp_path / f"{name}.png") for name in ("blank", "missing")]
    monkeypatch.setattr("sys.argv", ["read.py", *names])
    with pytest.raises(SystemExit, match="1"):
        read_exported.main()
    blank, missing = capsys.readouterr().err.splitlines()
    assert blank.startswith(f"{names[0]}: blank: nothing stands out")
    assert missing.startswith(f"{names[1]}: no such file")
