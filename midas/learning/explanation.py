"""What an answer rests on: the parts of a glyph that it needs, and the training images that look most alike."""

from __future__ import annotations

import cv2
import numpy as np

from midas.data.glyphs import Glyphs
from midas.learning.classifier import Classifier

PATCHES = 10  # along a side of the glyph; each patch is two steps wide, so that neighbors overlap by half
NOTHING = 1e-6  # probability below which log-odds are not followed


def occlusion_map(network: Classifier, glyph: Glyphs, output: int) -> np.ndarray:
    """Measure how much each part of a glyph contributes to an answer: ink is removed there, and the answer asked again.

    A pixel's contribution is the mean, over the patches that cover it, of what removing the patch takes from the
    log-odds of the class (occlusion, Zeiler and Fergus 2014). Only patches with ink are tried.

    Args:
        network: whose answer it is; test-time augmentation is left out.
        glyph: one glyph of the network's size.
        output: of the class.

    Returns:
        float32 array (size, size), scaled so that the strongest contribution is 1 or -1: positive where ink speaks for
        the class, negative where it speaks against it; zeros if none matters.
    """
    size, image = network.size, glyph.images[0]
    step = size / PATCHES
    corners = np.rint(np.arange(-1, PATCHES) * step).astype(int)
    width = round(2 * step)
    areas = [(slice(max(y, 0), y + width), slice(max(x, 0), x + width)) for y in corners for x in corners]
    areas = [area for area in areas if image[area].any()]
    copies = np.repeat(image[None], len(areas) + 1, axis=0)
    for copy, area in zip(copies[1:], areas, strict=True):
        copy[area] = 0
    found = network.probabilities(Glyphs(copies, np.repeat(glyph.places, len(copies), axis=0)))[:, output]
    found = np.clip(found.astype(np.float64), NOTHING, 1 - NOTHING)
    log_odds = np.log(found / (1 - found))
    total, count = np.zeros((size, size)), np.zeros((size, size))
    for area, value in zip(areas, log_odds[0] - log_odds[1:], strict=True):
        total[area] += value
        count[area] += 1
    mean = cv2.GaussianBlur(total / np.maximum(count, 1), (0, 0), step / 2)
    strongest = np.abs(mean[image > 0]).max(initial=0)
    return (mean / strongest).clip(-1, 1).astype(np.float32) if strongest > 1e-9 else np.zeros((size, size), np.float32)


def nearest(features: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the images that a network takes for the most alike, by the cosine of their features.

    Args:
        features: float array (d,), what `Classifier.features` gives for the image.
        others: float array (n, d), the same for the images to choose from.
        count: how many to find.

    Returns:
        Int indices into `others`, the most alike first, and their cosines.

    >>> nearest(np.array([1.0, 0.0]), np.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]]), 2)[0].tolist()
    [1, 2]
    """
    lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(features)
    cosines = (others @ features) / np.maximum(lengths, 1e-12)
    order = np.argsort(-cosines, kind="stable")[:count]
    return order, cosines[order]
