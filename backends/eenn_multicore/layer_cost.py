"""The analytical cost of layers on cores: the best order of the best unrollings, over whole batches of layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from eenn_multicore.hierarchy import Hierarchy, hierarchy_of
from eenn_multicore.latency import latency
from eenn_multicore.mapping import EPSILON, Nest, Rows, allocate, rows_of
from eenn_multicore.problem import OPERANDS, O, Problem, problem_of
from eenn_multicore.traffic import analyse, energy_by_memory
from eenn_multicore.unrolling import unroll
from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, Dataflow, DramSpec, MemorySpec, Operand, PortSpec, Traffic
from eenn_rl.schedule import CoreLayerCost

Objective = Literal["latency", "energy", "edp"]
ROWS = 4096
"""Rows per batch: their arrays stay in the cache."""


@dataclass(frozen=True)
class MappedCost:
    """A layer's cost under its best mapping."""

    compute_cycles: float
    stall_cycles: float
    onload_cycles: float
    offload_cycles: float
    energy_j_by_memory: Mapping[str, float]
    outer_bits: float

    @property
    def cycles(self) -> float:
        """All cycles."""
        return self.compute_cycles + self.stall_cycles + self.onload_cycles + self.offload_cycles


class AnalyticalLayerModel:
    """Costs layers on the cores of one accelerator; remembers what it has costed."""

    def __init__(
        self, accelerator: AcceleratorSpec, objective: Objective = "latency",
        dataflows: tuple[Dataflow, ...] | None = None,
    ) -> None:  # fmt: skip
        self.accelerator, self.objective, self.dataflows = accelerator, objective, dataflows
        self._known: dict[tuple[Problem, CoreSpec, frozenset[Operand]], MappedCost] = {}

    def cost(self, layer: Layer, core: CoreSpec, bits: int, off_chip: frozenset[Operand]) -> CoreLayerCost:
        """Cost `layer` at `bits` on `core`."""
        mapped = self.mapped(layer, core, bits, off_chip)
        return CoreLayerCost(mapped.cycles, mapped.energy_j_by_memory, mapped.outer_bits if off_chip else 0.0)

    def mapped(
        self, layer: Layer, core: CoreSpec, bits: int, off_chip: frozenset[Operand] = frozenset()
    ) -> MappedCost:
        """Cost `layer` at `bits` on `core` under its best mapping."""
        problem = problem_of(layer, bits, core.partial_sum_bits)
        key = (problem, core, off_chip)
        if key not in self._known:
            self._known[key] = best_mappings(
                [problem], core, self._memories(core, off_chip), self._dataflow(core, layer.kind), self.objective
            )[0]
        return _with_macs(self._known[key], layer, core, bits)

    def _dataflow(self, core: CoreSpec, kind: str) -> Dataflow | None:
        flows = self.dataflows if self.dataflows is not None else core.dataflows
        for flow in flows:
            if kind in flow.kinds:
                return flow
        return next((flow for flow in flows if not flow.kinds), None)

    def _memories(self, core: CoreSpec, off_chip: frozenset[Operand]) -> tuple[MemorySpec, ...]:
        if not off_chip or self.accelerator.dram is None:
            return core.memories
        return (*core.memories, dram_memory(self.accelerator.dram, core, off_chip))


def dram_memory(dram: DramSpec, core: CoreSpec, operands: frozenset[Operand]) -> MemorySpec:
    """DRAM as the outermost memory of a core, for some operands: one port for everything."""
    served = tuple(op for op in ("input", "weight", "output") if op in operands)
    carries = tuple(
        Traffic(op, direction)
        for op in served
        for direction in (("from_high", "to_low", "from_low", "to_high") if op == "output" else ("from_high", "to_low"))
    )
    port = PortSpec("rw", "read_write", dram.granule_bits, max(dram.bandwidth_bits, dram.granule_bits), carries)
    return MemorySpec(
        "dram", dram.size_bits, dram.read_energy_j, dram.write_energy_j, served, (port,),
        tuple(dimension.name for dimension in core.array),
    )  # fmt: skip


def _with_macs(cost: MappedCost, layer: Layer, core: CoreSpec, bits: int) -> MappedCost:
    precision = next((p for p in core.precisions if p.bits >= bits), core.precisions[-1])
    energy = {"mac": layer.macs * precision.mac_energy_j, **cost.energy_j_by_memory}
    return replace(cost, energy_j_by_memory=energy)


def best_mappings(
    problems: Sequence[Problem], core: CoreSpec, memories: tuple[MemorySpec, ...], dataflow: Dataflow | None,
    objective: Objective,
) -> list[MappedCost]:  # fmt: skip
    """The best mapping of every problem; all must use the same operands."""
    hierarchy = hierarchy_of(core, memories, _in_use(problems[0]))
    unrolled = [unroll(problem, core, hierarchy, dataflow) for problem in problems]
    rows = rows_of(problems, unrolled)
    return _evaluate(rows, hierarchy, len(problems), objective)


def _in_use(problem: Problem) -> tuple[bool, bool, bool]:
    return (True, problem.bits[1] > 0, True)


def _evaluate(rows: Rows, hierarchy: Hierarchy, problems: int, objective: Objective) -> list[MappedCost]:
    nest = Nest(rows)
    allocation = allocate(nest, hierarchy)
    mean = analyse(nest, hierarchy, allocation, rows.mean)
    whole = analyse(nest, hierarchy, allocation, rows.whole)
    energy, outer = energy_by_memory(hierarchy, mean)
    cycles = latency(nest, hierarchy, mean, whole)
    total, joules = cycles.total, energy.sum(axis=0)
    goal = {"latency": total, "energy": joules, "edp": total * joules}[objective]
    second = joules if objective == "latency" else total
    goal = np.where(allocation.fits, goal, np.inf)
    result = []
    for problem in range(problems):
        mine = np.flatnonzero(rows.owner == problem)
        least = goal[mine].min()
        ties = mine[goal[mine] <= least * (1 + EPSILON)]
        best = int(ties[np.argmin(second[ties])])
        result.append(
            MappedCost(
                float(cycles.compute[best]), float(cycles.stall[best]),
                float(np.broadcast_to(cycles.onload, total.shape)[best]),
                float(np.broadcast_to(cycles.offload, total.shape)[best]),
                {m.name: float(energy[i, best]) for i, m in enumerate(hierarchy.memories)},
                float(outer[best]),
            )
        )  # fmt: skip
    return result


__all__ = ["OPERANDS", "AnalyticalLayerModel", "MappedCost", "O", "best_mappings", "dram_memory"]
