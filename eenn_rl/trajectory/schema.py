"""The layout of a trajectory file: every column once, with type, shape and meaning. See docs/trajectory-format.md."""

from dataclasses import dataclass

import numpy as np

from eenn_rl.errors import InputFileError, check

FORMAT = "eenn-rl trajectories"
FORMAT_VERSION = 2
DIGEST_BYTES = 16


class TrajectoryError(InputFileError):
    """A trajectory file that cannot be read, written or continued; the message says what to do."""


@dataclass(frozen=True)
class Dimensions:
    """Sizes that a whole file shares: values per observation, actions, exits per architecture, constraints.

    Of an observation, the first `flags` values are 0 or 1 and the last `constant` ones never change: see `Packing`.
    Without flags, observations are stored as they are, as in all files of format 1.
    """

    observation: int
    actions: int
    exits: int
    violations: int
    flags: int = 0
    constant: int = 0

    def __post_init__(self) -> None:
        for field, most in (
            ("observation", 1 << 20),
            ("actions", 1 << 15),
            ("exits", 1 << 10),
            ("violations", 1 << 10),
        ):
            value = getattr(self, field)
            check(1 <= value <= most, f"trajectory dimension {field}", value, f"between 1 and {most}")
        for field in ("flags", "constant"):
            value = getattr(self, field)
            check(0 <= value < self.observation, f"trajectory dimension {field}", value, f"below {self.observation}")
        check(self.values >= 1, "trajectory dimension values", self.values, "at least 1 beside flags and constant")
        check(self.flags > 0 or self.constant == 0, "trajectory dimension constant", self.constant, "0 without flags")

    @property
    def values(self) -> int:
        """Values of an observation that are stored as they are."""
        return self.observation - self.flags - self.constant

    @property
    def flag_bytes(self) -> int:
        """Bytes of an observation's packed flags."""
        return -(-self.flags // 8)


@dataclass(frozen=True)
class Column:
    """One dataset: a row per step, episode or verification; `shape` names `Dimensions` or gives numbers.

    `compared` columns must be equal, bit for bit, when the episode is executed again. A chunk holds at most `tile`
    values of a row: most of them stay equal for many steps, and deflate sees that better in narrow chunks.
    """

    name: str
    dtype: str
    shape: tuple[str | int, ...] = ()
    compared: bool = True
    tile: int = 64

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

FLAGS, VALUES, CONSTANT = "observations/flags", "observations/values", "observations/constant"
PACKED_STEPS = (
    Column(FLAGS, "|u1", ("flag_bytes",), tile=5),
    Column(VALUES, "<f4", ("values",), tile=4),
    *STEPS[1:],
)
"""The same as stored since format 2: observations without what is known of them, see `Packing`."""

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

CHUNK_BYTES = 1 << 17
"""Aim for one chunk, before compression."""
FEWEST_ROWS = 16
MOST_ROWS = {"steps": 8192, "episodes": 2048}
"""Of a chunk; 512 elsewhere. More take less time each, but a flush compresses each chunk that is not full yet."""


def columns_of(group: str, dimensions: Dimensions) -> tuple[Column, ...]:
    """The columns under `group` in a file of these dimensions."""
    return PACKED_STEPS if group == "steps" and dimensions.flags else GROUPS[group]


def dataset_path(group: str, column: Column) -> str:
    """Where a column lies in the file."""
    return f"verifications/{column.name}" if group == "verification_text" else f"{group}/{column.name}"


def chunk_shape(group: str, column: Column, dimensions: Dimensions) -> tuple[int, ...]:
    """Rows per chunk, a power of two of at most `CHUNK_BYTES`, and their part of each row."""
    row = column.row_shape(dimensions)
    if len(row) == 1:
        row = (-(-row[0] // -(-row[0] // column.tile)),)
    size = np.dtype(column.dtype).itemsize
    for extent in row:
        size *= extent
    if size > CHUNK_BYTES:
        return (1, *row)
    rows = min(MOST_ROWS.get(group, 512), max(FEWEST_ROWS, 1 << (CHUNK_BYTES // size).bit_length() - 1))
    return (rows, *row)
