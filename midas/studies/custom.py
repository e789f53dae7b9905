"""Training on any labeled data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midas.errors import MidasError
from midas.recipes import PARTS, named, recipes, with_recipe
from midas.records import DataRecord, EpochRecord
from midas.runs import Run

if TYPE_CHECKING:
    from midas.data.datasets import Dataset
    from midas.learning.classifier import Classifier


class TrainedRun(Run):
    """The run directory of a finished training."""

    def classifier(self) -> Classifier:
        """Load the trained network."""
        from midas.learning.classifier import Classifier

        return Classifier.load(self.path)


def train(
    data: Dataset,
    description: str,
    test: Dataset | None = None,
    *,
    name: str | None = None,
    recipe: str = "plateau",
    runs_dir: str | Path = "checkpoints",
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[EpochRecord, int], None] = lambda record, epochs: None,
    **settings: Any,
) -> TrainedRun:
    """Train a network on a data set and score it; nothing is done for a finished run on the same data.

    Args:
        data: training set; the validation set is split off.
        description: of the data, e.g. its path, for the records and the name of the run.
        test: test set, scored once at the end; None scores the validation set.
        name: of the run; by default made from the description and the settings.
        recipe: settings that are replaced together, one of `recipes.recipes("custom")`.
        runs_dir: root of the run directories.
        resume: continue an unfinished run.
        overwrite: train again.
        report: called after each epoch with its record and the number of epochs.
        **settings: any of `Experiment`, such as epochs, model or seed.

    Raises:
        MidasError: a setting is not allowed, the data cannot be split, or the run directory holds something else.
    """
    from midas.learning import backend

    if recipe not in recipes("custom"):
        raise MidasError(f"no recipe {recipe!r}; there are {', '.join(recipes('custom'))}")
    base = with_recipe(replace(PARTS["custom"], size=data.glyphs.size), recipe)
    try:
        experiment = replace(base, data=description, test="test" if test else None, **settings)
    except TypeError as error:
        raise MidasError(f"no such setting: {str(error).split('argument ')[-1]}") from error
    if experiment.init == "pretrained" and experiment.init_checkpoint is None:
        raise MidasError("init 'pretrained' needs init_checkpoint, a path or the name of a network")
    stem = re.sub(r"[^\w-]+", "-", Path(description).stem).strip("-") or "data"
    experiment = replace(experiment, name=name or f"{stem}-{named(experiment).name}")
    run = TrainedRun(Path(runs_dir) / experiment.run_path)
    if not overwrite:
        run.check(experiment, resume)
        if run.finished:
            if run.card.data_digest != data.digest:
                raise MidasError(f"{run.path}: was trained on other data; choose another name, or overwrite it")
            return run
    backend.start_tensorflow()
    from midas.learning import trainer
    from midas.learning.checkpoints import find_checkpoint

    init_checkpoint = find_checkpoint(experiment.init_checkpoint) if experiment.init == "pretrained" else None
    with run.locked():
        training = trainer.train(experiment, run, data, init_checkpoint, report=report, overwrite=overwrite)
        run.write(DataRecord(data.summary(), test.summary() if test else None))
        trainer.score(training, test)
    return run
