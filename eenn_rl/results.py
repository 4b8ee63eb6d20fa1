"""What a run found: the static baselines and the verified architectures, as written to ``verification.json``."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.cost import Violation
from eenn_rl.errors import check
from eenn_rl.plausible import check_costs, check_finite, check_shares, check_static


@dataclass(frozen=True)
class StaticResult:
    """A network without exits: energies in J, latencies in s, `elp` in J s; accuracy measured on test.

    `validation_error` is the standard error with which its accuracy on validation, less that of the baseline
    (`Results.static`), forecasts the difference on test.
    """

    bits: int
    accuracy: float
    energy_j: float
    latency_s: float
    elp: float
    validation_accuracy: float
    validation_error: float = 0.0
    accuracy_floor: float = 0.0
    """What the bound on accuracy asks for on test; 0 where an older run does not say."""
    violations: tuple[Violation, ...] = ()
    """The other constraints that it breaks: deadline, weights, memories."""

    def __post_init__(self) -> None:
        check(self.bits >= 1, "bits", self.bits, "at least 1")
        check_static(self)
        check_finite(self, "validation_accuracy", "validation_error", "accuracy_floor")

    @property
    def accurate(self) -> bool:
        """Whether it keeps the bound on accuracy on test; it was chosen on validation."""
        return self.accuracy >= self.accuracy_floor

    @property
    def feasible(self) -> bool:
        """Whether it keeps every bound that there is for a network without exits."""
        return self.accurate and not self.violations


@dataclass(frozen=True)
class Predicted:
    """What the search promised, from the estimator (validation data, shared weights) and the backend.

    Costs are infinite where the backend failed, which it may do at the second time that it is asked, too.
    """

    accuracy: float
    exit_rates: tuple[float, ...]
    energy_j: float
    latency_s: float
    elp: float
    elp_reduction: float

    def __post_init__(self) -> None:
        check_shares("exit_rates", self.exit_rates)


@dataclass(frozen=True)
class Candidate:
    """A network that the search found, on its best cores; `genome` rows as in `eenn_rl.space`."""

    genome: tuple[tuple[int, ...], ...]
    architecture: dict[str, Any]
    predicted: Predicted
    reward: float


@dataclass(frozen=True)
class Proposal:
    """An architecture that a policy proposed, as predicted; `thresholds` hold one confidence per exit, the last 0."""

    architecture: dict[str, Any]
    predicted: Predicted
    feasible: bool
    reward: float
    violations: tuple[Violation, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Found:
    """What the search left, as written to ``search.json``: the best feasible distinct networks, best first.

    `static` and `static_best_bits` are the networks without exits as the search saw them.
    """

    candidates: tuple[Candidate, ...]
    static: Predicted
    static_best_bits: Predicted
    distinct: int
    space_size: int
    stopped: str

    def arrays(self) -> list[npt.NDArray[np.int16]]:
        """The candidates' genomes, each int16 [max_exits, 5]."""
        return [np.array(candidate.genome, np.int16) for candidate in self.candidates]


@dataclass(frozen=True)
class Measured:
    """What the fully trained network did on test: expected energy and latency over the measured exit rates.

    `accuracy_interval` is the 95% interval of the accuracy; `accuracy_difference_interval` that of the difference to
    the baseline (`Results.static`) on the same images (paired bootstrap).
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    accuracy_difference: float
    accuracy_difference_interval: tuple[float, float]
    exit_rates: tuple[float, ...]
    exit_accuracies: tuple[float, ...]
    energy_j: float
    latency_s: float
    elp: float

    def __post_init__(self) -> None:
        check_finite(self, "accuracy_interval", "accuracy_difference_interval", "accuracy_difference")
        check_shares("exit_rates", self.exit_rates)
        check_shares("exit_accuracies", self.exit_accuracies, len(self.exit_rates))
        check_costs(self)


@dataclass(frozen=True)
class Verified:
    """One architecture, trained in full; `feasible` and `violations` go by what was measured on test.

    `architecture` is the architecture file's JSON. `thresholds` hold one confidence per exit, the last 0;
    `temperatures` divide the logits of each exit before its confidence is taken.
    `validation_*` is what the thresholds did there: the order of the list is that of `validation_reward`, and
    `validation_floor` is the accuracy that was to be reached.
    """

    architecture: dict[str, Any]
    feasible: bool
    predicted: Predicted
    measured: Measured
    elp_reduction: float
    elp_reduction_best_bits: float
    violations: tuple[Violation, ...]
    thresholds: tuple[float, ...]
    temperatures: tuple[float, ...]
    validation_feasible: bool
    validation_accuracy: float
    validation_elp: float
    weights: str
    validation_floor: float | None = None
    validation_reward: float = 0.0

    def __post_init__(self) -> None:
        check_costs(self.predicted)
        check_finite(self.predicted, "elp_reduction")
        exits = len(self.measured.exit_rates)
        for name, values in (
            ("predicted exit_rates", self.predicted.exit_rates),
            ("thresholds", self.thresholds),
            ("temperatures", self.temperatures),
        ):
            check(len(values) == exits, name, values, f"{exits}, one for each of the measured exit_rates")
        check_finite(self, "elp_reduction", "elp_reduction_best_bits", "thresholds", "temperatures")
        check_finite(self, "validation_accuracy", "validation_elp", "validation_floor")


@dataclass(frozen=True)
class Results:
    """The content of ``verification.json``.

    `static` is the baseline, of 8 bits or the most that the search allowed; `static_best_bits` the best of any bits.
    """

    static: StaticResult
    static_best_bits: StaticResult
    verified: tuple[Verified, ...]
    objective: dict[str, Any]
    space_size: int
    distinct_evaluations: int
    mean: tuple[float, ...] = ()
    """Of the training images, by channel, in 0..1; empty where an older run does not say."""
    std: tuple[float, ...] = ()
