"""Manifest: what ``manifest.json`` of an exported network says. Documented in docs/deployment.md. No onnx here."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from eenn_rl.errors import InputFileError, InvalidValueError, check
from eenn_rl.hardware import AcceleratorSpec
from eenn_rl.images import ImageForm
from eenn_rl.serialization import from_json, read_json, to_json
from eenn_rl.tables import ConfidenceRule

FORMAT = "eenn-rl onnx export 1"
FILE_NAME = "manifest.json"
OPSET = 21
"""The first operator set with 4-bit integers (UINT4, INT4) in QuantizeLinear and DequantizeLinear."""
OPERATORS = frozenset({
    "Add", "AveragePool", "Cast", "Conv", "DequantizeLinear", "Flatten", "Gemm", "Identity", "Max", "MaxPool", "Min",
    "Mul", "Pad", "QuantizeLinear", "Relu", "Sub", "Sum",
})  # fmt: skip
"""Every operator that an export writes: a graph with another is none, and is not run."""
MAX_FILE_BYTES = 2**31
"""The most that one graph may have: what a protocol buffer can hold."""
HANDED_ON = ".out"
"""Ending of a tensor that one graph writes and others read: the layer's name comes before it."""
BITS_KEY = "eenn_rl.bits"
"""Under which a graph's metadata say the bits of its stage."""


@dataclass(frozen=True)
class TensorInfo:
    """What crosses the border of a graph; `shape` is that of one sample, batch axis 1 included.

    `dtype` is the tensor's; integers stand for `scale` times their value, of which only `low`..`high` occur.
    """

    name: str
    dtype: Literal["uint8", "int8", "float32"]
    shape: tuple[int, ...]
    scale: float | None = None
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Graph:
    """One ONNX file: its name within the folder, SHA-256 in hex, size, inputs and outputs."""

    file: str
    sha256: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __post_init__(self) -> None:
        name = PurePosixPath(self.file)
        plain = name.name == self.file and "\\" not in self.file and name.suffix == ".onnx" and "\0" not in self.file
        check(plain, "graph file", self.file, "a file name ending in .onnx, without folders")
        check(0 < self.size_bytes <= MAX_FILE_BYTES, "graph size_bytes", self.size_bytes, f"1 to {MAX_FILE_BYTES}")


@dataclass(frozen=True)
class ExportedStage:
    """A stage: its part of the backbone and its branch, each a graph of its own, on allocations of the accelerator.

    An input leaves here when its confidence reaches `threshold`; `temperature` divides the branch's logits first.
    `rate` and `accuracy` were measured on test; `energy_j` and `latency_s` are the backend's for an input that leaves
    here, all it passed included.
    """

    backbone: Graph
    branch: Graph
    location: int
    branch_kind: str
    bits: int
    core: int
    core_name: str
    branch_core: int
    branch_core_name: str
    threshold: float
    temperature: float
    rate: float | None
    accuracy: float | None
    energy_j: float | None
    latency_s: float | None

    def __post_init__(self) -> None:
        check(self.bits in (2, 4, 8), "stage bits", self.bits, "2, 4 or 8")
        check(
            0 <= self.threshold <= 2, "stage threshold", self.threshold, "between 0 and 1, or 2 for an exit that is off"
        )
        # Logits are divided by it in float32, where much less is 0.
        check(1e-6 <= self.temperature <= 1e6, "stage temperature", self.temperature, "between 1e-6 and 1e6")


@dataclass(frozen=True)
class Storage:
    """How one bit-width is stored: weights as `weight_type` holding `weight_range`, activations likewise."""

    bits: int
    weight_type: str
    weight_range: tuple[int, int]
    activation_types: tuple[str, str]
    unsigned_range: tuple[int, int]
    signed_range: tuple[int, int]
    note: str


@dataclass(frozen=True)
class Expected:
    """What `verify` reported on test; expected energy, latency and energy-latency product (J s) over the rates."""

    accuracy: float
    accuracy_interval: tuple[float, float]
    energy_j: float
    latency_s: float
    elp: float
    elp_reduction: float


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``; `architecture` is the architecture file's JSON, `accelerator` that of the run."""

    format: str
    opset: int
    architecture: dict[str, Any]
    input: TensorInfo
    num_classes: int
    confidence_rule: ConfidenceRule
    stages: tuple[ExportedStage, ...]
    storage: tuple[Storage, ...]
    expected: Expected | None
    accelerator: AcceleratorSpec | None
    backend: str
    dataset: str
    versions: dict[str, str]
    weights_sha256: str
    classes: tuple[str, ...] | None = None
    """Names of the classes in the order of labels; None where they have none, or the export is an older one."""
    image: ImageForm | None = None
    """How a file of the user's images became pixels; None likewise."""

    def __post_init__(self) -> None:
        check(self.format == FORMAT, "format", self.format, repr(FORMAT))
        check(len(self.stages) >= 1, "stages", len(self.stages), "at least one")
        check(self.num_classes >= 2, "num_classes", self.num_classes, "at least 2")
        check(self.stages[-1].threshold == 0, "threshold of the last stage", self.stages[-1].threshold, "0")
        if self.classes is not None:
            check(len(self.classes) == self.num_classes, "classes", self.classes, f"{self.num_classes} names")
        if self.accelerator is not None:
            last = len(self.accelerator.allocations) - 1
            for core in (core for stage in self.stages for core in (stage.core, stage.branch_core)):
                check(0 <= core <= last, "stage core", core, f"0 to {last}, an allocation of {self.accelerator.name}")
        files = [graph.file for graph in self.graphs]
        check(len(set(files)) == len(files), "graph files", files, "names that differ")

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """Every graph in the order it may run."""
        return tuple(graph for stage in self.stages for graph in (stage.backbone, stage.branch))


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """The content of ``manifest.json``, without the keys that older readers do not know where they say nothing."""
    told: dict[str, Any] = to_json(manifest)
    return {key: value for key, value in told.items() if value is not None or key not in ("classes", "image")}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an exported network; raises `InputFileError` in one line for anything else."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputFileError(f"{folder}: expected a folder that eenn-rl export wrote, found {found}: check the path")
    path = folder / FILE_NAME
    if not path.exists():
        raise InputFileError(f"{folder}: expected an exported network, but it holds no {FILE_NAME}: export it again")
    data = read_json(path)
    if (
        isinstance(data, dict)
        and str(data.get("format", "")).startswith("eenn-rl onnx export")
        and data["format"] != FORMAT
    ):
        raise InputFileError(f"{path}: expected {FORMAT!r}, found {data['format']!r}: update eenn-rl")
    try:
        return from_json(Manifest, data, str(path))
    except InvalidValueError as error:
        raise InputFileError(f"{path}: {error}") from None
