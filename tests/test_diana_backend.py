"""The DIANA backend: published figures, the core's choice of bits, and what keeping analog weights decides."""

import json
from dataclasses import replace

import numpy as np
import pytest

from eenn_agents.search import search
from eenn_diana import parameters as p
from eenn_diana.backend import DianaBackend
from eenn_diana.costs import Cost, analog_load, analog_run, digital_run, tiling
from eenn_diana.stage_table import stage_numbers
from eenn_rl.backbone import Backbone, Layer
from eenn_rl.errors import InvalidValueError
from eenn_rl.estimator import Estimator
from eenn_rl.evaluator import Evaluator
from eenn_rl.hardware import AcceleratorSpec, load_accelerator
from eenn_rl.objective import Objective
from eenn_rl.plugins import default_accelerator
from eenn_rl.search import AgentSettings
from eenn_rl.serialization import from_json, to_json
from eenn_rl.space import BITS, BRANCH_CORE, CORE, LOCATION, SearchSpace
from eenn_rl.testing import BackendConformance
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.workloads import sample_workloads
from eenn_rl.workload import Stage, Workload
from eenn_rl.zoo import make_backbone
from logged_problem import random_tables

SPEC = load_accelerator("diana")
DIGITAL, ANALOG = 0, 1
STATED_FACTOR = 1.5
"""How far the model may be off the published end-to-end efficiency, as docs/plugins.md states."""


class TestDiana(BackendConformance):
    """The promises of every backend."""

    backend_name = "diana"


def conv(channels: int, outputs: int, size: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> Layer:
    out = (size - 1) // stride + 1
    kind = "depthwise" if groups > 1 else "conv"
    pad = kernel // 2
    return Layer("conv", kind, groups, channels, outputs, (size, size), (out, out), (kernel, kernel), (stride, stride),
                 (pad, pad))  # fmt: skip


def static(backbone: Backbone, core: int) -> Workload:
    return Workload((Stage(backbone.layers, (), 8 if core == DIGITAL else 2, core, core),))


def ops_per_j(macs: int, cost: Cost, *places: str) -> float:
    return 2 * macs / sum(cost.energy_j[place] for place in places or cost.energy_j)


def test_the_analog_array_reaches_its_published_peak() -> None:
    """A layer that fills 1152 x 512 cells: 600 TOPS/W, converters included (JSSC 2023)."""
    layer = conv(128, 512, 16)
    tiles = tiling(layer, unrolled=True)
    assert (tiles.rows, tiles.columns) == (1152, 512)
    assert ops_per_j(layer.macs, analog_run(layer, tiles), "dac", "adc", "cells") == pytest.approx(600e12, rel=1e-9)


def test_a_layer_that_fills_less_of_the_array_is_less_efficient() -> None:
    """Converters are paid per row and column, so that the peak is out of reach for narrow layers."""
    efficiencies = []
    for channels in (128, 64, 32, 16):
        layer = conv(channels, channels, 16)
        cost = analog_run(layer, tiling(layer, unrolled=False))
        efficiencies.append(ops_per_j(layer.macs, cost, "dac", "adc", "cells"))
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert efficiencies[0] < 600e12
    assert efficiencies[-1] < efficiencies[0] / 3


def test_the_digital_core_reaches_its_published_peak() -> None:
    """Its arithmetic costs what 14 TOPS/W says; 256 MACs a cycle where 16 x 16 is filled (JSSC 2023)."""
    layer = conv(64, 64, 32)
    cost = digital_run(layer)
    assert ops_per_j(layer.macs, cost, "mac") == pytest.approx(14e12)
    moved = 32 * 32 * 128 / 8
    assert layer.macs / (cost.cycles - moved) == pytest.approx(256)


def test_the_published_end_to_end_efficiency_is_met_within_the_stated_factor() -> None:
    """CIFAR-10 ResNet: 7.02 TOPS/W at system level, first layer digital, the rest analog (JSSC 2023)."""
    backbone = make_backbone("resnet20", (3, 32, 32))
    stem, *rest = backbone.layers
    workload = Workload((Stage((stem,), (), 8, DIGITAL, DIGITAL), Stage(tuple(rest), (), 2, ANALOG, ANALOG)))
    energy = DianaBackend(SPEC).evaluate(workload).exits[-1].energy_j
    found = 2 * backbone.macs / energy
    assert 7.02e12 / STATED_FACTOR < found < 7.02e12 * STATED_FACTOR


def test_the_cycles_of_a_product_are_those_of_filling_its_inputs() -> None:
    """70 ns and 1152 inputs through L1's 512-bit port: two sources that agree within 2%."""
    assert pytest.approx(p.ROWS * p.STORED_BITS / p.L1_PORT_BITS, rel=0.02) == p.ACCESS_S * p.CLOCK_HZ


def test_the_cores_choice_fixes_the_bits_in_the_search_space() -> None:
    """Every architecture of the space has 8 bits exactly on the digital core and ternary weights on the analog one."""
    space = SearchSpace(make_backbone("resnet8", (1, 16, 16)), SPEC)
    genomes = space.sample(np.random.default_rng(0), 500)
    used = genomes[genomes[:, :, LOCATION] >= 0]
    for column in (CORE, BRANCH_CORE):
        assert (np.where(used[:, column] == DIGITAL, 8, 2) == used[:, BITS]).all()
    assert set(used[:, BITS].tolist()) == {2, 8}
    assert space.usable_bits == (2, 8)


def resident(energy_j_by_memory: dict[str, float]) -> bool:
    return "l2" not in energy_j_by_memory


def test_analog_weights_stay_where_they_fit_and_are_loaded_where_they_do_not() -> None:
    """590 k cells: all layers of resnet8 stay; three that fill the array each are loaded for every input."""
    resnet8 = static(make_backbone("resnet8", (1, 16, 16)), ANALOG)
    filling = tuple(replace(conv(128, 512, 4), name=f"c{i}") for i in range(3))
    for workload, stays in ((resnet8, True), (Workload((Stage(filling, (), 2, ANALOG, ANALOG),)), False)):
        report = DianaBackend(SPEC).evaluate(workload)
        layers = [layer for layer in report.stages[0].layers if layer.core == "analog"]
        assert [resident(dict(layer.energy_j_by_memory)) for layer in layers] == [stays] * len(layers)


def test_one_layer_too_many_costs_the_loading_of_all() -> None:
    """Residency is the network's: a stage gets dearer by what is added after it, once the array overflows."""
    backend = DianaBackend(SPEC)
    first = Stage((replace(conv(64, 256, 8), name="a"),), (), 2, ANALOG, ANALOG)
    second = Stage((replace(conv(128, 512, 4), name="b"),), (), 2, ANALOG, ANALOG)
    alone = backend.evaluate(Workload((first,))).exits[0]
    followed = backend.evaluate(Workload((first, second))).exits[0]
    # The two use 1152 x 512 + 576 x 256 cells: both are loaded, as a plain copy or as an unrolled one.
    loads = [analog_load(tiling(first.layers[0], unrolled=unrolled)).total_j for unrolled in (False, True)]
    assert followed.energy_j - alone.energy_j >= min(loads) * 0.99
    assert followed.latency_s > alone.latency_s


def test_copies_of_weights_are_dropped_where_all_would_not_fit_with_them() -> None:
    """The plain layers fit, the unrolled ones do not: what has the least energy-latency product is taken."""
    layers = tuple(replace(conv(32, 32, 8), name=f"c{i}") for i in range(9))
    plain = sum(tiling(layer, unrolled=False).cells for layer in layers)
    unrolled = sum(tiling(layer, unrolled=True).cells for layer in layers)
    assert plain < p.ROWS * p.COLUMNS < unrolled
    report = DianaBackend(SPEC).evaluate(Workload((Stage(layers, (), 2, ANALOG, ANALOG),)))
    steps = 64 * p.ACCESS_S
    assert all(resident(dict(layer.energy_j_by_memory)) for layer in report.stages[0].layers)
    assert report.exits[0].latency_s == pytest.approx(9 * steps)


def test_layers_with_groups_run_on_the_digital_core_wherever_their_stage_is() -> None:
    """The analog array has no groups: a depthwise layer of an analog stage costs what the digital core takes."""
    depthwise = conv(32, 32, 8, groups=32)
    report = DianaBackend(SPEC).evaluate(Workload((Stage((depthwise,), (), 2, ANALOG, ANALOG),)))
    (layer,) = report.stages[0].layers
    assert layer.core == "digital"
    assert report.exits[0].latency_s == pytest.approx(digital_run(depthwise).cycles / p.CLOCK_HZ)


def test_layers_of_one_name_on_both_cores_count_each_where_it_runs() -> None:
    """A body on the digital core and a branch on the analog one: their weights count, whatever their layers' names."""
    body, head = conv(64, 64, 8), Layer("fc", "linear", 1, 64, 10, (1, 1), (1, 1))
    same, other = (
        stage_numbers(Stage((body,), (replace(head, name=name),), 8, DIGITAL, ANALOG), ("digital", "analog"))
        for name in (body.name, "fc")
    )
    assert same == other
    assert same.digital_bits == body.weight_elements * p.DIGITAL_BITS


def test_the_breakdown_adds_up_to_the_exits() -> None:
    """Layers, places and timeline account for all of the energy and latency of every exit."""
    for workload in sample_workloads(SPEC, make_backbone("resnet20", (1, 16, 16)), 6):
        report = DianaBackend(SPEC).evaluate(workload)
        energy = latency = 0.0
        for stage, cost in zip(report.stages, report.exits, strict=True):
            for layer in (*stage.layers, *stage.branch_layers):
                assert sum(layer.energy_j_by_memory.values()) == pytest.approx(layer.energy_j)
                assert 0 <= layer.utilization <= 1
                energy, latency = energy + layer.energy_j, latency + layer.latency_s
            assert (energy, latency) == (pytest.approx(cost.energy_j), pytest.approx(cost.latency_s))
        assert report.timeline[-1].end_s == pytest.approx(latency)


def test_what_the_memories_cannot_hold_is_a_violation_on_both_paths() -> None:
    """Weights beyond L2's 512 kB, activations beyond L1's 256 kB; in bytes, with demand and bound."""
    workload = static(make_backbone("mobilenetv2", (3, 32, 32)), DIGITAL)
    backend = DianaBackend(SPEC)
    found = {violation.subject[:2]: violation for violation in backend.evaluate(workload).violations}
    assert found["L2"].bound == 512 * 1024
    assert found["L2"].demand == pytest.approx(sum(layer.weight_elements for layer in workload.stages[0].layers))
    assert found["L1"].demand == 2 * 192 * 32 * 32
    _, _, fits = backend.evaluate_batch(*batch_of([workload, static(make_backbone("resnet8"), DIGITAL)]))
    assert fits.tolist() == [False, True]


def test_another_accelerator_is_declined_in_one_line() -> None:
    """The chip's cost model says nothing about other hardware."""
    with pytest.raises(
        InvalidValueError, match=r"'quad_edge_tpu': expected the chip 'diana'.*: give --accelerator diana"
    ):
        DianaBackend(load_accelerator("quad_edge_tpu"))


def test_the_backend_brings_its_chip() -> None:
    """`--backend diana` alone is enough, and a log that keeps the chip as JSON gives it back."""
    assert default_accelerator("diana") == SPEC
    assert from_json(AcceleratorSpec, json.loads(json.dumps(to_json(SPEC))), "log") == SPEC
    assert SPEC.allocation_bits(DIGITAL) == (8,)
    assert SPEC.allocation_bits(ANALOG) == (2,)


def test_a_search_over_the_whole_chip_ends_when_nothing_is_left() -> None:
    """2,662 architectures are fewer than a search's budget: each is evaluated once, and the best uses both cores."""
    backbone = make_backbone("resnet8", (1, 16, 16))
    space = SearchSpace(backbone, SPEC)
    evaluator = Evaluator(space, DianaBackend(SPEC), Estimator(random_tables(backbone)), Objective())
    result = search("exhaustive", evaluator, AgentSettings(budget=space.size + 1000), 0)
    assert len(result.history) == space.size == 2662
    assert result.stopped == "exhausted"
    cores = {(exit_.core, exit_.branch_core) for e in result.best for exit_ in e.architecture.exits}
    assert cores == {(DIGITAL, DIGITAL), (ANALOG, ANALOG)}
