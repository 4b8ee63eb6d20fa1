"""Local search: first improvement over all small moves, then a kick, or a new random start."""

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import Agent, State, Task
from eenn_agents.moves import mutate, neighbours
from eenn_rl.space import Genomes

CHUNK = 4
KICK, KICKS = 3, 4
"""Random moves of a kick, and kicks without a new best before a random restart."""


class LocalSearch:
    """Descends from a random architecture to a local optimum, kicks the best by a few random moves and descends again.

    After `KICKS` kicks without a new best it starts from another random architecture. Neighbours come in random
    order and the first that improves is taken: per evaluation this beats looking at all of them.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._rng = task, task.generator()
        self._home: Genomes | None = None
        self._here: Genomes | None = None
        self._home_reward, self._failures = -np.inf, 0
        self._here_reward = -np.inf
        self._queue: Genomes = task.space.sample(self._rng, 1)

    def ask(self) -> Genomes:
        """The next few neighbours, or a new start."""
        for _ in range(200):
            while len(self._queue):
                chunk, self._queue = self._queue[:CHUNK], self._queue[CHUNK:]
                known = self._task.ledger.known(chunk)
                if not known.all():
                    return chunk
                self.tell(chunk, self._task.ledger.rewards(chunk))
            self._leave()
        return self._queue[:0]

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """Move to the best of `genomes` if it improves."""
        if not len(rewards):
            return
        best = int(np.argmax(rewards))
        if self._here is None or rewards[best] > self._here_reward:
            here: Genomes = genomes[best]
            self._here, self._here_reward = here, float(rewards[best])
            self._queue = self._rng.permutation(neighbours(self._task.space, here))

    def _leave(self) -> None:
        """A local optimum: keep it if it is the best since the last restart, then kick or restart."""
        if self._here is not None and self._here_reward > self._home_reward:
            self._home, self._home_reward, self._failures = self._here, self._here_reward, 0
        else:
            self._failures += 1
        if self._home is None or self._failures > KICKS:
            self._home, self._home_reward, self._failures = None, -np.inf, 0
            start = self._task.space.sample(self._rng, 1)[0]
        else:
            start = mutate(self._task.space, self._rng, self._home, KICK)
        self._here, self._here_reward = None, -np.inf
        self._queue = start[np.newaxis]

    def state(self) -> State:
        """Where it stands, and its random numbers."""
        none = np.zeros((0, *self._queue.shape[1:]), np.int16)
        return {
            "rng": self._rng.bit_generator.state,
            "queue": self._queue,
            "home": none if self._home is None else self._home[np.newaxis],
            "here": none if self._here is None else self._here[np.newaxis],
            "rewards": [self._home_reward, self._here_reward],
            "failures": self._failures,
        }

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        self._rng.bit_generator.state = state["rng"]
        self._queue = state["queue"]
        self._home = state["home"][0] if len(state["home"]) else None
        self._here = state["here"][0] if len(state["here"]) else None
        self._home_reward, self._here_reward = state["rewards"]
        self._failures = state["failures"]


def make(task: Task) -> Agent:
    """Local search from a random start."""
    return LocalSearch(task)
