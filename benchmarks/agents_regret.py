"""A reduced space whose optimum is known exactly: how far from it each agent ends.

    python benchmarks/agents_regret.py [--seeds 10] [--budget 400]

Two branches, 4 and 8 bits, at most two exits: small enough to evaluate every architecture. Results:
results/agents_regret.json.
"""

import numpy as np
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_rl.comparison import spread, summarise, table
from eenn_rl.estimator import Estimator
from eenn_rl.serialization import to_json

REDUCED = {"branches": ("dsconv", "dsconv2"), "bits": (4, 8), "max_exits": 2}


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--budget", type=int, default=400)
    options.add_argument("--accelerators", default="quad_edge_tpu,hetero_quad")
    options.add_argument("--agents", default="ppo,local,evolution,nsga2,random")
    arguments = options.parse_args()
    tables = tables_of(arguments)
    estimator, found = Estimator(tables), {}
    for accelerator in arguments.accelerators.split(","):
        whole = evaluator_of(estimator, accelerator, **REDUCED)
        batches = [whole.score_batch(genomes) for genomes in whole.space.enumerate(8192)]
        optimum = max(float(np.where(batch.feasible, batch.reward, -np.inf).max()) for batch in batches)
        cells = [
            searched(agent, evaluator_of(estimator, accelerator, **REDUCED), arguments.budget, seed)
            for agent in arguments.agents.split(",")
            for seed in range(arguments.seeds)
        ]
        rows = summarise(cells, [100, arguments.budget], optimum)
        regret = {row.agent: spread([optimum - c.best for c in cells if c.agent == row.agent]) for row in rows}
        print(f"{accelerator}: {whole.space.size:,} architectures, optimum {optimum:.4f}\n{table(rows)}", flush=True)
        print({agent: item.median for agent, item in regret.items()}, "\n", flush=True)
        found[accelerator] = {
            "space_size": whole.space.size, "optimum": optimum, "regret": to_json(regret), "rows": to_json(rows)
        }  # fmt: skip
        write("agents_regret", tables, {"budget": arguments.budget, "accelerators": found}, range(arguments.seeds))


if __name__ == "__main__":
    main()
