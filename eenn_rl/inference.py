"""Dynamic inference: confidence levels and thresholds -> where each input leaves, exit rates, accuracy.

An input leaves at the first exit whose confidence level reaches that exit's threshold level; the last exit takes all
that is left. The same rule serves a search, on what shared weights said (`eenn_rl.estimator`), and one network that was
trained in full (`eenn_rl.judgement`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.levels import OFF
from eenn_rl.tuning import Demands, Mode, frontier, leave_at

Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inference:
    """What a network with exits does on N inputs; shares are of the inputs, in 0..1."""

    correct: Bools
    """[N]: whether the exit at which the input leaves is right."""
    accuracy: float
    exit_rates: tuple[float, ...]
    exit_accuracies: tuple[float, ...]
    """Of the inputs that leave at each exit; 0 where none does."""


def infer(levels: Levels, correct: Bools, thresholds: Levels) -> Inference:
    """Count, input by input, what `thresholds` uint8 [K] do (`OFF`: the exit is off; the last one's does not matter).

    `levels` uint8 [K, N] and `correct` bool [K, N] are what every exit says of every input.
    """
    good = levels.ndim == 2 and levels.shape == correct.shape and levels.size > 0
    check(good, "levels and correct", (levels.shape, correct.shape), "of one shape [exits, inputs]")
    exits, inputs = levels.shape
    check(thresholds.shape == (exits,), "thresholds", thresholds.shape, f"of shape ({exits},), one per exit")
    check(int(thresholds.max()) <= OFF, "thresholds", int(thresholds.max()), f"levels up to {OFF}")
    left = leave_at(levels, np.append(thresholds[:-1], np.uint8(0)))
    right: Bools = np.take_along_axis(correct, left[np.newaxis], axis=0)[0]
    counts, hits = np.bincount(left, minlength=exits).tolist(), np.bincount(left[right], minlength=exits).tolist()
    return Inference(
        right,
        sum(hits) / inputs,
        tuple(count / inputs for count in counts),
        tuple(hit / count if count else 0.0 for hit, count in zip(hits, counts, strict=True)),
    )


def tuned(
    levels: Levels, correct: Bools, weights: npt.NDArray[np.float64], demands: Demands, mode: Mode = "per_exit"
) -> tuple[Levels, bool]:
    """The threshold levels of least expected weight that hold `demands`, uint8 [K], and whether any do.

    `weights` [K] are those of an input that leaves at each exit. Where none holds the demands, the levels that come
    closest.
    """
    check(weights.shape == (len(levels),), "weights", weights.shape, f"of shape ({len(levels)},), one per exit")
    found = frontier(levels, correct, demands, mode)
    best: Levels = found.thresholds[found.cheapest(weights)]
    return best, found.feasible
