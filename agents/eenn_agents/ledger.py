"""Ledger: what a search has evaluated, in order; counts the budget and writes the episodes."""

import time
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_agents.episodes import play
from eenn_envs.core import Problem
from eenn_rl.objective import saving
from eenn_rl.search import History
from eenn_rl.space import CORE, Genomes

if TYPE_CHECKING:
    from eenn_rl.episodes import Recorder
    from eenn_rl.evaluator import Evaluator

Floats = npt.NDArray[np.float64]
BLOCK = 512
"""Episodes per write: the trajectory file is appended in blocks of this size ..."""
HAND_OVER_S = 1.0
"""... or smaller, where they take longer than this to come together."""
COLUMNS = ("reward", "feasible", "accuracy", "elp")


class Ledger:
    """Evaluates each architecture once, up to `budget` of them, and remembers.

    Every distinct evaluation is an episode of the environment: its proposal is turned into actions and played, so that
    what any agent found can be replayed.
    """

    def __init__(self, problem: Problem, budget: int, recorder: "Recorder", seed: int) -> None:
        self.problem, self.budget, self.seed = problem, budget, seed
        self._recorder = recorder
        shape = (0, problem.layout.exits, 5)
        self._genomes: list[Genomes] = []
        self._numbers: dict[bytes, int] = {}
        self._columns = {name: array("d") for name in (*COLUMNS, "saving")}
        self._inaccurate: set[bytes] = set()
        self._pending: Genomes = np.zeros(shape, np.int16)
        self.recorded = 0
        self._written = time.monotonic()
        self._best: tuple[float, float] | None = None
        self._best_at = 0

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def evaluator(self) -> "Evaluator":
        """Who knows what an architecture is worth."""
        return self.problem.evaluator

    @property
    def left(self) -> int:
        """Evaluations that the budget still holds."""
        return self.budget - len(self)

    @property
    def best(self) -> tuple[float, float] | None:
        """Reward and accuracy of the best feasible architecture so far."""
        return self._best

    @property
    def stale(self) -> int:
        """Evaluations since the best feasible architecture was found; 0 before there is one."""
        return 0 if self._best is None else len(self) - self._best_at

    def known(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which of `genomes` have been evaluated, bool [n]."""
        return np.array([genome.tobytes() in self._numbers for genome in genomes], np.bool_)

    def rewards(self, genomes: Genomes) -> npt.NDArray[np.float64]:
        """The rewards of architectures that have been evaluated."""
        reward = self._columns["reward"]
        return np.array([reward[self._numbers[genome.tobytes()]] for genome in genomes])

    def qualities(self, genomes: Genomes) -> tuple[Floats, Floats]:
        """Accuracy and energy-latency product (J s) of architectures that have been evaluated."""
        numbers = [self._numbers[genome.tobytes()] for genome in genomes]
        accuracy, elp = (np.array([self._columns[name][number] for number in numbers]) for name in ("accuracy", "elp"))
        return accuracy, elp

    def evaluate(self, genomes: Genomes) -> npt.NDArray[np.float64]:
        """The rewards of `genomes` in order, float64 [m]; m < n where the budget ended before the last new one."""
        fresh: list[Genomes] = []
        affordable = len(genomes)
        for index, genome in enumerate(genomes):
            key = genome.tobytes()
            if key not in self._numbers:
                if self.left == 0:
                    affordable = index
                    break
                self._numbers[key] = len(self._numbers)
                fresh.append(genome)
        if fresh:
            self._add(np.stack(fresh))
        return self.rewards(genomes[:affordable])

    def _add(self, genomes: Genomes) -> None:
        before = len(self) - len(genomes)
        for portion, batch in self.evaluator.evaluate_in_portions(genomes):
            self._genomes.append(genomes[portion])
            for name in COLUMNS:
                self._columns[name].extend(getattr(batch, name).tolist())
            objective, baseline = self.evaluator.objective, self.evaluator.baseline
            savings = saving(objective, baseline, batch.energy_j, batch.latency_s, batch.elp)
            self._columns["saving"].extend(savings.tolist())
            self._note_inaccurate(genomes[portion], batch.accuracy)
            self._note_best(batch.reward, batch.feasible, batch.accuracy, before + portion.start)
            self._pending = np.concatenate([self._pending, genomes[portion]])
            self._write_what_is_due()

    def _write_what_is_due(self) -> None:
        """Whole blocks; where evaluations are slow, whatever there is, so that it can be saved in time."""
        while len(self._pending) >= BLOCK:
            self._write(BLOCK)
        if len(self._pending) and time.monotonic() - self._written > HAND_OVER_S:
            self._write(len(self._pending))

    def _note_inaccurate(self, genomes: Genomes, accuracy: Floats) -> None:
        self._inaccurate.update(_structures(genomes[accuracy < self.evaluator.baseline.floor]))

    def _note_best(self, reward: Floats, feasible: npt.NDArray[np.bool_], accuracy: Floats, before: int) -> None:
        if feasible.any():
            row = int(np.argmax(np.where(feasible, reward, -np.inf)))
            if self._best is None or reward[row] > self._best[0]:
                self._best, self._best_at = (float(reward[row]), float(accuracy[row])), before + row + 1

    def _write(self, count: int) -> None:
        genomes, self._pending = self._pending[:count], self._pending[count:]
        seeds = self.seed + self.recorded + np.arange(len(genomes), dtype=np.int64)
        self._recorder.add_episodes(play(self.problem, genomes, seeds))
        self.recorded += len(genomes)
        self._written = time.monotonic()

    def note_update(self, entropy: float) -> None:
        """An agent updated its policy; `entropy` is that of the one that acted, in nats per decision."""
        self._recorder.add_update(len(self), entropy)

    def finish(self) -> None:
        """Write what has not been written yet, and make it safe."""
        if len(self._pending):
            self._write(len(self._pending))
        self._recorder.flush()

    def inaccurate(self, genomes: Genomes) -> npt.NDArray[np.bool_]:
        """Which of `genomes` lose too much accuracy, known from their locations, branches and bits on any cores."""
        return np.array([structure in self._inaccurate for structure in _structures(genomes)], np.bool_)

    def savings(self) -> Floats:
        """What each evaluation so far would be rewarded with if every constraint held, float64 [n]; -inf: it failed."""
        return np.array(self._columns["saving"])

    def history(self) -> History:
        """Every distinct evaluation so far."""
        shape = (0, self.problem.layout.exits, 5)
        genomes = np.concatenate([np.zeros(shape, np.int16), *self._genomes])
        self._genomes = [genomes]
        columns = {name: np.array(self._columns[name]) for name in COLUMNS}
        return History(
            genomes, columns["reward"], columns["feasible"].astype(np.bool_), columns["accuracy"], columns["elp"]
        )

    def state(self) -> dict[str, Any]:
        """All of it, for a checkpoint; every episode so far is recorded and safe from here on."""
        self.finish()
        columns = {name: np.array(column) for name, column in self._columns.items()}
        return {"genomes": self.history().genomes, "recorded": self.recorded, **columns}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`: the recorder is told what comes again."""
        self._genomes = [state["genomes"]]
        self._numbers = {genome.tobytes(): number for number, genome in enumerate(state["genomes"])}
        self._columns = {name: array("d", state[name].tolist()) for name in self._columns}
        self.recorded = int(state["recorded"])
        self._pending = state["genomes"][self.recorded :]
        self._note_inaccurate(state["genomes"], state["accuracy"])
        self._note_best(state["reward"], state["feasible"].astype(np.bool_), state["accuracy"], 0)
        self._recorder.rewind(self.recorded)


def _structures(genomes: Genomes) -> list[bytes]:
    """What accuracy follows from: locations, branches and bits of each of `genomes`."""
    return [structure.tobytes() for structure in genomes[:, :, :CORE]]
