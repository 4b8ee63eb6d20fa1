"""The mpic backend keeps a backend's promises, and its numbers are those of the paper's table."""

import pytest
from eenn_rl.backbone import Layer
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import load_accelerator
from eenn_rl.testing import BackendConformance
from eenn_rl.workload import Stage, Workload

from eenn_mpic import Mpic, eenn_rl_default_accelerator


class TestMpic(BackendConformance):
    """eenn-rl's conformance kit: determinism, no side effects, units and ranges, and the rest."""

    backend_name = "mpic"


@pytest.mark.parametrize(("bits", "macs_per_cycle"), [(2, 6.5), (4, 3.5), (8, 2.1)])
def test_a_convolution_takes_the_tables_cycles_and_the_mean_power(bits: int, macs_per_cycle: float) -> None:
    """16 x 16 x 16 x 16 x 9 MACs at 250 MHz and 5.3825 mW."""
    layer = Layer("conv", "conv", 1, 16, 16, (16, 16), (16, 16), (3, 3), (1, 1), (1, 1))
    report = Mpic(eenn_rl_default_accelerator()).evaluate(Workload((Stage((layer,), (), bits, 0, 0),)))
    seconds = 589824 / macs_per_cycle / 250e6
    assert report.exits[0].latency_s == pytest.approx(seconds)
    assert report.exits[0].energy_j == pytest.approx(seconds * 5.3825e-3)


def test_other_hardware_is_declined() -> None:
    """The table says nothing about a many-core accelerator."""
    with pytest.raises(InvalidValueError, match="'quad_edge_tpu': expected one core"):
        Mpic(load_accelerator("quad_edge_tpu"))
