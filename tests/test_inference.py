"""Dynamic inference with the confidences of one trained network."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import measured_problem
from eenn_rl.errors import InvalidValueError
from eenn_rl.inference import accuracy_interval, apply_thresholds, bootstrap_difference, tune_thresholds
from eenn_rl.levels import LEVEL_EDGES, LEVELS, OFF, confidence_levels, threshold_of
from eenn_rl.objective import Objective

ENERGY = (1.0, 2.0, 3.0, 4.0)
LATENCY = (1.0, 1.5, 3.0, 3.5)


def network(seed: int = 0, samples: int = 1500, exits: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return measured_problem.outputs(np.random.default_rng(seed), list(np.linspace(0.6, 2.2, exits)), samples)


def expected(rates: tuple[float, ...]) -> float:
    return sum(r * e * t for r, e, t in zip(rates, ENERGY, LATENCY, strict=False))


def test_a_sample_leaves_at_the_first_exit_that_is_sure() -> None:
    """Accuracy, rates and exit accuracies of a hand-made case, the last exit taking all that is left."""
    confidence = np.array([[0.9, 0.2, 0.6, 0.1], [0.9, 0.9, 0.1, 0.1], [0.0, 0.0, 0.0, 0.0]])
    correct = np.array([[True, True, False, True], [False, True, True, False], [True, False, True, True]])
    accuracy, rates, accuracies = apply_thresholds(confidence, correct, (0.6, 0.9, 0.5))
    assert accuracy == 0.75
    assert rates == (0.5, 0.25, 0.25)
    assert accuracies == (0.5, 1.0, 1.0)


def test_an_exit_that_nobody_takes_has_accuracy_zero() -> None:
    """No division by nothing."""
    found = apply_thresholds(np.array([[0.5], [0.5]]), np.array([[True], [True]]), (2.0, 0.0))
    assert found == (1.0, (0.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("mode", ["per_exit", "global"])
@pytest.mark.parametrize("seed", range(4))
def test_tuned_thresholds_hold_the_demands(mode: Any, seed: int) -> None:
    """The floor and the least use of every exit hold on what was tuned on."""
    confidence, correct = network(seed)
    floor = correct[-1].mean() - 0.01
    found = tune_thresholds(confidence, correct, ENERGY, LATENCY, Objective(min_exit_rate=0.05), floor, mode)
    accuracy, rates, _ = apply_thresholds(confidence, correct, found)
    assert accuracy >= floor
    assert min(rates) >= 0.05
    assert found[-1] == 0
    assert mode == "per_exit" or len(set(found[:-1])) == 1


def test_each_exit_its_own_threshold_is_never_worse_than_one_for_all() -> None:
    """Per-exit thresholds cost no more than the global one, and less on average."""
    saved = []
    for seed in range(5):
        confidence, correct = network(seed)
        problem = (confidence, correct, ENERGY, LATENCY, Objective(), correct[-1].mean() - 0.005)
        costs = [expected(apply_thresholds(confidence, correct, tune_thresholds(*problem, mode))[1])
                 for mode in ("per_exit", "global")]  # fmt: skip
        saved.append(1 - costs[0] / costs[1])
    assert min(saved) > -0.005
    assert np.mean(saved) > 0.02


def test_two_exits_are_tuned_to_the_best_sample() -> None:
    """With one early exit the cost is that of the best threshold of all confidences that occur."""
    confidence, correct = network(1, 400, 2)
    floor = correct[-1].mean() - 0.01
    found = tune_thresholds(confidence, correct, ENERGY[:2], LATENCY[:2], Objective(), floor)
    feasible = []
    for threshold in np.unique(confidence[0]):
        accuracy, rates, _ = apply_thresholds(confidence, correct, (threshold, 0.0))
        if accuracy >= floor and min(rates) >= 0.02:
            feasible.append(expected(rates))
    assert expected(apply_thresholds(confidence, correct, found)[1]) == pytest.approx(min(feasible), rel=0.01)


def test_a_looser_floor_never_costs_more() -> None:
    """Tuning uses the accuracy that it may lose."""
    confidence, correct = network(2)
    costs = []
    for loss in (0.0, 0.005, 0.01, 0.02, 0.05):
        found = tune_thresholds(confidence, correct, ENERGY, LATENCY, Objective(), correct[-1].mean() - loss)
        costs.append(expected(apply_thresholds(confidence, correct, found)[1]))
    assert all(a >= b * 0.998 for a, b in pairwise(costs))
    assert costs[-1] < 0.9 * costs[0]


def test_an_accuracy_out_of_reach_gets_the_most_accurate_setting() -> None:
    """An impossible floor still gives thresholds, about as accurate as the network can be."""
    confidence, correct = network(3)
    found = tune_thresholds(confidence, correct, ENERGY, LATENCY, Objective(), 1.0)
    assert apply_thresholds(confidence, correct, found)[0] >= correct[-1].mean() - 0.01


@pytest.mark.parametrize("changes", [{"confidence": np.ones((2, 3)) * 2}, {"correct": np.ones((1, 3), bool)},
                                     {"energy_j": (1.0,)}, {"confidence": np.full((2, 3), np.nan)}])  # fmt: skip
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any]) -> None:
    """Shapes and ranges are checked, in one line."""
    problem = {"confidence": np.ones((2, 3)), "correct": np.ones((2, 3), bool), "energy_j": (1.0, 2.0)} | changes
    with pytest.raises(InvalidValueError):
        tune_thresholds(**problem, latency_s=(1.0, 2.0), objective=Objective(), accuracy_floor=0.5)
    with pytest.raises(InvalidValueError, match="thresholds"):
        apply_thresholds(np.ones((2, 3)), np.ones((2, 3), bool), (0.5,))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, OFF))
@settings(deadline=None)
def test_a_level_reaches_a_threshold_level_exactly_where_its_confidence_does(values: list[float], level: int) -> None:
    """Tuning on levels and inference on confidences decide alike."""
    confidence = np.array(values)
    reached = confidence >= threshold_of(np.array([level]))
    assert ((confidence_levels(confidence) >= level) == reached).all()


def test_levels_rise_with_confidence_from_0_to_the_last() -> None:
    """The grid begins at 0 and ends at 0.9999, increasing."""
    assert LEVEL_EDGES[0] == 0
    assert LEVEL_EDGES[-1] == pytest.approx(0.9999)
    assert (np.diff(LEVEL_EDGES) > 0).all()
    assert confidence_levels(np.array([0.0, 1.0])).tolist() == [0, LEVELS - 1]
    with pytest.raises(InvalidValueError, match="confidence"):
        confidence_levels(np.array([1.5]))


def test_bootstrap_of_paired_samples_matches_theory() -> None:
    """The interval of a difference is that of the normal approximation for paired shares, and needs few draws."""
    rng = np.random.default_rng(0)
    correct, baseline = rng.random(4000) < 0.85, rng.random(4000) < 0.87
    low, high = bootstrap_difference(correct, baseline, np.random.default_rng(1))
    difference = correct.astype(int) - baseline.astype(int)
    error = 1.96 * difference.std() / np.sqrt(4000)
    assert low == pytest.approx(difference.mean() - error, abs=0.1 * error)
    assert high == pytest.approx(difference.mean() + error, abs=0.1 * error)
    assert (low, high) == bootstrap_difference(correct, baseline, np.random.default_rng(1))


def test_the_same_network_differs_by_nothing() -> None:
    """Pairing matters: a network against itself has an interval of no width."""
    correct = np.random.default_rng(0).random(100) < 0.5
    assert bootstrap_difference(correct, correct, np.random.default_rng(0)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)]
)
def test_accuracy_interval_is_wilsons(right: int, samples: int, low: float, high: float) -> None:
    """Published values of Wilson's score interval (Newcombe 1998, table I, method 3)."""
    assert accuracy_interval(right, samples) == pytest.approx((low, high), abs=1e-4)
