"""Numbers to charts: every function returns a Matplotlib `Figure`, which needs neither a display nor pyplot.

Blue stands for correct predictions and training, orange for errors and validation. The palette is that of Okabe and Ito
(2008), whose colors are distinguishable with all common color vision deficiencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from midas.files import atomic
from midas.metrics.classification import ReliabilityBin
from midas.metrics.significance import wilson_interval
from midas.records import CrossValidationResult, EpochRecord, InitializationSummary, LabelEfficiency

BLUE, LIGHT_BLUE, ORANGE, GRAY, LIGHT_GRAY = "#0072b2", "#9ecae1", "#d55e00", "#666666", "#e5e5e5"
PALETTE = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINES = ("-", "--", ":", "-.")
NARROW = 4.8  # inches; figures of this width are legible on a phone
FEW_CLASSES = 12  # up to this many, cells of matrices have room for decimals


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure as PNG, whatever the suffix.

    Raises:
        MidasError: the file cannot be written.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


# ---- calibration and embeddings


def reliability(bins: Sequence[ReliabilityBin], error: float) -> Figure:
    """Draw a reliability diagram: accuracy by confidence, with 95 % intervals, and the number of predictions.

    Args:
        bins: as `classification.reliability` gives them.
        error: expected calibration error in 0-1.
    """
    figure = Figure(figsize=(NARROW, 4.4))  # fixed margins: a page has one of these for each run
    margins = {"left": 0.16, "right": 0.97, "bottom": 0.12, "top": 0.92, "hspace": 0.08}
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1), gridspec_kw=margins)
    confidence, accuracy, n = (np.array([getattr(one, key) for one in bins]) for key in ("confidence", "accuracy", "n"))
    bounds = np.array([wilson_interval(round(a * m), m) for a, m in zip(accuracy, n, strict=True)]).T
    curve.plot([0, 100], [0, 100], color=GRAY, linestyle=":", label="perfect calibration")
    spread = 100 * np.maximum([accuracy - bounds[0], bounds[1] - accuracy], 0)
    style = {"color": BLUE, "ecolor": LIGHT_BLUE, "capsize": 3}
    curve.errorbar(100 * confidence, 100 * accuracy, spread, fmt="o-", label="predictions", **style)
    curve.set(ylabel="accuracy, %", ylim=(-3, 103))
    curve.set_title(f"expected calibration error {100 * error:.2f} %", fontsize=11)
    curve.legend()
    counts.bar(100 * confidence, n, width=4, color=BLUE)
    counts.set(yscale="log", xlabel="confidence, %", ylabel="images")
    for axes in (curve, counts):
        axes.grid(color=LIGHT_GRAY)
        axes.set_axisbelow(True)
    return figure


def class_map(title: str, points: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw an embedding of images: colored dots, or with many classes the class names themselves.

    Args:
        title: above it.
        points: float coordinates (n, 2).
        labels: int array (n,).
        class_names: the k names.
    """
    figure = Figure(figsize=(NARROW, 4.6), layout="constrained")
    axes = figure.add_subplot()
    colors = colormaps["tab10"] if len(class_names) <= 10 else colormaps["hsv"].resampled(len(class_names) + 1)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[], xlim=_padded(points[:, 0]), ylim=_padded(points[:, 1]))
    style: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False, "clip_on": True}
    if len(class_names) > 10:
        for (x, y), label in zip(points, labels, strict=True):
            axes.text(x, y, class_names[label], color=np.multiply(colors(label), 0.75), fontsize=8, **style)
        return figure
    axes.scatter(points[:, 0], points[:, 1], c=colors(labels), s=7)
    for label in np.unique(labels):
        x, y = np.median(points[labels == label], axis=0)
        frame = {"facecolor": "white", "edgecolor": colors(label), "pad": 1.5}
        axes.text(x, y, class_names[label], fontsize=11, fontweight="bold", bbox=frame, **style)
    return figure


def _padded(values: np.ndarray) -> tuple[float, float]:
    margin = 0.04 * (np.ptp(values) or 1)
    return values.min() - margin, values.max() + margin


# ---- curves of trainings


def learning_curves(epochs: Sequence[EpochRecord]) -> Figure:
    """Draw loss and accuracy by epoch, and mark the epoch of the lowest validation loss and learning rate reductions.

    Args:
        epochs: of one run, as `Run.epochs` reads them.
    """
    numbers, rates, val_loss = (_column(epochs, key) for key in ("epoch", "learning_rate", "val_loss"))
    reductions = numbers[1:][rates[1:] < rates[:-1]]
    best = int(np.nanargmin(val_loss)) if np.isfinite(val_loss).any() else None
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        validation = _column(epochs, f"val_{key}")
        axes.plot(numbers, _column(epochs, key), ".-", color=BLUE, label="training")
        if best is not None:
            axes.plot(numbers, validation, ".--", color=ORANGE, label="validation")
            label = f"lowest validation loss, epoch {numbers[best]:g}"  # a tie may be decided for a later epoch
            axes.plot(numbers[best], validation[best], "*", color="black", markersize=13, label=label)
        # A rate that falls in nearly every epoch follows a smooth schedule; marking it would only fill the figure.
        if len(reductions) <= len(epochs) / 2:
            for index, epoch in enumerate(reductions):
                label = "learning rate reduced" if index == 0 else "_"  # one entry in the legend
                axes.axvline(epoch, color=GRAY, linestyle=":", linewidth=1, zorder=0, label=label)
        axes.set(xlabel="epoch", ylabel=key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(color=LIGHT_GRAY)
    figure.axes[0].legend()
    return figure


@dataclass(frozen=True)
class Curves:
    """Learning curves of one training, one per seed: float (seeds, points), NaN where a shorter one has ended.

    Attributes:
        name: for the legend.
        steps, seconds: of training at each point, float (points,).
        accuracy: validation accuracy in 0-1, float (seeds, points).
        unit: "steps", or "epochs" where steps were not recorded.
    """

    name: str
    steps: np.ndarray
    seconds: np.ndarray
    accuracy: np.ndarray
    unit: str = "steps"


def curves_of_runs(name: str, runs: Sequence[Sequence[EpochRecord]]) -> Curves | None:
    """Collect the learning curves of a training, given the epochs of each run; None without a validation set."""
    validated = [epochs for epochs in runs if np.isfinite(_column(epochs, "val_accuracy")).any()]
    if not validated:
        return None
    has_steps = all(epoch.steps is not None for epochs in validated for epoch in epochs)
    return Curves(
        name,
        np.nanmax(_columns(validated, "steps" if has_steps else "epoch"), axis=0),
        np.cumsum(np.nanmean(_columns(validated, "epoch_seconds"), axis=0)),  # which grow where a slow run has ended
        _columns(validated, "val_accuracy"),
        "steps" if has_steps else "epochs",
    )


def curves_of_initialization(summary: InitializationSummary) -> Curves:
    """Collect the learning curves of an initialization in a comparison, whose runs have the same steps."""
    return Curves(
        summary.name,
        np.array([point.steps for point in summary.curves[0]], float),
        np.mean([[point.seconds for point in curve] for curve in summary.curves], axis=0),
        np.array([[point.val_accuracy for point in curve] for curve in summary.curves], float),
    )


def compare_curves(trainings: Sequence[Curves], across: str = "steps", complementary: bool = False) -> Figure:
    """Draw the validation error of several trainings, mean and range over seeds, by steps or by seconds of training.

    Args:
        trainings: what is compared.
        across: "steps" or "seconds".
        complementary: whether validation scores are estimated from complementary labels. The estimated accuracy is then
            drawn, as the error can be estimated below 0.
    """
    if not trainings:
        return message("No run has a validation set: there are no curves to compare.")
    figure = Figure(figsize=(NARROW, 3.5 + 0.2 * len(trainings)), layout="constrained")
    _draw_curves(figure.add_subplot(), trainings, across, complementary)
    _legend_below(figure, [training.name for training in trainings])
    return figure


def _draw_curves(axes: Axes, trainings: Sequence[Curves], across: str, complementary: bool) -> None:
    """Draw what `compare_curves` does on given axes, without a legend."""
    bounds = []
    styles = cycle((color, line) for line in LINES for color in PALETTE)
    for training, (color, line) in zip(trainings, styles, strict=False):
        heights = 100 * (training.accuracy if complementary else 1 - training.accuracy)
        bounds += [np.nanmin(heights), np.nanmax(heights)]
        style: dict[str, Any] = {"linestyle": line, "marker": ".", "markersize": 4, "linewidth": 1.3}
        _band(axes, getattr(training, across), heights, color, **style)
    _validation_axis(axes, min(bounds), max(bounds), complementary)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    is_probed = any(training.steps[0] == 0 for training in trainings)
    if across == "steps" and is_probed:
        axes.set_xscale("symlog", linthresh=1)
    unit = {training.unit for training in trainings}.pop() if across == "steps" else "seconds"
    axes.set(xlabel=f"{unit} of training", xlim=(0, None))
    axes.grid(color=LIGHT_GRAY)


def _legend_below(figure: Figure, names: Sequence[str]) -> None:
    """Name the lines of the first axes below the figure, one name per line of text."""
    handles = figure.axes[0].get_lines()
    # Text set after the legend is built is taken literally: as a label, "_name" hides a line and "$" starts a formula.
    legend = figure.legend(handles, ["."] * len(handles), loc="outside lower left", fontsize=9, frameon=False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)


def compare_initializations(initializations: Sequence[InitializationSummary], complementary: bool = False) -> Figure:
    """Draw the learning curves of several initializations, mean and range over seeds, by steps and by training time.

    Args:
        initializations: with their curves, one per seed.
        complementary: as in `compare_curves`.
    """
    figure = Figure(figsize=(10, 4.4 + 0.2 * len(initializations)), layout="constrained")
    trainings = list(map(curves_of_initialization, initializations))
    for axes, across in zip(figure.subplots(1, 2, sharey=True), ("steps", "seconds"), strict=True):
        _draw_curves(axes, trainings, across, complementary)
    _legend_below(figure, [training.name for training in trainings])
    return figure


@dataclass(frozen=True)
class Dot:
    """A proportion in 0-1 with its interval, or with its lowest and highest value over seeds."""

    name: str
    value: float
    interval: tuple[float, float]
    is_first: bool = True  # of two kinds, which differ in color


def dots(rows: Sequence[Dot], marks: Mapping[str, float]) -> Figure:
    """Draw proportions as dots with intervals on an axis from 0 to 100 %, each below its name.

    Args:
        rows: from top to bottom.
        marks: proportions that are marked by vertical lines, by name.
    """
    figure = Figure(figsize=(NARROW, 0.55 * len(rows) + 0.75 + 0.2 * len(marks)), layout="constrained")
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        low, high = (100 * bound for bound in row.interval)
        color, x = BLUE if row.is_first else ORANGE, 100 * row.value
        axes.plot([low, high], [position, position], color=color, linewidth=2)
        axes.plot(x, position, "o", color=color, markersize=7)
        label = f"{row.name}: {x:.1f} %"
        text = axes.text(0, position - 0.28, label, fontsize=9, va="bottom", parse_math=False)
        text.set_in_layout(False)  # long names may pass the end of the axis
    for (name, value), line in zip(marks.items(), (":", "--", "-."), strict=False):
        axes.axvline(100 * value, color=GRAY, linestyle=line, linewidth=1.2, label=f"{name}, {100 * value:.3g} %")
    axes.set(xlim=(-2, 102), ylim=(len(rows) - 0.5, -0.95))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    if marks:
        figure.legend(loc="outside lower left", fontsize=9, frameon=False)
    return figure


def label_efficiency(records: Sequence[LabelEfficiency]) -> Figure:
    """Draw test accuracy by the number of training images per class, mean and range over seeds."""
    figure = Figure(figsize=(NARROW, 4), layout="constrained")
    axes = figure.add_subplot()
    names = dict.fromkeys(record.name for record in records)
    for name, color, line in zip(names, cycle(PALETTE), cycle(LINES), strict=False):
        ours = sorted((each for each in records if each.name == name), key=lambda each: each.images_per_class)
        counts = [each.images_per_class for each in ours]
        accuracies = 100 * np.array([each.accuracy.values for each in ours], float).T
        _band(axes, counts, accuracies, color=color, linestyle=line, marker=".", label=name)
    axes.set(xscale="log", xlabel="training images per class", ylabel="test accuracy, %")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(color=LIGHT_GRAY)
    axes.legend()
    return figure


def accuracy_against_cost(results: Sequence[CrossValidationResult]) -> Figure:
    """Draw cross-validated accuracy, with its 95 % interval, by MACs and by seconds of training."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    costs = (("macs", 1e6, "million MACs per image"), ("train_seconds", 1, "seconds of training"))
    for axes, (cost, unit, title) in zip(figure.subplots(1, 2, sharey=True), costs, strict=True):
        for result in results:
            accuracy = result.scores[0].accuracy
            low, high = accuracy.interval or (accuracy.mean, accuracy.mean)
            x, y = getattr(result, cost) / unit, 100 * accuracy.mean
            spread = [[y - 100 * low], [100 * high - y]]
            axes.errorbar(x, y, spread, fmt="o", color=BLUE, ecolor=LIGHT_BLUE, capsize=3)
            axes.annotate(result.model, (x, y), (5, 4), textcoords="offset points", fontsize=9)
        room = 1.2 * max(getattr(result, cost) / unit for result in results)  # for the names
        axes.set(xlim=(0, room), xlabel=title)
        axes.grid(color=LIGHT_GRAY)
    figure.axes[0].set_ylabel("cross-validated accuracy, %")
    return figure


def learning_rates(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float
) -> Figure:
    """Draw the loss of a learning rate range test against the rate, and mark the suggestion."""
    figure = Figure(figsize=(NARROW, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=LIGHT_BLUE, linewidth=0.8)
    axes.plot(rates, smoothed, color=BLUE)
    axes.axvline(suggestion, color=ORANGE, linestyle="--")
    low, high = min(smoothed), max(smoothed[0], np.quantile(losses, 0.9))
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss", ylim=(0.9 * low, 1.1 * high))
    axes.grid(color=LIGHT_GRAY)
    _legend_below(figure, ["loss of a batch", "smoothed", f"suggestion: {suggestion:g}"])
    return figure


def _column(epochs: Sequence[EpochRecord], key: str) -> np.ndarray:
    """Read one value of every epoch as float; None becomes NaN."""
    return np.array([getattr(epoch, key) for epoch in epochs], dtype=float)


def _columns(runs: Sequence[Sequence[EpochRecord]], key: str) -> np.ndarray:
    """Read one value of every epoch of several runs, float (runs, epochs); shorter runs end in NaN."""
    columns = [_column(epochs, key) for epochs in runs]
    found = np.full((len(columns), max(map(len, columns))), np.nan)
    for row, column in zip(found, columns, strict=True):
        row[: len(column)] = column
    return found


def _band(axes: Axes, across: Sequence[float] | np.ndarray, heights: np.ndarray, color: str, **style: Any) -> None:
    """Draw the mean of several curves, float (curves, points), and their range."""
    axes.plot(across, np.nanmean(heights, axis=0), color=color, **style)
    bounds = np.nanmin(heights, axis=0), np.nanmax(heights, axis=0)
    axes.fill_between(across, *bounds, color=color, alpha=0.15, linewidth=0)


def _validation_axis(axes: Axes, lowest: float, highest: float, complementary: bool) -> None:
    """Label an axis in percent, of errors, logarithmic if they differ widely and none is 0, or of estimates."""
    if highest > 4 * lowest > 0 and not complementary:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_ylabel("validation accuracy, estimated" if complementary else "validation error")


def message(sentence: str) -> Figure:
    """Write a sentence in place of a figure that has nothing to show."""
    figure = Figure(figsize=(7, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=11)
    return figure
