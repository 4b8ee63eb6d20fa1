"""The roofline backend keeps a backend's promises, and its numbers are those of a roofline."""

import pytest
from eenn_rl.backbone import Layer
from eenn_rl.hardware import load_accelerator
from eenn_rl.testing import BackendConformance
from eenn_rl.workload import Stage, Workload

from eenn_roofline import RooflineBackend


class TestRooflineBackend(BackendConformance):
    """eenn-rl's conformance kit: determinism, no side effects, units and ranges, and the rest."""

    backend_name = "roofline"


SPEC = load_accelerator("quad_edge_tpu")
PEAK = SPEC.cores[0].array_size * SPEC.cores[0].clock_hz
BITS_PER_S = SPEC.dram.bandwidth_bits * SPEC.clock_hz


def latency_s(layer: Layer, core: int) -> float:
    """Latency of `layer` alone at 8 bits."""
    report = RooflineBackend(SPEC).evaluate(Workload((Stage((layer,), (), 8, core, core),)))
    return report.exits[0].latency_s


def test_a_linear_layer_is_bound_by_memory() -> None:
    """Each weight is used once: its time is that of its bits through the DRAM port."""
    layer = Layer("linear", "linear", 1, 256, 128, (1, 1), (1, 1))
    assert latency_s(layer, 0) == pytest.approx((256 * 128 + 256 + 128) * 8 / BITS_PER_S)


def test_a_wide_convolution_is_bound_by_arithmetic() -> None:
    """Each weight is used at 4,096 places: its time is MACs over peak, halved on two cores."""
    layer = Layer("conv", "conv", 1, 512, 512, (64, 64), (64, 64), (3, 3), (1, 1), (1, 1))
    assert latency_s(layer, 0) == pytest.approx(64 * 64 * 512 * 512 * 9 / PEAK)
    pair = next(i for i, cores in enumerate(SPEC.allocations) if len(cores) == 2)
    assert latency_s(layer, pair) == pytest.approx(64 * 64 * 512 * 512 * 9 / PEAK / 2)
