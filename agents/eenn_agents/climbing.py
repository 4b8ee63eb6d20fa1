"""Hill climbing over whole neighbourhoods, for where evaluations cost next to nothing: lessons for a policy."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eenn_agents.moves import distinct, neighbours
from eenn_rl.space import LOCATION, Genomes

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

STARTS = 4
KEPT = 16


def climbed(evaluator: "Evaluator", rng: np.random.Generator, sampled: int) -> Genomes:
    """The best few distinct architectures that steepest ascent met, [m, max_exits, 5], the best first.

    It starts from the best of `sampled` random ones, one for each of a few choices of exit locations. Nothing is
    remembered or counted by `evaluator`.
    """
    genomes = evaluator.space.sample(rng, sampled)
    rewards = evaluator.score_batch(genomes).reward
    pools = [(genomes, rewards)]
    for start in best_by_locations(genomes, rewards, STARTS):
        here, worth = genomes[start], rewards[start]
        while True:
            around = neighbours(evaluator.space, here)
            found = evaluator.score_batch(around).reward
            pools.append((around, found))
            if found.max(initial=-np.inf) <= worth:
                break
            here, worth = around[found.argmax()], found.max()
    genomes, rewards = (np.concatenate(part) for part in zip(*pools, strict=True))
    first = distinct(genomes)
    return genomes[first[np.argsort(-rewards[first], kind="stable")[:KEPT]]]


def best_by_locations(genomes: Genomes, rewards: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """The index of the best architecture for each choice of exit locations, the best `count` of these."""
    order = np.argsort(-rewards, kind="stable")
    first = distinct(genomes[order, :, LOCATION])
    best: npt.NDArray[np.intp] = order[np.sort(first)[:count]]
    return best
