"""Threshold tuning: the settings of an early-exit network's thresholds that are worth having, whatever it costs to run.

An input leaves at the first exit whose confidence level reaches that exit's threshold; the last of the K exits takes
all that is left, so a setting is K - 1 levels. As costs rise along the path, the expected cost of a setting falls with
every C_d, the inputs gone by exit d, alone. So for given thresholds of the exits before the last early one, the
smallest feasible threshold there is best; and of those settings the ones kept are the best for a lattice of weightings
of C_0 .. C_{K-2}: the `Frontier`. Picking the best for an architecture's own costs is then a product and an argmin.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb, prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.grid import Bools, Grid, Levels, Workspace
from eenn_rl.levels import LEVELS, OFF

Mode = Literal["per_exit", "global"]
MODES: tuple[Mode, ...] = ("per_exit", "global")
Ints = npt.NDArray[np.int64]

CELLS = 2**17
"""The most cells of a histogram: enough for three early exits; for more of them a coarser grid comes first."""
CELLS_CLOSEST = 2**12
"""Likewise where nothing holds the demands: how far off an infeasible network is needs no precision."""

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


def frontier(
    levels: Levels, right: Bools, demands: Demands, mode: Mode = "per_exit", work: Workspace | None = None
) -> Frontier:
    """The settings worth having for exits with `levels` uint8 [K, N] and `right` bool [K, N].

    Who asks often hands over a `work` space of their own; the answer does not live in it.
    """
    work = work or Workspace()
    if len(levels) == 1:
        feasible = int(right[0].sum()) >= demands.right
        return _measured(levels, right, np.zeros((1, 1), np.uint8), feasible=feasible)
    if mode == "global":
        return _global(levels, right, demands)
    choices = _useful(levels, right, demands)
    found = _search(levels, right, choices, demands, work) if all(len(choice) for choice in choices) else None
    if found is not None:
        return _measured(levels, right, found, feasible=True)
    grid = Grid.of(levels, right, _thinned(levels, _distinct(levels, 1), CELLS_CLOSEST), work)
    return _measured(levels, right, _closest(grid, demands), feasible=False)


def _search(levels: Levels, right: Bools, choices: list[Levels], demands: Demands, work: Workspace) -> Levels | None:
    """The best settings of `choices`, [m, K]: on a coarse grid first where they are too many for one."""
    coarse = _thinned(levels, choices)
    found = _best(Grid.of(levels, right, coarse, work), demands)
    if found is None or prod(map(len, choices)) == prod(map(len, coarse)):
        return found
    near = [_near(choice, found[:, d]) for d, choice in enumerate(choices)]
    return _best(Grid.of(levels, right, _thinned(levels, near), work), demands)


def _best(grid: Grid, demands: Demands) -> Levels | None:
    """The settings that hold the demands and are best for some direction; None where none holds."""
    good = grid.holding(demands.right, demands.least).reshape(-1, len(grid.choices[-1]))
    first = good.argmax(axis=-1)
    outer = np.flatnonzero(good[np.arange(len(good)), first])
    if not len(outer):
        return None
    index = np.unravel_index(outer * good.shape[1] + first[outer], grid.right.shape)
    gone = [grid.samples - passing[index[: d + 1]] for d, passing in enumerate(grid.passing)]
    # The more right ones break ties. Integers below 2**53: exact in whatever order they are added.
    value = _ranking(len(gone), grid.samples) @ np.stack([*gone, grid.right[index]]).astype(np.float64)
    best = sorted(set(value.argmax(axis=1).tolist()))
    return grid.settings(tuple(at[best] for at in index))


def _closest(grid: Grid, demands: Demands) -> Levels:
    """The one setting that lacks the fewest leaving inputs, and of those the one with most right."""
    lacking = np.zeros((), np.int64)
    for leaving in grid.leaving():
        lacking = lacking + np.maximum(demands.least - leaving.astype(np.int64), 0)
    value = grid.right - lacking * (grid.samples + 1)
    index = np.unravel_index(int(value.argmax()), value.shape)
    return grid.settings(tuple(np.array([at]) for at in index))


@cache
def directions(dimensions: int) -> npt.NDArray[np.float64]:
    """Weightings of `dimensions` exits, [m, dimensions]: integers of one sum, as many as come near `DIRECTIONS`."""
    if dimensions == 1:
        return np.ones((1, 1))
    total = 1
    while comb(total + dimensions, dimensions - 1) <= DIRECTIONS:
        total += 1
    bars = np.array(list(combinations(range(total + dimensions - 1), dimensions - 1)))
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), total + dimensions - 1)], 1)
    return (np.diff(edges, axis=1) - 1).astype(np.float64)


@cache
def _ranking(dimensions: int, samples: int) -> npt.NDArray[np.float64]:
    """The weights of (C_0 .. C_{D-1}, inputs right) in each direction, [m, D + 1]."""
    chosen = directions(dimensions)
    return np.concatenate([chosen * (samples + 1), np.ones((len(chosen), 1))], axis=1)


def _distinct(levels: Levels, least: int) -> list[Levels]:
    """For each early exit the thresholds that differ in what they let through, and let through at least `least`."""
    found = []
    for row in levels[:-1]:
        counts = np.bincount(row, minlength=LEVELS)
        through = np.cumsum(counts[::-1])[::-1]
        kept = np.flatnonzero((counts > 0) & (through >= least))
        found.append((np.append(kept, OFF) if least == 0 else kept).astype(np.uint8))
    return found


def _useful(levels: Levels, right: Bools, demands: Demands) -> list[Levels]:
    """Of the distinct thresholds those that can meet the demands if all other exits knew best.

    With exit d at t, an input of level >= t is right at most where one of the exits 0..d is, any other where one
    of the exits but d is.
    """
    found = _distinct(levels, demands.least)
    after = [right[-1]]
    for row in right[-2:0:-1]:
        after.append(after[-1] | row)
    before = np.zeros_like(right[0])
    for d, choice in enumerate(found):
        other = before | after[-1 - d]
        before = before | right[d]
        change = np.bincount(levels[d], before.astype(np.float64) - other, LEVELS + 1)
        possible = int(other.sum()) + np.cumsum(change[::-1])[::-1]
        found[d] = choice[possible[choice] >= demands.right]
    return found


def _thinned(levels: Levels, choices: list[Levels], cells: int = CELLS) -> list[Levels]:
    """`choices`, where a grid of them would exceed `cells` only so many of each that it does not."""
    most = LEVELS
    while prod(min(len(choice), most) + 1 for choice in choices) > cells and most > 2:
        most -= 1
    return [_evenly(row, choice, most) for row, choice in zip(levels, choices, strict=False)]


def _evenly(row: Levels, choice: Levels, most: int) -> Levels:
    """At most `most` of `choice`, the first and the last always, with about as many inputs between any two."""
    if len(choice) <= most:
        return choice
    below = np.append(0, np.cumsum(np.bincount(row, minlength=LEVELS)))[choice]
    wanted = np.linspace(below[0], below[-1], most)
    return choice[np.unique(np.searchsorted(below, wanted))]


def _near(choice: Levels, found: Levels) -> Levels:
    """Those of `choice` that are in `found`, and the two next to each on either side."""
    place = np.searchsorted(choice, np.unique(found))
    around = (place[:, np.newaxis] + np.arange(-2, 3)).ravel()
    near: Levels = choice[np.unique(np.clip(around, 0, len(choice) - 1))]
    return near


def _global(levels: Levels, right: Bools, demands: Demands) -> Frontier:
    """One threshold for all early exits: an input has left by exit d if its greatest level so far reaches it."""
    samples = levels.shape[1]
    passing = [np.full(LEVELS + 1, samples)]
    total = np.full(LEVELS + 1, int(right[0].sum()))
    for d, level in enumerate(np.maximum.accumulate(levels[:-1])):
        passing.append(_under(level))
        total = total + _under(level[right[d + 1] & ~right[d]]) - _under(level[right[d] & ~right[d + 1]])
    gone = np.stack([*passing, np.zeros(LEVELS + 1, np.int64)], axis=1)
    lacking = np.maximum(demands.least - (gone[:, :-1] - gone[:, 1:]), 0).sum(axis=1)
    good = np.flatnonzero((total >= demands.right) & (lacking == 0))
    kept = good if len(good) else np.array([(total - lacking * (samples + 1)).argmax()])
    thresholds = np.repeat(kept[:, np.newaxis], len(levels), axis=1).astype(np.uint8)
    thresholds[:, -1] = 0
    return _measured(levels, right, thresholds, feasible=bool(len(good)))


def _under(levels: Levels) -> Ints:
    """How many of `levels` lie below each threshold 0..LEVELS."""
    return np.append(0, np.cumsum(np.bincount(levels, minlength=LEVELS)))


def _measured(levels: Levels, right: Bools, thresholds: Levels, *, feasible: bool) -> Frontier:
    """The settings `thresholds` [m, K], recounted from bit sets of the inputs."""
    hits = _bits(right)
    here = _bits(np.ones((1, levels.shape[1]), np.bool_))
    counts, rights = [], []
    for d in range(len(levels)):
        passing = here & _bits(levels[d] < thresholds[:, d, np.newaxis])
        leaving = here & ~passing
        counts.append(np.bitwise_count(leaving).sum(axis=1, dtype=np.int64))
        rights.append(np.bitwise_count(leaving & hits[d]).sum(axis=1, dtype=np.int64))
        here = passing
    return Frontier(np.stack(counts, axis=1), np.stack(rights, axis=1), thresholds, feasible)


def _bits(flags: Bools) -> npt.NDArray[np.uint64]:
    """Flags [m, N] as bit sets, uint64 [m, words], the last word filled up with zeros."""
    packed = np.packbits(flags, axis=1)
    filled = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    filled[:, : packed.shape[1]] = packed
    return filled.view(np.uint64)


def leave_at(levels: Levels, thresholds: Levels) -> Ints:
    """The exit at which each of N inputs leaves, int64 [N], with `thresholds` uint8 [K] (`OFF`: never; the last 0)."""
    left: Ints = (levels >= thresholds[:, np.newaxis]).argmax(axis=0)
    return left


__all__ = ["MODES", "OFF", "Demands", "Frontier", "Mode", "directions", "frontier", "leave_at"]
