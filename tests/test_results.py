"""What `show`, `report` and `export` read of a run is looked over where it is read: numbers that are none end there."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from eenn_rl.cli import main
from eenn_rl.errors import EennError
from eenn_rl.logged_run import logged_results, records_of
from eenn_rl.report.comparison import comparison
from eenn_rl.report.gathered import gather
from eenn_rl.report.sections import run_sections
from eenn_rl.run_folder import RunFolder
from eenn_rl.show import found_view, results_view
from eenn_rl.stored_run import open_stored_run, read_found, read_results
from eenn_rl.trajectory import TrajectoryWriter, open_log
from small_run import small_run

Change = Callable[[Any], object]


def at(place: str, value: object) -> Change:
    """Sets what stands at `place`, keys and indices with dots between."""
    *path, last = (int(key) if key.isdigit() else key for key in place.split("."))

    def change(data: Any) -> None:
        for key in path:
            data = data[key]
        data[last] = value

    return change


NETWORK = {
    "architecture": ({}, "architecture: expected an architecture with keys backbone and exits"),
    "architecture.exits": (5, "architecture: exits: Input should be a valid tuple"),
    "architecture.exits.0": ({"location": 0, "branch": "mlp", "bits": 8}, "exits: 0.core: Field required"),
    "architecture.backbone": ("resnet9", "architecture: backbone: unknown shipped backbone 'resnet9'"),
    "predicted.exit_rates": ([1.0], "exit"),
}
"""What may be wrong with a network, found or verified: where, what stands there, and what is said."""
VERIFIED = {
    **NETWORK,
    "thresholds": ([], "thresholds must be 3, one for each of the measured exit_rates"),
    "thresholds.0": (inf, "thresholds must be finite"),
    "temperatures": ([1.0], "temperatures must be 3"),
    "predicted.elp": (inf, "elp must be finite and at least 0, found inf"),
    "predicted.elp_reduction": (nan, "elp_reduction must be finite"),
    "measured.exit_rates": ([0.5, 0.5], "exit_accuracies must be 2, one per exit"),
    "measured.exit_rates.0": (nan, "exit_rates must be between 0 and 1"),
    "measured.exit_accuracies": ([], "exit_accuracies must be 3, one per exit"),
    "measured.energy_j": (-1.0, "energy_j must be finite and at least 0, found -1.0"),
    "measured.elp": (inf, "elp must be finite"),
    "measured.accuracy": (5.0, "accuracy must be between 0 and 1"),
    "measured.accuracy_interval": ([-inf, inf], "accuracy_interval must be finite"),
    "elp_reduction": (-inf, "elp_reduction must be finite"),
    "validation_floor": (nan, "validation_floor must be finite"),
}


@pytest.mark.parametrize("place", VERIFIED)
def test_a_verified_network_that_cannot_be_is_refused(place: str, tmp_path: Path) -> None:
    """From the folder and from the log: one line names the file, the network and the key."""
    value, told = VERIFIED[place]
    stored = open_stored_run(small_run()).results
    assert stored is not None
    data = json.loads((small_run() / "verification.json").read_text())
    at(f"verified.0.{place}", value)(data)
    (tmp_path / "verification.json").write_text(json.dumps(data))
    with pytest.raises(EennError, match=r"verification\.json: verified\.0") as caught:
        read_results(RunFolder(tmp_path))
    assert told in str(caught.value)
    log = Path(shutil.copy(small_run() / "trajectories.h5", tmp_path / "log.h5"))
    record = records_of(stored)[0]
    at(place, value)(record)
    with TrajectoryWriter.resume(log) as writer:
        writer.add_verification(record)
    with open_log(log) as opened, pytest.raises(EennError, match=r"log\.h5: verification 2") as caught:
        logged_results(opened)
    assert told in str(caught.value)


@pytest.mark.parametrize("place", NETWORK)
def test_a_network_found_that_cannot_be_is_refused(place: str, tmp_path: Path) -> None:
    """`search.json` is looked over as `verification.json` is."""
    value, told = NETWORK[place]
    data = json.loads((small_run() / "search.json").read_text())
    at(f"candidates.0.{place}", value)(data)
    (tmp_path / "search.json").write_text(json.dumps(data))
    with pytest.raises(EennError, match=r"search\.json: candidates\.0") as caught:
        read_found(RunFolder(tmp_path))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("static.elp", 0, "static: elp must be more than 0, found 0.0"),
        ("static.energy_j", inf, "static: energy_j must be finite"),
        ("static.accuracy", nan, "static: accuracy must be between 0 and 1"),
        ("static.bits", 0, "static: bits must be at least 1"),
        ("static_best_bits.latency_s", -1, "static_best_bits: latency_s must be finite and at least 0, found -1.0"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "report"])
def test_a_baseline_that_cannot_be_is_one_line(
    verb: str, place: str, value: object, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the file and the key, status 2, and no traceback where it is divided by."""
    run = Path(shutil.copytree(small_run(), tmp_path / "run"))
    data = json.loads((run / "verification.json").read_text())
    at(place, value)(data)
    (run / "verification.json").write_text(json.dumps(data))
    assert main([verb, str(run)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"eenn-rl: error: {run}/verification.json: {told}")


@pytest.mark.parametrize(
    ("place", "value"), [("static: elp", 0), ("static_best_bits: energy_j", inf), ("static: exits", [])]
)
def test_a_logged_baseline_that_cannot_be_is_one_line(
    place: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a log says of the static networks is measured against, too."""
    log = Path(shutil.copy(small_run() / "trajectories.h5", tmp_path / "log.h5"))
    with h5py.File(log, "r+") as file:
        data = json.loads(file["meta/baselines"][()])
        at(place.replace(": ", "."), value)(data)
        del file["meta/baselines"]
        file["meta/baselines"] = np.bytes_(json.dumps(data))
    for verb in ("show", "report"):
        assert main([verb, str(log)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"eenn-rl: error: {log}: meta/baselines: {place}")


def test_what_costs_nothing_is_told_and_not_drawn() -> None:
    """A backend may say so of a network; logarithmic axes have no place for it."""
    found = gather(small_run())
    card = found.cards[0]
    free = replace(card.verified, measured=replace(card.verified.measured, energy_j=0.0, elp=0.0))
    run = replace(found, cards=(replace(card, verified=free), *found.cards[1:]))
    page = run_sections(run, "r0") + comparison([run, run])
    assert "#2 measured on test: accuracy" in page
    assert page.count("#1 measured on test: accuracy") == 2, "its latency alone: a tip, and the same as a label"


def test_a_space_beyond_all_floating_point_numbers_is_told() -> None:
    """Search spaces are products of products: their size is an integer of any length."""
    run = open_stored_run(small_run())
    assert run.results is not None
    assert run.found is not None
    for view in (
        results_view(replace(run.results, space_size=10**400)),
        found_view(replace(run.found, space_size=10**400)),
    ):
        assert "(1.00e+400) in the space" in str(view.renderables[0])
    report = replace(gather(small_run()), results=replace(run.results, space_size=10**400))
    assert "1.00e+400" in run_sections(report, "r0")
