"""A log drawn in the terminal."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from eenn_rl.log_view import Points, best_so_far, compare_view, log_view, plot
from eenn_rl.trajectory import TrajectoryWriter, open_log
from trajectory_samples import sample_batch, sample_meta


def drawn(view: RenderableType) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=120).print(view)
    return buffer.getvalue()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.h5"
    with TrajectoryWriter.create(path, sample_meta()) as writer:
        writer.add_episodes(sample_batch(np.random.default_rng(0), 200))
    return path


def test_the_learning_curve_never_falls_and_ends_at_the_best(log: Path) -> None:
    """Only feasible episodes count; the curve begins with the first of them."""
    with open_log(log) as found:
        columns = found.columns("feasible", "elp_reduction")
        episodes, best = best_so_far(found)
    assert episodes[0] == np.argmax(columns["feasible"]) + 1
    assert (np.diff(best) >= 0).all()
    assert best[-1] == 100 * columns["elp_reduction"][columns["feasible"]].max()


def test_points_are_drawn_where_they_belong() -> None:
    """The lowest left and highest right dots are in the corners; ranges and labels stand at the axes."""
    lines = plot([Points(np.array([0.0, 5.0]), np.array([1.0, 3.0]), "cyan")], "Title", "x", "y").plain.splitlines()
    assert lines[0] == "Title"
    assert lines[1].startswith("3 |")
    assert lines[1].endswith("\u2808")
    assert lines[-2].startswith("1 |\u2840")
    assert lines[-1].split() == ["0", "x", "5"]


def test_what_has_no_finite_place_is_not_drawn() -> None:
    """Numbers of a damaged log, or of a network without a cost, leave the others where they are."""
    odd = Points(np.array([2.0, np.inf, np.nan]), np.array([np.nan, 1.0, np.inf]), "cyan")
    sound = Points(np.array([0.0, 5.0]), np.array([1.0, 3.0]), "cyan")
    assert plot([odd, sound], "Title", "x", "y") == plot([sound], "Title", "x", "y")
    assert "nothing to draw yet" in plot([odd], "Title", "x", "y").plain


def test_a_log_and_two_logs_are_shown(log: Path, tmp_path: Path) -> None:
    """One log shows its curve and front; two show their numbers side by side, and whether they are comparable."""
    assert "on the Pareto front" in drawn(log_view(log))
    other = tmp_path / "other.h5"
    with TrajectoryWriter.create(other, sample_meta(objective={"minimise": "energy"})) as writer:
        writer.add_episodes(sample_batch(np.random.default_rng(1), 90))
    text = drawn(compare_view(log, other))
    assert "best ELP reduction %" in text
    assert "they differ in objective: not the same problem" in text
    assert "both searched the same problem" in drawn(compare_view(log, log))


def test_a_log_without_episodes_is_shown(tmp_path: Path) -> None:
    """A run that was just begun has nothing to draw, and says so."""
    TrajectoryWriter.create(tmp_path / "log.h5", sample_meta()).close()
    assert drawn(log_view(tmp_path / "log.h5")).count("nothing to draw yet") == 2
    assert "-" in drawn(compare_view(tmp_path / "log.h5", tmp_path / "log.h5"))
