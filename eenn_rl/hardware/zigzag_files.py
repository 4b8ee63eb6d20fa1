"""ZigZag's core and mapping files: today's port notation and the older one (`r_bw`, `w_bw`, `r_port`, ...).

Energies are in pJ there, for one access of a port's full width; a file names no clock, so cycles last 1 ns unless
told otherwise. What a file asks for that the model lacks is noted, and becomes a warning.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf, sqrt
from typing import Any

from eenn_rl.errors import InputFileError
from eenn_rl.hardware.accelerator import AcceleratorSpec
from eenn_rl.hardware.core import ArrayDimension, CoreSpec, Dataflow, Precision, Unrolling
from eenn_rl.hardware.memory import OPERANDS, Direction, DramSpec, MemorySpec, Operand, PortSpec, Traffic

PICO = 1e-12
_OPERANDS: dict[str, Operand] = {"I1": "input", "I2": "weight", "O": "output"}
_DIRECTIONS: dict[str, Direction] = {"fh": "from_high", "tl": "to_low", "fl": "from_low", "th": "to_high"}
_BITS = (1, 2, 4, 8, 16, 32)
_KINDS = {
    "Conv": ("conv", "depthwise"),
    "Gemm": ("linear",),
    "MatMul": ("linear",),
    "Add": ("add",),
    "Pooling": ("pool",),
    "MaxPool": ("pool",),
    "AveragePool": ("pool",),
    "GlobalAveragePool": ("pool",),
}
_KNOWN_MEMORY = {
    "size", "r_cost", "w_cost", "area", "latency", "auto_cost_extraction", "mem_type", "operands", "ports",
    "served_dimensions", "force_double_buffering", "r_bw", "w_bw", "r_port", "w_port", "rw_port",
    "min_r_granularity", "min_w_granularity",
}  # fmt: skip
_KNOWN_CORE = {"name", "type", "memories", "operational_array", "dataflows", "operator_types", "operand_precision",
               "clock_hz"}  # fmt: skip
_KNOWN_ARRAY = {
    "unit_energy", "unit_area", "dimensions", "sizes", "input_precision", "is_imc", "imc_type", "bit_serial_precision",
    "adc_resolution", "systolic_dimensions",
}  # fmt: skip
PARTIAL_SUM_BITS = 16
"""Width of partial sums where a file states none."""
IMC_MAC_PJ = {"analog": 0.05, "digital": 0.09}
"""pJ per 8-bit MAC inside an in-memory array, where a file leaves it to ZigZag's circuit model: about 40 and 22 TOPS/W
(survey of Houshmand et al., "Benchmarking and modeling of analog and digital SRAM in-memory computing", 2023)."""


def is_core(data: Any) -> bool:
    """Whether `data` is a core in ZigZag's format."""
    return isinstance(data, dict) and "memories" in data and "operational_array" in data


def read_zigzag(data: dict[str, Any], source: str, clock_hz: float) -> AcceleratorSpec:
    """A single-core accelerator from a ZigZag file; its outermost memory for everything becomes the DRAM."""
    notes: list[str] = []
    core = read_core(data, str(data.get("name", "core")), source, clock_hz, notes)
    memories, dram = split_dram(core.memories)
    core = replace(core, kind="compute", memories=memories)
    return AcceleratorSpec(
        core.name, (core,), dram=dram, clock_hz=clock_hz, source=source, description="a core in ZigZag's format",
        notes=tuple(notes),
    )  # fmt: skip


def split_dram(memories: tuple[MemorySpec, ...]) -> tuple[tuple[MemorySpec, ...], DramSpec | None]:
    """The memories inside a core, and what lies outside: an outermost one for all operands called DRAM or HBM."""
    top = memories[-1]
    if set(top.operands) != set(OPERANDS) or not any(word in top.name.lower() for word in ("dram", "hbm", "offchip")):
        return memories, None
    return memories[:-1], dram_of(top)


def dram_of(memory: MemorySpec) -> DramSpec:
    """A memory as the accelerator's DRAM."""
    width = min(port.bandwidth_bits for port in memory.ports)
    granule = min(port.granule_bits for port in memory.ports)
    return DramSpec(width, granule, memory.read_energy_j, memory.write_energy_j, memory.size_bits, memory.ports)


def _need(data: Any, key: str, where: str) -> Any:
    if not isinstance(data, dict) or key not in data:
        raise InputFileError(f"{where}: expected the key {key!r}, found {_shown(data)}")
    return data[key]


def _shown(data: Any) -> str:
    return "keys " + ", ".join(map(str, data)) if isinstance(data, dict) else repr(data)


def _number(data: Any, key: str, where: str, default: float | None = None) -> Any:
    value = data.get(key, default) if default is not None else _need(data, key, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise InputFileError(f"{where}: {key} must be a number of at least 0, and finite, found {value!r}")
    return value


def _whole(data: Any, key: str, where: str) -> int:
    value = _number(data, key, where)
    if value != int(value):
        raise InputFileError(f"{where}: {key} must be a whole number, found {value!r}")
    return int(value)


def read_core(data: dict[str, Any], name: str, source: str, clock_hz: float, notes: list[str]) -> CoreSpec:
    """A core of ZigZag's; appends to `notes` what is not modelled."""
    array = _need(data, "operational_array", source)
    where = f"{source}: operational_array"
    names, sizes = _need(array, "dimensions", where), _need(array, "sizes", where)
    if len(names) != len(sizes):
        raise InputFileError(f"{where}: expected as many sizes as dimensions ({len(names)}), found {len(sizes)}")
    systolic = array.get("systolic_dimensions") or ()
    notes += [f"{source}: {key} is not modelled" for key in data if key not in _KNOWN_CORE]
    notes += [f"{where}: {key} is not modelled" for key in array if key not in _KNOWN_ARRAY]
    memories = tuple(
        _memory(key, memory, f"{source}: memories.{key}", notes)
        for key, memory in _need(data, "memories", source).items()
    )
    if not memories:
        raise InputFileError(f"{source}: memories: expected at least one, found none")
    flow = data.get("dataflows")
    return CoreSpec(
        name,
        _kind(data),
        tuple(
            ArrayDimension(str(n), _whole({"sizes": s}, "sizes", where), n in systolic)
            for n, s in zip(names, sizes, strict=True)
        ),
        memories,
        _precisions(array, where, notes),
        clock_hz,
        (Dataflow(tuple(_unrolling(flow, f"{source}: dataflows"))),) if flow else (),
        _partial_sum_bits(data.get("operand_precision") or {}, f"{source}: operand_precision", notes),
        source=source,
    )


def _partial_sum_bits(precision: Any, where: str, notes: list[str]) -> int:
    """The accumulator's width where a file names it (fp32: 32); that of inputs is the layer's own here."""
    if not isinstance(precision, dict):
        raise InputFileError(f"{where}: expected number formats by operand, found {precision!r}")
    notes += [
        f"{where}: {key} {value} is not modelled: operands have the bits that a layer asks for"
        for key, value in precision.items() if key != "accumulator"
    ]  # fmt: skip
    text = str(precision.get("accumulator", PARTIAL_SUM_BITS))
    digits = text.lstrip("abcdefghijklmnopqrstuvwxyz")
    if not digits.isdigit() or not 1 <= int(digits) <= 64:
        raise InputFileError(f"{where}: accumulator must be a width between 1 and 64, such as fp32, found {text!r}")
    return int(digits)


def _kind(data: dict[str, Any]) -> Any:
    """A core for pooling or for element-wise work, by the operators it names, or by its name in older files."""
    operators = {str(name) for name in data.get("operator_types") or ()}
    if operators:
        compute = operators & {"Conv", "Gemm", "MatMul", "Einsum"}
        return "compute" if compute else "simd" if "Add" in operators else "pooling"
    name = str(data.get("name", "")).lower()
    return {"pooling": "pooling", "simd": "simd"}.get(name, "compute")


def _precisions(array: dict[str, Any], where: str, notes: list[str]) -> tuple[Precision, ...]:
    if not array.get("is_imc"):
        energy = _number(array, "unit_energy", where, 0.0) * PICO
        return tuple(Precision(bits, energy) for bits in _BITS)
    kind = str(array.get("imc_type", "digital"))
    width, serial = float(array["input_precision"][0]), float(array.get("bit_serial_precision") or 1)
    notes.append(
        f"{where}: {kind} in-memory array: its circuits (ADC, DAC, cells) are not modelled; costed as "
        f"{IMC_MAC_PJ.get(kind, 0.09)} pJ per {width:g}-bit MAC, inputs serial by {serial:g} bits"
    )
    energy = IMC_MAC_PJ.get(kind, 0.09) * PICO
    return tuple(Precision(bits, energy, min(1.0, serial / bits)) for bits in _BITS if bits <= width)


def _memory(name: str, data: Any, where: str, notes: list[str]) -> MemorySpec:
    notes += [f"{where}: {key} is not modelled" for key in data if key not in _KNOWN_MEMORY]
    operands = tuple(_operand(o, where) for o in _need(data, "operands", where))
    if _number(data, "latency", where, 1.0) > 1:
        notes.append(f"{where}: an access latency of {data['latency']} cycles is not modelled, costed as 1")
    ports = tuple(_old_ports(data, operands, where) if "r_bw" in data else _ports(data, where))
    read, write = data.get("r_cost"), data.get("w_cost")
    if read is None or write is None or data.get("auto_cost_extraction"):
        read = write = _estimated_cost(data, ports)
        notes.append(f"{where}: no CACTI here: costed as {read:.3g} pJ per access, estimated from size and width")
    return MemorySpec(
        name,
        _whole(data, "size", where),
        float(read) * PICO,
        float(write) * PICO,
        operands,
        ports,
        tuple(str(d) for d in data.get("served_dimensions") or ()),
        bool(data.get("force_double_buffering", False)),
    )


def _estimated_cost(data: dict[str, Any], ports: tuple[PortSpec, ...]) -> float:
    """Energy (pJ) per access of an SRAM: bit lines grow with the square root of the size.

    Two constants put ZigZag's own 2 MB (416 pJ per 2048 bits) and 32 KB (22.9 pJ per 512 bits) memories on the line.
    """
    width = max(port.bandwidth_bits for port in ports)
    return float(width * (0.0236 + 4.386e-5 * sqrt(data["size"])))


def _operand(name: Any, where: str) -> Operand:
    if name not in _OPERANDS:
        raise InputFileError(f"{where}: operands must be of I1, I2, O, found {name!r}")
    return _OPERANDS[name]


def _ports(data: dict[str, Any], where: str) -> Iterator[PortSpec]:
    for port in _need(data, "ports", where):
        here = f"{where}.ports"
        carries = []
        for text in _need(port, "allocation", here):
            operand, _, direction = (part.strip() for part in str(text).partition(","))
            if direction not in _DIRECTIONS:
                raise InputFileError(f"{here}: allocation must end in fh, tl, fl or th, found {text!r}")
            carries.append(Traffic(_operand(operand, here), _DIRECTIONS[direction]))
        yield PortSpec(
            str(_need(port, "name", here)), _port_kind(port.get("type", "read_write"), here),
            _whole(port, "bandwidth_min", here), _whole(port, "bandwidth_max", here), tuple(carries),
        )  # fmt: skip


def _port_kind(kind: Any, where: str) -> Any:
    if kind not in ("read", "write", "read_write"):
        raise InputFileError(f"{where}: type must be read, write or read_write, found {kind!r}")
    return kind


def _old_ports(data: dict[str, Any], operands: tuple[Operand, ...], where: str) -> Iterator[PortSpec]:
    """Older notation: numbered ports of common widths, and per operand which port serves each direction."""
    read, write = _whole(data, "r_bw", where), _whole(data, "w_bw", where)
    carries: dict[str, list[Traffic]] = {}
    given = _need(data, "ports", where)
    if len(given) != len(operands):
        raise InputFileError(f"{where}: expected ports for {len(operands)} operands, found {len(given)}")
    for operand, directions in zip(operands, given, strict=True):
        for direction, port in directions.items():
            if direction not in _DIRECTIONS:
                raise InputFileError(f"{where}.ports: directions are fh, tl, fl and th, found {direction!r}")
            carries.setdefault(str(port), []).append(Traffic(operand, _DIRECTIONS[direction]))
    for port, traffic in carries.items():
        kind: Any = {"r": "read", "w": "write"}.get(port.split("_")[0], "read_write")
        width = write if kind == "write" else read
        granule = int(data.get("min_w_granularity" if kind == "write" else "min_r_granularity") or width)
        yield PortSpec(port, kind, granule, width, tuple(traffic))


def _unrolling(mapping: Any, where: str) -> Iterator[Unrolling]:
    if not isinstance(mapping, dict):
        raise InputFileError(f"{where}: expected loops by dimension, such as D1: [K, 8], found {mapping!r}")
    for dimension, given in mapping.items():
        for text in given if isinstance(given, list) else [given]:
            loop, _, size = (part.strip() for part in str(text).partition(","))
            if not (size.isascii() and size.isdecimal() and len(size) < 10):
                raise InputFileError(f"{where}.{dimension}: expected a loop and a size, such as 'K, 8', found {text!r}")
            yield Unrolling(str(dimension), loop, int(size))


def read_mapping(data: Any, source: str) -> tuple[tuple[Dataflow, ...], tuple[str, ...]]:
    """The dataflows of a ZigZag mapping file, by layer kind or name, and notes on what is not modelled."""
    if not isinstance(data, list) or not all(isinstance(entry, dict) and "name" in entry for entry in data):
        raise InputFileError(f"{source}: expected a list of mappings, each with a name, found {_shown(data)}")
    flows, notes = [], []
    for entry in data:
        name = str(entry["name"])
        links = entry.get("memory_operand_links")
        if links and not isinstance(links, dict):
            raise InputFileError(f"{source}: {name}: memory_operand_links: expected names by operand, found {links!r}")
        if links and links != {"O": "O", "W": "I2", "I": "I1"}:
            notes.append(f"{source}: {name}: memory_operand_links other than O: O, W: I2, I: I1 are not modelled")
        if entry.get("temporal_ordering"):
            notes.append(f"{source}: {name}: a given temporal ordering is not modelled, the best order is searched")
        if entry.get("spatial_mapping_hint"):
            notes.append(f"{source}: {name}: a spatial mapping hint is not modelled, the dataflow is free")
        unrolling = tuple(_unrolling(entry.get("spatial_mapping") or {}, f"{source}: {name}"))
        flows.append(Dataflow(unrolling, () if name == "default" else _KINDS.get(name, (name,))))
    return tuple(flows), tuple(notes)
