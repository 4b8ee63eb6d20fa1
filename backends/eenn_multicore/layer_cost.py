"""The analytical cost of one layer on one core."""

from math import ceil, prod

from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, Operand
from eenn_rl.schedule import CoreLayerCost


class AnalyticalLayerModel:
    """Compute cycles from the unrolling; each operand once through the outer memory."""

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self.accelerator = accelerator

    def cost(self, layer: Layer, core: CoreSpec, bits: int, off_chip: frozenset[Operand]) -> CoreLayerCost:
        """Cost `layer` on `core`."""
        del off_chip
        sizes = {
            "G": layer.groups if layer.kind != "pool" else layer.in_channels,
            "K": layer.out_channels // layer.groups,
            "C": layer.in_channels // layer.groups,
            "OX": layer.out_size[1],
            "OY": layer.out_size[0],
            "FX": layer.kernel[1],
            "FY": layer.kernel[0],
        }
        if layer.kind in ("pool", "add"):
            sizes.update(G=layer.in_channels, K=1, C=1)
        unrolled = dict(sizes)
        flow = core.dataflows[0].unrolling if core.dataflows else ()
        for unroll in flow:
            unrolled[unroll.loop] = ceil(unrolled.get(unroll.loop, 1) / unroll.size)
        cycles = float(prod(unrolled.values()) if flow else ceil(prod(sizes.values()) / core.array_size))
        energy = {"mac": layer.macs * _mac_energy(core, bits)}
        for operand, elements, write in (
            ("weight", layer.weight_elements, False),
            ("input", layer.input_elements, False),
            ("output", layer.output_elements, True),
        ):
            levels = [memory for memory in core.memories if operand in memory.operands]
            if levels and levels[-1].ports:
                memory = levels[-1]
                width = max(port.bandwidth_bits for port in memory.ports)
                each = memory.write_energy_j if write else memory.read_energy_j
                energy[memory.name] = energy.get(memory.name, 0.0) + elements * bits / width * each
        return CoreLayerCost(cycles, energy)


def _mac_energy(core: CoreSpec, bits: int) -> float:
    for precision in core.precisions:
        if precision.bits >= bits:
            return precision.mac_energy_j
    return core.precisions[-1].mac_energy_j
