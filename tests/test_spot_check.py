"""A search says so when its backend breaks a promise that would mislead it; it asks little and changes nothing."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import synthetic
from eenn_rl.cli import main
from eenn_rl.cost import CostReport, ExitCost, Violation
from eenn_rl.run import train
from eenn_rl.testing import spot_check as module
from eenn_rl.testing.spot_check import spot_check
from eenn_rl.workers import parallel
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables
from measured_problem import BatchClosedFormBackend, ClosedFormBackend
from plugin_site import good_plugin, install

SPACE = synthetic.quad()
Answer = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]


class Changed(ClosedFormBackend):
    """Its reports pass through `change`, with the number of the call."""

    def __init__(self, change: Callable[[CostReport, int], CostReport]) -> None:
        super().__init__()
        self.change = change

    def evaluate(self, workload: Workload) -> CostReport:
        return self.change(super().evaluate(workload), self.workloads)


class ChangedBatch(BatchClosedFormBackend):
    """The answers of its batches pass through `change`."""

    def __init__(self, change: Callable[..., object]) -> None:
        super().__init__()
        self.change, self.rows = change, 0

    def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Answer:
        self.rows += len(index)
        return self.change(*super().evaluate_batch(stages, index))  # type: ignore[return-value]


class StaleBatch(BatchClosedFormBackend):
    """Knows a stage by its number in the batch, for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Stage] = {}

    def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Answer:
        known = [self.known.setdefault(number, stage) for number, stage in enumerate(stages)]
        return super().evaluate_batch(known, index)


def drift(report: CostReport, call: int) -> CostReport:
    return replace(report, exits=tuple(ExitCost(c.energy_j, c.latency_s * (1 + 1e-12 * call)) for c in report.exits))


def last_exit_free(report: CostReport, _call: int) -> CostReport:
    return replace(report, exits=(*report.exits[:-1], replace(report.exits[-1], energy_j=1e-15)))


def overfull_at_times(report: CostReport, call: int) -> CostReport:
    return replace(report, violations=(Violation("sram", 2.0, 1.0, "B"),) if call % 2 else ())


BROKEN = {
    "drifts": (Changed(drift), "the same workload costs the same each time; found latency_s .* at exit 0"),
    "fits at times": (Changed(overfull_at_times), "costs the same each time; found violations .*sram.*, then"),
    "gets cheaper": (Changed(last_exit_free), "later exit costs at least as much .* energy_j .*, 1e-15 at exit 3"),
    "differs in the last bit": (
        ChangedBatch(lambda e, t, f: (e, t * (1 + 2**-52), f)),
        "evaluate_batch equals evaluate exactly; found latency_s .* in a batch, .* alone at exit 0",
    ),
    "remembers the last batch": (StaleBatch(), "evaluate_batch equals evaluate exactly; found energy_j .* in a batch"),
    "is less exact": (ChangedBatch(lambda e, t, f: (e.astype(np.float32), t, f)), "energy_j in float32, expected fl"),
    "fits otherwise": (ChangedBatch(lambda e, t, f: (e, t, ~f)), "fits .* in a batch, violations .* alone"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_each_broken_promise_is_told_once(how: str) -> None:
    """What was promised and what was found, in one line."""
    backend, message = BROKEN[how]
    (line,) = spot_check(backend, SPACE)
    assert re.search(message, line), line


def test_a_backend_that_keeps_its_promises_is_not_mentioned() -> None:
    """Single or in batches."""
    assert spot_check(ClosedFormBackend(), SPACE) == []
    assert spot_check(BatchClosedFormBackend(), SPACE) == []


def test_a_slow_backend_is_asked_three_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice alone and once in a batch, for the one architecture with most exits."""
    monkeypatch.setattr(module, "ENOUGH_S", 0.0)
    slow = ChangedBatch(lambda *answer: answer)
    assert spot_check(slow, SPACE) == []
    assert (slow.workloads, slow.rows) == (2, 1)


def test_what_fails_is_left_to_the_search() -> None:
    """A backend that raises, or hangs, is asked once for each architecture, and no longer than its limit."""

    def raising(_report: CostReport, _call: int) -> CostReport:
        raise SystemExit(3)

    def hanging(_report: CostReport, _call: int) -> CostReport:
        time.sleep(60)
        raise AssertionError

    assert spot_check(Changed(raising), SPACE) == []
    begun = time.monotonic()
    assert spot_check(Changed(hanging), SPACE, limit_s=0.05) == []
    assert time.monotonic() - begun < 5
    assert spot_check(ChangedBatch(lambda *_: None), SPACE) == []


def test_workers_are_asked_where_there_are_some() -> None:
    """A backend that is spread over processes is checked in them, where it can do no harm."""
    with parallel(Changed(last_exit_free), 2) as spread:
        assert len(spot_check(spread, SPACE)) == 1


CHEAPER = good_plugin().replace("return CostReport", "costs[-1] = ExitCost(1e-15, latency)\n        return CostReport")


def broken_site(folder: Path, source: str) -> Path:
    """A site with the plugin `broken`, and the tables of a small problem beside it."""
    random_tables(make_backbone("resnet8", (1, 16, 16), 10), 0).save(folder / "tables.npz")
    return install(folder / "site", "broken", {"broken": "broken_chip"}, {"broken_chip": source})


def test_training_and_comparing_begin_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr and in the log that names the backend, the promise and the kit; the search goes on."""
    monkeypatch.syspath_prepend(broken_site(tmp_path, CHEAPER))
    (tmp_path / "comparison").mkdir()
    tables = str(tmp_path / "tables.npz")
    given = {"tables": tables, "backend": "broken", "search": {"budget": 20, "agent": "random"}}
    folder = train(given, run=tmp_path / "run", resume=False, config=None)
    words = ["compare", "--out", str(tmp_path / "comparison"), "--tables", tables, "--backend", "broken"]
    assert main([*words, "--agents", "random", "--budgets", "10", "--seeds", "1", "--workers", "1"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("backend 'broken' breaks its")]
    assert len(told) == 2
    assert all("a later exit costs at least as much" in line and "eenn_rl.testing (docs/plu" in line for line in told)
    assert told[0] in folder.log.read_text("utf-8")
