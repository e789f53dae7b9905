"""The one training loop: an experiment, its data and a run directory in; a trained and scored network out."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from midas.data.datasets import DIGITS, Dataset
from midas.errors import MidasError
from midas.experiments import Experiment
from midas.learning import backend, distillation, losses, models, provenance
from midas.learning.backend import set_seed
from midas.learning.callbacks import (
    AtomicCheckpoint,
    EpochRecorder,
    ReplayPlateau,
    ReseedDropout,
    best_epoch,
    out_of_patience,
)
from midas.learning.checkpoints import load_for_training
from midas.learning.classifier import Classifier
from midas.learning.input_pipeline import ValidationBatches, feed, split, steps_per_epoch
from midas.learning.pen_adaptation import pen_statistics
from midas.learning.writer_adaptation import place_statistics
from midas.metrics import classification, complementary
from midas.records import Card, EpochRecord, Predictions, Result
from midas.runs import Run

WARM_UP = 0.1  # fraction of the epochs, in the cosine schedule
MIN_RATE = 1 / 200  # of the learning rate: neither schedule goes below it
PLATEAU_FACTOR = 0.5
VALIDATION_BATCH = 512
SAVE_EVERY = 3.0  # seconds of training that an interruption may cost, or one epoch if that takes longer
TEACHER_SEEDS = 1000  # added to the seed for each teacher
EMBEDDED = 1000  # scored images, drawn at random, whose features are kept

Report = Callable[[EpochRecord, int], None]
Moment = Callable[[EpochRecord, int, float], None]


@dataclass(frozen=True)
class Training:
    """What is trained, where and on which images; scoring needs it, too.

    Attributes:
        experiment: what was asked for.
        run: the run directory.
        training: training set.
        validation: validation set, empty if there is none.
        initialization: what predicts before any training.
    """

    experiment: Experiment
    run: Run
    training: Dataset
    validation: Dataset
    initialization: Classifier


def train(
    experiment: Experiment,
    run: Run,
    data: Dataset,
    init_checkpoint: str | os.PathLike | None = None,
    report: Report = lambda record, epochs: None,
    tensorboard: str | os.PathLike | None = None,
    obsolete: Sequence[Run] = (),
    moment: Moment = lambda record, epochs, share: None,
) -> Training:
    """Train, or resume an interrupted training. Never sees test data; `score` evaluates after model selection.

    Teachers are trained first, in run directories below this one.

    Args:
        experiment: what to train.
        run: the run directory, already checked; an interrupted training in it is resumed.
        data: training set; the validation set is split off first.
        init_checkpoint: what a pretrained initialization starts from.
        report: called after each epoch with its record and the number of epochs, those of the teachers included.
        tensorboard: folder for TensorBoard's logs, or None.
        obsolete: runs to delete, which may include this one, once the training is known to be able to start.
        moment: called within epochs, as `callbacks.EpochRecorder` says.

    Raises:
        MidasError: the data or a checkpoint do not fit the experiment.
        ValueError: a pretrained initialization lacks its checkpoint, or a random one has one.
    """
    if (experiment.init == "pretrained") != (init_checkpoint is not None):
        raise ValueError(f"a {experiment.init} initialization cannot start from {init_checkpoint}")
    if tensorboard and not importlib.util.find_spec("tensorboard"):
        raise MidasError("--tensorboard needs the package tensorboard: pip install tensorboard")
    set_seed(experiment.seed)
    training, validation = prepare(experiment, data)
    start, initialization = initialize(experiment, data.class_names, init_checkpoint)
    for old in obsolete:  # not before everything that can be refused is known to be right
        old.clear()
    run.start(experiment)
    _describe(run, experiment, data, training, start, initialization)
    teachers = [
        _teach(index, experiment, teacher, training, *_numbered(index, experiment, report, moment))
        for index, teacher in enumerate(run.teachers)
    ]
    model, records = _resume(run, experiment, start, steps_per_epoch(training, experiment))
    trained = Training(experiment, run, training, validation, initialization)
    if len(records) < experiment.epochs and not out_of_patience(records, experiment.stop_patience):
        if teachers:
            distillation.learn_from(teachers, model)
        _fit(model, trained, records, *_numbered(len(teachers), experiment, report, moment), tensorboard)
    return trained


def prepare(experiment: Experiment, data: Dataset) -> tuple[Dataset, Dataset]:
    """Check that data and settings can be trained with, and split the data.

    Returns:
        The training set and the validation set.

    Raises:
        MidasError: they cannot.
    """
    if backend.strategy() and experiment.loss in losses.WHOLE_BATCH:
        raise MidasError(f"the loss {experiment.loss!r} needs the whole batch on one device; choose one with --devices")
    needing = [name for name in experiment.teachers if name in models.PLACED]
    if needing and experiment.model not in models.PLACED:
        raise MidasError(
            f"the teacher {needing[0]} takes the place on the page, and {experiment.model} does not; choose another "
            f"teacher, or --model {needing[0]}"
        )
    training, validation = split(data, experiment)
    classification.check_size(len(validation), len(data.class_names), experiment.data)
    return training, validation


def _numbered(index: int, experiment: Experiment, report: Report, moment: Moment) -> tuple[Report, Moment]:
    """Number the epochs of the teachers, which come first, and those of the network itself as one sequence.

    Args:
        index: of the teacher; their number for the network itself.
        experiment: trains the network.
        report: takes epochs so numbered.
        moment: takes epochs so numbered.

    Returns:
        What to call in their place.
    """
    epochs = experiment.all_epochs

    def numbered(record: EpochRecord) -> EpochRecord:
        return replace(record, epoch=index * experiment.epochs + record.epoch)

    return (
        lambda record, _: report(numbered(record), epochs),
        lambda record, _, share: moment(numbered(record), epochs, share),
    )


def _teach(
    index: int, experiment: Experiment, run: Run, training: Dataset, report: Report, moment: Moment
) -> keras.Model:
    """Train a teacher like the network itself, on its training set only, from random weights of another seed."""
    teacher = replace(
        experiment,
        model=experiment.teachers[index],
        teachers=(),
        init="random",
        init_checkpoint=None,
        freeze_backbone=False,
        val_fraction=0.0,
        folds=None,
        limit=None,
        seed=experiment.seed + TEACHER_SEEDS * (index + 1),
    )
    run.check(teacher, resume=True)
    train(teacher, run, training, report=report, moment=moment)
    with backend.scope():
        return Classifier.load(run.path).network


def score(training: Training, test: Dataset | None = None, cross_validation: Run | None = None) -> Result:
    """Score what `train` has trained, and finish the run.

    Args:
        training: what `train` returned.
        test: test set; None scores the validation set.
        cross_validation: of the same training, whose predictions of all images are scored instead.

    Returns:
        What result.json then holds.

    Raises:
        MidasError: the test set has other classes.
    """
    experiment, run, validation = training.experiment, training.run, training.validation
    scored, name = _choose(training, test, cross_validation)
    set_seed(experiment.seed)
    network, records = Classifier.load(run.path), run.epochs()
    predictions = _predict(network, scored, experiment.seed, cross_validation)
    best, teachers = best_epoch(records, experiment.min_delta), run.teachers
    more: dict[str, Any] = {}
    if experiment.part == "part3":
        more["argmin_accuracy"] = float((predictions.probabilities.argmin(1) == scored.labels).mean())
    if experiment.is_complementary and len(validation):
        more |= _estimates(network.probabilities(validation.glyphs), validation)
    if test is not None and scored.class_names == DIGITS and set(DIGITS) <= set(training.initialization.class_names):
        more |= _zero_shot(training.initialization, scored)
    result = Result(
        part=experiment.part,
        name=experiment.name,
        seed=experiment.seed,
        scored=name,
        **vars(classification.score(predictions.probabilities, scored.labels, network.class_names)),
        epochs=len(records),
        best_epoch=best.epoch,
        train_seconds=_seconds(run),
        teacher_seconds=sum(map(_seconds, teachers)) if teachers else None,
        best_val_loss=best.val_loss,
        best_val_accuracy=best.val_accuracy,
        sample=network.card.sample,
        limit=experiment.limit,
        skipped=len(validation.skipped),
        **more,
    )
    if not experiment.is_complementary and experiment.part != "part3" and (len(validation) or cross_validation):
        is_unseen = cross_validation or scored is validation
        unseen = predictions if is_unseen else validation.predictions(network.probabilities(validation.glyphs))
        run.write(_calibrated(run.card, unseen, cross_validation))
    run.write_predictions(predictions)
    run.write(replace(run.environment, finished_utc=provenance.now()))
    run.write(result)
    return result


def _seconds(run: Run) -> float:
    return round(sum(record.epoch_seconds for record in run.epochs()), 1)


def _choose(training: Training, test: Dataset | None, cross_validation: Run | None) -> tuple[Dataset, str]:
    """Choose the images to score, and name them."""
    experiment, validation = training.experiment, training.validation
    if test is not None:
        name = experiment.test or "test"
        return test.with_classes(validation.class_names, name, experiment.data), name
    if cross_validation:
        return training.training, f"{experiment.folds}-fold cross-validation"
    return (validation, "validation") if len(validation) else (training.training, "training")


def _predict(network: Classifier, scored: Dataset, seed: int, cross_validation: Run | None) -> Predictions:
    """Predict, and keep the features of some of the images; or take over what a cross-validation predicted."""
    if cross_validation:
        return scored.predictions(cross_validation.predictions().probabilities)
    probabilities = network.probabilities(scored.glyphs)
    embedded = np.sort(np.random.default_rng(seed).permutation(len(scored))[:EMBEDDED])
    limit = float(np.finfo(np.float16).max)
    features = network.features(scored.glyphs.take(embedded)).clip(-limit, limit).astype(np.float16)
    return scored.predictions(probabilities, embedded, features)


def _calibrated(card: Card, unseen: Predictions, cross_validation: Run | None) -> Card:
    """Add to a card when an answer is unsure, and the temperatures found by a cross-validation."""
    threshold = classification.reject_threshold(unseen.probabilities, unseen.labels)
    card = replace(card, reject_below=threshold)
    if cross_validation is None or threshold is None:  # too few images to fit a temperature to them
        return card
    scores = cross_validation.cross_validation.scores
    return replace(card, temperature=scores[0].temperature, tta_temperature=scores[-1].temperature)


def _estimates(probabilities: np.ndarray, validation: Dataset) -> dict[str, Any]:
    """Estimate the accuracy from the complementary labels of the validation set."""
    classes = len(validation.class_names)
    matrix = classification.confusion_matrix(validation.labels, probabilities.argmax(axis=1), classes).toarray()
    return {
        "estimate": complementary.estimate_accuracy(probabilities, validation.labels),
        "predicted_by_label": tuple(map(tuple, matrix.tolist())),
    }


def _zero_shot(initialization: Classifier, scored: Dataset) -> dict[str, Any]:
    """Score the initialization on a test set of digits, by its digit outputs alone."""
    digits = initialization.outputs_of(DIGITS, "digits")
    probabilities = initialization.probabilities(scored.glyphs, digits)[:, digits]
    found = classification.score(probabilities, scored.labels, DIGITS)
    return {f"zero_shot_{key}": getattr(found, key) for key in ("accuracy", "macro_f1", "per_class")}


def initialize(
    experiment: Experiment, class_names: tuple[str, ...], init_checkpoint: str | os.PathLike | None
) -> tuple[keras.Model, Classifier]:
    """Build the network that training starts from, and what predicts before any training.

    Raises:
        MidasError: the checkpoint does not fit the experiment.
    """
    with backend.scope():
        model, untrained = (models.build(experiment.model, experiment.size, len(class_names)) for _ in range(2))
    for layer in model.layers[:-1] if experiment.freeze_backbone else ():
        layer.trainable = False
    if init_checkpoint is None:
        models.copy_weights(model, untrained, head=True)
        return model, Classifier((untrained,), Card(class_names, experiment.size))
    pretrained = Classifier.load(init_checkpoint)
    if experiment.part == "part3" and any(name.startswith("mnist") for name in pretrained.card.trained_on):
        raise MidasError(
            f"{init_checkpoint}: was trained on MNIST's true labels, of which Part 3 must stay free; start from another"
        )
    wanted = f"a {experiment.model} network for {experiment.size}x{experiment.size} images"
    found = pretrained.network.name, pretrained.size
    if found != (experiment.model, experiment.size):
        raise MidasError(
            f"{init_checkpoint}: a {found[0]} network for {found[1]}x{found[1]} images, not {wanted}; give --model "
            f"{found[0]} --size {found[1]}, or start from another"
        )
    try:
        models.copy_weights(pretrained.network, model, head=pretrained.class_names == class_names)
    except ValueError as error:
        raise MidasError(f"{init_checkpoint}: does not fit {wanted} ({error})") from error
    return model, pretrained


def _describe(
    run: Run,
    experiment: Experiment,
    data: Dataset,
    training: Dataset,
    model: keras.Model,
    initialization: Classifier,
) -> None:
    """Write card.json and environment.json, or check that a resumed run builds on the same as before."""
    now = provenance.environment(data.digest, provenance.weights_digest(initialization.networks))
    if (run / "environment.json").exists():
        before = run.environment
        for key, name in (("data_digest", "the data"), ("init_digest", "the network it started from")):
            if getattr(before, key) != getattr(now, key):
                raise MidasError(f"{run.path}: {name} changed since it was stopped; start again with --overwrite")
        return
    run.write(
        Card(
            class_names=data.class_names,
            size=experiment.size,
            model=experiment.model,
            tta=experiment.tta,
            augmentation=experiment.augmentation,
            places=place_statistics(training.glyphs.places, training.labels, len(data.class_names)),
            pen=pen_statistics(training.images),
            part=experiment.part,
            name=experiment.name,
            seed=experiment.seed,
            data=experiment.data,
            data_digest=data.digest,
            trained_on=(*initialization.card.trained_on, experiment.data),
            sample=data.is_sample,
            parameters=model.count_params(),
            macs=models.count_macs(model),
        )
    )
    run.write(now)


def _resume(run: Run, experiment: Experiment, start: keras.Model, steps: int) -> tuple[keras.Model, list[EpochRecord]]:
    """Continue from the last complete epoch on disk; the optimizer's step count tells which it was.

    Raises:
        MidasError: the network cannot be read, or some of its epochs cannot.
    """
    last = run / "last.keras"
    if last.exists():
        with backend.scope():
            model = load_for_training(last)
        done = int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // steps
    else:
        model, done = start, 0
        compile_model(model, experiment, steps)
    records = run.epochs()[:done]
    if len(records) < done:
        raise MidasError(
            f"{run / 'metrics.jsonl'}: damaged, has fewer epochs than {last}; start again with --overwrite"
        )
    run.write_epochs(records)
    return model, records


def compile_model(model: keras.Model, experiment: Experiment, steps: int) -> None:
    """Compile a network with the experiment's loss, optimizer and learning rate, for epochs of `steps` steps."""
    rate = experiment.learning_rate
    if experiment.schedule == "cosine":
        warm_up = max(1, round(WARM_UP * experiment.epochs * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            rate * MIN_RATE,
            max(1, experiment.epochs * steps - warm_up),
            MIN_RATE,
            warmup_target=rate,
            warmup_steps=warm_up,
        )
    options: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if experiment.optimizer == "sgd" else {}
    if experiment.weight_decay or experiment.optimizer == "adamw":  # AdamW's own default is not 0
        options["weight_decay"] = experiment.weight_decay
    # How often the prediction equals a complementary label is not an accuracy.
    metrics = None if experiment.is_complementary else ["accuracy"]
    with backend.scope():
        optimizer = keras.optimizers.get(
            {"class_name": experiment.optimizer, "config": {"learning_rate": rate, **options}}
        )
        # XLA is eight to ten times slower than plain TensorFlow for such small networks on a CPU.
        model.compile(optimizer, _loss(model, experiment, steps), metrics=metrics, jit_compile=False)
    if not backend.strategy():  # with several devices, Keras does so itself
        _create_variables(model)


def _loss(model: keras.Model, experiment: Experiment, steps: int) -> keras.losses.Loss:
    if experiment.loss != "progressive":
        return losses.make_loss(experiment.loss, experiment.label_smoothing)
    # With a target for each image, and those that would fill the last batch.
    images, classes = steps * experiment.batch_size, model.output_shape[-1]
    return losses.ProgressiveIdentification(images, classes, steps * experiment.epochs)


def _create_variables(model: keras.Model) -> None:
    """Create the variables of optimizer and metrics, without which TensorFlow would trace the first step twice.

    That saves a second at the start of every training, and changes nothing else.
    """
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(None, np.zeros(1, np.int64), np.zeros((1, model.output_shape[-1]), np.float32))
    model.reset_metrics()


def _fit(
    model: keras.Model,
    training: Training,
    records: list[EpochRecord],
    report: Report,
    moment: Moment,
    tensorboard: str | os.PathLike | None,
) -> None:
    """Train for the remaining epochs."""
    experiment, run, validation = training.experiment, training.run, training.validation
    monitor = "val_loss" if len(validation) else "loss"
    callbacks: list[keras.callbacks.Callback] = [ReseedDropout(experiment.seed)]
    probe = _probe(model, experiment, validation) if len(validation) else None
    if probe and experiment.is_complementary:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(probe())))
    if experiment.schedule == "plateau":
        plateau = keras.callbacks.ReduceLROnPlateau(
            monitor,
            PLATEAU_FACTOR,
            experiment.patience,
            mode="min",
            min_delta=experiment.min_delta,
            min_lr=experiment.learning_rate * MIN_RATE,
        )
        callbacks += [plateau, ReplayPlateau(plateau, records, experiment.learning_rate)]
    if probe:
        lowest = min((record.val_loss for record in records if record.val_loss is not None), default=math.inf)
        path = run / "best.keras"
        callbacks.append(AtomicCheckpoint(path, experiment.min_delta, lowest, monitor=monitor, save_best_only=True))
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard)))
    callbacks += [
        EpochRecorder(run, records, experiment.stop_patience, report, probe, moment),
        AtomicCheckpoint(run / "last.keras", interval=SAVE_EVERY),
    ]
    with (
        feed(training.training, experiment, model, first_epoch=len(records)) as batches,
        contextlib.closing(ValidationBatches(validation, model, VALIDATION_BATCH)) as validation_batches,
    ):
        model.fit(
            batches,
            steps_per_epoch=steps_per_epoch(training.training, experiment),
            initial_epoch=len(records),
            epochs=experiment.epochs,
            validation_data=validation_batches if probe and not experiment.is_complementary else None,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        )


def _probe(model: keras.Model, experiment: Experiment, validation: Dataset) -> Callable[[], dict[str, float]]:
    """Make the function that scores the validation set by its true, or complementary, labels."""
    network = Classifier((model,), Card(validation.class_names, experiment.size))
    validate = (complementary if experiment.is_complementary else classification).validation_scores
    return lambda: validate(network.probabilities(validation.glyphs), validation.labels)
