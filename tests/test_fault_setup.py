"""The judgments that `scripts/faults.py` rests on."""

import os
import subprocess

import pytest

if os.name == "nt":
    pytest.skip("needs signals and file systems as on Unix", allow_module_level=True)

import fault_setup


@pytest.mark.parametrize(
    ("status", "stderr"),
    [
        (0, "Error: a/b: cannot be read; look\n"),
        (1, "Traceback (most recent call last):\nError: a/b: cannot be read; look\n"),
        (1, "Error: a/b: cannot be read; look\nmore\n"),
        (1, "Error: cannot be read; look\n"),
        (1, "Error: a/b: cannot be read\n"),
        (-11, ""),
    ],
)
def test_anything_but_one_line_with_file_and_remedy_is_misbehavior(status, stderr):
    with pytest.raises(fault_setup.Misbehaved):
        fault_setup.refused(subprocess.CompletedProcess([], status, "", stderr), "a/b")


def test_a_refusal_is_shortened():
    done = subprocess.CompletedProcess([], 1, "", "Note: sample\nError: /x/a/b: cannot be read; look\n")
    assert fault_setup.refused(done, "/x/a/b") == "1: …/b: cannot be read; look"


def test_harm_is_detected(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    before = fault_setup.contents(tmp_path)
    fault_setup.unharmed(before, tmp_path)
    for name, content in (("broken.json", "{"), ("empty.html", ""), (".half.1.tmp.html", "half")):
        (tmp_path / name).write_text(content)
        with pytest.raises(fault_setup.Misbehaved, match=name):
            fault_setup.unharmed(before, tmp_path)
        (tmp_path / name).unlink()
    kept.write_text("[]")
    with pytest.raises(fault_setup.Misbehaved, match=r"changed: .*kept\.json"):
        fault_setup.unharmed(before, tmp_path)
