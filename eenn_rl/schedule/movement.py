"""The cost of moving one tensor: from DRAM, to DRAM, or between cores."""

from collections import Counter

from eenn_rl.hardware import AcceleratorSpec, Operand
from eenn_rl.schedule.topology import Location, Movement, Topology, access_energy, outer_memory


class Mover:
    """Prices the movement of tensors on one accelerator."""

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self.accelerator = accelerator
        self.topology = Topology(accelerator)

    def move(self, bits: float, source: Location, targets: tuple[int, ...], *, whole: bool) -> Movement:
        """A tensor of `bits` from `source` to the cores `targets`; each needs all of it, or an equal slice."""
        if source.off_chip:
            return self.from_dram(bits, targets, whole=whole, operand="input")
        if not whole and source.cores == targets:
            return Movement()
        share = bits / len(source.cores) * (1.0 if whole else 1.0 / len(targets))
        hops = [(a, b) for a in source.cores for b in targets if a != b]
        if any(self.topology.route(a, b) is None for a, b in hops):
            there = self.to_dram(bits, source.cores)
            return join(there, self.from_dram(bits, targets, whole=whole, operand="input"))
        return self._over_links(share, hops)

    def _over_links(self, share: float, hops: list[tuple[int, int]]) -> Movement:
        busy_out: Counter[int] = Counter()
        busy_in: Counter[int] = Counter()
        energy: dict[str, float] = {}
        for a, b in hops:
            route = self.topology.route(a, b)
            assert route is not None  # noqa: S101  (checked by the caller)
            width, per_bit = route
            busy_out[a] += share / width  # type: ignore[assignment]
            busy_in[b] += share / width  # type: ignore[assignment]
            sender = outer_memory(self.accelerator, a, "output")
            receiver = outer_memory(self.accelerator, b, "input")
            _add(energy, "link", share * per_bit)
            _add(energy, sender.name if sender else "link", access_energy(sender, share, write=False))
            _add(energy, receiver.name if receiver else "link", access_energy(receiver, share, write=True))
        cycles = max((*busy_out.values(), *busy_in.values()), default=0.0)
        return Movement(cycles / self.accelerator.clock_hz, 0.0, tuple(energy.items()))

    def from_dram(self, bits: float, targets: tuple[int, ...], *, whole: bool, operand: Operand) -> Movement:
        """`bits` read from DRAM and written into each target's memory; a whole tensor is read once per core."""
        dram = self.accelerator.dram
        each = bits if whole else bits / len(targets)
        energy: dict[str, float] = {}
        for core in targets:
            memory = outer_memory(self.accelerator, core, operand)
            _add(energy, memory.name if memory else "dram", access_energy(memory, each, write=True))
        if dram is None:
            return Movement(0.0, 0.0, tuple(energy.items()))
        moved = each * len(targets)
        _add(energy, "dram", moved / dram.bandwidth_bits * dram.read_energy_j)
        seconds = moved / dram.bandwidth_bits / self.accelerator.clock_hz
        return Movement(seconds, seconds, tuple(energy.items()))

    def to_dram(self, bits: float, sources: tuple[int, ...]) -> Movement:
        """`bits`, in equal slices on `sources`, written to DRAM."""
        dram = self.accelerator.dram
        energy: dict[str, float] = {}
        for core in sources:
            memory = outer_memory(self.accelerator, core, "output")
            _add(energy, memory.name if memory else "dram", access_energy(memory, bits / len(sources), write=False))
        if dram is None:
            return Movement(0.0, 0.0, tuple(energy.items()))
        _add(energy, "dram", bits / dram.bandwidth_bits * dram.write_energy_j)
        seconds = bits / dram.bandwidth_bits / self.accelerator.clock_hz
        return Movement(seconds, seconds, tuple(energy.items()))


def _add(energy: dict[str, float], place: str, joules: float) -> None:
    energy[place] = energy.get(place, 0.0) + joules


def join(*movements: Movement) -> Movement:
    """Movements one after another."""
    energy: dict[str, float] = {}
    for movement in movements:
        for place, joules in movement.energy_j_by_memory:
            _add(energy, place, joules)
    return Movement(sum(m.latency_s for m in movements), sum(m.dram_s for m in movements), tuple(energy.items()))
