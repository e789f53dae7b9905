import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from midas.errors import MidasError
from midas.files import (
    TEMPORARY,
    atomic,
    atomic_directory,
    check_types,
    json_key,
    locked,
    parse,
    plain,
    read_json,
    refuse_nonempty,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_nonempty_folder_is_refused_unless_it_may_be_overwritten(tmp_path):
    refuse_nonempty(tmp_path / "new")
    refuse_nonempty(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(MidasError, match="not empty; choose another --out, or empty it"):
        refuse_nonempty(tmp_path)
    with pytest.raises(MidasError, match="not empty; choose another --out, or use --overwrite"):
        refuse_nonempty(tmp_path, overwrite=False)
    refuse_nonempty(tmp_path, overwrite=True)
    with pytest.raises(MidasError, match="cannot be read"):
        refuse_nonempty(tmp_path / "file")


@pytest.mark.parametrize("exists", [True, False])
def test_a_directory_is_complete_or_absent(exists, tmp_path):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    with pytest.raises(ZeroDivisionError), atomic_directory(out) as temporary:
        (temporary / "half").touch()
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [out] * exists
    with atomic_directory(out) as temporary:
        (temporary / "folder").mkdir()
        (temporary / "folder" / "file").touch()
        assert not (out / "folder").exists()
    assert sorted(tmp_path.rglob("*")) == [out, out / "folder", out / "folder" / "file"]


def test_two_processes_do_not_mix_their_files_in_one_directory(tmp_path):
    for out in (tmp_path / "new", tmp_path):
        with (
            pytest.raises(MidasError, match=r"new: cannot be written|x: another process"),
            atomic_directory(out) as ours,
        ):
            (ours / "x").write_text("ours")
            out.mkdir(exist_ok=True)
            (out / "x").write_text("theirs")
        assert [path.name for path in out.iterdir() if path.is_file()] == ["x"]
        assert (out / "x").read_text() == "theirs"
    with atomic_directory(tmp_path, replacing=("x", "y")) as temporary:
        (temporary / "x").write_text("new")
    assert (tmp_path / "x").read_text() == "new" and (tmp_path / "new" / "x").exists()


def test_a_full_disk_is_one_line(tmp_path):
    with (
        pytest.raises(MidasError, match=r"record\.json: cannot be written: No space left"),
        atomic(tmp_path / "record.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MidasError, match="cannot be written"):
        write_json(tmp_path / "file" / "below.json", {})
    with pytest.raises(MidasError, match="cannot be written"), locked(tmp_path / "file" / "run", "busy"):
        pass


def test_nan_becomes_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.5]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.5]}


@pytest.mark.parametrize("content", ["", "{", "not json", "\udcff"])
def test_broken_json_is_one_line_naming_the_file(tmp_path, content):
    (tmp_path / "x.json").write_text(content, errors="surrogateescape")
    with pytest.raises(MidasError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


@pytest.mark.skipif(os.name == "nt", reason="no harmless way to ask whether a process is alive")
def test_what_a_killed_process_had_half_written_goes_and_a_living_one_s_stays(tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    half, ours, theirs = (tmp_path / f".a\nb.{TEMPORARY}{n}.tmp.keras" for n in (killed.pid, os.getpid(), os.getppid()))
    for path in (half, ours, theirs, tmp_path / ".tmp", tmp_path / "a.1.tmp"):
        path.write_bytes(b"half")
    write_json(tmp_path / "record.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {theirs.name, ".tmp", "a.1.tmp", "record.json"}


def test_names_that_are_no_utf_8_survive_json(tmp_path):
    write_json(tmp_path / "x.json", {"path": "é\udcff"})
    assert read_json(tmp_path / "x.json") == {"path": "é\udcff"}


def test_a_thousand_folders_in_each_other_are_one_line(tmp_path):
    with pytest.raises(MidasError, match="cannot be written: File name too long"):
        write_json(tmp_path / "/".join("d" * 1200) / "x.json", {})


def test_only_one_process_holds_the_lock_of_a_directory(tmp_path):
    with locked(tmp_path, "busy"), pytest.raises(MidasError, match="busy"), locked(tmp_path, "busy"):
        pass
    with locked(tmp_path, "busy"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has locks of its own")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_locks_on_file_systems_without_locks(code, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", no_locks)
    for _ in range(2):
        with locked(tmp_path, "busy"), pytest.raises(MidasError, match="busy"), locked(tmp_path, "busy"):
            pass
    script = "import os, sys; from filelock import SoftFileLock; SoftFileLock(sys.argv[1]).acquire(); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / ".lock.held")], check=True)  # killed with the lock
    with locked(tmp_path, "busy"):
        pass


@dataclass(frozen=True)
class Inner:
    name: str = field(metadata=json_key("class"))
    share: float = 0.0


@dataclass(frozen=True)
class Outer:
    n: int
    inner: tuple[Inner, ...] = ()
    bounds: tuple[float, float] | None = None
    counts: dict[str, int] = field(default_factory=dict)


def test_records_survive_json():
    record = Outer(3, (Inner("a", 0.5), Inner("b")), (0.1, 1), {"x": 2})
    assert parse(Outer, json.loads(json.dumps(plain(record)))) == record
    assert plain(record)["inner"][0] == {"class": "a", "share": 0.5}
    assert parse(Outer, {"n": 1, "unknown": 2}) == Outer(1)


@pytest.mark.parametrize(
    "values, message",
    [
        ([], "expected an object with keys"),
        ({}, "n is missing"),
        ({"n": "1"}, "n cannot be '1'"),
        ({"n": True}, "n cannot be True"),
        ({"n": None}, "n cannot be None"),
        ({"n": 1, "inner": [3]}, "inner cannot be 3"),
        ({"n": 1, "inner": [{"class": 3}]}, "class cannot be 3"),
        ({"n": 1, "bounds": [0.5]}, "bounds cannot be"),
        ({"n": 1, "counts": {"x": "y"}}, "counts cannot be 'y'"),
    ],
)
def test_damaged_records_are_refused_with_the_key(values, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        parse(Outer, values)


def test_types_of_a_record_in_memory_are_checked():
    check_types(Outer(1, (Inner("a"),)))
    with pytest.raises(ValueError, match="n cannot be 'one'"):
        check_types(Outer("one"))
