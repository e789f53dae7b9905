"""What a person sees of a data set: a table, its pixels as CSV, samples before and after preprocessing."""

import csv
import itertools
from pathlib import Path

import numpy as np

from midas.archives import Source
from midas.datasets import Dataset
from midas.runs import atomic

PREVIEWED = 2  # images of each class


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
    pixels = dataset.images.reshape(len(dataset), -1)
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", *(f"pixel{i}" for i in range(pixels.shape[1]))])
        for label, row in zip(dataset.labels.tolist(), pixels.tolist(), strict=True):
            writer.writerow([dataset.class_names[label], *row])


def write_preview(dataset: Dataset, source: Source, path: Path) -> None:
    """Draw samples of every class before and after preprocessing."""
    from midas import plots

    chosen = np.concatenate([np.flatnonzero(dataset.labels == k)[:PREVIEWED] for k in range(len(dataset.class_names))])
    wanted = {str(dataset.names[i]) for i in chosen}
    pages = {entry.name: entry.read() for entry in source.entries() if entry.name in wanted}
    figure = plots.samples(
        [pages[str(dataset.names[i])] for i in chosen],
        dataset.images[chosen],
        [dataset.class_names[k] for k in dataset.labels[chosen]],
    )
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
