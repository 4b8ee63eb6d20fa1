"""Exit, Architecture: the network being designed."""

from dataclasses import dataclass
from itertools import pairwise

from eenn_rl.backbone import Backbone
from eenn_rl.branches import branch_layers
from eenn_rl.errors import check


@dataclass(frozen=True)
class Exit:
    """A mounted branch and the stage that leads to it.

    `location` is the 0-based index of the backbone block it follows; `bits` the bit-width of the stage's weights and
    activations, branch included; `core` and `branch_core` are indices into the accelerator's `allocations`.
    """

    location: int
    branch: str
    bits: int
    core: int
    branch_core: int

    def __post_init__(self) -> None:
        for field in ("location", "core", "branch_core"):
            check(getattr(self, field) >= 0, f"exit {field}", getattr(self, field), "at least 0")
        check(1 <= self.bits <= 32, "exit bits", self.bits, "between 1 and 32")


@dataclass(frozen=True)
class Architecture:
    """A backbone and its exits: locations strictly increase, and the last exit is at the last block."""

    backbone: Backbone
    exits: tuple[Exit, ...]

    def __post_init__(self) -> None:
        check(len(self.exits) >= 1, "exits", self.exits, "at least one exit")
        locations = [exit_.location for exit_ in self.exits]
        last = len(self.backbone.blocks) - 1
        check(locations[-1] == last, "location of the last exit", locations[-1], f"the last block ({last})")
        check(
            all(a < b for a, b in pairwise(locations)),
            "exit locations",
            locations,
            "strictly increasing",
        )
        for exit_ in self.exits:
            branch_layers(self.backbone, exit_.location, exit_.branch)
