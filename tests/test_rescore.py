"""Re-scoring: logged architectures costed elsewhere, into a new file."""

import json
from dataclasses import replace
from importlib import import_module, resources
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eenn_rl.cli import main
from eenn_rl.errors import EennError, InvalidValueError
from eenn_rl.evaluator import Evaluator
from eenn_rl.replay import rescore
from eenn_rl.replay.rescore import spearman
from eenn_rl.trajectory import open_log
from logged_problem import make_evaluator, write_log

EPISODES = 50
rescore_module = import_module("eenn_rl.replay.rescore")
"""The package holds the function under the module's name."""


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return make_evaluator()


@pytest.fixture(scope="module")
def log(evaluator: Evaluator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "trajectories.h5"
    write_log(path, evaluator, EPISODES, repeat=2)
    return path


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default accelerator with its last allocations missing."""
    shipped = resources.files("eenn_rl") / "accelerators" / "quad_edge_tpu.yaml"
    data = yaml.safe_load(shipped.read_text())
    data["name"] = "smaller"
    data["allocations"] = data["allocations"][:4]
    path = tmp_path_factory.mktemp("hardware") / "smaller.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_on_its_own_hardware_nothing_moves(log: Path, tmp_path: Path) -> None:
    """Costed again by the same backend on the same accelerator, every distinct architecture has its logged values."""
    before = log.read_bytes()
    result = rescore(log, out=tmp_path / "new.h5")
    assert len(result.episodes) == EPISODES
    assert result.legal.all()
    for name, column in result.before.items():
        if name != "architecture":
            assert np.array_equal(column, result.after[name]), name
    assert all(value == pytest.approx(1) for value in result.rank_correlation.values())
    assert result.best[0] == result.best[1]
    assert result.fronts[0] == result.fronts[1] != set()
    assert log.read_bytes() == before


def test_under_another_objective_it_is_scored_as_a_search_for_it_would(log: Path, tmp_path: Path) -> None:
    """Other fields of the objective than logged: rewards, thresholds and feasibility are an evaluator's with them."""
    changes = {"minimise": "energy", "accuracy_tolerance": 0.2, "deadline_s": 1e-4}
    result = rescore(log, out=tmp_path / "new.h5", objective=changes)
    like = make_evaluator()
    there = Evaluator(like.space, like.backend, like.estimator, replace(like.objective, **changes))
    expected = there.evaluate_batch(result.before["architecture"])
    for name in ("reward", "feasible", "accuracy", "thresholds", "energy_j"):
        found = result.after["return" if name == "reward" else name]
        assert np.array_equal(found, getattr(expected, name)), name
    assert not np.array_equal(result.after["return"], result.before["return"])


def test_the_command_scores_under_another_objective(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay LOG --objective energy` writes a file that says so in its name; a value out of range is one line."""
    assert main(["replay", str(log), "--objective", "energy"]) == 0
    out = log.with_name("trajectories-multicore-quad_edge_tpu-energy.h5")
    assert str(out) in capsys.readouterr().out
    with h5py.File(out, "r") as file:
        assert json.loads(file["meta/objective"][()])["minimise"] == "energy"
    assert main(["replay", str(log), "--accuracy-tolerance", "7"]) == 2
    assert "accuracy_tolerance must be between 0 and 1, found 7.0" in capsys.readouterr().err


def test_on_other_hardware_it_says_what_moves(log: Path, smaller: Path, tmp_path: Path) -> None:
    """On a smaller accelerator: what cannot run there is counted, the rest is as an evaluator built there says."""
    result = rescore(log, accelerator=str(smaller), out=tmp_path / "new.h5")
    genomes = result.before["architecture"]
    assert np.array_equal(result.legal, (genomes[:, :, 3:] < 4).all((1, 2)))
    assert 0 < result.legal.sum() < EPISODES
    there = make_evaluator(str(smaller)).evaluate_batch(genomes[result.legal])
    for name in ("energy_j", "latency_s", "elp", "accuracy", "thresholds"):
        assert np.array_equal(result.after[name][result.legal], getattr(there, name)), name
        assert np.isnan(result.after[name][~result.legal]).all()
    text = "\n".join(result.lines())
    assert f"{EPISODES - result.legal.sum()} of them cannot run there" in text
    assert "rank correlation (Spearman): energy_j" in text
    assert "Pareto front" in text


def test_the_new_file_holds_before_and_after(log: Path, tmp_path: Path) -> None:
    """Any HDF5 reader finds the columns, the accelerator and where they come from."""
    result = rescore(log, out=tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r") as file:
        assert file.attrs["format"] == b"eenn-rl re-scored architectures"
        assert np.array_equal(file["architectures/after_elp"], result.after["elp"])
        assert np.array_equal(file["architectures/before_elp"], result.before["elp"])
        assert json.loads(file["meta/source"][()])["episodes"] == 2 * EPISODES
        assert json.loads(file["meta/accelerator"][()])["name"] == "quad_edge_tpu"
    assert [item.name for item in tmp_path.iterdir()] == ["new.h5"]


def test_no_file_is_overwritten_and_names_are_checked(log: Path, tmp_path: Path) -> None:
    """An existing target, an unknown backend and an unknown accelerator end in one clear line, and write nothing."""
    (tmp_path / "mine.h5").write_text("mine")
    with pytest.raises(InvalidValueError, match="expected no file"):
        rescore(log, out=tmp_path / "mine.h5")
    assert (tmp_path / "mine.h5").read_text() == "mine"
    with pytest.raises(EennError, match="multicore"):
        rescore(log, backend="multicor", out=tmp_path / "x.h5")
    with pytest.raises(EennError, match="quad_edge_tpu"):
        rescore(log, accelerator="quad_edge_tp", out=tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_costed(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow backend would have worked for nothing; a folder that is not there yet is made."""

    def costed(*_: object) -> None:
        raise AssertionError

    (tmp_path / "file").write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr(rescore_module, "_evaluate", costed)
        with pytest.raises(InvalidValueError, match=r"--out .*: expected a place that can be written to"):
            rescore(log, out=tmp_path / "file" / "x.h5")
    assert rescore(log, out=tmp_path / "new" / "x.h5").out.exists()


@pytest.mark.parametrize(("name", "file"), [
    ("my/chip", "my_chip"), ("../chip", ".._chip"), ("a b\u0000\u03bc", "a_b__"),
])  # fmt: skip
def test_any_name_of_an_accelerator_names_a_file_beside_the_log(
    log: Path, smaller: Path, tmp_path: Path, name: str, file: str
) -> None:
    """Nobody's log is blamed for it."""
    chip, mine = tmp_path / "chip.yaml", tmp_path / "mine.h5"
    chip.write_text(yaml.safe_dump({**yaml.safe_load(smaller.read_text()), "name": name}))
    mine.write_bytes(log.read_bytes())
    result = rescore(mine, accelerator=str(chip))
    assert (result.accelerator, result.out) == (name, tmp_path / f"mine-multicore-{file}.h5")
    assert result.out.exists()


def test_a_log_is_not_rescored_onto_itself(log: Path) -> None:
    """The log's own name as target is refused."""
    with pytest.raises(InvalidValueError, match="choose another"):
        rescore(log, out=log)
    with open_log(log) as found:
        assert len(found) == 2 * EPISODES


@given(st.lists(st.tuples(*[st.integers(-3, 3).map(float) | st.just(float("nan"))] * 2), max_size=12))
def test_rank_correlation_is_that_of_mean_ranks(pairs: list[tuple[float, float]]) -> None:
    """Spearman's rho is the linear correlation of ranks, each the mean place of its equals, over rows known to both."""
    both = [pair for pair in pairs if not np.isnan(pair).any()]
    ranks = [
        [sum(x < v for x in side) + (sum(x == v for x in side) + 1) / 2 for v in side]
        for side in zip(*both, strict=True)
    ]
    found = spearman(*np.array(pairs, np.float64).reshape(-1, 2).T)
    if len(both) < 2 or any(len(set(side)) == 1 for side in ranks):
        assert np.isnan(found)
    else:
        first, second = (np.array(side) - np.mean(side) for side in ranks)
        assert found == pytest.approx((first @ second) / np.sqrt((first @ first) * (second @ second)), abs=1e-12)
