"""Quantisers with a straight-through gradient: what a value becomes at a given bit-width, simulated in float.

Weights, per output channel: at up to 8 bits the optimal uniform quantiser of a Gaussian, whose levels are the odd
multiples of half a step (2 bits: -3/2, -1/2, 1/2, 3/2 steps), with the step a constant times the channel's root mean
square. There is nothing to learn, and at 2 bits no level is wasted on an asymmetric range (compare SAWB, Choi et al.
2019). Activations, per layer: integer multiples of one learned step (LSQ, Esser et al. 2020), unsigned after a
rectifier and signed otherwise.
"""

from typing import Any

import torch
from torch import Tensor, nn

GAUSSIAN_STEP = {1: 1.5958, 2: 0.9957, 3: 0.5860, 4: 0.3352, 5: 0.1881, 6: 0.1041, 7: 0.0569, 8: 0.0308}
"""Step of the uniform quantiser of 2^bits levels with least mean squared error for a unit Gaussian.

J. Max, Quantizing for minimum distortion, 1960, table II; 6 to 8 bits: Jayant and Noll, Digital coding of waveforms,
1984, table 4.4.
"""


class _RoundWeight(torch.autograd.Function):
    """Nearest odd multiple of half a step; the gradient passes everywhere (weights beyond the range may return)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, half: int) -> Tensor:  # noqa: ARG004 - torch's signature
        return (weight / step).floor_().clamp_(-half, half - 1).add_(0.5).mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # noqa: ARG004
        return grads[0], None, None


def weight_step(weight: Tensor, bits: int) -> Tensor:
    """The step of each output channel (the first axis), shaped to broadcast against `weight`."""
    flat = weight.detach().flatten(1)
    if bits in GAUSSIAN_STEP:
        step: Tensor = torch.linalg.vector_norm(flat, dim=1) * (GAUSSIAN_STEP[bits] / flat.shape[1] ** 0.5)
    else:
        step = flat.abs().amax(1) / 2 ** (bits - 1)
    shape = (-1, *[1] * (weight.dim() - 1))
    return step.clamp_min(1e-12).view(shape)


def quantise_weight(weight: Tensor, bits: int) -> Tensor:
    """`weight` at `bits`, the same shape; at most 2^bits values per output channel."""
    quantised: Tensor = _RoundWeight.apply(weight, weight_step(weight, bits), 2 ** (bits - 1))  # type: ignore[no-untyped-call]
    return quantised


def activation_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Least and greatest integer of an activation at `bits`."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _flat(values: Tensor) -> Tensor:
    """One axis, without a copy for either memory order of a feature map."""
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        return values.permute(0, 2, 3, 1).reshape(-1)
    return values.reshape(-1)


class _RoundActivation(torch.autograd.Function):
    """LSQ: equations 1 to 5 of Esser et al. 2020."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        scaled = values / step
        if not any(ctx.needs_input_grad):
            return scaled.clamp_(low, high).round_().mul_(step)
        rounded = scaled.clamp(low, high).round_()
        ctx.save_for_backward(scaled, rounded)
        ctx.bounds = (low, high)
        return rounded * step

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        scaled, rounded = ctx.saved_tensors
        low, high = ctx.bounds
        inside = grads[0] * ((scaled > low) & (scaled < high))
        step = torch.dot(_flat(grads[0].to(rounded)), _flat(rounded)) - torch.dot(_flat(inside), _flat(scaled))
        return inside, step / (rounded.numel() * high) ** 0.5, None, None


def quantise_activation(values: Tensor, step: Tensor, bits: int, *, signed: bool) -> Tensor:
    """`values` at `bits`: integer multiples of `step` (a scalar), which receives LSQ's scaled gradient."""
    low, high = activation_range(bits, signed=signed)
    quantised: Tensor = _RoundActivation.apply(values, step, low, high)  # type: ignore[no-untyped-call]
    return quantised


def best_step(values: Tensor, bits: int, *, signed: bool) -> Tensor:
    """The step of least mean squared error for `values`, of forty between a fortieth and the whole of their range."""
    low, high = activation_range(bits, signed=signed)
    sample = _flat(values.detach())[:65536].float()
    largest = (sample.abs().amax() / max(high, 1)).clamp_min(1e-6)
    steps = largest * torch.arange(1, 41, device=sample.device) / 40
    errors = torch.stack([((sample / step).round().clamp(low, high) * step - sample).square().mean() for step in steps])
    return steps[errors.argmin()]


class ActivationQuantiser(nn.Module):
    """Quantises to `bits` by one learned step; `calibrate` sets the step from data."""

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.bits, self.signed = bits, signed
        self.step = nn.Parameter(torch.ones(()))
        self.calibrating = False

    def forward(self, values: Tensor) -> Tensor:
        """`values`, quantised; while calibrating, the step is set to suit them first."""
        if self.calibrating:
            with torch.no_grad():
                self.step.copy_(best_step(values, self.bits, signed=self.signed))
        return quantise_activation(values, self.step.abs(), self.bits, signed=self.signed)
