"""Starting TensorFlow, and making it deterministic."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from midas.errors import MidasError

DEVICES = "MIDAS_DEVICES"  # environment variable: all, cpu, or the numbers of GPUs; processes inherit it

TRIED = "install midas in a new environment; TensorFlow 2.19 to 2.21 with Python 3.10 to 3.13 have been tried"


def start_tensorflow(verbose: bool = False) -> None:
    """Import TensorFlow and Keras, once, for the devices that the environment variable `DEVICES` names.

    Keras looks for pandas, scikit-learn and Matplotlib, at a third of its start, for wrappers and plots that midas does
    not use; it is imported without them. TensorFlow's C++ parts print lines that no setting silences when they start,
    and it warns of every fifth network that a process uses; both are left out.

    Args:
        verbose: leave TensorFlow's messages alone.

    Raises:
        MidasError: Keras is set to another backend, TensorFlow cannot be imported, or there is no such device.
    """
    if (backend := _keras_backend()) != "tensorflow":
        raise MidasError(f"midas needs Keras on TensorFlow, not on {backend!r}; set KERAS_BACKEND to 'tensorflow'")
    if "tensorflow" in sys.modules:  # started already, or the user's own, which is left as it is
        importlib.import_module("keras")
        return
    with contextlib.nullcontext() if verbose else _silent_stderr():
        try:
            with _hidden("matplotlib", "pandas", "sklearn"), _without_garbage_collection():
                tensorflow = importlib.import_module("tensorflow")
                importlib.import_module("keras")
        except ImportError as error:
            raise MidasError(
                f"TensorFlow cannot be imported ({' '.join(str(error).split())[:200]}); {TRIED}"
            ) from error
        gpus = choose_gpus(os.environ.get(DEVICES, "all"), tensorflow.config.list_physical_devices("GPU"))
        tensorflow.config.set_visible_devices(gpus, "GPU")
        for device in gpus:
            tensorflow.config.experimental.set_memory_growth(device, True)
        tensorflow.zeros(1)
    if not verbose:
        tensorflow.get_logger().setLevel("ERROR")


def choose_gpus(devices: str, gpus: Sequence[Any]) -> list[Any]:
    """Choose the GPUs to use.

    Args:
        devices: "all", "cpu" for none, or the numbers of some, such as "0,1".
        gpus: those of this machine.

    Raises:
        MidasError: there is no such GPU.

    >>> choose_gpus("1", ["first", "second"]), choose_gpus("cpu", ["first"])
    (['second'], [])
    """
    if devices in ("all", "cpu"):
        return list(gpus) if devices == "all" else []
    try:
        numbers = [int(word) for word in devices.split(",")]
    except ValueError as error:
        raise MidasError(f"devices {devices!r}: write all, cpu, or the numbers of GPUs, such as 0,1") from error
    if missing := [number for number in numbers if not 0 <= number < len(gpus)]:
        raise MidasError(f"devices {devices!r}: there is no GPU {missing[0]}; this machine has {len(gpus)}")
    return [gpus[number] for number in dict.fromkeys(numbers)]


@functools.cache
def strategy() -> Any:
    """Give the strategy that trains on all visible GPUs at once, a `tf.distribute.Strategy`; None for fewer than two.

    Each has a copy of the network, and a share of every batch.
    """
    import tensorflow

    gpus = tensorflow.config.list_logical_devices("GPU")
    return tensorflow.distribute.MirroredStrategy([gpu.name for gpu in gpus]) if len(gpus) > 1 else None


def scope() -> contextlib.AbstractContextManager:
    """Give the context in which networks to be trained are built, loaded and compiled."""
    chosen = strategy()
    return chosen.scope() if chosen else contextlib.nullcontext()


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Let imports, which leave little garbage, not be interrupted to look for it: that takes a sixth of their time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send what libraries write to file descriptor 2 nowhere."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


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
