"""Mapping: candidate loop orders as rows of arrays, and where their loops are kept.

A row is one unrolling of one layer with one order of its temporal loops. Arrays are [.., rows]; positions count loops
from the innermost, so position p means "after the p innermost loops". Each memory keeps, for each operand, the loops
that minimise what has to come from the level above (LOMA's memory allocation, Symons et al. 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from eenn_multicore.hierarchy import Hierarchy
from eenn_multicore.orders import orders, temporal_loops
from eenn_multicore.problem import FX, FY, IRRELEVANT, OX, OY, PARTIAL, RELEVANT, O, Problem
from eenn_multicore.unrolling import Unrolled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

EPSILON = 1e-9
"""Guards rounding of mean unrollings such as 33 / 2."""


class Spread:
    """What is unrolled on which array dimension, `factors` [dimensions, loops, rows]; products are remembered."""

    def __init__(self, factors: Floats, relevance: tuple[int, ...]) -> None:
        self.factors, self._relevance = factors, relevance
        self._inside: dict[tuple[bool, ...], Floats] = {}

    def of(self, kept: Ints) -> "Spread":
        """The same for some rows."""
        return Spread(self.factors[:, :, kept], self._relevance)

    def inside(self, feeds: tuple[int, ...], level: int) -> Floats:
        """[loop, rows]: what is unrolled at `level` or below, seen by an operand."""
        return self._product(tuple(feed <= level for feed in feeds))

    def above(self, feeds: tuple[int, ...], level: int) -> Floats:
        """[loop, rows]: what is unrolled above `level`."""
        return self._product(tuple(feed > level for feed in feeds))

    def reduces_above(self, feeds: tuple[int, ...], level: int) -> Bools:
        """[rows]: whether a loop that sums up partial results is unrolled above `level`."""
        above = self.above(feeds, level)
        summing = [loop for loop, kind in enumerate(self._relevance) if kind == IRRELEVANT]
        return np.asarray((above[summing] > 1).any(axis=0))

    def _product(self, taken: tuple[bool, ...]) -> Floats:
        if taken not in self._inside:
            self._inside[taken] = self.factors[np.array(taken)].prod(axis=0)
        return self._inside[taken]


@dataclass
class Rows:
    """Candidate orders of one or many layers; `owner` is the layer's index."""

    owner: Ints
    loops: Ints
    """[positions, rows]: loop index, or -1 for padding."""
    sizes: Floats
    """[positions, rows]"""
    mean: "Spread"
    whole: "Spread"
    relevance: tuple[tuple[int, ...], ...]
    stride: Floats
    """[2, rows], along x and y."""
    input_size: Floats
    bits: Floats
    """[operands, rows], of final outputs, weights and inputs."""
    partial_bits: Floats
    inside: Ints
    """[positions + 1, rows]: which of the layer's loops lie inside a position, as bits."""

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.owner.size

    def of(self, kept: Ints) -> "Rows":
        """Some rows."""
        mean = self.mean.of(kept)
        return Rows(
            self.owner[kept], self.loops[:, kept], self.sizes[:, kept], mean,
            mean if self.whole is self.mean else self.whole.of(kept), self.relevance, self.stride[:, kept],
            self.input_size[:, kept], self.bits[:, kept], self.partial_bits[kept], self.inside[:, kept],
        )  # fmt: skip


def rows_of(problems: Sequence[Problem], unrolled: Sequence[Unrolled]) -> Rows:
    """All candidate rows of `problems`, which share their operands' relevance."""
    loops = [temporal_loops(u.temporal) for u in unrolled]
    permuted = [orders(loop) for loop in loops]
    counts = np.array([len(p) for p in permuted])
    width = max(len(loop) for loop in loops)
    total = int(counts.sum())
    names, sizes = np.full((width, total), -1, np.int64), np.ones((width, total))
    inside = np.zeros((width + 1, total), np.int64)
    at = 0
    for loop, order in zip(loops, permuted, strict=True):
        if loop:
            pairs = np.array(loop)
            here = slice(at, at + len(order))
            names[: len(loop), here] = pairs[order, 0].T
            sizes[: len(loop), here] = pairs[order, 1].T
            inside[1 : len(loop) + 1, here] = 1 << order.T.astype(np.int64)
        at += len(order)
    np.cumsum(inside, axis=0, out=inside)

    def per_row(values: Sequence[object]) -> Floats:
        return np.repeat(np.moveaxis(np.array(values, np.float64), 0, -1), counts, axis=-1)

    relevance = problems[0].relevance
    mean = Spread(per_row([u.mean for u in unrolled]), relevance[O])
    exact = all(u.exact for u in unrolled)
    return Rows(
        np.repeat(np.arange(len(problems)), counts),
        names,
        sizes,
        mean,
        mean if exact else Spread(per_row([u.whole for u in unrolled]), relevance[O]),
        relevance,
        per_row([p.stride for p in problems]),
        per_row([p.input_size for p in problems]),
        per_row([p.bits for p in problems]),
        per_row([p.partial_bits for p in problems]),
        inside,
    )


class Nest:
    """The loops of every row: cumulative sizes, runs of relevant and irrelevant loops."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        width = len(rows.sizes)
        self.at = np.arange(rows.count)
        self.cumulative = np.ones((width + 1, 7, rows.count))
        """[position, loop, rows]: iterations of each loop inside a position."""
        for p in range(width):
            self.cumulative[p + 1] = self.cumulative[p]
            real = rows.loops[p] >= 0
            self.cumulative[p + 1, rows.loops[p][real], self.at[real]] *= rows.sizes[p][real]
        self.iterated = [bool((rows.loops == loop).any()) for loop in range(7)]
        """[loop]: whether any row iterates over it."""
        self.iterations = np.ones((width + 1, rows.count))
        """[position, rows]: cycles inside a position."""
        np.cumprod(rows.sizes, axis=0, out=self.iterations[1:])
        padding = rows.loops < 0
        kinds = [np.array(rows.relevance[op])[rows.loops] for op in range(3)]
        self.irrelevant = [(kind == IRRELEVANT) | padding for kind in kinds]
        self.relevant = [(kind == RELEVANT) | padding for kind in kinds]
        self.after_irrelevant = [self._next(mask) for mask in self.irrelevant]
        """[position, rows]: the first position from here on whose loop is not irrelevant."""
        self.irrelevant_from = [self._first_of_run(mask) for mask in self.irrelevant]
        self.relevant_from = [self._first_of_run(mask) for mask in self.relevant]
        """[position, rows]: where the run of relevant loops that ends here begins."""
        outer = np.zeros((width + 1, rows.count), bool)
        for p in reversed(range(width)):
            outer[p] = outer[p + 1] | ((kinds[O][p] == IRRELEVANT) & ~padding[p])
        self.reduces_outside = outer
        """[position, rows]: whether a loop that sums up partial results lies outside."""

    @property
    def total(self) -> Floats:
        """Iterations of the whole nest."""
        return np.asarray(self.iterations[-1])

    @staticmethod
    def _next(mask: Bools) -> Ints:
        width, count = mask.shape
        result = np.full((width + 1, count), width)
        for p in reversed(range(width)):
            result[p] = np.where(mask[p], result[p + 1], p)
        return result

    @staticmethod
    def _first_of_run(mask: Bools) -> Ints:
        width, count = mask.shape
        result = np.zeros((width + 1, count), np.int64)
        for p in range(width):
            result[p + 1] = np.where(mask[p], result[p], p + 1)
        return result

    def alone(self, operand: int, inside: Floats) -> Floats:
        """[rows]: elements of `operand` under what is unrolled, `inside` [loop, rows], without any iteration."""
        return self._touched(operand, inside, [None] * len(inside))

    def elements(self, operand: int, inside: Floats, position: Ints | None = None) -> Floats:
        """Elements of `operand` that the loops inside a position touch, with `inside` [loop, rows] unrolled below.

        Without a position: for all of them, [position, rows].
        """
        iterations = [
            (self.cumulative[:, loop] if position is None else self.cumulative[position, loop, self.at])
            if self.iterated[loop] and self.rows.relevance[operand][loop] != IRRELEVANT
            else None
            for loop in range(len(inside))
        ]
        result = self._touched(operand, inside, iterations)
        return result if position is not None else np.broadcast_to(result, self.iterations.shape)

    def _touched(self, operand: int, inside: Floats, iterations: list[Floats | None]) -> Floats:
        """The product over the loops that index `operand`, those of a window joined."""
        kinds = self.rows.relevance[operand]
        sizes = {
            loop: inside[loop] if times is None else times * inside[loop]
            for loop, times in enumerate(iterations)
            if kinds[loop] != IRRELEVANT
        }
        if PARTIAL in kinds:
            for axis, (out, kernel) in enumerate(((OX, FX), (OY, FY))):
                sizes[out] = self._window(sizes[out], sizes.pop(kernel), axis)
        result = np.ones(())
        for size in sizes.values():
            result = result * size
        return np.asarray(result)

    def _window(self, out: Floats, kernel: Floats, axis: int) -> Floats:
        """Distinct input positions under `out` windows of `kernel`, at most the input's size."""
        a, b = np.floor(out + EPSILON), np.floor(kernel + EPSILON)
        touched = a * b - np.maximum(0.0, b - self.rows.stride[axis]) * (a - 1)
        return np.asarray(np.minimum(touched, self.rows.input_size[axis]))


@dataclass
class Allocation:
    """`held[operand][level]`: the position up to which the loops are kept at or below a level; `fits` per row."""

    held: list[list[Ints]]
    fits: Bools

    def of(self, kept: Ints) -> "Allocation":
        """The same for some rows."""
        return Allocation([[position[kept] for position in levels] for levels in self.held], self.fits[kept])


def distinct(nest: Nest, allocation: Allocation) -> Ints:
    """The first of all rows that cost the same.

    What a row costs follows from the sets of loops that its levels keep, and from those inside the runs that end there;
    the order in between does not matter.
    """
    rows = nest.rows
    sets: list[Ints] = []
    for op, levels in enumerate(allocation.held):
        if levels:
            sets.append(rows.inside[nest.after_irrelevant[op][0], nest.at])
        low = np.zeros(rows.count, np.int64)
        for held in levels:
            sets.append(rows.inside[held, nest.at])
            starts = (nest.relevant_from[op], nest.irrelevant_from[op])
            sets += [rows.inside[np.maximum(start[held, nest.at], low), nest.at] for start in starts]
            low = held
    width = len(nest.iterations)
    keys = [rows.owner * 2 + allocation.fits]
    for first in range(0, len(sets), 63 // width):
        key = np.zeros(rows.count, np.int64)
        for one in sets[first : first + 63 // width]:
            key = (key << width) | one
        keys.append(key)
    order = np.lexsort(keys)
    table = np.stack(keys)[:, order]
    new = np.ones(rows.count, bool)
    new[1:] = (table[:, 1:] != table[:, :-1]).any(axis=0)
    return np.sort(order[new])


def allocate(nest: Nest, hierarchy: Hierarchy) -> Allocation:
    """Fill the memories from the innermost outwards; what a memory cannot keep, those inside it give up, too."""
    rows = nest.rows
    width = len(rows.sizes)
    kept: list[list[Ints]] = [[], [], []]
    fits = np.ones(rows.count, bool)
    for index, memory in enumerate(hierarchy.memories):
        served = [
            op for name in memory.operands for op in range(3)
            if ("output", "weight", "input")[op] == name and index in hierarchy.levels[op]
        ]  # fmt: skip
        options = [_options(nest, hierarchy, op, index, kept[op]) for op in served]
        outermost = [hierarchy.levels[op][-1] == index for op in served]
        chosen, possible = _choose(nest, options, outermost, float(memory.size_bits))
        fits &= possible
        for op, position in zip(served, chosen, strict=True):
            kept[op] = [*(np.minimum(inner, position) for inner in kept[op]), position]
    held = [
        [nest.after_irrelevant[op][position, nest.at] for position in positions[:-1]]
        + [np.full(rows.count, width) for _ in positions[-1:]]
        for op, positions in enumerate(kept)
    ]
    return Allocation(held, fits)


def _options(nest: Nest, hierarchy: Hierarchy, operand: int, memory: int, kept: list[Ints]) -> Floats:
    """[position, rows]: bits that `memory` needs to keep all loops up to a position; those inside it keep `kept`."""
    rows = nest.rows
    level = hierarchy.levels[operand].index(memory)
    feeds = hierarchy.feeds[operand]
    size = nest.elements(operand, rows.mean.inside(feeds, level))
    bits = rows.bits[operand]
    if operand == O:
        inner = np.minimum(np.arange(len(nest.iterations))[:, None], kept[-1] if kept else 0)
        bits = np.where(
            nest.reduces_outside[inner, nest.at] | rows.mean.reduces_above(feeds, level),
            rows.partial_bits,
            bits,
        )
    size = size * bits
    if hierarchy.memories[memory].double_buffered:
        size = np.where(size < size[-1] * (1 - EPSILON), 2 * size, size)
    return np.broadcast_to(size, nest.iterations.shape)


def _choose(nest: Nest, options: list[Floats], outermost: list[bool], capacity: float) -> tuple[list[Ints], Bools]:
    """For each operand the position with the least traffic from above; those that do not fit together give way."""
    position = np.arange(len(nest.iterations))[:, None]
    best, room, allowed_sets, traffics = [], np.zeros(nest.rows.count), [], []
    possible = np.ones(nest.rows.count, bool)
    for size, last in zip(options, outermost, strict=True):
        if last:
            allowed = (position == len(position) - 1) & (size <= capacity)
            traffic = np.zeros_like(size)
        else:
            allowed = size <= capacity
            traffic = size * (nest.total / nest.iterations)
        possible &= allowed.any(axis=0)
        limited = np.where(allowed, traffic, np.inf)
        least = limited.min(axis=0)
        choice = len(position) - 1 - np.argmax((limited <= least * (1 + EPSILON))[::-1], axis=0)
        best.append(choice)
        room += size[choice, nest.at]
        allowed_sets.append(allowed)
        traffics.append(limited)
    crowded = np.flatnonzero(possible & (room > capacity * (1 + EPSILON)))
    if len(options) > 1 and crowded.size:
        _share(options, traffics, crowded, capacity, best, possible)
    return best, possible


def _share(
    options: list[Floats], traffics: list[Floats], crowded: Ints, capacity: float, best: list[Ints], possible: Bools
) -> None:
    """Where the operands do not fit together: the combination with the least traffic that does."""
    positions = range(len(options[0]))
    least = np.full(crowded.size, np.inf)
    sizes = [size[:, crowded] for size in options]
    traffic = [values[:, crowded] for values in traffics]
    for combination in product(positions, repeat=len(options)):
        needed = sum(size[p] for size, p in zip(sizes, combination, strict=True))
        cost = sum(values[p] for values, p in zip(traffic, combination, strict=True))
        better = (needed <= capacity) & (cost <= least * (1 + EPSILON)) & np.isfinite(cost)
        least = np.where(better, cost, least)
        for choice, p in zip(best, combination, strict=True):
            choice[crowded[better]] = p
    possible[crowded[~np.isfinite(least)]] = False
