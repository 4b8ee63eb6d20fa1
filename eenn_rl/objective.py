"""Objective: constraints, energy-latency product, reward. Formulas of ``docs/objective.md``.

Everything here works on many architectures at once, element by element and exit after exit in one fixed order, so that
a batch gives each architecture exactly what it would get alone, to the last bit.
"""

from dataclasses import dataclass, fields
from math import ceil, inf, isfinite, log, sqrt
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.options import option

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Minimise = Literal["elp", "energy", "latency"]

VIOLATIONS = (
    "accuracy", "exit_rate", "energy_overhead", "latency_overhead", "deadline", "memory", "weights", "backend",
)  # fmt: skip
"""Names of the constraints, in the order of every array of violations."""

ACCURACY_UNIT = 0.1
"""Ten points of missing accuracy weigh as much as a cost twice its bound."""

VIOLATION_CAP = 2.0
"""The sum of normalised violations is clipped here."""

MEMORY_PENALTY = 1.0
"""What a workload that does not fit its memories counts: a batch is told that it does not fit, not by how much."""

LEAST_VIOLATION = 1e-6
"""Keeps an infeasible reward below every feasible one where a bound is missed by rounding only."""


@dataclass(frozen=True)
class Objective:
    """What to minimise, and the constraints."""

    minimise: Minimise = option("elp", "what to minimise: energy-latency product, expected energy or expected latency",
                                flag="--objective")  # fmt: skip
    accuracy_tolerance: float = option(
        0.01, "accuracy that may be lost against the static network of 8 bits, or the most allowed (0.01: a point)"
    )
    overhead: float = option(
        0.10, "how much more than the static network the path to the last exit may cost, as a share"
    )
    deadline_s: float | None = option(None, "bound on the worst-case latency in seconds", flag="--deadline")
    memory_bytes: float | None = option(None, "bound on the bytes of all weights, branches included", flag="--memory")
    min_exit_rate: float = option(0.02, "least share of the inputs that every exit must serve")
    headroom: float | None = option(
        None, "accuracy kept in reserve on validation data; none: one standard error, at most half the tolerance"
    )

    def __post_init__(self) -> None:
        names = ("elp", "energy", "latency")
        check(self.minimise in names, "objective", self.minimise, "one of " + ", ".join(names))
        for item in fields(self)[1:]:
            value, optional = getattr(self, item.name), item.default is None
            known = isinstance(value, Real) or (optional and value is None)
            check(known, item.name, value, "a number, or none" if optional else "a number")
        check(0 <= self.accuracy_tolerance <= 1, "accuracy_tolerance", self.accuracy_tolerance, "between 0 and 1")
        check(0 <= self.overhead < inf, "overhead", self.overhead, "a finite number of at least 0")
        for field in ("deadline_s", "memory_bytes"):
            value = getattr(self, field)
            check(value is None or (isfinite(value) and value > 0), field, value, "more than 0, or none")
        check(0 <= self.min_exit_rate < 1, "min_exit_rate", self.min_exit_rate, "at least 0 and below 1")
        check(self.headroom is None or 0 <= self.headroom <= 1, "headroom", self.headroom, "between 0 and 1, or none")

    @property
    def base(self) -> float:
        """The least reward of a feasible architecture: ``-2 ln(1 + overhead)``."""
        return -2.0 * log(1.0 + self.overhead)

    @property
    def lowest_reward(self) -> float:
        """The reward of a failed backend, an invalid action, or the worst violation."""
        return self.base - VIOLATION_CAP

    def reserve(self, standard_error: float) -> float:
        """Accuracy kept in reserve: as given, else one standard error, at most half the tolerance."""
        return min(standard_error, self.accuracy_tolerance / 2.0) if self.headroom is None else self.headroom

    def headroom_for(self, static_accuracy: float, samples: int) -> float:
        """What a search keeps in reserve: the standard error is the binomial one of the static accuracy.

        ``sqrt(A (1 - A) / samples)``, `samples` being independent validation images: before anything is trained it
        stands for the error of the *difference* to the static network (`eenn_rl.judgement` knows that one).
        """
        return self.reserve(sqrt(static_accuracy * (1.0 - static_accuracy) / samples))

    def exit_rate_floor(self, samples: int) -> float:
        """The use of each exit to aim for on `samples` independent images: a standard error above what is demanded."""
        spare = sqrt(self.min_exit_rate * (1.0 - self.min_exit_rate) / samples) if self.headroom is None else 0.0
        return self.min_exit_rate + spare

    def accuracy_floor(self, static_accuracy: float, samples: int) -> float:
        """The accuracy that an architecture must reach on validation data, headroom included."""
        return static_accuracy - self.accuracy_tolerance + self.headroom_for(static_accuracy, samples)


def weigh(minimise: Minimise, energy_j: Floats, latency_s: Floats) -> Floats:
    """What a sample that leaves at each exit adds to the expected quantity to minimise; any shape."""
    if minimise == "energy":
        return energy_j
    return latency_s if minimise == "latency" else energy_j * latency_s


def least_count(share: float, samples: int) -> int:
    """The smallest integer c with ``c / samples >= share`` in floating point: no count is refused by rounding."""
    count = max(0, ceil(share * samples))
    while count > 0 and (count - 1) / samples >= share:
        count -= 1
    while count / samples < share:
        count += 1
    return count


@dataclass(frozen=True)
class Baseline:
    """The static network that rewards and bounds are measured against; `floor` is the accuracy to be reached."""

    accuracy: float
    floor: float
    energy_j: float
    latency_s: float

    @property
    def elp(self) -> float:
        """Energy-latency product in J s."""
        return self.energy_j * self.latency_s

    def quantity(self, minimise: Minimise) -> float:
        """What `minimise` names."""
        return {"elp": self.elp, "energy": self.energy_j, "latency": self.latency_s}[minimise]


@dataclass(frozen=True)
class Costs:
    """What a backend says of `n` architectures: float64 [n, s] per exit (padding 0), and bool or float64 [n].

    `last` is the index of each architecture's last exit; `failed` marks costs that are no costs (their rows hold 0).
    """

    energy_j: Floats
    latency_s: Floats
    last: npt.NDArray[np.intp]
    fits: Bools
    weight_bytes: Floats
    failed: Bools

    def weights(self, minimise: Minimise) -> Floats:
        """The quantity to minimise for a sample that leaves at each exit, [n, s]."""
        return weigh(minimise, self.energy_j, self.latency_s)


@dataclass(frozen=True)
class Scores:
    """What the objective makes of `n` architectures, float64 [n]; `violations` [n, V], 0 where a bound holds."""

    energy_j: Floats
    latency_s: Floats
    elp: Floats
    violations: Floats
    feasible: Bools
    reward: Floats


def expectation(rates: Floats, values: Floats) -> Floats:
    """``sum_k rates[:, k] values[:, k]``, added in the order of k."""
    total = rates[:, 0] * values[:, 0]
    for k in range(1, rates.shape[1]):
        total = total + rates[:, k] * values[:, k]
    return total


def excess(demand: Floats, bound: float) -> Floats:
    """How far each demand lies above its bound, as a share of the bound; 0 where it holds."""
    return np.where(demand > bound, np.maximum(demand / bound - 1.0, LEAST_VIOLATION), 0.0)


def _exit_rate_violation(rates: Floats, last: npt.NDArray[np.intp], least: float) -> Floats:
    """What the least used exit lacks, as a share of what it must have."""
    if least <= 0:
        return np.zeros(len(rates))
    kept = np.arange(rates.shape[1]) <= last[:, np.newaxis]
    lowest = np.where(kept, rates, 1.0).min(1)
    return np.where(lowest < least, np.maximum((least - lowest) / least, LEAST_VIOLATION), 0.0)


def violations(objective: Objective, baseline: Baseline, accuracy: Floats, rates: Floats, costs: Costs) -> Floats:
    """Normalised violations, float64 [n, V] in the order of `VIOLATIONS`."""
    row = np.arange(len(costs.last))
    energy, latency = costs.energy_j[row, costs.last], costs.latency_s[row, costs.last]
    found = np.zeros((len(row), len(VIOLATIONS)))
    missing = np.maximum((baseline.floor - accuracy) / ACCURACY_UNIT, LEAST_VIOLATION)
    found[:, 0] = np.where(accuracy < baseline.floor, missing, 0.0)
    found[:, 1] = _exit_rate_violation(rates, costs.last, objective.min_exit_rate)
    found[:, 2] = excess(energy, (1.0 + objective.overhead) * baseline.energy_j)
    found[:, 3] = excess(latency, (1.0 + objective.overhead) * baseline.latency_s)
    if objective.deadline_s is not None:
        found[:, 4] = excess(costs.latency_s.max(1), objective.deadline_s)
    found[:, 5] = np.where(costs.fits, 0.0, MEMORY_PENALTY)
    if objective.memory_bytes is not None:
        found[:, 6] = excess(costs.weight_bytes, objective.memory_bytes)
    found[:, 7] = np.where(costs.failed, VIOLATION_CAP, 0.0)
    return found


def saving(objective: Objective, baseline: Baseline, energy: Floats, latency: Floats, elp: Floats) -> Floats:
    """The logarithm of how many times less than the static network's the minimised cost is; see `score`."""
    quantity = {"elp": elp, "energy": energy, "latency": latency}[objective.minimise]
    factor = 1.0 if objective.minimise == "elp" else 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(factor * np.log(baseline.quantity(objective.minimise) / quantity))


def score(objective: Objective, baseline: Baseline, accuracy: Floats, rates: Floats, costs: Costs) -> Scores:
    """Expected costs, constraints and reward of `n` architectures.

    Feasible: ``ln(ELP_static / ELP)``; for energy or latency alone twice the logarithm of that quantity's ratio, so
    that the overhead bound keeps every feasible reward at or above `Objective.base` whatever is minimised.
    Infeasible: the base minus the clipped sum of normalised violations, always below.
    """
    energy, latency = expectation(rates, costs.energy_j), expectation(rates, costs.latency_s)
    elp = expectation(rates, costs.energy_j * costs.latency_s)
    found = violations(objective, baseline, accuracy, rates, costs)
    total = found[:, 0]
    for index in range(1, len(VIOLATIONS)):
        total = total + found[:, index]
    feasible = total == 0.0
    # A cost that falls along the path would escape the bound on the last exit: the base holds it in the range.
    reward = np.where(
        feasible,
        np.maximum(saving(objective, baseline, energy, latency, elp), objective.base),
        objective.base - np.clip(total, LEAST_VIOLATION, VIOLATION_CAP),
    )
    return Scores(energy, latency, elp, found, feasible, reward)
