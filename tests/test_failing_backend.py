"""A whole search on a backend that fails: it goes on, the log has the reasons, a summary tells; too much stops it."""

import contextlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import pytest

from eenn_rl.guard import TimeUpError, failure_summary
from eenn_rl.hardware import load_accelerator
from eenn_rl.schedule import CoreLayerCost, LayerRequest, Scheduler
from eenn_rl.testing import sample_workloads
from eenn_rl.workload import Workload
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


def train(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A search with the plugin `flaky`, made of `source`; of 150 architectures unless told otherwise."""
    site = install(folder / "site", "flaky", {"flaky": "flaky"}, {"flaky": source})
    random_tables(make_backbone("resnet8", (1, 16, 16), 10), 0).save(folder / "tables.npz")
    command = [sys.executable, "-m", "eenn_rl.cli", "train", "--backend", "flaky", "--agent", "random"]
    command += ["--budget", "150", "--tables", str(folder / "tables.npz"), "--run", str(folder / "run"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def reasons_in(run: Path) -> Counter[str]:
    """How often the log of `run` has each reason; none of those episodes may be feasible."""
    with h5py.File(run / "trajectories.h5") as log:
        reasons = [reason.decode() for reason in log["episodes/failure"][:]]
        feasible = log["episodes/feasible"][:]
    assert not any(ok for ok, reason in zip(feasible, reasons, strict=True) if reason)
    return Counter(reason for reason in reasons if reason)


def test_a_flaky_backend_does_not_end_the_search(tmp_path: Path) -> None:
    """Failed episodes are infeasible and carry their reason in the log; the end of the run says how many there were."""
    done = train(tmp_path, f"RAISES = (0,)\n{FLAKY}")
    assert done.returncode == 0, done.stderr
    counts = reasons_in(tmp_path / "run")
    assert counts["raised ValueError: no such core today"] > 5
    assert any(reason.startswith("returned energy_j nan") for reason in counts)
    assert "architectures, which count as infeasible" in done.stderr
    assert "raised ValueError: no such core today" in done.stderr


def test_a_backend_that_mostly_fails_ends_the_run_with_one_line(tmp_path: Path) -> None:
    """Nothing is to be found there: status 2, how many failed, and the last reason."""
    done = train(tmp_path, f"RAISES = (0, 2, 3, 4, 5, 6)\n{FLAKY}")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert "more than 50% of them" in last
    assert "raised ValueError: no such core today" in last
    assert "Traceback" not in done.stderr


SLOW = (
    good_plugin().replace(
        "costs, energy, latency = [], 0.0, 0.0",
        "import time\n"
        "        costs, energy, latency = [], 0.0, 0.0\n"
        "        if len(workload.stages) > 1 and workload.stages[0].core == 1: time.sleep(600)",
    )
    + """
def evaluate_batch(self, stages, index):
    import time
    time.sleep(600)
"""
)


@pytest.mark.parametrize("options", [(), ("--backend-workers", "2")])
def test_a_backend_that_hangs_does_not_end_the_search(tmp_path: Path, options: tuple[str, ...]) -> None:
    """In batches, alone and in worker processes: what hangs is infeasible, with the limit as its reason."""
    source = SLOW + ("" if options else "Chip.evaluate_batch = evaluate_batch\n")
    done = train(tmp_path, source, "--budget", "60", "--backend-limit", "0.3", *options)
    assert done.returncode == 0, done.stderr
    assert set(reasons_in(tmp_path / "run")) == {"took longer than 0.3 s"}
    assert "it took longer than 0.3 s" in done.stderr
    assert ("evaluate_batch took longer" in done.stderr) == (not options)
    assert "Traceback" not in done.stderr


class PickyLayers:
    """A layer model of the public schedule that fails on some layers, or is interrupted there."""

    def __init__(self, error: type[BaseException] | None) -> None:
        self.error = error

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        if self.error is not None and request.layer.stride == (2, 2):
            raise self.error
        return CoreLayerCost(float(request.layer.macs + 1), {"mac": request.layer.macs * request.bits * 1e-12})


@pytest.mark.parametrize("error", [ValueError, TimeUpError])
def test_a_layer_model_that_failed_leaves_no_wrong_costs_behind(error: type[BaseException]) -> None:
    """What the schedule was told of one network never ends up in the cost of another, or of the same one later."""
    spec = load_accelerator("quad_edge_tpu")
    workloads = sample_workloads(spec, make_backbone("resnet8", (1, 16, 16), 10), count=6)
    picky = PickyLayers(error)
    scheduler, sound = Scheduler(spec, picky), Scheduler(spec, PickyLayers(None))
    for workload in (*workloads, *reversed(workloads)):
        with pytest.raises(error):
            scheduler.evaluate(workload)
        first = Workload(workload.stages[:1])
        with contextlib.suppress(error):
            assert scheduler.evaluate(first).exits == sound.evaluate(first).exits
    picky.error = None
    assert [scheduler.evaluate(w) for w in workloads] == [sound.evaluate(w) for w in workloads]


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
