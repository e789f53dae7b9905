"""Previews of data, and the samples that a run keeps."""

import dataclasses

import numpy as np
import pytest
import tiny
from fabricate import source
from PIL import Image

from midas.data import export
from midas.data.levels import UnreadableImage
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.recipes import PARTS
from midas.report import plot_images, previews
from midas.runs import Run

DATA = tiny.dataset("012", 5)


def test_a_preview_shows_two_images_of_each_class(tmp_path, monkeypatch):
    drawn = {}
    samples = plot_images.samples
    monkeypatch.setattr(plot_images, "samples", lambda *arguments: drawn.update(all=arguments) or samples(*arguments))
    previews.write_preview(DATA, source(DATA), tmp_path / "preview.png")
    pages, glyphs, titles = drawn["all"]
    assert titles == list("001122") and [page.shape for page in pages] == [(56, 56)] * 6
    np.testing.assert_array_equal(glyphs, DATA.images[[0, 1, 5, 6, 10, 11]])
    with Image.open(tmp_path / "preview.png") as image:
        assert image.format == "PNG" and min(image.size) > 200


def test_a_preview_of_copies_shows_those_that_are_written(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(export, "BATCH", 4)
    monkeypatch.setattr(previews, "BATCH", 4)
    augmented_copies = plot_images.augmented_copies
    monkeypatch.setattr(
        plot_images, "augmented_copies", lambda images, titles: drawn.append(images) or augmented_copies(images, titles)
    )
    previews.write_copies_preview(DATA, tmp_path / "copies.png", 3, Augmentation(), seed=7)
    export.write_copies(DATA, tmp_path / "out", 3, True, Augmentation(), 7)
    assert (tmp_path / "copies.png").stat().st_size > 1000
    folders = export.folder_names(DATA.class_names)
    for row, label in enumerate(range(3)):
        first = export.file_stems([str(DATA.names[5 * label])])[0]
        for copy in range(4):
            name = f"{first}-{copy}.png" if copy else f"{first}.png"
            with Image.open(tmp_path / "out" / folders[label] / name) as image:
                np.testing.assert_array_equal(drawn[0][row, copy], np.asarray(image))


def test_a_run_keeps_samples_of_its_training_set(tmp_path):
    run, experiment = Run(tmp_path), PARTS["part2"]
    previews.keep_samples(run, experiment, DATA, source(DATA), DATA.take(np.arange(3)))
    assert run.data.data == DATA.summary() and run.data.test.images == 3
    samples = run.samples()
    np.testing.assert_array_equal(samples.images, DATA.images)
    np.testing.assert_array_equal(samples.prepared, DATA.images[[0, 1, 5, 6, 10, 11]])
    assert [page.shape for page in samples.pages] == [(56, 56)] * 6
    assert samples.augmented.shape == (6, 10, 28, 28)
    np.testing.assert_array_equal(samples.augmented[:, 0], samples.prepared)
    assert (samples.augmented[:, 1] != samples.augmented[:, 0]).any()


def test_a_run_keeps_no_samples_of_images_that_vanished_while_it_trained(tmp_path, caplog):
    pages = source(DATA)

    def vanished():
        raise UnreadableImage("No such file or directory")

    entries = [dataclasses.replace(entry, load=vanished) if "1/" in entry.name else entry for entry in pages.entries()]
    gone = dataclasses.replace(pages, entries=lambda: iter(entries))
    previews.keep_samples(Run(tmp_path), PARTS["part2"], DATA, gone, None)
    assert Run(tmp_path).data.data == DATA.summary() and Run(tmp_path).samples() is None
    reason = "made up/1/5.png: No such file or directory, though it was read before"
    assert f"{reason}; put it back; no samples are kept for the report" in caplog.text
    with pytest.raises(MidasError, match=reason):
        previews.write_preview(DATA, gone, tmp_path / "preview.png")


def test_without_augmentation_only_the_originals_are_kept(tmp_path):
    run = Run(tmp_path)
    experiment = dataclasses.replace(PARTS["part2"], augmentation=None)
    previews.keep_samples(run, experiment, DATA, source(DATA), None)
    assert run.samples().augmented.shape == (6, 1, 28, 28) and run.data.test is None


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MidasError, match="cannot be written"):
        previews.write_preview(DATA, source(DATA), tmp_path / "file" / "preview.png")
