"""What a backend answers: cost per exit, broken down as far as it can, and what did not fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from eenn_rl.errors import check


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


_PLAIN = {float, int, str, tuple, type(None)}


def _keep_plain(record: object) -> None:
    """Numpy's numbers in `record` as Python's own, which JSON knows; up to float64 each equals what it was."""
    for name, value in vars(record).items():
        # Most are plain already, and backends make thousands of records a second.
        if type(value) in _PLAIN or (type(value) is dict and _PLAIN.issuperset(map(type, value.values()))):
            continue
        object.__setattr__(record, name, _plain(value))


@dataclass(frozen=True)
class ExitCost:
    """Energy (J) and latency (s) of one sample that leaves at an exit, every branch it passed included."""

    energy_j: float
    latency_s: float

    def __post_init__(self) -> None:
        _keep_plain(self)


@dataclass(frozen=True)
class LayerCost:
    """One layer on the core or group that ran it; energies in J by memory level or unit (`mac`, `link`, ...)."""

    name: str
    core: str
    latency_cycles: float | None
    latency_s: float
    energy_j: float
    macs: int
    utilization: float
    energy_j_by_memory: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _keep_plain(self)


@dataclass(frozen=True)
class StageCost:
    """One stage and its branch, alone: its layers' costs and what it adds to the path through the network."""

    layers: tuple[LayerCost, ...]
    branch_layers: tuple[LayerCost, ...]
    energy_j: float
    latency_s: float
    branch_energy_j: float
    branch_latency_s: float

    def __post_init__(self) -> None:
        _keep_plain(self)


@dataclass(frozen=True)
class Violation:
    """A demand that exceeds its bound; both in `unit`. `subject` names the memory, core or constraint."""

    subject: str
    demand: float
    bound: float
    unit: str

    def __post_init__(self) -> None:
        _keep_plain(self)

    def __str__(self) -> str:
        return f"{self.subject}: {self.demand:.6g} {self.unit}, bound {self.bound:.6g} {self.unit}"


@dataclass(frozen=True)
class Span:
    """One bar of a timeline: `label` occupies `resource` (a core, link or DRAM port) from `start_s` to `end_s`."""

    resource: str
    label: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        _keep_plain(self)


@dataclass(frozen=True)
class CostReport:
    """The cost of a workload. Only `exits` is required: one `ExitCost` per exit, in order.

    `timeline` is that of a sample that leaves at the last exit.
    """

    exits: tuple[ExitCost, ...]
    violations: tuple[Violation, ...] = ()
    stages: tuple[StageCost, ...] = ()
    timeline: tuple[Span, ...] = ()
    peak_memory_bytes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        _keep_plain(self)
        check(len(self.exits) >= 1, "exits", self.exits, "at least one ExitCost")


def parts_of(value: object, place: str = "report") -> Iterator[tuple[str, object]]:
    """Every number and text in `value` with its place, for example ``report.stages[0].layers[2].energy_j``."""
    if value is None or isinstance(value, int | float | str):
        yield place, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from parts_of(item, f"{place}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from parts_of(item, f"{place}[{key!r}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):  # which those with slots have, too
            yield from parts_of(getattr(value, each.name), f"{place}.{each.name}")
    else:
        yield place, value
