"""One training for all three parts: an experiment, its data and a run directory in; a scored network out."""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import importlib.util
import itertools
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
from sklearn.model_selection import train_test_split

from midas.data.augmentation import augment, augment_places
from midas.data.datasets import DIGITS, Dataset
from midas.errors import MidasError
from midas.experiments import Experiment
from midas.learning import losses, models
from midas.learning.callbacks import Checkpoint, Record, Replay, Reseed, ValidateByFolders, chosen, out_of_patience
from midas.learning.classifier import Classifier, load_for_training
from midas.metrics import classification as metrics
from midas.metrics import complementary
from midas.runs import Run, atomic, write_json

WARM_UP = 0.1  # of the epochs, in the cosine schedule
FLOOR = 1 / 200  # of the learning rate: neither schedule goes below it
PLATEAU_FACTOR = 0.5
TEACHER_VIEWS = 4  # of each image, over which a teacher's answers are averaged
MAPPED = 1000  # of the images scored, chosen at random, whose features are kept


def train(
    experiment: Experiment,
    run: Run,
    data: Dataset,
    source: str | Path | None = None,
    teachers: Sequence[str | Path] = (),
    report: Callable[[dict, int], None] = lambda record, epochs: None,
    tensorboard: str | Path | None = None,
    overwrite: bool = False,
) -> None:
    """Train, or go on training. No test image has a way in here: they are asked for by `score`, when all is chosen.

    Args:
        experiment: what to do.
        run: the run's directory, already checked; what an earlier, stopped call left there is taken up.
        data: the images to train on; a validation part is split off before anything else is done with them.
        source: the checkpoint a pretrained network starts from.
        teachers: the checkpoints of the networks whose averaged answers are learnt from, in a round after the first.
        report: called after each epoch with its record and the number of epochs.
        tensorboard: folder for TensorBoard's logs, or None.
        overwrite: delete what lies in the run's directory, once the new run is known to be able to start.

    Raises:
        MidasError: the data or a checkpoint do not fit the experiment.
        ValueError: a round after the first lacks its teachers, or another training has some.
    """
    if bool(experiment.rounds) != bool(teachers):
        raise ValueError(f"an experiment of {experiment.rounds} rounds cannot have the teachers {list(teachers)}")
    if tensorboard and not importlib.util.find_spec("tensorboard"):
        raise MidasError("--tensorboard needs the package tensorboard: pip install tensorboard")
    prepare_keras(experiment.seed)
    training, validation = split(data, experiment)
    start, donor = _start(experiment, data.class_names, source)
    taught = Classifier.load(*teachers) if teachers else None
    if overwrite:  # not before all that can be refused is known to be right
        run.clear()
    run.start(experiment)
    _describe(run, experiment, data, start, donor, taught)
    model, records = _resume(run, experiment, start, _steps(training, experiment))
    if len(records) < experiment.epochs and not out_of_patience(records, experiment.stop_patience):
        targets = left_possible(taught, training, validation) if taught else training.labels
        _fit(model, experiment, run, training, targets, validation, records, report, tensorboard)


def left_possible(teacher: Classifier, training: Dataset, validation: Dataset) -> np.ndarray:
    """Say which classes a teacher's answers and the folders together leave possible for each image: bool (n, K).

    It is asked for several views of each image. How many images are filed right is estimated from its answers
    to those that it was not trained on, or where none were held out, which makes it too low, from all.
    """
    asked = dataclasses.replace(teacher, tta=TEACHER_VIEWS)
    unseen = validation if len(validation) else training
    right = complementary.share_right(asked.probabilities(unseen.images, unseen.places), unseen.labels)
    transition = complementary.even_transition(len(training.class_names), right)
    answers = asked.probabilities(training.images, training.places)
    return complementary.candidates(complementary.posterior(answers, training.labels, transition))


def score(
    experiment: Experiment,
    run: Run,
    data: Dataset,
    test: Dataset | None = None,
    source: str | Path | None = None,
) -> dict:
    """Score what `train` has trained, and finish the run.

    Args:
        experiment, run, data, source: as `train` took them.
        test: what to score; None scores the validation part of the data.

    Returns:
        What `result.json` then holds.

    Raises:
        MidasError: the test images have other classes.
    """
    if test is not None and test.class_names != data.class_names:
        raise MidasError(f"{experiment.test}: its classes {test.class_names} are not those of {experiment.data}")
    prepare_keras(experiment.seed)
    training, validation = split(data, experiment)
    _, donor = _start(experiment, data.class_names, source)
    if test is None:
        scored, where = (validation, "validation") if len(validation) else (training, "training")
    else:
        scored, where = test, experiment.test
    return _score(experiment, run, validation, scored, where, donor, len(data.skipped))


def prepare_keras(seed: int) -> None:
    """Make what follows depend on the seed alone."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def split(data: Dataset, experiment: Experiment) -> tuple[Dataset, Dataset]:
    """Split off the validation images: stratified, by the experiment's seed.

    Returns:
        The training part and the validation part, which is empty where `val_fraction` is 0.

    Raises:
        MidasError: there are too few images of a class to split.
    """
    everything = _limited(data.labels, experiment)
    try:
        if not experiment.val_fraction:
            return data.take(np.sort(everything)), data.take(everything[:0])
        ours, theirs = train_test_split(
            everything,
            test_size=experiment.val_fraction,
            stratify=data.labels[everything],
            random_state=experiment.seed,
        )
    except ValueError as error:
        images, classes = len(everything), len(data.class_names)
        raise MidasError(
            f"{experiment.data}: {images:,} images of {classes} classes are too few to hold out "
            f"{experiment.val_fraction} of each; use more of them, a larger --val-fraction, or --all-data"
        ) from error
    return data.take(np.sort(ours)), data.take(np.sort(theirs))


def _limited(labels: np.ndarray, experiment: Experiment) -> np.ndarray:
    """Choose the images to use at all: as evenly over the classes as the limit allows."""
    if not experiment.limit:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(experiment.seed).permutation(len(labels))
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        rank[members] = np.arange(len(members))
    return shuffled[np.argsort(rank[shuffled], kind="stable")][: experiment.limit]


def _start(experiment: Experiment, class_names, source) -> tuple[keras.Model, Classifier]:
    """Make the network that training starts from, and what answers for it before any training."""
    model, untrained = (models.build(experiment.model, experiment.size, len(class_names)) for _ in range(2))
    for layer in model.layers[:-1] if experiment.frozen else ():
        layer.trainable = False
    if experiment.init == "random":
        models.copy_weights(model, untrained, head=True)
        return model, Classifier((untrained,), tuple(class_names), experiment.size)
    donor = Classifier.load(source)
    if experiment.part == "part3" and any(name.startswith("mnist") for name in donor.card.get("trained_on", ())):
        raise MidasError(
            f"{source}: has seen MNIST's true labels, from which Part 3 must be kept free; start from another"
        )
    wanted = f"a {experiment.model} network for {experiment.size}x{experiment.size} images"
    if (donor.model.name, donor.size) != (experiment.model, experiment.size):
        raise MidasError(f"{source}: a {donor.model.name} network for {donor.size}x{donor.size} images, not {wanted}")
    try:
        models.copy_weights(donor.model, model, head=donor.class_names == tuple(class_names))
    except ValueError as error:
        raise MidasError(f"{source}: does not fit {wanted} ({error})") from error
    return model, donor


def _describe(
    run: Run, experiment: Experiment, data: Dataset, model: keras.Model, donor: Classifier, teacher: Classifier | None
) -> None:
    digests = {
        "source_digest": _weights_digest(donor),
        "teacher_digest": _weights_digest(teacher) if teacher else None,
    }
    if (run / "environment.json").exists():
        before, now = run.environment, {"data_digest": data.digest, **digests}
        whats = ("the data", "the network it started from", "what taught it")
        for key, changed in zip(now, whats, strict=True):
            if before.get(key) != now[key]:
                raise MidasError(f"{run.path}: {changed} changed since it was stopped; start again with --overwrite")
        return
    write_json(
        run / "card.json",
        {
            "class_names": data.class_names,
            "size": experiment.size,
            "part": experiment.part,
            "name": experiment.name,
            "model": experiment.model,
            "seed": experiment.seed,
            "data": experiment.data,
            "data_digest": data.digest,
            "trained_on": [*donor.card.get("trained_on", ()), experiment.data],
            "sample": data.is_sample,
            "parameters": model.count_params(),
            "multiply_adds": models.multiply_adds(model),
            "augmentation": experiment.to_json()["augmentation"],
            "views": experiment.views,
        },
    )
    write_json(run / "environment.json", {**environment(data.digest), **digests})


def _weights_digest(network: Classifier) -> str:
    weights = (array.tobytes() for member in network.members for array in member.get_weights())
    return hashlib.sha256(b"".join(weights)).hexdigest()[:16]


def environment(data_digest: str) -> dict:
    """Say what a run ran with: versions, machine, command, source revision, data."""
    return {
        "midas": importlib.metadata.version("midas"),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
        "argv": sys.argv,
        "revision": _revision(),
        "data_digest": data_digest,
        "started_utc": _now(),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _revision() -> str | None:
    """Name the commit of the source, with "-dirty" where it was changed; None outside a checkout."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        tracked = subprocess.run([*command[:3], "ls-files", "--error-unmatch", __file__], capture_output=True)
        if tracked.returncode:
            return None
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _steps(training: Dataset, experiment: Experiment) -> int:
    return -(-len(training) // experiment.batch_size)


def _resume(run: Run, experiment: Experiment, start: keras.Model, steps: int) -> tuple[keras.Model, list[dict]]:
    """Take up the last whole epoch on disk; the optimiser's step count says which it was."""
    last = run / "last.keras"
    if last.exists():
        model = load_for_training(last)
        done = int(model.optimizer.iterations) // steps
    else:
        model, done = start, 0
        compile_model(model, experiment, steps)
    records = run.metrics()[:done]
    run.write_metrics(records)
    return model, records


def compile_model(model: keras.Model, experiment: Experiment, steps: int) -> None:
    """Give a network the experiment's loss, optimiser and learning rate; `steps` is how many an epoch has."""
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = max(1, round(WARM_UP * experiment.epochs * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate * FLOOR, max(1, experiment.epochs * steps - warm_up), FLOOR, warmup_target=rate, warmup_steps=warm_up
        )
    options = {"momentum": 0.9, "nesterov": True} if experiment.optimizer == "sgd" else {}
    if experiment.weight_decay or experiment.optimizer == "adamw":  # whose own default is not 0
        options["weight_decay"] = experiment.weight_decay
    optimizer = keras.optimizers.get({"class_name": experiment.optimizer, "config": {"learning_rate": rate, **options}})
    # XLA is eight to ten times slower than plain TensorFlow for such small networks on a CPU.
    loss = losses.make(experiment.loss, experiment.label_smoothing)
    if experiment.rounds:
        loss = losses.CandidateCrossentropy()
    # How often the answer is a folder that says what an image is not would mean nothing as an accuracy.
    counted = ["accuracy"] if experiment.loss == "given" else None
    model.compile(optimizer, loss, metrics=counted, jit_compile=False)
    _make_variables(model)


def _make_variables(model: keras.Model) -> None:
    """Make the optimiser's variables and the metrics' before the first step, which TensorFlow would else trace twice.

    That takes a second off the start of every training, and changes nothing in it.
    """
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(None, np.zeros(1, np.int64), np.zeros((1, model.output_shape[-1]), np.float32))
    model.reset_metrics()


def _fit(model, experiment, run, training, targets, validation, records, report, tensorboard) -> None:
    monitor = "val_loss" if len(validation) else "loss"
    callbacks, validation_data, probe = [Reseed(experiment.seed)], None, None
    if len(validation):
        asked = Classifier((model,), validation.class_names, experiment.size)
        validate = metrics.validate if experiment.loss == "given" else complementary.validate

        def probe():
            return validate(asked.probabilities(validation.images, validation.places), validation.labels)

        if experiment.loss == "given":
            held = np.asarray(validation.images)
            validation_data = models.inputs(model, held, validation.places), validation.labels
        else:
            callbacks.append(ValidateByFolders(probe))
    if experiment.schedule == "plateau":
        plateau = keras.callbacks.ReduceLROnPlateau(
            monitor,
            PLATEAU_FACTOR,
            experiment.patience,
            mode="min",
            min_delta=experiment.min_delta,
            min_lr=experiment.learning_rate * FLOOR,
        )
        callbacks += [plateau, Replay(plateau, records, experiment.learning_rate)]
    if len(validation):
        lowest = min((record["val_loss"] for record in records), default=math.inf)
        best = Checkpoint(run / "best.keras", experiment.min_delta, lowest, monitor=monitor, save_best_only=True)
        callbacks.append(best)
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard)))
    callbacks += [Record(run, records, experiment.stop_patience, report, probe), Checkpoint(run / "last.keras")]
    with feed(training, experiment, model, first_epoch=len(records), targets=targets) as fed:
        model.fit(
            fed,
            steps_per_epoch=_steps(training, experiment),
            initial_epoch=len(records),
            epochs=experiment.epochs,
            validation_data=validation_data,
            validation_batch_size=512,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )


def batches(
    data: Dataset,
    experiment: Experiment,
    model: keras.Model,
    first_epoch: int = 0,
    targets: np.ndarray | None = None,
) -> Iterator[tuple]:
    """Yield shuffled, augmented batches for ever; each epoch depends on the seed and its own number alone.

    That makes a resumed run the same as one that was never stopped.

    Yields:
        What `models.inputs` makes of uint8 images (b, size, size) and their places, and int64 labels (b,) or the
        targets given in their stead, the last batch of an epoch being what is left.
    """
    targets = data.labels if targets is None else targets
    for epoch in itertools.count(first_epoch):
        rng = np.random.default_rng([experiment.seed, epoch])
        order = rng.permutation(len(data))
        for start in range(0, len(data), experiment.batch_size):
            chosen = order[start : start + experiment.batch_size]
            images, places = data.images[chosen], data.places[chosen]
            if experiment.augmentation:
                images = augment(images, experiment.augmentation, rng)
                if models.takes_places(model):
                    places = augment_places(places, experiment.augmentation, rng)
            yield models.inputs(model, images, places), targets[chosen]


@contextlib.contextmanager
def feed(
    data: Dataset, experiment: Experiment, model: keras.Model, first_epoch: int = 0, targets=None
) -> Iterator[tf.data.Dataset]:
    """Give `batches` to TensorFlow, which asks for the next while it computes; in a `with` block, as a data set.

    Of a generator Keras makes a `from_generator`, and that has a patch for Python 3.11 which makes malloc return every
    large array to the system at once: augmentation would spend three quarters of its time on page faults.
    """
    stream, failures = [batches(data, experiment, model, first_epoch, targets)], []
    none = data.take(np.arange(0))
    shown = models.inputs(model, none.images, none.places), data.labels[:0] if targets is None else targets[:0]
    kinds = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in tf.nest.flatten(shown)]

    def read():
        try:
            return tf.nest.flatten(next(stream[0]))
        except Exception as error:
            failures.append(error)
            raise

    def following(_):
        arrays = tf.numpy_function(read, [], [kind.dtype for kind in kinds])
        arrays = [tf.ensure_shape(array, kind.shape) for array, kind in zip(arrays, kinds, strict=True)]
        return tf.nest.pack_sequence_as(shown, arrays)

    try:
        yield tf.data.Dataset.counter().map(following).prefetch(1)
    except tf.errors.OpError:
        if failures:
            raise failures.pop() from None  # not TensorFlow's account of it
        raise
    finally:
        stream.clear()  # TensorFlow never forgets a function; it would hold network and data for ever


def _score(
    experiment: Experiment, run: Run, validation: Dataset, scored: Dataset, where: str, donor: Classifier, skipped: int
) -> dict:
    network, records = Classifier.load(run.path), run.metrics()
    probabilities = network.probabilities(scored.images, scored.places)
    scores = metrics.summarise(probabilities, scored.labels, network.class_names)
    best = chosen(records, experiment.min_delta)
    result = {
        "part": experiment.part,
        "name": experiment.name,
        "seed": experiment.seed,
        "scored": where,
        **scores,
        "epochs": len(records),
        "best_epoch": best["epoch"],
        "train_seconds": round(sum(record["epoch_seconds"] for record in records), 1),
        "best_val_loss": best.get("val_loss"),
        "best_val_accuracy": best.get("val_accuracy"),
        "sample": network.card["sample"],
        "limit": experiment.limit,
        "skipped": skipped,
    }
    if experiment.part == "part3":
        result["argmin_accuracy"] = float((probabilities.argmin(1) == scored.labels).mean())
    if experiment.loss != "given" and len(validation):
        asked = network.probabilities(validation.images, validation.places)
        result["estimate"] = complementary.estimate(asked, validation.labels)
        filed = metrics.confusion(validation.labels, asked.argmax(axis=1), len(validation.class_names))
        result["filed"] = filed.tolist()  # answers in rows, folders in columns
    if where != "validation" and set(DIGITS) <= set(donor.class_names) and scored.class_names == DIGITS:
        digits = [donor.class_names.index(digit) for digit in DIGITS]
        untrained = donor.probabilities(scored.images, scored.places, np.array(digits))[:, digits]
        zero_shot = metrics.summarise(untrained, scored.labels, DIGITS)
        result |= {f"zero_shot_{key}": zero_shot[key] for key in ("accuracy", "macro_f1", "per_class")}
    mapped = np.sort(np.random.default_rng(experiment.seed).permutation(len(scored))[:MAPPED])
    most = float(np.finfo(np.float16).max)
    features = network.features(scored.images[mapped], scored.places[mapped]).clip(-most, most).astype(np.float16)
    with atomic(run / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **scored.predictions(probabilities), mapped=mapped, features=features)
    write_json(run / "environment.json", {**run.environment, "finished_utc": _now()})
    write_json(run / "result.json", result)
    return result
