"""A few questions to a backend before a search: the broken promises that would mislead it without a word."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from eenn_rl.cost import CostReport
from eenn_rl.errors import BackendError
from eenn_rl.guard import call_safely, evaluate_safely
from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.space import LOCATION, SearchSpace
from eenn_rl.testing.speed import batch_of
from eenn_rl.workers import ParallelBackend
from eenn_rl.workload import Workload, workload_of

DRAWN = 7
"""Random architectures that are tried, beside the static network."""
ENOUGH_S = 1.0
"""Seconds of asking after which no further architecture is tried."""

Asked = list[tuple[Workload, CostReport]]


def spot_check(backend: HardwareBackend, space: SearchSpace, limit_s: float | None = None) -> list[str]:
    """Which promises `backend` breaks on a few architectures of `space`: what was promised, and what was found.

    Each is costed twice, and where it can do that all of them in one batch, then most in another in which stages have
    other numbers; one that takes seconds to answer is asked three times in all. What fails outright or takes longer
    than `limit_s` is left to the search to tell.
    """
    asked: Asked = []
    found: dict[str, str] = {}
    begun = time.monotonic()
    for workload in _workloads(space):
        reports = _twice(backend, workload, limit_s)
        if len(reports) == 2:
            asked.append((workload, reports[0]))
            for promise, how in (*_changed(*reports), *_cheaper(reports[0])):
                found.setdefault(promise, how)
        if time.monotonic() - begun > ENOUGH_S:
            break
    if _SAME not in found and isinstance(backend, BatchBackend):
        for part in (asked, asked[:0:-1]):
            found = {**_batch_differs(backend, part, limit_s), **found}
    return [f"{promise}; found {how}" for promise, how in found.items()]


_COSTS = ("energy_j", "latency_s")
_SAME = "the same workload costs the same each time"
_GROWS = "a later exit costs at least as much as an earlier one"
_BATCH = "evaluate_batch equals evaluate exactly"


def _workloads(space: SearchSpace) -> Iterator[Workload]:
    """The same ones for the same space; those with most exits first, the static network last."""
    genomes = space.sample(np.random.default_rng(0), DRAWN)
    exits = (genomes[:, :, LOCATION] >= 0).sum(1)
    static = space.static(space.usable_bits[-1])[:1]
    for genome in (*genomes[np.argsort(-exits, kind="stable")], *static):
        yield workload_of(space.decode(genome))


def _twice(backend: HardwareBackend, workload: Workload, limit_s: float | None) -> list[CostReport]:
    """Two reports on `workload`; fewer where the backend fails."""
    if isinstance(backend, ParallelBackend):
        return [answer for answer in backend.evaluate_many([workload] * 2) if isinstance(answer, CostReport)]
    try:
        return [evaluate_safely(backend, workload, limit_s) for _ in range(2)]
    except BackendError:
        return []


def _changed(one: CostReport, other: CostReport) -> Iterator[tuple[str, str]]:
    for k, pair in enumerate(zip(one.exits, other.exits, strict=True)):
        for name in _COSTS:
            first, second = (getattr(cost, name) for cost in pair)
            if first != second:
                yield _SAME, f"{name} {first}, then {second} at exit {k}"
    if bool(one.violations) != bool(other.violations):
        yield _SAME, f"violations {one.violations}, then {other.violations}"


def _cheaper(report: CostReport) -> Iterator[tuple[str, str]]:
    for k, pair in enumerate(pairwise(report.exits)):
        for name in _COSTS:
            earlier, later = (getattr(cost, name) for cost in pair)
            if later < earlier:
                yield _GROWS, f"{name} {earlier} at exit {k}, {later} at exit {k + 1}"


def _batch_differs(backend: BatchBackend, asked: Asked, limit_s: float | None) -> dict[str, str]:
    if not asked:
        return {}
    stages, index = batch_of([workload for workload, _ in asked])
    reports = [report for _, report in asked]
    try:
        found = call_safely(lambda: _difference(backend.evaluate_batch(stages, index), reports), limit_s)
    except BackendError:
        return {}
    return {_BATCH: found} if found else {}


def _difference(answer: Sequence[object], reports: Sequence[CostReport]) -> str | None:
    energy, latency, fits = map(np.asarray, answer)
    for name, values in zip(_COSTS, (energy, latency), strict=True):
        if values.dtype != np.float64:
            return f"{name} in {values.dtype}, expected float64"
        for row, report in zip(values, reports, strict=True):
            for k, cost in enumerate(report.exits):
                single = getattr(cost, name)
                if row[k] != single:
                    return f"{name} {row[k]} in a batch, {single} alone at exit {k}"
    for fit, report in zip(fits, reports, strict=True):
        if bool(fit) == bool(report.violations):
            return f"fits {bool(fit)} in a batch, violations {report.violations} alone"
    return None
