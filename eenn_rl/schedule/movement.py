"""The cost of moving one tensor: from DRAM, to DRAM, or between cores."""

from functools import reduce
from itertools import permutations

from eenn_rl.errors import check
from eenn_rl.hardware import AcceleratorSpec, Operand
from eenn_rl.schedule.topology import Link, Location, Movement, Topology, access_energy, outer_memory


class Mover:
    """Prices the movement of tensors on one accelerator; raises `InvalidValueError` where cores cannot exchange any."""

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self.accelerator = accelerator
        self.topology = Topology(accelerator)
        for a, b in permutations(range(len(accelerator.cores)), 2) if accelerator.dram is None else ():
            names = accelerator.cores[a].name, accelerator.cores[b].name
            check(self.topology.route(a, b) is not None, f"accelerator {accelerator.name!r}: links", names,
                  "a way between these two cores, since without a dram data has no other")  # fmt: skip
        self._known: dict[tuple[float, Location, tuple[int, ...], bool], Movement] = {}

    def move(self, bits: float, source: Location, targets: tuple[int, ...], *, whole: bool) -> Movement:
        """A tensor of `bits` from `source` to the cores `targets`; each needs all of it, or an equal slice.

        No targets mean DRAM.
        """
        key = (bits, source, targets, whole)
        if key not in self._known:
            self._known[key] = self._move(*key)
        return self._known[key]

    def _move(self, bits: float, source: Location, targets: tuple[int, ...], whole: bool) -> Movement:
        if not targets:
            return Movement() if source.off_chip else self.to_dram(bits, source.cores)
        if source.off_chip:
            return self.from_dram(bits, targets, whole=whole, operand="input")
        if not whole and source.cores == targets:
            return Movement()
        hops = [(a, b) for a in source.cores for b in targets if a != b]
        routes = [self.topology.route(a, b) for a, b in hops]
        if any(route is None for route in routes):
            there = self.to_dram(bits, source.cores)
            return join(there, self.from_dram(bits, targets, whole=whole, operand="input"))
        share = bits / len(source.cores) * (1.0 if whole else 1.0 / len(targets))
        cast = self.accelerator.multicast and whole
        return self._over_links(share, hops, [route for route in routes if route is not None], cast=cast)

    def _over_links(
        self, share: float, hops: list[tuple[int, int]], routes: list[tuple[Link, ...]], *, cast: bool
    ) -> Movement:
        """`share` bits from each sender to each receiver; links side by side, each busy for all it carries.

        With `cast` every receiver gets the same bits of a sender, which pass each link once and are read once.
        """
        busy: dict[str, float] = {}
        energy: dict[str, float] = {}
        carried: set[tuple[int, str]] = set()
        senders: set[int] = set()
        for (a, b), route in zip(hops, routes, strict=True):
            for link in route:
                if not (cast and (a, link.medium) in carried):
                    carried.add((a, link.medium))
                    busy[link.medium] = busy.get(link.medium, 0.0) + share / link.bandwidth_bits
                    _add(energy, "link", share * link.energy_j_per_bit)
            if not (cast and a in senders):
                senders.add(a)
                self._access(energy, a, "output", share, write=False)
            self._access(energy, b, "input", share, write=True)
        cycles = max(busy.values(), default=0.0)
        return Movement(cycles / self.accelerator.clock_hz, 0.0, tuple(energy.items()))

    def _access(self, energy: dict[str, float], core: int, operand: Operand, bits: float, *, write: bool) -> None:
        memory = outer_memory(self.accelerator, core, operand)
        if memory is not None:
            _add(energy, memory.name, access_energy(memory, bits, write=write))

    def from_dram(self, bits: float, targets: tuple[int, ...], *, whole: bool, operand: Operand) -> Movement:
        """`bits` read from DRAM and written into each target's memory, one core after the other.

        A whole tensor passes the port once per core, or once in all where the accelerator multicasts. It enters a
        core at the width of the core's widest link, where that is narrower than the port.
        """
        each = bits if whole else bits / len(targets)
        times = 1 if whole and self.accelerator.multicast else len(targets)
        energy: dict[str, float] = {}
        for core in targets:
            self._access(energy, core, operand, each, write=True)
        return self._through_port(each * times, targets, energy, write=False)

    def to_dram(self, bits: float, sources: tuple[int, ...]) -> Movement:
        """`bits`, in equal slices on `sources`, written to DRAM."""
        energy: dict[str, float] = {}
        for core in sources:
            self._access(energy, core, "output", bits / len(sources), write=False)
        return self._through_port(bits, sources, energy, write=True)

    def _through_port(self, bits: float, cores: tuple[int, ...], energy: dict[str, float], *, write: bool) -> Movement:
        dram = self.accelerator.dram
        if dram is None:
            return Movement(0.0, 0.0, tuple(energy.items()))
        _add(energy, "dram", bits / dram.bandwidth_bits * (dram.write_energy_j if write else dram.read_energy_j))
        clock = self.accelerator.clock_hz
        width = min(dram.bandwidth_bits, *(self.topology.width(core) for core in cores))
        return Movement(bits / width / clock, bits / dram.bandwidth_bits / clock, tuple(energy.items()))


def _add(energy: dict[str, float], place: str, joules: float) -> None:
    energy[place] = energy.get(place, 0.0) + joules


def join(*movements: Movement) -> Movement:
    """Movements one after another."""

    def after(first: Movement, second: Movement) -> Movement:
        energy = dict(first.energy_j_by_memory)
        for place, joules in second.energy_j_by_memory:
            _add(energy, place, joules)
        return Movement(first.latency_s + second.latency_s, first.dram_s + second.dram_s, tuple(energy.items()))

    return reduce(after, movements)
