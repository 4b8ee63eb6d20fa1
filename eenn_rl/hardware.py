"""MemorySpec, CoreSpec, LinkSpec, AcceleratorSpec: the hardware a network is designed for.

Units: sizes in bits, energies in J, bandwidths in bits per cycle of the core's clock, clocks in Hz. The memory model is
ZigZag's (Mei et al. 2021): a memory is a level of one core, serves some operands through ports, and is replicated
along every array dimension that it does not list in `served`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Literal

from eenn_rl.errors import check

Operand = Literal["weight", "input", "output"]
OPERANDS: tuple[Operand, ...] = ("weight", "input", "output")
Direction = Literal["from_high", "to_low", "from_low", "to_high"]
"""Movements at a memory: in from the level above, out to the one below, in from the one below, out to the one above."""
LOOPS = ("B", "G", "K", "C", "OX", "OY", "FX", "FY")
"""Loop dimensions of a layer: batch, groups, output channels and input channels per group, output width and height,
kernel width and height."""


@dataclass(frozen=True)
class Traffic:
    """One movement that a port carries."""

    operand: Operand
    direction: Direction


@dataclass(frozen=True)
class PortSpec:
    """A port of a memory: bits per cycle, and the granule of one access in bits."""

    name: str
    kind: Literal["read", "write", "read_write"]
    granule_bits: int
    bandwidth_bits: int
    carries: tuple[Traffic, ...]

    def __post_init__(self) -> None:
        check(self.granule_bits >= 1, f"port {self.name!r}: granule_bits", self.granule_bits, "at least 1")
        check(
            self.bandwidth_bits >= self.granule_bits,
            f"port {self.name!r}: bandwidth_bits",
            self.bandwidth_bits,
            f"at least granule_bits ({self.granule_bits})",
        )


@dataclass(frozen=True)
class MemorySpec:
    """One level of a core's memory hierarchy.

    `read_energy_j` and `write_energy_j` are for one access of a port's full width; an access may be narrower, in
    granules of the port, and then costs that share. `served` names the array dimensions
    that one instance feeds; along the others there is one instance per unit.
    """

    name: str
    size_bits: int
    read_energy_j: float
    write_energy_j: float
    operands: tuple[Operand, ...]
    ports: tuple[PortSpec, ...]
    served: tuple[str, ...] = ()
    double_buffered: bool = False

    def __post_init__(self) -> None:
        where = f"memory {self.name!r}: "
        check(self.size_bits >= 1, where + "size_bits", self.size_bits, "at least 1")
        check(self.read_energy_j >= 0, where + "read_energy_j", self.read_energy_j, "at least 0")
        check(self.write_energy_j >= 0, where + "write_energy_j", self.write_energy_j, "at least 0")
        check(len(self.operands) >= 1, where + "operands", self.operands, "at least one operand")


@dataclass(frozen=True)
class Precision:
    """What a core does at one bit-width of weights and activations.

    `throughput` is MACs per unit and cycle.
    """

    bits: int
    mac_energy_j: float
    throughput: float = 1.0

    def __post_init__(self) -> None:
        check(1 <= self.bits <= 32, "precision: bits", self.bits, "between 1 and 32")
        check(self.mac_energy_j >= 0, f"precision {self.bits}: mac_energy_j", self.mac_energy_j, "at least 0")
        check(self.throughput > 0, f"precision {self.bits}: throughput", self.throughput, "more than 0")


@dataclass(frozen=True)
class ArrayDimension:
    """One dimension of a core's array of units; `systolic` where data walks along it, a unit per cycle."""

    name: str
    size: int
    systolic: bool = False

    def __post_init__(self) -> None:
        check(self.size >= 1, f"array dimension {self.name!r}: size", self.size, "at least 1")


@dataclass(frozen=True)
class Unrolling:
    """`size` iterations of a layer's loop side by side along one array dimension."""

    dimension: str
    loop: str
    size: int

    def __post_init__(self) -> None:
        check(self.loop in LOOPS, f"unrolling of {self.dimension}: loop", self.loop, "one of " + ", ".join(LOOPS))
        check(self.size >= 1, f"unrolling of {self.dimension}: size", self.size, "at least 1")


@dataclass(frozen=True)
class Dataflow:
    """The unrolling that a core is built for; `kinds` are the layer kinds it holds for, none meaning all others."""

    unrolling: tuple[Unrolling, ...]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class OperatingPoint:
    """A voltage and frequency; dynamic energy scales with the square of the voltage, speed with the frequency."""

    name: str
    voltage_v: float
    clock_hz: float

    def __post_init__(self) -> None:
        check(self.voltage_v > 0, f"operating point {self.name!r}: voltage_v", self.voltage_v, "more than 0")
        check(self.clock_hz > 0, f"operating point {self.name!r}: clock_hz", self.clock_hz, "more than 0")


@dataclass(frozen=True)
class CoreSpec:
    """A core: an array of units, its memories (innermost first), and what it can compute.

    `dataflows` empty: the core unrolls any loops (free). `point` is the operating point (index into `points`) that
    the core's energies and clock are stated at; `at_point` gives the core at another.
    """

    name: str
    kind: Literal["compute", "pooling", "simd"]
    array: tuple[ArrayDimension, ...]
    memories: tuple[MemorySpec, ...]
    precisions: tuple[Precision, ...]
    clock_hz: float = 1e9
    dataflows: tuple[Dataflow, ...] = ()
    partial_sum_bits: int = 16
    points: tuple[OperatingPoint, ...] = ()
    point: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        where = f"core {self.name!r}: "
        check(len(self.array) >= 1, where + "array", self.array, "at least one dimension")
        check(len(self.precisions) >= 1, where + "precisions", self.precisions, "at least one bit-width")
        check(
            all(a.bits < b.bits for a, b in pairwise(self.precisions)),
            where + "precisions",
            self.supported_bits,
            "bit-widths in increasing order, each once",
        )
        check(self.clock_hz > 0, where + "clock_hz", self.clock_hz, "more than 0")
        check(1 <= self.partial_sum_bits <= 64, where + "partial_sum_bits", self.partial_sum_bits, "between 1 and 64")
        check(0 <= self.point < max(1, len(self.points)), where + "point", self.point, "an index into points")
        names = {dimension.name for dimension in self.array}
        for memory in self.memories:
            check(names.issuperset(memory.served), f"{where}memory {memory.name!r}: served", memory.served,
                  "names of array dimensions (" + ", ".join(sorted(names)) + ")")  # fmt: skip

    def at_point(self, name: str) -> "CoreSpec":
        """This core at another of its operating points: energies scale with the voltage's square, speed with the clock.

        Raises InvalidValueError where there is no such point.
        """
        names = [point.name for point in self.points]
        check(name in names, f"core {self.name!r}: operating point", name, "one of " + (", ".join(names) or "none"))
        index = names.index(name)
        scale = (self.points[index].voltage_v / self.points[self.point].voltage_v) ** 2
        memories = tuple(
            replace(m, read_energy_j=m.read_energy_j * scale, write_energy_j=m.write_energy_j * scale)
            for m in self.memories
        )
        precisions = tuple(replace(p, mac_energy_j=p.mac_energy_j * scale) for p in self.precisions)
        clock_hz = self.points[index].clock_hz
        return replace(self, memories=memories, precisions=precisions, clock_hz=clock_hz, point=index)

    @property
    def supported_bits(self) -> tuple[int, ...]:
        """Bit-widths that this core computes at, increasing."""
        return tuple(precision.bits for precision in self.precisions)

    @property
    def array_size(self) -> int:
        """Units in the array."""
        return prod(dimension.size for dimension in self.array)


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
        check(self.bandwidth_bits >= 1, where + "bandwidth_bits", self.bandwidth_bits, "at least 1")
        check(self.energy_j_per_bit >= 0, where + "energy_j_per_bit", self.energy_j_per_bit, "at least 0")


@dataclass(frozen=True)
class DramSpec:
    """The off-chip memory behind one port that all cores share; energies for one access of the port's full width.

    `ports`, where given, are those of a file that has more than one read-write port.
    """

    bandwidth_bits: int
    granule_bits: int
    read_energy_j: float
    write_energy_j: float
    size_bits: int = 10_000_000_000
    ports: tuple[PortSpec, ...] = ()

    def __post_init__(self) -> None:
        check(self.bandwidth_bits >= 1, "dram: bandwidth_bits", self.bandwidth_bits, "at least 1")
        check(self.granule_bits >= 1, "dram: granule_bits", self.granule_bits, "at least 1")


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


DEFAULT_ACCELERATOR = "quad_edge_tpu"


def shipped_accelerators() -> tuple[str, ...]:
    """Names of the accelerators that come with the package."""
    from eenn_rl.accelerator_files import shipped

    return shipped()


def load_accelerator(name_or_path: str, clock_hz: float | None = None) -> AcceleratorSpec:
    """The shipped accelerator of that name, or the one in a YAML file: ours, ZigZag's or Stream's."""
    from eenn_rl.accelerator_files import load

    return load(name_or_path, clock_hz)
