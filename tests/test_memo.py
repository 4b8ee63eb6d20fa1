"""Slow backends made practical: remembered in memory and on disk, spread over processes."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from eenn_rl import memo as memo_module
from eenn_rl.cost import CostReport, ExitCost, LayerCost, Span, StageCost, Violation
from eenn_rl.errors import BackendError, InputFileError, InvalidValueError
from eenn_rl.hardware import load_accelerator
from eenn_rl.memo import MemoisedBackend, identity_of, memoised, practical
from eenn_rl.testing import sample_workloads
from eenn_rl.workers import ParallelBackend, parallel
from eenn_rl.workload import Workload
from eenn_rl.zoo import make_backbone
from plugin_site import good_plugin, install

ACCELERATOR = load_accelerator("quad_edge_tpu")
WORKLOADS = sample_workloads(ACCELERATOR, make_backbone("resnet8", (1, 16, 16)), count=6)


def macs(workload: Workload) -> int:
    return sum(layer.macs for stage in workload.stages for layer in stage.layers + stage.branch_layers)


@dataclass
class Counting:
    """Costs a third of a picojoule per MAC, with a full breakdown; counts its calls; fails on the workload `bad`."""

    api_version: int = 1
    calls: int = 0
    bad: Workload | None = None

    def evaluate(self, workload: Workload) -> CostReport:
        self.calls += 1
        if workload == self.bad:
            raise ValueError("bad day")
        cost = macs(workload) / 3 * 1e-12
        layer = LayerCost("conv", "core0", None, 1e-6, cost, 7, 0.1, {"sram": cost / 7})
        stage = StageCost((layer,), (), cost, 1e-6, 0.0, 0.0)
        exits = tuple(ExitCost(cost * (k + 1), 1e-6 * (k + 1)) for k in range(len(workload.stages)))
        violation = Violation("sram", 2.5, 1 / 3, "bytes")
        return CostReport(exits, (violation,), (stage,), (Span("core0", "conv", 0.0, 1e-6),), {"sram": 12.5})


def test_a_workload_is_costed_once() -> None:
    """Repeats come from memory, and are the same report."""
    backend = Counting()
    memo = memoised(backend)
    first = [memo.evaluate(w) for w in WORKLOADS]
    assert [memo.evaluate(w) for w in WORKLOADS] == first
    assert memo.evaluate_many([*WORKLOADS, *WORKLOADS]) == first * 2
    assert backend.calls == len(WORKLOADS)
    assert (memo.misses, memo.hits) == (len(WORKLOADS), 2 * len(WORKLOADS))


def test_a_memo_on_disk_outlives_the_run_and_is_exact(tmp_path: Path) -> None:
    """A later process asks the backend nothing, and gets every number back to the last bit."""
    path = tmp_path / "memo" / "costs.sqlite"
    first = memoised(Counting(), path, "chip 1").evaluate_many(WORKLOADS)
    backend = Counting()
    assert memoised(backend, path, "chip 1").evaluate_many(WORKLOADS) == first
    assert backend.calls == 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A span as a plugin may have it."""

    core: str
    gate: object


def test_what_no_file_can_hold_is_remembered_in_memory_alone(tmp_path: Path) -> None:
    """A backend may put records of its own into its breakdown: its costs count, and are asked for anew next time."""

    class Odd(Counting):
        def evaluate(self, workload: Workload) -> CostReport:
            spans = (Slot("core0", print), SimpleNamespace(core="core1"))
            return replace(super().evaluate(workload), timeline=spans)  # type: ignore[arg-type]

    backend = Odd()
    for asked in (1, 2):
        memo = memoised(backend, tmp_path / "costs.sqlite", "odd chip")
        assert memo.evaluate(WORKLOADS[0]).exits == memo.evaluate(WORKLOADS[0]).exits
        assert backend.calls == asked


def test_numbers_of_numpy_are_kept_as_exactly(tmp_path: Path) -> None:
    """A report of any of numpy's scalars, in every field that takes a number, comes back from the file as it was."""

    class Numpys(Counting):
        def evaluate(self, workload: Workload) -> CostReport:
            self.calls += 1
            cost = np.float32(macs(workload) / 3 * 1e-12)
            layer = LayerCost("conv", "c", np.int64(3), np.float64(1e-6), cost, np.int64(7), cost, {"sram": cost})
            stage = StageCost((layer,), (), cost, np.float16(0.1), np.array(0.0), np.float32(0.1))
            return CostReport(
                tuple(ExitCost(np.float32(k + 1) * cost, np.array(1e-6)) for k in range(len(workload.stages))),
                (Violation("sram", np.int64(5), np.uint8(4), "bytes"),),
                (stage,),
                (Span("c", "conv", np.float32(0.1), np.float64(1e-6)),),
                {"sram": np.int64(5)},
            )

    path = tmp_path / "costs.sqlite"
    backend = Numpys()
    first = memoised(backend, path, "chip").evaluate_many(WORKLOADS)
    assert first == [Numpys().evaluate(workload) for workload in WORKLOADS]
    assert first[0].exits[0].energy_j == np.float32(macs(WORKLOADS[0]) / 3 * 1e-12)  # type: ignore[union-attr]
    assert memoised(backend, path, "chip").evaluate_many(WORKLOADS) == first
    assert backend.calls == len(WORKLOADS)


def test_another_identity_is_another_memo(tmp_path: Path) -> None:
    """Reports of another backend, version or accelerator are never handed out."""
    path = tmp_path / "costs.sqlite"
    memoised(Counting(), path, "chip 1").evaluate(WORKLOADS[0])
    backend = Counting()
    memoised(backend, path, "chip 2").evaluate(WORKLOADS[0])
    assert backend.calls == 1
    with pytest.raises(InvalidValueError, match="identity must be given for a memo on disk"):
        memoised(Counting(), path)


def source_of(kind: type[Counting], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a backend's class comes from as far as anyone can tell, for a test to edit."""
    source = folder / "edited.py"
    source.write_text("ENERGY = 1")
    module = ModuleType("edited")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "edited", module)
    monkeypatch.setattr(kind, "__module__", "edited")
    return source


def test_an_identity_covers_all_that_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distribution, version, files, accelerator and the backend's own fingerprint each change it."""
    site = install(tmp_path / "a", "chip", {"memochip": "memo_chip"}, {"memo_chip": good_plugin()}, version="1.0")
    monkeypatch.syspath_prepend(site)
    backend = Counting()
    first = identity_of("memochip", backend, ACCELERATOR)
    assert identity_of("memochip", backend, ACCELERATOR) == first
    others = [identity_of("memochip", backend, replace(ACCELERATOR, clock_hz=2e9))]
    backend.fingerprint = "tool 3.9.1"  # type: ignore[attr-defined]
    others.append(identity_of("memochip", backend, ACCELERATOR))
    monkeypatch.syspath_prepend(install(tmp_path / "b", "chip", {"memochip": "memo_chip"}, {}, version="1.1"))
    others.append(identity_of("memochip", Counting(), ACCELERATOR))
    assert len({first, *others}) == 4

    model = source_of(Counting, tmp_path, monkeypatch)
    before = identity_of("memochip", Counting(), ACCELERATOR)
    model.write_text("ENERGY = 2")
    assert identity_of("memochip", Counting(), ACCELERATOR) != before


def test_failures_are_told_and_not_remembered() -> None:
    """A bad day is not for ever: the next time the backend is asked again."""
    backend = Counting(bad=WORKLOADS[2])
    memo = memoised(backend)
    answers = memo.evaluate_many(WORKLOADS)
    assert [isinstance(answer, BackendError) for answer in answers] == [i == 2 for i in range(len(WORKLOADS))]
    assert str(answers[2]) == "raised ValueError: bad day"
    backend.bad = None
    assert isinstance(memo.evaluate_many(WORKLOADS)[2], CostReport)


def test_unsound_reports_are_not_remembered(tmp_path: Path) -> None:
    """A NaN never gets into a file that other runs read."""

    class Nan(Counting):
        def evaluate(self, workload: Workload) -> CostReport:
            report = super().evaluate(workload)
            return replace(report, exits=(ExitCost(float("nan"), 1.0),) * len(workload.stages))

    backend = Nan()
    memo = memoised(backend, tmp_path / "costs.sqlite", "chip")
    memo.evaluate(WORKLOADS[0])
    memo.evaluate(WORKLOADS[0])
    assert backend.calls == 2


def test_a_file_that_is_no_memo_is_one_line_and_left_alone(tmp_path: Path) -> None:
    """A wrong path is the user's mistake, and nothing of theirs is overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes, nothing else, and long enough to be no empty database\n" * 50)
    with pytest.raises(InputFileError, match="expected a cost memo"):
        memoised(Counting(), path, "chip")
    assert path.read_text().startswith("my notes")


def test_two_writers_share_one_memo(tmp_path: Path) -> None:
    """What one run learns another finds, both open at once."""
    path = tmp_path / "costs.sqlite"
    one, backend = memoised(Counting(), path, "chip"), Counting()
    other = memoised(backend, path, "chip")
    one.evaluate(WORKLOADS[0])
    other.evaluate(WORKLOADS[0])
    other.evaluate(WORKLOADS[1])
    assert backend.calls == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM reports").fetchone() == (2,)
    connection.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_learned_before_an_interruption_stays(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a slow batch: what had come by then is in the file, from processes as well."""
    path = tmp_path / "costs.sqlite"
    slow = Counting()
    with parallel(slow, max(workers, 1)) as spread:
        memo = memoised(spread if workers else slow, path, "chip")
        put, kept = memo._remember, []

        def interrupt(found: Sequence[tuple[Workload, CostReport]], took_s: float) -> None:
            put(found, took_s)
            kept.extend(found)
            if len(kept) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(memo, "_remember", interrupt)
        monkeypatch.setattr(memo_module, "_KEEP_EVERY_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            memo.evaluate_many(WORKLOADS)
    again = Counting()
    memoised(again, path, "chip").evaluate_many(WORKLOADS)
    assert again.calls == len(WORKLOADS) - 2


def test_a_memo_keeps_the_limit_of_one_evaluation() -> None:
    """With a memo and no workers, a workload that hangs is told as such, and the others are answered."""

    class Hanging(Counting):
        def evaluate(self, workload: Workload) -> CostReport:
            if workload == WORKLOADS[1]:
                time.sleep(30)
            return super().evaluate(workload)

    answers = memoised(Hanging(), limit_s=0.3).evaluate_many(WORKLOADS)
    assert [str(answer) for answer in answers if isinstance(answer, BackendError)] == ["took longer than 0.3 s"]
    assert isinstance(answers[1], BackendError)


def test_a_memo_that_is_damaged_while_it_is_used_is_one_line(tmp_path: Path) -> None:
    """Not a traceback from SQLite in the middle of a search."""
    path = tmp_path / "costs.sqlite"
    memo = memoised(Counting(), path, "chip")
    path.write_bytes(b"not a database at all, and long enough" * 100)
    with pytest.raises(InputFileError, match=r"costs\.sqlite: expected a cost memo"):
        memo.evaluate_many(WORKLOADS[:1])


DAMAGED = {
    "cut short": b'{"exits": [{"energy_j": 1.0, "late',
    "no UTF-8": b"\xff\xfe\x00",
    "of another kind": b'{"exits": "none"}',
    "a number": b"5",
    "nested without end": b"[" * 100_000,
    "not a number": b'{"exits": [{"energy_j": NaN, "latency_s": 1.0}]}',
    "negative": b'{"exits": [{"energy_j": -1.0, "latency_s": 1.0}]}',
    "of more exits": b'{"exits": [{"energy_j": 1.0, "latency_s": 1.0}, {"energy_j": 1.0, "latency_s": 1.0}]}',
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_row_counts_as_none(how: str, tmp_path: Path) -> None:
    """What cannot be read, or is no sound cost, is asked for anew and written over."""
    path, static = tmp_path / "costs.sqlite", next(w for w in WORKLOADS if len(w.stages) == 1)
    memoised(Counting(), path, "chip").evaluate(static)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE reports SET report = CAST(? AS TEXT)", (DAMAGED[how],))
    connection.close()
    backend, again = Counting(), Counting()
    for asked in (backend, again):
        assert memoised(asked, path, "chip").evaluate(static) == Counting().evaluate(static)
    assert (backend.calls, again.calls) == (1, 0)


@dataclass(frozen=True)
class Moody:
    """Takes `seconds` a workload; hangs in code that no signal reaches on `hangs`, ends its process on `dies`."""

    seconds: float = 0.0
    hangs: Workload | None = None
    dies: Workload | None = None
    api_version: int = 1

    def evaluate(self, workload: Workload) -> CostReport:
        time.sleep(self.seconds)
        if workload == self.hangs:
            import signal

            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            time.sleep(60)
        if workload == self.dies:
            os._exit(9)
        return Counting().evaluate(workload)


@pytest.fixture(scope="module")
def pool() -> Iterator[ParallelBackend]:
    with parallel(Moody(0.02, WORKLOADS[1], WORKLOADS[4]), workers=2, limit_s=0.8) as backend:
        yield backend


def test_workers_answer_in_order_and_survive_hangs_and_deaths(pool: ParallelBackend) -> None:
    """Every workload gets its own report or the reason, whatever happened to the worker that had it."""
    answers = pool.evaluate_many(WORKLOADS)
    expected = [Counting().evaluate(w) for w in WORKLOADS]
    assert [a for i, a in enumerate(answers) if i not in (1, 4)] == [
        e for i, e in enumerate(expected) if i not in (1, 4)
    ]
    assert str(answers[1]) == "took longer than 0.8 s"
    assert str(answers[4]) == "ended its worker process (exit code 9)"


@dataclass(frozen=True)
class Wrapping:
    """Its report is of a class that no other process knows."""

    api_version: int = 1

    def evaluate(self, workload: Workload) -> CostReport:
        class Local(CostReport):
            pass

        return Local(Counting().evaluate(workload).exits)


def test_workers_take_a_limit_that_nobody_waits_for() -> None:
    """Beyond what an operating system waits, it is none."""
    with parallel(Moody(), workers=1, limit_s=1e10) as backend:
        assert backend.evaluate(WORKLOADS[0]) == Counting().evaluate(WORKLOADS[0])


def test_a_report_that_cannot_be_sent_is_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    """Not the end of its worker, with a traceback for each."""
    with parallel(Wrapping(), workers=1) as backend:
        answers = backend.evaluate_many(WORKLOADS[:2])
    assert all(str(answer).startswith("returned what cannot be sent to another process: ") for answer in answers)
    assert capfd.readouterr().err == ""


def test_after_a_lost_worker_the_pool_still_works(pool: ParallelBackend) -> None:
    """Single evaluations as well, and the reason is raised."""
    assert pool.evaluate(WORKLOADS[0]) == Counting().evaluate(WORKLOADS[0])
    with pytest.raises(BackendError, match="exit code 9"):
        pool.evaluate(WORKLOADS[4])


def test_a_memo_over_workers_asks_each_workload_once(pool: ParallelBackend) -> None:
    """The usual pair for a slow backend: known ones from memory, the rest spread out."""
    memo = memoised(pool)
    good = [w for i, w in enumerate(WORKLOADS) if i not in (1, 4)]
    assert memo.evaluate_many(good * 3) == [Counting().evaluate(w) for w in good] * 3
    assert memo.misses == len(good)


def test_what_was_not_asked_for_is_not_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fast backend stays as it is; workers and a memo are added each on its own."""
    site = install(tmp_path / "a", "chip", {"fastchip": "fast_chip"}, {"fast_chip": good_plugin()})
    monkeypatch.syspath_prepend(site)
    backend = Counting()
    assert practical("fastchip", backend, ACCELERATOR) is backend
    assert isinstance(practical("fastchip", backend, ACCELERATOR, workers=2), ParallelBackend)
    memo = practical("fastchip", backend, ACCELERATOR, memo=tmp_path / "costs.sqlite")
    assert memo.evaluate(WORKLOADS[0]) == Counting().evaluate(WORKLOADS[0])
    again = practical("fastchip", backend, ACCELERATOR, memo=tmp_path / "costs.sqlite")
    again.evaluate(WORKLOADS[0])
    assert backend.calls == 1


def test_a_run_keeps_what_a_slow_backend_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in a batch, it asks for the rest, or anew once sources changed; a quick backend leaves no file."""
    site = install(tmp_path / "a", "chip", {"fastchip": "fast_chip"}, {"fast_chip": good_plugin()})
    monkeypatch.syspath_prepend(site)

    class Tired(Counting):
        def evaluate(self, workload: Workload) -> CostReport:
            if self.calls == 3:
                raise KeyboardInterrupt
            time.sleep(2 * memo_module.QUICK_S)
            return super().evaluate(workload)

    def kept(backend: Counting) -> MemoisedBackend:
        found = practical("fastchip", backend, ACCELERATOR, kept=tmp_path / "costs.sqlite")
        assert isinstance(found, MemoisedBackend)
        return found

    quick = Counting()
    assert kept(quick).evaluate_many(WORKLOADS) == [Counting().evaluate(workload) for workload in WORKLOADS]
    assert not (tmp_path / "costs.sqlite").exists()
    with pytest.raises(KeyboardInterrupt):
        kept(Tired()).evaluate_many(WORKLOADS)
    again = Counting()
    assert kept(again).evaluate_many(WORKLOADS) == [Counting().evaluate(workload) for workload in WORKLOADS]
    assert again.calls == len(WORKLOADS) - 3

    source = source_of(Tired, tmp_path, monkeypatch)
    fresh = Tired()
    fresh.calls = 4
    kept(fresh).evaluate_many(WORKLOADS[3:4])
    source.write_text("version = 2")
    kept(fresh).evaluate_many(WORKLOADS[3:4])
    kept(fresh).evaluate_many(WORKLOADS[3:4])
    assert fresh.calls == 4 + 2

    class Batched(Counting):
        evaluate_batch = None

    whole = Batched()
    assert practical("fastchip", whole, ACCELERATOR, kept=tmp_path / "costs.sqlite") is whole


def test_two_workers_take_half_the_time() -> None:
    """Sleeping a fifth of a second each, eight workloads take well under eight fifths."""
    with parallel(Moody(0.2), workers=2) as backend:
        backend.evaluate_many(WORKLOADS[:2])
        start = time.monotonic()
        backend.evaluate_many(WORKLOADS[:8])
        assert time.monotonic() - start < 1.4


def test_a_backend_that_does_not_pickle_is_one_line() -> None:
    """Told as the backend's broken promise, not as a traceback from multiprocessing."""

    class Local(Counting):
        pass

    with parallel(Local(), workers=1) as backend, pytest.raises(BackendError, match="cannot be sent to a worker"):
        backend.evaluate(WORKLOADS[0])
