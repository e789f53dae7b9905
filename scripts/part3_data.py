"""Describe the data of Part 3 BY TRUE LABELS: this script only describes them, and NO TRAINING USES IT.

    python scripts/part3_data.py --data-dir data
    python scripts/part3_data.py --data-dir data --picture labels.png

Images are named image_<index>.jpg after their index in MNIST's training set, which tells what each one shows and what
it looked like before it became a JPEG. Printed: images per label; which labels each digit was given, and whether
uniformly; the correct labels; the digits that each label holds; and the errors of the pixels in gray levels. All of it
rests on true labels, which are unknown to anyone who is given such data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from endings import errors_in_one_line

from midas.data import datasets
from midas.errors import MidasError
from midas.metrics.classification import confusion_matrix
from midas.report.plots import BLUE, GRAY

SHOWN = 20  # wrongly labeled images per label in the picture
SHOWN_CORRECT = 6  # correctly labeled ones
CHANGED = 16  # gray levels by which a pixel differs visibly
CELL = 0.55  # side of an image in the picture, in inches
HEAD, MARGIN, GAP = 0.45, 1.15, 0.3  # height of the headings, width of the captions, space between the groups


def load(data_dir: str) -> dict[str, np.ndarray]:
    """Read the images of Part 3 and what they were made from.

    Returns:
        images and originals, uint8 (n, height, width), and given_labels and labels, int64 (n,).

    Raises:
        MidasError: the data cannot be read, or an image has no original in MNIST.
    """
    originals, labels = datasets.read_digits(data_dir)
    entries = list(datasets.open_named("part3", data_dir).entries())
    indices = mnist_indices([entry.name for entry in entries], len(originals))
    return {
        "images": np.stack([entry.read() for entry in entries]),
        "originals": originals[indices],
        "given_labels": np.array([int(str(entry.label)) for entry in entries]),
        "labels": labels[indices],
    }


def mnist_indices(names: Iterable[str], count: int) -> list[int]:
    """Find the originals of images of Part 3 by their names: indices into MNIST's `count` training images.

    Raises:
        MidasError: a name is not that of an image of Part 3.
    """
    indices = []
    for name in names:
        number = Path(name).stem.removeprefix("image_")
        if not number.isdecimal() or int(number) >= count:
            raise MidasError(f"{name}: does not name one of MNIST's {count:,} training images, as image_7.jpg does")
        indices.append(int(number))
    return indices


def describe(data: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Count and measure, as plain values; `counts` holds the number of images by true class and given label."""
    classes = int(max(data["labels"].max(), data["given_labels"].max())) + 1
    counts = confusion_matrix(data["given_labels"], data["labels"], classes).toarray()
    correct = counts.diagonal()
    return {
        "images": len(data["labels"]),
        "images_per_label": counts.sum(axis=0).tolist(),
        "images_per_class": counts.sum(axis=1).tolist(),
        "counts": counts.tolist(),
        "uniformity": uniformity(counts),
        "correct": correct.tolist(),
        "correct_in_all": int(correct.sum()),
        "correct_share": float(correct.sum() / counts.sum()),
        "jpeg": pixel_errors(data["images"], data["originals"]),
    }


def uniformity(counts: np.ndarray) -> dict[str, float]:
    """Test whether the wrong labels of each class are uniform: chi-square of the cells off the diagonal.

    Of the K (K - 1) cells, one per class is determined by the others.
    """
    from scipy.stats import chisquare

    classes = len(counts)
    wrong = counts[~np.eye(classes, dtype=bool)].reshape(classes, -1)
    expected = np.broadcast_to(wrong.mean(axis=1, keepdims=True), wrong.shape)
    test = chisquare(wrong, expected, ddof=classes - 1, axis=None)
    return {"chi_square": float(test.statistic), "degrees": classes * (classes - 2), "p": float(test.pvalue)}


def pixel_errors(images: np.ndarray, originals: np.ndarray) -> dict[str, float | int | None]:
    """Measure how far images are from their originals, in gray levels over all pixels; psnr in decibels."""
    errors = np.abs(images.astype(np.int16) - originals)
    rms = float(np.sqrt(np.square(errors, dtype=np.int32).mean()))
    return {
        "mean_absolute_error": float(errors.mean()),
        "rms_error": rms,
        "psnr": float(20 * np.log10(255 / rms)) if rms else None,
        "changed_share": float((errors > CHANGED).mean()),
        "largest_error": int(errors.max()),
    }


def draw(data: Mapping[str, np.ndarray], seed: int, path: Path) -> None:
    """Draw a row for each label: random wrongly labeled images, and on the right, framed, correctly labeled ones."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rng = np.random.default_rng(seed)
    given_labels, labels = data["given_labels"], data["labels"]
    names = np.unique(given_labels)
    right_group = MARGIN + SHOWN * CELL + GAP
    width, height = right_group + SHOWN_CORRECT * CELL + 0.1, HEAD + len(names) * CELL + 0.1
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)  # in inches from the top left
    groups = (f"wrong label, {SHOWN} at random", MARGIN, SHOWN), ("correct label", right_group, SHOWN_CORRECT)
    for title, left, columns in groups:
        axes.text(left + columns * CELL / 2, HEAD / 2, title, fontsize=12, ha="center", va="center")
    for row, label in enumerate(names):
        top = HEAD + row * CELL
        axes.text(MARGIN / 2, top + 0.08, f"label {label}", fontsize=12, ha="center", va="top")
        count = f"{(given_labels == label).sum():,} images"
        axes.text(MARGIN / 2, top + 0.3, count, fontsize=9, ha="center", va="top", color=GRAY)
        for correct, (_, left, columns) in enumerate(groups):
            found = np.flatnonzero((given_labels == label) & ((labels == label) == correct))
            for column, index in enumerate(rng.permutation(found)[:columns]):
                x, y, side = left + column * CELL + 0.02, top + 0.02, CELL - 0.04
                axes.imshow(data["images"][index], cmap="gray", vmin=0, vmax=255, extent=(x, x + side, y + side, y))
                if correct:
                    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=BLUE, linewidth=2))
    figure.savefig(path, dpi=120)


def table(rows: Mapping[Any, Iterable[float]], form: str = "", corner: str = "") -> list[str]:
    """Format rows of numbers, one per class, below the numbers of the classes."""
    cells = {title: [f"{number:>7{form}}" for number in row] for title, row in rows.items()}
    head = f"{corner:>17}" + "".join(f"{number:>7}" for number in range(len(next(iter(cells.values())))))
    return [head, *(f"{title:>17}" + "".join(row) for title, row in cells.items()), ""]


def report(found: Mapping[str, Any]) -> str:
    """Format the findings as text."""
    counts, jpeg, test = np.array(found["counts"]), found["jpeg"], found["uniformity"]
    per_class, per_label = (np.maximum(counts.sum(axis=axis, keepdims=True), 1) for axis in (1, 0))
    correct, share = found["correct_in_all"], 100 * found["correct_share"]
    psnr = "infinite" if jpeg["psnr"] is None else f"{jpeg['psnr']:.2f} dB"
    lines = [
        "Described by true labels, which no training uses.",
        "",
        f"{found['images']:,} images, of which {correct:,} are correctly labeled ({share:.3f} %)",
        *table({name.replace("_", " "): found[name] for name in ("images_per_label", "images_per_class", "correct")}),
        "Images by true class (rows) and label (columns)",
        *table(dict(enumerate(counts)), corner="class"),
        "The same in percent of the class",
        *table(dict(enumerate(100 * counts / per_class)), ".2f", "class"),
        f"Test of uniform wrong labels: chi-square {test['chi_square']:.1f} with {test['degrees']} degrees of freedom, "
        f"p = {test['p']:.2g}",
        "",
        "Digits (columns) among the images of each label (rows), in percent of the label",
        *table(dict(enumerate((100 * counts / per_label).T)), ".2f", "label"),
        "Errors of the JPEG files against MNIST's pixels, in gray levels of 0 to 255",
        f"  mean absolute error         {jpeg['mean_absolute_error']:.2f}",
        f"  root mean square error      {jpeg['rms_error']:.2f}",
        f"  peak signal-to-noise ratio  {psnr}",
        f"  changed by more than {CHANGED}     {100 * jpeg['changed_share']:.2f} % of the pixels",
        f"  largest error               {jpeg['largest_error']}",
    ]
    return "\n".join(lines)


@errors_in_one_line()
def main() -> None:
    """Describe and print, and draw if asked to."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="the folder with mnistTask3 and mnist, or 'sample'")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="also draw images of each label")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the choice of images in the picture")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = load(options.data_dir)
    found = describe(data)
    print(json.dumps(found, indent=1) if options.json else report(found))
    if options.picture:
        draw(data, options.seed, options.picture)


if __name__ == "__main__":
    main()
