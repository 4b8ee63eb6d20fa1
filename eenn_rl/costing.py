"""Costing: genomes -> costs, by the backend's batch path where it has one, else workload by workload.

What the backend says is checked: an exception, a cost that is no number, infinite or negative, a wrong shape or too
long a wait becomes a reason, and the architecture counts as failed.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.branches import CLASSIFIER, branch_layers
from eenn_rl.cost import CostReport
from eenn_rl.errors import BackendError
from eenn_rl.guard import BATCH_LIMITS, TooSlowError, call_safely, evaluate_safely
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.objective import Costs
from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Genomes, SearchSpace
from eenn_rl.workload import Stage, Workload

Floats = npt.NDArray[np.float64]
Answer = CostReport | BackendError
REPORTS = 1024
"""Reports of single workloads that are remembered."""
_LOG = logging.getLogger(__name__)


class Costing:
    """Costs genomes of `space` with `backend`.

    One workload may take `limit_s`, a batch that for each of its workloads, up to `BATCH_LIMITS` times. A batch that
    fails is costed workload by workload, which tells on which the backend does; one that takes too long is the last.
    """

    def __init__(self, space: SearchSpace, backend: HardwareBackend, limit_s: float | None = None) -> None:
        self.space, self.backend, self.limit_s = space, backend, limit_s
        self._batched: Any = getattr(backend, "evaluate_batch", None)
        self._batch_told = False
        self._stages: dict[int, tuple[Stage, float]] = {}
        self._answers: dict[tuple[int, ...], Answer] = {}

    def costs(self, genomes: Genomes) -> tuple[Costs, dict[int, str]]:
        """Costs of `genomes` [n, max_exits, 5], and for each one that the backend failed on the reason, by row."""
        known, index = self._stages_of(genomes)
        energy, latency, fits, reasons = self._ask([stage for stage, _ in known], index)
        failed = np.zeros(len(genomes), np.bool_)
        failed[list(reasons)] = True
        energy[failed], latency[failed], fits[failed] = 0.0, 0.0, False
        size = np.array([*(size for _, size in known), 0.0])[index].sum(axis=1)
        return Costs(energy, latency, (index >= 0).sum(axis=1) - 1, fits, size, failed), reasons

    def report(self, genome: Genomes) -> CostReport:
        """The backend's full report on one genome; raises `BackendError` with the reason where it fails."""
        known, index = self._stages_of(genome[np.newaxis])
        answer = self._single([tuple(known[at][0] for at in index[0] if at >= 0)])[0]
        if isinstance(answer, BackendError):
            raise answer
        return answer

    def _stages_of(self, genomes: Genomes) -> tuple[list[tuple[Stage, float]], npt.NDArray[np.int32]]:
        """The distinct stages of `genomes` with the bytes of their weights; each exit's, int32 [n, s], -1 if unused.

        A stage is known by its number: previous location, location, branch, bits, core, branch core in mixed radix.
        """
        space = self.space
        wide = genomes.astype(np.int64)
        location = wide[:, :, LOCATION]
        used = location >= 0
        radix = (space.last_location + 1, len(space.branches) + 1, 64, *(len(space.accelerator.allocations),) * 2)
        number = np.zeros_like(location)
        number[:, 1:] = location[:, :-1] + 1
        for column, size in zip((LOCATION, BRANCH, BITS, CORE, BRANCH_CORE), radix, strict=True):
            number = number * size + wide[:, :, column] + (column == BRANCH)
        distinct, place = np.unique(number[used], return_inverse=True)
        index = np.full(location.shape, -1, np.int32)
        index[used] = place
        return [self._stage(key, radix) for key in distinct.tolist()], index

    def _stage(self, number: int, radix: Sequence[int]) -> tuple[Stage, float]:
        known = self._stages.get(number)
        if known is None:
            parts, rest = [], number
            for size in reversed(radix):
                rest, part = divmod(rest, size)
                parts.append(part)
            branch_core, core, bits, branch, location = parts
            stage = self._make_stage(rest, location, branch - 1, (bits, core, branch_core))
            known = self._stages[number] = (stage, _weight_bytes(stage))
        return known

    def _make_stage(self, first: int, location: int, branch: int, placement: tuple[int, int, int]) -> Stage:
        backbone = self.space.backbone
        layers = tuple(layer for block in backbone.blocks[first : location + 1] for layer in block.layers)
        name = CLASSIFIER if branch < 0 else self.space.branches[branch]
        return Stage(layers, branch_layers(backbone, location, name), *placement)

    def _ask(
        self, stages: list[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_], dict[int, str]]:
        if self._batched is None:
            return self._one_by_one(stages, index)
        limit_s = self.limit_s and self.limit_s * max(1, min(len(index), BATCH_LIMITS))
        try:
            return call_safely(lambda: _checked(index, *self._batched(stages, index.copy())), limit_s)
        except TooSlowError as error:
            # Whatever held this one up would hold up all that follow, each time for as long.
            self._batched = None
            _LOG.warning("the backend's evaluate_batch %s: from here on it costs one workload at a time", error)
        except BackendError as error:
            return self._after_failed_batch(stages, index, error)
        return self._one_by_one(stages, index)

    def _after_failed_batch(
        self, stages: list[Stage], index: npt.NDArray[np.int32], error: BackendError
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_], dict[int, str]]:
        """The workloads of a batch one by one; told once, where that finds nothing wrong with any of them."""
        found = self._one_by_one(stages, index)
        if not found[-1] and not self._batch_told:
            self._batch_told = True
            _LOG.warning("the backend's evaluate_batch %s, its evaluate does not: it costs such batches singly", error)
        return found

    def _one_by_one(
        self, stages: list[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[Floats, Floats, npt.NDArray[np.bool_], dict[int, str]]:
        energy, latency = np.zeros(index.shape), np.zeros(index.shape)
        fits, reasons = np.zeros(len(index), np.bool_), {}
        workloads = [tuple(stages[at] for at in row if at >= 0) for row in index.tolist()]
        for row, answer in enumerate(self._single(workloads)):
            if isinstance(answer, BackendError):
                reasons[row] = str(answer)
                continue
            energy[row, : len(answer.exits)] = [exit_.energy_j for exit_ in answer.exits]
            latency[row, : len(answer.exits)] = [exit_.latency_s for exit_ in answer.exits]
            fits[row] = not answer.violations
        return energy, latency, fits, reasons

    def _single(self, workloads: list[tuple[Stage, ...]]) -> list[Answer]:
        """A report or the reason for each workload; recent ones are remembered.

        There is one object for each stage, so that they are told apart by identity: hashing their layers is slow.
        """
        known = self._answers
        keys = [tuple(map(id, stages)) for stages in workloads]
        new = {key: stages for key, stages in zip(keys, workloads, strict=True) if key not in known}
        fresh = dict(zip(new, self._call([Workload(stages) for stages in new.values()]), strict=True))
        answers = [fresh[key] if key in fresh else known[key] for key in keys]
        known.update(fresh)
        while len(known) > REPORTS:
            del known[next(iter(known))]
        return answers

    def _call(self, workloads: list[Workload]) -> list[Answer]:
        many: Any = getattr(self.backend, "evaluate_many", None)
        if many is not None:  # it keeps the limit itself: what starts its workers must not count
            return list(many(workloads))
        return [self._safely(workload) for workload in workloads]

    def _safely(self, workload: Workload) -> Answer:
        try:
            return evaluate_safely(self.backend, workload, self.limit_s)
        except BackendError as error:
            return error


def _checked(
    index: npt.NDArray[np.int32], energy: Any, latency: Any, fits: Any
) -> tuple[Floats, Floats, npt.NDArray[np.bool_], dict[int, str]]:
    """A batch answer with padding set to 0, and what is wrong with it by row; raises where its shapes are wrong."""
    used = index >= 0
    reasons: dict[int, str] = {}
    clean = []
    for name, found in (("energy_j", energy), ("latency_s", latency)):
        values = np.asarray(found, np.float64)
        if values.shape != index.shape or np.shape(fits) != (len(index),):
            raise BackendError(f"evaluate_batch returned {name} of shape {values.shape}, expected {index.shape}")
        bad = used & ~(np.isfinite(values) & (values >= 0))
        for row, k in np.argwhere(bad).tolist():
            reasons.setdefault(
                row, f"returned {name} {values[row, k]} at exit {k}, expected a finite cost of at least 0"
            )
        clean.append(np.where(used, values, 0.0))
    return clean[0], clean[1], np.array(fits, np.bool_), reasons


def _weight_bytes(stage: Stage) -> float:
    """Bytes of a stage's weights, branch included."""
    return sum(layer.weight_elements for layer in (*stage.layers, *stage.branch_layers)) * stage.bits / 8
