"""The distinct architectures of a log as a flat table, a block of rows at a time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.branches import CLASSIFIER
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.serialization import from_json
from eenn_rl.space import BITS, BRANCH, BRANCH_CORE, CORE, LOCATION
from eenn_rl.trajectory import TrajectoryLog

Column = list[Any]
PLAIN = ("return", "feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction")
PER_EXIT = ("exit_rates", "exit_accuracies", "thresholds")
VERIFIED = (
    "feasible", "predicted_accuracy", "predicted_energy_j", "predicted_latency_s", "predicted_elp", "accuracy",
    "energy_j", "latency_s", "elp", "elp_reduction", "elp_reduction_best_bits",
)  # fmt: skip
BLOCK = 16384


@dataclass(frozen=True)
class _Names:
    branches: tuple[str, ...]
    allocations: tuple[str, ...]
    violations: tuple[str, ...]

    def branch(self, index: int) -> str:
        return CLASSIFIER if index < 0 else _at(self.branches, index)

    def allocation(self, index: int) -> str:
        return _at(self.allocations, index)


def _at(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"#{index}"


def table(log: TrajectoryLog, block: int = BLOCK) -> Iterator[dict[str, Column]]:
    """Columns by name, for blocks of distinct architectures in the order they were logged; of none, one empty block.

    `episode` is the first that built it. Each exit k has its decisions (``exit<k>_location``, ``_branch``, ``_bits``,
    ``_core``, ``_branch_core``; cores by name) and estimates, None beyond the last one. ``violation_<name>`` are
    normalised; ``verified_<name>`` stand where the architecture was trained in full, None elsewhere.
    """
    names, verified = _names(log), _verified(log)
    distinct = log.distinct()
    for start in range(0, max(1, len(distinct)), block):
        yield _block(log, names, verified, distinct[start : start + block])


def _names(log: TrajectoryLog) -> _Names:
    accelerator = from_json(AcceleratorSpec, log.meta.accelerator, f"{log.path}: meta/accelerator")
    allocations = tuple(accelerator.allocation_name(i) for i in range(len(accelerator.allocations)))
    return _Names(tuple(map(str, log.meta.space["branches"])), allocations, log.meta.violations)


def _verified(log: TrajectoryLog) -> dict[bytes, dict[str, Any]]:
    """The latest verification of each architecture, by its genome."""
    columns = log.verification_columns()
    rows = enumerate(columns["architecture"])
    return {genome.tobytes(): {name: _known(columns[name][i].item()) for name in VERIFIED} for i, genome in rows}


def _known(value: float | bool) -> float | bool | None:
    return None if math.isnan(value) else value


def _block(
    log: TrajectoryLog, names: _Names, verified: dict[bytes, dict[str, Any]], episodes: npt.NDArray[np.intp]
) -> dict[str, Column]:
    first, last = (int(episodes[0]), int(episodes[-1]) + 1) if len(episodes) else (0, 0)
    wanted = ("architecture", *PLAIN, *PER_EXIT, "violations", "failure")
    found = {name: log.columns(name, start=first, stop=last)[name][episodes - first] for name in wanted}
    genomes = found["architecture"]
    columns: dict[str, Column] = {"episode": episodes.tolist()}
    columns["exits"] = (genomes[:, :, LOCATION] >= 0).sum(1).tolist()
    columns |= {"reward" if name == "return" else name: found[name].tolist() for name in PLAIN}
    columns |= _exit_columns(names, genomes, found)
    columns |= {f"violation_{name}": found["violations"][:, i].tolist() for i, name in enumerate(names.violations)}
    columns["failure"] = [reason.decode("utf-8", "replace") or None for reason in found["failure"]]
    records = [verified.get(genome.tobytes(), {}) for genome in genomes]
    return columns | {f"verified_{name}": [record.get(name) for record in records] for name in VERIFIED}


def _exit_columns(
    names: _Names, genomes: npt.NDArray[np.int16], found: dict[str, npt.NDArray[Any]]
) -> dict[str, Column]:
    tell: dict[str, tuple[int, Callable[[int], int | str]]] = {
        "location": (LOCATION, int), "branch": (BRANCH, names.branch), "bits": (BITS, int),
        "core": (CORE, names.allocation), "branch_core": (BRANCH_CORE, names.allocation),
    }  # fmt: skip
    columns: dict[str, Column] = {}
    for k in range(genomes.shape[1]):
        used = (genomes[:, k, LOCATION] >= 0).tolist()
        for name, (place, told) in tell.items():
            values = genomes[:, k, place].tolist()
            columns[f"exit{k}_{name}"] = [told(v) if u else None for v, u in zip(values, used, strict=True)]
        for name, label in zip(PER_EXIT, ("rate", "accuracy", "threshold"), strict=True):
            values = found[name][:, k].tolist()
            columns[f"exit{k}_{label}"] = [v if u else None for v, u in zip(values, used, strict=True)]
    return columns
