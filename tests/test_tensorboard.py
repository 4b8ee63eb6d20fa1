"""Scalars of a search for TensorBoard, beside its log."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from eenn_rl.cli import main
from eenn_rl.trajectory import open_log

TRAIN = (
    "train", "--tables", "shipped", "--budget", "500", "--policy-share", "0.6", "--policy", "untrained",
    "--policy-episodes", "8",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in tensorboard's own imports
def test_the_searchs_scalars_are_read_back(tmp_path: Path) -> None:
    """TensorBoard's own reader finds what stable-baselines3's logger wrote, equal to what the log holds."""
    pytest.importorskip("tensorboard", reason="tensorboard is an optional extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*TRAIN, "--run", str(tmp_path / "run"), "--tensorboard", "scalars"]) == 0
    events = EventAccumulator(str(tmp_path / "run" / "scalars"))
    events.Reload()
    with open_log(tmp_path / "run" / "trajectories.h5") as log:
        updates, columns = log.updates(), log.columns("feasible", "return")
    means = events.Scalars("rollout/reward_mean")
    assert [event.step for event in means] == updates["evaluations"].tolist()
    last = int(updates["evaluations"][0])
    assert means[0].value == pytest.approx(columns["return"][last - 8 : last].mean(), rel=1e-6)
    assert len(events.Scalars("train/entropy")) == len(updates["entropy"]) >= 1
    best = events.Scalars("search/best_reward")
    assert best[-1].step == 500
    assert best[-1].value == pytest.approx(columns["return"][columns["feasible"]].max(), rel=1e-6)
    assert (np.diff([event.value for event in best]) >= 0).all()


def test_without_tensorboard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where tensorboard is not installed, one line says what to install."""
    find = importlib.util.find_spec
    monkeypatch.setattr("eenn_agents.model.find_spec", lambda name: None if name == "tensorboard" else find(name))
    assert main([*TRAIN, "--run", str(tmp_path / "run"), "--tensorboard", "scalars"]) == 2
    assert "pip install 'eenn-rl[tensorboard]'" in capsys.readouterr().err
