"""Transfer learning: the same training from several initializations, paired by seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from midas.data.datasets import DIGITS
from midas.experiments import Experiment
from midas.recipes import INITIALIZATIONS, PARTS
from midas.records import Comparison
from midas.report import comparison
from midas.runs import COMPARISON, Run
from midas.studies.study import load_all, perform_all
from midas.studies.workspace import Workspace

SHORT = {"model": "compact", "epochs": 10, "stop_patience": None}  # two minutes each on two cores
FEW_BATCH = 32  # images per step of a training on few images
FEW_STEPS = 300  # of a training on few images, as far as that takes 10 to 100 epochs


def experiment(
    part: str, initialization: str, seed: int, images_per_class: int | None = None, **changes: Any
) -> Experiment:
    """Describe one of the trainings compared: the part's default, shortened, and on few images if asked for.

    Args:
        part: "part2" or "part3".
        initialization: a key of `INITIALIZATIONS`.
        seed: random seed of the split, the order, the augmentation and the initial weights, those of the pretraining
            included.
        images_per_class: train on this many, without a validation set; None for all but the validation set.
        **changes: other settings, for all initializations alike.
    """
    few: dict[str, Any] = {}
    if images_per_class:
        images = images_per_class * len(DIGITS)
        batch = min(FEW_BATCH, images)
        few = {"limit": images, "val_fraction": 0.0, "batch_size": batch, "schedule": "cosine", "learning_rate": 2e-3}
        few["epochs"] = min(max(10, math.ceil(FEW_STEPS / math.ceil(images / batch))), 100)
    # Not the bare initialization, as the pretraining on digits is a run named "digits" of the same part.
    suffix = f"-{images_per_class}-per-class" if images_per_class else ""
    settings = {**SHORT, **INITIALIZATIONS[initialization], **changes, **few}
    return replace(PARTS[part], **settings, name=f"from-{initialization}{suffix}", seed=seed)


def compare(
    part: str,
    initializations: Sequence[str],
    seeds: Iterable[int],
    workspace: Workspace,
    images_per_class: Sequence[int] = (),
    resume: bool = False,
    **changes: Any,
) -> tuple[Comparison, list[Path]]:
    """Train from every initialization with every seed, unless already done, and write how the trainings differ.

    Seed by seed, so that an interrupted comparison has complete pairs. The runs lie in `comparison/` below the root, in
    a folder for the model and the number of epochs, where comparison.json and figures of the part are written.

    Args:
        part: "part2" or "part3".
        initializations: keys of `INITIALIZATIONS`; the first is the baseline.
        seeds: of the trainings; the same for each initialization.
        workspace: where things are.
        images_per_class: train on these numbers of images as well, for label efficiency.
        resume: resume unfinished runs.
        **changes: settings of all trainings.

    Returns:
        The comparison, and the files written.
    """
    shown = experiment(part, initializations[0], 0, **changes)
    folder = workspace.runs_dir / COMPARISON / f"{shown.model}-{shown.epochs}-epochs"
    workspace = replace(workspace, runs_dir=folder)
    kinds = list(dict.fromkeys((start, count) for count in (None, *images_per_class) for start in initializations))
    trainings = list(itertools.product(seeds, kinds))
    listed = [experiment(part, start, seed, count, **changes) for seed, (start, count) in trainings]
    load_all([each for each in listed if not workspace.run(each).finished], workspace)
    performed = perform_all(listed, workspace, resume=resume, tell=True)
    runs: dict[tuple[str, int | None], list[Run]] = {kind: [] for kind in kinds}
    for (_, kind), run in zip(trainings, performed, strict=True):
        runs[kind].append(run)
    found = comparison.summarize(part, runs)
    return found, comparison.write(found, workspace.root / part)
