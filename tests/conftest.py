"""Settings of all tests: every worker of pytest-xdist computes on one core, of which there are as many as workers."""

import gc
import os

import pytest

LONGEST = ("test_cluster.py", "test_walk.py")  # they start first, so that no worker is left with one at the end

if "PYTEST_XDIST_WORKER" in os.environ:
    for setting in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(setting, "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for garbage once all tests are collected, and never in what they import: TensorFlow alone is a lot."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def save_every_epoch(monkeypatch):
    """Save last.keras after every epoch, so that a test can interrupt a training after any."""
    from midas.learning import trainer

    monkeypatch.setattr(trainer, "SAVE_EVERY", 0.0)


@pytest.fixture(scope="module")
def eagerly():
    """Run a module's networks without tracing, which takes longer than tiny trainings; `traced` is the exception."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def traced(eagerly):
    """Trace as outside of tests."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)
