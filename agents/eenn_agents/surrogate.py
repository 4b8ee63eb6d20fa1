"""A model of what has been evaluated: which architectures are most worth looking at next.

Constrained expected improvement (Gardner et al., ICML 2014): a Gaussian process predicts the saving of an architecture
whether or not its constraints hold, and a regression on the same kernel how likely they hold. Both see one-hot
features of every block: bits and allocation of the stage that computes it, and branch and branch core of the exit
there, if any. The kernel is quadratic, so that pairs of choices count: these bits on that core, this branch after that.

Allocations made of equal cores share most of their feature, and staying on one allocation is a feature of its own: what
was learned on one of four equal cores holds for the others.
"""

from dataclasses import replace
from functools import lru_cache
from math import erf, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION, Genomes, SearchSpace

if TYPE_CHECKING:
    from eenn_agents.ledger import Ledger

Floats = npt.NDArray[np.float64]
LEAST, MOST = 12, 256
"""It takes so many evaluations to begin with, and the best and the last of them, so many at most, to learn from."""
SCALE, NOISE = 8.0, 0.03
"""Of the kernel; with the features of four blocks and three exits, an architecture's own value is about 4."""
SHARED = 0.7
"""How much of an allocation's feature belongs to all that are made of equal cores, in squares."""
STAYING = 0.7
"""The feature of a stage on the allocation of the one before, and of a branch on that of its stage."""
UNLIKELY = 0.02
"""The least chance that the constraints hold."""
_erf = np.vectorize(erf, otypes=[np.float64])


def expected_gains(ledger: "Ledger", genomes: Genomes, incumbent: float) -> Floats:
    """What each of `genomes` is expected to add to the reward `incumbent`, float64 [n].

    -1 where accuracy is known to fall short (`Ledger.inaccurate`): no cores mend it.
    Raises `ValueError` before `LEAST` evaluations.
    """
    if len(ledger) < LEAST:
        raise ValueError(f"expected at least {LEAST} evaluations, found {len(ledger)}")
    space, history = ledger.evaluator.space, ledger.history()
    rows = _learned_from(history.reward)
    known = features(space, np.concatenate([history.genomes[rows], genomes]))
    seen, wanted = known[: len(rows)], known[len(rows) :]
    savings = ledger.savings()[rows]
    held = np.isfinite(savings)
    savings = np.where(held, savings, savings[held].min(initial=0.0))
    targets = np.stack([savings, history.feasible[rows].astype(np.float64)], axis=1)
    mean, variance = _posterior(seen, targets, wanted)
    deviation = np.sqrt(variance)
    above = (mean[:, 0] - incumbent) / deviation
    density = np.exp(-0.5 * above**2) / sqrt(2 * pi)
    gain = deviation * (above * 0.5 * (1 + _erf(above / sqrt(2))) + density)
    gain = np.maximum(gain, 0.0) * np.clip(mean[:, 1], UNLIKELY, 1.0)
    return np.where(ledger.inaccurate(genomes), -1.0, gain)


def _learned_from(reward: Floats) -> npt.NDArray[np.intp]:
    """The best half of `MOST` rows and the most recent half; all where there are no more."""
    if len(reward) <= MOST:
        return np.arange(len(reward))
    best = np.argpartition(-reward, MOST // 2)[: MOST // 2]
    recent = np.arange(len(reward) - MOST // 2, len(reward))
    return np.union1d(best, recent)


def _kernel(first: Floats, second: Floats) -> Floats:
    values: Floats = (first @ second.T / SCALE) ** 2
    return values


def _posterior(seen: Floats, targets: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Means of all targets, [n, targets], and the variance of the first, [n], at `wanted`, given `targets` at `seen`.

    Gaussian process regression (Rasmussen and Williams 2006, algorithm 2.1); the scale of the variance is the one that
    makes the first target most likely.
    """
    offset = targets.mean(0)
    lower = np.linalg.cholesky(_kernel(seen, seen) + NOISE * np.eye(len(seen)))
    right = np.concatenate([targets - offset, _kernel(seen, wanted)], axis=1)
    solved = torch.linalg.solve_triangular(torch.from_numpy(lower), torch.from_numpy(right), upper=False).numpy()
    whitened, cross = solved[:, : targets.shape[1]], solved[:, targets.shape[1] :]
    own = (np.square(wanted).sum(1) / SCALE) ** 2
    scale = np.square(whitened[:, 0]).mean()
    variance = scale * np.maximum(own - np.square(cross).sum(0), 1e-9)
    return cross.T @ whitened + offset, np.maximum(variance, 1e-18)


def features(space: SearchSpace, genomes: Genomes) -> Floats:
    """What distinguishes architectures, block by block, float64 [n, features]."""
    n, blocks = len(genomes), np.arange(space.last_location + 1)
    location = np.where(genomes[:, :, LOCATION] < 0, len(blocks), genomes[:, :, LOCATION])
    exit_of = (location[:, np.newaxis] < blocks[:, np.newaxis]).sum(2)
    stage = np.take_along_axis(genomes, exit_of[:, :, np.newaxis], 1)
    ends_here = (stage[:, :, LOCATION] == blocks)[:, :, np.newaxis]
    core, branch_core, placed = stage[:, :, CORE], stage[:, :, BRANCH_CORE], _allocations(space.accelerator)
    parts = [
        stage[:, :, BITS, np.newaxis] == np.array(space.usable_bits),
        placed[core],
        (stage[:, :, BRANCH, np.newaxis] == np.arange(-1, len(space.branches))) & ends_here,
        placed[branch_core] * ends_here,
        STAYING * (core[:, 1:] == core[:, :-1]),
        STAYING * (core == branch_core)[:, :, np.newaxis] * ends_here,
    ]
    return np.concatenate([part.reshape(n, -1) for part in parts], axis=1).astype(np.float64)


@lru_cache(8)
def _allocations(accelerator: AcceleratorSpec) -> Floats:
    """Features of each allocation, [allocations, features], of length 1: its own, and that of all with equal cores."""
    cores = [replace(core, name="") for core in accelerator.cores]
    made_of = [sorted(cores.index(cores[core]) for core in group) for group in accelerator.allocations]
    kinds = np.unique([[kind == other for other in made_of] for kind in made_of], axis=1)
    return np.concatenate([sqrt(1 - SHARED) * np.eye(len(made_of)), sqrt(SHARED) * kinds], axis=1)
