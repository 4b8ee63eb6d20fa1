"""Walker: layers in order over the cores of an allocation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from eenn_rl.backbone import Layer
from eenn_rl.cost import LayerCost, Violation
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.schedule.layer_model import LayerModel
from eenn_rl.schedule.movement import Mover
from eenn_rl.schedule.placer import Placer
from eenn_rl.schedule.segment import Cost, LayerRun, Need, Segment, Tensor
from eenn_rl.schedule.selection import macs_per_second
from eenn_rl.schedule.split import needs_whole_input
from eenn_rl.schedule.topology import DRAM, Location, outer_memory
from eenn_rl.workload import IMAGE_BITS

ENTRY = ""
"""What a segment reads from before it: one tensor, whatever its name."""


@dataclass
class _Walk:
    """What a walk has met so far."""

    produced: dict[str, Tensor] = field(default_factory=dict)
    arrived: set[tuple[str, Need]] = field(default_factory=set)
    spilled: set[str] = field(default_factory=set)
    needs: dict[Need, None] = field(default_factory=dict)
    weights: dict[int, float] = field(default_factory=dict)
    peak: dict[int, float] = field(default_factory=dict)
    costs: list[LayerCost] = field(default_factory=list)
    cores: set[int] = field(default_factory=set)
    violations: list[Violation] = field(default_factory=list)
    dram_s: float = 0.0


class Walker:
    """Walks layers over the cores of one accelerator; remembers every layer it has met."""

    def __init__(self, accelerator: AcceleratorSpec, model: LayerModel) -> None:
        self.accelerator = accelerator
        self.mover = Mover(accelerator)
        self.placer = Placer(accelerator, model, self.mover)
        self._runs: dict[tuple[int, int, tuple[int, ...], bool], LayerRun] = {}
        memories = [outer_memory(accelerator, core, "output") for core in range(len(accelerator.cores))]
        self._capacity = [memory.size_bits if memory else float("inf") for memory in memories]
        self._bits = [accelerator.allocation_bits(index) for index in range(len(accelerator.allocations))]

    def walk(self, layers: Sequence[Layer], bits: int, allocation: int, *, resident: bool = False) -> Segment:
        """Run `layers` at `bits` on `allocation`; `resident` weights are not loaded.

        What they read from before them is taken to lie, at their own bits, where its first reader wants it.
        """
        walk = _Walk()
        walk.violations += self._unsupported(bits, allocation) if layers else ()
        own = {layer.name for layer in layers}
        reads = [dict.fromkeys(name if name in own else ENTRY for name in layer.reads or (ENTRY,)) for layer in layers]
        last_use = {name: index for index, names in enumerate(reads) for name in names}
        for index, layer in enumerate(layers):
            run = self.run_layer(layer, bits, self.placer.cores_for(layer, allocation), resident=resident)
            self._step(walk, layer, reads[index], bits, allocation, run)
            uses = {name: use for name, use in last_use.items() if use >= index and name in walk.produced}
            self._make_room(walk, layer, uses, index)
            _note_peak(walk, [layer.name, *uses])
        exit_ = walk.produced[layers[-1].name] if layers else Tensor(DRAM, 0.0)
        return Segment(
            tuple(walk.costs),
            sum(cost.energy_j for cost in walk.costs),
            sum(cost.latency_s for cost in walk.costs),
            walk.dram_s,
            tuple(walk.needs),
            exit_,
            tuple(sorted(walk.peak.items())),
            tuple(sorted(walk.weights.items())),
            frozenset(walk.cores),
            tuple(walk.violations),
        )

    def _step(self, walk: _Walk, layer: Layer, reads: Iterable[str], bits: int, allocation: int, run: LayerRun) -> None:
        moved = Cost()
        need = Need(() if run.streams else run.cores, needs_whole_input(layer))
        for name in reads:
            if name == ENTRY and ENTRY not in walk.spilled:
                walk.needs[need] = None
                walk.produced.setdefault(ENTRY, Tensor(Location(need.cores), _entry_bits(layer, bits)))
            elif (name, need) not in walk.arrived:
                tensor = walk.produced[name]
                moved.move(self.mover.move(tensor.bits, tensor.location, need.cores, whole=need.whole))
                if not tensor.location.off_chip:
                    walk.arrived.add((name, need))
        walk.costs.append(_with(run.cost, moved))
        walk.dram_s += run.dram_s + moved.dram_s
        walk.produced[layer.name] = run.output
        walk.cores.update(run.cores)
        for core in run.cores:
            walk.weights[core] = walk.weights.get(core, 0.0) + layer.weight_elements * bits / len(run.cores)
        if not run.fits and bits in self._bits[allocation]:
            walk.violations.append(self._no_room(layer, bits, run.cores))

    def _make_room(self, walk: _Walk, layer: Layer, uses: dict[str, int], index: int) -> None:
        """Where what is kept for later exceeds a core's memory, what is needed last goes to DRAM.

        `uses` gives the last reader of each tensor that is still needed, layer `index` being the one that just ran.
        """
        waiting = sorted(
            (name for name, use in uses.items() if use > index and name != layer.name), key=uses.__getitem__
        )
        spilled = Cost()
        while waiting and self.accelerator.dram is not None and self._overfull(walk, [layer.name, *uses]):
            name = waiting.pop()
            tensor = walk.produced[name]
            spilled.move(self.mover.move(tensor.bits, tensor.location, (), whole=True))
            walk.produced[name] = Tensor(DRAM, tensor.bits)
            walk.spilled.add(name)
            walk.arrived = {(other, need) for other, need in walk.arrived if other != name}
        if spilled.energy:
            walk.costs[-1] = _with(walk.costs[-1], spilled)
            walk.dram_s += spilled.dram_s

    def _overfull(self, walk: _Walk, names: list[str]) -> bool:
        return any(bits > self._capacity[core] for core, bits in _held(walk, names).items())

    def _no_room(self, layer: Layer, bits: int, cores: tuple[int, ...]) -> Violation:
        """The layer's operands exceed the outermost memory, or one element of them the innermost."""
        demand = (layer.weight_elements + layer.input_elements + layer.output_elements) * bits / 8 / len(cores)
        bound = min(self._capacity[core] for core in cores) / 8
        names = "+".join(self.accelerator.cores[core].name for core in cores)
        if demand > bound:
            return Violation(f"layer {layer.name} on {names}", demand, bound, "bytes")
        smallest = min(memory.size_bits for core in cores for memory in self.accelerator.cores[core].memories)
        return Violation(f"one operand of layer {layer.name} on {names}", max(bits, smallest + 1.0), smallest, "bits")

    def _unsupported(self, bits: int, allocation: int) -> tuple[Violation, ...]:
        """Bits that a core lacks; the bound is the next width below that all cores have, 0 where there is none."""
        supported = self._bits[allocation]
        if bits in supported:
            return ()
        name = self.accelerator.allocation_name(allocation)
        below = max((width for width in supported if width < bits), default=0)
        return (Violation(f"bit-width on {name}", float(bits), float(below), "bits"),)

    def run_layer(self, layer: Layer, bits: int, cores: tuple[int, ...], *, resident: bool) -> LayerRun:
        """One layer on all of `cores` at once: its weights loaded, computed, its output stored where it fits."""
        key = (self.placer.number(layer), bits, cores, resident)
        if key not in self._runs:
            self._runs[key] = self._run(layer, bits, cores, resident=resident)
        return self._runs[key]

    def _run(self, layer: Layer, bits: int, cores: tuple[int, ...], *, resident: bool) -> LayerRun:
        off_chip, costs = self.placer.place(layer, bits, cores)
        cores = cores[: len(costs)]
        total = Cost()
        if layer.weight_elements and "weight" not in off_chip and not resident:
            total.move(self.mover.from_dram(layer.weight_elements * bits, cores, whole=False, operand="weight"))
        seconds = self.placer.compute_seconds(costs, cores)
        total.latency_s += seconds
        for cost in costs:
            total.add_energy(cost.energy_j_by_memory.items())
        output = Tensor(DRAM if "output" in off_chip else Location(cores), float(layer.output_elements * bits))
        dram = self.accelerator.dram
        if dram is not None:
            total.dram_s += sum(cost.dram_bits for cost in costs) / dram.bandwidth_bits / self.accelerator.clock_hz
            if any(output.bits / len(cores) > self._capacity[core] for core in output.location.cores):
                total.move(self.mover.to_dram(output.bits, cores))
                output = Tensor(DRAM, output.bits)
        fits = all(cost.fits for cost in costs)
        report = self._layer_cost(layer, bits, cores, seconds, total)
        return LayerRun(report, cores, total.dram_s, output, "input" in off_chip, fits)

    def _layer_cost(self, layer: Layer, bits: int, cores: tuple[int, ...], seconds: float, total: Cost) -> LayerCost:
        specs = [self.accelerator.cores[core] for core in cores]
        most = seconds * macs_per_second(specs, bits)
        return LayerCost(
            layer.name, "+".join(spec.name for spec in specs), seconds * specs[0].clock_hz, total.latency_s,
            sum(total.energy.values()), layer.macs, layer.macs / most if most else 0.0, total.energy,
        )  # fmt: skip


def _entry_bits(layer: Layer, bits: int) -> float:
    """The size of what `layer` reads from before its segment; without `reads` it is the image."""
    return float(layer.in_channels * prod(layer.in_size) * (bits if layer.reads else IMAGE_BITS))


def _held(walk: _Walk, names: list[str]) -> dict[int, float]:
    """Bits of the named tensors on each core."""
    held: dict[int, float] = {}
    for name in dict.fromkeys(names):
        tensor = walk.produced[name]
        for core in tensor.location.cores:
            held[core] = held.get(core, 0.0) + tensor.bits / len(tensor.location.cores)
    return held


def _note_peak(walk: _Walk, live: list[str]) -> None:
    for core, bits in _held(walk, live).items():
        walk.peak[core] = max(walk.peak.get(core, 0.0), bits)


def _with(cost: LayerCost, moved: Cost) -> LayerCost:
    """`cost` with its inputs' movement in front."""
    if not moved.energy and not moved.latency_s:
        return cost
    total = Cost(energy=dict(cost.energy_j_by_memory))
    total.add_energy(moved.energy.items())
    return replace(
        cost,
        latency_s=cost.latency_s + moved.latency_s,
        energy_j=sum(total.energy.values()),
        energy_j_by_memory=total.energy,
    )
