"""DianaBackend: early-exit networks on DIANA."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_diana import parameters as p
from eenn_diana.chip import allocations_of
from eenn_diana.stage_table import MODES, Floats, Mode, StageNumbers, Table, layer_cost, stage_numbers, table_of
from eenn_rl.cost import CostReport, ExitCost, Span, StageCost, Violation
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import API_VERSION
from eenn_rl.workload import Stage, Workload

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Answer:
    """Costs per exit [n, s], what the whole network needs [n, 4] against `BOUNDS`, and the mode chosen [n]."""

    energy_j: Floats
    latency_s: Floats
    needs: Floats
    mode: npt.NDArray[np.intp]


class DianaBackend:
    """Costs workloads on DIANA.

    Layers run one after another, each on the core its stage is on; layers with groups, which the analog array cannot
    run, on the digital core; pooling and additions on their own units. Weights that fit their core all at once stay
    there; the others are loaded from L2 for every input. Where there is a choice (copies of analog weights compute
    several positions at once, but take cells that others need), the one with the least energy-latency product of the
    whole network is taken, for all of its exits.
    """

    api_version = API_VERSION

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self._accelerator = accelerator
        self._cores = allocations_of(accelerator)
        self._known: dict[Stage, StageNumbers] = {}

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`, broken down by layer and place."""
        index = np.arange(len(workload.stages), dtype=np.int32)[None, :]
        answer = self._answer(table_of([self._numbers(stage) for stage in workload.stages]), index)
        mode = MODES[int(answer.mode[0])]
        exits = tuple(
            ExitCost(float(e), float(t)) for e, t in zip(answer.energy_j[0], answer.latency_s[0], strict=True)
        )
        stages = tuple(self._stage_cost(stage, mode) for stage in workload.stages)
        return CostReport(exits, _violations(answer.needs[0]), stages, _timeline(stages), _peaks(answer.needs[0]))

    def evaluate_batch(self, stages: Sequence[Stage], index: Ints) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Cost many architectures at once; see `eenn_rl.hookspecs.BatchBackend`."""
        answer = self._answer(table_of([self._numbers(stage) for stage in stages]), index)
        return answer.energy_j, answer.latency_s, np.asarray((answer.needs <= _BOUNDS).all(axis=1))

    def _numbers(self, stage: Stage) -> StageNumbers:
        known = self._known.get(stage)
        if known is None:
            known = self._known[stage] = stage_numbers(stage, self._cores)
        return known

    def _answer(self, table: Table, index: Ints) -> _Answer:
        used = index >= 0
        place = np.where(used, index, 0)
        needs = np.where(used[..., None], table.needs[place], 0.0)
        whole = np.concatenate([needs[..., :4].sum(axis=1), needs[..., 4:].max(axis=1)], axis=1)
        energy = np.cumsum(np.where(used[..., None], table.energy_j[place], 0.0), axis=1)
        latency = np.cumsum(np.where(used[..., None], table.latency_s[place], 0.0), axis=1)
        product = np.where(_possible(whole), energy[:, -1] * latency[:, -1], np.inf)
        mode = product.argmin(axis=1)
        rows = np.arange(len(index))
        return _Answer(
            np.where(used, energy[rows, :, mode], 0.0), np.where(used, latency[rows, :, mode], 0.0), whole[:, 3:], mode
        )

    def _stage_cost(self, stage: Stage, mode: Mode) -> StageCost:
        body = tuple(layer_cost(layer, self._cores[stage.core], mode) for layer in stage.layers)
        branch = tuple(layer_cost(layer, self._cores[stage.branch_core], mode) for layer in stage.branch_layers)
        return StageCost(
            body, branch,
            sum(c.energy_j for c in body), sum(c.latency_s for c in body),
            sum(c.energy_j for c in branch), sum(c.latency_s for c in branch),
        )  # fmt: skip


_BOUNDS = np.array([p.L2_SIZE_BITS, p.L1_SIZE_BITS], np.float64)
_BOUND_NAMES = ("L2: weights of all layers", "L1: input and output of a layer")


def _possible(whole: Floats) -> npt.NDArray[np.bool_]:
    """Which modes a network's weights allow, bool [n, modes]."""
    plain, unrolled, digital = whole[:, 0], whole[:, 1], whole[:, 2]
    capacity = p.ROWS * p.COLUMNS
    columns = []
    for mode in MODES:
        analog = (unrolled if mode.unrolled else plain) <= capacity
        fits = analog if mode.analog_resident else np.ones_like(analog)
        columns.append(fits & (digital <= p.DIGITAL_WEIGHT_BITS) if mode.digital_resident else fits)
    return np.stack(columns, axis=1)


def _violations(needs: Floats) -> tuple[Violation, ...]:
    return tuple(
        Violation(name, float(need) / 8, float(bound) / 8, "bytes")
        for name, need, bound in zip(_BOUND_NAMES, needs, _BOUNDS, strict=True)
        if need > bound
    )


def _peaks(needs: Floats) -> dict[str, float]:
    return {"l2": float(needs[0]) / 8, "l1": float(needs[1]) / 8}


def _timeline(stages: Sequence[StageCost]) -> tuple[Span, ...]:
    spans, now = [], 0.0
    for stage in stages:
        for layer in (*stage.layers, *stage.branch_layers):
            spans.append(Span(layer.core, layer.name, now, now + layer.latency_s))
            now += layer.latency_s
    return tuple(spans)
