"""Evaluation, EvaluationBatch: what an evaluator says of one architecture, and of many."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture
from eenn_rl.cost import CostReport, Violation
from eenn_rl.errors import check
from eenn_rl.estimator import AccuracyEstimate
from eenn_rl.objective import VIOLATIONS, Baseline, Costs, Objective, Scores

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Evaluation:
    """One architecture, evaluated. `energy_j`, `latency_s` and `elp` (J s) are expected over the exit rates.

    `elp_reduction` is ``1 - elp / elp of the static baseline``. `violations` are the constraints that do not hold, in
    their own units; `terms` every part of the reward by name. `cost` is None where the backend failed; `failure` says
    why.
    """

    architecture: Architecture
    reward: float
    feasible: bool
    estimate: AccuracyEstimate
    cost: CostReport | None
    energy_j: float
    latency_s: float
    elp: float
    elp_reduction: float
    violations: tuple[Violation, ...]
    terms: dict[str, float]
    failure: str | None = None


@dataclass(frozen=True)
class EvaluationBatch:
    """`n` evaluated architectures, one row each; expected costs as in `Evaluation`; padding of exits holds 0.

    `violations` are normalised, in the order of `VIOLATIONS`, 0 where a constraint holds. `failures` holds the reason
    for each architecture that the backend failed on (None elsewhere), or is None where there was none.
    """

    reward: Floats
    """[n]"""
    feasible: Bools
    """[n]"""
    accuracy: Floats
    """[n]"""
    energy_j: Floats
    """[n]"""
    latency_s: Floats
    """[n]"""
    elp: Floats
    """[n]"""
    elp_reduction: Floats
    """[n]"""
    exit_rates: Floats
    """[n, max_exits]"""
    exit_accuracies: Floats
    """[n, max_exits]"""
    thresholds: Floats
    """[n, max_exits]"""
    violations: Floats
    """[n, len(VIOLATIONS)]"""
    failures: list[str | None] | None = None

    def __post_init__(self) -> None:
        n, exits = self.exit_rates.shape
        for name in ("reward", "feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction"):
            found = getattr(self, name).shape
            check(found == (n,), f"evaluation batch {name}", found, f"of shape {(n,)}")
        for name, columns in (("exit_accuracies", exits), ("thresholds", exits), ("violations", len(VIOLATIONS))):
            found = getattr(self, name).shape
            check(found == (n, columns), f"evaluation batch {name}", found, f"of shape {(n, columns)}")

    def __len__(self) -> int:
        return len(self.reward)

    def take(self, index: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "EvaluationBatch":
        """The rows that `index` selects."""
        rows = np.arange(len(self))[index]
        reasons = None if self.failures is None else [self.failures[row] for row in rows]
        return EvaluationBatch(**{name: getattr(self, name)[rows] for name in ARRAYS}, failures=reasons)


ARRAYS = (
    "reward", "feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction", "exit_rates",
    "exit_accuracies", "thresholds", "violations",
)  # fmt: skip
"""The arrays of an `EvaluationBatch`, in order: the first seven [n], the others [n, ...]."""


def explain(
    objective: Objective, baseline: Baseline, accuracy: float, rates: Floats, costs: Costs, report: CostReport | None
) -> tuple[Violation, ...]:
    """The constraints that one architecture (row 0 of `costs`, `rates` [1, s]) breaks, in their own units."""
    last = int(costs.last[0])
    limit = 1.0 + objective.overhead
    latency = float(costs.latency_s[0, last])
    kept = rates[0, : last + 1]
    bounds = [
        Violation("energy to the last exit", float(costs.energy_j[0, last]), limit * baseline.energy_j, "J"),
        Violation("latency to the last exit", latency, limit * baseline.latency_s, "s"),
    ]
    found = [bound for bound in bounds if bound.demand > bound.bound] + _absolute(objective, costs)
    if accuracy < baseline.floor:
        found.insert(0, Violation("accuracy (at least)", accuracy, baseline.floor, "share"))
    if float(kept.min()) < objective.min_exit_rate:
        exit_ = int(kept.argmin())
        found.append(Violation(f"use of exit {exit_} (at least)", float(kept[exit_]), objective.min_exit_rate, "share"))
    return (*found, *(report.violations if report else ()))


def explain_static(objective: Objective, costs: Costs, report: CostReport) -> tuple[Violation, ...]:
    """The constraints that a network without exits (row 0 of `costs`) breaks: those measured against no other one."""
    return (*_absolute(objective, costs), *report.violations)


def _absolute(objective: Objective, costs: Costs) -> list[Violation]:
    """The given bounds on latency and weights that row 0 of `costs` breaks."""
    bounds = []
    if objective.deadline_s is not None:
        bounds.append(Violation("worst-case latency", float(costs.latency_s.max()), objective.deadline_s, "s"))
    if objective.memory_bytes is not None:
        bounds.append(Violation("weights", float(costs.weight_bytes[0]), objective.memory_bytes, "B"))
    return [bound for bound in bounds if bound.demand > bound.bound]


def terms(objective: Objective, baseline: Baseline, accuracy: float, scores: Scores) -> dict[str, float]:
    """Every part of one architecture's reward by name (row 0 of `scores`)."""
    named = {f"violation_{name}": float(value) for name, value in zip(VIOLATIONS, scores.violations[0], strict=True)}
    return {
        "reward": float(scores.reward[0]),
        "base": objective.base,
        "accuracy": accuracy,
        "accuracy_floor": baseline.floor,
        "headroom": baseline.floor - baseline.accuracy + objective.accuracy_tolerance,
        "elp": float(scores.elp[0]),
        "elp_static": baseline.elp,
        **named,
    }
