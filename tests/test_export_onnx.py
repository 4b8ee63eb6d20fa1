"""Exported networks: what torch computes, in standard graphs at the trained bits, that read back as the layers."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the optional package onnx is not installed")
torch = pytest.importorskip("torch")

from eenn_multicore.backend import MulticoreBackend  # noqa: E402
from eenn_rl.architecture import Architecture, Exit  # noqa: E402
from eenn_rl.backbone import Backbone, Layer  # noqa: E402
from eenn_rl.cost_report import run_cost  # noqa: E402
from eenn_rl.errors import InputFileError, InvalidValueError  # noqa: E402
from eenn_rl.export_onnx import (  # noqa: E402
    Deployment,
    Normalisation,
    export_network,
    export_run,
    exported_workload,
    layers_of_model,
    load_network,
    read_manifest,
)
from eenn_rl.export_onnx.manifest import OPERATORS  # noqa: E402
from eenn_rl.hardware import load_accelerator  # noqa: E402
from eenn_rl.networks.builder import Network, heads_of, path_of  # noqa: E402
from eenn_rl.networks.quantise import refreshing  # noqa: E402
from eenn_rl.stored_run import open_stored_run  # noqa: E402
from eenn_rl.workload import workload_of  # noqa: E402
from eenn_rl.zoo import make_backbone  # noqa: E402
from small_run import scratch, small_run  # noqa: E402

MEAN, STD = (0.2, 0.3, 0.4), (0.25, 0.3, 0.35)
SEARCH_SPACE_BITS = (8, 4, 2)


def untrained(architecture: Architecture) -> Network:
    """A network with weights, batch norm and steps drawn at random: every number matters, and gains of both signs."""
    network = Network(architecture.backbone, heads_of(architecture), SEARCH_SPACE_BITS)
    generator = torch.Generator().manual_seed(5)
    network.initialise(generator)
    for name, value in network.state_dict().items():
        if "norm" in name and value.dim():
            low, high = (
                (0.3, 1.5) if "var" in name else (-0.4, 0.4) if "mean" in name or "bias" in name else (-1.5, 1.5)
            )
            value.copy_(torch.rand(value.shape, generator=generator) * (high - low) + low)
    network.eval()
    with refreshing(network), torch.inference_mode():
        images = torch.randn(8, *architecture.backbone.input_shape, generator=generator)
        network(images, path_of(architecture), heads_of(architecture))
    return network


def architecture_of(backbone: Backbone, *branches: str) -> Architecture:
    """An exit after each of the first blocks, at 2, 8 and 4 bits in turn, and the classifier."""
    exits = [Exit(at, branch, (2, 8, 4)[at % 3], at % 4, (at + 1) % 4) for at, branch in enumerate(branches)]
    return Architecture(backbone, (*exits, Exit(len(backbone.blocks) - 1, "classifier", 4, 0, 1)))


def deployment(architecture: Architecture, **changes: Any) -> Deployment:
    exits = len(architecture.exits)
    channels = architecture.backbone.input_shape[0]
    given = {
        "thresholds": (*(0.5,) * (exits - 1), 0.0),
        "temperatures": (1.0,) * exits,
        "confidence_rule": "max_softmax",
        "normalisation": Normalisation(MEAN[:channels], STD[:channels]),
        "dataset": "random",
    }
    return Deployment(**{**given, **changes})


BACKBONES = {
    "resnet8": (make_backbone("resnet8", (1, 16, 16), 10), ("dsconv2", "conv", "mlp")),
    "mobilenetv2": (make_backbone("mobilenetv2", (3, 16, 16), 7), ("linear", "dsconv", "conv", "mlp")),
    "mobilenetv1_025": (make_backbone("mobilenetv1_025", (3, 48, 32), 2), ("linear", "dsconv")),
}


@pytest.fixture(scope="module", params=BACKBONES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    backbone, branches = BACKBONES[request.param]
    architecture = architecture_of(backbone, *branches)
    network = untrained(architecture)
    folder = tmp_path_factory.mktemp("export") / "network"
    export_network(architecture, network, deployment(architecture), folder)
    return architecture, network, folder


def models(folder: Path) -> list[Any]:
    return [onnx.load(str(folder / graph.file)) for graph in read_manifest(folder).graphs]


def test_the_graphs_read_back_as_the_workload(exported: tuple[Any, Any, Path]) -> None:
    """Layers, bits and allocations that the exported files describe are exactly those of the architecture."""
    architecture, _, folder = exported
    _, workload = exported_workload(folder)
    assert workload == workload_of(architecture)


IMAGES = 9


def onnx_logits(folder: Path, pixels: Any) -> list[Any]:
    """Logits of every exit by plain onnxruntime at its default settings, one image at a time."""
    runtime = pytest.importorskip("onnxruntime", reason="the optional package onnxruntime is not installed")
    stages = read_manifest(folder).stages
    files = [graph for stage in stages for graph in (stage.backbone, stage.branch)]
    sessions = [runtime.InferenceSession(str(folder / g.file), providers=["CPUExecutionProvider"]) for g in files]
    found = []
    for image in pixels:
        values: dict[str, Any] = {"pixels": image[np.newaxis]}
        for graph, session in zip(files, sessions, strict=True):
            outputs = session.run(None, {info.name: values[info.name] for info in graph.inputs})
            values |= {info.name: value for info, value in zip(graph.outputs, outputs, strict=True)}
        found.append([values[stage.branch.outputs[0].name][0] for stage in stages])
    return [np.stack(rows) for rows in zip(*found, strict=True)]


def test_every_logit_is_torchs(exported: tuple[Any, Any, Path]) -> None:
    """Plain onnxruntime gives the torch network's logits at every exit.

    A sum that falls on a rounding boundary may round the other way, which at 2 bits changes the logits of that image:
    the median image must agree.
    """
    architecture, network, folder = exported
    shape = architecture.backbone.input_shape
    pixels = np.random.default_rng(1).integers(0, 256, (IMAGES, *shape), np.uint8)
    mean, std = (np.float32(values[: shape[0]]).reshape(1, -1, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        images = torch.from_numpy(pixels.astype(np.float32) * (1 / (np.float32(255) * std)) - mean / std)
        wanted = network(images, path_of(architecture), heads_of(architecture))
    for k, (logits, reference) in enumerate(zip(onnx_logits(folder, pixels), wanted, strict=True)):
        worst = np.abs(logits - reference.numpy()).max(1)
        assert np.median(worst) < 5e-3 * float(reference.abs().max()), f"exit {k}"


def test_weights_are_held_at_the_trained_bits(exported: tuple[Any, Any, Path]) -> None:
    """Codes of b bits use 2^b values at most, lie in INT4 for 2 and 4 bits and INT8 for 8; every scale is positive."""
    manifest = read_manifest(exported[2])
    wanted = {2: onnx.TensorProto.INT4, 4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8}
    for stage in manifest.stages:
        for graph in (stage.backbone, stage.branch):
            model = onnx.load(str(exported[2] / graph.file))
            for tensor in model.graph.initializer:
                values = onnx.numpy_helper.to_array(tensor)
                if tensor.name.endswith(".codes"):
                    assert tensor.data_type == wanted[stage.bits]
                    half = 2 ** (stage.bits - 1)
                    assert -half <= int(values.astype(np.int64).min())
                    assert int(values.astype(np.int64).max()) < half
                if tensor.name.endswith((".scale", ".step")):
                    assert (values > 0).all()
    storage = {item.bits: item for item in manifest.storage}
    assert storage[2].weight_range == (-2, 1)
    assert "held in 4-bit integers" in storage[2].note


def test_every_activation_passes_a_quantiser_of_its_stage(exported: tuple[Any, Any, Path]) -> None:
    """Each QuantizeLinear inside a graph is of the stage's type; what crosses a border is 8 bits wide, range stated."""
    for stage in read_manifest(exported[2]).stages:
        allowed = {"UINT4", "INT4"} if stage.bits <= 4 else {"UINT8", "INT8"}
        model = onnx.load(str(exported[2] / stage.backbone.file))
        kinds = {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer}
        inner = [
            node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.output[0].endswith(".q")
        ]
        assert inner
        assert {kinds[node.input[2]] for node in inner} <= allowed
        assert all(info.dtype in ("uint8", "int8") and info.scale for info in stage.backbone.outputs)
        spans = [
            info.high - info.low for info in stage.backbone.outputs if info.high is not None and info.low is not None
        ]
        assert all(span == 2**stage.bits - 1 for span in spans)


def test_roundings_of_a_graph_are_of_one_width(exported: tuple[Any, Any, Path]) -> None:
    """Roundings to 4 and to 8 bits never meet in one graph, but for what it hands on: onnxruntime confuses memory."""
    widths = []
    for model in models(exported[2]):
        kinds = {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer}
        rounded = [n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.output[0].endswith(".q")]
        widths.append({kinds[node.input[2]].lstrip("U") for node in rounded})
        pools = any(node.op_type == "MaxPool" for node in model.graph.node)
        assert widths[-1] <= ({"INT8"} if pools else {"INT4", "INT8"})
    assert all(len(found) <= 1 for found in widths)
    assert {"INT4"} in widths


def test_graphs_are_standard_and_of_one_input(exported: tuple[Any, Any, Path]) -> None:
    """Every file passes onnx's full check, uses only the stated operators of opset 21, and has no free dimension."""
    for model in models(exported[2]):
        onnx.checker.check_model(model, full_check=True)
        assert [(item.domain, item.version) for item in model.opset_import] == [("", 21)]
        shapes = [value.type.tensor_type.shape for value in (*model.graph.input, *model.graph.output)]
        assert all(d.dim_value > 0 for shape in shapes for d in shape.dim)
        assert {node.op_type for node in model.graph.node} <= OPERATORS


def test_the_same_network_gives_the_same_files(exported: tuple[Any, Any, Path], tmp_path: Path) -> None:
    """Exporting twice writes the same bytes."""
    architecture, network, folder = exported
    export_network(architecture, network, deployment(architecture), tmp_path / "again")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_nothing_of_the_users_is_overwritten(exported: tuple[Any, Any, Path], tmp_path: Path) -> None:
    """A folder that holds something is refused before any work, and left as it was."""
    architecture, network, _ = exported
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidValueError, match="exists already"):
        export_network(architecture, network, deployment(architecture), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_told(exported: tuple[Any, Any, Path]) -> None:
    """One line where no folder can be made."""
    architecture, network, _ = exported
    with pytest.raises(InvalidValueError, match="/proc/out: expected a place where a folder can be made"):
        export_network(architecture, network, deployment(architecture), Path("/proc/out"))


def test_values_that_do_not_fit_the_exits_are_refused(exported: tuple[Any, Any, Path], tmp_path: Path) -> None:
    """One threshold too few is an error that says how many were expected, and leaves no folder."""
    architecture, network, _ = exported
    with pytest.raises(InvalidValueError, match="one per exit"):
        export_network(architecture, network, deployment(architecture, thresholds=(0.0,)), tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def from_run() -> Path:
    folder = scratch() / "exported"
    if not folder.exists():
        export_run(small_run(), folder, 1)
    return folder


def test_a_run_is_exported_with_what_verify_reported(from_run: Path) -> None:
    """The manifest repeats thresholds, temperatures, measured rates and expected costs of the run's results."""
    run, manifest = open_stored_run(small_run()), read_manifest(from_run)
    verified = run.verified(1)
    assert tuple(stage.threshold for stage in manifest.stages) == verified.thresholds
    assert tuple(stage.temperature for stage in manifest.stages) == verified.temperatures
    assert tuple(stage.rate for stage in manifest.stages) == verified.measured.exit_rates
    assert manifest.expected is not None
    assert manifest.expected.elp == verified.measured.elp
    expected = sum((stage.rate or 0) * (stage.energy_j or 0) for stage in manifest.stages)
    assert expected == pytest.approx(verified.measured.energy_j, rel=1e-9)


def test_exported_stages_cost_what_the_architecture_costs(from_run: Path) -> None:
    """The backend's answer for the files equals its answer for the architecture they came from."""
    run = open_stored_run(small_run())
    architecture = run.architecture(run.verified(1))
    _, workload = exported_workload(from_run)
    assert run.backend(architecture).evaluate(workload).exits == run.cost(architecture).exits


def test_an_exported_folder_is_costed_like_its_architecture_by_the_command(from_run: Path) -> None:
    """`eenn-rl cost FOLDER --json` gives the costs of the architecture that was exported."""
    run = open_stored_run(small_run())
    wanted = [(cost.energy_j, cost.latency_s) for cost in run.cost(run.architecture(run.verified(1))).exits]
    found = json.loads(run_cost(from_run, as_json=True))["exits"]
    assert [(item["energy_j"], item["latency_s"]) for item in found] == wanted


def test_a_folder_is_costed_on_the_accelerator_it_was_exported_for(tmp_path: Path) -> None:
    """Without --accelerator the manifest's own counts, whole, not its name; with it another one."""
    backbone, branches = BACKBONES["resnet8"]
    architecture = architecture_of(backbone, *branches)
    spec = load_accelerator("hetero_quad")
    clock = tuple(replace(core, clock_hz=2 * core.clock_hz) for core in spec.cores)
    mine = replace(spec, cores=clock)
    folder = tmp_path / "network"
    export_network(architecture, untrained(architecture), deployment(architecture, accelerator=mine), folder)
    wanted = MulticoreBackend(mine).evaluate(workload_of(architecture)).exits[-1]
    own, named, other = (
        json.loads(run_cost(folder, name, as_json=True))["exits"][-1] for name in (None, "hetero_quad", "quad_edge_tpu")
    )
    assert own == {"energy_j": wanted.energy_j, "latency_s": wanted.latency_s}
    assert named["latency_s"] > own["latency_s"]
    assert other != named
    with pytest.raises(InvalidValueError, match="core"):
        run_cost(folder, core=70)


def test_zigzag_parses_every_graph(from_run: Path, tmp_path: Path) -> None:
    """The real zigzag-dse finds the architecture's layers with weights, MACs and all, in the exported files."""
    pytest.importorskip("six", reason="zigzag-dse needs six")
    parser = pytest.importorskip("zigzag.parser.onnx.onnx_model_parser", reason="zigzag-dse is not installed")
    mapping = tmp_path / "mapping.yaml"
    hint = "- name: default\n  spatial_mapping_hint: {D1: [K], D2: [C]}\n  memory_operand_links: {O: O, W: I2, I: I1}\n"
    mapping.write_text(hint)
    manifest, workload = exported_workload(from_run)
    wanted = {x.name: x.macs for stage in workload.stages for x in (*stage.layers, *stage.branch_layers) if x.macs}
    found = {}
    for graph in manifest.graphs:
        nodes = parser.ONNXModelParser(str(from_run / graph.file), str(mapping)).run().nodes()
        found |= {node.name: node.total_mac_count for node in nodes if hasattr(node, "total_mac_count")}
    assert found == wanted


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Weights that are not this architecture's, and files that are no weights, end in one line each."""
    run = open_stored_run(small_run())
    weights = run.weights(run.verified(1))
    other = architecture_of(make_backbone("mobilenetv1_025", (3, 32, 32), 10), "linear")
    with pytest.raises(InputFileError, match="expected the weights of this architecture"):
        load_network(other, weights)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(InputFileError, match="expected weights saved by eenn-rl"):
        load_network(run.architecture(run.verified(1)), broken)


def test_a_number_that_no_architecture_has_is_refused(tmp_path: Path) -> None:
    """`--architecture 9` says which numbers there are."""
    with pytest.raises(InvalidValueError, match="expected 1 to 2"):
        export_run(small_run(), tmp_path / "new", 9)


def test_a_run_without_verified_networks_says_how_to_get_them(tmp_path: Path) -> None:
    """Export names the command that helps: none that would do nothing in a run that ends with its search."""
    run = tmp_path / "run"
    shutil.copytree(small_run(), run, ignore=shutil.ignore_patterns("weights", "verification.json"))
    resume, verify = f"eenn-rl train --run {run} --resume", f"eenn-rl verify {run}"
    config = json.loads((run / "config.json").read_text())
    for tables, searched, expected in (
        ("given.npz", True, verify),
        ("given.npz", False, f"{resume}, then {verify}"),
        (None, True, f"{resume} or {verify}"),
        (None, False, resume),
    ):
        (run / "config.json").write_text(json.dumps(config | {"tables": tables}))
        if searched:
            shutil.copy(small_run() / "search.json", run)
        else:
            (run / "search.json").unlink()
        with pytest.raises(InvalidValueError, match=f": continue it with {re.escape(expected)}$"):
            export_run(run, tmp_path / "new")


CASES = {
    "an operator of another domain": (
        "SpecialConv",
        "com.example",
        "operator SpecialConv|shapes cannot be inferred.*domain com.example",
    ),
    "a recurrent layer": ("LSTM", "", r"operator LSTM \('odd'\) is none that can be costed"),
    "a transposed convolution": ("ConvTranspose", "", "operator ConvTranspose|shapes cannot be inferred"),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_without_a_cost_are_refused_by_name(case: str) -> None:
    """A graph with an operator that no layer kind stands for names the operator."""
    kind, domain, message = CASES[case]
    helper, kinds = onnx.helper, onnx.TensorProto
    node = helper.make_node(kind, ["x"], ["y"], name="odd", domain=domain)
    value = [helper.make_tensor_value_info(name, kinds.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", value[:1], value[1:]))
    with pytest.raises(InputFileError, match=message):
        layers_of_model(model, "model.onnx")


def test_a_foreign_model_is_read_as_layers() -> None:
    """A plain float model with `same` padding, a global pool and a matrix product gives the layers one expects."""
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = [("w", (8, 3, 4, 4)), ("v", (8, 1, 3, 3)), ("m", (8, 5))]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Clip", ["a", "zero", "six"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], group=8, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "b"], ["d"], name="sum"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], name="pool"),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"], name="last"),
    ]
    rng = np.random.default_rng(0)
    held = [onnx.numpy_helper.from_array(rng.random(shape, np.float32), name) for name, shape in weights]
    held += [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kinds.FLOAT, ["batch", 3, 9, 9])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["batch", 5])], held,
    )  # fmt: skip
    first, depthwise, added, pool, last = layers_of_model(helper.make_model(graph), "model.onnx")
    assert (first.kind, first.in_size, first.out_size, first.kernel, first.stride) == (
        "conv",
        (9, 9),
        (5, 5),
        (4, 4),
        (2, 2),
    )
    assert first.activation == "relu6"
    assert first.reads == ()
    assert (depthwise.kind, depthwise.groups, depthwise.name) == ("depthwise", 8, "conv2")
    assert added.kind == "add"
    assert set(added.reads) == {"first", "conv2"}
    assert (pool.kind, pool.pooling, pool.kernel) == ("pool", "average", (5, 5))
    assert (last.kind, last.in_channels, last.out_channels, last.reads) == ("linear", 8, 5, ("pool",))


def foreign(nodes: list[Any], shapes: dict[str, tuple[int, ...]], **constants: np.ndarray) -> Any:
    """A model that makes `y` of `x`."""
    helper, kinds = onnx.helper, onnx.TensorProto
    x, y = (helper.make_tensor_value_info(name, kinds.FLOAT, shapes[name]) for name in "xy")
    held = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_weights_stand_on_the_right() -> None:
    """A matrix product whose constant is its first input is refused: its rows are no batch."""
    node = onnx.helper.make_node("MatMul", ["w", "x"], ["y"], name="c")
    model = foreign([node], {"x": (16, 3), "y": (5, 3)}, w=np.zeros((5, 16), np.float32))
    with pytest.raises(InputFileError, match=r"node 'c' cannot be read: second input must be a constant, the weights"):
        layers_of_model(model, "model.onnx")


def padded(pads: list[int], *, written: bool = False, own: int = 0, **attributes: Any) -> tuple[Layer, ...]:
    """A 7x7 convolution of stride 2 behind a Pad, whose amounts a Constant node writes or the file holds."""
    make, amounts = onnx.helper.make_node, np.array(pads)
    nodes = [make("Constant", [], ["p"], value=onnx.numpy_helper.from_array(amounts))] if written else []
    nodes.append(make("Pad", ["x", "p"], ["xp"], name="pad", **attributes))
    nodes.append(make("Conv", ["xp", "w"], ["y"], name="c", strides=[2, 2], pads=[own] * 4))
    held = {} if written else {"p": amounts}
    shapes = {"x": (1, 3, 224, 224), "y": (1, 8, 112, 112)}
    return layers_of_model(foreign(nodes, shapes, w=np.zeros((8, 3, 7, 7), np.float32), **held), "model.onnx")


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("own", [0, 1, 3])
def test_a_pad_before_a_convolution_is_padding(own: int, *, written: bool) -> None:
    """What a Pad node adds in height and width counts as the convolution's own padding."""
    ahead = 3 - own
    (layer,) = padded([0, 0, ahead, ahead, 0, 0, ahead, ahead], written=written, own=own)
    assert (layer.in_size, layer.out_size, layer.padding) == ((224, 224), (112, 112), (3, 3))


def test_other_pads_are_refused() -> None:
    """Reflections and padded channels are no layer's padding."""
    with pytest.raises(InputFileError, match="mode of Pad 'pad' must be constant, found 'reflect'"):
        padded([0, 0, 3, 3, 0, 0, 3, 3], mode="reflect")
    with pytest.raises(InputFileError, match="pads of Pad 'pad' must be a constant of 8 numbers"):
        padded([0, 0, 3, 3, 0, 1, 3, 3])


def test_the_manifest_is_plain_json(from_run: Path) -> None:
    """Any program can read it: strict JSON, and every graph's file beside it."""

    def refuse(text: str) -> None:
        raise AssertionError(text)

    data = json.loads((from_run / "manifest.json").read_text(), parse_constant=refuse)
    files = {part["file"] for stage in data["stages"] for part in (stage["backbone"], stage["branch"])}
    assert files == {path.name for path in from_run.glob("*.onnx")}
