"""MulticoreBackend: the analytical layer model under the public scheduler."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eenn_multicore.layer_cost import AnalyticalLayerModel
from eenn_rl.cost import CostReport
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import API_VERSION
from eenn_rl.schedule import Scheduler
from eenn_rl.workload import Stage, Workload


class MulticoreBackend:
    """Costs workloads on one accelerator in closed form."""

    api_version = API_VERSION

    def __init__(self, accelerator: AcceleratorSpec) -> None:
        self.model = AnalyticalLayerModel(accelerator)
        self.scheduler = Scheduler(accelerator, self.model)

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`, broken down."""
        return self.scheduler.evaluate(workload)

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Cost many architectures at once."""
        return self.scheduler.evaluate_batch(stages, index)
