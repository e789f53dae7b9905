"""What a finished run's records look like: figures inlined as data, each with its words, and the numbers they show."""

import base64
import io
import zipfile
import zlib

import numpy as np

from midas.errors import MidasError
from midas.metrics import classification as metrics
from midas.report import analysis, plots
from midas.runs import Run

MOST_MISTAKES = 40
MOST_PAIRS = 8  # of confused classes, drawn with images
FIGURE_DPI = 100
FIGURE_COLOURS = 64  # as many as the figures need; a third of the bytes of true colour


def inline(figure, alt: str) -> dict:
    """Give a figure as {"src", "alt"} for an `img`."""
    from PIL import Image

    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=FIGURE_DPI)
    image = Image.open(drawn).convert("RGB").quantize(FIGURE_COLOURS, dither=Image.Dither.NONE)
    image.save(reduced, "png", optimize=True)
    return {"src": "data:image/png;base64," + base64.b64encode(reduced.getvalue()).decode(), "alt": alt}


def of_run(label: str, names: list[str], predictions: dict[str, np.ndarray]) -> tuple[dict, list[dict]]:
    """Show where one run goes wrong and how well it knows that.

    Args:
        label: what the run is called.
        names: its classes.
        predictions: as `analysis.load_predictions` reads them.

    Returns:
        confusion, confused_pairs, mistakes and reliability, as report.json has them; and the figures.
    """
    arrays = [predictions[key] for key in ("images", "labels", "probabilities", "names")]
    matrix = metrics.confusion(predictions["probabilities"], predictions["labels"], len(names))
    pairs = metrics.confused_pairs(matrix, names)
    wrong = analysis.list_mistakes(predictions, names, MOST_MISTAKES)
    most = "; most often {true} was answered {answer}, {count} times".format(**pairs[0]) if pairs else ""
    listed = ", ".join(f"{one['true']} answered {one['answer']}" for one in wrong[:10])
    figures = [
        {
            "names": names,
            "cells": _matrix_cells(matrix),
            "alt": f"Confusion matrix of {label}: {matrix.trace()} of {matrix.sum()} images right{most}",
        },
        inline(
            plots.mistakes(*arrays, names, most=MOST_MISTAKES),
            f"Mistakes of {label}, the most confident first: {listed or 'none'}",
        ),
    ]
    if pairs:
        answers = predictions["probabilities"].argmax(axis=1)
        rows = []
        for pair in pairs[:MOST_PAIRS]:
            true, answer = names.index(pair["true"]), names.index(pair["answer"])
            members = (predictions["labels"] == true) & (answers == answer)
            rows.append(
                (f"{pair['true']} read as {pair['answer']}\n{pair['count']} of them", predictions["images"][members])
            )
        told = ", ".join(f"{pair['true']} read as {pair['answer']}" for pair in pairs[:MOST_PAIRS])
        figures.append(inline(plots.rows_of_images(rows), f"Images of the pairs confused most often: {told}"))
    bins = metrics.reliability(predictions["probabilities"], predictions["labels"])
    error = metrics.calibration_error(predictions["probabilities"], predictions["labels"])
    surest = bins[-1]
    figures.append(
        inline(
            plots.reliability(bins, error),
            f"Calibration of {label}: of the {surest['n']} answers it is surest of, by "
            f"{100 * surest['confidence']:.1f} %, {100 * surest['accuracy']:.1f} % are right",
        )
    )
    found = {"confusion": matrix.tolist(), "confused_pairs": pairs, "mistakes": wrong, "reliability": bins}
    return found, figures


def _matrix_cells(matrix) -> list[dict]:
    """List the cells of a confusion matrix that hold images, with how dark each is to be drawn, 0-1."""
    total = matrix.sum(axis=1)
    rows, columns = matrix.nonzero()
    share = matrix[rows, columns] / total[rows]
    wrong = rows != columns
    # The square root lifts rare mistakes from the paper: most are made once or twice.
    depth = (share / share[wrong].max(initial=0.01)) ** 0.5
    depth[~wrong] = share[~wrong]
    darkness = (0.15 + 0.85 * depth).round(2).tolist()
    return [
        {"row": row, "column": column, "count": int(matrix[row, column]), "of": int(total[row]), "depth": dark}
        for row, column, dark in zip(rows.tolist(), columns.tolist(), darkness, strict=True)
    ]


def of_features(label: str, names: list[str], predictions: dict[str, np.ndarray]) -> tuple[dict, list[dict]]:
    """Map images by their pixels and by what the network makes of them, side by side.

    Returns:
        neighbours, the share of images whose nearest neighbour among those drawn is of their class, by pixels and by
        features; and the figure. Both empty where a run kept no features, or those of too few images.
    """
    if len(predictions.get("mapped", ())) < 10:
        return {}, []
    mapped, labels = predictions["mapped"], predictions["labels"][predictions["mapped"]]
    spaces = {
        "pixels": predictions["images"][mapped].reshape(len(mapped), -1) / 255,
        "features": predictions["features"].astype(float),
    }
    found = {space: metrics.neighbours_alike(points, labels) for space, points in spaces.items()}
    maps = {space: plots.tsne(points) for space, points in spaces.items()}
    titles = {space: f"{space}: {100 * found[space]:.1f} % have a neighbour of their class" for space in spaces}
    told = (
        f"t-SNE of {len(mapped)} images as {label} sees them. Nearest neighbours are of the same class for "
        f"{100 * found['pixels']:.1f} % by their pixels, for {100 * found['features']:.1f} % by the network's features"
    )
    figure = plots.maps([(titles[space], maps[space]) for space in spaces], labels, names)
    return {"neighbours": {"images": len(mapped), **found}}, [inline(figure, told)]


def of_data(run: Run, names: list[str], what: str) -> list[dict]:
    """Show what a run was trained on, before and after preprocessing and deformed; nothing where it kept no samples.

    Args:
        run: whose samples.npz is read.
        names: its classes.
        what: the data's name in words.

    Raises:
        MidasError: samples.npz is broken.
    """
    path = run / "samples.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            kept = dict(archive)
        titles = [names[label] for label in kept["prepared_labels"]]
        pages = [kept[f"page_{place}"] for place in range(len(titles))]
        rows = [(names[k], kept["images"][kept["labels"] == k]) for k in range(len(names))]
        figures = [
            inline(
                plots.samples(pages, kept["prepared"], titles),
                f"{len(pages)} of {what} as they came and, below, as the network gets them",
            )
        ]
        if len(names) <= 12:
            alt = f"The first of {what} in each of {len(names)} folders"
            figures.append(inline(plots.rows_of_images(rows), alt))
        if kept["versions"].shape[1] > 1:
            deformed = [names[label] for label in kept["versions_labels"]]
            alt = f"Some of {what}, each beside {kept['versions'].shape[1] - 1} deformations as in training"
            figures.append(inline(plots.copies(kept["versions"], deformed), alt))
        return figures
    except FileNotFoundError:
        return []
    except (
        *(OSError, LookupError, ValueError, TypeError, AttributeError),
        *(EOFError, RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise MidasError(f"{path}: broken, not the samples a run keeps") from error


def of_folders(label: str, names: list[str], filed: list[list[int]]) -> dict:
    """Show where the held-out images of each class are filed, as a run's answers tell.

    Args:
        label: what the run is called.
        names: its classes.
        filed: counts (K, K), answers in rows and folders in columns.
    """
    counts = np.array(filed, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    own = counts.trace() / counts.sum()
    alt = (
        f"Transition matrix as {label} sees it in held-out images: {100 * own:.2f} % lie in the folder of what they "
        f"are read as, and the others in each other folder for "
        f"{100 * shares[~np.eye(len(names), dtype=bool)].min():.1f} to {100 * shares.max():.1f} % of a class"
    )
    return inline(plots.transition(shares, names), alt)
