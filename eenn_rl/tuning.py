"""Threshold tuning: the settings of an early-exit network's thresholds that are worth having, whatever it costs to run.

An input leaves at the first exit whose confidence level reaches that exit's threshold. For a network with K exits, of
which the last takes all that is left, a setting is K - 1 levels. All counts are exact integers, from one
(K-1)-dimensional histogram of levels, summed up along each axis:

    P_d[t_0 .. t_d]  inputs below the thresholds of exits 0..d;    n_d = P_{d-1} - P_d leave at exit d
    right = sum_i y_0 + sum_d V_d[t_0 .. t_d],   V_d the same sum with each input weighing y_{d+1} - y_d

with y_d in {0, 1} whether exit d is right. As costs rise along the path, the expected cost of a setting falls with
every C_d = N - P_d (inputs gone by exit d) alone. So for given t_0 .. t_{d-1} the smallest feasible t_d is best, and of
those settings the ones kept are the best for a lattice of weightings of C_0 .. C_{K-2}: `Frontier`. Picking the best
for an architecture's own costs is then a product and an argmin (`eenn_rl.estimator`).
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from math import comb
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.levels import LEVELS, OFF

Mode = Literal["per_exit", "global"]
MODES: tuple[Mode, ...] = ("per_exit", "global")
Ints = npt.NDArray[np.int64]
Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

CELLS = 2**15
"""The most cells of a histogram; where all useful levels would need more, evenly used ones are taken."""

DIRECTIONS = 48
"""About how many weightings of the exits a frontier serves."""


@dataclass(frozen=True)
class Demands:
    """What a setting must hold: at least `right` inputs right in all, at least `least` leaving at every exit."""

    right: int
    least: int


@dataclass(frozen=True)
class Frontier:
    """Settings of one run of exits, [m, K] each: inputs leaving at each exit, those of them that are right, levels.

    Each holds the demands where any setting does (`feasible`); otherwise it is the one that comes closest.
    """

    counts: Ints
    right: Ints
    thresholds: Levels
    feasible: bool

    def cheapest(self, weights: npt.NDArray[np.float64]) -> int:
        """The setting of least expected weight; `weights` [K] are those of an input that leaves at each exit."""
        return int((self.counts * weights).sum(axis=1).argmin())


@cache
def directions(dimensions: int) -> npt.NDArray[np.float64]:
    """Weightings of `dimensions` exits, [dimensions, m]: integers of one sum, as many as come near `DIRECTIONS`."""
    if dimensions == 1:
        return np.ones((1, 1))
    total = 1
    while comb(total + dimensions, dimensions - 1) <= DIRECTIONS:
        total += 1
    bars = np.array(list(combinations(range(total + dimensions - 1), dimensions - 1)))
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), total + dimensions - 1)], 1)
    return (np.diff(edges, axis=1) - 1).T.astype(np.float64)


def frontier(levels: Levels, right: Bools, demands: Demands, mode: Mode = "per_exit") -> Frontier:
    """The settings worth having for exits with `levels` uint8 [K, N] and `right` bool [K, N]."""
    if len(levels) == 1:
        feasible = int(right[0].sum()) >= demands.right
        return _measured(levels, right, np.zeros((1, 1), np.uint8), feasible=feasible)
    if mode == "global":
        return _global(levels, right, demands)
    found = None
    choices = _useful(levels, right, demands)
    if all(len(choice) for choice in choices):
        found = _search(_Grid.of(levels, right, choices), demands)
    if found is not None:
        return _measured(levels, right, found, feasible=True)
    return _measured(levels, right, _closest(_Grid.of(levels, right, _distinct(levels, 1)), demands), feasible=False)


def _measured(levels: Levels, right: Bools, thresholds: Levels, *, feasible: bool) -> Frontier:
    """The settings `thresholds` [m, K], recounted from the inputs."""
    words = -(-levels.shape[1] // 64) * 8
    masks = [_bits(levels[d] >= thresholds[:, d, np.newaxis], words) for d in range(len(levels) - 1)]
    here = np.full((len(thresholds), words // 8), 2**64 - 1, np.uint64)
    whole = _bits(np.ones((1, levels.shape[1]), np.bool_), words)
    here &= whole
    hits = _bits(right, words)
    counts, rights = [], []
    for d in range(len(levels)):
        leaving = here & masks[d] if d < len(masks) else here
        counts.append(np.bitwise_count(leaving).sum(axis=1, dtype=np.int64))
        rights.append(np.bitwise_count(leaving & hits[d]).sum(axis=1, dtype=np.int64))
        here = here & ~leaving
    return Frontier(np.stack(counts, axis=1), np.stack(rights, axis=1), thresholds, feasible)


def _bits(flags: Bools, size: int) -> npt.NDArray[np.uint64]:
    """Flags [m, N] as bit sets, uint64 [m, size / 8]."""
    packed = np.packbits(flags, axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, size - packed.shape[1]))).view(np.uint64)


def _distinct(levels: Levels, least: int) -> list[Levels]:
    """For each early exit the thresholds that differ in what they let through, and let through at least `least`."""
    found = []
    for row in levels[:-1]:
        counts = np.bincount(row, minlength=LEVELS)
        passing = np.cumsum(counts[::-1])[::-1]
        found.append(np.flatnonzero((counts > 0) & (passing >= least)).astype(np.uint8))
    return found


def _useful(levels: Levels, right: Bools, demands: Demands) -> list[Levels]:
    """Of the distinct thresholds those that can meet the demands if all other exits knew best.

    With exit d at t, an input of level >= t is right at most where one of the exits 0..d is, any other where one
    of the exits but d is.
    """
    last = len(levels) - 1
    found = _distinct(levels, max(1, demands.least))
    leading = np.logical_or.accumulate(right)
    trailing = np.logical_or.accumulate(right[::-1])[::-1]
    for d in range(last):
        other = trailing[d + 1] if d == 0 else leading[d - 1] | trailing[d + 1]
        gained = np.bincount(levels[d][leading[d] & ~other], minlength=LEVELS)
        lost = np.bincount(levels[d][other & ~leading[d]], minlength=LEVELS)
        possible = int(other.sum()) + np.cumsum((gained - lost)[::-1])[::-1]
        choice = found[d]
        found[d] = choice[possible[choice] >= demands.right]
    return found


def _thinned(levels: Levels, choices: list[Levels]) -> list[Levels]:
    """`choices`, at most so many that the histogram keeps to `CELLS`; those that are left are evenly used."""
    most = max(2, int(CELLS ** (1.0 / len(choices)) + 1e-9) - 1)
    return [_evenly(row, choice, most) for row, choice in zip(levels, choices, strict=False)]


def _evenly(row: Levels, choice: Levels, most: int) -> Levels:
    if len(choice) <= most:
        return choice
    passing = np.cumsum(np.bincount(row, minlength=LEVELS)[::-1])[::-1][choice]
    wanted = np.linspace(passing[0], passing[-1], most)
    return choice[np.unique(np.searchsorted(-passing, -wanted))]


@dataclass(frozen=True)
class _Grid:
    """All settings of some thresholds per exit: `choices` [D] of them; P_d and V_d as in the module's description.

    Axis d of `below[d]` and `change[d]` has one entry more than there are choices, the last for "all inputs".
    """

    choices: list[Levels]
    samples: int
    first_right: int
    below: list[Ints]
    change: list[Ints]

    @classmethod
    def of(cls, levels: Levels, right: Bools, choices: list[Levels]) -> "_Grid":
        choices = _thinned(levels, choices)
        sizes = [len(choice) + 1 for choice in choices]
        cell = np.zeros(levels.shape[1], np.int64)
        change = []
        for d, choice in enumerate(choices):
            passed = np.searchsorted(choice, np.arange(LEVELS), side="right")
            cell = cell * sizes[d] + passed[levels[d]]
            better, worse = right[d + 1] & ~right[d], right[d] & ~right[d + 1]
            shape = tuple(sizes[: d + 1])
            change.append(_summed(_histogram(cell[better], shape) - _histogram(cell[worse], shape)))
        whole = _summed(_histogram(cell, tuple(sizes)))
        below = [whole[(slice(None),) * (d + 1) + (-1,) * (len(sizes) - d - 1)] for d in range(len(sizes))]
        return cls(choices, levels.shape[1], int(right[0].sum()), below, change)

    def settings(self, values: list[Ints], d: int) -> Ints:
        """``values[d]`` over real thresholds only, with axes for the exits after d: broadcasts against all settings."""
        inner = values[d][tuple(slice(-1) for _ in range(d + 1))]
        return inner.reshape(inner.shape + (1,) * (len(self.choices) - d - 1))

    def leaving(self) -> list[Ints]:
        """How many leave at each exit, the last included, over all settings (broadcast)."""
        below = [self.settings(self.below, d) for d in range(len(self.choices))]
        first = self.samples - below[0]
        return [first, *(a - b for a, b in pairwise(below)), below[-1]]

    def right(self) -> Ints:
        """How many are right in all, over all settings."""
        total = np.array(self.first_right, self.change[-1].dtype)
        for d in range(len(self.choices)):
            total = total + self.settings(self.change, d)
        return total

    def thresholds(self, index: tuple[Ints, ...]) -> Levels:
        """The settings with index arrays [m] per exit, as levels [m, K]."""
        chosen = [choice[at] for choice, at in zip(self.choices, index, strict=True)]
        return np.stack([*chosen, np.zeros(len(index[0]), np.uint8)], axis=1)


def _histogram(cell: Ints, shape: tuple[int, ...]) -> Ints:
    return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)


def _summed(histogram: Ints) -> Ints:
    """Sums over all cells up to each one, along every axis."""
    for axis in range(histogram.ndim):
        histogram = np.cumsum(histogram, axis=axis)
    return histogram


def _search(grid: _Grid, demands: Demands) -> Levels | None:
    """The settings that hold the demands and are best for some direction; None where none holds."""
    right = grid.right()
    good = right >= demands.right
    for leaving in grid.leaving():
        good &= leaving >= demands.least
    outer = good.any(axis=-1)
    if not outer.any():
        return None
    index = np.nonzero(outer) if outer.ndim else ()
    index = (*index, np.atleast_1d(good.argmax(axis=-1)[index]))
    gone = np.stack([grid.samples - below[index[: d + 1]] for d, below in enumerate(grid.below)], axis=1)
    # Integers below 2**53: exact in any order. The right ones break ties.
    value = gone.astype(np.float64) @ directions(gone.shape[1]) * (grid.samples + 1) + right[index][:, np.newaxis]
    best = np.unique(value.argmax(axis=0))
    return grid.thresholds(tuple(at[best] for at in index))


def _closest(grid: _Grid, demands: Demands) -> Levels:
    """The one setting that lacks the fewest leaving inputs, and of those the one with most right."""
    lacking = np.zeros((), np.int64)
    for leaving in grid.leaving():
        lacking = lacking + np.maximum(demands.least - leaving, 0)
    value = grid.right() - lacking * (grid.samples + 1)
    index = np.unravel_index(int(value.argmax()), value.shape)
    return grid.thresholds(tuple(np.array([at]) for at in index))


def _global(levels: Levels, right: Bools, demands: Demands) -> Frontier:
    """One threshold for all early exits: an input has left by exit d if its greatest level so far reaches it."""
    samples = levels.shape[1]
    below = [np.full(LEVELS, samples)]
    total = np.full(LEVELS, int(right[0].sum()))
    for d, level in enumerate(np.maximum.accumulate(levels[:-1])):
        below.append(_under(level))
        total = total + _under(level[right[d + 1] & ~right[d]]) - _under(level[right[d] & ~right[d + 1]])
    gone = np.stack([*below, np.zeros(LEVELS, np.int64)], axis=1)
    lacking = np.maximum(demands.least - (gone[:, :-1] - gone[:, 1:]), 0).sum(axis=1)
    good = np.flatnonzero((total >= demands.right) & (lacking == 0))
    kept = good if len(good) else np.array([(total - lacking * (samples + 1)).argmax()])
    thresholds = np.repeat(kept[:, np.newaxis], len(levels), axis=1).astype(np.uint8)
    thresholds[:, -1] = 0
    return _measured(levels, right, thresholds, feasible=bool(len(good)))


def _under(levels: Levels) -> Ints:
    """How many of `levels` lie below each threshold 0..LEVELS - 1."""
    return np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=LEVELS))[:-1]])


def leave_at(levels: Levels, thresholds: Levels) -> Ints:
    """The exit at which each of N inputs leaves, int64 [N], with `thresholds` uint8 [K] (`OFF`: never; the last 0)."""
    left: Ints = (levels >= thresholds[:, np.newaxis]).argmax(axis=0)
    return left


__all__ = ["MODES", "OFF", "Demands", "Frontier", "Mode", "directions", "frontier", "leave_at"]
