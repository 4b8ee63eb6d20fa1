"""Placer: how a layer is split over the cores of an allocation, and what of it streams from DRAM."""

from collections.abc import Iterable, Iterator
from math import ceil

from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, Operand
from eenn_rl.schedule.layer_model import CoreLayerCost, LayerModel, LayerRequest, PreparedLayerModel
from eenn_rl.schedule.movement import Mover
from eenn_rl.schedule.split import slices
from eenn_rl.workload import Stage

ON_CHIP: frozenset[Operand] = frozenset()
WEIGHTS: frozenset[Operand] = frozenset(("weight",))
ACTIVATIONS: frozenset[Operand] = frozenset(("input", "output"))
EVERYTHING: frozenset[Operand] = frozenset(("weight", "input", "output"))


REMEMBERED = 200_000
"""Objects found by identity before they are forgotten: callers may make new equal ones for every question."""

Placed = tuple[frozenset[Operand], list[CoreLayerCost]]


class Placer:
    """Places layers on the cores of one accelerator; remembers every layer it has met."""

    def __init__(self, accelerator: AcceleratorSpec, model: LayerModel, mover: Mover) -> None:
        self.accelerator, self.model, self.mover = accelerator, model, mover
        kinds = {core.kind: index for index, core in reversed(list(enumerate(accelerator.cores)))}
        self._special = {"pool": kinds.get("pooling"), "add": kinds.get("simd")}
        self._placed: dict[tuple[int, int, tuple[int, ...]], Placed] = {}
        self._slices: dict[tuple[int, int], tuple[Layer, ...]] = {}
        self._interned: dict[Layer, int] = {}
        self._numbers: dict[int, tuple[Layer, int]] = {}
        self._options = self._placements()

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
                if off_chip in self._options_for(layer)
            }
            self.model.prepare(request for several in requests.values() for request in several)
            if place == 0:
                fitting = {
                    key for key, several in requests.items() if all(self.model.cost(one).fits for one in several)
                }
                wanted = {key: layer for key, layer in wanted.items() if key not in fitting}

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

    def place(self, layer: Layer, bits: int, cores: tuple[int, ...]) -> Placed:
        """What streams from DRAM, and what the slices of `layer` then cost.

        The first option is taken where it finds room, else the fastest of those that do.
        """
        key = (self.number(layer), bits, cores)
        if key not in self._placed:
            parts, options = self.slices(layer, len(cores)), self._options_for(layer)
            used = cores[: len(parts)]
            first = (options[0], self._costs(parts, used, bits, options[0]))
            if not _fit(first):
                others = [(off_chip, self._costs(parts, used, bits, off_chip)) for off_chip in options[1:]]
                fitting = [placed for placed in others if _fit(placed)]
                first = min(fitting, key=lambda placed: self._placed_seconds(layer, bits, used, placed), default=first)
            self._placed[key] = first
        return self._placed[key]

    def compute_seconds(self, costs: list[CoreLayerCost], cores: tuple[int, ...]) -> float:
        """Time until the slowest core is done.

        The DRAM port is one: where operands stream, cores whose demands exceed its width take turns. Inputs are
        broadcast.
        """
        clocks = [self.accelerator.cores[core].clock_hz for core in cores]
        seconds = [cost.cycles / clock for cost, clock in zip(costs, clocks, strict=True)]
        if self.accelerator.dram is None or not any(cost.dram_bits for cost in costs):
            return max(seconds)
        speed = [clock / self.accelerator.clock_hz for clock in clocks]
        asked = [(s * c.dram_demand[0], s * c.dram_demand[1]) for s, c in zip(speed, costs, strict=True)]
        demand = max(inputs for inputs, _ in asked) + sum(rest for _, rest in asked)
        turns = max(1, ceil(demand / self.accelerator.dram.bandwidth_bits))
        return min(sum(seconds), turns * max(seconds))

    def _options_for(self, layer: Layer) -> tuple[frozenset[Operand], ...]:
        """Those of `layer`: an addition has two activations, both on chip or both, and its result, in DRAM."""
        if layer.kind != "add" or self.accelerator.dram is None:
            return self._options
        return tuple(option for option in self._options if option in (ON_CHIP, EVERYTHING))

    def _placements(self) -> tuple[frozenset[Operand], ...]:
        """What may stream from DRAM: the preferred choice, and the others where that finds no room."""
        if self.accelerator.dram is None:
            return (ON_CHIP,)
        if self.accelerator.keep_activations_on_chip:
            return (ON_CHIP, WEIGHTS, ACTIVATIONS, EVERYTHING)
        return (ACTIVATIONS, EVERYTHING)

    def _placed_seconds(self, layer: Layer, bits: int, cores: tuple[int, ...], placed: Placed) -> float:
        """Time of a layer, its weights' loading included where they do not stream."""
        off_chip, costs = placed
        seconds = self.compute_seconds(costs, cores)
        if layer.weight_elements and "weight" not in off_chip:
            load = self.mover.from_dram(layer.weight_elements * bits, cores, whole=False, operand="weight")
            seconds += load.latency_s
        return seconds

    def _costs(
        self, parts: tuple[Layer, ...], cores: tuple[int, ...], bits: int, off_chip: frozenset[Operand]
    ) -> list[CoreLayerCost]:
        return [self.model.cost(request) for request in self._requests(parts, cores, bits, off_chip)]

    def _requests(
        self, parts: tuple[Layer, ...], cores: tuple[int, ...], bits: int, off_chip: frozenset[Operand]
    ) -> Iterator[LayerRequest]:
        for core, part in zip(cores, parts, strict=False):
            yield LayerRequest(part, self.accelerator.cores[core], bits, off_chip)


def _fit(placed: Placed) -> bool:
    return all(cost.fits for cost in placed[1])
