"""Training on own data: names, settings that suit the size, test parts, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from tiny import dataset, write_drawings

from midas.errors import MidasError
from midas.recipes import PARTS, named, suited, with_recipe
from midas.runs import Run
from midas.studies import custom
from midas.studies.workspace import Workspace

pytestmark = pytest.mark.usefixtures("eagerly")


def train(tmp_path, data=None, test=None, **settings):
    chosen = {} if {"recipe", "init_checkpoint"} & settings.keys() else {"model": "baseline"}
    settings = {
        **chosen,
        "epochs": 1,
        **({} if test is not None or "folds" in settings else {"val_fraction": 0.2}),
        **settings,
    }
    return custom.train(data or dataset("AB", 10), test, runs_dir=tmp_path, **settings)


def save(path, data, test=None):
    """Write a data set as an npz, with a test part if there is one."""
    arrays = {"x_train": data.images, "y_train": np.array(data.class_names)[data.labels]}
    if test:
        arrays |= {"x_test": test.images, "y_test": np.array(test.class_names)[test.labels]}
    np.savez(path, **arrays)
    return path


def test_a_run_is_named_after_its_data_and_settings(tmp_path):
    path = save(tmp_path / "my set.npz", dataset("AB", 10))
    run = train(tmp_path, path, model="deep")
    assert run.path == tmp_path / "custom" / "my-set-deep" / "seed-0" and run.finished
    assert run.experiment.data == str(path) and run.data.data.images == 20 and run.samples() is not None
    assert train(tmp_path, name="mine").path.parent.name == "mine"
    assert train(tmp_path, recipe="quick").path.parent.name == "array-fast-quick"


def test_a_finished_run_is_returned_and_other_data_are_refused(tmp_path):
    first = train(tmp_path)
    before = (first / "result.json").stat().st_mtime_ns
    assert (train(tmp_path) / "result.json").stat().st_mtime_ns == before
    with pytest.raises(MidasError, match="was trained on other data"):
        train(tmp_path, dataset("ab", 10))
    with pytest.raises(MidasError, match="was trained on other data"):
        train(tmp_path, dataset("AB", 12), epochs=2)  # whatever else differs, too
    assert train(tmp_path, dataset("ab", 10), overwrite=True).card.class_names == ("a", "b")


def test_settings_are_checked_in_one_line(tmp_path):
    for settings, message in (
        ({"colour": 1}, "no such setting"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"recipe": "luck"}, "no recipe 'luck'"),
        ({"init": "pretrained"}, "init_checkpoint"),
        ({"init": "pretrained", "init_checkpoint": "nowhere"}, "no such checkpoint"),
    ):
        with pytest.raises(MidasError, match=message):
            train(tmp_path, **settings)
    assert not list(tmp_path.rglob("result.json"))


def test_fine_tuning_starts_from_a_checkpoint_and_takes_its_architecture(tmp_path):
    first = train(tmp_path, dataset("0123", 10), name="first")
    tuned = train(tmp_path, name="tuned", init="pretrained", init_checkpoint=str(first.path), freeze_backbone=True)
    assert tuned.card.model == "baseline"
    ours, theirs = (run.classifier().network.get_weights() for run in (tuned, first))
    assert all((a == b).all() for a, b in zip(ours[:-2], theirs[:-2], strict=True))
    assert ours[-2].shape[1] == 2
    validated = train(tmp_path, name="x", init="pretrained", init_checkpoint=str(first.path), folds=2)
    assert validated.result.scored == "2-fold cross-validation"


def test_small_data_are_cross_validated_and_the_network_learns_from_all_of_them(tmp_path):
    run = custom.train(dataset("AB", 3), runs_dir=tmp_path, epochs=2, model="baseline")
    result, predictions = run.result, run.predictions()
    assert (result.scored, result.n) == ("3-fold cross-validation", 6) and not (run / "best.keras").exists()
    assert sorted(predictions.names) == sorted(dataset("AB", 3).names)
    cross_validation = Run(tmp_path / "cross-validation" / "custom" / "array-baseline" / "seed-0")
    assert np.array_equal(cross_validation.predictions().probabilities, predictions.probabilities)
    assert {fold.card.data_digest for fold in map(Run, cross_validation.path.glob("3-fold/*/*/*"))}
    assert custom.train(dataset("AB", 3), runs_dir=tmp_path, epochs=2, model="baseline").result == result
    with pytest.raises(MidasError, match="classes 'A', 'B' each have 1 image, too few for 2 folds"):
        custom.train(dataset("AB", 1), runs_dir=tmp_path, epochs=1, name="one")
    with pytest.raises(MidasError, match="--folds measures the accuracy on all images, and --limit leaves some out"):
        custom.train(dataset("AB", 3), runs_dir=tmp_path, epochs=1, name="one", folds=2, limit=4)
    assert not (tmp_path / "custom" / "one" / "seed-0" / "last.keras").exists()


def test_the_test_part_of_the_data_is_scored_unless_another_is_given(tmp_path):
    path = save(tmp_path / "d.npz", dataset("AB", 10), dataset("A", 4))
    run = custom.train(path, runs_dir=tmp_path, epochs=1, model="baseline")
    assert run.result.scored == f"{path}, test part" and run.result.n == 4
    assert run.data.test.images == 4 and run.experiment.folds is None and run.experiment.val_fraction == 0
    other = custom.train(path, dataset("AB", 3), runs_dir=tmp_path, epochs=1, name="other", model="baseline")
    assert (other.result.scored, other.result.n) == ("test", 6)
    with pytest.raises(MidasError, match=r"has the class 'C', which .*d.npz has no images of"):
        custom.train(path, dataset("ABC", 3), runs_dir=tmp_path, epochs=1, name="more")
    alone = save(tmp_path / "alone.npz", dataset("AB", 10))
    with pytest.raises(MidasError, match="has no test part, and is trained on"):
        custom.train(alone, alone, runs_dir=tmp_path)


def test_a_finished_run_that_was_scored_on_another_test_set_is_refused(tmp_path):
    first = train(tmp_path, test=dataset("AB", 3))
    assert train(tmp_path, test=dataset("AB", 3)).result == first.result
    with pytest.raises(MidasError, match=r"was scored on another test set; .* or use --overwrite"):
        train(tmp_path, test=dataset("AB", 4))
    assert train(tmp_path, test=dataset("AB", 4), overwrite=True).result.n == 8


def test_one_class_cannot_be_learned(tmp_path):
    with pytest.raises(MidasError, match="has one class only, 'A'; training needs at least two"):
        custom.train(dataset("A", 10), runs_dir=tmp_path)


def test_places_matter_where_pages_are_whole_and_differ(tmp_path):
    drawings = dataset("AB", 10)
    assert custom.places_matter(drawings)
    hidden = dataclasses.replace(drawings, glyphs=type(drawings.glyphs).without_places(drawings.images))
    assert not custom.places_matter(hidden)
    given = custom.open_given(write_drawings(tmp_path, "AB", 10))
    workspace = given.within(Workspace(tmp_path, ".", tmp_path))
    best = custom.suit(workspace, given, "best")
    assert (best.model, best.size, best.schedule, best.optimizer) == ("placed", 36, "cosine", "adamw")
    assert custom.suit(workspace, given).model == "compact" and custom.suit(workspace, given, "quick").model == "fast"
    tested = custom.open_given(write_drawings(tmp_path / "more", "AB", 10), dataset("AB", 3))
    assert custom.suit(tested.within(workspace), tested, "best").size == 28  # the only one that the test set has
    hidden = custom.open_given(hidden)
    assert custom.suit(hidden.within(workspace), hidden, "best").model != "placed"


@pytest.mark.parametrize("recipe", ["quick", "default", "best"])
def test_settings_suit_any_number_of_images(recipe):
    base, epochs = with_recipe(PARTS["custom"], recipe), []
    for images in (15, 100, 199, 200, 2_000, 10_000, 60_000, 1_000_000):
        found = suited(base, recipe, images, images // 5)
        measured = found.folds or found.val_fraction * images >= 40
        assert measured and bool(found.folds) != bool(found.val_fraction) and found.val_fraction * images <= 10_000
        epochs.append(found.epochs)
        steps = found.epochs * -(-images * (1 - found.val_fraction) // found.batch_size)
        assert found.epochs <= 600 and (steps >= 250 or found.epochs >= 50)
        assert named(found).name == f"custom-{found.model}{'' if recipe == 'default' else f'-{recipe}'}"
    assert epochs[0] == max(epochs) > 10 * epochs[-1] > 10
    assert suited(dataclasses.replace(base, test="t"), recipe, 15, 3).folds is None


def test_a_run_of_an_earlier_version_is_still_read(tmp_path):
    run = train(tmp_path, schedule="plateau", learning_rate=2e-3)
    settings = json.loads((run / "experiment.json").read_text())
    del settings["folds"]
    (run / "experiment.json").write_text(json.dumps(settings))
    assert run.experiment.schedule == "plateau" and named(run.experiment).name == "array-baseline"
    assert run.classifier().class_names == ("A", "B")
