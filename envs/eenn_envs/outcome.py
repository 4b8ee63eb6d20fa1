"""What episodes' ends say: their evaluations as info dicts."""

from typing import TYPE_CHECKING, Any

from eenn_rl.objective import VIOLATIONS

if TYPE_CHECKING:
    from eenn_rl.evaluator import EvaluationBatch

NUMBERS = ("reward", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction")
ARRAYS = ("exit_rates", "exit_accuracies", "thresholds")


def evaluation_infos(batch: "EvaluationBatch") -> list[dict[str, Any]]:
    """Every term of each evaluation: plain numbers, and the per-exit ones as arrays."""
    count = len(batch.reward)
    columns: dict[str, list[Any]] = {"invalid_action": [False] * count, "feasible": batch.feasible.tolist()}
    columns |= {name: getattr(batch, name).tolist() for name in NUMBERS}
    columns |= {name: [row.copy() for row in getattr(batch, name)] for name in ARRAYS}
    violations = zip(VIOLATIONS, batch.violations.T.tolist(), strict=True)
    columns |= {f"violation_{name}": values for name, values in violations}
    names = tuple(columns)
    infos = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for info, failure in zip(infos, batch.failures or (), strict=False):
        if failure:
            info["failure"] = failure
    return infos
