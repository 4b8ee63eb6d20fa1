"""Small real batches and settings for the tests and benchmarks of the log, made without a search."""

from typing import Any

import numpy as np

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.objective import VIOLATIONS
from eenn_rl.trajectory import Dimensions, RunMeta

OBSERVATION, ACTIONS, EXITS = 40, 30, 4
FLAGS, CONSTANT = 21, 7
DIMENSIONS = Dimensions(OBSERVATION, ACTIONS, EXITS, len(VIOLATIONS), FLAGS, CONSTANT)
END = np.linspace(-1, 1, CONSTANT, dtype=np.float32)


def sample_meta(**changes: Any) -> RunMeta:
    rng = np.random.default_rng(5)
    values: dict[str, Any] = {
        "accelerator": {"name": "quad", "note": "höher"},
        "backbone": {"name": "small"},
        "space": {"branches": ["linear"], "bits": [2, 4, 8], "max_exits": EXITS},
        "objective": {"minimise": "elp"},
        "backend": {"name": "multicore", "distribution": "eenn-rl", "version": "0.1.0"},
        "fingerprint": "0" * 64,
        "dimensions": DIMENSIONS,
        "violations": VIOLATIONS,
        "config": {"seed": 3},
        "seeds": {"seed": 3},
        "tables": {
            "confidence": rng.integers(0, 64, (60, 200), dtype=np.uint8),
            "correct": rng.random((60, 200)) < 0.9,
            "temperatures": np.ones(60, np.float32),
        },
        "constant": END,
    }
    return RunMeta(**(values | changes))


def sample_batch(rng: np.random.Generator, n: int, failures: list[str | None] | None = None) -> EpisodeBatch:
    lengths = rng.integers(1, 4 * EXITS, n).astype(np.int32)
    steps = int(lengths.max())
    kept = np.arange(steps) < lengths[:, None]
    genomes = rng.integers(0, 3, (n, EXITS, 5)).astype(np.int16)
    evaluation = _evaluation(rng, n, failures)
    masks = (rng.random((n, steps, ACTIONS)) < 0.3) & kept[:, :, None]
    masks[..., 0] |= kept
    observations = (rng.integers(0, 5, (n, steps, OBSERVATION)) / 4).astype(np.float32)
    observations[..., :FLAGS] = observations[..., :FLAGS] > 0.5
    observations[..., -CONSTANT:] = END
    return EpisodeBatch(
        observations=np.where(kept[..., None], observations, np.float32(0)),
        masks=masks,
        actions=np.where(kept, masks.argmax(2), -1).astype(np.int16),
        rewards=np.where(np.arange(steps) == lengths[:, None] - 1, evaluation.reward[:, None], 0.0),
        lengths=lengths,
        seeds=rng.integers(0, 2**40, n),
        genomes=genomes,
        evaluation=evaluation,
    )


def _evaluation(rng: np.random.Generator, n: int, failures: list[str | None] | None) -> EvaluationBatch:
    energy, latency = rng.uniform(1e-6, 1e-4, n), rng.uniform(1e-4, 1e-2, n)
    rates = rng.dirichlet(np.ones(EXITS), n)
    return EvaluationBatch(
        reward=rng.normal(size=n),
        feasible=rng.random(n) < 0.4,
        accuracy=rng.uniform(0.5, 1, n),
        energy_j=energy,
        latency_s=latency,
        elp=energy * latency,
        elp_reduction=rng.random(n),
        exit_rates=rates,
        exit_accuracies=rng.random((n, EXITS)),
        thresholds=rng.random((n, EXITS)),
        violations=rng.random((n, len(VIOLATIONS))),
        failures=failures,
    )


SAMPLE_RECORD = {
    "architecture": {"exits": [{"location": 0}]},
    "feasible": True,
    "predicted": {"accuracy": 0.95, "energy_j": 1e-5, "latency_s": 1e-3, "elp": 1e-8},
    "measured": {"accuracy": 0.94, "energy_j": 1.1e-5, "latency_s": 1.1e-3, "elp": 1.2e-8, "exit_rates": [0.5, 0.5]},
    "elp_reduction": 0.6,
    "elp_reduction_best_bits": 0.2,
    "violations": [],
}
"""A verification, as `eenn_rl.results.Verified` gives it."""
