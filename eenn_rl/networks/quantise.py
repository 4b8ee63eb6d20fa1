"""Quantisers with a straight-through gradient: what a value becomes at a given bit-width, simulated in float.

Weights, per output channel: at up to 8 bits the optimal uniform quantiser of a Gaussian, whose levels are the odd
multiples of half a step (2 bits: -3/2, -1/2, 1/2, 3/2 steps), with the step a constant times the channel's root mean
square. There is nothing to learn, and at 2 bits no level is wasted on an asymmetric range (compare SAWB, Choi et al.
2019). Activations, per layer: integer multiples of one step, unsigned after a rectifier and signed otherwise; the step
is the one of least squared error on recent data. Steps learned by gradient (LSQ, Esser et al. 2020) were tried: at high
learning rates they clipped 8-bit maps to a third of their range, and some 2-bit networks never recovered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from eenn_rl.integers import activation_range

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


class _RoundActivation(torch.autograd.Function):
    """Nearest multiple of the step within the range; the gradient passes inside the range (PACT, Choi et al. 2018)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, low: int, high: float) -> Tensor:
        scaled = values / step
        ctx.range = (low, high)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(scaled)
            return scaled.clamp(low, high).round_().mul_(step)
        return scaled.clamp_(low, high).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (scaled,) = ctx.saved_tensors
        gradient = grads[0]
        if scaled.dim() == 4 and scaled.is_contiguous(memory_format=torch.channels_last):
            gradient = gradient.contiguous(memory_format=torch.channels_last)  # batch norm is slow on mixed orders
        return torch.ops.aten.hardtanh_backward(gradient, scaled, *ctx.range), None, None, None


def quantise_activation(
    values: Tensor, step: Tensor, bits: int, *, signed: bool, ceiling: float | None = None
) -> Tensor:
    """`values`, first bounded by `ceiling`, at `bits`: integer multiples of `step` (a scalar) in `activation_range`."""
    low, high = activation_range(bits, signed=signed)
    top = float(high)
    if ceiling is not None and values.device.type == "cpu":
        top = min(top, ceiling / float(step))  # the bounds in one pass instead of two
    elif ceiling is not None:
        values = values.clamp(max=ceiling)  # steps that are replayed cannot read numbers
    quantised: Tensor = _RoundActivation.apply(values, step, low, top)  # type: ignore[no-untyped-call]
    return quantised


SAMPLE, CANDIDATES = 8192, 40
"""Values that a step is chosen on, spread over the whole map; steps that are tried."""
SCATTER = 2654435761
"""A prime far from the sizes of maps: its multiples fall everywhere (every n-th value would be of few columns)."""


def _scattered(flat: Tensor) -> Tensor:
    """At most `SAMPLE` of the values, the same for the same number of them."""
    if len(flat) <= SAMPLE:
        return flat
    return flat[torch.arange(SAMPLE, device=flat.device) * SCATTER % len(flat)]


def best_step(values: Tensor, bits: int, *, signed: bool, ceiling: float | None = None) -> Tensor:
    """The step of least mean squared error for `values`, of forty between a fortieth and the whole of their range."""
    low, high = activation_range(bits, signed=signed)
    sample = _scattered(values.detach().flatten()).float()
    if not signed:
        sample = sample.clamp(0, ceiling)  # what the activation removes is no error
    largest = (sample.abs().amax() / max(high, 1)).clamp_min(1e-6)
    steps = largest * torch.arange(1, CANDIDATES + 1, device=sample.device).unsqueeze(1) / CANDIDATES
    errors = ((sample / steps).round_().clamp_(low, high) * steps - sample).square_().mean(1)
    return steps[errors.argmin(), 0]


class ActivationQuantiser(nn.Module):
    """Quantises to `bits` by one step, a buffer that `refreshing` fits to the data that passes."""

    step: Tensor

    def __init__(self, bits: int, *, signed: bool, ceiling: float | None = None) -> None:
        super().__init__()
        self.bits, self.signed, self.ceiling = bits, signed, ceiling
        self.register_buffer("step", torch.ones(()))
        self.refresh, self.averaging = 0.0, False

    def forward(self, values: Tensor) -> Tensor:
        """`values`, bounded by the ceiling if any, quantised; refreshing first moves the step to their best one."""
        if self.refresh:
            best = best_step(values, self.bits, signed=self.signed, ceiling=self.ceiling)
            self.step.lerp_(best, self.refresh)
            self.refresh = self.refresh / (1 + self.refresh) if self.averaging else self.refresh
        return quantise_activation(values, self.step, self.bits, signed=self.signed, ceiling=self.ceiling)


@contextmanager
def refreshing(module: nn.Module, share: float = 1.0, *, averaging: bool = False) -> Iterator[None]:
    """Within, every activation step in `module` that runs moves by `share` of the way to the best for its data.

    `averaging` makes it the average of the best steps of all that passes, whatever it was before (`share` 1).
    """
    quantisers = [part for part in module.modules() if isinstance(part, ActivationQuantiser)]
    for part in quantisers:
        part.refresh, part.averaging = share, averaging
    try:
        yield
    finally:
        for part in quantisers:
            part.refresh, part.averaging = 0.0, False
