"""Count BY TRUE LABELS how many targets of finished trainings of Part 3 are wrong; NO TRAINING USES THIS SCRIPT.

    python scripts/part3_targets.py checkpoints/part3/random-progressive/seed-* --data-dir data

A target is what a training of `midas train-part3` found for a training image: its most probable class. Printed: the
share of wrong targets; how many of them belong to images whose label is correct, which no target can equal; the share
of the images whose target is sure, and of wrong targets among these.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from endings import errors_in_one_line
from part3_data import mnist_indices

from midas.data import datasets
from midas.errors import MidasError
from midas.runs import Run

SURE = 0.9  # probability from which a target counts as sure
HEAD = ("run", "images", "wrong", "of these correctly labeled", f"sure (over {SURE})", "wrong among the sure")


def row(run: Run, data_dir: str, cache_dir: Path | None) -> tuple[str, ...]:
    """Compare the targets of one training with the true labels.

    Raises:
        MidasError: the run is no finished training with targets, or was trained on other data; or as `mnist_indices`.
    """
    from midas.learning.checkpoints import load_for_training
    from midas.learning.input_pipeline import split

    experiment = run.experiment
    if experiment.loss != "progressive" or not run.finished:
        raise MidasError(f"{run.path}: not a finished training with the loss progressive")
    data = datasets.load(experiment.data, data_dir, experiment.size, cache_dir)
    if data.digest != run.card.data_digest:
        raise MidasError(f"{run.path}: was trained on other data than those in {data_dir}")
    training, _ = split(data, experiment)
    targets = load_for_training(run / "last.keras").loss.targets.numpy()[: len(training)]
    truth = datasets.read_digits(data_dir)[1]
    truth = truth[mnist_indices(training.names, len(truth))]
    return str(run.path), *cells(targets, truth, training.labels)


def cells(targets: np.ndarray, truth: np.ndarray, given_labels: np.ndarray) -> tuple[str, ...]:
    """Format the shares for targets (n, K), and true and given labels (n,).

    >>> cells(np.array([[0.6, 0.4], [0.95, 0.05], [0, 1.0]]), np.array([1, 0, 1]), np.array([1, 1, 0]))
    ('3', '33.33 %', '1', '66.67 %', '0.00 %')
    """
    wrong, sure = targets.argmax(axis=1) != truth, targets.max(axis=1) > SURE
    correctly_labeled = wrong & (given_labels == truth)
    of_all, are_sure, of_sure = (
        f"{100 * share.mean():.2f} %" if share.size else "-" for share in (wrong, sure, wrong[sure])
    )
    return f"{len(truth):,}", of_all, str(correctly_labeled.sum()), are_sure, of_sure


@errors_in_one_line()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--data-dir", default=os.environ.get("MIDAS_DATA", "data"))
    parser.add_argument("--cache-dir", type=Path, default=os.environ.get("MIDAS_CACHE_DIR"))
    options = parser.parse_args()
    rows = [row(Run(path), options.data_dir, options.cache_dir) for path in options.runs]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD), *rows)))


if __name__ == "__main__":
    main()
