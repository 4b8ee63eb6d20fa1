"""EpisodeBatch and Recorder: what an agent hands to the log, whatever agent it is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check
from eenn_rl.evaluation import EvaluationBatch
from eenn_rl.space import Genomes


@dataclass(frozen=True)
class EpisodeBatch:
    """`n` finished episodes of the environment, padded to `T` steps; episode i has `lengths[i]` of them.

    Step t pairs what was seen before the action (`observations`, `masks`) with the `actions` taken and the `rewards`
    that followed. Padding: zeros, False, -1 and 0. Every episode here ended in the architecture `genomes[i]`, whose
    evaluation is row i of `evaluation`; its return is `evaluation.reward[i]`, given with its last step.
    """

    observations: npt.NDArray[np.float32]
    """[n, T, observation]"""
    masks: npt.NDArray[np.bool_]
    """[n, T, actions]"""
    actions: npt.NDArray[np.int16]
    """[n, T]"""
    rewards: npt.NDArray[np.float64]
    """[n, T]"""
    lengths: npt.NDArray[np.int32]
    """[n]"""
    seeds: npt.NDArray[np.int64]
    """[n]: what `reset(seed=...)` was given."""
    genomes: Genomes
    """[n, max_exits, 5]"""
    evaluation: EvaluationBatch

    def __post_init__(self) -> None:
        n, steps = self.actions.shape
        for field in ("observations", "masks", "rewards"):
            found = getattr(self, field).shape[:2]
            check(found == (n, steps), f"episode batch {field}", found, f"of shape {(n, steps)} like actions")
        for field in ("lengths", "seeds", "genomes"):
            found = getattr(self, field).shape[0]
            check(found == n, f"episode batch {field}", found, f"of length {n} like actions")

    def __len__(self) -> int:
        return len(self.lengths)


class Recorder(Protocol):
    """Where episodes go: a trajectory file, or nowhere."""

    def add_episodes(self, batch: EpisodeBatch) -> None:
        """Keep `batch`."""
        ...

    def add_update(self, evaluations: int, entropy: float) -> None:
        """A policy was updated after `evaluations` episodes (more than at its last update).

        `entropy` is that of the policy that built the last of them: in nats, mean over the decisions taken.
        """
        ...

    def rewind(self, episodes: int) -> None:
        """The next episodes follow the first `episodes`: a search that resumes repeats some that are kept."""
        ...

    def flush(self) -> None:
        """Make everything added so far safe: a checkpoint that counts on it follows."""
        ...


class NullRecorder:
    """Keeps nothing."""

    def add_episodes(self, batch: EpisodeBatch) -> None:
        """Ignore."""

    def add_update(self, evaluations: int, entropy: float) -> None:
        """Ignore."""

    def rewind(self, episodes: int) -> None:
        """Ignore."""

    def flush(self) -> None:
        """Ignore."""
