"""The branches: what an exit is made of, as layers. No torch here.

Five kinds of growing strength. Each ends in a max-pool to at most 4x4 and a linear layer: global pooling of few
channels loses too much early in a network (BranchyNet, Teerapittayanon et al. 2016, and the search archive of
arXiv 2512.04705 pool to 4x4 as well). Convolutions of a branch stride by 2 while the map is larger than 8x8, so that
a branch on an early, large map stays cheap.
"""

from collections.abc import Callable

from eenn_rl.backbone import Backbone, Layer, Shape
from eenn_rl.errors import check, unknown_name

CLASSIFIER = "classifier"
"""The branch of the last exit: the backbone's own classifier."""


def pooled_linear(prefix: str, shape: Shape, reads: str, outputs: int) -> tuple[Layer, ...]:
    """Max-pool to at most 4x4, then a linear layer to `outputs`."""
    channels, height, width = shape
    layers = []
    target = (min(4, height), min(4, width))
    if (height, width) != target:
        # Windows that tile the map: stride floor(in / out), kernel what is left over.
        stride = (height // target[0], width // target[1])
        kernel = (height - (target[0] - 1) * stride[0], width - (target[1] - 1) * stride[1])
        layers.append(
            Layer(f"{prefix}.pool", "pool", 1, channels, channels, (height, width), target, kernel, stride, (0, 0),
                  (reads,))
        )  # fmt: skip
        reads = layers[-1].name
    features = channels * target[0] * target[1]
    layers.append(Layer(f"{prefix}.linear", "linear", 1, features, outputs, (1, 1), (1, 1), reads=(reads,)))
    return tuple(layers)


def _linear(prefix: str, shape: Shape, reads: str, classes: int) -> tuple[Layer, ...]:
    return pooled_linear(prefix, shape, reads, classes)


def _mlp(prefix: str, shape: Shape, reads: str, classes: int) -> tuple[Layer, ...]:
    hidden = max(16, 2 * shape[0])
    *body, first = pooled_linear(prefix, shape, reads, hidden)
    first = Layer(
        f"{prefix}.hidden", "linear", 1, first.in_channels, hidden, (1, 1), (1, 1), reads=first.reads,
        activation="relu",
    )  # fmt: skip
    last = Layer(f"{prefix}.linear", "linear", 1, hidden, classes, (1, 1), (1, 1), reads=(first.name,))
    return (*body, first, last)


def _branch_stride(size: tuple[int, int]) -> tuple[int, int]:
    return (2 if size[0] > 8 else 1, 2 if size[1] > 8 else 1)


def _conv_layer(
    name: str, shape: Shape, reads: str, channels: int, kernel: int, stride: tuple[int, int], *, depthwise: bool
) -> tuple[Layer, Shape]:
    size = (shape[1], shape[2])
    padding = (kernel // 2, kernel // 2)
    out = ((size[0] - 1) // stride[0] + 1, (size[1] - 1) // stride[1] + 1)
    layer = Layer(
        name, "depthwise" if depthwise else "conv", shape[0] if depthwise else 1, shape[0], channels, size, out,
        (kernel, kernel), stride, padding, (reads,), "relu",
    )  # fmt: skip
    return layer, (channels, *out)


def _width(channels: int) -> int:
    """Channels of a branch's convolutions: enough on a narrow map, bounded on a wide one."""
    return min(max(32, channels), 128)


def _conv(prefix: str, shape: Shape, reads: str, classes: int) -> tuple[Layer, ...]:
    stride = _branch_stride(shape[1:])
    layer, shape = _conv_layer(f"{prefix}.conv", shape, reads, _width(shape[0]), 3, stride, depthwise=False)
    return (layer, *pooled_linear(prefix, shape, layer.name, classes))


def _separable(prefix: str, shape: Shape, reads: str, channels: int) -> tuple[list[Layer], Shape]:
    """Depthwise 3x3, then pointwise (MobileNet, Howard et al. 2017)."""
    stride = _branch_stride(shape[1:])
    depth, shape = _conv_layer(f"{prefix}.depthwise", shape, reads, shape[0], 3, stride, depthwise=True)
    point, shape = _conv_layer(f"{prefix}.pointwise", shape, depth.name, channels, 1, (1, 1), depthwise=False)
    return [depth, point], shape


def _dsconv(prefix: str, shape: Shape, reads: str, classes: int) -> tuple[Layer, ...]:
    body, shape = _separable(f"{prefix}.1", shape, reads, _width(2 * shape[0]))
    return (*body, *pooled_linear(prefix, shape, body[-1].name, classes))


def _dsconv2(prefix: str, shape: Shape, reads: str, classes: int) -> tuple[Layer, ...]:
    first, shape = _separable(f"{prefix}.1", shape, reads, _width(2 * shape[0]))
    second, shape = _separable(f"{prefix}.2", shape, first[-1].name, shape[0])
    return (*first, *second, *pooled_linear(prefix, shape, second[-1].name, classes))


_BUILDERS: dict[str, Callable[[str, Shape, str, int], tuple[Layer, ...]]] = {
    "linear": _linear,
    "mlp": _mlp,
    "conv": _conv,
    "dsconv": _dsconv,
    "dsconv2": _dsconv2,
}
BRANCHES: tuple[str, ...] = tuple(_BUILDERS)
"""Names of the branch kinds: linear, two-layer, convolution, depthwise-separable convolution, two of those."""


def _default_classifier(backbone: Backbone) -> tuple[Layer, ...]:
    channels, height, width = backbone.blocks[-1].out_shape
    size = (height, width)
    pool = Layer(
        "classifier.pool", "pool", 1, channels, channels, size, (1, 1), size, size, (0, 0),
        (backbone.layers[-1].name,), pooling="average",
    )  # fmt: skip
    linear = Layer("classifier.linear", "linear", 1, channels, backbone.num_classes, (1, 1), (1, 1), reads=(pool.name,))
    return (pool, linear)


def branch_layers(backbone: Backbone, location: int, branch: str) -> tuple[Layer, ...]:
    """The layers of `branch` mounted after block `location` (0-based) of `backbone`.

    Their names start with ``exit<location>.``. At the last block the only branch is `CLASSIFIER`, and it is that
    block's alone.
    """
    last = len(backbone.blocks) - 1
    check(0 <= location <= last, "location", location, f"between 0 and {last}")
    if location == last:
        check(branch == CLASSIFIER, "branch", branch, f"{CLASSIFIER!r} at the last block ({last})")
        return backbone.classifier or _default_classifier(backbone)
    if branch not in _BUILDERS:
        raise unknown_name("branch", branch, BRANCHES)
    block = backbone.blocks[location]
    prefix = f"exit{location}"
    return tuple(_BUILDERS[branch](prefix, block.out_shape, block.layers[-1].name, backbone.num_classes))
