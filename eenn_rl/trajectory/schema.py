"""The layout of a trajectory file: every column once, with type, shape and meaning. See docs/trajectory-format.md."""

from dataclasses import dataclass

import numpy as np

from eenn_rl.errors import InputFileError, check

FORMAT = "eenn-rl trajectories"
FORMAT_VERSION = 1
DIGEST_BYTES = 16


class TrajectoryError(InputFileError):
    """A trajectory file that cannot be read, written or continued; the message says what to do."""


@dataclass(frozen=True)
class Dimensions:
    """Sizes that a whole file shares: values per observation, actions, exits per architecture, constraints."""

    observation: int
    actions: int
    exits: int
    violations: int

    def __post_init__(self) -> None:
        for field, most in (
            ("observation", 1 << 20),
            ("actions", 1 << 15),
            ("exits", 1 << 10),
            ("violations", 1 << 10),
        ):
            value = getattr(self, field)
            check(1 <= value <= most, f"trajectory dimension {field}", value, f"between 1 and {most}")


@dataclass(frozen=True)
class Column:
    """One dataset: a row per step, episode or verification; `shape` names `Dimensions` or gives numbers.

    `compared` columns must be equal, bit for bit, when the episode is executed again.
    """

    name: str
    dtype: str
    shape: tuple[str | int, ...] = ()
    compared: bool = True

    def row_shape(self, dimensions: Dimensions) -> tuple[int, ...]:
        """The shape of one row."""
        return tuple(size if isinstance(size, int) else int(getattr(dimensions, size)) for size in self.shape)


STEPS = (
    Column("observations", "<f4", ("observation",)),
    Column("masks", "?", ("actions",)),
    Column("actions", "<i2"),
    Column("rewards", "<f8"),
)
"""What was seen before an action, the legal actions, the action taken, the reward that followed."""

EPISODES = (
    Column("start", "<i8"),
    Column("length", "<i4"),
    Column("seed", "<i8"),
    Column("return", "<f8"),
    Column("architecture", "<i2", ("exits", 5)),
    Column("feasible", "?"),
    Column("accuracy", "<f8"),
    Column("energy_j", "<f8"),
    Column("latency_s", "<f8"),
    Column("elp", "<f8"),
    Column("elp_reduction", "<f8"),
    Column("exit_rates", "<f8", ("exits",)),
    Column("exit_accuracies", "<f8", ("exits",)),
    Column("thresholds", "<f8", ("exits",)),
    Column("violations", "<f8", ("violations",)),
    Column("failure", "S160"),
    Column("wall_s", "<f8", compared=False),
    Column("digest", "|u1", (DIGEST_BYTES,), compared=False),
)
"""`start` is the episode's first row in /steps; `wall_s` the seconds since the log was begun, never compared."""

VERIFICATIONS = (
    Column("architecture", "<i2", ("exits", 5)),
    Column("feasible", "?"),
    Column("predicted_accuracy", "<f8"),
    Column("predicted_energy_j", "<f8"),
    Column("predicted_latency_s", "<f8"),
    Column("predicted_elp", "<f8"),
    Column("accuracy", "<f8"),
    Column("energy_j", "<f8"),
    Column("latency_s", "<f8"),
    Column("elp", "<f8"),
    Column("elp_reduction", "<f8"),
    Column("elp_reduction_best_bits", "<f8"),
    Column("text_start", "<i8"),
    Column("text_length", "<i8"),
)
"""Measured values without prefix; the whole record is JSON in /verifications/text."""

UPDATES = (
    Column("evaluations", "<i8"),
    Column("entropy", "<f8"),
)
"""One row per update of a policy: distinct evaluations (episodes) before it, and the entropy, in nats per decision, of
the policy that proposed the last of them. Absent from logs of version 1 that were begun before there were any."""

TEXT = Column("text", "|u1")
"""UTF-8 bytes of the verification records, one after the other."""

GROUPS: dict[str, tuple[Column, ...]] = {
    "steps": STEPS,
    "episodes": EPISODES,
    "verifications": VERIFICATIONS,
    "verification_text": (TEXT,),
    "updates": UPDATES,
}
"""Columns that grow together. A group's datasets lie under its name, the text beside the verifications."""

OPTIONAL = ("updates",)
"""Groups that an older log may lack as a whole."""

CHUNK_BYTES = 1 << 16
"""Aim for one chunk, before compression."""
TILE = 64
"""Values of a row in one chunk: of an observation, most parts stay equal for many steps, and deflate sees that."""


def dataset_path(group: str, column: Column) -> str:
    """Where a column lies in the file."""
    return f"verifications/{column.name}" if group == "verification_text" else f"{group}/{column.name}"


def chunk_shape(column: Column, dimensions: Dimensions) -> tuple[int, ...]:
    """Rows per chunk, a power of two of at most `CHUNK_BYTES` between 16 and 1024, and their part of each row."""
    row = column.row_shape(dimensions)
    if len(row) == 1:
        row = (-(-row[0] // -(-row[0] // TILE)),)
    size = np.dtype(column.dtype).itemsize
    for extent in row:
        size *= extent
    rows = min(1024, max(16, 1 << (CHUNK_BYTES // size).bit_length() - 1)) if size <= CHUNK_BYTES else 1
    return (rows, *row)
