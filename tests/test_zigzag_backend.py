"""The zigzag backend: real zigzag-dse numbers, each asked for once, kept on disk, under the public schedule."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eenn_multicore.backend import MulticoreBackend
from eenn_multicore.layer_cost import AnalyticalLayerModel
from eenn_rl.backbone import Backbone, Block, Layer
from eenn_rl.errors import InvalidValueError, MissingDependencyError
from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, Dataflow, Unrolling, load_accelerator
from eenn_rl.hookspecs import HardwareBackend
from eenn_rl.plugins import list_backends
from eenn_rl.schedule import LayerRequest
from eenn_rl.testing import BackendConformance
from eenn_rl.testing.speed import batch_of
from eenn_rl.testing.workloads import sample_workloads
from eenn_rl.workload import Stage, Workload
from eenn_zigzag import layer_model
from eenn_zigzag.backend import ZigZagBackend, default_workers
from eenn_zigzag.cache import AnswerCache, default_folder
from eenn_zigzag.layer_model import ZigZagLayerModel, tool_version
from eenn_zigzag.tool import ToolAnswer
from eenn_zigzag.tool_input import core_data, layer_data, mapping_data

SPEC = load_accelerator("quad_edge_tpu")
CORE = SPEC.cores[0]
EVERYTHING = frozenset(("weight", "input", "output"))


def installed() -> bool:
    try:
        metadata.version("zigzag-dse")
    except metadata.PackageNotFoundError:
        return False
    return True


needs_zigzag = pytest.mark.skipif(not installed(), reason="the extra `zigzag` is not installed")


def conv(channels: int, outputs: int, size: int, kernel: int = 1, stride: int = 1, kind: str = "conv") -> Layer:
    groups, pad, out = channels if kind == "depthwise" else 1, kernel // 2, (size - 1) // stride + 1
    return Layer("x", kind, groups, channels, outputs, (size, size), (out, out), (kernel, kernel), (stride, stride),
                 (pad, pad))  # type: ignore[arg-type]  # fmt: skip


def tiny() -> Backbone:
    """Two blocks of a few small layers, so that ZigZag answers in a moment."""
    first, second = replace(conv(3, 8, 4), name="a"), replace(conv(8, 8, 4), name="b", reads=("a",))
    total = Layer("c", "add", 1, 8, 8, (4, 4), (4, 4), reads=("a", "b"))
    return Backbone("tiny", (Block("one", (first,)), Block("two", (second, total))), (3, 4, 4), 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests that ask the real tool."""
    return tmp_path_factory.mktemp("zigzag")


@needs_zigzag
class TestZigZag(BackendConformance):
    """The promises of every backend, on a network that is small enough for ZigZag."""

    accelerator = SPEC
    backbone = tiny()

    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make_backend(self, accelerator: AcceleratorSpec, backbone: Backbone) -> HardwareBackend:  # noqa: ARG002
        return ZigZagBackend(accelerator, self.folder, workers=1)


REFERENCE = [
    # Layer, bits, cycles and pJ that zigzag-dse 3.9.1's own API gave for an Edge-TPU-like core below its DRAM.
    (conv(24, 24, 8), 8, 385.0, 346356.81),
    (conv(33, 33, 4), 8, 242.0, 209391.46),
    (conv(30, 10, 1, kind="linear"), 8, 39.0, 31242.42),
    (conv(192, 192, 8, 3, 2, "depthwise"), 8, 3266.0, 1595701.71),
]


@needs_zigzag
@pytest.mark.parametrize(("layer", "bits", "cycles", "energy_pj"), REFERENCE)
def test_the_numbers_are_zigzags_own(layer: Layer, bits: int, cycles: float, energy_pj: float, folder: Path) -> None:
    """The converted core, layer and mapping give exactly what its API gives for its own files."""
    cost = ZigZagLayerModel(SPEC, AnswerCache(folder)).cost(LayerRequest(layer, CORE, bits, EVERYTHING))
    assert cost.cycles == cycles
    assert cost.energy_j == pytest.approx(energy_pj * 1e-12, rel=1e-12)
    assert cost.dram_bits >= (layer.weight_elements + layer.input_elements + layer.output_elements) * bits * 0.99


@needs_zigzag
@pytest.mark.parametrize("point", ["nominal", "low"])
def test_a_core_at_another_operating_point_costs_what_multicore_says(point: str, folder: Path) -> None:
    """A network on a core whose point is not the first: its voltage scales energies once, and not those of the DRAM."""
    spec = load_accelerator("hetero_quad")
    spec = replace(spec, cores=(*spec.cores[:3], spec.cores[3].at_point(point)))
    backbone = tiny()
    workload = Workload((Stage(backbone.layers, (), 8, 3, 3),))
    found = ZigZagBackend(spec, folder, workers=1).evaluate(workload)
    expected = MulticoreBackend(spec).evaluate(workload)
    assert found.exits[0].energy_j == pytest.approx(expected.exits[0].energy_j, rel=0.01)
    for mine, other in zip(found.stages[0].layers, expected.stages[0].layers, strict=True):
        if other.macs:
            assert mine.energy_j_by_memory["mac"] == pytest.approx(other.energy_j_by_memory["mac"])


@needs_zigzag
def test_a_small_linear_layer_does_not_crash(folder: Path) -> None:
    """Without temporal loops zigzag-dse's own API crashes printing the mapping."""
    layer = conv(8, 8, 1, kind="linear")
    cost = ZigZagLayerModel(SPEC, AnswerCache(folder)).cost(LayerRequest(layer, CORE, 8))
    assert cost.cycles >= 1
    assert cost.energy_j > 0


@needs_zigzag
def test_a_layer_that_has_no_room_is_costed_and_said_not_to_fit(folder: Path) -> None:
    """36 kB of weights in a 32 kB memory: an answer, not an exception."""
    model = ZigZagLayerModel(SPEC, AnswerCache(folder))
    large, small = (model.cost(LayerRequest(conv(size, size, 1), CORE, 8)) for size in (200, 24))
    assert (large.fits, small.fits) == (False, True)
    assert large.cycles > small.cycles


POOL = Layer("p", "pool", 1, 16, 16, (16, 16), (4, 4), (4, 4), (4, 4), (0, 0), ("x",))
ADD = Layer("a", "add", 1, 16, 16, (16, 16), (16, 16), reads=("x", "y"))


@needs_zigzag
@pytest.mark.parametrize(("layer", "core", "cycles"), [(POOL, 4, 254.0), (ADD, 5, 510.0)])
def test_pooling_and_additions_are_zigzags_too(layer: Layer, core: int, cycles: float, folder: Path) -> None:
    """On the pooling and SIMD cores, as multicore has them in closed form; the operations' own energy comes on top."""
    request = LayerRequest(layer, SPEC.cores[core], 4)
    cost = ZigZagLayerModel(SPEC, AnswerCache(folder)).cost(request)
    closed = AnalyticalLayerModel(SPEC).cost(request)
    assert cost.cycles == cycles == pytest.approx(closed.cycles)
    assert cost.energy_j - cost.energy_j_by_memory["mac"] == pytest.approx(closed.energy_j, rel=0.02)


FREE = """
import sys
from dataclasses import replace
from pathlib import Path
from eenn_rl.backbone import Layer
from eenn_rl.hardware import load_accelerator
from eenn_rl.schedule import LayerRequest
from eenn_zigzag.cache import AnswerCache
from eenn_zigzag.layer_model import ZigZagLayerModel
spec = load_accelerator("quad_edge_tpu")
core = replace(spec.cores[0], dataflows=())
layer = Layer("x", "conv", 1, 8, 8, (4, 4), (4, 4))
print(ZigZagLayerModel(spec, AnswerCache(Path(sys.argv[1]))).cost(LayerRequest(layer, core, 8)))
"""


@needs_zigzag
def test_a_free_dataflow_costs_the_same_in_every_process(tmp_path: Path) -> None:
    """Ties between dataflows, which zigzag-dse breaks by the hash seed, are broken by cost here."""
    found = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", FREE, str(tmp_path / seed)]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert len(found) == 1


@needs_zigzag
def test_each_layer_is_asked_for_once_and_never_again(folder: Path, tmp_path: Path) -> None:
    """Cold, a network's distinct (layer, core, bits) go to the tool; warm, in a fresh backend, none does."""
    workloads = sample_workloads(SPEC, tiny(), 4)
    stages, index = batch_of(workloads)
    cold = ZigZagBackend(SPEC, folder, workers=2).evaluate_batch(stages, index)
    asked: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_model, "run_zigzag", lambda *question: asked.append(question))
        warm = ZigZagBackend(SPEC, folder, workers=1).evaluate_batch(stages, index)
    assert asked == []
    assert all(np.array_equal(a, b) for a, b in zip(cold, warm, strict=True))
    assert not list(tmp_path.iterdir())


@needs_zigzag
def test_warm_it_costs_a_thousand_architectures_a_second(folder: Path) -> None:
    """The schedule is the public one, vectorised; ZigZag's numbers only feed it."""
    backend = ZigZagBackend(SPEC, folder, workers=1)
    stages, index = batch_of(sample_workloads(SPEC, tiny(), 8), repeat=200)
    backend.evaluate_batch(stages, index[:20])
    start = time.perf_counter()
    backend.evaluate_batch(stages, index)
    assert len(index) / (time.perf_counter() - start) > 1000


@needs_zigzag
def test_equal_cores_share_their_answers(folder: Path) -> None:
    """A core's name decides nothing: four Edge TPUs are asked about once."""
    model = ZigZagLayerModel(SPEC, AnswerCache(folder))
    questions = [model.question(LayerRequest(conv(24, 24, 8), core, 8)) for core in SPEC.cores[:4]]
    assert all(question == questions[0] for question in questions)


def without_weights(core: CoreSpec) -> CoreSpec:
    """`core` with memories for inputs and outputs alone."""
    memories = tuple(
        replace(
            memory,
            operands=tuple(operand for operand in memory.operands if operand != "weight"),
            ports=tuple(
                replace(port, carries=tuple(t for t in port.carries if t.operand != "weight")) for port in memory.ports
            ),
        )
        for memory in core.memories
        if set(memory.operands) != {"weight"}
    )
    return replace(core, memories=memories)


def changed(**fields: Any) -> CoreSpec:
    return replace(CORE, **fields)


@pytest.mark.parametrize(
    "other",
    [
        changed(partial_sum_bits=32),
        changed(dataflows=()),
        changed(memories=CORE.memories[1:]),
        changed(precisions=tuple(replace(p, mac_energy_j=1e-12) for p in CORE.precisions)),
        changed(array=tuple(replace(d, size=2) for d in CORE.array)),
    ],
)
def test_all_that_matters_is_in_the_question(other: CoreSpec) -> None:
    """Partial sums, dataflow, memories, MAC energy and array each make it another question."""

    def question(core: CoreSpec) -> tuple[object, ...]:
        layer = conv(24, 24, 8)
        return core_data(core, 8), layer_data(layer, 8, core.partial_sum_bits), mapping_data(core, layer)

    assert question(other) != question(CORE)


def test_a_layer_becomes_its_loops() -> None:
    """Stride, kernel, groups, padding and precisions as ZigZag names them."""
    data = layer_data(conv(24, 24, 9, 3, 2, "depthwise"), 4, 16)
    loops = dict(zip(data["loop_dims"], data["loop_sizes"], strict=True))
    assert loops == {"B": 1, "K": 1, "G": 24, "OX": 5, "OY": 5, "C": 1, "FX": 3, "FY": 3}
    assert data["dimension_relations"] == ["ix=2*ox+1*fx", "iy=2*oy+1*fy"]
    assert data["operand_precision"] == {"W": 4, "I": 4, "O": 16, "O_final": 4}
    assert data["padding"] == [[1, 1], [1, 1]]


def test_pooling_and_additions_become_loops_of_their_own() -> None:
    """No weights, or a second input in their place; memories that ZigZag wants for them are added."""
    pool, add = layer_data(POOL, 4, 16), layer_data(ADD, 4, 16)
    assert dict(zip(pool["loop_dims"], pool["loop_sizes"], strict=True)) == {
        "B": 1, "G": 16, "OX": 4, "OY": 4, "FX": 4, "FY": 4,
    }  # fmt: skip
    assert pool["operand_precision"]["W"] == 0
    assert dict(zip(add["loop_dims"], add["loop_sizes"], strict=True)) == {"B": 1, "G": 16, "OX": 16, "OY": 16}
    assert "none" in core_data(without_weights(SPEC.cores[4]), 4, "pool")["memories"]
    memories = core_data(without_weights(SPEC.cores[5]), 4, "add")["memories"].values()
    assert all("I2" in memory["operands"] for memory in memories if "I1" in memory["operands"])
    assert any("I2, tl" in port["allocation"] for memory in memories for port in memory["ports"])


def test_a_core_becomes_zigzags_file_again() -> None:
    """The Edge-TPU-like core comes back with the sizes, widths and picojoules it was read with."""
    data = core_data(CORE, 8)
    sram = data["memories"]["m2"]
    assert (sram["size"], sram["r_cost"], sram["w_cost"], sram["operands"]) == (262144, 22.9, 52.01, ["I2"])
    assert {(port["type"], port["bandwidth_min"], port["bandwidth_max"]) for port in sram["ports"]} == {
        ("read", 64, 512),
        ("write", 64, 512),
    }
    assert data["operational_array"] == {
        "unit_energy": 0.04, "unit_area": 1, "dimensions": ["D1", "D2", "D3", "D4"], "sizes": [8, 8, 4, 4],
    }  # fmt: skip
    assert mapping_data(CORE, conv(8, 8, 4))["spatial_mapping"]["D3"] == ["OX, 4"]


BY_NAME = tuple(
    Dataflow((Unrolling("D1", "K", size),), kinds) for size, kinds in ((2, ("conv",)), (4, ("c1",)), (8, ()))
)


@pytest.mark.parametrize(("name", "kind", "expected"), [("c1", "conv", 4), ("c2", "conv", 2), ("c1", "linear", 4),
                                                        ("conv", "linear", 8), ("f", "linear", 8)])  # fmt: skip
def test_a_dataflow_holds_by_name_then_by_kind_for_both_backends(name: str, kind: str, expected: int) -> None:
    """As in ZigZag's mapping files: one for a layer's name, else for its kind, else the general one; so multicore."""
    core, layer = changed(dataflows=BY_NAME), replace(conv(8, 8, 1, kind=kind), name=name)
    assert mapping_data(core, layer)["spatial_mapping"] == {"D1": [f"K, {expected}"]}
    model = AnalyticalLayerModel(SPEC)
    alone = changed(dataflows=(Dataflow((Unrolling("D1", "K", expected),)),))
    assert model.cost(LayerRequest(layer, core, 8)) == model.cost(LayerRequest(layer, alone, 8))


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (changed(memories=CORE.memories[:2]), r"memories must be one for each of weight, input, output"),
        (changed(array=(*CORE.array, ArrayDimension("D5", 2))), "array dimensions must be at most 4"),
    ],
)
def test_hardware_that_zigzag_cannot_describe_is_declined(core: CoreSpec, message: str) -> None:
    """One line that names the core, before anything is costed."""
    with pytest.raises(InvalidValueError, match=f"core 'core0': {message}"):
        ZigZagBackend(replace(SPEC, cores=(core, *SPEC.cores[1:])))


def test_the_cache_keeps_answers_across_processes_and_survives_half_a_file(tmp_path: Path) -> None:
    """What cannot be read counts as not known; other questions have other files; the question stands beside it."""
    answer = ToolAnswer(12.5, 10.0, 0.3, {"m0": 1 / 3}, {"m0": {"W": 7.0}}, fits=False)
    AnswerCache(tmp_path).put({"layer": 1}, answer)
    assert AnswerCache(tmp_path).get({"layer": 1}) == answer
    assert AnswerCache(tmp_path).get({"layer": 2}) is None
    (file,) = tmp_path.rglob("*.json")
    assert json.loads(file.read_text())["question"] == {"layer": 1}
    file.write_text(file.read_text()[:40])
    assert AnswerCache(tmp_path).get({"layer": 1}) is None


def test_where_the_cache_lies_and_how_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables first, then the user's cache folder and one process per core."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("EENN_ZIGZAG_CACHE", raising=False)
    assert default_folder() == tmp_path / "eenn-rl" / "zigzag"
    monkeypatch.setenv("EENN_ZIGZAG_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.setenv("EENN_ZIGZAG_WORKERS", "3")
    assert default_workers() == 3
    monkeypatch.setenv("EENN_ZIGZAG_WORKERS", "many")
    with pytest.raises(InvalidValueError, match="EENN_ZIGZAG_WORKERS must be a number of processes"):
        default_workers()


def test_without_the_tool_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend is listed as incomplete, and asking for it names the extra."""
    find = metadata.distribution

    def missing(name: str) -> metadata.Distribution:
        if name == "zigzag-dse":
            raise metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'eenn-rl\[zigzag\]'"):
        tool_version()
    (record,) = [r for r in list_backends() if r.name == "zigzag"]
    assert record.incomplete
    assert "eenn-rl[zigzag]" in str(record.problem)
