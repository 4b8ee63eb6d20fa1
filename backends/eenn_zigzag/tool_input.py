"""Our types as zigzag-dse 3.9 reads them: a core, a layer and a mapping as plain data.

This data is all that decides ZigZag's answer, so it is also the key under which the answer is kept.
"""

from typing import Any

from eenn_rl.backbone import Layer
from eenn_rl.errors import check
from eenn_rl.hardware import CoreSpec, Dataflow, MemorySpec, Precision

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
    missing = set(OPERANDS) - {operand for memory in core.memories for operand in memory.operands}
    check(not missing, where + "memories", [m.name for m in core.memories], "one for each of weight, input and output")
    found = len(core.array)
    check(found <= MOST_DIMENSIONS, where + "array dimensions", found, f"at most {MOST_DIMENSIONS}, for ZigZag")


def precision_of(core: CoreSpec, bits: int) -> Precision:
    """What `core` does at `bits`: its narrowest unit that is wide enough, or its widest."""
    return next((p for p in core.precisions if p.bits >= bits), core.precisions[-1])


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


def core_data(core: CoreSpec, bits: int) -> dict[str, Any]:
    """`core`, computing at `bits`, as a ZigZag accelerator; its name is left out, it decides nothing."""
    names = _dimensions(core)
    return {
        "name": "core",
        "memories": {f"m{i}": _memory(memory, names) for i, memory in enumerate(core.memories)},
        "operational_array": {
            "unit_energy": _pico(precision_of(core, bits).mac_energy_j),
            "unit_area": 1,
            "dimensions": list(names.values()),
            "sizes": [dimension.size for dimension in core.array],
        },
    }


def layer_data(layer: Layer, bits: int, partial_sum_bits: int) -> dict[str, Any]:
    """A layer with MACs as a ZigZag workload node; its name is left out."""
    (height, width), (kernel_y, kernel_x) = layer.out_size, layer.kernel
    (top, left), groups = layer.padding, layer.groups
    loops = {
        "B": 1,
        "K": layer.out_channels // groups,
        "G": groups,
        "OX": width,
        "OY": height,
        "C": layer.in_channels // groups,
        "FX": kernel_x,
        "FY": kernel_y,
    }
    # An even kernel may need one more row or column at the end than `padding` says.
    bottom = (height - 1) * layer.stride[0] + kernel_y - layer.in_size[0] - top
    right = (width - 1) * layer.stride[1] + kernel_x - layer.in_size[1] - left
    return {
        "id": 0,
        "name": "layer",
        "operator_type": "Conv",
        "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
        "loop_dims": list(loops),
        "loop_sizes": list(loops.values()),
        "dimension_relations": [f"ix={layer.stride[1]}*ox+1*fx", f"iy={layer.stride[0]}*oy+1*fy"],
        "operand_precision": {"W": bits, "I": bits, "O": max(bits, partial_sum_bits), "O_final": bits},
        "operand_source": {"I": 1, "W": 0},
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [layer.in_size[1], layer.in_size[0]],
        "padding": [[left, max(right, 0)], [top, max(bottom, 0)]],
    }


def _dataflow(core: CoreSpec, layer: Layer) -> Dataflow | None:
    """The dataflow that holds for the layer's kind: one that names it, or one for all others; None: free."""
    named = [flow for flow in core.dataflows if layer.kind in flow.kinds]
    return next(iter(named or [flow for flow in core.dataflows if not flow.kinds]), None)


def mapping_data(core: CoreSpec, layer: Layer) -> dict[str, Any]:
    """How `layer` is unrolled on `core`: as the core's dataflow says, or free for ZigZag to choose."""
    data: dict[str, Any] = {"name": "default", "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"}}
    flow = _dataflow(core, layer)
    if flow is not None:
        spatial: dict[str, list[str]] = {name: [] for name in _dimensions(core).values()}
        for unrolling in flow.unrolling:
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
