"""What the scheduler asks of a layer model: the cost of one layer on one core."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from eenn_rl.backbone import Layer
from eenn_rl.hardware import CoreSpec, Operand


@dataclass(frozen=True)
class LayerRequest:
    """One layer (or a slice of one) on one core, weights and activations at `bits`.

    Operands in `off_chip` stream from and to DRAM, the others lie in the core's outermost memory.
    """

    layer: Layer
    core: CoreSpec
    bits: int
    off_chip: frozenset[Operand] = frozenset()


@dataclass(frozen=True)
class CoreLayerCost:
    """The cost of a `LayerRequest`.

    `cycles` are the core's own, from the first operand's arrival to the last result's departure. `energy_j_by_memory`
    has an entry per memory of the core, one for ``mac``, and one for ``dram`` where operands stream from there.
    """

    cycles: float
    energy_j_by_memory: Mapping[str, float]
    dram_bits: float = 0.0
    """Bits that passed the DRAM port."""
    dram_demand: tuple[float, float] = (0.0, 0.0)
    """Bits per cycle asked of the DRAM port: of inputs, which cores of a group may share, and of the rest."""
    fits: bool = True
    """Whether the core's memories have room for the layer at all."""

    @property
    def energy_j(self) -> float:
        """Sum of the breakdown."""
        return sum(self.energy_j_by_memory.values())


class LayerModel(Protocol):
    """Costs one layer on one core. Deterministic, free of side effects."""

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        """Cost `request`."""
        ...


@runtime_checkable
class PreparedLayerModel(Protocol):
    """A layer model that is faster when it knows beforehand what will be asked."""

    def prepare(self, requests: Iterable[LayerRequest]) -> None:
        """Cost all `requests` now; `cost` then only looks up."""
        ...
