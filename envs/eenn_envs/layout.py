"""Layout: what each action and each part of an observation means; problems of one layout can share a policy."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, SearchSpace

ALLOCATION_SLOTS = 12
CORE_SLOTS = 8
"""Room for accelerators of different sizes in one layout; a larger accelerator widens its own layout."""

ALLOCATION_FEATURES = 5
"""Per allocation, before the two of each bit-width: see `eenn_envs.features`."""
PREFERENCE_FEATURES = 8
PROSPECTS = 2
"""Per block, branch and bit-width, where an observation holds ``prospects``: see `eenn_rl.prospects`."""


@dataclass(frozen=True)
class Layout:
    """Actions and observation of every problem with these blocks, branches, bits and exits.

    Actions are disjoint ranges, one per decision, in the order of a genome's columns, so each logit keeps one meaning.
    The observation is flat float32; `slices` names its parts and `bounds` gives their ranges:

    - ``phase`` [5], 0 or 1: the decision to be taken, one-hot;
    - ``exits`` [exits * actions], 0 or 1: the actions taken so far, one-hot per exit;
    - ``load`` [cores], 0..1: the share of the backbone's MACs placed on each compute core, branches included;
    - ``remaining`` [3], 0..1: the shares of MACs, of blocks and of exits that are still open;
    - ``allocations`` [allocations * (5 + 2 * bits)], -1..1: what each allocation offers;
    - ``preference`` [8], 0..1: what the objective asks for;
    - ``prospects`` [blocks * branches * bits * 2], -1..1, only where the layout says so: what each exit could do alone,
      by which one policy can serve several data sets. On one problem they are constants.
    """

    blocks: int
    branches: tuple[str, ...]
    bits: tuple[int, ...]
    exits: int
    allocations: int = ALLOCATION_SLOTS
    cores: int = CORE_SLOTS
    prospects: bool = False

    def __post_init__(self) -> None:
        for field in ("blocks", "exits", "allocations", "cores"):
            check(getattr(self, field) >= 1, f"layout {field}", getattr(self, field), "at least 1")

    @cached_property
    def widths(self) -> tuple[int, int, int, int, int]:
        """The number of actions of each decision."""
        return (self.blocks, len(self.branches), len(self.bits), self.allocations, self.allocations)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first action of each decision."""
        return tuple(int(start) for start in np.cumsum((0, *self.widths[:-1])))

    @property
    def actions(self) -> int:
        """The number of actions."""
        return sum(self.widths)

    @cached_property
    def values(self) -> npt.NDArray[np.int16]:
        """What each action writes into a genome: a location, a branch's index, bits, an allocation."""
        columns: tuple[npt.ArrayLike, ...] = (
            range(self.blocks),
            range(len(self.branches)),
            self.bits,
            range(self.allocations),
            range(self.allocations),
        )
        return np.concatenate([np.asarray(column, np.int16) for column in columns])

    @cached_property
    def phases(self) -> npt.NDArray[np.int8]:
        """The decision that each action belongs to."""
        return np.repeat(np.arange(5, dtype=np.int8), self.widths)

    @property
    def max_steps(self) -> int:
        """Decisions in the longest episode: five per exit, four for the last one."""
        return 5 * (min(self.exits, self.blocks) - 1) + 4

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each part of the observation lies."""
        parts = {
            "phase": 5,
            "exits": self.exits * self.actions,
            "load": self.cores,
            "remaining": 3,
            "allocations": self.allocations * (ALLOCATION_FEATURES + 2 * len(self.bits)),
            "preference": PREFERENCE_FEATURES,
            "prospects": self.prospects * self.blocks * len(self.branches) * len(self.bits) * PROSPECTS,
        }
        ends = np.cumsum(list(parts.values()))
        return {name: slice(int(end) - width, int(end)) for (name, width), end in zip(parts.items(), ends, strict=True)}

    @property
    def observations(self) -> int:
        """The length of an observation."""
        return int(self.slices["prospects"].stop)

    def bounds(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The lowest and the highest observation."""
        low, high = np.zeros(self.observations, np.float32), np.ones(self.observations, np.float32)
        low[self.slices["allocations"]] = low[self.slices["prospects"]] = -1
        return low, high

    def fits(self, space: SearchSpace) -> bool:
        """Whether problems over `space` can be told in this layout."""
        return (
            self.blocks == space.last_location + 1
            and (self.branches, self.bits, self.exits) == (space.branches, space.bits, space.max_exits)
            and self.allocations >= len(space.accelerator.allocations)
            and self.cores >= len(space.accelerator.compute_cores)
        )


def layout_for(space: SearchSpace, *, prospects: bool = False) -> Layout:
    """The standard layout of `space`: room for twelve allocations and eight cores, or more where it has more.

    With `prospects` observations say besides what each exit could do: for a policy that is to serve other tables too.
    """
    spec = space.accelerator
    return Layout(
        blocks=space.last_location + 1,
        branches=space.branches,
        bits=space.bits,
        exits=space.max_exits,
        allocations=max(ALLOCATION_SLOTS, len(spec.allocations)),
        cores=max(CORE_SLOTS, len(spec.compute_cores)),
        prospects=prospects,
    )


def actions_of(layout: Layout, genomes: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int32]]:
    """The action sequences that build `genomes` [n, exits, 5]: int16 [n, T] padded with -1, and lengths int32 [n]."""
    codes = genomes.astype(np.int64)
    order = np.argsort(layout.bits)
    bits = np.searchsorted(np.asarray(layout.bits), codes[:, :, BITS], sorter=order)
    codes[:, :, BITS] = order[np.clip(bits, 0, len(layout.bits) - 1)]
    codes += np.asarray(layout.starts)
    used = np.repeat((genomes[:, :, LOCATION] >= 0)[:, :, None], 5, axis=2)
    used[:, :, BRANCH] &= genomes[:, :, BRANCH] >= 0
    flat, keep = codes.reshape(len(genomes), -1), used.reshape(len(genomes), -1)
    position = np.cumsum(keep, axis=1) - 1
    actions = np.full((len(genomes), layout.max_steps), -1, np.int16)
    rows, columns = np.nonzero(keep)
    actions[rows, position[rows, columns]] = flat[rows, columns]
    return actions, keep.sum(1).astype(np.int32)


__all__ = ["BITS", "BRANCH", "BRANCH_CORE", "CORE", "LOCATION", "Layout", "actions_of", "layout_for"]
