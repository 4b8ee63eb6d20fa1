"""``eenn-rl cost``: layer lists, architectures, ONNX networks; tables and JSON; broken input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eenn_multicore.backend import MulticoreBackend
from eenn_rl.architecture_file import read_architecture
from eenn_rl.cost_report import run_cost
from eenn_rl.cost_view import quantity
from eenn_rl.errors import BackendError, EennError, InputFileError, InvalidValueError, MissingDependencyError
from eenn_rl.hardware import load_accelerator, shipped_accelerators
from eenn_rl.layer_file import parse_layers
from eenn_rl.schedule import CoreLayerCost, LayerRequest, Scheduler
from eenn_rl.workload import Stage, Workload, workload_of
from plugin_site import good_plugin, install

HARDWARE = Path(__file__).parents[1] / "benchmarks" / "reference" / "hardware"
LAYERS: list[dict[str, Any]] = [
    {"name": "c", "kind": "conv", "in_channels": 3, "out_channels": 16, "in_size": 32, "out_size": 32, "kernel": 3,
     "stride": 1, "bits": 8},
    {"name": "d", "kind": "depthwise", "in_channels": 16, "out_channels": 16, "in_size": 32, "out_size": 16,
     "kernel": 3, "stride": 2, "bits": 4},
    {"name": "p", "kind": "pool", "in_channels": 16, "out_channels": 16, "in_size": 16, "out_size": 1, "kernel": 16,
     "stride": 16, "bits": 8},
    {"name": "a", "kind": "add", "in_channels": 16, "out_channels": 16, "in_size": 16, "out_size": 16, "bits": 8},
    {"name": "f", "kind": "linear", "in_channels": 256, "out_channels": 10, "bits": 2},
]  # fmt: skip
ARCHITECTURE = {
    "backbone": {"name": "resnet8", "input_shape": [1, 16, 16], "num_classes": 10},
    "exits": [
        {"location": 1, "branch": "conv", "bits": 4, "core": 0, "branch_core": 1},
        {"location": 3, "branch": "classifier", "bits": 8, "core": 6, "branch_core": 6},
    ],
}


def _file(tmp_path: Path, data: Any, name: str = "input.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return path


def test_layers_as_json(tmp_path: Path) -> None:
    """Every layer's entry has the promised keys; its energy is the sum over memories, its utilization follows."""
    found = json.loads(run_cost(_file(tmp_path, LAYERS), as_json=True))
    assert [layer["name"] for layer in found["layers"]] == ["c", "d", "p", "a", "f"]
    for layer in found["layers"]:
        assert sum(layer["energy_j_by_memory"].values()) == pytest.approx(layer["energy_j"])
        assert layer["latency_s"] == pytest.approx(layer["latency_cycles"] * 1e-9)
    conv = found["layers"][0]
    assert conv["macs"] == 3 * 16 * 9 * 32 * 32
    assert conv["utilization"] == pytest.approx(conv["macs"] / conv["latency_cycles"] / 1024)
    assert found["layers"][2]["core"] == "pooling"
    assert found["layers"][3]["core"] == "simd"


def test_a_row_of_zigzag(tmp_path: Path) -> None:
    """With ZigZag's core and mapping files a layer costs what ZigZag says: a row of the reference, to the digit."""
    rows = json.loads((HARDWARE.parent / "zigzag_given.json").read_text())["records"]
    row = next(r for r in rows if r["mapping"] == "C_mapping" and r["kind"] == "depthwise")
    path = _file(tmp_path, [{key: row[key] for key in (*LAYERS[0],)}])
    text = run_cost(
        path, str(HARDWARE / "C_edge_tpu_like.yaml"), mapping=HARDWARE / "C_mapping.yaml", as_json=True, core=0
    )
    (layer,) = json.loads(text)["layers"]
    assert layer["latency_cycles"] == row["latency_cycles"]
    assert layer["energy_j"] * 1e12 == pytest.approx(row["energy_pj"])
    free = json.loads(run_cost(path, str(HARDWARE / "C_edge_tpu_like.yaml"), as_json=True))["layers"][0]
    assert free["latency_cycles"] != layer["latency_cycles"]


def test_architecture_as_json(tmp_path: Path) -> None:
    """An architecture's cost is what the backend says of its workload, by exit, stage and layer."""
    path = _file(tmp_path, ARCHITECTURE)
    found = json.loads(run_cost(path, as_json=True))
    workload = workload_of(read_architecture(path))
    expected = MulticoreBackend(load_accelerator("quad_edge_tpu")).evaluate(workload)
    assert found["exits"] == [{"energy_j": c.energy_j, "latency_s": c.latency_s} for c in expected.exits]
    assert len(found["stages"]) == 2
    assert found["violations"] == []
    assert json.loads(run_cost(_file(tmp_path, {"architecture": ARCHITECTURE}), as_json=True)) == found


def test_tables(tmp_path: Path) -> None:
    """Without --json a person gets totals and where the energy goes."""
    text = run_cost(_file(tmp_path, LAYERS))
    assert "total" in text
    assert "Where the energy goes" in text
    text = run_cost(_file(tmp_path, ARCHITECTURE))
    for part in ("exit", "Stage 1", "stack3.conv2", "dram", "everything fits", "Memory at its fullest"):
        assert part in text


def test_core(tmp_path: Path) -> None:
    """--core moves everything to one core, which must be there and able to run a stage."""
    found = json.loads(run_cost(_file(tmp_path, ARCHITECTURE), core=2, as_json=True))
    cores = {layer["core"] for stage in found["stages"] for layer in stage["layers"] + stage["branch_layers"]}
    assert cores == {"core2", "pooling", "simd"}
    with pytest.raises(EennError, match="--core must be between 0 and 5"):
        run_cost(_file(tmp_path, LAYERS), core=9)
    with pytest.raises(EennError, match="--core must be a compute core of quad_edge_tpu"):
        run_cost(_file(tmp_path, ARCHITECTURE), core=5)


def test_clock(tmp_path: Path) -> None:
    """--clock-hz sets what a cycle lasts where a file names no clock; else nothing says which clock would hold."""
    path, nameless = _file(tmp_path, LAYERS[:1]), HARDWARE / "C_edge_tpu_like.yaml"
    slow = json.loads(run_cost(path, str(nameless), clock_hz=1e8, as_json=True))["layers"][0]
    assert slow["latency_s"] == pytest.approx(slow["latency_cycles"] * 1e-8)
    for clock_hz in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(InvalidValueError, match="--clock-hz must be more than 0, and finite, found"):
            run_cost(path, str(nameless), clock_hz=clock_hz)
    named = tmp_path / "named.yaml"
    named.write_text(nameless.read_text() + "\nclock_hz: 5.0e8\n")
    shipped = (*shipped_accelerators(), None)
    for accelerator in (*shipped, str(named), _one_core(tmp_path, operating_points={"p": POINT}),
                        _one_core(tmp_path, clock_hz=1e8)):  # fmt: skip
        with pytest.raises(InvalidValueError, match=r"expected --accelerator FILE with a file that names no clock, f"):
            run_cost(path, accelerator, clock_hz=1e8)
    timed = json.loads(run_cost(path, _one_core(tmp_path), clock_hz=1e8, as_json=True))["layers"][0]
    assert timed["latency_s"] == pytest.approx(timed["latency_cycles"] * 1e-8)


POINT = {"voltage_v": 0.8, "clock_hz": 5e8}


def _one_core(tmp_path: Path, **more: Any) -> str:
    """A file of ours with one core, which computes at 4 and 8 bits."""
    memory = {"name": "sram", "size_bits": 10**7, "read_pj": 1, "write_pj": 1, "bandwidth_bits": 64,
              "operands": ["input", "weight", "output"]}  # fmt: skip
    core = {"array": {"D1": 8}, "precisions": {8: {"mac_pj": 0.1}, 4: {"mac_pj": 0.1}}, "memories": [memory]}
    data = {"name": "one", "core_types": {"t": core | more}, "cores": {"c": "t"}}
    path = tmp_path / f"one{len(more)}.yaml"
    path.write_text(yaml.safe_dump(data))
    return str(path)


def test_names_in_a_mapping(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An entry for a layer's name changes that layer; a name that none on a compute core has is told in one line."""
    path, core = _file(tmp_path, LAYERS), str(HARDWARE / "C_edge_tpu_like.yaml")
    plain = run_cost(path, core, as_json=True)
    mapping = tmp_path / "mapping.yaml"
    entries = [{"name": "default"}, {"name": "Conv"}, {"name": "f", "spatial_mapping": {"D1": ["K, 2"]}}]
    mapping.write_text(yaml.safe_dump([*entries, {"name": "Convolution"}]))
    found = json.loads(run_cost(path, core, mapping=mapping, as_json=True))["layers"]
    changed = [one["name"] for one, other in zip(found, json.loads(plain)["layers"], strict=True) if one != other]
    assert changed == ["f"]
    (said,) = [record.getMessage() for record in caplog.records if "used" in record.getMessage()]
    assert "mapping.yaml: Convolution: expected an operator, or the name of a layer on a compute core, f" in said
    caplog.clear()
    mapping.write_text(yaml.safe_dump([{"name": "default"}, {"name": "p"}]))
    run_cost(path, mapping=mapping)
    assert "mapping.yaml: p: expected" in caplog.text
    mapping.write_text(yaml.safe_dump([{"name": "default", "spatial_mapping": {"D9": ["K, 2"]}}]))
    with pytest.raises(InputFileError, match=r"mapping.yaml: core 'edge_tpu_like': dataflow: array dimension must be"):
        run_cost(path, core, mapping=mapping)


OWN_CHIP = """
@hookimpl
def eenn_rl_default_accelerator():
    from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, Precision
    widths = tuple(Precision(bits, 1e-12) for bits in (2, 4, 8))
    core = CoreSpec("tiny", "compute", (ArrayDimension("units", 4),), (), widths)
    return AcceleratorSpec("tinychip", (core,))
"""


def test_backend_of_whole_workloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third party's is asked layer by layer, on the chip it brings; it may leave cycles open; stdout stays clean."""
    source = good_plugin().replace("costs, energy", "print('chatter'); costs, energy") + OWN_CHIP
    monkeypatch.syspath_prepend(install(tmp_path / "site", "whole", {"whole": "whole"}, {"whole": source}))
    layers = json.loads(run_cost(_file(tmp_path, LAYERS), backend="whole", as_json=True))["layers"]
    assert [layer["latency_cycles"] for layer in layers] == [None] * 5
    assert all(layer["energy_j"] == pytest.approx(layer["macs"] * 1e-12) for layer in layers)
    assert {layer["core"] for layer in layers} == {"tiny"}
    assert all((layer["utilization"] > 0) == (layer["macs"] > 0) for layer in layers)
    table = run_cost(_file(tmp_path, LAYERS), backend="whole")
    assert "-" in table
    assert "Where the energy goes" not in table
    assert capsys.readouterr().out == ""


WITH_TRANSFERS = """
from eenn_rl.hookspecs import hookimpl
from eenn_rl.schedule import CoreLayerCost, Scheduler

class Layers:
    def cost(self, request):
        return CoreLayerCost(100.0, {"mac": request.layer.macs * 1e-12})

class Backend:
    api_version = 1
    def __init__(self, accelerator):
        self.scheduler = Scheduler(accelerator, Layers())
        self.evaluate = self.scheduler.evaluate

@hookimpl
def eenn_rl_make_backend(accelerator):
    return Backend(accelerator)
"""


def test_a_layer_costs_all_that_its_stage_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a backend of whole workloads a layer's input comes from DRAM, as its weights do: both count."""
    monkeypatch.syspath_prepend(install(tmp_path / "site", "moving", {"moving": "moving"}, {"moving": WITH_TRANSFERS}))
    path = _file(tmp_path, LAYERS[:1])
    (layer,) = json.loads(run_cost(path, backend="moving", as_json=True))["layers"]
    whole = Scheduler(load_accelerator("quad_edge_tpu"), _Hundred()).evaluate(
        Workload((Stage((parse_layers(LAYERS[:1], "x")[0].layer,), (), 8, 0, 0),))
    )
    transfer, own = whole.stages[0].layers
    assert transfer.name == "c.transfer"
    assert layer["energy_j"] == whole.exits[0].energy_j > own.energy_j
    assert layer["latency_s"] == whole.exits[0].latency_s > own.latency_s
    assert sum(layer["energy_j_by_memory"].values()) == pytest.approx(layer["energy_j"])
    assert layer["latency_cycles"] == pytest.approx(layer["latency_s"] * 1e9)
    assert layer["utilization"] == pytest.approx(layer["macs"] / layer["latency_cycles"] / 1024)


class _Hundred:
    """A layer model: each layer takes a hundred cycles."""

    def cost(self, request: LayerRequest) -> CoreLayerCost:
        return CoreLayerCost(100.0, {"mac": request.layer.macs * 1e-12})


def test_the_array_in_use_counts_what_its_units_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core with 16 MACs per unit and cycle is used in full, not 16 times: layers, networks, and bare exits alike."""
    source = good_plugin().replace("macs * 1e-9", "macs / (5e8 * 64 * 16)")
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fused", {"fused": "fused"}, {"fused": source}))
    wide = {"name": "w", "kind": "conv", "in_channels": 256, "out_channels": 256, "in_size": 16, "kernel": 3, "bits": 2}
    path = _file(tmp_path, [wide])
    (bare,) = json.loads(run_cost(path, "hetero_quad", "fused", core=1, as_json=True))["layers"]
    assert bare["utilization"] == pytest.approx(1.0)
    alone = json.loads(run_cost(path, "hetero_quad", core=1, as_json=True))["layers"]
    last = {"location": 3, "branch": "classifier", "bits": 2, "core": 1, "branch_core": 1}
    network = ARCHITECTURE | {"exits": [last]}
    (stage,) = json.loads(run_cost(_file(tmp_path, network), "hetero_quad", as_json=True))["stages"]
    for layer in (*alone, *stage["layers"]):
        assert 0 < layer["utilization"] <= 1 or not layer["macs"]


TWO_CORES = """
@hookimpl
def eenn_rl_default_accelerator():
    from eenn_rl.hardware import AcceleratorSpec, ArrayDimension, CoreSpec, Precision
    def core(name, kind, *bits):
        widths = tuple(Precision(b, 1e-12) for b in bits)
        return CoreSpec(name, kind, (ArrayDimension("units", 4),), (), widths)
    cores = core("wide", "compute", 4, 8), core("narrow", "compute", 2), core("pooling", "pooling", 2, 4, 8)
    return AcceleratorSpec("two", cores, allocations=((1,), (0,)))
"""


def test_bits_are_those_of_the_allocation_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend of whole workloads is asked at bits that all cores of the first allocation have, or those of --core."""
    source = good_plugin() + TWO_CORES
    monkeypatch.syspath_prepend(install(tmp_path / "site", "twocores", {"twocores": "two"}, {"two": source}))
    for layer in LAYERS[:3]:
        path = _file(tmp_path, [layer | {"bits": 4}])
        with pytest.raises(InvalidValueError, match=r"bits of layer '.' must be those of narrow, one of \(2,\) \(--co"):
            run_cost(path, backend="twocores")
        assert json.loads(run_cost(path, backend="twocores", core=0, as_json=True))["layers"][0]["core"] == "wide"
    run_cost(_file(tmp_path, [LAYERS[0] | {"bits": 2}]), backend="twocores")


def test_backend_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and what it did, for layers and for a network."""
    source = good_plugin().replace("return CostReport(tuple(costs))", "raise KeyError('no\\nsuch layer')")
    monkeypatch.syspath_prepend(install(tmp_path / "site", "failing", {"failing": "costfail"}, {"costfail": source}))
    for data in (LAYERS, ARCHITECTURE):
        with pytest.raises(BackendError, match=r"backend 'failing' raised KeyError: .*such layer"):
            run_cost(_file(tmp_path, data), backend="failing")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "convolution"}, "kind must be one of conv"),
        ({"in_channels": 0}, "in_channels must be an integer of at least 1, found 0"),
        ({"bits": 64}, "bits must be between 1 and 32, found 64"),
        ({"kernel": [3]}, "kernel must be an integer of at least 1, or two of them"),
        ({"out_size": 50}, "out_size"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"name": None}, "name must be a string, found None"),
        ({"in_channels": 10**400}, "in_channels must be at most 2147483647, found a number of 1329 bits"),
        ({"in_size": [8, 2**31]}, "in_size must be at most 2147483647, found a number of 32 bits"),
        ({"kind": "linear", "in_size": 8, "out_size": 8}, "in_size must be (1, 1) for kind linear, whose in_channels"),
        ({"kind": "linear", "in_size": 1, "out_size": 1}, "kernel must be (1, 1) for kind linear"),
        ({"kind": "depthwise", "in_channels": 16, "groups": 2}, "groups must be in_channels for kind depthwise, f"),
        ({"kind": "add", "in_channels": 16}, "kernel must be (1, 1) for kind add, found (3, 3)"),
        ({"kind": "add", "in_channels": 16, "kernel": 1, "stride": 2, "out_size": 16}, "out_size must be in_size (32"),
    ],
)
def test_broken_layer(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    """A broken layer is refused in one line with the file, the entry, the key, the value and the bound."""
    path = _file(tmp_path, [LAYERS[0] | entry])
    with pytest.raises(InputFileError) as caught:
        run_cost(path)
    assert f"{path}: layer 0: " in str(caught.value)
    assert message in str(caught.value)


def test_bits_are_those_of_the_core(tmp_path: Path) -> None:
    """Layers at bits that their core lacks are refused; so is `--bits` for what has bits of its own."""
    path = _file(tmp_path, [LAYERS[0] | {"bits": 3}])
    with pytest.raises(InvalidValueError, match=r"bits of layer 'c' must be those of core core0, one of \(2, 4, 8\), "):
        run_cost(path)
    with pytest.raises(InvalidValueError, match="--bits must be left out"):
        run_cost(_file(tmp_path, LAYERS), bits=4)


def test_what_show_prints_can_be_costed(tmp_path: Path) -> None:
    """Of a run's whole JSON the best verified architecture is taken, else the best of the search."""
    alone = run_cost(_file(tmp_path, ARCHITECTURE), as_json=True)
    for told in (
        {"run": "r", "verified": [{"architecture": ARCHITECTURE}, {}], "search": None},
        {"run": "r", "verified": [], "search": {"candidates": [{"architecture": ARCHITECTURE}]}},
    ):
        assert run_cost(_file(tmp_path, told), as_json=True) == alone
    with pytest.raises(InputFileError, match="expected an architecture"):
        run_cost(_file(tmp_path, {"run": "r", "verified": [], "search": None}))


@pytest.mark.parametrize("data", [[], {"a": 1}, [3], [{"name": "x"}]])
def test_neither_layers_nor_architecture(tmp_path: Path, data: Any) -> None:
    """Other JSON is refused in one line that says what was expected."""
    with pytest.raises(InputFileError, match="expected"):
        run_cost(_file(tmp_path, data))


def test_padding_keeps_the_size() -> None:
    """Padding keeps `same` sizes unless given, for even kernels and odd strides as well."""
    shape = {"name": "x", "kind": "conv", "in_channels": 4, "out_channels": 4, "in_size": 9, "kernel": 3}
    (same,) = parse_layers([shape | {"stride": 2}], "x")
    assert same.layer.out_size == (5, 5)
    assert same.layer.padding == (1, 1)
    (none,) = parse_layers([shape | {"out_size": 7, "padding": 0}], "x")
    assert none.layer.padding == (0, 0)


def test_quantity() -> None:
    """Values are shown with the SI prefix that reads best, and never with an exponent that a prefix stands for."""
    assert [quantity(v, "J") for v in (4.2e-6, 0.0, 3.0, 5e-13)] == ["4.2 uJ", "0 pJ", "3 J", "0.5 pJ"]
    assert [quantity(v, "Hz") for v in (1e9, 2.5e8, 99_960.0, 999.7e-6)] == ["1 GHz", "250 MHz", "100 kHz", "1 mHz"]


@pytest.mark.parametrize("name", ["[/x]", "[red]x[/red]", ":smile:"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    """A layer's name is no mark-up: brackets and colons stay."""
    assert name in run_cost(_file(tmp_path, [LAYERS[0] | {"name": name}]))


def test_onnx(tmp_path: Path) -> None:
    """An ONNX network costs what the same network costs as an architecture, or says which package is missing."""
    try:
        import onnx
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r"eenn-rl\[deploy\]"):
            run_cost(_file(tmp_path, [], "net.onnx"))
        return
    helper = onnx.helper
    make, info = helper.make_node, helper.make_tensor_value_info
    weights = {"w": (8, 3, 3, 3), "v": (8, 1, 3, 3), "m": (8, 5)}
    nodes = [
        make("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        make("Relu", ["a"], ["b"], "relu"),
        make("Conv", ["b", "v"], ["c"], "depth", pads=[1, 1, 1, 1], group=8),
        make("Add", ["b", "c"], ["d"], "sum"),
        make("GlobalAveragePool", ["d"], ["e"], "pool"),
        make("Flatten", ["e"], ["f"], "flat"),
        make("MatMul", ["f", "m"], ["y"], "fc"),
    ]
    constants = [onnx.numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(nodes, "net", [info("x", 1, [1, 3, 8, 8])], [info("y", 1, [1, 5])], initializer=constants)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph), str(path))
    found = json.loads(run_cost(path, as_json=True))
    layers = [layer for layer in found["stages"][0]["layers"] if not layer["name"].endswith(".transfer")]
    macs = [("conv", 8 * 3 * 9 * 64), ("depth", 8 * 9 * 64), ("sum", 0), ("pool", 0), ("fc", 40)]
    assert [(layer["name"], layer["macs"]) for layer in layers] == macs
    model = helper.make_model(graph)
    assert found == json.loads(run_cost(path, as_json=True, bits=8))
    narrow = json.loads(run_cost(path, as_json=True, bits=4))["exits"][0]
    assert narrow["energy_j"] < found["exits"][0]["energy_j"]
    with pytest.raises(InvalidValueError, match=r"net.onnx must be those of core0, one of \(2, 4, 8\) .*found 3$"):
        run_cost(path, bits=3)
    helper.set_model_props(model, {"eenn_rl.bits": "4"})
    onnx.save(model, str(path))
    assert json.loads(run_cost(path, as_json=True))["exits"][0] == narrow
    path.write_bytes(b"nothing like a network")
    with pytest.raises(InputFileError, match="expected an ONNX network"):
        run_cost(path)


def test_onnx_with_quantised_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Weights that come through DequantizeLinear cost what plain ones do; what is not costed is said, once by node."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    make, info = helper.make_node, helper.make_tensor_value_info
    nodes = [
        make("DequantizeLinear", ["w", "scale"], ["wf"], "dw"),
        make("Conv", ["x", "wf"], ["a"], "conv", pads=[1, 1, 1, 1]),
        make("GlobalAveragePool", ["a"], ["e"], "pool"),
        make("Sigmoid", ["e"], ["s"], "gate"),
        make("Mul", ["a", "s"], ["g"], "scaled"),
        make("LRN", ["g"], ["n"], "lrn", size=3),
        make("GlobalMaxPool", ["n"], ["p"], "last"),
        make("Flatten", ["p"], ["f"], "flat"),
        make("DequantizeLinear", ["m", "scale"], ["mf"], "dm"),
        make("Gemm", ["f", "mf", "bias"], ["y"], "fc", transB=1),
    ]
    held = {"w": np.zeros((8, 3, 3, 3), np.int8), "m": np.zeros((5, 8), np.int8), "scale": np.float32(1),
            "bias": np.zeros(5, np.float32)}  # fmt: skip
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    graph = helper.make_graph(nodes, "net", [info("x", 1, [1, 3, 8, 8])], [info("y", 1, [1, 5])], initializer=constants)
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    found = json.loads(run_cost(path, as_json=True, bits=8))
    macs = {layer["name"]: layer["macs"] for layer in found["stages"][0]["layers"]}
    assert macs == macs | {"conv": 8 * 3 * 9 * 64, "fc": 40}
    said = [record.getMessage() for record in caplog.records]
    assert [name for name in ("scaled", "lrn") if any(name in text for text in said)] == ["scaled", "lrn"]
    assert len(said) == 2


def _pooled(onnx: Any) -> Any:
    """A convolution, a pool with a Pad node, and a matrix product."""
    make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        make("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        make("Pad", ["a", "around"], ["b"], "pad"),
        make("MaxPool", ["b"], ["c"], "pool", kernel_shape=[3, 3], strides=[2, 2]),
        make("GlobalAveragePool", ["c"], ["d"], "whole"),
        make("Flatten", ["d"], ["e"], "flat"),
        make("Gemm", ["e", "m"], ["y"], "fc"),
    ]
    held = {"w": np.zeros((4, 3, 3, 3), np.float32), "m": np.zeros((4, 5), np.float32),
            "around": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}  # fmt: skip
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = onnx.helper.make_graph(
        nodes, "net", [info("x", 1, [1, 3, 8, 8])], [info("y", 1, [1, 5])], initializer=constants
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])


def test_onnx_with_damaged_parts(tmp_path: Path) -> None:
    """Attributes and tensors of a type that none can have, and sparse weights, are one line; so is what is no text."""
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"

    def refused(model: Any, match: str) -> None:
        onnx.save(model, str(path))
        with pytest.raises(InputFileError, match=match):
            run_cost(path)

    model = _pooled(onnx)
    model.graph.node[2].attribute[1].type = onnx.AttributeProto.SPARSE_TENSOR
    refused(model, "net.onnx: node 'pool' cannot be read: attribute strides must be INTS, found 'SPARSE_TENSOR'")
    model = _pooled(onnx)
    model.graph.initializer[2].data_type = 0
    refused(model, "net.onnx: node 'pool' cannot be read: The element type")
    model = _pooled(onnx)
    sparse = model.graph.sparse_initializer.add(dims=[4, 5])
    sparse.values.CopyFrom(model.graph.initializer.pop(1))
    refused(model, "net.onnx: holds sparse tensors, expected dense ones: save its weights as such")
    path.write_bytes(_pooled(onnx).SerializeToString().replace(b"whole", b"who\xc8e"))
    assert (
        "who\N{REPLACEMENT CHARACTER}e" in json.loads(run_cost(path, as_json=True))["stages"][0]["layers"][-2]["name"]
    )


def _free_network(path: Path, *sizes: int | str) -> Path:
    """A network for images of `sizes`, written as exporters do: it flattens by the shape that it finds."""
    onnx = pytest.importorskip("onnx")
    make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        make("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        make("MaxPool", ["a"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        make("Shape", ["p"], ["all"], "shape"),
        make("Gather", ["all", "zero"], ["n"], "first"),
        make("Concat", ["n", "rest"], ["to"], "target", axis=0),
        make("Reshape", ["p", "to"], ["f"], "flat"),
        make("Gemm", ["f", "m"], ["y"], "fc"),
    ]
    held = {"w": np.zeros((8, 3, 3, 3), np.float32), "m": np.zeros((128, 5), np.float32),
            "zero": np.array([0]), "rest": np.array([-1])}  # fmt: skip
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in held.items()]
    inner = [info("a", 1, [sizes[0], 8, *sizes[2:]])]
    graph = onnx.helper.make_graph(
        nodes, "net", [info("x", 1, sizes)], [info("y", 1, [sizes[0], 5])], constants, value_info=inner
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), str(path))
    return path


def test_sizes_that_an_onnx_network_leaves_free_are_asked_for(tmp_path: Path) -> None:
    """One line names them; stated, they cost what fixed ones do. A free batch is no size, and counts as one image."""
    fixed = run_cost(_free_network(tmp_path / "fixed.onnx", 1, 3, 8, 8), as_json=True)
    assert {layer["name"]: layer["macs"] for layer in json.loads(fixed)["stages"][0]["layers"]}["fc"] == 128 * 5
    assert run_cost(_free_network(tmp_path / "batch.onnx", "n", 3, 8, 8), as_json=True) == fixed
    path = _free_network(tmp_path / "free.onnx", "n", 3, "h", "w")
    line = r"free.onnx: input 'x': expected known sizes, found height \(h\), width \(w\) free: give --input-shape C,H,W"
    with pytest.raises(InputFileError, match=line):
        run_cost(path)
    assert run_cost(path, as_json=True, input_shape=(3, 8, 8)) == fixed
    with pytest.raises(InvalidValueError, match=r"--input-shape 1,8,8: expected 3,any,any, as input 'x' of"):
        run_cost(path, input_shape=(1, 8, 8))
    with pytest.raises(InvalidValueError, match="--input-shape must be left out: only an ONNX network"):
        run_cost(_file(tmp_path, LAYERS), input_shape=(3, 8, 8))


def test_a_layer_of_unknown_size_is_refused_by_name(tmp_path: Path) -> None:
    """Sizes that no inference finds, behind an operator that depends on values, are not taken for 1."""
    onnx = pytest.importorskip("onnx")
    make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [make("Compress", ["x", "kept"], ["c"], "some", axis=2), make("Conv", ["c", "w"], ["y"], "conv")]
    held = {"w": np.zeros((8, 3, 1, 1), np.float32), "kept": np.array([True, False, True])}
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in held.items()]
    graph = onnx.helper.make_graph(
        nodes, "net", [info("x", 1, [1, 3, 8, 8])], [info("y", 1, [1, 8, "h", 8])], constants
    )
    onnx.save(onnx.helper.make_model(graph), str(tmp_path / "net.onnx"))
    with pytest.raises(InputFileError, match=r"net.onnx: node 'conv': expected known shapes, found none for '[cy]'"):
        run_cost(tmp_path / "net.onnx")
