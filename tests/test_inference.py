"""Dynamic inference: what thresholds do, and thresholds for one network."""

from typing import Any

import numpy as np
import pytest

import measured_problem
from eenn_rl.errors import InvalidValueError
from eenn_rl.inference import infer, tuned
from eenn_rl.levels import OFF, confidence_levels
from eenn_rl.tuning import Demands

WEIGHTS = np.array([1.0, 3.0, 9.0, 14.0])


def network(seed: int = 0, samples: int = 1500, exits: int = 4) -> tuple[np.ndarray, np.ndarray]:
    sure, right = measured_problem.outputs(np.random.default_rng(seed), list(np.linspace(0.6, 2.2, exits)), samples)
    return confidence_levels(sure), right


def test_an_input_leaves_at_the_first_exit_that_is_sure() -> None:
    """Accuracy, rates and exit accuracies of a hand-made case, the last exit taking all that is left."""
    levels = np.array([[9, 2, 6, 1], [9, 9, 1, 1], [0, 0, 0, 0]], np.uint8)
    correct = np.array([[True, True, False, True], [False, True, True, False], [True, False, True, True]])
    found = infer(levels, correct, np.array([6, 9, 5], np.uint8))
    assert found.accuracy == 0.75
    assert found.exit_rates == (0.5, 0.25, 0.25)
    assert found.exit_accuracies == (0.5, 1.0, 1.0)
    assert found.correct.tolist() == [True, True, False, True]


def test_an_exit_that_is_off_has_rate_and_accuracy_zero() -> None:
    """No division by nothing, however sure the exit."""
    found = infer(np.array([[63], [0]], np.uint8), np.array([[True], [True]]), np.array([OFF, 0], np.uint8))
    assert (found.accuracy, found.exit_rates, found.exit_accuracies) == (1.0, (0.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("mode", ["per_exit", "global"])
@pytest.mark.parametrize("seed", range(4))
def test_tuned_thresholds_hold_the_demands(mode: Any, seed: int) -> None:
    """The accuracy and the least use of every exit hold on what was tuned on."""
    levels, correct = network(seed)
    demands = Demands(int(correct[-1].sum()) - 15, 75)
    thresholds, feasible = tuned(levels, correct, WEIGHTS, demands, mode)
    found = infer(levels, correct, thresholds)
    assert feasible
    assert found.correct.sum() >= demands.right
    assert min(found.exit_rates) >= 75 / 1500
    assert thresholds[-1] == 0
    assert mode == "per_exit" or len(set(thresholds[:-1].tolist())) == 1


def test_each_exit_its_own_threshold_is_never_worse_than_one_for_all() -> None:
    """Per-exit thresholds cost no more than the global one, and less on average."""
    saved = []
    for seed in range(6):
        levels, correct = network(seed)
        demands = Demands(int(correct[-1].sum()) - 15, 30)
        own, shared = (
            np.dot(infer(levels, correct, tuned(levels, correct, WEIGHTS, demands, mode)[0]).exit_rates, WEIGHTS)
            for mode in ("per_exit", "global")
        )
        assert own <= shared + 1e-12
        saved.append(1 - own / shared)
    assert np.mean(saved) > 0.01


def test_demands_out_of_reach_are_said_to_be() -> None:
    """Where no thresholds reach the accuracy, the closest are returned, marked as infeasible."""
    levels, correct = network()
    thresholds, feasible = tuned(levels, correct, WEIGHTS, Demands(1500, 30))
    assert not feasible
    assert thresholds.shape == (4,)


@pytest.mark.parametrize(
    ("levels", "correct", "thresholds", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.bool_), np.zeros(2, np.uint8), "one shape"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.bool_), np.zeros(3, np.uint8), "one per exit"),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.bool_), np.full(2, 65, np.uint8), "levels up to 64"),
    ],
)
def test_what_does_not_fit_together_is_refused(levels: Any, correct: Any, thresholds: Any, message: str) -> None:
    """Shapes and thresholds are checked, with what was expected."""
    with pytest.raises(InvalidValueError, match=message):
        infer(levels, correct, thresholds)
    with pytest.raises(InvalidValueError, match="one per exit"):
        tuned(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.bool_), WEIGHTS, Demands(0, 0))
