import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tiny import dataset, experiment, on_disk

from midas.errors import MidasError
from midas.learning import models
from midas.learning.input_pipeline import batches, feed, split, steps_per_epoch


def test_split_is_stratified_disjoint_and_seeded():
    data = dataset()
    training, validation = split(data, experiment())
    assert len(training) + len(validation) == len(data)
    assert not set(training.names) & set(validation.names)
    assert set(np.bincount(validation.labels)) == {2}
    assert np.array_equal(split(data, experiment())[1].names, validation.names)
    assert not np.array_equal(split(data, experiment(seed=1))[1].names, validation.names)


def test_all_data_and_limit():
    training, validation = split(dataset(), experiment(val_fraction=0.0))
    assert len(training) == len(dataset()) and len(validation) == 0
    training, validation = split(dataset(), experiment(limit=71))
    assert len(training) + len(validation) == 71
    assert set(np.bincount(np.concatenate([training.labels, validation.labels]))) == {5, 6}


def test_too_few_images_for_a_validation_set_are_refused():
    with pytest.raises(MidasError, match="too few for a validation set of 20 %: 4 images of 2 classes"):
        split(dataset("01", 2), experiment())


def test_classes_of_one_image_are_named_with_what_helps():
    data = dataset("0123", 6).take(np.array([*range(13), 18]))
    with pytest.raises(MidasError, match=r"only one image each of '2', '3', .*--all-data"):
        split(data, experiment())
    assert len(split(data, experiment(val_fraction=0.0))[0]) == 14


@pytest.mark.parametrize(("images", "steps"), [(16, 2), (17, 3), (1, 1)])
def test_an_incomplete_batch_is_a_step(images, steps):
    data = dataset("01", 10).take(np.arange(images))
    assert steps_per_epoch(data, experiment(batch_size=8)) == steps


def test_batches_depend_on_seed_and_epoch_alone():
    data, tiny, network = dataset("0123", 5), experiment(batch_size=8), models.build("compact", 28, 4)

    def epoch(number, **changes):
        stream = batches(data, dataclasses.replace(tiny, **changes), network, first_epoch=number)
        return [next(stream) for _ in range(3)]

    stream = batches(data, tiny, network)
    running = [next(stream) for _ in range(6)]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(running[3:], epoch(1), strict=True))
    assert [len(labels) for _, labels in running] == [8, 8, 4] * 2
    assert sorted(np.concatenate([labels for _, labels in running[:3]])) == sorted(data.labels)
    assert not np.array_equal(epoch(0)[0][0], epoch(1)[0][0])
    plain = epoch(0, augmentation=None)
    originals = {image.tobytes() for image in data.images}
    assert all(image.tobytes() in originals for images, _ in plain for image in images)
    assert not all(image.tobytes() in originals for images, _ in epoch(0) for image in images)


def test_the_progressive_loss_gets_two_augmented_copies_of_each_image_with_its_index():
    data, network = dataset("0123", 5), models.build("compact", 28, 4)
    tiny = experiment(batch_size=8, loss="progressive")
    stream = batches(data, tiny, network)
    images, targets = next(stream)
    assert images.shape == (16, 28, 28) and targets.shape == (16, 2)
    assert np.array_equal(targets[:8], targets[8:]) and len(set(targets[:8, 0])) == 8
    assert np.array_equal(data.labels[targets[:, 0]], targets[:, 1])
    assert not any(np.array_equal(one, other) for one, other in zip(images[:8], images[8:], strict=True))
    plain, same_targets = next(batches(data, dataclasses.replace(tiny, augmentation=None), network))
    assert np.array_equal(plain, data.images[same_targets[:, 0]]) and np.array_equal(targets, same_targets)


def test_places_are_augmented_for_networks_that_take_them():
    data, tiny = dataset("0123", 5), experiment(batch_size=20, model="placed")
    network = models.build("placed", 28, 4)
    (_, places), labels = next(batches(data, tiny, network))
    (_, originals), same_labels = next(batches(data, dataclasses.replace(tiny, augmentation=None), network))
    assert np.array_equal(labels, same_labels) and places.shape == originals.shape == (20, 5)
    assert not np.array_equal(places, originals)


@pytest.mark.parametrize("model", ["compact", "placed"])
def test_tensorflow_gets_the_same_batches_from_memory_and_from_disk(model, tmp_path):
    data, tiny, network = dataset("0123", 5), experiment(batch_size=8, model=model), models.build(model, 28, 4)
    for loss in ("cross-entropy", "progressive"):
        tiny = dataclasses.replace(tiny, loss=loss)
        stream = batches(data, tiny, network, 1)
        expected = [next(stream) for _ in range(4)]
        for each in (data, on_disk(data, tmp_path / "glyphs")):
            with feed(each, tiny, network, 1) as fed:
                for ours, theirs in zip(expected, fed.take(4).as_numpy_iterator(), strict=True):
                    assert all(map(np.array_equal, tf.nest.flatten(ours), tf.nest.flatten(theirs)))
