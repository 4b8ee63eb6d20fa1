"""Segments: runs of layers on one allocation; what they cost, ask of their entry, and leave where."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from eenn_rl.cost import LayerCost, Violation
from eenn_rl.schedule.topology import Location, Movement


@dataclass(frozen=True)
class Tensor:
    """An activation tensor: where it lies, its size."""

    location: Location
    bits: float


@dataclass(frozen=True)
class Need:
    """Cores that read a segment's entry, each all of it or its slice; no cores: it is read from DRAM."""

    cores: tuple[int, ...]
    whole: bool


@dataclass
class Cost:
    """Energy (J, by place), time (s) and DRAM port time (s)."""

    latency_s: float = 0.0
    dram_s: float = 0.0
    energy: dict[str, float] = field(default_factory=dict)

    def add_energy(self, items: Iterable[tuple[str, float]]) -> None:
        """Add energies by place."""
        for place, joules in items:
            self.energy[place] = self.energy.get(place, 0.0) + joules

    def move(self, movement: Movement) -> None:
        """Add a movement, after what there is."""
        self.latency_s += movement.latency_s
        self.dram_s += movement.dram_s
        self.add_energy(movement.energy_j_by_memory)


@dataclass(frozen=True)
class LayerRun:
    """A layer on the cores that run it, without the movement of its inputs.

    `streams`: it does not fit on chip, so that its operands come from DRAM and return there.
    """

    cost: LayerCost
    cores: tuple[int, ...]
    dram_s: float
    output: Tensor
    streams: bool
    fits: bool


@dataclass(frozen=True)
class Segment:
    """A run of layers, without the movement of its entry."""

    layers: tuple[LayerCost, ...]
    energy_j: float
    latency_s: float
    dram_s: float
    needs: tuple[Need, ...]
    exit: Tensor
    peak_bits: tuple[tuple[int, float], ...]
    """Activations held per core, at most."""
    weight_bits: tuple[tuple[int, float], ...]
    """Weights used per core."""
    cores: frozenset[int]
    violations: tuple[Violation, ...]
    """What the segment alone asks in vain: room for a layer on a core, a bit-width that a core lacks."""
