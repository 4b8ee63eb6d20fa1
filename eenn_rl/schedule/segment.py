"""A run of layers on one allocation: what it costs, what it asks of its entry, what it leaves where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from eenn_rl.backbone import Layer
from eenn_rl.cost import LayerCost
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.schedule.layer_model import LayerModel, LayerRequest, PreparedLayerModel
from eenn_rl.schedule.movement import Mover
from eenn_rl.schedule.split import needs_whole_input, slices
from eenn_rl.schedule.topology import DRAM, Location, Movement, outer_memory
from eenn_rl.workload import Stage


@dataclass(frozen=True)
class Tensor:
    """An activation tensor: where it lies, its size."""

    location: Location
    bits: float


@dataclass(frozen=True)
class Need:
    """Cores that read a segment's entry; each all of it, or its slice."""

    cores: tuple[int, ...]
    whole: bool


@dataclass
class Cost:
    """Energy (J), time (s) and DRAM port time (s), broken down by place."""

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
    """A layer on the cores that run it, its entry movements excluded."""

    cost: LayerCost
    dram_s: float
    output: Tensor


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
    weight_bits: tuple[tuple[int, float], ...]
    cores: frozenset[int]


class Walker:
    """Walks layers in order over the cores of an allocation."""

    def __init__(self, accelerator: AcceleratorSpec, model: LayerModel) -> None:
        self.accelerator, self.model = accelerator, model
        self.mover = Mover(accelerator)
        kinds = {core.kind: index for index, core in reversed(list(enumerate(accelerator.cores)))}
        self._special = {"pool": kinds.get("pooling"), "add": kinds.get("simd")}
        self._runs: dict[tuple[Layer, int, tuple[int, ...], bool], LayerRun] = {}

    def cores_for(self, layer: Layer, allocation: int) -> tuple[int, ...]:
        """The cores that run `layer`: a special core where the accelerator has one for its kind."""
        special = self._special.get(layer.kind)
        return self.accelerator.allocations[allocation] if special is None else (special,)

    def prepare(self, stages: Iterable[Stage]) -> None:
        """Tell a layer model that can use it which layers `stages` will ask for."""
        if not isinstance(self.model, PreparedLayerModel):
            return
        wanted: dict[LayerRequest, None] = {}
        seen: set[tuple[Layer, int, int]] = set()
        for stage in stages:
            for layers, allocation in ((stage.layers, stage.core), (stage.branch_layers, stage.branch_core)):
                for layer in layers:
                    key = (layer, stage.bits, allocation)
                    if key not in seen:
                        seen.add(key)
                        cores = self.cores_for(layer, allocation)
                        for core, part in zip(cores, slices(layer, len(cores)), strict=False):
                            wanted[LayerRequest(part, self.accelerator.cores[core], stage.bits)] = None
        self.model.prepare(wanted)

    def walk(self, layers: Sequence[Layer], bits: int, allocation: int, *, resident: bool = False) -> Segment:
        """Run `layers` at `bits` on `allocation`; `resident` weights are not loaded."""
        costs: list[LayerCost] = []
        dram_s = 0.0
        produced: dict[str, Tensor] = {}
        arrived: set[tuple[str, Need]] = set()
        needs: dict[Need, None] = {}
        weights: dict[int, float] = {}
        last_use = {name: index for index, layer in enumerate(layers) for name in layer.reads}
        peak: dict[int, float] = {}
        cores: set[int] = set()
        for index, layer in enumerate(layers):
            run = self.run_layer(layer, bits, self.cores_for(layer, allocation), resident)
            moved = Cost()
            need = Need(self._used(layer, allocation), needs_whole_input(layer))
            for name in layer.reads or ("",):
                if name not in produced:
                    needs[need] = None
                elif (name, need) not in arrived:
                    tensor = produced[name]
                    moved.move(self.mover.move(tensor.bits, tensor.location, need.cores, whole=need.whole))
                    if not tensor.location.off_chip:
                        arrived.add((name, need))
            costs.append(_with(run.cost, moved))
            dram_s += run.dram_s + moved.dram_s
            produced[layer.name] = run.output
            cores.update(need.cores)
            for core in need.cores:
                weights[core] = weights.get(core, 0.0) + layer.weight_elements * bits / len(need.cores)
            for name, tensor in produced.items():
                if tensor.location.off_chip or not (name == layer.name or last_use.get(name, -1) >= index):
                    continue
                for core in tensor.location.cores:
                    live = sum(
                        t.bits / len(t.location.cores)
                        for n, t in produced.items()
                        if core in t.location.cores and (n == layer.name or last_use.get(n, -1) >= index)
                    )
                    peak[core] = max(peak.get(core, 0.0), live)
        return Segment(
            tuple(costs),
            sum(cost.energy_j for cost in costs),
            sum(cost.latency_s for cost in costs),
            dram_s,
            tuple(needs),
            produced[layers[-1].name],
            tuple(sorted(peak.items())),
            tuple(sorted(weights.items())),
            frozenset(cores),
        )

    def _used(self, layer: Layer, allocation: int) -> tuple[int, ...]:
        cores = self.cores_for(layer, allocation)
        return cores[: len(slices(layer, len(cores)))]

    def run_layer(self, layer: Layer, bits: int, cores: tuple[int, ...], resident: bool) -> LayerRun:
        """One layer: its weights loaded, computed on all cores at once, its output stored where it fits."""
        key = (layer, bits, cores, resident)
        if key not in self._runs:
            self._runs[key] = self._run(layer, bits, cores, resident)
        return self._runs[key]

    def _run(self, layer: Layer, bits: int, cores: tuple[int, ...], resident: bool) -> LayerRun:
        parts = slices(layer, len(cores))
        cores = cores[: len(parts)]
        total = Cost()
        if layer.weight_elements and not resident:
            total.move(self.mover.from_dram(layer.weight_elements * bits, cores, whole=False, operand="weight"))
        slowest = cycles = 0.0
        for core, part in zip(cores, parts, strict=True):
            spec = self.accelerator.cores[core]
            cost = self.model.cost(part, spec, bits, frozenset())
            cycles = max(cycles, cost.cycles)
            slowest = max(slowest, cost.cycles / spec.clock_hz)
            total.add_energy(cost.energy_j_by_memory.items())
        total.latency_s += slowest
        size = float(layer.output_elements * bits)
        location = Location(cores) if self._fits(cores, size) else DRAM
        if location.off_chip:
            total.move(self.mover.to_dram(size, cores))
        array = sum(self.accelerator.cores[core].array_size for core in cores)
        cost_ = LayerCost(
            layer.name, "+".join(self.accelerator.cores[core].name for core in cores), cycles, total.latency_s,
            sum(total.energy.values()), layer.macs, layer.macs / (cycles * array) if cycles else 0.0, total.energy,
        )  # fmt: skip
        return LayerRun(cost_, total.dram_s, Tensor(location, size))

    def _fits(self, cores: tuple[int, ...], bits: float) -> bool:
        if self.accelerator.dram is None:
            return True
        if not self.accelerator.keep_activations_on_chip:
            return False
        memory = outer_memory(self.accelerator, cores[0], "output")
        return memory is None or bits / len(cores) <= memory.size_bits


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
