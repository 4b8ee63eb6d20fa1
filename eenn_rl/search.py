"""AgentSettings and SearchResult: what a search is asked for and what it answers, whatever agent does it."""

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.evaluation import Evaluation
from eenn_rl.options import option
from eenn_rl.space import Genomes

AGENTS = ("ppo", "random", "local", "evolution", "nsga2", "exhaustive")
"""The agents that come with the package; others register in entry-point group `eenn_rl.agents`."""

POLICY_SETTINGS = (
    "policy_share", "episodes_per_update", "learning_rate", "entropy", "clip", "epochs", "imitation"
)  # fmt: skip
"""The settings of `AgentSettings` that are for agents with a policy."""
Stopped = Literal["budget", "exhausted", "stale"]
"""Why a search ended: its budget was spent, the agent had nothing more to propose, or its patience was at its end."""


@dataclass(frozen=True)
class AgentSettings:
    """How to search. The budget counts distinct architectures evaluated, never seconds."""

    agent: str = option("ppo", f"who searches: {', '.join(AGENTS)}, or an installed one (`eenn-rl agents` lists all)")
    budget: int = option(3000, "distinct architectures to evaluate")
    patience: int | None = option(
        None, "evaluations without a better architecture after which to stop early; else only the budget ends a search"
    )
    policy: str | None = option(
        None, "policy to start from: a file, `shipped`, or `untrained`; else the shipped one, where it fits",
        metavar="FILE|NAME",
    )  # fmt: skip
    policy_share: float = option(
        0.2,
        "share of the budget in which policy and local search take turns; then local search goes on alone (0: from "
        "the beginning)",
    )
    episodes_per_update: int = option(
        16, "new architectures the policy proposes between two updates", flag="--policy-episodes"
    )
    learning_rate: float = option(1e-3, "the policy's learning rate, falling to a tenth", flag="--policy-learning-rate")
    entropy: float = option(0.02, "weight of the policy's entropy, falling to a fifth", flag="--policy-entropy")
    clip: float = option(0.2, "PPO's clip range", flag="--policy-clip")
    epochs: int = option(2, "passes over the episodes of each update", flag="--policy-epochs")
    imitation: float = option(0.3, "weight of imitating the policy's own 32 best episodes", flag="--policy-imitation")
    tensorboard: str | None = option(
        None, "folder for TensorBoard scalars, in the run folder where relative", metavar="DIR"
    )

    def __post_init__(self) -> None:
        check(self.budget >= 1, "budget", self.budget, "at least 1")
        check(self.patience is None or self.patience >= 1, "patience", self.patience, "at least 1, or none")
        check(0 <= self.policy_share <= 1, "policy share", self.policy_share, "between 0 and 1")
        check(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        episodes = self.episodes_per_update
        check(episodes >= 2, "policy episodes", episodes, "at least 2: they are compared with each other")
        for name in ("learning_rate", "clip"):
            check(0 < getattr(self, name) < inf, name.replace("_", " "), getattr(self, name), "more than 0 and finite")
        for name in ("entropy", "imitation"):
            check(0 <= getattr(self, name) < inf, name, getattr(self, name), "at least 0 and finite")


@dataclass(frozen=True)
class History:
    """Every distinct evaluation of a search in order, one row each."""

    genomes: Genomes
    """[n, max_exits, 5]"""
    reward: npt.NDArray[np.float64]
    feasible: npt.NDArray[np.bool_]
    accuracy: npt.NDArray[np.float64]
    elp: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.reward)

    def curve(self) -> npt.NDArray[np.float64]:
        """Best feasible reward after each evaluation, float64 [n]; -inf before the first feasible one."""
        return np.maximum.accumulate(np.where(self.feasible, self.reward, -np.inf)) if len(self) else np.zeros(0)

    def ranked(self) -> npt.NDArray[np.intp]:
        """Rows of the feasible architectures, best reward first; equals in the order they were found."""
        rows = np.flatnonzero(self.feasible)
        return rows[np.argsort(-self.reward[rows], kind="stable")]


@dataclass(frozen=True)
class SearchResult:
    """What a search found: the best feasible distinct architectures first.

    `early` is one line that says so where the agent had nothing new to propose although budget and space were left.
    """

    best: tuple[Evaluation, ...]
    history: History
    stopped: Stopped = "budget"
    early: str = ""

    @property
    def distinct(self) -> int:
        """Distinct evaluations done."""
        return len(self.history)

    @property
    def curve(self) -> npt.NDArray[np.float64]:
        """Best feasible reward after each distinct evaluation."""
        return self.history.curve()
