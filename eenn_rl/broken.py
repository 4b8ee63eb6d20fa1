"""Which constraints a search's architectures broke, and what to say where nothing is left."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from eenn_rl.trajectory import TrajectoryLog

Indices = npt.NDArray[np.intp]
BLOCK = 1 << 16
"""Episodes read at a time."""


def broken_constraints(log: "TrajectoryLog", rows: Indices) -> tuple[dict[str, int], Indices]:
    """How many of the distinct architectures `rows` break each constraint; the episodes in which the backend failed."""
    names = log.meta.violations
    distinct = np.zeros(len(log), np.bool_)
    distinct[rows] = True
    counts, failing = np.zeros(len(names), np.int64), []
    for start in range(0, len(log), BLOCK):
        found = log.columns("violations", start=start, stop=min(start + BLOCK, len(log)))["violations"] > 0
        counts += found[distinct[start : start + len(found)]].sum(0)
        if "backend" in names:
            failing.append(start + np.flatnonzero(found[:, names.index("backend")]))
    everywhere = np.concatenate(failing) if failing else np.zeros(0, np.intp)
    return dict(zip(names, counts.tolist(), strict=True)), everywhere


def nothing_found(broken: Mapping[str, int], architectures: int) -> str:
    """The line for a search without a feasible network with early exits."""
    if not architectures:
        return "no architecture was evaluated, so there is nothing to verify: begin a new run with another --agent"
    most = sorted((item for item in broken.items() if item[1]), key=lambda item: -item[1])
    counts = ", ".join(f"{name.replace('_', ' ')} by {count:,}" for name, count in most) or "none"
    return (
        f"no feasible network with early exits was found, so there is nothing to verify; constraints that were broken, "
        f"of {architectures:,} architectures: {counts}: begin a new run with looser bounds, or a larger --budget"
    )


def nothing_found_in(path: Path) -> str:
    """The line for the search logged in `path`."""
    from eenn_rl.trajectory import open_log

    with open_log(path) as log:
        rows = log.distinct()
        return nothing_found(broken_constraints(log, rows)[0], len(rows))
