"""A linear model of the reward, fitted to what has been evaluated: which neighbours to look at first.

Ridge regression over one-hot features of every block: bits and allocation of the stage that computes it, and branch and
branch core of the exit there, if any. Rewards below the median count as the median: what matters is what makes
a good architecture better, not how bad a bad one is.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Genomes, SearchSpace

if TYPE_CHECKING:
    from eenn_agents.ledger import Ledger

LEAST, RECENT = 20, 1000
"""It takes so many evaluations to begin with, and the last so many to learn from."""
PENALTY = 1.0


def most_promising_first(ledger: "Ledger", genomes: Genomes) -> npt.NDArray[np.intp]:
    """The order of `genomes` by predicted reward, best first; as they come while too little is known."""
    if len(ledger) < LEAST:
        return np.arange(len(genomes))
    space, history = ledger.evaluator.space, ledger.history()
    seen = features(space, history.genomes[-RECENT:])
    reward = history.reward[-RECENT:]
    reward = np.maximum(reward, np.median(reward))
    centred = seen - seen.mean(0)
    gram = centred.T @ centred + PENALTY * np.eye(centred.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (reward - reward.mean()))
    return np.argsort(-(features(space, genomes) @ weights), kind="stable")


def features(space: SearchSpace, genomes: Genomes) -> npt.NDArray[np.float64]:
    """One-hot choices block by block, float64 [n, features]."""
    n, blocks = len(genomes), np.arange(space.last_location + 1)
    location = np.where(genomes[:, :, LOCATION] < 0, len(blocks), genomes[:, :, LOCATION])
    exit_of = (location[:, np.newaxis] < blocks[:, np.newaxis]).sum(2)
    stage = np.take_along_axis(genomes, exit_of[:, :, np.newaxis], 1)
    ends_here = (stage[:, :, LOCATION] == blocks)[:, :, np.newaxis]
    allocations = np.arange(len(space.accelerator.allocations))
    parts = [
        stage[:, :, BITS, np.newaxis] == np.array(space.usable_bits),
        stage[:, :, CORE, np.newaxis] == allocations,
        (stage[:, :, BRANCH, np.newaxis] == np.arange(-1, len(space.branches))) & ends_here,
        (stage[:, :, BRANCH_CORE, np.newaxis] == allocations) & ends_here,
    ]
    return np.concatenate([part.reshape(n, -1) for part in parts], axis=1).astype(np.float64)
