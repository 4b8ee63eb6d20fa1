"""What a log costs: compression side by side, then one million episodes in one file.

    python benchmarks/log_size.py [--episodes 1000000]

Episodes are real ones (random architectures of ResNet-8 on the shipped accelerator, tests/logged_problem.py): 4,096 are
played once and then appended in shuffled order until the file holds as many as asked for. The time of a search is that
of playing and evaluating them, without any learning: real searches take longer per episode.
"""

# ruff: noqa: E402  (the problem is shared with the tests, in their folder)
import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from eenn_agents.episodes import play
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.episodes import EpisodeBatch
from eenn_rl.replay import describe
from eenn_rl.trajectory import TrajectoryWriter
from eenn_rl.trajectory.flatten import rows_of
from logged_problem import make_evaluator

DISTINCT = 4096
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf"},
    "lzf, shuffle": {"compression": "lzf", "shuffle": True},
    "deflate 1": {"compression": "gzip", "compression_opts": 1},
    "deflate 1, shuffle": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "deflate 4": {"compression": "gzip", "compression_opts": 4},
    "deflate 9": {"compression": "gzip", "compression_opts": 9},
}


def compared(batch: EpisodeBatch) -> list[dict[str, Any]]:
    """Bytes and microseconds per step of the two large columns, in memory, best of three."""
    rows = rows_of(batch, 0, 0.0).steps
    found = []
    for name in ("observations", "masks"):
        column = rows[name][:40_000]
        for label, options in OPTIONS.items():
            seconds = []
            for _ in range(3):
                with h5py.File("size.h5", "w", driver="core", backing_store=False) as file:
                    begun = time.process_time()
                    dataset = file.create_dataset("x", data=column, chunks=(256, column.shape[1]), **options)
                    file.flush()
                    seconds.append(time.process_time() - begun)
                    stored = dataset.id.get_storage_size()
            found.append(
                {
                    "column": name,
                    "compression": label,
                    "bytes_per_step": round(stored / len(column), 2),
                    "us_per_step": round(1e6 * min(seconds) / len(column), 2),
                }
            )
    return found


def taken(batch: EpisodeBatch, rows: np.ndarray[Any, Any]) -> EpisodeBatch:
    names = ("observations", "masks", "actions", "rewards", "lengths", "seeds", "genomes")
    return EpisodeBatch(**{name: getattr(batch, name)[rows] for name in names}, evaluation=batch.evaluation.take(rows))


SHOW = """
import sys, time
begun = time.perf_counter()
from eenn_rl.trajectory import open_log
with open_log(sys.argv[1]) as log:
    log.top(10), log.front(), log.meta, log.verifications(), log.columns("return", "feasible", "elp_reduction")
print(time.process_time(), time.perf_counter() - begun)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    count = parser.parse_args().episodes
    evaluator = make_evaluator()
    problem = Problem(evaluator, layout_for(evaluator.space))
    rng = np.random.default_rng(0)
    genomes = evaluator.space.sample(rng, DISTINCT)
    begun = time.process_time()
    batch = play(problem, genomes, np.arange(DISTINCT))
    search = (time.process_time() - begun) / DISTINCT
    table = compared(batch)
    for row in table:
        print(row, flush=True)
    with tempfile.TemporaryDirectory(dir=ROOT) as name:
        path = Path(name) / "trajectories.h5"
        parts: list[dict[str, float]] = []
        spent = 0.0
        with TrajectoryWriter.create(path, describe(evaluator, "multicore")) as writer:
            for start in range(0, count, DISTINCT):
                part = taken(batch, rng.permutation(DISTINCT)[: min(DISTINCT, count - start)])
                begun = time.process_time()
                for first in range(0, len(part), 256):
                    writer.add_episodes(taken(part, np.arange(first, min(first + 256, len(part)))))
                writer.flush()
                spent += time.process_time() - begun
                if (start // DISTINCT) % 40 == 0 or start + DISTINCT >= count:
                    parts.append({"episodes": len(writer), "write_cpu_s": round(spent, 2)})
                    print(parts[-1], flush=True)
        size = path.stat().st_size
        done = subprocess.run([sys.executable, "-c", SHOW, path], capture_output=True, text=True, check=True)
        shown = [round(float(seconds), 2) for seconds in done.stdout.split()]
    half = len(parts) // 2
    rate = [
        (b["write_cpu_s"] - a["write_cpu_s"]) / max(1, b["episodes"] - a["episodes"])
        for a, b in ((parts[0], parts[half]), (parts[half], parts[-1]))
    ]
    result = {
        "claim": "compression chosen by measurement; appending is O(1); a million episodes cost under 2% of a search",
        "compression": table,
        "episodes": count,
        "steps": int(rows_of(batch, 0, 0.0).episodes["length"].mean() * count),
        "file_bytes": size,
        "bytes_per_episode": round(size / count, 1),
        "write_cpu_us_per_episode": round(1e6 * spent / count, 1),
        "write_cpu_us_per_episode_first_half": round(1e6 * rate[0], 1),
        "write_cpu_us_per_episode_second_half": round(1e6 * rate[1], 1),
        "play_and_evaluate_cpu_us_per_episode_no_learning": round(1e6 * search, 1),
        "summary_of_the_whole_file_cpu_s": shown[0],
        "summary_of_the_whole_file_s": shown[1],
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "growth": parts,
    }
    (ROOT / "benchmarks" / "results" / "log_size.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key not in ("compression", "growth")}, indent=1))


if __name__ == "__main__":
    main()
