"""Some of what `scripts/faults.py` tries, as far as it takes seconds and no special rights."""

import os
from pathlib import Path

import pytest

if os.name == "nt":
    pytest.skip("needs signals and file systems as on Unix", allow_module_level=True)

import faults
from fault_setup import Baseline, Misbehaved, Sandbox, make_data, worked, writers


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """Data with odd names, and no network."""
    folder = tmp_path_factory.mktemp("faults") / faults.ODD
    sandbox = Sandbox(make_data(folder / "data"), folder / "runs", folder / "cache")
    drawings = sandbox.data / "trainPart1" / "Sample001"
    return Baseline(sandbox, folder, folder / "runs", (drawings / "0.png").rename(drawings / f"{faults.ODD}.png"))


@pytest.mark.parametrize("fault", ["file for a folder", "missing"])
@pytest.mark.parametrize("command", ["preprocess", "augment"])
def test_refusals_are_one_line(baseline, fault, command):
    assert dict(faults.FAULTS[fault](baseline))[command]().startswith("1: ")


def test_odd_names_and_nested_folders_work(baseline):
    out = baseline.folder / faults.ODD / faults.DEEP
    for command in ("preprocess", "augment"):
        assert worked(baseline.sandbox.midas(*writers(baseline, out)[command])) == "0"
    assert (out / "copies" / "Sample010" / "0-1.png").exists()


def test_two_processes_can_fill_one_cache(baseline):
    assert dict(faults.two_at_once(baseline))["preprocess, same cache"]() == "0 and 0, all files complete"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_stdout_is_named(baseline):
    assert "stdout" in dict(faults.full_stdout(baseline))["list"]()


def test_attempts_report_what_went_wrong():
    def misbehave():
        raise Misbehaved("two\nlines")

    assert faults.attempt(misbehave) == ("**wrong** two\\nlines", False)
    assert faults.attempt(lambda: "0") == ("0", True)
