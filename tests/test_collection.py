import os
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest

from midas.data.datasets import open_any, read
from midas.data.strokes import draw_strokes
from midas.errors import MidasError
from midas.web.collection import Collections, parse_classes

SEVEN = draw_strokes([np.array([[400.0, 250], [750, 250], [560, 720]])])


def test_drawings_are_pages_in_class_folders_that_every_command_reads(tmp_path):
    made = Collections(tmp_path).create("my letters", ["A", "a", "plus"], 2)
    for number, label in enumerate(("A", "a", "plus", "a")):
        made.save(f"drawing-{number}", label, SEVEN)
    assert made.counts() == [1, 2, 1]
    page = cv2.imread(str(tmp_path / "my letters" / "a" / "drawing-1.png"), cv2.IMREAD_UNCHANGED)
    assert page.shape == (900, 1200) and (page == SEVEN).all()
    data = read(open_any(tmp_path / "my letters", "train"), 28)
    assert data.class_names == ("A", "a", "plus") and np.bincount(data.labels).tolist() == [1, 2, 1]
    assert (data.glyphs.places[:, 0] == 1).all()  # size and place on the page count


def test_classes_without_drawings_do_not_keep_from_training(tmp_path):
    made = Collections(tmp_path).create("abc", list("ABC"), 2)
    for number, label in enumerate("ABC"):
        made.save(f"drawing-{number}", label, SEVEN)
    made.remove("drawing-2", "C")
    assert read(open_any(made.folder, "train"), 28).class_names == ("A", "B") and made.counts() == [1, 1, 0]


def test_what_is_asked_for_is_random_and_ends_when_all_is_there(tmp_path):
    made = Collections(tmp_path).create("digits", list("012"), 3)
    asked = Counter()
    for number in range(9):
        label = made.state()["next"]
        asked[label] += 1
        made.save(f"drawing-{number}", label, SEVEN)
    assert asked == {"0": 3, "1": 3, "2": 3}
    state = made.state()
    assert state["next"] is None and state["missing"] == 0 and state["drawn"] == 9
    orders = set()
    for attempt in range(8):
        fresh = Collections(tmp_path).create(f"digits {attempt}", list("0123456789"), 1)
        orders.add("".join(fresh.state()["next"] for _ in range(8)))
    assert len(orders) > 1


def test_a_skipped_class_comes_later(tmp_path):
    made = Collections(tmp_path).create("digits", list("01"), 1)
    assert {made.state("0")["next"] for _ in range(10)} == {"1"}
    made.save("drawing-1", "1", SEVEN)
    assert made.state("0")["next"] == "0"  # the only one left


def test_undo_and_saving_again_are_safe_to_repeat(tmp_path):
    made = Collections(tmp_path).create("digits", list("01"), 5)
    for _ in range(2):
        made.save("drawing-1", "0", SEVEN)
    assert made.counts() == [1, 0]
    for _ in range(2):
        made.remove("drawing-1", "0")
    assert made.counts() == [0, 0]


def test_going_on_later_adds(tmp_path):
    Collections(tmp_path).create("digits", list("01"), 1).save("drawing-1", "0", SEVEN)
    again = Collections(tmp_path).create("digits", list("12"), 4)
    assert again.classes == ("0", "1", "2") and again.wanted == 4 and again.counts() == [1, 0, 0]
    assert Collections(tmp_path).open("digits") == again


def test_class_folders_that_someone_else_made_are_a_collection(tmp_path):
    for name in ("x", "y", ".hidden"):
        (tmp_path / "theirs" / name).mkdir(parents=True)
    assert Collections(tmp_path).open("theirs").classes == ("x", "y")


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden", "a\\b", "x" * 41, "a\0b", "a\nb", " a", "-"])
def test_names_of_collections_lead_nowhere(tmp_path, name):
    with pytest.raises(MidasError):
        Collections(tmp_path).create(name, ["A", "B"], 1)
    with pytest.raises(MidasError):
        Collections(tmp_path).open(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "classes",
    [
        ["A"],
        ["A", ".."],
        ["A", "a/b"],
        ["A", ".b"],
        ["A", ""],
        ["A", "x" * 41],
        ["train", "A"],
        ["65", "66"],
        ["A", "b."],
    ],
    ids=str,
)
def test_class_names_that_would_be_read_otherwise_are_refused(tmp_path, classes):
    with pytest.raises(MidasError):
        Collections(tmp_path).create("x", classes, 1)


@pytest.mark.parametrize(
    ("drawing", "label"), [("drawing-1", "B"), ("../../oops", "A"), ("a", "A"), ("drawing-1", "..")]
)
def test_only_drawings_of_its_classes_are_saved(tmp_path, drawing, label):
    made = Collections(tmp_path).create("x", ["A", "C"], 1)
    with pytest.raises(MidasError):
        made.save(drawing, label, SEVEN)
    assert made.counts() == [0, 0]


def test_a_disk_that_cannot_be_written_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MidasError, match=r"file.*: cannot be written: .*; a file is where a folder is needed"):
        Collections(tmp_path / "file").create("x", ["A", "B"], 1)


def test_a_damaged_plan_is_named_and_the_others_are_listed(tmp_path):
    Collections(tmp_path).create("good", ["A", "B"], 1)
    Collections(tmp_path).create("bad", ["A", "B"], 1)
    (tmp_path / "bad" / ".collection.json").write_text("[]")
    with pytest.raises(MidasError, match=r"\.collection\.json: damaged"):
        Collections(tmp_path).open("bad")
    assert [each.name for each in Collections(tmp_path)] == ["good"]


def test_classes_can_be_typed_in_any_way():
    assert parse_classes(" 0-2,A-C;x\n+ ") == ["0", "1", "2", "A-C;x", "+"]
    assert parse_classes("") == []


SAVER = """
import sys, itertools, numpy as np
from pathlib import Path
from midas.web.collection import Collections
from midas.data.strokes import draw_strokes
made = Collections(Path(sys.argv[1])).open("x")
noise = (np.random.default_rng(0).random((900, 1200)) > 0.5).astype(np.uint8) * 255  # takes long to encode and write
for number in itertools.count():
    made.save(f"drawing-{number}", "A", noise)
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this platform")
def test_nothing_is_half_written_when_killed_in_the_middle_of_a_save(tmp_path):
    made = Collections(tmp_path).create("x", ["A", "B"], 1)
    saver = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    saved = [int(saver.stdout.readline()) for _ in range(3)]
    time.sleep(0.005)
    os.kill(saver.pid, signal.SIGKILL)
    saved += [int(line) for line in saver.stdout.read().split()]
    saver.wait()
    files = sorted((tmp_path / "x" / "A").glob("[!.]*"))
    assert made.counts()[0] == len(files) >= len(saved) >= 3  # what was answered is there
    for file in files:
        assert cv2.imread(str(file), cv2.IMREAD_UNCHANGED).shape == (900, 1200)
