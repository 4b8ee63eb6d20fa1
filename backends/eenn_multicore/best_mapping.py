"""The best mapping of each of many layers: every candidate order costed at once, in chunks that fit the cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eenn_multicore.hierarchy import Hierarchy, hierarchy_of
from eenn_multicore.latency import latency, outer_demand
from eenn_multicore.mapping import EPSILON, Floats, Ints, Nest, Rows, allocate, distinct, rows_of
from eenn_multicore.orders import orders, temporal_loops
from eenn_multicore.problem import Problem
from eenn_multicore.traffic import analyse, energy_by_memory
from eenn_multicore.unrolling import Unrolled, unroll
from eenn_rl.hardware import CoreSpec, Dataflow, MemorySpec

Objective = Literal["latency", "energy", "edp"]
ROWS = 4096
"""Candidate rows costed together: enough to hide numpy's overhead, few enough for the cache."""


@dataclass(frozen=True)
class MappedCost:
    """A layer's cost under its best mapping; `fits` is false where no order finds room in the memories."""

    compute_cycles: float
    stall_cycles: float
    onload_cycles: float
    offload_cycles: float
    energy_j_by_memory: Mapping[str, float]
    outer_bits: float
    """Bits through the ports of the outermost memory."""
    fits: bool
    outer_demand: tuple[float, float]
    """Bits per cycle asked of the outermost memory: of inputs, which cores may share, and of the rest."""
    unrolled: Unrolled

    @property
    def cycles(self) -> float:
        """All cycles."""
        inside = self.compute_cycles + self.stall_cycles + self.onload_cycles + self.offload_cycles
        return inside + self.unrolled.drain


def best_mappings(
    problems: Sequence[Problem], core: CoreSpec, memories: tuple[MemorySpec, ...], dataflow: Dataflow | None,
    objective: Objective = "latency", cycles_per_operation: float = 1.0,
) -> list[MappedCost]:  # fmt: skip
    """The best mapping of every problem; all must use the same operands."""
    hierarchy = hierarchy_of(core, memories, (True, problems[0].bits[1] > 0, True))
    unrolled = [unroll(problem, core, hierarchy, dataflow) for problem in problems]
    order = sorted(range(len(problems)), key=lambda index: unrolled[index].exact)
    costs: list[MappedCost] = []
    for chunk in _chunks([unrolled[index] for index in order]):
        spread = [unrolled[index] for index in order[chunk]]
        rows = rows_of([problems[index] for index in order[chunk]], spread)
        costs += _evaluate(rows, hierarchy, spread, objective, cycles_per_operation)
    return [cost for _, cost in sorted(zip(order, costs, strict=True), key=lambda pair: pair[0])]


def _chunks(unrolled: Sequence[Unrolled]) -> Iterator[slice]:
    start = count = 0
    for index, one in enumerate(unrolled):
        count += len(orders(temporal_loops(one.temporal)))
        if count >= ROWS:
            yield slice(start, index + 1)
            start, count = index + 1, 0
    if start < len(unrolled):
        yield slice(start, len(unrolled))


def _evaluate(
    rows: Rows, hierarchy: Hierarchy, unrolled: Sequence[Unrolled], objective: Objective, cycles_per_operation: float
) -> list[MappedCost]:
    nest = Nest(rows)
    allocation = allocate(nest, hierarchy)
    kept = distinct(nest, allocation)
    rows, allocation = rows.of(kept), allocation.of(kept)
    nest = Nest(rows)
    mean = analyse(nest, hierarchy, allocation, rows.mean)
    whole = mean if rows.whole is rows.mean else analyse(nest, hierarchy, allocation, rows.whole)
    energy, outer = energy_by_memory(hierarchy, mean)
    cycles = latency(nest, hierarchy, mean, whole, cycles_per_operation)
    total, joules = cycles.total, energy.sum(axis=0)
    outputs, weights, inputs = outer_demand(hierarchy, mean, cycles)
    goals = {"latency": (total, joules), "energy": (joules, total), "edp": (total * joules, total)}[objective]
    best = _best(rows.owner, allocation.fits, *goals)
    compute, stall, onload, offload = (
        np.broadcast_to(part, total.shape)[best]
        for part in (cycles.compute, cycles.stall, cycles.onload, cycles.offload)
    )
    return [
        MappedCost(
            compute_cycles=float(compute[i]),
            stall_cycles=float(stall[i]),
            onload_cycles=float(onload[i]),
            offload_cycles=float(offload[i]),
            energy_j_by_memory={memory.name: float(energy[m, row]) for m, memory in enumerate(hierarchy.memories)},
            outer_bits=float(outer[row]),
            fits=bool(allocation.fits[row]),
            outer_demand=(float(inputs[row]), float(outputs[row] + weights[row])),
            unrolled=unrolled[i],
        )
        for i, row in enumerate(best.tolist())
    ]


def _best(owner: Ints, fits: np.ndarray, goal: Floats, second: Floats) -> Ints:
    """Per owner the row with the least goal, then the least second goal, then the first; fitting rows before others."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    penalty = np.where(fits, 0.0, 1e30)
    goal, second = goal + penalty, second.copy()
    least = np.minimum.reduceat(goal, starts)
    second[goal > least[owner] * (1 + EPSILON)] = np.inf
    ties = np.flatnonzero(second == np.minimum.reduceat(second, starts)[owner])
    return ties[np.unique(owner[ties], return_index=True)[1]]
