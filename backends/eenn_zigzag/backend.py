"""ZigZagBackend: ZigZag's layer costs under the public scheduler."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eenn_rl.cost import CostReport
from eenn_rl.errors import check
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import API_VERSION
from eenn_rl.schedule import Scheduler
from eenn_rl.workload import Stage, Workload
from eenn_zigzag.cache import AnswerCache, default_folder
from eenn_zigzag.layer_model import ZigZagLayerModel, tool_version
from eenn_zigzag.tool_input import check_core

WORKERS_VARIABLE = "EENN_ZIGZAG_WORKERS"
"""Environment variable: processes that ask ZigZag at a time (default: one per core)."""


def default_workers() -> int:
    """`EENN_ZIGZAG_WORKERS`, or the number of cores."""
    given = os.environ.get(WORKERS_VARIABLE)
    if given is None:
        return os.cpu_count() or 1
    check(given.isdecimal() and int(given) >= 1, WORKERS_VARIABLE, given, "a number of processes, at least 1")
    return int(given)


class ZigZagBackend:
    """Costs workloads on one accelerator: each distinct (layer, core, bits) by ZigZag, once, kept in `folder`.

    A batch asks ZigZag for all that is missing at once, in `workers` processes.
    """

    api_version = API_VERSION

    def __init__(self, accelerator: AcceleratorSpec, folder: Path | None = None, workers: int | None = None) -> None:
        for core in accelerator.cores:
            check_core(core, accelerator.name)
        self.fingerprint = f"zigzag-dse {tool_version()}"
        self.model = ZigZagLayerModel(
            accelerator, AnswerCache(folder or default_folder()), workers or default_workers()
        )
        self.scheduler = Scheduler(accelerator, self.model)

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`, broken down."""
        return self.scheduler.evaluate(workload)

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Cost many architectures at once."""
        return self.scheduler.evaluate_batch(stages, index)
