"""Exports of a log: a row per distinct architecture; a data set that the real Minari package reads."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eenn_rl.errors import EennError, InputFileError, InvalidValueError, MissingDependencyError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.export_log import export_log
from eenn_rl.log_table import table
from eenn_rl.places import held
from eenn_rl.replay import environment, registered_as
from eenn_rl.trajectory import TrajectoryWriter, open_log
from logged_problem import make_evaluator, write_log

EPISODES = 60
RECORD: dict[str, Any] = {"feasible": True, "predicted": {"accuracy": 0.9}, "measured": {"accuracy": 0.91, "elp": 2e-9}}


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return make_evaluator()


@pytest.fixture(scope="module")
def run(evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose log holds every episode twice, and one verification."""
    folder = tmp_path_factory.mktemp("run")
    write_log(folder / "trajectories.h5", evaluator, EPISODES // 2, repeat=2)
    with open_log(folder / "trajectories.h5") as log:
        genome = next(log.episodes([7])).architecture
    with TrajectoryWriter.resume(folder / "trajectories.h5") as writer:
        writer.add_verification(RECORD, genome)
    return folder


def test_one_row_per_distinct_architecture_with_all_that_is_known(
    run: Path, tmp_path: Path, evaluator: Evaluator
) -> None:
    """The JSON rows hold decisions by name, estimates, costs, reward and verification, as the evaluator gives them."""
    assert export_log(run, "json", tmp_path / "rows.json") == EPISODES // 2
    rows = json.loads((tmp_path / "rows.json").read_text())
    with open_log(run / "trajectories.h5") as log:
        episodes = list(log.episodes(range(EPISODES // 2)))
    for row, episode in zip(rows, episodes, strict=True):
        evaluation = evaluator.evaluate(evaluator.space.decode(episode.architecture))
        exits = evaluation.architecture.exits
        assert (row["episode"], row["exits"]) == (episode.index, len(exits))
        for k, exit_ in enumerate(exits):
            told = [row[f"exit{k}_{name}"] for name in ("location", "branch", "bits")]
            assert told == [exit_.location, exit_.branch, exit_.bits]
            assert row[f"exit{k}_core"] == evaluator.space.accelerator.allocation_name(exit_.core)
            assert row[f"exit{k}_rate"] == evaluation.estimate.exit_rates[k]
        assert all(row[f"exit{k}_location"] is None for k in range(len(exits), evaluator.space.max_exits))
        for name in ("reward", "feasible", "energy_j", "latency_s", "elp"):
            assert row[name] == getattr(evaluation, name)
    assert [row["verified_accuracy"] for row in rows] == [0.91 if i == 7 else None for i in range(len(rows))]
    assert rows[7]["verified_predicted_accuracy"] == 0.9


def test_csv_holds_the_same_table(run: Path, tmp_path: Path) -> None:
    """The CSV file has the JSON file's columns and numbers, to the last digit."""
    export_log(run / "trajectories.h5", "csv", tmp_path / "rows.csv")
    export_log(run, "json", tmp_path / "rows.json")
    wanted = json.loads((tmp_path / "rows.json").read_text())
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(wanted[0])
    for row, found in zip(rows, wanted, strict=True):
        assert float(row["elp"]) == found["elp"]
        assert row["exit0_branch"] == str(found["exit0_branch"])
        assert row["exit3_location"] == ("" if found["exit3_location"] is None else str(found["exit3_location"]))


def test_blocks_of_any_size_give_the_same_table(run: Path) -> None:
    """Streaming changes nothing."""
    with open_log(run / "trajectories.h5") as log:
        whole, parts = next(table(log)), list(table(log, block=7))
    for name, column in whole.items():
        assert [value for part in parts for value in part[name]] == column


def test_parquet_holds_the_same_table(run: Path, tmp_path: Path) -> None:
    """The real pyarrow reads the columns back, typed."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an optional extra")
    export_log(run, "parquet", tmp_path / "rows.parquet")
    found = parquet.read_table(tmp_path / "rows.parquet").to_pydict()
    with open_log(run / "trajectories.h5") as log:
        assert found == next(table(log))


def test_minari_loads_and_iterates_the_episodes(run: Path, tmp_path: Path, evaluator: Evaluator) -> None:
    """The real minari package reads every step back, with the environment's spaces, masks and final observations."""
    minari = pytest.importorskip("minari", reason="minari is an optional extra")
    pytest.importorskip("h5py")
    from eenn_envs import EENNVectorEnv

    assert export_log(run, "minari", tmp_path / "set") == EPISODES
    found = minari.MinariDataset(tmp_path / "set")
    env = EENNVectorEnv(evaluator, num_envs=1)
    assert found.observation_space == env.single_observation_space
    assert found.action_space == env.single_action_space
    assert (found.total_episodes, found.total_steps) == (
        EPISODES,
        sum(len(e.actions) for e in found.iterate_episodes()),
    )
    with open_log(run / "trajectories.h5") as log:
        for logged, episode in zip(log.episodes(), found.iterate_episodes(), strict=True):
            assert np.array_equal(episode.observations[:-1], logged.observations)
            assert np.array_equal(episode.infos["action_masks"][:-1], logged.masks)
            assert np.array_equal(episode.actions, logged.actions)
            assert np.array_equal(episode.rewards, logged.rewards)
            assert episode.terminations.tolist() == [False] * (len(logged.actions) - 1) + [True]
            assert not episode.truncations.any()
            assert episode.infos["feasible"].tolist() == [False] * len(logged.actions) + [logged.feasible]
            for name in ("accuracy", "elp"):
                assert np.isnan(episode.infos[name][:-1]).all()
                assert episode.infos[name][-1] == getattr(logged, name)
            env.reset()
            for action in logged.actions:
                *_, info = env.step(np.array([action]))
            assert np.array_equal(episode.observations[-1], info["final_obs"][0])
    assert found.storage.get_episode_metadata([3])
    assert not (tmp_path / ".set.unfinished").exists()


def test_two_exports_to_minari_do_not_meet(run: Path, tmp_path: Path) -> None:
    """The second one is refused by name; before, it removed what the first was writing."""
    pytest.importorskip("minari", reason="minari is an optional extra")
    target = tmp_path / "set"
    with held(target, "export", "TARGET"), pytest.raises(EennError, match=r"set is in use by another process"):
        export_log(run, "minari", target)
    assert export_log(run, "minari", target) == EPISODES


def test_minari_knows_the_environment_where_an_id_stands_for_it(run: Path, tmp_path: Path) -> None:
    """Of the package's default problem it makes it again, and rewards are those logged; of any other it knows none."""
    minari = pytest.importorskip("minari", reason="minari is an optional extra")
    from eenn_envs.default import default_evaluator

    write_log(tmp_path / "trajectories.h5", default_evaluator(), 3)
    export_log(tmp_path / "trajectories.h5", "minari", tmp_path / "default")
    found = minari.MinariDataset(tmp_path / "default")
    env = found.recover_environment()
    for episode in found.iterate_episodes():
        env.reset()
        told = [env.step(action) for action in episode.actions]
        assert [step[1] for step in told] == episode.rewards.tolist()
        assert told[-1][4]["elp"] == episode.infos["elp"][-1]
    export_log(run, "minari", tmp_path / "other")
    assert minari.MinariDataset(tmp_path / "other").env_spec is None


def test_another_problem_is_not_the_registered_environments(tmp_path: Path) -> None:
    """Another objective, space or way of tuning thresholds, or other costs of the static networks."""
    from eenn_envs.default import default_evaluator

    default = default_evaluator()
    space, backend, estimator, objective = default.space, default.backend, default.estimator, default.objective
    others = {
        "same": default,
        "objective": Evaluator(space, backend, estimator, replace(objective, overhead=0.5)),
        "space": Evaluator(replace(space, bits=(4, 8)), backend, estimator, objective),
        "thresholds": Evaluator(space, backend, Estimator(estimator.tables, "global"), objective),
    }
    found = {}
    for name, evaluator in others.items():
        write_log(tmp_path / name, evaluator, 0)
        with open_log(tmp_path / name) as log:
            found[name] = registered_as(environment(log.meta, log.path), log.meta)
            dear = {name: {**told, "energy_j": 1.01 * told["energy_j"]} for name, told in log.meta.baselines.items()}
            assert registered_as(environment(log.meta, log.path), replace(log.meta, baselines=dear)) is None
    assert found == {"same": "eenn_rl/EENN-v0", "objective": None, "space": None, "thresholds": None}


def test_minari_finds_it_by_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Placed as the documentation says; whatever the run folder is called, the name is one of Minari's."""
    minari = pytest.importorskip("minari", reason="minari is an optional extra")
    source = Path(shutil.copytree(run, tmp_path / "my run (2), b=8"))
    place = tmp_path / "sets" / "eenn_rl" / "my_run__2___b_8-v0"
    place.mkdir(parents=True)
    assert export_log(source, "minari", place / "data") == EPISODES
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    assert minari.load_dataset("eenn_rl/my_run__2___b_8-v0").total_episodes == EPISODES
    assert list(minari.list_local_datasets()) == ["eenn_rl/my_run__2___b_8-v0"]
    text = (Path(__file__).parents[1] / "docs" / "trajectory-format.md").read_text()
    example = text.split("### As a Minari data set")[1].split("```python\n")[1].split("```")[0]
    exec(example.replace("FOLDER", str(place / "data")), {})  # noqa: S102  (our own documentation)
    assert capsys.readouterr().out.count("\n") >= EPISODES


def test_minari_takes_a_relative_path(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`export RUN --to minari out.minari` writes where the user stands, and nowhere else."""
    minari = pytest.importorskip("minari", reason="minari is an optional extra")
    monkeypatch.chdir(tmp_path)
    assert export_log(run, "minari", Path("out.minari")) == EPISODES
    assert minari.MinariDataset(tmp_path / "out.minari").total_episodes == EPISODES
    assert [path.name for path in tmp_path.iterdir()] == ["out.minari"]


def test_what_exists_is_never_overwritten(run: Path, tmp_path: Path) -> None:
    """A target that exists is refused and keeps its content; an unknown format is named with its near miss."""
    target = tmp_path / "mine.csv"
    target.write_text("mine")
    with pytest.raises(InvalidValueError, match="expected no file or folder"):
        export_log(run, "csv", target)
    assert target.read_text() == "mine"
    with pytest.raises(InvalidValueError, match="did you mean parquet"):
        export_log(run, "parket", tmp_path / "x")
    with pytest.raises(EennError, match="cannot be written"):
        export_log(run, "csv", tmp_path / "nowhere" / "x.csv")


@pytest.mark.parametrize("kind", ["csv", "json", "minari"])
def test_a_place_that_is_no_folder_is_told(run: Path, tmp_path: Path, kind: str) -> None:
    """A target below a file ends with one line that names it."""
    if kind == "minari":
        pytest.importorskip("minari")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputFileError, match=r"file/x: cannot be written: Not a directory"):
        export_log(run, kind, tmp_path / "file" / "x")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(("kind", "package"), [("parquet", "pyarrow"), ("minari", "minari")])
def test_a_missing_extra_is_named(
    run: Path, tmp_path: Path, kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the optional package the error says what to install, and no file is left."""
    for name in (package, "pyarrow.parquet", "minari.dataset.minari_storage"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'eenn-rl\[{kind}\]'"):
        export_log(run, kind, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_log_exports(evaluator: Evaluator, tmp_path: Path) -> None:
    """A log without episodes gives a table without rows."""
    write_log(tmp_path / "log.h5", evaluator, 0)
    assert export_log(tmp_path / "log.h5", "json", tmp_path / "rows.json") == 0
    assert json.loads((tmp_path / "rows.json").read_text()) == []


def test_an_empty_log_has_the_columns_of_any_other(run: Path, evaluator: Evaluator, tmp_path: Path) -> None:
    """Its csv is a header, its parquet a typed schema: whoever reads many logs needs no case for it."""
    write_log(tmp_path / "log.h5", evaluator, 0)
    for source, name in ((tmp_path / "log.h5", "empty"), (run, "full")):
        export_log(source, "csv", tmp_path / f"{name}.csv")
    full = (tmp_path / "full.csv").read_text().splitlines()
    assert (tmp_path / "empty.csv").read_text().splitlines() == full[:1]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an optional extra")
    for source, name in ((tmp_path / "log.h5", "empty"), (run, "full")):
        export_log(source, "parquet", tmp_path / f"{name}.parquet")
    empty = parquet.read_table(tmp_path / "empty.parquet")
    assert empty.schema == parquet.read_table(tmp_path / "full.parquet").schema
    assert empty.num_rows == 0
