"""What full training showed: which static network savings are quoted against, thresholds, and the order of networks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.branches import CLASSIFIER
from eenn_rl.evaluator import Evaluator
from eenn_rl.judgement import best_static, in_validation_order, judge, static_result
from eenn_rl.levels import threshold_of
from eenn_rl.networks.verification import MeasuredNetwork, Outcome
from eenn_rl.objective import Objective
from eenn_rl.results import StaticResult, Verified
from logged_problem import make_evaluator


def evaluator(objective: Objective) -> Any:
    """As much of one as the choice looks at."""
    return SimpleNamespace(objective=objective, static_bits=8)


def static(bits: int, validation_accuracy: float, error: float = 0.02) -> StaticResult:
    """A network without exits whose cost falls with its bits."""
    return StaticResult(
        bits, validation_accuracy, bits * 1e-6, bits * 1e-6, (bits * 1e-6) ** 2, validation_accuracy, error
    )


@pytest.mark.parametrize(("low", "error", "chosen"), [
    (0.949, 0.02, 8), (0.951, 0.02, 8), (0.954, 0.02, 8), (0.956, 0.02, 2), (0.951, 0.002, 8), (0.953, 0.002, 2),
])  # fmt: skip
def test_the_best_static_network_keeps_the_bound_with_headroom(low: float, error: float, chosen: int) -> None:
    """Tolerance one point; headroom is a standard error of the difference, half a point at most."""
    statics = [static(8, 0.96, 0), static(2, low, error)]
    assert best_static(evaluator(Objective(accuracy_tolerance=0.01)), statics).bits == chosen


def test_without_headroom_the_bound_alone_counts() -> None:
    """As demanded with `--headroom 0`."""
    statics = [static(8, 0.96, 0), static(2, 0.951)]
    assert best_static(evaluator(Objective(accuracy_tolerance=0.01, headroom=0)), statics).bits == 2


def judged(objective: Objective, rows: list[tuple[int, bool, int]]) -> Verified:
    """What `objective` makes of a network with one early exit, its last exit, as the static network, always right.

    `rows`: level and correctness of the early exit, and for how many images.
    """
    problem = make_evaluator()
    asked = Evaluator(problem.space, problem.backend, problem.estimator, objective)
    backbone = problem.space.backbone
    last = Exit(len(backbone.blocks) - 1, CLASSIFIER, 8, 0, 0)
    counts = [count for _, _, count in rows]
    levels = np.repeat(np.array([[level for level, _, _ in rows], [0] * len(rows)], np.uint8), counts, axis=1)
    right = np.repeat(np.array([[good for _, good, _ in rows], [True] * len(rows)]), counts, axis=1)
    groups = np.arange(levels.shape[1])

    def network(first: int, *exits: Exit) -> MeasuredNetwork:
        found = Outcome(levels[first:], right[first:], groups)
        return MeasuredNetwork(Architecture(backbone, exits), found, found, (1.0,) * len(exits), Path("weights.pt"))

    static, early = network(1, last), network(0, Exit(0, problem.space.branches[0], 8, 0, 0), last)
    result = static_result(asked, 8, static, static)
    return judge(asked, asked.evaluate(early.architecture), early, static, [result], seed=0)


def bounded(**bounds: Any) -> Evaluator:
    """A real evaluator with other bounds."""
    problem = make_evaluator()
    return Evaluator(problem.space, problem.backend, problem.estimator, Objective(accuracy_tolerance=1, **bounds))


def statics_of(asked: Evaluator) -> list[StaticResult]:
    """All static networks, each always right."""
    backbone = asked.space.backbone
    found = Outcome(np.zeros((1, 4), np.uint8), np.ones((1, 4), np.bool_), np.arange(4))
    last = Exit(len(backbone.blocks) - 1, CLASSIFIER, 8, 0, 0)
    network = MeasuredNetwork(Architecture(backbone, (last,)), found, found, (1.0,), Path("weights.pt"))
    return [static_result(asked, bits, network, network) for bits in asked.space.usable_bits]


def test_a_static_network_is_judged_by_every_bound_it_can_break() -> None:
    """By deadline and weights as by accuracy; the costs that savings are measured against stay what they are."""
    free = {item.bits: item for item in statics_of(bounded())}
    assert all(item.feasible for item in free.values())
    for name, asked in (("worst-case latency", {"deadline_s": 1e-9}), ("weights", {"memory_bytes": 1.0})):
        for item in statics_of(bounded(**asked)):
            assert [violation.subject for violation in item.violations] == [name]
            assert (item.accurate, item.feasible) == (True, False)
            assert (item.energy_j, item.latency_s) == (free[item.bits].energy_j, free[item.bits].latency_s)


def test_the_best_static_network_keeps_every_bound_where_any_can() -> None:
    """On other cores where that meets the deadline; one that fails only where all do."""
    late = bounded(minimise="energy")
    genomes = late.space.static(8)
    fastest = float(late.costs(genomes).latency_s[:, 0].min())
    assert fastest < late.static_costs(8)[2]
    asked = bounded(minimise="energy", deadline_s=fastest)
    reference = [item for item in statics_of(asked) if item.bits == 8]
    found = best_static(asked, reference)
    assert reference[0].violations
    assert (found.latency_s, found.violations) == (fastest, ())
    asked = bounded(deadline_s=1e-9)
    assert best_static(asked, statics_of(asked)).violations


@pytest.mark.parametrize(("headroom", "chosen"), [(0.0, 1), (None, 2), (0.004, 2), (0.0049, 3)])
def test_thresholds_keep_a_standard_error_of_the_difference_in_reserve(headroom: float | None, chosen: int) -> None:
    """Of 4,000 images the early exit loses 36 from level 1 on, 21 from level 2 on, none from level 3 on.

    A point is 40 images; losing 36 has a standard error of 5.97 images, as many test images have the same, together
    8.45: 31 may be lost, level 2.
    """
    rows = [(1, False, 15), (1, True, 964), (2, False, 21), (2, True, 1000), (3, True, 1000), (0, True, 1000)]
    found = judged(Objective(headroom=headroom), rows)
    assert found.thresholds[0] == threshold_of(np.array([chosen]))[0]
    assert found.validation_floor is not None
    assert found.validation_accuracy >= found.validation_floor
    if headroom is None:
        assert found.validation_floor == pytest.approx(0.99 + 8.45 / 4000, abs=1e-5)


def test_networks_that_miss_a_bound_come_last_and_the_nearest_first() -> None:
    """In the order of the reward on validation: what saves most may be what misses by most."""
    objective = Objective(min_exit_rate=0.3)
    holds = judged(objective, [(3, True, 1300), (0, True, 2700)])
    near = judged(objective, [(3, False, 200), (3, True, 1100), (0, True, 2700)])
    far = judged(objective, [(3, False, 600), (3, True, 2400), (0, True, 1000)])
    assert far.validation_elp < near.validation_elp
    assert (holds.validation_feasible, near.validation_feasible, far.validation_feasible) == (True, False, False)
    assert in_validation_order([far, near, holds]) == (holds, near, far)
