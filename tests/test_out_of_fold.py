import dataclasses

import numpy as np
import pytest
from tiny import dataset

from midas.errors import MidasError
from midas.studies import out_of_fold

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Train the network whose training starts soonest."""
    choose = out_of_fold._experiment
    monkeypatch.setattr(
        out_of_fold, "_experiment", lambda *about: dataclasses.replace(choose(*about), model="baseline")
    )


def test_every_image_is_predicted_by_a_network_that_was_not_trained_on_it(monkeypatch):
    from midas.learning import trainer

    seen, train = [], trainer.train

    def spy(experiment, run, data, **options):
        seen.append(set(data.names))
        return train(experiment, run, data, **options)

    monkeypatch.setattr(trainer, "train", spy)
    data, reported = dataset("01"), []
    probabilities = out_of_fold.predict(
        data, "drawings", folds=2, epochs=2, report=lambda record, epochs: reported.append((record.epoch, epochs))
    )
    assert probabilities.shape == (20, 2) and probabilities.sum(axis=1) == pytest.approx(1)
    assert seen[0] | seen[1] == set(data.names) and not seen[0] & seen[1]
    assert reported == [(1, 2), (2, 2)] * 2


def test_the_same_seed_gives_the_same_predictions():
    first, second = (out_of_fold.predict(dataset("01"), "drawings", folds=2, epochs=1, seed=3) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_class_that_is_too_small_is_named():
    data = dataset("01").take(np.arange(11))
    with pytest.raises(MidasError, match="drawings: class '1' has 1 image, too few for 3 folds"):
        out_of_fold.predict(data, "drawings", folds=3, epochs=1)


def test_a_training_that_diverges_is_one_line_that_names_the_data(monkeypatch):
    choose = out_of_fold._experiment
    wild = {"model": "compact", "optimizer": "sgd", "learning_rate": 1e30, "epochs": 3}
    monkeypatch.setattr(
        out_of_fold, "_experiment", lambda dataset, images: dataclasses.replace(choose(dataset, images), **wild)
    )
    with pytest.raises(MidasError, match=r"drawings: the loss is no longer a number; try other --epochs"):
        out_of_fold.predict(dataset("01"), "drawings", folds=2, epochs=3)


def test_classes_with_fewer_images_than_folds_are_left_out():
    data = dataset("012", 4).take(np.array([0, 1, 2, 3, 4, 8, 9, 10, 11]))
    kept, rare = out_of_fold.split_off_rare(data, 3)
    assert kept.class_names == ("0", "2") and len(kept) == 8 and rare == {"1": 1}
    assert out_of_fold.split_off_rare(kept, 3) == (kept, {})
