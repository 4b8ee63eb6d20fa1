"""rows_of: an agent's padded batch as flat columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.trajectory.packing import Packing
from eenn_rl.trajectory.rows import Rows
from eenn_rl.trajectory.schema import DIGEST_BYTES, EPISODES, FLAGS, STEPS, VALUES

_TEXT = next(column.dtype for column in EPISODES if column.name == "failure")
_EVALUATED = (
    "feasible", "accuracy", "energy_j", "latency_s", "elp", "elp_reduction", "exit_rates",
    "exit_accuracies", "thresholds",
    "violations",
)  # fmt: skip


def rows_of(batch: EpisodeBatch, first_step: int, wall_s: float, packing: Packing | None = None) -> Rows:
    """`batch` without its padding, to stand behind `first_step` logged steps; digests are still empty.

    With `packing`, observations are as they are stored.
    """
    kept = np.arange(batch.actions.shape[1]) < batch.lengths[:, None]
    rows, wanted = np.flatnonzero(kept), STEPS[1:] if packing else STEPS
    flat = {c.name: getattr(batch, c.name).reshape(kept.size, *getattr(batch, c.name).shape[2:]) for c in wanted}
    steps = {c.name: flat[c.name].take(rows, 0).astype(c.dtype, copy=False) for c in wanted}
    if packing:
        steps[FLAGS], steps[VALUES] = packing.pack(batch.observations, batch.lengths)
    lengths = batch.lengths.astype(np.int64)
    episodes = {
        "start": first_step + np.cumsum(lengths) - lengths,
        "length": batch.lengths,
        "seed": batch.seeds,
        "return": np.where(kept, batch.rewards, 0.0).sum(1),
        "wall_s": np.full(len(batch), wall_s),
        "digest": np.zeros((len(batch), DIGEST_BYTES), np.uint8),
        **episode_columns(batch.genomes, batch.evaluation),
    }
    return Rows(steps, {c.name: np.ascontiguousarray(episodes[c.name], c.dtype) for c in EPISODES})


def episode_columns(genomes: npt.NDArray[np.int16], evaluation: EvaluationBatch) -> dict[str, npt.NDArray[Any]]:
    """The columns of /episodes that say what was built and what it is worth."""
    failures = evaluation.failures
    reasons = np.array([_shorten(reason) for reason in failures], _TEXT) if failures else np.zeros(len(genomes), _TEXT)
    return {
        "architecture": genomes,
        **{name: getattr(evaluation, name) for name in _EVALUATED},
        "failure": reasons,
    }


def _shorten(reason: str | None) -> bytes:
    """UTF-8 that fits the column, cut between characters."""
    return (reason or "").encode()[: np.dtype(_TEXT).itemsize].decode(errors="ignore").encode()
