"""Handwriting recognition from a few dozen samples per character, and from labels that are all wrong.

    import midas

    reader = midas.load()                        # the network that ships with midas
    reader.predict("drawing.png")[0].label       # paths, arrays, or lists of them
    data = midas.load_dataset("my_symbols/")
    run = midas.train(data, epochs=40)           # a run directory with the scores
    run.classifier().predict("drawing.png")

Importing the package takes milliseconds: NumPy, OpenCV and TensorFlow are imported by the first call that needs them.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midas.api import load, load_dataset, train
    from midas.data.datasets import Dataset
    from midas.errors import MidasError
    from midas.experiments import Experiment
    from midas.learning.classifier import Classifier
    from midas.predictions import PageReading, Prediction
    from midas.runs import Run

    __version__: str

# Defaults for libraries that read them when they are first imported; what the user has set stays.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports every start on stderr otherwise
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))  # 11,000 x 11,000: larger is not handwriting
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # unreadable images are reported by midas, once

_MODULES = {
    "load": "midas.api",
    "load_dataset": "midas.api",
    "train": "midas.api",
    "Classifier": "midas.learning.classifier",
    "PageReading": "midas.predictions",
    "Prediction": "midas.predictions",
    "Dataset": "midas.data.datasets",
    "Experiment": "midas.experiments",
    "MidasError": "midas.errors",
    "Run": "midas.runs",
}

__all__ = [
    "Classifier",
    "Dataset",
    "Experiment",
    "MidasError",
    "PageReading",
    "Prediction",
    "Run",
    "load",
    "load_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("midas")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'midas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, "__version__"])
