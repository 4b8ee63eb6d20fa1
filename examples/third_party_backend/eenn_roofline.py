"""The `roofline` hardware backend: a roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009).

Arithmetic runs at the peak of the cores that share a stage; weights, inputs and outputs of every layer pass the DRAM
port. A layer takes the longer of the two and pays the energy of both.
"""

from eenn_rl.backbone import Layer
from eenn_rl.cost import CostReport, ExitCost, Violation
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import hookimpl
from eenn_rl.workload import Workload


class RooflineBackend:
    """Costs a workload on one accelerator."""

    api_version = 1

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        if accelerator.dram is None:
            raise InvalidValueError(f"accelerator {accelerator.name!r}: expected one with a DRAM, found none")
        self._spec, self._dram = accelerator, accelerator.dram

    def evaluate(self, workload: Workload) -> CostReport:
        """One `ExitCost` per stage: what a sample has cost, in J and s, once it leaves there."""
        energy_j = latency_s = weight_bits = 0.0
        exits = []
        for stage in workload.stages:
            for layers, allocation in ((stage.layers, stage.core), (stage.branch_layers, stage.branch_core)):
                for layer in layers:
                    layer_j, layer_s = self._layer(layer, allocation, stage.bits)
                    energy_j, latency_s = energy_j + layer_j, latency_s + layer_s
                    weight_bits += layer.weight_elements * stage.bits
            exits.append(ExitCost(energy_j, latency_s))
        size = self._dram.size_bits
        violations = (Violation("weights in DRAM", weight_bits, size, "bits"),) if weight_bits > size else ()
        return CostReport(tuple(exits), violations)

    def _layer(self, layer: Layer, allocation: int, bits: int) -> tuple[float, float]:
        """Energy (J) and latency (s) of one layer on one allocation."""
        cores = [self._spec.cores[core] for core in self._spec.allocations[allocation]]
        units = [next(p for p in core.precisions if p.bits == bits) for core in cores]
        peak = sum(core.array_size * unit.throughput * core.clock_hz for core, unit in zip(cores, units, strict=True))
        mac_j = sum(unit.mac_energy_j for unit in units) / len(units)

        read_bits = (layer.weight_elements + layer.input_elements) * bits
        written_bits = layer.output_elements * bits
        seconds_per_bit = 1 / (self._dram.bandwidth_bits * self._spec.clock_hz)
        dram_j = read_bits * self._dram.read_energy_j + written_bits * self._dram.write_energy_j
        return (
            layer.macs * mac_j + dram_j / self._dram.bandwidth_bits,
            max(layer.macs / peak, (read_bits + written_bits) * seconds_per_bit),
        )


@hookimpl
def eenn_rl_make_backend(accelerator: AcceleratorSpec) -> RooflineBackend:
    """Make the backend for `accelerator`."""
    return RooflineBackend(accelerator)
