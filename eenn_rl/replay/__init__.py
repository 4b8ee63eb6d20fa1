"""Replaying a log: execute it again and compare (`replay_file`), or cost it elsewhere (`rescore`)."""

from eenn_rl.replay.execute import final_observations
from eenn_rl.replay.problem import describe, environment, rebuild, registered_as
from eenn_rl.replay.rescore import RescoreResult, rescore
from eenn_rl.replay.run import replay_file
from eenn_rl.replay.verdict import ReplayResult

__all__ = [
    "ReplayResult",
    "RescoreResult",
    "describe",
    "environment",
    "final_observations",
    "rebuild",
    "registered_as",
    "replay_file",
    "rescore",
]
