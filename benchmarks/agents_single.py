"""One accelerator at a time, starting untrained: every agent under the same budget, evaluator and log.

    python benchmarks/agents_single.py [--budget 3000] [--seeds 10] [--accelerators quad_edge_tpu,hetero_quad]

Results: results/agents_single.json. "Best known" is the best reward that any agent found with any seed.
"""

import json
from collections.abc import Sequence

from agents_common import evaluator_of, parser, searched, tables_of, write
from provenance import RESULTS

from eenn_rl.comparison import Cell, best_known, summarise, table
from eenn_rl.estimator import Estimator
from eenn_rl.serialization import from_json, to_json
from eenn_rl.tables import AccuracyTables


def held(tables: AccuracyTables, budget: int, accelerator: str, agents: Sequence[str]) -> list[Cell]:
    """The searches of `agents` that an earlier run left in the result file."""
    path = RESULTS / "agents_single.json"
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"tables": {}, "budget": 0}
    if (data["tables"].get("fingerprint"), data["budget"]) != (tables.fingerprint, budget):
        return []
    cells = data["accelerators"].get(accelerator, {}).get("cells", [])
    return [from_json(Cell, cell, str(path)) for cell in cells if cell["agent"] in agents]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--budget", type=int, default=3000)
    options.add_argument("--accelerators", default="quad_edge_tpu,hetero_quad")
    options.add_argument("--agents", default="ppo,local,evolution,nsga2,random")
    options.add_argument(
        "--keep", default="", help="agents whose searches in the result file stand, if tables and budget do"
    )
    arguments = options.parse_args()
    tables = tables_of(arguments)
    estimator, found = Estimator(tables), {}
    budgets = [budget for budget in (100, 300, 1000, 3000) if budget <= arguments.budget]
    for accelerator in arguments.accelerators.split(","):
        kept = held(tables, arguments.budget, accelerator, arguments.keep.split(","))
        cells = kept + [
            searched(agent, evaluator_of(estimator, accelerator), arguments.budget, seed)
            for agent in arguments.agents.split(",")
            for seed in range(arguments.seeds)
            if not any((cell.agent, cell.seed) == (agent, seed) for cell in kept)
        ]
        best = best_known(cells)
        rows = summarise(cells, budgets, best)
        print(f"{accelerator}: best known reward {best:.4f}\n{table(rows)}\n", flush=True)
        found[accelerator] = {"best_known": best, "rows": to_json(rows), "cells": to_json(cells)}
        write("agents_single", tables, {"budget": arguments.budget, "accelerators": found}, range(arguments.seeds))


if __name__ == "__main__":
    main()
