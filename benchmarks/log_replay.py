"""How fast a log is executed again: that of a search, and one of architectures drawn at random.

    python benchmarks/log_replay.py [--budget 3000]

The search is the default agent over ResNet-8 on the shipped accelerator (tests/logged_problem.py). Each log is replayed
in a fresh process, from the file alone, imports apart. CPU seconds count: wall seconds depend on what else runs.
"""

# ruff: noqa: E402  (the problem is shared with the tests, in their folder)
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

from logged_problem import make_evaluator, write_log
from logged_search import search

REPLAY = """
import json, sys, time
from eenn_rl.replay import replay_file
begun = time.process_time(), time.perf_counter()
result = replay_file(sys.argv[1])
cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
print(json.dumps({
    "verdict": result.verdict, "episodes": result.episodes, "steps": result.steps, "cpu_s": round(cpu, 2),
    "wall_s": round(wall, 2), "steps_per_cpu_s": round(result.steps / cpu),
    "steps_per_wall_s": round(result.steps / wall),
}))
"""


def replayed(path: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", REPLAY, path], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=3000)
    budget = parser.parse_args().budget
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        search(folder, budget, "ppo")
        write_log(folder / "random.h5", make_evaluator(), budget)
        result = {
            "claim": "replay executes 10,000 steps per second or more, and finds every bit equal",
            "search": replayed(folder / "trajectories.h5"),
            "random": replayed(folder / "random.h5"),
        }
    (ROOT / "benchmarks" / "results" / "log_replay.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
