"""Estimator: accuracy, exit rates and thresholds of any architecture from measured tables. No torch."""

from dataclasses import dataclass

from eenn_rl.errors import check
from eenn_rl.levels import LEVELS, confidence_levels
from eenn_rl.tables import AccuracyTables

__all__ = ["LEVELS", "AccuracyEstimate", "AccuracyTables", "confidence_levels"]


@dataclass(frozen=True)
class AccuracyEstimate:
    """What a network with exits does on validation data, shares of the samples in 0..1.

    `exit_accuracies` are those of the samples that leave at each exit (0 where none does); `thresholds` the
    confidence from which a sample leaves: 0 for the last exit, 2 (never reached) for one that is off. `origin` says
    where the numbers come from: ``tables:<dataset>:<fingerprint>``.
    """

    accuracy: float
    exit_rates: tuple[float, ...]
    exit_accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    origin: str

    def __post_init__(self) -> None:
        check(0 <= self.accuracy <= 1, "accuracy", self.accuracy, "between 0 and 1")
        lengths = {len(self.exit_rates), len(self.exit_accuracies), len(self.thresholds)}
        check(len(lengths) == 1 and 0 not in lengths, "exit rates, accuracies, thresholds", lengths, "of one length")
        check(abs(sum(self.exit_rates) - 1.0) < 1e-9, "exit_rates", self.exit_rates, "shares that add up to 1")
