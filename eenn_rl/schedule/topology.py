"""Where tensors lie, and the routes between cores."""

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


@dataclass(frozen=True)
class Link:
    """One direction of a link between two cores; a bus is one link that many pairs share."""

    medium: str
    """What is busy while the link is used."""
    bandwidth_bits: int
    energy_j_per_bit: float


def outer_memory(accelerator: AcceleratorSpec, core: int, operand: Operand) -> MemorySpec | None:
    """The outermost memory of `core` that holds `operand`."""
    levels = [memory for memory in accelerator.cores[core].memories if operand in memory.operands]
    return levels[-1] if levels else None


def access_energy(memory: MemorySpec | None, bits: float, *, write: bool) -> float:
    """Energy (J) of reading or writing `bits` at a memory's widest port, in its granules."""
    if memory is None or not memory.ports or not bits:
        return 0.0
    port = max(memory.ports, key=lambda p: p.bandwidth_bits)
    share = ceil(bits / port.granule_bits) * port.granule_bits / port.bandwidth_bits
    return share * (memory.write_energy_j if write else memory.read_energy_j)


class Topology:
    """Routes between the cores of an accelerator: the fewest hops, ties by the order of links."""

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        index = {core.name: place for place, core in enumerate(accelerator.cores)}
        self._links: dict[int, list[tuple[int, Link]]] = {place: [] for place in index.values()}
        for link in accelerator.links:
            for a, b in ((link.sender, link.receiver), (link.receiver, link.sender))[: 1 + link.both_ways]:
                medium = link.medium or f"{a}->{b}"
                self._links[index[a]].append((index[b], Link(medium, link.bandwidth_bits, link.energy_j_per_bit)))
        self._routes: dict[tuple[int, int], tuple[Link, ...] | None] = {}

    def width(self, core: int) -> float:
        """Bits per cycle of the widest link at `core`; infinite where it has none (DRAM is all it sees)."""
        return max((link.bandwidth_bits for _, link in self._links[core]), default=float("inf"))

    def route(self, sender: int, receiver: int) -> tuple[Link, ...] | None:
        """The links from `sender` to `receiver`; None where none lead there."""
        key = (sender, receiver)
        if key not in self._routes:
            self._routes[key] = self._search(sender, receiver)
        return self._routes[key]

    def _search(self, sender: int, receiver: int) -> tuple[Link, ...] | None:
        queue: deque[tuple[int, tuple[Link, ...]]] = deque([(sender, ())])
        seen = {sender}
        while queue:
            place, path = queue.popleft()
            if place == receiver:
                return path
            for other, link in self._links[place]:
                if other not in seen:
                    seen.add(other)
                    queue.append((other, (*path, link)))
        return None
