"""One accelerator at a time, starting untrained: every agent under the same budget, evaluator and log.

    python benchmarks/agents_single.py [--budget 3000] [--seeds 10] [--accelerators quad_edge_tpu,hetero_quad]

Results: results/agents_single.json. "Best known" is the best reward that any agent found with any seed.
"""

from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_rl.comparison import best_known, summarise, table
from eenn_rl.estimator import Estimator
from eenn_rl.serialization import to_json


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--budget", type=int, default=3000)
    options.add_argument("--accelerators", default="quad_edge_tpu,hetero_quad")
    options.add_argument("--agents", default="ppo,local,evolution,nsga2,random")
    arguments = options.parse_args()
    tables = tables_of(arguments)
    estimator, found = Estimator(tables), {}
    budgets = [budget for budget in (100, 300, 1000, 3000) if budget <= arguments.budget]
    for accelerator in arguments.accelerators.split(","):
        cells = [
            searched(agent, evaluator_of(estimator, accelerator), arguments.budget, seed)
            for agent in arguments.agents.split(",")
            for seed in range(arguments.seeds)
        ]
        best = best_known(cells)
        rows = summarise(cells, budgets, best)
        print(f"{accelerator}: best known reward {best:.4f}\n{table(rows)}\n", flush=True)
        found[accelerator] = {"best_known": best, "rows": to_json(rows), "cells": to_json(cells)}
        write("agents_single", tables, {"budget": arguments.budget, "accelerators": found}, range(arguments.seeds))


if __name__ == "__main__":
    main()
