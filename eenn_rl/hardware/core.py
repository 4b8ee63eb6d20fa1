"""CoreSpec: an array of units, its memories, and what it can compute. Clocks in Hz."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Literal

from eenn_rl.errors import check
from eenn_rl.hardware.bounds import check_amount, check_count, check_positive
from eenn_rl.hardware.memory import MemorySpec

LOOPS = ("B", "G", "K", "C", "OX", "OY", "FX", "FY")
"""Loop dimensions of a layer: batch, groups, output channels and input channels per group, output width and height,
kernel width and height."""


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
        check_amount(self.mac_energy_j, f"precision {self.bits}: mac_energy_j")
        check_positive(self.throughput, f"precision {self.bits}: throughput")


@dataclass(frozen=True)
class ArrayDimension:
    """One dimension of a core's array of units; `systolic` where data walks along it, a unit per cycle."""

    name: str
    size: int
    systolic: bool = False

    def __post_init__(self) -> None:
        check_count(self.size, f"array dimension {self.name!r}: size")


@dataclass(frozen=True)
class Unrolling:
    """`size` iterations of a layer's loop side by side along one array dimension."""

    dimension: str
    loop: str
    size: int

    def __post_init__(self) -> None:
        check(self.loop in LOOPS, f"unrolling of {self.dimension}: loop", self.loop, "one of " + ", ".join(LOOPS))
        check_count(self.size, f"unrolling of {self.dimension}: size")


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
        check_positive(self.voltage_v, f"operating point {self.name!r}: voltage_v")
        check_positive(self.clock_hz, f"operating point {self.name!r}: clock_hz")


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
        check_positive(self.clock_hz, where + "clock_hz")
        check(1 <= self.partial_sum_bits <= 64, where + "partial_sum_bits", self.partial_sum_bits, "between 1 and 64")
        check(0 <= self.point < max(1, len(self.points)), where + "point", self.point, "an index into points")
        names = {dimension.name for dimension in self.array}
        for unrolling in (unrolling for flow in self.dataflows for unrolling in flow.unrolling):
            check(unrolling.dimension in names, where + "dataflow: array dimension", unrolling.dimension,
                  "one of " + ", ".join(sorted(names)))  # fmt: skip
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
