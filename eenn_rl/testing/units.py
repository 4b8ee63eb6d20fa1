"""The promise that costs are joules and seconds, as far as numbers can tell."""

import math
from collections.abc import Iterator

from eenn_rl.cost import CostReport, ExitCost, parts_of
from eenn_rl.testing.plausible import Plausible
from eenn_rl.testing.subject import Subject, evaluated, made, require
from eenn_rl.workload import Workload

_PROMISE = "units and ranges"


def _macs(workload: Workload) -> Iterator[int]:
    """MACs of the path to each exit."""
    total = 0
    for stage in workload.stages:
        total += sum(layer.macs for layer in stage.layers + stage.branch_layers)
        yield total


def _check_ranges(workload: Workload, k: int, cost: ExitCost, macs: int, plausible: Plausible) -> None:
    for name, value in (("energy_j", cost.energy_j), ("latency_s", cost.latency_s)):
        finite = math.isfinite(value) and value > 0
        require(finite, _PROMISE, workload, f"exit {k}: {name} must be finite and positive, found {value!r}")
    for value, unit, (low, high) in (
        (cost.energy_j / macs, "J per MAC: is energy_j in joules?", plausible.energy_per_mac_j),
        (cost.latency_s / macs, "s per MAC: is latency_s in seconds, not cycles?", plausible.latency_per_mac_s),
        (cost.energy_j / cost.latency_s, "W: are energy_j and latency_s in SI units?", plausible.power_w),
    ):
        how = f"exit {k}: {value:.3g}, expected {low:g} to {high:g} {unit} (a chip that is so sets `plausible`)"
        require(low <= value <= high, _PROMISE, workload, how)


def _check_breakdown(workload: Workload, report: CostReport) -> None:
    for place, value in parts_of(report):
        number = not (isinstance(value, float) and math.isnan(value))
        require(number, _PROMISE, workload, f"{place} must be a number, found nan (0/0?)")


def check_units_and_ranges(subject: Subject) -> None:
    """One cost per stage, finite, positive, and plausible for joules and seconds; no NaN anywhere in a report."""
    backend = made(subject, _PROMISE)
    for workload in subject.workloads:
        report = evaluated(backend, workload, _PROMISE)
        count, stages = len(report.exits), len(workload.stages)
        require(count == stages, _PROMISE, workload, f"{count} exits for {stages} stages")
        for k, (cost, macs) in enumerate(zip(report.exits, _macs(workload), strict=True)):
            _check_ranges(workload, k, cost, max(macs, 1), subject.plausible)
        _check_breakdown(workload, report)
