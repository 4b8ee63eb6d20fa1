"""The Pareto front of three objectives."""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt


def pareto_front(points: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Rows of `points` [n, 3] that no other row beats (all values at most as large, one smaller), by first value.

    Of equal rows the first stays; rows with a NaN never do. A sweep along the first value keeps the staircase of the
    other two (Kung, Luccio, Preparata 1975): O(n log n) but for the list's insertions.
    """
    known = np.flatnonzero(~np.isnan(points).any(1))
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
