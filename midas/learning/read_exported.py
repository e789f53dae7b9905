"""Read drawings with an exported network: python read.py drawing.png ...

It needs NumPy, OpenCV, and onnxruntime (network.onnx) or ai-edge-litert (network.tflite), but neither midas nor Keras.
It reads one character per image, dark on light or light on dark, of 8 bits without transparency, on a page that shows
nothing else. For such images the glyph is the one that midas makes. Photographs, uneven light, boxes, ruling, and
images of at most 16 pixels need more preprocessing than this page has room for: read those with midas.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**25))  # which OpenCV reads when it is imported

import cv2
import numpy as np

HERE = Path(__file__).parent
INK = 32  # of 255, with the paper at 0: fainter pixels do not widen the glyph


def read_gray(path: str) -> np.ndarray:
    """Decode an image to gray levels, uint8 (height, width)."""
    if not Path(path).is_file():
        raise ValueError("no such file; check the name")
    try:
        image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # too many pixels
        image = None
    if image is None or image.dtype != np.uint8 or (image.ndim == 3 and image.shape[2] != 3) or max(image.shape) <= 16:
        raise ValueError("not an image of 8 bits without transparency, or at most 16 pixels; read it with midas")
    return np.asarray(cv2.imread(path, cv2.IMREAD_GRAYSCALE))  # not cvtColor, which rounds differently


def normalize(gray: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop, scale and center a character as MNIST does: light ink on black, uint8 (size, size), and its place (5,)."""
    shrink = -(-max(gray.shape) // 320)  # the character is located in a small copy
    small = gray
    if shrink > 1:
        sides = [max(1, round(n / shrink)) for n in (gray.shape[1], gray.shape[0])]
        small = cv2.resize(gray, sides, interpolation=cv2.INTER_AREA)
    paper, strongest = ink_levels(small)
    levels = np.clip((np.arange(256) - paper) * (255 / (strongest - paper)), 0, 255).round().astype(np.uint8)
    ink = cv2.LUT(small, levels)
    left, top, right, bottom = glyph_box(ink)
    if shrink > 1:  # one pixel of slack for what the small copy blurred
        across, down = gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0]
        left, top = max(int((left - 1) * across), 0), max(int((top - 1) * down), 0)
        right, bottom = math.ceil((right + 1) * across), math.ceil((bottom + 1) * down)
    glyph = cv2.LUT(gray[top:bottom, left:right], levels)
    if shrink > 1:
        x, y, width, height = cv2.boundingRect((glyph > INK).view(np.uint8))
        glyph, left, top = glyph[y : y + height, x : x + width], left + x, top + y
    box = (left, top, left + glyph.shape[1], top + glyph.shape[0])
    side = round(size * 20 / 28)
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    longest = max(glyph.shape)
    if shrink > 1 and longest > 2 * side and np.count_nonzero(border == np.median(border)) < border.size / 2:
        noisy = gray[top : box[3], left : box[2]]  # averaged before the noise is cut off at the level of the paper
        sides = [max(1, round(n * 2 * side / longest)) for n in glyph.shape[::-1]]
        glyph = cv2.LUT(cv2.resize(noisy, sides, interpolation=cv2.INTER_AREA), levels)
    return center(scale(glyph, side), size), place_on_page(ink, box, gray.shape)


def ink_levels(gray: np.ndarray) -> tuple[float, float]:
    """Find the gray levels of paper, which most of the border shows, and of the strongest ink."""
    low, high = cv2.minMaxLoc(gray)[:2]
    if high - low < 24:
        raise ValueError("blank: nothing stands out from the paper")
    threshold = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0]
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    bright = border > threshold
    share = bright.mean()
    is_light = share >= 0.5 if abs(share - 0.5) >= 0.25 else np.count_nonzero(gray > threshold) / gray.size >= 0.5
    return float(np.median(border[bright == is_light])), low if is_light else high


def glyph_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Find the box of the largest component and of those that are large or near, such as the dots of i and j."""
    parts = cv2.connectedComponentsWithStats((ink > INK).view(np.uint8), connectivity=8, ltype=cv2.CV_16U)[2][1:]
    left, top, width, height, area = parts.T
    right, bottom, main, middle = left + width, top + height, area.argmax(), left + width / 2
    beside = np.maximum(np.maximum(left[main] - right, left - right[main]), 0)
    above = np.maximum(np.maximum(top[main] - bottom, top - bottom[main]), 0)
    over = (middle >= left[main]) & (middle <= right[main])
    near = np.hypot(beside, above) <= np.hypot(width[main], height[main]) * np.where(over, 0.5, 0.25)
    kept = (near | (area >= 0.15 * area[main])) & (area >= min(0.02 * area[main], 1e-4 * ink.size))
    return int(left[kept].min()), int(top[kept].min()), int(right[kept].max()), int(bottom[kept].max())


def scale(glyph: np.ndarray, side: int) -> np.ndarray:
    """Scale the longer side; strokes of a fine pen, which fade, get their full strength back."""
    longest = max(glyph.shape)
    if side - 2 <= longest <= side:
        return glyph
    sides = [max(1, round(n * side / longest)) for n in glyph.shape[::-1]]
    method = cv2.INTER_AREA if longest > side else cv2.INTER_LINEAR
    scaled = cv2.resize(glyph, sides, interpolation=method)
    if scaled.max() < 255:
        fractions = cv2.resize(glyph.astype(np.float32), sides, interpolation=method)
        cv2.normalize(fractions, scaled, 255, 0, cv2.NORM_INF, cv2.CV_8U)
    return scaled


def center(glyph: np.ndarray, size: int) -> np.ndarray:
    """Put the center of mass into the middle of a black square, as far as the glyph then fits into it."""
    moments, (height, width) = cv2.moments(glyph), glyph.shape
    left = min(max(round(size / 2 - moments["m10"] / moments["m00"]), 0), size - width)
    top = min(max(round(size / 2 - moments["m01"] / moments["m00"]), 0), size - height)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = glyph
    return square


def thicken(glyph: np.ndarray, finest: float, fine: float) -> np.ndarray:
    """Draw a glyph with a pen that the network knows, if its strokes are finer than the finest in training."""
    side = len(glyph)
    large = cv2.resize(np.pad(glyph, 1), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    depth = cv2.distanceTransform((large >= 128).view(np.uint8), cv2.DIST_L2, 3)
    width = 2 * (float(depth.sum(dtype=np.float64)) / max(int(np.count_nonzero(depth)), 1) - 0.5)
    if not 0 < width < finest:
        return glyph
    box, more = max(cv2.boundingRect((glyph > INK).view(np.uint8))[2:]), fine - width
    scale = 2 * box / (box + more)
    start = (side - 1) / 2 - (2 * side - 1) / 2 / scale
    map_back, flags = np.array([[1 / scale, 0, start], [0, 1 / scale, start]]), cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    large = cv2.warpAffine(glyph, map_back, (2 * side, 2 * side), flags=flags)
    diameter = 2 * round(more) + 1
    thick = cv2.dilate(large, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter)))
    return cv2.resize(cv2.convertScaleAbs(thick, alpha=255 / 128), (side, side), interpolation=cv2.INTER_AREA)


def place_on_page(ink: np.ndarray, box: tuple[int, int, int, int], page: tuple[int, ...]) -> np.ndarray:
    """Describe size and position on a 4:3 page of the drawing tool that the network learned from; else zeros."""
    (left, top, right, bottom), (height, width) = box, page
    inked = (ink > 127).view(np.uint8)
    depth = cv2.distanceTransform(inked, cv2.DIST_L2, 3)[inked > 0]
    pen = 2 * float(np.percentile(depth, 90)) / len(ink) if len(depth) else 0
    if not 1.3 <= width / height <= 1.37 or not 0.05 <= pen <= 0.11:
        return np.zeros(5, np.float32)
    sizes = [np.log(2 * (bottom - top) / height) / 0.35, np.log(3 * (right - left) / height) / 0.35]
    positions = [9 * (left + right - width) / 2 / height, 9 * (top + bottom - height) / 2 / height]
    return np.array([1, *sizes, *positions], np.float32)


def read_card() -> tuple[int, list[str], tuple[float, float]]:
    """Read the side of the glyphs, the names of the classes, and the finest and a fine width of strokes."""
    try:
        card = json.loads((HERE / "card.json").read_text(encoding="utf-8"))
        size, names, pen = card["size"], card["class_names"], card.get("pen") or {"finest": 0, "fine": 0}
        widths = float(pen["finest"]), float(pen["fine"])
        known = type(size) is int and 0 < size < 1000 and 0 <= widths[0] <= widths[1] < size
        if known and names and all(isinstance(name, str) for name in names):
            return size, names, widths
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    raise SystemExit(f"{HERE / 'card.json'}: not the card of a network; export it again")


def load_network() -> tuple[Callable[[dict[str, np.ndarray]], np.ndarray], list[str]]:
    """Load the network beside this file: a function from its inputs, by name, to probabilities, and their names."""
    if (HERE / "network.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(HERE / "network.onnx", providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, inputs)[0], [each.name for each in session.get_inputs()]
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(str(HERE / "network.tflite")).get_signature_runner()
    return lambda inputs: next(iter(network(**inputs).values())), list(network.get_input_details())


def main() -> None:
    """Print the label of each image, its probability, and the next two guesses; or why it cannot be read."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    size, class_names, pen = read_card()
    network, names = load_network()
    status = 0
    for path in sys.argv[1:]:
        try:
            glyph, place = normalize(read_gray(path), size)
        except ValueError as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
            continue
        inputs = {"glyph": thicken(glyph, *pen)[None], "place": place[None]}
        try:
            (probabilities,) = network({name: inputs[name] for name in names})
            if probabilities.shape != (len(class_names),):
                raise ValueError("another number of classes")
        except Exception as error:  # the libraries have their own
            raise SystemExit(f"{HERE}: card.json is not that of the network; export it again") from error
        best = np.argsort(-probabilities)[:3]
        print(*(f"{class_names[i]} {100 * probabilities[i]:5.1f} % " for i in best), path)
    sys.exit(status)


if __name__ == "__main__":
    main()
