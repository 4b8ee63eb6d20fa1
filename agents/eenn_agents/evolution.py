"""Regularised evolution (Real et al., AAAI 2019): tournaments, mutation, and the oldest dies."""

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import Agent, State, Task
from eenn_agents.moves import mutate
from eenn_rl.space import Genomes

POPULATION = 64
TOURNAMENT = 10
CHILDREN = 8
"""Children per generation: a batch costs the backend less than single ones and changes little."""


class RegularisedEvolution:
    """Aging evolution with tournament selection and one to three random moves as mutation."""

    def __init__(self, task: Task) -> None:
        self._task, self._rng = task, task.generator()
        self._population: Genomes = np.zeros((0, task.space.max_exits, 5), np.int16)
        self._rewards = np.zeros(0)

    def ask(self) -> Genomes:
        """A random population first, then mutated winners of tournaments."""
        if len(self._population) < POPULATION:
            return self._task.space.sample(self._rng, POPULATION)
        return np.stack([self._child() for _ in range(CHILDREN)])

    def _child(self) -> Genomes:
        for _ in range(20):
            entrants = self._rng.choice(len(self._population), TOURNAMENT, replace=False)
            parent = self._population[entrants[np.argmax(self._rewards[entrants])]]
            child = mutate(self._task.space, self._rng, parent, int(self._rng.integers(1, 4)))
            if not self._task.ledger.known(child[np.newaxis])[0]:
                return child
        fresh: Genomes = self._task.space.sample(self._rng, 1)[0]
        return fresh

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """The young join, the oldest leave."""
        self._population = np.concatenate([self._population, genomes[: len(rewards)]])[-POPULATION:]
        self._rewards = np.concatenate([self._rewards, rewards])[-POPULATION:]

    def state(self) -> State:
        """The population and its random numbers."""
        return {"rng": self._rng.bit_generator.state, "population": self._population, "rewards": self._rewards}

    def restore(self, state: State) -> None:
        """Take them up."""
        self._rng.bit_generator.state = state["rng"]
        self._population, self._rewards = state["population"], state["rewards"]


def make(task: Task) -> Agent:
    """Regularised evolution."""
    return RegularisedEvolution(task)
