"""open_log: the typed reading side. It streams: what is not asked for is not read."""

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.errors import check, unknown_name
from eenn_rl.trajectory.checks import Guard, reading
from eenn_rl.trajectory.distinct import first_of_each
from eenn_rl.trajectory.front import pareto_front
from eenn_rl.trajectory.layout import described, digest_of
from eenn_rl.trajectory.meta import TEXTS, RunMeta
from eenn_rl.trajectory.packing import Packing
from eenn_rl.trajectory.records import altered_records, plain
from eenn_rl.trajectory.rows import Rows
from eenn_rl.trajectory.schema import (
    EPISODES,
    FLAGS,
    STEPS,
    UPDATES,
    VALUES,
    VERIFICATIONS,
    Dimensions,
    TrajectoryError,
)

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.intp]

BLOCK = 1024
"""Episodes read at a time."""
MOST_STEPS = 1 << 18
"""Steps read at a time, and the longest episode there may be."""
MOST_BYTES = 1 << 31
"""Of one column read as a whole; longer logs are streamed with `blocks`."""
MOST_UNPACKED = 1 << 29
"""Bytes of observations unpacked at a time."""
_NUMBERS = ("accuracy", "energy_j", "latency_s", "elp", "elp_reduction")
_ARRAYS = ("architecture", "exit_rates", "exit_accuracies", "thresholds", "violations")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Episode:
    """One logged episode of T steps; its arrays are views.

    `observations` [T, o], `masks` [T, a], `actions` [T], `rewards` [T]; `architecture` is the genome [max_exits, 5];
    energies in J, latencies in s, `elp` in J s.
    """

    index: int
    seed: int
    observations: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]
    actions: npt.NDArray[np.int16]
    rewards: npt.NDArray[np.float64]
    architecture: npt.NDArray[np.int16]
    feasible: bool
    accuracy: float
    energy_j: float
    latency_s: float
    elp: float
    elp_reduction: float
    exit_rates: npt.NDArray[np.float64]
    exit_accuracies: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64]
    violations: npt.NDArray[np.float64]
    failure: str


class TrajectoryLog:
    """An open log: `len(log)` episodes, `log.steps` steps. Made by `open_log`; use as a context manager."""

    def __init__(self, file: Any, path: Path) -> None:
        self.path = path
        self._file = file
        guard = self._guard = Guard(file, path)
        guard.check_format()
        self.dimensions: Dimensions
        self.dimensions, self._columns = guard.columns()
        self.packing = Packing(self.dimensions.flags, guard.constant()) if self.dimensions.flags else None
        self._most_steps = max(1, min(MOST_STEPS, MOST_UNPACKED // (4 * self.dimensions.observation)))
        self._meta: RunMeta | None = None
        self._distinct: Indices | None = None
        self.steps = int(self._columns["steps"]["actions"].shape[0])
        self._length = int(self._columns["episodes"]["length"].shape[0])
        self._check_ends()

    def _check_ends(self) -> None:
        """The steps that the episodes claim are those that are there."""
        columns = self._columns["episodes"]
        end = sum(int(columns[name][-1]) for name in ("start", "length")) if self._length else 0
        if end != self.steps:
            raise self._guard.refuse("/episodes", f"{self.steps} steps in all, as in /steps", end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def attribute(self, name: str) -> int | float | str | None:
        """A root attribute (see docs/trajectory-format.md), None where absent."""
        with reading(self.path):
            return self._guard.attribute(name)

    @property
    def finished(self) -> bool:
        """Whether the run says that it is complete."""
        return self.attribute("finished") == 1

    @property
    def meta(self) -> RunMeta:
        """What defines the run."""
        if self._meta is None:
            with reading(self.path):
                self._meta = self._read_meta()
        return self._meta

    @property
    def altered_parts(self) -> tuple[str, ...]:
        """Parts under /meta that do not fit the digests written with them; ``digests`` where those were changed."""
        with reading(self.path):
            text = self._guard.text("meta/digests")
            stored = json.loads(text)
        found = self.meta.part_digests()
        parts = [name for name in found if not isinstance(stored, dict) or stored.get(name) != found[name]]
        sealed = self.attribute("meta_digest") == digest_of(text, self.meta.fingerprint)
        told = described(self.meta)
        repeated = all(self.attribute(name) == value for name, value in told.items())
        return (*parts, *(() if sealed else ("digests",)), *(() if repeated else ("attributes",)))

    def columns(self, *names: str, start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """Columns of /episodes, rows start..stop-1 (all by default)."""
        known = {column.name for column in EPISODES}
        for name in names:
            if name not in known:
                raise unknown_name("episode column", name, known)
        with reading(self.path):
            return {name: self._read("episodes", name, start, self._length if stop is None else stop) for name in names}

    def blocks(self, size: int = BLOCK, start: int = 0, stop: int | None = None) -> Iterator[Rows]:
        """All episodes in order, at most `size` at a time, as flat columns."""
        stop = self._length if stop is None else min(stop, self._length)
        for begin in range(start, stop, size):
            with reading(self.path):
                episodes = self._read_episodes(begin, min(begin + size, stop))
            yield from self._with_steps(episodes)

    def episodes(self, indices: Iterable[int] | None = None) -> Iterator[Episode]:
        """Those episodes, all by default, one by one."""
        if indices is None:
            first = 0
            for rows in self.blocks():
                yield from episodes_of(rows, first)
                first += len(rows)
            return
        for index in indices:
            check(0 <= index < self._length, "episode", int(index), f"at least 0 and below {self._length}")
            rows = next(self.blocks(1, start=int(index), stop=int(index) + 1))
            yield from episodes_of(rows, int(index))

    def feasible(self) -> Indices:
        """Episodes whose architecture met every constraint."""
        return np.flatnonzero(self.columns("feasible")["feasible"])

    def distinct(self) -> Indices:
        """The first episode of every distinct architecture, in order."""
        if self._distinct is None:
            self._distinct = first_of_each(self.columns("architecture")["architecture"])
        return self._distinct

    def top(self, k: int, by: str = "return", *, largest: bool = True) -> Indices:
        """The `k` best distinct feasible architectures by one column, best first: their first episodes."""
        candidates = np.intersect1d(self.distinct(), self.feasible(), assume_unique=True)
        values = self.columns(by)[by][candidates].astype(np.float64)
        candidates, values = candidates[~np.isnan(values)], values[~np.isnan(values)]
        order = np.argsort(-values if largest else values, kind="stable")
        return candidates[order[:k]]

    def front(self, *, feasible: bool = True) -> Indices:
        """Distinct architectures that no other beats in accuracy, energy and latency at once; by falling accuracy."""
        candidates = self.distinct()
        if feasible:
            candidates = np.intersect1d(candidates, self.feasible(), assume_unique=True)
        found = self.columns("accuracy", "energy_j", "latency_s")
        accuracy, energy, latency = (found[name][candidates] for name in ("accuracy", "energy_j", "latency_s"))
        return candidates[pareto_front(np.stack([-accuracy, energy, latency], axis=1))]

    def verifications(self) -> list[dict[str, Any]]:
        """The records of verified architectures, as they were given."""
        return [plain(record) for record in self._sealed_verifications()]

    @property
    def altered_verifications(self) -> tuple[int, ...]:
        """Rows of /verifications that do not fit their record, or with it their seal."""
        records, columns = self._sealed_verifications(), self.verification_columns()
        with reading(self.path):
            return altered_records(records, columns)

    def _sealed_verifications(self) -> list[dict[str, Any]]:
        with reading(self.path):
            columns = self._columns["verifications"]
            starts, lengths = columns["text_start"][...].tolist(), columns["text_length"][...].tolist()
            text = self._read("verification_text", "text", 0, self._columns["verification_text"]["text"].shape[0])
            if any(s < 0 or n < 0 or s + n > len(text) for s, n in zip(starts, lengths, strict=True)):
                raise self._guard.refuse("verifications", f"records within {len(text)} bytes of text", "others")
            records = [json.loads(text[s : s + n].tobytes()) for s, n in zip(starts, lengths, strict=True)]
            if not all(isinstance(record, dict) for record in records):
                raise self._guard.refuse("verifications", "JSON objects", "something else")
            return records

    def verification_columns(self) -> dict[str, Array]:
        """The numbers of /verifications, a row per record."""
        with reading(self.path):
            count = self._columns["verifications"]["feasible"].shape[0]
            return {column.name: self._read("verifications", column.name, 0, count) for column in VERIFICATIONS}

    def updates(self) -> dict[str, Array]:
        """The policy's updates: `evaluations` int64 [u] before each, `entropy` float64 [u] in nats per decision.

        Empty where no policy was trained, and in logs that were begun before updates were logged.
        """
        with reading(self.path):
            columns = self._columns.get("updates")
            if columns is None:
                return {column.name: np.zeros(0, column.dtype) for column in UPDATES}
            count = columns["evaluations"].shape[0]
            return {column.name: self._read("updates", column.name, 0, count) for column in UPDATES}

    def _read(self, group: str, name: str, start: int, stop: int) -> Array:
        dataset = self._columns[group][name]
        row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=np.int64))
        if row * max(0, stop - start) > MOST_BYTES:
            raise TrajectoryError(f"{self.path}: {group}/{name} is larger than {MOST_BYTES} bytes: read it in blocks")
        found: Array = dataset[start:stop]
        if found.dtype == np.bool_ and found.size and found.view(np.uint8).max() > 1:
            raise self._guard.refuse(f"{group}/{name}", "0 or 1", "another value")
        return found

    def _read_episodes(self, begin: int, end: int) -> dict[str, Array]:
        episodes = {column.name: self._read("episodes", column.name, begin, end) for column in EPISODES}
        start, length = episodes["start"], episodes["length"].astype(np.int64)
        first = 0 if begin == 0 else int(start[0])
        follows = start == first + np.cumsum(length) - length
        if not follows.all() or first < 0 or not (length > 0).all() or int(start[-1] + length[-1]) > self.steps:
            raise self._guard.refuse("/episodes start and length", "episodes one after the other", "gaps or overlaps")
        if int(length.max()) > self._most_steps:
            raise self._guard.refuse("/episodes/length", f"at most {self._most_steps} steps", int(length.max()))
        return episodes

    def _with_steps(self, episodes: Mapping[str, Array]) -> Iterator[Rows]:
        """`episodes` and their steps, in parts of at most `_most_steps` steps."""
        ends = np.cumsum(episodes["length"], dtype=np.int64)
        begin = 0
        while begin < len(ends):
            done = int(ends[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, done + self._most_steps, side="right")))
            part = {name: column[begin:end] for name, column in episodes.items()}
            first = int(part["start"][0])
            last = first + int(ends[end - 1]) - done
            with reading(self.path):
                steps = {name: self._read("steps", name, first, last) for name in self._columns["steps"]}
                if self.packing:
                    steps["observations"] = self.packing.unpack(steps[FLAGS], steps[VALUES])
            yield Rows(steps, part)
            begin = end

    def _read_meta(self) -> RunMeta:
        parts = {name: json.loads(self._guard.text(f"meta/{name}")) for name in TEXTS}
        objects = ("space", "backend", "seeds", "versions")
        if not all(isinstance(parts[name], dict) for name in objects):
            raise self._guard.refuse("meta", "JSON objects in " + ", ".join(objects), "something else")
        violations = tuple(str(name) for name in parts["space"].pop("violations"))
        tables = {}
        for name, dataset in self._guard.tables("meta/tables").items():
            if dataset.size * dataset.dtype.itemsize > MOST_BYTES:
                raise self._guard.refuse(f"table {name}", f"at most {MOST_BYTES} bytes", dataset.shape)
            tables[name] = np.asarray(dataset[()])
        fingerprint = str(self._guard.attribute("fingerprint"))
        constant = self.packing.constant if self.packing else np.zeros(0, np.float32)
        return RunMeta(
            **parts,
            fingerprint=fingerprint,
            dimensions=self.dimensions,
            violations=violations,
            tables=tables,
            constant=constant,
        )


def episodes_of(rows: Rows, first: int) -> Iterator[Episode]:
    """The episodes of `rows` one by one, the first being number `first`."""
    offsets = rows.offsets.tolist()
    names = [column.name for column in STEPS]
    values = rows.episodes
    for i in range(len(rows)):
        steps: dict[str, Any] = {name: rows.steps[name][offsets[i] : offsets[i + 1]] for name in names}
        numbers: dict[str, Any] = {name: float(values[name][i]) for name in _NUMBERS}
        arrays: dict[str, Any] = {name: values[name][i] for name in _ARRAYS}
        yield Episode(
            first + i,
            int(values["seed"][i]),
            feasible=bool(values["feasible"][i]),
            failure=values["failure"][i].decode("utf-8", "replace"),
            **steps,
            **numbers,
            **arrays,
        )


def open_log(path: str | Path) -> TrajectoryLog:
    """Open the log at `path` for reading; raises `TrajectoryError` where it is no sound trajectory file.

    A run that is still being written can be read: what it has saved so far is seen.
    """
    path = Path(path)
    _check_signature(path)
    with reading(path):
        file = h5py.File(path, "r", locking="best-effort")
        try:
            return TrajectoryLog(file, path)
        except BaseException:
            file.close()
            raise


def _check_signature(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise TrajectoryError(f"{path}: expected a trajectory file, found no file: give a run's trajectories.h5")
        with path.open("rb") as file:
            found = file.read(len(_SIGNATURE))
    except FileNotFoundError:
        raise TrajectoryError(f"{path}: expected a trajectory file, found nothing: check the path") from None
    except OSError as error:
        raise TrajectoryError(f"{path}: expected a trajectory file, it cannot be read: {error.strerror}") from None
    if found != _SIGNATURE:
        what = "an empty file" if not found else "a file of another kind"
        raise TrajectoryError(f"{path}: expected a trajectory file (HDF5), found {what}: give a run's trajectories.h5")


__all__ = ["Episode", "TrajectoryLog", "episodes_of", "open_log"]
