"""Label audits: how many labels of a data set are wrong, how, and which, without knowing a single true one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midas.data.datasets import Dataset
from midas.errors import MidasError
from midas.files import one_or_several
from midas.metrics import classification, label_noise
from midas.records import EpochRecord
from midas.report import label_audit
from midas.studies import out_of_fold

if TYPE_CHECKING:
    from midas.learning.classifier import Classifier

BLOCK = 2048  # images between two reports of progress
COPIES = 8  # of the probabilities, as much memory as an audit of them takes


@dataclass(frozen=True)
class Options:
    """How to audit.

    Attributes:
        folds: out-of-fold networks to train, without a reference model.
        epochs: of each of them; None for a number that suits the size of the data.
        limit: audit this many images only, drawn in proportion to the classes; None for all.
        max_suspects: suspects to draw.
        cleanlab: compare with cleanlab.
        seed: random seed.
        out: folder for the report's files; None writes none.
    """

    folds: int = 3
    epochs: int | None = None
    limit: int | None = None
    max_suspects: int = 20
    cleanlab: bool = False
    seed: int = 0
    out: Path | None = None


def audit(
    whole: Dataset,
    data: str,
    options: Options,
    network: Classifier | None = None,
    checkpoints: Sequence[Path] = (),
    report: Callable[[EpochRecord, int], None] = lambda record, epochs: None,
    stage: Callable[[str], None] = lambda title: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    moment: Callable[[EpochRecord, int, float], None] = lambda record, epochs, share: None,
) -> dict[str, Any]:
    """Audit the labels of a data set.

    Args:
        whole: the data set.
        data: its name, for messages.
        options: how to audit.
        network: a reference model that was not trained on these labels; None trains networks on them, and predicts each
            image out of fold.
        checkpoints: where the reference model was loaded from.
        report: called after each epoch of those trainings.
        stage: called before each of those trainings, as in `out_of_fold.predict`.
        progress: called with (done, total) images while the reference model predicts.
        moment: called within those epochs, as `callbacks.EpochRecorder` says.

    Returns:
        What `report.label_audit.describe` returns, with how the predictions were made, the classes that were left out
        as they have fewer images than there are folds, and the files written.

    Raises:
        MidasError: there are fewer than two classes, or too many probabilities for this machine, or as
            `out_of_fold.predict`.
    """
    if len(whole.class_names) < 2:
        raise MidasError(f"{data}: has one class only; an audit needs at least two")
    dataset = whole.take(label_noise.subsample(whole.labels, options.limit, options.seed))
    classification.check_size(len(dataset), len(dataset.class_names), data, COPIES)
    about: dict[str, Any] = {"data": data, "limit": options.limit, "seed": options.seed, "left_out": {}}
    if network:
        about["predictions"] = {
            "checkpoint": one_or_several(checkpoints),
            "tta": network.tta,
            "independent": whole.digest not in _training_digests(checkpoints),
        }
        outputs = network.outputs_of(dataset.class_names, data)
        probabilities = _predict(network, dataset, outputs, progress)
    else:
        dataset, about["left_out"] = out_of_fold.split_off_rare(dataset, options.folds)
        if len(dataset.class_names) < 2:
            raise MidasError(
                f"{data}: too few for {options.folds} folds, of which each needs an image of at least two classes; "
                "use fewer --folds, or add images"
            )
        epochs = options.epochs or out_of_fold.default_epochs(len(dataset), options.folds)
        about["predictions"] = {"checkpoint": None, "folds": options.folds, "epochs": epochs}
        folds, seed = options.folds, options.seed
        probabilities = out_of_fold.predict(dataset, data, folds, epochs, seed, report, stage, moment)
    found = label_noise.audit(probabilities, dataset.labels, independent=network is not None)
    summary = {**about, **label_audit.describe(found, dataset)}
    if options.cleanlab:
        summary["cleanlab"] = label_noise.compare_with_cleanlab(found, probabilities, dataset.labels)
    if options.out:
        summary = label_audit.write(found, dataset, summary, options.max_suspects, options.out)
    return summary


def _predict(
    network: Classifier, dataset: Dataset, outputs: np.ndarray, progress: Callable[[int, int], None]
) -> np.ndarray:
    """Predict in blocks, after each of which the user hears how far it is."""
    n = len(dataset)
    found = np.empty((n, len(outputs)), np.float32)
    for start in range(0, n, BLOCK):
        block = dataset.take(np.arange(start, min(start + BLOCK, n)))
        found[start : start + BLOCK] = network.probabilities(block.glyphs, outputs)[:, outputs]
        progress(start + len(block), n)
    return found


def _training_digests(checkpoints: Sequence[Path]) -> set[str]:
    """Collect the digests of the data that networks were trained on, as far as their cards have them."""
    from midas.learning.checkpoints import card_file, checkpoint_files, read_card

    cards = (read_card(card_file(file)) for path in checkpoints for file in checkpoint_files(path))
    return {card.data_digest for card in cards if card.data_digest}
