"""The analytical cost of layers on cores, remembered; whole batches of layers are costed together."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from eenn_multicore.best_mapping import MappedCost, Objective, best_mappings
from eenn_multicore.problem import Problem, problem_of
from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, Dataflow, DramSpec, MemorySpec, Operand, PortSpec, Traffic
from eenn_rl.schedule import CoreLayerCost, LayerRequest, dataflow_for, precision_for

REMEMBERED = 200_000
"""Requests found by identity before they are forgotten."""

Key = tuple[Problem, int, frozenset[Operand], int | None, bool]


class AnalyticalLayerModel:
    """Costs layers on the cores of one accelerator; remembers what it has costed.

    `dataflows`, where given, stand in for those of every core (a mapping file).
    """

    def __init__(
        self, accelerator: AcceleratorSpec, objective: Objective = "latency",
        dataflows: tuple[Dataflow, ...] | None = None,
    ) -> None:  # fmt: skip
        self.accelerator, self.objective, self.dataflows = accelerator, objective, dataflows
        self._known: dict[Key, MappedCost] = {}
        self._costs: dict[tuple[int, int, int, frozenset[Operand]], tuple[LayerRequest, CoreLayerCost]] = {}
        self._problems: dict[tuple[int, int, int], tuple[Layer, Problem]] = {}
        self._shapes: dict[CoreSpec, int] = {}
        self._shape_of: dict[int, tuple[CoreSpec, int]] = {}

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        """Cost one layer on one core; what was asked before is found by identity, without hashing its parts."""
        key = (id(request.layer), id(request.core), request.bits, request.off_chip)
        known = self._costs.get(key)
        if known is None:
            if len(self._costs) > REMEMBERED:
                self._costs.clear()
            known = (request, self._cost(request))
            self._costs[key] = known
        return known[1]

    def _cost(self, request: LayerRequest) -> CoreLayerCost:
        mapped = self.mapped(request)
        if request.layer.kind == "add" and not request.off_chip and not mapped.fits:
            mapped = self._mapped(self._key(request, beside=True), request)
        mac_energy = request.layer.macs * precision_for(request.core, request.bits).mac_energy_j
        energy = {"mac": mac_energy, **mapped.energy_j_by_memory}
        if not request.off_chip:
            return CoreLayerCost(mapped.cycles, energy, fits=mapped.fits)
        return CoreLayerCost(mapped.cycles, energy, mapped.outer_bits, mapped.outer_demand, mapped.fits)

    def mapped(self, request: LayerRequest) -> MappedCost:
        """One layer on one core under its best mapping, in detail; MAC energy excluded."""
        return self._mapped(self._key(request), request)

    def _mapped(self, key: Key, request: LayerRequest) -> MappedCost:
        if key not in self._known:
            self._learn([(key, request)])
        return self._known[key]

    def prepare(self, requests: Iterable[LayerRequest]) -> None:
        """Cost many layers at once, so that later `cost` calls only look up."""
        self._learn((self._key(request), request) for request in requests)

    def _learn(self, questions: Iterable[tuple[Key, LayerRequest]]) -> None:
        groups: dict[tuple[int, frozenset[Operand], int | None, bool, bool, bool, float], dict[Key, CoreSpec]]
        groups = defaultdict(dict)
        for key, request in questions:
            if key not in self._known:
                problem = key[0]
                cycles = 1.0 / precision_for(request.core, request.bits).throughput
                groups[(*key[1:], problem.addition, problem.bits[1] > 0, cycles)][key] = request.core
        for (_, off_chip, place, beside, _, _, cycles), wanted in groups.items():
            core = next(iter(wanted.values()))
            memories = self._memories(core, off_chip)
            memories = moved_beside(memories) if beside else memories
            flow = self._flows(core)[place] if place is not None else None
            costs = best_mappings([key[0] for key in wanted], core, memories, flow, self.objective, cycles)
            self._known.update(zip(wanted, costs, strict=True))

    def _key(self, request: LayerRequest, *, beside: bool = False) -> Key:
        """What decides a mapping; `beside`: the second operand of an addition lies beside the first."""
        problem = self._problem(request)
        flow = dataflow_for(self._flows(request.core), request.layer)
        return (problem, self._shape(request.core), request.off_chip, flow, beside)

    def _problem(self, request: LayerRequest) -> Problem:
        """The loops of a request's layer, found by identity where they were met before."""
        key = (id(request.layer), request.bits, request.core.partial_sum_bits)
        known = self._problems.get(key)
        if known is None:
            if len(self._problems) > REMEMBERED:
                self._problems.clear()
            known = (request.layer, problem_of(request.layer, *key[1:]))
            self._problems[key] = known
        return known[1]

    def _shape(self, core: CoreSpec) -> int:
        """A number that cores of equal make share: hashing a core each time would be slow."""
        known = self._shape_of.get(id(core))
        if known is None:
            anonymous = replace(core, name="", points=(), point=0, source="")
            known = (core, self._shapes.setdefault(anonymous, len(self._shapes)))
            self._shape_of[id(core)] = known
        return known[1]

    def _flows(self, core: CoreSpec) -> tuple[Dataflow, ...]:
        return self.dataflows if self.dataflows is not None else core.dataflows

    def _memories(self, core: CoreSpec, off_chip: frozenset[Operand]) -> tuple[MemorySpec, ...]:
        if not off_chip or self.accelerator.dram is None:
            return core.memories
        ratio = self.accelerator.clock_hz / core.clock_hz
        return (*core.memories, dram_memory(self.accelerator.dram.seen_from(ratio), core, off_chip))


def moved_beside(memories: tuple[MemorySpec, ...]) -> tuple[MemorySpec, ...]:
    """`memories` whose outermost one for weights hands these on to the outermost one for inputs.

    For an addition, whose second operand is an activation: where the weights' own memory has no room for it.
    """
    weights, inputs = ([memory for memory in memories if op in memory.operands][-1] for op in ("weight", "input"))
    if "weight" in inputs.operands:
        return memories
    ports = []
    for port in inputs.ports:
        too = tuple(Traffic("weight", traffic.direction) for traffic in port.carries if traffic.operand == "input")
        ports.append(replace(port, carries=(*port.carries, *too)))
    both = replace(inputs, operands=(*inputs.operands, "weight"), ports=tuple(ports))
    others = tuple(op for op in weights.operands if op != "weight")
    left = (replace(weights, operands=others),) if others else ()
    changed = {id(weights): left, id(inputs): (both,)}
    return tuple(chain.from_iterable(changed.get(id(memory), (memory,)) for memory in memories))


def dram_memory(dram: DramSpec, core: CoreSpec, operands: frozenset[Operand]) -> MemorySpec:
    """DRAM as the outermost memory of a core, for some operands: one port for everything, in bits per core cycle."""
    served = tuple(op for op in ("input", "weight", "output") if op in operands)
    carries = tuple(
        Traffic(op, direction)
        for op in served
        for direction in (("from_high", "to_low", "from_low", "to_high") if op == "output" else ("from_high", "to_low"))
    )
    wide = max(dram.bandwidth_bits, dram.granule_bits)
    ports = dram.ports or (PortSpec("rw", "read_write", dram.granule_bits, wide, carries),)
    return MemorySpec(
        "dram", dram.size_bits, dram.read_energy_j, dram.write_energy_j, served, ports,
        tuple(dimension.name for dimension in core.array),
    )  # fmt: skip
