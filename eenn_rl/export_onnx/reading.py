"""ONNX graphs back to layers: `layers_of_model` for one graph, `exported_workload` for an exported folder.

What a cost model needs is read from nodes and shapes; the numbers in the graph are not looked at, and nothing is run.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from eenn_rl.backbone import Layer, LayerKind, Shape, Size
from eenn_rl.errors import EennError, InputFileError, check
from eenn_rl.export_onnx.dependency import import_onnx
from eenn_rl.export_onnx.manifest import HANDED_ON, OPERATORS, Graph, Manifest, read_manifest
from eenn_rl.export_onnx.sizes import with_sizes
from eenn_rl.workload import Stage, Workload

TRANSPARENT = {
    "QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Relu", "Clip", "Flatten", "Reshape", "Squeeze",
    "Unsqueeze", "Dropout", "BatchNormalization", "Softmax", "LogSoftmax", "Pad", "Sub", "Mul", "Div", "Min", "Max",
    "Transpose", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Tanh",
}  # fmt: skip
"""Operators that a layer's cost has folded in, or that cost nothing: what they read is what they hand on."""
POOLS: dict[str, Literal["max", "average"]] = {
    "MaxPool": "max",
    "AveragePool": "average",
    "GlobalAveragePool": "average",
    "GlobalMaxPool": "max",
}
SUMS = ("Add", "Sum")
ATTRIBUTES = {"kernel_shape": "INTS", "strides": "INTS", "pads": "INTS", "dilations": "INTS", "group": "INT",
              "auto_pad": "STRING", "mode": "STRING"}  # fmt: skip
"""What is read of a node's attributes, and its type in ONNX."""
Activation = Literal["none", "relu", "relu6"]


def read_graph(folder: Path, graph: Graph) -> bytes:
    """The content of one graph's file, if it is the one that the manifest describes."""
    path = folder / graph.file
    if path.is_symlink() or not path.is_file():
        raise InputFileError(f"{path}: expected a graph of the exported network, found none: export it again")
    if path.stat().st_size != graph.size_bytes:
        found = path.stat().st_size
        raise InputFileError(f"{path}: the manifest says {graph.size_bytes} bytes, found {found}: export it again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != graph.sha256:
        raise InputFileError(f"{path}: its checksum is not the manifest's: the file was changed; export it again")
    return content


def parse_model(content: bytes, source: str) -> Any:
    """The model in `content`, self-contained and of standard operators; raises `InputFileError` for anything else."""
    onnx = import_onnx()
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf and the checker raise many kinds
        reason = " ".join(str(error).split())[:120]
        raise InputFileError(f"{source}: expected an ONNX model, found something else ({reason})") from None
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise InputFileError(f"{source}: tensor {tensor.name!r} lies in another file: save the model as one file")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise InputFileError(
                f"{source}: node {node.name!r} is of domain {node.domain!r}: expected standard operators"
            )
    return model


def load_exported(folder: Path, graph: Graph) -> Any:
    """The model of one graph of an exported network, of those operators alone that an export writes."""
    path = folder / graph.file
    model = parse_model(read_graph(folder, graph), str(path))
    odd = next((node for node in model.graph.node if node.op_type not in OPERATORS), None)
    if odd is not None:
        raise InputFileError(f"{path}: node {odd.name!r} is {odd.op_type}, which no export writes: export it again")
    if model.functions or model.graph.sparse_initializer:
        raise InputFileError(f"{path}: holds functions or sparse tensors, which no export writes: export it again")
    return model


def exported_workload(folder: Path) -> tuple[Manifest, Workload]:
    """The workload that the graphs in an exported folder describe, with bits and allocations from its manifest."""
    manifest = read_manifest(folder)
    stages = tuple(
        Stage(
            layers=_graph_layers(folder, stage.backbone),
            branch_layers=_graph_layers(folder, stage.branch),
            bits=stage.bits,
            core=stage.core,
            branch_core=stage.branch_core,
        )
        for stage in manifest.stages
    )
    return manifest, Workload(stages)


def _graph_layers(folder: Path, graph: Graph) -> tuple[Layer, ...]:
    return layers_of_model(load_exported(folder, graph), str(folder / graph.file))


def layers_of_model(
    model: Any, source: str, notes: list[str] | None = None, input_shape: Shape | None = None
) -> tuple[Layer, ...]:
    """The layers of a model of convolutions, matrix products, pools and additions; `source` names it in an error.

    A layer is named like its node. Activations, normalisation, reshaping and quantisation are folded, as in `Layer`.
    An operator that is none of these is refused, or, given `notes`, noted there and taken to cost nothing.
    `input_shape` (channels, height, width) states sizes that the model leaves free; those of the batch need not be.
    """
    return _Reader(with_sizes(model, source, input_shape), source, notes).layers()


class _Reader:
    """Follows a graph from its inputs."""

    def __init__(self, model: Any, source: str, notes: list[str] | None) -> None:
        onnx = import_onnx()
        self._notes = notes
        if model.graph.sparse_initializer:
            raise InputFileError(f"{source}: holds sparse tensors, expected dense ones: save its weights as such")
        try:
            # With values: a network that flattens by the shape it reads has no other size of its matrix products.
            model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception as error:  # noqa: BLE001
            raise InputFileError(
                f"{source}: its shapes cannot be inferred ({' '.join(str(error).split())[:120]})"
            ) from None
        self.source, self.graph, self._onnx = source, model.graph, onnx
        self._shapes = _shapes(model.graph)
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._constants |= {
            node.output[0]: item.t
            for node in model.graph.node if node.op_type == "Constant"
            for item in node.attribute if item.name == "value"
        }  # fmt: skip
        self._fixed = set(self._constants)
        self._writer: dict[str, str] = {}
        """The layer behind each tensor; an input of the graph that another graph's layer wrote counts as that layer."""

    def layers(self) -> tuple[Layer, ...]:
        for value in self.graph.input:
            if value.name not in self._constants and len(self._shapes.get(value.name, ())) > 0:
                name = str(value.name)
                self._writer[name] = name.removesuffix(HANDED_ON) if name.endswith(HANDED_ON) else ""
        found = []
        names: set[str] = set()
        for number, node in enumerate(self.graph.node):
            layer = self._layer(node, number)
            if layer is not None:
                check(layer.name not in names, f"{self.source}: node name", layer.name, "used once")
                names.add(layer.name)
                found.append(layer)
        if not found:
            raise InputFileError(f"{self.source}: expected a network, found no convolution, matrix product or pool")
        return tuple(found)

    def _layer(self, node: Any, number: int) -> Layer | None:
        """The layer that a node is, or None where it is folded into another."""
        data = [name for name in node.input if name and name not in self._fixed]
        if not data:
            self._fixed.update(node.output)
            return None
        if not _costs(node.op_type, len(data)):
            folded = node.op_type in (*TRANSPARENT, *SUMS)
            if not folded or (len(data) > 1 and self._notes is not None):
                self._refuse(node)
            for output in node.output:
                self._writer[output] = self._writer.get(data[0], "")
            return None
        name = _text(node.name) or f"{node.op_type.lower()}{number}"
        try:
            layer = self._read(node, name, data)
        except KeyError as error:
            raise InputFileError(
                f"{self.source}: node {name!r}: expected known shapes, found none for {error}"
            ) from None
        except (EennError, IndexError, TypeError, ValueError) as error:  # onnx raises TypeError for a type it lacks
            raise InputFileError(f"{self.source}: node {name!r} cannot be read: {error}") from None
        for output in node.output:
            self._writer[output] = name
        return layer

    def _refuse(self, node: Any) -> None:
        """An operator without a cost."""
        text = f"{self.source}: operator {node.op_type} ({node.name!r}) is none that can be costed"
        if self._notes is None:
            raise InputFileError(text)
        self._notes.append(f"{text}: it counts as nothing")

    def _read(self, node: Any, name: str, data: list[str]) -> Layer:
        reads = tuple(writer for value in data if (writer := self._writer.get(value, "")))
        if node.op_type in ("Conv", *POOLS):
            return self._spatial(node, name, data[0], reads)
        into, out = self._shapes[data[0]], self._shapes[node.output[0]]
        activation = self._activation(node.output[0])
        if node.op_type in ("Gemm", "MatMul"):
            weights = node.input[1]
            check(weights in self._fixed, "second input", weights, "a constant, the weights (transpose the product)")
            check(len(into) == 2, "matrix product's input", into, "of two dimensions")
            return Layer(name, "linear", 1, into[1], out[1], (1, 1), (1, 1), reads=reads[:1], activation=activation)
        size = (out[2], out[3]) if len(out) == 4 else (1, 1)
        return Layer(name, "add", 1, out[1], out[1], size, size, reads=reads, activation=activation)

    def _spatial(self, node: Any, name: str, data: str, reads: tuple[str, ...]) -> Layer:
        """A convolution or a pool."""
        attributes = self._attributes(node)
        source, ahead = self._unpadded(data)
        into, out, padded = self._shapes[source], self._shapes[node.output[0]], self._shapes[data]
        in_size, out_size = (into[2], into[3]), (out[2], out[3])
        whole = node.op_type.startswith("Global")
        weight = self._shapes[node.input[1]] if node.op_type == "Conv" else ()
        kernel = in_size if whole else _pair(attributes.get("kernel_shape") or weight[2:])
        check(all(d == 1 for d in attributes.get("dilations", ())), "dilations", attributes.get("dilations"), "1")
        stride = in_size if whole else _pair(attributes.get("strides") or (1, 1))
        padding = (0, 0) if whole else _padding(ahead, attributes, (padded[2], padded[3]), out_size, kernel, stride)
        groups = int(attributes.get("group", 1))
        kind: LayerKind = "pool" if node.op_type in POOLS else "conv"
        if kind == "conv" and groups == into[1] == out[1] and groups > 1:
            kind = "depthwise"
        return Layer(
            name, kind, groups, into[1], out[1], in_size, out_size, kernel, stride, padding, reads,
            self._activation(node.output[0]), POOLS.get(node.op_type, "max"),
        )  # fmt: skip

    def _attributes(self, node: Any) -> dict[str, Any]:
        """What is read of a node, by name."""
        found = {item.name: item for item in node.attribute if item.name in ATTRIBUTES}
        for name, item in found.items():
            kind = self._onnx.AttributeProto.AttributeType.Name(item.type)
            check(kind == ATTRIBUTES[name], f"attribute {name}", kind, ATTRIBUTES[name])
        return {name: self._onnx.helper.get_attribute_value(item) for name, item in found.items()}

    def _unpadded(self, value: str) -> tuple[str, tuple[int, ...]]:
        """What the Pad node that wrote `value` reads, and what it adds (top, left, bottom, right); else `value`, 0s."""
        node = next((node for node in self.graph.node if node.op_type == "Pad" and value in node.output), None)
        if node is None:
            return value, (0, 0, 0, 0)
        attributes = self._attributes(node)
        mode = attributes.get("mode", b"constant").decode()
        check(mode == "constant", f"mode of Pad {node.name!r}", mode, "constant")
        held = self._constants.get(node.input[1]) if len(node.input) > 1 else None
        pads = tuple(attributes.get("pads", ()) if held is None else self._onnx.numpy_helper.to_array(held).tolist())
        spatial = len(node.input) < 4 and len(pads) == 8 and not any((*pads[:2], *pads[4:6]))
        check(spatial, f"pads of Pad {node.name!r}", pads, "a constant of 8 numbers, 0 but for height and width")
        return node.input[0], (*pads[2:4], *pads[6:])

    def _activation(self, value: str) -> Activation:
        """The activation that follows `value`, past normalisation; relu6 is a Clip to 0..6, or Relu and Min with 6."""
        for node in self.graph.node:
            if value not in node.input:
                continue
            if node.op_type == "BatchNormalization":
                return self._activation(node.output[0])
            if node.op_type == "Relu":
                after = [item for item in self.graph.node if node.output[0] in item.input and item.op_type == "Min"]
                return "relu6" if any(self._numbers(item) == [6.0] for item in after) else "relu"
            if node.op_type == "Clip" and self._numbers(node) == [0.0, 6.0]:
                return "relu6"
        return "none"

    def _numbers(self, node: Any) -> list[float]:
        """The constants among a node's inputs that are one number each."""
        tensors = [self._constants[name] for name in node.input if name in self._constants]
        return [float(self._onnx.numpy_helper.to_array(tensor)) for tensor in tensors if not list(tensor.dims)]


def _costs(operator: str, data: int) -> bool:
    """Whether a node that reads `data` tensors beside its constants is a layer.

    A constant is added within another layer; a product of two activations is no layer that is known here.
    """
    if operator in ("Gemm", "MatMul"):
        return data == 1
    return operator == "Conv" or operator in POOLS or (operator in SUMS and data > 1)


def _shapes(graph: Any) -> Mapping[str, tuple[int, ...]]:
    """The shape of every tensor whose sizes are known; an unknown first one, the batch's, is 1."""
    found = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if all(size > 0 for size in sizes[1:]):
            found[value.name] = tuple(size or 1 for size in sizes)
    return found | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _text(value: str | bytes) -> str:
    """A string of a model; protobuf hands on as bytes what is no UTF-8."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _pair(values: Iterable[Any]) -> Size:
    pair = tuple(int(value) for value in values)
    check(len(pair) == 2, "spatial dimensions", len(pair), "2")
    return pair[0], pair[1]


def _padding(
    ahead: Iterable[int], attributes: Mapping[str, Any], in_size: Size, out_size: Size, kernel: Size, stride: Size
) -> Size:
    """Padding on each side, with what a Pad node added `ahead`; what the end has more is told by the sizes."""
    automatic = attributes.get("auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
        total = [max(0, (o - 1) * s + k - i) for i, o, k, s in zip(in_size, out_size, kernel, stride, strict=True)]
        pads = [total[0] // 2, total[1] // 2, (total[0] + 1) // 2, (total[1] + 1) // 2]
    else:
        pads = [int(value) for value in attributes.get("pads") or (0, 0, 0, 0)]
    check(len(pads) == 4, "pads", pads, "four numbers")
    top, left, bottom, right = (own + other for own, other in zip(pads, ahead, strict=True))
    return min(top, bottom), min(left, right)
