"""Records of finished runs to the figures of the page, each with a caption, and their numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from midas.errors import counted
from midas.metrics import classification
from midas.metrics.classification import ConfusedPair, ReliabilityBin
from midas.records import Predictions
from midas.report import plots
from midas.report.analysis import Mistake, list_mistakes
from midas.report.sheets import Sheet, Tile

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure
    from scipy.sparse import csr_array

MAX_MISTAKES = 24
MAX_PAIRS, PAIR_IMAGES = 6, 8  # pairs of confused classes that are drawn, and images of each
MAX_FOCUS = 12  # classes of the matrix that opens on what is confused
CELL_IMAGES = 4  # images that a cell of a confusion matrix shows
MIN_EMBEDDED, MAX_EMBEDDED = 10, 200  # images that make a map
# The colors of Matplotlib's figures, as the page names them.
COLORS = {
    plots.BLUE: "var(--blue)",
    plots.ORANGE: "var(--orange)",
    plots.LIGHT_BLUE: "var(--light-blue)",
    plots.GRAY: "var(--faint)",
    plots.LIGHT_GRAY: "var(--line)",
    "#cccccc": "var(--line)",
    "#ffffff": "var(--paper)",
    "#000000": "currentColor",
}


@dataclass(frozen=True)
class Drawing:
    """A chart as an SVG element in the page's colors, what it shows in words, and a caption."""

    svg: Markup
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Rows of images with a caption; a row without a title flows."""

    rows: list[tuple[str, list[Tile]]]
    caption: str


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a matrix.

    Attributes:
        row, column: indices of the classes.
        text: what is written into it, where there is room.
        title: what it says in words.
        depth: how dark it is drawn, in 0-1.
        is_correct: whether it is drawn in blue, as the diagonal of a confusion matrix; errors are orange.
        tiles: some of its images.
    """

    row: int
    column: int
    text: str
    title: str
    depth: float
    is_correct: bool
    tiles: tuple[Tile, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """A matrix of classes by classes, whose cells can be pointed at."""

    class_names: Sequence[str]
    columns_title: str
    rows_title: str
    cells: list[MatrixCell]
    caption: str
    summary: str | None = None  # folded below this line


Figures = list[Drawing | Gallery | Matrix]


@dataclass(frozen=True)
class RunFigures:
    """The figures of a run's predictions; the images of its confused pairs are also on the first screen."""

    figures: Figures
    pairs: Gallery | None


@dataclass(frozen=True)
class PredictionNumbers:
    """The numbers behind the figures of a run's predictions.

    Attributes:
        confusion_matrix: counts, true classes in rows; None for more than `MANY_CLASSES` classes.
        confused_pairs: the most frequent ones.
        mistakes: the most confident ones.
        reliability: accuracy by confidence.
    """

    confusion_matrix: list[list[int]] | None
    confused_pairs: list[ConfusedPair]
    mistakes: list[Mistake]
    reliability: list[ReliabilityBin]


@dataclass(frozen=True)
class NeighborAccuracy:
    """For what proportion of the images the nearest other image is of the same class, by pixels and by features."""

    images: int
    pixels: float
    features: float


# ---- charts


def draw(figure: Figure, alt: str, caption: str) -> Drawing:
    """Render a figure as an SVG element whose colors are those of the page, in light and dark."""
    from markupsafe import Markup, escape
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    svg = re.sub(
        r"^.*?(?=<svg)|<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", svg, flags=re.S
    )
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    for color, name in COLORS.items():
        svg = svg.replace(color, name)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--chart)", svg)
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)  # hundredths of a point are enough
    width = float(re.search(r'width="([\d.]+)pt"', svg)[1]) / 12  # type: ignore[index]
    head = f'<svg role="img" aria-label="{escape(alt)}" style="width: {width:.1f}rem" viewBox'
    svg = re.sub(r"<svg.*?viewBox", lambda _: head, svg, count=1, flags=re.S)
    return Drawing(Markup(re.sub(r"\n\s*", "\n", svg)), alt, caption)


# ---- predictions


def of_predictions(
    title: str, class_names: Sequence[str], predictions: Predictions, sheet: Sheet
) -> tuple[PredictionNumbers, RunFigures]:
    """Draw where a run errs, and how well calibrated it is.

    Args:
        title: names the run.
        class_names: its classes.
        predictions: what it scored.
        sheet: of the images of the predictions.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    matrix = classification.confusion_matrix(predictions.predicted, labels, len(class_names))
    numbers = PredictionNumbers(
        matrix.toarray().tolist() if len(class_names) <= classification.MANY_CLASSES else None,
        classification.confused_pairs(matrix, class_names),
        list_mistakes(predictions, class_names, MAX_MISTAKES),
        classification.reliability(probabilities, labels),
    )
    figures = _confusion(matrix, numbers.confused_pairs, class_names, predictions, sheet)
    pairs = None
    if numbers.confused_pairs:
        pairs = pairs_gallery(numbers.confused_pairs[:MAX_PAIRS], class_names, predictions, sheet)
        figures.append(pairs)
    figures.append(_mistakes(class_names, predictions, sheet))
    confident = numbers.reliability[-1]
    error = classification.calibration_error(probabilities, labels)
    alt = (
        f"Calibration of {title}: the {confident.n:,} most confident predictions have a mean confidence of "
        f"{100 * confident.confidence:.1f} % and an accuracy of {100 * confident.accuracy:.1f} %"
    )
    caption = (
        "How far the network's confidence can be trusted: predictions are grouped by confidence, and each dot shows "
        "how many of a group are correct, with its 95 % interval. On the dotted line, confidence equals accuracy. "
        "Below, how many predictions each group has."
    )
    figures.append(draw(plots.reliability(numbers.reliability, error), alt, caption))
    return numbers, RunFigures(figures, pairs)


def _confusion(
    matrix: csr_array,
    pairs: Sequence[ConfusedPair],
    class_names: Sequence[str],
    predictions: Predictions,
    sheet: Sheet,
) -> Figures:
    """Draw the confusion matrix; of many classes first those that are most confused."""
    predicted, labels = predictions.predicted, predictions.labels
    totals = matrix.sum(axis=1)
    caption = (
        f"Each row is a true class, each column the class that its images were taken for: correct ones in blue, errors "
        f"in orange, the darker the more frequent. {matrix.trace():,} of {matrix.sum():,} images are correct. Click a "
        "cell to see some of its images."
    )

    def build(chosen: list[int], caption: str, summary: str | None = None) -> Matrix:
        part = matrix[chosen][:, chosen].toarray()
        names, cells = [class_names[index] for index in chosen], []
        for row, column, depth in _depths(part, totals[chosen]):
            members = np.flatnonzero((labels == chosen[row]) & (predicted == chosen[column]))[:CELL_IMAGES]
            count, total = int(part[row, column]), int(totals[chosen[row]])
            title = f"{names[row]} taken for {names[column]}: {count:,} of {counted(total, 'image')}"
            if row == column:
                title = f"{names[row]} recognized: {count:,} of {counted(total, 'image')}"
            tiles = tuple(sheet.tile(index) for index in members)
            cells.append(MatrixCell(row, column, f"{count}", title, depth, row == column, tiles))
        return Matrix(names, "taken for", "true class", cells, caption, summary)

    everything = list(range(len(class_names)))
    if len(class_names) <= plots.FEW_CLASSES:
        return [build(everything, f"Confusion matrix. {caption}")]
    focus = classification.most_confused(pairs, class_names, MAX_FOCUS)
    found: Figures = []
    if focus:
        found.append(build(focus, f"Confusion matrix of the {len(focus)} classes that are confused most. {caption}"))
    if len(class_names) <= classification.MANY_CLASSES:
        found.append(
            build(everything, f"Confusion matrix of all classes. {caption}", f"All {len(class_names)} classes")
        )
    return found


def _depths(matrix: np.ndarray, total: np.ndarray) -> list[tuple[int, int, float]]:
    """List the cells that hold images, each with how dark it is drawn."""
    rows, columns = matrix.nonzero()
    share = matrix[rows, columns] / total[rows]
    wrong = rows != columns
    # The square root makes rare errors visible: most occur once or twice.
    depth = (share / share[wrong].max(initial=0.01)) ** 0.5
    depth[~wrong] = share[~wrong]
    return list(zip(rows.tolist(), columns.tolist(), (0.15 + 0.85 * depth).round(2).tolist(), strict=True))


def pairs_gallery(
    pairs: Sequence[ConfusedPair], class_names: Sequence[str], predictions: Predictions, sheet: Sheet
) -> Gallery:
    """Show images of confused pairs of classes, a row for each."""
    predicted, rows = predictions.predicted, []
    for pair in pairs:
        members = predictions.labels == class_names.index(pair.label)
        members &= predicted == class_names.index(pair.predicted)
        alt = f"{pair.label}, taken for {pair.predicted}"
        tiles = [sheet.tile(index, alt=alt) for index in np.flatnonzero(members)[:PAIR_IMAGES]]
        rows.append((f"{pair.label} taken for {pair.predicted} ({counted(pair.count, 'image')})", tiles))
    return Gallery(rows, "The most frequent errors: the true class, what it was taken for, and images of each.")


def _mistakes(class_names: Sequence[str], predictions: Predictions, sheet: Sheet) -> Gallery:
    probabilities, labels = predictions.probabilities, predictions.labels
    wrong = classification.misclassified(probabilities, labels)
    tiles = []
    for index in wrong[:MAX_MISTAKES]:
        best = probabilities[index].argmax()
        true, taken = class_names[labels[index]], class_names[best]
        lines = (f"{true} → {taken}", f"{100 * probabilities[index, best]:.0f} %")
        tiles.append(sheet.tile(index, lines, f"{predictions.names[index]}: {true} taken for {taken}"))
    if not tiles:
        return Gallery([], f"No errors among {counted(len(labels), 'image')}.")
    which = "All errors" if len(tiles) == len(wrong) else f"The {len(tiles)} most confident of {len(wrong):,} errors"
    caption = f"{which}: the true class, what it was taken for, and how confident the network was."
    return Gallery([("", tiles)], caption)


# ---- maps


def neighbor_accuracy(predictions: Predictions) -> NeighborAccuracy | None:
    """Compute how often nearest neighbors are of the same class; None where the run kept too few features."""
    spaces = _spaces(predictions)
    if not spaces:
        return None
    labels, n = predictions.labels[_embedded(predictions)], len(_embedded(predictions))
    with threadpool_limits(1):
        found = {name: classification.nearest_neighbor_accuracy(points, labels) for name, points in spaces.items()}
    return NeighborAccuracy(n, **found)


def _embedded(predictions: Predictions) -> np.ndarray:
    return predictions.embedded if predictions.embedded is not None else np.zeros(0, int)


def _spaces(predictions: Predictions) -> dict[str, np.ndarray]:
    """Give the images whose features are kept as points, by their pixels and by these features."""
    embedded, features = _embedded(predictions), predictions.features
    if features is None or len(embedded) < MIN_EMBEDDED:
        return {}
    pixels = predictions.images[embedded].reshape(len(embedded), -1) / 255
    return {"pixels": pixels, "features": features.astype(float)}


def of_features(
    title: str, class_names: Sequence[str], predictions: Predictions, found: NeighborAccuracy | None
) -> list[Drawing]:
    """Draw t-SNE maps of up to `MAX_EMBEDDED` images, by their pixels and by the network's features.

    Args:
        title: names the run.
        class_names: its classes.
        predictions: what it scored.
        found: what `neighbor_accuracy` returned; without it there are no maps.
    """
    if not found:
        return []
    drawings = []
    for name, points in _spaces(predictions).items():
        # Of every part of the data.
        chosen = np.linspace(0, len(points) - 1, min(len(points), MAX_EMBEDDED)).astype(int)
        points, labels = points[chosen], predictions.labels[_embedded(predictions)[chosen]]
        share = f"{100 * getattr(found, name):.1f} % of {counted(found.images, 'image')}"
        alt = f"t-SNE of {len(points)} images by their {name}, {title}; {share} have a neighbor of the same class"
        what = "the network's features, the inputs of its last layer" if name == "features" else "their pixels"
        caption = (
            f"{len(points)} images by {what}: images that are alike lie close together (t-SNE), and classes that form "
            f"islands are easy to separate. For {share}, the most similar other one is of the same class."
        )
        drawings.append(draw(plots.class_map(f"by {name}", tsne(points), labels, class_names), alt, caption))
    return drawings


def tsne(points: np.ndarray) -> np.ndarray:
    """Embed points, float (n, d) with n >= 4, in the plane by t-SNE (van der Maaten and Hinton 2008): float (n, 2).

    The same points give the same embedding. It is exact, which is faster than approximating for hundreds of points.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    perplexity = min(30, (len(points) - 1) / 3)
    embedding = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=350, method="exact")
    with threadpool_limits(1):  # on such small matrices, threads wait for each other most of the time
        reduced = PCA(min(30, *points.shape), random_state=0).fit_transform(points)
        return embedding.fit_transform(reduced)


# ---- estimates of label noise


def of_transition(title: str, class_names: Sequence[str], counts: Sequence[Sequence[int]]) -> Matrix:
    """Draw which labels the validation images of each class are given, taking predictions for the true classes.

    Args:
        title: names the run.
        class_names: its K classes.
        counts: images by predicted class (K rows) and complementary label (K columns).
    """
    matrix = np.array(counts, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    agreeing = matrix.trace() / matrix.sum()
    beside = shares[~np.eye(len(class_names), dtype=bool)]
    cells = [
        MatrixCell(
            row,
            column,
            f"{100 * share:.0f}",
            f"Of the images predicted as {class_names[row]}, {100 * share:.1f} % have the label {class_names[column]}",
            round(0.1 + 0.9 * float(share) ** 0.5, 2),
            True,
        )
        for (row, column), share in np.ndenumerate(shares)
        if share
    ]
    caption = (
        f"Which labels the images of each class have, in percent of the class, with the predictions of {title} for the "
        f"true classes of validation images. If labels are wrong uniformly, all cells beside the diagonal are equal: "
        f"they hold {100 * beside.min():.1f} to {100 * beside.max():.1f} %. For {100 * agreeing:.2f} % of all images "
        "the label equals the prediction."
    )
    return Matrix(class_names, "given label", "predicted class", cells, caption)
