"""The promise that a batch is costed as its architectures alone are, whatever was in the batch before."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.cost import CostReport
from eenn_rl.hookspecs import BatchBackend
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.subject import Subject, call, evaluated, made, require
from eenn_rl.testing.workloads import oversized_workload
from eenn_rl.workload import Stage, Workload

_PROMISE = "batch equals single"

Index = npt.NDArray[np.int32]
_Batch = tuple[str, Sequence[Workload], list[Stage], Index]
"""What is special about it, the architecture of each row, and what `evaluate_batch` is given."""


def _answer(backend: BatchBackend, stages: list[Stage], index: Index) -> Any:
    """What `evaluate_batch` returns, three arrays of the promised shapes and types."""
    answer = call(_PROMISE, None, "evaluate_batch", lambda: backend.evaluate_batch(stages, index))
    three = isinstance(answer, Sequence) and len(answer) == 3
    found = f"{len(answer)} values" if isinstance(answer, Sequence) else type(answer).__name__
    require(three, _PROMISE, None, f"evaluate_batch must return energy_j, latency_s and fits, found {found}")
    shapes = [(getattr(a, "shape", None), str(getattr(a, "dtype", None))) for a in answer]
    expected = [(index.shape, "float64"), (index.shape, "float64"), (index.shape[:1], "bool")]
    require(shapes == expected, _PROMISE, None, f"energy_j, latency_s, fits must be {expected}, found {shapes}")
    return answer


def _batches(workloads: tuple[Workload, ...]) -> Iterator[_Batch]:
    """Batches in which stages change their numbers, as they do from one round of a search to the next."""
    stages, index = batch_of(workloads, repeat=2)
    yield "all architectures, twice", workloads * 2, stages, index
    turned = np.where(index >= 0, len(stages) - 1 - index, -1).astype(np.int32)
    yield "then the same with its stages and rows in reverse", (workloads * 2)[::-1], stages[::-1], turned[::-1]
    yield "then every other architecture", workloads[::2], *batch_of(workloads[::2])
    yield "then a single architecture", workloads[:1], *batch_of(workloads[:1])
    yield "then none", (), stages, index[:0]


def check_batch_equals_single(subject: Subject) -> None:
    """`evaluate_batch`, where there is one, equals `evaluate` to the last bit, batch after batch; padding is 0."""
    backend = made(subject, _PROMISE)
    if not isinstance(backend, BatchBackend):
        return
    workloads = (*subject.workloads, oversized_workload(subject.accelerator))
    alone: dict[Workload, CostReport] = {}
    for what, rows, stages, index in _batches(workloads):
        answer = _answer(backend, list(stages), index.copy())
        for i, workload in enumerate(rows):
            if workload not in alone:
                alone[workload] = evaluated(backend, workload, _PROMISE)
            _check_row(what, workload, alone[workload], [column[i] for column in answer])


def _check_row(what: str, workload: Workload, report: CostReport, row: Any) -> None:
    energy, latency, fits = row
    n = len(workload.stages)
    single = [(cost.energy_j, cost.latency_s) for cost in report.exits]
    batch = list(zip(energy[:n].tolist(), latency[:n].tolist(), strict=True))
    how = f"(energy_j, latency_s) per exit: batch {batch}, single {single} (batch: {what})"
    require(batch == single, _PROMISE, workload, how)
    require(not energy[n:].any() and not latency[n:].any(), _PROMISE, workload, "padding must hold 0")
    how = f"fits {bool(fits)}, violations {report.violations}"
    require(bool(fits) != bool(report.violations), _PROMISE, workload, how)
