"""A small problem with the real parts: tables with the statistics of measured ones, and a backend in closed form."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

import synthetic
from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES
from eenn_rl.cost import CostReport, ExitCost, Violation
from eenn_rl.estimator import AccuracyTables, Estimator, confidence_levels
from eenn_rl.evaluator import Evaluator
from eenn_rl.objective import Objective
from eenn_rl.space import SearchSpace
from eenn_rl.workload import Stage, Workload

SAMPLES = 600


def outputs(
    rng: np.random.Generator, skills: Sequence[float], samples: int = SAMPLES
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Confidence and correctness [exits, samples] of exits of rising skill, which agree about what is hard."""
    hard = rng.normal(size=samples)
    sure, right = [], []
    for skill in skills:
        margin = skill - hard + rng.normal(size=samples) * 0.5
        right.append(rng.random(samples) < 1 / (1 + np.exp(-2.2 * margin)))
        sure.append(0.1 + 0.9 / (1 + np.exp(-2 * (margin + rng.normal(size=samples) * 0.5))))
    return np.array(sure), np.array(right)


def tables(
    backbone: Backbone,
    samples: int = SAMPLES,
    branches: tuple[str, ...] = BRANCHES,
    bits: tuple[int, ...] = (2, 4, 8),
    paths: int = 1000,
    seed: int = 0,
) -> AccuracyTables:
    """Tables of every path of `bits`, or of `paths` random ones per block where there are more."""
    rng = np.random.default_rng(seed)
    last = len(backbone.blocks) - 1
    places = []
    for location in range(last + 1):
        every = list(product(bits, repeat=location + 1))
        chosen = [(width,) * (location + 1) for width in bits]
        chosen += [every[at] for at in rng.permutation(len(every))]
        for path in list(dict.fromkeys(chosen))[:paths]:
            places += [(location, branch, path) for branch in ([-1] if location == last else range(len(branches)))]
    loss = {2: 0.5, 4: 0.1, 8: 0.0}
    skills = [
        1 + 1.4 * location / max(last, 1) + (0.4 if branch < 0 else 0.07 * BRANCHES.index(branches[branch]))
        - float(np.mean([loss[width] for width in path]))
        for location, branch, path in places
    ]  # fmt: skip
    sure, right = outputs(rng, skills, samples)
    return AccuracyTables(
        confidence=confidence_levels(sure),
        correct=right,
        row_location=np.array([location for location, _, _ in places], np.int16),
        row_branch=np.array([branch for _, branch, _ in places], np.int16),
        row_bits=np.array([[*path, *(0,) * (last + 1 - len(path))] for _, _, path in places], np.uint8),
        temperatures=np.ones(len(places), np.float32),
        backbone=backbone,
        dataset="synthetic",
        confidence_rule="max_softmax",
        branches=branches,
        bits=bits,
    )


class ClosedFormBackend:
    """Energy and latency grow with MACs, bits and an allocation's slowness; one workload at a time."""

    api_version = 1

    def __init__(self) -> None:
        self.workloads = 0

    def stage(self, stage: Stage) -> tuple[float, float]:
        """Energy in J and latency in s that a stage and its branch add."""
        body, branch = (sum(layer.macs for layer in layers) for layers in (stage.layers, stage.branch_layers))
        energy = 1e-12 * (body * (1 + 0.3 * stage.core) + branch * (1 + 0.3 * stage.branch_core)) * stage.bits / 8
        latency = 1e-10 * (body / (1 + stage.core) + branch / (1 + stage.branch_core)) * (stage.bits / 8) ** 0.5
        return energy, latency

    def evaluate(self, workload: Workload) -> CostReport:
        self.workloads += 1
        exits, energy, latency = [], 0.0, 0.0
        for stage in workload.stages:
            more = self.stage(stage)
            energy, latency = energy + more[0], latency + more[1]
            exits.append(ExitCost(energy, latency))
        return CostReport(tuple(exits))


class CrowdedBackend(ClosedFormBackend):
    """Likewise; what runs on allocation 0 at 8 bits does not fit."""

    def evaluate(self, workload: Workload) -> CostReport:
        report = super().evaluate(workload)
        if any(stage.core == 0 and stage.bits == 8 for stage in workload.stages):
            return CostReport(report.exits, (Violation("sram of core0", 2.0, 1.0, "B"),))
        return report


class BatchClosedFormBackend(CrowdedBackend):
    """The same costs, with the batch path."""

    def evaluate_batch(
        self, stages: Sequence[Stage], index: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        costs = np.array([*(self.stage(stage) for stage in stages), (0.0, 0.0)])[index]
        crowded = np.array([*(stage.core == 0 and stage.bits == 8 for stage in stages), False])[index]
        used = index >= 0
        paths = np.cumsum(costs, axis=1)
        return np.where(used, paths[..., 0], 0), np.where(used, paths[..., 1], 0), ~crowded.any(axis=1)


def evaluator(
    objective: Objective | None = None,
    backend: ClosedFormBackend | None = None,
    space: SearchSpace | None = None,
    estimator: Estimator | None = None,
) -> Evaluator:
    space = space or synthetic.quad()
    estimator = estimator or Estimator(tables(space.backbone))
    return Evaluator(space, backend or ClosedFormBackend(), estimator, objective or Objective(accuracy_tolerance=0.03))
