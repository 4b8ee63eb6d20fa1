"""What a search found, boiled down to what verification needs: the best distinct networks."""

from typing import TYPE_CHECKING

import numpy as np

from eenn_rl.architecture_file import architecture_to_json
from eenn_rl.evaluation import Evaluation
from eenn_rl.evaluator import Evaluator
from eenn_rl.results import Candidate, Found, Predicted, Proposal
from eenn_rl.space import CORE, LOCATION, Genomes

if TYPE_CHECKING:
    from eenn_rl.search import History, SearchResult

KEPT = 64
"""How many distinct networks are kept."""


def summarise(evaluator: Evaluator, result: "SearchResult") -> Found:
    """The best feasible early-exit networks of a search.

    Those that differ in cores alone are one network, on its best cores; those without early exits are the baselines.
    """
    return Found(
        candidates=tuple(_candidate(evaluator, genome) for genome in best_networks(result.history)),
        static=predicted(evaluator.static),
        static_best_bits=predicted(evaluator.static_best_bits),
        distinct=result.distinct,
        space_size=evaluator.space.size,
        stopped=result.stopped,
    )


def best_networks(history: "History", most: int = KEPT) -> list[Genomes]:
    """Genomes of the best feasible networks with early exits, best first, no two of them alike but for their cores."""
    ranked = history.genomes[history.ranked()]
    return [ranked[row] for row in distinct_networks(ranked, most)]


def distinct_networks(genomes: Genomes, most: int = KEPT) -> list[int]:
    """The first rows of `genomes` [n, max_exits, 5] with early exits, no two of them alike but for their cores."""
    found: dict[bytes, int] = {}
    for row in np.flatnonzero((genomes[:, :, LOCATION] >= 0).sum(axis=1) > 1).tolist():
        found.setdefault(genomes[row, :, :CORE].tobytes(), row)
        if len(found) == most:
            break
    return list(found.values())


def _candidate(evaluator: Evaluator, genome: Genomes) -> Candidate:
    evaluation = evaluator.evaluate(evaluator.space.decode(np.asarray(genome)))
    return Candidate(
        genome=tuple(tuple(row) for row in genome.tolist()),
        architecture=architecture_to_json(evaluation.architecture),
        predicted=predicted(evaluation),
        reward=evaluation.reward,
    )


def proposal(evaluation: Evaluation) -> Proposal:
    """An architecture and what is promised of it."""
    return Proposal(
        architecture=architecture_to_json(evaluation.architecture),
        predicted=predicted(evaluation),
        feasible=evaluation.feasible,
        reward=evaluation.reward,
        violations=evaluation.violations,
        thresholds=evaluation.estimate.thresholds,
    )


def predicted(evaluation: Evaluation) -> Predicted:
    """What the estimator and the backend promise."""
    return Predicted(
        accuracy=evaluation.estimate.accuracy,
        exit_rates=evaluation.estimate.exit_rates,
        energy_j=evaluation.energy_j,
        latency_s=evaluation.latency_s,
        elp=evaluation.elp,
        elp_reduction=evaluation.elp_reduction,
    )
