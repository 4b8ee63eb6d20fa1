"""The golden logs: a file of each format as it was first published. Every later version must read them.

Each written once by `python tests/test_golden_log.py`, with the code of its format; never written again.
"""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eenn_agents.episodes import play
from eenn_rl.backbone import Backbone
from eenn_rl.cli import main
from eenn_rl.config import RunConfig
from eenn_rl.export_log import export_log
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.log_table import table
from eenn_rl.replay import environment, problem, replay_file
from eenn_rl.run_folder import create_run
from eenn_rl.serialization import to_json
from eenn_rl.trajectory import FORMAT_VERSION, TrajectoryLog, TrajectoryWriter, open_log
from eenn_rl.trajectory.rows import UNSEALED, broken_links
from eenn_rl.trajectory.schema import EPISODES, STEPS
from logged_problem import make_evaluator, write_log

DATA = Path(__file__).parent / "data"
VERSIONS = (1, 2)
LATEST = DATA / f"trajectories_v{FORMAT_VERSION}.h5"
RECORD = {"feasible": True, "predicted": {"accuracy": 0.9, "elp": 1e-9}, "measured": {"accuracy": 0.89, "elp": 2e-9}}


def summary(log: TrajectoryLog) -> dict[str, object]:
    """Numbers that tell a misread column: sums of every one, in float64 exactly representable or rounded."""
    rows = next(log.blocks(len(log)))
    names = [c.name for c in EPISODES if c.name not in ("failure", "wall_s")]
    sums = {name: round(float(rows.episodes[name].astype(np.float64).sum()), 9) for name in names}
    sums |= {c.name: round(float(rows.steps[c.name].astype(np.float64).sum()), 6) for c in STEPS}
    return {"episodes": len(log), "steps": log.steps, "sums": sums, "verified": log.verifications()}


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> Path:
    return DATA / f"trajectories_v{request.param}.h5"


def test_every_published_format_has_its_golden_log() -> None:
    """The newest is today's: whoever changes the format adds a file of the new one."""
    assert VERSIONS[-1] == FORMAT_VERSION
    for version in VERSIONS:
        with open_log(DATA / f"trajectories_v{version}.h5") as log:
            assert log.attribute("format_version") == version


def test_the_golden_log_loads_with_all_its_values(golden: Path) -> None:
    """Every column, verification and description of an old file reads as on the day it was written."""
    with open_log(golden) as log:
        assert json.loads(json.dumps(summary(log))) == json.loads(golden.with_suffix(".json").read_text())
        assert log.altered_parts == ()
        assert broken_links(next(log.blocks(len(log))), UNSEALED).size == 0
        assert log.meta.backend["name"] == "multicore"
        assert [block["episode"] for block in table(log)] == [list(range(len(log)))]


def test_the_golden_log_is_shown_and_exported(tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` draws an old file, and its table has a row for each of its architectures with their verification."""
    assert main(["show", str(run_folder(tmp_path, golden))]) == 0
    with open_log(golden) as log:
        assert f"{len(log.front())} on the Pareto front" in capsys.readouterr().out
    assert export_log(golden, "csv", tmp_path / "rows.csv") == 12
    with (tmp_path / "rows.csv").open(newline="") as file, open_log(golden) as log:
        rows, episodes = list(csv.DictReader(file)), list(log.episodes())
    assert [float(row["elp"]) for row in rows] == [episode.elp for episode in episodes]
    assert [row["verified_accuracy"] for row in rows] == ["0.89" if i == 4 else "" for i in range(12)]


def test_the_problem_of_the_latest_golden_log_is_described_alike() -> None:
    """Word for word, so that a run begun then is resumed: a later version adds nothing to what it says by default."""
    with open_log(LATEST) as log:
        told = log.meta
    found = problem.describe(problem.rebuild(told, LATEST), "multicore")
    for name in ("environment", "space", "dimensions", "violations"):
        assert getattr(found, name) == getattr(told, name), name


def run_folder(path: Path, golden: Path) -> Path:
    """A run folder around the golden log, as a run that is still searching has one."""
    folder = create_run(path / "run", to_json(RunConfig()))
    folder.trajectories.write_bytes(golden.read_bytes())
    return folder.path


def test_the_golden_log_is_executed_again_or_told_to_be_of_other_code(golden: Path) -> None:
    """The code of a later version may cost otherwise: then it says so, and never that the log was altered."""
    result = replay_file(golden)
    assert (result.episodes, result.broken, result.altered_parts) == (12, 0, ())
    assert result.verdict == "identical" or (result.verdict == "other" and (result.changes or result.versions))


def test_the_golden_log_under_another_cost_model_is_not_altered(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executed by a cost model in which clocks run at twice the rate, it is intact, and that is why it differs."""
    make = problem.make_backend

    def faster(name: str, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:
        return make(name, replace(accelerator, clock_hz=2 * accelerator.clock_hz), backbone)

    monkeypatch.setattr(problem, "make_backend", faster)
    result = replay_file(golden)
    assert (result.verdict, result.exit_status, result.differing) == ("other", 1, 12)
    assert "the cost model is another" in "\n".join(result.lines())


def test_the_golden_log_can_be_continued(tmp_path: Path, golden: Path) -> None:
    """An old file can be appended to, and stays of its format."""
    path = tmp_path / "log.h5"
    path.write_bytes(golden.read_bytes())
    with open_log(golden) as log:
        where, version = environment(log.meta, golden), log.attribute("format_version")
        end = log.packing.constant if log.packing else np.zeros(0)
    genomes = where.evaluator.space.sample(np.random.default_rng(7), 5)
    batch = play(where, genomes, np.arange(12, 17))
    # What an observation says of the machine is the cost model's of that day.
    batch.observations[:, :, batch.observations.shape[2] - len(end) :] = end
    with TrajectoryWriter.resume(path) as writer:
        writer.add_verification({**RECORD, "note": "later"})
        writer.add_update(20, 1.0)
        writer.add_episodes(batch)
    with open_log(path) as log:
        rows = next(log.blocks(99))
        assert (len(rows), len(log.verifications())) == (17, 2)
        assert log.attribute("format_version") == version
        assert (rows.episodes["architecture"][12:] == genomes).all()
        assert broken_links(rows, UNSEALED).size == 0
        # There is no column for updates in the first files of version 1.
        assert log.updates()["entropy"].tolist() == ([] if version == 1 else [1.0])


def test_the_documented_examples_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading examples of docs/trajectory-format.md, on the newest golden log (Minari's has a test of its own)."""
    text = (DATA.parents[1] / "docs" / "trajectory-format.md").read_text()
    plain, packed, typed, _ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(DATA)
    found: dict[str, np.ndarray] = {}
    for example in (plain, packed, typed):
        named = re.sub(r'"(runs/[^"]*|trajectories.h5)"', f'"{LATEST.name}"', example)
        exec(named, found)  # noqa: S102  (our own documentation)
    with open_log(LATEST) as log:
        best = next(log.episodes([int(log.columns("return")["return"].argmax())]))
        observations = next(log.blocks(len(log))).steps["observations"]
    shown = capsys.readouterr().out
    assert str(best.architecture) in shown
    assert str(best.actions) in shown
    assert found["observations"].dtype == np.float32
    assert found["observations"].tobytes() == observations.tobytes()


if __name__ == "__main__":
    evaluator = make_evaluator()
    write_log(LATEST, evaluator, 12)
    with open_log(LATEST) as written, TrajectoryWriter.resume(LATEST) as more:
        more.add_verification(RECORD, next(written.episodes([4])).architecture)
    with open_log(LATEST) as written:
        LATEST.with_suffix(".json").write_text(json.dumps(summary(written), indent=1) + "\n")
