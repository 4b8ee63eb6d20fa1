"""A real run whose disk fills up: one clear line, a log that can be read, and a run that goes on once there is room."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eenn_rl.trajectory import open_log

TRAIN = ("train", "--tables", "shipped", "--agent", "local", "--budget", "700")
LIMIT = 640_000
"""Bytes: more than the tables and an empty log have, less than the log of the whole search."""


def train(run: Path, *words: str, limit: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eenn_rl.cli", *TRAIN, "--run", str(run), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, preexec_fn=limit)


def check_stopped(done: subprocess.CompletedProcess[str], run: Path, reason: str) -> int:
    """One line says why; the log holds whole episodes. Returns their number."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("eenn-rl: error")]
    assert reason in line
    assert "--resume" in line
    with open_log(run / "trajectories.h5") as log:
        return sum(len(rows) for rows in log.blocks())


def test_a_run_that_reaches_the_file_size_limit_stops_and_goes_on(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the run ends with one line and status 2; without the limit, --resume brings it to its end."""
    run = tmp_path / "run"
    limited = train(run, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)))
    assert check_stopped(limited, run, "the file size limit") < 700
    assert train(run, "--resume").returncode == 0
    with open_log(run / "trajectories.h5") as log:
        assert len(log) == 700


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a megabyte and a half."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_run_on_a_full_file_system_stops(small_disk: Path) -> None:
    """ENOSPC, wherever in the run folder it strikes first: one line, status 2, a log that can be read."""
    run = small_disk / "run"
    assert check_stopped(train(run), run, "the disk is full") < 700
