"""The networks, by name: Keras `Sequential` stacks from a square of grey levels to one logit a class."""

import keras
from keras import layers

MOMENTUM = 0.9  # of the running statistics: Keras's 0.99 needs hundreds of steps, and an epoch here may have thirty


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


def _compact(classes: int) -> list:
    """Ours: pools before it normalises, so that batch normalisation (Ioffe and Szegedy 2015) costs a quarter."""
    blocks = [
        layer
        for filters, kernel in ((20, 5), (40, 3), (80, 3))
        for layer in (
            layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=MOMENTUM),
        )
    ]
    return [
        *blocks,
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(256, activation="relu"),
        layers.BatchNormalization(momentum=MOMENTUM),
        layers.Dropout(0.4),
        layers.Dense(classes),
    ]


MODELS = {
    "compact": _compact,
    "baseline": _baseline,
    "original": lambda classes: _large_kernels(classes, width=1000, dropout=0.5),
    "experimental": lambda classes: _large_kernels(classes, width=500, dropout=0.7),
}


def build(name: str, size: int, classes: int) -> keras.Sequential:
    """Build a network with random weights.

    Args:
        name: a key of `MODELS`.
        size: side of the input in pixels.
        classes: number of outputs.

    Returns:
        A network from uint8 (n, size, size), 0-255, to float32 logits (n, classes).
    """
    entrance = [layers.Reshape((size, size, 1)), layers.Rescaling(1 / 255)]
    return keras.Sequential([keras.Input((size, size), dtype="uint8"), *entrance, *MODELS[name](classes)], name=name)


def multiply_adds(model: keras.Sequential) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one image."""
    return sum(_layer_multiply_adds(layer) for layer in model.layers)


def _layer_multiply_adds(layer) -> int:
    if not isinstance(layer, layers.Conv2D | layers.Dense):
        return 0
    weights = 1
    for n in layer.kernel.shape:
        weights *= n
    places = layer.output.shape[1] * layer.output.shape[2] if isinstance(layer, layers.Conv2D) else 1
    return weights * places


def copy_weights(source: keras.Sequential, target: keras.Sequential, head: bool) -> None:
    """Copy the weights of one network into another of the same kind.

    Args:
        source, target: networks made by `build` with the same name and size.
        head: whether the last layer is copied too.

    Raises:
        ValueError: the networks are not of the same kind.
    """
    if len(source.layers) != len(target.layers):
        raise ValueError("the networks have different layers")
    for ours, theirs in list(zip(target.layers, source.layers, strict=True))[: None if head else -1]:
        ours.set_weights(theirs.get_weights())
