import dataclasses

import keras
import numpy as np
import pytest
from tiny import Stop, dataset, experiment, stop_after, timeless, train_and_score

from midas.errors import MidasError
from midas.learning import models
from midas.learning.distillation import WEIGHT, learn_from
from midas.learning.trainer import compile_model, train
from midas.recipes import PARTS, with_recipe, with_setting
from midas.runs import FILES, Run, find_runs

pytestmark = pytest.mark.usefixtures("eagerly")


def taught(**changes):
    return experiment(**{"epochs": 2, "teachers": ("fast", "compact"), **changes})


def test_the_loss_is_that_of_labels_and_teachers_and_validation_has_that_of_labels_alone():
    data = dataset("0123", 5)
    model, placed, plain = (models.build(name, 28, 4) for name in ("placed", "placed", "baseline"))
    compile_model(model, experiment(label_smoothing=0.1), steps=2)
    x, y = models.inputs(model, data.glyphs), data.labels
    logits = np.array(model(x, training=False))
    of_labels = model.compute_loss(x, y, logits, training=False)
    learn_from([placed, plain], model)
    assert model.compute_loss(x, y, logits, training=False) == of_labels
    answers = np.mean([keras.ops.softmax(logits).numpy() for logits in (placed(x), plain(x[0]))], axis=0)
    expected = -(answers * keras.ops.log_softmax(logits).numpy()).sum(axis=1).mean()
    loss = float(model.compute_loss(x, y, logits, training=True))
    assert loss == pytest.approx((1 - WEIGHT) * float(of_labels) + WEIGHT * expected, rel=1e-5)


@pytest.mark.usefixtures("traced")
def test_teachers_learn_from_the_training_images_alone_and_are_not_changed_afterwards(tmp_path):
    run, data = Run(tmp_path / "part1" / "taught" / "seed-0"), dataset("0123", 10)
    reports = []
    result = train_and_score(taught(), run, data, report=lambda *told: reports.append((told[0].epoch, told[1])))
    assert reports == [(epoch, 6) for epoch in range(1, 7)]
    assert [record.epoch for record in run.epochs()] == [1, 2]
    teachers = run.teachers
    assert [each.card.model for each in teachers] == ["fast", "compact"]
    assert len({each.card.seed for each in (run, *teachers)}) == 3
    before = {each.path: each.checkpoint.read_bytes() for each in teachers}
    training = train(taught(), run, data).training
    assert len(training) < len(data) and {each.card.data_digest for each in teachers} == {training.digest}
    assert {each.path: each.checkpoint.read_bytes() for each in teachers} == before
    seconds = sum(record.epoch_seconds for each in teachers for record in each.epochs())
    assert result.teacher_seconds == pytest.approx(seconds, abs=0.2)
    assert [each.path for each in find_runs(tmp_path)] == [run.path]


@pytest.mark.usefixtures("save_every_epoch")
def test_an_interrupted_run_resumes_exactly(tmp_path):
    data, whole, broken = dataset("0123", 5), Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train_and_score(taught(), whole, data)
    for epoch in (2, 3, 4, 6):  # of the first teacher, the second, and the network itself
        with pytest.raises(Stop):
            train(taught(), broken, data, report=stop_after(epoch))
    train_and_score(taught(), broken, data)
    for ours, theirs in ((broken, whole), *zip(broken.teachers, whole.teachers, strict=True)):
        assert timeless(ours) == timeless(theirs)
    results = (dataclasses.replace(run.result, train_seconds=0.0, teacher_seconds=None) for run in (broken, whole))
    assert next(results) == next(results)


def test_a_run_that_is_overwritten_trains_its_teachers_again(tmp_path):
    run = Run(tmp_path)
    train(taught(epochs=1), run, dataset("0123", 5))
    train(taught(epochs=1), run, dataset("01", 10), obsolete=[run])
    assert run.teachers[0].card.class_names == run.card.class_names == ("0", "1")
    train(experiment(epochs=1), run, dataset("01", 10), obsolete=[run])
    assert not list(tmp_path.glob("teacher-*/*"))


def test_teachers_with_other_settings_are_not_taken_over(tmp_path):
    data, run = dataset("0123", 5), Run(tmp_path)
    train(taught(epochs=1), run, data)
    for name in FILES:  # as if they were left behind
        (run / name).unlink(missing_ok=True)
    with pytest.raises(MidasError, match=r"teacher-1: holds another run \(epochs 2 instead of 1\)"):
        train(taught(epochs=2), run, data)


def test_overwriting_leaves_other_files_of_similar_names(tmp_path):
    (tmp_path / "teacher-1.log").write_text("mine")
    notes = tmp_path / "teacher-notes" / "result.json"
    notes.parent.mkdir()
    notes.write_text("mine")
    Run(tmp_path).clear()
    assert notes.exists() and (tmp_path / "teacher-1.log").exists()


def test_the_recipe_and_the_setting():
    distilled = with_recipe(PARTS["part1"], "distilled")
    assert distilled.teachers == ("placed", "deeper-placed")
    assert with_recipe(distilled, "best") == dataclasses.replace(distilled, teachers=())
    assert with_setting(PARTS["part2"], 'teachers=["deep"]').teachers == ("deep",)


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ({"teachers": ("wide",)}, "teachers must be among compact, .*, not 'wide'"),
        ({"part": "part3", "teachers": ("deep",)}, "teachers need the loss 'cross-entropy'"),
    ],
)
def test_what_cannot_teach(settings, refusal):
    with pytest.raises(MidasError, match=refusal):
        experiment(**settings)


def test_a_teacher_that_needs_the_place_of_glyphs(tmp_path):
    with pytest.raises(MidasError, match="teacher placed takes the place on the page, and baseline does not"):
        train(taught(teachers=("fast", "placed")), Run(tmp_path), dataset("01", 10))
    assert not list(tmp_path.iterdir())
