"""Our types as zigzag-dse 3.9 reads them: a core, a layer and a mapping as plain data.

This data is all that decides ZigZag's answer, so it is also the key under which the answer is kept.
"""

from typing import Any

from eenn_rl.backbone import Layer
from eenn_rl.errors import check
from eenn_rl.hardware import CoreSpec, MemorySpec
from eenn_rl.schedule import dataflow_for, precision_for

OPERANDS = {"weight": "I2", "input": "I1", "output": "O"}
DIRECTIONS = {"from_high": "fh", "to_low": "tl", "from_low": "fl", "to_high": "th"}
PICO = 1e-12
ROOMY_BITS = 1 << 50
"""The size of a memory that holds any layer."""


MOST_DIMENSIONS = 4
"""Array dimensions that ZigZag's mapping files can name."""


def check_core(core: CoreSpec, accelerator: str) -> None:
    """Raise `InvalidValueError` where ZigZag cannot describe `core`."""
    where = f"accelerator {accelerator!r}: core {core.name!r}: "
    needed = tuple(OPERANDS) if core.kind == "compute" else ("input", "output")
    missing = set(needed) - {operand for memory in core.memories for operand in memory.operands}
    check(not missing, where + "memories", [m.name for m in core.memories], f"one for each of {', '.join(needed)}")
    found = len(core.array)
    check(found <= MOST_DIMENSIONS, where + "array dimensions", found, f"at most {MOST_DIMENSIONS}, for ZigZag")


def _pico(joules: float) -> float:
    # 12 digits undo the rounding of pJ -> J -> pJ, so that a ZigZag file comes back as it was.
    return float(f"{joules / PICO:.12g}")


def _dimensions(core: CoreSpec) -> dict[str, str]:
    """ZigZag's names, D1 on, for the core's array dimensions."""
    return {dimension.name: f"D{number}" for number, dimension in enumerate(core.array, start=1)}


def _memory(memory: MemorySpec, names: dict[str, str]) -> dict[str, Any]:
    ports = []
    for number, port in enumerate(memory.ports, start=1):
        prefix = {"read": "r", "write": "w", "read_write": "rw"}[port.kind]
        allocation = [f"{OPERANDS[t.operand]}, {DIRECTIONS[t.direction]}" for t in port.carries]
        ports.append(
            {
                "name": f"{prefix}_port_{number}",
                "type": port.kind,
                "bandwidth_min": port.granule_bits,
                "bandwidth_max": port.bandwidth_bits,
                "allocation": allocation,
            }
        )
    return {
        "size": memory.size_bits,
        "r_cost": _pico(memory.read_energy_j),
        "w_cost": _pico(memory.write_energy_j),
        "area": 0,
        "latency": 1,
        "auto_cost_extraction": False,
        "operands": [OPERANDS[operand] for operand in memory.operands],
        "ports": ports,
        "served_dimensions": [names[dimension] for dimension in memory.served],
        "force_double_buffering": memory.double_buffered,
    }


WEIGHT_REGISTER = {
    "size": 8,
    "r_cost": 0.0,
    "w_cost": 0.0,
    "area": 0,
    "latency": 1,
    "auto_cost_extraction": False,
    "operands": ["I2"],
    "ports": [
        {"name": "r_port_1", "type": "read", "bandwidth_min": 8, "bandwidth_max": 8, "allocation": ["I2, tl"]},
        {"name": "w_port_1", "type": "write", "bandwidth_min": 8, "bandwidth_max": 8, "allocation": ["I2, fh"]},
    ],
    "served_dimensions": [],
    "force_double_buffering": False,
}
"""A memory of no cost for weights of no bits: ZigZag wants one for each operand, and pooling has no weights."""


def _with_second_input(memory: dict[str, Any]) -> dict[str, Any]:
    """`memory` serving an addition's second input, which ZigZag takes for weights, as it serves the first."""
    if "I1" not in memory["operands"] or "I2" in memory["operands"]:
        return memory
    ports = [
        {**port, "allocation": [*port["allocation"], *(a.replace("I1", "I2") for a in port["allocation"] if "I1" in a)]}
        for port in memory["ports"]
    ]
    return {**memory, "operands": [*memory["operands"], "I2"], "ports": ports}


def core_data(core: CoreSpec, bits: int, kind: str = "conv") -> dict[str, Any]:
    """`core`, computing layers of `kind` at `bits`, as a ZigZag accelerator, whatever its name."""
    names = _dimensions(core)
    memories = {f"m{i}": _memory(memory, names) for i, memory in enumerate(core.memories)}
    if kind == "add":
        memories = {name: _with_second_input(memory) for name, memory in memories.items()}
    if kind == "pool" and not any("I2" in memory["operands"] for memory in memories.values()):
        memories = {"none": WEIGHT_REGISTER, **memories}
    return {
        "name": "core",
        "memories": memories,
        "operational_array": {
            "unit_energy": _pico(precision_for(core, bits).mac_energy_j),
            "unit_area": 1,
            "dimensions": list(names.values()),
            "sizes": [dimension.size for dimension in core.array],
        },
    }


def _padding(layer: Layer, axis: int) -> list[int]:
    """Before and after; an even kernel may need one more row or column at the end than `layer.padding` says."""
    before = layer.padding[axis]
    span = (layer.out_size[axis] - 1) * layer.stride[axis] + layer.kernel[axis]
    return [before, max(span - layer.in_size[axis] - before, 0)]


def layer_data(layer: Layer, bits: int, partial_sum_bits: int) -> dict[str, Any]:
    """`layer` as a ZigZag workload node; its name is left out."""
    height, width = layer.out_size
    precision = {"W": bits, "I": bits, "O": max(bits, partial_sum_bits), "O_final": bits}
    if layer.kind == "add":
        loops = {"B": 1, "G": layer.out_channels, "OX": width, "OY": height}
        return {
            **_node("Add", "O[b][g][oy][ox]+=W[b][g][oy][ox]*I[b][g][oy][ox]", loops, precision),
            "operand_source": {"I": 1, "W": 2},
            "dimension_relations": [],
        }
    groups = layer.in_channels if layer.kind == "pool" else layer.groups
    kernel = {"FX": layer.kernel[1], "FY": layer.kernel[0]}
    if layer.kind == "pool":
        loops = {"B": 1, "G": groups, "OX": width, "OY": height, **kernel}
        node = _node("Pooling", "O[b][g][oy][ox]+=W[fy][fx]*I[b][g][iy][ix]", loops, {**precision, "W": 0})
    else:
        channels = {"K": layer.out_channels // groups, "G": groups, "C": layer.in_channels // groups}
        equation = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
        loops = {"B": 1, "K": channels["K"], "G": groups, "OX": width, "OY": height, "C": channels["C"], **kernel}
        node = _node("Conv", equation, loops, precision)
    return {
        **node,
        "operand_source": {"I": 1, "W": 0},
        "dimension_relations": [f"ix={layer.stride[1]}*ox+1*fx", f"iy={layer.stride[0]}*oy+1*fy"],
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [layer.in_size[1], layer.in_size[0]],
        "padding": [_padding(layer, 1), _padding(layer, 0)],
    }


def _node(operator: str, equation: str, loops: dict[str, int], precision: dict[str, int]) -> dict[str, Any]:
    return {
        "id": 0,
        "name": "layer",
        "operator_type": operator,
        "equation": equation,
        "loop_dims": list(loops),
        "loop_sizes": list(loops.values()),
        "operand_precision": precision,
    }


def mapping_data(core: CoreSpec, layer: Layer) -> dict[str, Any]:
    """How `layer` is unrolled on `core`: as the core's dataflow says, or free for ZigZag to choose."""
    data: dict[str, Any] = {"name": "default", "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}
    place = dataflow_for(core.dataflows, layer)
    if place is not None:
        spatial: dict[str, list[str]] = {name: [] for name in _dimensions(core).values()}
        for unrolling in core.dataflows[place].unrolling:
            spatial[_dimensions(core)[unrolling.dimension]].append(f"{unrolling.loop}, {unrolling.size}")
        data["spatial_mapping"] = {name: loops for name, loops in spatial.items() if loops}
    return data


def with_room(core: dict[str, Any]) -> dict[str, Any]:
    """`core` (as plain data) with outermost memories large enough for anything; energies and ports unchanged."""
    memories = dict(core["memories"])
    outermost = {operand: name for name, memory in memories.items() for operand in memory["operands"]}
    for name in set(outermost.values()):
        memories[name] = {**memories[name], "size": ROOMY_BITS}
    return {**core, "memories": memories}
