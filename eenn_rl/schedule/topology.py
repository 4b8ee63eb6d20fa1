"""Where tensors lie and what it costs to move them between cores and DRAM."""

from collections import deque
from dataclasses import dataclass
from math import ceil

from eenn_rl.hardware import AcceleratorSpec, MemorySpec, Operand


@dataclass(frozen=True)
class Location:
    """The cores that hold a tensor, in equal channel slices; none means DRAM."""

    cores: tuple[int, ...] = ()

    @property
    def off_chip(self) -> bool:
        """Whether the tensor lies in DRAM."""
        return not self.cores


DRAM = Location()


@dataclass(frozen=True)
class Movement:
    """Time (s), energy (J, by place) and DRAM port time (s) of moving a tensor."""

    latency_s: float = 0.0
    dram_s: float = 0.0
    energy_j_by_memory: tuple[tuple[str, float], ...] = ()


def outer_memory(accelerator: AcceleratorSpec, core: int, operand: Operand) -> MemorySpec | None:
    """The outermost memory of `core` that holds `operand`."""
    levels = [memory for memory in accelerator.cores[core].memories if operand in memory.operands]
    return levels[-1] if levels else None


def access_energy(memory: MemorySpec | None, bits: float, *, write: bool) -> float:
    """Energy (J) of reading or writing `bits` at a memory's widest port, in its granules."""
    if memory is None or not memory.ports:
        return 0.0
    port = max(memory.ports, key=lambda p: p.bandwidth_bits)
    share = ceil(bits / port.granule_bits) * port.granule_bits / port.bandwidth_bits
    return share * (memory.write_energy_j if write else memory.read_energy_j)


class Topology:
    """Routes between the cores of an accelerator: the fewest hops, ties by the order of links."""

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self.accelerator = accelerator
        index = {core.name: place for place, core in enumerate(accelerator.cores)}
        self._links: dict[int, list[tuple[int, int, float]]] = {place: [] for place in index.values()}
        for link in accelerator.links:
            a, b = index[link.sender], index[link.receiver]
            self._links[a].append((b, link.bandwidth_bits, link.energy_j_per_bit))
            if link.both_ways:
                self._links[b].append((a, link.bandwidth_bits, link.energy_j_per_bit))
        self._routes: dict[tuple[int, int], tuple[float, float] | None] = {}

    def route(self, sender: int, receiver: int) -> tuple[float, float] | None:
        """(bits per cycle of the narrowest link, J per bit over all hops); None where no links lead there."""
        key = (sender, receiver)
        if key not in self._routes:
            self._routes[key] = self._search(sender, receiver)
        return self._routes[key]

    def _search(self, sender: int, receiver: int) -> tuple[float, float] | None:
        queue = deque([(sender, float("inf"), 0.0)])
        seen = {sender}
        while queue:
            place, width, energy = queue.popleft()
            if place == receiver:
                return width, energy
            for other, bandwidth, cost in self._links[place]:
                if other not in seen:
                    seen.add(other)
                    queue.append((other, min(width, bandwidth), energy + cost))
        return None
