"""Prospects: what each exit could do alone, and where observations tell it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import measured_problem
import synthetic
from eenn_envs.core import Problem
from eenn_envs.layout import layout_for
from eenn_rl.branches import BRANCHES
from eenn_rl.estimator import Estimator
from eenn_rl.levels import OFF
from eenn_rl.prospects import MARGIN, prospects
from eenn_rl.tables import AccuracyTables
from eenn_rl.tuning import Demands

BACKBONE = synthetic.quad().backbone
BITS = (4, 8)


def prospects_of(tables: AccuracyTables, right: int, **changes: Any) -> np.ndarray:
    return prospects(Estimator(replace(tables, **changes)), BRANCHES, BITS, Demands(right, 12))


def test_coverage_is_what_the_best_threshold_lets_leave() -> None:
    """Every threshold tried, input by input: the most that may leave while enough are right in all."""
    tables = measured_problem.tables(BACKBONE)
    estimator = Estimator(tables)
    right = round(0.93 * tables.samples)
    found = prospects_of(tables, right)
    for location, row, column in np.ndindex(3, len(BRANCHES), len(BITS)):
        at = estimator.uniform_row(BITS[column], location, BRANCHES[row])
        last = estimator.uniform_row(BITS[column], 3, None)
        most = 0.0
        for threshold in range(OFF + 1):
            leaves = tables.confidence[at] >= threshold
            if np.where(leaves, tables.correct[at], tables.correct[last]).sum() >= right:
                most = max(most, leaves.mean())
        assert found[location, row, column, 0] == most
        margin = (tables.correct[at].sum() - right) / tables.samples / MARGIN
        assert found[location, row, column, 1] == pytest.approx(np.clip(margin, -1, 1))
    assert len(np.unique(found[:3, :, :, 0])) > 20


def test_after_the_last_block_the_classifier_stands_in() -> None:
    """It covers all inputs where it has the accuracy demanded, at that bit-width; none where it lacks one input."""
    tables = measured_problem.tables(BACKBONE)
    right = [int(tables.correct[Estimator(tables).uniform_row(bits, 3, None)].sum()) for bits in BITS]
    assert right[0] < right[1]
    assert np.array_equal(prospects_of(tables, right[1])[3, :, :, 0], [[0, 1]] * len(BRANCHES))
    assert np.array_equal(prospects_of(tables, right[0])[3, :, :, 0], [[1, 1]] * len(BRANCHES))


def test_an_exit_that_is_never_right_covers_nothing() -> None:
    """And one whose answers are the last exit's covers everything, whatever its confidence."""
    tables = measured_problem.tables(BACKBONE)
    estimator = Estimator(tables)
    last = estimator.uniform_row(8, 3, None)
    right = int(tables.correct[last].sum())
    correct = tables.correct.copy()
    correct[estimator.uniform_row(8, 0, "linear")] = False
    correct[estimator.uniform_row(8, 1, "conv")] = correct[last]
    found = prospects_of(tables, right, correct=correct)
    column = BITS.index(8)
    assert found[0, BRANCHES.index("linear"), column, 0] == 0
    assert found[1, BRANCHES.index("conv"), column, 0] == 1


def test_observations_hold_prospects_where_the_layout_says_so() -> None:
    """At the end, the same in every step; all before them is the same as without."""
    evaluator = measured_problem.evaluator(space=synthetic.quad())
    plain, telling = layout_for(evaluator.space), layout_for(evaluator.space, prospects=True)
    without, told = Problem(evaluator, plain).features, Problem(evaluator, telling).features
    assert np.array_equal(told[: len(without)], without)
    assert np.array_equal(told[len(without) :], evaluator.prospects().ravel().astype(np.float32))
    assert telling.observations - plain.observations == 4 * 5 * 3 * 2
    low, high = telling.bounds()
    assert (low[telling.slices["prospects"]] == -1).all()
    assert (high[telling.slices["prospects"]] == 1).all()
