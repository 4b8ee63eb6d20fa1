"""What its log costs a real search: `eenn-rl train` on the shipped tables, with the default agent and backend.

    OMP_NUM_THREADS=1 python benchmarks/log_overhead.py [--budgets 3000,20000] [--repeats 3]

The same search, once with its log and once with a recorder that keeps nothing, in turn, each in a process of its own;
medians. What counts are CPU seconds, user and system, between the search's begin and end: wall time tells what else the
host was doing. `log_share` is

- the numerator: what the log's calls took in the search's own thread (`add_episodes` and `flush`), plus what all other
  threads of the process took, less the same without a log;
- by the denominator: what all threads of the process took for the search without a log.

(The plain difference of the two searches is told too, but they differ by several percent on their own.) In neither:
making the file, estimator's tables included, and closing it, once per run; `log_share_with_create_and_close` has them
in its numerator. In the denominator: playing each proposal as an episode of the environment, which both searches do.
Nothing but the log needs what it sees there; `log_share_with_playing` takes it from the denominator to the numerator.
`waiting_share_of_wall` is what the search stood still for the log, of its wall time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import provenance

import eenn_agents.ledger
import eenn_agents.ppo  # imports are no part of a search
import eenn_agents.search
from eenn_rl.episodes import NullRecorder
from eenn_rl.run import train
from eenn_rl.trajectory import TrajectoryWriter

CLOCKS = (time.thread_time, time.process_time, time.perf_counter)
SPENT: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(CLOCKS))
"""By what was called: CPU seconds of the calling thread, of all threads, and wall seconds."""


def timed(owner: Any, name: str) -> None:
    """Replace `owner`'s function by one that adds its time to `SPENT`."""
    work: Callable[..., Any] = getattr(owner, name)

    def around(*arguments: Any, **named: Any) -> Any:
        begun = [clock() for clock in CLOCKS]
        try:
            return work(*arguments, **named)
        finally:
            SPENT[name] = [
                spent + clock() - start for spent, clock, start in zip(SPENT[name], CLOCKS, begun, strict=True)
            ]

    setattr(owner, name, around)


def without_log() -> None:
    """Let the search write to a recorder that keeps nothing."""
    search = eenn_agents.search.search

    def quiet(agent: Any, evaluator: Any, settings: Any, seed: Any, _recorder: Any, *rest: Any) -> Any:
        return search(agent, evaluator, settings, seed, NullRecorder(), *rest)

    eenn_agents.search.search = quiet


def measure(dataset: str, budget: int, logged: bool) -> dict[str, float]:
    """One search in this process; seconds."""
    timed(eenn_agents.search, "search")
    timed(eenn_agents.ledger, "play")
    for name in ("add_episodes", "flush", "create", "close"):
        timed(TrajectoryWriter, name)
    if not logged:
        without_log()
    given = {"tables": "shipped", "dataset": dataset, "search": {"budget": budget}}
    with tempfile.TemporaryDirectory() as name:
        run = train(given, run=Path(name) / "run", resume=False, config=None)
        size = run.trajectories.stat().st_size
    (thread, process, wall), play = SPENT["search"], SPENT["play"][0]
    calls = [SPENT[name] for name in ("add_episodes", "flush")]
    fixed = sum(SPENT[name][1] for name in ("create", "close"))
    return {
        "cpu_s": process,
        "wall_s": wall,
        "search_thread_cpu_s": thread,
        "play_cpu_s": play,
        "log_in_search_thread_cpu_s": sum(call[0] for call in calls),
        "log_wait_wall_s": sum(call[2] for call in calls),
        "create_and_close_cpu_s": fixed,
        "file_bytes": size,
    }


def in_a_process(dataset: str, budget: int, logged: bool) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--one", dataset, str(budget), str(int(logged))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(dataset: str, budget: int, repeats: int) -> dict[str, Any]:
    """Searches with and without the log, in turn; medians, in microseconds per episode."""
    found: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for repeat in range(repeats):
        for logged in (True, False) if repeat % 2 else (False, True):
            found[logged].append(in_a_process(dataset, budget, logged))
            print(dataset, budget, logged, found[logged][-1], flush=True)

    def of(logged: bool, name: str) -> float:
        return 1e6 * median(one[name] for one in found[logged]) / budget

    pairs = [1e6 * (a["cpu_s"] - b["cpu_s"]) / budget for a, b in zip(found[True], found[False], strict=True)]
    beside = 1e6 * median(one["cpu_s"] - one["search_thread_cpu_s"] for one in found[True]) / budget
    beside -= 1e6 * median(one["cpu_s"] - one["search_thread_cpu_s"] for one in found[False]) / budget
    log = beside + of(True, "log_in_search_thread_cpu_s")
    without, played = of(False, "cpu_s"), of(False, "play_cpu_s")
    return {
        "tables": dataset,
        "episodes": budget,
        "search_without_log_cpu_us_per_episode": round(without, 1),
        "of_that_playing": round(played, 1),
        "search_with_log_cpu_us_per_episode": round(of(True, "cpu_s"), 1),
        "difference_of_each_pair_us_per_episode": [round(pair, 1) for pair in pairs],
        "log_in_all_threads_cpu_us_per_episode": round(log, 2),
        "of_that_in_the_search_thread": round(of(True, "log_in_search_thread_cpu_s"), 2),
        "log_share": round(log / without, 4),
        "create_and_close_cpu_ms": round(of(True, "create_and_close_cpu_s") * budget / 1000, 1),
        "log_share_with_create_and_close": round((log + of(True, "create_and_close_cpu_s")) / without, 4),
        "log_share_with_playing": round((log + played) / (without - played), 4),
        "search_wall_us_per_episode": round(of(True, "wall_s"), 1),
        "waiting_share_of_wall": round(of(True, "log_wait_wall_s") / of(True, "wall_s"), 4),
        "file_bytes": int(found[True][0]["file_bytes"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="3000,20000")
    parser.add_argument("--tables", default="digits,cifar10")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        dataset, budget, logged = arguments.one
        print(json.dumps(measure(dataset, int(budget), logged == "1")))
        return
    searches = [
        compared(dataset, int(budget), arguments.repeats)
        for dataset in arguments.tables.split(",")
        for budget in arguments.budgets.split(",")
    ]
    claim = "CPU time of a search's log, all threads, against that of the same search without a log"
    provenance.write("log_overhead", {"claim": claim, "repeats": arguments.repeats, "searches": searches}, [0], "isal")


if __name__ == "__main__":
    main()
