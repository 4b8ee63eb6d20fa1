"""TrajectoryWriter: appends episodes and verifications to a trajectory file that is whole at every moment."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.trajectory.flatten import rows_of
from eenn_rl.trajectory.interrupts import interrupts_deferred
from eenn_rl.trajectory.layout import LIBVER, datasets, lay_out
from eenn_rl.trajectory.meta import RunMeta
from eenn_rl.trajectory.overlay import Overlay
from eenn_rl.trajectory.publish import PublishedFile
from eenn_rl.trajectory.reader import TrajectoryLog, open_log
from eenn_rl.trajectory.records import verification_row
from eenn_rl.trajectory.rows import UNSEALED, Rows, digests, first_difference
from eenn_rl.trajectory.schema import EPISODES, STEPS, TrajectoryError
from eenn_rl.trajectory.updates import UpdateColumns

QUIET_S = (0.5, 5.0)
"""Least and most seconds between two automatic flushes."""
SHARE = 0.01
"""Between these bounds, flushing takes at most this share of the time."""
MOST_PENDING = 16384
"""Episodes kept in memory at most."""


class TrajectoryWriter:
    """A recorder of episodes. Made by `create` or `resume`; one writer per file, others are refused.

    What `flush` has written is safe, whatever happens to the process. `add_episodes` flushes by itself: at every call
    that comes 5 s after the last flush or later, sooner where flushing is cheap. Use as a context manager, or `close`.
    """

    def __init__(self, published: PublishedFile, file: Any, overlay: Overlay) -> None:
        self._published, self._file, self._overlay = published, file, overlay
        self._columns = datasets(file)
        lengths = self._columns["episodes"]["length"]
        self._steps = int(self._columns["steps"]["actions"].shape[0])
        self._saved = self._check_from = self._total = int(lengths.shape[0])
        self._last_digest = bytes(self._columns["episodes"]["digest"][-1]) if self._saved else UNSEALED
        self._wall_before = float(self._columns["episodes"]["wall_s"][-1]) if self._saved else 0.0
        self._begun = self._flushed = time.monotonic()
        self._flush_cost = 0.0
        self._pending: list[tuple[int, Rows]] = []
        self._updates = UpdateColumns(published.path, self._columns.get("updates"))

    @classmethod
    def create(cls, path: Path, meta: RunMeta) -> "TrajectoryWriter":
        """A new log at `path`, readable at once; an existing file is refused."""
        published = PublishedFile(path)
        if published.handle is not None:
            published.close()
            raise TrajectoryError(f"{path}: expected no file, found one: continue it with --resume or choose another")
        overlay = Overlay()
        file = h5py.File(overlay, "w", libver=LIBVER)
        try:
            lay_out(file, meta)
            writer = cls(published, file, overlay)
            writer.flush()
        except BaseException:
            file.close()
            published.close()
            raise
        return writer

    @classmethod
    def resume(cls, path: Path, meta: RunMeta | None = None) -> "TrajectoryWriter":
        """Continue the log at `path`; refused where it is another run's than `meta` says, or damaged."""
        published = PublishedFile(path)
        try:
            with open_log(path) as log:
                _check_same_run(log, meta)
            overlay = Overlay(published.handle)
            return cls(published, h5py.File(overlay, "r+", libver=LIBVER), overlay)
        except BaseException:
            published.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Episodes added, saved or not."""
        return self._total

    @property
    def saved(self) -> int:
        """Episodes that are safe in the file."""
        return self._saved

    def rewind(self, episodes: int) -> None:
        """The next episodes added follow the first `episodes`: those that the log already holds are compared.

        A search that continues from its checkpoint repeats what was logged since. That must come out equal, bit for
        bit, and is not added twice.
        """
        if episodes > self._total:
            raise TrajectoryError(
                f"{self._published.path}: expected at least {episodes} episodes, as many as the checkpoint knows, "
                f"found {self._total}: the log is not this checkpoint's; put it back or start a new run"
            )
        self._check_from = episodes
        self._updates.rewind(episodes)

    def add_update(self, evaluations: int, entropy: float) -> None:
        """Append one update of a policy, made after `evaluations` episodes (more than at the last one); see `Recorder`.

        It is saved with the next flush. After `rewind`, what the log holds already is compared and not added twice.
        """
        self._updates.add(evaluations, entropy)

    def add_episodes(self, batch: EpisodeBatch) -> None:
        """Append `batch`; flush where it is time."""
        if len(batch) == 0:
            return
        again = min(len(batch), self._total - self._check_from)
        if again:
            self._compare(batch, again)
        if again < len(batch):
            self._append(batch, again)
        waited = time.monotonic() - self._flushed
        pending = sum(len(rows) for _, rows in self._pending)
        if pending and (waited >= self._patience or pending >= MOST_PENDING):
            self.flush()

    def add_verification(self, record: Mapping[str, Any], genome: npt.NDArray[np.int16] | None = None) -> None:
        """Append one verified architecture (`eenn_rl.results.Verified` as JSON data) and flush.

        A record that the log already holds is not added again: a verification that was killed repeats what it did.
        """
        text = np.frombuffer(json.dumps(record, sort_keys=True).encode(), np.uint8)
        columns, stream = self._columns["verifications"], self._columns["verification_text"]["text"]
        row, start = columns["feasible"].shape[0], stream.shape[0]
        known = stream[...].tobytes()
        places = zip(columns["text_start"][...].tolist(), columns["text_length"][...].tolist(), strict=True)
        if any(known[at : at + length] == text.tobytes() for at, length in places):
            return
        if genome is None:
            genome = np.full(columns["architecture"].shape[1:], -1, np.int16)
        with interrupts_deferred():
            for name, value in verification_row(record, genome, start, len(text)).items():
                _place(columns[name], row, np.asarray(value)[np.newaxis])
            _place(stream, start, text)
        self.flush()

    def flush(self) -> None:
        """Make everything added so far safe; raises `TrajectoryError` where the disk has no room."""
        begun = time.monotonic()
        with interrupts_deferred():
            for first, rows in self._pending:
                for name, column in rows.steps.items():
                    _place(self._columns["steps"][name], int(rows.episodes["start"][0]), column)
                for name, column in rows.episodes.items():
                    _place(self._columns["episodes"][name], first, column)
            self._pending = []
            self._updates.write()
            self._file.flush()
            self._published.publish(self._overlay.take())
            self._overlay.rebase(self._published.handle)
            self._saved = self._total
        self._flushed = time.monotonic()
        self._flush_cost = self._flushed - begun

    def close(self, *, finished: bool = False) -> None:
        """Flush what is pending and let go of the file; `finished` says that the run is complete."""
        if self._file is None:
            return
        try:
            if finished:
                self._file.attrs["finished"] = np.int32(1)
            if self._pending or self._updates.pending or finished:
                self.flush()
        finally:
            file, self._file = self._file, None
            file.close()
            self._published.close()

    @property
    def _patience(self) -> float:
        """Seconds to let pass between two flushes."""
        least, most = QUIET_S
        return min(most, max(least, self._flush_cost / SHARE))

    def _append(self, batch: EpisodeBatch, first: int) -> None:
        rows = rows_of(batch, self._steps, self._wall_before + time.monotonic() - self._begun)
        if first:
            rows = rows.part(first, len(rows))
            shift = int(rows.episodes["start"][0]) - self._steps
            rows.episodes["start"][:] -= shift
        rows.episodes["digest"][:] = digests(rows, self._last_digest)
        last, steps, total = bytes(rows.episodes["digest"][-1]), len(rows.steps["actions"]), len(rows)
        # Plain assignments, no call between them: Ctrl-C cannot come in between.
        self._pending = [*self._pending, (self._total, rows)]
        self._last_digest = last
        self._steps += steps
        self._total += total
        self._check_from = self._total

    def _compare(self, batch: EpisodeBatch, count: int) -> None:
        """Compare the first `count` episodes of `batch` with those logged at the place they belong."""
        if self._pending:
            self.flush()
        begin, end = self._check_from, self._check_from + count
        logged = self._read(begin, end)
        found = rows_of(batch, int(logged.episodes["start"][0]), 0.0).part(0, count)
        difference = first_difference(logged, found, begin)
        if difference is not None:
            raise TrajectoryError(
                f"{self._published.path}: expected the resumed search to repeat the logged one, found {difference}: "
                "code, packages or machine changed since; start a new run"
            )
        self._check_from = end

    def _read(self, begin: int, end: int) -> Rows:
        columns = self._columns["episodes"]
        episodes = {column.name: columns[column.name][begin:end] for column in EPISODES}
        first = int(episodes["start"][0])
        last = first + int(episodes["length"].sum(dtype=np.int64))
        steps = {column.name: self._columns["steps"][column.name][first:last] for column in STEPS}
        return Rows(steps, episodes)


def _check_same_run(log: TrajectoryLog, meta: RunMeta | None) -> None:
    parts = log.meta.differences(meta) if meta is not None else ()
    if parts:
        raise TrajectoryError(
            f"{log.path}: expected the log of this run, but its {', '.join(parts)} differ: "
            "resume with the settings the log was begun with"
        )


def _place(dataset: Any, at: int, rows: npt.NDArray[Any]) -> None:
    """Write `rows` from row `at` on; the dataset grows as far as needed."""
    end = at + len(rows)
    if dataset.shape[0] < end:
        dataset.resize(end, 0)
    dataset[at:end] = rows
