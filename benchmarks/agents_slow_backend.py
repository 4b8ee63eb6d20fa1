"""A backend that takes its time: wall-clock seconds that each agent needs to 95% of the best known reward.

    python benchmarks/agents_slow_backend.py [--seconds 1.0] [--budget 150] [--seeds 3]

The cost model is multicore's, made to take `--seconds` per architecture, as a simulator does; the seconds are slept
(searches of all agents run side by side), so that other work on the machine hardly matters. The static networks that
the baseline needs are costed before the clock starts, for every agent alike. Results: results/agents_slow_backend.json.
"""

import time
from concurrent.futures import ProcessPoolExecutor
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

AGENTS = ("ppo", "local", "evolution", "random")


class SlowEvaluator(Evaluator):
    """Sleeps for every architecture that it has not seen."""

    seconds = 0.0

    def score_batch(self, genomes: Genomes) -> EvaluationBatch:
        """Take the time first."""
        time.sleep(self.seconds * len(genomes))
        return super().score_batch(genomes)


def slow_search(tables: AccuracyTables, agent: str, seed: int, budget: int, seconds: float) -> Cell:
    fast = evaluator_of(Estimator(tables), "quad_edge_tpu")
    evaluator = SlowEvaluator(fast.space, fast.backend, fast.estimator, fast.objective)
    _ = evaluator.static
    evaluator.seconds = seconds
    return searched(agent, evaluator, budget, seed)


def main() -> None:
    options = parser(__doc__ or "")
    options.set_defaults(seeds=3)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--budget", type=int, default=150)
    arguments = options.parse_args()
    tables = tables_of(arguments)
    wanted = [(agent, seed) for agent in AGENTS for seed in range(arguments.seeds)]
    with ProcessPoolExecutor(len(wanted), mp_context=get_context("fork")) as pool:
        made = [pool.submit(slow_search, tables, *cell, arguments.budget, arguments.seconds) for cell in wanted]
        cells = [future.result() for future in made]
    best = best_known(cells)
    found = {}
    for agent in AGENTS:
        own = [cell for cell in cells if cell.agent == agent]
        seconds = [cell.wall_s * cell.evaluations_to(0.95 * best) / cell.evaluations for cell in own]
        found[agent] = {
            "seconds_to_95%": to_json(spread(seconds)),
            "overhead_s": float(np.median([cell.wall_s - arguments.seconds * cell.evaluations for cell in own])),
        }
        print(agent, found[agent], flush=True)
    data = {"best_known": best, "agents": found, "cells": to_json(cells)}
    write("agents_slow_backend", tables, data, range(arguments.seeds))


if __name__ == "__main__":
    main()
