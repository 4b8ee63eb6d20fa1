"""What a trained layer becomes on a device: integer weights, scales, bias, activation step. Arrays, no torch needed.

A weight is ``scale[c] * (code + 1/2)`` with codes of the trained bit-width (`eenn_rl.networks.quantise`: the levels are
odd multiples of half a step). Batch norm is an affine map per output channel, so it goes into scale and bias without a
change to any code; a channel whose factor is negative gets its codes mirrored, -1 - code, so that scales stay positive.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.backbone import Layer

if TYPE_CHECKING:
    from eenn_rl.networks.layers import QuantisedLayer

Floats = npt.NDArray[np.float32]
SMALLEST = np.float32(1e-30)
"""A scale must be above 0; a channel that batch norm silences gets this one."""


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """One layer at its stage's bits.

    `codes` int8, shaped like the weight (output channels first), within -2^(bits-1) .. 2^(bits-1)-1; `scale` and `bias`
    float32 [output channels]; None where the layer has no weights. `step` is what one unit of the written activation
    stands for, None where it is not rounded; `signed` its range (see `eenn_rl.networks.quantise`).
    """

    layer: Layer
    bits: int
    codes: npt.NDArray[np.int8] | None
    scale: Floats | None
    bias: Floats | None
    step: float | None
    signed: bool
    extra_padding: tuple[int, int]


def _array(tensor: Any) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = tensor.detach().cpu().contiguous().numpy()
    return found


def parameters_of(module: "QuantisedLayer", bits: int) -> LayerParameters:
    """The parameters of a trained layer at `bits`."""
    from eenn_rl.networks.quantise import weight_step

    variant, layer = module.variant(bits), module.layer
    codes = scale = bias = None
    if layer.weight_elements:
        step = weight_step(variant.weight, bits)
        half = 2 ** (bits - 1)
        # The same float32 operations as in training, so that every weight rounds to the same code.
        codes = _array((variant.weight / step).floor_().clamp_(-half, half - 1)).astype(np.int8)
        factor, bias = _affine(variant, layer.out_channels)
        scale = np.maximum(_array(step).reshape(-1) * np.abs(factor), SMALLEST).astype(np.float32)
        codes = np.where(factor.reshape(-1, *[1] * (codes.ndim - 1)) < 0, -1 - codes, codes)
    output = getattr(variant, "output", None)
    return LayerParameters(
        layer=layer,
        bits=bits,
        codes=codes,
        scale=scale,
        bias=bias,
        step=None if output is None else float(_array(output.step.abs())),
        signed=bool(output is not None and output.signed),
        extra_padding=module.extra,
    )


def _affine(variant: Any, channels: int) -> tuple[npt.NDArray[np.float64], Floats]:
    """Factor and bias per output channel: batch norm's, or one and the layer's own bias."""
    if not hasattr(variant, "norm"):
        own = _array(variant.bias) if hasattr(variant, "bias") else np.zeros(channels, np.float32)
        return np.ones(channels), own.astype(np.float32)
    norm = variant.norm
    gain, shift, mean, variance = (
        _array(value).astype(np.float64) for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    factor = gain / np.sqrt(variance + norm.eps)
    own = _array(variant.bias).astype(np.float64) if hasattr(variant, "bias") else np.zeros(channels)
    return factor, (shift + factor * (own - mean)).astype(np.float32)
