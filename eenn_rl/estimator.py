"""Estimator: accuracy, exit rates and thresholds of any architecture from measured tables. No torch.

Accuracy depends on where the exits are, what they are made of and their bits, not on cores: architectures that share
these share a *profile*, whose frontier of threshold settings is found once (`eenn_rl.tuning`) and remembered.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.frontiers import FrontierStore
from eenn_rl.grid import Workspace
from eenn_rl.inference import infer
from eenn_rl.levels import LEVELS, confidence_levels, threshold_of
from eenn_rl.rows import RowFinder
from eenn_rl.tables import AccuracyTables
from eenn_rl.tuning import MODES, Demands, Frontier, Mode, Tuner

__all__ = ["LEVELS", "AccuracyEstimate", "AccuracyTables", "Choice", "Estimator", "confidence_levels"]

Genomes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyEstimate:
    """What a network with exits does on validation data, shares of the samples in 0..1.

    `exit_accuracies` are those of the samples that leave at each exit (0 where none does); `thresholds` the
    confidence from which a sample leaves: 0 for the last exit, 2 (never reached) for one that is off. `origin` says
    where the numbers come from: ``tables:<dataset>:<fingerprint>``, after a ``~`` where an exit's path of bits was not
    measured and the nearest one stands in.
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


@dataclass(frozen=True)
class Choice:
    """Thresholds chosen for `n` architectures: `levels` uint8 [n, s], and what they do (padding 0)."""

    accuracy: Floats
    exit_rates: Floats
    exit_accuracies: Floats
    levels: npt.NDArray[np.uint8]

    @property
    def thresholds(self) -> Floats:
        """As confidences, float64 [n, s]."""
        return threshold_of(self.levels)


MOST_DEMANDS = 16
"""Demands whose frontiers are remembered; beyond, those not asked for the longest are forgotten."""


class Estimator:
    """Estimates from `tables`; `thresholds` is ``per_exit`` (each exit its own) or ``global`` (one for all).

    Evaluators that share an estimator share what it has tuned, where their objectives make the same demands.
    """

    def __init__(self, tables: AccuracyTables, thresholds: Mode = "per_exit") -> None:
        check(thresholds in MODES, "thresholds", thresholds, "one of " + ", ".join(MODES))
        self.tables, self.mode = tables, thresholds
        self._finder = RowFinder(tables)
        self._work = Workspace()
        self._stores: dict[Demands, FrontierStore] = {}

    @property
    def origin(self) -> str:
        """Where estimates come from."""
        return f"tables:{self.tables.dataset}:{self.tables.fingerprint[:12]}"

    def rows(self, genomes: Genomes) -> npt.NDArray[np.int32]:
        """The table row of every exit of `genomes` [n, max_exits, 5], int32 [n, max_exits]; -1 where unused.

        Branches of a genome are indices into the tables' `branches`.
        """
        return self._finder.rows(genomes)

    def approximated(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which exits stand on the nearest row as their own path was not measured, bool [n, max_exits]."""
        return self._finder.approximated(genomes)

    def static_accuracy(self, bits: int) -> float:
        """Accuracy of the network without exits at `bits`."""
        row = self.uniform_row(bits, len(self.tables.backbone.blocks) - 1, None)
        return int(self.tables.correct[row].sum()) / self.tables.samples

    def uniform_row(self, bits: int, location: int, branch: str | None) -> int:
        """The table row of the exit after block `location`, with `bits` all along; None: the backbone's classifier."""
        index = -1 if branch is None else self.tables.branches.index(branch)
        return self._finder.nearest((bits,) * (location + 1), location, index)[0]

    def choose(self, genomes: Genomes, weights: Floats, demands: Demands) -> Choice:
        """The best thresholds for costs `weights` [n, s] of a sample that leaves at each exit.

        They minimise the expected weight among the settings that hold `demands`; where none does, the setting that
        comes closest is taken.
        """
        store = self._stores.pop(demands, None)
        if store is None or store.exits != genomes.shape[1]:
            tuner = Tuner(self.tables.confidence, self.tables.correct, demands, self.mode, self._work)
            store = FrontierStore(genomes.shape[1], partial(self._frontiers, tuner))
        self._stores[demands] = store
        if len(self._stores) > MOST_DEMANDS:
            del self._stores[next(iter(self._stores))]
        counts, right, levels = store.choose(self._finder.profiles(genomes), weights)
        samples = self.tables.samples
        accuracies = right / np.maximum(counts, 1)
        return Choice(right.sum(axis=1) / samples, counts / samples, accuracies, levels)

    def _frontiers(self, tuner: Tuner, profiles: list[int]) -> list[Frontier]:
        return tuner.frontiers([self._finder.rows_of(profile) for profile in profiles])

    def estimate(self, genome: Genomes, levels: npt.NDArray[np.uint8]) -> AccuracyEstimate:
        """What `genome` [max_exits, 5] does at threshold `levels` [max_exits], recounted sample by sample."""
        rows = self.rows(genome[np.newaxis])[0]
        rows = rows[rows >= 0]
        found = infer(self.tables.confidence[rows], self.tables.correct[rows], levels[: len(rows)])
        approximate = "~" if self.approximated(genome[np.newaxis]).any() else ""
        return AccuracyEstimate(
            found.accuracy,
            found.exit_rates,
            found.exit_accuracies,
            tuple(threshold_of(levels[: len(rows)]).tolist()),
            approximate + self.origin,
        )
