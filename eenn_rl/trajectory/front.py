"""The Pareto front of three objectives."""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

SAMPLE, CHAMPIONS = 4096, 32


def pareto_front(points: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Rows of `points` [n, 3] that no other row beats (all values at most as large, one smaller), by first value.

    Of equal rows the first stays; rows with a NaN never do. A sweep along the first value keeps the staircase of the
    other two (Kung, Luccio, Preparata 1975): O(n log n) but for the list's insertions. Of many
    rows, those that the front of a few beats go first.
    """
    known = _promising(points, np.flatnonzero(~np.isnan(points).any(1)))
    order = known[np.lexsort((known, points[known, 2], points[known, 1], points[known, 0]))]
    seconds: list[float] = []
    thirds: list[float] = []
    front = []
    for row, (_, second, third) in zip(order.tolist(), points[order].tolist(), strict=True):
        at = bisect_right(seconds, second)
        if at and thirds[at - 1] <= third:
            continue
        front.append(row)
        end = at
        while end < len(thirds) and thirds[end] >= third:
            end += 1
        start = at - 1 if at and seconds[at - 1] == second else at
        seconds[start:end], thirds[start:end] = [second], [third]
    return np.array(front, np.intp)


def _promising(points: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """`rows` without those that some row of a small sample's front beats."""
    if len(rows) <= 4 * SAMPLE:
        return rows
    sample = rows[:: len(rows) // SAMPLE]
    champions = sample[pareto_front(points[sample])]
    for champion in points[champions[:: -(-len(champions) // CHAMPIONS)]]:
        found = points[rows]
        beaten = (found >= champion).all(1) & (found > champion).any(1)
        rows = rows[~beaten]
    return rows
