import dataclasses
import json
import os

import cv2
import numpy as np
import pytest

from midas.data import sample
from midas.data.corrections import apply_corrections, read_corrections
from midas.data.datasets import open_any, read
from midas.errors import MidasError
from midas.files import write_json
from midas.web.audits import Audit


@pytest.fixture
def audit(tmp_path):
    """The audit of four drawings, two of which it suspects."""
    for label, character, name in (("A", "A", "1"), ("A", "B", "2"), ("B", "B", "1"), ("B", "A", "2")):
        file = tmp_path / "data" / label / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), sample.draw(character, 0))
    suspects = [
        {"file": f"{label}/2.png", "label": label, "looks_like": other, "probability": 0.9, "label_correct": 0.1}
        for label, other in ("AB", "BA")
    ]
    found = {"action": "2 images to check.", "sentence": "noisy", "class_names": ["A", "B"], "images": 4}
    write_json(tmp_path / "audit" / "audit.json", {**found, "suspects": suspects})
    return Audit(str(tmp_path / "data"), tmp_path / "audit")


def test_a_gallery_has_the_suspects_with_their_pictures(audit):
    found = audit.gallery()
    assert audit.exists and found["total"] == 2 and [each["decision"] for each in found["suspects"]] == [None, None]
    picture = cv2.imdecode(np.frombuffer(audit.tile(0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (150, 200) and picture.min() < 128 < picture.max()


def test_decisions_are_on_disk_at_once_and_make_a_corrected_copy(audit, tmp_path):
    assert audit.decide(0, "relabel", "B")["decision"] == {"action": "relabel", "label": "B"}
    audit.decide(1, "keep", None)
    audit.decide(1, "drop", None)
    again = Audit(audit.data, audit.folder)
    assert [each["decision"]["action"] for each in again.gallery()["suspects"]] == ["relabel", "drop"]
    before = read(open_any(audit.data, None), 28)
    copied = apply_corrections(open_any(audit.data, None), read_corrections(audit.decisions_file), tmp_path / "copy")
    assert (copied.relabeled, copied.dropped, copied.images) == (1, 1, 3)
    after = read(open_any(tmp_path / "copy", None), 28)
    assert np.bincount(after.labels).tolist() == [1, 2]
    assert read(open_any(audit.data, None), 28).digest == before.digest  # the original is as it was
    audit.decide(0, "", None)
    assert again.gallery()["suspects"][0]["decision"] is None


@pytest.mark.parametrize(
    ("index", "action", "label"), [(2, "keep", None), (-1, "keep", None), (0, "delete", None), (0, "relabel", "C")]
)
def test_only_what_can_be_decided_is_decided(audit, index, action, label):
    with pytest.raises(MidasError):
        audit.decide(index, action, label)
    assert not audit.decisions_file.exists()


def test_a_second_audit_has_pictures_and_decisions_of_its_own(audit):
    before = audit.gallery()["version"]
    audit.decide(0, "keep", None, before)
    audit.tile(0)
    file = audit.folder / "audit.json"
    changed = file.stat().st_mtime_ns + 1_000_000
    os.utime(file, ns=(changed, changed))
    with pytest.raises(MidasError, match="audited again meanwhile; reload the page"):
        audit.decide(0, "drop", None, before)
    assert audit.gallery()["version"] == str(changed) and not audit.tiles


def test_what_is_damaged_or_gone_is_named(audit, tmp_path):
    (tmp_path / "data" / "A" / "2.png").unlink()
    with pytest.raises(MidasError, match=r"A/2\.png"):
        audit.tile(0)
    with pytest.raises(MidasError):
        audit.tile(7)
    (audit.folder / "audit.json").write_text(json.dumps({"suspects": 3}))
    with pytest.raises(MidasError, match="damaged"):
        audit.gallery()
    nothing = dataclasses.replace(audit, folder=tmp_path / "none")
    assert not nothing.exists
    with pytest.raises(MidasError, match=r"audit\.json"):
        nothing.gallery()
