"""UpdateColumns: what a policy was like at each of its updates, beside the episodes it learned from."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eenn_rl.errors import check
from eenn_rl.trajectory.growing import Growing
from eenn_rl.trajectory.schema import UPDATES, TrajectoryError


class UpdateColumns:
    """The rows of /updates, kept in memory (a row for dozens of episodes) and written by `write`.

    `columns` are the data sets by name in the log at `path`. An older log has none: there nothing is kept.
    """

    def __init__(self, path: Path, columns: Mapping[str, Growing] | None) -> None:
        self._path = path
        self._columns = columns
        values = [columns[column.name].read().tolist() for column in UPDATES] if columns else [[], []]
        self._rows: list[tuple[int, float]] = list(zip(*values, strict=True))
        self._saved = self._next = len(self._rows)

    @property
    def pending(self) -> bool:
        """Whether there are rows to write."""
        return self._saved < len(self._rows)

    def rewind(self, episodes: int) -> None:
        """The next update follows those after at most `episodes` evaluations; what is known is compared, not added."""
        self._next = sum(evaluations <= episodes for evaluations, _ in self._rows)

    def add(self, evaluations: int, entropy: float) -> None:
        """One update; raises `TrajectoryError` where the log holds another in its place."""
        if self._columns is None:
            return
        before = self._rows[self._next - 1][0] if self._next else 0
        check(
            evaluations > before, "evaluations at a policy update", evaluations, f"more than {before}, as at the last"
        )
        row = (evaluations, float(entropy))
        if self._next == len(self._rows):
            self._rows.append(row)
        elif struct.pack("<qd", *self._rows[self._next]) != struct.pack("<qd", *row):
            raise TrajectoryError(
                f"{self._path}: expected the resumed search to repeat the logged one, found "
                f"policy update {self._next}: logged {self._rows[self._next]}, found {row} (evaluations, entropy): "
                "code, packages or machine changed since; start a new run"
            )
        self._next += 1

    def write(self) -> None:
        """Append what is new to the data sets."""
        if self._columns is None or not self.pending:
            return
        new = self._rows[self._saved :]  # one step: `add` may be at work in another thread
        for column, values in zip(UPDATES, zip(*new, strict=True), strict=True):
            self._columns[column.name].append(np.array(values, column.dtype))
        self._saved += len(new)
