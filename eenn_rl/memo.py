"""A slow backend that remembers, in memory and, if asked, on disk across runs: `memoised`."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from eenn_rl.cost import CostReport, parts_of
from eenn_rl.errors import BackendError, InputFileError, check
from eenn_rl.guard import evaluate_safely, report_problem
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import backend_record
from eenn_rl.serialization import from_json, to_json
from eenn_rl.sources import sources_of
from eenn_rl.workers import Answer, ParallelBackend, parallel
from eenn_rl.workload import Workload

_FORMAT = 1
_KEEP_EVERY_S = 1.0
"""A run that is killed loses what was learned in at most this time."""
QUICK_S = 0.01
"""Answers that come faster are not worth a place in the file that a run keeps for itself."""


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity_of(name: str, backend: HardwareBackend, accelerator: AcceleratorSpec) -> str:
    """What decides the costs besides the workload: the installed backend, its version and files, and the accelerator.

    The files, code and data, are those of `sources_of`: costs of before an edit are never handed out. A backend whose
    answers also depend on something else (the version of a tool it calls) says so in an attribute `fingerprint`, a
    string.
    """
    record = backend_record(name)
    own = getattr(backend, "fingerprint", "")
    sources = sources_of(backend, record)
    return _digest(record.distribution, record.version, record.origin, own, sources, to_json(accelerator))


class _Store:
    """Reports on disk: one SQLite file, safe for several processes and for a run that is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the file where there is none; one that is something else is refused."""
        with self._connection() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS reports (key TEXT PRIMARY KEY, report TEXT NOT NULL)")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection and its transaction; whatever is wrong with the file is told in one line."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise InputFileError(
                f"{self.path}: expected a cost memo (or no file yet) that can be read and written, found: {error}"
            ) from None

    def get(self, key: str, exits: int) -> CostReport | None:
        """The report on a workload with `exits` stages; none where the row is damaged, so that it is asked for anew."""
        with self._connection() as connection:
            connection.text_factory = bytes  # what is no UTF-8 is a matter of its row, not of the file
            row = connection.execute("SELECT report FROM reports WHERE key = ?", (key,)).fetchone()
        try:
            report = from_json(CostReport, json.loads(row[0]), key) if row else None
        except (InputFileError, ValueError, TypeError, RecursionError):
            return None
        return report if report_problem(report, exits) is None else None

    def put(self, entries: Sequence[tuple[str, CostReport]]) -> None:
        if not self.path.exists():
            self.make()
        rows = [(key, json.dumps(to_json(report))) for key, report in entries]
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO reports VALUES (?, ?)", rows)


class MemoisedBackend:
    """`backend`, asked once per distinct workload. `hits` and `misses` count what it was spared and what not.

    With `least_s`, answers that took less (seconds, on average) are not remembered, and a file comes into being with
    the first that took longer.
    """

    def __init__(
        self, backend: HardwareBackend, path: Path | None, identity: str, limit_s: float | None = None,
        least_s: float = 0.0,
    ) -> None:  # fmt: skip
        check(path is None or bool(identity), "identity", identity, "given for a memo on disk")
        self.api_version, self.workers = backend.api_version, int(getattr(backend, "workers", 1))
        self.hits = self.misses = 0
        self._backend, self._identity, self._limit_s, self._least_s = backend, identity, limit_s, least_s
        self._known: dict[Workload, CostReport] = {}
        self._store = _Store(path) if path else None
        if self._store is not None and not least_s:
            self._store.make()

    def evaluate(self, workload: Workload) -> CostReport:
        """The remembered report, or the backend's; what fails is not remembered and raises the backend's error."""
        known = self._recall(workload)
        if known is None:
            since = time.monotonic()
            known = self._backend.evaluate(workload)
            self._remember([(workload, known)], time.monotonic() - since)
        return known

    def evaluate_many(self, workloads: Sequence[Workload]) -> list[Answer]:
        """For each workload, in order, its report or the `BackendError` with the reason; each distinct one once."""
        answers: dict[Workload, Answer] = {}
        new = []
        for workload in dict.fromkeys(workloads):
            known = self._recall(workload)
            if known is None:
                new.append(workload)
            else:
                answers[workload] = known
        answers.update(self._learn(new))
        return [answers[workload] for workload in workloads]

    def _learn(self, workloads: Sequence[Workload]) -> dict[Workload, Answer]:
        """Ask the backend; its reports are kept as they come, and those that came before an interruption stay."""
        answers: dict[Workload, Answer] = {}
        learned: list[tuple[Workload, CostReport]] = []
        since = time.monotonic()
        try:
            with closing(self._ask(workloads)) as coming:
                for number, answer in coming:
                    workload = workloads[number]
                    answers[workload] = answer
                    if isinstance(answer, CostReport):
                        learned.append((workload, answer))
                    if time.monotonic() - since > _KEEP_EVERY_S:
                        self._remember(learned, time.monotonic() - since)
                        learned, since = [], time.monotonic()
        finally:
            self._remember(learned, time.monotonic() - since)
        return answers

    def _ask(self, workloads: Sequence[Workload]) -> Generator[tuple[int, Answer], None, None]:
        """Number and answer of each, in the order in which they come."""
        if isinstance(self._backend, ParallelBackend):
            return self._backend.as_they_come(workloads)
        return ((number, self._try(workload)) for number, workload in enumerate(workloads))

    def _try(self, workload: Workload) -> Answer:
        try:
            return evaluate_safely(self._backend, workload, self._limit_s)
        except BackendError as error:
            return error

    def _key(self, workload: Workload) -> str:
        return _digest(_FORMAT, self._identity, to_json(workload))

    def _recall(self, workload: Workload) -> CostReport | None:
        known = self._known.get(workload)
        if known is None and self._store is not None and self._store.path.exists():
            known = self._store.get(self._key(workload), len(workload.stages))
            if known is not None:
                self._known[workload] = known
        self.hits += known is not None
        self.misses += known is None
        return known

    def _remember(self, found: Sequence[tuple[Workload, CostReport]], took_s: float) -> None:
        if took_s < self._least_s * len(found):
            return
        sound = [(w, report) for w, report in found if report_problem(report, len(w.stages)) is None]
        self._known.update(sound)
        kept = [(workload, report) for workload, report in sound if _can_be_kept(report)]
        if self._store is not None and kept:
            self._store.put([(self._key(workload), report) for workload, report in kept])


def _can_be_kept(report: CostReport) -> bool:
    """Whether a file can hold all of `report`: a backend may add what it likes to its breakdown."""
    return all(part is None or isinstance(part, int | float | str) for _, part in parts_of(report))


def memoised(
    backend: HardwareBackend, path: Path | None = None, identity: str = "", limit_s: float | None = None
) -> MemoisedBackend:
    """`backend`, remembering every sound report; with `path`, also in that SQLite file, across runs and processes.

    `identity` (see `identity_of`) keeps the reports of different backends, of states of their files and of accelerators
    apart in one file. `limit_s` bounds each evaluation of `evaluate_many`. Wrap it around `parallel`, which has a
    limit of its own, to spread what is not yet known over processes.

    Raises:
        InputFileError: `path` is something else, or cannot be read or written; also while it is used.
    """
    return MemoisedBackend(backend, path, identity, limit_s)


def practical(
    name: str,
    backend: HardwareBackend,
    accelerator: AcceleratorSpec,
    memo: Path | None = None,
    workers: int = 1,
    limit_s: float | None = None,
    kept: Path | None = None,
) -> HardwareBackend:
    """The installed backend `name`, spread over `workers` processes and remembered in `memo`, as far as asked.

    Asked for neither, one that costs whole batches comes back as it is: it is faster alone. What another one took
    `QUICK_S` or longer for is remembered in `kept`, the file of the run, so that continuing it asks nothing again,
    as long as the backend's files, code and data, stay as they are.
    """
    spread = parallel(backend, workers, limit_s) if workers > 1 else backend
    if memo is not None:
        return memoised(spread, memo, identity_of(name, backend, accelerator), limit_s)
    if kept is None or hasattr(spread, "evaluate_batch"):
        return spread
    return MemoisedBackend(spread, kept, identity_of(name, backend, accelerator), limit_s, QUICK_S)
