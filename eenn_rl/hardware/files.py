"""Accelerator files: our own multi-core YAML; ZigZag's and Stream's are read by `zigzag_files` and `stream_files`.

The own format is described in docs/accelerators.md; energies are in pJ there, as data sheets give them.
"""

import logging
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict

from eenn_rl.backbone import LAYER_KINDS
from eenn_rl.errors import InputFileError, InvalidValueError, unknown_name
from eenn_rl.hardware.accelerator import AcceleratorSpec, LinkSpec
from eenn_rl.hardware.core import ArrayDimension, CoreSpec, Dataflow, OperatingPoint, Precision, Unrolling
from eenn_rl.hardware.memory import DramSpec, MemorySpec, Operand, PortSpec, Traffic
from eenn_rl.hardware.narrow import narrow_dataflows
from eenn_rl.hardware.stream_files import is_stream, read_stream
from eenn_rl.hardware.zigzag_files import is_core, read_zigzag
from eenn_rl.serialization import from_json, read_yaml

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

PICO = 1e-12


def _strict(kind: type[T]) -> type[T]:
    """Refuse unknown keys, and turn nothing into a number that is none."""
    kind.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return kind


@_strict
@dataclass(frozen=True)
class _Memory:
    name: str
    size_bits: int
    read_pj: float
    write_pj: float
    operands: tuple[Operand, ...]
    bandwidth_bits: int
    granule_bits: int | None = None
    ports: Literal["separate", "dual", "shared"] = "separate"
    served: tuple[str, ...] | Literal["all"] = "all"
    double_buffered: bool = False


@_strict
@dataclass(frozen=True)
class _Precision:
    mac_pj: float
    throughput: float = 1.0


@_strict
@dataclass(frozen=True)
class _Point:
    voltage_v: float
    clock_hz: float


@_strict
@dataclass(frozen=True)
class _CoreType:
    array: dict[str, int]
    precisions: dict[int, _Precision]
    memories: tuple[_Memory, ...]
    kind: Literal["compute", "pooling", "simd"] = "compute"
    dataflow: dict[str, dict[str, tuple[tuple[str, int], ...]]] = field(default_factory=dict)
    partial_sum_bits: int = 16
    clock_hz: float | None = None
    operating_points: dict[str, _Point] = field(default_factory=dict)
    operating_point: str | None = None
    source: str = ""


@_strict
@dataclass(frozen=True)
class _Links:
    bandwidth_bits: int
    pairs: tuple[tuple[str, str], ...]
    pj_per_bit: float = 0.0
    medium: str = ""


@_strict
@dataclass(frozen=True)
class _Dram:
    bandwidth_bits: int
    read_pj: float
    write_pj: float
    granule_bits: int = 64
    size_bits: int = 10_000_000_000


@_strict
@dataclass(frozen=True)
class _Accelerator:
    name: str
    core_types: dict[str, _CoreType]
    cores: dict[str, str]
    description: str = ""
    source: str = ""
    clock_hz: float = 1e9
    dram: _Dram | None = None
    links: _Links | None = None
    allocations: tuple[tuple[str, ...], ...] = ()
    keep_activations_on_chip: bool = True
    resident_weights: bool = False
    branch_policy: Literal["wait", "speculate"] = "wait"
    multicast: bool = False


_DATA = resources.files("eenn_rl") / "accelerators"


def shipped_accelerators() -> tuple[str, ...]:
    """Names of the accelerator files that come with the package."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in _DATA.iterdir() if entry.name.endswith(".yaml")))


def load_accelerator(name_or_path: str | Path, clock_hz: float | None = None) -> AcceleratorSpec:
    """The shipped accelerator of that name, or the one described by a YAML file: ours, ZigZag's or Stream's.

    What a file asks for that is not modelled is logged as a warning, and so is one of ours whose dataflows would pool
    on a single unit.
    """
    name = str(name_or_path)
    if name in shipped_accelerators():
        return read_own(yaml.safe_load((_DATA / f"{name}.yaml").read_text("utf-8")), name, clock_hz)
    path = Path(name_or_path)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            raise InputFileError(f"{path}: expected an accelerator file, found none: check the path")
        raise unknown_name("accelerator", name, shipped_accelerators(), "a YAML file")
    spec = _read(read_yaml(path), path, clock_hz)
    for note in spec.notes:
        _LOG.warning("warning: %s", note)
    return spec


def _read(data: Any, path: Path, clock_hz: float | None) -> AcceleratorSpec:
    try:
        if is_stream(data) or is_core(data):
            clock = float(data.get("clock_hz", 1e9)) if clock_hz is None else clock_hz
            if is_core(data):
                return read_zigzag(data, str(path), clock)
            return read_stream(data, str(path), path.parent, clock)
    except InvalidValueError as error:
        raise InputFileError(f"{path}: {error}") from None
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise InputFileError(f"{path}: expected ZigZag's or Stream's format, found something else: {error!r}") from None
    spec = read_own(data, str(path), clock_hz)
    for note in narrow_dataflows(spec):
        _LOG.warning("warning: %s: %s", path, note)
    return spec


def read_own(data: Any, source: str, clock_hz: float | None) -> AcceleratorSpec:
    """An accelerator from the data of our own format; errors name the file, the key, the value and the bound."""
    if not isinstance(data, dict):
        raise InputFileError(f"{source}: expected an accelerator (keys name, core_types, cores), found {data!r:.60}")
    spec = from_json(_Accelerator, data, source)
    try:
        return _build(spec, clock_hz)
    except InvalidValueError as error:
        raise InputFileError(f"{source}: {error}") from None


def _build(spec: _Accelerator, clock_hz: float | None) -> AcceleratorSpec:
    clock = spec.clock_hz if clock_hz is None else clock_hz
    for name, kind in spec.cores.items():
        if kind not in spec.core_types:
            raise unknown_name(f"core type of {name}", kind, spec.core_types)
    index = {name: place for place, name in enumerate(spec.cores)}
    for name in (name for group in spec.allocations for name in group):
        if name not in index:
            raise unknown_name("core in allocations", name, index)
    return AcceleratorSpec(
        name=spec.name,
        cores=tuple(_core(name, spec.core_types[kind], clock) for name, kind in spec.cores.items()),
        links=_links(spec.links),
        dram=_dram(spec.dram),
        allocations=tuple(tuple(index[name] for name in group) for group in spec.allocations),
        clock_hz=clock,
        keep_activations_on_chip=spec.keep_activations_on_chip,
        resident_weights=spec.resident_weights,
        branch_policy=spec.branch_policy,
        multicast=spec.multicast,
        description=spec.description,
        source=spec.source,
    )


def _links(links: _Links | None) -> tuple[LinkSpec, ...]:
    if links is None:
        return ()
    return tuple(
        LinkSpec(a, b, links.bandwidth_bits, links.pj_per_bit * PICO, medium=links.medium) for a, b in links.pairs
    )


def _dram(dram: _Dram | None) -> DramSpec | None:
    if dram is None:
        return None
    return DramSpec(dram.bandwidth_bits, dram.granule_bits, dram.read_pj * PICO, dram.write_pj * PICO, dram.size_bits)


def _core(name: str, core: _CoreType, clock_hz: float) -> CoreSpec:
    """A core, stated at its first operating point and moved to the one it runs at."""
    names = tuple(core.array)
    points = tuple(OperatingPoint(point, p.voltage_v, p.clock_hz) for point, p in core.operating_points.items())
    spec = CoreSpec(
        name=name,
        kind=core.kind,
        array=tuple(ArrayDimension(dimension, size) for dimension, size in core.array.items()),
        memories=tuple(_memory(memory, names) for memory in core.memories),
        precisions=tuple(Precision(bits, p.mac_pj * PICO, p.throughput) for bits, p in sorted(core.precisions.items())),
        clock_hz=points[0].clock_hz if points else clock_hz if core.clock_hz is None else core.clock_hz,
        dataflows=tuple(_dataflow(kinds, unrolling) for kinds, unrolling in core.dataflow.items()),
        partial_sum_bits=core.partial_sum_bits,
        points=points,
        source=core.source,
    )
    return spec.at_point(core.operating_point) if core.operating_point is not None else spec


def _dataflow(kinds: str, unrolling: dict[str, tuple[tuple[str, int], ...]]) -> Dataflow:
    for kind in kinds.split() if kinds != "default" else ():
        if kind not in LAYER_KINDS:
            raise unknown_name("layer kind of a dataflow", kind, LAYER_KINDS, "`default`")
    return Dataflow(
        tuple(Unrolling(dimension, loop, size) for dimension, loops in unrolling.items() for loop, size in loops),
        () if kinds == "default" else tuple(kinds.split()),
    )


def _memory(memory: _Memory, names: tuple[str, ...]) -> MemorySpec:
    return MemorySpec(
        memory.name,
        memory.size_bits,
        memory.read_pj * PICO,
        memory.write_pj * PICO,
        memory.operands,
        _ports(memory),
        names if memory.served == "all" else memory.served,
        memory.double_buffered,
    )


_READS = {"weight": ("to_low",), "input": ("to_low",), "output": ("to_low", "to_high")}
_WRITES = {"weight": ("from_high",), "input": ("from_high",), "output": ("from_high", "from_low")}


def _ports(memory: _Memory) -> tuple[PortSpec, ...]:
    width = memory.bandwidth_bits
    granule = width if memory.granule_bits is None else memory.granule_bits
    reads = [(operand, d) for operand in memory.operands for d in _READS[operand]]
    writes = [(operand, d) for operand in memory.operands for d in _WRITES[operand]]

    def port(name: str, kind: Any, carried: list[tuple[Operand, Any]]) -> PortSpec:
        return PortSpec(name, kind, granule, width, tuple(Traffic(o, d) for o, d in carried))

    if memory.ports == "shared":
        return (port("rw", "read_write", reads + writes),)
    if memory.ports == "dual":
        both = [port(f"r_{o}_{d}", "read", [(o, d)]) for o, d in reads]
        return (*both, *(port(f"w_{o}_{d}", "write", [(o, d)]) for o, d in writes))
    return (port("r", "read", reads), port("w", "write", writes))
