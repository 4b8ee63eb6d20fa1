"""Stage, Workload: what a backend is asked to cost."""

from dataclasses import dataclass

from eenn_rl.architecture import Architecture
from eenn_rl.backbone import Layer
from eenn_rl.branches import branch_layers
from eenn_rl.errors import check

IMAGE_BITS = 8
"""Bits of an element of the image that the first stage reads, whatever that stage's bits."""


@dataclass(frozen=True)
class Stage:
    """The backbone layers since the previous exit, and the branch of this exit.

    `layers` run on allocation `core`, `branch_layers` on allocation `branch_core` (indices into the accelerator's
    `allocations`), both at `bits` for weights and activations. What `layers` read from the stage before arrives at
    that stage's bits, and the image at `IMAGE_BITS`.
    """

    layers: tuple[Layer, ...]
    branch_layers: tuple[Layer, ...]
    bits: int
    core: int
    branch_core: int


@dataclass(frozen=True)
class Workload:
    """The stages of one network in order; a sample that leaves at exit k has run stages and branches 0..k."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        check(len(self.stages) >= 1, "stages", self.stages, "at least one stage")


def stage_of(architecture: Architecture, k: int) -> Stage:
    """Stage `k` (0-based) of `architecture`."""
    exit_ = architecture.exits[k]
    first = architecture.exits[k - 1].location + 1 if k else 0
    blocks = architecture.backbone.blocks[first : exit_.location + 1]
    return Stage(
        layers=tuple(layer for block in blocks for layer in block.layers),
        branch_layers=branch_layers(architecture.backbone, exit_.location, exit_.branch),
        bits=exit_.bits,
        core=exit_.core,
        branch_core=exit_.branch_core,
    )


def workload_of(architecture: Architecture) -> Workload:
    """What a backend costs for `architecture`."""
    return Workload(tuple(stage_of(architecture, k) for k in range(len(architecture.exits))))
