"""What full training showed: which static network savings are quoted against."""

from types import SimpleNamespace
from typing import Any

import pytest

from eenn_rl.judgement import best_static
from eenn_rl.objective import Objective
from eenn_rl.results import StaticResult


def evaluator(objective: Objective) -> Any:
    """As much of one as the choice looks at: 100 independent validation images."""
    tables = SimpleNamespace(images=100)
    return SimpleNamespace(objective=objective, static_bits=8, estimator=SimpleNamespace(tables=tables))


def static(bits: int, validation_accuracy: float) -> StaticResult:
    """A network without exits whose cost falls with its bits."""
    return StaticResult(bits, validation_accuracy, bits * 1e-6, bits * 1e-6, (bits * 1e-6) ** 2, validation_accuracy)


@pytest.mark.parametrize(("low", "chosen"), [(0.949, 8), (0.951, 8), (0.954, 8), (0.956, 2)])
def test_the_best_static_network_keeps_the_bound_with_headroom(low: float, chosen: int) -> None:
    """Tolerance one point, of which half is headroom at 100 images: what networks with exits must keep as well."""
    statics = [static(8, 0.96), static(2, low)]
    assert best_static(evaluator(Objective(accuracy_tolerance=0.01)), statics).bits == chosen


def test_without_headroom_the_bound_alone_counts() -> None:
    """As demanded with `--headroom 0`."""
    statics = [static(8, 0.96), static(2, 0.951)]
    assert best_static(evaluator(Objective(accuracy_tolerance=0.01, headroom=0)), statics).bits == 2
