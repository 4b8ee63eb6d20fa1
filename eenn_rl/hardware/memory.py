"""PortSpec, MemorySpec, DramSpec: one level of a core's memories, and what all cores share.

Sizes in bits, energies in J, bandwidths in bits per cycle.
"""

from dataclasses import dataclass, replace
from typing import Literal

from eenn_rl.errors import check
from eenn_rl.hardware.bounds import check_amount, check_count

Operand = Literal["weight", "input", "output"]
OPERANDS: tuple[Operand, ...] = ("weight", "input", "output")
Direction = Literal["from_high", "to_low", "from_low", "to_high"]
"""Movements at a memory: in from the level above, out to the one below, in from the one below, out to the one above."""


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
        check_count(self.granule_bits, f"port {self.name!r}: granule_bits")
        check_count(self.bandwidth_bits, f"port {self.name!r}: bandwidth_bits")
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
        check_count(self.size_bits, where + "size_bits")
        check_amount(self.read_energy_j, where + "read_energy_j")
        check_amount(self.write_energy_j, where + "write_energy_j")
        check(len(self.operands) >= 1, where + "operands", self.operands, "at least one operand")


@dataclass(frozen=True)
class DramSpec:
    """The off-chip memory behind one port that all cores share; energies for one access of the port's full width.

    Bandwidths are in bits per cycle of the accelerator's clock.
    `ports`, where given, are those of a file that has more than one read-write port.
    """

    bandwidth_bits: int
    granule_bits: int
    read_energy_j: float
    write_energy_j: float
    size_bits: int = 10_000_000_000
    ports: tuple[PortSpec, ...] = ()

    def __post_init__(self) -> None:
        check_count(self.granule_bits, "dram: granule_bits")
        check_count(self.bandwidth_bits, "dram: bandwidth_bits")
        check_count(self.size_bits, "dram: size_bits")
        check_amount(self.read_energy_j, "dram: read_energy_j")
        check_amount(self.write_energy_j, "dram: write_energy_j")

    def seen_from(self, ratio: float) -> "DramSpec":
        """This memory in cycles of a core whose clock is `ratio` times slower than the accelerator's.

        Such a core sees a port `ratio` times as wide (rounded to bits); a bit costs what it costs.
        """
        if ratio == 1.0:
            return self
        wide = max(1, round(self.bandwidth_bits * ratio))
        scale = wide / self.bandwidth_bits
        ports = tuple(
            replace(port, bandwidth_bits=width, granule_bits=min(port.granule_bits, width))
            for port in self.ports
            for width in [max(1, round(port.bandwidth_bits * ratio))]
        )
        return replace(
            self,
            bandwidth_bits=wide,
            granule_bits=min(self.granule_bits, wide),
            read_energy_j=self.read_energy_j * scale,
            write_energy_j=self.write_energy_j * scale,
            ports=ports,
        )
