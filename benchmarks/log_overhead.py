"""What its log costs a real search: `eenn-rl train` on the shipped tables, with the default agent and backend.

    OMP_NUM_THREADS=1 python benchmarks/log_overhead.py [--budgets 3000,20000]

CPU seconds are counted per thread, since other processes distort wall time. The search's own thread hands episodes over
and waits at checkpoints; digests, compression and the file are the work of the writer's thread, which needs a second
core. Where there is none, its CPU time comes on top: both are told. Playing each proposal as an episode of the
environment (observations and masks of every step) belongs to the search, and is told too.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import provenance

import eenn_agents.ledger
import eenn_agents.ppo  # imports are no part of a search
import eenn_agents.search
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


def measured(budget: int, folder: Path) -> dict[str, Any]:
    """One search; times in microseconds per episode."""
    SPENT.clear()
    given = {"tables": "shipped", "search": {"budget": budget}}
    run = train(given, run=folder / str(budget), resume=False, config=None)
    cpu, every, wall = ({name: 1e6 * spent[i] / budget for name, spent in SPENT.items()} for i in range(len(CLOCKS)))
    log, beside = cpu["add_episodes"] + cpu["flush"], every["search"] - cpu["search"]
    search = cpu["search"] - log
    return {
        "episodes": budget,
        "search_cpu_us_per_episode": round(search, 1),
        "of_that_playing_cpu_us_per_episode": round(cpu["play"], 1),
        "log_in_the_search_thread_cpu_us_per_episode": round(log, 2),
        "log_in_the_search_thread_share": round(log / search, 4),
        "log_in_its_own_thread_cpu_us_per_episode": round(beside, 1),
        "log_in_both_threads_share": round((log + beside) / search, 4),
        "search_wall_us_per_episode": round(wall["search"], 1),
        "of_that_waiting_for_the_log_wall_us_per_episode": round(wall["add_episodes"] + wall["flush"], 1),
        "file_bytes": run.trajectories.stat().st_size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="3000,20000")
    budgets = [int(word) for word in parser.parse_args().budgets.split(",")]
    timed(eenn_agents.search, "search")
    timed(eenn_agents.ledger, "play")
    for name in ("add_episodes", "flush"):
        timed(TrajectoryWriter, name)
    with tempfile.TemporaryDirectory() as name:
        searches = [measured(budget, Path(name)) for budget in budgets]
    claim = "a search spends under 2% of its own thread's CPU time on its log"
    provenance.write("log_overhead", {"claim": claim, "searches": searches}, [0])


if __name__ == "__main__":
    main()
