"""Latency: compute cycles, stalls where ports cannot keep up, loading of the first and storing of the last tiles.

Follows ZigZag's latency model (Mei et al. 2022, "A uniform latency model for DNN accelerators"): a movement has a
window in every period, all of it where the memory can hold two tiles (double buffering), else only what is left of
the period once the tile is no longer in use; movements that share a port stall each other where the union of their
windows is too short.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eenn_multicore.hierarchy import FROM_HIGH, FROM_LOW, TO_HIGH, TO_LOW, Activity, Hierarchy, Port
from eenn_multicore.mapping import Bools, Floats, Ints, Nest
from eenn_multicore.problem import I, O, W
from eenn_multicore.traffic import Operand


@dataclass
class Latency:
    """Cycles per row."""

    compute: Floats
    stall: Floats
    onload: Floats
    offload: Floats
    borrowed: dict[Activity, Floats]
    """Average bits per cycle that loads before and stores after the computation take from it."""

    @property
    def total(self) -> Floats:
        """All cycles."""
        return self.compute + self.stall + self.onload + self.offload


@dataclass
class _Duty:
    """A movement on a port: cycles it takes and may take in each period."""

    real: Floats
    allowed: Floats
    period: Floats
    count: Floats
    active: Bools


def latency(
    nest: Nest, hierarchy: Hierarchy, mean: list[Operand | None], whole: list[Operand | None], pace: float = 1.0
) -> Latency:
    """Cycles of every row; `mean` and `whole` are the movements of the mean and of the rounded-down unrolling.

    `pace` is cycles per operation: below 1 where units do several narrow MACs at once, above 1 where they are serial.
    """
    double = _double_buffered(hierarchy, mean)
    duties = {
        Activity(op, level, direction): _duty(hierarchy, whole, double, Activity(op, level, direction), pace)
        for op, operand in enumerate(whole)
        if operand
        for level, direction in operand.movements
    }
    ports = [port for group in hierarchy.ports for port in group]
    stall = np.zeros(nest.rows.count)
    for port in ports:
        stall = np.maximum(stall, _port_stall([duties[a] for a in port.carries if a in duties]))
    compute = nest.total * pace
    loads = [_loads(port, whole, duties, pace) for port in ports]
    loading, borrowed = _hidden([one for one in loads if one], compute + stall)
    found = Latency(compute, stall, _onload(hierarchy, loading), _offload(hierarchy, loading), borrowed)
    # Time in which the array stalls may hide the loads of several levels, each in full: that must not gain more than
    # the stall costs, or a port that stalls less would be slower.
    rows = np.flatnonzero(stall)
    if rows.size:
        loading, _ = _hidden([one.of(rows) for one in loads if one], compute[rows])
        unstalled = compute[rows] + _onload(hierarchy, loading) + _offload(hierarchy, loading)
        stall[rows] += np.maximum(0.0, unstalled - found.total[rows])
    return found


def _double_buffered(hierarchy: Hierarchy, mean: list[Operand | None]) -> dict[tuple[int, int], Bools]:
    """By (operand, level): whether the tile in use and the next one fit together, in memories shared or not."""
    own: dict[tuple[int, int], Floats] = {}
    for op, operand in enumerate(mean):
        if operand:
            for level, held in enumerate(operand.held_bits):
                size = hierarchy.memories[hierarchy.levels[op][level]].size_bits
                own[op, level] = np.floor(held / operand.top_relevant[level]) / size
    used = {index: np.zeros(()) for index in range(len(hierarchy.memories))}
    for (op, level), share in own.items():
        used[hierarchy.levels[op][level]] = used[hierarchy.levels[op][level]] + share
    result = {}
    for (op, level), share in own.items():
        index = hierarchy.levels[op][level]
        roomy = used[index] <= 0.5
        fits = ~roomy & (share <= 1 - used[index])
        used[index] = used[index] + np.where(fits, share, 0.0)
        result[op, level] = roomy | fits
    return result


def _duty(
    hierarchy: Hierarchy, whole: list[Operand | None], double: dict[tuple[int, int], Bools], activity: Activity,
    pace: float,
) -> _Duty:  # fmt: skip
    op, level, direction = activity.operand, activity.level, activity.direction
    operand = whole[op]
    assert operand is not None  # noqa: S101  (the caller iterates over those)
    movement = operand.movements[level, direction]
    port = hierarchy.port(op, level, direction)
    bandwidth = port.bandwidth_bits if port else 1
    real = np.ceil(movement.elements * movement.bits / bandwidth) if port else np.zeros_like(movement.period)
    below = level if direction in (FROM_HIGH, TO_HIGH) else level - 1
    if below < 0:
        allowed = movement.period
    else:
        allowed = np.where(
            double[op, below], movement.period, np.floor(movement.period / operand.top_irrelevant[below])
        )
    return _Duty(real, allowed * pace, movement.period * pace, movement.count, movement.count > 0)


def _port_stall(duties: list[_Duty]) -> Floats:
    """Cycles that a port adds to the computation."""
    if not duties:
        return np.zeros(())
    slack = [np.where(d.active, (d.real - d.allowed) * (d.count - 1), 0.0) for d in duties]
    several = sum(d.active.astype(int) for d in duties) > 1
    positive = sum(np.maximum(s, 0.0) for s in slack)
    negative = sum(np.minimum(s, 0.0) for s in slack)
    windows = sum(np.where(d.active, d.allowed * (d.count - 1), 0.0) for d in duties)
    union = _union(duties)
    shared = positive + np.maximum(0.0, negative + windows - union)
    return np.asarray(np.where(several, shared, np.maximum(sum(slack), 0.0)))


def _union(duties: list[_Duty]) -> Floats:
    """Cycles of the whole computation in which at least one of the port's windows is open.

    Windows open at the start of each period. Periods divide each other, all being products of the innermost loops,
    so that the covered part of [0, x) follows from the shorter periods': see `_covered`.
    """
    period = np.stack([np.where(d.active, d.period, 1.0) for d in duties])
    allowed = np.stack([np.where(d.active, d.allowed, 0.0) for d in duties])
    count = np.stack([np.where(d.active, d.count, 0.0) for d in duties])
    always = np.stack([d.active & (d.period == d.allowed) for d in duties])
    whole = np.where(always, period * count, 0.0).max(axis=0)
    anywhere = always.any(axis=0)
    rest = np.flatnonzero(~anywhere)
    if rest.size:
        order = np.argsort(period[:, rest], axis=0, kind="stable")
        p = np.take_along_axis(period[:, rest], order, axis=0)
        a = np.take_along_axis(allowed[:, rest], order, axis=0)
        c = np.take_along_axis(count[:, rest], order, axis=0)
        whole[rest] = _covered(p, a, len(p) - 1, p[-1]) * c[-1]
    return np.asarray(whole)


def _covered(period: Floats, allowed: Floats, last: int, x: Floats) -> Floats:
    """Cycles of [0, x) under a window of any of the movements 0..`last`, sorted by period."""
    if last < 0:
        return np.zeros_like(x)
    p, a = period[last], np.minimum(allowed[last], period[last])
    before = _covered(period, allowed, last - 1, a)
    full = a + _covered(period, allowed, last - 1, p) - before
    rounds = np.floor(x / p)
    left = x - rounds * p
    partly = np.where(left <= a, left, a + _covered(period, allowed, last - 1, np.maximum(left, a)) - before)
    return np.asarray(rounds * full + partly)


@dataclass
class _Loads:
    """First loads and last stores on a port of `width` bits per cycle; [activities, rows] each."""

    activities: list[Activity]
    width: float
    needed: Floats
    """[rows]: bits per cycle that the computation takes."""
    cycles: Floats
    least: Floats
    """Cycles of the first tile."""
    once: Bools
    """Whether it moves just once, and may use what the computation leaves free."""

    def of(self, rows: Ints) -> "_Loads":
        """The same for some rows."""
        return _Loads(self.activities, self.width, self.needed[rows], self.cycles[:, rows], self.least[:, rows],
                      self.once[:, rows])  # fmt: skip


def _loads(port: Port, whole: list[Operand | None], duties: dict[Activity, _Duty], pace: float) -> _Loads | None:
    """What a port loads before and stores after the computation."""
    carried = [
        a for a in port.carries
        if a in duties and not (a.operand == O and a.direction in (TO_LOW, FROM_HIGH))
    ]  # fmt: skip
    if not carried:
        return None
    width = float(port.spec.bandwidth_bits)
    active = np.stack([duties[a].active for a in carried])
    once = active & np.stack([duties[a].count == 1 for a in carried])
    needed = [np.ceil(_moved(whole, a).movements[a.level, a.direction].needed / pace) for a in carried]
    return _Loads(
        carried, width, np.where(active & ~once, np.stack(needed), 0.0).sum(axis=0),
        np.where(active, np.stack([duties[a].real for a in carried]), 0.0),
        np.ceil(np.stack([_moved(whole, a).held_bits[0] for a in carried]) / width), once,
    )  # fmt: skip


def _moved(whole: list[Operand | None], activity: Activity) -> Operand:
    operand = whole[activity.operand]
    assert operand is not None  # noqa: S101  (it has duties)
    return operand


def _hidden(loads: list[_Loads], busy: Floats) -> tuple[dict[Activity, Floats], dict[Activity, Floats]]:
    """Cycles of loads and stores beside `busy` cycles of computation, and the bits per cycle they borrow from it.

    What moves once may use the port's bandwidth that the computation leaves free, but for the first tile.
    """
    loading: dict[Activity, Floats] = {}
    borrowed: dict[Activity, Floats] = {}
    for one in loads:
        surplus = np.maximum(0.0, (one.width - one.needed) / one.width * busy)
        remaining = _reduce(one, surplus)
        borrow = np.ceil((one.cycles - remaining) / busy * one.width)
        for i, activity in enumerate(one.activities):
            loading[activity], borrowed[activity] = remaining[i], borrow[i]
    return loading, borrowed


def _reduce(loads: _Loads, surplus: Floats) -> Floats:
    """Shorten what moves once, the longest first, down to its first tile, by up to `surplus` cycles in all."""
    remaining = loads.cycles.copy()
    room = np.where(loads.once, np.maximum(0.0, loads.cycles - loads.least), 0.0)
    if len(remaining) == 1:
        return np.asarray(remaining - np.minimum(room, surplus))
    at = np.arange(remaining.shape[1])
    for index in np.argsort(np.where(loads.once, -loads.cycles, 1.0), axis=0, kind="stable"):
        cut = np.minimum(room[index, at], surplus)
        remaining[index, at] -= cut
        surplus = surplus - cut
    return remaining


def _onload(hierarchy: Hierarchy, loading: dict[Activity, Floats]) -> Floats:
    """Loading of the first tiles: levels of an operand in turn, operands side by side except on shared ports."""
    own: dict[int, Floats] = {}
    half: dict[int, Floats] = {}
    shared: dict[int, Floats] = {}
    for op in (W, I):
        own[op], half[op], shared[op] = (np.zeros(()) for _ in range(3))
        for low, high in pairwise(range(len(hierarchy.levels[op]))):
            into, out = Activity(op, low, FROM_HIGH), Activity(op, high, TO_LOW)
            flags = (_is_shared(hierarchy, into), _is_shared(hierarchy, out))
            cycles = np.maximum(loading.get(into, np.zeros(())), loading.get(out, np.zeros(())))
            if all(flags):
                shared[op] = shared[op] + cycles
            elif any(flags):
                half[op] = cycles
            else:
                own[op] = own[op] + cycles
    if not hierarchy.levels[W]:
        return shared[I] + half[I] + own[I]
    first = shared[W] + np.maximum(shared[I] + half[I] + own[I], half[W] + own[W])
    second = shared[I] + np.maximum(shared[W] + half[W] + own[W], half[I] + own[I])
    return np.asarray(np.minimum(first, second))


def _is_shared(hierarchy: Hierarchy, activity: Activity) -> bool:
    group = hierarchy.ports[hierarchy.levels[activity.operand][activity.level]]
    return any(port.shared_by_inputs for port in group if activity in port.carries)


def _offload(hierarchy: Hierarchy, loading: dict[Activity, Floats]) -> Floats:
    """Storing of the last results, level by level."""
    result = np.zeros(())
    for low, high in pairwise(range(len(hierarchy.levels[O]))):
        out = loading.get(Activity(O, low, TO_HIGH), np.zeros(()))
        into = loading.get(Activity(O, high, FROM_LOW), np.zeros(()))
        result = result + np.maximum(out, into)
    return result


def outer_demand(hierarchy: Hierarchy, mean: list[Operand | None], cycles: Latency) -> list[Floats]:
    """Bits per cycle that each operand asks of the outermost memory while the array computes."""
    outermost = len(hierarchy.memories) - 1
    demand = []
    for op, operand in enumerate(mean):
        total = np.zeros_like(cycles.compute)
        level = hierarchy.level_of(op, outermost)
        if operand is not None and level is not None:
            burst = operand.top_irrelevant[level - 1] if level else 1.0
            for direction in (TO_LOW, FROM_LOW):
                activity = Activity(op, level, direction)
                if (level, direction) in operand.movements:
                    total = total + operand.movements[level, direction].needed * burst
                    total = total + cycles.borrowed.get(activity, 0.0)
        demand.append(total)
    return demand
