"""LinkSpec, AcceleratorSpec: cores, the links between them, the memory they share, and their policies."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from eenn_rl.errors import check
from eenn_rl.hardware.bounds import check_amount, check_count, check_positive
from eenn_rl.hardware.core import CoreSpec
from eenn_rl.hardware.memory import DramSpec


@dataclass(frozen=True)
class LinkSpec:
    """A link from core `sender` to core `receiver` (names); `bandwidth_bits` per cycle of the accelerator's clock.

    Links of the same `medium` (a bus) share it; without one, each direction of a link is a medium of its own.
    """

    sender: str
    receiver: str
    bandwidth_bits: int
    energy_j_per_bit: float = 0.0
    both_ways: bool = True
    medium: str = ""

    def __post_init__(self) -> None:
        where = f"link {self.sender} -> {self.receiver}: "
        check_count(self.bandwidth_bits, where + "bandwidth_bits")
        check_amount(self.energy_j_per_bit, where + "energy_j_per_bit")


@dataclass(frozen=True)
class AcceleratorSpec:
    """Cores, the links between them, and the memory they share.

    `keep_activations_on_chip`: whether layers hand on their results on chip where they fit, or always through DRAM.
    `resident_weights`: whether weights that all fit at once stay on chip from one inference to the next.
    `branch_policy`: whether the next stage waits for an exit's verdict, or runs ahead where its cores are free.
    `multicast`: whether data for several cores is read and sent once.
    `allocations` are the sets of compute cores that a stage may run on, as indices into `cores`: single cores first,
    then groups that split a stage between them. Without any, every compute core stands alone.
    """

    name: str
    cores: tuple[CoreSpec, ...]
    links: tuple[LinkSpec, ...] = ()
    dram: DramSpec | None = None
    allocations: tuple[tuple[int, ...], ...] = ()
    clock_hz: float = 1e9
    keep_activations_on_chip: bool = True
    resident_weights: bool = False
    branch_policy: Literal["wait", "speculate"] = "wait"
    multicast: bool = False
    description: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    """What the file asked for that is not modelled."""

    def __post_init__(self) -> None:
        where = f"accelerator {self.name!r}: "
        names = [core.name for core in self.cores]
        check_positive(self.clock_hz, where + "clock_hz")
        compute = self.compute_cores
        check(len(compute) >= 1, where + "cores", names, "at least one compute core")
        check(len(set(names)) == len(names), where + "cores", names, "names that differ")
        if not self.allocations:
            object.__setattr__(self, "allocations", tuple((index,) for index in compute))
        for allocation in self.allocations:
            check(
                len(allocation) >= 1 and set(allocation) <= set(compute) and len(set(allocation)) == len(allocation),
                where + "allocations",
                allocation,
                f"different indices of compute cores, of {compute}",
            )
        twice = [a for place, a in enumerate(self.allocations) if set(a) in map(set, self.allocations[:place])]
        check(not twice, where + "allocations", twice[:1], "sets of cores that differ")
        for link in self.links:
            for end in (link.sender, link.receiver):
                check(end in names, where + "links", end, "a core's name (" + ", ".join(names) + ")")

    @cached_property
    def compute_cores(self) -> tuple[int, ...]:
        """Indices of the cores that compute layers with MACs."""
        return tuple(index for index, core in enumerate(self.cores) if core.kind == "compute")

    def allocation_bits(self, index: int) -> tuple[int, ...]:
        """Bit-widths that every core of allocation `index` supports, increasing."""
        shared = set.intersection(*(set(self.cores[core].supported_bits) for core in self.allocations[index]))
        return tuple(sorted(shared))

    def allocation_name(self, index: int) -> str:
        """The names of allocation `index`'s cores, joined by ``+``."""
        return "+".join(self.cores[core].name for core in self.allocations[index])
