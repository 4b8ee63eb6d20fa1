"""Guided local search: a model of what has been evaluated says which neighbours to look at first."""

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import State, Task
from eenn_agents.moves import distinct, mutate, neighbours
from eenn_agents.surrogate import LEAST, expected_gains
from eenn_rl.space import CORE, Genomes

CHUNK = 4
STEP = 0.01
"""A gain in reward below this (1% of the energy-latency product) is taken, but does not prolong a descent."""
WIDEN, PATIENCE = 12, 40
"""After so many evaluations without a step it looks two moves away too; after so many a descent ends."""
BEYOND = 8
"""From how many neighbours, drawn at random, it looks one move further."""
KICK, KICKS = 3, 4
"""Random moves of a kick, and kicks without a new best before a random restart."""


class GuidedSearch:
    """Descends from each of `starts`; with `restarts` it then kicks the best and descends again, for ever.

    A descent goes to whatever is better near where it stands, and looks at what promises the largest gain first
    (`surrogate`): among all neighbours, later among neighbours' neighbours too, where a single move never helps because
    two choices must change together. What it asks for together differs in locations, branches or bits: one placement
    after another teaches little. It ends when nothing is left or it gained little for `PATIENCE` evaluations.
    """

    def __init__(self, task: Task, starts: Genomes, rng: np.random.Generator, *, restarts: bool) -> None:
        self._task, self._rng, self._restarts = task, rng, restarts
        self._home: Genomes | None = None
        self._home_reward, self._kicks = -np.inf, 0
        self._begin(starts[0])
        self._starts = starts[1:]

    def _begin(self, start: Genomes) -> None:
        self._here, self._reward, self._failures = start, -np.inf, 0

    def ask(self) -> Genomes:
        """The next few; none once the descents have ended, without `restarts`."""
        ledger = self._task.ledger
        for _ in range(200):
            if self._reward == -np.inf:
                start = self._here[np.newaxis]
                if not ledger.known(start)[0]:
                    return start
                self._reward = float(ledger.rewards(start)[0])
            proposals = self._near() if self._failures < PATIENCE else self._starts[:0]
            if len(proposals) or not self._leave():
                return proposals
        return self._starts[:0]

    def _near(self) -> Genomes:
        """The most promising few near here, out of what has not been evaluated."""
        space, ledger = self._task.space, self._task.ledger
        near = neighbours(space, self._here)
        if self._failures >= WIDEN:
            through = self._rng.permutation(len(near))[:BEYOND]
            near = np.concatenate([near, *(neighbours(space, near[index]) for index in through)])
            near = near[distinct(near)]
        near = self._rng.permutation(near[~ledger.known(near)])
        if len(near) <= CHUNK or len(ledger) < LEAST:
            return near[:CHUNK]
        incumbent = max(self._reward, self._task.evaluator.objective.base)
        near = near[np.argsort(-expected_gains(ledger, near, incumbent), kind="stable")]
        return _differing(near)[:CHUNK]

    def _leave(self) -> bool:
        """On to the next start, a kick of the best, or a random restart; False where the search has ended."""
        if self._reward > self._home_reward:
            self._home, self._home_reward, self._kicks = self._here, self._reward, 0
        else:
            self._kicks += 1
        if len(self._starts):
            self._begin(self._starts[0])
            self._starts = self._starts[1:]
            return True
        if not self._restarts:
            return False
        if self._home is None or self._kicks > KICKS:
            self._home, self._home_reward, self._kicks = None, -np.inf, 0
            self._begin(self._task.space.sample(self._rng, 1)[0])
        else:
            self._begin(mutate(self._task.space, self._rng, self._home, KICK))
        return True

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """Move to the best of `genomes` if it improves."""
        if not len(rewards):
            return
        best = int(np.argmax(rewards))
        self._failures = 0 if rewards[best] > self._reward + STEP else self._failures + len(rewards)
        if rewards[best] > self._reward:
            self._here, self._reward = genomes[best], float(rewards[best])

    def state(self) -> State:
        """Where it stands; its random numbers are the caller's to keep."""
        home = self._here[np.newaxis][:0] if self._home is None else self._home[np.newaxis]
        return {
            "here": self._here,
            "starts": self._starts,
            "home": home,
            "rewards": [self._reward, self._home_reward],
            "counts": [self._failures, self._kicks],
            "restarts": self._restarts,
        }

    @classmethod
    def resumed(cls, task: Task, rng: np.random.Generator, state: State) -> "GuidedSearch":
        """The search that `state` was taken from."""
        search = cls(task, state["here"][np.newaxis], rng, restarts=state["restarts"])
        search._starts = state["starts"]
        search._home = state["home"][0] if len(state["home"]) else None
        search._reward, search._home_reward = state["rewards"]
        search._failures, search._kicks = state["counts"]
        return search


def _differing(genomes: Genomes) -> Genomes:
    """First one of each choice of locations, branches and bits, then the rest: one on other cores teaches less."""
    first = distinct(genomes[:, :, :CORE])
    rest = np.setdiff1d(np.arange(len(genomes)), first)
    differing: Genomes = genomes[np.concatenate([np.sort(first), rest])]
    return differing
