"""A whole real problem for tests of the log, and a log of random episodes on it.

ResNet-8 on a shipped accelerator, costed by the built-in backend, with accuracy tables drawn at random in the right
proportions.
"""

from pathlib import Path

import numpy as np

from eenn_agents.episodes import play
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import DEFAULT_ACCELERATOR, load_accelerator
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.replay import describe
from eenn_rl.space import SearchSpace
from eenn_rl.tables import AccuracyTables
from eenn_rl.trajectory import TrajectoryWriter
from eenn_rl.zoo import make_backbone

BITS = (2, 4, 8)
SAMPLES = 300


def random_tables(backbone: Backbone, seed: int = 0) -> AccuracyTables:
    """Later exits, stronger branches and more bits are right more often; one row per location, branch and bits."""
    rng = np.random.default_rng(seed)
    last = len(backbone.blocks) - 1
    keys = [
        (location, branch, bits)
        for location in range(last + 1)
        for branch in (range(len(BRANCHES)) if location < last else (-1,))
        for bits in BITS
    ]
    location, branch, bits = np.array(keys).T
    share = 0.75 + 0.2 * location / last + 0.01 * branch + 0.003 * bits
    correct = rng.random(SAMPLES) < np.minimum(share, 0.97)[:, None]
    confidence = np.clip(rng.normal(np.where(correct, 48, 30), 10), 0, 63)
    return AccuracyTables(
        confidence=confidence.astype(np.uint8),
        correct=correct,
        row_location=location.astype(np.int16),
        row_branch=branch.astype(np.int16),
        row_bits=np.where(np.arange(last + 1) <= location[:, None], bits[:, None], 0).astype(np.uint8),
        temperatures=np.ones(len(keys), np.float32),
        backbone=backbone,
        dataset="random",
        confidence_rule="max_softmax",
        branches=BRANCHES,
        bits=BITS,
    )


def make_evaluator(accelerator: str = DEFAULT_ACCELERATOR, seed: int = 0) -> Evaluator:
    backbone, spec = make_backbone("resnet8", (1, 16, 16), 10), load_accelerator(accelerator)
    space = SearchSpace(backbone, spec)
    objective = Objective(accuracy_tolerance=0.05)
    return Evaluator(
        space, make_backend("multicore", spec, backbone), Estimator(random_tables(backbone, seed)), objective
    )


def write_log(
    path: Path, evaluator: Evaluator, episodes: int, seed: int = 0, block: int = 256, repeat: int = 1
) -> None:
    """A log of `episodes` random architectures, all of them `repeat` times."""
    problem = Problem(evaluator, layout_for(evaluator.space))
    with TrajectoryWriter.create(path, describe(evaluator, "multicore", config={"seed": seed})) as writer:
        for turn in range(repeat):
            rng = np.random.default_rng(seed)
            for start in range(0, episodes, block):
                genomes = evaluator.space.sample(rng, min(block, episodes - start))
                first = turn * episodes + start
                writer.add_episodes(play(problem, genomes, np.arange(first, first + len(genomes))))
