"""SearchSpace: every architecture one problem allows; count, sample, enumerate, encode.

A genome is an architecture as integers, ``int16 [max_exits, 5]``, one row per exit: location, index of the branch in
`SearchSpace.branches` (-1: the backbone's own classifier), bits, core, branch core. Unused rows are all -1. Batches of
genomes are ``int16 [n, max_exits, 5]``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES, CLASSIFIER, branch_layers
from eenn_rl.errors import check
from eenn_rl.hardware import AcceleratorSpec

Genomes = npt.NDArray[np.int16]
LOCATION, BRANCH, BITS, CORE, BRANCH_CORE = range(5)
"""Columns of a genome's row."""
MOST_EXITS = 13
"""All thresholds of an architecture are tuned together: with two for each early exit, 3^12 settings at least."""


@dataclass(frozen=True)
class SearchSpace:
    """The choices and their constraints.

    A stage and its branch run at the same bits, so both allocations must support them. `bits` that no allocation
    supports are never chosen; at least one must be. `max_exits` counts the last exit too.
    """

    backbone: Backbone
    accelerator: AcceleratorSpec
    branches: tuple[str, ...] = BRANCHES
    bits: tuple[int, ...] = (2, 4, 8)
    max_exits: int = 4

    def __post_init__(self) -> None:
        check(len(self.branches) >= 1, "branches", self.branches, "at least one branch kind")
        check(len(set(self.branches)) == len(self.branches), "branches", self.branches, "distinct")
        check(len(set(self.bits)) == len(self.bits) and len(self.bits) >= 1, "bits", self.bits, "distinct bit-widths")
        check(self.max_exits >= 1, "max_exits", self.max_exits, "at least 1")
        many = f"at most {MOST_EXITS} with {len(self.backbone.blocks)} blocks"
        check(self.exit_slots <= MOST_EXITS, "max_exits", self.max_exits, many)
        if self.last_location > 0:
            for branch in self.branches:
                branch_layers(self.backbone, 0, branch)
        found = sorted({bits for supported in self.allocation_bits for bits in supported})
        check(
            bool(self.usable_bits),
            "bits",
            self.bits,
            f"supported by some allocation of accelerator {self.accelerator.name!r} (supported: {found})",
        )

    @property
    def last_location(self) -> int:
        """Index of the last block, where every architecture's last exit is."""
        return len(self.backbone.blocks) - 1

    @property
    def exit_slots(self) -> int:
        """The most exits an architecture can have: `max_exits`, or one per block where there are fewer."""
        return min(self.max_exits, self.last_location + 1)

    @cached_property
    def allocation_bits(self) -> tuple[tuple[int, ...], ...]:
        """For each allocation the bit-widths, of any size, that all of its cores support."""
        return tuple(self.accelerator.allocation_bits(i) for i in range(len(self.accelerator.allocations)))

    @cached_property
    def legal_pairs(self) -> npt.NDArray[np.bool_]:
        """Which allocation supports which bits: bool [bits, allocations], rows in the order of `bits`."""
        return np.array([[b in supported for supported in self.allocation_bits] for b in self.bits], np.bool_)

    @cached_property
    def usable_bits(self) -> tuple[int, ...]:
        """Those of `bits` that at least one allocation supports."""
        return tuple(b for b, row in zip(self.bits, self.legal_pairs, strict=True) if row.any())

    @cached_property
    def _placements(self) -> Genomes:
        """Every legal (bits, core, branch core), int16 [p, 3]."""
        rows = [
            (bits, core, branch_core)
            for bits, row in zip(self.bits, self.legal_pairs, strict=True)
            for core in np.flatnonzero(row)
            for branch_core in np.flatnonzero(row)
        ]
        return np.array(rows, np.int16)

    @cached_property
    def _inner_choices(self) -> int:
        """What an exit before the last one can be, its location apart."""
        return len(self.branches) * len(self._placements)

    @cached_property
    def _subsets(self) -> tuple[tuple[int, ...], ...]:
        """Every choice of locations for the exits before the last one."""
        inner = range(self.last_location)
        return tuple(subset for count in range(self.exit_slots) for subset in combinations(inner, count))

    @cached_property
    def size(self) -> int:
        """How many architectures there are, exactly: a sum over the number of ways to reach each exit.

        Dynamic programming over locations: ways[k] counts the prefixes with k exits before the current location.
        """
        ways = [1] + [0] * (self.exit_slots - 1)
        for _ in range(self.last_location):
            for count in range(self.exit_slots - 1, 0, -1):
                ways[count] += ways[count - 1] * self._inner_choices
        return sum(ways) * len(self._placements)

    def encode(self, architecture: Architecture) -> Genomes:
        """The genome of `architecture`, int16 [max_exits, 5]."""
        check(self.contains(architecture), "architecture", architecture.exits, "in the search space")
        return self._encode(architecture)

    def _encode(self, architecture: Architecture) -> Genomes:
        genome = np.full((self.max_exits, 5), -1, np.int16)
        for row, exit_ in zip(genome, architecture.exits, strict=False):
            branch = -1 if exit_.branch == CLASSIFIER else self.branches.index(exit_.branch)
            row[:] = (exit_.location, branch, exit_.bits, exit_.core, exit_.branch_core)
        return genome

    def decode(self, genome: Genomes) -> Architecture:
        """The architecture of one genome; raises `InvalidValueError` where it breaks a constraint."""
        check(bool(self.legal(genome[np.newaxis])[0]), "genome", genome.tolist(), "a legal architecture's")
        rows = [[int(value) for value in row] for row in genome if row[LOCATION] >= 0]
        return Architecture(
            self.backbone,
            tuple(
                Exit(location, CLASSIFIER if branch < 0 else self.branches[branch], bits, core, branch_core)
                for location, branch, bits, core, branch_core in rows
            ),
        )

    def contains(self, architecture: Architecture) -> bool:
        """Whether `architecture` is one of this space's."""
        exits = architecture.exits
        known = all(exit_.branch in (*self.branches, CLASSIFIER) for exit_ in exits)
        if architecture.backbone != self.backbone or len(exits) > self.max_exits or not known:
            return False
        return bool(self.legal(self._encode(architecture)[np.newaxis])[0])

    def legal(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which of `genomes` [n, max_exits, 5] are architectures of this space, bool [n]."""
        location = genomes[:, :, LOCATION]
        used = location >= 0
        count = used.sum(1)
        rows = np.arange(self.max_exits)
        good = (used == (rows < count[:, None])).all(1) & (count >= 1)
        good &= np.where(used, True, (genomes == -1).all(2)).all(1)
        good &= ((np.diff(location, axis=1) > 0) | ~used[:, 1:]).all(1)
        good &= np.take_along_axis(location, np.maximum(count - 1, 0)[:, None], 1)[:, 0] == self.last_location
        is_last = location == self.last_location
        branch = genomes[:, :, BRANCH]
        named = np.where(is_last, branch == -1, (branch >= 0) & (branch < len(self.branches)))
        good &= (named | ~used).all(1) & (self._placed(genomes) | ~used).all(1)
        return np.asarray(good, np.bool_)

    def _placed(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Whether each row's allocations exist and support its bits, bool [n, max_exits]."""
        found = np.zeros(genomes.shape[:2], np.bool_)
        allocations = self.legal_pairs.shape[1]
        for bits, supported in zip(self.bits, self.legal_pairs, strict=True):
            here = genomes[:, :, BITS] == bits
            for column in (CORE, BRANCH_CORE):
                index = genomes[:, :, column]
                here &= (index >= 0) & (index < allocations) & supported[np.clip(index, 0, allocations - 1)]
            found |= here
        return found

    def sample(self, rng: np.random.Generator, n: int) -> Genomes:
        """`n` genomes, each uniform over the whole space (up to float64 rounding), with replacement."""
        counts = range(self.exit_slots)
        sizes = [sum(len(s) == k for s in self._subsets) * self._inner_choices**k for k in counts]
        share = np.array([size / sum(sizes) for size in sizes])
        inner = rng.choice(self.exit_slots, size=n, p=share / share.sum())
        order = rng.random((n, max(self.last_location, 1))).argsort(1)
        genomes = np.full((n, self.max_exits, 5), -1, np.int16)
        for k in counts:
            chosen = np.flatnonzero(inner == k)
            genomes[chosen, :k, LOCATION] = np.sort(order[chosen, :k], axis=1)
            genomes[chosen, :k, BRANCH:] = self._inner(rng.integers(self._inner_choices, size=(len(chosen), k)))
            genomes[chosen, k, LOCATION] = self.last_location
            genomes[chosen, k, BITS:] = self._placements[rng.integers(len(self._placements), size=len(chosen))]
        return genomes

    def _inner(self, choice: npt.NDArray[np.int64]) -> Genomes:
        """The (branch, bits, core, branch core) behind numbers in [0, `_inner_choices`)."""
        branch, placement = np.divmod(choice, len(self._placements))
        return np.concatenate([branch[..., None].astype(np.int16), self._placements[placement]], axis=-1)

    def enumerate(self, batch: int = 65536) -> Iterator[Genomes]:
        """Every genome once, in batches of at most `batch`; fewest exits first."""
        for subset in self._subsets:
            total = self._inner_choices ** len(subset) * len(self._placements)
            for start in range(0, total, batch):
                yield self._numbered(subset, np.arange(start, min(start + batch, total)))

    def _numbered(self, subset: Sequence[int], number: npt.NDArray[np.int64]) -> Genomes:
        """The genomes with exits after `subset`, by number in mixed radix: the last exit varies fastest."""
        genomes = np.full((len(number), self.max_exits, 5), -1, np.int16)
        number, placement = np.divmod(number, len(self._placements))
        genomes[:, len(subset), LOCATION] = self.last_location
        genomes[:, len(subset), BITS:] = self._placements[placement]
        for row in reversed(range(len(subset))):
            number, choice = np.divmod(number, self._inner_choices)
            genomes[:, row, LOCATION] = subset[row]
            genomes[:, row, BRANCH:] = self._inner(choice)
        return genomes

    def static(self, bits: int) -> Genomes:
        """The genomes without early exits at `bits`, on every legal pair of allocations; none where unsupported."""
        placements = self._placements[self._placements[:, 0] == bits]
        genomes = np.full((len(placements), self.max_exits, 5), -1, np.int16)
        genomes[:, 0, LOCATION] = self.last_location
        genomes[:, 0, BITS:] = placements
        return genomes
