"""ONNX networks as layers: shapes only; folds what hardware folds (batch norm, activations, reshapes)."""

from math import prod
from pathlib import Path
from typing import Any

from eenn_rl.backbone import Layer
from eenn_rl.errors import InputFileError, InvalidValueError, MissingDependencyError

_FOLDED = {
    "Relu", "Clip", "BatchNormalization", "Identity", "Flatten", "Reshape", "Dropout", "Cast", "QuantizeLinear",
    "DequantizeLinear", "Squeeze", "Unsqueeze", "Softmax", "Sigmoid", "HardSwish", "LeakyRelu", "Constant", "Transpose",
}  # fmt: skip


def read_onnx(path: Path) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """The layers of an ONNX network, in order, and notes on operators that are not costed."""
    try:
        import onnx
        from onnx import shape_inference
    except ImportError:
        raise MissingDependencyError(
            f"{path}: reading ONNX needs the package onnx: pip install 'eenn-rl[onnx]'"
        ) from None
    try:
        model = shape_inference.infer_shapes(onnx.load(str(path), load_external_data=False))
    except Exception as error:  # noqa: BLE001  (onnx raises protobuf's own exceptions for anything that is no model)
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputFileError(f"{path}: expected an ONNX network, found something else: {first}") from None
    try:
        return _layers(model.graph, onnx.helper.get_attribute_value, str(path))
    except InvalidValueError as error:
        raise InputFileError(f"{path}: {error}") from None


def _layers(graph: Any, value_of: Any, source: str) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights = set(shapes)
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes.setdefault(value.name, tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim))
    origin: dict[str, str] = {}
    layers: list[Layer] = []
    notes: list[str] = []
    for place, node in enumerate(graph.node):
        attributes = {attribute.name: value_of(attribute) for attribute in node.attribute}
        reads = tuple(dict.fromkeys(origin[name] for name in node.input if name in origin))
        name = node.name or f"{node.op_type}_{place}"
        layer = _layer(node, name, attributes, shapes, weights, reads, source)
        if layer is not None:
            layers.append(layer)
            origin.update(dict.fromkeys(node.output, name))
            continue
        if node.op_type not in _FOLDED:
            notes.append(f"{source}: operator {node.op_type} ({name}) is not modelled, costed as nothing")
        if reads:
            origin.update(dict.fromkeys(node.output, reads[0]))
    if not layers:
        raise InputFileError(f"{source}: expected convolutions, linear, pooling or addition layers, found none")
    return tuple(layers), tuple(notes)


def _layer(
    node: Any, name: str, attributes: dict[str, Any], shapes: dict[str, tuple[int, ...]], weights: set[str],
    reads: tuple[str, ...], source: str,
) -> Layer | None:  # fmt: skip
    missing = [t for t in (node.input[0], node.output[0]) if not shapes.get(t)] if node.input else []
    if node.op_type in ("Conv", "Gemm", "MatMul", "MaxPool", "AveragePool", "GlobalAveragePool", "Add") and missing:
        raise InputFileError(f"{source}: {name}: expected known shapes, found none for {missing[0]!r}")
    if node.op_type == "Conv":
        return _conv(node, name, attributes, shapes, reads)
    if node.op_type in ("Gemm", "MatMul") and node.input[1] in weights:
        shape = shapes[node.input[1]]
        into, out = (shape[1], shape[0]) if attributes.get("transB") else (shape[0], shape[1])
        return Layer(name, "linear", 1, into, out, (1, 1), (1, 1), reads=reads)
    if node.op_type in ("MaxPool", "AveragePool", "GlobalAveragePool"):
        return _pool(node, name, attributes, shapes, reads)
    if node.op_type == "Add" and not weights.intersection(node.input):
        _, channels, *size = (*shapes[node.output[0]], 1, 1)[:4]
        return Layer(name, "add", 1, channels, channels, (size[0], size[1]), (size[0], size[1]), reads=reads)
    return None


def _conv(node: Any, name: str, attributes: dict[str, Any], shapes: dict[str, tuple[int, ...]],
          reads: tuple[str, ...]) -> Layer:  # fmt: skip
    kernel, groups = shapes[node.input[1]], int(attributes.get("group", 1))
    (_, into, *size), (_, out, *after) = shapes[node.input[0]], shapes[node.output[0]]
    depthwise = groups == into == out and groups > 1
    pads = attributes.get("pads", [0, 0, 0, 0])
    return Layer(
        name, "depthwise" if depthwise else "conv", groups, into, out, (size[0], size[1]), (after[0], after[1]),
        (kernel[2], kernel[3]), _pair(attributes.get("strides", [1, 1])), (pads[0], pads[1]), reads,
    )  # fmt: skip


def _pool(node: Any, name: str, attributes: dict[str, Any], shapes: dict[str, tuple[int, ...]],
          reads: tuple[str, ...]) -> Layer:  # fmt: skip
    (_, channels, *size), (_, _, *after) = shapes[node.input[0]], shapes[node.output[0]]
    everything = node.op_type.startswith("Global") or prod(after) == 1
    kernel = (size[0], size[1]) if everything else _pair(attributes["kernel_shape"])
    stride = kernel if everything else _pair(attributes.get("strides", [1, 1]))
    pads = (0, 0) if everything else tuple(attributes.get("pads", [0, 0, 0, 0])[:2])
    return Layer(
        name, "pool", 1, channels, channels, (size[0], size[1]), (after[0], after[1]), kernel, stride,
        (pads[0], pads[1]), reads, pooling="max" if node.op_type == "MaxPool" else "average",
    )  # fmt: skip


def _pair(values: Any) -> tuple[int, int]:
    return (int(values[0]), int(values[1]))
