"""The schedule of stages on cores: paths, transfers, the shared DRAM, residency, running ahead; single equals batch."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.architecture import Architecture, Exit
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.branches import BRANCHES, CLASSIFIER
from eenn_rl.cost import CostReport, LayerCost, Violation
from eenn_rl.errors import InvalidValueError
from eenn_rl.hardware import AcceleratorSpec, load_accelerator, shipped_accelerators
from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.schedule import CoreLayerCost, LayerRequest, Scheduler
from eenn_rl.schedule.movement import Mover
from eenn_rl.schedule.topology import Location
from eenn_rl.workload import Stage, Workload, stage_of, workload_of
from eenn_rl.zoo import make_backbone

RESNET = make_backbone("resnet8", (1, 16, 16), 10)
QUAD = load_accelerator("quad_edge_tpu")
SPECS = {
    "plain": QUAD,
    "ahead": replace(QUAD, branch_policy="speculate", resident_weights=True, multicast=True),
    "through DRAM": replace(QUAD, keep_activations_on_chip=False),
    "tiny": load_accelerator("diana"),
    "mixed": load_accelerator("hetero_quad"),
    "without DRAM": replace(QUAD, dram=None),
}
BACKENDS = {name: MulticoreBackend(spec) for name, spec in SPECS.items()}


def random_architecture(rng: np.random.Generator, spec: AcceleratorSpec, backbone: Backbone = RESNET) -> Architecture:
    last = len(backbone.blocks) - 1
    chosen = sorted(rng.choice(last, size=int(rng.integers(0, min(4, last + 1))), replace=False).tolist())
    exits = []
    for location in [*chosen, last]:
        core, branch_core = (int(rng.integers(len(spec.allocations))) for _ in range(2))
        branch = CLASSIFIER if location == last else str(rng.choice(BRANCHES))
        exits.append(Exit(location, branch, int(rng.choice([2, 4, 8])), core, branch_core))
    return Architecture(backbone, tuple(exits))


def batch_of(workloads: list[Workload]) -> tuple[list[Stage], np.ndarray]:
    stages: list[Stage] = []
    index = np.full((len(workloads), max(len(w.stages) for w in workloads)), -1, np.int32)
    for row, workload in enumerate(workloads):
        for column, stage in enumerate(workload.stages):
            index[row, column] = len(stages)
            stages.append(stage)
    return stages, index


@pytest.mark.parametrize("name", SPECS)
def test_batch_equals_single(name: str) -> None:
    """Costs of many architectures at once equal those of each alone to the last bit, in what fits as well."""
    rng = np.random.default_rng(7)
    workloads = [workload_of(random_architecture(rng, SPECS[name])) for _ in range(120)]
    stages, index = batch_of(workloads)
    energy, latency, fits = BACKENDS[name].evaluate_batch(stages, index)
    fresh = MulticoreBackend(SPECS[name])
    for row, workload in enumerate(workloads):
        report = fresh.evaluate(workload)
        count = len(report.exits)
        assert energy[row, :count].tolist() == [cost.energy_j for cost in report.exits]
        assert latency[row, :count].tolist() == [cost.latency_s for cost in report.exits]
        assert not energy[row, count:].any()
        assert fits[row] == (not report.violations)


def test_is_a_batch_backend() -> None:
    """The backend offers the protocol and its fast path."""
    assert isinstance(BACKENDS["plain"], HardwareBackend)
    assert isinstance(BACKENDS["plain"], BatchBackend)


def _every_layer(report: CostReport) -> list[LayerCost]:
    return [layer for stage in report.stages for layer in (*stage.layers, *stage.branch_layers)]


@pytest.mark.parametrize("name", ["plain", "through DRAM", "tiny"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_path_is_the_sum_of_its_breakdown(name: str, seed: int) -> None:
    """The last exit's energy is the sum over stages, layers and memories; waiting, so is its latency."""
    report = BACKENDS[name].evaluate(workload_of(random_architecture(np.random.default_rng(seed), SPECS[name])))
    layers = _every_layer(report)
    assert sum(layer.energy_j for layer in layers) == pytest.approx(report.exits[-1].energy_j)
    assert sum(layer.latency_s for layer in layers) == pytest.approx(report.exits[-1].latency_s)
    for layer in layers:
        assert sum(layer.energy_j_by_memory.values()) == pytest.approx(layer.energy_j)
    assert max(span.end_s for span in report.timeline) == pytest.approx(report.exits[-1].latency_s)


def _architecture(*exits: tuple[int, str, int, int, int]) -> Architecture:
    return Architecture(RESNET, tuple(Exit(*exit_) for exit_ in exits))


PLAIN = _architecture((3, CLASSIFIER, 8, 0, 0))
WITH_EXIT = _architecture((1, "conv", 8, 0, 1), (3, CLASSIFIER, 8, 0, 0))


@pytest.mark.parametrize("name", ["plain", "ahead", "through DRAM"])
def test_a_branch_costs_those_who_pass_it(name: str) -> None:
    """A branch that nobody takes still costs every sample that passes it, and its own exit costs less than the last."""
    without, with_branch = (BACKENDS[name].evaluate(workload_of(a)).exits for a in (PLAIN, WITH_EXIT))
    assert with_branch[-1].energy_j > without[-1].energy_j
    assert with_branch[0].energy_j < with_branch[-1].energy_j
    assert with_branch[0].latency_s < with_branch[-1].latency_s


def test_running_ahead() -> None:
    """Running ahead hides a branch behind the next stage where their cores differ, and wastes energy at the exit."""
    ahead = MulticoreBackend(replace(QUAD, branch_policy="speculate"))
    waited, hidden = (backend.evaluate(workload_of(WITH_EXIT)).exits for backend in (BACKENDS["plain"], ahead))
    assert hidden[-1].latency_s < waited[-1].latency_s
    assert hidden[-1].energy_j == pytest.approx(waited[-1].energy_j)
    assert hidden[0].latency_s == pytest.approx(waited[0].latency_s)
    assert hidden[0].energy_j > waited[0].energy_j
    same_core = workload_of(_architecture((1, "linear", 8, 0, 0), (3, CLASSIFIER, 8, 0, 0)))
    assert ahead.evaluate(same_core).exits == BACKENDS["plain"].evaluate(same_core).exits


def test_resident_weights() -> None:
    """Weights that all fit are not loaded again; where they do not fit together, all are."""
    roomy = MulticoreBackend(replace(load_accelerator("quad_tpu"), resident_weights=True))
    loading = MulticoreBackend(load_accelerator("quad_tpu"))
    kept, loaded = (b.evaluate(workload_of(PLAIN)) for b in (roomy, loading))
    assert kept.exits[0].energy_j < loaded.exits[0].energy_j
    assert kept.peak_memory_bytes is not None
    assert loaded.peak_memory_bytes is not None
    assert kept.peak_memory_bytes["core0.sram_2MB"] > loaded.peak_memory_bytes["core0.sram_2MB"]
    small = replace(QUAD, resident_weights=True)
    full = kept.peak_memory_bytes["core0.sram_2MB"] * 8
    for size, stays in ((full, True), (full - 8, False)):
        cores = tuple(
            replace(core, memories=(*core.memories[:-1], replace(core.memories[-1], size_bits=int(size))))
            for core in roomy.accelerator.cores
        )
        exits = [
            MulticoreBackend(replace(roomy.accelerator, cores=cores, resident_weights=kept_there))
            .evaluate(workload_of(PLAIN))
            .exits
            for kept_there in (True, False)
        ]
        assert (exits[0] != exits[1]) == stays
    assert (
        MulticoreBackend(small).evaluate(workload_of(PLAIN)).exits
        == BACKENDS["plain"].evaluate(workload_of(PLAIN)).exits
    )


def test_keeping_activations_saves() -> None:
    """Layer by layer through DRAM costs several times the energy of keeping activations on chip."""
    kept, through = (BACKENDS[n].evaluate(workload_of(PLAIN)).exits[0].energy_j for n in ("plain", "through DRAM"))
    assert 1.5 * kept < through < 13 * kept


def test_a_group_computes_faster_and_pays_for_gathering() -> None:
    """Four cores compute a layer in fewer cycles; handing on the pieces costs transfers that one core does not have."""
    alone, group = (
        BACKENDS["plain"].evaluate(workload_of(_architecture((3, CLASSIFIER, 8, core, core)))) for core in (0, 6)
    )
    layer = [next(c for c in _every_layer(r) if c.name == "stack3.conv2") for r in (alone, group)]
    assert layer[0].latency_cycles is not None
    assert layer[1].latency_cycles is not None
    assert layer[1].latency_cycles < layer[0].latency_cycles / 2
    assert sum(c.macs for c in _every_layer(alone)) == sum(c.macs for c in _every_layer(group))
    moved = [sum(c.energy_j_by_memory.get("sram_2MB", 0.0) for c in _every_layer(r)) for r in (alone, group)]
    assert moved[1] > moved[0]


def test_what_exceeds_the_memory_spills() -> None:
    """A residual that no longer fits beside the layers it skips goes to DRAM; memory is never overfull."""
    spec = load_accelerator("quad_tpu")
    wide = make_backbone("resnet8", (1, 32, 32), 10)
    network = workload_of(Architecture(wide, (Exit(3, CLASSIFIER, 8, 0, 0),)))
    map_bits = 16 * 32 * 32 * 8

    def limited(maps: float) -> AcceleratorSpec:
        cores = tuple(
            replace(core, memories=(*core.memories[:-1], replace(core.memories[-1], size_bits=int(maps * map_bits))))
            for core in spec.cores
        )
        return replace(spec, cores=cores)

    roomy, tight = (MulticoreBackend(limited(maps)).evaluate(network) for maps in (8, 2.5))
    assert tight.exits[0].energy_j > roomy.exits[0].energy_j
    assert tight.peak_memory_bytes is not None
    assert max(tight.peak_memory_bytes.values()) <= 2.5 * map_bits / 8
    assert tight.violations == ()


def _conv(name: str, *reads: str, kind: str = "conv", kernel: int = 3, in_channels: int = 16) -> Layer:
    channels, size = (in_channels, 16), (32, 32)
    return Layer(name, kind, 1, *channels, size, size, (kernel, kernel), (1, 1), (kernel // 2,) * 2, reads)


RESIDUAL = (
    _conv("x", in_channels=3), _conv("conv1", "x"), _conv("conv2", "conv1"), _conv("shortcut", "x", kernel=1),
    _conv("add", "conv2", "shortcut", kind="add", kernel=1),
)  # fmt: skip
"""Three maps at once while conv2 runs: x is still to be read."""
MAP_BITS = 16 * 32 * 32 * 8


def _limited(bits: float) -> AcceleratorSpec:
    """One core whose activations have `bits` of memory."""
    spec = load_accelerator("single_edge_tpu")
    (core,) = spec.cores
    last = replace(core.memories[-1], size_bits=int(bits))
    return replace(spec, cores=(replace(core, memories=(*core.memories[:-1], last)),))


@pytest.mark.parametrize("cut", [0, 1], ids=["one stage", "cut after x"])
def test_what_is_spilled_is_read_back(cut: int) -> None:
    """A map that goes to DRAM passes the port twice, also where a stage before made it: once out and once in."""
    body = (Stage(RESIDUAL[:cut], (), 8, 0, 0),) if cut else ()
    network = Workload((*body, Stage(RESIDUAL[cut:], (), 8, 0, 0)))
    roomy, tight = (Scheduler(_limited(maps * MAP_BITS), _UnitModel()).evaluate(network) for maps in (4, 2.5))
    dram = _limited(MAP_BITS).dram
    assert dram is not None
    paid = MAP_BITS / dram.bandwidth_bits * (dram.write_energy_j + dram.read_energy_j)
    dram_j = [sum(layer.energy_j_by_memory.get("dram", 0.0) for layer in _every_layer(r)) for r in (roomy, tight)]
    assert dram_j[1] - dram_j[0] == pytest.approx(paid)
    assert tight.exits[-1].latency_s > roomy.exits[-1].latency_s


@pytest.mark.parametrize("name", ["plain", "mixed"])
def test_the_image_has_eight_bits(name: str) -> None:
    """Its transfer costs the same whatever the bits of the stage that reads it."""
    core = next(i for i, _ in enumerate(SPECS[name].allocations) if {2, 8} <= set(SPECS[name].allocation_bits(i)))
    reports = [
        BACKENDS[name].evaluate(workload_of(_architecture((3, CLASSIFIER, bits, core, core)))) for bits in (2, 8)
    ]
    moved = [report.stages[0].layers[0] for report in reports]
    assert all(layer.name.endswith(".transfer") for layer in moved)
    assert moved[0].energy_j == moved[1].energy_j > 0
    assert moved[0].latency_s == moved[1].latency_s > 0


def test_an_addition_reads_activations() -> None:
    """Maps beyond the weights' memory are added on chip; only where both have no room do they go to DRAM."""
    add = Layer("add", "add", 1, 64, 64, (32, 32), (32, 32), reads=("a", "b"))
    placed = {
        megabits: MulticoreBackend(_limited(megabits * 1e6)).scheduler.walker.placer.place(add, 8, (0,))
        for megabits in (16, 1)
    }
    assert QUAD.cores[0].memories[2].size_bits < 64 * 32 * 32 * 8
    assert placed[16][0] == frozenset()
    assert "dram" not in placed[16][1][0].energy_j_by_memory
    assert placed[1][0] == {"input", "weight", "output"}
    through = MulticoreBackend(SPECS["through DRAM"]).scheduler.walker.placer.place(add, 8, (0,))
    assert through[0] == {"input", "weight", "output"}


@pytest.mark.parametrize("clock_hz", [1e9, 4e9, 2.5e8])
def test_a_core_streams_no_faster_than_the_port(clock_hz: float) -> None:
    """What streams from DRAM takes the port's time, and the port's energy, whatever the clock of the core."""
    spec = load_accelerator("single_edge_tpu")
    spec = replace(spec, cores=tuple(replace(core, clock_hz=clock_hz) for core in spec.cores))
    assert spec.dram is not None
    layer = Layer("fc", "linear", 1, 4096, 1024, (1, 1), (1, 1))
    off_chip, (cost,) = MulticoreBackend(spec).scheduler.walker.placer.place(layer, 8, (0,))
    assert off_chip == {"weight"}
    rate = cost.dram_bits / (cost.cycles / clock_hz)
    assert rate == pytest.approx(spec.dram.bandwidth_bits * spec.clock_hz, rel=0.01)
    paid = cost.dram_bits / spec.dram.bandwidth_bits * spec.dram.read_energy_j
    assert cost.energy_j_by_memory["dram"] == pytest.approx(paid)


def test_multicast_is_cheaper() -> None:
    """Data for several cores is read and sent once where the accelerator multicasts."""
    spread = workload_of(_architecture((3, CLASSIFIER, 8, 6, 6)))
    casting = MulticoreBackend(replace(QUAD, multicast=True)).evaluate(spread).exits[0]
    single = BACKENDS["plain"].evaluate(spread).exits[0]
    assert casting.energy_j < single.energy_j
    assert casting.latency_s < single.latency_s


def test_slices_are_not_multicast() -> None:
    """Receivers of different slices each get their own bits: only what all read passes a link once."""
    casting, single = (Mover(replace(SPECS["mixed"], multicast=cast)) for cast in (True, False))
    source = Location((0,))
    assert casting.move(8e4, source, (1, 2), whole=False) == single.move(8e4, source, (1, 2), whole=False)
    assert casting.move(8e4, source, (1, 2), whole=True).latency_s == pytest.approx(
        single.move(8e4, source, (1, 2), whole=True).latency_s / 2
    )


def test_bits_of_the_stage_before() -> None:
    """What a stage reads arrives at the bits of the stage before: more of them take longer to move to another core."""
    coarse, fine = (
        BACKENDS["plain"].evaluate(workload_of(_architecture((1, "linear", bits, 0, 0), (3, CLASSIFIER, 4, 1, 1))))
        for bits in (2, 8)
    )
    transfers = [next(c for c in r.stages[1].layers if c.name.endswith(".transfer")) for r in (coarse, fine)]
    assert transfers[1].latency_s == pytest.approx(4 * transfers[0].latency_s)


@pytest.mark.parametrize("what", ["dram", "links"])
@pytest.mark.parametrize("name", ["plain", "ahead", "through DRAM"])
def test_a_wider_port_never_slows_a_network(name: str, what: str) -> None:
    """A DRAM port or links twice as wide never make a sample leave any exit later."""
    spec = SPECS[name]
    assert spec.dram is not None
    wide = {
        "dram": replace(spec, dram=replace(spec.dram, bandwidth_bits=2 * spec.dram.bandwidth_bits)),
        "links": replace(spec, links=tuple(replace(k, bandwidth_bits=2 * k.bandwidth_bits) for k in spec.links)),
    }[what]
    for stages in (
        ((0, "linear", 8, 0, 1), (3, CLASSIFIER, 4, 6, 2)),
        ((1, "linear", 4, 6, 6), (2, "linear", 2, 4, 3), (3, CLASSIFIER, 8, 6, 6)),
        ((3, CLASSIFIER, 8, 6, 0),),
    ):
        workload = workload_of(_architecture(*stages))
        before, after = (MulticoreBackend(one).evaluate(workload).exits for one in (spec, wide))
        assert all(b.latency_s <= a.latency_s * (1 + 1e-9) for a, b in zip(before, after, strict=True))


def test_what_does_not_fit_is_a_violation() -> None:
    """Weights beyond the DRAM, and bits that a core lacks, come back as demand, bound and unit, never as an error."""
    diana = load_accelerator("diana")
    big = make_backbone("mobilenetv2", (3, 32, 32), 10)
    last = len(big.blocks) - 1
    report = MulticoreBackend(diana).evaluate(workload_of(Architecture(big, (Exit(last, CLASSIFIER, 8, 0, 0),))))
    (violation,) = report.violations
    assert violation.subject == "weights in DRAM"
    assert violation.demand > violation.bound == 512 * 1024
    report = MulticoreBackend(diana).evaluate(workload_of(_architecture((3, CLASSIFIER, 8, 1, 1))))
    assert [str(v) for v in report.violations] == ["bit-width on analog: 8 bits, bound 2 bits"]


@pytest.mark.parametrize(("bits", "below"), [(1, 0), (3, 2), (5, 4), (16, 8)])
def test_bits_that_a_core_lacks_exceed_their_bound(bits: int, below: int) -> None:
    """A violation's demand is more than its bound, also where wider units would hold these bits."""
    report = MulticoreBackend(load_accelerator("quad_edge_tpu")).evaluate(
        workload_of(_architecture((3, CLASSIFIER, bits, 0, 0)))
    )
    assert report.violations == (Violation("bit-width on core0", bits, below, "bits"),)


@pytest.mark.parametrize("weights", [10**9 // 8 + 64, 3 * 10**9 // 8])
def test_weights_beyond_a_large_dram(weights: int) -> None:
    """However large the DRAM, what exceeds it is told, by the batch as well."""
    spec = load_accelerator("single_edge_tpu")
    assert spec.dram is not None
    spec = replace(spec, dram=replace(spec.dram, size_bits=10**9))
    stage = Stage((Layer("fc", "linear", 1, weights // 64, 64, (1, 1), (1, 1)),), (), 8, 0, 0)
    (violation,) = Scheduler(spec, _UnitModel()).evaluate(Workload((stage,))).violations
    assert violation.subject == "weights in DRAM"
    assert not Scheduler(spec, _UnitModel()).evaluate_batch([stage], np.zeros((1, 1), np.int32))[2][0]


def test_machines_that_cannot_run_anything_are_refused() -> None:
    """Cores without a way to each other or to a DRAM, and a core without memory for an operand."""
    with pytest.raises(InvalidValueError, match="a way between these two cores"):
        MulticoreBackend(replace(QUAD, dram=None, links=QUAD.links[:1]))
    core = QUAD.cores[0]
    for memories, left in ((core.memories[:-1], r"\['output', 'weight'\]"), ((), r"\[\]")):
        spec = replace(QUAD, cores=(replace(core, memories=memories), *QUAD.cores[1:]))
        with pytest.raises(InvalidValueError, match=f"memories that hold must be some for each of .*found {left}"):
            MulticoreBackend(spec)


def test_memory_without_dram() -> None:
    """Without DRAM, weights and activations must each fit their memory; what does not is named with it."""
    spec = replace(load_accelerator("single_edge_tpu"), dram=None)

    def told(channels: int, size: int) -> list[tuple[str, float, float]]:
        layer = Layer("l", "conv", 1, 4, channels, (size, size), (size, size), (3, 3), (1, 1), (1, 1))
        stages = [Stage((layer,), (), 8, 0, 0)]
        report = Scheduler(spec, _UnitModel()).evaluate(Workload(tuple(stages)))
        fits = Scheduler(spec, _UnitModel()).evaluate_batch(stages, np.zeros((1, 1), np.int32))[2][0]
        assert fits == (not report.violations)
        return [(violation.subject, violation.demand, violation.bound) for violation in report.violations]

    assert told(64, 32) == []
    assert told(1024, 8) == [("core0.sram_32KB", 1024 * 4 * 9, 2**15)]
    assert told(64, 256) == [("core0.sram_2MB", (64 + 4) * 256 * 256, 2**21)]


@pytest.mark.parametrize("name", shipped_accelerators())
def test_every_shipped_accelerator_costs_every_allocation(name: str) -> None:
    """On every shipped accelerator every allocation runs ResNet-8 at the bits it supports."""
    spec = load_accelerator(name)
    backend = MulticoreBackend(spec)
    for index in range(len(spec.allocations)):
        for bits in spec.allocation_bits(index):
            report = backend.evaluate(workload_of(_architecture((3, CLASSIFIER, bits, index, index))))
            assert report.violations == ()
            assert report.exits[0].energy_j > 0


class _UnitModel:
    """The smallest layer model: a cycle per MAC or output, a picojoule each."""

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        work = float(request.layer.macs or request.layer.output_elements)
        return CoreLayerCost(work, {"mac": work * 1e-12})


def test_a_plugin_may_bring_a_layer_model_alone() -> None:
    """With a layer model of three lines the scheduler costs whole networks."""
    spec = replace(load_accelerator("single_edge_tpu"), dram=None)
    (cost,) = Scheduler(spec, _UnitModel()).evaluate(workload_of(PLAIN)).exits
    layers = [*RESNET.layers, *stage_of(PLAIN, 0).branch_layers]
    assert cost.latency_s == pytest.approx(sum(layer.macs or layer.output_elements for layer in layers) * 1e-9)


def test_a_branch_may_be_empty() -> None:
    """A stage without a branch costs its body alone."""
    body = RESNET.blocks[0].layers
    (cost,) = BACKENDS["plain"].evaluate(Workload((Stage(body, (), 8, 0, 0),))).exits
    assert 0 < cost.latency_s < 1e-5


@pytest.fixture(scope="module")
def agreement() -> Iterator[ModuleType]:
    """The benchmark as a module; its folder is where it finds what the benchmarks share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        yield importlib.import_module("zigzag_agreement")


def test_agrees_with_stream(agreement: ModuleType) -> None:
    """ResNet-8 on four cores is within 15% of Stream, latency and energy, layer by layer and kept on chip."""
    lines = agreement.networks()
    assert len(lines) == 4
    for line in lines:
        assert abs(line["latency_error"]) < 0.15, line
        assert abs(line["energy_error"]) < 0.15, line
