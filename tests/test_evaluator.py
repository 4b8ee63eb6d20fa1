"""The evaluator: one number per architecture, the same however it is asked for."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import synthetic
from eenn_rl.cost import CostReport, ExitCost
from eenn_rl.errors import BackendError, InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluation import ARRAYS, EvaluationBatch
from eenn_rl.evaluator import FAILURES_BEFORE, VIOLATIONS, Evaluator
from eenn_rl.objective import Objective
from eenn_rl.space import BRANCH, Genomes
from eenn_rl.workload import Stage, Workload, workload_of
from measured_problem import BatchClosedFormBackend, ClosedFormBackend, CrowdedBackend, evaluator, tables

SPACE = synthetic.quad()
ESTIMATOR = Estimator(tables(SPACE.backbone))
STRICT = Objective(accuracy_tolerance=0.03, deadline_s=4e-4, memory_bytes=60_000, min_exit_rate=0.05)


def sampled(n: int, seed: int = 0) -> Genomes:
    return SPACE.sample(np.random.default_rng(seed), n)


def made(objective: Objective | None = None, backend: Any = None) -> Evaluator:
    return evaluator(objective, backend, SPACE, ESTIMATOR)


def assert_equal(a: EvaluationBatch, b: EvaluationBatch) -> None:
    for name in ARRAYS:
        assert (getattr(a, name) == getattr(b, name)).all(), name
    assert a.failures == b.failures


@pytest.mark.parametrize("objective", [Objective(accuracy_tolerance=0.03), STRICT, Objective("energy"),
                                       replace(STRICT, minimise="latency")])  # fmt: skip
def test_single_equals_batch_to_the_last_bit(objective: Objective) -> None:
    """`evaluate` of an architecture gives exactly the row that a batch gives its genome."""
    genomes = sampled(120)
    batch = made(objective, BatchClosedFormBackend()).evaluate_batch(genomes)
    single = made(objective, BatchClosedFormBackend())
    for i, genome in enumerate(genomes):
        found = single.evaluate(SPACE.decode(genome))
        used = len(found.architecture.exits)
        assert (found.reward, found.feasible) == (batch.reward[i], batch.feasible[i])
        assert (found.energy_j, found.latency_s) == (batch.energy_j[i], batch.latency_s[i])
        assert (found.elp, found.elp_reduction) == (batch.elp[i], batch.elp_reduction[i])
        assert found.estimate.accuracy == batch.accuracy[i]
        assert found.estimate.exit_rates == tuple(batch.exit_rates[i, :used])
        assert found.estimate.exit_accuracies == tuple(batch.exit_accuracies[i, :used])
        assert found.estimate.thresholds == tuple(batch.thresholds[i, :used])
        named = [found.terms[f"violation_{name}"] for name in VIOLATIONS]
        assert named == batch.violations[i].tolist()
        assert found.feasible == (not found.violations)
    assert 0 < batch.feasible.mean() < 1


def test_the_order_and_size_of_batches_change_nothing() -> None:
    """One by one, in pieces, backwards, with repetitions: every architecture keeps its evaluation."""
    genomes = sampled(300, 1)
    whole = made(STRICT, BatchClosedFormBackend()).evaluate_batch(genomes)
    backwards = made(STRICT, BatchClosedFormBackend()).evaluate_batch(genomes[::-1])
    assert_equal(backwards.take(np.arange(299, -1, -1)), whole)
    pieces = made(STRICT, BatchClosedFormBackend())
    for start in range(0, 300, 7):
        part = np.concatenate([genomes[start : start + 7], genomes[:3]])
        found = pieces.evaluate_batch(part)
        assert_equal(found.take(np.arange(len(part) - 3)), whole.take(np.arange(start, min(start + 7, 300))))
    assert_equal(made(STRICT, BatchClosedFormBackend()).score_batch(genomes), whole)


def test_a_backend_without_the_batch_path_is_asked_one_by_one() -> None:
    """The same costs give the same evaluations, whichever way the backend answers."""
    genomes = sampled(150, 2)
    assert_equal(
        made(STRICT, CrowdedBackend()).evaluate_batch(genomes),
        made(STRICT, BatchClosedFormBackend()).evaluate_batch(genomes),
    )


def test_what_was_seen_is_not_asked_again() -> None:
    """The backend costs each distinct architecture once; `distinct` counts them, static networks apart."""
    backend = ClosedFormBackend()
    subject = made(backend=backend)
    genomes = np.unique(sampled(80, 3), axis=0)
    static = subject.static
    assert subject.distinct == 0
    before = backend.workloads
    twice = subject.evaluate_batch(np.concatenate([genomes, genomes]))
    again = subject.evaluate_batch(genomes)
    assert backend.workloads == before + len(genomes)
    assert subject.distinct == len(genomes)
    assert_equal(again, twice.take(np.arange(len(genomes), 2 * len(genomes))))
    single = subject.evaluate(SPACE.decode(genomes[0]))
    assert single.reward == again.reward[0]
    assert subject.distinct == len(genomes)
    assert backend.workloads == before + len(genomes)
    assert static.reward == 0.0
    subject.score_batch(sampled(10, 4))
    assert subject.distinct == len(genomes)


def test_stages_are_those_of_the_workload() -> None:
    """What the batch path is asked is stage for stage what a single workload holds."""
    asked: list[tuple[Sequence[Stage], npt.NDArray[np.int32]]] = []

    class Listening(BatchClosedFormBackend):
        def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Any:
            asked.append((stages, index))
            return super().evaluate_batch(stages, index)

    genomes = sampled(60, 5)
    made(backend=Listening()).score_batch(genomes)
    stages, index = asked[-2]  # the last one costs the statics
    stages, index = next(call for call in asked if len(call[1]) == 60)
    assert index.dtype == np.int32
    for genome, row in zip(genomes, index, strict=True):
        assert tuple(stages[at] for at in row[row >= 0]) == workload_of(SPACE.decode(genome)).stages


@pytest.mark.parametrize("minimise", ["elp", "energy", "latency"])
def test_the_static_baseline_is_on_its_best_allocation(minimise: Any) -> None:
    """Of all allocations the 8-bit network without exits gets the best by the objective; it is feasible, reward 0."""
    subject = made(Objective(minimise, accuracy_tolerance=0.03))
    static = subject.static
    costs = []
    for genome in SPACE.static(8):
        last = ClosedFormBackend().evaluate(workload_of(SPACE.decode(genome))).exits[-1]
        costs.append(
            {"elp": last.energy_j * last.latency_s, "energy": last.energy_j, "latency": last.latency_s}[minimise]
        )
    found = {"elp": static.elp, "energy": static.energy_j, "latency": static.latency_s}[minimise]
    assert found == min(costs)
    assert static.feasible
    assert static.reward == 0
    assert static.elp_reduction == 0
    assert [exit_.bits for exit_ in static.architecture.exits] == [8]
    assert static.cost is not None


def test_static_best_bits_is_the_cheapest_that_is_accurate_enough() -> None:
    """Of the static networks that reach the floor the cheapest, of whatever bits; never below 8 bits alone."""
    accuracies = {bits: ESTIMATOR.static_accuracy(bits) for bits in (2, 4, 8)}
    for tolerance in (0.0, 0.01, 0.03, 0.1, 0.5):
        subject = made(Objective(accuracy_tolerance=tolerance, headroom=0.0))
        reaching = [bits for bits, accuracy in accuracies.items() if accuracy >= accuracies[8] - tolerance]
        best = subject.static_best_bits
        assert best.architecture.exits[0].bits == min(reaching)
        assert best.elp <= subject.static.elp
        assert best.elp == min(subject.static_costs(bits)[1] * subject.static_costs(bits)[2] for bits in reaching)


def test_where_8_bits_are_not_allowed_the_highest_are_the_baseline() -> None:
    """Without 8 bits in the space the static baseline has the highest allowed."""
    space = synthetic.quad(bits=(2, 4))
    subject = evaluator(space=space, estimator=ESTIMATOR)
    assert subject.static_bits == 4
    assert subject.static.architecture.exits[0].bits == 4
    assert subject.static.estimate.accuracy == ESTIMATOR.static_accuracy(4)


def test_what_does_not_fit_its_memory_is_infeasible() -> None:
    """A violation of the backend makes an architecture infeasible, and is passed on in the backend's words."""
    subject = made(backend=CrowdedBackend())
    assert subject.static.architecture.exits[0].core != 0, "the baseline is a network that fits"
    genomes = sampled(200, 6)
    batch = subject.evaluate_batch(genomes)
    crowded = ((genomes[:, :, 2] == 8) & (genomes[:, :, 3] == 0)).any(axis=1)
    column = VIOLATIONS.index("memory")
    assert ((batch.violations[:, column] > 0) == crowded).all()
    assert not batch.feasible[crowded].any()
    single = subject.evaluate(SPACE.decode(genomes[crowded.argmax()]))
    assert "sram of core0" in {violation.subject for violation in single.violations}


def test_thresholds_hold_the_demands_where_any_do() -> None:
    """No architecture misses its accuracy or the use of an exit by more than counting allows where it is feasible."""
    subject = made(STRICT)
    batch = subject.evaluate_batch(sampled(300, 7))
    good = batch.feasible
    assert good.any()
    assert (batch.accuracy[good] >= subject.baseline.floor).all()
    rates = np.where(batch.exit_rates > 0, batch.exit_rates, 1)
    assert (rates[good].min(axis=1) >= 0.05).all()
    assert subject.baseline.floor > subject.static.estimate.accuracy - 0.03, "headroom"


@pytest.mark.parametrize(
    ("objective", "subject"),
    [
        (Objective(deadline_s=1e-9), "worst-case latency"),
        (Objective(memory_bytes=10), "weights"),
        (Objective(min_exit_rate=0.9), "use of exit"),
        (Objective(headroom=0.0, accuracy_tolerance=0.0), "accuracy"),
        (Objective(overhead=0.0), "to the last exit"),
    ],
)
def test_every_broken_constraint_is_explained(objective: Objective, subject: str) -> None:
    """A person is told demand and bound of each constraint that does not hold."""
    evaluations = [made(objective).evaluate(SPACE.decode(genome)) for genome in sampled(12, 8)]
    named = [str(violation) for found in evaluations for violation in found.violations]
    assert any(subject in text and "bound" in text for text in named)


class FailingBackend(ClosedFormBackend):
    """Fails on what runs a stage on allocation `where`, in the way that `how` says."""

    def __init__(self, how: str, where: int = 3) -> None:
        super().__init__()
        self.how, self.where = how, where

    def evaluate(self, workload: Workload) -> CostReport:
        report = super().evaluate(workload)
        if all(stage.core != self.where for stage in workload.stages):
            return report
        if self.how == "raises":
            raise RuntimeError("no such core")
        if self.how == "ends the process":
            raise SystemExit("no such core")
        cost = {"nan": float("nan"), "inf": float("inf"), "negative": -1.0}.get(self.how)
        if cost is not None:
            return CostReport((*report.exits[:-1], ExitCost(cost, 1.0)))
        return CostReport((*report.exits, report.exits[-1]))


class BatchFailingBackend(FailingBackend):
    """Likewise, through the batch path."""

    def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Any:
        energy, latency, _ = BatchClosedFormBackend().evaluate_batch(stages, index)
        fits = np.ones(len(index), np.bool_)
        hit = np.array([*(stage.core == self.where for stage in stages), False])[index].any(axis=1)
        if self.how in ("raises", "ends the process") and hit.any():
            raise (RuntimeError if self.how == "raises" else SystemExit)("no such core")
        bad = {"nan": np.nan, "inf": np.inf, "negative": -1.0}.get(self.how, 0.0)
        last = (index >= 0).sum(axis=1) - 1
        energy[hit, last[hit]] = bad
        return (energy[:, :-1] if self.how == "exits" else energy), latency, fits


@pytest.mark.parametrize("kind", [FailingBackend, BatchFailingBackend])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "no such core"),
        ("ends the process", "SystemExit: no such core"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("negative", "-1"),
        ("exits", "exits"),
    ],
)
def test_a_failing_backend_makes_an_architecture_infeasible(kind: Any, how: str, reason: str) -> None:
    """An exception or a cost that is none: lowest reward, the reason kept, counted; all others are untouched."""
    subject, sound = made(backend=kind(how)), made()
    genomes = np.unique(sampled(120, 9), axis=0)
    hit = (genomes[:, :, 3] == 3).any(axis=1)
    genomes = np.concatenate([genomes[~hit], genomes[hit][:10]])
    batch, reference = subject.evaluate_batch(genomes), sound.evaluate_batch(genomes)
    failed = np.arange(len(genomes)) >= len(genomes) - 10
    assert_equal(batch.take(~failed), replace(reference.take(~failed), failures=[None] * int((~failed).sum())))
    assert (batch.reward[failed] == subject.lowest_reward).all()
    assert not batch.feasible[failed].any()
    assert np.isinf(batch.elp[failed]).all()
    assert batch.failures is not None
    assert all(reason in str(text) for text, bad in zip(batch.failures, failed, strict=True) if bad)
    assert subject.failures == 10
    subject.evaluate_batch(genomes)
    assert subject.failures == 10
    single = subject.evaluate(SPACE.decode(genomes[-1]))
    assert (single.reward, single.feasible, single.cost) == (subject.lowest_reward, False, None)
    assert reason in str(single.failure)


def test_portions_give_what_one_batch_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the backend is, and however its work is therefore cut: the same results, in order."""
    genomes, clock = sampled(200, 3), [0.0]
    whole = made(backend=BatchFailingBackend("nan", 4)).evaluate_batch(genomes)
    monkeypatch.setattr("eenn_rl.pace.time.monotonic", lambda: clock[0])
    for seconds in (0.0, 0.05, 0.5, 20.0):
        subject, sizes, at = made(backend=BatchFailingBackend("nan", 4)), [], 0
        for portion, batch in subject.evaluate_in_portions(genomes):
            assert portion.start == at
            assert_equal(batch, without_success(whole.take(np.arange(portion.start, portion.stop))))
            at = portion.stop
            sizes.append(len(batch))
            clock[0] += seconds * len(batch)
        assert at == 200
        assert seconds * max(sizes) <= 3 or set(sizes) == {1}
        assert seconds or sizes == [1, 2, 4, 8, 16, 32, 64, 73]


def without_success(batch: EvaluationBatch) -> EvaluationBatch:
    """A part of a batch in which nothing failed names no failures."""
    return batch if batch.failures and any(batch.failures) else replace(batch, failures=None)


def test_a_backend_that_fails_too_often_ends_no_batch_halfway() -> None:
    """What the portions are, which is a matter of time, decides nothing: all are evaluated, then it is told."""
    hit = sampled(400, 4)
    hit = hit[(hit[:, :, 3] == 3).any(axis=1)][:40]
    subject, seen = made(backend=FailingBackend("raises")), 0
    with pytest.raises(BackendError, match="failed on 40 of 40"):  # noqa: PT012
        for portion, _ in subject.evaluate_in_portions(hit):
            seen = portion.stop
    assert seen == len(hit)
    assert subject.evaluate_batch(hit).failures  # known by now: nothing new to tell


class SlowBatchBackend(BatchClosedFormBackend):
    """Hangs in every batch, and in single workloads that run a stage on one of the allocations `where`."""

    def __init__(self, where: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.where = where
        self.batches = 0

    def evaluate(self, workload: Workload) -> CostReport:
        if any(stage.core in self.where for stage in workload.stages):
            time.sleep(30)
        return super().evaluate(workload)

    def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Any:  # noqa: ARG002
        self.batches += 1
        time.sleep(30)


def test_a_batch_that_takes_too_long_is_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """The limit of one evaluation for each of its workloads; then one by one, with the same results, and said so."""
    backend = SlowBatchBackend()
    subject = Evaluator(SPACE, backend, ESTIMATOR, Objective(), limit_s=0.3)
    genomes = np.unique(sampled(8, 12), axis=0)
    start = time.monotonic()
    assert_equal(subject.evaluate_batch(genomes), made(Objective(), BatchClosedFormBackend()).evaluate_batch(genomes))
    assert time.monotonic() - start < 20
    assert backend.batches == 1
    (warning,) = caplog.messages
    assert "evaluate_batch took longer than" in warning


def test_what_hangs_in_a_batch_and_alone_is_infeasible_with_the_reason() -> None:
    """Every other architecture of the batch keeps its costs."""
    subject = Evaluator(SPACE, SlowBatchBackend((3,)), ESTIMATOR, Objective(), limit_s=0.3)
    genomes = np.unique(sampled(120, 9), axis=0)
    hit = (genomes[:, :, 3] == 3).any(axis=1)
    genomes = np.concatenate([genomes[~hit][:5], genomes[hit][:3]])
    batch = subject.evaluate_batch(genomes)
    assert batch.failures is not None
    assert [reason for reason in batch.failures if reason] == ["took longer than 0.3 s"] * 3
    sound = made(Objective(), BatchClosedFormBackend()).evaluate_batch(genomes[:-3])
    assert (batch.reward[:-3] == sound.reward).all()


def test_a_broken_batch_path_is_told_once_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """Where `evaluate` finds nothing wrong, the architectures are sound and only the fast path is lost."""

    class Broken(BatchClosedFormBackend):
        def evaluate_batch(self, stages: Sequence[Stage], index: npt.NDArray[np.int32]) -> Any:  # noqa: ARG002
            index[:] = -1  # whatever it does to its arguments
            return None

    subject, genomes = made(backend=Broken()), np.unique(sampled(40, 13), axis=0)
    assert_equal(subject.evaluate_batch(genomes), made(backend=BatchClosedFormBackend()).evaluate_batch(genomes))
    assert len(caplog.messages) == 1
    assert "evaluate_batch raised TypeError" in caplog.messages[0]


def test_a_backend_that_mostly_fails_ends_the_search() -> None:
    """Beyond a share of all architectures it is the backend that is wrong: one clear error with the last reason."""
    subject = made(backend=FailingBackend("raises"))
    genomes = np.unique(sampled(400, 10), axis=0)
    genomes = genomes[(genomes[:, :, 3] == 3).any(axis=1)]
    subject.evaluate_batch(genomes[: FAILURES_BEFORE - 1])
    with pytest.raises(BackendError, match=r"failed on 20 of 20 .*no such core"):
        subject.evaluate_batch(genomes[FAILURES_BEFORE - 1 : FAILURES_BEFORE])


def test_a_static_network_that_cannot_be_costed_is_no_best_one() -> None:
    """Where the backend fails on the static network at some other bits, that one is left out."""

    class NoTwoBits(ClosedFormBackend):
        def stage(self, stage: Stage) -> tuple[float, float]:
            if stage.bits == 2:
                raise ValueError("bits")
            return super().stage(stage)

    subject = made(Objective(accuracy_tolerance=0.9, headroom=0), NoTwoBits())
    assert subject.static.architecture.exits[0].bits == 8
    assert subject.static_best_bits.architecture.exits[0].bits == 4


def test_a_backend_that_cannot_cost_the_baseline_is_refused() -> None:
    """Without a static network there is nothing to compare with: an error with the reason."""

    class Broken(ClosedFormBackend):
        def stage(self, stage: Stage) -> tuple[float, float]:
            raise ZeroDivisionError(f"by zero bytes at {stage.bits} bits")

    with pytest.raises(BackendError, match=r"static 8-bit network: it raised .*by zero bytes"):
        _ = made(backend=Broken()).static


def test_branches_in_another_order_are_the_same_branches() -> None:
    """The tables' order of branches need not be the space's."""
    reordered = ("dsconv2", "conv", "linear", "mlp", "dsconv")
    place = {name: reordered.index(name) for name in ESTIMATOR.tables.branches}
    branch = np.array([place[name] for name in ESTIMATOR.tables.branches] + [-1], np.int16)
    shuffled = replace(ESTIMATOR.tables, branches=reordered, row_branch=branch[ESTIMATOR.tables.row_branch])
    genomes = sampled(100, 11)
    assert len(np.unique(genomes[:, :, BRANCH])) == 6
    assert_equal(
        evaluator(space=SPACE, estimator=Estimator(shuffled)).evaluate_batch(genomes), made().evaluate_batch(genomes)
    )


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (synthetic.space("resnet20"), "tables of backbone 'resnet8'"),
        (synthetic.quad(backbone="resnet8", branches=("linear", "conv")), "branch 'conv'"),
        (synthetic.quad(branches=("linear",), bits=(4, 8)), "bits 8"),
    ],
)
def test_tables_that_do_not_fit_the_space_are_refused(space: Any, message: str) -> None:
    """Another backbone, a branch or a bit-width that was not measured: one line says which."""
    few = tables(SPACE.backbone, 40, ("linear",), (2, 4))
    with pytest.raises(InvalidValueError, match=message):
        evaluator(space=space, estimator=Estimator(few))


def test_what_is_no_architecture_is_refused() -> None:
    """A genome that breaks the space's rules is an error, never a number."""
    genome = sampled(1)
    genome[0, 0, 2] = 3
    with pytest.raises(InvalidValueError, match="legal"):
        made().evaluate_batch(genome)


def test_no_architectures_are_no_error() -> None:
    """An empty batch has an empty answer."""
    assert len(made().evaluate_batch(sampled(5)[:0])) == 0
