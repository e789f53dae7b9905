"""`midas.learning.export`: what is exported answers as Keras does, or there is nothing."""

import json

import cv2
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from tiny import CHARACTERS, dataset

from midas.cli import main
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.files import write_json
from midas.learning import export, models
from midas.learning.checkpoints import read_card
from midas.learning.classifier import Classifier
from midas.records import Card

MISSING = {name: export.missing(name) for name in export.PACKAGES}
FORMATS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}: pip install '.[export]'"))
    for name, missing in MISSING.items()
]
needs_litert = pytest.mark.skipif(bool(MISSING["litert"]), reason="needs ai-edge-litert: pip install '.[export]'")
needs_onnx = pytest.mark.skipif(bool(MISSING["onnx"]), reason="needs onnx, onnxruntime, tf2onnx: '.[export]'")


def network(*architectures, names=tuple(CHARACTERS), **card):
    """Make a classifier of untrained networks whose answers differ as much as those of trained ones."""
    keras.utils.set_random_seed(0)
    made = [models.build(each, 28, len(names)) for each in architectures or ("compact",)]
    for each in made:
        logits = each.predict_on_batch(models.inputs(each, dataset().glyphs))
        scale = 4 / (logits - logits.mean(axis=0)).std()
        each.layers[-1].set_weights([scale * each.layers[-1].kernel.numpy(), -scale * logits.mean(axis=0)])
    return Classifier(tuple(made), Card(names, model=made[0].name, **card), card.get("tta", 1))


@pytest.mark.skipif(cv2.__version__ < "5", reason="OpenCV 4 rounds copies in another way, which is refused")
@pytest.mark.parametrize("form", FORMATS)
def test_a_calibrated_ensemble_with_places_and_test_time_augmentation(form, tmp_path):
    strengths, out = Augmentation(stroke=0, occlusion=0.3), tmp_path / "out"
    classifier = network("placed", "compact", tta=3, tta_temperature=0.6, augmentation=strengths)
    found = export.export(classifier, form, out, dataset=dataset())
    assert found.path == str(out / export.FILES[form]) and found.n == len(dataset())
    assert 0 < found.largest_difference < 1e-4 and found.accuracy == found.keras_accuracy
    glyphs = dataset().glyphs[:40]
    expected = classifier.probabilities(glyphs)
    assert len(set(expected.argmax(axis=1))) > 5 and expected.max() > 0.7
    assert np.abs(export.load_exported(out / export.FILES[form], form)(glyphs) - expected).max() < 1e-4
    assert read_card(out / "card.json") == classifier.card
    assert (out / "read.py").exists() == (form != "saved-model")
    assert list(tmp_path.iterdir()) == [out]


def test_augmentation_that_is_not_linear_is_refused(tmp_path):
    with pytest.raises(MidasError, match=r"width of strokes cannot be exported.*--tta 1"):
        export.export(network(tta=2, augmentation=Augmentation()), "saved-model", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@needs_litert
def test_int8_is_smaller_and_its_accuracy_is_measured_on_other_images(tmp_path):
    float32 = export.export(network("baseline"), "litert", tmp_path / "float", dataset=dataset())
    int8 = export.export(
        network("baseline"), "litert", tmp_path / "int8", int8=True, dataset=dataset(), data="mine.zip"
    )
    assert int8.bytes < 0.35 * float32.bytes and int8.int8 and int8.n == len(dataset()) * 4 // 5
    assert 1e-4 < int8.largest_difference < 1 and abs(int8.accuracy - int8.keras_accuracy) < 0.2
    assert "int8" in int8.summary() and "mine.zip" in int8.summary()


def test_a_network_that_differs_is_not_written_and_an_earlier_one_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "saved_model.pb").write_text("earlier")
    classifier = network()
    classifier.networks[0].layers[-1].set_weights([np.full((256, 14), np.nan), np.zeros(14)])
    for out in (tmp_path / "new", tmp_path):
        with pytest.raises(MidasError, match="not exported: probabilities differ"):
            export.export(classifier, "saved-model", out, dataset=dataset())
    assert [path.name for path in tmp_path.rglob("*")] == ["network", "saved_model.pb"]


def test_the_embedded_sample_stands_in_for_data(monkeypatch):
    monkeypatch.setattr(export, "COMPARED", 5)
    compared, calibrating = export._sample_glyphs(network(names=("b", "a", "cat")), 3)
    assert compared.outputs.tolist() == [0, 1, 0, 1, 0] and len(calibrating) == 3
    assert len({image.tobytes() for image in (*compared.glyphs.images, *calibrating.images)}) == 8
    unknown, _ = export._sample_glyphs(network(names=("cat", "dog")), 0)
    assert len(unknown.glyphs) == 5 and unknown.outputs is None


def test_data_that_do_not_suit_are_refused(tmp_path):
    for data, message in (
        (dataset("AB", 2), "too few to compare networks: 4 images"),
        (dataset("xy", 5), "does not know the class 'x'"),
    ):
        with pytest.raises(MidasError, match=f"mine.zip: .*{message}"):
            export.export(network(), "saved-model", tmp_path / "out", dataset=data, data="mine.zip")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(export.PACKAGES, "onnx", ("numpy", "no_such_package", "neither_this"))
    with pytest.raises(MidasError, match="pip install no-such-package neither-this"):
        export.require("onnx")


@needs_onnx
def test_the_command_replaces_an_earlier_export_and_leaves_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "COMPARED", 20)

    def run(*words):
        return CliRunner().invoke(main, ["export", "--checkpoint", str(tmp_path / "net.keras"), *words])

    classifier = network()
    classifier.network.save(tmp_path / "net.keras")
    write_json(tmp_path / "net.json", classifier.card)
    out = tmp_path / "my out"
    first = run("--out", str(out), "--format", "saved-model")
    assert first.exit_code == 0 and first.stdout.startswith(f"{out}/network: ") and "read.py" not in first.stdout
    (out / "notes.txt").touch()
    again = run("--out", str(out))
    assert again.exit_code == 1 and again.stderr.endswith("choose another --out, or use --overwrite\n")
    assert run("--out", str(out), "--overwrite", "--int8").exit_code == 2
    result = run("--out", str(out), "--overwrite", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["path"] == str(out / "network.onnx") and found["n"] == 20 and found["largest_difference"] < 1e-4
    assert found["bytes"] == (out / "network.onnx").stat().st_size and found["class_names"] == list(CHARACTERS)
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "network.onnx", "notes.txt", "read.py"]
