"""RowFinder: which table rows an architecture's exits stand on.

A row is measured for a path of bits, one per block. Large backbones have too many paths to measure; there the *nearest*
measured row of the same location and branch stands in: the one with the least distance

    sum over blocks of |log2 bits - log2 measured bits|,

ties going to the row that agrees at the later blocks. `approximation_error` measures what that costs.
"""

from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import InvalidValueError
from eenn_rl.tables import AccuracyTables

Genomes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]
LOCATION, BRANCH, BITS = range(3)
"""The columns of a genome's row that accuracy depends on."""


@dataclass(frozen=True)
class _Profile:
    """The rows of a profile's exits, and whether each is that of another path."""

    rows: tuple[int, ...]
    approximated: tuple[bool, ...]


class RowFinder:
    """Finds rows, once per profile: the locations, branches and bits that architectures share."""

    def __init__(self, tables: AccuracyTables) -> None:
        self.tables = tables
        self._groups = _groups(tables)
        self._ids: dict[bytes, int] = {}
        self._profiles: list[_Profile] = []
        self._nearest: dict[tuple[tuple[int, ...], int, int], tuple[int, float]] = {}

    def profiles(self, genomes: Genomes) -> npt.NDArray[np.int64]:
        """The number of each genome's profile, int64 [n]; profiles are numbered as they come."""
        keys = keys_of(genomes[:, :, : BITS + 1])
        known = self._ids
        found = list(map(known.get, keys))
        if None in found:
            for index, number in enumerate(found):
                if number is None and keys[index] not in known:
                    self._add(keys[index], genomes[index])
            found = [known[key] for key in keys]
        return np.array(found, np.int64)

    def rows_of(self, profile: int) -> tuple[int, ...]:
        """The rows of a profile, one per exit."""
        return self._profiles[profile].rows

    def rows(self, genomes: Genomes) -> Ints:
        """The row of every exit of `genomes`, int32 [n, max_exits]; -1 where unused."""
        result = np.full(genomes.shape[:2], -1, np.int32)
        for index, profile in enumerate(self.profiles(genomes)):
            found = self._profiles[profile].rows
            result[index, : len(found)] = found
        return result

    def approximated(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which exits stand on a row of another path, bool [n, max_exits]."""
        result = np.zeros(genomes.shape[:2], np.bool_)
        for index, profile in enumerate(self.profiles(genomes)):
            found = self._profiles[profile].approximated
            result[index, : len(found)] = found
        return result

    def _add(self, key: bytes, genome: Genomes) -> None:
        path: tuple[int, ...] = ()
        rows, approximated = [], []
        for location, branch, bits in genome[genome[:, LOCATION] >= 0, : BITS + 1].tolist():
            path += (bits,) * (location + 1 - len(path))
            exit_ = (path, location, branch)
            if exit_ not in self._nearest:
                self._nearest[exit_] = self.nearest(*exit_)
            row, distance = self._nearest[exit_]
            rows.append(row)
            approximated.append(distance > 0)
        self._profiles.append(_Profile(tuple(rows), tuple(approximated)))
        self._ids[key] = len(self._profiles) - 1

    def nearest(self, path: tuple[int, ...], location: int, branch: int) -> tuple[int, float]:
        """The row nearest to `path` (bits of the blocks up to `location`) and its distance, 0 where it is exact."""
        group = self._groups.get((location, branch))
        if group is None:
            name = "the classifier" if branch < 0 else f"branch {branch}"
            raise InvalidValueError(
                f"the tables hold no row for {name} at block {location}: measure them again with it"
            )
        return group.nearest(path)


@dataclass
class _Group:
    """The rows of one location and branch: their numbers [g], and log2 of their bits [g, location + 1]."""

    rows: npt.NDArray[np.intp]
    log_bits: npt.NDArray[np.float64]

    def nearest(self, path: tuple[int, ...], excluded: int = -1) -> tuple[int, float]:
        """The number of the nearest row, that at `excluded` (a position in the group) apart, and its distance."""
        apart = np.abs(self.log_bits - np.log2(np.array(path, np.float64)))
        distance = apart.sum(axis=1)
        if excluded >= 0:
            distance[excluded] = np.inf
        ties = np.flatnonzero(distance == distance.min())
        later = apart[ties] @ np.arange(apart.shape[1])
        best = ties[later.argmin()]
        return int(self.rows[best]), float(distance[best])


def _groups(tables: AccuracyTables) -> dict[tuple[int, int], _Group]:
    groups = {}
    places = np.column_stack([tables.row_location, tables.row_branch])
    for location, branch in np.unique(places, axis=0).tolist():
        rows = np.flatnonzero((places == (location, branch)).all(axis=1))
        groups[location, branch] = _Group(rows, np.log2(tables.row_bits[rows, : location + 1].astype(np.float64)))
    return groups


def keys_of(array: npt.NDArray[np.int16]) -> list[bytes]:
    """The bytes of each row of `array` [n, ...]: hashable, equal where the rows are."""
    flat = np.ascontiguousarray(array).reshape(len(array), prod(array.shape[1:]))
    return cast("list[bytes]", flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize))).ravel().tolist())


@dataclass(frozen=True)
class ApproximationError:
    """How far the nearest other row is from a row, over all rows of mixed bits: means over `rows` rows.

    `accuracy` is the mean absolute difference of their accuracies (shares), `disagreement` the share of samples that
    one gets right and the other wrong, `level` the mean absolute difference of confidence levels.
    """

    rows: int
    accuracy: float
    disagreement: float
    level: float


def approximation_error(tables: AccuracyTables) -> ApproximationError:
    """Leave each mixed row out, stand its nearest neighbour in for it, and compare what both measured."""
    pairs = []
    for group in _groups(tables).values():
        for position, row in enumerate(group.rows):
            path = tables.row_bits[row][tables.row_bits[row] > 0]
            if len(np.unique(path)) > 1 and len(group.rows) > 1:
                pairs.append((int(row), group.nearest(tuple(path.tolist()), position)[0]))
    if not pairs:
        return ApproximationError(0, 0.0, 0.0, 0.0)
    own, other = np.array(pairs).T
    right = tables.correct
    levels = tables.confidence.astype(np.int16)
    return ApproximationError(
        len(pairs),
        float(np.abs(right[own].mean(axis=1) - right[other].mean(axis=1)).mean()),
        float((right[own] != right[other]).mean()),
        float(np.abs(levels[own] - levels[other]).mean()),
    )
