"""A slow backend spread over processes: `parallel`.

Each worker holds a copy of the backend and gets one workload at a time. A worker that takes too long or dies is ended
and replaced; its workload gets the reason.
"""

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Self

from eenn_rl.cost import CostReport
from eenn_rl.errors import BackendError, check, one_line
from eenn_rl.guard import bounded, evaluate_safely
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.workload import Workload

Answer = CostReport | BackendError
_GRACE_S = 2.0
"""How long a worker may take, beyond the limit, to interrupt its backend by itself."""
_MASKS = hasattr(signal, "pthread_sigmask")
_START_S = 120.0
"""How long a worker may take to come up: it imports the plugin anew."""


def _serve(backend: HardwareBackend, limit_s: float | None, connection: Connection) -> None:
    """A worker's life: say that it is there, then answer workloads until it is interrupted or nobody listens."""
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):  # the main process tells why the run ended
        try:
            _mask_interrupts("SIG_UNBLOCK")
            connection.send(None)
            while True:
                _send(connection, _answer(backend, limit_s, connection.recv()))
        finally:
            _mask_interrupts("SIG_BLOCK")  # nor while it comes down


def _answer(backend: HardwareBackend, limit_s: float | None, workload: Workload) -> Answer:
    try:
        return evaluate_safely(backend, workload, limit_s)
    except BackendError as error:
        return BackendError(str(error))


def _send(connection: Connection, answer: Answer) -> None:
    try:
        packed = ForkingPickler.dumps(answer)
    except Exception as error:  # noqa: BLE001  whatever a plugin's classes raise
        packed = ForkingPickler.dumps(
            BackendError(f"returned what cannot be sent to another process: {one_line(error)}")
        )
    connection.send_bytes(packed)


def _mask_interrupts(how: str) -> set[int]:
    """Let Ctrl-C wait (``SIG_BLOCK``) or through again (``SIG_UNBLOCK``); the signals that waited before."""
    return set(signal.pthread_sigmask(getattr(signal, how), [signal.SIGINT])) if _MASKS else set()


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C waits meanwhile, and in a process that is started here until it lets it through: it would print where."""
    if _MASKS:
        resource_tracker.ensure_running()  # which lets interrupts through: not only with the first worker
    before = _mask_interrupts("SIG_BLOCK")
    try:
        yield
    finally:
        if signal.SIGINT not in before:
            _mask_interrupts("SIG_UNBLOCK")


class _Worker:
    def __init__(self, backend: HardwareBackend, limit_s: float | None) -> None:
        # spawn: a forked child would inherit the threads' locks of torch and HDF5 in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(backend, limit_s, theirs), daemon=True)
        try:
            with _interrupts_wait():
                self.process.start()
        except Exception as error:
            raise BackendError(f"cannot be sent to a worker process: {one_line(error)}") from error
        theirs.close()
        self.ready = False
        self.started = 0.0
        self.task = -1

    def give(self, task: int, workload: Workload) -> None:
        """Start on workload number `task`; the clock starts once the process has come up."""
        if not self.ready:
            self._await_start()
        self.task, self.started = task, time.monotonic()
        with contextlib.suppress(OSError):  # a process that is gone is met when its answer is read
            self.connection.send(workload)

    def _await_start(self) -> None:
        try:
            if not self.connection.poll(_START_S):
                raise BackendError(f"its worker process took longer than {_START_S:g} s to start")
            self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            raise BackendError(f"its worker process ended while starting (exit code {code})") from None
        self.ready = True

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self.process.kill()
        self.process.join()


@dataclass(frozen=True)
class _Settings:
    backend: HardwareBackend
    workers: int
    limit_s: float | None


class ParallelBackend:
    """`backend` in `workers` processes, which `evaluate_many` keeps busy. Close it, or use it in a with statement."""

    def __init__(self, backend: HardwareBackend, workers: int, limit_s: float | None) -> None:
        check(workers >= 1, "workers", workers, "at least 1")
        self.api_version, self.workers = backend.api_version, workers
        self._settings = _Settings(backend, workers, bounded(limit_s))
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_workers": []}

    def close(self) -> None:
        """End the workers; the next evaluation starts new ones."""
        while self._workers:
            self._workers.pop().end()

    def evaluate(self, workload: Workload) -> CostReport:
        """Cost one workload in a worker; raises the `BackendError` with the reason where that failed."""
        (answer,) = self.evaluate_many([workload])
        if isinstance(answer, BackendError):
            raise answer
        return answer

    def evaluate_many(self, workloads: Sequence[Workload]) -> list[Answer]:
        """Cost many: for each workload, in order, its report or the `BackendError` with the reason."""
        answers = dict(self.as_they_come(workloads))
        return [answers[number] for number in range(len(workloads))]

    def as_they_come(self, workloads: Sequence[Workload]) -> Generator[tuple[int, Answer], None, None]:
        """Number and answer of each workload, in the order in which they come."""
        waiting = deque(range(len(workloads)))
        busy: list[_Worker] = []
        try:
            self._start(min(self._settings.workers, len(workloads)))
            idle = list(self._workers)
            while waiting or busy:
                while waiting and idle:
                    worker, task = idle.pop(), waiting.popleft()
                    worker.give(task, workloads[task])
                    busy.append(worker)
                for worker, answer in self._collect(busy):
                    busy.remove(worker)
                    idle.append(worker if worker in self._workers else self._start_one())
                    yield worker.task, answer
        except BaseException:
            self.close()  # an interrupted worker would answer the next call with this one's result
            raise

    def _start(self, count: int) -> None:
        while len(self._workers) < count:
            self._start_one()

    def _start_one(self) -> _Worker:
        self._workers.append(_Worker(self._settings.backend, self._settings.limit_s))
        return self._workers[-1]

    def _collect(self, busy: list[_Worker]) -> list[tuple[_Worker, Answer]]:
        """What has come in: at least one answer, or the reason for a worker that had to be ended."""
        limit = self._settings.limit_s
        patience = None
        if limit is not None:
            oldest = min(worker.started for worker in busy)
            patience = max(0.0, oldest + limit + _GRACE_S - time.monotonic())
        ready = wait([worker.connection for worker in busy], patience)
        done = [worker for worker in busy if worker.connection in ready]
        if done:
            return [(worker, self._receive(worker)) for worker in done]
        late = min(busy, key=lambda worker: worker.started)
        return [(late, self._lose(late, f"took longer than {limit:g} s"))]

    def _receive(self, worker: _Worker) -> Answer:
        try:
            answer: Answer = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            return self._lose(worker, f"ended its worker process (exit code {worker.process.exitcode})")
        return answer

    def _lose(self, worker: _Worker, reason: str) -> BackendError:
        worker.end()
        self._workers.remove(worker)
        return BackendError(reason)


def parallel(backend: HardwareBackend, workers: int, limit_s: float | None = None) -> ParallelBackend:
    """`backend` spread over `workers` processes, each evaluation limited to `limit_s` seconds.

    The backend must pickle (`eenn_rl.testing` checks it). Worth it from some milliseconds per evaluation on.
    """
    return ParallelBackend(backend, workers, limit_s)
