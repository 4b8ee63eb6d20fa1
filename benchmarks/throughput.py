"""Throughput of each layer of a search: evaluator, environment, policy, the whole; and the ratio to the plain form.

    python benchmarks/throughput.py

Decisions and evaluations per second of CPU time, so that other work on the machine matters less. Results:
results/throughput.json.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_agents.model import build_model
from eenn_envs import EENNEnv, EENNVectorEnv
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_rl.estimator import Estimator


def rate(work: Callable[[], int], seconds: float = 3.0) -> float:
    """Units of work per CPU second, over at least `seconds`, after one warm-up."""
    work()
    begun, done = time.process_time(), 0
    while (spent := time.process_time() - begun) < seconds:
        done += work()
    return done / spent


def random_actions(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    return np.argmax(rng.random(masks.shape, np.float32) * masks, axis=1)


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    tables = tables_of(arguments)
    estimator = Estimator(tables)
    evaluator = evaluator_of(estimator, "quad_edge_tpu")
    rng = np.random.default_rng(0)
    problem = Problem(evaluator, layout_for(evaluator.space))
    genomes = evaluator.space.sample(rng, 4096)
    core = EpisodeCore([problem], np.zeros(1024, np.intp))
    many, single = EENNVectorEnv(evaluator, 1024), EENNEnv(evaluator)
    model = build_model(EENNVectorEnv(evaluator, 1, layout=problem.layout), 0)
    generator = torch.Generator().manual_seed(0)

    def core_alone() -> int:
        core.reset(np.arange(core.n))
        going, done = np.arange(core.n), 0
        while len(going):
            completed, _ = core.step(going, random_actions(rng, core.masks[going]))
            done += len(going)
            going = np.setdiff1d(going, completed, assume_unique=True)
        return done

    def vector() -> int:
        many.step(random_actions(rng, many.action_masks()))
        return many.num_envs

    def alone() -> int:
        single.reset()
        done, over = 0, False
        while not over:
            _, _, over, _, _ = single.step(int(random_actions(rng, single.action_masks()[None])[0]))
            done += 1
        return done

    def policy() -> int:
        return len(model.sample_episodes(core, generator).actions)

    fresh = iter(np.array_split(evaluator.space.sample(np.random.default_rng(1), 400_000), 4000))
    rates = {
        "evaluations, batch, seen combinations": rate(lambda: len(evaluator.score_batch(genomes))),
        "evaluations, batch, new ones": rate(lambda: len(evaluator.score_batch(next(fresh)))),
        "evaluations, one by one": rate(lambda: len(evaluator.score_batch(genomes[:1]))),
        "decisions, core": rate(core_alone),
        "decisions, vector environment with rewards": rate(vector),
        "decisions, single environment with rewards": rate(alone),
        "decisions, with policy": rate(policy),
    }
    for name, value in rates.items():
        print(f"{name:45} {value:12,.0f} /s", flush=True)
    search_s = {}
    for agent in ("ppo", "local"):
        begun = time.process_time()
        searched(agent, evaluator_of(estimator, "quad_edge_tpu"), 1000, 0)
        search_s[agent] = time.process_time() - begun
    ratio = rates["decisions, core"] / rates["decisions, single environment with rewards"]
    print(search_s, "core over single", ratio)
    write(
        "throughput", tables,
        {"per_cpu_second": rates, "cpu_seconds_of_1000_evaluations": search_s, "core_over_single_environment": ratio},
        [0],
    )  # fmt: skip


if __name__ == "__main__":
    main()
