"""Accelerators that a frozen policy has never seen: what its first 16 proposals are worth, beside searches.

    python benchmarks/agents_unseen.py --policy FILE [--accelerators 20] [--budget 600]

The machines are drawn from another seed than pretraining's, after the policy was frozen. "Best known" is the best of
all searches and proposals on that machine. Results: results/agents_unseen.json.
"""

import numpy as np
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_rl.errors import EennError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.propose import propose
from eenn_rl.randomised import core_pool, random_accelerator
from eenn_rl.tables import AccuracyTables

DRAWN = 987_654
"""Seed of the unseen machines."""
BASELINES = ("ppo", "local", "evolution")


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
    options.add_argument("--policy", required=True)
    options.add_argument("--accelerators", type=int, default=20)
    options.add_argument("--budget", type=int, default=600)
    arguments = options.parse_args()
    tables: AccuracyTables = tables_of(arguments)
    rows = []
    for name, evaluator in machines(Estimator(tables), arguments.accelerators):
        proposed = propose(evaluator, arguments.policy, 16, 0)
        guided = searched("ppo", evaluator, 100, 0, policy=arguments.policy, policy_share=0.16)
        cells = [searched(agent, evaluator, arguments.budget, 0) for agent in BASELINES]
        first = proposed[0].reward if proposed[0].feasible else -np.inf
        best = max(first, guided.best, *(cell.best for cell in cells))
        row = {
            "accelerator": name,
            "best_known": best,
            "best_of_16": first,
            "feasible_of_16": sum(item.feasible for item in proposed),
            "with_100_evaluations": guided.best,
            "evaluations_to_match_16": {
                cell.agent: cell.evaluations_to(first) if np.isfinite(first) else None for cell in cells
            },
        }
        print(row, flush=True)
        rows.append(row)
    good = [row for row in rows if row["best_known"] > 0]
    names = ("best_of_16", "with_100_evaluations")
    shares = {name: float(np.median([row[name] / row["best_known"] for row in good])) for name in names}
    print(shares)
    write("agents_unseen", tables, {"median_share_of_best_known": _finite(shares), "machines": _finite(rows)}, [0])


def _finite(data: object) -> object:
    """JSON knows no infinity: null stands for never."""
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(item) for item in data]
    return None if isinstance(data, float) and not np.isfinite(data) else data


if __name__ == "__main__":
    main()
