"""The wheel depends on nothing but the source: not on where, when, or by whom it is built."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77")
ROOT = Path(__file__).parents[1]
SOURCE = ("midas", "setup.py", "requirements.txt", "pyproject.toml", "README.md", "MANIFEST.in")
BUILD = "import os; os.umask(0o022); import setuptools.build_meta as build; build.build_wheel('out')"


def build(folder, changed):
    """Build a wheel in a copy of the source whose files were changed at a time."""
    for name in SOURCE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for network in (*ROOT.glob("checkpoints/*.*"), *ROOT.glob("checkpoints/part3-best/*")):  # not the runs
        copied = folder / network.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(network, copied)
    for path in folder.rglob("*"):
        os.utime(path, (changed, changed))
        path.chmod(0o755 if path.is_dir() else 0o644)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, env=environment, check=True, capture_output=True)
    (wheel,) = (folder / "out").glob("*.whl")
    return wheel


def test_two_builds_of_one_source_are_the_same(tmp_path):
    wheels = []
    for name, changed in (("a", 1_600_000_000), ("b c", 1_650_000_000)):
        (tmp_path / name).mkdir()
        wheels.append(build(tmp_path / name, changed))
    first, second = (hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels)
    assert first == second
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert {"midas/py.typed", "midas/web/static/main.js", "midas/checkpoints/part1.keras"} <= set(names)
