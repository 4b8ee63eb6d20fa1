"""A trained network as graphs: for each stage its part of the backbone, and its branch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Layer
from eenn_rl.export_onnx.graph import GraphBuilder
from eenn_rl.export_onnx.manifest import HANDED_ON, TensorInfo
from eenn_rl.export_onnx.parameters import LayerParameters, parameters_of
from eenn_rl.workload import Stage, workload_of

if TYPE_CHECKING:
    from eenn_rl.networks.builder import Network


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, in 0..1, of the training images."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StageGraphs:
    """The two models (onnx.ModelProto) of a stage, with what crosses their borders."""

    backbone: Any
    backbone_inputs: tuple[TensorInfo, ...]
    backbone_outputs: tuple[TensorInfo, ...]
    branch: Any
    branch_inputs: tuple[TensorInfo, ...]
    branch_outputs: tuple[TensorInfo, ...]


def stage_graphs(architecture: Architecture, network: "Network", normalisation: Normalisation) -> list[StageGraphs]:
    """The graphs of every stage, in order."""
    stages = workload_of(architecture).stages
    parameters = [_stage_parameters(architecture, network, k) for k in range(len(stages))]
    known: dict[str, TensorInfo] = {}
    return [_graphs(architecture, stages, k, parameters[k], normalisation, known) for k in range(len(stages))]


Parameters = tuple[list[LayerParameters], list[LayerParameters]]


def _stage_parameters(architecture: Architecture, network: "Network", k: int) -> Parameters:
    """Parameters of the backbone part and of the branch of stage `k`."""
    exit_ = architecture.exits[k]
    first = architecture.exits[k - 1].location + 1 if k else 0
    trunk = [layer for index in range(first, exit_.location + 1) for layer in network.block(index).layers]
    head = network.head((exit_.location, exit_.branch)).layers
    return [parameters_of(module, exit_.bits) for module in trunk], [parameters_of(m, exit_.bits) for m in head]


def _graphs(
    architecture: Architecture,
    stages: Sequence[Stage],
    k: int,
    parameters: Parameters,
    normalisation: Normalisation,
    known: dict[str, TensorInfo],
) -> StageGraphs:
    """Graphs of stage `k`; `known` are the tensors that earlier ones hand on, extended by this one's."""
    later = _read_by(
        [*stages[k].branch_layers, *(x for stage in stages[k + 1 :] for x in (*stage.layers, *stage.branch_layers))]
    )
    trunk = GraphBuilder(f"stage{k}", pools=_pools(stages[k].layers))
    inputs = _begin(trunk, stages[k].layers, known, architecture, normalisation)
    outputs = _run(trunk, parameters[0], later)
    known |= {info.name.removesuffix(HANDED_ON): info for info in outputs}
    branch = GraphBuilder(f"exit{k}", pools=_pools(stages[k].branch_layers))
    branch_inputs = _begin(branch, stages[k].branch_layers, known, architecture, normalisation)
    for item in parameters[1]:
        branch.layer(item)
    logits = branch.logits(parameters[1][-1].layer)
    return StageGraphs(trunk.model(), inputs, outputs, branch.model(), branch_inputs, (logits,))


def _read_by(layers: Iterable[Layer]) -> set[str]:
    """Names of what `layers` read; the image has the empty one."""
    return {name for layer in layers for name in layer.reads or ("",)}


def _pools(layers: Iterable[Layer]) -> bool:
    """Whether there is a max-pool among `layers`."""
    return any(layer.kind == "pool" and layer.pooling == "max" for layer in layers)


def _begin(
    builder: GraphBuilder, layers: Sequence[Layer], known: dict[str, TensorInfo], architecture: Architecture,
    normalisation: Normalisation,
) -> tuple[TensorInfo, ...]:  # fmt: skip
    """Declare what `layers` read from outside their graph."""
    own = {layer.name for layer in layers}
    outside = [name for layer in layers for name in layer.reads or ("",) if name not in own]
    taken = []
    for name in dict.fromkeys(outside):
        if name:
            builder.take(known[name])
            taken.append(known[name])
        else:
            channels, height, width = architecture.backbone.input_shape
            taken.append(builder.image(channels, (height, width), normalisation.mean, normalisation.std))
    return tuple(taken)


def _run(builder: GraphBuilder, parameters: Sequence[LayerParameters], later: set[str]) -> tuple[TensorInfo, ...]:
    """Add the layers; hand on what is read later."""
    rounding: dict[str, LayerParameters] = {}
    given = []
    for item in parameters:
        builder.layer(item)
        layer = item.layer
        if item.step is not None:
            rounding[layer.name] = item
        elif layer.kind == "pool" and layer.pooling == "max" and layer.reads and layer.reads[0] in rounding:
            rounding[layer.name] = rounding[layer.reads[0]]  # the greatest of some integers is one of them
        if layer.name in later:
            given.append(builder.give(item, _handed(item, rounding.get(layer.name))))
    return tuple(given)


def _handed(item: LayerParameters, rounded: LayerParameters | None) -> LayerParameters | None:
    return rounded and replace(rounded, layer=item.layer)
