"""The objective: what a reward is made of."""

from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eenn_rl.errors import InvalidValueError
from eenn_rl.objective import (
    ACCURACY_UNIT,
    VIOLATION_CAP,
    VIOLATIONS,
    Baseline,
    Costs,
    Objective,
    Scores,
    least_count,
    score,
)

BASELINE = Baseline(accuracy=0.90, floor=0.89, energy_j=2e-6, latency_s=3e-3)


def costs(energy: list[float], latency: list[float], **changes: Any) -> Costs:
    """One architecture."""
    fields = {"fits": True, "weight_bytes": 0.0, "failed": False} | changes
    return Costs(
        np.array([energy]), np.array([latency]), np.array([len(energy) - 1]), np.array([fields["fits"]]),
        np.array([fields["weight_bytes"]]), np.array([fields["failed"]]),
    )  # fmt: skip


def scored(
    objective: Objective, accuracy: float = 0.9, rates: tuple[float, ...] = (0.75, 0.25), cost: Costs | None = None
) -> Scores:
    cost = cost or costs([1e-6, 2.1e-6], [1e-3, 3.2e-3])
    return score(objective, BASELINE, np.array([accuracy]), np.array([rates]), cost)


def violation(scores: Scores, name: str) -> float:
    return float(scores.violations[0, VIOLATIONS.index(name)])


def test_feasible_reward_is_the_logarithm_of_the_saving() -> None:
    """A feasible reward is ln(ELP_static / ELP), ELP the mean over exits of energy times latency."""
    found = scored(Objective())
    elp = 0.75 * 1e-6 * 1e-3 + 0.25 * 2.1e-6 * 3.2e-3
    assert found.feasible[0]
    assert found.elp[0] == pytest.approx(elp)
    assert found.reward[0] == pytest.approx(log(2e-6 * 3e-3 / elp))
    assert found.energy_j[0] == pytest.approx(0.75e-6 + 0.25 * 2.1e-6)
    assert found.latency_s[0] == pytest.approx(0.75e-3 + 0.25 * 3.2e-3)


@pytest.mark.parametrize(("minimise", "ratio"), [("energy", 2e-6 / 1.275e-6), ("latency", 3e-3 / 1.55e-3)])
def test_energy_or_latency_alone_counts_twice(minimise: Any, ratio: float) -> None:
    """Minimising one quantity rewards twice its logarithm, so that the overhead bound means the same."""
    assert scored(Objective(minimise)).reward[0] == pytest.approx(2 * log(ratio))


@pytest.mark.parametrize(
    ("name", "objective", "changes", "expected"),
    [
        ("accuracy", Objective(), {"accuracy": 0.87}, 0.02 / ACCURACY_UNIT),
        ("exit_rate", Objective(min_exit_rate=0.3), {}, 0.05 / 0.3),
        ("energy_overhead", Objective(overhead=0.0), {}, 0.05),
        ("latency_overhead", Objective(overhead=0.0), {"cost": costs([1e-6, 2e-6], [1e-3, 3.3e-3])}, 0.1),
        ("deadline", Objective(deadline_s=1.6e-3), {}, 1.0),
        ("memory", Objective(), {"cost": costs([1e-6, 2e-6], [1e-3, 3e-3], fits=False)}, 1.0),
        ("weights", Objective(memory_bytes=100), {"cost": costs([1e-6] * 2, [1e-3] * 2, weight_bytes=150.0)}, 0.5),
        ("backend", Objective(), {"cost": costs([0.0, 0.0], [0.0, 0.0], failed=True)}, VIOLATION_CAP),
    ],
)
def test_a_broken_constraint_is_named_and_measured(
    name: str, objective: Objective, changes: dict[str, Any], expected: float
) -> None:
    """Each constraint has its own normalised violation, 0 for all others, and lowers the reward by it."""
    found = scored(objective, **changes)
    assert violation(found, name) == pytest.approx(expected)
    others = [violation(found, other) for other in VIOLATIONS if other != name]
    assert name.endswith("_overhead") or not any(others)
    assert not found.feasible[0]
    assert found.reward[0] == pytest.approx(objective.base - min(float(found.violations[0].sum()), VIOLATION_CAP))


def test_padding_is_no_unused_exit() -> None:
    """Exits that an architecture does not have cannot be too little used."""
    no, yes = np.array([False]), np.array([True])
    cost = Costs(np.array([[2e-6, 0.0]]), np.array([[3e-3, 0.0]]), np.array([0]), yes, np.zeros(1), no)
    assert scored(Objective(), rates=(1.0, 0.0), cost=cost).reward[0] == 0.0


shares = st.floats(0, 1)
factors = st.floats(0.01, 3)


@given(shares, shares, st.tuples(factors, factors), st.tuples(factors, factors), st.floats(0, 0.5), st.booleans())
def test_every_infeasible_reward_is_below_every_feasible_one(
    accuracy: float, rate: float, energy: tuple[float, float], latency: tuple[float, float], overhead: float, fits: bool
) -> None:
    """Whatever is found: feasible rewards are at least the base, infeasible ones below it and not below the lowest."""
    objective = Objective(overhead=overhead)
    cost = costs([e * 2e-6 for e in energy], [t * 3e-3 for t in latency], fits=fits)
    found = scored(objective, accuracy, (rate, 1 - rate), cost)
    if found.feasible[0]:
        assert found.reward[0] >= objective.base
        assert not found.violations.any()
    else:
        assert objective.lowest_reward <= found.reward[0] < objective.base
        assert found.violations.any()


@given(shares, st.tuples(factors, factors), st.tuples(factors, factors), st.floats(0, 0.5))
def test_the_overhead_bound_keeps_feasible_rewards_above_the_base(
    rate: float, energy: tuple[float, float], latency: tuple[float, float], overhead: float
) -> None:
    """Where costs do not fall along the path, ln(ELP_static / ELP) itself stays above -2 ln(1 + overhead)."""
    energy, latency = (min(energy), max(energy)), (min(latency), max(latency))
    objective = Objective(overhead=overhead, min_exit_rate=0)
    found = scored(objective, 0.9, (rate, 1 - rate), costs([e * 2e-6 for e in energy], [t * 3e-3 for t in latency]))
    if found.feasible[0]:
        assert log(BASELINE.elp / found.elp[0]) >= -2 * log(1 + overhead) - 1e-12


@given(st.integers(1, 10_000), shares)
def test_least_count_is_the_smallest_that_reaches_a_share(samples: int, share: float) -> None:
    """`least_count` and the comparison of floating-point shares agree on every count."""
    count = least_count(share, samples)
    assert count / samples >= share
    assert count == 0 or (count - 1) / samples < share


@pytest.mark.parametrize(("accuracy", "points"), [(0.95, 0.308), (0.87, 0.476), (0.80, 0.5)])
def test_headroom_is_a_standard_error_of_the_validation_accuracy(accuracy: float, points: float) -> None:
    """With 5,000 images the default keeps 0.3 to 0.6 points in reserve, at most half the tolerance."""
    assert 100 * Objective().headroom_for(accuracy, 5000) == pytest.approx(points, abs=1e-3)
    wide = Objective(accuracy_tolerance=0.05)
    assert 0.003 < wide.headroom_for(accuracy, 5000) < 0.006
    assert wide.accuracy_floor(accuracy, 5000) == accuracy - 0.05 + wide.headroom_for(accuracy, 5000)


def test_headroom_can_be_given() -> None:
    """A headroom that the user gives is used as it is."""
    assert Objective(headroom=0.002).headroom_for(0.5, 10) == 0.002


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minimise", "power"), ("accuracy_tolerance", -0.1), ("accuracy_tolerance", 2), ("overhead", -1),
        ("overhead", float("inf")), ("deadline_s", 0), ("memory_bytes", -5), ("min_exit_rate", 1),
        ("headroom", -0.1), ("deadline_s", float("nan")),
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(field: str, value: Any) -> None:
    """Each setting says its bound and what was found."""
    with pytest.raises(InvalidValueError, match=repr(value).replace("(", r"\(")):
        Objective(**{field: value})


def test_batch_equals_single() -> None:
    """Scores of many architectures are, to the last bit, those that each gets alone."""
    rng = np.random.default_rng(0)
    n, s = 500, 4
    rates = rng.dirichlet(np.ones(s), n)
    cost = Costs(
        np.cumsum(rng.random((n, s)), 1) * 1e-6, np.cumsum(rng.random((n, s)), 1) * 1e-3, np.full(n, s - 1),
        rng.random(n) < 0.9, rng.random(n) * 200, rng.random(n) < 0.1,
    )  # fmt: skip
    accuracy, objective = rng.uniform(0.85, 0.95, n), Objective(deadline_s=3e-3, memory_bytes=150)
    whole = score(objective, BASELINE, accuracy, rates, cost)
    for i in range(n):
        part = Costs(*(getattr(cost, name)[i : i + 1] for name in vars(cost)))
        alone = score(objective, BASELINE, accuracy[i : i + 1], rates[i : i + 1], part)
        assert alone.reward[0] == whole.reward[i]
        assert (alone.violations[0] == whole.violations[i]).all()
    assert exp(objective.base) == pytest.approx(1.1**-2)
