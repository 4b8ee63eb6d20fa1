"""Accelerators that a frozen policy has never seen: what its first 16 proposals are worth, beside searches.

    python benchmarks/agents_unseen.py [--policy FILE] [--accelerators 20] [--budget 600] [--stream FOLDER]

The machines are drawn from another seed than pretraining's, after the policy was frozen; those of Stream's package were
drawn by nobody. Every search has the settings of `train`, one seed and `--budget` evaluations. "Best known" is the best
of all searches and proposals on that machine, and of hill climbing from 4,096 random architectures. Results:
results/agents_unseen.json for resnet8, results/agents_unseen_<backbone>.json for others, whose tables `--tables` names;
`--name` adds to that, for data that a policy has not met.
"""

from pathlib import Path
from typing import Any

import numpy as np
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_agents.climbing import climbed
from eenn_agents.policy_file import load_policy, shipped_policy
from eenn_rl.errors import EennError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import load_accelerator
from eenn_rl.propose import propose
from eenn_rl.randomised import core_pool, random_accelerator
from eenn_rl.tables import AccuracyTables

DRAWN = 987_654
"""Seed of the unseen machines."""
BASELINES = ("ppo", "local", "evolution")
STREAM = (
    "eyeriss_like_dual_core", "eyeriss_like_quad_core", "fusemax", "meta_prototype_dual_core_simd_offchip",
    "simba_small", "tpu_like_quad_core",
)  # fmt: skip
"""Machines of several cores; `simba` and `tpu_v7_ironwood` have more than an observation has room for."""


def machines(estimator: Estimator, count: int) -> list[tuple[str, Evaluator]]:
    """The first `count` random machines on which some architecture with exits might pay: those that can be costed."""
    found: list[tuple[str, Evaluator]] = []
    pool, number = core_pool(), 0
    while len(found) < count:
        spec = random_accelerator(np.random.default_rng((DRAWN, number)), pool, f"unseen{number}")
        number += 1
        try:
            evaluator = evaluator_of(estimator, spec)
            _ = evaluator.baseline
        except EennError:
            continue
        found.append((spec.name, evaluator))
    return found


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--policy", default="shipped", help="a file, or `shipped`")
    options.add_argument("--stream", type=Path, help="stream/inputs/examples/hardware of the stream-dse 1.14 wheel")
    options.add_argument("--name", default="", help="of these results, among those of the backbone")
    options.add_argument("--accelerators", type=int, default=20)
    options.add_argument("--budget", type=int, default=600)
    arguments = options.parse_args()
    tables: AccuracyTables = tables_of(arguments)
    estimator, rows = Estimator(tables), []
    for name, evaluator in [*machines(estimator, arguments.accelerators), *real(estimator, arguments.stream)]:
        proposed = propose(evaluator, arguments.policy, 16, 0)
        guided = searched("ppo", evaluator, arguments.budget, 0, policy=arguments.policy)
        cells = [searched(agent, evaluator, arguments.budget, 0) for agent in BASELINES]
        climbed_to = evaluator.score_batch(climbed(evaluator, np.random.default_rng(0), 4096)[:1])
        reference = float(climbed_to.reward[0]) if climbed_to.feasible[0] else -np.inf
        first = proposed[0].reward if proposed[0].feasible else -np.inf
        best = max(first, guided.best, reference, *(cell.best for cell in cells))
        row = {
            "accelerator": name,
            "best_known": best,
            "best_of_16": first,
            "feasible_of_16": sum(item.feasible for item in proposed),
            "with_100_evaluations": guided.reward_at(100),
            "baselines_with_100_evaluations": {cell.agent: cell.reward_at(100) for cell in cells},
            "evaluations_to_match_16": {
                cell.agent: cell.evaluations_to(first) if np.isfinite(first) else None for cell in cells
            },
        }
        print(row, flush=True)
        rows.append(row)
    data = {"policy": trained_of(arguments.policy, tables), "budget": arguments.budget}
    data |= {"random": summary(rows[: arguments.accelerators]), "stream": summary(rows[arguments.accelerators :])}
    print(data)
    backbone = tables.backbone.name
    named = ["agents_unseen", "" if backbone == "resnet8" else backbone, arguments.name]
    write("_".join(filter(None, named)), tables, _finite({**data, "machines": rows}), [0])


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the machines on which anything at all pays; a share of nothing counts as 0."""
    good = [row for row in rows if row["best_known"] > 0]
    if not good:
        return {}
    names = ("best_of_16", "with_100_evaluations")
    shares = {name: [max(0.0, row[name] / row["best_known"]) for row in good] for name in names}
    matched = {agent: [row["evaluations_to_match_16"][agent] or 0 for row in good] for agent in BASELINES}
    others = {
        agent: [max(0.0, row["baselines_with_100_evaluations"][agent] / row["best_known"]) for row in good]
        for agent in BASELINES
    }
    return {
        "machines": len(good),
        "median_share_of_best_known": {name: float(np.median(values)) for name, values in shares.items()},
        "least_share_of_best_known": {name: min(values) for name, values in shares.items()},
        "baselines_median_share_with_100_evaluations": {a: float(np.median(values)) for a, values in others.items()},
        "baselines_median_evaluations_to_match_16": {a: float(np.median(values)) for a, values in matched.items()},
    }


def real(estimator: Estimator, folder: Path | None) -> list[tuple[str, Evaluator]]:
    """The multi-core machines of Stream's package that the policy has room for."""
    names = STREAM if folder else ()
    return [(name, evaluator_of(estimator, load_accelerator(str(folder / f"{name}.yaml")))) for name in names]


def trained_of(name: str, tables: AccuracyTables) -> dict[str, Any]:
    """How the policy was trained."""
    policy = shipped_policy(tables.backbone.name) if name == "shipped" else load_policy(Path(name))
    return dict(policy.info.trained) if policy else {}


def _finite(data: object) -> object:
    """JSON knows no infinity: null stands for never."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(item) for item in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data


if __name__ == "__main__":
    main()
