"""The architectures, by name: Keras `Sequential` or functional models from glyphs to one logit per class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from midas.data.glyphs import Glyphs
from midas.experiments import MODEL_NAMES

BORDER = 2  # pixels on each side that `fast` crops: in MNIST they hardly ever have ink
DEEPER, DEEPER_SIZE = (24, 48, 96), 28  # filters of `deeper`, and the largest images that `deeper-placed` looks at
MOMENTUM = 0.9  # of batch normalization: Keras's 0.99 needs hundreds of steps, and an epoch here can have thirty


def _baseline(classes: int) -> list:
    """Three 3x3 convolutions and one dense layer."""
    convolutions = [
        layer
        for filters in (32, 64, 128)
        for layer in (layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D())
    ]
    return [*convolutions, layers.Flatten(), layers.Dropout(0.5), layers.Dense(classes)]


def _large_kernels(classes: int, width: int, dropout: float) -> list:
    """Two 5x5 convolutions and a wide dense layer, as in TensorFlow's early MNIST tutorials."""
    return [
        layers.Conv2D(32, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(width, activation="relu"),
        layers.Dropout(dropout),
        layers.Dense(classes),
    ]


def _batch_normalization() -> layers.BatchNormalization:
    """Normalize by the whole batch, also where each of several devices has a share of it."""
    return layers.BatchNormalization(momentum=MOMENTUM, synchronized=tf.distribute.has_strategy())


def _dense_head(classes: int, width: int, dropout: float, before: float = 0.2) -> list:
    """One dense layer with batch normalization (Ioffe and Szegedy 2015), and dropout on both sides."""
    return [
        layers.Flatten(),
        *([layers.Dropout(before)] if before else []),
        layers.Dense(width, activation="relu"),
        _batch_normalization(),
        layers.Dropout(dropout),
        layers.Dense(classes),
    ]


def _compact(classes: int) -> list:
    """Three convolutions, each pooled before batch normalization, which then costs a quarter."""
    convolutions = [
        layer
        for filters, kernel in ((20, 5), (40, 3), (80, 3))
        for layer in (
            layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            _batch_normalization(),
        )
    ]
    return [*convolutions, *_dense_head(classes, width=256, dropout=0.4)]


def _fast(classes: int) -> list:
    """Two convolutions without padding, each pooled before its activation: accuracy within seconds."""
    convolutions = [
        layer
        for filters, kernel in ((24, 5), (48, 3))
        for layer in (
            layers.Conv2D(filters, kernel),
            layers.MaxPooling2D(),
            layers.ReLU(),  # after pooling it gives the same for a quarter of the values
            _batch_normalization(),
        )
    ]
    return [layers.Cropping2D(BORDER), *convolutions, *_dense_head(classes, width=256, dropout=0.2, before=0)]


def _deep(classes: int, filters: tuple[int, int, int] = (16, 32, 64)) -> list:
    """Pairs of 3x3 convolutions as in `vgg`, each with batch normalization."""
    convolutions = []
    for count in filters:
        for _ in range(2):
            convolutions += [
                layers.Conv2D(count, 3, padding="same", use_bias=False),
                _batch_normalization(),
                layers.ReLU(),
            ]
        convolutions.append(layers.MaxPooling2D())
    return [*convolutions, *_dense_head(classes, width=128, dropout=0.3)]


def _alexnet(classes: int) -> list:
    """In the style of AlexNet (Krizhevsky et al. 2012): five convolutions, two dense layers with dropout 0.5.

    Batch normalization replaces AlexNet's local response normalization: without any, it does not learn here.
    """
    convolutions = [
        layer
        for filters, kernel, pooled in ((24, 5, True), (48, 5, True), (96, 3, False), (96, 3, False), (64, 3, True))
        for layer in (
            layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            # Overlapping pools, as in AlexNet.
            *([layers.MaxPooling2D(3, 2), _batch_normalization()] if pooled else []),
        )
    ]
    dense = [layer for _ in range(2) for layer in (layers.Dropout(0.5), layers.Dense(384, activation="relu"))]
    return [*convolutions, layers.Flatten(), *dense, layers.Dense(classes)]


def _vgg(classes: int) -> list:
    """In the style of VGG (Simonyan and Zisserman 2015): pairs of 3x3 convolutions, each pair pooled."""
    convolutions = [
        layer
        for filters in (16, 32, 64)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
        )
    ]
    return [
        *convolutions,
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(classes),
    ]


def _resnet(x: Any, classes: int) -> Any:
    """In the style of ResNet (He et al. 2016): three stages of two residual blocks, 16, 32 and 64 filters."""
    x = _normalized(layers.Conv2D(16, 3, padding="same", use_bias=False)(x))
    for filters, stride in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        shortcut = x
        if stride > 1:
            shortcut = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        x = _normalized(layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x))
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.add([_batch_normalization()(x), shortcut]))
    return layers.Dense(classes)(layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x)))


def _placed(x: Any, place: Any, classes: int) -> Any:
    """`compact` with more filters, and the glyph's size and position on the page as inputs of its dense layer."""
    for filters, kernel in ((32, 5), (64, 3), (128, 3)):
        x = layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        x = _batch_normalization()(layers.MaxPooling2D()(x))
    return _placed_head(x, place, classes)


def _deeper_placed(x: Any, place: Any, classes: int) -> Any:
    """The convolutions of `deeper`, on at most 28x28 pixels, with the inputs and the dense layers of `placed`."""
    if x.shape[1] > DEEPER_SIZE:
        x = keras.ops.image.resize(x, (DEEPER_SIZE, DEEPER_SIZE))  # layers.Resizing makes training=True the default
    for filters in DEEPER:
        for _ in range(2):
            x = _normalized(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
        x = layers.MaxPooling2D()(x)
    return _placed_head(x, place, classes)


def _placed_head(x: Any, place: Any, classes: int) -> Any:
    """`_dense_head`, with the size and position on the page as further inputs."""
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.concatenate([x, layers.Dense(32, activation="relu")(place)])
    x = _batch_normalization()(layers.Dense(256, activation="relu")(x))
    return layers.Dense(classes)(layers.Dropout(0.4)(x))


def _normalized(x: Any) -> Any:
    return layers.ReLU()(_batch_normalization()(x))


SEQUENTIAL: dict[str, Callable[[int], list]] = {
    "compact": _compact,
    "fast": _fast,
    "deep": _deep,
    "deeper": lambda classes: _deep(classes, DEEPER),
    "baseline": _baseline,
    "original": lambda classes: _large_kernels(classes, width=1000, dropout=0.5),
    "experimental": lambda classes: _large_kernels(classes, width=500, dropout=0.7),
    "alexnet": _alexnet,
    "vgg": _vgg,
}
FUNCTIONAL: dict[str, Callable[[Any, int], Any]] = {"resnet": _resnet}
PLACED: dict[str, Callable[[Any, Any, int], Any]] = {  # these also take the place on the page
    "placed": _placed,
    "deeper-placed": _deeper_placed,
}


def build(name: str, size: int, classes: int) -> keras.Model:
    """Build a network with random weights.

    Args:
        name: one of `experiments.MODEL_NAMES`.
        size: side of the input in pixels.
        classes: number of outputs.

    Returns:
        A network from what `inputs` gives, uint8 images (n, size, size) and for some networks float32 places (n, 5), to
        float32 logits (n, classes).

    Raises:
        KeyError: there is no such network.
    """
    glyph = keras.Input((size, size), dtype="uint8", name="glyph")
    first = [layers.Reshape((size, size, 1)), layers.Rescaling(1 / 255)]
    if name in SEQUENTIAL:
        return keras.Sequential([glyph, *first, *SEQUENTIAL[name](classes)], name=name)
    x = glyph
    for layer in first:
        x = layer(x)
    if name in FUNCTIONAL:
        return keras.Model(glyph, FUNCTIONAL[name](x, classes), name=name)
    place = keras.Input((5,), name="place")
    return keras.Model([glyph, place], PLACED[name](x, place, classes), name=name)


def takes_places(model: keras.Model) -> bool:
    """Tell whether a network takes the place of a glyph on the page."""
    return len(model.inputs) > 1


def inputs(model: keras.Model, glyphs: Glyphs) -> Any:
    """Give a network its inputs, in memory: the images, or images and places."""
    images = np.asarray(glyphs.images)
    return (images, glyphs.places) if takes_places(model) else images


def count_macs(model: keras.Model) -> int:
    """Count the multiply-accumulate operations (MACs) of convolutions and dense layers for one image."""
    return sum(_layer_macs(layer) for layer in model.layers)


def _layer_macs(layer: keras.Layer) -> int:
    if not isinstance(layer, layers.Conv2D | layers.Dense):
        return 0
    positions = layer.output.shape[1:-1] if isinstance(layer, layers.Conv2D) else ()
    return math.prod((*layer.kernel.shape, *positions))


def describe(size: int, classes: int) -> list[dict[str, Any]]:
    """List all architectures with their parameters and MACs."""
    networks = ((name, build(name, size, classes)) for name in MODEL_NAMES)
    return [{"model": name, "parameters": each.count_params(), "macs": count_macs(each)} for name, each in networks]


def copy_weights(source: keras.Model, target: keras.Model, head: bool) -> None:
    """Copy the weights of one network into another of the same architecture.

    Args:
        source: network made by `build`.
        target: network made by `build` with the same name and size.
        head: copy the last layer, too.

    Raises:
        ValueError: the architectures differ.
    """
    if len(source.layers) != len(target.layers):
        raise ValueError("the networks have different layers")
    for ours, theirs in list(zip(target.layers, source.layers, strict=True))[: None if head else -1]:
        ours.set_weights(theirs.get_weights())
