"""What a backend answers: cost per exit, broken down as far as it can, and what did not fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eenn_rl.errors import check


@dataclass(frozen=True)
class ExitCost:
    """Energy (J) and latency (s) of one sample that leaves at an exit, every branch it passed included."""

    energy_j: float
    latency_s: float


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


@dataclass(frozen=True)
class StageCost:
    """One stage and its branch, alone: its layers' costs and what it adds to the path through the network."""

    layers: tuple[LayerCost, ...]
    branch_layers: tuple[LayerCost, ...]
    energy_j: float
    latency_s: float
    branch_energy_j: float
    branch_latency_s: float


@dataclass(frozen=True)
class Violation:
    """A demand that exceeds its bound; both in `unit`. `subject` names the memory, core or constraint."""

    subject: str
    demand: float
    bound: float
    unit: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.demand:.6g} {self.unit}, bound {self.bound:.6g} {self.unit}"


@dataclass(frozen=True)
class Span:
    """One bar of a timeline: `label` occupies `resource` (a core, link or DRAM port) from `start_s` to `end_s`."""

    resource: str
    label: str
    start_s: float
    end_s: float


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
        check(len(self.exits) >= 1, "exits", self.exits, "at least one ExitCost")
