"""Batch norms and activation steps fitted to one path of bits, from training images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from eenn_rl.networks.builder import Head, Network
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.loop import generator_for
from eenn_rl.networks.quantise import refreshing

Values = dict[str, Tensor]
CHUNK = 500
"""Most images that pass at once."""


def calibration_images(dataset: Dataset, count: int, seed: int) -> Tensor:
    """`count` augmented, normalised training images, the same for one seed."""
    chosen = torch.randperm(len(dataset.train_x), generator=generator_for(seed, "calibration"))
    chosen = chosen.repeat(-(-count // len(chosen)))[:count].to(dataset.train_x.device)
    return dataset.normalise(dataset.view(dataset.train_x, chosen, generator_for(seed, "calibration view")))


def chunked(values: Values, function: Callable[[Values], Values]) -> Values:
    """`function` of `values`, a few hundred images at a time.

    In chunks of one size, give or take an image: batch norms and steps are fitted as plain averages over them.
    """
    n = len(next(iter(values.values())))
    count = -(-n // CHUNK)
    chunks = [slice(i * n // count, (i + 1) * n // count) for i in range(count)]
    parts = [function({name: value[chunk] for name, value in values.items()}) for chunk in chunks]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def advance(network: Network, values: Values, index: int, bits: int) -> Values:
    """`Network.advance`, in chunks."""
    return chunked(values, lambda part: network.advance(part, index, bits))


def classify(network: Network, values: Values, head: Head, bits: int) -> Tensor:
    """`Network.classify`, in chunks."""
    return chunked(values, lambda part: {"": network.classify(part, head, bits)})[""]


def recalibrate(module: nn.Module, bits: int, run: Callable[[], object]) -> None:
    """Fit batch norms and activation steps of `module` at `bits` to what passes through `run`, then evaluate."""
    norms = [
        part
        for name, part in module.named_modules()
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and f"variants.{bits}." in name
    ]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the chunks
    module.train()
    with refreshing(module, averaging=True):
        run()
    module.eval()
    for norm in norms:
        norm.momentum = 0.1


@torch.no_grad()
def recalibrate_path(network: Network, path: Sequence[int], heads: Sequence[Head], images: Tensor) -> None:
    """Recalibrate every block of `path`, and `heads`, one after another, as `measure_tables` does."""
    values = network.start(images)
    for index, bits in enumerate(path):
        before = values
        recalibrate(network.block(index), bits, lambda i=index, b=bits, v=before: advance(network, v, i, b))  # type: ignore[misc]
        values = advance(network, before, index, bits)
        for head in heads:
            if head[0] == index:
                here = values
                recalibrate(network.head(head), bits, lambda h=head, b=bits, v=here: classify(network, v, h, b))  # type: ignore[misc]
