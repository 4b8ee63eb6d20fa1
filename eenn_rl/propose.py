"""`eenn-rl propose`: architectures for an accelerator straight from a pretrained policy, with no training at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eenn_rl.errors import InvalidValueError, check
from eenn_rl.evaluation import Evaluation
from eenn_rl.evaluator import Evaluator

MOST = 100_000
"""Architectures that one call may ask for."""


def missed(proposals: Sequence[Evaluation]) -> list[str]:
    """One line for each bound that one of `proposals`, numbered from 1, is predicted to miss."""
    return [
        f"#{rank} misses a bound: {reason}"
        for rank, evaluation in enumerate(proposals, start=1)
        for reason in (*evaluation.violations, *((evaluation.failure,) if evaluation.failure else ()))
    ]


def propose(evaluator: Evaluator, policy: str | Path | None = None, n: int = 16, seed: int = 0) -> list[Evaluation]:
    """`n` distinct architectures sampled from `policy` (a file, or the shipped one), evaluated: the best first.

    Feasible ones come before others. Raises `EennError` where the policy is missing or was trained for other problems.
    """
    from eenn_agents.policy_file import policy_for
    from eenn_agents.proposing import proposals
    from eenn_envs.layout import layout_for

    check(1 <= n <= MOST, "n", n, f"between 1 and {MOST}")
    space = evaluator.space
    wanted = "shipped" if policy is None else str(policy)
    found = policy_for(wanted, layout_for(space), space.backbone.name, "give one that fits as --policy FILE")
    if found is None:
        raise InvalidValueError("propose needs a policy: expected a file or `shipped`, found `untrained`")
    genomes = proposals(evaluator, found, n, seed)
    order = np.argsort(-evaluator.evaluate_batch(genomes).reward, kind="stable")
    return [evaluator.evaluate(space.decode(genomes[row])) for row in order]
