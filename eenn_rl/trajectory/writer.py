"""TrajectoryWriter: appends episodes and verifications to a trajectory file that is whole at every moment."""

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from eenn_rl.episodes import EpisodeBatch
from eenn_rl.trajectory.flatten import rows_of
from eenn_rl.trajectory.growing import Growing
from eenn_rl.trajectory.layout import LIBVER, datasets, lay_out
from eenn_rl.trajectory.meta import RunMeta
from eenn_rl.trajectory.overlay import Overlay
from eenn_rl.trajectory.packing import Packing
from eenn_rl.trajectory.publish import PublishedFile
from eenn_rl.trajectory.reader import TrajectoryLog, open_log
from eenn_rl.trajectory.records import SEAL, plain, seal_of, verification_row
from eenn_rl.trajectory.rows import UNSEALED, Rows, digests, first_difference
from eenn_rl.trajectory.schema import EPISODES, FLAGS, VALUES, Dimensions, TrajectoryError
from eenn_rl.trajectory.updates import UpdateColumns

QUIET_S = (0.5, 5.0)
"""Least and most seconds between two automatic flushes."""
SHARE = 0.002
"""Between these bounds, flushing takes at most this share of the time."""
MOST_UNSAVED = 16384
"""Episodes that a kill may cost, at most."""
TURN_S = 0.1
"""The search waits this long for the thread to write a batch: side by side, the two take Python's lock from each other,
and both pay. Where the disk takes longer, the search goes on."""
MOST_WAITING = 4
"""Batches that the writing thread may then be behind the search."""


class TrajectoryWriter:
    """A recorder of episodes. Made by `create` or `resume`; one writer per file, others are refused.

    What `flush` has written is safe, whatever happens to the process. What was added is flushed by itself at most 5 s
    after the last flush, whether more is added or not, sooner where flushing is cheap. Use as a context manager, or
    `close`.

    Digests, compression and the file are left to one thread of its own. Ctrl-C strikes the caller, never that thread:
    HDF5 is not left halfway through a change; and neither a slow disk nor a slow backend holds back the other.
    """

    def __init__(
        self, published: PublishedFile, file: Any, overlay: Overlay, dimensions: Dimensions, packing: Packing | None
    ) -> None:
        self._published, self._file, self._overlay, self._packing = published, file, overlay, packing
        self._exits = dimensions.exits
        found = datasets(file, dimensions)
        self._columns = {
            group: {name: Growing(dataset) for name, dataset in columns.items()} for group, columns in found.items()
        }
        self._steps = len(self._columns["steps"]["actions"])
        self._saved = self._check_from = self._total = len(self._columns["episodes"]["length"])
        self._last_digest = bytes(found["episodes"]["digest"][-1]) if self._saved else UNSEALED
        self._wall_before = float(found["episodes"]["wall_s"][-1]) if self._saved else 0.0
        self._begun = self._flushed = time.monotonic()
        self._flush_cost = 0.0
        self._whole = True
        self._news = not self._saved
        self._alarm: threading.Timer | None = None
        self._updates = UpdateColumns(published.path, self._columns.get("updates"))
        self._thread = ThreadPoolExecutor(1, "trajectory-writer")
        self._waiting: deque[Future[None]] = deque()

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
            writer = cls(published, file, overlay, meta.dimensions, meta.packing)
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
                dimensions, packing = log.dimensions, log.packing
            overlay = Overlay(published.handle)
            return cls(published, h5py.File(overlay, "r+", libver=LIBVER), overlay, dimensions, packing)
        except BaseException:
            published.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Episodes added, saved or not."""
        self._wait()
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
        if episodes > len(self):
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
        """Append `batch`, which its owner changes no more; flush where it is time.

        What goes wrong with it is raised here or by a later call; a repeated episode that differs, here.
        """
        if len(batch) == 0:
            return
        wall_s = self._wall_before + time.monotonic() - self._begun
        handed = self._thread.submit(self._add, batch, wall_s)
        self._waiting.append(handed)
        wait([handed], TURN_S)
        self._wait(MOST_WAITING if self._check_from == self._total else 0)

    def _wait(self, most: int = 0) -> None:
        """Until the thread is at most `most` batches behind."""
        while len(self._waiting) > most or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        """`work` in the thread, after all that it was given before."""
        self._wait()
        self._thread.submit(work, *arguments).result()

    def add_verification(self, record: Mapping[str, Any], genome: npt.NDArray[np.int16] | None = None) -> None:
        """Append one verified architecture (`eenn_rl.results.Verified` as JSON data) and flush.

        A record that the log already holds is not added again: a verification that was killed repeats what it did.
        """
        self._do(self._add_verification, record, genome)

    def flush(self) -> None:
        """Make everything added so far safe; raises `TrajectoryError` where the disk has no room."""
        self._do(self._flush)

    def close(self, *, finished: bool = False) -> None:
        """Flush what is pending and let go of the file; `finished` says that the run is complete."""
        if self._file is None:
            return
        try:
            self._do(self._finish, finished)
        finally:
            self._thread.shutdown(cancel_futures=True)
            if self._alarm is not None:
                self._alarm.cancel()
            file, self._file = self._file, None
            file.close()
            self._published.close()

    def _add(self, batch: EpisodeBatch, wall_s: float) -> None:
        if not self._whole:  # the batch before failed halfway (out of memory) and says so itself
            return
        again = min(len(batch), self._total - self._check_from)
        if again:
            self._compare(batch, again)
        if again < len(batch):
            self._append(batch, again, wall_s)
        self._save_what_is_due()

    def _save_what_is_due(self) -> None:
        """Flush where it is time; where it will be later, come back then, whether more is added or not."""
        unsaved = self._total - self._saved
        left = self._patience - (time.monotonic() - self._flushed)
        if unsaved and (left <= 0 or unsaved >= MOST_UNSAVED):
            self._flush()
        elif unsaved and self._alarm is None:
            self._alarm = threading.Timer(left, self._ring)
            self._alarm.daemon = True
            self._alarm.start()

    def _ring(self) -> None:
        """In the alarm's own thread."""
        self._alarm = None
        with contextlib.suppress(RuntimeError):  # the writer was closed meanwhile
            self._waiting.append(self._thread.submit(self._save_what_is_due))

    def _add_verification(self, record: Mapping[str, Any], genome: npt.NDArray[np.int16] | None) -> None:
        columns, stream = self._columns["verifications"], self._columns["verification_text"]["text"]
        start, text = len(stream), stream.read().tobytes()
        places = zip(columns["text_start"].read().tolist(), columns["text_length"].read().tolist(), strict=True)
        known = [json.loads(text[at : at + length]) for at, length in places]
        given = json.dumps(record, sort_keys=True)
        if any(json.dumps(plain(other), sort_keys=True) == given for other in known):
            return
        if genome is None:
            genome = np.full((self._exits, 5), -1, np.int16)
        row = verification_row(record, genome, start, 0)
        seal = seal_of(record, row, str(known[-1].get(SEAL, "")) if known else "")
        added = np.frombuffer(json.dumps({**record, SEAL: seal}, sort_keys=True).encode(), np.uint8)
        for name, value in {**row, "text_length": len(added)}.items():
            columns[name].append(np.asarray(value)[np.newaxis])
        stream.append(added)
        self._news = True
        self._flush()

    def _finish(self, finished: bool) -> None:
        if finished:
            self._file.attrs["finished"] = np.int32(1)
            self._news = True
        self._flush()

    def _flush(self) -> None:
        if not self._whole or not (self._news or self._updates.pending):
            return
        begun = time.monotonic()
        self._updates.write()
        for columns in self._columns.values():
            for column in columns.values():
                column.write()
        self._file.flush()
        self._published.publish(self._overlay.take())
        self._overlay.rebase(self._published.handle)
        self._saved, self._news = self._total, False
        self._flushed = time.monotonic()
        self._flush_cost = self._flushed - begun

    @property
    def _patience(self) -> float:
        """Seconds to let pass between two flushes."""
        least, most = QUIET_S
        return min(most, max(least, self._flush_cost / SHARE))

    def _append(self, batch: EpisodeBatch, first: int, wall_s: float) -> None:
        self._whole = False
        rows = rows_of(batch, self._steps, wall_s, self._packing)
        if first:
            rows = rows.part(first, len(rows))
            shift = int(rows.episodes["start"][0]) - self._steps
            rows.episodes["start"][:] -= shift
        rows.episodes["digest"][:] = digests(rows, self._last_digest)
        for group, columns in (("steps", rows.steps), ("episodes", rows.episodes)):
            for name, column in columns.items():
                self._columns[group][name].append(column)
        self._last_digest = bytes(rows.episodes["digest"][-1])
        self._news = True
        self._steps += len(rows.steps["actions"])
        self._total += len(rows)
        self._check_from = self._total
        self._whole = True

    def _compare(self, batch: EpisodeBatch, count: int) -> None:
        """Compare the first `count` episodes of `batch` with those logged at the place they belong."""
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
        episodes = {column.name: columns[column.name].read(begin, end) for column in EPISODES}
        first = int(episodes["start"][0])
        last = first + int(episodes["length"].sum(dtype=np.int64))
        steps = {name: column.read(first, last) for name, column in self._columns["steps"].items()}
        if self._packing:
            steps["observations"] = self._packing.unpack(steps[FLAGS], steps[VALUES])
        return Rows(steps, episodes)


def _check_same_run(log: TrajectoryLog, meta: RunMeta | None) -> None:
    parts = log.meta.differences(meta) if meta is not None else ()
    if parts:
        raise TrajectoryError(
            f"{log.path}: expected the log of this run, but its {', '.join(parts)} differ: "
            "resume with the settings the log was begun with"
        )
