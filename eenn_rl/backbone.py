"""Layer, Block, Backbone: the shapes of a network, from which cost follows. No torch here."""

from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import prod
from typing import Literal

from eenn_rl.errors import InvalidValueError, check

Size = tuple[int, int]
"""(height, width), in elements."""

LayerKind = Literal["conv", "depthwise", "linear", "pool", "add"]
LAYER_KINDS: tuple[LayerKind, ...] = ("conv", "depthwise", "linear", "pool", "add")


@dataclass(frozen=True)
class Layer:
    """One operator of a network, described by its shapes.

    Sizes, kernel, stride and padding are (height, width); padding is what is added on *each* side. `reads` names
    the layers whose outputs this one takes; none means the network's input. A linear layer flattens what it
    reads, so its sizes are (1, 1) and `in_channels` counts features. Batch norm and activation are folded.
    """

    name: str
    kind: LayerKind
    groups: int
    in_channels: int
    out_channels: int
    in_size: Size
    out_size: Size
    kernel: Size = (1, 1)
    stride: Size = (1, 1)
    padding: Size = (0, 0)
    reads: tuple[str, ...] = ()
    activation: Literal["none", "relu", "relu6"] = "none"
    pooling: Literal["max", "average"] = "max"

    def __post_init__(self) -> None:
        where = f"layer {self.name!r}: "
        check(self.kind in LAYER_KINDS, where + "kind", self.kind, "one of " + ", ".join(LAYER_KINDS))
        for field in ("groups", "in_channels", "out_channels"):
            check(getattr(self, field) >= 1, where + field, getattr(self, field), "at least 1")
        for field, bound in (("in_size", 1), ("out_size", 1), ("kernel", 1), ("stride", 1), ("padding", 0)):
            value = getattr(self, field)
            check(len(value) == 2 and min(value) >= bound, where + field, value, f"two integers of at least {bound}")
        check(
            self.in_channels % self.groups == 0 and self.out_channels % self.groups == 0,
            where + "groups",
            self.groups,
            f"a divisor of in_channels {self.in_channels} and out_channels {self.out_channels}",
        )
        if self.kind in ("depthwise", "pool", "add"):
            check(
                self.in_channels == self.out_channels,
                where + "out_channels",
                self.out_channels,
                f"in_channels ({self.in_channels}) for kind {self.kind}",
            )
        if self.kind == "depthwise":
            check(self.groups == self.in_channels, where + "groups", self.groups, "in_channels for kind depthwise")
        self._check_out_size(where)

    def _check_out_size(self, where: str) -> None:
        """Out size follows from the rest; one more row of padding at the end is allowed (even kernels, `same`)."""
        for axis in (0, 1):
            size, kernel, stride, padding = (
                value[axis] for value in (self.in_size, self.kernel, self.stride, self.padding)
            )
            fits = {(size + 2 * padding + extra - kernel) // stride + 1 for extra in (0, 1)}
            check(
                self.out_size[axis] in fits,
                where + "out_size",
                self.out_size,
                f"{sorted(fits)} along axis {axis} for in_size {size}, kernel {kernel}, stride {stride}, "
                f"padding {padding}",
            )

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one inference; pooling and element-wise layers have none."""
        if self.kind in ("pool", "add"):
            return 0
        return prod(self.out_size) * self.out_channels * (self.in_channels // self.groups) * prod(self.kernel)

    @cached_property
    def weight_elements(self) -> int:
        """Weights, without biases."""
        if self.kind in ("pool", "add"):
            return 0
        return self.out_channels * (self.in_channels // self.groups) * prod(self.kernel)

    @cached_property
    def input_elements(self) -> int:
        """Elements read, over all operands (an addition reads at least two feature maps)."""
        operands = max(2, len(self.reads)) if self.kind == "add" else 1
        return operands * self.in_channels * prod(self.in_size)

    @cached_property
    def output_elements(self) -> int:
        """Elements written."""
        return self.out_channels * prod(self.out_size)


Shape = tuple[int, int, int]
"""(channels, height, width) of a feature map."""


@dataclass(frozen=True)
class Block:
    """A run of layers after which an exit may be mounted; its last layer's output is what the exit sees."""

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        check(len(self.layers) >= 1, f"block {self.name!r}: layers", self.layers, "at least one layer")

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what the block hands on."""
        last = self.layers[-1]
        return (last.out_channels, *last.out_size)


@dataclass(frozen=True)
class Backbone:
    """A network without exits: its blocks, and the classifier at its end.

    `input_shape` is (channels, height, width). `classifier` are the layers after the last block; left empty it is
    global average pooling and a linear layer (see `eenn_rl.branches`).
    """

    name: str
    blocks: tuple[Block, ...]
    input_shape: tuple[int, int, int]
    num_classes: int
    classifier: tuple[Layer, ...] = ()

    def __post_init__(self) -> None:
        where = f"backbone {self.name!r}: "
        check(len(self.blocks) >= 1, where + "blocks", self.blocks, "at least one block")
        check(self.num_classes >= 2, where + "num_classes", self.num_classes, "at least 2")
        check(
            len(self.input_shape) == 3 and min(self.input_shape) >= 1,
            where + "input_shape",
            self.input_shape,
            "(channels, height, width), each at least 1",
        )
        seen: set[str] = set()
        before: set[str] = set()
        for layers in (*(block.layers for block in self.blocks), self.classifier):
            own: set[str] = set()
            for layer in layers:
                check(layer.name not in seen, where + "layer name", layer.name, "used once")
                check((before | own).issuperset(layer.reads), where + f"{layer.name} reads", layer.reads,
                      "names of earlier layers of its block, or of the last layer of the block before; a block may "
                      "not be skipped: make one of what a connection spans")  # fmt: skip
                own.add(layer.name)
                seen.add(layer.name)
            before = {layers[-1].name} if layers else before

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All layers before the classifier, in order."""
        return tuple(chain.from_iterable(block.layers for block in self.blocks))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference of the blocks, without classifier."""
        return sum(layer.macs for layer in self.layers)


def check_shapes(backbone: Backbone) -> None:
    """Raise `InvalidValueError` unless every layer takes what the layers that it reads put out.

    Asked where a network is written, not by `Backbone` itself: runs from before must still be read.
    """
    where = f"backbone {backbone.name!r}: "
    shapes = {"": backbone.input_shape}
    for layer in (*backbone.layers, *backbone.classifier):
        _check_reads(layer, shapes, where + f"layer {layer.name!r}: ")
        shapes[layer.name] = (layer.out_channels, *layer.out_size)
    if backbone.classifier:
        last = backbone.classifier[-1].name
        _expect((backbone.num_classes, 1, 1), shapes[last], f"{where}layer {last!r}: out_channels and out_size",
                "a value for each class")  # fmt: skip


def _check_reads(layer: Layer, shapes: dict[str, Shape], where: str) -> None:
    """What `layer` reads has the shape, or for a linear layer the number of elements, that it says."""
    reads = layer.reads or ("",)
    check(layer.kind == "add" or len(reads) == 1, where + "reads", layer.reads,
          f"one layer at most for kind {layer.kind}: add alone takes several")  # fmt: skip
    for name in reads:
        shape = shapes[name]
        source = f"what layer {name!r} puts out" if name else "the shape of the images (input_shape)"
        if layer.kind == "linear":
            _expect(prod(shape), layer.in_channels, where + "in_channels", f"the elements of {_text(shape)}, {source}")
        else:
            _expect(shape, (layer.in_channels, *layer.in_size), where + "in_channels and in_size", source)


def _expect(wanted: Shape | int, found: Shape | int, field: str, reason: str) -> None:
    if wanted != found:
        raise InvalidValueError(f"{field}: expected {_text(wanted)}, {reason}, found {_text(found)}: make them equal")


def _text(shape: Shape | int) -> str:
    return str(shape) if isinstance(shape, int) else "x".join(map(str, shape))
