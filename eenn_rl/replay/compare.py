"""Compares what was logged with what executing it again gives, and finds the field that is to blame."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eenn_rl.replay.execute import Execution, execute
from eenn_rl.trajectory.flatten import episode_columns
from eenn_rl.trajectory.rows import Difference, Rows, broken_links, differing, first_difference

if TYPE_CHECKING:
    from eenn_envs.core import Problem


def compare(
    problem: "Problem", logged: Rows, first_episode: int, before: bytes
) -> tuple[npt.NDArray[np.bool_], Difference | None]:
    """Which of the logged episodes differ from their execution, bool [n], and the first difference.

    `before` is the digest stored before these episodes.
    """
    found = execute(problem, logged)
    flags = differing(logged, found.rows) | ~found.whole
    if not flags.any():
        return flags, None
    episode = int(flags.argmax())
    one = logged.part(episode, episode + 1)
    link = logged.episodes["digest"][episode - 1].tobytes() if episode else before
    difference = _blame(problem, one, link, _earliest(one, found, episode))
    return flags, replace(difference, episode=first_episode + episode)


def _earliest(logged: Rows, found: Execution, episode: int) -> Difference:
    """The first difference of one episode, an illegal action or a wrong end included."""
    rows = found.rows.part(episode, episode + 1)
    value = first_difference(logged, rows, 0)
    end = _end(logged, int(found.ended_at[episode]), int(found.illegal_at[episode]))
    candidates = [d for d in (value, end) if d is not None]
    return min(candidates, key=lambda d: d.step if d.step is not None else np.inf)


def _end(logged: Rows, ended_at: int, illegal_at: int) -> Difference | None:
    """How the episode ended otherwise than logged; None where it did not."""
    length = int(logged.episodes["length"][0])
    if illegal_at >= 0:
        return Difference(0, illegal_at, "actions", str(logged.steps["actions"][illegal_at]), "an illegal action")
    if ended_at != length - 1:
        found = f"{ended_at + 1} steps" if ended_at >= 0 else f"more than {length} steps"
        return Difference(
            0, min(length, ended_at + 1) - 1 if ended_at >= 0 else length - 1, "length", str(length), found
        )
    return None


def _blame(problem: "Problem", logged: Rows, before: bytes, seen: Difference) -> Difference:
    """`seen`, or the changed action from which it follows: an action shows only in what comes after it.

    The logged architecture says which actions were taken. Where the logged ones are others, one of the two was changed.
    """
    from eenn_envs.layout import actions_of

    genomes = logged.episodes["architecture"]
    if not problem.evaluator.space.legal(genomes)[0]:
        return seen
    planned, lengths = actions_of(problem.layout, genomes)
    taken = logged.steps["actions"]
    unequal = np.flatnonzero(taken != planned[0, : len(taken)]) if len(taken) == lengths[0] else np.zeros(0, np.intp)
    if not len(unequal) or (seen.step is not None and seen.step < unequal[0]):
        return seen
    step = int(unequal[0])
    if _actions_changed(problem, logged, planned[0, : len(taken)], before):
        return Difference(0, step, "actions", str(taken[step]), str(planned[0, step]))
    return seen


def _actions_changed(problem: "Problem", logged: Rows, planned: npt.NDArray[np.int16], before: bytes) -> bool:
    """Whether the planned actions, put in the place of the logged ones, fit what else is logged.

    The digest tells for certain; where it was forged, the evaluation that belongs to the logged architecture does.
    """
    if not len(broken_links(Rows({**logged.steps, "actions": planned}, logged.episodes), before)):
        return True
    genomes = logged.episodes["architecture"]
    columns = episode_columns(genomes, problem.evaluator.score_batch(genomes))
    taken_fit = not len(broken_links(logged, before))
    return taken_fit and all(np.array_equal(column, logged.episodes[name]) for name, column in columns.items())
