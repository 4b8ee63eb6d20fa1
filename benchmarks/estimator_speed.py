"""Estimates per second in batch and single, their exact agreement, and how good the thresholds are.

    python benchmarks/estimator_speed.py [--tables FILE.npz ...] [--seed 0]

Without --tables, tables of 5,000 random samples stand in for measured ones: speed depends on little but their size. An
evaluation is the whole of it: thresholds, accuracy, costs by the `multicore` backend on `quad_edge_tpu`, constraints,
reward. Rates are per second of processor time on one core. Architectures that differ in cores alone share a *profile*,
whose thresholds are tuned once: `cold` counts this tuning for every profile met, `warm` are new architectures whose
profiles were met before. `from_nothing` is the mean over many random architectures of a space with few profiles, the
tuning of all of them included.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from provenance import write

from eenn_rl.branches import BRANCHES
from eenn_rl.estimator import AccuracyTables, Estimator, confidence_levels
from eenn_rl.evaluation import ARRAYS
from eenn_rl.evaluator import Evaluator
from eenn_rl.grid import Grid, Workspace
from eenn_rl.hardware import load_accelerator
from eenn_rl.levels import LEVELS
from eenn_rl.objective import Objective
from eenn_rl.plugins import make_backend
from eenn_rl.rows import approximation_error
from eenn_rl.space import CORE, LOCATION, Genomes, SearchSpace
from eenn_rl.tuning import Demands, frontier
from eenn_rl.zoo import make_backbone

SAMPLES = 5000
BITS = (2, 4, 8)
MOST_PATHS = 40
BATCH = 8192
EXHAUSTIVE_PROFILES = 40
FEW_PROFILES = 20_000
FROM_NOTHING = 1_000_000
COSTS_PER_PROFILE = 20


def random_tables(name: str, seed: int) -> AccuracyTables:
    """Tables of random samples: exits of rising skill that agree about what is hard."""
    backbone, rng = make_backbone(name), np.random.default_rng(seed)
    last = len(backbone.blocks) - 1
    hard, places = rng.normal(size=SAMPLES), []
    for location in range(last + 1):
        paths = {(bits,) * (location + 1) for bits in BITS} | set(product(BITS, repeat=min(location + 1, 4)))
        full = sorted({(*path, *(path[-1],) * (location + 1 - len(path))) for path in paths})
        chosen = [full[at] for at in rng.permutation(len(full))[:MOST_PATHS]]
        kept = list(dict.fromkeys([*((bits,) * (location + 1) for bits in BITS), *chosen]))
        places += [(location, b, path) for path in kept for b in ([-1] if location == last else range(len(BRANCHES)))]
    confidence, correct = [], []
    for location, branch, path in places:
        loss = np.mean([{2: 0.5, 4: 0.1, 8: 0.0}[bits] for bits in path])
        skill = 1 + 1.4 * location / last + (0.4 if branch < 0 else 0.07 * branch) - loss
        margin = skill - hard + rng.normal(size=SAMPLES) * 0.5
        correct.append(rng.random(SAMPLES) < 1 / (1 + np.exp(-2.2 * margin)))
        confidence.append(0.1 + 0.9 / (1 + np.exp(-2 * (margin + rng.normal(size=SAMPLES) * 0.5))))
    return AccuracyTables(
        confidence=confidence_levels(np.array(confidence)),
        correct=np.array(correct),
        row_location=np.array([location for location, _, _ in places], np.int16),
        row_branch=np.array([branch for _, branch, _ in places], np.int16),
        row_bits=np.array([[*path, *(0,) * (last + 1 - len(path))] for _, _, path in places], np.uint8),
        temperatures=np.ones(len(places), np.float32),
        backbone=backbone,
        dataset="random samples",
        confidence_rule="max_softmax",
        branches=BRANCHES,
        bits=BITS,
    )


def made(tables: AccuracyTables) -> Evaluator:
    """An evaluator that has seen nothing."""
    accelerator = load_accelerator("quad_edge_tpu")
    space = SearchSpace(tables.backbone, accelerator, tables.branches, tables.bits)
    backend = make_backend("multicore", accelerator, tables.backbone)
    evaluator = Evaluator(space, backend, Estimator(tables), Objective())
    _ = evaluator.static
    return evaluator


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The answer, and the seconds of processor time it took."""
    start = time.process_time()
    answer = work()
    return answer, time.process_time() - start


def rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1)


def on_other_cores(space: SearchSpace, genomes: Genomes, rng: np.random.Generator) -> Genomes:
    """The same networks on other allocations, each stage and its branch on one: new architectures, known profiles."""
    moved = genomes.copy()
    used = moved[:, :, LOCATION] >= 0
    count = len(space.accelerator.allocations)
    moved[:, :, CORE:][used] = rng.integers(0, count, (int(used.sum()), 1)).astype(np.int16)
    return moved[space.legal(moved)]


def profiles_of(space: SearchSpace) -> int:
    """How many profiles a space has: its architectures on one allocation."""
    return replace(space, accelerator=replace(space.accelerator, allocations=((0,),))).size


def from_nothing(tables: AccuracyTables, seed: int, count: int) -> dict[str, Any]:
    """Evaluations per second over `count` random architectures, every profile's tuning included."""
    evaluator, rng = made(tables), np.random.default_rng(seed + 3)
    seconds = 0.0
    for _ in range(count // BATCH):
        genomes = evaluator.space.sample(rng, BATCH)
        seconds += timed(lambda genomes=genomes: evaluator.evaluate_batch(genomes))[1]
    return {"from_nothing_distinct": evaluator.distinct, "from_nothing_per_second": rate(evaluator.distinct, seconds)}


def speed(tables: AccuracyTables, seed: int, batches: int) -> dict[str, Any]:
    """Evaluations per second, batch and single."""
    rng, evaluator = np.random.default_rng(seed), made(tables)
    space = evaluator.space
    genomes = space.sample(rng, BATCH)
    _, cold = timed(lambda: evaluator.evaluate_batch(genomes))
    profiles = len(np.unique(genomes[:, :, :3].reshape(len(genomes), -1), axis=0))
    others = [on_other_cores(space, genomes, rng) for _ in range(batches + 3)]
    for _ in range(3):
        evaluator.evaluate_batch(others.pop())
    before = evaluator.distinct
    _, warm = timed(lambda: [evaluator.evaluate_batch(batch) for batch in others])
    new = evaluator.distinct - before
    known, again = timed(lambda: [evaluator.evaluate_batch(batch) for batch in others])
    architectures = [space.decode(genome) for genome in on_other_cores(space, genomes[:400], rng)]
    _, single = timed(lambda: [evaluator.evaluate(architecture) for architecture in architectures])
    fixed = known[0].thresholds[:400]
    levels = [confidence_levels(np.minimum(row, 1)) for row in fixed]
    _, plain = timed(
        lambda: [evaluator.estimator.estimate(*pair) for pair in zip(others[0][:400], levels, strict=True)]
    )
    few = profiles_of(space) <= FEW_PROFILES
    return {
        "profiles_in_space": profiles_of(space),
        "batch_cold_per_second": rate(len(genomes), cold),
        "profiles_in_cold_batch": profiles,
        "tuning_seconds_per_profile": round(cold / profiles, 7),
        "batch_warm_per_second": rate(new, warm),
        "batch_repeated_per_second": rate(sum(map(len, others)), again),
        "single_per_second": rate(len(architectures), single),
        "plain_arrays_at_given_thresholds_per_second": rate(len(levels), plain),
        "ratio_batch_warm_to_plain": round(new / warm * plain / len(levels), 1),
        **(from_nothing(tables, seed, FROM_NOTHING) if few else {}),
    }


def agreement(tables: AccuracyTables, seed: int, count: int) -> dict[str, int]:
    """How many numbers of single evaluations differ, in any bit, from those of a batch; both from scratch."""
    genomes = made(tables).space.sample(np.random.default_rng(seed + 1), count)
    batch, alone = made(tables).evaluate_batch(genomes), made(tables)
    numbers = differing = 0
    for i, genome in enumerate(genomes):
        one = alone.evaluate_batch(genome[np.newaxis])
        full = alone.evaluate(alone.space.decode(genome))
        pairs = [(getattr(one, name)[0], getattr(batch, name)[i]) for name in ARRAYS]
        pairs += [(getattr(full, name), getattr(batch, name)[i]) for name in ("reward", "elp", "energy_j", "latency_s")]
        pairs.append((full.estimate.accuracy, batch.accuracy[i]))
        for a, b in pairs:
            numbers += np.size(b)
            differing += int(np.sum(np.asarray(a) != np.asarray(b)))
    return {"architectures": count, "numbers_compared": numbers, "numbers_differing": differing}


def exhaustive(levels: Any, right: Any, demands: Demands) -> Any:
    """Inputs leaving at each exit [m, K] for every feasible setting of all 64 levels per exit, and each exit off."""
    early = len(levels) - 1
    cells, sizes = [row[np.newaxis] + np.uint8(1) for row in levels[:-1]], [LEVELS + 1] * early
    found = Grid.of(cells, sizes, [row[np.newaxis] for row in right], Workspace())
    good = found.right >= demands.right
    for leaving in found.leaving():
        good &= leaving >= demands.least
    return np.stack([np.broadcast_to(leaving, good.shape)[good] for leaving in found.leaving()], axis=1)


def threshold_quality(tables: AccuracyTables, seed: int) -> dict[str, Any]:
    """Expected cost of the tuned thresholds against the best of all settings, and of one global threshold."""
    rng, evaluator = np.random.default_rng(seed + 2), made(tables)
    rows = evaluator.estimator.rows(evaluator.space.sample(rng, 4000))
    gaps, shared, missed, feasible = [], [], 0, 0
    for padded in rows[(rows >= 0).sum(axis=1) == rows.shape[1]]:
        own = padded[padded >= 0]
        levels, right = tables.confidence[own], tables.correct[own]
        every = exhaustive(levels, right, evaluator.demands)
        found = frontier(levels, right, evaluator.demands)
        missed += found.feasible != (len(every) > 0)
        if not len(every):
            continue
        feasible += 1
        one = frontier(levels, right, evaluator.demands, "global")
        for _ in range(COSTS_PER_PROFILE):
            weights = np.cumsum(rng.dirichlet(np.ones(len(own))) + 0.02)
            best = (every @ weights).min()
            gaps.append((found.counts @ weights).min() / best - 1)
            if one.feasible:
                shared.append(1 - best / (one.counts @ weights).min())
        if feasible == EXHAUSTIVE_PROFILES:
            break
    return {
        "profiles_with_three_early_exits": feasible,
        "settings_searched_each": (LEVELS + 1) ** 3 if feasible else 0,
        "mean_gap": float(np.mean(gaps)) if gaps else None,
        "largest_gap": float(np.max(gaps)) if gaps else None,
        "feasibility_missed": missed,
        "mean_saving_of_own_thresholds_against_one_for_all": float(np.mean(shared)) if shared else None,
    }


def file_facts(tables: AccuracyTables) -> dict[str, Any]:
    """Size of the file, and the time to read it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tables.npz"
        tables.save(path)
        _, seconds = timed(lambda: AccuracyTables.load(path))
        size = path.stat().st_size
    return {"rows": tables.rows, "samples": tables.samples, "file_bytes": size, "load_seconds": round(seconds, 3)}


def measured(tables: AccuracyTables, seed: int, batches: int, singles: int) -> dict[str, Any]:
    evaluator, build = timed(lambda: made(tables))
    return {
        "backbone": tables.backbone.name,
        "dataset": tables.dataset,
        "fingerprint": tables.fingerprint,
        "space_size": evaluator.space.size,
        "file": file_facts(tables),
        "first_evaluator_seconds": round(build, 3),
        "speed": speed(tables, seed, batches),
        "agreement": agreement(tables, seed, singles),
        "thresholds": threshold_quality(tables, seed),
        "nearest_row_error": vars(approximation_error(tables)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, nargs="*", default=[], help="measured tables (default: random ones)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=25, help=f"warm batches of {BATCH}")
    parser.add_argument("--singles", type=int, default=1000, help="architectures compared between single and batch")
    options = parser.parse_args()
    given = [AccuracyTables.load(path) for path in options.tables]
    problems = given or [random_tables(name, options.seed) for name in ("resnet8", "resnet20")]
    results = [measured(tables, options.seed, options.batches, options.singles) for tables in problems]
    print(json.dumps(results, indent=1))
    write("estimator_speed", {"problems": results}, [options.seed])


if __name__ == "__main__":
    main()
