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
from eenn_rl.backbone import Backbone
from eenn_rl.branches import BRANCHES, CLASSIFIER
from eenn_rl.cost import CostReport, LayerCost
from eenn_rl.hardware import AcceleratorSpec, load_accelerator, shipped_accelerators
from eenn_rl.hookspecs import BatchBackend, HardwareBackend
from eenn_rl.schedule import CoreLayerCost, LayerRequest, Scheduler
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


def test_multicast_is_cheaper() -> None:
    """Data for several cores is read and sent once where the accelerator multicasts."""
    spread = workload_of(_architecture((3, CLASSIFIER, 8, 6, 6)))
    casting = MulticoreBackend(replace(QUAD, multicast=True)).evaluate(spread).exits[0]
    single = BACKENDS["plain"].evaluate(spread).exits[0]
    assert casting.energy_j < single.energy_j
    assert casting.latency_s < single.latency_s


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


def test_memory_without_dram() -> None:
    """Without DRAM, weights and activations must fit the cores; what does not is named with its memory."""
    small = replace(
        QUAD,
        dram=None,
        cores=tuple(
            replace(core, memories=tuple(replace(m, size_bits=min(m.size_bits, 65536)) for m in core.memories))
            for core in QUAD.cores
        ),
    )
    report = MulticoreBackend(small).evaluate(workload_of(PLAIN))
    assert any("core0" in violation.subject and violation.unit == "bytes" for violation in report.violations)
    assert not MulticoreBackend(load_accelerator("quad_tpu")).evaluate(workload_of(PLAIN)).violations


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
