"""Say what is different about Part 3's data, BY LOOKING AT TRUE LABELS: this describes, and NO TRAINING USES IT.

    python scripts/part3_data.py --data-dir data
    python scripts/part3_data.py --data-dir data --picture folders.png

Images are named image_<index>.jpg by their index in MNIST's training set, so that MNIST tells what each one is and what
it looked like before it became a JPEG. Printed: images a folder; which folders the digits went to, and whether evenly;
what is filed right; which digits each folder holds; and the pixels' errors in grey levels. All of it rests on true
labels, which someone who is given misfiled images does not have.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from midas.data import datasets
from midas.metrics import classification as metrics
from midas.report import plots

SHOWN = 20  # images of each folder in the picture, beside those that are filed right
SHOWN_RIGHT = 6
CHANGED = 16  # grey levels by which a pixel differs visibly


def load(data_dir: str) -> dict[str, np.ndarray]:
    """Read the misfiled images and what they were made from.

    Returns:
        images and originals, uint8 (n, height, width), and folders and labels, int64 (n,).

    Raises:
        MidasError: the data cannot be read.
        SystemExit: an image has no counterpart in MNIST.
    """
    images, folders, indices = [], [], []
    originals, labels = datasets.digits_as_published(data_dir)
    for entry in datasets.find("part3", data_dir).entries():
        number = Path(entry.name).stem.removeprefix("image_")
        if not number.isdecimal() or int(number) >= len(originals):
            raise SystemExit(f"{entry.name}: does not name one of MNIST's {len(originals):,} training images")
        images.append(entry.read())
        folders.append(int(entry.folder))
        indices.append(int(number))
    return {
        "images": np.stack(images),
        "originals": originals[indices],
        "folders": np.array(folders),
        "labels": labels[indices],
    }


def described(data: dict[str, np.ndarray]) -> dict:
    """Count and measure, as plain values; `transition` holds the number of images by true class and folder."""
    classes = int(max(data["labels"].max(), data["folders"].max())) + 1
    transition = metrics.confusion(data["folders"], data["labels"], classes)
    right = transition.diagonal()
    return {
        "images": len(data["labels"]),
        "images_per_folder": transition.sum(axis=0).tolist(),
        "images_per_class": transition.sum(axis=1).tolist(),
        "transition": transition.tolist(),
        "evenness": evenness(transition),
        "filed_right": right.tolist(),
        "filed_right_in_all": int(right.sum()),
        "filed_right_share": float(right.sum() / transition.sum()),
        "jpeg": cost(data["images"], data["originals"]),
    }


def evenness(transition: np.ndarray) -> dict[str, float]:
    """Test whether wrong folders are equally likely for a class: chi-square off the diagonal, rows and diagonal given.

    Of the K (K - 1) cells one a class is fixed by the others.
    """
    from scipy.stats import chisquare

    classes = len(transition)
    wrong = transition[~np.eye(classes, dtype=bool)].reshape(classes, -1)
    expected = np.broadcast_to(wrong.mean(axis=1, keepdims=True), wrong.shape)
    test = chisquare(wrong, expected, ddof=classes - 1, axis=None)
    return {"chi_square": float(test.statistic), "degrees": classes * (classes - 2), "p": float(test.pvalue)}


def cost(images: np.ndarray, originals: np.ndarray) -> dict[str, float | int | None]:
    """Measure how far images are from their originals, in grey levels over all pixels; psnr in decibels."""
    errors = np.abs(images.astype(np.int16) - originals)
    rms = float(np.sqrt(np.square(errors, dtype=np.int32).mean()))
    return {
        "mean_absolute_error": float(errors.mean()),
        "rms_error": rms,
        "psnr": float(20 * np.log10(255 / rms)) if rms else None,
        "changed_share": float((errors > CHANGED).mean()),
        "largest_error": int(errors.max()),
    }


def picture(data: dict[str, np.ndarray], seed: int, path: Path) -> None:
    """Draw a row for each folder: images filed wrong, chosen at random, and on the right, framed, those filed right."""
    from matplotlib.patches import Rectangle

    rng = np.random.default_rng(seed)
    folders, labels = data["folders"], data["labels"]
    names = np.unique(folders)
    cell, head, left_margin, gap = 0.55, 0.45, 1.15, 0.3
    right_group = left_margin + SHOWN * cell + gap
    figure, axes = plots._sheet(right_group + SHOWN_RIGHT * cell + 0.1, head + len(names) * cell + 0.1)
    headings = ((f"filed wrong, {SHOWN} at random", left_margin, SHOWN), ("filed right", right_group, SHOWN_RIGHT))
    for text, left, columns in headings:
        plots._caption(axes, left + columns * cell / 2, 0.12, text, 12, columns * cell)
    for row, folder in enumerate(names):
        top = head + row * cell
        plots._caption(axes, left_margin / 2, top + 0.08, f"folder {folder}", 12, left_margin)
        plots._caption(
            axes, left_margin / 2, top + 0.3, f"{(folders == folder).sum():,} images", 9, left_margin, plots.GREY
        )
        for right, (_, left, columns) in enumerate(headings):
            found = np.flatnonzero((folders == folder) & ((labels == folder) == right))
            for column, index in enumerate(rng.permutation(found)[:columns]):
                x = left + column * cell + 0.02
                plots._picture(axes, data["images"][index], x, top + 0.02, cell - 0.04)
                if right:
                    corner, side = (x, top + 0.02), cell - 0.04
                    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=plots.BLUE, linewidth=2))
    figure.savefig(path, dpi=120)


def table(cells: dict, form: str = "", corner: str = "") -> list[str]:
    """Write rows of numbers, one number a class, below the numbers of the classes."""
    width = len(next(iter(cells.values())))
    head = f"{corner:>17}" + "".join(f"{number:>7}" for number in range(width))
    return [head, *(f"{title:>17}" + "".join(f"{cell:>7{form}}" for cell in row) for title, row in cells.items()), ""]


def report(found: dict) -> str:
    """Write what was found as text."""
    transition, jpeg, even = np.array(found["transition"]), found["jpeg"], found["evenness"]
    per_class, per_folder = (np.maximum(transition.sum(axis=axis, keepdims=True), 1) for axis in (1, 0))
    right, share = found["filed_right_in_all"], 100 * found["filed_right_share"]
    psnr = "infinite" if jpeg["psnr"] is None else f"{jpeg['psnr']:.2f} dB"
    lines = [
        "Described by true labels, which no training has seen.",
        "",
        f"{found['images']:,} images, of which {right:,} are filed right ({share:.3f} %)",
        *table(
            {name.replace("_", " "): found[name] for name in ("images_per_folder", "images_per_class", "filed_right")}
        ),
        "Images by true class (rows) and folder (columns)",
        *table(dict(enumerate(transition)), corner="class"),
        "The same in percent of the class",
        *table(dict(enumerate(100 * transition / per_class)), ".2f", "class"),
        f"Even off the diagonal? chi-square {even['chi_square']:.1f} with {even['degrees']} degrees of freedom, "
        f"p = {even['p']:.2g}",
        "",
        "What folders (rows) hold of each digit (columns), in percent of the folder",
        *table(dict(enumerate((100 * transition / per_folder).T)), ".2f", "folder"),
        "What JPEG cost, against MNIST's own pixels, in grey levels of 0 to 255",
        f"  mean absolute error       {jpeg['mean_absolute_error']:.2f}",
        f"  root mean square error    {jpeg['rms_error']:.2f}",
        f"  peak signal to noise      {psnr}",
        f"  changed by more than {CHANGED}   {100 * jpeg['changed_share']:.2f} % of the pixels",
        f"  largest error             {jpeg['largest_error']}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Describe and print, and draw where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="the folder with mnistTask3 and mnist, or 'sample'")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw images of each folder too")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images in the picture")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = load(options.data_dir)
    found = described(data)
    print(json.dumps(found, indent=1) if options.json else report(found))
    if options.picture:
        picture(data, options.seed, options.picture)


if __name__ == "__main__":
    main()
