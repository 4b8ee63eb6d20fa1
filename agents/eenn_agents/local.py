"""Local search: first improvement over all small moves, then a kick, or a new random start."""

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import Agent, State, Task
from eenn_agents.moves import mutate, neighbours
from eenn_agents.surrogate import most_promising_first
from eenn_rl.space import CORE, Genomes


class LocalSearch:
    """Descends from each of `starts` to a local optimum, then kicks the best by a few random moves and descends again.

    After `patience` kicks without a new best it starts from a random architecture; without `restarts` it proposes
    nothing more once the descents from `starts` have ended. Neighbours come in random order and the first that improves
    is taken: per evaluation this beats looking at all of them.

    With `guided`, a linear model of what has been evaluated says which neighbours to look at first (`surrogate`), and a
    walk that is short of accuracy looks at other locations, branches and bits before cores: accuracy does not depend
    on those, and they are most of the neighbours.
    """

    def __init__(
        self,
        task: Task,
        starts: Genomes | None = None,
        *,
        restarts: bool = True,
        rng: np.random.Generator | None = None,
        guided: bool = False,
        chunk: int = 4,
        kick: int = 3,
        patience: int = 4,
    ) -> None:
        self._task, self._rng, self._restarts = task, rng or task.generator(), restarts
        self._guided = guided
        self._chunk, self._kick, self._patience = chunk, kick, patience
        self._home: Genomes | None = None
        self._here: Genomes | None = None
        self._home_reward, self._failures = -np.inf, 0
        self._here_reward = -np.inf
        self._starts: Genomes = task.space.sample(self._rng, 1) if starts is None else starts
        self._queue: Genomes = self._starts[:1]
        self._starts = self._starts[1:]

    def ask(self) -> Genomes:
        """The next few neighbours, or a new start."""
        for _ in range(200):
            while len(self._queue):
                chunk, self._queue = self._queue[: self._chunk], self._queue[self._chunk :]
                known = self._task.ledger.known(chunk)
                if not known.all():
                    return chunk
                self.tell(chunk, self._task.ledger.rewards(chunk))
            if not self._restarts and not len(self._starts):
                break
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
            if self._guided:
                self._queue = self._queue[most_promising_first(self._task.ledger, self._queue)]
                if self._short_of_accuracy(here):
                    other_cores_only = (self._queue[:, :, :CORE] == here[:, :CORE]).all((1, 2))
                    self._queue = self._queue[np.argsort(other_cores_only, kind="stable")]

    def _short_of_accuracy(self, genome: Genomes) -> bool:
        accuracy, _ = self._task.ledger.qualities(genome[np.newaxis])
        return bool(accuracy[0] < self._task.evaluator.baseline.floor)

    def _leave(self) -> None:
        """A local optimum: keep it if it is the best since the last restart, then kick or restart."""
        if self._here is not None and self._here_reward > self._home_reward:
            self._home, self._home_reward, self._failures = self._here, self._here_reward, 0
        else:
            self._failures += 1
        if len(self._starts):
            start, self._starts = self._starts[0], self._starts[1:]
        elif self._home is None or self._failures > self._patience:
            self._home, self._home_reward, self._failures = None, -np.inf, 0
            start = self._task.space.sample(self._rng, 1)[0]
        else:
            start = mutate(self._task.space, self._rng, self._home, self._kick)
        self._here, self._here_reward = None, -np.inf
        self._queue = start[np.newaxis]

    def state(self) -> State:
        """Where it stands, and its random numbers."""
        none = np.zeros((0, *self._queue.shape[1:]), np.int16)
        return {
            "rng": self._rng.bit_generator.state,
            "queue": self._queue,
            "starts": self._starts,
            "home": none if self._home is None else self._home[np.newaxis],
            "here": none if self._here is None else self._here[np.newaxis],
            "rewards": [self._home_reward, self._here_reward],
            "failures": self._failures,
        }

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        self._rng.bit_generator.state = state["rng"]
        self._queue, self._starts = state["queue"], state["starts"]
        self._home = state["home"][0] if len(state["home"]) else None
        self._here = state["here"][0] if len(state["here"]) else None
        self._home_reward, self._here_reward = state["rewards"]
        self._failures = state["failures"]


def make(task: Task) -> Agent:
    """Local search from a random start."""
    return LocalSearch(task)
