"""Threshold tuning: exact counts, demands held, and nothing left on the table."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import measured_problem
from eenn_rl import tuning
from eenn_rl.grid import Workspace
from eenn_rl.levels import LEVELS, OFF, confidence_levels
from eenn_rl.tuning import Demands, Frontier, directions, frontier, leave_at

Levels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def drawn(seed: int, exits: int, samples: int = 400) -> tuple[Levels, Bools]:
    """Levels and correctness with the statistics of a real network."""
    skills = np.linspace(0.6, 2.2, exits)
    sure, right = measured_problem.outputs(np.random.default_rng(seed), list(skills), samples)
    return confidence_levels(sure), right


def recount(levels: Levels, right: Bools, thresholds: Levels) -> tuple[list[int], list[int]]:
    """Inputs leaving at each exit and those right, one input at a time."""
    counts, hits = [0] * len(levels), [0] * len(levels)
    for level, correct in zip(levels.T, right.T, strict=True):
        exit_ = next(k for k in range(len(levels)) if k == len(levels) - 1 or level[k] >= thresholds[k])
        counts[exit_] += 1
        hits[exit_] += int(correct[exit_])
    return counts, hits


def every_setting(levels: Levels, right: Bools, demands: Demands, grid: range = range(LEVELS)) -> npt.NDArray[np.int64]:
    """The counts [m, K] of every setting that holds the demands, by brute force over inputs."""
    held = []
    for setting in product(grid, repeat=len(levels) - 1):
        left = leave_at(levels, np.array([*setting, 0], np.uint8))
        counts = np.bincount(left, minlength=len(levels))
        hits = int(np.take_along_axis(right, left[np.newaxis], 0).sum())
        if hits >= demands.right and counts.min() >= demands.least:
            held.append(counts)
    return np.array(held, np.int64).reshape(-1, len(levels))


def rising(rng: np.random.Generator, exits: int) -> npt.NDArray[np.float64]:
    """Costs that do not fall along the path."""
    return np.cumsum(rng.dirichlet(np.ones(exits)) + 0.01)


def demands_of(right: Bools, loss: float, share: float = 0.02) -> Demands:
    samples = right.shape[1]
    return Demands(int(right[-1].sum() - loss * samples), int(share * samples))


@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from(["per_exit", "global"]), st.floats(0, 0.1))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_the_inputs(seed: int, exits: int, mode: tuning.Mode, loss: float) -> None:
    """What a setting is said to do is what counting the inputs one by one gives; demands hold where it says so."""
    levels, right = drawn(seed, exits, 150)
    demands = demands_of(right, loss)
    found = frontier(levels, right, demands, mode)
    for counts, hits, thresholds in zip(found.counts, found.right, found.thresholds, strict=True):
        assert (counts.tolist(), hits.tolist()) == recount(levels, right, thresholds)
        assert thresholds[-1] == 0
        assert mode == "per_exit" or len(set(thresholds[:-1].tolist())) <= 1
        assert found.feasible == (hits.sum() >= demands.right and counts.min() >= demands.least)


@pytest.mark.parametrize("seed", range(12))
def test_one_early_exit_is_tuned_exactly(seed: int) -> None:
    """With one early exit the setting lets most inputs leave of all 64: the cheapest, for any rising costs."""
    levels, right = drawn(seed, 2)
    demands = demands_of(right, 0.01)
    every = every_setting(levels, right, demands)
    found = frontier(levels, right, demands)
    assert found.feasible == (len(every) > 0)
    if len(every):
        assert found.counts[0].tolist() == every[every[:, 0].argmax()].tolist()


@pytest.mark.parametrize("seed", range(6))
def test_two_early_exits_are_tuned_as_exhaustive_search_does(seed: int) -> None:
    """With two early exits, of all 4,096 settings no feasible one is more than 0.1% cheaper, on average 0.01%."""
    levels, right = drawn(seed, 3, 200)
    demands = demands_of(right, 0.01)
    every = every_setting(levels, right, demands)
    found = frontier(levels, right, demands)
    assert found.feasible == (len(every) > 0)
    rng = np.random.default_rng(seed)
    gaps = [(found.counts @ w).min() / (every @ w).min() - 1 for w in (rising(rng, 3) for _ in range(50))]
    assert -1e-12 < max(gaps) < 1e-3
    assert np.mean(gaps) < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_three_early_exits_are_tuned_as_exhaustive_search_does(seed: int) -> None:
    """With three early exits and levels that take 12 values, of all 1,728 settings none is more than 0.5% cheaper."""
    levels, right = drawn(seed, 4, 200)
    levels = (levels // 6 * 6).astype(np.uint8)
    demands = demands_of(right, 0.02)
    every = every_setting(levels, right, demands, range(0, LEVELS, 6))
    found = frontier(levels, right, demands)
    assert found.feasible
    assert len(every)
    rng = np.random.default_rng(seed)
    gaps = [(found.counts @ w).min() / (every @ w).min() - 1 for w in (rising(rng, 4) for _ in range(50))]
    assert -1e-12 < max(gaps) < 5e-3
    assert np.mean(gaps) < 5e-4


def test_four_early_exits_are_tuned_on_a_coarse_grid_first() -> None:
    """With four early exits random search over 20,000 settings finds none more than 2% cheaper."""
    levels, right = drawn(3, 5, 500)
    demands = demands_of(right, 0.01)
    found = frontier(levels, right, demands)
    assert found.feasible
    rng = np.random.default_rng(0)
    weights = rising(rng, 5)
    best = np.inf
    for setting in rng.integers(5, LEVELS, (20_000, 4)).astype(np.uint8):
        left = leave_at(levels, np.append(setting, 0).astype(np.uint8))
        counts = np.bincount(left, minlength=5)
        if counts.min() >= demands.least and right[left, np.arange(500)].sum() >= demands.right:
            best = min(best, float(counts @ weights))
    assert (found.counts @ weights).min() < 1.02 * best < np.inf


def test_one_threshold_for_all_exits_is_tuned_exactly() -> None:
    """In global mode the setting is the best of all that give every early exit the same level."""
    levels, right = drawn(1, 4)
    demands = demands_of(right, 0.02)
    found = frontier(levels, right, demands, "global")
    counts = [np.bincount(leave_at(levels, np.array([t, t, t, 0], np.uint8)), minlength=4) for t in range(LEVELS)]
    hits = [right[leave_at(levels, np.array([t, t, t, 0], np.uint8)), np.arange(400)].sum() for t in range(LEVELS)]
    held = [c for c, h in zip(counts, hits, strict=True) if h >= demands.right and c.min() >= demands.least]
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    assert found.feasible
    assert (found.counts @ weights).min() == min(float(c @ weights) for c in held)


def test_demands_that_no_setting_holds_get_the_closest() -> None:
    """Where the accuracy cannot be reached, every exit still gets its share and the most inputs are right."""
    levels, right = drawn(2, 3, 200)
    most = Demands(201, 4)
    found = frontier(levels, right, most)
    assert not found.feasible
    assert len(found.counts) == 1
    assert found.counts.min() >= most.least
    every = every_setting(levels, right, Demands(int(found.right.sum()) + 4, 4))
    assert not len(every), "a setting with 2% more inputs right was there"


def test_an_exit_that_nobody_can_use_is_the_smallest_lack() -> None:
    """Where an exit cannot get its share, the setting lacks as few inputs as possible."""
    levels, right = drawn(0, 3, 100)
    levels[1] = np.minimum(levels[1], levels[0])
    levels[1][:] = 0
    levels[0][:] = 0
    found = frontier(levels, right, Demands(0, 10))
    assert not found.feasible
    assert sorted(found.counts[0].tolist()) == [0, 0, 100]


def test_an_exit_may_be_off_where_it_needs_no_use() -> None:
    """With no least use, a harmful exit is switched off rather than the network called infeasible."""
    levels, right = drawn(0, 2, 300)
    right[0] = False
    found = frontier(levels, right, Demands(int(right[1].sum()), 0))
    assert found.feasible
    assert found.thresholds[0, 0] == OFF
    assert found.counts[0].tolist() == [0, 300]


def test_more_inputs_than_16_bits_hold_are_counted_exactly() -> None:
    """Above 32,767 inputs the sums are wider; four copies of every input give the same settings."""
    levels, right = drawn(5, 4, 9000)
    few = frontier(levels, right, Demands(8000, 200))
    many = frontier(np.tile(levels, 4), np.tile(right, 4), Demands(32_000, 800))
    assert few.feasible
    assert (many.thresholds == few.thresholds).all()
    assert (many.counts == 4 * few.counts).all()


def test_the_answer_depends_on_neither_workspace_nor_order_of_questions() -> None:
    """A workspace that served other networks before changes nothing, and answers do not change under later ones."""
    work = Workspace()
    problems = [(*drawn(seed, exits), 0.01) for seed, exits in ((0, 4), (1, 2), (2, 3), (3, 4))]
    fresh = [frontier(levels, right, demands_of(right, loss)) for levels, right, loss in problems]
    shared = [frontier(levels, right, demands_of(right, loss), work=work) for levels, right, loss in problems[::-1]]
    for a, b in zip(fresh, shared[::-1], strict=True):
        for field in ("counts", "right", "thresholds"):
            assert (getattr(a, field) == getattr(b, field)).all()


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 7, 11])
def test_directions_cover_every_exit(dimensions: int) -> None:
    """Directions are distinct, have one sum, and hold each exit alone."""
    found = directions(dimensions)
    assert len(np.unique(found, axis=0)) == len(found) <= 100
    assert len(set(found.sum(1).tolist())) == 1
    for k in range(dimensions):
        assert (found[:, k] == found.sum(1)).any()


def test_cheapest_is_the_setting_of_least_weight() -> None:
    """`Frontier.cheapest` weighs each setting's counts."""
    found = Frontier(np.array([[8, 2], [6, 4]]), np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8), feasible=True)
    assert found.cheapest(np.array([1.0, 2.0])) == 0
    assert found.cheapest(np.array([2.0, 1.0])) == 1
