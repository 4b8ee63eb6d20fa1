"""The same architectures by two backends: how far one is off."""

import math
from pathlib import Path

import pytest

from eenn_rl.architecture import Architecture, Exit
from eenn_rl.branches import CLASSIFIER
from eenn_rl.cost import ExitCost
from eenn_rl.errors import BackendError, InvalidValueError
from eenn_rl.hardware import load_accelerator
from eenn_rl.recost import Recosted, RecostTable, recost
from eenn_rl.zoo import make_backbone
from plugin_site import good_plugin, install

BACKBONE = make_backbone("resnet8", (1, 16, 16))
ACCELERATOR = load_accelerator("quad_edge_tpu")
LAST = Exit(3, CLASSIFIER, 8, 0, 0)
TWO_EXITS = Architecture(BACKBONE, (Exit(1, "linear", 8, 0, 0), LAST))


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chips; the second takes a tenth more energy and half the time, and one fails."""
    reference = good_plugin().replace("macs * 1e-12", "macs * 1.1e-12").replace("macs * 1e-9", "macs * 5e-10")
    failing = good_plugin().replace("return CostReport(tuple(costs))", "raise ValueError('no')")
    for name, source in (("one", good_plugin()), ("two", reference), ("failing", failing)):
        install(tmp_path, f"chip-{name}", {f"recost_{name}": f"recost_{name}"}, {f"recost_{name}": source})
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugins")
def test_errors_are_relative_to_the_last_backend() -> None:
    """A chip that says 1.0 where the reference says 1.1 is off by -9.1%; twice the time is +100%."""
    table = recost([TWO_EXITS, Architecture(BACKBONE, (LAST,))], ACCELERATOR, BACKBONE, ["recost_one", "recost_two"])
    for row, exits in ((0, 2), (1, 1)):
        for k in range(exits):
            assert table.error(0, row, k) == (pytest.approx(1 / 1.1 - 1), pytest.approx(1.0))
    assert table.worst(0) == (pytest.approx(1 - 1 / 1.1), pytest.approx(1.0))
    text = table.text()
    assert "recost_one is off recost_two by at most 9.09% in energy and 100.00% in latency at any exit" in text
    assert text.count("exit 0:") == 2


@pytest.mark.usefixtures("plugins")
def test_expected_costs_weigh_each_exit_by_its_rate() -> None:
    """Energy, latency and ELP = sum of r_k E_k L_k."""
    table = recost([TWO_EXITS], ACCELERATOR, BACKBONE, ["recost_one"], exit_rates=[[0.75, 0.25]])
    (costs,), (expected,) = table.rows[0].exits, table.rows[0].expected
    elp = 0.75 * costs[0].energy_j * costs[0].latency_s + 0.25 * costs[1].energy_j * costs[1].latency_s
    assert expected[0] == pytest.approx(0.75 * costs[0].energy_j + 0.25 * costs[1].energy_j)
    assert expected[2] == pytest.approx(elp)
    assert "expected by recost_one" in table.text()


@pytest.mark.usefixtures("plugins")
def test_the_expected_product_is_compared_too() -> None:
    """A tenth less energy and twice the time: 1/1.1 x 2 of the reference's ELP, whatever the rates."""
    table = recost([TWO_EXITS], ACCELERATOR, BACKBONE, ["recost_one", "recost_two"], exit_rates=[[0.75, 0.25]])
    assert table.worst_elp(0) == pytest.approx(2 / 1.1 - 1)
    assert f"{2 / 1.1 - 1:.2%} in expected ELP" in table.text()


def test_a_reference_that_costs_nothing_divides_nothing() -> None:
    """Zero against zero is no error; anything against zero is an infinite one."""
    free, dear = ExitCost(0.0, 1.0), ExitCost(1.0, 1.0)
    table = RecostTable(("a", "b"), (Recosted(((free, dear), (free, free)), ()),))
    assert table.error(0, 0, 0) == (0.0, 0.0)
    assert table.error(0, 0, 1) == (math.inf, 0.0)


@pytest.mark.usefixtures("plugins")
def test_a_backend_that_fails_is_one_line() -> None:
    """The reason, and nothing costed with half of the backends."""
    with pytest.raises(BackendError, match="backend 'recost_failing' raised ValueError: no"):
        recost([TWO_EXITS], ACCELERATOR, BACKBONE, ["recost_one", "recost_failing"])
    with pytest.raises(InvalidValueError, match="architectures must be at least one"):
        recost([], ACCELERATOR, BACKBONE, ["recost_one"])
