"""The networks, by name, from a square of grey levels to one logit a class: Keras `Sequential` stacks, or graphs."""

import keras
import numpy as np
from keras import layers

BORDER = 2  # pixels on each side, which `fast` does not look at: in MNIST hardly any has ink
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


def _dense_head(classes: int, width: int, dropout: float, before: float = 0.2) -> list:
    """End one of ours: one dense layer with batch normalisation (Ioffe and Szegedy 2015), dropout on both sides."""
    return [
        layers.Flatten(),
        *([layers.Dropout(before)] if before else []),
        layers.Dense(width, activation="relu"),
        layers.BatchNormalization(momentum=MOMENTUM),
        layers.Dropout(dropout),
        layers.Dense(classes),
    ]


def _compact(classes: int) -> list:
    """Ours: three convolutions, each pooled before it is normalised, which costs a quarter."""
    convolutions = [
        layer
        for filters, kernel in ((20, 5), (40, 3), (80, 3))
        for layer in (
            layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=MOMENTUM),
        )
    ]
    return [*convolutions, *_dense_head(classes, width=256, dropout=0.4)]


def _fast(classes: int) -> list:
    """Ours: two convolutions of what lies within the border, pooled before all else, for accuracy within seconds."""
    convolutions = [
        layer
        for filters, kernel in ((24, 5), (48, 3))
        for layer in (
            layers.Conv2D(filters, kernel),
            layers.MaxPooling2D(),
            layers.ReLU(),  # the same as before the pool, of a quarter of the numbers
            layers.BatchNormalization(momentum=MOMENTUM),
        )
    ]
    return [layers.Cropping2D(BORDER), *convolutions, *_dense_head(classes, width=256, dropout=0.2, before=0)]


def _deep(classes: int, filters: tuple[int, int, int] = (16, 32, 64)) -> list:
    """Ours: `vgg`'s pairs of 3x3 convolutions, each normalised."""
    convolutions = []
    for count in filters:
        for _ in range(2):
            convolutions += [
                layers.Conv2D(count, 3, padding="same", use_bias=False),
                layers.BatchNormalization(momentum=MOMENTUM),
                layers.ReLU(),
            ]
        convolutions.append(layers.MaxPooling2D())
    return [*convolutions, *_dense_head(classes, width=128, dropout=0.3)]


def _alexnet(classes: int) -> list:
    """In the style of AlexNet (Krizhevsky et al. 2012): five convolutions, two dense layers with dropout 0.5.

    Batch normalisation stands where AlexNet has its local response normalisation: without any, it does not learn here.
    """
    convolutions = [
        layer
        for filters, kernel, pooled in ((24, 5, True), (48, 5, True), (96, 3, False), (96, 3, False), (64, 3, True))
        for layer in (
            layers.Conv2D(filters, kernel, padding="same", activation="relu"),
            # Pools overlap, as there.
            *([layers.MaxPooling2D(3, 2), layers.BatchNormalization(momentum=MOMENTUM)] if pooled else []),
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


def _resnet(x, classes: int):
    """In the style of ResNet (He et al. 2016): three stages of two residual blocks, 16, 32 and 64 filters."""
    x = _normalised(layers.Conv2D(16, 3, padding="same", use_bias=False)(x))
    for filters, stride in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)):
        straight = x
        if stride > 1:
            straight = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        x = _normalised(layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x))
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.add([layers.BatchNormalization(momentum=MOMENTUM)(x), straight]))
    return layers.Dense(classes)(layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x)))


def _placed(x, place, classes: int):
    """`compact` with more filters, told the glyph's size and place on the page before its dense layer."""
    for filters, kernel in ((32, 5), (64, 3), (128, 3)):
        x = layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=MOMENTUM)(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = layers.concatenate([x, layers.Dense(32, activation="relu")(place)])
    x = layers.BatchNormalization(momentum=MOMENTUM)(layers.Dense(256, activation="relu")(x))
    return layers.Dense(classes)(layers.Dropout(0.4)(x))


def _normalised(x):
    return layers.ReLU()(layers.BatchNormalization(momentum=MOMENTUM)(x))


SEQUENCES = {
    "compact": _compact,
    "fast": _fast,
    "deep": _deep,
    "deeper": lambda classes: _deep(classes, (24, 48, 96)),
    "baseline": _baseline,
    "original": lambda classes: _large_kernels(classes, width=1000, dropout=0.5),
    "experimental": lambda classes: _large_kernels(classes, width=500, dropout=0.7),
    "alexnet": _alexnet,
    "vgg": _vgg,
}
GRAPHS = {"resnet": _resnet}
PLACED = {"placed": _placed}  # these take the glyph's place on the page as well
MODELS = (*SEQUENCES, *GRAPHS, *PLACED)


def build(name: str, size: int, classes: int) -> keras.Model:
    """Build a network with random weights.

    Args:
        name: one of `MODELS`.
        size: side of the input in pixels.
        classes: number of outputs.

    Returns:
        A network to float32 logits (n, classes), from uint8 glyphs (n, size, size), 0-255, and, if it uses them, their
        places on the page as well, float32 (n, 5), as `inputs` gives them.

    Raises:
        KeyError: there is no such network.
    """
    glyph = keras.Input((size, size), dtype="uint8", name="glyph")
    entrance = [layers.Reshape((size, size, 1)), layers.Rescaling(1 / 255)]
    if name in SEQUENCES:
        return keras.Sequential([glyph, *entrance, *SEQUENCES[name](classes)], name=name)
    x = glyph
    for layer in entrance:
        x = layer(x)
    if name in GRAPHS:
        return keras.Model(glyph, GRAPHS[name](x, classes), name=name)
    place = keras.Input((5,), name="place")
    return keras.Model([glyph, place], PLACED[name](x, place, classes), name=name)


def takes_places(model: keras.Model) -> bool:
    """Whether a network is told a glyph's place on the page."""
    return len(model.inputs) > 1


def inputs(model: keras.Model, images: np.ndarray, places: np.ndarray):
    """Give a network what it takes: the glyphs, or glyphs and places."""
    return (images, places) if takes_places(model) else images


def multiply_adds(model: keras.Model) -> int:
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


def copy_weights(source: keras.Model, target: keras.Model, head: bool) -> None:
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
