"""A backend's answer, checked: what raises, is no cost or takes too long becomes one `BackendError` with the reason."""

import contextlib
import math
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from eenn_rl.cost import CostReport, ExitCost
from eenn_rl.errors import BackendError, EennError, one_line
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.workload import Workload

EVALUATION_LIMIT_S = 60.0
"""The longest that one evaluation may take during a search, unless told otherwise."""

BATCH_LIMITS = 30
"""A batch may take as long as its workloads one by one, but no longer than this many times the limit of one."""

LONGEST_S = 1e6
"""A limit beyond this, eleven days, is none: the operating system's timers count some weeks, no more."""

_AT_ONCE_S = 1e-6
"""The shortest time of a timer: 0 would stop it."""

_Found = TypeVar("_Found")


class TooSlowError(BackendError):
    """A backend took longer than its limit."""


class TimeUpError(BaseException):
    """The time limit, raised inside the backend; no `Exception`, so that a backend's own handlers let it pass."""


def bounded(limit_s: float | None) -> float | None:
    """`limit_s`, or None, no limit, where it is more than `LONGEST_S`, as infinity is."""
    return None if limit_s is None or limit_s > LONGEST_S else limit_s


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeUpError` when the body takes longer than `seconds`; None, or more than `LONGEST_S`: no limit.

    In the main thread the body is interrupted as soon as Python code runs. Elsewhere (threads; systems without
    interval timers), or in code that never returns to Python, it is raised once the body ends; `parallel` stops
    such a backend by ending its process. A timer that somebody else had armed goes on afterwards; it rings then at
    once if its time came meanwhile.
    """
    seconds = bounded(seconds)
    if seconds is None:
        yield
        return
    start = time.monotonic()
    interrupts = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    handler, left, interval = _set_alarm(seconds) if interrupts else (None, 0.0, 0.0)
    try:
        yield
    finally:
        if interrupts:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(_AT_ONCE_S, left - (time.monotonic() - start)), interval)
    if time.monotonic() - start > seconds:
        raise TimeUpError


def _set_alarm(seconds: float) -> tuple[Any, float, float]:
    """Arm the timer; what was in place, to be put back: the handler, the seconds left to its timer, its interval."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeUpError

    handler = signal.signal(signal.SIGALRM, ring)
    return handler, *signal.setitimer(signal.ITIMER_REAL, seconds)


def report_problem(report: object, exits: int) -> str | None:
    """Why `report` is no cost of a workload with `exits` stages; None for a sound one."""
    if not isinstance(report, CostReport):
        return f"returned {type(report).__name__}, expected CostReport"
    if len(report.exits) != exits:
        return f"returned {len(report.exits)} exits for {exits} stages"
    for k, cost in enumerate(report.exits):
        if not isinstance(cost, ExitCost):
            return f"returned {cost!r:.80} as exit {k}, expected an ExitCost"
        for name, value in (("energy_j", cost.energy_j), ("latency_s", cost.latency_s)):
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                return f"returned {name} {value!r:.80} at exit {k}, expected a finite cost of at least 0"
    return None


def call_safely(call: Callable[[], _Found], limit_s: float | None = None) -> _Found:
    """What `call`, which runs a plugin's code, returns; what it prints goes to stderr.

    Raises:
        TooSlowError: it took longer than `limit_s`.
        BackendError: it raised. In both cases the message is the reason alone.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr), time_limit(limit_s):
            return call()
    except TimeUpError:
        raise TooSlowError(f"took longer than {limit_s:g} s") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's SystemExit must not end a search
        raise BackendError(f"raised {one_line(error)}") from error


def evaluate_safely(backend: HardwareBackend, workload: Workload, limit_s: float | None = None) -> CostReport:
    """The backend's report on `workload`.

    Raises:
        BackendError: it raised, returned no sound cost, or took longer than `limit_s`; the message is the reason alone.
    """
    report = call_safely(lambda: backend.evaluate(workload), limit_s)
    problem = call_safely(lambda: report_problem(report, len(workload.stages)))
    if problem:
        raise BackendError(problem)
    return report


def ask_backend(name: str, backend: HardwareBackend, workload: Workload) -> CostReport:
    """The report of the backend `name` where nothing goes on without it; what it prints goes to stderr.

    Raises:
        EennError: what the backend says of its accelerator or workload.
        BackendError: it fails in another way, or returns no sound cost; the message names it.
    """
    try:
        return evaluate_safely(backend, workload)
    except BackendError as error:
        if isinstance(error.__cause__, EennError):
            raise error.__cause__ from None
        raise BackendError(f"backend {name!r} {error}") from error


def failure_summary(reasons: Sequence[str], distinct: int, most: int = 3) -> str:
    """What to tell at the end of a search on a backend that failed: how often, and the `most` frequent reasons."""
    counts = Counter(reasons).most_common()
    listed = [f"{count} times it {reason}" if count > 1 else f"once it {reason}" for reason, count in counts[:most]]
    rest = sum(count for _, count in counts[most:])
    if rest:
        listed.append(f"{rest} times something else")
    return (
        f"the backend failed on {len(reasons)} of {distinct} architectures, which count as infeasible: "
        f"{'; '.join(listed)}; the log has the reason of each"
    )
