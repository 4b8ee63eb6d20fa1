"""Grid: what every setting of some thresholds per exit does, from one joint histogram of confidence levels.

Exact integer counts. With t_d the threshold level of exit d, an input passes exit d when its level there is below t_d:

    P_d[t_0 .. t_d]  inputs that pass exits 0..d;    n_d = P_{d-1} - P_d leave at exit d
    right = sum_i y_0 + sum_d V_d[t_0 .. t_d],   V_d the same sum with each input weighing y_{d+1} - y_d

with y_d in {0, 1} whether exit d is right about the input. Both are sums over all cells up to a setting's.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.levels import LEVELS

Ints = npt.NDArray[np.signedinteger]
Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """All settings of the thresholds `choices`, one increasing array of levels per early exit.

    `passing[d]` is P_d over exits 0..d, `change[d]` V_d; their axis d has one entry per choice.
    """

    choices: list[Levels]
    samples: int
    first_right: int
    passing: list[Ints]
    change: list[Ints]

    @classmethod
    def of(cls, levels: Levels, right: Bools, choices: list[Levels]) -> "Grid":
        """The grid of exits with `levels` uint8 [K, N] and `right` bool [K, N], for K - 1 `choices`."""
        samples, shape = levels.shape[1], tuple(len(choice) + 1 for choice in choices)
        # Two sums in one integer: inputs in the upper half, their changes (at most as many, either sign) in the lower.
        kind, half = (np.int32, 16) if samples < 2**15 else (np.int64, 32)
        cell = np.zeros(samples, np.intp)
        passing: list[Ints] = []
        change: list[Ints] = []
        for d, choice in enumerate(choices):
            reached = np.searchsorted(choice, np.arange(LEVELS), side="right")
            cell = cell * shape[d] + reached[levels[d]]
            weight = right[d + 1].astype(np.float64) - right[d] + 2.0**half
            histogram = np.bincount(cell, weight, prod(shape[: d + 1])).reshape(shape[: d + 1])
            # The last entry of each axis are inputs of the highest levels: no setting lets them pass.
            packed = _summed(histogram[(slice(-1),) * (d + 1)].astype(kind))
            passing.append((packed + (1 << (half - 1))) >> half)
            change.append(packed - (passing[d] << half))
        return cls(choices, samples, int(right[0].sum()), passing, change)

    def _spread(self, values: Ints, d: int) -> Ints:
        """`values` over exits 0..d with axes for the exits after d, to broadcast against all settings."""
        return values.reshape(values.shape + (1,) * (len(self.choices) - d - 1))

    def leaving(self) -> list[Ints]:
        """How many leave at each exit, the last included, over all settings (each broadcasts to all axes)."""
        passing = [self._spread(values, d) for d, values in enumerate(self.passing)]
        return [self.samples - passing[0], *(a - b for a, b in pairwise(passing)), passing[-1]]

    def right(self) -> Ints:
        """How many are right in all, over all settings."""
        total: Ints = np.array(self.first_right, self.change[-1].dtype)
        for d, values in enumerate(self.change):
            total = total + self._spread(values, d)
        return total

    def settings(self, index: tuple[npt.NDArray[np.intp], ...]) -> Levels:
        """The settings at `index`, one array [m] per early exit, as threshold levels [m, K]; the last exit's is 0."""
        chosen = [choice[at] for choice, at in zip(self.choices, index, strict=True)]
        return np.stack([*chosen, np.zeros(len(index[0]), np.uint8)], axis=1)


def _summed(histogram: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums over all cells up to each one, along every axis."""
    histogram = np.cumsum(histogram, axis=-1, dtype=histogram.dtype)
    for axis in range(histogram.ndim - 1):
        slices = np.moveaxis(histogram, axis, 0)
        # Whole slices at a time: several times faster than cumsum along an outer axis.
        for j in range(1, len(slices)):
            slices[j] += slices[j - 1]
    return histogram
