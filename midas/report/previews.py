"""What a person sees of a data set: a table, its pixels as CSV, samples before and after preprocessing."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np

from midas.data.augmentation import augment
from midas.data.datasets import Dataset
from midas.data.memmap import blocks
from midas.data.sources import Source
from midas.experiments import Experiment
from midas.runs import Run, atomic, write_json

PREVIEWED = 2  # images of each class
KEPT = 120  # of the images trained on, evenly over the classes, that a run keeps for its report
PAGED = 31  # classes at most of which two images are kept as they came; of more, one
DEFORMED, VERSIONS = 10, 9  # images of which so many deformed versions are kept


def data_table(summaries: dict[str, dict]) -> str:
    """Lay out `Dataset.summary` of several data sets as text."""
    lines = []
    for name, summary in summaries.items():
        pages = [f"{page} ({count:,})" for page, count in itertools.islice(summary["page_sizes"].items(), 3)]
        if len(summary["page_sizes"]) > 3:
            pages.append(f"and {len(summary['page_sizes']) - 3} other sizes")
        lines += [
            f"{name}  ({summary['source']})",
            f"  images            {summary['images']:,}",
            f"  classes           {summary['classes']}",
            f"  images a class    {summary['smallest_class']:,} to {summary['largest_class']:,}",
            f"  size before       {', '.join(pages)}",
            f"  skipped           {len(summary['skipped']):,}",
        ]
        lines += [f"    {skipped['name']}: {skipped['reason']}" for skipped in summary["skipped"][:20]]
        if len(summary["skipped"]) > 20:
            lines.append(f"    … and {len(summary['skipped']) - 20:,} more (--json lists all)")
    return "\n".join(lines)


def write_csv(dataset: Dataset, path: Path) -> None:
    """Write one line an image: the class name, then the pixels row by row, 0-255."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"pixel{i}" for i in range(math.prod(dataset.images.shape[1:])))])
        rows = (row for block in blocks(dataset.images) for row in block.reshape(len(block), -1).tolist())
        for label, row in zip(dataset.labels.tolist(), rows, strict=True):
            writer.writerow([dataset.class_names[label], *row])


def write_preview(dataset: Dataset, source: Source, path: Path) -> None:
    """Draw samples of every class before and after preprocessing."""
    from midas.report import plots

    chosen = _of_each_class(dataset, PREVIEWED)
    names = [dataset.class_names[k] for k in dataset.labels[chosen]]
    figure = plots.samples(_pages(dataset, source, chosen), dataset.images[chosen], names)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def keep(run: Run, experiment: Experiment, data: Dataset, source: Source, test: Dataset | None) -> None:
    """Leave in a run's directory what its report shows of the data, data.json and samples.npz.

    Args:
        run: the run's directory.
        experiment: whose deformations are shown.
        data: what is trained on, those held out included.
        source: where these images came from.
        test: what is scored, if that is something else.
    """
    from midas.report.plots import thumbnail

    write_json(run / "data.json", {"data": data.summary(), "test": test.summary() if test else None})
    classes = len(data.class_names)
    chosen = _of_each_class(data, max(KEPT // classes, 1))
    paged = _of_each_class(data, 2 if classes <= PAGED else 1)
    deformed = paged[np.unique(np.linspace(0, len(paged) - 1, DEFORMED).round().astype(int))]
    versions = np.repeat(data.images[deformed, None], 1 + VERSIONS, axis=1)
    rng = np.random.default_rng(experiment.seed)
    for version in range(1, 1 + VERSIONS) if experiment.augmentation else ():
        versions[:, version] = augment(data.images[deformed], experiment.augmentation, rng)
    pages = {f"page_{place}": thumbnail(page) for place, page in enumerate(_pages(data, source, paged))}
    with atomic(run / "samples.npz") as temporary:
        np.savez_compressed(
            temporary,
            images=data.images[chosen],
            labels=data.labels[chosen],
            prepared=data.images[paged],
            prepared_labels=data.labels[paged],
            versions=versions if experiment.augmentation else versions[:, :1],
            versions_labels=data.labels[deformed],
            **pages,
        )


def _of_each_class(dataset: Dataset, count: int) -> np.ndarray:
    """Find the first images of every class; their places in the data set, class by class."""
    return np.concatenate([np.flatnonzero(dataset.labels == k)[:count] for k in range(len(dataset.class_names))])


def _pages(dataset: Dataset, source: Source, chosen: np.ndarray) -> list[np.ndarray]:
    """Read some images once more, as they came."""
    wanted = {str(dataset.names[i]) for i in chosen}
    pages = {entry.name: entry.read() for entry in source.entries() if entry.name in wanted}
    return [pages[str(dataset.names[i])] for i in chosen]
