"""Dynamic inference: confidences and thresholds -> exit rates and accuracy; thresholds for one trained network.

Here confidences are real numbers, one per exit and sample, of a single network; `eenn_rl.tuning` does the same on
levels for the many networks of a search. An input leaves at the first exit whose confidence reaches that exit's
threshold; the last exit takes all that is left.
"""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.levels import LEVELS
from eenn_rl.objective import Objective, least_count, weigh
from eenn_rl.tuning import Demands, Mode, frontier

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
ROUNDS = 4
"""How often `tune_thresholds` looks, each time at a finer grid around the best setting."""


def _check_outputs(confidence: Floats, correct: Bools) -> None:
    good = confidence.ndim == 2 and confidence.shape == correct.shape and confidence.size > 0
    check(good, "confidence and correct", (confidence.shape, correct.shape), "of one shape [exits, samples]")
    inside = bool(((confidence >= 0) & (confidence <= 1)).all())
    check(inside, "confidence", "numbers outside it", "within [0, 1]")


def apply_thresholds(
    confidence: Floats, correct: Bools, thresholds: Sequence[float]
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Accuracy, exit rates and exit accuracies (0 where no sample leaves) of given thresholds.

    `confidence` and `correct` are [exits, samples]: what every exit would say of every sample.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct, np.bool_)
    _check_outputs(confidence, correct)
    exits, samples = confidence.shape
    check(len(thresholds) == exits, "thresholds", tuple(thresholds), f"{exits} numbers, one per exit")
    leaves = confidence >= np.asarray(thresholds, np.float64)[:, np.newaxis]
    leaves[-1] = True
    left = leaves.argmax(axis=0)
    right = correct[left, np.arange(samples)]
    counts, hits = np.bincount(left, minlength=exits), np.bincount(left[right], minlength=exits)
    accuracies = tuple(int(hit) / int(count) if count else 0.0 for hit, count in zip(hits, counts, strict=True))
    return int(hits.sum()) / samples, tuple(int(count) / samples for count in counts), accuracies


def tune_thresholds(
    confidence: Floats,
    correct: Bools,
    energy_j: Sequence[float],
    latency_s: Sequence[float],
    objective: Objective,
    accuracy_floor: float,
    mode: Mode = "per_exit",
) -> tuple[float, ...]:
    """The thresholds of least expected cost at `accuracy_floor` or better, every exit used as `objective` demands.

    `energy_j` and `latency_s` are those of a sample that leaves at each exit. Where no setting that was looked at holds
    the demands, the one that comes closest. The last threshold is 0. The grid starts as 63 quantiles per exit and is
    refined around the best setting `ROUNDS` times.
    """
    sure: npt.NDArray[np.float64] = np.asarray(confidence, np.float64)
    correct = np.asarray(correct, np.bool_)
    _check_outputs(sure, correct)
    exits, samples = sure.shape
    for name, costs in (("energy_j", energy_j), ("latency_s", latency_s)):
        check(len(costs) == exits, name, tuple(costs), f"{exits} numbers, one per exit")
    demands = Demands(least_count(accuracy_floor, samples), least_count(objective.min_exit_rate, samples))
    weights = weigh(objective.minimise, np.asarray(energy_j, np.float64), np.asarray(latency_s, np.float64))
    shared = mode == "global"
    # A global threshold is one grid over the confidences of all early exits.
    values: list[npt.NDArray[np.float64]] = [sure[:-1].ravel() if shared and exits > 1 else row for row in sure]
    edges = [_quantiles(row, LEVELS - 1) for row in values]
    best: tuple[float, ...] = (0.0,) * exits
    best_rank = (True, inf)
    for _ in range(ROUNDS):
        levels = np.stack([_levels(row, edge) for row, edge in zip(sure, edges, strict=True)])
        found = frontier(levels, correct, demands, mode)
        at = found.cheapest(weights)
        chosen = found.thresholds[at].tolist()
        rank = (not found.feasible, float(found.counts[at] @ weights))
        if rank < best_rank:
            best_rank = rank
            best = tuple(float(edge[level]) for edge, level in zip(edges, chosen, strict=True))
        edges = [_refined(row, edge, level) for row, edge, level in zip(values, edges, chosen, strict=True)]
    return best


def _levels(confidence: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Level l are the confidences in ``[edges[l], edges[l + 1])``; `edges` begin at 0."""
    return (np.searchsorted(edges, confidence, side="right") - 1).astype(np.uint8)


def _quantiles(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """0 and at most `count` of `values`, with about as many of them between any two."""
    chosen = np.quantile(values, np.linspace(0, 1, count), method="nearest")
    return np.unique(np.concatenate([[0.0], chosen]))


def _refined(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], at: int) -> npt.NDArray[np.float64]:
    """A third of the edges, ``edges[at]`` always, and quantiles of the values around it."""
    low, high = edges[max(at - 1, 0)], edges[min(at + 1, len(edges) - 1)]
    near = values[(values >= low) & (values <= high)]
    kept = np.append(edges[:: max(1, -(-len(edges) // 20))], edges[at])
    return np.unique(np.concatenate([_quantiles(near, 40), kept])) if len(near) else edges


def bootstrap_difference(
    correct: Bools, baseline: Bools, rng: np.random.Generator, draws: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the accuracy of `correct` [N] less that of `baseline` [N] on the same samples: paired bootstrap.

    A resample of N pairs is a multinomial draw of how many gain, lose and keep (Efron and Tibshirani 1993, chapter 6):
    exact, and free of N.
    """
    shapes = (correct.shape, baseline.shape)
    check(shapes[0] == shapes[1] and len(shapes[0]) == 1, "correct and baseline", shapes, "of one shape [samples]")
    check(0 < level < 1, "level", level, "between 0 and 1")
    samples = len(correct)
    gained, lost = int((correct & ~baseline).sum()), int((baseline & ~correct).sum())
    shares = np.array([gained, lost, samples - gained - lost]) / samples
    counts = rng.multinomial(samples, shares, size=draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def accuracy_interval(right: int, samples: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927): `right` of `samples` independent ones."""
    check(0 <= right <= samples and samples > 0, "right", right, f"between 0 and the samples ({samples})")
    check(0 < level < 1, "level", level, "between 0 and 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = right / samples, z * z / samples
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / samples + spread / (4 * samples))
    return max(0.0, middle - half), min(1.0, middle + half)
