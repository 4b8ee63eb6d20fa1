"""What a comparison of agents says: cells (one agent, one seed) and their summaries. Numbers only."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.search import History

SHARES = (0.95, 0.97, 0.99)
"""Shares of the best known reward that evaluations are counted to."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One agent's search with one seed.

    `improvements` are (evaluations, best feasible reward) whenever it rose. `hypervolume` is that of (accuracy, ELP
    reduction) over the feasible architectures, see `hypervolume`. `wall_s` is this machine's. `early` says so where the
    agent had nothing new to propose before the budget was spent.
    """

    agent: str
    seed: int
    evaluations: int
    improvements: tuple[tuple[int, float], ...]
    feasible_share: float
    hypervolume: float
    wall_s: float
    early: str = ""

    def __post_init__(self) -> None:
        check(self.seed >= 0, "seed", self.seed, "at least 0")
        check(self.evaluations >= 0, "evaluations", self.evaluations, "at least 0")
        counts = [0, *(count for count, _ in self.improvements), self.evaluations + 1]
        rewards = [-inf, *(reward for _, reward in self.improvements), inf]
        rising = all(a < b for each in (counts, rewards) for a, b in pairwise(each))
        check(rising, "improvements", self.improvements, f"finite and rising within {self.evaluations} evaluations")
        check(0 <= self.feasible_share <= 1, "feasible_share", self.feasible_share, "between 0 and 1")
        for name in ("hypervolume", "wall_s"):
            check(0 <= getattr(self, name) < inf, name, getattr(self, name), "at least 0 and finite")

    @property
    def best(self) -> float:
        """The best feasible reward; -inf where there was none."""
        return self.improvements[-1][1] if self.improvements else -np.inf

    def reward_at(self, evaluations: int) -> float:
        """The best feasible reward after so many evaluations."""
        found = [reward for count, reward in self.improvements if count <= evaluations]
        return found[-1] if found else -np.inf

    def evaluations_to(self, reward: float) -> float:
        """How many evaluations it took to reach `reward`; inf where it was not reached."""
        return next((float(count) for count, found in self.improvements if found >= reward), np.inf)


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over seeds; None stands for never (or for no feasible architecture)."""

    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One agent's line of a comparison, over all its seeds.

    `rewards` are by budget, `to_share` the evaluations to each of `SHARES` of the best known reward.
    """

    agent: str
    seeds: int
    rewards: dict[int, Spread]
    to_share: dict[str, Spread]
    reached: dict[str, float]
    feasible_share: float
    hypervolume: float
    wall_s: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, see `quantiles`; infinite ones become None."""
    parts = quantiles(np.array(values, np.float64), (0.5, 0.25, 0.75))
    median, low, high = (float(part) if np.isfinite(part) else None for part in parts)
    return Spread(median, low, high)


def quantiles(values: Floats, shares: Sequence[float]) -> Floats:
    """Quantiles along the first axis of `values`, [shares, ...]: between two values in proportion, as numpy's are.

    Beside an infinite value they are infinite: a median is finite only where more than half of the values are.
    """
    ordered = np.sort(values, axis=0)
    return np.stack([_at(ordered, share * (len(ordered) - 1)) for share in shares])


def _at(ordered: Floats, place: float) -> Floats:
    low, high = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    finite = np.isfinite(low) & np.isfinite(high)
    beside = np.where(np.isfinite(low), high, low)
    known = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    between: Floats = np.where(finite, known[0] + (known[1] - known[0]) * (place % 1), beside)
    return between


def improvements(history: History) -> tuple[tuple[int, float], ...]:
    """(evaluations, best feasible reward) whenever it rose."""
    curve = history.curve()
    before = np.concatenate([[-np.inf], curve[:-1]]) if len(curve) else curve
    return tuple((int(index) + 1, float(curve[index])) for index in np.flatnonzero(curve > before))


def hypervolume(history: History, static_accuracy: float, static_elp: float, depth: float = 0.05) -> float:
    """Area that the feasible architectures dominate in (accuracy, ELP reduction), as a share of the box.

    The box reaches from `depth` below the static accuracy to `depth` above it, and from no reduction to a whole one.
    """
    rows = history.feasible
    gain = np.clip((history.accuracy[rows] - static_accuracy + depth) / (2 * depth), 0, 1)
    reduction = np.clip(1 - history.elp[rows] / static_elp, 0, 1)
    area, covered = 0.0, 0.0
    for index in np.argsort(-gain, kind="stable"):
        if reduction[index] > covered:
            area += gain[index] * (reduction[index] - covered)
            covered = float(reduction[index])
    return float(area)


def best_known(cells: Sequence[Cell]) -> float:
    """The best feasible reward that anyone found."""
    return max(cell.best for cell in cells)


def summarise(cells: Sequence[Cell], budgets: Sequence[int], best: float) -> list[Row]:
    """One row per agent, in the order in which they first appear."""
    agents = dict.fromkeys(cell.agent for cell in cells)
    return [_row([cell for cell in cells if cell.agent == agent], budgets, best) for agent in agents]


def _row(cells: Sequence[Cell], budgets: Sequence[int], best: float) -> Row:
    # A share of a negative best would be a lower demand the nearer it is: count from there to the best itself.
    targets = {f"{share:.0%}": share * best if best > 0 else best for share in SHARES}
    counts = {name: [cell.evaluations_to(target) for cell in cells] for name, target in targets.items()}
    return Row(
        agent=cells[0].agent,
        seeds=len(cells),
        rewards={budget: spread([cell.reward_at(budget) for cell in cells]) for budget in budgets},
        to_share={name: spread(values) for name, values in counts.items()},
        reached={name: float(np.isfinite(values).mean()) for name, values in counts.items()},
        feasible_share=float(np.mean([cell.feasible_share for cell in cells])),
        hypervolume=float(np.median([cell.hypervolume for cell in cells])),
        wall_s=float(np.median([cell.wall_s for cell in cells])),
    )


def table(rows: Sequence[Row]) -> str:
    """The comparison as text: median (quartiles) of the reward by budget, and of the evaluations to each share."""
    budgets, shares = list(rows[0].rewards), list(rows[0].to_share)
    head = ["agent", *(f"reward at {budget:,}" for budget in budgets), *(f"to {share}" for share in shares)]
    head += ["feasible", "hypervolume", "seconds"]
    lines = [head, *(_cells_of(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def ended_early(cells: Sequence[Cell]) -> list[str]:
    """One line for each way in which searches ended before their budget, with their seeds."""
    seeds: dict[str, list[str]] = {}
    for cell in cells:
        seeds.setdefault(cell.early, []).append(str(cell.seed))
    return [f"{line} (seed {', '.join(own)})" for line, own in seeds.items() if line]


def _cells_of(row: Row) -> list[str]:
    rewards = [_shown(item, "{:.3f}", "none feasible") for item in row.rewards.values()]
    counts = [
        _shown(item, "{:.0f}", "never") + ("" if row.reached[name] == 1 else f" {row.reached[name]:.0%}")
        for name, item in row.to_share.items()
    ]
    return [
        row.agent, *rewards, *counts, f"{row.feasible_share:.0%}", f"{row.hypervolume:.3f}", f"{row.wall_s:.1f}"
    ]  # fmt: skip


def _shown(item: Spread, form: str, none: str) -> str:
    if item.median is None:
        return none
    low, high = ("-" if value is None else form.format(value) for value in (item.low, item.high))
    return f"{form.format(item.median)} ({low}..{high})"
