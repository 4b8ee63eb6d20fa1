"""Plays architectures through the environment, so that what any agent proposes becomes episodes."""

import numpy as np
import numpy.typing as npt

from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import actions_of
from eenn_rl.episodes import EpisodeBatch
from eenn_rl.space import Genomes


def play(problem: Problem, genomes: Genomes, seeds: npt.NDArray[np.int64]) -> EpisodeBatch:
    """The episodes that build `genomes`, with what was seen before each action."""
    layout = problem.layout
    actions, lengths = actions_of(layout, genomes)
    n, steps = actions.shape
    core = EpisodeCore([problem], np.zeros(n, np.intp))
    observations = np.zeros((n, steps, layout.observations), np.float32)
    masks = np.zeros((n, steps, layout.actions), np.bool_)
    rewards = np.zeros((n, steps))
    for step in range(steps):
        going = np.flatnonzero(lengths > step)
        observations[going, step] = core.observations[going]
        masks[going, step] = core.masks[going]
        core.step(going, actions[going, step])
    evaluation = problem.evaluator.evaluate_batch(core.genomes)
    rewards[np.arange(n), lengths - 1] = evaluation.reward
    return EpisodeBatch(observations, masks, actions, rewards, lengths, seeds, core.genomes, evaluation)
