"""Spatial unrolling: which loops run side by side on which array dimension.

A fixed dataflow is cut to what the layer and the innermost memories' sizes allow. A free one is searched: the
unrolling with the most units busy wins, and among those the one that spreads them over different loops (ZigZag's
indicator).
Equally good ones are told apart by a fixed order of the loops, so that results repeat.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil, inf, prod

from eenn_multicore.hierarchy import Hierarchy
from eenn_multicore.problem import IRRELEVANT, LOOPS, O, Problem
from eenn_rl.hardware import CoreSpec, Dataflow

Factors = tuple[tuple[int, int], ...]
"""(loop, factor) pairs on one array dimension."""
PREFERENCE = tuple(LOOPS.index(loop) for loop in ("FY", "FX", "G", "C", "OX", "K", "OY"))
"""Which loop comes first among equally good unrollings: the order in which ZigZag 3.9.1 happens to try them."""
GROUPED_PREFERENCE = tuple(LOOPS.index(loop) for loop in ("FX", "G", "OX", "FY", "OY", "C", "K"))
"""The same where every group has a single channel."""


@dataclass(frozen=True)
class Unrolled:
    """Factors per array dimension and loop: [dimension][loop].

    `mean` divides each loop evenly over its iterations (a loop of 33 on 32 units runs twice, 16.5 wide on average),
    `whole` is what a full iteration occupies, rounded down.
    """

    mean: tuple[tuple[float, ...], ...]
    whole: tuple[tuple[float, ...], ...]
    temporal: tuple[int, ...]
    """Iterations left per loop."""
    drain: int
    """Cycles until the last results have walked out along the systolic dimensions."""

    @property
    def exact(self) -> bool:
        """Whether every loop divides evenly, so that `mean` is `whole`."""
        return self.mean == self.whole


@cache
def divisors(number: int) -> tuple[int, ...]:
    """Divisors, largest first."""
    return tuple(d for d in range(number, 0, -1) if number % d == 0)


def unrollings(problem: Problem, core: CoreSpec, hierarchy: Hierarchy, dataflow: Dataflow | None) -> list[Unrolled]:
    """The unrolling of `problem`: the dataflow's where it is fixed, the best one where it is free.

    Below a DRAM those follow that it would have if the innermost memories had less room, so that a larger register only
    adds to the choice. Memories that serve the whole array are taken to hold one element for each of its units.
    """
    shared = [
        [dimension.name in hierarchy.memories[levels[0]].served for dimension in core.array] if levels else []
        for levels in hierarchy.levels
    ]
    rooms = [_room(problem, hierarchy, operand) for operand in range(len(hierarchy.levels))]
    found: dict[tuple[Factors, ...], Unrolled] = {}
    waiting, seen = [rooms], [rooms]
    for room in waiting:
        chosen = _chosen(problem, core, hierarchy, dataflow, room)
        found.setdefault(chosen, _spread(problem, core, chosen))
        for operand, along in enumerate(shared if hierarchy.below_dram else ()):
            width = prod(
                factor for choice, here in zip(chosen, along, strict=False) if here
                for loop, factor in choice if problem.relevance[operand][loop] != IRRELEVANT
            )  # fmt: skip
            smaller = [*room[:operand], width - 1, *room[operand + 1 :]]
            if width > 1 and not all(along) and smaller not in seen:
                waiting.append(smaller)
                seen.append(smaller)
    return list(found.values())


def _room(problem: Problem, hierarchy: Hierarchy, operand: int) -> float:
    """Elements of an operand that its innermost memory has room for."""
    bits = problem.partial_bits if operand == O else problem.bits[operand]
    levels = hierarchy.levels[operand]
    return max(1.0, hierarchy.memories[levels[0]].size_bits / bits) if bits and levels else inf


def _chosen(
    problem: Problem, core: CoreSpec, hierarchy: Hierarchy, dataflow: Dataflow | None, rooms: list[float]
) -> tuple[Factors, ...]:
    """The factors on each array dimension with `rooms` elements in the innermost memories."""
    limits = _limits(problem, core, hierarchy, rooms)
    fixed: list[Factors | None] = [None] * len(core.array)
    if dataflow:
        fixed = _fixed(problem, core, limits, dataflow)
    return _within_capacity(problem, hierarchy, core, _search(problem, limits, fixed), rooms)


def _limits(problem: Problem, core: CoreSpec, hierarchy: Hierarchy, rooms: list[float]) -> list[list[int]]:
    """[dimension][loop]: the widest unrolling that the array, the layer and the innermost memories' sizes allow.

    Ports do not count: one too narrow to feed every unit in a cycle stalls them, so that a wider one is never slower.
    """
    limits = [[min(size, dimension.size) for size in problem.sizes] for dimension in core.array]
    for operand, levels in enumerate(hierarchy.levels):
        if rooms[operand] == inf:
            continue
        memory = hierarchy.memories[levels[0]]
        room = int(rooms[operand])
        for place, dimension in enumerate(core.array):
            if dimension.name in memory.served:
                for loop, kind in enumerate(problem.relevance[operand]):
                    if kind != IRRELEVANT:
                        limits[place][loop] = min(limits[place][loop], room)
    return limits


def _fixed(problem: Problem, core: CoreSpec, limits: list[list[int]], dataflow: Dataflow) -> list[Factors | None]:
    """The dataflow's factors, cut to the limits; None for array dimensions that it leaves open."""
    result: list[Factors | None] = []
    left = list(problem.sizes)
    for place, dimension in enumerate(core.array):
        given = [u for u in dataflow.unrolling if u.dimension == dimension.name]
        factors: list[tuple[int, int]] = []
        room = dimension.size
        for unrolling in given:
            loop = LOOPS.index(unrolling.loop) if unrolling.loop in LOOPS else None
            if loop is None:
                continue
            factor = min(unrolling.size, limits[place][loop], room, left[loop])
            if factor > 1:
                factors.append((loop, factor))
                room //= factor
                left[loop] = left[loop] // factor if factor < left[loop] else 1
        result.append(tuple(factors) if given else None)
    return result


def _search(problem: Problem, limits: list[list[int]], fixed: list[Factors | None]) -> tuple[Factors, ...]:
    """The best choice for the open dimensions."""
    order = PREFERENCE if problem.sizes[1] * problem.sizes[2] > 1 else GROUPED_PREFERENCE
    options = [
        [(choice, prod(f for _, f in choice))] if choice is not None else _options(limits[place], order)
        for place, choice in enumerate(fixed)
    ]
    best_left = [prod(o[0][1] for o in options[i:]) for i in range(len(options) + 1)]
    best, found = 0.0, tuple[Factors, ...]()

    def visit(place: int, busy: int, chosen: tuple[Factors, ...], unrolled: dict[int, int]) -> None:
        nonlocal best, found
        if place == len(options):
            indicator = busy + busy / max(unrolled.values(), default=1) - 1
            if indicator > best:
                best, found = indicator, chosen
            return
        for choice, width in options[place]:
            if 2 * busy * width * best_left[place + 1] - 1 <= best:
                break
            merged = dict(unrolled)
            for loop, factor in choice:
                merged[loop] = merged.get(loop, 1) * factor
            if all(factor <= problem.sizes[loop] for loop, factor in merged.items()):
                visit(place + 1, busy * width, (*chosen, choice), merged)

    visit(0, 1, (), {})
    return found


def _options(limits: list[int], order: tuple[int, ...]) -> list[tuple[Factors, int]]:
    """Single-loop choices for one array dimension, widest first."""
    choices: list[tuple[Factors, int]] = [
        (((loop, factor),), factor) for loop in order for factor in divisors(limits[loop]) if factor > 1
    ]
    return sorted([*choices, ((), 1)], key=lambda c: -c[1])


def _within_capacity(
    problem: Problem, hierarchy: Hierarchy, core: CoreSpec, chosen: tuple[Factors, ...], rooms: list[float]
) -> tuple[Factors, ...]:
    """Shrink factors until the elements unrolled below an innermost memory fit into it."""
    factors = [list(choice) for choice in chosen]
    for operand, levels in enumerate(hierarchy.levels):
        if not levels:
            continue
        memory = hierarchy.memories[levels[0]]
        places = [
            (place, index)
            for place, dimension in enumerate(core.array)
            if dimension.name in memory.served
            for index, (loop, _) in enumerate(factors[place])
            if problem.relevance[operand][loop] != IRRELEVANT
        ]
        while places and prod(factors[p][i][1] for p, i in places) > rooms[operand]:
            place, index = max(places, key=lambda at: factors[at[0]][at[1]][1])
            loop, factor = factors[place][index]
            if factor == 1:
                break
            factors[place][index] = (loop, factor - 1)
    return tuple(tuple((loop, factor) for loop, factor in choice if factor > 1) for choice in factors)


def _spread(problem: Problem, core: CoreSpec, chosen: tuple[Factors, ...]) -> Unrolled:
    """Divide each loop over its factors and the iterations left; the widest factor takes up the remainder."""
    mean = [[1.0] * len(LOOPS) for _ in chosen]
    whole = [[1.0] * len(LOOPS) for _ in chosen]
    temporal = list(problem.sizes)
    for place, choice in enumerate(chosen):
        for loop, factor in choice:
            mean[place][loop] = whole[place][loop] = float(factor)
    for loop, size in enumerate(problem.sizes):
        widths = [mean[place][loop] for place in range(len(chosen))]
        if all(width == 1.0 for width in widths):
            continue
        widest = widths.index(max(widths))
        before = prod(widths[:widest])
        rounds = ceil(size / (widths[widest] * before))
        mean[widest][loop] = size / rounds / before
        whole[widest][loop] = float(int(size / rounds / before))
        left = size
        for place in range(len(chosen)):
            left = ceil(left / mean[place][loop] - 1e-9)
        temporal[loop] = max(1, left)
    drain = sum(
        max(prod(factor for _, factor in choice) - 1, 0)
        for choice, dimension in zip(chosen, core.array, strict=True)
        if dimension.systolic
    )
    return Unrolled(tuple(map(tuple, mean)), tuple(map(tuple, whole)), tuple(temporal), drain)
