"""What an episode's end says: the evaluation as an info dict, and the reward of an invalid action."""

from typing import TYPE_CHECKING, Any

import numpy as np

from eenn_rl.objective import VIOLATIONS

if TYPE_CHECKING:
    from eenn_rl.evaluator import EvaluationBatch


def evaluation_info(batch: "EvaluationBatch", row: int) -> dict[str, Any]:
    """Every term of one evaluation: plain numbers, and the per-exit ones as arrays."""
    info: dict[str, Any] = {
        "invalid_action": False,
        "feasible": bool(batch.feasible[row]),
        "reward": float(batch.reward[row]),
        "accuracy": float(batch.accuracy[row]),
        "energy_j": float(batch.energy_j[row]),
        "latency_s": float(batch.latency_s[row]),
        "elp": float(batch.elp[row]),
        "elp_reduction": float(batch.elp_reduction[row]),
        "exit_rates": np.array(batch.exit_rates[row]),
        "exit_accuracies": np.array(batch.exit_accuracies[row]),
        "thresholds": np.array(batch.thresholds[row]),
    }
    info.update(
        {f"violation_{name}": float(value) for name, value in zip(VIOLATIONS, batch.violations[row], strict=True)}
    )
    if batch.failures is not None and batch.failures[row]:
        info["failure"] = batch.failures[row]
    return info
