"""The main job, whole: real data, real training, killed and resumed, the same again from the same seed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

SMALL = (
    "--supernet-static-epochs", "1", "--supernet-epochs", "1", "--training-epochs", "1", "--budget", "300",
    "--bits", "4,8", "--branches", "linear,conv", "--verify", "1", "--accuracy-tolerance", "1",
)  # fmt: skip
"""Everything that the default job does, at the smallest size."""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "eenn_rl.cli", *words]


def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, run("train", "--run", str(folder), *SMALL)


def shown(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(run("show", str(folder), "--json").stdout)
    return data


def logged(folder: Path) -> dict[str, Any]:
    """Everything in a log but wall times."""
    with h5py.File(folder / "trajectories.h5", "r") as file:
        found: dict[str, Any] = {}
        file.visititems(
            lambda name, item: (
                found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) and "wall" not in name else None
            )
        )
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_it_leaves_a_whole_run_folder(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Configuration, log, tables, weights, results and what was said are all there; results go to stdout alone."""
    folder, done = finished
    for name in ("config.json", "trajectories.h5", "tables.npz", "search.json", "verification.json", "run.log"):
        assert (folder / name).is_file(), name
    assert (folder / "weights" / "supernet.pt").is_file()
    assert not list((folder / "weights").glob("*.plain"))  # full training began with the shared weights
    assert str(folder) in done.stderr
    assert "#1 measured" in done.stdout
    assert "search: done" in done.stderr


def test_the_results_hold_what_a_program_needs(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """`show --json` has the documented form, and its products and reductions follow from its own numbers."""
    results = shown(finished[0])
    for name in ("static", "static_best_bits"):
        assert {"accuracy", "energy_j", "latency_s", "elp"} <= results[name].keys()
    (verified,) = results["verified"]
    assert results["search"]["candidates"][0]["architecture"]["backbone"]["name"] == "resnet8"
    measured = verified["measured"]
    assert measured["accuracy_interval"][0] <= measured["accuracy"] <= measured["accuracy_interval"][1]
    assert sum(measured["exit_rates"]) == pytest.approx(1)
    assert verified["elp_reduction"] == pytest.approx(1 - measured["elp"] / results["static"]["elp"])
    assert verified["elp_reduction_best_bits"] == pytest.approx(
        1 - measured["elp"] / results["static_best_bits"]["elp"]
    )
    assert verified["feasible"] == (not verified["violations"])
    assert set(verified["predicted"]) >= {"accuracy", "exit_rates", "energy_j", "latency_s", "elp"}


def test_expected_costs_follow_from_the_measured_exit_rates(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Sum r_k E_k, sum r_k L_k and sum r_k E_k L_k, with the path costs that `cost` gives for the architecture."""
    (verified,) = shown(finished[0])["verified"]
    (tmp_path / "a.json").write_text(json.dumps(verified["architecture"]))
    exits = json.loads(run("cost", str(tmp_path / "a.json"), "--json").stdout)["exits"]
    measured = verified["measured"]
    rates = measured["exit_rates"]
    energy = sum(rate * cost["energy_j"] for rate, cost in zip(rates, exits, strict=True))
    elp = sum(rate * cost["energy_j"] * cost["latency_s"] for rate, cost in zip(rates, exits, strict=True))
    assert measured["energy_j"] == pytest.approx(energy)
    assert measured["elp"] == pytest.approx(elp)


def test_its_log_replays(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Every episode comes out again, bit by bit."""
    assert "identical" in run("replay", str(finished[0] / "trajectories.h5")).stdout


def test_resuming_a_finished_run_changes_nothing(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """`--resume` on a finished run says so, and leaves its results."""
    before = (finished[0] / "verification.json").read_bytes()
    assert "finished" in run("train", "--run", str(finished[0]), "--resume").stderr
    assert (finished[0] / "verification.json").read_bytes() == before


def test_other_settings_are_no_resume(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """A run cannot be continued with a setting that it was not begun with."""
    done = run("train", "--run", str(finished[0]), "--resume", "--seed", "7", status=2)
    assert "seed: 0 -> 7" in done.stderr


def test_resuming_where_nothing_is_begins_a_run_and_says_so(tmp_path: Path) -> None:
    """So that one command serves a script that may be killed at any time; nobody takes it for a run that continues."""
    words = ("train", "--run", str(tmp_path / "new"), "--resume", "--tables", "shipped", "--budget", "40")
    assert "a new run begins there" in run(*words).stderr
    assert "a new run begins there" not in run(*words).stderr


def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """SIGKILL at any time, then `--resume` (also the first time, on a missing folder): same log, same results."""
    folder = tmp_path / "killed"
    words = command("train", "--run", str(folder), "--resume", *SMALL)
    for seconds in (4.0, 7.0, 10.0):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run("train", "--run", str(folder), "--resume", *SMALL)
    same(logged(finished[0]), logged(folder))
    results = [shown(path) for path in (finished[0], folder)]
    assert [item | {"run": ""} for item in results[:1]] == [item | {"run": ""} for item in results[1:]]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    """An interrupt ends the run with a line that continues it, and no traceback."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        command("train", "--run", str(folder), *SMALL), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    while not (folder / "config.json").exists():
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    # Python ends by the signal itself where it struck inside an `exec` of text; a shell shows both as 130.
    assert process.returncode in {130, -signal.SIGINT}
    assert f"eenn-rl train --run {folder} --resume" in said
    assert "Traceback" not in said
