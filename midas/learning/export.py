"""Networks for other programs: ONNX, LiteRT or SavedModel, each compared with Keras before it is called done."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from midas.data import sample
from midas.data.augmentation import tta_copies
from midas.data.datasets import Dataset
from midas.data.glyphs import Glyphs
from midas.data.preprocessing import normalize
from midas.errors import MidasError, counted
from midas.experiments import Augmentation
from midas.files import atomic_directory, write_json, writing
from midas.learning import models, read_exported
from midas.learning.classifier import Classifier

FILES = {"onnx": "network.onnx", "litert": "network.tflite", "saved-model": "network"}
KERAS_NAMES = {"onnx": "onnx", "litert": "litert", "saved-model": "tf_saved_model"}
PACKAGES = {"onnx": ("onnx", "onnxruntime", "tf2onnx"), "litert": ("ai_edge_litert",), "saved-model": ()}
CARD, READER = "card.json", "read.py"
TOLERANCE = 1e-4  # of probabilities, between the exported network and Keras
COMPARED = 1000  # glyphs of the embedded sample
CALIBRATING = 300  # other glyphs, by which int8 chooses its ranges
BATCH = 250
NEIGHBORS = 4  # pixels between which a copy for test-time augmentation interpolates


@dataclass(frozen=True)
class Exported:
    """An exported network, and how well it agrees with Keras.

    Attributes:
        path: the file, or the folder of a SavedModel.
        format: "onnx", "litert" or "saved-model".
        bytes: size of the network.
        largest_difference: of any probability of any glyph, from that of Keras.
        n: number of glyphs that were compared.
        accuracy: of the exported network on them; None if they are of no class that it knows.
        keras_accuracy: the same of Keras.
        class_names: one per output.
        int8: whether weights and activations were quantized.
        compared_on: the data set that the glyphs are from.
    """

    path: str
    format: str
    bytes: int
    largest_difference: float
    n: int
    accuracy: float | None
    keras_accuracy: float | None
    class_names: tuple[str, ...]
    int8: bool = False
    compared_on: str = "sample"

    def summary(self) -> str:
        """Describe it in a few lines."""
        kind = "int8" if self.int8 else "float32"
        compared = f"{counted(self.n, 'glyph')} of {self.compared_on}"
        lines = [
            f"{self.path}: {self.bytes / 1e6:.2f} MB, {kind}, {len(self.class_names)} classes",
            f"Largest difference from Keras: {self.largest_difference:.1g} ({compared})",
        ]
        if self.accuracy is not None and self.keras_accuracy is not None:
            lines.append(f"Accuracy on them: {100 * self.accuracy:.2f} %, in Keras {100 * self.keras_accuracy:.2f} %")
        return "\n".join(lines)


def require(export_format: str) -> None:
    """Check that the packages of a format are installed.

    Raises:
        MidasError: they are not.
    """
    if names := missing(export_format):
        raise MidasError(f"--format {export_format} needs {', '.join(names)}: pip install {shlex.join(names)}")


def missing(export_format: str) -> list[str]:
    """List the packages that a format needs and that are not installed, as pip takes them."""
    names = [name.replace("_", "-") for name in PACKAGES[export_format] if not importlib.util.find_spec(name)]
    is_old = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13)  # that of Python 3.10
    return [*names, "keras>=3.13"] if export_format == "litert" and is_old else names


# ---- glyphs


@dataclass(frozen=True, eq=False)
class _Compared:
    """Glyphs on which two networks are compared, with the outputs that are correct, or None if those are unknown."""

    glyphs: Glyphs
    outputs: np.ndarray | None


def _choose_glyphs(network: Classifier, dataset: Dataset | None, data: str, int8: bool) -> tuple[_Compared, Glyphs]:
    """Choose glyphs to compare networks on, and others for int8: at most a fifth of a data set.

    Raises:
        MidasError: the data have classes that the network does not know, or fewer than five images.
    """
    if not dataset:
        return _sample_glyphs(network, CALIBRATING if int8 else 0)
    if len(dataset) < 5:
        raise MidasError(f"{data}: too few to compare networks: {counted(len(dataset), 'image')}; give at least 5")
    outputs = network.outputs_of(dataset.class_names, data)
    order = np.random.default_rng(0).permutation(len(dataset))
    split = min(CALIBRATING, len(dataset) // 5) if int8 else 0
    compared = np.sort(order[split:])
    return _Compared(dataset.glyphs.take(compared), outputs[dataset.labels[compared]]), dataset.glyphs[order[:split]]


def _sample_glyphs(network: Classifier, calibrating: int) -> tuple[_Compared, Glyphs]:
    """Draw `COMPARED` characters of the embedded sample, and others by other writers.

    They are those that the network has as classes, or all characters if it has none.
    """
    known = [name for name in network.class_names if len(name) == 1 and name in sample.CHARACTERS]
    drawn = known or sample.CHARACTERS
    number = range(COMPARED + calibrating)
    pages = (sample.draw(drawn[i % len(drawn)], i // len(drawn)) for i in number)
    glyphs = Glyphs.stack(normalize(page, network.size) for page in pages)
    outputs = network.outputs_of(known, "sample")[np.arange(COMPARED) % len(known)] if known else None
    return _Compared(glyphs[:COMPARED], outputs), glyphs[COMPARED:]


# ---- the exported network


def as_one_model(network: Classifier) -> keras.Model:
    """Build one model of an ensemble, its test-time augmentation and its calibration.

    Returns:
        A model from "glyph", uint8 (n, size, size), and if a network takes it "place", float32 (n, 5), to
        probabilities, float32 (n, classes).

    Raises:
        MidasError: the augmentation cannot be exported.
    """
    glyph = keras.Input((network.size, network.size), dtype="uint8", name="glyph")
    place = keras.Input((5,), name="place")
    copies, places = _copies(glyph, network), ops.tile(place, (network.tta, 1))
    temperature = network.card.temperature if network.tta == 1 else network.card.tta_temperature
    named = list(_distinctly_named(network.networks))
    logits = [each([copies, places]) if models.takes_places(each) else each(copies) for each in named]
    if len(logits) == network.tta == 1:
        probabilities = layers.Softmax()(logits[0] / temperature)
    else:
        mean = sum(ops.softmax(each) for each in logits) / len(logits)
        mean = ops.mean(ops.reshape(mean, (network.tta, -1, len(network.class_names))), axis=0)
        tiny = float(np.finfo(np.float32).tiny)
        probabilities = mean if temperature == 1 else ops.softmax(ops.log(ops.maximum(mean, tiny)) / temperature)
    inputs = [glyph, place] if any(map(models.takes_places, network.networks)) else [glyph]
    model = keras.Model(inputs, probabilities, name="network")
    model([np.zeros((1, *each.shape[1:]), each.dtype) for each in inputs])  # Keras exports models that were called
    return model


def _distinctly_named(networks: tuple[keras.Model, ...]) -> Iterator[keras.Model]:
    """Number the networks of an ensemble: a model cannot contain two layers of one name."""
    for number, network in enumerate(networks, 1):
        named = keras.models.clone_model(network)
        named.name = f"{network.name}_{number}"
        named.set_weights(network.get_weights())
        yield named


def _copies(glyph: Any, network: Classifier) -> Any:
    """Make the copies for test-time augmentation, one below the other: uint8 (tta * n, size, size).

    The copies of `tta_copies` deform all images alike, so each of their pixels is a mean of the same few pixels of any
    image, which images of a single pixel tell.

    Raises:
        MidasError: the augmentation is not of this kind.
    """
    if network.tta == 1:
        return glyph
    strengths, size = network.card.augmentation or Augmentation(), network.size
    if strengths.stroke or strengths.pen:
        raise MidasError(
            "test-time augmentation that changes the width of strokes cannot be exported; export the network without "
            "it: --tta 1"
        )
    pixels = ops.cast(ops.reshape(glyph, (-1, size * size)), "float32")
    single = np.eye(size * size, dtype=np.float32).reshape(-1, size, size)
    copies = []
    for moved in tta_copies(single, network.tta, strengths):
        weights = moved.reshape(size * size, -1)
        sources = np.argsort(-weights, axis=0, kind="stable")[:NEIGHBORS]
        parts = ops.reshape(ops.take(pixels, sources.ravel(), axis=1), (-1, *sources.shape))
        copies.append(ops.sum(parts * np.take_along_axis(weights, sources, axis=0), axis=1))
    return ops.cast(ops.reshape(ops.round(ops.concatenate(copies)), (-1, size, size)), "uint8")


def export(
    network: Classifier,
    export_format: str,
    out: Path,
    int8: bool = False,
    dataset: Dataset | None = None,
    data: str = "sample",
) -> Exported:
    """Export a network with its card and a program that reads with it, if it agrees with Keras.

    Args:
        network: one network or an ensemble, with or without test-time augmentation.
        export_format: "onnx", "litert" or "saved-model".
        out: the folder. What it holds of an earlier export is replaced, at the end and by renaming.
        int8: quantize a LiteRT network; its differences are then measured, but not limited.
        dataset: images on which it is compared with Keras; None takes drawings of the embedded sample.
        data: what to call them.

    Raises:
        MidasError: packages are missing, the network cannot be exported, its probabilities differ by more than
            `TOLERANCE`, the data do not suit it, or a file cannot be written.
    """
    require(export_format)
    model = as_one_model(network)
    compared, calibrating = _choose_glyphs(network, dataset, data, int8)
    with tempfile.TemporaryDirectory(prefix="midas-") as made:  # whose name any library can encode
        file = Path(made) / FILES[export_format]
        try:
            with _quiet():
                model.export(file, KERAS_NAMES[export_format], verbose=False, **_quantization(model, calibrating))
        except tf.errors.OpError as error:
            raise MidasError(f"{made}: cannot be written: {' '.join(error.message.split())[:200]}") from error
        found = _compare(network, export_format, file, compared)
        if not int8 and not found.largest_difference <= TOLERANCE:  # nor if it is NaN
            way_out = "; export it without test-time augmentation: --tta 1" if network.tta > 1 else ""
            raise MidasError(
                f"{out}: not exported: probabilities differ by up to {found.largest_difference:.2g} from those of "
                f"Keras{way_out}"
            )
        with atomic_directory(out, replacing=(*FILES.values(), CARD, READER)) as folder, writing(out):
            _copy(file, folder)
            if export_format != "saved-model":
                shutil.copyfile(read_exported.__file__, folder / READER)
            write_json(folder / CARD, replace(network.card, tta=network.tta))
    return replace(found, path=str(out / file.name), int8=int8, compared_on=data)


def _copy(file: Path, folder: Path) -> None:
    """Copy a file, or a folder with its files, into a folder."""
    for path in (file, *file.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(file.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _quantization(model: keras.Model, calibrating: Glyphs) -> dict[str, Any]:
    """Give the converter's settings for int8, if there are glyphs for it: inputs and outputs keep their types."""
    if not len(calibrating):
        return {}

    def representative() -> Iterator[dict[str, np.ndarray]]:
        for one in calibrating.batches(1):
            yield _inputs([each.name for each in model.inputs], one)

    return {"optimizations": [tf.lite.Optimize.DEFAULT], "representative_dataset": representative}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what converters say about their own future."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# ---- comparison with Keras


def _compare(network: Classifier, export_format: str, file: Path, compared: _Compared) -> Exported:
    expected = network.probabilities(compared.glyphs)
    run = load_exported(file, export_format)
    found = np.concatenate([run(network.adapted_to_pen(batch)) for batch in compared.glyphs.batches(BATCH)])
    files = [path for path in (file, *file.rglob("*")) if path.is_file()]
    return Exported(
        path=str(file),
        format=export_format,
        bytes=sum(path.stat().st_size for path in files),
        largest_difference=float(np.abs(found - expected).max()),
        n=len(compared.glyphs),
        accuracy=_accuracy(found, compared.outputs),
        keras_accuracy=_accuracy(expected, compared.outputs),
        class_names=network.class_names,
    )


def _accuracy(probabilities: np.ndarray, outputs: np.ndarray | None) -> float | None:
    return None if outputs is None else float(np.mean(probabilities.argmax(axis=1) == outputs))


def load_exported(file: Path, export_format: str, threads: int | None = None) -> Callable[[Glyphs], np.ndarray]:
    """Load an exported network with the library of its format.

    Args:
        file: the file, or the folder of a SavedModel.
        export_format: "onnx", "litert" or "saved-model".
        threads: to compute with; None leaves it to the library. Not for SavedModels.

    Returns:
        A function from glyphs in memory to probabilities, float32 (n, classes).
    """
    if export_format == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        return lambda glyphs: session.run(None, _inputs(names, glyphs))[0]
    if export_format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        network = Interpreter(str(file), num_threads=threads).get_signature_runner()
        names = list(network.get_input_details())
        return lambda glyphs: next(iter(network(**_inputs(names, glyphs)).values()))
    saved = tf.saved_model.load(file)
    names = [each.name for each in saved.signatures["serve"].structured_input_signature[1].values()]
    return lambda glyphs: next(iter(saved.signatures["serve"](**_tensors(names, glyphs)).values())).numpy()


def _inputs(names: list[str], glyphs: Glyphs) -> dict[str, np.ndarray]:
    inputs = {"glyph": np.asarray(glyphs.images), "place": np.ascontiguousarray(glyphs.places)}
    return {name: inputs[name] for name in names}


def _tensors(names: list[str], glyphs: Glyphs) -> dict[str, Any]:
    return {name: tf.constant(value) for name, value in _inputs(names, glyphs).items()}
