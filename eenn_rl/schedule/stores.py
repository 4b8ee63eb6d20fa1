"""Stores: the outermost memories of the cores, and what weights and activations ask of each."""

import numpy as np
import numpy.typing as npt

from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.schedule.topology import outer_memory

Floats = npt.NDArray[np.float64]


class Stores:
    """The outermost memory of each core for weights, and the one for activations; often one for both.

    Attributes:
        names: ``core.memory`` of each store.
        size_bits: float64 [stores].
    """

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        found: dict[tuple[int, str], tuple[str, float, set[str]]] = {}
        for core, spec in enumerate(accelerator.cores):
            for operand in ("weight", "output"):
                memory = outer_memory(accelerator, core, operand)
                if memory is not None:
                    store = (f"{spec.name}.{memory.name}", float(memory.size_bits), set[str]())
                    found.setdefault((core, memory.name), store)[2].add(operand)
        self.names = tuple(name for name, _, _ in found.values())
        self.size_bits = np.array([size for _, size, _ in found.values()])
        self._cores = np.array([core for core, _ in found], np.intp)
        self._weights, self._activations = (
            np.array([operand in kept for _, _, kept in found.values()], np.float64) for operand in ("weight", "output")
        )

    def held(self, weights: Floats, activations: Floats) -> Floats:
        """Bits in each store, [n, stores], where cores hold `weights` and `activations` bits, [n, cores] each."""
        return weights[:, self._cores] * self._weights + activations[:, self._cores] * self._activations

    def keep(self, weights: Floats, activations: Floats) -> npt.NDArray[np.bool_]:
        """Whether every store that holds weights has room for them all beside the activations, [n]."""
        unused = weights[:, self._cores] * self._weights == 0
        return np.asarray((unused | (self.held(weights, activations) <= self.size_bits)).all(axis=1))
