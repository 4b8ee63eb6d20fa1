"""A backend's answer, checked: what goes wrong is one reason, never a dead run."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from eenn_rl.cost import CostReport, ExitCost, Violation, parts_of
from eenn_rl.errors import BackendError
from eenn_rl.guard import evaluate_safely
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone

WORKLOAD = Workload((Stage(make_backbone("resnet8").layers, (), 8, 0, 0),) * 2)


def backend(evaluate: Callable[[Workload], object]) -> HardwareBackend:
    return SimpleNamespace(api_version=1, evaluate=evaluate)  # type: ignore[return-value]


def costs(*pairs: tuple[float, float]) -> Callable[[Workload], CostReport]:
    return lambda _workload: CostReport(tuple(ExitCost(*pair) for pair in pairs))


def raising(error: BaseException) -> Callable[[Workload], object]:
    def evaluate(_workload: Workload) -> object:
        raise error

    return evaluate


def busy(seconds: float) -> Callable[[Workload], object]:
    def evaluate(workload: Workload) -> object:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(Exception):  # a backend that swallows what it can
                time.sleep(0.005)
        return costs((1, 1), (2, 2))(workload)

    return evaluate


@pytest.mark.parametrize(
    ("evaluate", "reason"),
    [
        (raising(ValueError("no such\nlayer")), "raised ValueError: no such layer"),
        (raising(SystemExit(4)), "raised SystemExit: 4"),
        (raising(RecursionError()), "raised RecursionError"),
        (lambda _w: None, "returned NoneType, expected CostReport"),
        (costs((1, 1)), "returned 1 exits for 2 stages"),
        (costs((1, 1), (2, math.nan)), "returned latency_s nan at exit 1, expected a finite cost of at least 0"),
        (costs((math.inf, 1), (2, 2)), "returned energy_j inf at exit 0, expected a finite cost of at least 0"),
        (costs((-1.0, 1), (2, 2)), r"returned energy_j -1.0 at exit 0"),
        (costs(("1", 1), (2, 2)), "returned energy_j '1' at exit 0, expected a finite cost"),  # type: ignore[arg-type]
        (costs((1 + 1j, 1), (2, 2)), "returned energy_j .* at exit 0, expected a finite"),  # type: ignore[arg-type]
        (lambda _w: CostReport(((1, 1), (2, 2))), r"returned \(1, 1\) as exit 0, expected an ExitCost"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_cost_becomes_its_reason(evaluate: Callable[[Workload], object], reason: str) -> None:
    """Exceptions, exits and unsound numbers are told in one line."""
    with pytest.raises(BackendError, match=reason) as error:
        evaluate_safely(backend(evaluate), WORKLOAD, limit_s=5)
    assert "\n" not in str(error.value)


def test_a_sound_report_passes_unchanged() -> None:
    """The backend's own object comes back."""
    report = CostReport((ExitCost(1, 1), ExitCost(2, 2)))
    assert evaluate_safely(backend(lambda _w: report), WORKLOAD, limit_s=5) is report


def test_numbers_of_numpy_are_numbers() -> None:
    """Costs, demands and peaks in whatever type numpy gave them are Python's own from then on, and equal."""
    exits = (ExitCost(np.float32(0.1), np.int64(2)), ExitCost(np.array(1.0), np.float64(3.0)))
    made = CostReport(exits, (Violation("w", np.int64(2), np.uint8(1), "B"),), peak_memory_bytes={"w": np.int32(5)})
    report = evaluate_safely(backend(lambda _w: made), WORKLOAD)
    numbers = [value for _, value in parts_of(report) if not isinstance(value, str)]
    assert numbers == [np.float32(0.1), 2, 1.0, 3.0, 2, 1, 5]
    assert {type(number) for number in numbers} == {int, float}


def test_a_slow_backend_is_interrupted_at_the_limit() -> None:
    """Also one that swallows every Exception; the run goes on long before it would have answered."""
    start = time.monotonic()
    with pytest.raises(BackendError, match=r"took longer than 0\.05 s"):
        evaluate_safely(backend(busy(10)), WORKLOAD, limit_s=0.05)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("limit", [math.inf, 1e10, 1e300])
def test_a_limit_beyond_what_timers_count_is_none(limit: float) -> None:
    """Nobody waits that long: the backend's answer counts, not what the timer would say."""
    report = CostReport((ExitCost(1, 1), ExitCost(2, 2)))
    assert evaluate_safely(backend(lambda _w: report), WORKLOAD, limit_s=limit) is report


@pytest.mark.parametrize(("armed", "takes"), [(30.0, 0.05), (0.02, 0.1)])
def test_a_timer_of_somebody_else_goes_on(armed: float, takes: float) -> None:
    """A caller's own alarm keeps its time and its interval; where that came while the backend was at work, it rings."""
    rung: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(time.monotonic()))
    try:
        signal.setitimer(signal.ITIMER_REAL, armed, 40.0)
        evaluate_safely(backend(busy(takes)), WORKLOAD, limit_s=5)
        if armed > takes:
            left, interval = signal.getitimer(signal.ITIMER_REAL)
            assert (armed - 5 < left <= armed - takes, interval, rung) == (True, 40.0, [])
        else:
            time.sleep(0.05)
            assert len(rung) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_without_a_timer_of_somebody_else_none_is_left() -> None:
    """After an evaluation in time no alarm is armed, and its handler is what it was."""
    handler = signal.getsignal(signal.SIGALRM)
    evaluate_safely(backend(busy(0.01)), WORKLOAD, limit_s=5)
    assert (signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM)) == ((0.0, 0.0), handler)


def test_outside_the_main_thread_the_limit_is_told_afterwards() -> None:
    """No signal reaches a thread: the answer that came too late still counts as too late."""
    caught: list[str] = []

    def run() -> None:
        try:
            evaluate_safely(backend(busy(0.1)), WORKLOAD, limit_s=0.02)
        except BackendError as error:
            caught.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert caught == ["took longer than 0.02 s"]


def test_ctrl_c_still_ends_the_run() -> None:
    """KeyboardInterrupt is the user's, not the backend's."""
    with pytest.raises(KeyboardInterrupt):
        evaluate_safely(backend(raising(KeyboardInterrupt())), WORKLOAD, limit_s=5)
