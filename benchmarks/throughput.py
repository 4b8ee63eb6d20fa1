"""Throughput of each layer of a search: evaluator, environment, policy, the whole; and the ratio to the plain form.

    python benchmarks/throughput.py

Decisions and evaluations per second of CPU time, so that other work on the machine matters less. "Seen combinations":
the thresholds for these exits, branches and bits were tuned before, other cores may run them; where every combination
is new, each has to be tuned first. A million random ones begin with nothing known and end with every combination of
ResNet-8 known: each of the two has its share. Results: results/throughput.json.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from agents_common import evaluator_of, parser, searched, tables_of, write

from eenn_agents.model import EpisodicPPO, build_model
from eenn_envs import EENNEnv, EENNVectorEnv
from eenn_envs.core import EpisodeCore, Problem
from eenn_envs.layout import layout_for
from eenn_rl.costing import Costing
from eenn_rl.estimator import Estimator
from eenn_rl.space import BITS, Genomes, SearchSpace
from eenn_rl.tuning import Tuner


def rate(work: Callable[[], int], seconds: float = 3.0) -> float:
    """Units of work per CPU second, over at least `seconds`, after one warm-up."""
    work()
    begun, done = time.process_time(), 0
    while (spent := time.process_time() - begun) < seconds:
        done += work()
    return done / spent


def random_actions(rng: np.random.Generator, masks: np.ndarray) -> np.ndarray:
    chosen: np.ndarray = np.argmax(rng.random(masks.shape, np.float32) * masks, axis=1)
    return chosen


PARTS = {
    "tuning thresholds": (Tuner, "frontiers"),
    "costs": (Costing, "costs"),
    "the policy's proposals": (EpisodicPPO, "sample_episodes"),
    "the policy's updates": (EpisodicPPO, "update"),
}
"""What a search spends its time on; no part calls another."""
SEARCHES = {"ppo, shipped policy": "shipped", "ppo, untrained": "untrained", "local": "untrained"}
"""The searches that are timed, and the policy that each begins with."""


@contextmanager
def timed(parts: dict[str, tuple[type, str]]) -> Iterator[dict[str, float]]:
    """Within, the CPU seconds spent in each of `parts`: a class and its method."""
    spent, plain = dict.fromkeys(parts, 0.0), {name: getattr(*part) for name, part in parts.items()}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            begun = time.process_time()
            try:
                return plain[name](*arguments, **options)
            finally:
                spent[name] += time.process_time() - begun

        return call

    for name, (owner, method) in parts.items():
        setattr(owner, method, wrapped(name))
    try:
        yield spent
    finally:
        for name, (owner, method) in parts.items():
            setattr(owner, method, plain[name])


def portions_of_new(space: SearchSpace) -> Iterator[Genomes]:
    """Random architectures, a hundred at a time; no two have the same exits, branches and bits."""
    genomes = space.sample(np.random.default_rng(1), 100_000)
    _, first = np.unique(genomes[:, :, : BITS + 1], axis=0, return_index=True)
    first = np.sort(first)
    yield from (genomes[first[start : start + 100]] for start in range(0, len(first) - 99, 100))


def swept(estimator: Estimator, batches: int = 128, size: int = 8192) -> float:
    """Evaluations per CPU second of over a million random architectures, nothing of which is known."""
    evaluator, rng = evaluator_of(estimator, "quad_edge_tpu"), np.random.default_rng(2)
    spent = 0.0
    for _ in range(batches):
        genomes = evaluator.space.sample(rng, size)
        begun = time.process_time()
        evaluator.score_batch(genomes)
        spent += time.process_time() - begun
    return batches * size / spent


def main() -> None:
    arguments = parser(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    tables = tables_of(arguments)
    from_nothing = swept(
        Estimator(tables)
    )  # first, as evaluators of one process share a backend and what it has costed
    estimator = Estimator(tables)
    evaluator = evaluator_of(estimator, "quad_edge_tpu")
    rng = np.random.default_rng(0)
    problem = Problem(evaluator, layout_for(evaluator.space))
    genomes = evaluator.space.sample(rng, 4096)
    core = EpisodeCore([problem], np.zeros(1024, np.intp))
    many, single = EENNVectorEnv(evaluator, 1024), EENNEnv(evaluator)
    known = evaluator_of(Estimator(tables), "quad_edge_tpu")
    for _ in range(100):
        known.score_batch(known.space.sample(rng, 4096))
    among_known = EENNVectorEnv(known, 1024)
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

    def vector(environment: EENNVectorEnv) -> int:
        environment.step(random_actions(rng, environment.action_masks()))
        return environment.num_envs

    def alone() -> int:
        single.reset()
        done, over = 0, False
        while not over:
            _, _, over, _, _ = single.step(int(random_actions(rng, single.action_masks()[None])[0]))
            done += 1
        return done

    def policy() -> int:
        return len(model.sample_episodes(core, generator).actions)

    cold, fresh = evaluator_of(Estimator(tables), "quad_edge_tpu"), portions_of_new(evaluator.space)
    rates = {
        "evaluations, batch, seen combinations": rate(lambda: len(evaluator.score_batch(genomes))),
        "evaluations, batch, every combination new": rate(lambda: len(cold.score_batch(next(fresh))), 1.5),
        "evaluations, batch, a million random ones from nothing": from_nothing,
        "evaluations, one by one": rate(lambda: len(evaluator.score_batch(genomes[:1]))),
        "decisions, core": rate(core_alone),
        "decisions, vector environment with rewards": rate(partial(vector, many)),
        "decisions, vector environment with rewards, seen combinations": rate(partial(vector, among_known)),
        "decisions, single environment with rewards": rate(alone),
        "decisions, with policy": rate(policy),
    }
    for name, value in rates.items():
        print(f"{name:62} {value:12,.0f} /s", flush=True)
    search_s, parts = {}, {}
    for agent, begin_with in SEARCHES.items():
        begun = time.process_time()
        with timed(PARTS) as spent:
            fresh_evaluator = evaluator_of(Estimator(tables), "quad_edge_tpu")
            searched(agent.partition(",")[0], fresh_evaluator, 1000, 0, policy=begin_with)
        search_s[agent] = time.process_time() - begun
        parts[agent] = {**spent, "the rest": search_s[agent] - sum(spent.values())}
    ratio = rates["decisions, core"] / rates["decisions, single environment with rewards"]
    print(search_s, parts, "core over single", ratio)
    data = {"per_cpu_second": rates, "core_over_single_environment": ratio}
    data |= {"cpu_seconds_of_1000_evaluations": search_s, "of_which": parts}
    write("throughput", tables, data, [0])


if __name__ == "__main__":
    main()
