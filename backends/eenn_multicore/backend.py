"""MulticoreBackend: the analytical layer model under the public scheduler."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eenn_multicore.layer_cost import AnalyticalLayerModel
from eenn_rl.backbone import Layer
from eenn_rl.cost import CostReport, LayerCost
from eenn_rl.errors import check
from eenn_rl.hardware import AcceleratorSpec, Operand
from eenn_rl.hookspecs import API_VERSION
from eenn_rl.schedule import LayerRequest, Scheduler, macs_per_second
from eenn_rl.workload import Stage, Workload

NO_OPERANDS: frozenset[Operand] = frozenset()
NO_WEIGHTS: frozenset[Operand] = frozenset(("input", "output"))
ALL_OPERANDS: frozenset[Operand] = frozenset(("weight", "input", "output"))


class MulticoreBackend:
    """Costs workloads on one accelerator in closed form; raises `InvalidValueError` for cores that lack a memory."""

    api_version = API_VERSION

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        for core in accelerator.cores:
            held = {operand for memory in core.memories for operand in memory.operands}
            wanted = NO_WEIGHTS if core.kind == "pooling" else ALL_OPERANDS
            check(wanted <= held, f"core {core.name!r}: memories that hold", sorted(held),
                  "some for each of " + ", ".join(sorted(wanted)))  # fmt: skip
        self.accelerator = accelerator
        self.model = AnalyticalLayerModel(accelerator)
        self.scheduler = Scheduler(accelerator, self.model)

    def cost_layer(self, layer: Layer, bits: int, core: int) -> LayerCost:
        """Cost `layer` alone on core `core`: operands from DRAM and back, where the accelerator has one."""
        spec = self.accelerator.cores[core]
        off_chip = ALL_OPERANDS if self.accelerator.dram is not None else NO_OPERANDS
        cost = self.model.cost(LayerRequest(layer, spec, bits, off_chip))
        check(cost.fits, f"layer {layer.name!r} at {bits} bits", layer.weight_elements + layer.input_elements,
              f"small enough for the memories of core {spec.name}")  # fmt: skip
        return LayerCost(
            layer.name, spec.name, cost.cycles, cost.cycles / spec.clock_hz, cost.energy_j, layer.macs,
            layer.macs / (cost.cycles / spec.clock_hz * macs_per_second([spec], bits)), cost.energy_j_by_memory,
        )  # fmt: skip

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`, broken down."""
        return self.scheduler.evaluate(workload)

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Cost many architectures at once."""
        return self.scheduler.evaluate_batch(stages, index)
