"""How fast a backend is, in the numbers that decide how to search with it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.workload import Stage, Workload


@dataclass(frozen=True)
class SpeedReport:
    """Wall seconds: making the backend, its first evaluation, a later one (median), one of a batch (None: no batch)."""

    make_s: float
    first_s: float
    evaluate_s: float
    batch_s: float | None

    def __str__(self) -> str:
        batch = "no evaluate_batch" if self.batch_s is None else f"in batches {1 / self.batch_s:,.0f}/s"
        return (
            f"made in {self.make_s:.3g} s, first evaluation {self.first_s:.3g} s, then {self.evaluate_s:.3g} s "
            f"({1 / self.evaluate_s:,.0f}/s), {batch}"
        )


def batch_of(workloads: Sequence[Workload], repeat: int = 1) -> tuple[list[Stage], npt.NDArray[np.int32]]:
    """`workloads` as the (stages, index) that `evaluate_batch` takes, the whole `repeat` times over."""
    stages = list(dict.fromkeys(stage for workload in workloads for stage in workload.stages))
    number = {stage: i for i, stage in enumerate(stages)}
    index = np.full((len(workloads), max(len(w.stages) for w in workloads)), -1, np.int32)
    for row, workload in zip(index, workloads, strict=True):
        row[: len(workload.stages)] = [number[stage] for stage in workload.stages]
    return stages, np.tile(index, (repeat, 1))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return max(time.perf_counter() - start, 1e-9)


def measure_speed(make: Callable[[], HardwareBackend], workloads: Sequence[Workload]) -> SpeedReport:
    """Make a fresh backend and time it on `workloads`, twice over; a batch repeats them to at least 1,000."""
    start = time.perf_counter()
    backend = make()
    make_s = time.perf_counter() - start
    first_s = _seconds(lambda: backend.evaluate(workloads[0]))
    times = [_seconds(lambda w=workload: backend.evaluate(w)) for workload in (*workloads, *workloads)]  # type: ignore[misc]
    batch_s = None
    if isinstance(backend, BatchBackend):
        stages, index = batch_of(workloads, repeat=-(-1000 // len(workloads)))
        batch_s = _seconds(lambda: backend.evaluate_batch(stages, index)) / len(index)
    return SpeedReport(make_s, first_s, float(np.median(times)), batch_s)
