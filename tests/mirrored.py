"""Trains on one device and on two, which are halves of the processor, and prints how far the weights are apart.

A program of its own, since a process chooses its devices once.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tiny

from midas.errors import MidasError
from midas.learning import backend, models, trainer
from midas.learning.classifier import Classifier
from midas.runs import Run

HALVES = [tf.config.LogicalDeviceConfiguration()] * 2
build = models.build


def without_dropout(*arguments):
    """Build a network whose results do not depend on random numbers, which every device draws for itself."""
    network = build(*arguments)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return network


def train(path, strategy, stop_after=None, **settings):
    """Train on the devices of a strategy; return the weights."""
    backend.strategy = lambda: strategy
    experiment = tiny.experiment(epochs=2, **settings)

    def stop(record, epochs):
        if record.epoch == stop_after:
            raise KeyboardInterrupt

    trained = trainer.train(experiment, Run(path), tiny.dataset(), report=stop)
    trainer.score(trained)
    return Classifier.load(path).network.get_weights()


def distance(some, others):
    """Largest difference of weights."""
    return max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))


def main(root):
    """Compare one device with two, and an interrupted training with a whole one."""
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], HALVES)
    both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    models.build = without_dropout
    found = {}
    settings = {"model": "baseline", "optimizer": "sgd", "learning_rate": 0.01}
    one, two = (train(root / str(name), which, **settings) for name, which in ((1, None), (2, both)))
    found["baseline"] = distance(one, two)
    try:
        train(root / "resumed", both, stop_after=1, **settings)
    except KeyboardInterrupt:
        found["epochs before"] = len(Run(root / "resumed").epochs())
    found["resumed"] = distance(two, train(root / "resumed", both, **settings))
    try:
        train(root / "refused", both, loss="non-negative", part="part3", batch_size=20)
    except MidasError as error:
        found["refused"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
