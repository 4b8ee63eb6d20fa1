"""Training-free scores of an architecture: what a user has before anything is trained. Larger is better.

`macs` is the naive one. `naswot`: Mellor et al., Neural Architecture Search without Training, ICML 2021. `synflow`:
Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020, as a
score by Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Layer
from eenn_rl.branches import branch_layers
from eenn_rl.networks.builder import Network, heads_of, path_of
from eenn_rl.networks.data import Dataset
from eenn_rl.networks.layers import QuantisedLayer
from eenn_rl.networks.loop import generator_for
from eenn_rl.networks.quantise import refreshing

BATCH = 64
"""Images that NASWOT looks at."""


def macs(architecture: Architecture, dataset: Dataset, seed: int = 0) -> float:  # noqa: ARG001 - one signature for all
    """Multiply-accumulates of the path to the last exit, branches included."""
    heads = (branch_layers(architecture.backbone, exit_.location, exit_.branch) for exit_ in architecture.exits)
    return float(architecture.backbone.macs + sum(layer.macs for layers in heads for layer in layers))


def _fresh(architecture: Architecture, seed: int) -> Network:
    network = Network(architecture.backbone, heads_of(architecture), sorted(set(path_of(architecture))))
    network.initialise(generator_for(seed, "proxy"))
    return network


@torch.no_grad()
def naswot(architecture: Architecture, dataset: Dataset, seed: int = 0) -> float:
    """Logarithm of the determinant of the kernel that counts, for two images, the units that agree on firing.

    A batch of training images, fresh weights; units are those of every layer with an activation.
    """
    network = _fresh(architecture, seed).train()
    codes: list[Tensor] = []

    def note(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, QuantisedLayer) and module.layer.activation != "none":
            codes.append((output > 0).flatten(1))

    hooks = [module.register_forward_hook(note) for module in network.quantised_layers()]
    chosen = torch.randperm(len(dataset.train_x), generator=generator_for(seed, "proxy images"))[:BATCH]
    images = dataset.view(dataset.train_x, chosen.to(dataset.train_x.device), generator_for(seed, "proxy view"))
    with refreshing(network):
        network(dataset.normalise(images).cpu(), path_of(architecture), heads_of(architecture))
    for hook in hooks:
        hook.remove()
    fired = torch.cat(codes, 1).double()
    kernel = fired @ fired.T + (1 - fired) @ (1 - fired).T
    return float(torch.linalg.slogdet(kernel).logabsdet)


def synflow(architecture: Architecture, dataset: Dataset, seed: int = 0) -> float:  # noqa: ARG001
    """Logarithm of the sum over weights of ``|w dR/dw|``, R the summed logits of all exits for an image of ones.

    Weights by their absolute value, in float64; no rounding, no batch norm, no activation. The data is not looked at,
    nor is the bit-width.
    """
    network = _fresh(architecture, seed).double()
    weights: list[Tensor] = []
    values = {"": torch.ones(1, *architecture.backbone.input_shape, dtype=torch.float64)}
    for block in network.blocks:
        _flow(block, values, weights)
    total = torch.zeros((), dtype=torch.float64)
    for head in heads_of(architecture):
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


PROXIES: dict[str, Callable[[Architecture, Dataset, int], float]] = {"macs": macs, "naswot": naswot, "synflow": synflow}
