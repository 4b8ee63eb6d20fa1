"""Seen: the evaluations of all architectures seen, as growing arrays."""

from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.evaluation import ARRAYS, EvaluationBatch
from eenn_rl.objective import VIOLATIONS
from eenn_rl.rows import keys_of

Genomes = npt.NDArray[np.int16]


class Seen:
    """Evaluations by genome; `max_exits` is the width of what is kept per exit."""

    def __init__(self, max_exits: int) -> None:
        self._numbers: dict[bytes, int] = {}
        self._arrays = _empty(256, max_exits)
        self._failures: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def failures(self) -> tuple[str, ...]:
        """The reasons of all failed architectures, in the order they were evaluated."""
        return tuple(self._failures[row] for row in sorted(self._failures))

    def fresh(self, genomes: Genomes) -> tuple[list[bytes], list[int]]:
        """The keys of `genomes`, and the first place of each one that is not known yet."""
        keys = keys_of(genomes)
        known = self._numbers
        first: dict[bytes, int] = {}
        for index, key in enumerate(keys):
            if key not in known:
                first.setdefault(key, index)
        return keys, list(first.values())

    def add(self, keys: list[bytes], batch: EvaluationBatch) -> None:
        """Keep `batch`, the evaluations of new architectures with `keys`."""
        start, end = len(self._numbers), len(self._numbers) + len(keys)
        while end > len(self._arrays["reward"]):
            self._arrays = {name: np.concatenate([old, np.zeros_like(old)]) for name, old in self._arrays.items()}
        for name, array in self._arrays.items():
            array[start:end] = getattr(batch, name)
        for place, reason in enumerate(batch.failures or ()):
            if reason is not None:
                self._failures[start + place] = reason
        self._numbers.update(zip(keys, range(start, end), strict=True))

    def recall(self, keys: list[bytes]) -> EvaluationBatch:
        """The evaluations of known architectures."""
        rows = np.array([self._numbers[key] for key in keys], np.int64)
        reasons = [self._failures.get(row) for row in rows.tolist()] if self._failures else []
        failures = reasons if any(reasons) else None
        return EvaluationBatch(**{name: array[rows] for name, array in self._arrays.items()}, failures=failures)


def _empty(rows: int, exits: int) -> dict[str, npt.NDArray[Any]]:
    columns = {
        "exit_rates": (exits,),
        "exit_accuracies": (exits,),
        "thresholds": (exits,),
        "violations": (len(VIOLATIONS),),
    }
    return {
        name: np.zeros((rows, *columns.get(name, ())), np.bool_ if name == "feasible" else np.float64)
        for name in ARRAYS
    }
