"""Agent: who proposes architectures and learns from what they are worth. Third parties implement this.

An entry point of group `eenn_rl.agents` names a function ``make(task: Task) -> Agent``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from eenn_rl.search import AgentSettings
from eenn_rl.space import Genomes, SearchSpace

if TYPE_CHECKING:
    from eenn_agents.ledger import Ledger
    from eenn_rl.evaluator import Evaluator

State = dict[str, Any]
"""What a checkpoint keeps: numpy arrays, tensors, numbers, strings, and lists and dicts of them."""


@dataclass(frozen=True)
class Task:
    """What an agent is given: the problem, its settings, its own random numbers, and what is already known.

    An agent may look up `ledger` (everything evaluated so far) but evaluates nothing itself.
    """

    evaluator: "Evaluator"
    settings: AgentSettings
    seed: int
    ledger: "Ledger"

    @property
    def space(self) -> SearchSpace:
        """The choices."""
        space: SearchSpace = self.evaluator.space
        return space

    def generator(self) -> np.random.Generator:
        """A new stream of random numbers, the same for the same seed."""
        return np.random.default_rng(self.seed)


class Agent(Protocol):
    """Asked for architectures, told their rewards, until the budget is spent or it proposes none.

    Deterministic: the same task, and the same rewards, give the same proposals. `state` and `restore` are called
    between `tell` and `ask` only; a restored agent continues exactly as the saved one would have.
    """

    def ask(self) -> Genomes:
        """What to evaluate next, [n, max_exits, 5]; none ends the search. Repeats cost no budget but teach nothing."""
        ...

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """The rewards of what was asked for, in order; fewer where the budget ended."""
        ...

    def state(self) -> State:
        """All that decides how this agent continues."""
        ...

    def restore(self, state: State) -> None:
        """Continue from `state`."""
        ...


AgentMaker = Callable[[Task], Agent]
