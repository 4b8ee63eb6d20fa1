"""The trajectory file: everything a search did, in HDF5. Layout: docs/trajectory-format.md.

`TrajectoryWriter` writes it so that it is whole at every moment; `open_log` reads it, trusting nothing.
"""

from eenn_rl.trajectory.meta import RunMeta, current_versions
from eenn_rl.trajectory.reader import Episode, TrajectoryLog, open_log
from eenn_rl.trajectory.rows import Difference, Rows
from eenn_rl.trajectory.schema import FORMAT_VERSION, Dimensions, TrajectoryError
from eenn_rl.trajectory.writer import TrajectoryWriter

__all__ = [
    "FORMAT_VERSION",
    "Difference",
    "Dimensions",
    "Episode",
    "Rows",
    "RunMeta",
    "TrajectoryError",
    "TrajectoryLog",
    "TrajectoryWriter",
    "current_versions",
    "open_log",
]
