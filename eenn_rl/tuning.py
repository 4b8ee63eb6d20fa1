"""Threshold tuning: the settings of an early-exit network's thresholds that are worth having, whatever it costs to run.

An input leaves at the first exit whose confidence level reaches that exit's threshold; the last of the K exits takes
all that is left, so a setting is K - 1 levels. As costs rise along the path, the expected cost of a setting falls with
every C_d, the inputs gone by exit d, alone. So for given thresholds of the exits before the last early one, the
smallest feasible threshold there is best; and of those settings the ones kept are the best for a lattice of weightings
of C_0 .. C_{K-2}: the `Frontier`. Picking the best for an architecture's own costs is then a product and an argmin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import ceil, comb, prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.grid import Bools, Grid, Levels, Workspace, cells_of
from eenn_rl.levels import LEVELS, OFF

Mode = Literal["per_exit", "global"]
MODES: tuple[Mode, ...] = ("per_exit", "global")
Ints = npt.NDArray[np.int64]
Settings = tuple[Levels, bool]
"""Threshold levels [m, K], and whether they hold the demands."""

CELLS = 2**18
"""The most cells of a histogram: all of three early exits; for more of them a coarser grid comes first."""
SURVEY_CELLS = 1400
"""The most cells of a survey: ten thresholds for each of three early exits."""
SURVEYED = 2**16
"""Inputs surveyed at a time, of all runs: they stay in the processor's cache."""
SLACK = 0.008
"""Share of the inputs by which a survey's settings may miss the demands and finer ones near them still be looked at."""

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

    Where `feasible`, each holds the demands; otherwise there is one, the closest of those looked at. A run whose few
    feasible settings lie far from all that a survey looks at counts as infeasible: seldom, and where every exit must
    serve many inputs rather than few (docs/objective.md).
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
    """The settings worth having for exits with `levels` uint8 [K, N] and `right` bool [K, N]."""
    return Tuner(levels, right, demands, mode, work).frontiers([tuple(range(len(levels)))])[0]


class Tuner:
    """Finds the frontiers of runs of exits, each a row of `levels` uint8 [rows, N] and `right` bool [rows, N].

    A run's frontier does not depend on what is asked for besides. Who asks often hands over a `work` space of their
    own; the answers do not live in it.

    A *survey* of few thresholds per exit comes first, for many runs at once. Runs that it finds far from feasible (more
    than `SLACK` of the inputs) are settled, which is seldom wrong (`Frontier`); for the others every threshold between
    those it finds nearly feasible is looked at.
    """

    def __init__(
        self, levels: Levels, right: Bools, demands: Demands, mode: Mode = "per_exit", work: Workspace | None = None
    ) -> None:
        self._levels, self._right, self._demands, self._mode = levels, right, demands, mode
        self._work = work or Workspace()
        self._rows: dict[int, Levels] = {}
        self._surveyed: dict[tuple[int, int], tuple[Levels, Levels]] = {}

    def frontiers(self, runs: Sequence[tuple[int, ...]]) -> list[Frontier]:
        """The frontier of each of `runs`, the rows of its exits in order."""
        found: dict[int, Frontier] = {}
        by_length: dict[int, list[int]] = {}
        for index, run in enumerate(runs):
            by_length.setdefault(len(run), []).append(index)
        for length, members in by_length.items():
            size = max(1, SURVEYED // self._levels.shape[1]) if length > 1 else len(members)
            for start in range(0, len(members), size):
                part = members[start : start + size]
                found.update(zip(part, self._some([runs[index] for index in part]), strict=True))
        return [found[index] for index in range(len(runs))]

    def _some(self, runs: list[tuple[int, ...]]) -> list[Frontier]:
        """The frontiers of few runs of one length."""
        exits = len(runs[0])
        if exits == 1:
            settings = [(np.zeros((1, 1), np.uint8), self._right[run[0]].sum() >= self._demands.right) for run in runs]
        elif self._mode == "global":
            settings = [_global(self._levels[list(run)], self._right[list(run)], self._demands) for run in runs]
        else:
            settings = self._survey(runs)
        return self._measured(runs, settings)

    def _survey(self, runs: list[tuple[int, ...]]) -> list[Settings]:
        size = _survey_size(len(runs[0]) - 1)
        columns = list(zip(*runs, strict=True))
        known = [[self._coarse(row, size) for row in column] for column in columns[:-1]]
        grid = Grid.of(
            [np.stack([cells for _, cells in exit_]) for exit_ in known],
            [size] * len(known),
            [self._right[list(column)] for column in columns],
            self._work,
        )
        lacking = grid.lacking(self._demands.least)
        value = (grid.right - lacking * (grid.samples + 1)).reshape(len(runs), -1)
        closest = np.unravel_index(value.argmax(axis=1), grid.right.shape[1:])
        slack = ceil(SLACK * grid.samples)
        near = (grid.right >= self._demands.right - slack) & (lacking <= slack)
        found: list[Settings] = []
        for index, run in enumerate(runs):
            choices = [exit_[index][0] for exit_ in known]
            best = self._search(run, self._between(run, choices, near[index])) if near[index].any() else None
            if best is None:
                setting = [choice[at[index]] for choice, at in zip(choices, closest, strict=True)]
                found.append((np.array([[*setting, 0]], np.uint8), False))
            else:
                found.append((best, True))
        return found

    def _coarse(self, row: int, size: int) -> tuple[Levels, Levels]:
        """`size` thresholds of a row, about as many inputs between any two, and the cells of its inputs."""
        if (row, size) not in self._surveyed:
            levels = self._levels[row]
            choice = _evenly(levels, self._distinct(row), size)
            self._surveyed[row, size] = (choice, cells_of(levels, choice))
        return self._surveyed[row, size]

    def _distinct(self, row: int) -> Levels:
        """The thresholds of a row that differ in what they let leave, and let enough leave; one at least."""
        if row not in self._rows:
            counts = np.bincount(self._levels[row], minlength=LEVELS)
            through = np.cumsum(counts[::-1])[::-1]
            least = min(self._demands.least, self._levels.shape[1])
            kept = np.flatnonzero((counts > 0) & (through >= least))
            self._rows[row] = (np.append(kept, OFF) if self._demands.least == 0 else kept).astype(np.uint8)
        return self._rows[row]

    def _between(self, run: tuple[int, ...], choices: list[Levels], near: Bools) -> list[Levels]:
        """For each early exit the thresholds within the box of the settings `near`, one step of the survey wider."""
        found = []
        for axis, choice in enumerate(choices):
            others = tuple(other for other in range(near.ndim) if other != axis)
            marked = np.flatnonzero(near.any(axis=others))
            low, high = choice[max(marked[0] - 1, 0)], choice[min(marked[-1] + 1, len(choice) - 1)]
            every = self._distinct(run[axis])
            found.append(every[(every >= low) & (every <= high)])
        return found

    def _search(self, run: tuple[int, ...], choices: list[Levels]) -> Levels | None:
        """The best settings of `choices`, [m, K]: on a coarse grid first where they are too many for one."""
        coarse = _thinned(self._levels[list(run)], choices)
        found = self._best(run, coarse)
        if found is None or prod(map(len, choices)) == prod(map(len, coarse)):
            return found
        near = [_near(choice, found[:, d]) for d, choice in enumerate(choices)]
        return self._best(run, _thinned(self._levels[list(run)], near))

    def _best(self, run: tuple[int, ...], choices: list[Levels]) -> Levels | None:
        """The settings that hold the demands and are best for some direction; None where none holds."""
        grid = Grid.of(
            [cells_of(self._levels[row], choice)[np.newaxis] for row, choice in zip(run, choices, strict=False)],
            [len(choice) for choice in choices],
            [self._right[row][np.newaxis] for row in run],
            self._work,
        )
        good = grid.holding(self._demands.right, self._demands.least).reshape(-1, len(choices[-1]))
        first = good.argmax(axis=-1)
        outer = np.flatnonzero(good[np.arange(len(good)), first])
        if not len(outer):
            return None
        index = np.unravel_index(outer * good.shape[1] + first[outer], grid.right.shape)
        gone = [grid.samples - passing[index[: d + 2]] for d, passing in enumerate(grid.passing)]
        # The more right ones break ties. Integers below 2**53: exact in whatever order they are added.
        value = _ranking(len(gone), grid.samples) @ np.stack([*gone, grid.right[index]]).astype(np.float64)
        best = sorted(set(value.argmax(axis=1).tolist()))
        chosen = [choice[at[best]] for choice, at in zip(choices, index[1:], strict=True)]
        return np.stack([*chosen, np.zeros(len(best), np.uint8)], axis=1)

    def _measured(self, runs: list[tuple[int, ...]], settings: list[Settings]) -> list[Frontier]:
        """Each run's settings, recounted from bit sets of the inputs."""
        own = np.repeat(np.arange(len(runs)), [len(thresholds) for thresholds, _ in settings])
        thresholds = np.concatenate([thresholds for thresholds, _ in settings])
        rows = np.array(runs)[own]
        here = _bits(np.ones((1, self._levels.shape[1]), np.bool_))
        counts, rights = np.zeros((2, *rows.shape), np.int64)
        for d in range(rows.shape[1]):
            passing = here & _bits(self._levels[rows[:, d]] < thresholds[:, d, np.newaxis])
            leaving = here & ~passing
            counts[:, d] = np.bitwise_count(leaving).sum(axis=1, dtype=np.int64)
            rights[:, d] = np.bitwise_count(leaving & _bits(self._right[rows[:, d]])).sum(axis=1, dtype=np.int64)
            here = passing
        edges = np.searchsorted(own, np.arange(len(runs) + 1))
        return [
            Frontier(counts[a:b], rights[a:b], thresholds[a:b], bool(feasible))
            for a, b, (_, feasible) in zip(edges[:-1], edges[1:], settings, strict=True)
        ]


@cache
def _survey_size(dimensions: int) -> int:
    """Thresholds per exit, so that a survey has at most `SURVEY_CELLS` settings."""
    size = LEVELS
    while (size + 1) ** dimensions > SURVEY_CELLS and size > 2:
        size -= 1
    return size


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


def _thinned(levels: Levels, choices: list[Levels]) -> list[Levels]:
    """`choices`, where a grid of them would exceed `CELLS` only so many of each that it does not."""
    most = LEVELS
    while prod(min(len(choice), most) + 1 for choice in choices) > CELLS and most > 2:
        most -= 1
    return [
        choice if len(choice) <= most else np.unique(_evenly(row, choice, most))
        for row, choice in zip(levels, choices, strict=False)
    ]


def _evenly(row: Levels, choice: Levels, count: int) -> Levels:
    """`count` of `choice`, increasing, the first and the last always, with about as many inputs between any two."""
    below = np.append(0, np.cumsum(np.bincount(row, minlength=LEVELS)))[choice]
    wanted = below[0] + (below[-1] - below[0]) * np.arange(count) / (count - 1)
    chosen: Levels = choice[np.searchsorted(below, wanted.round())]
    return chosen


def _near(choice: Levels, found: Levels) -> Levels:
    """Those of `choice` that are in `found`, and the two next to each on either side."""
    place = np.searchsorted(choice, np.unique(found))
    around = (place[:, np.newaxis] + np.arange(-2, 3)).ravel()
    near: Levels = choice[np.unique(np.clip(around, 0, len(choice) - 1))]
    return near


def _global(levels: Levels, right: Bools, demands: Demands) -> Settings:
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
    return thresholds, bool(len(good))


def _under(levels: Levels) -> Ints:
    """How many of `levels` lie below each threshold 0..LEVELS."""
    return np.append(0, np.cumsum(np.bincount(levels, minlength=LEVELS)))


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


__all__ = ["MODES", "OFF", "Demands", "Frontier", "Mode", "Tuner", "directions", "frontier", "leave_at"]
