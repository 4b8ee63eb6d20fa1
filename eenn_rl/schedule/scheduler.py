"""Scheduler: the cost of whole early-exit networks, one or many, from segments and movements.

One arithmetic serves both paths: `evaluate` is `evaluate_batch` of one, so that they agree to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_rl.cost import CostReport, ExitCost, LayerCost, Span, StageCost, Violation
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.schedule.layer_model import LayerModel
from eenn_rl.schedule.stores import Stores
from eenn_rl.schedule.tables import Floats, Ints, MovementTable, SegmentTable, StageTable
from eenn_rl.schedule.walker import Walker
from eenn_rl.workload import Stage, Workload


@dataclass(frozen=True)
class Path:
    """Times and energies along the way through n networks of up to s stages; [n, s] each."""

    start_s: Floats
    body_end_s: Floats
    branch_start_s: Floats
    verdict_s: Floats
    energy_j: Floats
    latency_s: Floats
    resident: npt.NDArray[np.bool_]
    """[n]: whether all weights stay on chip from one inference to the next."""
    fits: npt.NDArray[np.bool_]
    """[n]"""


class Scheduler:
    """Costs workloads on one accelerator with a layer model."""

    def __init__(self, accelerator: AcceleratorSpec, model: LayerModel) -> None:
        self.accelerator = accelerator
        self.walker = Walker(accelerator, model)
        self.segments = SegmentTable(accelerator, self.walker)
        self.movements = MovementTable(self.segments, self.walker)
        self.stages = StageTable(self.segments)
        self._stores = Stores(accelerator)

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Cost many architectures; see `eenn_rl.hookspecs.BatchBackend`."""
        used = index >= 0
        path = self._path(self.stages.ids_of(stages), np.where(used, index, 0), used)
        return path.energy_j, path.latency_s, path.fits

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost one network, broken down."""
        ids = self.stages.ids_of(workload.stages)
        index = np.arange(len(ids))[None, :]
        path = self._path(ids, index, np.ones_like(index, bool))
        exits = tuple(ExitCost(float(e), float(t)) for e, t in zip(path.energy_j[0], path.latency_s[0], strict=True))
        return CostReport(exits, self._violations(ids), self._stage_costs(ids, path), self._timeline(ids, path),
                          self._peak_memory(ids, path))  # fmt: skip

    def _path(self, ids: Ints, index: Ints, used: npt.NDArray[np.bool_]) -> Path:
        """Follow every network stage by stage."""
        table, moves = self.segments, self.movements
        stage = ids[index]
        body, branch = self.stages.body.values[stage], self.stages.branch.values[stage]
        exit_ = table.exit.values[body]
        entry = np.concatenate([self.stages.entry.values[stage[:, :1]], exit_[:, :-1]], axis=1)
        body_need, branch_need = table.need.values[body], table.need.values[branch]
        moves.fill(body_need.ravel(), entry.ravel())
        moves.fill(branch_need.ravel(), exit_.ravel())
        resident = self._resident(body, branch, used)
        kind = resident.astype(np.int64)[:, None]
        body_s = table.latency_s.values[body, kind] + moves.latency_s[body_need, entry]
        body_j = table.energy_j.values[body, kind] + moves.energy_j[body_need, entry]
        branch_s = table.latency_s.values[branch, kind] + moves.latency_s[branch_need, exit_]
        branch_j = table.energy_j.values[branch, kind] + moves.energy_j[branch_need, exit_]
        body_dram = table.dram_s.values[body, kind] + moves.dram_s[body_need, entry]
        branch_dram = table.dram_s.values[branch, kind] + moves.dram_s[branch_need, exit_]
        overlap = self._overlaps(body, branch)
        n, s = stage.shape
        out = [np.zeros((n, s)) for _ in range(6)]
        start, body_end, branch_start, verdict, energy, latency = out
        now, passed, last_verdict = np.zeros(n), np.zeros(n), np.zeros(n)
        for k in range(s):
            start[:, k] = now
            contention = np.minimum(body_dram[:, k], branch_dram[:, k - 1]) * overlap[:, k - 1] if k else 0.0
            body_end[:, k] = now + body_s[:, k] + contention
            branch_start[:, k] = np.maximum(body_end[:, k], last_verdict)
            verdict[:, k] = branch_start[:, k] + branch_s[:, k]
            passed = passed + body_j[:, k] + branch_j[:, k]
            wasted = 0.0
            if k + 1 < s:
                ahead = np.where(overlap[:, k] & used[:, k + 1], verdict[:, k] - branch_start[:, k], 0.0)
                whole = body_s[:, k + 1] + np.minimum(body_dram[:, k + 1], branch_dram[:, k])
                wasted = body_j[:, k + 1] * np.minimum(1.0, ahead / whole)
                now = np.where(overlap[:, k], branch_start[:, k], verdict[:, k])
            energy[:, k] = np.where(used[:, k], passed + wasted, 0.0)
            latency[:, k] = np.where(used[:, k], verdict[:, k], 0.0)
            last_verdict = verdict[:, k]
        return Path(start, body_end, branch_start, verdict, energy, latency, resident, self._fits(body, branch, used))

    def _resident(self, body: Ints, branch: Ints, used: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether all weights of a network fit the cores they are used on, at once and beside the activations."""
        if not self.accelerator.resident_weights:
            return np.zeros(len(body), bool)
        return self._stores.keep(self._weights(body, branch, used), self._peaks(body, branch, used))

    def _weights(self, body: Ints, branch: Ints, used: npt.NDArray[np.bool_]) -> Floats:
        """[n, cores]: bits of all weights that each core uses."""
        weights = self.segments.weights.values
        total = np.zeros((len(body), weights.shape[1]))
        for k in range(body.shape[1]):
            total += (weights[body[:, k]] + weights[branch[:, k]]) * used[:, k, None]
        return total

    def _peaks(self, body: Ints, branch: Ints, used: npt.NDArray[np.bool_]) -> Floats:
        """[n, cores]: bits of activations that each core holds at its fullest."""
        peak = self.segments.peak.values
        most = np.zeros((len(body), peak.shape[1]))
        for k in range(body.shape[1]):
            most = np.maximum(most, np.maximum(peak[body[:, k]], peak[branch[:, k]]) * used[:, k, None])
        return most

    def _fits(self, body: Ints, branch: Ints, used: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Whether every segment fits alone, and all weights fit the DRAM, or the cores where there is none."""
        alone = self.segments.alone.values
        fits = ((alone[body] & alone[branch]) | ~used).all(axis=1)
        dram = self.accelerator.dram
        if dram is not None and 2 * body.shape[1] * self.segments.heaviest <= dram.size_bits:
            return np.asarray(fits)
        weights = self._weights(body, branch, used)
        if dram is not None:
            return np.asarray(fits & (weights.sum(axis=1) <= dram.size_bits))
        held = self._stores.held(weights, self._peaks(body, branch, used))
        return np.asarray(fits & (held <= self._stores.size_bits).all(axis=1))

    def _overlaps(self, body: Ints, branch: Ints) -> npt.NDArray[np.bool_]:
        """Whether the branch of stage k runs beside the body of stage k+1: other cores, and speculation allowed."""
        result = np.zeros(body.shape, bool)
        if self.accelerator.branch_policy == "speculate":
            mask = self.segments.mask.values
            result[:, :-1] = (mask[branch[:, :-1]] & mask[body[:, 1:]]) == 0
        return result

    def _stage_costs(self, ids: Ints, path: Path) -> tuple[StageCost, ...]:
        kind = int(path.resident[0])
        costs = []
        entry = int(self.stages.entry.values[ids[0]])
        for stage in ids:
            body, branch = int(self.stages.body.values[stage]), int(self.stages.branch.values[stage])
            exit_ = int(self.segments.exit.values[body])
            body_layers = self._layers(body, kind, entry)
            branch_layers = self._layers(branch, kind, exit_)
            costs.append(
                StageCost(
                    body_layers, branch_layers,
                    sum(c.energy_j for c in body_layers), sum(c.latency_s for c in body_layers),
                    sum(c.energy_j for c in branch_layers), sum(c.latency_s for c in branch_layers),
                )
            )  # fmt: skip
            entry = exit_
        return tuple(costs)

    def _layers(self, segment: int, kind: int, entry: int) -> tuple[LayerCost, ...]:
        """The layers of a segment, the movement of its entry first."""
        layers = self.segments.segments[segment][kind].layers
        moved = self.movements.cost(int(self.segments.need.values[segment]), entry)
        if not moved.energy and not moved.latency_s:
            return layers
        first = LayerCost(
            f"{layers[0].name}.transfer", layers[0].core, None, moved.latency_s, sum(moved.energy.values()), 0, 0.0,
            moved.energy,
        )  # fmt: skip
        return (first, *layers)

    def _timeline(self, ids: Ints, path: Path) -> tuple[Span, ...]:
        spans = []
        for k, stage in enumerate(self.stages.stages[i] for i in ids):
            name = self.accelerator.allocation_name
            spans.append(Span(name(stage.core), f"stage {k}", float(path.start_s[0, k]), float(path.body_end_s[0, k])))
            spans.append(
                Span(name(stage.branch_core), f"branch {k}", float(path.branch_start_s[0, k]),
                     float(path.verdict_s[0, k]))
            )  # fmt: skip
        return tuple(spans)

    def _violations(self, ids: Ints) -> tuple[Violation, ...]:
        body, branch, used = self._segments_of(ids)
        found: dict[Violation, None] = {}
        for segment in (*body[0], *branch[0]):
            found.update(dict.fromkeys(self.segments.segments[segment][0].violations))
        dram = self.accelerator.dram
        weights = self._weights(body, branch, used)
        if dram is not None:
            total = float(weights.sum(axis=1)[0])
            if total > dram.size_bits:
                found[Violation("weights in DRAM", total / 8, dram.size_bits / 8, "bytes")] = None
            return tuple(found)
        held = self._stores.held(weights, self._peaks(body, branch, used))[0]
        for name, bits, bound in zip(self._stores.names, held, self._stores.size_bits, strict=True):
            if bits > bound:
                found[Violation(name, float(bits) / 8, float(bound) / 8, "bytes")] = None
        return tuple(found)

    def _segments_of(self, ids: Ints) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        body, branch = self.stages.body.values[ids][None, :], self.stages.branch.values[ids][None, :]
        return body, branch, np.ones(body.shape, bool)

    def _peak_memory(self, ids: Ints, path: Path) -> dict[str, float]:
        """Bytes in each core's outermost memories at their fullest: activations, and weights where they stay."""
        body, branch, used = self._segments_of(ids)
        weights = self._weights(body, branch, used) * path.resident[0]
        held = self._stores.held(weights, self._peaks(body, branch, used))[0]
        return {name: float(bits) / 8 for name, bits in zip(self._stores.names, held, strict=True) if bits}
