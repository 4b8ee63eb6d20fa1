"""What a comparison counts: improvements, shares, hypervolume, medians; and the verb itself, on shared cells."""

import re
from pathlib import Path
from xml.parsers import expat

import numpy as np
import pytest

from eenn_rl.compare import CompareSettings
from eenn_rl.compare_plot import BOTTOM, HEIGHT, TOP, plot
from eenn_rl.comparison import Cell, Spread, hypervolume, improvements, quantiles, spread, summarise, table
from eenn_rl.errors import InvalidValueError
from eenn_rl.search import History


def history(rewards: list[float], feasible: list[bool]) -> History:
    n = len(rewards)
    accuracy, elp = np.linspace(0.9, 0.95, n), np.linspace(0.5, 1.0, n)
    return History(np.zeros((n, 1, 5), np.int16), np.array(rewards), np.array(feasible), accuracy, elp)


def cell(agent: str, seed: int, *found: tuple[int, float], evaluations: int = 100) -> Cell:
    return Cell(agent, seed, evaluations, found, 0.5, 0.1, 2.0)


def test_improvements_are_where_the_best_feasible_reward_rises() -> None:
    """Infeasible and worse evaluations leave no trace."""
    found = improvements(history([5.0, 1.0, 0.5, 2.0, 2.0, 3.0], [False, True, True, True, True, True]))
    assert found == ((2, 1.0), (4, 2.0), (6, 3.0))


def test_rewards_and_counts_of_a_cell() -> None:
    """A cell answers what the best was at a budget, and when a reward was reached."""
    one = cell("a", 0, (2, 1.0), (40, 2.0))
    assert one.reward_at(1) == -np.inf
    assert (one.reward_at(39), one.reward_at(40)) == (1.0, 2.0)
    assert (one.evaluations_to(1.5), one.evaluations_to(2.5)) == (40, np.inf)


def test_summary_counts_evaluations_to_shares_of_the_best() -> None:
    """A share that most seeds miss has no median."""
    cells = [cell("a", seed, (10 + seed, 0.96), (50, 1.0)) for seed in range(3)] + [
        cell("b", s, (5, 0.5)) for s in range(3)
    ]
    first, second = summarise(cells, (20, 100), 1.0)
    assert (first.to_share["95%"].median, first.to_share["97%"].median) == (11.0, 50.0)
    assert first.rewards[20].median == 0.96
    assert second.to_share["95%"].median is None
    assert second.reached["95%"] == 0.0
    assert "never" in table([first, second])


def test_spread_of_infinite_values_is_none() -> None:
    """What did not happen in most seeds has no median, not a made-up number."""
    assert spread([1.0, np.inf, np.inf]).median is None
    assert spread([1.0, 2.0, np.inf]).median == 2.0


@pytest.mark.parametrize("count", [1, 2, 4, 5, 10])
def test_spread_of_finite_values_is_numpys(count: int) -> None:
    """The median of an even number is the mean of the two in the middle."""
    values = np.random.default_rng(count).normal(size=count)
    found = spread(values.tolist())
    assert (found.median, found.low, found.high) == pytest.approx(np.quantile(values, (0.5, 0.25, 0.75)))
    assert spread([482.0, 1101.0, 100.0, 2000.0]).median == 791.5


def test_a_median_is_finite_only_where_more_than_half_of_the_values_are() -> None:
    """What is between a finite and an infinite value is infinite, and never no number."""
    inf = np.inf
    assert spread([1.0, 2.0, inf, inf]).median is None
    assert spread([-inf, -inf, 1.0, 2.0]).median is None
    assert spread([-inf, -inf]).median is None
    assert spread([1.0, 2.0, 3.0, inf]).median == 2.5
    assert spread([1.0, 2.0, 3.0, 4.0, inf]) == Spread(3.0, 2.0, 4.0)
    assert quantiles(np.array([[inf, -inf, 1.0], [2.0, 3.0, 2.0]]), (0.0, 0.5)).tolist() == [
        [2.0, -inf, 1.0], [inf, -inf, 1.5],
    ]  # fmt: skip


def test_hypervolume_is_the_dominated_area() -> None:
    """Two points: the area of the staircase they dominate, as a share of the box."""
    points = History(
        np.zeros((3, 1, 5), np.int16), np.zeros(3), np.array([True, True, False]), np.array([0.95, 0.90, 0.99]),
        np.array([0.5, 0.2, 0.0]),
    )  # fmt: skip
    assert hypervolume(points, static_accuracy=0.90, static_elp=1.0) == pytest.approx(1.0 * 0.5 + 0.5 * 0.3)


def test_the_plot_is_an_svg_with_every_agent(tmp_path: Path) -> None:
    """The picture names each agent and is well-formed XML."""
    plot(tmp_path / "x.svg", [cell("ppo", 0, (3, 1.0)), cell("local", 0, (3, 0.4), (9, 0.9))], 1.0)
    parser = expat.ParserCreate()
    texts: list[str] = []
    parser.CharacterDataHandler = texts.append
    parser.Parse((tmp_path / "x.svg").read_bytes(), True)
    assert {"ppo", "local"} <= set(texts)


def drawn(path: Path, cells: list[Cell], best: float | None) -> dict[str, list[float]]:
    """The heights of each element's points in the picture, by its name; of `polyline` those of every agent's median."""
    plot(path, cells, best)
    found: dict[str, list[float]] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        pairs = [pair.split(",") for pair in attributes.get("points", "").split()]
        found.setdefault(name, []).extend(float(y) for _, y in pairs)
        if "stroke-dasharray" in attributes:
            found["best"] = [float(attributes["y1"])]

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.Parse(path.read_bytes(), True)
    return found


@pytest.mark.parametrize("best", [-0.2, 0.0, 1.0])
def test_the_plot_shows_rewards_below_zero_and_below_the_best(best: float, tmp_path: Path) -> None:
    """In proportion, within the frame, and none on top of another; also where the best is negative or 0."""
    found = drawn(tmp_path / "x.svg", [cell("a", 0, (1, best - 2), (10, best - 1), (50, best))], best)
    low, middle, high = sorted(set(found["polyline"]), reverse=True)
    assert HEIGHT - BOTTOM > low > middle > high > TOP
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    assert found["best"] == [high]


@pytest.mark.parametrize("best", [-0.2, 0.0])
def test_the_plot_of_one_reward_has_a_height(best: float, tmp_path: Path) -> None:
    """Where nothing better than the first was found there is still a line, and every label of the axis is another."""
    found = drawn(tmp_path / "x.svg", [cell("a", 0, (1, best))], best)
    assert HEIGHT - BOTTOM >= found["polyline"][0] > TOP
    labels = re.findall(r'text-anchor="end">(.*?)<', (tmp_path / "x.svg").read_text())
    assert len(set(labels)) == len(labels) == 6


def test_the_plot_of_agents_that_propose_nothing_is_empty(tmp_path: Path) -> None:
    """Also of one whose name is no plain text: the picture is well-formed."""
    found = drawn(tmp_path / "x.svg", [cell("a<&b", 0, evaluations=0)], None)
    assert found["polyline"] == []


def test_settings_refuse_an_agent_named_twice() -> None:
    """Comparing an agent with itself is a mistake."""
    with pytest.raises(InvalidValueError, match="distinct"):
        CompareSettings(agents=("ppo", "ppo"))
