"""Starting TensorFlow, and making it deterministic."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator

from midas.errors import MidasError


def start_tensorflow() -> None:
    """Import TensorFlow and Keras, once.

    Keras looks for pandas, scikit-learn and Matplotlib, at a third of its start, for wrappers and plots that midas does
    not use; it is imported without them.

    Raises:
        MidasError: Keras is set to another backend.
    """
    if (backend := _keras_backend()) != "tensorflow":
        raise MidasError(f"midas needs Keras on TensorFlow, not on {backend!r}; set KERAS_BACKEND to 'tensorflow'")
    with _hidden("matplotlib", "pandas", "sklearn"):
        tensorflow = importlib.import_module("tensorflow")
        importlib.import_module("keras")
    for device in tensorflow.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # too late once the user's own code has used the GPU
            tensorflow.config.experimental.set_memory_growth(device, True)
    tensorflow.zeros(1)


def _keras_backend() -> str:
    """Find the backend of Keras, which is chosen when Keras is first imported."""
    if keras := sys.modules.get("keras"):
        return keras.backend.backend()
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Make imports of packages fail, unless they are imported already."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def set_seed(seed: int) -> None:
    """Make what follows depend on the seed alone."""
    import keras
    import tensorflow

    keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
