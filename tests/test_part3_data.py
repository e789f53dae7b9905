"""The description of Part 3's data, on digits of which everything is known."""

import json
import sys

import cv2
import numpy as np
import part3_data
import pytest
from scipy.stats import chi2
from tiny import write_part3

from midas.data.complementary_mnist import write_archive

N = 400


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Digits of the sample as MNIST, and as JPEG files of which two per class are correctly labeled."""
    folder = tmp_path_factory.mktemp("data")
    return folder, *write_part3(folder, N)


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["part3_data.py", *map(str, words)])
    part3_data.main()
    return capsys.readouterr().out


def test_counts_and_measures(data, monkeypatch, capsys):
    folder, images, labels, given_labels = data
    found = json.loads(run(monkeypatch, capsys, "--data-dir", folder, "--json"))
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (labels, given_labels), 1)
    assert found["counts"] == expected.tolist()
    assert found["images"] == N and found["correct"] == [2] * 10 and found["correct_in_all"] == 20
    assert found["images_per_label"] == np.bincount(given_labels).tolist()
    assert found["images_per_class"] == np.bincount(labels).tolist()
    decoded = [cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], -1) for image in images]
    errors = np.float64(decoded) - images
    assert found["jpeg"]["mean_absolute_error"] == pytest.approx(np.abs(errors).mean())
    assert found["jpeg"]["rms_error"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert found["jpeg"]["psnr"] == pytest.approx(10 * np.log10(255**2 / (errors**2).mean()))
    assert found["jpeg"]["changed_share"] == (np.abs(errors) > 16).mean()
    assert found["jpeg"]["largest_error"] == np.abs(errors).max()


def test_uniformity_computed_by_hand():
    # Of three classes only the first differs from 20 and 20, by 10 in each cell; every class has one free cell.
    counts = np.array([[7, 30, 10], [20, 7, 20], [20, 20, 7]])
    found = part3_data.uniformity(counts)
    assert found == {"chi_square": pytest.approx(10), "degrees": 3, "p": pytest.approx(chi2.sf(10, 3))}


def test_pixel_errors_computed_by_hand():
    image = np.full((1, 2, 2), 9, np.uint8)
    assert part3_data.pixel_errors(image, image)["psnr"] is None
    assert part3_data.pixel_errors(image, np.array([[[9, 26], [9, 0]]], np.uint8)) == {
        "mean_absolute_error": 6.5,
        "rms_error": pytest.approx(np.sqrt(92.5)),
        "psnr": pytest.approx(10 * np.log10(255**2 / 92.5)),
        "changed_share": 0.25,
        "largest_error": 17,
    }


def test_prints_and_draws(data, monkeypatch, capsys, tmp_path):
    printed = run(monkeypatch, capsys, "--data-dir", data[0], "--picture", tmp_path / "labels.png")
    assert "400 images, of which 20 are correctly labeled (5.000 %)" in printed
    assert "with 80 degrees of freedom" in printed
    assert {len(line) for line in printed.splitlines() if line[:17].strip().isdigit()} == {17 + 10 * 7}
    picture = cv2.imread(str(tmp_path / "labels.png"))
    height, width = picture.shape[:2]
    framed = (picture == (0xB2, 0x72, 0)).all(axis=2)  # blue, and only around correctly labeled images
    assert framed[:, : width * 3 // 4].sum() == 0 < framed[:, width * 3 // 4 :].sum()
    assert 600 < height < width


def test_the_images_of_the_sample_are_unchanged(monkeypatch, capsys):
    printed = run(monkeypatch, capsys, "--data-dir", "sample")
    assert "infinite" in printed and "largest error               0" in printed


def test_refuses_images_that_mnist_does_not_have(data, tmp_path, monkeypatch, capsys):
    _, images, labels, given_labels = data
    np.savez(tmp_path / "mnist.npz", images=images[:-1], labels=labels[:-1])
    write_archive(tmp_path / "mnistTask3.zip", images, given_labels)
    with pytest.raises(SystemExit, match=r"image_000399\.jpg: does not name one of MNIST's 399 training images"):
        run(monkeypatch, capsys, "--data-dir", tmp_path)
