"""Kills a real `eenn-rl train` again and again at random moments and counts what its log lost.

    python benchmarks/log_kill.py [--kills 100]

The run searches on the shipped tables (digits, ResNet-8, embedded default accelerator), so that most of it is search,
with one agent and with the other in turn. It is killed with SIGKILL, all of its processes, at a moment drawn evenly
from the first three quarters of its search (in CPU time), one time in eight from the process's first second; then
`train --resume` continues it, and is killed in turn. Right before a kill this process reads how many episodes the log
holds. After it the log must open with plain `h5py.File(path, "r")` and hold those, and all that the search's own
checkpoint counts on. When enough kills have struck, the last run is let to finish. The log of each finished run is
compared with that of one that was never interrupted, and the last one replayed.

Besides, a process that does nothing but append and flush is killed as often: most kills strike it while it writes.
"""

# ruff: noqa: E402  (the samples are shared with the tests, in their folder)
import argparse
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import provenance

import eenn_agents.ppo
import eenn_agents.search  # noqa: F401
import eenn_rl.run  # noqa: F401
from eenn_agents.checkpoint import load
from eenn_rl.cli import main as main_of_eenn_rl
from eenn_rl.replay import replay_file
from eenn_rl.trajectory import TrajectoryWriter
from eenn_rl.trajectory.schema import PACKED_STEPS
from trajectory_samples import sample_batch, sample_meta

AGENTS = ("local", "ppo")
SHARE = 0.75
EARLY, EARLIEST_S = 0.125, 1.0
"""Share of the kills that are drawn from the first CPU second of the process, not from its search."""


@dataclass
class Run:
    """A run folder, and the process that works on it, which is the leader of a session of its own."""

    folder: Path
    settings: list[str]
    process: int = 0
    status: int | None = None

    @property
    def log(self) -> Path:
        """Its trajectory file."""
        return self.folder / "trajectories.h5"

    @property
    def lock(self) -> Path:
        """Held while a writer lives; left behind where it is killed."""
        return self.log.with_name(f".{self.log.name}.lock")

    def start(self) -> None:
        """Begin the run, or continue it: the command line's own code, in a fork that need not import it first."""
        self.lock.unlink(missing_ok=True)
        self.status, self.process = None, os.fork()
        if self.process:
            return
        os.setsid()
        said = os.open(self.folder.with_suffix(".said"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        status = 1
        try:
            words = ["train", "--run", str(self.folder), "--resume", "--tables", "shipped", *self.settings]
            status = main_of_eenn_rl(words)
        except Exception:  # noqa: BLE001  (shown where the run is waited for)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def ended(self, flags: int = os.WNOHANG) -> bool:
        """Whether the process is gone; how it ended is in `status`."""
        if self.status is None:
            gone, status = os.waitpid(self.process, flags)
            self.status = os.waitstatus_to_exitcode(status) if gone else None
        return self.status is not None

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the process so far; infinite once it is gone."""
        try:
            words = Path(f"/proc/{self.process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return math.inf
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def search_begins(self) -> float:
        """Start it; CPU seconds until a writer holds its log."""
        self.start()
        while not self.lock.exists() and not self.ended():
            time.sleep(0.01)
        return self.cpu_s

    def finish(self) -> None:
        """Let the process come to its end. A failure of its own ends everything."""
        self.ended(0)
        if self.status:
            raise SystemExit(f"the run failed by itself: {self.folder.with_suffix('.said').read_text()}")

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        os.killpg(self.process, signal.SIGKILL)
        self.ended(0)


@dataclass
class Count:
    """What the kills did."""

    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    with_episodes: int = 0
    lost: int = 0
    unreadable: int = 0
    runs: int = 0
    equal: int = 0


def saved(log: Path) -> int:
    """Episodes in the log as plain h5py finds them; raises OSError where it cannot be opened, ValueError where torn."""
    if not log.exists():
        return 0
    with h5py.File(log, "r", locking=False) as file:
        lengths = {file[f"episodes/{column}"].shape[0] for column in file["episodes"]}
        steps = {file[f"steps/{column.name}"].shape[0] for column in PACKED_STEPS}
        if len(lengths) != 1 or steps != {int(file["episodes/length"][...].sum())}:
            raise ValueError(f"columns of unequal length: {lengths}, {steps}")
        return int(lengths.pop())


def strike(run: Run, longest: float, rng: np.random.Generator, count: Count) -> bool:
    """Start or continue `run` and kill it; True where it finished before."""
    early = rng.random() < EARLY
    if early:
        run.start()
    end = (0.0 if early else run.search_begins()) + float(rng.uniform(0.0, EARLIEST_S if early else longest))
    while run.cpu_s < end and not run.ended():
        time.sleep(0.01)
    reported, phase = saved(run.log), "search" if run.lock.exists() else "before or after the search"
    if run.ended():
        run.finish()
        return True
    run.kill()
    count.kills += 1
    count.phases[phase] += 1
    checkpoint = run.folder / "checkpoints" / "search.pt"
    claimed = max(reported, int(load(checkpoint)["ledger"]["recorded"]) if checkpoint.exists() else 0)
    try:
        found = saved(run.log)
    except (OSError, ValueError) as error:
        count.unreadable += 1
        print(f"kill {count.kills}: {error}", flush=True)
        return False
    count.lost += found < claimed
    count.with_episodes += claimed > 0
    print(f"kill {count.kills} ({phase}): {claimed} reported as saved, {found} found", flush=True)
    return False


def content(path: Path) -> dict[str, bytes]:
    """All that must be equal: every data set but the wall times."""
    found: dict[str, bytes] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()})
            if isinstance(item, h5py.Dataset) and name != "episodes/wall_s" else None
        )  # fmt: skip
    return found


def tight(kills: int, rng: np.random.Generator, folder: Path) -> Counter[str]:
    """Kills of a process that does nothing but write and flush: how many lost an episode, how many broke the file."""
    path, batch, outcomes = folder / "tight.h5", sample_batch(rng, 40), Counter[str]()
    for _ in range(kills):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            with TrajectoryWriter.resume(path) if path.exists() else TrajectoryWriter.create(path, sample_meta()) as to:
                while True:
                    to.add_episodes(batch)
                    to.flush()
                    os.write(write, f"{to.saved}\n".encode())
        os.close(write)
        time.sleep(float(rng.uniform(0.1, 0.6)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(read) as reports:
            reported = max([0, *map(int, reports.read().split("\n")[:-1])])
        try:
            outcomes["lost" if saved(path) < reported else "whole"] += 1
        except (OSError, ValueError):
            outcomes["unreadable"] += 1
    return outcomes


@dataclass(frozen=True)
class Whole:
    """A run that was never interrupted."""

    settings: list[str]
    content: dict[str, bytes]
    results: bytes
    longest: float
    """CPU seconds of search until a kill, at most: `SHARE` of those that this run took."""


def uninterrupted(agent: str, budget: int, scratch: Path) -> Whole:
    """One run of `agent` from beginning to end."""
    run = Run(scratch / agent, ["--agent", agent, "--budget", str(budget)])
    begun, last = run.search_begins(), 0.0
    while not run.ended():
        last = run.cpu_s if run.cpu_s < math.inf else last
        time.sleep(0.05)
    run.finish()
    return Whole(run.settings, content(run.log), (run.folder / "search.json").read_bytes(), SHARE * (last - begun))


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The kills of runs, then those of a process that only writes."""
    rng, count = np.random.default_rng(arguments.seed), Count()
    wholes = [uninterrupted(agent, arguments.budget, scratch) for agent in AGENTS]
    while count.kills < arguments.kills:
        whole = wholes[count.runs % len(wholes)]
        run, finished = Run(scratch / f"run{count.runs}", whole.settings), False
        while not finished and count.kills < arguments.kills:
            finished = strike(run, whole.longest, rng, count)
        if not finished:
            run.start()
            run.finish()
        count.runs += 1
        same = content(run.log) == whole.content and (run.folder / "search.json").read_bytes() == whole.results
        count.equal += same
        print(f"run {count.runs} finished after {count.kills} kills in all, equal: {same}", flush=True)
    verdict = replay_file(run.log).verdict
    outcomes = tight(arguments.kills, rng, scratch)
    return {
        "claim": "eenn-rl train, killed with SIGKILL at any moment, loses no episode reported as saved; resumed, it "
        "ends with the log and the results of a run that was never killed",
        "kills": count.kills,
        "kills_by_phase": dict(count.phases),
        "kills_after_something_was_saved": count.with_episodes,
        "kills_that_lost_a_saved_episode": count.lost,
        "kills_that_left_an_unreadable_file": count.unreadable,
        "runs": count.runs,
        "finished_logs_and_results_equal_to_the_uninterrupted_ones": count.equal,
        "replay_of_the_last_one": verdict,
        "agents": AGENTS,
        "episodes_per_run": arguments.budget,
        "policy_updates_logged_per_run": [len(whole.content["updates/entropy"]) // 8 for whole in wholes],
        "cpu_seconds_of_search_until_a_kill_at_most": [round(whole.longest, 2) for whole in wholes],
        "kills_of_a_process_that_only_writes": sum(outcomes.values()),
        "of_these": dict(outcomes),
        "hdf5": h5py.version.hdf5_version,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--budget", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(arguments, Path(name))
    provenance.write("log_kill", result, [arguments.seed])
    good = result["runs"] == result["finished_logs_and_results_equal_to_the_uninterrupted_ones"]
    bad = ("kills_that_lost_a_saved_episode", "kills_that_left_an_unreadable_file")
    sys.exit(0 if good and not any(result[name] for name in bad) and set(result["of_these"]) == {"whole"} else 1)


if __name__ == "__main__":
    main()
