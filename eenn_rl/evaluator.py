"""Evaluator: architecture -> estimate and cost -> reward; single and batch; remembers what it has seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Self

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture
from eenn_rl.cost import Violation
from eenn_rl.costing import Costing
from eenn_rl.errors import BackendError, InvalidValueError, check
from eenn_rl.estimator import Choice, Estimator
from eenn_rl.evaluation import Evaluation, EvaluationBatch, explain, explain_static, terms
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.objective import VIOLATIONS, Baseline, Costs, Objective, Scores, least_count, score
from eenn_rl.pace import Pace
from eenn_rl.prospects import prospects
from eenn_rl.seen import Seen
from eenn_rl.space import BRANCH, Genomes, SearchSpace
from eenn_rl.tuning import Demands

__all__ = ["VIOLATIONS", "Evaluation", "EvaluationBatch", "Evaluator"]

FAILURE_SHARE = 0.5
"""A backend that fails on more than this share of the distinct architectures ends the search ..."""
FAILURES_BEFORE = 20
"""... once there were this many failures."""


@dataclass(frozen=True)
class _Scored:
    """`n` genomes, the same with the tables' branches, and what was found of them; `reasons` of failures by row."""

    genomes: Genomes
    translated: Genomes
    choice: Choice
    costs: Costs
    reasons: dict[int, str]
    scores: Scores


class Evaluator:
    """Evaluates architectures of `space`: accuracy from `estimator`, costs from `backend`, reward from `objective`.

    Single and batch evaluations agree to the last bit. `limit_s` bounds one call of a backend that costs single
    workloads. What has been evaluated is remembered (about 300 bytes each); `distinct` counts it.

    Raises:
        InvalidValueError: the tables do not fit the space.
        BackendError: the backend cannot cost the static network, or later fails too often.
    """

    def __init__(
        self,
        space: SearchSpace,
        backend: HardwareBackend,
        estimator: Estimator,
        objective: Objective,
        limit_s: float | None = None,
    ) -> None:
        self.space, self.backend, self.estimator, self.objective = space, backend, estimator, objective
        _check_tables(space, estimator)
        names = estimator.tables.branches
        self._branch_index = np.array([-1, *(names.index(branch) for branch in space.branches)], np.int16)
        self._costing = Costing(space, backend, limit_s)
        self._seen = Seen(space.max_exits)
        self._statics: dict[tuple[int, bool], tuple[Genomes, float, float]] = {}
        self.failures = 0
        self._pace = Pace(getattr(backend, "workers", 1))

    def with_objective(self, objective: Objective) -> Self:
        """An evaluator of the same problem by another objective, which remembers nothing yet."""
        return type(self)(self.space, self.backend, self.estimator, objective, self.limit_s)

    @property
    def limit_s(self) -> float | None:
        """Seconds that one call of a backend that costs single workloads may take."""
        return self._costing.limit_s

    @property
    def distinct(self) -> int:
        """How many distinct architectures have been evaluated."""
        return len(self._seen)

    @property
    def failure_reasons(self) -> tuple[str, ...]:
        """Why the backend failed, once for each distinct architecture that it failed on."""
        return self._seen.failures

    @property
    def lowest_reward(self) -> float:
        """The reward of a failed backend and of an invalid action: no architecture gets less."""
        return self.objective.lowest_reward

    @property
    def static_bits(self) -> int:
        """Bits of the static baseline: 8, or the highest that the space allows where it does not allow 8."""
        bits = self.space.usable_bits
        return 8 if 8 in bits else max(bits)

    def static_costs(self, bits: int, *, in_time: bool = False) -> tuple[Genomes, float, float]:
        """The static network at `bits` on its best allocation by the objective: genome, energy (J), latency (s).

        With `in_time` among the allocations that meet the deadline, where any does; baselines are quoted without.
        """
        check(bits in self.space.usable_bits, "static bits", bits, f"one of {self.space.usable_bits}")
        if (bits, in_time) not in self._statics:
            self._statics[bits, in_time] = self._best_static(bits, in_time=in_time)
        return self._statics[bits, in_time]

    def static_violations(self, genome: Genomes) -> tuple[Violation, ...]:
        """The constraints that a static network [max_exits, 5] breaks, those measured against the baseline apart."""
        return explain_static(self.objective, self.costs(genome[np.newaxis]), self._costing.report(genome))

    def costs(self, genomes: Genomes) -> Costs:
        """What the backend says of `genomes` [n, max_exits, 5]; raises `BackendError` where it fails on one."""
        costs, reasons = self._costing.costs(genomes)
        if reasons:
            raise BackendError(f"the backend {next(iter(reasons.values()))}")
        return costs

    def _best_static(self, bits: int, *, in_time: bool) -> tuple[Genomes, float, float]:
        genomes = self.space.static(bits)
        costs, reasons = self._costing.costs(genomes)
        weights = np.where(costs.failed, np.inf, costs.weights(self.objective.minimise)[:, 0])
        # What does not fit its memory is taken only where nothing fits.
        late = costs.latency_s[:, 0] > (self.objective.deadline_s or inf if in_time else inf)
        best = int(np.lexsort((weights, late, ~costs.fits))[0])
        if costs.failed[best]:
            raise BackendError(f"the backend failed on the static {bits}-bit network: it {reasons[best]}")
        return genomes[best], float(costs.energy_j[best, 0]), float(costs.latency_s[best, 0])

    @cached_property
    def baseline(self) -> Baseline:
        """What rewards and bounds are measured against."""
        _, energy, latency = self.static_costs(self.static_bits)
        accuracy = self.estimator.static_accuracy(self.static_bits)
        floor = self.objective.accuracy_floor(accuracy, self.estimator.tables.images)
        check(energy > 0 and latency > 0, "cost of the static network", (energy, latency), "above 0")
        return Baseline(accuracy, floor, energy, latency)

    @cached_property
    def demands(self) -> Demands:
        """The accuracy floor and the least use of an exit, as counts of validation samples."""
        samples = self.estimator.tables.samples
        return Demands(least_count(self.baseline.floor, samples), least_count(self.objective.min_exit_rate, samples))

    def prospects(self) -> npt.NDArray[np.float64]:
        """What each exit could do alone, [blocks, branches, bits, 2] of the space: see `eenn_rl.prospects`."""
        return prospects(self.estimator, self.space.branches, self.space.bits, self.demands)

    @cached_property
    def static(self) -> Evaluation:
        """The network without exits at 8 bits (or `static_bits`) on its best allocation by the objective."""
        return self._static(self.static_bits)

    @cached_property
    def static_best_bits(self) -> Evaluation:
        """The best network without exits, of any allowed bits, whose accuracy reaches the same floor."""
        best, least = self.static_bits, self._static_quantity(self.static_bits)
        for bits in self.space.usable_bits:
            if self.estimator.static_accuracy(bits) >= self.baseline.floor:
                quantity = self._static_quantity(bits)
                if quantity < least:
                    best, least = bits, quantity
        return self._static(best)

    def _static(self, bits: int) -> Evaluation:
        genome = self.static_costs(bits)[0]
        return self._evaluation(self.space.decode(genome), self._score(genome[np.newaxis]))

    def _static_quantity(self, bits: int) -> float:
        """What is minimised, of the static network at `bits`; infinite where the backend fails on it."""
        try:
            _, energy, latency = self.static_costs(bits)
        except BackendError:
            return inf
        return Baseline(0.0, 0.0, energy, latency).quantity(self.objective.minimise)

    def evaluate(self, architecture: Architecture) -> Evaluation:
        """Evaluate one architecture, with the backend's full report."""
        genomes = self.space.encode(architecture)[np.newaxis]
        scored = self._score(genomes)
        keys, fresh = self._seen.fresh(genomes)
        if fresh:
            failures = self.failures
            self._remember(keys, self._batch(scored))
            self._check_failures(failures)
        return self._evaluation(architecture, scored)

    def evaluate_batch(self, genomes: Genomes) -> EvaluationBatch:
        """Evaluate `genomes` int16 [n, max_exits, 5]; each distinct one once, ever."""
        failures = self.failures
        batch = self._learn(genomes)
        self._check_failures(failures)
        return batch

    def evaluate_in_portions(self, genomes: Genomes) -> Iterator[tuple[slice, EvaluationBatch]]:
        """As `evaluate_batch`, but part by part, a few seconds of a slow backend each: where, and what was found.

        The results do not depend on the portions. A backend that fails too often raises after the last one.
        """
        failures = self.failures
        for portion in self._pace.portions(len(genomes)):
            yield portion, self._learn(genomes[portion])
        self._check_failures(failures)

    def _learn(self, genomes: Genomes) -> EvaluationBatch:
        """Evaluate what is new of `genomes`, and recall them all."""
        keys, fresh = self._seen.fresh(genomes)
        if len(fresh):
            self._remember([keys[index] for index in fresh], self.score_batch(genomes[fresh]))
        return self._seen.recall(keys)

    def score_batch(self, genomes: Genomes) -> EvaluationBatch:
        """Evaluate `genomes` without remembering or counting them: for sweeps over whole spaces."""
        legal = self.space.legal(genomes)
        if not legal.all():
            check(False, "genome", genomes[int(legal.argmin())].tolist(), "a legal architecture's")
        return self._batch(self._score(genomes))

    def _batch(self, scored: _Scored) -> EvaluationBatch:
        failed, scores, choice, reasons = scored.costs.failed, scored.scores, scored.choice, scored.reasons
        elp = np.where(failed, np.inf, scores.elp)
        return EvaluationBatch(
            reward=scores.reward,
            feasible=scores.feasible,
            accuracy=choice.accuracy,
            energy_j=np.where(failed, np.inf, scores.energy_j),
            latency_s=np.where(failed, np.inf, scores.latency_s),
            elp=elp,
            elp_reduction=1.0 - elp / self.baseline.elp,
            exit_rates=choice.exit_rates,
            exit_accuracies=choice.exit_accuracies,
            thresholds=choice.thresholds,
            violations=scores.violations,
            failures=[reasons.get(row) for row in range(len(elp))] if reasons else None,
        )

    def _score(self, genomes: Genomes) -> _Scored:
        translated = genomes.copy()
        translated[:, :, BRANCH] = self._branch_index[genomes[:, :, BRANCH] + 1]
        costs, reasons = self._costing.costs(genomes)
        choice = self.estimator.choose(translated, costs.weights(self.objective.minimise), self.demands)
        scores = score(self.objective, self.baseline, choice.accuracy, choice.exit_rates, costs)
        return _Scored(genomes, translated, choice, costs, reasons, scores)

    def _remember(self, keys: list[bytes], batch: EvaluationBatch) -> None:
        """Keep new evaluations."""
        self._seen.add(keys, batch)
        if batch.failures is not None:
            self.failures += sum(reason is not None for reason in batch.failures)

    def _check_failures(self, before: int) -> None:
        """Raise where the backend has failed too often, the last time after it had failed `before` times."""
        enough = self.failures > before and self.failures >= FAILURES_BEFORE
        if enough and self.failures > FAILURE_SHARE * self.distinct:
            raise BackendError(
                f"the backend failed on {self.failures} of {self.distinct} architectures, more than "
                f"{FAILURE_SHARE:.0%} of them; on the last one it {self.failure_reasons[-1]}"
            )

    def _evaluation(self, architecture: Architecture, scored: _Scored) -> Evaluation:
        """The one architecture of `scored`."""
        batch, reasons = self._batch(scored), scored.reasons
        report = None if reasons else self._costing.report(scored.genomes[0])
        accuracy, choice = float(batch.accuracy[0]), scored.choice
        return Evaluation(
            architecture,
            float(batch.reward[0]),
            bool(batch.feasible[0]),
            self.estimator.estimate(scored.translated[0], choice.levels[0]),
            report,
            float(batch.energy_j[0]),
            float(batch.latency_s[0]),
            float(batch.elp[0]),
            float(batch.elp_reduction[0]),
            explain(self.objective, self.baseline, accuracy, choice.exit_rates, scored.costs, report),
            terms(self.objective, self.baseline, accuracy, scored.scores),
            reasons.get(0),
        )


def _check_tables(space: SearchSpace, estimator: Estimator) -> None:
    """The tables must be of the space's backbone and hold its branches and bits."""
    tables = estimator.tables
    if tables.backbone != space.backbone:
        raise InvalidValueError(
            f"tables of backbone {tables.backbone.name!r} {tables.backbone.input_shape}: expected the space's, "
            f"{space.backbone.name!r} {space.backbone.input_shape}; measure tables for it"
        )
    for what, wanted, held in (("branch", space.branches, tables.branches), ("bits", space.usable_bits, tables.bits)):
        missing = [item for item in wanted if item not in held]
        if missing:
            raise InvalidValueError(f"{what} {missing[0]!r} of the space: expected one that the tables hold, {held}")
    lacking = tables.lacking(space.branches)
    if lacking is not None:
        raise InvalidValueError(
            f"tables of {tables.dataset!r}: expected every branch after every block, found no {lacking[1]!r} after "
            f"block {lacking[0]}: measure them again with it, or leave it out with --branches"
        )
