"""A killed and resumed search leaves the log of one that was never interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from eenn_rl.errors import EennError
from eenn_rl.replay import describe, replay_file
from eenn_rl.trajectory import TrajectoryWriter, open_log
from logged_problem import make_evaluator
from logged_search import search

HERE = Path(__file__).parent


BUDGET = 400


def searched(folder: Path, kill_at: int | None, *agent: str) -> int:
    """Run the search until it has saved `kill_at` episodes (None: to its end); episodes reported as saved."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    command = [sys.executable, HERE / "logged_search.py", folder, str(BUDGET), *agent]
    saved = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            saved = int(line)
            if kill_at is not None and saved >= kill_at:
                process.send_signal(signal.SIGKILL)
                break
        saved = max([saved, *map(int, process.stdout.read().split())])
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL)
    return saved


def content(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    del found["episodes/wall_s"]
    return found


@pytest.mark.parametrize(("agent", "share", "kill_at"), [("evolution", 0.05, 150), ("ppo", 0.8, 300)])
def test_a_killed_search_resumes_to_the_same_log(tmp_path: Path, agent: str, share: float, kill_at: int) -> None:
    """Killed and resumed, a real search's log equals the uninterrupted one's, and replays."""
    once, again = tmp_path / "once", tmp_path / "again"
    once.mkdir()
    again.mkdir()
    search(once, BUDGET, agent, share)
    saved = searched(again, kill_at, agent, str(share))
    with h5py.File(again / "trajectories.h5", "r") as file:
        assert kill_at <= saved <= file["episodes/return"].shape[0]
    assert searched(again, None, agent, str(share)) == BUDGET
    assert content(again / "trajectories.h5") == content(once / "trajectories.h5")
    assert replay_file(again / "trajectories.h5").exit_status == 0
    with open_log(again / "trajectories.h5") as log:
        assert (len(log.updates()["entropy"]) > 0) == (agent == "ppo")


def test_a_log_that_is_shorter_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    """A log put back from before the checkpoint is not silently continued."""
    with (
        TrajectoryWriter.create(tmp_path / "log.h5", describe(make_evaluator(), "multicore")) as writer,
        pytest.raises(EennError, match="at least 300 episodes, as many as the checkpoint knows, found 0"),
    ):
        writer.rewind(300)
