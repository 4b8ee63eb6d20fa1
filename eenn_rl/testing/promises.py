"""The promises of a hardware backend, each checked by one function of a `Subject`."""

import math
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise

from eenn_rl.cost import CostReport, Violation, parts_of
from eenn_rl.errors import one_line
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import check_backend
from eenn_rl.testing.batches import check_batch_equals_single
from eenn_rl.testing.side_effects import check_free_of_side_effects
from eenn_rl.testing.subject import BrokenPromise, Subject, call, evaluated, made, require
from eenn_rl.testing.units import check_units_and_ranges
from eenn_rl.testing.workloads import oversized_workload
from eenn_rl.workload import Workload


def check_protocol(subject: Subject) -> None:
    """It has `evaluate`, and an api_version that this eenn-rl serves."""
    check_backend(made(subject, "protocol"), "the backend under test")


def _same(one: object, other: object) -> bool:
    """Whether two parts of reports are the same; a NaN is like another: that it is none is told as of units."""
    return one == other or all(isinstance(part, float) and math.isnan(part) for part in (one, other))


def _first_difference(one: CostReport, other: CostReport) -> str | None:
    first, second = dict(parts_of(one)), dict(parts_of(other))
    for place in first | second:
        if place not in first or place not in second:
            return f"{place} is in one report alone"
        if not _same(first[place], second[place]):
            return f"{place} was {first[place]!r}, then {second[place]!r}"
    return None


def check_deterministic(subject: Subject) -> None:
    """A workload costs the same again, in a fresh backend, and whatever was evaluated before it."""
    promise = "deterministic"
    backend, fresh = made(subject, promise), made(subject, promise)
    first = [evaluated(backend, workload, promise) for workload in subject.workloads]
    pairs = list(zip(subject.workloads, first, strict=True))
    for workload, report in pairs:
        difference = _first_difference(report, evaluated(backend, workload, promise))
        require(difference is None, promise, workload, f"evaluated twice: {difference}")
    for workload, report in reversed(pairs):
        difference = _first_difference(report, evaluated(fresh, workload, promise))
        require(difference is None, promise, workload, f"in a fresh backend, in another order: {difference}")


def check_exits_never_get_cheaper(subject: Subject) -> None:
    """Along the path, a later exit costs at least as much energy and latency as an earlier one."""
    promise = "exits never get cheaper along the path"
    backend = made(subject, promise)
    for workload in subject.workloads:
        report = evaluated(backend, workload, promise)
        for k, (a, b) in enumerate(pairwise(report.exits)):
            grows = b.energy_j >= a.energy_j and b.latency_s >= a.latency_s
            require(grows, promise, workload, f"exit {k} costs {a}, exit {k + 1} only {b}")


def check_violations_instead_of_exceptions(subject: Subject) -> None:
    """What does not fit comes back as violations, each a demand above its bound, not as an exception."""
    promise = "violations instead of exceptions"
    backend = made(subject, promise)
    for workload in (*subject.workloads, oversized_workload(subject.accelerator)):
        for violation in evaluated(backend, workload, promise).violations:
            require(
                isinstance(violation, Violation) and violation.demand > violation.bound,
                promise,
                workload,
                f"a violation must be a Violation whose demand exceeds its bound, found {violation!r}",
            )


def _evaluate_elsewhere(backend: HardwareBackend, workload: Workload) -> CostReport:
    return backend.evaluate(workload)


def check_pickles_to_worker_processes(subject: Subject) -> None:
    """A backend sent to another process, started afresh, costs a workload as it does here."""
    promise = "pickles to worker processes"
    backend, workload = made(subject, promise), subject.workloads[-1]
    call(promise, None, "cannot be pickled: pickling", lambda: pickle.dumps(backend))
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            task = pool.submit(_evaluate_elsewhere, backend, workload)
            there = call(
                promise, workload, "in a worker process it", task.result, (KeyboardInterrupt, BrokenProcessPool)
            )
    except BrokenProcessPool as error:
        raise BrokenPromise(
            f"promise broken: {promise}: the worker process ended: the backend ended it, or this script starts it anew "
            "each time it is imported (put the call under if __name__ == '__main__')"
        ) from error
    difference = _first_difference(evaluated(backend, workload, promise), there)
    require(difference is None, promise, workload, f"here, then in a worker: {difference}")


PROMISES: tuple[Callable[[Subject], None], ...] = (
    check_protocol,
    check_free_of_side_effects,
    check_units_and_ranges,
    check_deterministic,
    check_exits_never_get_cheaper,
    check_violations_instead_of_exceptions,
    check_batch_equals_single,
    check_pickles_to_worker_processes,
)


def check_all(subject: Subject) -> None:
    """Check every promise; the first broken one raises `BrokenPromise`."""
    for check in PROMISES:
        try:
            check(subject)
        except SystemExit as error:  # from code of the plugin's that no check watches: a script would end, silently
            raise BrokenPromise(f"promise broken: {check.__doc__} It raised {one_line(error)}") from error
