"""Records of finished runs to the figures of the page, inlined as data and described in words, and their numbers."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from midas.errors import MidasError
from midas.metrics import classification
from midas.metrics.classification import ConfusedPair, ReliabilityBin
from midas.records import Predictions
from midas.report import plot_images, plots
from midas.report.analysis import Mistake, list_mistakes
from midas.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_MISTAKES = 40
MAX_PAIRS = 8  # pairs of confused classes that are drawn with images
MIN_EMBEDDED = 10  # images whose features make a map
DPI = 100
COLORS = 64  # enough for the figures, at a third of the bytes of true color


@dataclass(frozen=True)
class Picture:
    """A figure as an `img` element: a data URL and its description."""

    src: str
    alt: str


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a confusion matrix that holds images.

    Attributes:
        row: index of the true class.
        column: index of the predicted class.
        count: images in the cell.
        total: images of the true class.
        depth: how dark it is drawn, in 0-1.
    """

    row: int
    column: int
    count: int
    total: int
    depth: float


@dataclass(frozen=True)
class ConfusionPicture:
    """A confusion matrix that the page draws as SVG, so that each cell can be pointed at."""

    class_names: Sequence[str]
    cells: list[MatrixCell]
    alt: str


@dataclass(frozen=True)
class PredictionNumbers:
    """The numbers behind the figures of a run's predictions.

    Attributes:
        confusion_matrix: counts, true classes in rows.
        confused_pairs: the most frequent ones.
        mistakes: the most confident ones.
        reliability: accuracy by confidence.
    """

    confusion_matrix: list[list[int]]
    confused_pairs: list[ConfusedPair]
    mistakes: list[Mistake]
    reliability: list[ReliabilityBin]


@dataclass(frozen=True)
class NeighborAccuracy:
    """For what proportion of the images the nearest other image is of the same class, by pixels and by features."""

    images: int
    pixels: float
    features: float


def inline(figure: Figure, alt: str) -> Picture:
    """Render a figure as a data URL with a reduced palette."""
    from PIL import Image

    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    image = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    image.save(reduced, "png", optimize=True)
    return Picture("data:image/png;base64," + base64.b64encode(reduced.getvalue()).decode(), alt)


def of_predictions(
    title: str, class_names: Sequence[str], predictions: Predictions
) -> tuple[PredictionNumbers, list[Picture | ConfusionPicture]]:
    """Draw where a run errs, and how well calibrated it is.

    Args:
        title: names the run.
        class_names: its classes.
        predictions: what it scored.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    matrix = classification.confusion_matrix(probabilities, labels, len(class_names))
    numbers = PredictionNumbers(
        matrix.tolist(),
        classification.confused_pairs(matrix, class_names),
        list_mistakes(predictions, class_names, MAX_MISTAKES),
        classification.reliability(probabilities, labels),
    )
    most = ""
    if numbers.confused_pairs:
        pair = numbers.confused_pairs[0]
        most = f"; the most frequent error is {pair.label} predicted as {pair.predicted} ({_images(pair.count)})"
    alt = f"Confusion matrix of {title}: {matrix.trace()} of {matrix.sum()} images correct{most}"
    figures: list[Picture | ConfusionPicture] = [ConfusionPicture(class_names, _matrix_cells(matrix), alt)]
    listed = ", ".join(f"{one.label} predicted as {one.predicted}" for one in numbers.mistakes[:10])
    mistakes = plot_images.mistakes(
        predictions.images, labels, probabilities, predictions.names, class_names, MAX_MISTAKES
    )
    figures.append(inline(mistakes, f"Errors of {title}, the most confident first: {listed or 'none'}"))
    if numbers.confused_pairs:
        figures.append(_pairs_picture(numbers.confused_pairs[:MAX_PAIRS], class_names, predictions))
    confident = numbers.reliability[-1]
    calibration = plots.reliability(numbers.reliability, classification.calibration_error(probabilities, labels))
    alt = (
        f"Calibration of {title}: the {confident.n} most confident predictions have a mean confidence of "
        f"{100 * confident.confidence:.1f} % and an accuracy of {100 * confident.accuracy:.1f} %"
    )
    return numbers, [*figures, inline(calibration, alt)]


def _matrix_cells(matrix: np.ndarray) -> list[MatrixCell]:
    total = matrix.sum(axis=1)
    rows, columns = matrix.nonzero()
    share = matrix[rows, columns] / total[rows]
    wrong = rows != columns
    # The square root makes rare errors visible: most occur once or twice.
    depth = (share / share[wrong].max(initial=0.01)) ** 0.5
    depth[~wrong] = share[~wrong]
    depths = (0.15 + 0.85 * depth).round(2).tolist()
    return [
        MatrixCell(row, column, int(matrix[row, column]), int(total[row]), dark)
        for row, column, dark in zip(rows.tolist(), columns.tolist(), depths, strict=True)
    ]


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _pairs_picture(pairs: Sequence[ConfusedPair], class_names: Sequence[str], predictions: Predictions) -> Picture:
    predicted, rows = predictions.probabilities.argmax(axis=1), []
    for pair in pairs:
        members = predictions.labels == class_names.index(pair.label)
        members &= predicted == class_names.index(pair.predicted)
        rows.append((f"{pair.label} → {pair.predicted}\n{_images(pair.count)}", predictions.images[members]))
    listed = ", ".join(f"{pair.label} predicted as {pair.predicted}" for pair in pairs)
    return inline(plot_images.rows_of_images(rows), f"Images of the most frequent confusions: {listed}")


def of_features(
    title: str, class_names: Sequence[str], predictions: Predictions
) -> tuple[NeighborAccuracy | None, list[Picture]]:
    """Draw t-SNE maps of images, by their pixels and by the network's features, side by side.

    Returns:
        How often nearest neighbors among these images are of the same class, and the figure; None and no figure where
        the run kept no features, or those of fewer than `MIN_EMBEDDED` images.
    """
    embedded, features = predictions.embedded, predictions.features
    if embedded is None or features is None or len(embedded) < MIN_EMBEDDED:
        return None, []
    labels = predictions.labels[embedded]
    spaces = {
        "pixels": predictions.images[embedded].reshape(len(embedded), -1) / 255,
        "features": features.astype(float),
    }
    found = {name: classification.nearest_neighbor_accuracy(points, labels) for name, points in spaces.items()}
    panels = [
        (f"{name}: {100 * found[name]:.1f} % have a nearest neighbor of the same class", tsne(points))
        for name, points in spaces.items()
    ]
    alt = (
        f"t-SNE of {len(embedded)} images by their pixels and by the features of {title}. The nearest neighbor is of "
        f"the same class for {100 * found['pixels']:.1f} % by pixels, and for {100 * found['features']:.1f} % by "
        "features"
    )
    return NeighborAccuracy(len(embedded), **found), [inline(plots.maps(panels, labels, class_names), alt)]


def tsne(points: np.ndarray) -> np.ndarray:
    """Embed points, float (n, d) with n >= 4, in the plane by t-SNE (van der Maaten and Hinton 2008): float (n, 2).

    The same points give the same embedding.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(min(50, *points.shape), random_state=0).fit_transform(points)
    return TSNE(perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(reduced)


def of_data(run: Run, class_names: Sequence[str], title: str) -> list[Picture]:
    """Draw what a run was trained on: before and after preprocessing, by class, and augmented.

    Args:
        run: whose samples are drawn; without samples there are no figures.
        class_names: its classes.
        title: names the data in words.

    Raises:
        MidasError: samples.npz is damaged.
    """
    samples = run.samples()
    if samples is None:
        return []
    try:
        titles = [class_names[label] for label in samples.prepared_labels]
        alt = f"{len(samples.pages)} of {title} before preprocessing and, below, as the network sees them"
        figures = [inline(plot_images.samples(samples.pages, samples.prepared, titles), alt)]
        if len(class_names) <= plots.FEW_CLASSES:
            rows = [(name, samples.images[samples.labels == label]) for label, name in enumerate(class_names)]
            alt = f"The first images of each of the {len(class_names)} labels in {title}"
            figures.append(inline(plot_images.rows_of_images(rows), alt))
        if samples.augmented.shape[1] > 1:
            titles = [class_names[label] for label in samples.augmented_labels]
            alt = f"Some of {title}, each with {samples.augmented.shape[1] - 1} augmented copies as in training"
            figures.append(inline(plot_images.augmented_copies(samples.augmented, titles), alt))
        return figures
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise MidasError(f"{run / 'samples.npz'}: damaged, not the samples of a run") from error


def of_transition(title: str, class_names: Sequence[str], counts: Sequence[Sequence[int]]) -> Picture:
    """Draw which labels the validation images of each class are given, taking predictions for the true classes.

    Args:
        title: names the run.
        class_names: its K classes.
        counts: images by predicted class (K rows) and complementary label (K columns).
    """
    matrix = np.array(counts, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    agreeing = matrix.trace() / matrix.sum()
    lowest, highest = shares[~np.eye(len(class_names), dtype=bool)].min(), shares.max()
    alt = (
        f"Transition matrix estimated by {title} on validation images: for {100 * agreeing:.2f} % the label equals the "
        f"prediction; the other labels are each given to {100 * lowest:.1f} to {100 * highest:.1f} % of a class"
    )
    return inline(plots.transition_matrix(shares, class_names), alt)
