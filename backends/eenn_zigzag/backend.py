"""ZigZagBackend: ZigZag's layer costs under the public scheduler."""

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eenn_rl.backbone import Layer
from eenn_rl.cost import CostReport
from eenn_rl.hardware import AcceleratorSpec, CoreSpec, Operand
from eenn_rl.hookspecs import API_VERSION
from eenn_rl.schedule import CoreLayerCost, Scheduler
from eenn_rl.workload import Stage, Workload
from eenn_zigzag.cache import AnswerCache, default_folder
from eenn_zigzag.layer_model import Question, ZigZagLayerModel, ask, tool_version
from eenn_zigzag.tool import ToolAnswer


@dataclass
class _Listener:
    """A layer model that costs nothing and notes what is asked of it."""

    model: ZigZagLayerModel
    asked: dict[tuple[Layer, CoreSpec, int], None] = field(default_factory=dict)

    def cost(self, layer: Layer, core: CoreSpec, bits: int, off_chip: frozenset[Operand]) -> CoreLayerCost:
        """Note the question."""
        del off_chip
        if layer.macs:
            self.asked[(layer, core, bits)] = None
        return CoreLayerCost(1.0, {})


class ZigZagBackend:
    """Costs workloads on one accelerator: each distinct (layer, core, bits) by ZigZag, once."""

    api_version = API_VERSION

    def __init__(self, accelerator: AcceleratorSpec, folder: Path | None = None) -> None:
        self.fingerprint = f"zigzag-dse {tool_version()}"
        self.accelerator = accelerator
        self.model = ZigZagLayerModel(accelerator, AnswerCache(folder or default_folder()))
        self.scheduler = Scheduler(accelerator, self.model)

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost `workload`, broken down."""
        return self.scheduler.evaluate(workload)

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Cost many architectures at once."""
        return self.scheduler.evaluate_batch(stages, index)

    def missing(self, stages: Iterable[Stage]) -> list[Question]:
        """What ZigZag still has to be asked before `stages` can be costed from the cache alone."""
        listener = _Listener(self.model)
        planner = Scheduler(self.accelerator, listener)
        for stage in stages:
            planner.evaluate(Workload((stage,)))
        questions = [self.model.question(layer, core, bits) for layer, core, bits in listener.asked]
        distinct = {str(question): question for question in questions if self.model.cache.get(question) is None}
        return list(distinct.values())

    def prepare(
        self, stages: Iterable[Stage], workers: int = 1, progress: Callable[[int, int], None] | None = None
    ) -> int:
        """Fill the cache with all that costing `stages` takes; returns how many questions ZigZag answered.

        `progress(done, of)` is called after each. What was answered stays, also when this is interrupted.
        """
        questions = self.missing(stages)
        for done, (question, answer) in enumerate(zip(questions, _answers(questions, workers), strict=True), start=1):
            self.model.cache.put(question, answer)
            if progress is not None:
                progress(done, len(questions))
        return len(questions)


def _answers(questions: Sequence[Question], workers: int) -> Iterable[ToolAnswer]:
    if workers <= 1 or len(questions) <= 1:
        yield from map(ask, questions)
        return
    # spawn: a forked child would inherit locks of the caller's threads in whatever state they are.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(ask, questions)
