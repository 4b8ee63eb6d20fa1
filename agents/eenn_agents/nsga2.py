"""NSGA-II (Deb et al. 2002) as pymoo implements it: two objectives, accuracy and energy-latency product.

An architecture is a vector of small integers: for every block but the last whether an exit is mounted, and for every
block branch, bits, core and branch core. What the vector cannot mean is repaired: the first `max_exits - 1` exits
count, and allocations that lack the bits are replaced by the next that has them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_agents.agent import Agent, State, Task
from eenn_rl.errors import not_installed
from eenn_rl.space import Genomes, SearchSpace

POPULATION = 64
_HIGH = 1e6
"""Stands for an infinite energy-latency product of a failed evaluation."""


class VectorCode:
    """Between pymoo's integer vectors and genomes."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        blocks, allocations = space.last_location + 1, len(space.accelerator.allocations)
        per_block = (len(space.branches), len(space.usable_bits), allocations, allocations)
        self.upper = np.array([1] * (blocks - 1) + [count - 1 for count in per_block] * blocks)

    def genome(self, vector: npt.NDArray[np.int64]) -> Genomes:
        """The architecture that `vector` stands for, [max_exits, 5]."""
        space, last = self._space, self._space.last_location
        mounted = [int(block) for block in np.flatnonzero(vector[:last])][: space.exit_slots - 1]
        fields = vector[last:].reshape(last + 1, 4)
        genome = np.full((space.max_exits, 5), -1, np.int16)
        for row, location in enumerate([*mounted, last]):
            branch, bits_index, core, branch_core = (int(value) for value in fields[location])
            bits = space.usable_bits[bits_index]
            places = [self._supporting(bits, wanted) for wanted in (core, branch_core)]
            genome[row] = (location, -1 if location == last else branch, bits, *places)
        return genome

    def _supporting(self, bits: int, wanted: int) -> int:
        row = self._space.legal_pairs[self._space.bits.index(bits)]
        return next(int(index) for index in (*range(wanted, len(row)), *range(wanted)) if row[index])


class Nsga2:
    """pymoo's NSGA-II behind ask and tell; rewards only say what is feasible, the objectives come from the ledger."""

    def __init__(self, task: Task) -> None:
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.core.problem import Problem
            from pymoo.operators.crossover.sbx import SBX
            from pymoo.operators.mutation.pm import PM
            from pymoo.operators.repair.rounding import RoundingRepair
            from pymoo.operators.sampling.rnd import IntegerRandomSampling
        except ImportError:
            raise not_installed("agent nsga2 needs the package pymoo", "nsga2") from None
        self._task, self._code = task, VectorCode(task.space)
        upper = self._code.upper
        problem = Problem(n_var=len(upper), n_obj=2, n_ieq_constr=1, xl=0, xu=upper, vtype=int)
        repair = RoundingRepair()
        self._algorithm = NSGA2(
            pop_size=POPULATION,
            sampling=IntegerRandomSampling(),
            crossover=SBX(prob=0.9, eta=3, vtype=float, repair=repair),
            mutation=PM(eta=3, vtype=float, repair=repair),
            eliminate_duplicates=True,
        )
        self._algorithm.setup(problem, termination=("n_gen", 10**9), seed=task.seed, verbose=False)
        self._asked: Any = None
        self._generations = 0

    def ask(self) -> Genomes:
        """The next generation."""
        self._asked = self._algorithm.ask()
        vectors = self._asked.get("X").astype(np.int64)
        return np.stack([self._code.genome(vector) for vector in vectors])

    def tell(self, genomes: Genomes, rewards: npt.NDArray[np.float64]) -> None:
        """Objectives: error and ln ELP; constraint: how far the reward lies below the least feasible one."""
        if len(rewards) < len(genomes):
            return
        accuracy, elp = self._task.ledger.qualities(genomes)
        base = self._task.evaluator.objective.base
        objectives = np.stack([1 - accuracy, np.log(np.minimum(elp, _HIGH))], 1)
        self._asked.set("F", objectives)
        self._asked.set("G", np.maximum(base - rewards, 0)[:, None])
        self._algorithm.tell(infills=self._asked)
        self._generations += 1

    def state(self) -> State:
        """The number of generations: with the ledger's rewards and the seed they can be lived again."""
        return {"generations": self._generations}

    def restore(self, state: State) -> None:
        """Live them again, without evaluating anything."""
        while self._generations < state["generations"]:
            genomes = self.ask()
            self.tell(genomes, self._task.ledger.rewards(genomes))


def make(task: Task) -> Agent:
    """NSGA-II; raises `MissingDependencyError` without pymoo."""
    return Nsga2(task)
