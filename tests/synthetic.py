"""A small problem with the shape of the real one, in closed form: for tests of what only needs rewards."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture import Architecture
from eenn_rl.estimator import AccuracyEstimate
from eenn_rl.evaluation import Evaluation, EvaluationBatch
from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, Precision
from eenn_rl.objective import Baseline, Costs, Objective, score
from eenn_rl.space import LOCATION, Genomes, SearchSpace
from eenn_rl.zoo import make_backbone

Floats = npt.NDArray[np.float64]
MIXED = ((8,), (2, 4, 8), (4, 8))
"""Bits of three cores, of which the first knows one bit-width only."""


def accelerator(
    bits_of_cores: tuple[tuple[int, ...], ...] = MIXED, groups: tuple[tuple[int, ...], ...] = ((1, 2),)
) -> AcceleratorSpec:
    cores = tuple(
        CoreSpec(
            f"core{index}",
            "compute",
            (ArrayDimension("D1", 8 * (index + 1)),),
            (),
            tuple(Precision(b, 1e-13) for b in bits),
        )
        for index, bits in enumerate(bits_of_cores)
    )
    singles = tuple((index,) for index in range(len(cores)))
    return AcceleratorSpec("synthetic", cores, allocations=(*singles, *groups))


def space(backbone: str = "resnet8", spec: AcceleratorSpec | None = None, **changes: Any) -> SearchSpace:
    return SearchSpace(make_backbone(backbone, (1, 16, 16)), spec or accelerator(), **changes)


def quad(**changes: Any) -> SearchSpace:
    """Four cores that know all bits, three groups: as large as the default problem."""
    return space(spec=accelerator(((2, 4, 8),) * 4, ((0, 1), (2, 3), (0, 1, 2, 3))), **changes)


@dataclass(frozen=True)
class Landscape:
    """The interface of `eenn_rl.estimator.Estimator` that tells one from another."""

    seed: int
    mode: str = "per_exit"

    @property
    def tables(self) -> Self:
        return self

    @property
    def fingerprint(self) -> str:
        return str(self.seed)


class SyntheticEvaluator:
    """The interface of `eenn_rl.evaluator.Evaluator` over a landscape drawn from seed `estimator`."""

    def __init__(
        self, space: SearchSpace, backend: None = None, estimator: int = 0, objective: Objective | None = None
    ) -> None:
        self.space, self.backend, self.estimator = space, backend, Landscape(estimator)
        self.objective = objective or Objective()
        rng = np.random.default_rng(estimator)
        allocations, blocks, kinds = len(space.accelerator.allocations), space.last_location + 1, len(space.branches)
        bits = np.arange(max(space.bits) + 1)
        self._block_cost = rng.uniform(0.5, 2, (2, blocks, allocations, 1)) * np.sqrt(bits / 8)
        self._branch_cost = rng.uniform(0.05, 0.3, (2, kinds + 1, allocations, 1)) * (bits / 8)
        reach = np.linspace(0.1, 0.7, blocks)[:, None, None] * rng.uniform(0.6, 1.3, (1, kinds + 1, 1))
        self._reach = np.minimum(reach * np.minimum(1, 0.8 + bits / 32), 0.95)
        self._error = rng.uniform(0, 0.02, (blocks, kinds + 1, 1)) + 0.03 / (1 + bits)
        self.calls = 0
        self._seen: set[bytes] = set()
        statics = space.static(max(space.bits))
        energy, latency, _, accuracy = (part[:, 0] for part in self._paths(statics))
        best = int(np.argmin(energy * latency))
        self._static_costs = statics[best], float(energy[best]), float(latency[best])
        self.static_bits = max(space.bits)
        floor = float(accuracy[best]) - self.objective.accuracy_tolerance
        self.baseline = Baseline(float(accuracy[best]), floor, float(energy[best]), float(latency[best]))
        self.static = self.evaluate(space.decode(statics[best]))
        self._seen.clear()

    def with_objective(self, objective: Objective) -> "SyntheticEvaluator":
        return SyntheticEvaluator(self.space, self.backend, self.estimator.seed, objective)

    def _paths(self, genomes: Genomes) -> tuple[Floats, Floats, Floats, Floats]:
        """Energy, latency, exit rate and accuracy by exit, [n, exits] each."""
        g = genomes.astype(np.int64)
        n, exits = g.shape[:2]
        energy, latency, rates, right = (np.zeros((n, exits)) for _ in range(4))
        spent, left, previous = np.zeros((2, n)), np.ones(n), np.zeros(n, np.int64)
        for k in range(exits):
            used = g[:, k, LOCATION] >= 0
            location, branch, bits, core, branch_core = (np.where(used, g[:, k, c], 0) for c in range(5))
            for block in range(self.space.last_location + 1):
                inside = used & (block >= previous) & (block <= location)
                spent += np.where(inside, self._block_cost[:, block, core, bits], 0)
            spent += np.where(used, self._branch_cost[:, branch, branch_core, bits], 0)
            last = location == self.space.last_location
            rates[:, k] = np.where(used, left * np.where(last, 1, self._reach[location, branch, bits]), 0)
            right[:, k] = np.where(used, 1 - self._error[location, branch, bits], 0)
            energy[:, k], latency[:, k] = np.where(used, spent * [[1e-6], [1e-5]], 0)
            left, previous = left - rates[:, k], np.where(used, location + 1, previous)
        return energy, latency, rates, right

    def prospects(self) -> Floats:
        """Reach and margin of each exit, standing in for what tables would say."""
        kinds, bits = len(self.space.branches), list(self.space.bits)
        reach, error = (
            np.broadcast_to(part, self._reach.shape)[:, 1 : kinds + 1, bits] for part in (self._reach, self._error)
        )
        return np.stack([reach, -error], axis=-1)

    def static_costs(self, bits: int) -> tuple[Genomes, float, float]:
        assert bits == self.static_bits
        return self._static_costs

    def costs(self, genomes: Genomes) -> Costs:
        energy, latency, _, _ = self._paths(genomes)
        n, last = len(genomes), (genomes[:, :, LOCATION] >= 0).sum(1) - 1
        return Costs(energy, latency, last, np.ones(n, np.bool_), np.zeros(n), np.zeros(n, np.bool_))

    def evaluate_batch(self, genomes: Genomes) -> EvaluationBatch:
        self.calls += 1
        self._seen.update(genome.tobytes() for genome in genomes)
        return self.score_batch(genomes)

    def evaluate_in_portions(self, genomes: Genomes) -> Iterator[tuple[slice, EvaluationBatch]]:
        yield slice(0, len(genomes)), self.evaluate_batch(genomes)

    def score_batch(self, genomes: Genomes) -> EvaluationBatch:
        _, _, rates, right = self._paths(genomes)
        accuracy, costs = (rates * right).sum(1), self.costs(genomes)
        scores = score(self.objective, self.baseline, accuracy, rates, costs)
        return EvaluationBatch(
            scores.reward, scores.feasible, accuracy, scores.energy_j, scores.latency_s, scores.elp,
            1 - scores.elp / self.baseline.elp, rates, right, np.zeros_like(rates), scores.violations,
        )  # fmt: skip

    def evaluate(self, architecture: Architecture) -> Evaluation:
        batch = self.evaluate_batch(self.space.encode(architecture)[np.newaxis])
        used = len(architecture.exits)
        estimate = AccuracyEstimate(
            float(batch.accuracy[0]), tuple(batch.exit_rates[0, :used].tolist()),
            tuple(batch.exit_accuracies[0, :used].tolist()), (0.0,) * used, "synthetic",
        )  # fmt: skip
        plain = (float(getattr(batch, name)[0]) for name in ("energy_j", "latency_s", "elp", "elp_reduction"))
        return Evaluation(
            architecture, float(batch.reward[0]), bool(batch.feasible[0]), estimate, None, *plain, (), {}
        )  # fmt: skip

    @property
    def distinct(self) -> int:
        return len(self._seen)
