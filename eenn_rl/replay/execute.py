"""Executes logged episodes again, many at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.trajectory.flatten import episode_columns
from eenn_rl.trajectory.rows import Rows

if TYPE_CHECKING:
    from eenn_envs.core import EpisodeCore, Problem


@dataclass(frozen=True)
class Execution:
    """What came of `n` logged action sequences; `rows` holds their columns as they should have been logged.

    `ended_at` [n] is the step at which the environment ended an episode, -1 where it was still under way after the
    last logged action; `illegal_at` [n] the step of an illegal action, -1 where there was none. Rows of episodes that
    did not run from start to end are those of the log, as far as they could not be executed.
    """

    rows: Rows
    ended_at: npt.NDArray[np.int64]
    illegal_at: npt.NDArray[np.int64]

    @property
    def whole(self) -> npt.NDArray[np.bool_]:
        """Which episodes ran legally and ended with their last logged action, bool [n]."""
        ends: npt.NDArray[np.bool_] = self.ended_at == self.rows.episodes["length"] - 1
        return ends & (self.illegal_at < 0)


def execute(problem: "Problem", logged: Rows) -> Execution:
    """Take the logged actions in the environment of `problem` and evaluate what they build."""
    steps = {name: column.copy() for name, column in logged.steps.items()}
    core, ended_at, illegal_at = _walk(problem, logged, steps)
    episodes = {name: column.copy() for name, column in logged.episodes.items()}
    execution = Execution(Rows(steps, episodes), ended_at, illegal_at)
    _evaluate(problem, execution, core.genomes, logged.offsets[1:] - 1)
    return execution


def final_observations(problem: "Problem", logged: Rows) -> npt.NDArray[np.float32]:
    """What each episode shows after its last action, float32 [n, observation]; a log holds only what comes before."""
    return _walk(problem, logged, None)[0].observations


def _walk(
    problem: "Problem", logged: Rows, steps: dict[str, npt.NDArray[Any]] | None
) -> tuple["EpisodeCore", npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All logged actions, side by side; what is seen goes into `steps`. Ends and illegal actions as in `Execution`."""
    from eenn_envs.core import EpisodeCore

    n, offsets = len(logged), logged.offsets[:-1]
    lengths = logged.episodes["length"].astype(np.int64)
    core = EpisodeCore([problem], np.zeros(n, np.intp))
    ended_at, illegal_at = np.full(n, -1), np.full(n, -1)
    for step in range(int(lengths.max(initial=0))):
        going = np.flatnonzero((lengths > step) & (ended_at < 0))
        rows = offsets[going] + step
        if steps is not None:
            steps["observations"][rows] = core.observations[going]
            steps["masks"][rows] = core.masks[going]
        completed, illegal = core.step(going, logged.steps["actions"][rows])
        ended_at[completed] = ended_at[illegal] = step
        illegal_at[illegal] = step
    return core, ended_at, illegal_at


def _evaluate(
    problem: "Problem", execution: Execution, genomes: npt.NDArray[np.int16], last: npt.NDArray[np.int64]
) -> None:
    """Fill in rewards and evaluations of the episodes that ran as a whole."""
    whole = np.flatnonzero(execution.whole)
    if not len(whole):
        return
    batch: EvaluationBatch = problem.evaluator.score_batch(genomes[whole])
    steps, episodes = execution.rows.steps, execution.rows.episodes
    keep: Any = np.isin(np.repeat(np.arange(len(last)), episodes["length"]), whole)
    steps["rewards"][keep] = 0.0
    steps["rewards"][last[whole]] = batch.reward
    for name, column in episode_columns(genomes[whole], batch).items():
        episodes[name][whole] = column
    episodes["return"][whole] = batch.reward
