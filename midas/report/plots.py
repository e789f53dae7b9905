"""Tables to figures: every function returns a Matplotlib `Figure`, which needs no display and no pyplot.

Blue is what is right or trained on and orange what is wrong or held out; the rest of the palette is that of Okabe and
Ito (2008), which people with any common colour blindness can tell apart.
"""

import re
from itertools import cycle, pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from midas.metrics import classification as metrics

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#666666"
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINES = ("-", "--", ":", "-.")


def confusion_matrix(matrix: np.ndarray, class_names: list[str], normalised: bool) -> Figure:
    """Draw how often each class was answered as each: right answers on a blue scale, mistakes on an orange one.

    Args:
        matrix: int array (k, k), truth in rows, as `metrics.confusion` gives it.
        class_names: the k names.
        normalised: write the cells as percentages of their true class instead of counts.
    """
    k = len(class_names)
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)
    diagonal = np.eye(k, dtype=bool)
    side = max(5.5, 0.24 * k + 1.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shown = share if normalised else matrix
    most = max(shown[~diagonal].max(initial=0), 0.01 if normalised else 1)
    # The square root lifts rare mistakes from the paper: most are made once or twice.
    wrong = axes.imshow(
        np.ma.masked_array(shown, diagonal | (matrix == 0)), cmap="Oranges", norm=PowerNorm(0.5, 0, 1.4 * most)
    )
    right = axes.imshow(np.ma.masked_array(share, ~diagonal | (matrix == 0)), cmap="Blues", vmin=0, vmax=1.4)
    size = 12 if k <= 12 else 7
    for row, column in zip(*np.nonzero(matrix), strict=True):
        text = _percent(share[row, column], decimals=k <= 12) if normalised else str(matrix[row, column])
        picture = right if row == column else wrong
        colour = picture.cmap(picture.norm(shown[row, column] if picture is wrong else share[row, column]))
        ink = "black" if np.dot(colour[:3], (0.299, 0.587, 0.114)) > 0.55 else "white"
        shrunk = size * min(1, 3.2 / len(text))
        axes.text(column, row, text, ha="center", va="center", fontsize=shrunk, color=ink, clip_on=True)
    rotation = 90 if max(map(len, class_names)) > 2 else 0
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(k), class_names, fontsize=max(size, 9), parse_math=False)
        axis.set_ticks(np.arange(k + 1) - 0.5, minor=True)
    axes.tick_params(which="major", length=0, top=True, labeltop=True, right=True, labelright=True)
    axes.tick_params(axis="x", labelrotation=rotation)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color="#dddddd", linewidth=0.5)
    for place, (before, after) in enumerate(pairwise(class_names)):
        if _kind(before) != _kind(after):
            axes.axhline(place + 0.5, color=GREY, linewidth=0.8)
            axes.axvline(place + 0.5, color=GREY, linewidth=0.8)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    unit = "percent of the true class" if normalised else "number of images"
    axes.set_title(f"{matrix.trace():,} of {matrix.sum():,} images right (blue diagonal)\nin the cells: {unit}", pad=12)
    return figure


def _percent(share: float, decimals: bool) -> str:
    text = f"{100 * share:.{int(decimals)}f}"
    return "<1" if text == "0" else "<.1" if text == "0.0" else text


def _kind(name: str) -> tuple[bool, bool]:
    return name.isdigit(), name.isupper()


def reliability(parts: list[dict], error: float) -> Figure:
    """Draw how often answers are right by how sure the network is of them, and how many there are of each.

    Args:
        parts: bins, as `metrics.reliability` gives them.
        error: the expected calibration error, 0-1.
    """
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    sure, right, n = (np.array([part[key] for part in parts]) for key in ("confidence", "accuracy", "n"))
    bounds = np.array([metrics.wilson_interval(round(a * m), m) for a, m in zip(right, n, strict=True)]).T
    curve.plot([0, 100], [0, 100], color=GREY, linestyle=":", label="as often right as it says")
    spread = 100 * np.maximum([right - bounds[0], bounds[1] - right], 0)
    curve.errorbar(100 * sure, 100 * right, spread, fmt="o-", color=BLUE, ecolor="#9ecae1", capsize=3, label="answers")
    curve.set_ylabel("right, %")
    curve.set_ylim(-3, 103)
    curve.set_title(f"expected calibration error {100 * error:.2f} %", fontsize=11)
    curve.legend()
    counts.bar(100 * sure, n, width=4, color=BLUE)
    counts.set_yscale("log")
    counts.set_ylabel("images")
    counts.set_xlabel("probability of the answer, %")
    for axes in (curve, counts):
        axes.grid(color="#e5e5e5")
        axes.set_axisbelow(True)
    return figure


def learning_curves(records: list[dict]) -> Figure:
    """Draw loss and accuracy by epoch, with the epoch of the lowest validation loss and the falls of the learning rate.

    Args:
        records: one run's epochs, as `Run.metrics` reads them.
    """
    epochs = _column(records, "epoch")
    rates = _column(records, "learning_rate")
    falls = epochs[1:][rates[1:] < rates[:-1]]
    val_loss = _column(records, "val_loss")
    best = int(np.nanargmin(val_loss)) if np.isfinite(val_loss).any() else None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        held_out = _column(records, f"val_{key}")
        axes.plot(epochs, _column(records, key), ".-", color=BLUE, label="training")
        if best is not None:
            axes.plot(epochs, held_out, ".--", color=ORANGE, label="validation")
            axes.plot(
                epochs[best], held_out[best], "*", color="black", markersize=13, label=f"best epoch, {epochs[best]:g}"
            )
        # A rate that falls at nearly every epoch is a smooth schedule, and marking it would be hatching.
        if len(falls) <= len(records) / 2:
            for index, epoch in enumerate(falls):
                label = "learning rate lowered" if index == 0 else None
                axes.axvline(epoch, color=GREY, linestyle=":", linewidth=1, zorder=0, label=label)
        _epoch_axis(axes)
        axes.set_ylabel(key)
    figure.axes[0].legend()
    return figure


def compare_curves(runs_records: dict[str, list[list[dict]]], as_labelled: bool = False) -> Figure:
    """Draw the validation error of several trainings, mean and range over their seeds, by steps and by training time.

    Args:
        runs_records: the epochs of each training's runs, one a seed, by the name it shall have in the legend; runs
            without validation images are left out.
        as_labelled: the validation labels are folders, not the truth; the accuracy they tell of is drawn, not an
            error, which would say nothing.
    """
    trainings = {}
    for name, runs in runs_records.items():
        held_out = [records for records in runs if np.isfinite(_column(records, "val_accuracy")).any()]
        if held_out:
            trainings[name] = held_out
    if not trainings:
        return _words("No run held validation images out: there are no curves to compare.")
    unit = "steps" if all("steps" in r for runs in trainings.values() for rs in runs for r in rs) else "epoch"
    figure = Figure(figsize=(10, 4.2 + 0.22 * ((len(trainings) + 2) // 3)), layout="constrained")
    by_step, by_time = figure.subplots(1, 2, sharey=True)
    lowest, handles = np.inf, []
    lines = cycle((colour, line) for line in LINES for colour in PALETTE)
    for runs, (colour, line) in zip(trainings.values(), lines, strict=False):
        accuracy = 100 * _columns(runs, "val_accuracy")
        heights = accuracy if as_labelled else 100 - accuracy
        lowest = min(lowest, np.nanmin(heights))
        seconds = np.nanmean(np.cumsum(_columns(runs, "epoch_seconds"), axis=1), axis=0)
        style = {"color": colour, "linestyle": line, "marker": ".", "markersize": 4, "linewidth": 1.3}
        for axes, across in ((by_step, np.nanmax(_columns(runs, unit), axis=0)), (by_time, seconds)):
            drawn = _band(axes, across, heights, **style)
        handles.append(drawn)
    _validation_axis(by_step, lowest, as_labelled)
    _epoch_axis(by_step)
    by_step.set_xlabel("steps of training" if unit == "steps" else "epoch")
    by_time.set_xlabel("seconds of training")
    by_time.set_xlim(left=0)
    by_time.grid(color="#e5e5e5")
    # Text handed over after the legend is built escapes two rules: "_name" hides a line, "$" starts a formula.
    legend = figure.legend(handles, ["."] * len(handles), loc="outside lower center", ncols=3, fontsize=9)
    for text, name in zip(legend.get_texts(), trainings, strict=True):
        text.set(text=name, parse_math=False)
    return figure


def compare_starts(starts: list[dict], as_labelled: bool = False) -> Figure:
    """Draw the learning curves of several starts, mean and range over seeds, by steps and by seconds of training.

    Args:
        starts: records with start, and curves, one a seed, as `comparison.curve` lays them out.
        as_labelled: as `compare_curves` takes it.
    """
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    by_step, by_time = figure.subplots(1, 2, sharey=True)
    errors = []
    for start, colour, line in zip(starts, cycle(PALETTE), cycle(LINES), strict=False):
        curves = start["curves"]
        steps = [point["steps"] for point in curves[0]]
        found = 100 * np.array([[point["val_accuracy"] for point in curve] for curve in curves])
        found = found if as_labelled else 100 - found
        seconds = np.mean([[point["seconds"] for point in curve] for curve in curves], axis=0)
        errors.append(found.min())
        for axes, across in ((by_step, steps), (by_time, seconds)):
            _band(axes, across, found, color=colour, linestyle=line, marker=".", label=start["start"])
    _validation_axis(by_step, min(errors), as_labelled)
    by_step.set_xscale("symlog", linthresh=1)
    by_step.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    by_step.set_xlabel("steps of training")
    by_time.set_xlabel("seconds of training, mean over seeds")
    for axes in (by_step, by_time):
        axes.set_xlim(left=0)
        axes.grid(color="#e5e5e5")
    figure.legend(*by_step.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def label_efficiency(few: list[dict]) -> Figure:
    """Draw test accuracy by the number of images a class that were trained on, mean and range over seeds.

    Args:
        few: records with start, images_a_class and values, one a seed.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    starts = dict.fromkeys(record["start"] for record in few)
    for start, colour, line in zip(starts, cycle(PALETTE), cycle(LINES), strict=False):
        records = sorted((r for r in few if r["start"] == start), key=lambda record: record["images_a_class"])
        counts = [record["images_a_class"] for record in records]
        accuracies = 100 * np.array([record["values"] for record in records]).T
        _band(axes, counts, accuracies, color=colour, linestyle=line, marker=".", label=start)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("images a class")
    axes.set_ylabel("test accuracy, %, mean and range over seeds")
    axes.grid(color="#e5e5e5")
    axes.legend()
    return figure


def accuracy_against_cost(results: list[dict]) -> Figure:
    """Draw cross-validated accuracy, with its 95 % interval, by multiply-adds and by seconds of training.

    Args:
        results: what `validation.cross_validate` writes as result.json, one for each network.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    costs = (("multiply_adds", 1e6, "million multiply-adds for one image"), ("train_seconds", 1, "seconds of training"))
    for axes, (cost, unit, title) in zip(figure.subplots(1, 2, sharey=True), costs, strict=True):
        for result in results:
            accuracy = result["scores"][0]["accuracy"]
            low, high = accuracy["interval"]
            x, y = result[cost] / unit, 100 * accuracy["mean"]
            axes.errorbar(x, y, [[y - 100 * low], [100 * high - y]], fmt="o", color=BLUE, ecolor="#9ecae1", capsize=3)
            axes.annotate(result["model"], (x, y), (5, 4), textcoords="offset points", fontsize=9)
        axes.set_xlim(0, 1.2 * max(result[cost] / unit for result in results))  # room for the names
        axes.set_xlabel(title)
        axes.grid(color="#e5e5e5")
    figure.axes[0].set_ylabel("cross-validated accuracy, %")
    return figure


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: np.ndarray,
    class_names: list[str],
    most: int = 60,
) -> Figure:
    """Draw the images answered wrongly, the most confident first, captioned "true → answer confidence".

    Args:
        images: uint8 array (n, side, side), light ink on black.
        labels: int array (n,).
        probabilities: float array (n, k).
        names: str array (n,), of which the file's name is shown.
        class_names: the k names.
        most: draw no more than this many.
    """
    wrong = metrics.mistakes(probabilities, labels)
    if len(wrong) == 0:
        return _words(f"No mistakes: all {len(labels):,} images were answered correctly.")
    shown = wrong[:most]
    columns = min(10, len(shown))
    rows = -(-len(shown) // columns)
    cell_width, cell_height, head = 1.15, 1.5, 0.45
    figure, axes = _sheet(max(columns * cell_width, 5), rows * cell_height + head)
    which = "" if len(shown) == len(wrong) else f"the {len(shown)} most confident of "
    axes.text(0.1, 0.25, f"{which}{len(wrong):,} mistakes on {len(labels):,} images", fontsize=11, va="center")
    for place, index in enumerate(shown):
        left, top = place % columns * cell_width, place // columns * cell_height + head
        answer = probabilities[index].argmax()
        confidence = f"{100 * probabilities[index, answer]:.0f} %"
        _picture(axes, images[index], left + 0.12, top, cell_width - 0.24)
        caption = f"{class_names[labels[index]]} → {class_names[answer]}"
        joint = "  " if len(caption) < 7 else "\n"
        middle = left + cell_width / 2
        _caption(axes, middle, top + 0.93, caption + joint + confidence, 10, cell_width)
        below = top + (1.13 if joint == "  " else 1.25)
        _caption(axes, middle, below, _short_name(names[index]), 6.5, cell_width, GREY)
    return figure


def suspects(
    images: np.ndarray, filed: list[str], looks: list[str], probabilities: np.ndarray, names: np.ndarray, title: str
) -> Figure:
    """Draw images that may be in the wrong folder, captioned with the folder, the likeliest class and its probability.

    Args:
        images: uint8 array (n, side, side), light ink on black.
        filed: n names of classes.
        looks: n names of classes.
        probabilities: float array (n,), of what it looks like.
        names: str array (n,), of which the file's name is shown.
        title: a line above all.
    """
    if not len(images):
        return _words("There is nothing to suspect.")
    cell_width, cell_height, head = 1.35, 1.95, 0.45
    columns = min(10, len(images))
    figure, axes = _sheet(max(columns * cell_width, 6), -(-len(images) // columns) * cell_height + head)
    axes.text(0.1, 0.25, title, fontsize=11, va="center")
    for place, (image, folder, look) in enumerate(zip(images, filed, looks, strict=True)):
        left, top = place % columns * cell_width, place // columns * cell_height + head
        middle, width = left + cell_width / 2, cell_width - 0.1
        _picture(axes, image, left + 0.15, top, cell_width - 0.3)
        _caption(axes, middle, top + 1.1, f"filed as {folder}", 10, width)
        _caption(axes, middle, top + 1.29, f"looks like {look}", 10, width, BLUE if look == folder else ORANGE)
        _caption(axes, middle, top + 1.48, f"{100 * probabilities[place]:.0f} %", 10, width)
        _caption(axes, middle, top + 1.68, _short_name(names[place]), 6.5, width, GREY)
    return figure


def rows_of_images(rows: list[tuple[str, np.ndarray]]) -> Figure:
    """Draw images in rows, each with a caption on the left.

    Args:
        rows: at least one of a caption and uint8 images (n, side, side), of which ten are drawn at most.
    """
    columns, cell, left_margin = min(10, max(len(images) for _, images in rows)), 0.9, 1.6
    figure, axes = _sheet(left_margin + columns * cell + 0.1, len(rows) * cell + 0.2)
    for row, (title, images) in enumerate(rows):
        _caption(axes, left_margin / 2, 0.1 + row * cell + 0.3, title, 11, left_margin - 0.1)
        for column, image in enumerate(images[:columns]):
            _picture(axes, image, left_margin + column * cell + 0.03, 0.1 + row * cell + 0.03, cell - 0.06)
    return figure


def transition(matrix: np.ndarray, class_names: list[str]) -> Figure:
    """Draw the folders that the images of each class are filed in, as percentages of the class.

    Args:
        matrix: float array (k, k), true classes in rows that sum to 1.
        class_names: the k names.
    """
    k = len(class_names)
    side = max(5.5, 0.24 * k + 1.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    # The square root lifts the rare wrong folders from the paper, as in the confusion matrix.
    picture = axes.imshow(matrix, cmap="Blues", norm=PowerNorm(0.5, 0, 1.4))
    for row, column in zip(*np.nonzero(matrix >= (0.0005 if k <= 12 else 0.02)), strict=True):
        text = f"{100 * matrix[row, column]:.{int(k <= 12)}f}"
        dark = np.dot(picture.cmap(picture.norm(matrix[row, column]))[:3], (0.299, 0.587, 0.114)) < 0.55
        size = 10 if k <= 12 else 7
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if dark else "black")
    rotation = 90 if max(map(len, class_names)) > 2 else 0
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(k), class_names, fontsize=12 if k <= 12 else 9, parse_math=False)
    axes.tick_params(length=0, top=True, labeltop=True)
    axes.tick_params(axis="x", labelrotation=rotation)
    axes.set_xlabel("folder")
    axes.set_ylabel("true class, as estimated")
    axes.set_title("where the images of each class are filed, in percent", pad=12)
    return figure


def samples(before: list[np.ndarray], after: np.ndarray, titles: list[str], columns: int = 11) -> Figure:
    """Draw what preprocessing did: each page as it came, below it the glyph as the network sees it, the class on top.

    Args:
        before: n uint8 arrays (height, width), of any size.
        after: uint8 array (n, side, side).
        titles: n captions.
        columns: pairs beside each other.
    """
    columns = min(columns, len(before))
    cell_width, cell_height = 1.1, 2.2
    figure, axes = _sheet(columns * cell_width, -(-len(before) // columns) * cell_height)
    for place, (page, glyph, title) in enumerate(zip(before, after, titles, strict=True)):
        left, top = place % columns * cell_width, place // columns * cell_height
        _caption(axes, left + cell_width / 2, top + 0.07, title, 11, cell_width)
        _picture(axes, thumbnail(page), left + 0.05, top + 0.28, 1, 0.9)
        _picture(axes, glyph, left + 0.1, top + 1.22, 0.9)
    return figure


def tsne(points: np.ndarray) -> np.ndarray:
    """Lay points out in a plane so that neighbours stay neighbours: t-SNE (van der Maaten and Hinton 2008).

    Args:
        points: float array (n, d), n at least 4.

    Returns:
        float array (n, 2), the same for the same points.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    few = PCA(min(50, *points.shape), random_state=0).fit_transform(points)
    return TSNE(perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(few)


def maps(panels: list[tuple[str, np.ndarray]], labels: np.ndarray, class_names: list[str]) -> Figure:
    """Draw images as points in planes side by side: coloured dots, or with many classes the class names themselves.

    Args:
        panels: a title and float coordinates (n, 2) for each plane.
        labels: int array (n,).
        class_names: the k names.
    """
    figure = Figure(figsize=(5.2 * len(panels), 5.4), layout="constrained")
    colours = colormaps["tab10"] if len(class_names) <= 10 else colormaps["hsv"].resampled(len(class_names) + 1)
    for axes, (title, places) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_title(title, fontsize=11)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set(xlim=_padded(places[:, 0]), ylim=_padded(places[:, 1]))
        style = {"ha": "center", "va": "center", "parse_math": False, "clip_on": True}
        if len(class_names) > 10:
            for (x, y), label in zip(places, labels, strict=True):
                axes.text(x, y, class_names[label], color=np.multiply(colours(label), 0.75), fontsize=7, **style)
            continue
        axes.scatter(*places.T, c=colours(labels), s=7)
        for label in np.unique(labels):
            x, y = np.median(places[labels == label], axis=0)
            frame = {"facecolor": "white", "edgecolor": colours(label), "pad": 1.5}
            axes.text(x, y, class_names[label], fontsize=11, fontweight="bold", bbox=frame, **style)
    return figure


def _padded(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (np.ptp(values) or 1)
    return values.min() - margin, values.max() + margin


def copies(versions: np.ndarray, titles: list[str]) -> Figure:
    """Draw augmented copies: a row for each image, the image itself on the left, its numbered copies beside it.

    Args:
        versions: uint8 array (n, 1 + copies, side, side).
        titles: n captions, left of the rows.
    """
    rows, columns = versions.shape[:2]
    cell, left_margin, gap, head = 0.9, 0.9, 0.2, 0.35
    figure, axes = _sheet(left_margin + columns * cell + gap + 0.1, head + rows * cell + 0.1)
    for column in range(columns):
        left = left_margin + column * cell + (gap if column else 0)
        _caption(axes, left + cell / 2, 0.1, str(column) if column else "original", 10, cell, GREY)
        for row in range(rows):
            _picture(axes, versions[row, column], left + 0.03, head + row * cell + 0.03, cell - 0.06)
    for row, title in enumerate(titles):
        _caption(axes, left_margin / 2, head + row * cell + 0.38, title, 13, left_margin)
    return figure


def _column(records: list[dict], key: str) -> np.ndarray:
    """Read one key of every record as float; what is absent or null is NaN."""
    return np.array([record.get(key) for record in records], dtype=float)


def _validation_axis(axes: Axes, lowest: float, as_labelled: bool) -> None:
    """Label an axis of errors in percent, logarithmic if none is 0, or one of accuracies that labels only tell of."""
    if lowest > 0 and not as_labelled:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_ylabel("validation accuracy, as the folders tell it" if as_labelled else "validation error")


def _band(axes: Axes, across, heights: np.ndarray, color: str, **style):
    """Draw the mean of several curves, (curves, points), and their range around it; gives the line of the mean."""
    (line,) = axes.plot(across, np.nanmean(heights, axis=0), color=color, **style)
    bounds = np.nanmin(heights, axis=0), np.nanmax(heights, axis=0)
    axes.fill_between(across, *bounds, color=color, alpha=0.15, linewidth=0)
    return line


def _columns(runs: list[list[dict]], key: str) -> np.ndarray:
    """Read one key of every record of several runs, a row each; short runs end in NaN."""
    columns = [_column(records, key) for records in runs]
    found = np.full((len(columns), max(map(len, columns))), np.nan)
    for row, column in zip(found, columns, strict=True):
        row[: len(column)] = column
    return found


def _epoch_axis(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="both", color="#e5e5e5")


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a blank figure whose one coordinate system is inches from the top left: a hundred axes would be slow."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return figure, axes


def _picture(axes: Axes, image: np.ndarray, left: float, top: float, width: float, height: float | None = None) -> None:
    """Fit a grey image into a box of a sheet, centred and undistorted."""
    height = height or width
    scale = min(width / image.shape[1], height / image.shape[0])
    across, down = image.shape[1] * scale, image.shape[0] * scale
    left, top = left + (width - across) / 2, top + (height - down) / 2
    extent = (left, left + across, top + down, top)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="nearest")
    axes.add_patch(Rectangle((left, top), across, down, fill=False, edgecolor="#999999", linewidth=0.5))


def _caption(axes: Axes, x: float, y: float, text: str, size: float, width: float, colour: str = "black") -> None:
    """Write text below (x, y), no larger than fits into `width` inches; of a hopelessly long line the end is kept."""
    lines = [line if len(line) <= 26 else f"…{line[-25:]}" for line in text.split("\n")]
    # A letter of Matplotlib's default typeface is 0.68 of its height wide, arrows allowed for, and a point 1/72 inch.
    size = min(size, 72 * width / (0.68 * max(map(len, lines))))
    style = {"ha": "center", "va": "top", "linespacing": 1.05, "parse_math": False}
    axes.text(x, y, "\n".join(lines), fontsize=size, color=colour, **style)


def _short_name(name: str) -> str:
    """Shorten where an image came from to its file's name, or to its number in a file of many.

    >>> _short_name("train/Sample001/img001-001.png"), _short_name("mnist/t10k-images-idx3-ubyte.gz[9729]")
    ('img001-001.png', 'no. 9729')
    """
    return re.sub(r".*\[(\d+)\]$", r"no. \1", str(name).rsplit("/", 1)[-1])


def thumbnail(page: np.ndarray) -> np.ndarray:
    """Shrink a page by whole blocks of pixels: a thin stroke grows pale but is not lost, as it is in sampling."""
    step = max(1, min(page.shape) // 150)
    height, width = (length // step for length in page.shape)
    blocks = page[: height * step, : width * step].reshape(height, step, width, step)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _words(sentence: str) -> Figure:
    figure, axes = _sheet(7, 1)
    axes.text(3.5, 0.5, sentence, ha="center", va="center", fontsize=11)
    return figure
