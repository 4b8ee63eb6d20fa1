"""EarlyExitSession: runs an exported network on onnxruntime, leaving each input at the first exit that is sure enough.

A small reference runtime: it needs numpy, onnx, onnxruntime, pluggy, pydantic and PyYAML, and no torch
(extra ``deploy`` brings them and all else; docs/deployment.md says how to install them alone). What it
reads is checked against the manifest's checksums, and only standard operators are run.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eenn_rl.architecture_file import architecture_from_json
from eenn_rl.errors import InputFileError, InvalidValueError, check, not_installed, one_line
from eenn_rl.export_onnx.manifest import Graph, Manifest, TensorInfo, read_manifest
from eenn_rl.export_onnx.reading import load_exported
from eenn_rl.tables import ConfidenceRule

Floats = npt.NDArray[np.floating]
BATCH = 256
"""Inputs that run through a stage at once, unless told otherwise."""
ELEMENT_TYPES = {1: "float32", 2: "uint8", 3: "int8"}
"""What the numbers of ``TensorProto.DataType`` stand for, of those that cross a graph's border."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of one input: its class, the 0-based exit where it left, and how sure that exit was."""

    label: int
    exit: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the network says of N inputs: `labels` int64, `exits` int64, `confidence` float32, each [N]."""

    labels: npt.NDArray[np.int64]
    exits: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def rates(self, exits: int) -> tuple[float, ...]:
        """Share of the inputs that left at each of `exits` exits."""
        counts = np.bincount(self.exits, minlength=exits)
        return tuple((counts / max(1, len(self))).tolist())


def confidence_of(logits: npt.NDArray[np.float32], rule: ConfidenceRule, temperature: float) -> npt.NDArray[np.float32]:
    """Confidence of each row of `logits` [N, classes], in 0..1: the rules of `eenn_rl.networks.confidence`."""
    scaled = logits / np.float32(temperature)
    powers = np.exp(scaled - scaled.max(1, keepdims=True))
    shares = powers / powers.sum(1, keepdims=True)
    if rule == "max_softmax":
        found = shares.max(1)
    elif rule == "margin":
        top = np.sort(shares, 1)[:, -2:]
        found = top[:, 1] - top[:, 0]
    else:
        entropy = -(shares * np.log(np.maximum(shares, np.float32(1e-12)))).sum(1)
        found = np.clip(1 - entropy / np.float32(np.log(shares.shape[1])), 0, 1)
    confidence: npt.NDArray[np.float32] = found.astype(np.float32)
    return confidence


class EarlyExitSession:
    """An exported network, ready to run.

    `folder` is what ``eenn-rl export RUN --to onnx`` wrote; `threads` run one graph. Raises `InputFileError` where the
    folder is damaged or holds something else, `MissingDependencyError` without onnxruntime.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        threads = _counted("threads", threads)
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        _check_graphs(self.manifest, self.folder)
        runtime = _import_runtime()
        opset = self.manifest.opset
        self._graphs = {
            graph.file: _load(self.folder, graph, opset, runtime, threads) for graph in self.manifest.graphs
        }

    @property
    def exits(self) -> int:
        """Number of exits."""
        return len(self.manifest.stages)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes: that of `label` is ``classes[label]``; None where the manifest knows none."""
        return self.manifest.classes

    def run(self, images: npt.ArrayLike, *, batch: int = BATCH) -> Predictions:
        """Classify uint8 `images` [N, channels, height, width], `batch` at a time; N may be 0."""
        array, batch = self._checked("images", images, "N"), _counted("batch", batch)
        parts = [self._run_batch(array[start : start + batch]) for start in range(0, len(array), batch)]
        if not parts:
            return Predictions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        names = ("labels", "exits", "confidence")
        return Predictions(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def run_one(self, image: npt.ArrayLike) -> Prediction:
        """Classify one uint8 image [channels, height, width]."""
        found = self._run_batch(self._checked("image", image)[np.newaxis])
        return Prediction(int(found.labels[0]), int(found.exits[0]), float(found.confidence[0]))

    def _checked(self, name: str, images: npt.ArrayLike, *ahead: str) -> npt.NDArray[np.uint8]:
        """`images` as an array, with axes of any size `ahead` of those of an image."""
        shape, axes = self.manifest.input.shape[1:], len(ahead)
        expected = f"{name} must be uint8 of shape ({', '.join([*ahead, *map(str, shape)])}), found"
        try:
            array = np.asarray(images)
        except Exception as error:  # noqa: BLE001 - ragged lists, tensors on a device and what else numpy refuses
            raise InvalidValueError(f"{expected} {type(images).__name__}: {one_line(error)}") from None
        if array.dtype != np.uint8 or array.ndim != axes + len(shape) or array.shape[axes:] != shape:
            raise InvalidValueError(f"{expected} {array.dtype} {array.shape}")
        return np.ascontiguousarray(array)

    def _run_batch(self, images: npt.NDArray[np.uint8]) -> Predictions:
        """All stages for the inputs that are still on their way."""
        labels, exits = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
        sure = np.zeros(len(images), np.float32)
        way = np.arange(len(images))
        values: dict[str, npt.NDArray[Any]] = {self.manifest.input.name: images}
        for k, stage in enumerate(self.manifest.stages):
            values |= self._run_graph(stage.backbone, values)
            logits = self._run_graph(stage.branch, values)[stage.branch.outputs[0].name]
            confidence = confidence_of(logits, self.manifest.confidence_rule, stage.temperature)
            leaves = confidence.astype(np.float64) >= stage.threshold
            if k == self.exits - 1:
                leaves[:] = True
            gone = way[leaves]
            labels[gone], exits[gone], sure[gone] = logits[leaves].argmax(1), k, confidence[leaves]
            way = way[~leaves]
            if not len(way):
                break
            values = {name: value[~leaves] for name, value in values.items()}
        return Predictions(labels, exits, sure)

    def _run_graph(self, graph: Graph, values: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        names = [info.name for info in graph.outputs]
        given = {info.name: values[info.name] for info in graph.inputs}
        try:
            found = self._graphs[graph.file].run(names, given)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own kinds
            raise _failed(self.folder / graph.file, "run", error) from None
        return dict(zip(names, found, strict=True))


def _counted(name: str, value: int) -> int:
    """`value`, a number of things, as Python's own integer."""
    check(isinstance(value, Integral) and value >= 1, name, value, "a whole number of at least 1")
    return int(value)


def _import_runtime() -> Any:
    # Releases from 1.28 on would write a device id under the user's cache when imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise not_installed("EarlyExitSession needs the package onnxruntime", "deploy") from None
    return onnxruntime


def _check_graphs(manifest: Manifest, folder: Path) -> None:
    """The manifest fits together: its architecture, and what each graph reads was handed on by one before it."""
    architecture = architecture_from_json(manifest.architecture, str(folder / "manifest.json: architecture"))
    placed = [(exit_.location, exit_.branch, exit_.bits, exit_.core, exit_.branch_core) for exit_ in architecture.exits]
    told = [(s.location, s.branch_kind, s.bits, s.core, s.branch_core) for s in manifest.stages]
    if placed != told:
        raise InputFileError(f"{folder}: the manifest's stages are not those of its architecture: export it again")
    if manifest.input.shape[1:] != architecture.backbone.input_shape or manifest.input.dtype != "uint8":
        raise InputFileError(f"{folder}: the manifest's input is not that of its architecture: export it again")
    known = {manifest.input}
    for stage in manifest.stages:
        _check_inputs(folder, stage.backbone, known)
        known |= set(stage.backbone.outputs)
        _check_inputs(folder, stage.branch, known)
        found = [(info.dtype, info.shape) for info in stage.branch.outputs]
        if found != [("float32", (1, manifest.num_classes))]:
            wanted = f"{manifest.num_classes} logits of float32"
            raise InputFileError(f"{folder / stage.branch.file}: expected {wanted}, found {found}")


def _check_inputs(folder: Path, graph: Graph, known: set[TensorInfo]) -> None:
    missing = [info.name for info in graph.inputs if info not in known]
    if missing:
        raise InputFileError(f"{folder / graph.file}: reads {missing[0]!r}, which no graph before it hands on")


def _load(folder: Path, graph: Graph, opset: int, runtime: Any, threads: int) -> Any:
    """A session of one graph, whose batch axis is freed first."""
    model = load_exported(folder, graph)
    _check_borders(model, graph, opset, folder / graph.file)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised as well
    # onnxruntime 1.27 gives an 8-bit tensor the memory of a 4-bit one of the same shape, and writes beyond its end.
    options.enable_mem_reuse = False
    # Weights are dequantised once, when the graph is loaded, instead of for every input.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        content = _any_batch(model).SerializeToString()
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own kinds
        raise _failed(folder / graph.file, "load", error) from None


def _failed(path: Path, verb: str, error: Exception) -> InputFileError:
    """What to raise for what onnxruntime raised."""
    return InputFileError(f"{path}: onnxruntime cannot {verb} it ({' '.join(str(error).split())[:120]})")


def _any_batch(model: Any) -> Any:
    """The same model for any number of inputs at once: it was written for one."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    return model


def _check_borders(model: Any, graph: Graph, opset: int, path: Path) -> None:
    """Operator set, inputs and outputs of the model are those that the manifest names."""
    opsets = [(item.domain, item.version) for item in model.opset_import]
    if opsets != [("", opset)]:
        raise InputFileError(f"{path}: expected operator set {opset} that the manifest names, found {opsets}")
    sides = (("inputs", graph.inputs, model.graph.input), ("outputs", graph.outputs, model.graph.output))
    for what, infos, values in sides:
        told = [(info.name, info.dtype, info.shape) for info in infos]
        found = [_border(value.name, value.type.tensor_type) for value in values]
        if told != found:
            raise InputFileError(f"{path}: expected the {what} {told} that the manifest names, found {found}")


def _border(name: str, kind: Any) -> tuple[str, str, tuple[int, ...]]:
    """Name, type and shape of what crosses a graph's border."""
    dtype = ELEMENT_TYPES.get(kind.elem_type, f"ONNX type {kind.elem_type}")
    return name, dtype, tuple(size.dim_value for size in kind.shape.dim)
