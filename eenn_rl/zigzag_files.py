"""ZigZag's accelerator and mapping files: today's port notation and the older one."""

from typing import Any

from eenn_rl.errors import InputFileError
from eenn_rl.hardware import (
    AcceleratorSpec,
    ArrayDimension,
    CoreSpec,
    Dataflow,
    MemorySpec,
    Operand,
    PortSpec,
    Precision,
    Traffic,
    Unrolling,
)

PICO = 1e-12
_OPERANDS: dict[str, Operand] = {"I1": "input", "I2": "weight", "O": "output"}
_DIRECTIONS = {"fh": "from_high", "tl": "to_low", "fl": "from_low", "th": "to_high"}


def core_of(data: dict[str, Any], name: str, clock_hz: float) -> CoreSpec:
    array = data["operational_array"]
    systolic = array.get("systolic_dimensions") or ()
    dims = tuple(ArrayDimension(n, s, n in systolic) for n, s in zip(array["dimensions"], array["sizes"], strict=True))
    memories = tuple(_memory(n, m) for n, m in data["memories"].items())
    energy = array.get("unit_energy", 0.0) * PICO
    return CoreSpec(
        name, "compute", dims, memories, tuple(Precision(b, energy) for b in (1, 2, 4, 8, 16, 32)), clock_hz
    )


def _memory(name: str, m: dict[str, Any]) -> MemorySpec:
    ports = []
    for p in m["ports"]:
        carries = tuple(
            Traffic(_OPERANDS[a.split(",")[0].strip()], _DIRECTIONS[a.split(",")[1].strip()]) for a in p["allocation"]
        )
        ports.append(PortSpec(p["name"], p["type"], p["bandwidth_min"], p["bandwidth_max"], carries))
    return MemorySpec(
        name, m["size"], (m["r_cost"] or 0) * PICO, (m["w_cost"] or 0) * PICO,
        tuple(_OPERANDS[o] for o in m["operands"]), tuple(ports), tuple(m["served_dimensions"]),
        m.get("force_double_buffering", False),
    )


def dataflows_of(data: Any) -> tuple[Dataflow, ...]:
    flows = []
    for entry in data:
        mapping = entry.get("spatial_mapping")
        if not mapping:
            continue
        unrolling = tuple(
            Unrolling(d, u.split(",")[0].strip(), int(u.split(",")[1]))
            for d, us in mapping.items()
            for u in (us if isinstance(us, list) else [us])
        )
        flows.append(Dataflow(unrolling, () if entry["name"] == "default" else (entry["name"],)))
    return tuple(flows)


def read_zigzag(data: Any, source: str, clock_hz: float) -> AcceleratorSpec:
    if "memories" not in data:
        raise InputFileError(f"{source}: no memories")
    return AcceleratorSpec(data["name"], (core_of(data, data["name"], clock_hz),), clock_hz=clock_hz, source=source)
