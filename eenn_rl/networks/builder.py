"""Torch networks built from shapes alone: `Network` (a backbone and any heads), `network_of(architecture)`.

The backbone's `Layer` descriptions decide every shape, so that what is trained is what is costed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.branches import CLASSIFIER, branch_layers
from eenn_rl.networks.layers import Chain, QuantisedLayer, roles

Head = tuple[int, str]
"""(location, branch): a classifier mounted after a block."""


class Network(nn.Module):
    """A backbone with heads, at every bit-width in `bits`.

    `forward(images, path, heads)` runs block i at path[i] bits and returns each head's logits [N, classes]; a head
    runs at the bits of its block. Heads are asked for in order of their location, and no block past the last is run.
    """

    def __init__(self, backbone: Backbone, heads: Iterable[Head], bits: Sequence[int]) -> None:
        super().__init__()
        self.backbone, self.bits = backbone, tuple(bits)
        self.heads_at = tuple(sorted(dict.fromkeys(heads), key=lambda head: head[0]))
        head_layers = {head: branch_layers(backbone, *head) for head in self.heads_at}
        trunk = backbone.layers
        sinks = [block.layers[-1].name for block in backbone.blocks]
        self.blocks = nn.ModuleList(Chain(block.layers, roles(trunk, sinks), self.bits) for block in backbone.blocks)
        self.heads = nn.ModuleDict(
            {f"{at}/{branch}": Chain(layers, roles((*trunk, *layers), sinks), self.bits)
             for (at, branch), layers in head_layers.items()}
        )  # fmt: skip
        self._live = _live_after(backbone, head_layers.values())

    def block(self, index: int) -> Chain:
        """Block `index`, typed."""
        block = self.blocks[index]
        assert isinstance(block, Chain)  # noqa: S101 - narrows ModuleList's type
        return block

    def head(self, head: Head) -> Chain:
        """The layers of one head, typed."""
        chain = self.heads[f"{head[0]}/{head[1]}"]
        assert isinstance(chain, Chain)  # noqa: S101
        return chain

    def quantised_layers(self) -> Iterator[QuantisedLayer]:
        """Every layer, trunk first."""
        return (module for module in self.modules() if isinstance(module, QuantisedLayer))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights of the widest variant of each layer and give them to the others."""
        for layer in self.quantised_layers():
            first = layer.variant(max(self.bits))
            first.initialise(generator)
            for bits in self.bits:
                if bits != max(self.bits) and hasattr(first, "weight"):
                    layer.variant(bits).weight.data.copy_(first.weight.data)

    def channels_last(self) -> None:
        """Keep convolution weights in the memory order that convolutions prefer."""
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def start(self, images: Tensor) -> dict[str, Tensor]:
        """The values that block 0 reads: the image, in the memory order that convolutions prefer."""
        return {"": images.contiguous(memory_format=torch.channels_last)}

    def advance(self, values: Mapping[str, Tensor], index: int, bits: int) -> dict[str, Tensor]:
        """Run block `index`; returns the values that later blocks and heads still read."""
        values = dict(values)
        self.block(index)(values, bits)
        return {name: value for name, value in values.items() if name in self._live[index]}

    def classify(self, values: Mapping[str, Tensor], head: Head, bits: int) -> Tensor:
        """Logits of `head`, given the values after its block."""
        logits: Tensor = self.head(head)(dict(values), bits)
        return logits.flatten(1)

    def forward(self, images: Tensor, path: Sequence[int], heads: Sequence[Head]) -> list[Tensor]:
        """Logits of each of `heads`, in order."""
        values = self.start(images)
        found = {}
        for index in range(max(location for location, _ in heads) + 1):
            values = self.advance(values, index, path[index])
            for head in heads:
                if head[0] == index:
                    found[head] = self.classify(values, head, path[index])
        return [found[head] for head in heads]


def _live_after(backbone: Backbone, head_layers: Iterable[Sequence[Layer]]) -> list[set[str]]:
    """For each block, the names that anything after it, or a head on it, reads."""
    heads = {name for layers in head_layers for layer in layers for name in layer.reads}
    live = []
    for index in range(len(backbone.blocks)):
        later = {
            name for block in backbone.blocks[index + 1 :] for layer in block.layers for name in layer.reads or ("",)
        }
        done = {layer.name for block in backbone.blocks[: index + 1] for layer in block.layers} | {""}
        here = {layer.name for layer in backbone.blocks[index].layers}
        live.append((later & done) | (heads & (here if index < len(backbone.blocks) - 1 else done)))
    return live


def all_heads(backbone: Backbone, branches: Sequence[str]) -> tuple[Head, ...]:
    """Every branch at every block but the last, and the classifier there."""
    last = len(backbone.blocks) - 1
    return (*((location, branch) for location in range(last) for branch in branches), (last, CLASSIFIER))


def path_of(architecture: Architecture) -> tuple[int, ...]:
    """The bits of each block."""
    path: list[int] = []
    for exit_ in architecture.exits:
        path += [exit_.bits] * (exit_.location + 1 - len(path))
    return tuple(path)


def heads_of(architecture: Architecture) -> tuple[Head, ...]:
    """The heads of an architecture, in order."""
    return tuple((exit_.location, exit_.branch) for exit_ in architecture.exits)
