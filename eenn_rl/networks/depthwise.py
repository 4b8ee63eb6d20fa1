"""Depthwise convolutions in bfloat16 on a processor, with what is slow there done in another way.

oneDNN's bfloat16 kernels halve the time of most depthwise steps. Two do not follow: the gradient of the input of a
strided convolution takes 20 times as long as in float32, and that of the weights of a kernel wider than three 1.6 times
as long; column by column of the kernel it takes half of float32's. Measured by hand with torch 2.13 on two cores of an
AMD EPYC with avx512_bf16: 192 channels of 32x32, 384 and 576 of 16x16, 960 of 8x8.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Pair = tuple[int, int]
WIDE = 4
"""Side of a kernel from which on the gradient of its weights is slow in bfloat16."""


class _MixedDepthwise(torch.autograd.Function):
    """Forward in bfloat16; each gradient in the fastest way."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.form = stride, padding
        return functional.conv2d(values, weight.to(values.dtype), None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, weight = ctx.saved_tensors
        stride, padding = ctx.form
        gradient, strided, wide = grads[0], max(stride) > 1, max(weight.shape[2:]) >= WIDE
        of_values = of_weight = None
        if ctx.needs_input_grad[0]:
            precision = torch.float32 if strided else values.dtype
            of_values = _gradient(0, precision, gradient, values, weight, stride, padding).to(values.dtype)
        if ctx.needs_input_grad[1]:
            if wide and not strided:
                of_weight = _by_columns(gradient, values, weight, padding)
            else:
                precision = torch.float32 if wide else values.dtype
                of_weight = _gradient(1, precision, gradient, values, weight, stride, padding).to(weight.dtype)
        return of_values, of_weight, None, None


def _gradient(
    which: int, precision: torch.dtype, gradient: Tensor, values: Tensor, weight: Tensor, stride: Pair, padding: Pair
) -> Tensor:
    """Of the input (0) or the weights (1), computed and given in `precision`."""
    given = (item.to(precision) for item in (gradient, values, weight))
    wanted = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        *given, None, stride, padding, (1, 1), False, (0, 0), len(weight), wanted
    )[which]
    return found


def _by_columns(gradient: Tensor, values: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    """The gradient of the weights of a convolution of stride 1, like `weight`."""
    rows, columns = padding
    padded, width = functional.pad(values, (columns, columns)), gradient.shape[3]
    found = []
    for column in range(weight.shape[3]):
        window = padded[..., column : column + width].contiguous(memory_format=torch.channels_last)
        part = weight[..., column : column + 1]
        found.append(_gradient(1, values.dtype, gradient, window, part, (1, 1), (rows, 0)))
    return torch.cat(found, 3).to(weight.dtype)


def mixed_depthwise(values: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """A depthwise convolution of bfloat16 `values` [N, C, H, W] by float32 `weight` [C, 1, kh, kw]; bfloat16."""
    found: Tensor = _MixedDepthwise.apply(values, weight, stride, padding)  # type: ignore[no-untyped-call]
    return found
