"""Kills a real search again and again at random moments and counts what its log lost.

    python benchmarks/log_kill.py --agent evolution
    python benchmarks/log_kill.py --agent ppo --kills 12 --longest 30 --budget 1500

One search (ResNet-8 on the shipped accelerator, as in tests/logged_problem.py) runs in a child process that reports
how many episodes are saved, and is killed with SIGKILL after a random time; the next child resumes it. After every kill
the log must open with plain `h5py.File(path, "r")` and hold at least what was reported. At the end the search is let to
finish, and its log is compared with that of one that was never interrupted. Children are forks of one process that has
imported everything (and used nothing of torch, which does not survive a fork), so that the time until a kill is spent
searching.
"""

# ruff: noqa: E402  (the problem is shared with the tests, in their folder)
import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import eenn_agents.model
import eenn_agents.ppo  # noqa: F401  (all that a child would import)
import eenn_agents.search as agents
from eenn_rl.evaluator import Evaluator
from eenn_rl.replay import describe, replay_file
from eenn_rl.search import AgentSettings
from eenn_rl.trajectory import TrajectoryWriter, writer
from logged_problem import make_evaluator
from trajectory_samples import sample_batch, sample_meta

SAVE_EVERY_S = 0.5
"""Checkpoints come this often here, so that a search of seconds sees as many as one of minutes."""


class Reporting(TrajectoryWriter):
    """Reports every flush on a pipe, once it is done."""

    pipe = -1
    agent = "ppo"

    def flush(self) -> None:
        """Flush, then report."""
        super().flush()
        if self.pipe >= 0:
            os.write(self.pipe, f"{self.saved}\n".encode())


def search(folder: Path, evaluator: Evaluator, budget: int) -> None:
    log, meta = folder / "trajectories.h5", describe(evaluator, "multicore")
    made = Reporting.resume(log, meta) if log.exists() else Reporting.create(log, meta)
    with made as recorder:
        agents.search(Reporting.agent, evaluator, AgentSettings(budget=budget), 0, recorder, None, folder / "search.pt")


def killed_after(seconds: float | None, folder: Path, evaluator: Evaluator, budget: int) -> tuple[int, bool]:
    """Episodes reported as saved by a child killed after `seconds` (None: never), and whether it had finished."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        Reporting.pipe = write
        status = 1
        try:
            search(folder, evaluator, budget)
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(write)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as reports:
        saved = max([0, *map(int, reports.read().split("\n")[:-1])])
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("the search failed by itself")
    return saved, os.WIFEXITED(status)


def tight(kills: int, rng: np.random.Generator, folder: Path) -> tuple[int, int]:
    """Kills of a process that does nothing but write and flush: how many lost an episode, how many broke the file."""
    lost = broken = 0
    path = folder / "tight.h5"
    batch = sample_batch(rng, 40)
    for _ in range(kills):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            Reporting.pipe = write
            with Reporting.resume(path) if path.exists() else Reporting.create(path, sample_meta()) as recorder:
                while True:
                    recorder.add_episodes(batch)
                    recorder.flush()
        os.close(write)
        time.sleep(float(rng.uniform(0.1, 0.6)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(read) as reports:
            saved = max([0, *map(int, reports.read().split("\n")[:-1])])
        if not path.exists():
            lost += saved > 0  # killed before there was a log
            continue
        try:
            with h5py.File(path, "r") as file:
                lost += file["episodes/return"].shape[0] < saved
        except OSError:
            broken += 1
    return lost, broken


def content(path: Path) -> dict[str, bytes]:
    """All that must be equal: every data set but the wall times."""
    found: dict[str, bytes] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()})
            if isinstance(item, h5py.Dataset) and name != "episodes/wall_s" else None
        )  # fmt: skip
    return found


@dataclass
class Count:
    """What the kills did."""

    kills: int = 0
    lost: int = 0
    unreadable: int = 0
    searches: int = 0
    equal: int = 0


def check(log: Path, saved: int, count: Count) -> None:
    """Count what is wrong with `log` after a kill, `saved` episodes having been reported."""
    if not log.exists():
        count.lost += saved > 0
        return
    try:
        with h5py.File(log, "r") as file:
            lengths = {file[f"episodes/{column}"].shape[0] for column in file["episodes"]}
            steps = {file[f"steps/{column}"].shape[0] for column in file["steps"]}
            whole = len(lengths) == 1 and steps == {int(file["episodes/length"][...].sum())}
    except OSError:
        count.unreadable += 1
        return
    count.lost += not whole or min(lengths) < saved
    print(f"kill {count.kills}: reported {saved}, found {min(lengths)}", flush=True)


def harass(
    folder: Path, evaluator: Evaluator, arguments: argparse.Namespace, rng: np.random.Generator, count: Count
) -> None:
    """One search from beginning to end, killed on the way until enough kills are counted."""
    finished = False
    while not finished and count.kills < arguments.kills:
        saved, finished = killed_after(float(rng.uniform(0.05, arguments.longest)), folder, evaluator, arguments.budget)
        if not finished:
            count.kills += 1
            check(folder / "trajectories.h5", saved, count)
    if not finished:
        killed_after(None, folder, evaluator, arguments.budget)


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The kills of searches, then those of a process that only writes."""
    evaluator, rng, count = make_evaluator(), np.random.default_rng(arguments.seed), Count()
    _ = evaluator.static
    whole = scratch / "whole"
    whole.mkdir()
    begun = time.monotonic()
    killed_after(None, whole, evaluator, arguments.budget)
    uninterrupted = time.monotonic() - begun
    wanted = content(whole / "trajectories.h5")
    while count.kills < arguments.kills:
        folder = scratch / f"run{count.searches}"
        folder.mkdir()
        harass(folder, evaluator, arguments, rng, count)
        count.searches += 1
        count.equal += content(folder / "trajectories.h5") == wanted
    lost, unreadable = tight(arguments.kills, rng, scratch)
    return {
        "claim": "a search killed with SIGKILL loses no episode reported as saved, and resumes to the same log",
        "agent": arguments.agent,
        "kills": count.kills,
        "kills_that_lost_a_saved_episode": count.lost,
        "kills_that_left_an_unreadable_file": count.unreadable,
        "searches": count.searches,
        "resumed_logs_equal_to_the_uninterrupted_one": count.equal,
        "replay_of_the_last_one": replay_file(folder / "trajectories.h5").verdict,
        "episodes_per_search": arguments.budget,
        "uninterrupted_s": round(uninterrupted, 1),
        "log_bytes": (whole / "trajectories.h5").stat().st_size,
        "kills_of_a_process_that_only_writes": arguments.kills,
        "of_these_lost": lost,
        "of_these_unreadable": unreadable,
        "python": platform.python_version(),
        "hdf5": h5py.version.hdf5_version,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--budget", type=int, default=6000)
    parser.add_argument("--agent", default="ppo")
    parser.add_argument("--longest", type=float, default=6.0, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    agents.SAVE_EVERY_S = SAVE_EVERY_S
    writer.QUIET_S = (0.05, 0.5)
    Reporting.agent = arguments.agent
    with tempfile.TemporaryDirectory() as name:
        result = measure(arguments, Path(name))
    results = ROOT / "benchmarks" / "results" / "log_kill.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    results.write_text(json.dumps({**known, arguments.agent: result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    good = result["resumed_logs_equal_to_the_uninterrupted_one"] == result["searches"]
    bad = (
        "kills_that_lost_a_saved_episode",
        "kills_that_left_an_unreadable_file",
        "of_these_lost",
        "of_these_unreadable",
    )
    sys.exit(0 if good and not any(result[name] for name in bad) else 1)


if __name__ == "__main__":
    main()
