"""Problem: a layer as nested loops over three operands, the form in which its cost is derived.

    O[g][k][oy][ox] += W[g][k][c][fy][fx] * I[g][c][iy][ix],   ix = stride * ox + fx

(Mei et al. 2021, ZigZag, section III). Pooling has no weights; an addition's second input takes the weights' place.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from eenn_rl.backbone import Layer

LOOPS = ("G", "K", "C", "OX", "OY", "FX", "FY")
G, K, C, OX, OY, FX, FY = range(7)
OPERANDS = ("output", "weight", "input")
O, W, I = range(3)  # noqa: E741  (the literature's names)

IRRELEVANT, PARTIAL, RELEVANT = range(3)

CONVOLUTION = (
    # G         K           C           OX          OY          FX          FY
    (RELEVANT, RELEVANT, IRRELEVANT, RELEVANT, RELEVANT, IRRELEVANT, IRRELEVANT),
    (RELEVANT, RELEVANT, RELEVANT, IRRELEVANT, IRRELEVANT, RELEVANT, RELEVANT),
    (RELEVANT, IRRELEVANT, RELEVANT, PARTIAL, PARTIAL, PARTIAL, PARTIAL),
)
"""How each operand depends on each loop."""
ADDITION = (CONVOLUTION[O], CONVOLUTION[O], CONVOLUTION[O])


@dataclass(frozen=True)
class Problem:
    """Loop sizes, strides, the input's size without padding, and the width of each operand in bits."""

    sizes: tuple[int, ...]
    stride: tuple[int, int]
    """Along x and y."""
    input_size: tuple[int, int]
    """Along x and y."""
    bits: tuple[int, int, int]
    """Of final outputs, weights and inputs; 0 means that there is no such operand."""
    partial_bits: int
    addition: bool = False

    @cached_property
    def relevance(self) -> tuple[tuple[int, ...], ...]:
        """[operand][loop]: irrelevant, partial (sliding window) or relevant."""
        return ADDITION if self.addition else CONVOLUTION

    @property
    def operations(self) -> int:
        """Iterations of the loop nest: MACs, comparisons or additions."""
        return prod(self.sizes)


def problem_of(layer: Layer, bits: int, partial_sum_bits: int) -> Problem:
    """`layer` with weights and activations of `bits`."""
    channelwise = layer.kind in ("pool", "add")
    groups = layer.in_channels if channelwise else layer.groups
    sizes = (
        groups,
        layer.out_channels // groups,
        layer.in_channels // groups,
        layer.out_size[1],
        layer.out_size[0],
        layer.kernel[1],
        layer.kernel[0],
    )
    extent = [
        min(layer.in_size[axis], _extent(layer.out_size[axis], layer.kernel[axis], layer.stride[axis]))
        for axis in (1, 0)
    ]
    return Problem(
        sizes,
        (layer.stride[1], layer.stride[0]),
        (extent[0], extent[1]),
        (bits, 0 if layer.kind == "pool" else bits, bits),
        max(bits, partial_sum_bits),
        layer.kind == "add",
    )


def _extent(out: int, kernel: int, stride: int) -> int:
    """Input positions that `out` windows touch."""
    return out * kernel - max(0, kernel - stride) * (out - 1)
