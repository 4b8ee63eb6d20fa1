"""The promises of a hardware backend, each checked by one function of a `Subject`."""

import contextlib
import copy
import io
import math
import multiprocessing
import os
import pickle
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import numpy.typing as npt

from eenn_rl.backbone import Backbone
from eenn_rl.cost import CostReport, ExitCost, Violation
from eenn_rl.errors import EennError
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.plugins import check_backend, default_accelerator, make_backend, one_line
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.workloads import describe, oversized_workload, sample_workloads
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone

ENERGY_PER_MAC_J = (1e-18, 1e-6)
"""Plausible energy of a network over its MACs: an 8-bit multiplication takes about 0.2 pJ in 45 nm and a 64-bit DRAM
access 2 nJ (Horowitz, ISSCC 2014); some orders of magnitude are left on either side for other technologies."""

LATENCY_PER_MAC_S = (1e-17, 1e-5)
"""Plausible latency of a network over its MACs: from 100 peta-MAC/s down to an 8-bit microcontroller's 100 kMAC/s."""

POWER_W = (1e-7, 1e4)
"""Plausible energy over latency: from a sensor node to a rack."""


_Found = TypeVar("_Found")


class BrokenPromise(AssertionError):  # noqa: N818  it reads as what it is in a test's output
    """A promise that a backend broke: which, on which workload, and how."""


@dataclass(frozen=True)
class Subject:
    """The backend under test: how to make a fresh one, and what to try it on."""

    make: Callable[[], HardwareBackend]
    accelerator: AcceleratorSpec
    backbone: Backbone
    workloads: tuple[Workload, ...]


def subject_for(
    backend_name: str,
    accelerator: AcceleratorSpec | None = None,
    backbone: Backbone | None = None,
    count: int = 8,
    seed: int = 0,
) -> Subject:
    """The installed backend `backend_name`, on its default accelerator and resnet8 unless told otherwise."""
    spec = accelerator or default_accelerator(backend_name)
    network = backbone or make_backbone("resnet8", (1, 16, 16), 10)
    workloads = sample_workloads(spec, network, count, seed)
    return Subject(lambda: make_backend(backend_name, spec, network), spec, network, workloads)


def _require(holds: bool, promise: str, workload: Workload | None, how: str) -> None:
    if not holds:
        where = f" on {describe(workload)}" if workload else ""
        raise BrokenPromise(f"promise broken: {promise}{where}: {how}")


def _call(
    promise: str,
    workload: Workload | None,
    what: str,
    action: Callable[[], _Found],
    passing: tuple[type[BaseException], ...] = (KeyboardInterrupt,),
) -> _Found:
    """What the plugin's code returns; what it raises, `SystemExit` too, is a broken promise, but for what may pass."""
    try:
        return action()
    except passing:
        raise
    except BaseException as error:
        where = f" on {describe(workload)}" if workload else ""
        raise BrokenPromise(f"promise broken: {promise}{where}: {what} raised {one_line(error)}") from error


def _evaluate(backend: HardwareBackend, workload: Workload, promise: str) -> CostReport:
    report = _call(promise, workload, "evaluate", lambda: backend.evaluate(workload))
    found = type(report).__name__
    _require(isinstance(report, CostReport), promise, workload, f"evaluate returned {found}, expected CostReport")
    for name, kind in (("exits", ExitCost), ("violations", Violation)):
        _check_items(promise, workload, name, getattr(report, name), kind)
    for k, cost in enumerate(report.exits):
        for name in ("energy_j", "latency_s"):
            value = getattr(cost, name)
            _require(isinstance(value, Real), promise, workload, f"exit {k}: {name} must be a number, found {value!r}")
    return report


def _check_items(promise: str, workload: Workload, name: str, items: object, kind: type) -> None:
    _require(
        isinstance(items, Sequence) and all(isinstance(item, kind) for item in items),
        promise,
        workload,
        f"evaluate returned a report whose {name} must be a tuple of {kind.__name__}, found {items!r:.80}",
    )


def _first_difference(one: CostReport, other: CostReport) -> str | None:
    for k, (a, b) in enumerate(zip(one.exits, other.exits, strict=False)):
        if a != b:
            return f"exit {k} cost {a}, then {b}"
    return None if one == other else "the reports differ in violations, breakdown or number of exits"


def _made(subject: Subject, promise: str) -> HardwareBackend:
    """A fresh backend; an `EennError` passes: it says itself which plugin, and what is wrong."""
    return _call(promise, None, "making the backend", subject.make, (KeyboardInterrupt, EennError))


def check_protocol(subject: Subject) -> None:
    """It has `evaluate`, and an api_version that this eenn-rl serves."""
    check_backend(_made(subject, "protocol"), "the backend under test")


def check_deterministic(subject: Subject) -> None:
    """A workload costs the same again, in a fresh backend, and whatever was evaluated before it."""
    promise = "deterministic"
    backend, fresh = _made(subject, promise), _made(subject, promise)
    first = [_evaluate(backend, workload, promise) for workload in subject.workloads]
    pairs = list(zip(subject.workloads, first, strict=True))
    for workload, report in pairs:
        difference = _first_difference(report, _evaluate(backend, workload, promise))
        _require(difference is None, promise, workload, f"evaluated twice: {difference}")
    for workload, report in reversed(pairs):
        difference = _first_difference(report, _evaluate(fresh, workload, promise))
        _require(difference is None, promise, workload, f"in a fresh backend, in another order: {difference}")


def _global_state() -> dict[str, object]:
    generator = np.random.get_state(legacy=False)  # noqa: NPY002  it is the global state that we watch
    torch: Any = sys.modules.get("torch")
    return {
        "the working directory": Path.cwd(),
        "files in the working directory": {e.name: (e.stat().st_mtime_ns, e.stat().st_size) for e in os.scandir()},
        "environment variables": dict(os.environ),
        "random's state": random.getstate(),
        "numpy.random's state": str(generator),
        "torch's random state": torch and torch.get_rng_state().tolist(),
        "numpy's error handling": np.geterr(),
    }


@contextlib.contextmanager
def _unusual_state() -> Iterator[None]:
    """Global state that no backend sets by itself, so that one which sets the same each time is seen to.

    An empty working directory, where nobody else writes meanwhile; what was there before is put back.
    """
    plain, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002  likewise
    torch: Any = sys.modules.get("torch")
    torchs = torch and torch.get_rng_state()
    with (
        tempfile.TemporaryDirectory() as empty,
        contextlib.chdir(empty),
        np.errstate(all="call", call=lambda *_: None),
    ):
        try:
            random.seed("eenn_rl.testing")
            np.random.seed(1_970_320_871)  # noqa: NPY002  likewise
            if torch:
                torch.set_rng_state(torch.Generator().manual_seed(1_970_320_871).get_state())
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(numpys)  # noqa: NPY002  likewise
            if torch:
                torch.set_rng_state(torchs)


def check_free_of_side_effects(subject: Subject) -> None:
    """Evaluating changes neither its arguments nor the process, and writes nothing to stdout."""
    backend = _made(subject, _NO_EFFECTS)
    with _unusual_state():
        for workload in subject.workloads:
            _check_one_evaluation(backend, workload)


_NO_EFFECTS = "free of side effects"


def _check_one_evaluation(backend: HardwareBackend, workload: Workload) -> None:
    promise = _NO_EFFECTS
    before, untouched = _global_state(), copy.deepcopy(workload)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), mock.patch.object(os, "putenv", wraps=os.putenv) as putenv:
        _evaluate(backend, workload, promise)
    _require(workload == untouched, promise, workload, "evaluate changed the workload")
    _require(not printed.getvalue(), promise, workload, f"evaluate printed {printed.getvalue()[:60]!r} on stdout")
    now = _global_state()
    changed = [what for what, value in before.items() if value is not None and now[what] != value]
    _require(not changed, promise, workload, f"evaluate changed {', '.join(changed)}")
    _check_variables(backend, workload, {os.fsdecode(call.args[0]) for call in putenv.call_args_list})


def _check_variables(backend: HardwareBackend, workload: Workload, written: set[str]) -> None:
    """Environment variables that evaluating writes must be put back: tried with values that it does not expect."""
    if not written:
        return
    unusual = dict.fromkeys(written, "73")
    with mock.patch.dict(os.environ, unusual):
        _evaluate(backend, workload, _NO_EFFECTS)
        changed = sorted(name for name, value in unusual.items() if os.environ.get(name) != value)
    _require(not changed, _NO_EFFECTS, workload, f"evaluate changed environment variables ({', '.join(changed)})")


def _macs(workload: Workload) -> Iterator[int]:
    """MACs of the path to each exit."""
    total = 0
    for stage in workload.stages:
        total += sum(layer.macs for layer in stage.layers + stage.branch_layers)
        yield total


def _check_ranges(promise: str, workload: Workload, k: int, cost: ExitCost, macs: int) -> None:
    for name, value in (("energy_j", cost.energy_j), ("latency_s", cost.latency_s)):
        finite = isinstance(value, (int, float, np.floating)) and math.isfinite(value) and value > 0
        _require(finite, promise, workload, f"exit {k}: {name} must be finite and positive, found {value!r}")
    for value, unit, (low, high) in (
        (cost.energy_j / macs, "J per MAC: is energy_j in joules?", ENERGY_PER_MAC_J),
        (cost.latency_s / macs, "s per MAC: is latency_s in seconds, not cycles?", LATENCY_PER_MAC_S),
        (cost.energy_j / cost.latency_s, "W: are energy_j and latency_s in SI units?", POWER_W),
    ):
        _require(low <= value <= high, promise, workload, f"exit {k}: {value:.3g}, expected {low:g} to {high:g} {unit}")


def check_units_and_ranges(subject: Subject) -> None:
    """One cost per stage, finite, positive, and plausible for joules and seconds."""
    promise = "units and ranges"
    backend = _made(subject, promise)
    for workload in subject.workloads:
        report = _evaluate(backend, workload, promise)
        count, stages = len(report.exits), len(workload.stages)
        _require(count == stages, promise, workload, f"{count} exits for {stages} stages")
        for k, (cost, macs) in enumerate(zip(report.exits, _macs(workload), strict=True)):
            _check_ranges(promise, workload, k, cost, max(macs, 1))


def check_exits_never_get_cheaper(subject: Subject) -> None:
    """Along the path, a later exit costs at least as much energy and latency as an earlier one."""
    promise = "exits never get cheaper along the path"
    backend = _made(subject, promise)
    for workload in subject.workloads:
        report = _evaluate(backend, workload, promise)
        for k, (a, b) in enumerate(pairwise(report.exits)):
            grows = b.energy_j >= a.energy_j and b.latency_s >= a.latency_s
            _require(grows, promise, workload, f"exit {k} costs {a}, exit {k + 1} only {b}")


def check_violations_instead_of_exceptions(subject: Subject) -> None:
    """What does not fit comes back as violations, each a demand above its bound, not as an exception."""
    promise = "violations instead of exceptions"
    backend = _made(subject, promise)
    for workload in (*subject.workloads, oversized_workload(subject.accelerator)):
        for violation in _evaluate(backend, workload, promise).violations:
            _require(
                isinstance(violation, Violation) and violation.demand > violation.bound,
                promise,
                workload,
                f"a violation must be a Violation whose demand exceeds its bound, found {violation!r}",
            )


def _batch(promise: str, backend: BatchBackend, stages: list[Stage], index: npt.NDArray[np.int32]) -> Any:
    """What `evaluate_batch` returns, three arrays of the promised shapes and types."""
    answer = _call(promise, None, "evaluate_batch", lambda: backend.evaluate_batch(stages, index))
    three = isinstance(answer, Sequence) and len(answer) == 3
    found = f"{len(answer)} values" if isinstance(answer, Sequence) else type(answer).__name__
    _require(three, promise, None, f"evaluate_batch must return energy_j, latency_s and fits, found {found}")
    shapes = [(getattr(a, "shape", None), str(getattr(a, "dtype", None))) for a in answer]
    expected = [(index.shape, "float64"), (index.shape, "float64"), (index.shape[:1], "bool")]
    _require(shapes == expected, promise, None, f"energy_j, latency_s, fits must be {expected}, found {shapes}")
    return answer


def check_batch_equals_single(subject: Subject) -> None:
    """`evaluate_batch`, where there is one, equals `evaluate` to the last bit; padding is 0."""
    promise = "batch equals single"
    backend = _made(subject, promise)
    if not isinstance(backend, BatchBackend):
        return
    workloads = (*subject.workloads, oversized_workload(subject.accelerator))
    stages, index = batch_of(workloads, repeat=2)
    energy, latency, fits = _batch(promise, backend, stages, index)
    for i, workload in enumerate(workloads * 2):
        report, n = _evaluate(backend, workload, promise), len(workload.stages)
        single = [(cost.energy_j, cost.latency_s) for cost in report.exits]
        batch = list(zip(energy[i, :n].tolist(), latency[i, :n].tolist(), strict=True))
        _require(batch == single, promise, workload, f"(energy_j, latency_s) per exit: batch {batch}, single {single}")
        _require(not energy[i, n:].any() and not latency[i, n:].any(), promise, workload, "padding must hold 0")
        found = bool(fits[i])
        _require(found != bool(report.violations), promise, workload, f"fits {found}, violations {report.violations}")


def _evaluate_elsewhere(backend: HardwareBackend, workload: Workload) -> CostReport:
    return backend.evaluate(workload)


def check_pickles_to_worker_processes(subject: Subject) -> None:
    """A backend sent to another process, started afresh, costs a workload as it does here."""
    promise = "pickles to worker processes"
    backend, workload = _made(subject, promise), subject.workloads[-1]
    _call(promise, None, "cannot be pickled: pickling", lambda: pickle.dumps(backend))
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            task = pool.submit(_evaluate_elsewhere, backend, workload)
            there = _call(
                promise, workload, "in a worker process it", task.result, (KeyboardInterrupt, BrokenProcessPool)
            )
    except BrokenProcessPool as error:
        raise BrokenPromise(
            f"promise broken: {promise}: the worker process ended: the backend ended it, or this script starts it anew "
            "each time it is imported (put the call under if __name__ == '__main__')"
        ) from error
    difference = _first_difference(_evaluate(backend, workload, promise), there)
    _require(difference is None, promise, workload, f"here, then in a worker: {difference}")


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
