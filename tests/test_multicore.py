"""The multicore backend's layer model: agreement with ZigZag, and the trends that physics demands."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eenn_multicore.backend import ALL_OPERANDS, NO_OPERANDS, MulticoreBackend
from eenn_multicore.hierarchy import hierarchy_of
from eenn_multicore.latency import latency
from eenn_multicore.layer_cost import AnalyticalLayerModel, dram_memory
from eenn_multicore.mapping import Nest, allocate, distinct, rows_of
from eenn_multicore.orders import orders, temporal_loops
from eenn_multicore.problem import problem_of
from eenn_multicore.traffic import analyse, energy_by_memory
from eenn_multicore.unrolling import Unrolled
from eenn_rl.backbone import Layer
from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, PortSpec, load_accelerator
from eenn_rl.hardware.files import read_yaml
from eenn_rl.hardware.zigzag_files import read_mapping
from eenn_rl.layer_file import parse_layers
from eenn_rl.schedule import CoreLayerCost, LayerRequest
from eenn_rl.schedule.split import slices

REFERENCE = Path(__file__).parents[1] / "benchmarks" / "reference"
HARDWARE = REFERENCE / "hardware"
FILES = {"given": "zigzag_given.json", "generated": "zigzag_generated.json"}


@cache
def _model(hardware: str, mapping: str, objective: str) -> tuple[AcceleratorSpec, AnalyticalLayerModel]:
    spec = load_accelerator(str(HARDWARE / f"{hardware}.yaml"))
    path = HARDWARE / f"{mapping}.yaml"
    flows = () if mapping == "free" else read_mapping(read_yaml(path), str(path))[0]
    return spec, AnalyticalLayerModel(spec, "edp" if objective == "EDP" else "latency", flows)


def _layer(**entry: Any) -> Layer:
    return parse_layers([{"name": "l", **entry}], "test")[0].layer


def _of_row(row: dict[str, Any]) -> Layer:
    keys = ("name", "kind", "in_channels", "out_channels", "in_size", "out_size", "kernel", "stride")
    sizes = {"in_size": 1, "out_size": 1} if row["kind"] == "linear" else {}
    return parse_layers([{key: row[key] for key in keys} | sizes], "row")[0].layer


def _rows(name: str, core: str, bits: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((REFERENCE / FILES[name]).read_text())["records"]
    return [row for row in rows if row["hardware"].startswith(core + "_") and row["bits"] == bits]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("core", "bits"), [("A", 8), ("A", 4), ("B", 8), ("B", 4), ("B", 2), ("B", 16), ("C", 8)])
def test_agrees_with_zigzag(name: str, core: str, bits: int) -> None:
    """Latency and energy agree with zigzag-dse within 2% on average, compute cycles exactly, on rows never tuned on."""
    rows = _rows(name, core, bits)
    if not rows:
        pytest.skip("no such rows")
    errors = []
    for row in rows:
        spec, model = _model(row["hardware"], row["mapping"], row["objective"])
        request = LayerRequest(_of_row(row), spec.cores[0], bits, ALL_OPERANDS if spec.dram else NO_OPERANDS)
        cost = model.cost(request)
        assert model.mapped(request).compute_cycles == row["compute_cycles"], row["name"]
        errors.append((cost.cycles / row["latency_cycles"] - 1, cost.energy_j * 1e12 / row["energy_pj"] - 1))
    assert np.abs(errors).mean(axis=0) == pytest.approx(0.0, abs=0.02)


def test_cliff() -> None:
    """33 output channels on 32 columns take twice the cycles of 32: ceilings are exact."""
    _, model = _model("B_tpu_like_core_dram", "B_fixed_mapping", "latency")
    core = load_accelerator(str(HARDWARE / "B_tpu_like_core_dram.yaml")).cores[0]
    cycles = [
        model.mapped(LayerRequest(_layer(kind="conv", in_channels=32, out_channels=k, in_size=8, kernel=3), core, 8))
        for k in (32, 33)
    ]
    assert cycles[1].compute_cycles == 2 * cycles[0].compute_cycles


def test_throughput_by_bits() -> None:
    """A core that does several narrow MACs at once computes faster at fewer bits, and pays less energy per MAC."""
    spec = load_accelerator("hetero_quad")
    fusion = next(core for core in spec.cores if core.name == "fusion")
    layer = _layer(kind="conv", in_channels=16, out_channels=16, in_size=16, kernel=3)
    model = AnalyticalLayerModel(spec)
    wide, narrow = (model.mapped(LayerRequest(layer, fusion, bits)) for bits in (8, 2))
    assert wide.compute_cycles == 16 * narrow.compute_cycles
    costs = [model.cost(LayerRequest(layer, fusion, bits)).energy_j_by_memory["mac"] for bits in (8, 2)]
    assert costs == pytest.approx([layer.macs * 0.066e-12, layer.macs * 0.009e-12])


def test_systolic_drain() -> None:
    """Along a systolic dimension the last results leave a cycle per unit later."""
    spec, model = _model("B_tpu_like_core_dram", "B_fixed_mapping", "latency")
    core = spec.cores[0]
    systolic = replace(core, array=tuple(ArrayDimension(d.name, d.size, systolic=True) for d in core.array))
    layer = _layer(kind="conv", in_channels=32, out_channels=16, in_size=8, kernel=3)
    plain, walked = (model.cost(LayerRequest(layer, one, 8, ALL_OPERANDS)) for one in (core, systolic))
    assert walked.cycles == plain.cycles + 31 + 15


def test_orders_are_all_and_distinct() -> None:
    """The candidate orders of a layer's loops are every distinct one, each once, and loops multiply to the sizes."""
    loops = temporal_loops((1, 8, 6, 5, 1, 3, 3))
    assert len(loops) == 6
    sizes = dict.fromkeys(range(7), 1)
    for loop, size in loops:
        sizes[loop] *= size
    assert tuple(sizes.values()) == (1, 8, 6, 5, 1, 3, 3)
    table = orders(((1, 2), (1, 2), (2, 3)))
    assert len({tuple(row) for row in table.tolist()}) == len(table) == 3


@pytest.mark.parametrize("name", ["B_tpu_like_core_dram", "C_edge_tpu_like"])
def test_orders_left_out_cost_what_a_kept_one_does(name: str) -> None:
    """Of orders that keep the same loops at every level only the first is costed: no cost is lost by it."""
    spec = load_accelerator(str(HARDWARE / f"{name}.yaml"))
    core = spec.cores[0]
    assert spec.dram is not None
    hierarchy = hierarchy_of(core, (*core.memories, dram_memory(spec.dram, core, ALL_OPERANDS)), (True, True, True))
    for layer in (
        _layer(kind="conv", in_channels=33, out_channels=24, in_size=14, kernel=3),
        _layer(kind="depthwise", in_channels=48, out_channels=48, in_size=16, kernel=5, stride=2),
    ):
        rows = rows_of([problem_of(layer, 8, 16)], [_unrolled(spec, core, layer, 8)])
        allocation = allocate(Nest(rows), hierarchy)
        kept = distinct(Nest(rows), allocation)
        assert 0 < len(kept) < 0.7 * rows.count
        costs = []
        for part, held in ((rows, allocation), (rows.of(kept), allocation.of(kept))):
            nest = Nest(part)
            mean, whole = (analyse(nest, hierarchy, held, spread) for spread in (part.mean, part.whole))
            cycles = latency(nest, hierarchy, mean, whole).total
            costs.append(np.unique(np.stack([cycles, *energy_by_memory(hierarchy, mean)[0], held.fits]), axis=1))
        assert np.array_equal(costs[0], costs[1])


KINDS = st.sampled_from(["conv", "conv", "depthwise", "linear", "pool", "add"])
CHANNELS = st.sampled_from([3, 8, 15, 16, 17, 32, 48, 64])
SIZES = st.sampled_from([1, 2, 4, 7, 8, 14, 16])


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    kind, into, out, size = draw(KINDS), draw(CHANNELS), draw(CHANNELS), draw(SIZES)
    kernel = (
        draw(st.sampled_from([1, 3, 5])) if kind in ("conv", "depthwise") else 2 if kind == "pool" and size > 1 else 1
    )
    stride = draw(st.sampled_from([1, 2])) if kind in ("conv", "depthwise") else kernel
    size = 1 if kind == "linear" else size
    out = into if kind in ("depthwise", "pool", "add") else out
    return _layer(kind=kind, in_channels=into, out_channels=out, in_size=size, kernel=kernel, stride=stride)


@st.composite
def places(draw: st.DrawFn) -> tuple[AcceleratorSpec, CoreSpec]:
    """A core with a fixed dataflow, its outermost memory and ports scaled at random."""
    spec = load_accelerator(draw(st.sampled_from(["single_edge_tpu", "hetero_quad", "diana"])))
    core = draw(st.sampled_from([core for core in spec.cores if core.kind == "compute"]))
    memories = [
        replace(memory, size_bits=memory.size_bits * draw(st.sampled_from([1, 2, 8])))
        if index == len(core.memories) - 1
        else memory
        for index, memory in enumerate(core.memories)
    ]
    bits = sorted({p.bits: p for p in core.precisions} | {b: replace(core.precisions[0], bits=b) for b in (2, 4, 8)})
    same = tuple(replace(core.precisions[0], bits=b, throughput=1.0) for b in bits)
    return spec, replace(core, memories=tuple(memories), precisions=same)


def _cost(spec: AcceleratorSpec, core: CoreSpec, layer: Layer, bits: int) -> CoreLayerCost:
    return AnalyticalLayerModel(spec).cost(LayerRequest(layer, core, bits, ALL_OPERANDS))


@settings(max_examples=60, deadline=None)
@given(layers(), places())
def test_more_bits_never_cost_less(layer: Layer, place: tuple[AcceleratorSpec, CoreSpec]) -> None:
    """Under a fixed dataflow more bits never cost less energy."""
    energies = [_cost(*place, layer, bits).energy_j for bits in (2, 4, 8)]
    assert energies[0] <= energies[1] * (1 + 1e-9)
    assert energies[1] <= energies[2] * (1 + 1e-9)


@st.composite
def free_places(draw: st.DrawFn) -> tuple[AcceleratorSpec, CoreSpec]:
    """A core that may unroll any loops."""
    names = ["quad_tpu", *(str(HARDWARE / f"{name}.yaml") for name in ("B_tpu_like_core_dram", "C_edge_tpu_like"))]
    spec = load_accelerator(draw(st.sampled_from(names)))
    return spec, draw(st.sampled_from(spec.cores))


def _wider(spec: AcceleratorSpec, core: CoreSpec, which: int, factor: float) -> tuple[AcceleratorSpec, CoreSpec]:
    """The ports of memory `which`, or of the DRAM above the memories, `factor` times as wide."""

    def scaled(ports: tuple[PortSpec, ...]) -> tuple[PortSpec, ...]:
        return tuple(replace(port, bandwidth_bits=int(port.bandwidth_bits * factor)) for port in ports)

    memories = list(core.memories)
    if which < len(memories):
        memories[which] = replace(memories[which], ports=scaled(memories[which].ports))
    elif spec.dram is not None:
        width = int(spec.dram.bandwidth_bits * factor)
        spec = replace(spec, dram=replace(spec.dram, bandwidth_bits=width, ports=scaled(spec.dram.ports)))
    return spec, replace(core, memories=tuple(memories))


@settings(max_examples=150, deadline=None)
@given(layers(), st.one_of(places(), free_places()), st.integers(0, 4), st.sampled_from([1.5, 2, 4, 8]))
def test_wider_port_never_slower(
    layer: Layer, place: tuple[AcceleratorSpec, CoreSpec], which: int, factor: float
) -> None:
    """A wider port, on chip or at the DRAM, is never slower: all kinds of layers, fixed and free dataflows."""
    wide = _wider(*place, min(which, len(place[1].memories)), factor)
    assert _cost(*wide, layer, 8).cycles <= _cost(*place, layer, 8).cycles * (1 + 1e-9)


@pytest.mark.parametrize("size", [7, 8, 16])
def test_wider_port_never_slower_for_pooling(size: int) -> None:
    """A four times wider output register never slows a 2x2 pool of three channels, which once it did."""
    spec = load_accelerator("single_edge_tpu")
    layer = _layer(kind="pool", in_channels=3, out_channels=3, in_size=size, kernel=2, stride=2)
    wide = _wider(spec, spec.cores[0], 1, 4)
    assert _cost(*wide, layer, 8).cycles <= _cost(spec, spec.cores[0], layer, 8).cycles


def _larger(core: CoreSpec, which: int, factor: float) -> CoreSpec:
    """`core` with memory `which`, or its outermost one, `factor` times as large."""
    memories = list(core.memories)
    which = min(which, len(memories) - 1)
    memories[which] = replace(memories[which], size_bits=int(memories[which].size_bits * factor))
    return replace(core, memories=tuple(memories))


@settings(max_examples=200, deadline=None)
@given(
    layers(), st.one_of(places(), free_places()), st.integers(0, 4), st.sampled_from([1.5, 2, 4, 16]),
    st.sampled_from([4, 8, 16]),
)  # fmt: skip
def test_larger_memory_never_more_traffic(
    layer: Layer, place: tuple[AcceleratorSpec, CoreSpec], which: int, factor: float, bits: int
) -> None:
    """A larger memory, whichever, never moves more bits to and from DRAM: what is costed, fixed and free dataflows."""
    spec, core = place
    before, after = (_cost(spec, one, layer, bits) for one in (core, _larger(core, which, factor)))
    if before.fits:
        assert after.fits
        assert after.dram_bits <= before.dram_bits * (1 + 1e-9)


@pytest.mark.parametrize(
    ("accelerator", "core", "memory", "factor", "layer"),
    [
        ("single_edge_tpu", 0, 1, 16, {"kind": "pool", "in_channels": 33, "out_channels": 33, "in_size": 16,
                                       "kernel": 2, "stride": 2}),
        ("single_edge_tpu", 0, 1, 16, {"kind": "add", "in_channels": 96, "out_channels": 96, "in_size": 5}),
        ("hetero_quad", 0, 1, 16, {"kind": "depthwise", "in_channels": 96, "out_channels": 96, "in_size": 1}),
        ("diana", 0, 0, 16, {"kind": "conv", "in_channels": 96, "out_channels": 96, "in_size": 32, "kernel": 3,
                             "stride": 2}),
        ("hetero_quad", 2, 3, 4, {"kind": "conv", "in_channels": 5, "out_channels": 64, "in_size": 32, "kernel": 5}),
    ],
)  # fmt: skip
def test_larger_memory_took_more_traffic_once(
    accelerator: str, core: int, memory: int, factor: int, layer: dict[str, Any]
) -> None:
    """Cases in which a larger memory once moved more bits: a wider unrolling, a faster order, a rounded tile."""
    spec = load_accelerator(accelerator)
    chosen = spec.cores[core]
    costs = [_cost(spec, one, _layer(**layer), 8) for one in (chosen, _larger(chosen, memory, factor))]
    assert costs[0].fits
    assert costs[1].dram_bits <= costs[0].dram_bits * (1 + 1e-9)


def _mappings(
    spec: AcceleratorSpec, core: CoreSpec, layer: Layer, bits: int, unrolled: Unrolled
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every loop order under one unrolling: energy (J, MACs excluded), bits to and from DRAM, whether it fits."""
    assert spec.dram is not None
    memories = (*core.memories, dram_memory(spec.dram, core, ALL_OPERANDS))
    hierarchy = hierarchy_of(core, memories, (True, layer.kind != "pool", True))
    rows = rows_of([problem_of(layer, bits, core.partial_sum_bits)], [unrolled])
    nest = Nest(rows)
    allocation = allocate(nest, hierarchy)
    energy, traffic = energy_by_memory(hierarchy, analyse(nest, hierarchy, allocation, rows.mean))
    return energy.sum(axis=0), traffic, allocation.fits


def _unrolled(spec: AcceleratorSpec, core: CoreSpec, layer: Layer, bits: int) -> Unrolled:
    return AnalyticalLayerModel(spec).mapped(LayerRequest(layer, core, bits, ALL_OPERANDS)).unrolled


@settings(max_examples=80, deadline=None)
@given(layers(), st.one_of(places(), free_places()), st.sampled_from([(2, 4), (4, 8), (8, 16)]))
def test_more_bits_never_cost_less_for_any_mapping(
    layer: Layer, place: tuple[AcceleratorSpec, CoreSpec], bits: tuple[int, int]
) -> None:
    """For one and the same mapping, whichever of all, more bits never cost less energy."""
    unrolled = _unrolled(*place, layer, bits[1])
    (few, _, _), (many, _, fits) = (_mappings(*place, layer, b, unrolled) for b in bits)
    assert (few[fits] <= many[fits] * (1 + 1e-9)).all()


@settings(max_examples=80, deadline=None)
@given(layers(), st.one_of(places(), free_places()), st.integers(0, 3), st.sampled_from([1.5, 2, 16]))
def test_larger_memory_never_more_traffic_for_any_mapping(
    layer: Layer, place: tuple[AcceleratorSpec, CoreSpec], which: int, factor: float
) -> None:
    """For one and the same mapping, whichever of all, a larger memory never moves more bits to and from DRAM."""
    spec, core = place
    unrolled = _unrolled(*place, layer, 8)
    _, before, fits = _mappings(spec, core, layer, 8, unrolled)
    _, after, still = _mappings(spec, _larger(core, which, factor), layer, 8, unrolled)
    assert still[fits].all()
    assert (after[fits] <= before[fits] * (1 + 1e-9)).all()


@settings(max_examples=200, deadline=None)
@given(layers(), st.integers(1, 7))
def test_splitting_creates_no_macs(layer: Layer, cores: int) -> None:
    """The slices of a layer on a group of cores have its MACs, weights and outputs between them."""
    parts = slices(layer, cores)
    assert 1 <= len(parts) <= cores
    assert sum(part.macs for part in parts) == layer.macs
    assert sum(part.weight_elements for part in parts) == layer.weight_elements
    assert sum(part.output_elements for part in parts) == layer.output_elements


@settings(max_examples=60, deadline=None)
@given(layers(), places(), st.sampled_from([2, 4, 8]))
def test_energy_is_the_sum_of_its_breakdown(layer: Layer, place: tuple[AcceleratorSpec, CoreSpec], bits: int) -> None:
    """A layer's energy is the sum over memories and MACs; all parts and the cycles are positive and finite."""
    cost = _cost(*place, layer, bits)
    assert cost.energy_j == pytest.approx(sum(cost.energy_j_by_memory.values()))
    assert all(np.isfinite(joules) and joules >= 0 for joules in cost.energy_j_by_memory.values())
    assert np.isfinite(cost.cycles)
    assert cost.cycles >= problem_of(layer, bits, 16).operations / place[1].array_size


def test_preparing_changes_nothing() -> None:
    """Layers costed in one batch cost exactly what each costs alone."""
    spec = load_accelerator("single_edge_tpu")
    shapes = [(8, 16, 8, 3), (16, 33, 7, 1), (64, 10, 1, 1), (32, 32, 16, 5)]
    requests = [
        LayerRequest(_layer(kind="conv", in_channels=c, out_channels=k, in_size=s, kernel=f), spec.cores[0], bits, off)
        for c, k, s, f in shapes
        for bits in (2, 8)
        for off in (ALL_OPERANDS, NO_OPERANDS)
    ]
    batch = AnalyticalLayerModel(spec)
    batch.prepare(requests)
    assert [batch.cost(r) for r in requests] == [AnalyticalLayerModel(spec).cost(r) for r in requests]


def test_cost_layer_needs_room() -> None:
    """A layer alone goes from DRAM and back: its DRAM energy covers every operand once at least."""
    spec = load_accelerator("single_edge_tpu")
    layer = _layer(kind="conv", in_channels=32, out_channels=32, in_size=16, kernel=3)
    cost = MulticoreBackend(spec).cost_layer(layer, 8, 0)
    elements = layer.weight_elements + layer.input_elements
    least = (elements * 700e-12 + layer.output_elements * 750e-12) * 8 / 64
    assert cost.energy_j_by_memory["dram"] == pytest.approx(least)
    assert 0 < cost.utilization <= 1
