"""What a report costs: a run of one million distinct architectures, in seconds and bytes, beside a small run.

    python benchmarks/report_size.py [--episodes 1000000]

The run is a real one (tests/small_run.py: searched, trained, verified); its log is then replaced by one of as many
distinct random architectures of ResNet-8 on the shipped accelerator, each really evaluated. Episodes are one step long
there, because a report reads no steps. `wall_s` counts the imports too; on a busy machine (`load`) it says less than
`cpu_s`.
"""

# ruff: noqa: E402  (the run is shared with the tests, in their folder)
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from provenance import write

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.replay import describe
from eenn_rl.trajectory import TrajectoryWriter
from logged_problem import make_evaluator
from small_run import small_run

BLOCK = 4096
REPORT = """
import json, os, resource, sys, time
from pathlib import Path
begun = time.perf_counter()
from eenn_rl.report import write_report
path = write_report([Path(sys.argv[1])], Path(sys.argv[2]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"wall_s": round(time.perf_counter() - begun, 2), "cpu_s": round(used.ru_utime + used.ru_stime, 2),
                  "peak_memory_mib": used.ru_maxrss // 1024, "bytes": path.stat().st_size,
                  "load": round(os.getloadavg()[0], 1)}))
"""


def distinct_genomes(space: Any, count: int) -> np.ndarray[Any, Any]:
    """`count` different architectures, drawn at random."""
    rng = np.random.default_rng(0)
    found = np.zeros((0, space.max_exits, 5), np.int16)
    while len(found) < count:
        drawn = np.concatenate([found, space.sample(rng, int(1.1 * (count - len(found))) + 64)])
        found = drawn[np.sort(np.unique(drawn.reshape(len(drawn), -1), axis=0, return_index=True)[1])]
    return found[:count]


def write_log(path: Path, count: int) -> None:
    evaluator = make_evaluator()
    meta = describe(evaluator, "multicore")
    sizes = meta.dimensions
    genomes = distinct_genomes(evaluator.space, count)
    with TrajectoryWriter.create(path, meta) as writer:
        for start in range(0, count, BLOCK):
            part = genomes[start : start + BLOCK]
            n, evaluation = len(part), evaluator.evaluate_batch(part)
            writer.add_episodes(
                EpisodeBatch(
                    observations=np.zeros((n, 1, sizes.observation), np.float32),
                    masks=np.ones((n, 1, sizes.actions), np.bool_),
                    actions=np.zeros((n, 1), np.int16),
                    rewards=evaluation.reward[:, np.newaxis],
                    lengths=np.ones(n, np.int32),
                    seeds=np.arange(start, start + n),
                    genomes=part,
                    evaluation=evaluation,
                )
            )
            if (start // BLOCK) % 40 == 0:
                print(f"{start + n} episodes", flush=True)


def reported(run: Path, output: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", REPORT, run, output]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    count = parser.parse_args().episodes
    run = small_run()
    with tempfile.TemporaryDirectory() as name:
        small = reported(run, Path(name) / "small.html")
        (run / "trajectories.h5").unlink()
        write_log(run / "trajectories.h5", count)
        large = reported(run, Path(name) / "large.html")
    result = {
        "claim": "a run of a million distinct architectures is reported in under 20 s, in less than 6 MB",
        "distinct_architectures": count,
        "million": large,
        "small_run_of_200": small,
    }
    print(write("report_size", result, [0]).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
