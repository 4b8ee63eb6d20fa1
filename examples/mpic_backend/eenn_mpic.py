"""The `mpic` hardware backend: a mixed-precision RISC-V core as a lookup table.

Numbers: Ottavi et al., "A Mixed-Precision RISC-V Processor for Extreme-Edge DNN Inference", ISVLSI 2020, arXiv 2010.04073,
as the PLiNIO library (eml-eda, `plinio/cost/mpic_latency.py` and `mpic_energy.py`) tabulates them: MACs per cycle by
bit-width, 250 MHz, and a mean power that hardly depends on it.
"""

from eenn_rl.backbone import Layer
from eenn_rl.cost import CostReport, ExitCost
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, Precision
from eenn_rl.hookspecs import hookimpl
from eenn_rl.workload import Workload

MACS_PER_CYCLE = {2: 6.5, 4: 3.5, 8: 2.1}
CLOCK_HZ = 250e6
POWER_W = (5.30e-3 + 5.39e-3 + 5.46e-3 + 5.38e-3) / 4
SIMD_LANES = {2: 16, 4: 8, 8: 4}
"""Elements in a 32-bit register: what pooling and additions get done per cycle, at one instruction each."""


class Mpic:
    """Costs workloads on one MPIC core: cycles by table, energy by mean power."""

    api_version = 1

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        if len(accelerator.cores) != 1 or not set(accelerator.cores[0].supported_bits) <= set(MACS_PER_CYCLE):
            raise InvalidValueError(
                f"accelerator {accelerator.name!r}: expected one core of 2, 4 or 8 bits, found {len(accelerator.cores)}: "
                "leave out --accelerator"
            )

    def evaluate(self, workload: Workload) -> CostReport:
        """One `ExitCost` per stage: what a sample has cost, in J and s, once it leaves there."""
        cycles = 0.0
        exits = []
        for stage in workload.stages:
            cycles += sum(_cycles(layer, stage.bits) for layer in (*stage.layers, *stage.branch_layers))
            latency_s = cycles / CLOCK_HZ
            exits.append(ExitCost(latency_s * POWER_W, latency_s))
        return CostReport(tuple(exits))


def _cycles(layer: Layer, bits: int) -> float:
    """Cycles of one layer, weights and activations at `bits`."""
    if layer.macs:
        return layer.macs / MACS_PER_CYCLE[bits]
    window = layer.kernel[0] * layer.kernel[1] if layer.kind == "pool" else 1
    return layer.output_elements * window / SIMD_LANES[bits]


@hookimpl
def eenn_rl_make_backend(accelerator: AcceleratorSpec) -> Mpic:
    """Make the backend for `accelerator`."""
    return Mpic(accelerator)


@hookimpl
def eenn_rl_default_accelerator() -> AcceleratorSpec:
    """The processor: one core, which computes at 2, 4 and 8 bits."""
    precisions = tuple(
        Precision(bits, POWER_W / CLOCK_HZ / rate, throughput=rate) for bits, rate in sorted(MACS_PER_CYCLE.items())
    )
    core = CoreSpec("mpic", "compute", (ArrayDimension("D1", 1),), (), precisions, CLOCK_HZ, source="arXiv 2010.04073")
    return AcceleratorSpec("mpic", (core,), clock_hz=CLOCK_HZ, description="MPIC, a mixed-precision RISC-V core")
