"""Grid: what every setting of some thresholds per exit does, from one joint histogram of confidence levels.

Exact integer counts. With t_d the threshold level of exit d, an input passes exit d when its level there is below t_d:

    P_d[t_0 .. t_d]  inputs that pass exits 0..d;    n_d = P_{d-1} - P_d leave at exit d
    right = sum_i y_0 + sum_d V_d[t_0 .. t_d],   V_d the same sum with each input weighing y_{d+1} - y_d

with y_d in {0, 1} whether exit d is right about the input. Both are sums over all cells up to a setting's.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.levels import LEVELS

Ints = npt.NDArray[np.signedinteger]
Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Index = tuple[npt.NDArray[np.intp], ...]


class Workspace:
    """Memory for grids, used again and again: fresh pages would cost more than the sums themselves.

    A grid lives in it until the next one is made.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, type], npt.NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: type) -> npt.NDArray[Any]:
        """The array `name` of `shape`, with whatever it held before."""
        size = prod(shape)
        buffer = self._buffers.get((name, kind))
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name, kind] = np.zeros(size, kind)
        return buffer[:size].reshape(shape)


def cells_of(levels: Levels, choice: Levels) -> Levels:
    """How many thresholds of `choice` (increasing; equal ones count each) every level reaches: uint8, as `levels`."""
    reached: Levels = np.searchsorted(choice, np.arange(LEVELS), side="right").astype(np.uint8)
    return reached[levels]


@dataclass(frozen=True)
class Grid:
    """All settings of some thresholds per early exit, for `n` runs of exits at once.

    `passing[d]` is P_d, [n, ...] with one axis for each of the exits 0..d and one entry per threshold; `right` the
    inputs right in all, over all exits. The largest arrays live in `work`.
    """

    samples: int
    passing: list[Ints]
    right: Ints
    work: Workspace

    @classmethod
    def of(cls, cells: list[Levels], sizes: list[int], right: list[Bools], work: Workspace) -> "Grid":
        """The grid of K - 1 early exits with `cells` [n, N] each (see `cells_of`) of so many thresholds (`sizes`).

        `right` are K arrays [n, N].
        """
        runs, samples = cells[0].shape
        cell: npt.NDArray[np.intp] = np.arange(runs)[:, np.newaxis]
        total: Ints = right[0].sum(axis=1, dtype=np.int32)  # as narrow as the sums below: much faster to add to them
        passing: list[Ints] = []
        for d, size in enumerate(sizes):
            cell = cell * (size + 1) + cells[d]
            shape = (runs, *(each + 1 for each in sizes[: d + 1]))
            passed, change = _sums(cell, right[d + 1].view(np.int8) - right[d].view(np.int8), shape, work)
            change += total[..., np.newaxis]
            passing.append(passed)
            total = change
        return cls(samples, passing, total, work)

    def leaving(self) -> list[Ints]:
        """How many leave at each exit, the last included, over all settings (each broadcasts to all axes)."""
        axes = self.right.ndim
        passing = [values.reshape(values.shape + (1,) * (axes - values.ndim)) for values in self.passing]
        before = [np.array(self.samples), *passing]
        return [*(a - b for a, b in zip(before, passing, strict=False)), passing[-1]]

    def lacking(self, least: int) -> Ints:
        """How many inputs all exits together lack to have `least` each."""
        lacking: Ints = np.zeros((), np.int64)
        for leaving in self.leaving():
            lacking = lacking + np.maximum(least - leaving, 0)
        return lacking

    def holding(self, right: int, least: int) -> Bools:
        """Which settings have at least `right` inputs right in all, and at least `least` leaving at every exit."""
        outer: Ints | int = self.samples
        for passing in self.passing[:-1]:
            outer = _bounded(outer, passing, least)
        good, also = (self.work.array(name, self.right.shape, np.bool_) for name in ("good", "also"))
        np.greater_equal(self.right, right, out=good)
        np.greater_equal(self.passing[-1], least, out=also)
        good &= also
        limit = outer - least
        np.less_equal(self.passing[-1], limit[..., np.newaxis] if isinstance(limit, np.ndarray) else limit, out=also)
        good &= also
        return good


def _bounded(before: Ints | int, passing: Ints, least: int) -> Ints:
    """`passing`, but -1 where fewer than `least` of those that came so far (`before`) leave: nothing fits below it."""
    came = before[..., np.newaxis] if isinstance(before, np.ndarray) else before
    return np.where(came - passing >= least, passing, -1)


def _sums(cell: npt.NDArray[np.intp], weight: npt.NDArray[np.int8], shape: tuple[int, ...], work: Workspace) -> tuple[
    Ints, Ints
]:  # fmt: skip
    """Sums over all cells of each histogram of `shape` up to each one: of inputs, and of their weights (-1, 0 or 1).

    The first axis tells histograms apart. The last entry of each other axis holds the inputs of the highest levels,
    which no threshold lets pass, and falls away.
    """
    # Two sums in one integer: inputs in the upper half; in the lower their weights plus 1 each, so never below 0.
    kind, half = (np.int32, 16) if cell.shape[1] < 2**15 else (np.int64, 32)
    histogram = work.array("histogram", (prod(shape),), kind)
    histogram.fill(0)
    np.add.at(histogram, cell.ravel(), weight.astype(kind).ravel() + ((1 << half) + 1))
    inner = (shape[0], *(size - 1 for size in shape[1:]))
    packed, passing = work.array(f"packed {len(shape)}", inner, kind), work.array(f"passing {len(shape)}", inner, kind)
    kept = (slice(None), *(slice(-1),) * (len(shape) - 1))
    np.cumsum(histogram.reshape(shape)[kept], axis=-1, out=packed)
    for axis in range(1, len(shape) - 1):
        slices = np.moveaxis(packed, axis, 0)
        # Whole slices at a time: several times faster than cumsum along an outer axis.
        for j in range(1, len(slices)):
            slices[j] += slices[j - 1]
    np.right_shift(packed, half, out=passing)
    both = work.array("histogram", inner, kind)
    np.multiply(passing, (1 << half) + 1, out=both)
    packed -= both
    return passing, packed
