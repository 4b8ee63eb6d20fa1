"""One ONNX graph from layers and their parameters: `GraphBuilder`.

Nodes carry the names of the layers. A value written by layer `a` is the tensor ``a``; rounded to its bits it is
``a.q``. Every rounded value passes QuantizeLinear and DequantizeLinear, so that a compiler sees its type and scale.
Two habits are there because onnxruntime 1.27 fails on what would be more natural: bounds are set by Min and Max, not by
a Clip before a QuantizeLinear to 4 bits; and in a graph with a max-pool every activation is held in 8 bits, within its
own bounds. It cannot load a max-pool after a 4-bit rounding, and where 4- and 8-bit roundings of one shape meet it
gives the larger the memory of the smaller, and writes beyond its end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eenn_rl.backbone import Layer
from eenn_rl.export_onnx.dependency import import_onnx
from eenn_rl.export_onnx.manifest import HANDED_ON, OPSET, TensorInfo
from eenn_rl.export_onnx.parameters import LayerParameters
from eenn_rl.integers import activation_range

IR_VERSION = 10
PRODUCER = "eenn-rl"


def storage_type(bits: int, *, signed: bool) -> str:
    """The ONNX type that holds `bits`: 4-bit integers for 2 and 4 bits (the operator set has no smaller)."""
    return ("" if signed else "U") + ("INT4" if bits <= 4 else "INT8")


class GraphBuilder:
    """Collects nodes; `model()` gives the finished graph, for one input at a time. `pools`: it has a max-pool."""

    batch = 1

    def __init__(self, name: str, *, pools: bool = False) -> None:
        self.name, self.pools = name, pools
        self._onnx = import_onnx()
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._inputs: list[TensorInfo] = []
        self._outputs: list[TensorInfo] = []
        self._flat: set[str] = set()

    def node(self, kind: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [output], name=name, **attributes))
        return output

    def constant(self, name: str, kind: str, values: Any) -> str:
        """A constant of ONNX type `kind` (FLOAT, INT8, UINT4, ...)."""
        if name not in self._constants:
            array = np.asarray(values)
            kind_id = self._onnx.TensorProto.DataType.Value(kind)
            flat = array.reshape(-1).tolist()
            self._constants[name] = self._onnx.helper.make_tensor(name, kind_id, array.shape, flat)
        return name

    def image(self, channels: int, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> TensorInfo:
        """The network's input: uint8 pixels, normalised as in training; the value is the tensor ``image``."""
        info = TensorInfo("pixels", "uint8", (self.batch, channels, *size), None, 0, 255)
        self._inputs.append(info)
        mean_, std_ = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        shape = (1, channels, 1, 1)
        factor = self.constant("image.factor", "FLOAT", (np.float32(1) / (np.float32(255) * std_)).reshape(shape))
        shift = self.constant("image.shift", "FLOAT", (mean_ / std_).reshape(shape))
        self.node("Cast", ["pixels"], "image.float", "image.cast", to=self._onnx.TensorProto.FLOAT)
        self.node("Mul", ["image.float", factor], "image.scaled", "image.scale")
        self.node("Sub", ["image.scaled", shift], "image", "image.shift_by")
        return info

    def take(self, info: TensorInfo) -> None:
        """An input that another graph wrote; integers are dequantised to the tensor that a layer reads."""
        self._inputs.append(info)
        layer = info.name.removesuffix(HANDED_ON)
        if info.scale is None:
            self.node("Identity", [info.name], layer, f"{layer}.in")
            return
        scale = self.constant(f"{layer}.in_scale", "FLOAT", np.float32(info.scale))
        self.node("DequantizeLinear", [info.name, scale], layer, f"{layer}.in")

    def give(self, parameters: LayerParameters, rounded: LayerParameters | None) -> TensorInfo:
        """Hand on what a layer wrote; `rounded` is the layer whose rounding decides its integers, None for floats."""
        layer = parameters.layer
        shape = (self.batch, layer.out_channels, *layer.out_size)
        if rounded is None or rounded.step is None:
            info = TensorInfo(layer.name + HANDED_ON, "float32", shape)
            self.node("Identity", [layer.name], info.name, f"{layer.name}.out")
        else:
            low, high = activation_range(rounded.bits, signed=rounded.signed)
            info = TensorInfo(
                layer.name + HANDED_ON, "int8" if rounded.signed else "uint8", shape, rounded.step, low, high
            )
            kind = info.dtype.upper()
            scale = self.constant(f"{layer.name}.out_scale", "FLOAT", np.float32(rounded.step))
            zero = self.constant(f"zero.{kind}", kind, 0)
            self.node("QuantizeLinear", [layer.name, scale, zero], info.name, f"{layer.name}.out")
        self._outputs.append(info)
        return info

    def logits(self, layer: Layer) -> TensorInfo:
        """Hand on a classifier's logits, float32 [batch, classes]."""
        info = TensorInfo(layer.name, "float32", (self.batch, layer.out_channels))
        self._outputs.append(info)
        return info

    def layer(self, parameters: LayerParameters) -> None:
        """Add one layer."""
        layer = parameters.layer
        reads = [name or "image" for name in layer.reads or ("",)]
        raw = f"{layer.name}.sum" if layer.activation != "none" or parameters.step is not None else layer.name
        getattr(self, f"_{layer.kind}")(parameters, reads, raw)
        activated = f"{layer.name}.active" if parameters.step is not None else layer.name
        if layer.activation == "relu":
            raw = self.node("Relu", [raw], activated, f"{layer.name}.relu")
        elif layer.activation == "relu6":
            raw = self.node("Relu", [raw], f"{layer.name}.positive", f"{layer.name}.relu")
            raw = self.node("Min", [raw, self.constant("six", "FLOAT", 6.0)], activated, f"{layer.name}.relu6")
        if parameters.step is not None:
            self._round(parameters, raw)

    def _round(self, parameters: LayerParameters, value: str) -> None:
        """To the layer's integers and back."""
        name, step = parameters.layer.name, np.float32(parameters.step)
        held = 8 if self.pools else max(4, parameters.bits)
        kind = storage_type(held, signed=parameters.signed)
        if parameters.bits < held:  # the type is wider than the range
            low, high = activation_range(parameters.bits, signed=parameters.signed)
            for kind_, bound in (("Max", low), ("Min", high)):
                limit = self.constant(f"{name}.{kind_.lower()}", "FLOAT", np.float32(bound) * step)
                value = self.node(kind_, [value, limit], f"{value}.{kind_.lower()}", f"{name}.{kind_.lower()}imum")
        scale, zero = self.constant(f"{name}.step", "FLOAT", step), self.constant(f"zero.{kind}", kind, 0)
        self.node("QuantizeLinear", [value, scale, zero], f"{name}.q", f"{name}.quantise")
        self.node("DequantizeLinear", [f"{name}.q", scale, zero], name, f"{name}.dequantise")

    def _weights(self, parameters: LayerParameters) -> list[str]:
        """Names of weight and bias: codes at the trained bits, dequantised per channel, shifted by half a step."""
        name, codes, scale = parameters.layer.name, parameters.codes, parameters.scale
        assert codes is not None and scale is not None and parameters.bias is not None  # noqa: S101, PT018 - a layer with weights
        kind = storage_type(parameters.bits, signed=True)
        held = self.constant(f"{name}.codes", kind, codes)
        steps = self.constant(f"{name}.scale", "FLOAT", scale)
        half = self.constant(f"{name}.half", "FLOAT", (scale / 2).reshape(-1, *[1] * (codes.ndim - 1)))
        self.node("DequantizeLinear", [held, steps], f"{name}.even", f"{name}.weights", axis=0)
        self.node("Add", [f"{name}.even", half], f"{name}.weight", f"{name}.centre")
        return [f"{name}.weight", self.constant(f"{name}.bias", "FLOAT", parameters.bias)]

    def _conv(self, parameters: LayerParameters, reads: list[str], output: str) -> None:
        layer, (down, right) = parameters.layer, parameters.extra_padding
        above, left = layer.padding
        pads = [above, left, above + down, left + right]
        inputs = [reads[0], *self._weights(parameters)]
        self.node("Conv", inputs, output, layer.name, group=layer.groups, kernel_shape=layer.kernel,
                  strides=layer.stride, pads=pads)  # fmt: skip

    _depthwise = _conv

    def _linear(self, parameters: LayerParameters, reads: list[str], output: str) -> None:
        flat = f"{reads[0]}.flat"
        if flat not in self._flat:
            self._flat.add(self.node("Flatten", [reads[0]], flat, flat, axis=1))
        self.node("Gemm", [flat, *self._weights(parameters)], output, parameters.layer.name, transB=1)

    def _add(self, parameters: LayerParameters, reads: list[str], output: str) -> None:
        name = parameters.layer.name
        if len(reads) > 2:
            self.node("Sum", reads, output, name)
        else:
            self.node("Add", [reads[0], reads[-1]], output, name)

    def _pool(self, parameters: LayerParameters, reads: list[str], output: str) -> None:
        layer, value = parameters.layer, reads[0]
        if any(parameters.extra_padding):
            pads = [0, 0, 0, 0, 0, 0, *parameters.extra_padding]
            amounts = self.constant(f"{layer.name}.pads", "INT64", pads)
            value = self.node("Pad", [value, amounts], f"{layer.name}.padded", f"{layer.name}.pad")
        shape = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": [*layer.padding, *layer.padding]}
        if layer.pooling == "max":
            self.node("MaxPool", [value], output, layer.name, **shape)
        else:
            self.node("AveragePool", [value], output, layer.name, count_include_pad=1, **shape)

    def model(self) -> Any:
        """The checked model, with the shape of every value."""
        onnx = self._onnx
        graph = onnx.helper.make_graph(
            self._nodes, self.name, [self._value(info) for info in self._inputs],
            [self._value(info) for info in self._outputs], list(self._constants.values()),
        )  # fmt: skip
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, info: TensorInfo) -> Any:
        kind = self._onnx.TensorProto.DataType.Value("FLOAT" if info.dtype == "float32" else info.dtype.upper())
        return self._onnx.helper.make_tensor_value_info(info.name, kind, info.shape)
