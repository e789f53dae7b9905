"""Where a network comes from: versions, machine, command, source revision, digests."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf

from midas.records import Environment


def environment(data_digest: str, init_digest: str | None = None) -> Environment:
    """Describe the environment of a run that starts now.

    Args:
        data_digest: of the training set.
        init_digest: of the weights of what predicts before any training; None if nothing is trained.
    """
    return Environment(
        midas=importlib.metadata.version("midas"),
        python=platform.python_version(),
        tensorflow=tf.__version__,
        keras=keras.__version__,
        numpy=np.__version__,
        opencv=cv2.__version__,
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count(),
        device="GPU" if tf.config.get_visible_devices("GPU") else "CPU",
        argv=tuple(sys.argv),
        revision=_revision(),
        data_digest=data_digest,
        init_digest=init_digest,
        started_utc=now(),
    )


def now() -> str:
    """Give the time in UTC, in ISO format to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def weights_digest(networks: Iterable[keras.Model]) -> str:
    """Give a digest of the weights of networks: 16 hexadecimal digits."""
    weights = (array.tobytes() for network in networks for array in network.get_weights())
    return hashlib.sha256(b"".join(weights)).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _revision() -> str | None:
    """Name the commit of the source, with "-dirty" if it was changed; None outside a checkout."""
    folder = Path(__file__).parent
    git = ["git", "-C", str(folder)]
    try:
        if subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True).returncode:
            return None
        describe = [*git, "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
