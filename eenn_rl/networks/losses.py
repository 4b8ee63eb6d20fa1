"""The loss of a training step: of every head, of early ones imitating the last; and how softly the trunk hears them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from eenn_rl.networks.builder import Head, Network

DISTILLATION_TEMPERATURE = 2.0


def imitation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence from `teacher`'s softened output (Hinton et al. 2015), both [N, classes]."""
    t = DISTILLATION_TEMPERATURE
    target = functional.softmax(teacher.detach() / t, 1)
    return functional.kl_div(functional.log_softmax(logits / t, 1), target, reduction="batchmean") * t * t


def exit_loss(logits: Tensor, labels: Tensor, teacher: Tensor, distillation: float) -> Tensor:
    """Cross-entropy, with a share of it replaced by imitation of `teacher`."""
    loss = functional.cross_entropy(logits, labels)
    return (1 - distillation) * loss + distillation * imitation(logits, teacher)


class _Scaled(torch.autograd.Function):
    """The identity whose gradient is multiplied: heads learn at full strength, the trunk hears them softly."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """`values`, whose gradient is multiplied by `factor`."""
    scaled: Tensor = _Scaled.apply(values, factor)  # type: ignore[no-untyped-call]
    return scaled


def _logits(
    network: Network, images: Tensor, path: Sequence[int], heads: Sequence[Head], weight: float
) -> list[Tensor]:
    """Logits of `heads`; those of one block before the last have `weight` together in the gradient of the trunk."""
    values = network.start(images)
    logits: list[Tensor] = []
    for index, bits in enumerate(path):
        values = network.advance(values, index, bits)
        here = [head for head in heads if head[0] == index]
        if not here:
            continue
        factor = 1.0 if index == len(path) - 1 else weight / len(here)
        heard = {name: scale_gradient(value, factor) for name, value in values.items()}
        logits += [network.classify(heard, head, bits) for head in here]
    return logits


def training_loss(
    network: Network, images: Tensor, labels: Tensor, path: Sequence[int], heads: Sequence[Head], exit_weight: float,
    distillation: float,
) -> Tensor:  # fmt: skip
    """The loss of all `heads` on a batch; the last one is the classifier's.

    The early ones of a block have `exit_weight` together in the gradient of the trunk; `distillation` is the share of
    their loss that imitates the last one.
    """
    logits = _logits(network, images, path, heads, exit_weight)
    loss = functional.cross_entropy(logits[-1], labels)
    for early in logits[:-1]:
        loss = loss + exit_loss(early, labels, logits[-1], distillation)
    return loss
