"""A whole search on a backend that fails: it goes on, the log has the reasons, a summary tells; too much stops it."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import pytest

from eenn_rl.guard import failure_summary
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables
from plugin_site import good_plugin, install

FLAKY = good_plugin().replace(
    "costs, energy, latency = [], 0.0, 0.0",
    "costs, energy, latency = [], 0.0, 0.0\n"
    "        first = workload.stages[0]\n"
    "        if len(workload.stages) > 1 and first.core in RAISES: raise ValueError('no such core today')\n"
    "        if len(workload.stages) > 1 and first.core == 1: energy = float('nan')",
)


def train(folder: Path, raises: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    site = install(folder / "site", "flaky", {"flaky": "flaky"}, {"flaky": f"RAISES = {raises}\n{FLAKY}"})
    random_tables(make_backbone("resnet8", (1, 16, 16), 10), 0).save(folder / "tables.npz")
    command = [sys.executable, "-m", "eenn_rl.cli", "train", "--backend", "flaky", "--agent", "random"]
    command += ["--budget", "150", "--tables", str(folder / "tables.npz"), "--run", str(folder / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_a_flaky_backend_does_not_end_the_search(tmp_path: Path) -> None:
    """Failed episodes are infeasible and carry their reason in the log; the end of the run says how many there were."""
    done = train(tmp_path, raises=(0,))
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "run" / "trajectories.h5") as log:
        reasons = [reason.decode() for reason in log["episodes/failure"][:]]
        feasible = log["episodes/feasible"][:]
    counts = Counter(reason for reason in reasons if reason)
    assert counts["raised ValueError: no such core today"] > 5
    assert any(reason.startswith("returned energy_j nan") for reason in counts)
    assert not any(ok for ok, reason in zip(feasible, reasons, strict=True) if reason)
    assert "architectures, which count as infeasible" in done.stderr
    assert "raised ValueError: no such core today" in done.stderr


def test_a_backend_that_mostly_fails_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """Nothing is to be found there: status 2, how many failed, and the last reason."""
    done = train(tmp_path, raises=(0, 2, 3, 4, 5, 6))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "more than 50% of them" in last
    assert "raised ValueError: no such core today" in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["raised A"], "once it raised A"),
        (["raised A", "raised B", "raised A"], "2 times it raised A; once it raised B"),
        (["a", "b", "c", "d", "e"], "once it c; 2 times something else"),
    ],
)
def test_the_summary_tells_the_most_frequent_reasons(reasons: list[str], told: str) -> None:
    """How often, out of how many, and why, in one line."""
    text = failure_summary(reasons, 100)
    assert f"failed on {len(reasons)} of 100 architectures" in text
    assert told in text
