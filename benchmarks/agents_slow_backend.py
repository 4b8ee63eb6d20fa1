"""A backend that takes its time: wall-clock seconds that each agent needs to 95% of the best known reward.

    python benchmarks/agents_slow_backend.py [--seconds 1.0] [--budget 150] [--seeds 10]

The cost model is multicore's, made to take `--seconds` per architecture, as a simulator does; the seconds are slept
(searches of all agents run side by side), so that other work on the machine hardly matters. The static networks that
the baseline needs are costed before the clock starts, for every agent alike. `ppo, shipped policy` starts from the
policy that comes with the package, `ppo` untrained. "seconds_to_95%" are the backend's seconds and the search's own CPU
seconds; wall seconds here hold what other work on the machine, these searches among it, takes away. Results:
results/agents_slow_backend.json.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_rl.comparison import Cell, best_known, spread
from eenn_rl.estimator import Estimator
from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.evaluator import Evaluator
from eenn_rl.serialization import to_json
from eenn_rl.space import Genomes
from eenn_rl.tables import AccuracyTables

SHIPPED = "ppo, shipped policy"
AGENTS = (SHIPPED, "ppo", "local", "evolution", "nsga2", "random")


class SlowEvaluator(Evaluator):
    """Sleeps for every architecture that it has not seen."""

    seconds = 0.0

    def score_batch(self, genomes: Genomes) -> EvaluationBatch:
        """Take the time first."""
        time.sleep(self.seconds * len(genomes))
        return super().score_batch(genomes)


def slow_search(tables: AccuracyTables, agent: str, seed: int, budget: int, seconds: float) -> tuple[Cell, float]:
    """The search, and its CPU seconds: what it takes beside the backend, on a machine of its own."""
    begun = time.process_time()
    cell = _searched(tables, agent, seed, budget, seconds)
    return cell, time.process_time() - begun


def _searched(tables: AccuracyTables, agent: str, seed: int, budget: int, seconds: float) -> Cell:
    fast = evaluator_of(Estimator(tables), "quad_edge_tpu")
    evaluator = SlowEvaluator(fast.space, fast.backend, fast.estimator, fast.objective)
    _ = evaluator.static
    evaluator.seconds = seconds
    if agent == SHIPPED:
        return replace(searched("ppo", evaluator, budget, seed, policy="shipped"), agent=SHIPPED)
    return searched(agent, evaluator, budget, seed)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--budget", type=int, default=150)
    arguments = options.parse_args()
    tables = tables_of(arguments)
    searched("ppo", evaluator_of(Estimator(tables), "quad_edge_tpu"), 40, 0)  # imports, once for all that are forked
    wanted = [(agent, seed) for agent in AGENTS for seed in range(arguments.seeds)]
    with ProcessPoolExecutor(len(wanted), mp_context=get_context("fork")) as pool:
        made = [pool.submit(slow_search, tables, *cell, arguments.budget, arguments.seconds) for cell in wanted]
        done = [future.result() for future in made]
    cells = [cell for cell, _ in done]
    best = best_known(cells)
    found = {}
    for agent in AGENTS:
        own = [(cell, cpu_s) for cell, cpu_s in done if cell.agent == agent]
        counts = [cell.evaluations_to(0.95 * best) for cell, _ in own]
        wall = [cell.wall_s * count / cell.evaluations for (cell, _), count in zip(own, counts, strict=True)]
        idle = [
            (arguments.seconds + cpu_s / cell.evaluations) * count
            for (cell, cpu_s), count in zip(own, counts, strict=True)
        ]
        found[agent] = {
            "evaluations_to_95%": to_json(spread(counts)),
            "reached_95%": float(np.isfinite(counts).mean()),
            "seconds_to_95%": to_json(spread(idle)),
            "wall_seconds_to_95%_here": to_json(spread(wall)),
            "cpu_s": float(np.median([cpu_s for _, cpu_s in own])),
        }
        print(agent, found[agent], flush=True)
    data = {"best_known": best, "seconds": arguments.seconds, "budget": arguments.budget, "agents": found}
    data |= {"cells": to_json(cells)}
    write("agents_slow_backend", tables, data, range(arguments.seeds))


if __name__ == "__main__":
    main()
