"""How fast a log is executed again: that of a search, and one of architectures drawn at random.

    OMP_NUM_THREADS=1 python benchmarks/log_replay.py [--budget 3000]

The search is the default one of `eenn-rl train` (ResNet-8, shipped tables of digits, embedded default accelerator); the
random architectures are of the same space. Each log is replayed in a fresh process, from the file alone, imports
apart. Beside wall seconds stand CPU seconds, which depend less on what else runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import provenance

from eenn_agents.episodes import play
from eenn_rl.replay import describe, environment
from eenn_rl.run import train
from eenn_rl.trajectory import TrajectoryWriter, open_log

REPLAY = """
import json, sys, time
from eenn_rl.replay import replay_file
import eenn_envs.core, eenn_multicore
begun = time.process_time(), time.perf_counter()
result = replay_file(sys.argv[1])
cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
print(json.dumps({
    "verdict": result.verdict, "episodes": result.episodes, "steps": result.steps, "cpu_s": round(cpu, 2),
    "wall_s": round(wall, 2), "steps_per_cpu_s": round(result.steps / cpu),
    "steps_per_wall_s": round(result.steps / wall),
}))
"""
BLOCK = 256


def replayed(path: Path) -> dict[str, Any]:
    """Verdict and speed of a replay in a process of its own."""
    done = subprocess.run([sys.executable, "-c", REPLAY, path], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def draw(source: Path, target: Path, count: int) -> None:
    """A log of `count` random architectures of the problem of the log `source`."""
    with open_log(source) as log:
        problem, backend = environment(log.meta, log.path), log.meta.backend["name"]
    rng = np.random.default_rng(0)
    with TrajectoryWriter.create(target, describe(problem.evaluator, backend)) as writer:
        for start in range(0, count, BLOCK):
            genomes = problem.evaluator.space.sample(rng, min(BLOCK, count - start))
            writer.add_episodes(play(problem, genomes, start + np.arange(len(genomes))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=3000)
    budget = parser.parse_args().budget
    with tempfile.TemporaryDirectory() as name:
        drawn = Path(name) / "random.h5"
        run = train(
            {"tables": "shipped", "search": {"budget": budget}}, run=Path(name) / "run", resume=False, config=None
        )
        draw(run.trajectories, drawn, budget)
        result = {
            "claim": "replay executes 10,000 steps per second or more, and finds every bit equal",
            "search": replayed(run.trajectories),
            "random": replayed(drawn),
        }
    print(provenance.write("log_replay", result, [0]).read_text())


if __name__ == "__main__":
    main()
