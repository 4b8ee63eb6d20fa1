"""Walker: layers in order over the cores of an allocation."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from eenn_rl.backbone import Layer
from eenn_rl.cost import LayerCost, Violation
from eenn_rl.hardware import AcceleratorSpec, Operand
from eenn_rl.schedule.layer_model import CoreLayerCost, LayerModel, LayerRequest, PreparedLayerModel
from eenn_rl.schedule.movement import Mover
from eenn_rl.schedule.segment import Cost, LayerRun, Need, Segment, Tensor
from eenn_rl.schedule.split import needs_whole_input, slices
from eenn_rl.schedule.topology import DRAM, Location, outer_memory
from eenn_rl.workload import Stage

ON_CHIP: frozenset[Operand] = frozenset()
WEIGHTS: frozenset[Operand] = frozenset(("weight",))
ACTIVATIONS: frozenset[Operand] = frozenset(("input", "output"))
EVERYTHING: frozenset[Operand] = frozenset(("weight", "input", "output"))


REMEMBERED = 200_000
"""Objects found by identity before they are forgotten: callers may make new equal ones for every question."""

_Placed = tuple[frozenset[Operand], list[CoreLayerCost]]


@dataclass
class _Walk:
    """What a walk has met so far."""

    produced: dict[str, Tensor] = field(default_factory=dict)
    arrived: set[tuple[str, Need]] = field(default_factory=set)
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
        self.accelerator, self.model = accelerator, model
        self.mover = Mover(accelerator)
        kinds = {core.kind: index for index, core in reversed(list(enumerate(accelerator.cores)))}
        self._special = {"pool": kinds.get("pooling"), "add": kinds.get("simd")}
        self._runs: dict[tuple[int, int, tuple[int, ...], bool], LayerRun] = {}
        self._placed: dict[tuple[int, int, tuple[int, ...]], _Placed] = {}
        self._slices: dict[tuple[int, int], tuple[Layer, ...]] = {}
        self._interned: dict[Layer, int] = {}
        self._numbers: dict[int, tuple[Layer, int]] = {}
        memories = [outer_memory(accelerator, core, "output") for core in range(len(accelerator.cores))]
        self._capacity = [memory.size_bits if memory else float("inf") for memory in memories]
        self._options = self._placements()
        self._bits = [accelerator.allocation_bits(index) for index in range(len(accelerator.allocations))]

    def _placements(self) -> tuple[frozenset[Operand], ...]:
        """What may stream from DRAM: the preferred choice, and the others where that finds no room."""
        if self.accelerator.dram is None:
            return (ON_CHIP,)
        if self.accelerator.keep_activations_on_chip:
            return (ON_CHIP, WEIGHTS, ACTIVATIONS, EVERYTHING)
        return (ACTIVATIONS, EVERYTHING)

    def prepare(self, stages: Iterable[Stage]) -> None:
        """Tell a layer model that can use it which layers `stages` will ask for."""
        if not isinstance(self.model, PreparedLayerModel):
            return
        wanted: dict[tuple[int, int, tuple[int, ...]], Layer] = {}
        for stage in stages:
            for layers, allocation in ((stage.layers, stage.core), (stage.branch_layers, stage.branch_core)):
                for layer in layers:
                    cores = self.cores_for(layer, allocation)
                    wanted[self.number(layer), stage.bits, cores] = layer
        for place, off_chip in enumerate(self._options):
            requests = {
                key: list(self._requests(self.slices(layer, len(key[2])), key[2], key[1], off_chip))
                for key, layer in wanted.items()
            }
            self.model.prepare(request for several in requests.values() for request in several)
            if place == 0:
                wanted = {
                    key: wanted[key]
                    for key, several in requests.items()
                    if not all(self.model.cost(request).fits for request in several)
                }

    def number(self, layer: Layer) -> int:
        """A small integer for a layer, found by identity where it was met before: hashing a layer is slow."""
        known = self._numbers.get(id(layer))
        if known is None:
            if len(self._numbers) > REMEMBERED:
                self._numbers.clear()
            known = (layer, self._interned.setdefault(layer, len(self._interned)))
            self._numbers[id(layer)] = known
        return known[1]

    def slices(self, layer: Layer, cores: int) -> tuple[Layer, ...]:
        """The parts of `layer` on a group of `cores`."""
        key = (self.number(layer), cores)
        if key not in self._slices:
            self._slices[key] = slices(layer, cores)
        return self._slices[key]

    def cores_for(self, layer: Layer, allocation: int) -> tuple[int, ...]:
        """The cores that run `layer`: a special core where the accelerator has one for its kind."""
        special = self._special.get(layer.kind)
        return self.accelerator.allocations[allocation] if special is None else (special,)

    def walk(self, layers: Sequence[Layer], bits: int, allocation: int, *, resident: bool = False) -> Segment:
        """Run `layers` at `bits` on `allocation`; `resident` weights are not loaded."""
        walk = _Walk()
        walk.violations += self._unsupported(bits, allocation) if layers else ()
        last_use = {name: index for index, layer in enumerate(layers) for name in layer.reads}
        for index, layer in enumerate(layers):
            run = self.run_layer(layer, bits, self.cores_for(layer, allocation), resident=resident)
            self._step(walk, layer, bits, allocation, run)
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

    def _step(self, walk: _Walk, layer: Layer, bits: int, allocation: int, run: LayerRun) -> None:
        moved = Cost()
        need = Need(() if run.streams else run.cores, needs_whole_input(layer))
        for name in layer.reads or ("",):
            if name not in walk.produced:
                walk.needs[need] = None
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
        supported = self._bits[allocation]
        if bits in supported:
            return ()
        name = self.accelerator.allocation_name(allocation)
        return (Violation(f"bit-width on {name}", float(bits), float(max(supported, default=0)), "bits"),)

    def run_layer(self, layer: Layer, bits: int, cores: tuple[int, ...], *, resident: bool) -> LayerRun:
        """One layer on all of `cores` at once: its weights loaded, computed, its output stored where it fits."""
        key = (self.number(layer), bits, cores, resident)
        if key not in self._runs:
            self._runs[key] = self._run(layer, bits, cores, resident=resident)
        return self._runs[key]

    def _run(self, layer: Layer, bits: int, cores: tuple[int, ...], *, resident: bool) -> LayerRun:
        off_chip, costs = self._place(layer, bits, cores)
        cores = cores[: len(costs)]
        total = Cost()
        if layer.weight_elements and "weight" not in off_chip and not resident:
            total.move(self.mover.from_dram(layer.weight_elements * bits, cores, whole=False, operand="weight"))
        seconds = self._compute_seconds(costs, cores)
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
        report = self._layer_cost(layer, cores, seconds, total)
        return LayerRun(report, cores, total.dram_s, output, "input" in off_chip, fits)

    def _place(self, layer: Layer, bits: int, cores: tuple[int, ...]) -> _Placed:
        """What streams from DRAM, and what the slices of `layer` then cost.

        The first option is taken where it finds room, else the fastest of those that do.
        """
        key = (self.number(layer), bits, cores)
        if key not in self._placed:
            parts = self.slices(layer, len(cores))
            used = cores[: len(parts)]
            first = (self._options[0], self._costs(parts, used, bits, self._options[0]))
            if not _fit(first):
                others = [(off_chip, self._costs(parts, used, bits, off_chip)) for off_chip in self._options[1:]]
                fitting = [placed for placed in others if _fit(placed)]
                first = min(fitting, key=lambda placed: self._placed_seconds(layer, bits, used, placed), default=first)
            self._placed[key] = first
        return self._placed[key]

    def _placed_seconds(self, layer: Layer, bits: int, cores: tuple[int, ...], placed: _Placed) -> float:
        """Time of a layer, its weights' loading included where they do not stream."""
        off_chip, costs = placed
        seconds = self._compute_seconds(costs, cores)
        if layer.weight_elements and "weight" not in off_chip:
            load = self.mover.from_dram(layer.weight_elements * bits, cores, whole=False, operand="weight")
            seconds += load.latency_s
        return seconds

    def _compute_seconds(self, costs: list[CoreLayerCost], cores: tuple[int, ...]) -> float:
        """Time until the slowest core is done.

        The DRAM port is one: where operands stream, cores whose demands exceed its width take turns. Inputs are
        broadcast.
        """
        clocks = [self.accelerator.cores[core].clock_hz for core in cores]
        seconds = [cost.cycles / clock for cost, clock in zip(costs, clocks, strict=True)]
        if self.accelerator.dram is None or not any(cost.dram_bits for cost in costs):
            return max(seconds)
        demand = max(c.dram_demand[0] for c in costs) + sum(c.dram_demand[1] for c in costs)
        turns = max(1, ceil(demand / self.accelerator.dram.bandwidth_bits))
        return min(sum(seconds), turns * max(seconds))

    def _costs(
        self, parts: tuple[Layer, ...], cores: tuple[int, ...], bits: int, off_chip: frozenset[Operand]
    ) -> list[CoreLayerCost]:
        return [self.model.cost(request) for request in self._requests(parts, cores, bits, off_chip)]

    def _requests(
        self, parts: tuple[Layer, ...], cores: tuple[int, ...], bits: int, off_chip: frozenset[Operand]
    ) -> Iterator[LayerRequest]:
        for core, part in zip(cores, parts, strict=False):
            yield LayerRequest(part, self.accelerator.cores[core], bits, off_chip)

    def _layer_cost(self, layer: Layer, cores: tuple[int, ...], seconds: float, total: Cost) -> LayerCost:
        specs = [self.accelerator.cores[core] for core in cores]
        cycles = seconds * specs[0].clock_hz
        units = sum(spec.array_size for spec in specs)
        return LayerCost(
            layer.name, "+".join(spec.name for spec in specs), cycles, total.latency_s, sum(total.energy.values()),
            layer.macs, layer.macs / (cycles * units) if cycles else 0.0, total.energy,
        )  # fmt: skip


def _fit(placed: _Placed) -> bool:
    return all(cost.fits for cost in placed[1])


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
