"""Replaying a log: execute it again and compare (`replay_file`), or cost it elsewhere (`rescore`)."""

from eenn_rl.replay.problem import describe, rebuild
from eenn_rl.replay.run import replay_file
from eenn_rl.replay.verdict import ReplayResult

__all__ = ["ReplayResult", "describe", "rebuild", "replay_file"]
