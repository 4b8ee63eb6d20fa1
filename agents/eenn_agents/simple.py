"""Random search and exhaustive search."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import Agent, State, Task
from eenn_rl.errors import InvalidValueError
from eenn_rl.space import Genomes, SearchSpace

BATCH = 64


class RandomSearch:
    """Architectures uniform over the whole space."""

    def __init__(self, task: Task) -> None:
        self._task, self._rng = task, task.generator()

    def ask(self) -> Genomes:
        """The next few; none once every architecture is known."""
        none = np.zeros((0, self._task.space.max_exits, 5), np.int16)
        return none if len(self._task.ledger) >= self._task.space.size else self._task.space.sample(self._rng, BATCH)

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """Learn nothing."""

    def state(self) -> State:
        """Its random numbers."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: State) -> None:
        """Take them up."""
        self._rng.bit_generator.state = state["rng"]


def check_budget(space: SearchSpace, budget: int) -> None:
    """Refuse a budget that exhaustive search of `space` exceeds."""
    if space.size > budget:
        raise InvalidValueError(
            f"exhaustive search: expected a budget of at least the {space.size:,} architectures of this space, found "
            f"{budget:,}: raise the budget, or take fewer bits, branches or exits"
        )


class ExhaustiveSearch:
    """Every architecture, once: the true optimum, where the budget reaches that far."""

    def __init__(self, task: Task) -> None:
        check_budget(task.space, task.settings.budget)
        self._space, self._done = task.space, 0
        self._batches: Iterator[Genomes] = task.space.enumerate(4096)

    def ask(self) -> Genomes:
        """The next batch."""
        self._done += 1
        return next(self._batches, np.zeros((0, self._space.max_exits, 5), np.int16))

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """Learn nothing."""

    def state(self) -> State:
        """How far it has come."""
        return {"done": self._done}

    def restore(self, state: State) -> None:
        """Skip what is done."""
        while self._done < state["done"]:
            self.ask()


def make_random(task: Task) -> Agent:
    """Random search."""
    return RandomSearch(task)


def make_exhaustive(task: Task) -> Agent:
    """Exhaustive search; refuses a space larger than the budget."""
    return ExhaustiveSearch(task)
