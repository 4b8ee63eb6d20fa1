"""Tables varied at random: other accuracies, answers of real inputs."""

import numpy as np
import pytest

import measured_problem
import synthetic
from eenn_rl import randomised_tables
from eenn_rl.estimator import Estimator
from eenn_rl.randomised_tables import varied
from eenn_rl.tables import AccuracyTables

BASE = measured_problem.tables(synthetic.quad().backbone)


def drawn(seed: int) -> AccuracyTables:
    return varied(BASE, np.random.default_rng(seed))


def test_the_same_draw_gives_the_same_tables() -> None:
    """A generator decides all; another one gives others."""
    assert drawn(0).fingerprint == drawn(0).fingerprint
    assert len({drawn(seed).fingerprint for seed in range(8)} | {BASE.fingerprint}) == 9


def test_rows_and_choices_stay() -> None:
    """Whatever the base tables hold, the varied ones hold: any space over the one is a space over the other."""
    for seed in range(8):
        found = drawn(seed)
        for name in ("row_location", "row_branch", "row_bits"):
            assert np.array_equal(getattr(found, name), getattr(BASE, name))
        assert (found.backbone, found.branches, found.bits) == (BASE.backbone, BASE.branches, BASE.bits)
        assert 1500 <= found.samples <= 4000
        assert "no measurement" in found.notes


def test_an_input_answers_as_a_measured_one() -> None:
    """The classifier's answers at all bits are, input by input, those of one input of the base tables."""
    classifier = np.flatnonzero(BASE.row_location == 3)
    rows = [row for row in classifier if len(set(BASE.row_bits[row].tolist())) == 1]
    widest = [row for row in rows if BASE.row_bits[row, 0] == 8]
    measured = {column.tobytes() for column in _answers(BASE, widest)}
    for seed in range(4):
        assert {column.tobytes() for column in _answers(drawn(seed), widest)} <= measured


def _answers(tables: AccuracyTables, rows: list[int]) -> np.ndarray:
    both = np.concatenate([tables.confidence[rows], tables.correct[rows].astype(np.uint8)])
    return np.ascontiguousarray(both.T)


def test_accuracies_spread() -> None:
    """Over many draws the accuracy of the last exit varies widely, and so does what the first exit lacks to it."""
    last, behind = [], []
    for seed in range(24):
        estimator = Estimator(drawn(seed))
        right = estimator.tables.correct.mean(axis=1)
        last.append(right[estimator.uniform_row(8, 3, None)])
        behind.append(last[-1] - right[estimator.uniform_row(8, 0, "linear")])
    assert np.ptp(last) > 0.03
    assert np.ptp(behind) > 0.15


def test_without_variation_the_rows_are_the_base_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth, branches and bits as they are: every exit answers as measured, for the inputs that were drawn."""
    monkeypatch.setattr(randomised_tables, "WARP", 1.0)
    monkeypatch.setattr(randomised_tables, "OFFSET", 0.0)
    monkeypatch.setattr(randomised_tables, "WIDER", 0.0)
    monkeypatch.setattr(randomised_tables, "NARROWER", 0.0)
    every = list(range(BASE.rows))
    measured = {column.tobytes() for column in _answers(BASE, every)}
    assert {column.tobytes() for column in _answers(drawn(0), every)} <= measured
