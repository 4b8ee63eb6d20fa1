"""The backend under test, and what every check of a promise is made of: ask it, and say what it broke."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from eenn_rl.backbone import Backbone
from eenn_rl.cost import CostReport, ExitCost, Violation, parts_of
from eenn_rl.errors import EennError, one_line
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import default_accelerator, make_backend
from eenn_rl.testing.plausible import Plausible
from eenn_rl.testing.workloads import describe, sample_workloads
from eenn_rl.workload import Workload
from eenn_rl.zoo import make_backbone

_Found = TypeVar("_Found")


class BrokenPromise(AssertionError):  # noqa: N818  it reads as what it is in a test's output
    """A promise that a backend broke: which, on which workload, and how."""


@dataclass(frozen=True)
class Subject:
    """The backend under test: how to make a fresh one, what to try it on, and between what its costs may lie."""

    make: Callable[[], HardwareBackend]
    accelerator: AcceleratorSpec
    backbone: Backbone
    workloads: tuple[Workload, ...]
    plausible: Plausible = field(default_factory=Plausible)


def subject_for(
    backend_name: str,
    accelerator: AcceleratorSpec | None = None,
    backbone: Backbone | None = None,
    count: int = 8,
    seed: int = 0,
    plausible: Plausible | None = None,
) -> Subject:
    """The installed backend `backend_name`, on its default accelerator and resnet8 unless told otherwise."""
    spec = accelerator or default_accelerator(backend_name)
    network = backbone or make_backbone("resnet8", (1, 16, 16), 10)
    workloads = sample_workloads(spec, network, count, seed)
    return Subject(
        lambda: make_backend(backend_name, spec, network), spec, network, workloads, plausible or Plausible()
    )


def require(holds: bool, promise: str, workload: Workload | None, how: str) -> None:
    """Raise `BrokenPromise` unless `holds`; `how` says what was expected and found."""
    if not holds:
        where = f" on {describe(workload)}" if workload else ""
        raise BrokenPromise(f"promise broken: {promise}{where}: {how}")


def call(
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


def evaluated(backend: HardwareBackend, workload: Workload, promise: str) -> CostReport:
    """The report of `backend`; what is none, or holds something that is no number or text, breaks `promise`."""
    report = call(promise, workload, "evaluate", lambda: backend.evaluate(workload))
    found = type(report).__name__
    require(isinstance(report, CostReport), promise, workload, f"evaluate returned {found}, expected CostReport")
    for name, kind in (("exits", ExitCost), ("violations", Violation)):
        _check_items(promise, workload, name, getattr(report, name), kind)
    for k, cost in enumerate(report.exits):
        for name in ("energy_j", "latency_s"):
            value = getattr(cost, name)
            number = isinstance(value, int | float)
            require(number, promise, workload, f"exit {k}: {name} must be a number, found {value!r}")
    for place, part in parts_of(report):
        known = part is None or isinstance(part, int | float | str)
        require(known, promise, workload, f"{place} must be a number or a text, found {part!r:.80}")
    return report


def _check_items(promise: str, workload: Workload, name: str, items: object, kind: type) -> None:
    require(
        isinstance(items, Sequence) and all(isinstance(item, kind) for item in items),
        promise,
        workload,
        f"evaluate returned a report whose {name} must be a tuple of {kind.__name__}, found {items!r:.80}",
    )


def made(subject: Subject, promise: str) -> HardwareBackend:
    """A fresh backend; an `EennError` passes: it says itself which plugin, and what is wrong."""
    return call(promise, None, "making the backend", subject.make, (KeyboardInterrupt, EennError))
