import dataclasses

import numpy as np
import pytest
from tiny import dataset

import midas
from midas.data import sample
from midas.data.glyphs import Glyphs
from midas.data.preprocessing import normalize
from midas.errors import MidasError
from midas.learning.checkpoints import shipped_checkpoint
from midas.report import label_audit
from midas.studies.audit import Options, audit

pytestmark = pytest.mark.usefixtures("eagerly")


def mislabeled():
    """120 digits, of which every tenth has a wrong label."""
    data = dataset("012345", 20)
    labels = np.where(np.arange(120) % 10 == 0, (data.labels + 1) % 6, data.labels)
    return dataclasses.replace(data, labels=labels)


def test_a_reference_model_finds_wrong_labels(tmp_path):
    reader, small = midas.load(), mislabeled()
    pages = (sample.draw(character, writer) for character in "012345" for writer in range(20))
    data = dataclasses.replace(small, glyphs=Glyphs.stack(normalize(page, reader.size) for page in pages))
    found = audit(data, "digits", Options(out=tmp_path / "audit"), reader, [shipped_checkpoint()])
    assert found["predictions"]["independent"] is True
    first = {each["file"] for each in found["suspects"][:12]}
    assert len(first & set(map(str, data.names[::10]))) >= 8
    assert {path.name for path in (tmp_path / "audit").iterdir()} == set(found["files"])


def test_out_of_fold_predictions_need_two_classes():
    with pytest.raises(MidasError, match="one class only"):
        audit(dataset("0", 10), "zeros", Options())


def test_a_limit_and_the_number_of_epochs_are_recorded():
    found = audit(mislabeled(), "digits", Options(folds=2, epochs=1, limit=30))
    assert found["images"] == 30 and found["limit"] == 30
    assert found["predictions"] == {"checkpoint": None, "folds": 2, "epochs": 1}


def test_classes_that_are_too_small_for_the_folds_are_left_out_and_named():
    data = dataset("0123", 6).take(np.array([*range(12), 12, 18]))
    found = audit(data, "digits", Options(folds=2, epochs=1))
    assert found["left_out"] == {"2": 1, "3": 1} and found["images"] == 12 and found["class_names"] == ["0", "1"]
    assert "Left out, with fewer images than there are folds: 2 (1), 3 (1)" in label_audit.table(found, 5)
    with pytest.raises(MidasError, match="digits: too few for 3 folds"):
        audit(data.take(np.arange(8)), "digits", Options(folds=3, epochs=1))
