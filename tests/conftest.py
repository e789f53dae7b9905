"""Let every worker of pytest-xdist compute on one core, of which the machine has as many as there are workers."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    for setting in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(setting, "1")


@pytest.fixture
def save_every_epoch(monkeypatch):
    """Save last.keras after every epoch, so that a test can interrupt a training after any."""
    from midas.learning import trainer

    monkeypatch.setattr(trainer, "SAVE_EVERY", 0.0)
