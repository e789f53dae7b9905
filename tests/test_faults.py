"""Some of what `scripts/faults.py` tries, as far as it takes seconds and no other rights."""

import os
import subprocess

import pytest

if os.name == "nt":
    pytest.skip("signals and file systems as Unix has them", allow_module_level=True)

import faults


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """Data with odd names, and no network."""
    folder = tmp_path_factory.mktemp("faults") / faults.ODD
    place = faults.Place(faults.make_data(folder / "data"), folder / "runs", folder / "cache")
    drawings = place.data / "trainPart1" / "Sample001"
    return faults.Ground(place, folder, folder / "runs", (drawings / "0.png").rename(drawings / f"{faults.ODD}.png"))


@pytest.mark.parametrize("fault", ["file for a folder", "not there"])
@pytest.mark.parametrize("command", ["preprocess", "augment"])
def test_what_cannot_be_done_is_one_line(ground, fault, command):
    assert dict(faults.FAULTS[fault](ground))[command]().startswith("1: ")


def test_odd_names_and_folders_made_on_the_way_work(ground):
    out = ground.folder / faults.ODD / faults.DEEP
    for command in ("preprocess", "augment"):
        assert faults.worked(ground.place.midas(*faults.writers(ground, out)[command])) == "0"
    assert (out / "copies" / "Sample010" / "0-1.png").exists()


def test_two_that_fill_a_cache_at_once(ground):
    assert dict(faults.two_at_once(ground))["preprocess, same cache"]() == "0 and 0, all files whole"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_stdout(ground):
    assert "stdout" in dict(faults.full_stdout(ground))["list"]()


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
def test_what_is_no_refusal_is_found_out(status, stderr):
    with pytest.raises(faults.Wrong):
        faults.refused(subprocess.CompletedProcess([], status, "", stderr), "a/b")


def test_harm_is_found_out(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    before = faults.contents(tmp_path)
    faults.unharmed(before, tmp_path)
    for name, content in (("broken.json", "{"), ("empty.html", ""), (".half.1.tmp.html", "half")):
        (tmp_path / name).write_text(content)
        with pytest.raises(faults.Wrong, match=name):
            faults.unharmed(before, tmp_path)
        (tmp_path / name).unlink()
    kept.write_text("[]")
    with pytest.raises(faults.Wrong, match=r"changed: .*kept\.json"):
        faults.unharmed(before, tmp_path)
