"""Architectures straight from a policy, without any training."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from eenn_agents.model import build_model
from eenn_agents.policy_file import Policy
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_envs.vector import EENNVectorEnv
from eenn_rl.space import Genomes

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

ROUNDS = 50


def proposals(evaluator: "Evaluator", policy: Policy, n: int, seed: int) -> Genomes:
    """Up to `n` distinct architectures sampled from `policy`, in the order they came; nothing is evaluated."""
    problem = Problem(evaluator, layout_for(evaluator.space, prospects=policy.info.layout.prospects))
    model = build_model(EENNVectorEnv(evaluator, 1, layout=problem.layout), seed)
    policy.load_into(model)
    generator = torch.Generator().manual_seed(seed)
    core = EpisodeCore([problem], np.zeros(n, np.intp))
    found: dict[bytes, Genomes] = {}
    for _ in range(ROUNDS):
        for genome in model.sample_episodes(core, generator).genomes:
            found.setdefault(genome.tobytes(), genome)
        if len(found) >= n:
            break
    return np.stack(list(found.values())[:n])
