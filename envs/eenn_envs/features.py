"""What an observation says about the problem: the accelerator's allocations, the preference, and what exits could do.

The allocations are described by their specification and by a probe: the energy and latency of the network without
exits on that allocation, relative to the static baseline. The probe needs no evaluation that the baseline itself did
not need, works for any backend, and tells one policy what matters about an accelerator it has never seen.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eenn_envs.layout import ALLOCATION_FEATURES, BITS, BRANCH_CORE, CORE, Layout
from eenn_rl.errors import BackendError
from eenn_rl.space import Genomes

if TYPE_CHECKING:
    from eenn_rl.evaluator import Evaluator

PROBE_SCALE = 4.0
"""A probe of e^4, about 55 times the baseline, is the largest that is told apart."""
MINIMISE = ("elp", "energy", "latency")


def _scaled_log(value: float, low: float, high: float) -> float:
    """log10 of `value`, 0 at `low` and 1 at `high`, clipped to -1..1."""
    position = (math.log10(max(value, 1e-30)) - math.log10(low)) / (math.log10(high) - math.log10(low))
    return min(max(position, -1.0), 1.0)


def _specification(evaluator: "Evaluator", layout: Layout, index: int) -> list[float]:
    """Present, share of the core slots, peak MACs per second, on-chip memory, whether dataflows are free."""
    accelerator = evaluator.space.accelerator
    cores = [accelerator.cores[core] for core in accelerator.allocations[index]]
    peak = sum(core.array_size * core.clock_hz * core.precisions[-1].throughput for core in cores)
    memory = sum(max((memory.size_bits for memory in core.memories), default=1) for core in cores)
    free = sum(not core.dataflows for core in cores) / len(cores)
    return [1.0, len(cores) / layout.cores, _scaled_log(peak, 1e8, 1e14), _scaled_log(memory, 1e4, 1e9), free]


def _probe(evaluator: "Evaluator", layout: Layout) -> npt.NDArray[np.float64]:
    """Ln of energy and latency without exits over the baseline's, by allocation and bits: [allocations, bits, 2]."""
    found = np.zeros((layout.allocations, len(layout.bits), 2))
    for column, bits in enumerate(layout.bits):
        genomes = evaluator.space.static(bits)
        genomes = genomes[genomes[:, 0, CORE] == genomes[:, 0, BRANCH_CORE]]
        if not len(genomes):
            continue
        found[genomes[:, 0, CORE], column] = np.clip(_static_ratios(evaluator, genomes) / PROBE_SCALE, -1, 1)
    return found


def _static_ratios(evaluator: "Evaluator", genomes: Genomes) -> npt.NDArray[np.float64]:
    """Ln of energy and latency over the baseline's, [n, 2]; the worst where the backend fails."""
    try:
        costs = evaluator.costs(genomes)
    except BackendError:
        return np.full((len(genomes), 2), PROBE_SCALE)
    baseline = evaluator.baseline
    energy, latency = costs.energy_j[:, 0] / baseline.energy_j, costs.latency_s[:, 0] / baseline.latency_s
    ratios: npt.NDArray[np.float64] = np.log([np.maximum(energy, 1e-9), np.maximum(latency, 1e-9)]).T
    return ratios


def _preference(evaluator: "Evaluator") -> list[float]:
    """What is minimised (one-hot), tolerance, overhead, deadline, memory, least use of an exit: each 0..1."""
    objective = evaluator.objective
    deadline = objective.deadline_s
    minimise = [float(objective.minimise == name) for name in MINIMISE]
    limits = (
        min(objective.accuracy_tolerance / 0.1, 1.0),
        min(objective.overhead, 1.0),
        0.0 if deadline is None else 1 / (1 + deadline / evaluator.baseline.latency_s),
        float(objective.memory_bytes is not None),
        min(objective.min_exit_rate / 0.2, 1.0),
    )
    return [*minimise, *limits]


def problem_features(evaluator: "Evaluator", layout: Layout) -> npt.NDArray[np.float32]:
    """The constant parts of an observation, from ``allocations`` on, float32."""
    count = len(evaluator.space.accelerator.allocations)
    specification = np.zeros((layout.allocations, ALLOCATION_FEATURES))
    specification[:count] = [_specification(evaluator, layout, index) for index in range(count)]
    probe = _probe(evaluator, layout).reshape(layout.allocations, -1)
    allocations = np.concatenate([specification, probe], axis=1)
    parts: list[npt.ArrayLike] = [allocations.ravel(), _preference(evaluator)]
    if layout.prospects:
        parts.append(evaluator.prospects().ravel())
    features = np.concatenate(parts).astype(np.float32)
    low, high = (bound[layout.slices["allocations"].start :] for bound in layout.bounds())
    return np.clip(features, low, high)


__all__ = ["BITS", "problem_features"]
