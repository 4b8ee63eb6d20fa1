"""The best mapping of each of many layers: every candidate order costed at once, in chunks that fit the cache."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eenn_multicore.hierarchy import Hierarchy, hierarchy_of
from eenn_multicore.latency import latency, outer_demand
from eenn_multicore.mapping import EPSILON, Bools, Floats, Ints, Nest, Rows, allocate, distinct, rows_of
from eenn_multicore.orders import orders, temporal_loops
from eenn_multicore.problem import Problem
from eenn_multicore.traffic import analyse, energy_by_memory
from eenn_multicore.unrolling import Unrolled, unrollings
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
    candidates = [
        (index, unrolled)
        for index, problem in enumerate(problems)
        for unrolled in unrollings(problem, core, hierarchy, dataflow)
    ]
    candidates.sort(key=lambda candidate: candidate[1].exact)
    best: dict[int, tuple[tuple[float, ...], MappedCost]] = {}
    for chunk in _chunks([unrolled for _, unrolled in candidates]):
        spread = [unrolled for _, unrolled in candidates[chunk]]
        rows = rows_of([problems[index] for index, _ in candidates[chunk]], spread)
        found = _evaluate(rows, hierarchy, spread, objective, cycles_per_operation)
        for (index, _), one in zip(candidates[chunk], found, strict=True):
            if index not in best or _less(one[0], best[index][0]):
                best[index] = one
    return [best[index][1] for index in range(len(problems))]


def _less(goals: tuple[float, ...], others: tuple[float, ...]) -> bool:
    """Whether the first goal that differs is smaller."""
    for goal, other in zip(goals, others, strict=True):
        if abs(goal - other) > EPSILON * other:
            return goal < other
    return False


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
) -> list[tuple[tuple[float, ...], MappedCost]]:
    """The best order of every unrolling, and its goals, the least of which is best."""
    nest = Nest(rows)
    allocation = allocate(nest, hierarchy)
    kept = distinct(nest, allocation)
    rows, allocation = rows.of(kept), allocation.of(kept)
    nest = Nest(rows)
    mean = analyse(nest, hierarchy, allocation, rows.mean)
    whole = mean if rows.whole is rows.mean else analyse(nest, hierarchy, allocation, rows.whole)
    energy, outer = energy_by_memory(hierarchy, mean)
    cycles = latency(nest, hierarchy, mean, whole, cycles_per_operation)
    total, joules = cycles.total + np.array([one.drain for one in unrolled])[rows.owner], energy.sum(axis=0)
    outputs, weights, inputs = outer_demand(hierarchy, mean, cycles)
    wanted = {"latency": (total, joules), "energy": (joules, total), "edp": (total * joules, total)}[objective]
    goals = (~allocation.fits, *((outer,) if hierarchy.below_dram else ()), *wanted)
    best = _best(rows.owner, goals)
    compute, stall, onload, offload = (
        np.broadcast_to(part, total.shape)[best]
        for part in (cycles.compute, cycles.stall, cycles.onload, cycles.offload)
    )
    return [
        (
            tuple(float(goal[row]) for goal in goals),
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
            ),
        )
        for i, row in enumerate(best.tolist())
    ]


def _best(owner: Ints, goals: Sequence[Floats | Bools]) -> Ints:
    """Per owner the row with the least first goal, among those the least second and so on, then the first."""
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    left = np.ones(owner.size, bool)
    for goal in goals:
        values = np.where(left, goal, np.inf)
        left &= values <= np.minimum.reduceat(values, starts)[owner] * (1 + EPSILON)
    ties = np.flatnonzero(left)
    return ties[np.unique(owner[ties], return_index=True)[1]]
