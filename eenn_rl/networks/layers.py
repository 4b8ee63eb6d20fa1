"""One torch module per `Layer` description, at every bit-width it is used at.

What is quantised where, the same for every network: weights of convolutions and linear layers at the stage's bits;
every feature map that is written at the stage's bits, except logits, and except a convolution without activation that
only additions read (it hands them its accumulators). The image arrives as its 8-bit pixels. Each bit-width has its own
weights, batch norm and activation step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from eenn_rl.backbone import Layer
from eenn_rl.errors import check
from eenn_rl.networks.depthwise import mixed_depthwise
from eenn_rl.networks.quantise import ActivationQuantiser, quantise_weight

CEILINGS = {"relu6": 6.0}
"""What an activation bounds its values by, where it does."""


@dataclass(frozen=True)
class Role:
    """What the graph around a layer decides about it."""

    normalised: bool
    quantised: bool
    signed: bool


def roles(layers: Sequence[Layer], sinks: Iterable[str]) -> dict[str, Role]:
    """The role of each of `layers`, which run in order; `sinks` are names that others read too.

    The last linear layer of a head, whose output nobody reads, gives logits: a bias, no batch norm, no rounding.
    """
    readers: dict[str, list[Layer]] = {layer.name: [] for layer in layers}
    for layer in layers:
        for name in layer.reads:
            readers.setdefault(name, []).append(layer)
    outside = set(sinks)
    found: dict[str, Role] = {}
    for layer in layers:
        read_by = readers[layer.name]
        logits = not read_by and layer.name not in outside
        pool = layer.kind == "pool"
        accumulates = (
            layer.kind in ("conv", "depthwise", "linear")
            and layer.activation == "none"
            and layer.name not in outside
            and all(reader.kind == "add" for reader in read_by)
        )
        source = found.get(layer.reads[0]) if pool and layer.reads else None
        found[layer.name] = Role(
            normalised=layer.kind in ("conv", "depthwise") or (layer.kind == "linear" and not logits),
            quantised=not (logits or accumulates or (pool and layer.pooling == "max")),
            # Pooling keeps the signs that there are, and an image has some.
            signed=layer.activation == "none" and (not pool or source is None or source.signed),
        )
    return found


class Variant(nn.Module):
    """A layer's parameters at one bit-width."""

    def __init__(self, layer: Layer, role: Role, bits: int) -> None:
        super().__init__()
        self.bits = bits
        if layer.kind == "linear":
            self.weight = nn.Parameter(torch.empty(layer.out_channels, layer.in_channels))
        elif layer.kind in ("conv", "depthwise"):
            shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
            self.weight = nn.Parameter(torch.empty(shape))
        self.logit_inputs = 0
        """Inputs of a layer that gives logits."""
        if layer.weight_elements and not role.normalised:
            self.logit_inputs = layer.in_channels
            self.bias = nn.Parameter(torch.zeros(layer.out_channels))
        if role.normalised:
            norm = nn.BatchNorm1d if layer.kind == "linear" else nn.BatchNorm2d
            self.norm = norm(layer.out_channels)
        if role.quantised:
            self.output = ActivationQuantiser(bits, signed=role.signed, ceiling=CEILINGS.get(layer.activation))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights (He et al. 2015, fan-out for convolutions), small ones for logits; the rest is constant."""
        if hasattr(self, "bias"):
            nn.init.normal_(self.weight, std=0.01, generator=generator)
        elif hasattr(self, "weight"):
            dense = self.weight.dim() == 4 and self.weight.shape[1] > 1
            nn.init.kaiming_normal_(
                self.weight, mode="fan_out" if dense else "fan_in", nonlinearity="relu", generator=generator
            )


class QuantisedLayer(nn.Module):
    """The module of one `Layer`; `forward(inputs, bits)` runs its variant of that bit-width."""

    def __init__(self, layer: Layer, role: Role, bits: Iterable[int]) -> None:
        super().__init__()
        self.layer = layer
        self.padding, self.extra = _padding(layer)
        self.variants = nn.ModuleDict({str(b): Variant(layer, role, b) for b in bits})

    def variant(self, bits: int) -> Variant:
        """The parameters at `bits`."""
        variant = self.variants[str(bits)]
        assert isinstance(variant, Variant)  # noqa: S101 - narrows ModuleDict's type
        return variant

    def forward(self, inputs: Sequence[Tensor], bits: int) -> Tensor:
        """The layer's output, [N, C, H, W], or [N, C] for a linear layer."""
        variant = self.variant(bits)
        value = self.operate(inputs, variant)
        if hasattr(variant, "norm"):
            value = variant.norm(value)
        if hasattr(variant, "output"):
            quantised: Tensor = variant.output(value)  # an unsigned one rectifies
            return quantised
        if self.layer.activation == "none":
            return value
        return functional.relu6(value) if self.layer.activation == "relu6" else functional.relu(value)

    def operate(self, inputs: Sequence[Tensor], variant: Variant | None) -> Tensor:
        """The operator alone; layers without weights need no variant."""
        layer, first = self.layer, inputs[0]
        if layer.kind == "add":
            return torch.stack(tuple(inputs)).sum(0) if len(inputs) > 2 else inputs[0] + inputs[-1]
        if layer.kind == "pool":
            return self._pool(self.padded(first))
        assert variant is not None  # noqa: S101 - the layer has weights
        weight, bias = quantise_weight(variant.weight, variant.bits), getattr(variant, "bias", None)
        if layer.kind == "linear":
            return functional.linear(first.flatten(1), weight, bias)
        value = self.padded(first)
        if layer.kind == "depthwise" and value.device.type == "cpu" and value.dtype == torch.bfloat16 and bias is None:
            return mixed_depthwise(value, weight, layer.stride, self.padding)
        return functional.conv2d(value, weight, bias, layer.stride, self.padding, groups=layer.groups)

    def padded(self, value: Tensor) -> Tensor:
        """With the one more row or column that an even `same` kernel needs at the end."""
        return functional.pad(value, (0, self.extra[1], 0, self.extra[0])) if any(self.extra) else value

    def _pool(self, value: Tensor) -> Tensor:
        layer = self.layer
        if layer.pooling == "max":
            return functional.max_pool2d(value, layer.kernel, layer.stride, self.padding)
        if layer.out_size == (1, 1) and layer.kernel == layer.in_size:
            return value.mean((2, 3), keepdim=True)
        return functional.avg_pool2d(value, layer.kernel, layer.stride, self.padding)


def _padding(layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding on each side, and the one more row or column at the end that an even `same` kernel needs."""
    if layer.kind in ("linear", "add"):
        return (0, 0), (0, 0)
    extra = [
        int((size + 2 * padding - kernel) // stride + 1 != out)
        for size, padding, kernel, stride, out in zip(
            layer.in_size, layer.padding, layer.kernel, layer.stride, layer.out_size, strict=True
        )
    ]
    return layer.padding, (extra[0], extra[1])


class Chain(nn.Module):
    """Layers that run in order; `forward(values, bits)` reads and extends the outputs by layer name."""

    def __init__(self, layers: Sequence[Layer], role_of: Mapping[str, Role], bits: Iterable[int]) -> None:
        super().__init__()
        bits = tuple(bits)
        self.steps = nn.ModuleList(QuantisedLayer(layer, role_of[layer.name], bits) for layer in layers)

    @property
    def layers(self) -> list[QuantisedLayer]:
        """The modules, typed."""
        return [step for step in self.steps if isinstance(step, QuantisedLayer)]

    def forward(self, values: dict[str, Tensor], bits: int) -> Tensor:
        """The last layer's output; `values` holds the outputs of earlier layers, the image under the empty name."""
        for step in self.layers:
            reads = step.layer.reads or ("",)
            values[step.layer.name] = step([values[name] for name in reads], bits)
        return values[self.layers[-1].layer.name]


def copy_variant(layers: Iterable[QuantisedLayer], source: int, target: int) -> None:
    """Give every layer's variant at `target` bits the weights and norm of the one at `source` (not its step)."""
    for layer in layers:
        state = {k: v for k, v in layer.variant(source).state_dict().items() if not k.startswith("output.")}
        missing = layer.variant(target).load_state_dict(state, strict=False)
        check(not missing.unexpected_keys, "variant", missing.unexpected_keys, "of one structure at every bit-width")
