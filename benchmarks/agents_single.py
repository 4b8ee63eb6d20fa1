"""One accelerator at a time, starting untrained: every agent under the same budget, evaluator and log.

    python benchmarks/agents_single.py [--budget 3000] [--seeds 10] [--datasets digits,cifar10]
        [--accelerators quad_edge_tpu,hetero_quad] [--keep] [--anew ppo]

Results: results/agents_single.json. "Best known" is the best reward that any agent found with any seed. `--keep` lets
searches in that file stand whose tables and budget are the same, and adds what is missing; those of agents whose code
has changed since are to be named with `--anew`. Each problem says which command made each agent's searches, and how
often the policy of `ppo` was updated, on at most 16 of its proposals each time; `guided` is `ppo` without a policy.
"""

import json
from typing import Any

from agents_common import Updates, evaluator_of, origin_of, parser, searched
from provenance import RESULTS, provenance, write

from eenn_rl.comparison import Cell, best_known, summarise, table
from eenn_rl.estimator import Estimator
from eenn_rl.problem import shipped_tables
from eenn_rl.serialization import from_json, to_json
from eenn_rl.tables import AccuracyTables

NAME = "agents_single"


def problems_held(budget: int) -> dict[str, Any]:
    """The problems in the result file, if made with the same budget; every agent with the command that ran it."""
    path = RESULTS / f"{NAME}.json"
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if data.get("budget") != budget:
        return {}
    problems: dict[str, Any] = data["problems"]
    for problem in problems.values():
        agents = {cell["agent"] for cell in problem["cells"]}
        problem.setdefault("commands", dict.fromkeys(agents, data["command"]))
    return problems


def held(problem: dict[str, Any], tables: AccuracyTables, anew: list[str], seeds: int) -> list[Cell]:
    """Its searches that stand: on these tables, and not of the agents to be run `anew`."""
    if problem.get("tables", {}).get("fingerprint") != tables.fingerprint:
        return []
    cells = [from_json(Cell, cell, NAME) for cell in problem["cells"]]
    return [cell for cell in cells if cell.agent not in anew and cell.seed < seeds]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--budget", type=int, default=3000)
    options.add_argument("--datasets", default="digits,cifar10")
    options.add_argument("--accelerators", default="quad_edge_tpu,hetero_quad")
    options.add_argument("--agents", default="ppo,guided,local,evolution,nsga2,random")
    options.add_argument("--keep", action="store_true")
    options.add_argument("--anew", default="", help="with --keep: agents whose searches in the file do not stand")
    arguments = options.parse_args()
    agents, command = arguments.agents.split(","), provenance(())["command"]
    budgets = [budget for budget in (100, 300, 1000, 3000) if budget <= arguments.budget]
    found = problems_held(arguments.budget) if arguments.keep else {}
    for dataset in arguments.datasets.split(","):
        tables = shipped_tables(dataset, "resnet8")
        estimator = Estimator(tables)
        for accelerator in arguments.accelerators.split(","):
            name = f"{dataset}, {accelerator}"
            cells = held(found.get(name, {}), tables, arguments.anew.split(","), arguments.seeds)
            done = {(cell.agent, cell.seed) for cell in cells}
            ran = {agent: command for agent in agents for seed in range(arguments.seeds) if (agent, seed) not in done}
            before = {agent: made for agent, made in found.get(name, {}).get("commands", {}).items() if cells}
            updates = found.get(name, {}).get("policy_updates", {}) if cells else {}
            for agent, seed in ((agent, seed) for agent in agents for seed in range(arguments.seeds)):
                if (agent, seed) not in done:
                    counted = Updates()
                    evaluator = evaluator_of(estimator, accelerator)
                    cells.append(searched(agent, evaluator, arguments.budget, seed, counted))
                    updates |= {str(seed): counted.count} if agent == "ppo" else {}
            best = best_known(cells)
            rows = summarise(cells, budgets, best)
            print(f"{name}: best known reward {best:.4f}\n{table(rows)}\n", flush=True)
            found[name] = {
                "tables": origin_of(tables), "commands": before | ran, "best_known": best, "rows": to_json(rows),
                "cells": to_json(cells), "policy_updates": updates,
            }  # fmt: skip
            write(NAME, {"budget": arguments.budget, "problems": found}, range(arguments.seeds))


if __name__ == "__main__":
    main()
