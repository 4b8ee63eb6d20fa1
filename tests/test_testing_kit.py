"""The conformance kit: a good backend passes, and each broken promise is found and named."""

import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest

from eenn_rl.backbone import Backbone
from eenn_rl.cost import CostReport, ExitCost, LayerCost, StageCost, Violation
from eenn_rl.errors import BackendError, InvalidValueError
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.testing import (
    PROMISES,
    BackendConformance,
    BrokenPromise,
    Plausible,
    Subject,
    check_all,
    measure_speed,
    oversized_workload,
    promises,
    sample_workloads,
    subject_for,
)
from eenn_rl.testing.promises import check_deterministic
from eenn_rl.testing.side_effects import check_free_of_side_effects
from eenn_rl.testing.units import check_units_and_ranges
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone
from plugin_site import good_plugin, install

Index = npt.NDArray[np.int32]
Answer = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]
ACCELERATOR = load_accelerator("quad_edge_tpu")
BACKBONE = make_backbone("resnet8", (1, 16, 16))
WORKLOADS = sample_workloads(ACCELERATOR, BACKBONE, count=6)


class Sound:
    """A picojoule and a nanosecond per MAC, one more for each layer; batch and single by the same sums."""

    api_version = 1

    def evaluate(self, workload: Workload) -> CostReport:
        work, exits = 0, []
        for stage in workload.stages:
            work += sum(layer.macs + 1 for layer in stage.layers + stage.branch_layers)
            exits.append(ExitCost(work * 1e-12, work * 1e-9))
        bytes_ = max(layer.output_elements for stage in workload.stages for layer in stage.layers)
        small = bytes_ < 2**30
        return CostReport(tuple(exits), () if small else (Violation("dram", bytes_, 2**30, "bytes"),))

    def evaluate_batch(self, stages: Sequence[Stage], index: Index) -> Answer:
        energy, latency = np.zeros(index.shape), np.zeros(index.shape)
        fits = np.ones(len(index), np.bool_)
        for i, row in enumerate(index):
            report = Sound.evaluate(self, Workload(tuple(stages[j] for j in row if j >= 0)))
            fits[i] = not report.violations
            for k, cost in enumerate(report.exits):
                energy[i, k], latency[i, k] = cost.energy_j, cost.latency_s
        return energy, latency, fits


class Leaver(Sound):
    """It ends the process that pickles it."""

    def __getstate__(self) -> object:
        sys.exit(0)


class Deserter(Sound):
    """Its copies in other processes end them."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def evaluate(self, workload: Workload) -> CostReport:
        if os.getpid() != self.home:
            sys.exit(0)
        return super().evaluate(workload)


class TestSound(BackendConformance):
    """The three lines that an author writes, for a backend that is not installed."""

    def make_backend(self, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:  # noqa: ARG002
        return Sound()


class TestMulticore(BackendConformance):
    """Our own default backend, by name, as an author of one would."""

    backend_name = "multicore"


def subject(make: Callable[[], object]) -> Subject:
    return Subject(make, ACCELERATOR, BACKBONE, WORKLOADS)


def variant(change: Callable[[CostReport], object], *, batch: bool = False) -> Callable[[], object]:
    """A `Sound` whose `evaluate` answer (or that of its batch too) passes through `change`."""

    class Variant(Sound if batch else SimpleNamespace):  # type: ignore[misc]
        api_version = 1

        def evaluate(self, workload: Workload) -> object:
            return change(Sound().evaluate(workload))

    return Variant


def scaled(energy: float = 1, latency: float = 1) -> Callable[[CostReport], CostReport]:
    return lambda report: replace(
        report, exits=tuple(ExitCost(c.energy_j * energy, c.latency_s * latency) for c in report.exits)
    )


def drifting() -> Callable[[CostReport], CostReport]:
    calls = iter(range(10**6))

    def drift(report: CostReport) -> CostReport:
        return scaled(1 + 1e-15 * next(calls))(report)

    return drift


def raising(_report: CostReport) -> object:
    raise MemoryError("too big")


def with_effect(effect: Callable[[], object]) -> Callable[[CostReport], CostReport]:
    return lambda report: (effect(), report)[1]


def ending(_report: CostReport) -> object:
    sys.exit(0)


def idle_stage(utilization: float) -> StageCost:
    return StageCost((LayerCost("pool", "core0", None, 1e-6, 1e-12, 0, utilization),), (), 1e-12, 1e-6, 0.0, 0.0)


def big_raises(report: CostReport) -> CostReport:
    if report.violations:
        raise ValueError("does not fit")
    return report


BROKEN = {
    "no api_version": (lambda: SimpleNamespace(evaluate=Sound().evaluate), "integer api_version"),
    "drifts by one bit": (
        variant(drifting()),
        r"deterministic on .* evaluated twice: report.exits\[0\].* was .*, then",
    ),
    "raises": (variant(raising), "side effects on .* evaluate raised MemoryError: too big"),
    "ends the process": (variant(ending), "side effects on .* evaluate raised SystemExit: 0"),
    "ends the process while it is made": (lambda: sys.exit(0), "protocol: making the backend raised SystemExit: 0"),
    "returns exits as tuples": (
        variant(lambda report: replace(report, exits=tuple((c.energy_j, c.latency_s) for c in report.exits))),
        r"side effects on .* whose exits must be a tuple of ExitCost, found \(\(",
    ),
    "returns no violations": (variant(lambda report: replace(report, violations=None)), "tuple of Violation, found N"),
    "returns a cost of None": (
        variant(lambda report: replace(report, exits=(ExitCost(None, 1.0), *report.exits[1:]))),
        "exit 0: energy_j must be a number, found None",
    ),
    "returns a number": (variant(lambda report: report.exits[0].energy_j), "returned float, expected CostReport"),
    "prints": (variant(with_effect(lambda: sys.stdout.write("hello"))), r"printed 'hello' on stdout"),
    "draws from the global generator": (variant(with_effect(random.random)), "changed random's state"),
    "draws from numpy's global generator": (variant(with_effect(np.random.random)), "changed numpy.random's state"),
    "sets an environment variable": (
        variant(with_effect(lambda: os.environ.update(EENN_TEST=str(random.random())))),  # noqa: S311
        "changed .*environment variables",
    ),
    "writes a file": (variant(with_effect(lambda: Path("left.txt").write_text("x"))), "changed files in the working"),
    "is in picojoules": (variant(scaled(energy=1e12)), "is energy_j in joules"),
    "is in microjoules": (variant(scaled(energy=1e6)), "is energy_j in joules"),
    "is in milliseconds": (variant(scaled(latency=1e3)), "is latency_s in seconds"),
    "is in microjoules and milliseconds": (variant(scaled(0.5e6, 0.5e3)), "is energy_j in joules.* sets `plausible`"),
    "divides nothing by nothing": (
        variant(lambda report: replace(report, stages=(idle_stage(math.nan),))),
        r"units and ranges on .* report.stages\[0\].layers\[0\].utilization must be a number, found nan",
    ),
    "breaks down into something else": (
        variant(lambda report: replace(report, peak_memory_bytes={"sram": print})),
        r"report.peak_memory_bytes\['sram'\] must be a number or a text, found <built-in function print>",
    ),
    "is in cycles": (variant(scaled(latency=1e9)), "is latency_s in seconds, not cycles"),
    "is negative": (variant(scaled(energy=-1)), "energy_j must be finite and positive, found -"),
    "is not a number": (variant(scaled(latency=float("nan"))), "latency_s must be finite and positive, found nan"),
    "is infinite": (variant(scaled(energy=float("inf"))), "energy_j must be finite and positive, found inf"),
    "forgets an exit": (
        variant(lambda report: replace(report, exits=report.exits[:1])),
        "1 exits for [2-4] stages",
    ),
    "gets cheaper": (
        variant(lambda report: replace(report, exits=tuple(reversed(report.exits)))),
        "exit 0 costs .*, exit 1 only",
    ),
    "raises where it does not fit": (variant(big_raises), "violations instead of exceptions .* ValueError: does not"),
    "claims a violation within its bound": (
        variant(lambda report: replace(report, violations=(Violation("sram", 1, 2, "bytes"),))),
        "whose demand exceeds its bound",
    ),
    "has a batch that differs in the last bit": (
        variant(scaled(1 + 2**-52), batch=True),
        "batch equals single on .* bat",
    ),
    "ends the process when pickled": (Leaver, "to worker processes: cannot be pickled: .* SystemExit: 0"),
    "ends its worker": (Deserter, "to worker processes on .*: in a worker process it raised SystemExit: 0"),
    "cannot be pickled": (variant(lambda report: report), "pickles to worker processes: cannot be pickled"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_each_broken_promise_is_found_and_named(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad backend per promise; the message says which promise, where and how."""
    monkeypatch.chdir(tmp_path)
    make, message = BROKEN[how]
    with pytest.raises((BrokenPromise, BackendError), match=message):
        check_all(subject(make))


EFFECTS: dict[str, tuple[Callable[[], object], str]] = {
    "random's seed": (lambda: random.seed(4), "changed random's state"),
    "numpy's seed": (lambda: np.random.seed(4), "changed numpy.random's state"),  # noqa: NPY002  the global state
    "torch's seed": (lambda: pytest.importorskip("torch").manual_seed(4), "changed torch's random state"),
    "numpy's error handling": (lambda: np.seterr(all="ignore"), "changed numpy's error handling"),
    "an environment variable": (lambda: os.environ.update(EENN_TEST="1"), r"environment variables \(EENN_TEST\)"),
}


def global_state() -> tuple[object, ...]:
    return random.getstate(), str(np.random.get_state()), np.geterr()  # noqa: NPY002  the global state


@pytest.mark.parametrize("what", EFFECTS)
def test_a_side_effect_is_found_whatever_ran_before(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an earlier test of the kit has made the backend set the very same; the kit's own state is put back."""
    effect, message = EFFECTS[what]
    monkeypatch.setenv("EENN_TEST", "0")
    with np.errstate():
        effect()
        before = global_state()
        with pytest.raises(BrokenPromise, match=f"free of side effects on .* evaluate .*{message}"):
            check_free_of_side_effects(subject(variant(with_effect(effect))))
        assert global_state() == before


def test_what_is_put_back_is_no_side_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable and a seed of its own, for as long as it computes."""

    def tidy() -> None:
        state = random.getstate()
        random.seed(4)
        random.setstate(state)
        with mock.patch.dict(os.environ, EENN_TEST="1"):
            pass

    monkeypatch.setenv("EENN_TEST", "1")
    check_free_of_side_effects(subject(variant(with_effect(tidy))))


def test_a_nan_is_not_told_as_a_difference() -> None:
    """Of a breakdown that says NaN each time, the same workload costs the same; that it is no number is told alone."""
    nan = subject(variant(lambda report: replace(report, stages=(idle_stage(math.nan),))))
    check_deterministic(nan)
    with pytest.raises(BrokenPromise, match="units and ranges"):
        check_units_and_ranges(nan)


def test_a_chip_beyond_the_usual_is_tried_with_ranges_of_its_own() -> None:
    """They replace the kit's; bounds that hold nothing are refused."""
    far = replace(subject(variant(scaled(1e6, 1e3))), plausible=Plausible((0, 1e-5), (0, 1e-5), (0, 10)))
    check_units_and_ranges(far)
    with pytest.raises(BrokenPromise, match=r"expected 1e-06 to 0\.1 W"):
        check_units_and_ranges(replace(subject(variant(scaled(1e3))), plausible=Plausible(power_w=(1e-6, 0.1))))
    with pytest.raises(InvalidValueError, match="plausible power_w must be a lower and a higher bound"):
        Plausible(power_w=(10, 1))


def test_cores_that_share_no_bits_may_come_first() -> None:
    """A legal accelerator whose first allocation serves no stage: the kit tries the others."""
    one, other = (replace(core, precisions=core.precisions[at:][:1]) for at, core in enumerate(ACCELERATOR.cores[:2]))
    spec = AcceleratorSpec("odd", (one, other), allocations=((0, 1), (0,), (1,)))
    assert spec.allocation_bits(0) == ()
    check_all(Subject(Sound, spec, BACKBONE, sample_workloads(spec, BACKBONE, 2)))


class Stale(Sound):
    """Knows a stage by its number in the batch, for ever."""

    def __init__(self) -> None:
        self.known: dict[int, Stage] = {}

    def evaluate_batch(self, stages: Sequence[Stage], index: Index) -> Answer:
        known = [self.known.setdefault(i, stage) for i, stage in enumerate(stages)]
        return super().evaluate_batch(known, index)


def test_a_batch_that_remembers_the_last_one_is_found() -> None:
    """Stages have other numbers in every round of a search."""
    with pytest.raises(BrokenPromise, match=r"batch equals single on .* in reverse"):
        check_all(subject(Stale))


class Emptied(Sound):
    """Needs a row."""

    def evaluate_batch(self, stages: Sequence[Stage], index: Index) -> Answer:
        assert len(index), "no rows"
        return super().evaluate_batch(stages, index)


def test_a_batch_of_none_is_one() -> None:
    """Arrays without rows are answered with arrays without rows."""
    with pytest.raises(BrokenPromise, match="evaluate_batch raised AssertionError: no rows"):
        check_all(subject(Emptied))


BATCH_EFFECTS: dict[str, tuple[Callable[[list[Stage], Index], object], str]] = {
    "prints": (lambda *_: sys.stdout.write("hello"), "printed 'hello' on stdout"),
    "seeds numpy": (lambda *_: np.random.seed(0), "changed numpy.random's state"),  # noqa: NPY002  the global state
    "writes the index": (lambda _, index: index.fill(7), "changed the index that it was given"),
    "takes a stage away": (lambda stages, _: stages.pop(), "changed the stages that it was given"),
}


@pytest.mark.parametrize("what", BATCH_EFFECTS)
def test_a_batch_has_no_side_effects_either(what: str) -> None:
    """Nothing printed, no global state, and arguments as they were."""
    effect, message = BATCH_EFFECTS[what]

    class Effect(Sound):
        def evaluate_batch(self, stages: Sequence[Stage], index: Index) -> Answer:
            answer = super().evaluate_batch(stages, index)
            effect(stages, index)  # type: ignore[arg-type]
            return answer

    with pytest.raises(BrokenPromise, match=f"free of side effects: evaluate_batch {message}"):
        check_all(subject(Effect))


class _BatchOf(Sound):
    def __init__(self, change: Callable[..., Answer]) -> None:
        self.change = change

    def evaluate_batch(self, stages: Sequence[Stage], index: Index) -> Answer:
        return self.change(*super().evaluate_batch(stages, index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, t, f: (e.astype(np.float32), t, f), "must be .*float64.* found .*float32"),
        (lambda e, t, f: (e[:, :1], t, f), "must be"),
        (lambda *_: None, "evaluate_batch must return energy_j, latency_s and fits, found NoneType"),
        (lambda e, t, _: (e, t), "energy_j, latency_s and fits, found 2 values"),
        (lambda *_: 1 / 0, "batch equals single: evaluate_batch raised ZeroDivisionError: division by zero"),
        (lambda *_: sys.exit(0), "evaluate_batch raised SystemExit: 0"),
        (lambda e, t, f: (e, t, ~f), "fits False, violations"),
        (lambda e, t, f: (np.where(e == 0, 1.0, e), t, f), "padding must hold 0"),
        (lambda e, t, f: (e, t * (1 + 2**-52), f), "batch .* single"),
    ],
)
def test_a_batch_that_breaks_its_form_is_found(change: Callable[..., object], message: str) -> None:
    """Shapes, types, padding, fits and the last bit of every number."""
    with pytest.raises(BrokenPromise, match=message):
        check_all(subject(lambda: _BatchOf(change)))


def test_no_end_of_the_process_passes_for_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SystemExit` that comes from elsewhere in a check is a broken promise, too: a script must not end with 0."""
    monkeypatch.setattr(promises, "PROMISES", (lambda _subject: sys.exit(0),))
    with pytest.raises(BrokenPromise, match="SystemExit: 0"):
        check_all(subject(Sound))


def test_the_kit_runs_in_three_lines_on_an_installed_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name alone: default accelerator, a shipped backbone, every promise."""
    site = install(tmp_path / "site", "good-chip", {"kitchip": "kit_chip"}, {"kit_chip": good_plugin()})
    monkeypatch.syspath_prepend(site)
    check_all(subject_for("kitchip"))
    tests = {name for name in vars(BackendConformance) if name.startswith("test_")}
    assert {f"test_{check.__name__.removeprefix('check_')}" for check in PROMISES} <= tests


def test_workloads_cover_every_bit_width_and_several_exits() -> None:
    """The kit tries what a search would: all supported bits, one to four exits, legal bits for each allocation."""
    stages = [stage for workload in WORKLOADS for stage in workload.stages]
    supported = {bits for core in ACCELERATOR.cores for bits in core.supported_bits}
    assert {stage.bits for stage in stages} == supported
    assert len({len(workload.stages) for workload in WORKLOADS}) >= 3
    for stage in stages:
        assert stage.bits in ACCELERATOR.allocation_bits(stage.core)
        assert stage.bits in ACCELERATOR.allocation_bits(stage.branch_core)


def test_the_oversized_workload_exceeds_any_edge_memory() -> None:
    """64 GB of feature map at 8 bits."""
    (stage,) = oversized_workload(ACCELERATOR).stages
    assert stage.layers[0].output_elements > 64e9


def test_speed_is_measured_on_both_paths() -> None:
    """Evaluations and batches are timed; a backend without a batch path says so."""
    report = measure_speed(Sound, WORKLOADS)
    assert report.batch_s is not None
    assert 0 < report.evaluate_s < 1
    assert "/s)" in str(report)
    assert "no evaluate_batch" in str(measure_speed(variant(lambda r: r), WORKLOADS))
