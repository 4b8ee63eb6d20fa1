"""What a log says, as arrays: every distinct architecture, its fronts, and how the search went."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.broken import broken_constraints

if TYPE_CHECKING:
    from eenn_rl.trajectory import TrajectoryLog

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
WINDOWS = 60
"""Parts that the search is cut into, to show what changed."""
MOST_REASONS = 12
"""Different reasons of failures that are told."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Distinct logged architectures [n], in the order found; `accuracy` in 0..1, energies J, latencies s, ELP J s."""

    genomes: npt.NDArray[np.int16]
    feasible: npt.NDArray[np.bool_]
    accuracy: Floats
    energy_j: Floats
    latency_s: Floats
    elp: Floats

    def __len__(self) -> int:
        return len(self.accuracy)

    @property
    def drawable(self) -> npt.NDArray[np.bool_]:
        """Which have a place on logarithmic axes of cost: none that the backend failed on, whose costs are infinite."""
        places = [np.isfinite(cost) & (cost > 0) for cost in (self.energy_j, self.latency_s, self.elp)]
        found: npt.NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(self.accuracy), *places])
        return found

    def take(self, rows: Indices) -> "Cloud":
        """Some of them."""
        return Cloud(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


Preferences = dict[str, tuple[tuple[str, ...], Floats]]
"""By kind of decision: the names of its choices, and the share of each in each window, [w, choices]."""


@dataclass(frozen=True, eq=False)
class Policy:
    """How the policy changed while it was trained: `entropy` [u] at each update, in nats per decision.

    `evaluations` int [u] had been done before the update; `windows` int [w] are the ends of the windows of
    `preferences`, which tell what the policy proposed: up to each update, some put together where there are many.
    """

    evaluations: npt.NDArray[np.int64]
    entropy: Floats
    windows: npt.NDArray[np.int64]
    preferences: Preferences


@dataclass(frozen=True, eq=False)
class Search:
    """How a search went, by distinct evaluations: `evaluations` int [w] is how many had been done after each window.

    `best` is the greatest share of ELP saved by a feasible architecture so far (NaN before the first), `feasible` the
    share of feasible ones within the window, `diversity` [w] the mean entropy of the choices in it, 0..1 of the
    greatest possible. `policy` is None where none was trained, or its updates were not logged.
    """

    evaluations: npt.NDArray[np.int64]
    best: Floats
    feasible: Floats
    diversity: Floats
    preferences: Preferences
    policy: Policy | None


@dataclass(frozen=True, eq=False)
class Logged:
    """All that a report takes from a log. `broken` counts, by constraint, the distinct architectures that break it."""

    episodes: int
    cloud: Cloud
    search: Search
    broken: dict[str, int]
    failures: tuple[tuple[str, int], ...]
    seconds: float


def staircase(accuracy: Floats, cost: Floats) -> Indices:
    """The Pareto front of high accuracy and low cost, both finite, by falling accuracy; of equal points the first."""
    order = np.lexsort((np.arange(len(cost)), cost, -accuracy))
    if not len(order):
        return order
    lowest = np.minimum.accumulate(cost[order])
    better = np.concatenate([[True], cost[order][1:] < lowest[:-1]])
    front: Indices = order[better]
    return front


def thinned(cloud: Cloud, keep: Indices, most: int, measures: tuple[str, ...]) -> tuple[Indices, npt.NDArray[np.int64]]:
    """Rows to draw, and how many each stands for: one per cell of a grid, the cells as small as `most` allows.

    Of those that can be drawn at all. The grid lies over accuracy and the logarithm of each of `measures` in turn, for
    feasible and infeasible ones apart; rows in `keep` are always drawn.
    """
    drawable = cloud.drawable
    rows = np.flatnonzero(drawable)
    if len(rows) <= most:
        return rows, np.ones(len(rows), np.int64)
    for cells in (240, 200, 160, 128, 100, 80, 64, 48, 32, 16):
        chosen, counts = _by_cell(cloud, rows, cells, measures[0])
        for measure in measures[1:]:
            chosen = np.union1d(chosen, _by_cell(cloud, rows, cells, measure)[0])
        if len(chosen) <= most:
            break
    drawn = np.union1d(chosen, keep[drawable[keep]])
    return drawn, counts[np.searchsorted(rows, drawn)]


def _by_cell(cloud: Cloud, rows: Indices, cells: int, measure: str) -> tuple[Indices, npt.NDArray[np.int64]]:
    """The first row of each cell, and for every row how many share its cell."""
    x, y = cloud.accuracy[rows], np.log(getattr(cloud, measure)[rows])
    key = (_cell(x, cells) * cells + _cell(y, cells)) * 2 + cloud.feasible[rows]
    first = np.full(2 * cells * cells, -1, np.intp)
    first[key[::-1]] = np.arange(len(key) - 1, -1, -1)  # the last to be written is the first of its cell
    return rows[first[first >= 0]], np.bincount(key, minlength=len(first))[key]


def _cell(values: Floats, cells: int) -> npt.NDArray[np.int64]:
    low, high = float(values.min()), float(values.max())
    return np.minimum((values - low) / max(high - low, 1e-12) * cells, cells - 1).astype(np.int64)


def read_logged(log: "TrajectoryLog") -> Logged:
    """Everything for the report of one log."""
    names = ("architecture", "feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction")
    columns = log.columns(*names)
    rows = log.distinct()
    cloud = Cloud(*(columns[name][rows] for name in names[:-1]))
    meta = log.meta
    broken, failing = broken_constraints(log, rows)
    seconds = float(log.columns("wall_s", start=len(log) - 1)["wall_s"][0]) if len(log) else 0.0
    return Logged(
        episodes=len(log),
        cloud=cloud,
        search=_search(cloud, columns["elp_reduction"][rows], meta, _policy(log, cloud, meta)),
        broken=broken,
        failures=_reasons(log, failing),
        seconds=seconds,
    )


def _reasons(log: "TrajectoryLog", failing: Indices) -> tuple[tuple[str, int], ...]:
    """Reasons of the backend's failures and how often each came, the most frequent first; at most 2000 are read."""
    counts: dict[str, int] = {}
    for row in failing[:2000].tolist():
        text = log.columns("failure", start=row, stop=row + 1)["failure"][0].decode("utf-8", "replace")
        counts[text or "no reason given"] = counts.get(text or "no reason given", 0) + 1
    return tuple(sorted(counts.items(), key=lambda item: -item[1])[:MOST_REASONS])


def _policy(log: "TrajectoryLog", cloud: Cloud, meta: Any) -> Policy | None:
    updates = log.updates()
    # A search that is going on may be ahead of its episodes.
    known = (updates["evaluations"] <= len(cloud)) & np.isfinite(updates["entropy"])
    evaluations, entropy = updates["evaluations"][known], updates["entropy"][known]
    if not len(evaluations):
        return None
    ends = evaluations[np.unique(np.linspace(0, len(evaluations) - 1, WINDOWS).astype(np.int64))]
    windows = list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))
    return Policy(evaluations, entropy, ends, _preferences(cloud.genomes, windows, meta))


def _search(cloud: Cloud, saved: Floats, meta: Any, policy: Policy | None) -> Search:
    n = len(cloud)
    edges = np.unique(np.linspace(0, n, min(WINDOWS, n) + 1).astype(np.int64)) if n else np.zeros(1, np.int64)
    windows = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    running = np.maximum.accumulate(np.where(cloud.feasible & np.isfinite(saved), saved, -np.inf)) if n else np.zeros(0)
    best = np.array([running[end - 1] for _, end in windows])
    shares = _preferences(cloud.genomes, windows, meta)
    entropies = [_entropy(values) for _, values in shares.values()]
    return Search(
        evaluations=edges[1:],
        best=np.where(np.isfinite(best), best, np.nan),
        feasible=np.array([float(cloud.feasible[a:b].mean()) for a, b in windows]),
        diversity=np.mean(entropies, axis=0) if entropies and windows else np.zeros(0),
        preferences=shares,
        policy=policy,
    )


def _entropy(shares: Floats) -> Floats:
    """Entropy of each row of shares that sum to 1, relative to the greatest possible."""
    if shares.shape[1] < 2:
        return np.zeros(len(shares))
    logs = np.log(np.where(shares > 0, shares, 1.0))
    entropy: Floats = -(shares * logs).sum(1) / np.log(shares.shape[1])
    return entropy


def _preferences(genomes: npt.NDArray[np.int16], windows: list[tuple[int, int]], meta: Any) -> Preferences:
    """For each kind of decision the names of its choices and their shares in each window."""
    blocks = [str(block["name"]) for block in meta.backbone["blocks"]]
    branches = [str(name) for name in meta.space["branches"]]
    bits = sorted(int(value) for value in meta.space["bits"])
    cores = _allocation_names(meta.accelerator)
    location, branch = genomes[:, :, 0], genomes[:, :, 1]
    early = (location >= 0) & (location < len(blocks) - 1)
    exits = (location >= 0).sum(1)
    every = [str(k) for k in range(1, genomes.shape[1] + 1)]
    return {
        "number of exits": (tuple(every), _shares(exits - 1, np.ones_like(exits, np.bool_), len(every), windows)),
        "exit after block": (tuple(blocks[:-1]), _shares(location, early, len(blocks) - 1, windows)),
        "branch": (tuple(branches), _shares(branch, early, len(branches), windows)),
        "bits": (
            tuple(map(str, bits)),
            _shares(np.searchsorted(bits, genomes[:, :, 2]), location >= 0, len(bits), windows),
        ),
        "core of a stage": (tuple(cores), _shares(genomes[:, :, 3], location >= 0, len(cores), windows)),
    }


def _allocation_names(accelerator: Any) -> list[str]:
    names = [str(core["name"]) for core in accelerator["cores"]]
    return ["+".join(names[core] for core in allocation) for allocation in accelerator["allocations"]]


def _shares(
    values: npt.NDArray[Any], used: npt.NDArray[np.bool_], choices: int, windows: list[tuple[int, int]]
) -> Floats:
    found = np.zeros((len(windows), choices))
    for row, (start, end) in enumerate(windows):
        counts = np.bincount(values[start:end][used[start:end]].astype(np.int64), minlength=choices)[:choices]
        found[row] = counts / max(1, counts.sum())
    return found
