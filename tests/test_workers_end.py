"""Worker processes end without a word: the run says why it ended, once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = """
import os, signal, sys, time
from pathlib import Path
if {starting} and __name__ != "__main__":
    Path({told!r}).touch()
    time.sleep(3)
from eenn_rl.cost import CostReport, ExitCost
from eenn_rl.hardware import load_accelerator
from eenn_rl.testing import sample_workloads
from eenn_rl.workers import parallel
from eenn_rl.zoo import make_backbone

class Slow:
    api_version = 1
    def evaluate(self, workload):
        Path({told!r}).touch()
        time.sleep(0.5)
        return CostReport((ExitCost(1.0, 1.0),) * len(workload.stages))

def late(number, frame):
    time.sleep(1)  # as one that is busy in code which does not return to Python
    raise KeyboardInterrupt

if __name__ == "__main__":
    signal.signal(signal.SIGINT, late)
    workloads = sample_workloads(load_accelerator("quad_edge_tpu"), make_backbone("resnet8", (1, 16, 16)), 8)
    with parallel(Slow(), 2) as backend:
        try:
            backend.evaluate_many(workloads)
        except KeyboardInterrupt:
            sys.exit(130)
"""


@pytest.mark.parametrize(
    ("starting", "number", "group", "status"),
    [
        (True, signal.SIGINT, True, 130),
        (False, signal.SIGINT, True, 130),
        (False, signal.SIGTERM, False, -signal.SIGTERM),
        (False, signal.SIGKILL, False, -signal.SIGKILL),
    ],
)
def test_workers_end_without_a_traceback(
    tmp_path: Path, *, starting: bool, number: signal.Signals, group: bool, status: int
) -> None:
    """Ctrl-C, which every process of the group gets, while they start or evaluate; the main process ended alone."""
    told, script = tmp_path / "there", tmp_path / "slow.py"
    script.write_text(SLOW.format(starting=starting, told=str(told)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    ) as process:
        patience = time.monotonic() + 60
        while not told.exists() and time.monotonic() < patience:
            time.sleep(0.05)
        assert told.exists()
        (os.killpg if group else os.kill)(process.pid, number)
        output, _ = process.communicate(timeout=60)  # until the workers are gone too: they hold its stdout
    assert (process.returncode, output) == (status, "")
