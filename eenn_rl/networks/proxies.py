"""Training-free scores of networks: what a user has before anything is trained. Larger is better.

`macs` is the naive one. `naswot`: Mellor et al., Neural Architecture Search without Training, ICML 2021. `synflow`:
Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020, as a
score by Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021. `eenn_rl.networks.guess` makes accuracy
tables of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.branches import branch_layers
from eenn_rl.networks.builder import Head, Network, heads_of, path_of
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.layers import QuantisedLayer
from eenn_rl.networks.loop import generator_for
from eenn_rl.networks.quantise import refreshing

BATCH = 64
"""Images that NASWOT looks at."""


@dataclass(frozen=True)
class Subject:
    """What is scored: `backbone` up to the last of `heads`, block i at path[i] bits, with those heads."""

    backbone: Backbone
    path: tuple[int, ...]
    heads: tuple[Head, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> "Subject":
        """A whole architecture."""
        return cls(architecture.backbone, path_of(architecture), heads_of(architecture))

    @property
    def blocks(self) -> int:
        """Blocks that run."""
        return 1 + max(location for location, _ in self.heads)


def macs(subject: Subject, dataset: Dataset, seed: int = 0) -> float:  # noqa: ARG001 - one signature for all
    """Multiply-accumulates of the path to the last head, branches included."""
    heads = (branch_layers(subject.backbone, *head) for head in subject.heads)
    trunk = (block.layers for block in subject.backbone.blocks[: subject.blocks])
    return float(sum(layer.macs for layers in (*trunk, *heads) for layer in layers))


def _fresh(subject: Subject, seed: int) -> Network:
    network = Network(subject.backbone, subject.heads, sorted(set(subject.path)))
    network.initialise(generator_for(seed, "proxy"))
    return network


@torch.no_grad()
def naswot(subject: Subject, dataset: Dataset, seed: int = 0) -> float:
    """Logarithm of the determinant of the kernel that counts, for two images, the units that agree on firing.

    A batch of training images, fresh weights; units are those of every layer with an activation. Minus infinity where
    two images cannot be told apart, for want of such layers, say.
    """
    network = _fresh(subject, seed).train()
    codes: list[Tensor] = []

    def note(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, QuantisedLayer) and module.layer.activation != "none":
            codes.append((output > 0).flatten(1))

    hooks = [module.register_forward_hook(note) for module in network.quantised_layers()]
    chosen = torch.randperm(len(dataset.train_x), generator=generator_for(seed, "proxy images"))[:BATCH]
    images = dataset.view(dataset.train_x, chosen.to(dataset.train_x.device), generator_for(seed, "proxy view"))
    with refreshing(network):
        network(dataset.normalise(images).cpu(), subject.path, subject.heads)
    for hook in hooks:
        hook.remove()
    if not codes:
        return -math.inf
    fired = torch.cat(codes, 1).double()
    kernel = fired @ fired.T + (1 - fired) @ (1 - fired).T
    return float(torch.linalg.slogdet(kernel).logabsdet)


def synflow(subject: Subject, dataset: Dataset, seed: int = 0) -> float:  # noqa: ARG001
    """Logarithm of the sum over weights of ``|w dR/dw|``, R the summed logits of all heads for an image of ones.

    Weights by their absolute value, in float64; no rounding, no batch norm, no activation. The data is not looked at,
    nor is the bit-width.
    """
    network = _fresh(subject, seed).double()
    weights: list[Tensor] = []
    values = {"": torch.ones(1, *subject.backbone.input_shape, dtype=torch.float64)}
    for block in list(network.blocks)[: subject.blocks]:
        _flow(block, values, weights)
    total = torch.zeros((), dtype=torch.float64)
    for head in subject.heads:
        total = total + _flow(network.head(head), dict(values), weights).sum()
    gradients = torch.autograd.grad(total, weights)
    parts = torch.stack([(w.detach() * g).sum() for w, g in zip(weights, gradients, strict=True)])
    return float(parts.sum().log())


def _flow(chain: nn.Module, values: dict[str, Tensor], weights: list[Tensor]) -> Tensor:
    value = values[""]
    for module in chain.modules():
        if isinstance(module, QuantisedLayer):
            value = _flow_through(module, [values[name] for name in module.layer.reads or ("",)], weights)
            values[module.layer.name] = value
    return value


def _flow_through(module: QuantisedLayer, inputs: list[Tensor], weights: list[Tensor]) -> Tensor:
    layer: Layer = module.layer
    if layer.kind in ("add", "pool"):
        return module.operate(inputs, None)
    weight = module.variant(int(next(iter(module.variants)))).weight.detach().abs().requires_grad_()
    weights.append(weight)
    if layer.kind == "linear":
        return functional.linear(inputs[0].flatten(1), weight)
    return functional.conv2d(module.padded(inputs[0]), weight, None, layer.stride, module.padding, groups=layer.groups)


PROXIES: dict[str, Callable[[Subject, Dataset, int], float]] = {"macs": macs, "naswot": naswot, "synflow": synflow}
